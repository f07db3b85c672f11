/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Sessions of control: what an idle one holds, when work comes and goes, and that nothing of it is
 * left behind. Rings, callouts and messages are the test's own.
 */

#include "control/test_session.h"

static void connect_via(uint8_t via, uint8_t last)
{
	struct handoff_desc d = {.kind = DESC_CONNECT, .generation = 1, .question = 1};

	d.connect.peer[15] = last;
	d.connect.via = via;
	session_desc(&t.l, &d);
}

/* A private peer is refused, but one that may name another client has to be heard first; the client
 * that it names is not. */
static void test_private(void **state)
{
	struct ip_net net = {.addr.a[15] = 7};
	struct config_trust trust = {.net = &net, .n_nets = 1, .xclient = true};

	(void)state;
	up();
	t.private_peer = true;
	connect_via(VIA_NONE, 7);
	assert_int_equal(t.code, 421);
	t.config.trust = &trust;
	t.config.n_trusts = 1;
	connect_via(VIA_NONE, 7);
	assert_int_equal(t.code, 220);
	connect_via(VIA_NONE, 8);
	assert_int_equal(t.code, 421);
	connect_via(VIA_XCLIENT, 9);
	assert_int_equal(t.code, 421);
	connect_via(VIA_PROXY, 7);
	assert_int_equal(t.code, 421);
	t.private_peer = false;
	connect_via(VIA_XCLIENT, 9);
	assert_int_equal(t.code, 220);
	session_end_all(&t.l);
}

static void test_idle(void **state)
{
	static const uint32_t slot[] = {0, 1, SESSION_PAGE - 1, SESSION_PAGE, 100000,
					SESSION_SLOTS_MAX - 1};
	uint32_t worker = 0, at = 0;
	size_t n = 0;

	(void)state;
	up();
	for (size_t w = 0; w < 3; w += 2)
		for (size_t i = 0; i < 6; i++)
			send_desc(DESC_CONNECT, (uint16_t)w, slot[i], 1);
	assert_int_equal(t.replies, 12);
	assert_int_equal(t.l.n_sessions, 12);
	send_desc(DESC_CONNECT, 0, SESSION_SLOTS_MAX, 1);
	assert_int_equal(t.l.counters[CTL_desc_invalid], 1);
	for (const struct session *s; (s = session_next(&t.l, &worker, &at)); n++, at++) {
		assert_int_equal(s->worker, n < 6 ? 0 : 2);
		assert_int_equal(s->slot, slot[n % 6]);
		assert_null(s->work);
	}
	assert_int_equal(n, 12);
	/* A page goes with its last session. */
	send_desc(DESC_SESSION_END, 0, 0, 1);
	send_desc(DESC_SESSION_END, 0, 1, 1);
	assert_non_null(t.l.workers[0].page[0]);
	send_desc(DESC_SESSION_END, 0, SESSION_PAGE - 1, 1);
	assert_null(t.l.workers[0].page[0]);
	send_desc(DESC_SESSION_END, 0, 1, 1);
	assert_int_equal(t.l.counters[CTL_desc_stale], 1);
	assert_int_equal(t.l.n_sessions, 9);
	session_end_all(&t.l);
	assert_int_equal(t.l.n_sessions, 0);
	assert_null(first());
}

