/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The tracker by scripted segments: however a session was cut, reordered, repeated or shown from
 * one side, its messages are the same; each evasion gives its anomaly, and nothing else does.
 */

#include "dataplane/tap/test_tap_session.h"

static void test_whole(void **state)
{
	(void)state;
	expect_clean("as it is", 0, 0);
	assert_int_equal(counters[CNT_tap_flows], 1);
	assert_int_equal(counters[CNT_tap_messages], 1);
	assert_int_equal(counters[CNT_tap_rcpt_refused], 1);
	assert_int_equal(counters[CNT_tap_no_flow], 0);
	with_owner = true;
	expect_clean("memory with an owner", 0, 0);
}

static void test_cut(void **state)
{
	(void)state;
	for (uint32_t most = LIMIT_TAP_TINY + 1; most < 64; most++) {
		c = base;
		cut(&c, most);
		expect_clean("cut", most, 0);
	}
	for (uint32_t most = 1; most <= LIMIT_TAP_TINY; most++) {
		c = base;
		cut(&c, most);
		expect_odd("tiny_segments");
	}
}

static void test_wrap(void **state)
{
	(void)state;
	for (uint32_t back = 0; back < 300; back += 1 + back / 16) {
		make(0u - back, 0x80000000u - back);
		cut(&c, 7);
		expect_clean("wrap", back, 0);
		make(5, 0u - back);
		expect_clean("wrap of the server", back, 0);
	}
}

static void test_reorder(void **state)
{
	(void)state;
	for (unsigned int i = 0; i + 1 < base.n; i++) {
		for (unsigned int k = i + 1; k < base.n && k < i + 4; k++) {
			if (i == 0 && k > 2)
				continue; /* payload before both SYNs: of no flow */
			c = base;
			swap(&c, i, k);
			expect_clean("swap", i, k);
		}
	}
	c = base;
	cut(&c, 6);
	base = c;
	for (unsigned int i = 3; i + 4 < base.n - 3; i++) {
		/* four in reverse */
		c = base;
		swap(&c, i, i + 3);
		swap(&c, i + 1, i + 2);
		expect_clean("reverse", i, 0);
	}
}

/* The mirror shows one direction late by several packets. */
static void test_skew(void **state)
{
	(void)state;
	for (unsigned int late = 1; late < 12; late++) {
		for (unsigned int side = 0; side < 2; side++) {
			struct capture in;
			unsigned int at = 3;

			c = base;
			in = base;
			for (unsigned int i = 3; i < base.n;) {
				unsigned int from = i, to = i + late < base.n ? i + late : base.n;

				for (unsigned int k = from; k < to; k++)
					if (in.seg[k].side != side)
						c.seg[at++] = in.seg[k];
				for (unsigned int k = from; k < to; k++)
					if (in.seg[k].side == side)
						c.seg[at++] = in.seg[k];
				i = to;
			}
			expect_clean("skew", late, side);
		}
	}
}

static void test_duplicate(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < base.n; i++) {
		for (unsigned int k = i + 1; k <= base.n && k < i + 20; k += 1 + k % 3) {
			c = base;
			insert(&c, k, &base.seg[i]);
			expect_clean("duplicate", i, k);
		}
	}
	c = base;
	c.ts = true;
	memset(&base, 0, sizeof(base));
	base.ts = true;
	handshake(&base, 1, 1);
	script(&base, session);
	goodbye(&base);
	for (unsigned int i = 0; i < base.n; i++) {
		c = base;
		insert(&c, i + 5 < c.n ? i + 5 : c.n, &base.seg[i]);
		expect_clean("duplicate with timestamps", i, 0);
	}
}

