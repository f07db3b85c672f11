/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Which packets make a flow, and when it is over: false SYNs, ACKs and RSTs hide no session, loss
 * ends none, and what opens no connection costs none. */

#include "dataplane/tap/test_tap_session.h"

#define SECOND 1000000ull

static struct capture one;

/* Between two of base, the flow is silent for so long. */
static void pause_at(unsigned int at, unsigned int s)
{
	uint64_t us = SECOND;

	for (unsigned int i = 0; i < c.n; i++) {
		us += i == at ? s * SECOND : 100;
		c.seg[i].us = us;
	}
}

/* The client calls with other numbers as well; the server takes one of them. */
static void test_several_syns(void **state)
{
	static const uint32_t far[] = {0x40000000u, 1000, 0u - 70000, 0x80000000u};

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		for (unsigned int at = 0; at < 2; at++) {
			struct seg s = base.seg[0];

			c = base;
			s.seq += far[i];
			insert(&c, at, &s);
			assert_int_equal(lines_with(play(&c), SHA "\",\"complete\":true"), 1);
			/* Two of them, and payload for the false one before the server's answer. */
			s.seq += far[i];
			insert(&c, at, &s);
			assert_int_equal(lines_with(play(&c), SHA "\",\"complete\":true"), 1);
			s = base.seg[2];
			s.seq += far[i];
			s.p = (const uint8_t *)"MAIL FROM:<e@example.org>\r\n";
			s.n = 27;
			insert(&c, 3, &s);
			assert_int_equal(lines_with(play(&c), SHA "\",\"complete\":true"), 1);
			assert_int_equal(lines_with(play(&c), "\"e@"), 0);
			/* One direction alone: the payload tells. */
			c = base;
			s = base.seg[0];
			s.seq += far[i];
			insert(&c, at, &s);
			if (far[i] < 0x80000000u && far[i] > 70000) {
				only(TAP_CLIENT);
				assert_int_equal(lines_with(play(&c), SHA), 1);
			}
		}
	}
	/* In an open flow: a connection with the same ports begins, and the SYN of it comes with
	 * another, or with octets of the old one behind it. */
	for (unsigned int kind = 0; kind < 2; kind++) {
		struct seg s = base.seg[0];

		c = base;
		c.n -= 3;
		memset(&one, 0, sizeof(one));
		handshake(&one, 0x50000000u, 0x60000000u);
		script(&one, session);
		insert(&c, c.n, &one.seg[0]);
		if (kind) {
			s = base.seg[find(&base, TAP_CLIENT, "QUIT")];
			s.seq += 6;
		} else {
			s.seq += 0x31234567u;
		}
		insert(&c, c.n, &s);
		for (unsigned int k = 1; k < one.n; k++)
			insert(&c, c.n, &one.seg[k]);
		assert_int_equal(lines_with(play(&c), SHA "\",\"complete\":true"), 2);
	}
}

/* The client acknowledges what the server has yet to say. */
static void test_ack_of_future(void **state)
{
	(void)state;
	for (uint32_t ahead = 1; ahead < 60000; ahead = ahead * 3 + 7) {
		for (unsigned int i = 3; i + 3 < base.n; i++) {
			struct seg s = base.seg[i];

			if (s.side != TAP_CLIENT)
				continue;
			/* By itself, long before the reply: the time of a hole passes. */
			c = base;
			s.n = 0;
			s.ack += ahead;
			insert(&c, i, &s);
			pause_at(i + 1, 2);
			c.seg[i].us = c.seg[i + 1].us - 2 * SECOND;
			expect_clean("ack of the future", i, ahead);
			/* With the command, which the server took in its next copy. */
			c = base;
			c.seg[i].ack += ahead;
			pause_at(i + 1, 2);
			expect_clean("command with an ack of the future", i, ahead);
		}
	}
}

/* What the server says next is missing, and so are the ACKs of it. */
static void from_server_lost(struct capture *to, uint32_t n)
{
	to->nxt[TAP_SERVER] += n;
	for (unsigned int i = 0; i < LIMIT_TAP_FAR; i++)
		add(to, TAP_SERVER, ACK, NULL, 0);
	add(to, TAP_CLIENT, ACK, NULL, 0);
}

/* The octet of a keep-alive stands where a reply is missing, and says that more was heard. */
static void test_keepalive_in_hole(void **state)
{
	unsigned int at = find(&base, TAP_SERVER, "250 2.1.5 ok");
	struct seg s = base.seg[at];
	const char *out;

	(void)state;
	for (unsigned int known = 0; known < 2; known++) {
		c = base;
		take_out(&c, at);
		s = base.seg[at + 2];
		s.n = 0;
		if (known)
			insert(&c, at + 1, &s);
		s.seq--;
		s.p = (const uint8_t *)"";
		s.n = 1;
		insert(&c, at + 1 + known, &s);
		out = play(&c);
		if (lines_with(out, SHA "\",\"complete\":true") != 1)
			fail_msg("%u: %s", known, out);
	}
}

