/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What is sent to mislead who watches: each gives its anomaly, and the message is what the server
 * got. */

#include "dataplane/tap/test_tap_session.h"

static void test_rst(void **state)
{
	unsigned int at = find(&base, TAP_CLIENT, "Subject");
	struct seg s = base.seg[at];

	(void)state;
	s.n = 0;
	s.flags = RST;
	s.ack = 0;
	/* In the window, not exact. */
	s.seq += 100;
	insert(&c, at, &s);
	expect_odd("rst_in_window");
	/* Outside. */
	c = base;
	s.seq = base.seg[at].seq + 200000;
	insert(&c, at, &s);
	expect_odd("rst_out_of_window");
	c = base;
	s.seq = base.seg[at].seq - 5000;
	insert(&c, at, &s);
	expect_odd("rst_out_of_window");
	/* Exact, but it never reached the server: the flow went on. */
	c = base;
	s.seq = base.seg[at].seq;
	insert(&c, at, &s);
	expect_odd("data_after_rst");
	/* The same with a SYN behind it that did not reach the server either. */
	c = base;
	insert(&c, at, &s);
	s.flags = SYN;
	s.seq = base.seg[at].seq + 1000000;
	insert(&c, at + 1, &s);
	assert_int_equal(lines_with(play(&c), SHA "\",\"complete\":true"), 1);
	assert_int_equal(lines_with(play(&c), "\"anomalies\":[\"data_after_rst\",\"syn_in_flow\"]"),
			 1);
	/* A true one: nothing odd; what was under way is told as it is. */
	c = base;
	c.n = find(&base, TAP_CLIENT, "text");
	s = c.seg[c.n - 1];
	s.side = TAP_SERVER;
	s.seq = base.seg[at].ack;
	s.ack = c.seg[c.n - 1].seq + c.seg[c.n - 1].n;
	s.flags = ACK;
	s.n = 0;
	insert(&c, c.n, &s);
	s.flags = RST;
	insert(&c, c.n, &s);
	assert_string_equal(
		play(&c),
		HEAD "\"mail_from\":\"a@example.org\",\"rcpt_to\":[\"b@example.net\"],"
		     "\"rcpt_refused\":[\"c@example.net\"],\"size\":22,\"sha256\":"
		     "\"62f43addf8c0d7ef8c501265f5d5978d7f74016ded385fd10ed558d70e369555\","
		     "\"complete\":false,\"incomplete\":\"aborted\",\"bdat\":false,\"reply\":null,"
		     "\"anomalies\":[]}\n");
}

static void test_fin(void **state)
{
	unsigned int at = find(&base, TAP_CLIENT, "Subject");
	struct seg s = base.seg[at];
	const char *out;

	(void)state;
	/* A FIN that did not reach the server. */
	s.n = 0;
	s.flags = FIN | ACK;
	insert(&c, at, &s);
	out = play(&c);
	assert_int_equal(lines_with(out, SHA "\",\"complete\":true"), 1);
	assert_int_equal(lines_with(out, "\"anomalies\":[\"data_after_fin\",\"fin_false\"]"), 1);
	/* The same without ACKs in the capture. */
	only(TAP_CLIENT);
	out = play(&c);
	assert_int_equal(lines_with(out, SHA "\",\"complete\":true"), 1);
	assert_int_equal(lines_with(out, "\"anomalies\":[\"data_after_fin\"]"), 1);
	/* Beyond the window. */
	c = base;
	s.seq += 100000;
	insert(&c, at, &s);
	expect_odd("out_of_window");
}

static void test_window(void **state)
{
	unsigned int at = find(&base, TAP_CLIENT, "Subject");
	static const uint8_t junk[100] = "x";
	struct seg s = base.seg[at];

	(void)state;
	s.seq += 70000;
	s.p = junk;
	s.n = sizeof(junk);
	insert(&c, at, &s);
	expect_odd("out_of_window");
	/* Keep-alives with and without an octet, and a probe into a closed window. */
	c = base;
	s = base.seg[at];
	s.seq--;
	s.n = 0;
	insert(&c, at, &s);
	s.n = 1;
	s.p = junk;
	insert(&c, at, &s);
	expect_clean("keep-alive", 0, 0);
	assert_int_equal(counters[CNT_tap_keepalive], 2);
}

static void test_probe(void **state)
{
	unsigned int at = find(&base, TAP_CLIENT, "Subject");
	struct seg s;

	(void)state;
	/* The server's window has been no larger than what it has. */
	for (unsigned int i = 0; i < at; i++)
		if (c.seg[i].side == TAP_SERVER)
			c.seg[i].wnd = 0;
	c.seg[1].wnd = (uint16_t)(c.seg[at].seq - c.seg[0].seq - 1);
	s = c.seg[at];
	s.n = 1;
	insert(&c, at, &s);
	insert(&c, at, &s);
	s.side = TAP_SERVER;
	s.seq = c.seg[at].ack;
	s.ack = c.seg[at].seq;
	s.n = 0;
	insert(&c, at + 2, &s);
	expect_clean("probe", 0, 0);
	assert_true(counters[CNT_tap_probe] > 0);
}