/* Segments sent again in other pieces, the same octets. */
static void test_overlap_same(void **state)
{
	struct seg s;

	(void)state;
	cut(&c, 9);
	base = c;
	for (unsigned int i = 3; i + 4 < base.n; i++) {
		if (base.seg[i].n < 9 || base.seg[i + 1].n < 9 ||
		    base.seg[i].side != base.seg[i + 1].side ||
		    base.seg[i].p + 9 != base.seg[i + 1].p)
			continue;
		for (uint32_t from = i % 3; from < 9; from += 3) {
			for (uint32_t n = 1 + i % 4; n <= 18 - from; n += 4) {
				s = base.seg[i]; /* i + 1 lies behind it in memory */
				s.seq += from;
				s.p += from;
				s.n = n;
				for (unsigned int at = i; at < i + 3; at++) {
					c = base;
					insert(&c, at, &s);
					expect_clean("overlap", i, at);
				}
			}
		}
	}
}

/* The same places with other octets: the first that came count, and it is told. */
static void test_overlap_differs(void **state)
{
	static const uint8_t junk[64] = "ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ";
	unsigned int at = find(&base, TAP_CLIENT, "Subject"), data;
	struct seg s;

	(void)state;
	for (data = at; data < at + 4; data++) {
		if (!base.seg[data].n)
			continue;
		for (uint32_t from = 0; from < base.seg[data].n; from++) {
			c = base;
			s = base.seg[data];
			s.seq += from;
			s.p = junk;
			s.n = base.seg[data].n - from;
			insert(&c, data + 1, &s);
			expect_odd("overlap_diff");
		}
	}
	/* Out of order: the second of two that differ. */
	c = base;
	s = base.seg[at + 3];
	insert(&c, at, &s);
	s.p = junk;
	insert(&c, at + 1, &s);
	expect_odd("overlap_diff");
	/* The bad one first: it is what a receiver takes that has it first. */
	c = base;
	s = base.seg[at + 3];
	s.p = (const uint8_t *)"ZZZZ\r\n";
	insert(&c, at, &s);
	assert_int_equal(lines_with(play(&c), "\"anomalies\":[\"overlap_diff\"]"), 1);
	assert_int_equal(lines_with(play(&c), SHA), 0);
	/* Acknowledged already: no receiver looks at it, and nobody is misled. */
	c = base;
	s = base.seg[at];
	s.p = junk;
	insert(&c, find(&base, TAP_CLIENT, "QUIT"), &s);
	expect_clean("after its ACK", 0, 0);
}

/* A segment that is not in the capture: its octets are missing, and no message is told as whole
 * that is not. */
static void test_loss(void **state)
{
	char want[128];

	(void)state;
	for (unsigned int i = 3; i < base.n; i++) {
		const struct seg *s = &base.seg[i];
		const char *out;

		c = base;
		take_out(&c, i);
		out = play(&c);
		if (!s->n) {
			expect_clean("loss", i, 0);
			continue;
		}
		snprintf(want, sizeof(want),
			 "\"anomaly\":\"gap\",\"side\":\"%s\",\"octets\":%u,\"cause\":\"never_"
			 "seen\"}",
			 s->side == TAP_CLIENT ? "client" : "server", s->n);
		if (lines_with(out, want) != 1)
			fail_msg("loss of %u: %s", i, out);
		if (lines_with(out, "\"complete\":true") && !lines_with(out, SHA))
			fail_msg("loss of %u: whole and wrong: %s", i, out);
		if (lines_with(out, "\"type\":\"message\"") > 1)
			fail_msg("loss of %u: too many messages: %s", i, out);
	}
	c = base;
	take_out(&c, find(&c, TAP_CLIENT, "text"));
	assert_int_equal(lines_with(play(&c), "\"complete\":false,\"incomplete\":\"gap,6\""), 1);
	assert_int_equal(lines_with(play(&c), "\"reply\":\"250 2.0.0 queued as 1\""), 1);
	/* The end of data itself. */
	c = base;
	take_out(&c, find(&c, TAP_CLIENT, ".\r\n"));
	assert_int_equal(lines_with(play(&c), "\"complete\":false,\"incomplete\":\"gap,3\""), 1);
	assert_int_equal(lines_with(play(&c), "\"reply\":\"250 2.0.0 queued as 1\""), 1);
}

