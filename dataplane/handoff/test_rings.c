/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The rings against a control that is this test: well-behaved, slow, wrong, or mad. */

#include "dataplane/handoff/internal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define LOOPS 2u
#define SESSIONS 100u

struct fix {
	struct dp_arena *arena;
	struct dp_worker *w;
	struct dp_meet meet;
	struct dp_epoch *epoch;
	struct dp_rings *r;
	/* control's side */
	struct handoff_ring *submit[LOOPS], *verdict[LOOPS];
	uint32_t head[LOOPS];
	/* what came */
	unsigned int n;
	struct handoff_verdict last;
	char text[HANDOFF_MAX_TEXT + 1];
	bool known;
};

static void connect_control(struct fix *f, uint64_t id)
{
	assert_int_equal(dp_epoch_new(id, 1, LOOPS, &f->epoch), 0);
	for (uint32_t l = 0; l < LOOPS; l++) {
		uint8_t *p = (uint8_t *)f->epoch->head + HANDOFF_RING_PAIR(0, l, LOOPS);

		f->submit[l] = (struct handoff_ring *)p;
		f->verdict[l] = (struct handoff_ring *)p + 1;
		f->head[l] = 0;
	}
	atomic_store(&f->meet.current, f->epoch);
}

static int setup(void **state)
{
	struct dp_arena_opts o = {.n_workers = 1, .slice_mb = 8, .hugetlb = DP_HUGETLB_NEVER};
	struct fix *f = calloc(1, sizeof(*f));
	char err[160];

	assert_int_equal(dp_arena_new(&o, &f->arena, err, sizeof(err)), 0);
	f->w = dp_arena_worker(f->arena, 0);
	assert_int_equal(dp_meet_open(&f->meet, 1), 0);
	assert_int_equal(dp_rings_new_at(&f->meet, f->w, SESSIONS, &f->r), 0);
	assert_int_equal(dp_rings_epoch(f->r), DP_EPOCH_NONE);
	connect_control(f, 1);
	assert_int_equal(dp_rings_epoch(f->r), DP_EPOCH_UP);
	assert_true(dp_rings_up(f->r));
	f->known = true;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	dp_rings_free(f->r);
	dp_epoch_free(f->epoch);
	dp_meet_close(&f->meet);
	dp_arena_free(f->arena);
	free(f);
	return 0;
}

static bool on_verdict(void *arg, const struct dp_verdict *v)
{
	struct fix *f = arg;

	f->n++;
	f->last = v->head;
	assert_true(v->text.n <= HANDOFF_MAX_TEXT);
	memcpy(f->text, v->text.p, v->text.n);
	f->text[v->text.n] = '\0';
	return f->known;
}

static uint64_t counter(struct fix *f, enum postern_counter c)
{
	return f->w->counters[c];
}

/* Control writes a verdict of `slots` slots and publishes `publish` of them. */
static void put(struct fix *f, uint32_t l, const struct handoff_verdict *v, const char *text,
		uint32_t publish)
{
	uint8_t buf[HANDOFF_VERDICT_SLOTS * HANDOFF_SLOT] = {0};
	uint32_t slots = v->slots <= HANDOFF_VERDICT_SLOTS && v->slots ? v->slots : 1;
	size_t n = text ? strlen(text) : 0;

	memcpy(buf, v, offsetof(struct handoff_verdict, text));
	if (n)
		memcpy(buf + offsetof(struct handoff_verdict, text), text, n);
	for (uint32_t i = 0; i < slots; i++)
		memcpy(f->verdict[l]->slot[(f->head[l] + i) % HANDOFF_RING_SLOTS],
		       buf + i * HANDOFF_SLOT, HANDOFF_SLOT);
	f->head[l] += slots;
	atomic_store(&f->verdict[l]->ctl.head, f->head[l] - slots + publish);
}

static struct handoff_verdict good(void)
{
	return (struct handoff_verdict){
		.kind = VERDICT_RCPT, .slots = 1, .session = 5, .generation = 9, .question = 3,
		.code = 250, .enh_class = 2, .enh_subject = 1, .enh_detail = 5,
	};
}

static unsigned int poll_all(struct fix *f)
{
	return dp_rings_poll(f->r, 1000000, on_verdict, f);
}

