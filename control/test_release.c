/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Release of what is held: by one request at a time, and what is said of a message that is not there or
 * whose file is not. Quarantine, delivery and the operator's socket are the test's own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

#include "control/loop.h"

#define ID "00000000000000A1"
#define OTHER "00000000000000B2"

struct api_request {
	char code[32];               /* of the error; "ok": answered well; "": not answered */
	char text[200];
};

static struct {
	struct loop l;
	struct config config;
	struct config_route route;
	struct snapshot active;
	/* asked of the quarantine; cb NULL: nothing */
	quarantine_callback *got, *struck;
	void *got_arg, *struck_arg;
	char asked[20];
	/* under way at the next hop */
	deliver_callback *delivered;
	void *deliver_arg;
	struct deliver_client client;
	struct quarantine_dialled dialled;
	unsigned int deliveries, struck_off;
	size_t n_rcpts;
	uint8_t held[2];
} t;

/* ---- the neighbours --------------------------------------------------------------------------- */

struct snapshot *snapshot_ref(struct snapshot *s)
{
	s->refs++;
	return s;
}

void snapshot_unref(struct snapshot *s)
{
	s->refs--;
}

void api_reply(struct api_request *req, json_t *answer)
{
	assert_string_equal(req->code, "");
	strcpy(req->code, "ok");
	json_decref(answer);
}

void api_error(struct api_request *req, const char *code, const char *fmt, ...)
{
	va_list ap;

	assert_string_equal(req->code, "");
	snprintf(req->code, sizeof(req->code), "%s", code);
	va_start(ap, fmt);
	vsnprintf(req->text, sizeof(req->text), fmt, ap);
	va_end(ap);
}

int quarantine_get(struct quarantine *q, const char *id, quarantine_callback *cb, void *arg)
{
	(void)q;
	snprintf(t.asked, sizeof(t.asked), "%s", id);
	t.got = cb;
	t.got_arg = arg;
	return 0;
}

int quarantine_release(struct quarantine *q, const char *id, const uint8_t *rcpts, size_t n,
		       quarantine_callback *cb, void *arg)
{
	(void)q;
	(void)id;
	t.struck_off++;
	for (size_t i = 0; i < n && i < sizeof(t.held); i++)
		t.held[i] = t.held[i] && !rcpts[i];
	t.struck = cb;
	t.struck_arg = arg;
	return 0;
}

int quarantine_delete(struct quarantine *q, const char *id, quarantine_callback *cb, void *arg)
{
	return quarantine_get(q, id, cb, arg);
}

int quarantine_list(struct quarantine *q, const struct quarantine_filter *f, quarantine_callback *cb,
		    void *arg)
{
	(void)f;
	return quarantine_get(q, "", cb, arg);
}

struct quarantine_message *quarantine_keep(const struct quarantine_answer *a)
{
	return a->message;
}

void quarantine_message_free(struct quarantine_message *m)
{
	(void)m;
}

struct deliver_job *deliver_start(struct deliver *d, const struct deliver_request *req,
				  deliver_callback *cb, void *arg)
{
	(void)d;
	t.deliveries++;
	t.n_rcpts = req->n_rcpts;
	t.client = req->client ? *req->client : (struct deliver_client){0};
	t.delivered = cb;
	t.deliver_arg = arg;
	return (struct deliver_job *)&t;
}

/* A server on port 26 is listed no more. */
const struct config_route *loop_route_at(const struct config *c, uint16_t listener,
					 const struct ip_addr *local, uint16_t port, struct str mailbox)
{
	(void)local;
	(void)mailbox;
	assert_int_equal(config_is_inline(listener), port != 0);
	return port == 26 ? NULL : &c->route[0];
}

void loop_way(const struct config_route *route, struct str mailbox, char out[MAIL_ALABEL])
{
	(void)route;
	(void)mailbox;
	out[0] = '\0';
}

void trace_write(struct trace *trace, json_t *record)
{
	(void)trace;
	json_decref(record);
}