static void test_work(void **state)
{
	(void)state;
	up();
	send_desc(DESC_CONNECT, 0, 7, 1);
	send_desc(DESC_RCPT, 0, 7, 2);
	assert_non_null(first()->work);
	verified(550);
	assert_int_equal(t.code, 550);
	assert_null(first()->work);
	assert_int_equal(t.active.refs, 1);
	send_desc(DESC_RCPT, 0, 7, 3);
	verified(250);
	assert_int_equal(t.active.refs, 2);
	send_desc(DESC_TXN_END, 0, 7, 3);
	assert_null(first()->work);
	assert_int_equal(t.active.refs, 1);
	t.no_callout = true;
	send_desc(DESC_RCPT, 0, 7, 4);
	assert_int_equal(t.code, 451);
	assert_null(first()->work);
	t.no_callout = false;
	/* A message, its reply, its acknowledgement. */
	send_desc(DESC_RCPT, 0, 7, 5);
	verified(250);
	send_desc(DESC_SUBMIT, 0, 7, 6);
	assert_int_equal(t.active.refs, 1);
	message_answered();
	assert_non_null(first()->work);
	send_desc(DESC_REPLY_ACKED, 0, 7, 5); /* not that one */
	assert_non_null(first()->work);
	send_desc(DESC_REPLY_ACKED, 0, 7, 6);
	assert_null(first()->work);
	send_desc(DESC_SUBMIT, 0, 7, 8);
	message_answered();
	send_desc(DESC_REPLY_LOST, 0, 7, 8);
	assert_int_equal(t.lost, 1);
	assert_null(first()->work);
	/* Given up at the deadline while the verdict was on its way: the session goes on, the reply is lost. */
	send_desc(DESC_SUBMIT, 0, 7, 9);
	message_answered();
	send_desc(DESC_CANCEL, 0, 7, 10); /* not that one */
	assert_non_null(first()->work);
	send_desc(DESC_CANCEL, 0, 7, 9);
	assert_int_equal(t.lost, 2);
	assert_null(first()->work);
	send_desc(DESC_SESSION_END, 0, 7, 8);
	assert_null(first());
	assert_string_equal(t.watched, "oggggc"); /* it came, asked about recipients, and went */
	send_desc(DESC_CONNECT, 0, 8, 1);
	session_end_all(&t.l);
	assert_string_equal(t.watched, "oggggco1");
	assert_int_equal(t.active.refs, 1);
}

/* What is under way when the session or the dataplane goes. */
static void test_gone(void **state)
{
	(void)state;
	up();
	send_desc(DESC_RCPT, 0, 7, 2); /* of a session of the control before us */
	send_desc(DESC_SESSION_END, 0, 7, 2);
	assert_int_equal(t.cancelled, 1);
	assert_int_equal(t.active.refs, 1);
	send_desc(DESC_SUBMIT, 0, 7, 3);
	send_desc(DESC_CANCEL, 0, 7, 3);
	assert_true(t.message.cancelled);
	send_desc(DESC_RCPT, 0, 9, 1);
	for (uint32_t i = 100; i < 2000; i++)
		send_desc(DESC_CONNECT, 0, i, 1);
	session_end_all(&t.l);
	assert_int_equal(t.gone, 1);
	assert_int_equal(t.cancelled, 2);
	assert_int_equal(t.active.refs, 1);
	assert_int_equal(t.l.n_sessions, 0);
	assert_true(TAILQ_EMPTY(&t.l.works));
}

/* ---- sources ----------------------------------------------------------------------------------- */

static void limits_up(void)
{
	up();
	t.l.sources = sources_new();
	assert_non_null(t.l.sources);
	t.config.sources = (struct admission_rules){
		.limit = {[ADMISSION_FAILURES] = {4, ADMISSION_ENFORCE}, [ADMISSION_UNKNOWN] = {2, ADMISSION_ENFORCE},
			  [ADMISSION_SESSIONS] = {2, ADMISSION_ENFORCE}, [ADMISSION_RATE] = {100, ADMISSION_ENFORCE}},
		.half_life_s = 3600,
	};
}

static void limits_down(void)
{
	session_end_all(&t.l);
	sources_free(t.l.sources);
}

static uint16_t connect_from(uint32_t slot, uint8_t last, uint8_t via)
{
	struct handoff_desc d = {.kind = DESC_CONNECT, .session = slot, .generation = 1, .question = 1};

	d.connect.peer[10] = d.connect.peer[11] = 0xff;
	d.connect.peer[15] = last;
	d.connect.via = via;
	t.code = 0;
	session_desc(&t.l, &d);
	return t.code;
}

