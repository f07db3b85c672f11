/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* End of data: every split against the whole, and the whole against a reading of the rules that
 * has all octets at hand and looks at each with its neighbours. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dataplane/smtp/smtp_data.h"
#include "dataplane/smtp/smtp_lines.h"
#include "dataplane/smtp/smtp_naive.h"

struct out {
	uint8_t buf[8192];
	size_t n;
	size_t room; /* left in this call */
};

static void sink(void *ctx, const uint8_t *p, size_t n)
{
	struct out *o = ctx;

	assert_true(n <= o->room);
	assert_true(o->n + n <= sizeof(o->buf));
	memcpy(o->buf + o->n, p, n);
	o->n += n;
	o->room -= n;
}

static size_t feed(struct smtp_data *d, struct out *o, const uint8_t *p, size_t n, size_t room)
{
	o->room = room;
	return smtp_data_feed(d, p, n, room, sink, o);
}

static void same(const struct smtp_naive *want, const struct smtp_data *d, const struct out *o,
		 size_t used)
{
	assert_int_equal(want->ended, d->state == SMTP_DATA_END);
	if (want->ended)
		assert_int_equal(want->used, used);
	assert_int_equal(want->bare_lf, d->bare_lf);
	assert_int_equal(want->bare_cr, d->bare_cr);
	/* The first reason names the refusal; what comes behind it is not kept exactly. */
	if (d->bare_lf || d->bare_cr)
		return;
	assert_int_equal(want->too_big, d->too_big);
	assert_int_equal(want->line_over, d->line_over);
	if (smtp_data_refused(d))
		return;
	assert_int_equal(want->flags, d->flags);
	assert_int_equal(want->n, o->n);
	assert_int_equal(d->size, o->n);
	assert_memory_equal(want->out, o->buf, o->n);
}

#define MAX_SIZE 6000
#define MAX_LINE 1200

static void check(const uint8_t *p, size_t n, bool refuse_bare_cr)
{
	struct smtp_naive want;
	struct smtp_data d;
	struct out o;
	size_t used;

	smtp_naive_run(&want, p, n, MAX_SIZE, MAX_LINE, refuse_bare_cr);
	for (size_t cut = 0; cut <= n; cut += n > 300 ? 97 : 1) {
		smtp_data_init(&d, MAX_SIZE, MAX_LINE, refuse_bare_cr);
		o.n = 0;
		used = feed(&d, &o, p, cut, SIZE_MAX);
		used += feed(&d, &o, p + used, n - used, SIZE_MAX);
		same(&want, &d, &o, used);
	}
	/* Octet by octet. */
	smtp_data_init(&d, MAX_SIZE, MAX_LINE, refuse_bare_cr);
	o.n = used = 0;
	while (used < n && d.state != SMTP_DATA_END)
		used += feed(&d, &o, p + used, 1, 1);
	same(&want, &d, &o, used);
	/* With little room, and now and then none at all. */
	smtp_data_init(&d, MAX_SIZE, MAX_LINE, refuse_bare_cr);
	o.n = used = 0;
	for (size_t turn = 0; used < n && d.state != SMTP_DATA_END; turn++) {
		size_t k = feed(&d, &o, p + used, n - used, turn % 4);

		assert_true(k > 0 || turn % 4 == 0);
		used += k;
	}
	same(&want, &d, &o, used);
}

static void same_bdat(const struct smtp_naive *want, struct smtp_data *d, const struct out *o,
		      const uint8_t *p, size_t n)
{
	smtp_data_finish_bdat(d);
	assert_false(d->bare_lf);
	assert_int_equal(want->bare_cr, d->bare_cr);
	if (d->bare_cr)
		return;
	assert_int_equal(want->too_big, d->too_big);
	assert_int_equal(want->line_over, d->line_over);
	assert_int_equal(want->flags, d->flags);
	assert_int_equal(want->lookalike, d->lookalike);
	assert_int_equal(d->size, n);
	if (smtp_data_refused(d))
		return;
	assert_int_equal(o->n, n);
	if (n)
		assert_memory_equal(o->buf, p, n);
}