const char *trace_outcome_name(enum trace_outcome o)
{
	(void)o;
	return "delivered";
}

/* ---- */

static int setup(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	t.config.route = &t.route;
	t.config.n_routes = 1;
	t.route.name = (char *)(uintptr_t)"office";
	t.active = (struct snapshot){.refs = 1, .config = &t.config};
	t.l.active = &t.active;
	t.l.quarantine = (struct quarantine *)&t;
	t.held[0] = t.held[1] = 1;
	TAILQ_INIT(&t.l.releases);
	return 0;
}

static void release(struct api_request *req, const char *id)
{
	json_t *body = json_pack("{s:s}", "id", id);

	*req = (struct api_request){0};
	commands_quarantine_release(&t.l, req, body);
	json_decref(body);
}

static void release_to(struct api_request *req, json_t *rcpts)
{
	json_t *body = json_pack("{s:s, s:o}", "id", ID, "rcpts", rcpts);

	*req = (struct api_request){0};
	commands_quarantine_release(&t.l, req, body);
	json_decref(body);
}

/* The thread has read it, as it is held now; error: instead. */
static void answer(int error, const char *why)
{
	static const struct str rcpt[] = {STR("a@example.com"), STR("b@example.com")};
	static struct iovec iov = {(void *)(uintptr_t)"Subject: x\r\n\r\nbody\r\n", 20};
	static uint8_t held[2];
	struct quarantine_message m = {
		.id = ID, .route = "office", .mail_from = STR("s@example.org"), .rcpt = rcpt, .n_rcpts = 2,
		.held = held, .reason = "rule", .block = STR("X-Postern-Score: 1.00\r\n"),
		.content = {&iov, 1, 20},
	};
	static struct quarantine_message kept;
	const struct quarantine_answer a = {.error = error, .why = why, .message = error ? NULL : &kept};
	quarantine_callback *cb = t.got;

	kept = m;
	kept.dialled = t.dialled;
	memcpy(held, t.held, sizeof(held));
	assert_non_null(cb);
	t.got = NULL;
	cb(t.got_arg, &a);
}

static void next_hop_takes_it(void)
{
	struct deliver_rcpt_result rcpt[2] = {{.outcome = DELIVER_DELIVERED, .next_hop = {.code = 250}},
					      {.outcome = DELIVER_DELIVERED, .next_hop = {.code = 250}}};
	const struct deliver_result r = {.rcpt = rcpt, .outcome = DELIVER_DELIVERED,
					 .reply = {.code = 250}};
	const struct quarantine_answer done = {.why = ""};

	t.delivered(t.deliver_arg, &r);
	t.struck(t.struck_arg, &done);
}

/* Both would find the recipients held: whenever the second comes, it does not deliver. */
static void two_at_once(void **state)
{
	struct api_request first, second, other, third;

	(void)state;
	release(&first, ID);
	release(&second, ID); /* before the first has read it */
	assert_string_equal(second.code, "busy");
	answer(0, "");
	assert_int_equal(t.deliveries, 1);
	release(&second, ID); /* while the next hop has it */
	assert_string_equal(second.code, "busy");
	assert_int_equal(t.l.counters[CTL_quarantine_release_busy], 2);
	/* Another message is not held up. */
	release(&other, OTHER);
	assert_string_equal(t.asked, OTHER);
	answer(-ENOENT, "index: no");
	assert_string_equal(other.code, "not-found");
	assert_string_equal(first.code, "");
	next_hop_takes_it();
	assert_string_equal(first.code, "ok");
	/* When it is over the third finds nobody to deliver to. */
	release(&third, ID);
	answer(0, "");
	assert_string_equal(third.code, "failed");
	assert_string_equal(third.text, "it is not held for such a recipient");
	assert_int_equal(t.deliveries, 1);
	assert_int_equal(t.struck_off, 1);
	assert_int_equal(t.active.refs, 1);
	assert_true(TAILQ_EMPTY(&t.l.releases));
}