static void end_with(uint32_t slot, uint32_t flags, uint32_t errors, uint32_t messages)
{
	struct handoff_desc d = {.kind = DESC_SESSION_END, .session = slot, .generation = 1};

	d.end.flags = flags;
	d.end.errors = errors;
	d.end.messages = messages;
	session_desc(&t.l, &d);
}

static uint16_t rcpt_refused(uint32_t slot, uint8_t peer, uint16_t code, uint16_t subject)
{
	struct deliver_reply r = {.code = code, .enh_class = (uint8_t)(code / 100), .enh_subject = subject};

	t.rcpt_peer = peer;
	t.code = 0;
	t.n_callouts = 0;
	send_desc(DESC_RCPT, 0, slot, 5);
	if (t.n_callouts)
		verified_with(&t.callout[0], &r);
	return t.code;
}

/* Open now: up with CONNECT, down with the end, by whatever way it comes. */
static void test_source_sessions(void **state)
{
	(void)state;
	limits_up();
	assert_int_equal(connect_from(1, 7, VIA_NONE), 220);
	assert_int_equal(connect_from(2, 7, VIA_NONE), 220);
	assert_int_equal(connect_from(3, 7, VIA_NONE), 421);
	assert_string_equal(t.text, "Too many sessions of #7, try again later (limit sessions)");
	assert_int_equal(t.l.counters[CTL_source_sessions], 1);
	assert_int_equal(connect_from(4, 8, VIA_NONE), 220);
	end_with(3, 0, 0, 0); /* was never counted */
	assert_int_equal(connect_from(3, 7, VIA_NONE), 421);
	end_with(1, 0, 0, 0);
	assert_int_equal(connect_from(5, 7, VIA_NONE), 220);
	/* XCLIENT takes a session from one source to another. */
	assert_int_equal(connect_from(5, 9, VIA_XCLIENT), 220);
	assert_int_equal(connect_from(6, 7, VIA_NONE), 220);
	assert_int_equal(connect_from(7, 7, VIA_NONE), 421);
	/* One of a control before this: known by its RCPT only, and ends without having been counted. */
	assert_int_equal(rcpt_refused(9, 8, 250, 1), 250);
	end_with(9, 0, 0, 0);
	assert_int_equal(connect_from(9, 8, VIA_NONE), 220);
	assert_int_equal(connect_from(10, 8, VIA_NONE), 421);
	/* The dataplane died, and nobody told the end of each. */
	session_end_all(&t.l);
	assert_int_equal(connect_from(1, 7, VIA_NONE), 220);
	assert_int_equal(connect_from(2, 7, VIA_NONE), 220);
	limits_down();
}

static void test_source_rcpt(void **state)
{
	static const char contact[] = "https://postmaster.example.net/";

	(void)state;
	limits_up();
	memcpy(t.config.dataplane.contact, contact, sizeof(contact));
	connect_from(1, 7, VIA_NONE);
	connect_from(2, 8, VIA_NONE);
	/* Not of the recipient: passing, or what the next hop has not got. */
	assert_int_equal(rcpt_refused(1, 7, 451, 4), 451);
	assert_int_equal(rcpt_refused(1, 7, 552, 3), 552);
	assert_int_equal(rcpt_refused(1, 7, 553, 6), 553);
	for (int i = 0; i < 2; i++)
		assert_int_equal(rcpt_refused(1, 7, 550, 1), 550);
	assert_int_equal(rcpt_refused(1, 7, 250, 1), 250);
	assert_int_equal(rcpt_refused(1, 7, 550, 1), 421);
	assert_string_equal(t.text, "Too many unknown recipients from #7, try again later "
				    "(limit unknown-recipients); https://postmaster.example.net/");
	/* From now on without asking anybody. */
	assert_int_equal(rcpt_refused(1, 7, 250, 1), 421);
	end_with(1, 0, 0, 0);
	assert_int_equal(connect_from(1, 7, VIA_NONE), 421);
	assert_int_equal(t.l.counters[CTL_source_unknown], 3);
	assert_int_equal(rcpt_refused(2, 8, 250, 1), 250);
	/* A reload keeps the table; here it lifts the limit to observing. */
	t.config.sources.limit[ADMISSION_UNKNOWN].mode = ADMISSION_OBSERVE;
	end_with(1, 0, 0, 0);
	assert_int_equal(connect_from(1, 7, VIA_NONE), 220);
	assert_int_equal(rcpt_refused(1, 7, 550, 1), 550);
	assert_int_equal(t.l.counters[CTL_source_unknown_observed], 2);
	assert_int_equal(t.l.counters[CTL_source_unknown], 3);
	limits_down();
}

