/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The parts by themselves. That captures and books agree is shown from outside, by tests/tap, with
 * an observer that shares nothing with this.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/pcapgen/pcapgen.h"

static struct gen_options plain(void)
{
	return (struct gen_options){.seed = 7,
				    .size = {{200, 60000, 1}},
				    .n_sizes = 1,
				    .messages_max = 3,
				    .rcpts_max = 3,
				    .mtu = 1500,
				    .reorder = 3,
				    .port = 25,
				    .servers = 1};
}

static void numbers(void **state)
{
	struct rng a = rng_of(1, 2), b = rng_of(1, 2), c = rng_of(1, 3);
	uint32_t hits = 0;

	(void)state;
	assert_int_equal(rng_next(&a), rng_next(&b));
	assert_true(rng_next(&a) != rng_next(&c));
	/* Fixed for all machines and times: captures are named by their seed. */
	a.state = 0;
	assert_true(rng_next(&a) == 0xe220a8397b1dcdafu);
	for (uint32_t i = 0; i < 100000; i++) {
		hits += rng_hit(&a, RNG_MILLION / 4);
		assert_in_range(rng_between(&a, 3, 5), 3, 5);
	}
	assert_in_range(hits, 24000, 26000);
	assert_false(rng_hit(&a, 0));
	assert_true(rng_hit(&a, RNG_MILLION));
	assert_int_equal(rng_below(&a, 0), 0);
}

/* RFC 1071 3, the octets of its example, and an odd end. */
static void checksum(void **state)
{
	static const uint8_t p[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	static const uint8_t odd[] = {0x12, 0x34, 0x56};
	uint8_t out[2];
	uint16_t sum = frame_fold(frame_sum(p, sizeof(p), 0));

	(void)state;
	memcpy(out, &sum, 2);
	assert_int_equal(out[0] << 8 | out[1], 0xffff - 0xddf2);
	sum = frame_fold(frame_sum(odd, sizeof(odd), 0));
	memcpy(out, &sum, 2);
	assert_int_equal(out[0] << 8 | out[1], 0xffff - 0x6834);
}

static void stuffing(void **state)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{"", ".\r\n"},
		{"a\r\n", "a\r\n.\r\n"},
		{".\r\n", "..\r\n.\r\n"},
		{"a\r\n.b\r\n..\r\n", "a\r\n..b\r\n...\r\n.\r\n"},
		{"a.b\r\nc.\r\n", "a.b\r\nc.\r\n.\r\n"},
		{"a\n.b\r.c\r\n", "a\n.b\r.c\r\n.\r\n"}, /* lines end in CRLF and nothing else */
	};
	struct buf b = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		b.n = 0;
		mail_stuff(&b, (const uint8_t *)t[i].in, (uint32_t)strlen(t[i].in));
		assert_int_equal(b.n, strlen(t[i].out));
		assert_memory_equal(b.p, t[i].out, b.n);
	}
	free(b.p);
}

static void mail(void **state)
{
	struct gen_options o = plain();
	struct rng r = rng_of(1, 1);
	struct buf b = {0};

	(void)state;
	assert_int_equal(mail_start(&o), 0);
	for (uint32_t size = 1; size < 3000000; size = size * 3 + 1) {
		struct mail_wanted w = {
			.size = size, .from = "a@example.net", .to = "b@example.com"};

		assert_int_equal(mail_make(&r, &w, &b), 0);
		assert_in_range(b.n, size, size + 4096);
		assert_memory_equal(b.p + b.n - 2, "\r\n", 2);
		for (uint32_t i = 0; i < b.n; i++)
			assert_true((b.p[i] == '\n') == (i && b.p[i - 1] == '\r'));
		w.lookalike = true;
		assert_true(mail_make(&r, &w, &b) & (MAIL_LF | MAIL_CR | MAIL_NUL));
		w = (struct mail_wanted){.size = size, .from = "", .to = "b", .binary = true};
		assert_int_equal(mail_make(&r, &w, &b), MAIL_NUL | MAIL_CR | MAIL_LF | MAIL_DOT);
	}
	free(b.p);
	mail_stop();
}