/* Without a list to all that are held, with one to those in it; one that lost its addresses on the way
 * is not taken for none. */
static void to_some(void **state)
{
	struct api_request r;

	(void)state;
	for (int i = 0; i < 3; i++) {
		release_to(&r, i == 0 ? json_array() : i == 1 ? json_null() : json_string("a@example.com"));
		assert_string_equal(r.code, "bad-request");
		assert_null(t.got);
		assert_true(TAILQ_EMPTY(&t.l.releases));
	}
	release_to(&r, json_pack("[s]", "x@example.com"));
	answer(0, "");
	assert_string_equal(r.text, "it is not held for such a recipient");
	release_to(&r, json_pack("[s]", "B@example.com"));
	answer(0, "");
	assert_int_equal(t.n_rcpts, 1);
	next_hop_takes_it();
	assert_string_equal(r.code, "ok");
	assert_int_equal(t.held[0], 1);
	assert_int_equal(t.held[1], 0);
	t.held[1] = 1;
	release(&r, ID);
	answer(0, "");
	assert_int_equal(t.n_rcpts, 2);
	next_hop_takes_it();
	assert_string_equal(r.code, "ok");
	assert_int_equal(t.held[0] + t.held[1], 0);
}

static void errors_by_number(void **state)
{
	static const struct {
		int error;
		const char *why, *code, *text;
	} e[] = {
		{-ENOENT, "a text that says file", "not-found", "there is no such message in quarantine"},
		{-ESTALE, "message file: held/x.eml is gone", "failed", "message file: held/x.eml is gone"},
		{-EBADMSG, "index: damaged", "failed", "index: damaged"},
	};
	struct api_request r;
	json_t *body = json_pack("{s:s}", "id", ID);

	(void)state;
	for (size_t i = 0; i < sizeof(e) / sizeof(e[0]); i++) {
		release(&r, ID);
		answer(e[i].error, e[i].why);
		assert_string_equal(r.code, e[i].code);
		assert_string_equal(r.text, e[i].text);
		r = (struct api_request){0};
		commands_quarantine_show(&t.l, &r, body);
		answer(e[i].error, e[i].why);
		assert_string_equal(r.code, e[i].code);
		assert_string_equal(r.text, e[i].text);
	}
	json_decref(body);
	assert_true(TAILQ_EMPTY(&t.l.releases));
}

/* What a server in a cable is to get it gets in the name of whom it would have seen. */
static void to_a_cable(void **state)
{
	struct api_request r;

	(void)state;
	t.dialled = (struct quarantine_dialled){.server.a[15] = 25, .client.a[15] = 7, .connected.a[15] = 8,
						.port = 25};
	release(&r, ID);
	answer(0, "");
	assert_int_equal(t.deliveries, 1);
	assert_int_equal(t.client.local.a[15], 25);
	assert_int_equal(t.client.local_port, 25);
	assert_int_equal(t.client.ip.a[15], 7);
	assert_int_equal(t.client.connected.a[15], 8);
	next_hop_takes_it();
	assert_string_equal(r.code, "ok");
}

static void to_a_cable_of_old(void **state)
{
	struct api_request r;

	(void)state;
	t.dialled.port = 26;
	release(&r, ID);
	answer(0, "");
	assert_int_equal(t.deliveries, 0);
	assert_string_equal(r.code, "ok"); /* it says of each that there is no route */
}

/* At the end of the process, nobody calls back any more. */
static void given_up(void **state)
{
	struct api_request a, b;

	(void)state;
	release(&a, ID);
	release(&b, OTHER);
	answer(0, "");
	release_free_all(&t.l);
	assert_true(TAILQ_EMPTY(&t.l.releases));
	assert_int_equal(t.active.refs, 1);
	assert_string_equal(a.code, "");
	assert_string_equal(b.code, "");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {T(two_at_once), T(to_some), T(errors_by_number), T(to_a_cable),
					   T(to_a_cable_of_old), T(given_up)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
