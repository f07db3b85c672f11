/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What a tap saw, on its way to control: records, and who gets none. Memory: test_tap_room.c. */

#include "dataplane/test_tap_session.h"

static void message(void **state)
{
	const struct handoff_record *r;
	const uint8_t *slice = dp_arena_slice(t.arena, 0);
	struct dp_arena_info info;

	(void)state;
	open_flow(25);
	begin();
	client(STR("Subject: x\r\n\r\n..dot\r\n"));
	t.now_us = 6000000;
	client(STR(".\r\n"));
	/* A later EHLO is not this message's; its reply has not come. */
	assert_int_equal(t.n_descs, 0);
	server("250 2.0.0 \x1b queued\r\n");
	r = last();
	assert_int_equal(r->flags & (RECORD_F_OBSERVED | RECORD_F_NO_MAIL | RECORD_F_ONE_WAY),
			 RECORD_F_OBSERVED);
	assert_int_equal(r->observed, OBSERVED_MESSAGE);
	assert_int_equal(r->observed_whole, OBSERVED_WHOLE);
	assert_int_equal(r->size, 20);
	assert_int_equal(r->header_size, 14);
	assert_int_equal(r->n_chunks, 1);
	dp_arena_info(t.arena, &info);
	assert_memory_equal(slice + (size_t)info.n_records * HANDOFF_RECORD +
				    (size_t)r->chunk[0] * HANDOFF_CHUNK,
			    "Subject: x\r\n\r\n.dot\r\n", 20);
	assert_int_equal(r->listener, HANDOFF_LISTENER_TAP);
	assert_int_equal(r->peer[15], 10);
	assert_int_equal(r->local[15], 25);
	assert_int_equal(r->peer_port, 4000);
	assert_int_equal(r->proto, PROTO_ESMTP);
	assert_int_equal(r->body, BODY_8BITMIME);
	assert_int_equal(r->scan_generation, 7);
	assert_true(r->connected_ns == 1700000004000000000u &&
		    r->data_done_ns == 1700000006000000000u);
	assert_int_equal(r->n_rcpts, 1); /* the refused one is not told */
	assert_int_equal(r->rcpt[0].accepted, 1);
	text_is(r, r->rcpt[0].addr, "b@example.com");
	text_is(r, r->mail_from, "a@example.org");
	text_is(r, r->helo, "a.example.org");
	text_is(r, r->observed_reply, "250 2.0.0 ? queued");
	assert_int_equal(t.counters[CNT_tap_submitted], 1);
}

static void incomplete(void **state)
{
	const struct handoff_record *r;

	(void)state;
	open_flow(2525);
	begin();
	client(STR("Subject: x\r\n\r\nhalf"));
	tap_session_app.gap(t.flow, TAP_CLIENT, 1000, TAP_CAUSE_never_seen);
	client(STR("rest\r\n.\r\n"));
	server("250 ok\r\n");
	r = last();
	assert_int_equal(r->observed_whole, OBSERVED_GAP);
	assert_int_equal(r->observed_gap, 1000);
	assert_int_equal(r->listener, HANDOFF_LISTENER_INLINE | 4);
}

/* exceptions: gap = bypass. The message is told as it was, and nothing that follows is. */
static void left_behind_a_gap(void **state)
{
	const struct handoff_record *r;

	(void)state;
	t.generation->config.exception[PORT_MODE_TAP][CAUSE_GAP] = ACT_BYPASS;
	open_flow(25);
	begin();
	client(STR("Subject: x\r\n\r\nhalf"));
	tap_session_app.gap(t.flow, TAP_CLIENT, 1000, TAP_CAUSE_never_seen);
	client(STR("rest\r\n.\r\n"));
	server("250 ok\r\n");
	assert_int_equal(t.n_descs, 0);
	assert_int_equal(t.counters[CNT_tap_bypassed], 1);
	begin();
	client(STR("another\r\n.\r\n"));
	server("250 ok\r\n");
	tap_session_app.closed(t.flow);
	t.flow = NULL;
	r = last();
	assert_int_equal(r->observed_whole, OBSERVED_GAP);
	assert_int_equal(r->observed_reply.len, 0);
	assert_int_equal(t.counters[CNT_tap_bypassed], 1);
}

/* midstream: of a tap port and of a cable, each by its own word. */
static void by_its_port(void **state)
{
	(void)state;
	for (unsigned int word = 0; word < 4; word++) {
		tap_sessions_midstream(t.all, word & 1, word & 2);
		for (unsigned int cable = 0; cable < 2; cable++) {
			struct tap_flow_info info = {.tuple = {.remote_port = 4000, .local_port = cable ? 2525 : 25},
						     .midstream = true};
			void *flow = tap_session_app.open(t.all, &info);

			assert_int_equal(flow != NULL, (word >> cable) & 1);
			if (flow)
				tap_session_app.closed(flow);
		}
	}
}