/* The same octets as content of BDAT: all are taken, whatever they are. */
static void check_bdat(const uint8_t *p, size_t n, bool refuse_bare_cr)
{
	struct smtp_naive want;
	struct smtp_data d;
	struct out o;
	size_t used;

	smtp_naive_bdat(&want, p, n, true, MAX_SIZE, MAX_LINE, refuse_bare_cr);
	for (size_t cut = 0; cut <= n; cut += n > 300 ? 97 : 1) {
		smtp_data_init_bdat(&d, MAX_SIZE, MAX_LINE, refuse_bare_cr);
		o.n = 0;
		assert_int_equal(feed(&d, &o, p, cut, SIZE_MAX), cut);
		assert_int_equal(feed(&d, &o, p + cut, n - cut, SIZE_MAX), n - cut);
		same_bdat(&want, &d, &o, p, n);
	}
	smtp_data_init_bdat(&d, MAX_SIZE, MAX_LINE, refuse_bare_cr);
	o.n = 0;
	for (size_t i = 0; i < n; i++)
		assert_int_equal(feed(&d, &o, p + i, 1, 1), 1);
	same_bdat(&want, &d, &o, p, n);
	smtp_data_init_bdat(&d, MAX_SIZE, MAX_LINE, refuse_bare_cr);
	o.n = used = 0;
	for (size_t turn = 0; used < n; turn++) {
		size_t room = turn % 4, k = feed(&d, &o, p + used, n - used, room);

		/* Every octet needs room. */
		if (!smtp_data_refused(&d))
			assert_int_equal(k, room < n - used ? room : n - used);
		used += k;
	}
	same_bdat(&want, &d, &o, p, n);
}

static const struct str cases[] = {
	STR(".\r\n"), STR(".\r\nMAIL FROM:<a@example.com>\r\n"), STR("\r\n.\r\n"),
	STR("a\r\n.\r\nb"), STR("..\r\n.\r\n"), STR(".a\r\n.\r\n"), STR("a.\r\n.\r\n"),
	STR("a\r\n..\r\n...\r\n.\r\n"), STR("a\r\n\r\n.\r\n"), STR("a\rb\r\n.\r\n"),
	STR("a\nb\r\n.\r\n"), STR("a\r\r\n.\r\n"), STR("a.\rb\r\n.\r\n"), STR("a\r.b\r\n.\r\n"),
	STR("\ra\r\n.\r\n"), STR("a\r\n\rb\r\n.\r\n"), STR("a\0b\r\n.\r\n"),
	STR("a\xc3\xa9\r\n.\r\n"), STR("a\r\n.\r"), STR("a\r\n."), STR("a\r"), STR(""),
	STR("a\n.\n\r\n.\r\n"), STR("a\n.\r\n\r\n.\r\n"), STR("a\r.\r\r\n.\r\n"),
	STR("a\r\n.\n\r\n.\r\n"), STR("a\r\n.\rb\r\n.\r\n"), STR("a\r\n\0.\r\n\r\n.\r\n"),
	STR("a\r\n.\0\r\n\r\n.\r\n"), STR("a\r\n.\r\r\n\r\n.\r\n"), STR("a\r\r\n.\r\r\n\r\n.\r\n"),
	STR(".\r.\r\n.\r\n"), STR(".\r\r.\r\n"), STR(".\n.\r\n"), STR("\n.\r\n\r\n.\r\n"),
	STR("01234567890123456789012345678901\xe9\r\n.\r\n"),
	STR("0123456789012345678901234567890123456789\n\r\n.\r\n"),
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		check(cases[i].p, cases[i].n, false);
		check(cases[i].p, cases[i].n, true);
		check_bdat(cases[i].p, cases[i].n, false);
		check_bdat(cases[i].p, cases[i].n, true);
	}
}

