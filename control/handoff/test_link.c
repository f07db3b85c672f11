/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Both real sides over a real socket: this process is the dataplane, a child is control. */

#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/handoff/internal.h"
#include "dataplane/handoff/internal.h"

#define TURNS 3000
#define HANG 666u /* the question over which control hangs */

/* ---- control, in the child ----------------------------------------------------------------- */

struct control {
	struct event_base *base;
	struct ctl_link *link;
	struct ctl_loop *loop;
	uint64_t counters[POSTERN_CTL_COUNTER_COUNT];
	uint64_t generation;
	struct ctl_submission *held; /* answered by nobody until CANCEL */
};

static void die(int code)
{
	_exit(code);
}

static void on_desc(void *arg, struct ctl_loop *l, const struct handoff_desc *d)
{
	struct ctl_reply r = {.code = 220, .text = STR("speak")};
	struct control *c = arg;
	struct ctl_submission *s;

	switch (d->kind) {
	case DESC_CONNECT:
		while (d->question == HANG)
			pause();
		ctl_verdict_connect(l, d, &r, false);
		break;
	case DESC_SUBMIT:
		if (ctl_submission_new(l, d, &s))
			die(20);
		if (d->question == 2) { /* this one is kept until it is cancelled */
			c->held = s;
			break;
		}
		if (s->content.size != 5 || memcmp(s->content.iov[0].iov_base, "hello", 5) ||
		    !ctl_submission_current(s))
			die(21);
		r.code = 250;
		r.text = s->envelope.rcpt[0];
		ctl_verdict_message(l, d, &r, true);
		ctl_submission_free(s);
		break;
	case DESC_CANCEL:
		if (!c->held || ctl_submission_current(c->held))
			die(22);
		ctl_verdict_release(l, &c->held->desc);
		ctl_submission_free(c->held);
		c->held = NULL;
		break;
	default:
		break;
	}
}

static void on_up(void *arg, struct ctl_epoch *e)
{
	struct control *c = arg;
	int rules;
	struct handoff_config config = {
		.hostname = "mx.example.org", .max_message = 1000, .max_rcpt = 10,
		.max_errors = 1, .max_transactions = 1, .command_timeout_s = 1,
		.data_timeout_s = 1, .data_total_timeout_s = 1, .verdict_timeout_s = 1,
	};

	if (ctl_epoch_id(e) == 0 || ctl_loop_new(e, 0, c->base, c->counters, on_desc, c, &c->loop))
		die(10);
	rules = ctl_link_rules("rules of a set", 14);
	if (rules < 0 || ctl_link_push(c->link, ++c->generation, &config, NULL, 0, rules, 14))
		die(11);
	close(rules);
}

static void on_down(void *arg, struct ctl_epoch *e)
{
	struct control *c = arg;

	if (ctl_epoch_alive(e))
		die(12);
	ctl_loop_free(c->loop);
	c->loop = NULL;
}

static void on_push_ack(void *arg, uint64_t generation, int error, struct str text)
{
	struct control *c = arg;

	if (generation != c->generation)
		die(13);
	if (error == EINVAL && str_eq(text, STR("no such platform"))) {
		if (ctl_link_drain(c->link, true)) /* tells the test that it was understood */
			die(14);
	} else if (error) {
		die(15);
	}
	if (ctl_link_ports(c->link))
		die(16);
}

static void on_ports(void *arg, struct str json)
{
	struct control *c = arg;

	if (!str_eq(json, STR("{\"ports\":[]}")) || ctl_link_drain(c->link, false))
		die(17);
}

static void control_main(const char *path)
{
	struct control c = {0};
	struct ctl_link_opts o = {
		.path = path, .n_loops = 1, .arg = &c,
		.ops = {.on_up = on_up, .on_down = on_down, .on_push_ack = on_push_ack,
			.on_ports = on_ports},
	};
	const struct timeval bound = {60, 0};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	c.base = event_base_new();
	o.base = c.base;
	if (ctl_link_connect(&o, &c.link))
		die(9);
	event_base_loopexit(c.base, &bound);
	event_base_dispatch(c.base);
	die(8);
}

/* ---- dataplane, here ----------------------------------------------------------------------- */

struct fix {
	char dir[32], path[64];
	struct dp_arena *arena;
	struct dp_worker *w;
	struct dp_link *link;
	struct dp_rings *rings;
	pid_t child;
	unsigned int pushes, drains, undrains, ends;
	int push_error;
	unsigned int n_verdicts;
	struct handoff_verdict last;
	char text[100];
};

static int take_push(void *arg, const struct dp_push *p, char *text, size_t cap)
{
	struct fix *f = arg;

	f->pushes++;
	assert_int_equal(p->generation, f->pushes);
	assert_int_equal(p->config->generation, f->pushes);
	assert_string_equal(p->config->hostname, "mx.example.org");
	assert_int_equal(p->rules_len, 14);
	assert_memory_equal(p->rules, "rules of a set", 14);
	if (f->push_error)
		snprintf(text, cap, "no such platform");
	return f->push_error;
}