/* With more behind it than may wait, the gap is found before the flow ends. */
static void test_loss_long(void **state)
{
	static char text[LIMIT_TAP_HOLE_SEGMENTS * 3][40];
	unsigned int at;

	(void)state;
	memset(&c, 0, sizeof(c));
	handshake(&c, 1, 1);
	script(&c, "S: 220 x\nC: HELO c\nS: 250 x\nC: MAIL FROM:<>\nS: 250 x\nC: RCPT "
		   "TO:<b@example.net>\n"
		   "S: 250 x\nC: DATA\nS: 354 x\nC: Subject: lost\n");
	for (unsigned int i = 0; i < LIMIT_TAP_HOLE_SEGMENTS * 3; i++) {
		snprintf(text[i], sizeof(text[i]), "line %u\r\n", i);
		say(&c, TAP_CLIENT, text[i]);
	}
	at = find(&c, TAP_CLIENT, "Subject");
	take_out(&c, at);
	base = c;
	script(&c, "C: .\nS: 250 x\nC: QUIT\nS: 221 x\n");
	goodbye(&c);
	assert_int_equal(lines_with(play(&c), "\"mail_from\":\"\",\"rcpt_to\":[\"b@example.net\"]"),
			 1);
	assert_int_equal(lines_with(play(&c),
				    "\"incomplete\":\"gap,15\",\"bdat\":false,\"reply\":\"250 x\""),
			 1);
	/* A retransmission that comes while the hole is young fills it. */
	c = base;
	{
		struct seg s = {.side = TAP_CLIENT, .flags = ACK, .ttl = 57, .wnd = 65535};

		s.seq = c.seg[at].seq - 15;
		s.ack = c.seg[at].ack;
		s.p = (const uint8_t *)"Subject: lost\r\n";
		s.n = 15;
		insert(&c, at + 20, &s);
	}
	script(&c, "C: .\nS: 250 x\nC: QUIT\nS: 221 x\n");
	goodbye(&c);
	assert_int_equal(lines_with(play(&c), "\"complete\":true"), 1);
	assert_int_equal(lines_with(play(&c), "anomaly\""), 0);
}

static void test_one_way(void **state)
{
	const char *out;

	(void)state;
	only(TAP_CLIENT);
	out = play(&c);
	assert_string_equal(
		out, HEAD "\"mail_from\":\"a@example.org\",\"rcpt_to\":[\"b@example.net\","
			  "\"c@example.net\"],\"rcpt_refused\":[],\"size\":28,\"sha256\":\"" SHA
			  "\",\"complete\":true,\"bdat\":false,\"reply\":null,\"anomalies\":[]}\n");
	cut(&c, 7);
	assert_int_equal(lines_with(play(&c), SHA), 1);
	for (unsigned int i = 1; i + 2 < c.n; i++) {
		struct capture keep = c;

		swap(&c, i, i + 1);
		assert_int_equal(lines_with(play(&c), SHA "\",\"complete\":true"), 1);
		c = keep;
	}
	/* The last octets before the FIN. */
	take_out(&c, find(&c, TAP_CLIENT, "QUIT"));
	assert_int_equal(lines_with(play(&c), "\"side\":\"client\",\"octets\":6,"), 1);
	for (uint32_t isn = 0; isn < 8; isn++) {
		make(isn << 29, isn << 29);
		only(TAP_SERVER);
		assert_string_equal(play(&c), "");
	}
}

static void test_budget(void **state)
{
	(void)state;
	/* Nothing may wait: it is given before its ACK, and counted. */
	track_options.pieces = 0;
	track_options.blocks = 0;
	(void)play(&c);
	assert_true(counters[CNT_tap_unacked] > 0);
	assert_int_equal(lines_with(play(&c), SHA), 1);
	cut(&c, 7);
	swap(&c, find(&c, TAP_CLIENT, "Subject"), find(&c, TAP_CLIENT, "Subject") + 1);
	(void)play(&c);
	assert_true(counters[CNT_tap_budget] > 0);
}