/* What the table must say in so many words: the reference could be wrong as well. */
static void test_words(void **state)
{
	static const struct {
		struct str in;
		struct str out;
		uint32_t flags;
		bool lf, cr, lookalike;
	} t[] = {
		{STR(".\r\n"), STR(""), 0, false, false, false},
		{STR("a\r\n.\r\n"), STR("a\r\n"), 0, false, false, false},
		{STR("..\r\n.x\r\n.\r\n"), STR(".\r\nx\r\n"), 0, false, false, false},
		{STR("a\rb\r\n.\r\n"), STR("a\rb\r\n"), RECORD_F_BARE_CR, false, false, false},
		{STR("a\r\r\n.\r\n"), STR("a\r\r\n"), RECORD_F_BARE_CR, false, false, false},
		{STR("a\0\xff\r\n.\r\n"), STR("a\0\xff\r\n"), RECORD_F_NUL | RECORD_F_8BIT, false,
		 false, false},
		{STR("a\r\n\0.\r\n.\r\n"), STR("a\r\n\0.\r\n"), RECORD_F_NUL, false, false, true},
		{STR("a\r\n.\0\r\n.\r\n"), STR("a\r\n\0\r\n"), RECORD_F_NUL, false, false, true},
		{STR("a\n.\n\r\n.\r\n"), STR_NONE, 0, true, false, true},
		{STR("a\nb\r\n.\r\n"), STR_NONE, 0, true, false, false},
		{STR("a\r\n.\n\r\n.\r\n"), STR_NONE, 0, true, false, true},
		{STR("a\r\n.\r\r\n\r\n.\r\n"), STR_NONE, 0, false, true, true},
		{STR("a\r.\r\n.\r\n"), STR_NONE, 0, false, true, true},
		{STR("a.\rb\r\n.\r\n"), STR_NONE, 0, false, true, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct smtp_data d;
		struct out o = {.n = 0};

		smtp_data_init(&d, 1000, 0, false);
		assert_int_equal(feed(&d, &o, t[i].in.p, t[i].in.n, SIZE_MAX), t[i].in.n);
		assert_int_equal(d.state, SMTP_DATA_END);
		assert_int_equal(d.bare_lf, t[i].lf);
		assert_int_equal(d.bare_cr, t[i].cr);
		assert_int_equal(d.lookalike, t[i].lookalike);
		if (t[i].lf || t[i].cr)
			continue;
		assert_int_equal(d.flags, t[i].flags);
		assert_int_equal(o.n, t[i].out.n);
		if (o.n)
			assert_memory_equal(o.buf, t[i].out.p, o.n);
	}
}

static void test_words_bdat(void **state)
{
#define LF RECORD_F_BARE_LF
#define CR RECORD_F_BARE_CR
#define END RECORD_F_NO_FINAL_CRLF
	static const struct {
		struct str in;
		uint32_t flags;
		bool lookalike;
	} t[] = {
		{STR(""), 0, false}, {STR("a\r\n"), 0, false}, {STR("a"), END, false},
		/* The end of data itself is content, and looks like nothing else. */
		{STR(".\r\n"), 0, false}, {STR("a\r\n.\r\nb\r\n"), 0, false},
		{STR("a\r\n.."), END, false}, {STR("a\r\n."), END, false},
		{STR("\r\n.\r"), CR | END, true}, {STR("a\r"), CR | END, false},
		{STR("a\n"), LF | END, false}, {STR("\n"), LF | END, false},
		{STR("\n\r\n"), LF, false}, {STR("a\n.b\r\n"), LF, true},
		{STR("a\r.b\r\n"), CR, true}, {STR("a.\rb\r\n"), CR, false},
		{STR("\r\n.\r.\r\n"), CR, true}, {STR("\r\n.\n"), LF | END, true},
		{STR("\0.\r\n"), RECORD_F_NUL, true}, {STR(".\0\xff\r\n"),
		 RECORD_F_NUL | RECORD_F_8BIT, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct smtp_data d;
		struct out o = {.n = 0};

		smtp_data_init_bdat(&d, 1000, 0, false);
		assert_int_equal(feed(&d, &o, t[i].in.p, t[i].in.n, SIZE_MAX), t[i].in.n);
		smtp_data_finish_bdat(&d);
		assert_false(smtp_data_refused(&d));
		if (d.flags != (t[i].flags | RECORD_F_BDAT) || d.lookalike != t[i].lookalike)
			fail_msg("case %zu: flags %x", i, d.flags);
	}
}

static void test_lines_and_size(void **state)
{
	uint8_t buf[7100];
	/* Octets of a line without CRLF: at the limits and around them. */
	const size_t at[] = {998, 999, 1198, 1199, 5998, 5999, 6500};

	(void)state;
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		memset(buf, 'x', sizeof(buf));
		memcpy(buf + at[i], "\r\n.\r\n", 5);
		check(buf, at[i] + 5, false);
		check_bdat(buf, at[i] + 5, false);
		/* The same octets in lines of 80: only the size counts. */
		for (size_t k = 78; k + 2 <= at[i]; k += 80)
			memcpy(buf + k, "\r\n", 2);
		check(buf, at[i] + 5, false);
		check_bdat(buf, at[i] + 5, false);
	}
}

static void test_random(void **state)
{
	static const uint8_t alphabet[] = {'\r', '\n', '.', '\r', '\n', '.', 'a', 'b', 0, 0xe4};
	uint64_t seed = 0x9e3779b97f4a7c15ull;
	uint8_t buf[48];

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t n = 1 + (seed >> 33) % sizeof(buf);

		for (size_t i = 0; i < n; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			buf[i] = alphabet[(seed >> 33) % sizeof(alphabet)];
		}
		check(buf, n, round & 1);
		check_bdat(buf, n, round & 1);
	}
}