/* More than a window is missing, of one side or of both. */
static void test_lost_window(void **state)
{
	static uint8_t text[1400];
	const char *out;

	(void)state;
	for (unsigned int i = 0; i < sizeof(text); i++)
		text[i] = i % 70 == 68 ? '\r' : i % 70 == 69 ? '\n' : 'x';
	for (unsigned int ways = 0; ways < 2; ways++) {
		unsigned int from;

		memset(&c, 0, sizeof(c));
		handshake(&c, 0xfffff000u, 77);
		script(&c, "S: 220 x\nC: HELO c\nS: 250 x\nC: MAIL FROM:<>\nS: 250 x\n"
			   "C: RCPT TO:<b@example.net>\nS: 250 x\nC: DATA\nS: 354 x\n");
		for (unsigned int i = 0; i < 200; i++) {
			talk(&c, TAP_CLIENT, text, sizeof(text));
			add(&c, TAP_SERVER, ACK, NULL, 0);
		}
		script(&c, "C: .\nS: 250 queued\n");
		script(&c, session + sizeof("S: 220 mx.example.net ESMTP\n") - 1);
		goodbye(&c);
		from = find(&c, TAP_CLIENT, "xxx") + 10;
		for (unsigned int i = from, n = 0; n < 300; n++) {
			if (ways == 1 && c.seg[i].side == TAP_SERVER)
				i++;
			else
				take_out(&c, i);
		}
		out = play(&c);
		if (lines_with(out, "\"incomplete\":\"gap,") != 1 ||
		    lines_with(out, "\"reply\":\"250 queued\"") != 1)
			fail_msg("%u: %s", ways, out);
		if (lines_with(out, SHA) != 1)
			fail_msg("%u: the next message: %s", ways, out);
	}
	/* Of the server: its banner is long, and most of it is missing. */
	memset(&c, 0, sizeof(c));
	handshake(&c, 1, 77);
	talk(&c, TAP_SERVER, "220-x\r\n", 7);
	add(&c, TAP_CLIENT, ACK, NULL, 0);
	from_server_lost(&c, 300000);
	script(&c, session);
	goodbye(&c);
	out = play(&c);
	assert_int_equal(lines_with(out, "\"side\":\"server\",\"octets\":300000,"), 1);
	assert_int_equal(lines_with(out, SHA), 1);
	assert_true(counters[CNT_tap_taken_up] > 0);
	/* One direction alone. */
	memset(&c, 0, sizeof(c));
	handshake(&c, 1, 77);
	script(&c, "C: HELO c\nC: MAIL FROM:<>\nC: RCPT TO:<b@example.net>\nC: DATA\n");
	talk(&c, TAP_CLIENT, text, sizeof(text));
	c.nxt[TAP_CLIENT] += LIMIT_TAP_ONE_WAY_WINDOW * 3;
	for (unsigned int i = 0; i < 100; i++)
		talk(&c, TAP_CLIENT, text, sizeof(text));
	script(&c, "C: .\n");
	script(&c, session);
	only(TAP_CLIENT);
	out = play(&c);
	assert_int_equal(lines_with(out, "\"incomplete\":\"gap,"), 1);
	assert_int_equal(lines_with(out, SHA "\",\"complete\":true"), 1);
}

/* False numbers do not lead away for good: so many ACKs of them must come without a true one. */
static void test_false_far(void **state)
{
	unsigned int at = find(&base, TAP_CLIENT, "Subject");

	(void)state;
	for (unsigned int many = 1; many < 12; many++) {
		struct seg s = base.seg[at - 1];

		c = base;
		s.n = 0;
		s.ack += 0x20000000u;
		s.seq = base.seg[at].ack;
		for (unsigned int i = 0; i < many; i++)
			insert(&c, at, &s);
		if (many < LIMIT_TAP_FAR)
			assert_int_equal(lines_with(play(&c), SHA "\",\"complete\":true"), 1);
		else
			assert_int_equal(lines_with(play(&c), "\"anomaly\":\"gap\""), 1);
	}
}