/* A segment of which the receiver has room for a part, with other octets behind it. */
static void test_window_edge(void **state)
{
	unsigned int at = find(&base, TAP_CLIENT, "Subject");

	(void)state;
	for (uint32_t room = 1; room < base.seg[at].n; room++) {
		uint8_t half[64];
		struct seg s = base.seg[at];

		c = base;
		for (unsigned int i = 0; i < at; i++)
			if (c.seg[i].side == TAP_SERVER)
				c.seg[i].wnd = (uint16_t)(s.seq + room - c.seg[i].ack);
		memset(half, 'Z', sizeof(half));
		memcpy(half, s.p, room);
		s.p = half;
		insert(&c, at, &s);
		s.side = TAP_SERVER;
		s.n = 0;
		s.seq = base.seg[at].ack;
		s.ack = base.seg[at].seq + room;
		insert(&c, at + 1, &s);
		expect_odd("out_of_window");
	}
}

/* What came with the SYN is not looked at; that the server took it is told. */
static void test_syn_data(void **state)
{
	const char *out;

	(void)state;
	c.seg[0].seq -= 4;
	c.seg[0].p = (const uint8_t *)"abcd";
	c.seg[0].n = 4;
	out = play(&c);
	assert_int_equal(lines_with(out, "\"anomaly\":\"syn_data\""), 1);
	assert_int_equal(lines_with(out, "\"octets\":4,\"cause\":\"never_seen\"}"), 1);
	assert_int_equal(lines_with(out, SHA), 1);
	assert_int_equal(lines_with(out, "\"complete\":true"), 0);
}

/* Octets that die on the way to the server, in the place of those that reach it: two anomalies say
 * that the content is not to be trusted. Behind the true ones they mislead nobody. */
static void test_ttl_decoy(void **state)
{
	unsigned int at = find(&base, TAP_CLIENT, "Subject");
	struct seg s = base.seg[at];
	const char *out;

	(void)state;
	s.ttl = 1;
	s.p = (const uint8_t *)"ZZZZZZZZZZZZZZZZZZZZ";
	insert(&c, at, &s);
	out = play(&c);
	assert_int_equal(lines_with(out, "\"anomalies\":[\"overlap_diff\",\"ttl\"]"), 1);
	c = base;
	insert(&c, at + 1, &s);
	out = play(&c);
	assert_int_equal(lines_with(out, SHA "\",\"complete\":true"), 1);
	/* It is never acknowledged: it was nothing. */
	c = base;
	s.seq += 40000;
	insert(&c, at, &s);
	assert_int_equal(lines_with(play(&c), SHA "\",\"complete\":true"), 1);
	assert_int_equal(lines_with(play(&c), "\"anomalies\":[\"ttl\"]"), 1);
}

/* More than may wait for an ACK. */
static void test_unacked(void **state)
{
	static uint8_t text[1400];

	(void)state;
	memset(text, 'x', sizeof(text));
	track_options.midstream = true; /* so that the window is as wide as windows are */
	track_options.pieces = 4096;
	memset(&c, 0, sizeof(c));
	c.nxt[TAP_CLIENT] = 0xfffff000u;
	script(&c, "S: 220 x\nC: NOOP\nS: 250 x\n"
		   "C: MAIL FROM:<>\nS: 250 x\nC: RCPT TO:<b@example.net>\nS: 250 x\nC: DATA\n"
		   "S: 354 x\n");
	for (unsigned int i = 0; i < LIMIT_TAP_HELD / sizeof(text) + 10; i++)
		talk(&c, TAP_CLIENT, text, sizeof(text));
	script(&c, "C: .\n");
	with_owner = true;
	/* The end of data lacks its CRLF before: all is one line. */
	assert_int_equal(lines_with(play(&c), "\"incomplete\":\"aborted\""), 1);
	assert_true(counters[CNT_tap_unacked] > LIMIT_TAP_HELD);
	c.n--;
	script(&c, "C: x\nC: .\nS: 250 queued\n");
	c.seg[c.n - 3].seq -= 3;
	c.seg[c.n - 2].seq -= 3;
	c.seg[c.n - 1].ack -= 3;
	assert_int_equal(lines_with(play(&c), "\"complete\":true"), 1);
}