static void take_drain(void *arg, bool drain)
{
	struct fix *f = arg;

	f->drains += drain;
	f->undrains += !drain;
}

static size_t ports(void *arg, char *buf, size_t cap)
{
	(void)arg;
	return (size_t)snprintf(buf, cap, "{\"ports\":[]}");
}

static void ended(void *arg, uint64_t epoch)
{
	struct fix *f = arg;

	(void)epoch;
	f->ends++;
}

static void open_dataplane(struct fix *f)
{
	struct dp_link_opts o = {
		.path = f->path, .group = -1, .allow_uid = -1, .allow_gid = -1,
		.heartbeat_ms = 2000, .grace_ms = 50, .arg = f,
		.ops = {.on_push = take_push, .on_drain = take_drain, .on_ports = ports,
			.on_epoch_end = ended},
	};

	assert_int_equal(dp_link_new(&o, f->arena, &f->link), 0);
	assert_int_equal(dp_rings_new(f->link, f->w, 10, &f->rings), 0);
}

static void close_dataplane(struct fix *f)
{
	dp_rings_free(f->rings);
	dp_link_free(f->link);
}

static int setup(void **state)
{
	struct dp_arena_opts o = {.n_workers = 1, .slice_mb = 8, .hugetlb = DP_HUGETLB_NEVER};
	struct fix *f = calloc(1, sizeof(*f));
	char err[160];

	strcpy(f->dir, "/tmp/postern-both-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/dp.sock", f->dir);
	assert_int_equal(dp_arena_new(&o, &f->arena, err, sizeof(err)), 0);
	f->w = dp_arena_worker(f->arena, 0);
	f->child = fork();
	if (f->child == 0)
		control_main(f->path); /* before there is a dataplane */
	open_dataplane(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	if (f->child > 0) {
		kill(f->child, SIGKILL);
		waitpid(f->child, NULL, 0);
	}
	close_dataplane(f);
	rmdir(f->dir);
	dp_arena_free(f->arena);
	free(f);
	return 0;
}

static bool on_verdict(void *arg, const struct dp_verdict *v)
{
	struct fix *f = arg;

	f->n_verdicts++;
	f->last = v->head;
	snprintf(f->text, sizeof(f->text), "%.*s", STR_FMT(v->text));
	return true;
}

/* One turn of main thread and worker. */
static enum dp_epoch_event turn(struct fix *f)
{
	dp_rings_flush(f->rings);
	assert_int_equal(dp_link_poll(f->link, 5), 0);
	dp_rings_poll(f->rings, 100, on_verdict, f);
	return dp_rings_epoch(f->rings);
}

#define TURN_UNTIL(cond) \
	do { \
		for (int turn_i = 0; turn_i < TURNS && !(cond); turn_i++) \
			turn(f); \
		assert_true(cond); \
	} while (0)

static void connect_question(struct fix *f, uint32_t question)
{
	struct handoff_desc d = {.kind = DESC_CONNECT, .session = 3, .generation = 1,
				 .question = question};

	assert_int_equal(dp_rings_push(f->rings, 0, &d), 0);
}

static struct handoff_desc message(struct fix *f, uint32_t question)
{
	struct handoff_record *rec;
	struct dp_msg m = {0};
	struct handoff_desc d;

	assert_int_equal(dp_msg_open(f->w, &m), 0);
	rec = dp_msg_record(f->w, &m);
	rec->session = 3;
	rec->session_gen = 1;
	memset(rec->trace_id, 'A', sizeof(rec->trace_id));
	assert_int_equal(dp_msg_add_rcpt(f->w, &m, STR("one@example.org")), 0);
	rec->rcpt[0].accepted = 1;
	assert_int_equal(dp_msg_data_begin(f->w, &m, 5, 0), 0);
	assert_int_equal(dp_msg_append(f->w, &m, "hello", 5), 0);
	dp_msg_data_end(f->w, &m);
	d = (struct handoff_desc){
		.kind = DESC_SUBMIT, .session = 3, .generation = 1, .question = question,
		.msg = {.record = m.record, .record_gen = dp_msg_generation(f->w, &m), .size = 5},
	};
	assert_int_equal(dp_rings_push(f->rings, 0, &d), 0);
	dp_msg_submitted(f->w, &m, 0);
	return d;
}

static void test_conversation(void **state)
{
	struct fix *f = *state;
	struct handoff_desc d;

	TURN_UNTIL(dp_rings_up(f->rings));
	TURN_UNTIL(f->undrains == 1); /* push, its ack, ports, drain: all went through */
	assert_int_equal(f->pushes, 1);
	connect_question(f, 1);
	TURN_UNTIL(f->n_verdicts == 1);
	assert_int_equal(f->last.code, 220);
	assert_string_equal(f->text, "speak");
	message(f, 1);
	TURN_UNTIL(f->n_verdicts == 2);
	assert_int_equal(f->last.code, 250);
	assert_string_equal(f->text, "one@example.org");
	assert_int_equal(f->w->n_free_chunk, f->w->n_chunks);
	/* Cancelled: pinned until control gives it back. */
	d = message(f, 2);
	turn(f);
	assert_int_equal(dp_record_cancel(f->w, d.msg.record, d.msg.record_gen), 0);
	assert_int_equal(f->w->chunks_pinned, 1);
	d.kind = DESC_CANCEL;
	assert_int_equal(dp_rings_push(f->rings, 0, &d), 0);
	TURN_UNTIL(f->n_verdicts == 3);
	assert_int_equal(f->last.kind, VERDICT_RELEASE);
	assert_int_equal(f->w->chunks_pinned, 0);
	assert_int_equal(f->w->n_free_chunk, f->w->n_chunks);
	assert_int_equal(f->w->counters[CNT_handoff_invalid], 0);
}

static void test_push_refused(void **state)
{
	struct fix *f = *state;

	f->push_error = EINVAL;
	TURN_UNTIL(f->drains == 1);
	TURN_UNTIL(f->undrains == 1);
}

static void test_dataplane_restarts(void **state)
{
	struct fix *f = *state;

	TURN_UNTIL(f->undrains == 1);
	close_dataplane(f);
	open_dataplane(f);
	TURN_UNTIL(f->undrains == 2); /* it came back by itself and pushed again */
	assert_int_equal(f->pushes, 2);
	TURN_UNTIL(dp_rings_up(f->rings));
	connect_question(f, 1);
	TURN_UNTIL(f->n_verdicts == 1);
}

static void test_control_hangs(void **state)
{
	struct fix *f = *state;
	enum dp_epoch_event ev = DP_EPOCH_NONE;
	struct dp_link_stats s;
	bool lost = false;
	int status;

	TURN_UNTIL(f->undrains == 1);
	TURN_UNTIL(dp_rings_up(f->rings));
	message(f, 2); /* control holds it */
	connect_question(f, HANG);
	for (int i = 0; i < TURNS && ev != DP_EPOCH_GONE; i++) {
		ev = turn(f);
		lost |= ev == DP_EPOCH_LOST;
		if (ev != DP_EPOCH_GONE)
			assert_int_equal(f->ends, 0);
	}
	assert_int_equal(ev, DP_EPOCH_GONE);
	assert_true(lost);
	assert_int_equal(f->w->records_control, 1);
	assert_int_equal(dp_worker_reclaim(f->w), 1);
	assert_int_equal(f->w->n_free_chunk, f->w->n_chunks);
	TURN_UNTIL(f->ends == 1);
	dp_link_stats(f->link, &s);
	assert_int_equal(s.killed, 1);
	assert_int_equal(waitpid(f->child, &status, 0), f->child);
	f->child = 0;
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	/* A new control gets a fresh epoch of the same dataplane. */
	f->child = fork();
	if (f->child == 0)
		control_main(f->path);
	f->pushes = 0;
	TURN_UNTIL(f->undrains == 2);
	TURN_UNTIL(dp_rings_up(f->rings));
	dp_link_stats(f->link, &s);
	assert_int_equal(s.epochs, 2);
	connect_question(f, 1);
	TURN_UNTIL(f->n_verdicts == 1);
}

/* ---- control alone ------------------------------------------------------------------------- */

struct alone {
	struct event_base *base;
	unsigned int refused;
	int error;
};

static void on_refused(void *arg, int error, const char *text)
{
	struct alone *a = arg;

	assert_true(text[0]);
	a->error = error;
	if (++a->refused == 2)
		event_base_loopbreak(a->base);
}

static void test_nobody_there(void **state)
{
	struct alone a = {.base = event_base_new()};
	struct ctl_link_opts o = {.path = "/nonexistent/postern.sock", .n_loops = 1,
				  .base = a.base, .arg = &a, .ops = {.on_refused = on_refused}};
	struct handoff_config c = {0};
	struct ctl_link *l;

	(void)state;
	o.n_loops = 0;
	assert_int_equal(ctl_link_connect(&o, &l), -EINVAL);
	o.n_loops = 1;
	assert_int_equal(ctl_link_connect(&o, &l), 0);
	assert_int_equal(ctl_link_push(l, 1, &c, NULL, 0, -1, 0), -ENOTCONN);
	assert_int_equal(ctl_link_drain(l, true), -ENOTCONN);
	event_base_dispatch(a.base);
	assert_int_equal(a.refused, 2);
	assert_int_equal(a.error, ENOENT);
	assert_null(ctl_link_epoch(l));
	ctl_link_free(l);
	event_base_free(a.base);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_conversation), T(test_push_refused), T(test_dataplane_restarts),
		T(test_control_hangs), cmocka_unit_test(test_nobody_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