/* Segments of both sides, in the order sent, put together: the streams, each octet acknowledged. */
static void segments(void **state)
{
	struct gen_options o = plain();
	struct session s = {0};

	(void)state;
	o.with[F_PIPELINING] = o.with[F_BDAT] = o.with[F_SEQ_WRAP] = RNG_MILLION / 2;
	assert_int_equal(mail_start(&o), 0);
	for (uint64_t i = 0; i < 50; i++) {
		uint32_t next[2] = {0, 0}, acked[2] = {0, 0};
		uint64_t time = 0;

		session_make(&s, &o, i, 1000, i & 1);
		assert_true(s.n_msg > 0);
		for (uint32_t k = 0; k < s.n_pkt; k++) {
			const struct pkt *p = &s.pkt[k];

			assert_true(p->time >= time);
			time = p->time;
			assert_int_equal(p->seq, next[p->dir]);
			assert_true(p->n <= s.flow.segment[p->dir]);
			assert_int_equal(p->how & ~HOW_OPTIONS, 0);
			if (p->n)
				assert_int_equal(p->data, p->seq - 1);
			next[p->dir] += p->n + ((p->flags & (TH_SYN | TH_FIN)) != 0);
			assert_true(!(p->flags & TH_ACK) || p->ack <= next[!p->dir]);
			if (p->flags & TH_ACK)
				acked[!p->dir] = p->ack;
		}
		for (int d = C2S; d <= S2C; d++) {
			assert_int_equal(next[d], s.stream[d].n + 2); /* SYN and FIN */
			assert_int_equal(acked[d], next[d]);
		}
	}
	session_free(&s);
	mail_stop();
}

/* What is planted is noted, one a flight, and lies where the note says. */
static void planted(void **state)
{
	struct gen_options o = plain();
	struct session s = {0};

	(void)state;
	assert_int_equal(mail_start(&o), 0);
	for (enum anomaly_kind kind = 0; kind < A_COUNT; kind++) {
		uint32_t found = 0;

		memset(o.plant, 0, sizeof(o.plant));
		o.plant[kind] = RNG_MILLION;
		for (uint64_t i = 0; i < 30; i++) {
			uint32_t marked = 0;

			session_make(&s, &o, i, 1000, false);
			for (uint32_t k = 0; k < s.n_pkt; k++) {
				uint32_t a = s.pkt[k].anomaly;

				assert_true(a <= s.n_anomaly);
				if (a)
					assert_int_equal(s.anomaly[a - 1].kind, kind);
				marked += a != 0;
			}
			assert_true(marked <= s.n_anomaly);
			found += marked;
		}
		if (!found)
			print_error("%s\n", anomaly_name[kind]);
		assert_true(found > 0);
	}
	session_free(&s);
	mail_stop();
}

static void gaps(void **state)
{
	struct message m[3] = {{.begin = 0,
				.content = 50,
				.end = 150,
				.past = 153,
				.n_extent = 1,
				.complete = true,
				.whole = true},
			       {.begin = 153,
				.content = 200,
				.end = 300,
				.past = 303,
				.extent = 1,
				.n_extent = 1,
				.complete = true,
				.whole = true},
			       {.begin = 303,
				.content = 350,
				.end = 400,
				.past = 403,
				.extent = 2,
				.n_extent = 1,
				.complete = true,
				.whole = true}};
	static uint8_t octets[403];
	struct extent e[3] = {{50, 148}, {200, 298}, {350, 398}};
	struct session s = {.msg = m, .n_msg = 3, .extent = e, .n_extent = 3};

	(void)state;
	truth_gap(&s, 60, 10);
	assert_false(m[0].complete);
	assert_int_equal(m[0].missing, 10);
	assert_int_equal(m[0].expect, EXPECT_EXACT);
	assert_true(m[1].complete);
	truth_gap(&s, 360, 38);
	assert_int_equal(m[2].expect, EXPECT_EXACT);
	assert_int_equal(m[2].missing, 38);
	truth_gap(&s, 140, 20); /* the end of data and the next MAIL */
	assert_int_equal(m[0].expect, EXPECT_OPTIONAL);
	assert_int_equal(m[1].expect, EXPECT_OPTIONAL);
	assert_int_equal(m[2].expect, EXPECT_OPTIONAL);
	assert_true(m[1].whole);
	assert_true(truth_in_content(&s, 200, 98));
	assert_false(truth_in_content(&s, 200, 99));
	s.stream[FROM_C2S] = (struct buf){octets, 403, 403};
	truth_cut_end(&s, 250, 0);
	assert_int_equal(s.n_msg, 2);
	assert_int_equal(m[1].past, 250);
	assert_int_equal(m[1].lack, LACK_END);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers), cmocka_unit_test(checksum), cmocka_unit_test(stuffing),
		cmocka_unit_test(mail),    cmocka_unit_test(segments), cmocka_unit_test(planted),
		cmocka_unit_test(gaps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
