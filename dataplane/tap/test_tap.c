/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The tracker by scripted segments: however a session was cut, reordered, repeated or shown from one
 * side, its messages are the same; each evasion gives its anomaly, and nothing else does.
 */

#include "dataplane/tap/test_tap_util.h"

static const char session[] =
	"S: 220 mx.example.net ESMTP\n"
	"C: EHLO client.example.org\n"
	"S: 250-mx.example.net\n"
	"S: 250 PIPELINING\n"
	"C: MAIL FROM:<a@example.org> SIZE=100 RET=FULL\n"
	"S: 250 2.1.0 ok\n"
	"C: RCPT TO:<b@example.net> NOTIFY=NEVER\n"
	"S: 250 2.1.5 ok\n"
	"C: RCPT TO:<c@example.net>\n"
	"S: 550 5.1.1 no\n"
	"C: DATA\n"
	"S: 354 go\n"
	"C: Subject: one\nC: \nC: ..dot\nC: text\nC: .\n"
	"S: 250 2.0.0 queued as 1\n"
	"C: QUIT\n"
	"S: 221 bye\n";

/* sha256sum of "Subject: one", "", ".dot", "text", each with CRLF */
#define SHA "ecd19121d78197611d960e39f4f92858f6deef12c6d7268fc6a0e89d887ff0d6"
#define HEAD "{\"type\":\"message\",\"flow\":\"192.0.2.1:40000>198.51.100.7:25\","
#define MESSAGE HEAD "\"mail_from\":\"a@example.org\",\"rcpt_to\":[\"b@example.net\"]," \
	"\"rcpt_refused\":[\"c@example.net\"],\"size\":28,\"sha256\":\"" SHA "\",\"complete\":true," \
	"\"bdat\":false,\"reply\":\"250 2.0.0 queued as 1\",\"anomalies\":["

static struct capture base, c;

static void make(uint32_t client_isn, uint32_t server_isn)
{
	memset(&base, 0, sizeof(base));
	handshake(&base, client_isn, server_isn);
	script(&base, session);
	goodbye(&base);
	c = base;
}

static int setup(void **state)
{
	make(1000, 77000);
	return tap_setup(state);
}

/* The message, and nothing odd. */
static void expect_clean(const char *what, unsigned int i, unsigned int k)
{
	const char *out = play(&c);

	if (strcmp(out, MESSAGE "]}\n") != 0)
		fail_msg("%s %u %u: %s", what, i, k, out);
}

/* The message, and this anomaly alone. */
static void expect_odd(const char *name)
{
	const char *out = play(&c);
	char want[512];

	snprintf(want, sizeof(want), MESSAGE "\"%s\"]}\n", name);
	if (lines_with(out, want) != 1 || lines_with(out, "\"type\":\"message\"") != 1)
		fail_msg("%s: wanted %s in %s", name, want, out);
	snprintf(want, sizeof(want), "\"anomaly\":\"%s\"}", name);
	if (lines_with(out, want) != 1 || lines_with(out, "\"type\":\"anomaly\"") != 1)
		fail_msg("%s: %s", name, out);
}

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
	for (uint32_t back = 0; back < 300; back++) {
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
		for (unsigned int k = i + 1; k <= base.n && k < i + 20; k++) {
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
		if (base.seg[i].n < 9 || base.seg[i + 1].n < 9 || base.seg[i].side != base.seg[i + 1].side ||
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

/* A segment that is not in the capture: its octets are missing, and no message is told as whole that
 * is not. */
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
			 "\"anomaly\":\"gap\",\"side\":\"%s\",\"octets\":%u,\"cause\":\"never_seen\"}",
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
	script(&c, "S: 220 x\nC: HELO c\nS: 250 x\nC: MAIL FROM:<>\nS: 250 x\nC: RCPT TO:<b@example.net>\n"
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
	assert_int_equal(lines_with(play(&c), "\"mail_from\":\"\",\"rcpt_to\":[\"b@example.net\"]"), 1);
	assert_int_equal(lines_with(play(&c), "\"incomplete\":\"gap,15\",\"bdat\":false,\"reply\":\"250 x\""), 1);
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

static void only(enum tap_side side)
{
	for (unsigned int i = 0; i < c.n;)
		if (c.seg[i].side == side)
			i++;
		else
			take_out(&c, i);
}

static void test_one_way(void **state)
{
	const char *out;

	(void)state;
	only(TAP_CLIENT);
	out = play(&c);
	assert_string_equal(out, HEAD "\"mail_from\":\"a@example.org\",\"rcpt_to\":[\"b@example.net\","
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
	c = base;
	only(TAP_SERVER);
	assert_string_equal(play(&c), "");
}

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
	assert_string_equal(play(&c), HEAD
			    "\"mail_from\":\"a@example.org\",\"rcpt_to\":[\"b@example.net\"],"
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
	script(&c, "S: 220 x\nC: HELO c\nS: 250 x\nC: MAIL FROM:<>\nS: 250 x\nC: RCPT TO:<b@example.net>\n"
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
		cmocka_unit_test_setup(test_rst, setup),
		cmocka_unit_test_setup(test_fin, setup),
		cmocka_unit_test_setup(test_window, setup),
		cmocka_unit_test_setup(test_probe, setup),
		cmocka_unit_test_setup(test_odd_segments, setup),
		cmocka_unit_test_setup(test_checksum_gap, setup),
		cmocka_unit_test_setup(test_paws, setup),
		cmocka_unit_test_setup(test_reuse, setup),
		cmocka_unit_test_setup(test_midstream, setup),
		cmocka_unit_test_setup(test_half_handshake, setup),
		cmocka_unit_test_setup(test_budget, setup),
		cmocka_unit_test_setup(test_ooo_cap, setup),
		cmocka_unit_test_setup(test_flows, setup),
		cmocka_unit_test_setup(test_other_ports, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