static void test_source_end(void **state)
{
	/* Is one failure each; with a limit of 4 the fifth is one too many. */
	static const struct { uint32_t flags, errors, messages; bool counts; } ends[] = {
		{END_F_EARLY_TALKER, 0, 0, true},
		{END_F_FOREIGN, 0, 0, true},
		{END_F_ERRORS, 1, 0, true},
		{0, LIMIT_SOURCE_ERRORS, 0, true},
		{END_F_TIMEOUT, 0, 0, true},
		{END_F_SLOW, 0, 1, true},
		{END_F_TLS_FAILED, 0, 0, true},
		{0, 0, 0, false},
		{0, LIMIT_SOURCE_ERRORS - 1, 0, false},
		{END_F_TIMEOUT, 0, 1, false},
		{END_F_PRESSURE | END_F_TIMEOUT | END_F_SLOW, 0, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		limits_up();
		for (int k = 0; k < 5; k++) {
			assert_int_equal(connect_from(1, 7, VIA_NONE), 220);
			end_with(1, ends[i].flags, ends[i].errors, ends[i].messages);
		}
		assert_int_equal(connect_from(1, 7, VIA_NONE), ends[i].counts ? 421 : 220);
		limits_down();
	}
}

static void outcome(uint8_t peer, uint8_t via, enum trace_outcome o, const char *stage)
{
	struct ctl_submission sub = {.envelope.via = via};
	struct message m = {.loop = &t.l, .sub = &sub, .judge = (struct judge *)&t};
	struct deliver_result res = {0};

	sub.envelope.peer.a[10] = sub.envelope.peer.a[11] = 0xff;
	sub.envelope.peer.a[15] = peer;
	snprintf(res.stage, sizeof(res.stage), "%s", stage ? stage : "");
	sources_message(&t.l, &m, o, stage ? &res : NULL);
}

static void test_source_messages(void **state)
{
	struct ip_addr own = {{[10] = 0xff, 0xff, [15] = 66}};
	struct ip_range range = {own, own};
	struct origin_relay relay = {.range = &range, .n_ranges = 1};

	(void)state;
	limits_up();
	t.config.relays.relay = &relay;
	t.config.relays.n = 1;
	for (int i = 0; i < 5; i++)
		outcome(7, VIA_NONE, TRACE_REJECTED, NULL);
	assert_int_equal(connect_from(1, 7, VIA_NONE), 421);
	assert_int_equal(t.l.counters[CTL_source_failures], 1);
	for (int i = 0; i < 3; i++)
		outcome(8, VIA_NONE, TRACE_REJECTED, "rcpt");
	assert_int_equal(connect_from(1, 8, VIA_NONE), 421);
	assert_int_equal(t.l.counters[CTL_source_unknown], 1);
	for (int i = 0; i < 50; i++)
		outcome(9, VIA_NONE, TRACE_DEFERRED, "dot");
	assert_int_equal(connect_from(1, 9, VIA_NONE), 220);
	assert_false(t.good);
	/* Good standing: any number of sessions. */
	for (int i = 0; i < LIMIT_SOURCE_GOOD; i++)
		outcome(10, VIA_NONE, TRACE_DELIVERED, "dot");
	for (uint32_t i = 0; i < 40; i++)
		assert_int_equal(connect_from(100 + i, 10, VIA_NONE), 220);
	assert_true(t.good);
	/* Behind a relay it is the origin's, if that is known, and never the relay's own. */
	t.judged.origin.ip = (struct ip_addr){{[10] = 0xff, 0xff, [15] = 11}};
	t.judged.origin.status = ORIGIN_UNRESOLVED;
	for (int i = 0; i < 5; i++)
		outcome(66, VIA_NONE, TRACE_REJECTED, NULL);
	assert_int_equal(connect_from(1, 11, VIA_NONE), 220);
	t.judged.origin.status = ORIGIN_VIA;
	for (int i = 0; i < 5; i++)
		outcome(66, VIA_NONE, TRACE_REJECTED, NULL);
	assert_int_equal(connect_from(1, 11, VIA_NONE), 421);
	for (uint32_t i = 200; i < 240; i++)
		assert_int_equal(connect_from(i, 66, VIA_NONE), 220);
	limits_down();
}

/* The TCP peer that names clients is not one; the client that it names is. Lists by address. */
static void test_source_exempt(void **state)
{
	struct ip_net net = {.addr.a = {[10] = 0xff, 0xff, [15] = 66}, .prefix = 128};
	struct ip_net allow = {.addr.a = {[10] = 0xff, 0xff, [15] = 67}, .prefix = 128};
	struct ip_net deny = {.addr.a = {[10] = 0xff, 0xff}, .prefix = 122};
	struct config_trust trust = {.net = &net, .n_nets = 1, .proxy = true};

	(void)state;
	limits_up();
	t.config.trust = &trust;
	t.config.n_trusts = 1;
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(connect_from(i, 66, VIA_NONE), 220);
	for (int i = 0; i < 9; i++)
		assert_int_equal(rcpt_refused(1, 66, 550, 1), 550);
	end_with(1, END_F_FOREIGN, 400, 0);
	/* Named through it, the same address is a client like others. */
	for (uint32_t i = 20; i < 25; i++)
		assert_int_equal(connect_from(i, 66, VIA_PROXY), i < 22 ? 220 : 421);
	assert_int_equal(connect_from(30, 7, VIA_PROXY), 220);
	t.config.policy.allow = (struct admission_nets){&allow, 1};
	for (uint32_t i = 40; i < 45; i++)
		assert_int_equal(connect_from(i, 67, VIA_NONE), 220);
	for (int i = 0; i < 9; i++)
		assert_int_equal(rcpt_refused(40, 67, 550, 1), 550);
	t.config.policy.deny = (struct admission_nets){&deny, 1};
	assert_int_equal(connect_from(50, 7, VIA_NONE), 554);
	assert_string_equal(t.text, "Your address is refused by policy (policy.deny)");
	assert_int_equal(connect_from(51, 7, VIA_PROXY), 554);
	assert_int_equal(connect_from(52, 64, VIA_NONE), 220);
	assert_int_equal(t.l.counters[CTL_source_denied], 2);
	limits_down();
}

/* What was only watched is nobody's session. */
static void test_observed(void **state)
{
	struct handoff_desc d = {.kind = DESC_SUBMIT, .flags = DESC_F_OBSERVED, .session = 7,
				 .generation = 1};
	size_t n = t.l.n_sessions;

	(void)state;
	session_desc(&t.l, &d);
	assert_int_equal(t.observed.session, 7);
	assert_int_equal(t.l.n_sessions, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_private),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_work),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_source_sessions),
		cmocka_unit_test(test_source_rcpt),
		cmocka_unit_test(test_observed),
		cmocka_unit_test(test_source_end),
		cmocka_unit_test(test_source_messages),
		cmocka_unit_test(test_source_exempt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