static void test_odd_segments(void **state)
{
	unsigned int at = find(&base, TAP_CLIENT, "Subject");
	static const uint8_t junk[] = "ZZZZ";
	struct seg s = base.seg[at];

	(void)state;
	s.p = junk;
	s.n = 4;
	s.flags = 0;
	insert(&c, at, &s);
	expect_odd("no_ack");
	c = base;
	s.flags = SYN | FIN;
	insert(&c, at, &s);
	expect_odd("bad_flags");
	c = base;
	s.flags = ACK;
	s.bad_checksum = true;
	insert(&c, at, &s);
	expect_odd("bad_checksum");
	c = base;
	c.seg[at].ttl = 3;
	expect_odd("ttl");
	c = base;
	c.seg[at].ttl = (uint8_t)(c.seg[at].ttl - LIMIT_TAP_TTL_SLACK);
	expect_clean("another route", 0, 0);
	c = base;
	c.seg[at].flags |= URG;
	expect_odd("urgent");
	c = base;
	s = base.seg[at];
	s.flags = SYN;
	s.n = 0;
	s.seq += 1000000;
	insert(&c, at, &s);
	expect_odd("syn_in_flow");
	c = base;
	s = base.seg[0];
	s.p = junk;
	s.n = 4;
	c.seg[0] = s;
	expect_odd("syn_data");
}

static void test_checksum_gap(void **state)
{
	const char *out;

	(void)state;
	c.seg[find(&c, TAP_CLIENT, "text")].bad_checksum = true;
	out = play(&c);
	assert_int_equal(lines_with(out, "\"octets\":6,\"cause\":\"checksum\"}"), 1);
	assert_int_equal(counters[CNT_tap_gap_checksum], 6);
}

static void test_paws(void **state)
{
	struct seg s;
	unsigned int at;

	(void)state;
	memset(&base, 0, sizeof(base));
	base.ts = true;
	base.tsval = 5000;
	handshake(&base, 1, 1);
	script(&base, session);
	goodbye(&base);
	c = base;
	expect_clean("timestamps", 0, 0);
	at = find(&base, TAP_CLIENT, "Subject");
	s = base.seg[at];
	s.tsval = 4000;
	s.p = (const uint8_t *)"ZZZZZZZZZZZZZZZZZZZZ";
	insert(&c, at, &s);
	expect_odd("paws");
}

/* The same tuple again. */
static void test_reuse(void **state)
{
	unsigned int n = base.n;

	(void)state;
	for (unsigned int i = 0; i < n; i++)
		insert(&c, c.n, &base.seg[i]);
	assert_string_equal(play(&c), MESSAGE "]}\n" MESSAGE "]}\n");
	/* Without the end of the first. */
	for (unsigned int i = 0; i < 3; i++)
		take_out(&c, n - 3);
	assert_string_equal(play(&c), MESSAGE "]}\n" MESSAGE "]}\n");
	assert_int_equal(counters[CNT_tap_flows], 2);
	/* From one side. */
	only(TAP_CLIENT);
	assert_int_equal(lines_with(play(&c), SHA), 2);
}

static void test_midstream(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 5; i++)
		take_out(&c, 0);
	assert_string_equal(play(&c), "");
	assert_true(counters[CNT_tap_no_flow] > 10);
	track_options.midstream = true;
	assert_int_equal(lines_with(play(&c), SHA "\",\"complete\":true"), 1);
	assert_int_equal(counters[CNT_tap_flows_midstream], 1);
	/* Within the content: its tail is no message. */
	c = base;
	while (c.n && c.seg[0].seq != base.seg[find(&base, TAP_CLIENT, "text")].seq)
		take_out(&c, 0);
	assert_int_equal(lines_with(play(&c), "\"type\":\"message\""), 0);
	assert_int_equal(counters[CNT_tap_flows_midstream], 1);
}

/* SYN or SYN-ACK are missing. */
static void test_half_handshake(void **state)
{
	(void)state;
	take_out(&c, 1);
	expect_clean("no SYN-ACK", 0, 0);
	c = base;
	take_out(&c, 0);
	expect_clean("no SYN", 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_rst, setup),
		cmocka_unit_test_setup(test_fin, setup),
		cmocka_unit_test_setup(test_window, setup),
		cmocka_unit_test_setup(test_probe, setup),
		cmocka_unit_test_setup(test_window_edge, setup),
		cmocka_unit_test_setup(test_syn_data, setup),
		cmocka_unit_test_setup(test_ttl_decoy, setup),
		cmocka_unit_test_setup(test_unacked, setup),
		cmocka_unit_test_setup(test_odd_segments, setup),
		cmocka_unit_test_setup(test_checksum_gap, setup),
		cmocka_unit_test_setup(test_paws, setup),
		cmocka_unit_test_setup(test_reuse, setup),
		cmocka_unit_test_setup(test_midstream, setup),
		cmocka_unit_test_setup(test_half_handshake, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