static void test_push_full(void **state)
{
	struct fix *f = *state;
	struct handoff_desc d = {.kind = DESC_RCPT, .worker = 77};

	for (uint32_t i = 0; i < HANDOFF_RING_SLOTS; i++) {
		d.question = i;
		assert_int_equal(dp_rings_push(f->r, 1, &d), 0);
	}
	assert_int_equal(dp_rings_push(f->r, 1, &d), -EAGAIN);
	assert_int_equal(counter(f, CNT_handoff_ring_full), 1);
	assert_int_equal(dp_rings_push(f->r, 0, &d), 0);
	assert_int_equal(dp_rings_push(f->r, LOOPS, &d), -EINVAL);
	memcpy(&d, f->submit[1]->slot[10], sizeof(d));
	assert_int_equal(d.question, 10);
	assert_int_equal(d.worker, 0); /* whatever the caller wrote */
	/* Control reads three: three fit, over the wrap. */
	atomic_store(&f->submit[1]->ctl.tail, 3);
	d.question = 4711;
	for (int i = 0; i < 3; i++)
		assert_int_equal(dp_rings_push(f->r, 1, &d), 0);
	assert_int_equal(dp_rings_push(f->r, 1, &d), -EAGAIN);
	memcpy(&d, f->submit[1]->slot[2], sizeof(d));
	assert_int_equal(d.question, 4711);
	assert_int_equal(atomic_load(&f->submit[1]->ctl.head), HANDOFF_RING_SLOTS + 3);
	assert_int_equal(f->epoch->broken, 0);
}

static void test_tail_that_cannot_be(void **state)
{
	struct fix *f = *state;
	struct handoff_desc d = {.kind = DESC_RCPT};

	for (uint32_t i = 0; i < HANDOFF_RING_SLOTS; i++)
		dp_rings_push(f->r, 0, &d);
	atomic_store(&f->submit[0]->ctl.tail, HANDOFF_RING_SLOTS + 1); /* more than was written */
	assert_int_equal(dp_rings_push(f->r, 0, &d), -EAGAIN);
	assert_int_equal(f->epoch->broken, 1);
	assert_int_equal(counter(f, CNT_handoff_invalid), 1);
}

static bool bell_rang(struct fix *f, uint32_t l)
{
	char buf[16];

	return read(f->epoch->bell_read[l], buf, sizeof(buf)) > 0;
}

static void test_doorbell_only_when_sleeping(void **state)
{
	struct fix *f = *state;
	struct handoff_desc d = {.kind = DESC_RCPT};

	dp_rings_push(f->r, 0, &d);
	dp_rings_flush(f->r);
	assert_false(bell_rang(f, 0));
	atomic_store(&f->epoch->head->loop[0].sleeping, 1);
	dp_rings_flush(f->r); /* nothing new */
	assert_false(bell_rang(f, 0));
	dp_rings_push(f->r, 1, &d);
	dp_rings_flush(f->r); /* for the other loop */
	assert_false(bell_rang(f, 0));
	dp_rings_push(f->r, 0, &d);
	assert_false(bell_rang(f, 0)); /* at the end of the turn */
	dp_rings_flush(f->r);
	assert_true(bell_rang(f, 0));
	assert_int_equal(atomic_load(&f->epoch->head->loop[0].sleeping), 0);
	dp_rings_push(f->r, 0, &d);
	dp_rings_flush(f->r); /* rung already */
	assert_false(bell_rang(f, 0));
	assert_int_equal(counter(f, CNT_handoff_doorbell), 1);
}

static void test_doorbell_pipe_full(void **state)
{
	struct fix *f = *state;
	struct handoff_desc d = {.kind = DESC_SESSION_END};

	while (write(f->epoch->bell[0], "", 1) == 1)
		;
	atomic_store(&f->epoch->head->loop[0].sleeping, 1);
	dp_rings_push(f->r, 0, &d);
	dp_rings_flush(f->r); /* must not block */
	assert_true(bell_rang(f, 0));
}