/* Packets that open no connection: other flows have the sessions. */
static void test_no_connection(void **state)
{
	(void)state;
	track_options.flows = 32;
	memset(&c, 0, sizeof(c));
	for (uint16_t i = 0; i < 20; i++) {
		memset(&one, 0, sizeof(one));
		one.port = (uint16_t)(1000 + i);
		handshake(&one, i, i);
		talk(&one, TAP_CLIENT, "EHLO x\r\n", 8);
		for (unsigned int k = 0; k < one.n; k++)
			if (one.seg[k].side == TAP_CLIENT)
				insert(&c, c.n, &one.seg[k]);
	}
	for (unsigned int k = 0; k < base.n; k++)
		insert(&c, c.n, &base.seg[k]);
	expect_clean("behind a flood", 0, 0);
	assert_int_equal(counters[CNT_tap_no_session], 0);
	/* The same while it is open: it is not given up for them. */
	for (unsigned int k = 0; k < 30; k++) {
		struct seg s = c.seg[0];

		take_out(&c, 0);
		insert(&c, c.n - 10, &s);
	}
	expect_clean("among a flood", 0, 0);
	/* Connections that an RST ended hold none either. */
	memset(&c, 0, sizeof(c));
	for (uint16_t i = 0; i < 20; i++) {
		memset(&one, 0, sizeof(one));
		one.port = (uint16_t)(1000 + i);
		handshake(&one, i, i);
		talk(&one, TAP_SERVER, "220 x\r\n", 7);
		add(&one, TAP_CLIENT, RST, NULL, 0);
		for (unsigned int k = 0; k < one.n; k++)
			insert(&c, c.n, &one.seg[k]);
	}
	for (unsigned int k = 0; k < base.n; k++)
		insert(&c, c.n, &base.seg[k]);
	expect_clean("behind resets", 0, 0);
	assert_int_equal(counters[CNT_tap_no_session], 0);
}

static void append(uint16_t port)
{
	one.port = port;
	for (unsigned int k = 0; k < one.n; k++) {
		struct seg s = one.seg[k];

		s.port = port;
		insert(&c, c.n, &s);
	}
}

/* All sessions are open ones'. What holds octets and has none asks for one when it ends, and must not
 * end others for it, nor they it. */
static void test_sessions_out(void **state)
{
	(void)state;
	track_options.flows = 64;
	for (unsigned int one_sided = 0; one_sided < 2; one_sided++) {
		memset(&c, 0, sizeof(c));
		for (uint16_t i = 0; i < 8; i++) {
			memset(&one, 0, sizeof(one));
			handshake(&one, i, i);
			say(&one, TAP_SERVER, "220 x\r\n");
			say(&one, TAP_CLIENT, "EHLO x\r\n");
			append((uint16_t)(1000 + i));
		}
		/* An RST that came before the greeting was acknowledged; the server's own end before one. */
		for (uint16_t i = 0; i < 6; i++) {
			memset(&one, 0, sizeof(one));
			handshake(&one, i, i);
			talk(&one, TAP_SERVER, "421 x\r\n", 7);
			if (i % 2)
				add(&one, TAP_SERVER, FIN | ACK, NULL, 0);
			add(&one, TAP_CLIENT, RST, NULL, 0);
			append((uint16_t)(2000 + i));
		}
		memset(&one, 0, sizeof(one));
		handshake(&one, 7, 7);
		if (one_sided)
			talk(&one, TAP_CLIENT, "EHLO y\r\n", 8);
		else
			say(&one, TAP_CLIENT, "EHLO y\r\n");
		append(3000);
		play(&c);
		assert_true(one_sided || counters[CNT_tap_no_session] > 0);
		assert_int_equal(counters[CNT_tap_flow_evicted], 0);
	}
}

/* An exact RST, or a FIN, that its receiver never saw; the connection is silent, then goes on. */
static void test_false_end(void **state)
{
	unsigned int at = find(&base, TAP_CLIENT, "Subject");

	(void)state;
	for (unsigned int fin = 0; fin < 2; fin++) {
		for (unsigned int s = 1; s < 800; s += 133) {
			struct seg end = base.seg[at];

			end.n = 0;
			end.flags = fin ? FIN | ACK : RST;
			c = base;
			insert(&c, at, &end);
			pause_at(at + 1, s);
			assert_int_equal(lines_with(play(&c), SHA "\",\"complete\":true"), 1);
			/* It lives, and that is known: longer silence, without memory to spare. */
			pause_at(find(&c, TAP_CLIENT, "QUIT"), s);
			assert_int_equal(lines_with(play(&c), SHA "\",\"complete\":true"), 1);
			only(TAP_CLIENT);
			if (fin) {
				assert_int_equal(lines_with(play(&c), SHA "\",\"complete\":true"),
						 1);
			}
		}
	}
	/* A true one, behind the server's FIN: nothing is waited for. */
	c = base;
	c.n--;
	c.seg[c.n - 1].flags = RST;
	c.seg[c.n - 1].ack = 0;
	for (unsigned int k = 0; k < base.n; k++) {
		struct seg s = base.seg[k];

		s.port = 999;
		if (k == 0)
			s.us = 60 * SECOND;
		insert(&c, c.n, &s);
	}
	assert_int_equal(lines_with(play(&c), SHA "\",\"complete\":true"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_several_syns, setup),
		cmocka_unit_test_setup(test_ack_of_future, setup),
		cmocka_unit_test_setup(test_keepalive_in_hole, setup),
		cmocka_unit_test_setup(test_lost_window, setup),
		cmocka_unit_test_setup(test_false_far, setup),
		cmocka_unit_test_setup(test_no_connection, setup),
		cmocka_unit_test_setup(test_sessions_out, setup),
		cmocka_unit_test_setup(test_false_end, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