static uint32_t draw(uint64_t *seed, uint32_t below)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*seed >> 33) % below;
}

/* Lines, and now and then what none has; oddities at every place of a block of 64. */
static size_t draw_lines(uint64_t *seed, uint8_t *buf, size_t room)
{
	static const char *const odd[] = {"\r", "\n", "\r\r\n", ".", "\r\n.", "\r\n..", "\r\n.\r", "\r\n.\r\n", "\n.",
					  "\xe4", NULL};
	const unsigned int one_in = 1 + draw(seed, 400), longest = 1 + draw(seed, 200);
	size_t n = 0;

	while (n + 8 < room) {
		if (!draw(seed, one_in)) {
			const char *what = odd[draw(seed, sizeof(odd) / sizeof(odd[0]))];

			if (!what)
				buf[n++] = 0;
			else
				n += (size_t)snprintf((char *)buf + n, room - n, "%s", what);
		}
		for (uint32_t k = draw(seed, longest); k && n + 8 < room; k--)
			buf[n++] = (uint8_t)('a' + k % 26);
		buf[n++] = '\r';
		buf[n++] = '\n';
	}
	return n;
}

/* Each way in which blocks of lines are looked at, against octet by octet. */
static void test_blocks(void **state)
{
	uint64_t seed = 7;
	uint8_t buf[700];

	(void)state;
	for (enum smtp_lines_level level = SMTP_LINES_NONE; level <= SMTP_LINES_AVX512; level++) {
		if (smtp_lines_choose(level) != level) {
			print_message("level %d: this CPU has it not\n", (int)level);
			continue;
		}
		for (int round = 0; round < 300; round++) {
			size_t n = draw_lines(&seed, buf, 65 + draw(&seed, sizeof(buf) - 65));

			check(buf, n, round & 1);
			check_bdat(buf, n, round & 1);
		}
		test_lines_and_size(NULL);
	}
}

/* What blocks take of plain lines: all but what is less than one. */
static void blocks_take(void **state)
{
	uint8_t buf[64 * 80];

	(void)state;
	memset(buf, 'x', sizeof(buf));
	for (size_t i = 78; i + 2 <= sizeof(buf); i += 80)
		memcpy(buf + i, "\r\n", 2);
	for (enum smtp_lines_level level = SMTP_LINES_SSE2; level <= SMTP_LINES_AVX512; level++) {
		struct smtp_lines l = {.longest = 80, .begin = true};

		if (smtp_lines_choose(level) != level)
			continue;
		assert_in_range(smtp_lines_take(buf, sizeof(buf), &l), sizeof(buf) - 63, sizeof(buf));
		assert_false(l.high);
		l = (struct smtp_lines){.longest = 79, .begin = true};
		assert_in_range(smtp_lines_take(buf, sizeof(buf), &l), 64, 79);
	}
	smtp_lines_choose(SMTP_LINES_AVX512);
}

/* Who only watches gets all of it, whatever is in it, at any split; and hears of what was odd. */
static void test_passive(void **state)
{
	static const uint8_t in[] = "a\nb\r.c\r\n..d\r\n.\ne\0\xe4\r\n.\r\nQUIT";
	static const uint8_t want[] = "a\nb\r.c\r\n.d\r\n\ne\0\xe4\r\n";
	const size_t n = sizeof(in) - 1, end = n - 4;
	struct smtp_data d;
	struct out o;

	(void)state;
	for (size_t a = 0; a <= n; a++) {
		size_t used;

		smtp_data_init_passive(&d, false);
		o.n = 0;
		used = feed(&d, &o, in, a, SIZE_MAX);
		used += feed(&d, &o, in + used, n - used, SIZE_MAX);
		assert_int_equal(used, end);
		assert_int_equal(d.state, SMTP_DATA_END);
		assert_int_equal(o.n, sizeof(want) - 1);
		assert_memory_equal(o.buf, want, o.n);
		assert_int_equal(d.size, o.n);
		assert_true(d.bare_lf && d.bare_cr && d.lookalike && !smtp_data_refused(&d));
		assert_int_equal(d.flags, RECORD_F_BARE_CR | RECORD_F_NUL | RECORD_F_8BIT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_words_bdat),
		cmocka_unit_test(test_lines_and_size),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_passive),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(blocks_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