static void test_worker_sleep(void **state)
{
	struct fix *f = *state;
	struct pollfd p = {.fd = dp_rings_fd(f->r), .events = POLLIN};
	struct handoff_verdict v = good();

	assert_true(dp_rings_sleep_begin(f->r));
	assert_int_equal(atomic_load(&f->epoch->head->worker[0].sleeping), 1);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(write(f->meet.wake_ctl[0], "", 1), 1);
	assert_int_equal(poll(&p, 1, 0), 1);
	dp_rings_sleep_end(f->r);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(atomic_load(&f->epoch->head->worker[0].sleeping), 0);
	put(f, 1, &v, NULL, 1);
	assert_false(dp_rings_sleep_begin(f->r));
	assert_int_equal(atomic_load(&f->epoch->head->worker[0].sleeping), 0);
	poll_all(f);
	assert_true(dp_rings_sleep_begin(f->r));
	dp_rings_sleep_end(f->r);
	atomic_store(&f->epoch->state, DP_EPOCH_S_LOST);
	assert_false(dp_rings_sleep_begin(f->r));
}

static void test_verdict_slots(void **state)
{
	struct fix *f = *state;
	char text[HANDOFF_MAX_TEXT + 1];
	struct handoff_verdict v = good();

	/* Each number of slots at each place of the ring, so over the wrap as well. */
	for (unsigned int i = 0; i < 400; i++) {
		size_t n = i * 37 % (HANDOFF_MAX_TEXT + 1);

		memset(text, 'a' + (int)(i % 26), n);
		text[n] = '\0';
		v.text_len = (uint16_t)n;
		v.slots = (uint8_t)((40 + n + 63) / 64);
		v.question = i;
		put(f, 0, &v, text, v.slots);
		assert_int_equal(poll_all(f), 1);
		assert_int_equal(f->last.question, i);
		assert_string_equal(f->text, text);
		assert_int_equal(atomic_load(&f->verdict[0]->ctl.tail), f->head[0]);
	}
	assert_true(f->head[0] > HANDOFF_RING_SLOTS);
	assert_int_equal(f->n, 400);
	assert_int_equal(counter(f, CNT_handoff_verdicts), 400);
	assert_int_equal(counter(f, CNT_handoff_invalid), 0);
}

static void test_partial_verdict(void **state)
{
	struct fix *f = *state;
	struct handoff_verdict v = good();

	v.slots = 3;
	v.text_len = 100;
	put(f, 0, &v, "the rest of it comes later, and it is long enough to need three slots of "
		      "sixty-four, more or less  ", 2);
	assert_int_equal(poll_all(f), 0);
	assert_int_equal(atomic_load(&f->verdict[0]->ctl.tail), 0);
	atomic_store(&f->verdict[0]->ctl.head, 3);
	memset(f->verdict[0]->slot[2], ' ', HANDOFF_SLOT);
	assert_int_equal(poll_all(f), 1);
	assert_int_equal(f->n, 1);
	/* Cut by the death of control: it does not keep the epoch. */
	put(f, 0, &v, "x", 1);
	atomic_store(&f->epoch->state, DP_EPOCH_S_GONE);
	assert_int_equal(dp_rings_epoch(f->r), DP_EPOCH_LOST);
	assert_int_equal(dp_rings_epoch(f->r), DP_EPOCH_GONE);
}

static void test_poll_bound_and_turns(void **state)
{
	struct fix *f = *state;
	struct handoff_verdict v = good();

	for (int i = 0; i < 10; i++) {
		put(f, 0, &v, NULL, 1);
		put(f, 1, &v, NULL, 1);
	}
	assert_int_equal(dp_rings_poll(f->r, 7, on_verdict, f), 7);
	assert_int_equal(dp_rings_poll(f->r, 7, on_verdict, f), 7);
	/* The second loop was not starved by the first. */
	assert_true(atomic_load(&f->verdict[1]->ctl.tail) > 0);
	assert_int_equal(poll_all(f), 6);
	f->known = false;
	put(f, 0, &v, NULL, 1);
	poll_all(f);
	assert_int_equal(counter(f, CNT_handoff_stale), 1);
}