/* Gone to TLS while nobody is there to be told. */
static void encrypted_untold(void **state)
{
	(void)state;
	open_flow(25);
	t.w.up = false;
	client(STR("STARTTLS\r\n"));
	server("220 go\r\n");
	assert_int_equal(t.n_descs, 0);
	assert_int_equal(t.counters[CNT_tap_encrypted_untold], 1);
	t.w.up = true;
}

/* exceptions: control-down = bypass. */
static void not_followed_without_control(void **state)
{
	const struct tap_flow_info info = {.tuple = {.remote_port = 4000, .local_port = 25}};

	(void)state;
	t.w.up = false;
	t.generation->config.exception[PORT_MODE_TAP][CAUSE_CONTROL_DOWN] = ACT_BYPASS;
	assert_null(tap_session_app.open(t.all, &info));
	assert_int_equal(t.counters[CNT_tap_bypassed], 1);
	t.w.up = true;
	open_flow(25);
	assert_int_equal(t.counters[CNT_tap_bypassed], 1);
}

/* The ring is full: counted, and all of it is given back. */
static void ring_full(void **state)
{
	(void)state;
	open_flow(25);
	begin();
	client(STR("x\r\n.\r\n"));
	t.full = true;
	server("250 ok\r\n");
	assert_int_equal(t.n_descs, 0);
	assert_int_equal(t.counters[CNT_tap_unjudged_ring], 1);
	t.full = false;
	begin();
	client(STR("y\r\n.\r\n"));
	server("250 ok\r\n");
	assert_int_equal(last()->size, 3);
}

static void control_down(void **state)
{
	const struct handoff_record *r;

	(void)state;
	open_flow(25);
	/* at the end */
	begin();
	client(STR("x\r\n.\r\n"));
	t.w.up = false;
	server("250 ok\r\n");
	assert_int_equal(t.counters[CNT_tap_unjudged_control], 1);
	/* in between */
	begin();
	client(STR("x\r\n.\r\n"));
	server("250 ok\r\n");
	assert_int_equal(t.counters[CNT_tap_unjudged_control], 2);
	assert_int_equal(t.n_descs, 0);
	/* at its begin only: its envelope may be told */
	begin();
	t.w.up = true;
	client(STR("x\r\n.\r\n"));
	server("250 ok\r\n");
	assert_int_equal(t.counters[CNT_tap_unjudged_control], 3);
	r = last();
	assert_int_equal(r->observed, OBSERVED_UNJUDGED);
	assert_int_equal(r->observed_unjudged, UNJUDGED_CONTROL);
	assert_int_equal(r->size, 0);
	assert_int_equal(r->n_chunks, 0);
	text_is(r, r->mail_from, "a@example.org");
}

static void encrypted(void **state)
{
	const struct handoff_record *r;

	(void)state;
	open_flow(25);
	client(STR("STARTTLS\r\n"));
	server("220 go\r\n");
	r = last();
	assert_int_equal(r->observed, OBSERVED_ENCRYPTED);
	assert_int_equal(r->n_rcpts, 0);
	text_is(r, r->helo, "a.example.org");
	assert_int_equal(r->scan_generation, 7);
}

/* What control would not take as a text is left out, and said to be. */
static void odd_texts(void **state)
{
	const struct handoff_record *r;

	(void)state;
	open_flow(25);
	client(STR("MAIL FROM:<a\0b@example.org>\r\n"));
	server("250 ok\r\n");
	client(STR("RCPT TO:<\0@example.com>\r\n"));
	server("250 ok\r\n");
	client(STR("DATA\r\n"));
	server("354 go\r\n");
	client(STR("x\r\n.\r\n"));
	server("250 ok\r\n");
	r = last();
	assert_int_equal(r->n_rcpts, 0);
	assert_int_equal(r->mail_from.len, 0);
	assert_int_equal(r->flags & (RECORD_F_NO_MAIL | RECORD_F_ENVELOPE_CUT),
			 RECORD_F_NO_MAIL | RECORD_F_ENVELOPE_CUT);
}

/* Flows beyond those that there is memory for. */
static void sessions_full(void **state)
{
	struct tap_flow_info info = {.tuple = {.local_port = 25}};
	void *flow[4];

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		flow[i] = tap_session_app.open(t.all, &info);
		assert_non_null(flow[i]);
	}
	assert_null(tap_session_app.open(t.all, &info));
	assert_int_equal(t.counters[CNT_tap_no_session], 1);
	for (unsigned int i = 0; i < 4; i++)
		tap_session_app.closed(flow[i]);
	open_flow(25);
}

static void verdicts(void **state)
{
	struct dp_verdict v = {.head = {.kind = VERDICT_RELEASE}};

	(void)state;
	assert_true(tap_session_verdict(&v));
	v.head.kind = VERDICT_MESSAGE;
	assert_false(tap_session_verdict(&v));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(message), T(incomplete), T(ring_full), T(control_down), T(encrypted), T(odd_texts), T(verdicts), T(sessions_full),
		T(left_behind_a_gap), T(not_followed_without_control), T(encrypted_untold), T(by_its_port),
	};

	return cmocka_run_group_tests_name("tap_session", tests, NULL, NULL);
}