static void test_ooo_cap(void **state)
{
	static char text[LIMIT_TAP_OOO + 100][16];
	unsigned int at;
	const char *out;

	(void)state;
	memset(&c, 0, sizeof(c));
	handshake(&c, 1, 1);
	script(&c, "S: 220 x\nC: HELO c\nS: 250 x\nC: MAIL FROM:<>\nS: 250 x\nC: RCPT "
		   "TO:<b@example.net>\n"
		   "S: 250 x\nC: DATA\nS: 354 x\nC: Subject: late\n");
	at = c.n - 1;
	for (unsigned int i = 0; i < LIMIT_TAP_OOO + 100; i++) {
		snprintf(text[i], sizeof(text[i]), "line %u\r\n", i);
		talk(&c, TAP_CLIENT, text[i], strlen(text[i]));
	}
	insert(&c, c.n, &c.seg[at]);
	take_out(&c, at);
	script(&c, "C: .\nS: 250 x\nC: QUIT\nS: 221 x\n");
	goodbye(&c);
	out = play(&c);
	assert_int_equal(counters[CNT_tap_ooo_cap], 100);
	assert_int_equal(lines_with(out, "\"octets\":1000,\"cause\":\"ooo_cap\"}"), 1);
	assert_int_equal(lines_with(out, "\"incomplete\":\"gap,1000\""), 1);
}

/* Flows in excess of the table, and flows that are idle. */
static void test_flows(void **state)
{
	static struct capture one;
	struct seg bad;
	unsigned int messages = 0;

	(void)state;
	memset(&c, 0, sizeof(c));
	for (uint16_t i = 0; i < 20; i++) {
		memset(&one, 0, sizeof(one));
		one.port = (uint16_t)(1000 + i);
		handshake(&one, i, i);
		script(&one, session);
		for (unsigned int k = 0; k < one.n; k++)
			insert(&c, c.n, &one.seg[k]);
	}
	messages = lines_with(play(&c), SHA "\",\"complete\":true");
	assert_int_equal(messages, 20);
	assert_int_equal(counters[CNT_tap_flow_evicted], 20 - 8);
	/* A flood of SYNs pushes out SYNs. */
	c = base;
	one.port = 0;
	for (uint16_t i = 0; i < 100; i++) {
		struct seg s = base.seg[0];

		s.port = (uint16_t)(2000 + i);
		insert(&c, 10 + i / 10, &s);
	}
	expect_clean("flood", 0, 0);
	assert_int_equal(counters[CNT_tap_flow_evicted], 0);
	/* Idle for too long: ended, and what follows is of no flow. */
	c = base;
	for (unsigned int i = 12; i < c.n; i++)
		c.seg[i].us = 1000000 + (LIMIT_TAP_IDLE_S + 1) * 1000000ull + i;
	assert_string_equal(play(&c), "");
	assert_true(counters[CNT_tap_no_flow] > 5);
	/* A segment that no receiver takes does not change that. */
	bad = base.seg[12];
	bad.bad_checksum = true;
	bad.us = 1000000 + (LIMIT_TAP_IDLE_S - 1) * 1000000ull;
	insert(&c, 12, &bad);
	play(&c);
	assert_int_equal(counters[CNT_tap_bad_checksum], 1);
	assert_true(counters[CNT_tap_no_flow] > 5);
}

static void test_other_ports(void **state)
{
	(void)state;
	track_options.port[0] = 587;
	assert_string_equal(play(&c), "");
	assert_int_equal(counters[CNT_tap_not_smtp], c.n);
	assert_int_equal(counters[CNT_tap_flows], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_whole, setup),
		cmocka_unit_test_setup(test_cut, setup),
		cmocka_unit_test_setup(test_wrap, setup),
		cmocka_unit_test_setup(test_reorder, setup),
		cmocka_unit_test_setup(test_skew, setup),
		cmocka_unit_test_setup(test_duplicate, setup),
		cmocka_unit_test_setup(test_overlap_same, setup),
		cmocka_unit_test_setup(test_overlap_differs, setup),
		cmocka_unit_test_setup(test_loss, setup),
		cmocka_unit_test_setup(test_loss_long, setup),
		cmocka_unit_test_setup(test_one_way, setup),
		cmocka_unit_test_setup(test_budget, setup),
		cmocka_unit_test_setup(test_ooo_cap, setup),
		cmocka_unit_test_setup(test_flows, setup),
		cmocka_unit_test_setup(test_other_ports, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