static void test_garbage_records(void **state)
{
	struct fix *f = *state;
	struct handoff_verdict bad[24];
	const char *text[24] = {NULL};
	unsigned int n = 0;

	for (unsigned int i = 0; i < 24; i++)
		bad[i] = good();
	bad[n++].kind = 0;
	bad[n++].kind = VERDICT_CLOSE + 1;
	bad[n++].session = SESSIONS;
	bad[n++].code = 354;
	bad[n++].code = 199;
	bad[n++].code = 600;
	bad[n++].enh_class = 5;
	bad[n++].enh_subject = 1000;
	bad[n++].enh_detail = 1000;
	bad[n++].text_len = 25;
	bad[n++].text_len = 0xffff;
	bad[n++].flags = VF_RELEASE; /* of a recipient */
	bad[n++].flags = VF_GOOD; /* the same */
	bad[n].kind = VERDICT_CONNECT; /* who is refused is not good */
	bad[n].code = 554;
	bad[n++].flags = VF_GOOD;
	bad[n++].flags = 1u << 5;
	text[n] = "a\r\nb";
	bad[n++].text_len = 4;
	text[n] = "caf\xc3\xa9";
	bad[n++].text_len = 5;
	bad[n].kind = VERDICT_CONNECT; /* a greeting is 220 */
	bad[n++].code = 250;
	bad[n].kind = VERDICT_MESSAGE;
	bad[n].record_gen = 1;
	bad[n++].record = f->w->n_records;
	bad[n].kind = VERDICT_RELEASE;
	bad[n++].record_gen = 2; /* even: a free record */
	for (unsigned int i = 0; i < n; i++) {
		put(f, 0, &bad[i], text[i], 1);
		assert_int_equal(poll_all(f), 1);
		assert_int_equal(f->n, 0);
		assert_int_equal(counter(f, CNT_handoff_invalid), i + 1);
	}
	/* In step again behind each of them. */
	bad[0] = good();
	put(f, 0, &bad[0], NULL, 1);
	assert_int_equal(poll_all(f), 1);
	assert_int_equal(f->n, 1);
	assert_int_equal(f->epoch->broken, 0);
	/* Too many end the epoch. */
	bad[0].kind = 0;
	for (unsigned int i = 0; i < 100; i++)
		put(f, 0, &bad[0], NULL, 1);
	poll_all(f);
	assert_int_equal(f->epoch->broken, 1);
	assert_int_equal(poll_all(f), 0);
}

static void test_framing_lost(void **state)
{
	struct handoff_verdict v = good();
	static const uint8_t slots[] = {0, HANDOFF_VERDICT_SLOTS + 1, 255};

	for (unsigned int i = 0; i < 3; i++) {
		struct fix *f = *state;

		v.slots = slots[i];
		put(f, 1, &v, NULL, 1);
		assert_int_equal(poll_all(f), 0);
		assert_int_equal(f->n, 0);
		assert_int_equal(f->epoch->broken, 1);
		teardown(state);
		setup(state);
	}
}

static void test_head_that_cannot_be(void **state)
{
	struct fix *f = *state;
	struct handoff_verdict v = good();

	put(f, 0, &v, NULL, 1);
	put(f, 0, &v, NULL, 1);
	assert_int_equal(dp_rings_poll(f->r, 1, on_verdict, f), 1);
	atomic_store(&f->verdict[0]->ctl.head, 1); /* takes one back that was seen */
	poll_all(f);
	assert_int_equal(f->epoch->broken, 1);
	teardown(state);
	setup(state);
	f = *state;
	atomic_store(&f->verdict[0]->ctl.head, HANDOFF_RING_SLOTS + 1);
	poll_all(f);
	assert_int_equal(f->epoch->broken, 1);
	assert_int_equal(f->n, 0);
}

static void submit(struct fix *f, uint32_t loop, uint32_t *record, uint32_t *gen)
{
	struct dp_msg m = {0};

	assert_int_equal(dp_msg_open(f->w, &m), 0);
	assert_int_equal(dp_msg_data_begin(f->w, &m, 0, 0), 0);
	assert_int_equal(dp_msg_append(f->w, &m, "x", 1), 0);
	dp_msg_data_end(f->w, &m);
	dp_msg_record(f->w, &m)->session = 5;
	dp_msg_record(f->w, &m)->session_gen = 9;
	*record = m.record;
	*gen = dp_msg_generation(f->w, &m);
	dp_msg_submitted(f->w, &m, loop);
}

static void test_release(void **state)
{
	struct fix *f = *state;
	struct handoff_verdict v = good();
	uint32_t record, gen;

	submit(f, 0, &record, &gen);
	v.kind = VERDICT_MESSAGE;
	v.record = record;
	v.record_gen = gen + 2;
	put(f, 0, &v, NULL, 1);
	poll_all(f);
	assert_int_equal(counter(f, CNT_handoff_stale), 1); /* another use of the record */
	v.record_gen = gen;
	put(f, 1, &v, NULL, 1);
	poll_all(f);
	assert_int_equal(counter(f, CNT_handoff_stale), 2); /* a loop that does not have it */
	v.session = 6;
	put(f, 0, &v, NULL, 1);
	poll_all(f);
	assert_int_equal(counter(f, CNT_handoff_invalid), 1); /* somebody else's message */
	assert_int_equal(f->n, 0);
	v.session = 5;
	put(f, 0, &v, NULL, 1);
	poll_all(f);
	assert_int_equal(f->n, 1);
	assert_true(dp_record_with_control(f->w, record, gen)); /* no VF_RELEASE */
	v.kind = VERDICT_RELEASE;
	v.code = 0;
	v.enh_class = 0;
	put(f, 0, &v, NULL, 1);
	put(f, 0, &v, NULL, 1);
	poll_all(f);
	assert_int_equal(f->n, 2);
	assert_int_equal(counter(f, CNT_handoff_stale), 3); /* the second one */
	assert_int_equal(f->w->n_free_chunk, f->w->n_chunks);
	assert_int_equal(f->w->n_free_record, f->w->n_records);
	/* Both in one, and the session does not wait any more: freed all the same. */
	submit(f, 1, &record, &gen);
	assert_int_equal(dp_record_cancel(f->w, record, gen), 0);
	v = good();
	v.kind = VERDICT_MESSAGE;
	v.flags = VF_RELEASE;
	v.record = record;
	v.record_gen = gen;
	f->known = false;
	put(f, 1, &v, NULL, 1);
	poll_all(f);
	assert_int_equal(f->w->n_free_chunk, f->w->n_chunks);
	assert_int_equal(f->w->chunks_pinned, 0);
}

static void test_pick(void **state)
{
	struct fix *f = *state;
	struct handoff_desc c = {.kind = DESC_CONNECT}, e = {.kind = DESC_SESSION_END};
	unsigned int on[LOOPS] = {0};

	for (int i = 0; i < 10; i++) {
		uint32_t l = dp_rings_pick(f->r);

		on[l]++;
		dp_rings_push(f->r, l, &c);
	}
	assert_int_equal(on[0], 5);
	for (int i = 0; i < 3; i++)
		dp_rings_push(f->r, 1, &e);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(dp_rings_pick(f->r), 1);
		dp_rings_push(f->r, 1, &c);
	}
	for (int i = 0; i < 50; i++) /* more ends than sessions: no underflow */
		dp_rings_push(f->r, 0, &e);
	assert_int_equal(dp_rings_pick(f->r), 0);
}

static void test_epochs(void **state)
{
	struct fix *f = *state;
	struct handoff_verdict v = good();
	struct handoff_desc d = {.kind = DESC_CONNECT};
	struct dp_epoch *old = f->epoch;

	assert_int_equal(dp_rings_epoch(f->r), DP_EPOCH_NONE);
	assert_true(dp_meet_in_use(&f->meet, old));
	put(f, 0, &v, NULL, 1); /* said before it died */
	atomic_store(&f->meet.current, NULL);
	atomic_store(&old->state, DP_EPOCH_S_GONE);
	assert_true(dp_meet_in_use(&f->meet, old)); /* the worker reads it */
	assert_int_equal(dp_rings_epoch(f->r), DP_EPOCH_NONE);
	assert_int_equal(poll_all(f), 1);
	assert_int_equal(f->n, 1);
	assert_int_equal(dp_rings_epoch(f->r), DP_EPOCH_LOST);
	assert_int_equal(dp_rings_push(f->r, 0, &d), -ENOTCONN);
	assert_true(dp_meet_in_use(&f->meet, old));
	assert_int_equal(dp_rings_epoch(f->r), DP_EPOCH_GONE);
	assert_false(dp_meet_in_use(&f->meet, old));
	dp_epoch_free(old);
	f->epoch = NULL;
	assert_int_equal(dp_rings_epoch(f->r), DP_EPOCH_NONE);
	assert_int_equal(poll_all(f), 0);
	connect_control(f, 2);
	assert_int_equal(dp_rings_epoch(f->r), DP_EPOCH_UP);
	assert_int_equal(dp_rings_push(f->r, 0, &d), 0);
	assert_int_equal(atomic_load(&f->submit[0]->ctl.head), 1);
	/* A worker that has no turn while control is lost hears of it all the same. */
	atomic_store(&f->epoch->state, DP_EPOCH_S_LOST);
	assert_int_equal(dp_rings_epoch(f->r), DP_EPOCH_LOST);
	assert_int_equal(dp_rings_epoch(f->r), DP_EPOCH_NONE);
}

/* ---- two threads --------------------------------------------------------------------------- */

#define STRESS 40000u

static void *echo(void *arg)
{
	struct fix *f = arg;
	struct pollfd p = {.fd = f->epoch->bell_read[0], .events = POLLIN};
	_Atomic uint32_t *sleeping = &f->epoch->head->loop[0].sleeping;
	uint32_t tail = 0;
	char buf[64];

	/* An echo that sleeps whenever it finds nothing: a lost doorbell hangs the test. */
	while (tail < STRESS) {
		uint32_t head = atomic_load_explicit(&f->submit[0]->ctl.head,
						     memory_order_acquire);

		if (head == tail) {
			atomic_store(sleeping, 1);
			atomic_thread_fence(memory_order_seq_cst);
			if (atomic_load(&f->submit[0]->ctl.head) == tail) {
				if (poll(&p, 1, 20000) != 1)
					return NULL;
				while (read(p.fd, buf, sizeof(buf)) > 0)
					;
			}
			atomic_store(sleeping, 0);
			continue;
		}
		while (tail != head) {
			struct handoff_verdict v = good();
			struct handoff_desc d;

			memcpy(&d, f->submit[0]->slot[tail % HANDOFF_RING_SLOTS], sizeof(d));
			while (f->head[0] - atomic_load(&f->verdict[0]->ctl.tail) >
			       HANDOFF_RING_SLOTS - 2)
				sched_yield();
			atomic_store_explicit(&f->submit[0]->ctl.tail, ++tail,
					      memory_order_release);
			v.question = d.question;
			v.slots = (uint8_t)(1 + d.question % 2);
			v.text_len = v.slots == 2 ? 60 : 0;
			put(f, 0, &v, v.slots == 2 ? "0123456789012345678901234567890123456789"
						     "01234567890123456789" : NULL, v.slots);
		}
	}
	return f;
}

struct order {
	uint32_t next;
};

static bool in_order(void *arg, const struct dp_verdict *v)
{
	struct order *o = arg;

	assert_int_equal(v->head.question, o->next);
	assert_int_equal(v->text.n, o->next % 2 ? 60 : 0);
	o->next++;
	return true;
}

static void test_stress(void **state)
{
	struct fix *f = *state;
	struct handoff_desc d = {.kind = DESC_RCPT};
	struct order o = {0};
	uint32_t sent = 0;
	pthread_t t;
	void *ret;

	assert_int_equal(pthread_create(&t, NULL, echo, f), 0);
	while (!atomic_load(&f->epoch->head->loop[0].sleeping)) /* it sleeps at least once */
		sched_yield();
	while (o.next < STRESS) {
		for (uint32_t k = 0; k < sent % 60 + 1 && sent < STRESS; k++) {
			d.question = sent;
			if (dp_rings_push(f->r, 0, &d))
				break;
			sent++;
		}
		dp_rings_flush(f->r);
		dp_rings_poll(f->r, 100, in_order, &o);
		if (sent - o.next > 200 || sent == STRESS)
			sched_yield();
		assert_int_equal(f->epoch->broken, 0);
	}
	pthread_join(t, &ret);
	assert_ptr_equal(ret, f);
	assert_true(counter(f, CNT_handoff_doorbell) >= 1);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_push_full), T(test_tail_that_cannot_be),
		T(test_doorbell_only_when_sleeping), T(test_doorbell_pipe_full),
		T(test_worker_sleep), T(test_verdict_slots), T(test_partial_verdict),
		T(test_poll_bound_and_turns), T(test_garbage_records), T(test_framing_lost),
		T(test_head_that_cannot_be), T(test_release), T(test_pick), T(test_epochs),
		T(test_stress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
