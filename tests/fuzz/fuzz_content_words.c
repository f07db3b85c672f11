/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Words of a field's value. What is decoded is UTF-8 without line ends, every conversion that began
 * has ended, and neither depends on how the converter takes its octets: whole, and one by one.
 * Without "=?" decoding is unfolding. A parameter stays within its buffer, and a shorter buffer has
 * the start of what a longer one has.
 */

#include <stdlib.h>
#include <string.h>

#include "dataplane/content/test_words.h"
#include "postern/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct result {
	uint8_t *p;
	size_t n, room;
};

static struct result one, two;
static struct test_charset state;

static void out(void *ctx, const uint8_t *p, size_t n)
{
	struct result *r = ctx;

	if (n == 0)
		abort();
	if (n > r->room - r->n) {
		r->room = 2 * (r->n + n);
		r->p = realloc(r->p, r->room);
		if (!r->p)
			abort();
	}
	memcpy(r->p + r->n, p, n);
	r->n += n;
}

static void feed_single(void *ctx, const uint8_t *p, size_t n, words_out to, void *to_ctx)
{
	for (size_t i = 0; i < n; i++)
		test_charset_feed(ctx, p + i, 1, to, to_ctx);
}

static void closed(void)
{
	if (state.open != TEST_CLOSED)
		abort();
}

static void same(void)
{
	if (one.n != two.n || (one.n && memcmp(one.p, two.p, one.n)))
		abort();
}

static void check_param(struct str s, const struct words_charset *cs)
{
	uint8_t small[7], large[512];
	size_t n_small, n_large;
	uint32_t marks_small = 0, marks_large = 0;
	bool there = words_param(s, STR("name"), cs, large, sizeof(large), &n_large, &marks_large);

	closed();
	if (words_param(s, STR("name"), cs, small, sizeof(small), &n_small, &marks_small) != there)
		abort();
	if (n_small != (n_large < sizeof(small) ? n_large : sizeof(small)) ||
	    memcmp(small, large, n_small) || (!there && n_large))
		abort();
	closed();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct words_charset cs = TEST_CHARSET(state), single = cs;
	struct str s = str_make(p, n);
	uint8_t type[32];
	size_t len;

	single.feed = feed_single;
	one.n = two.n = 0;
	(void)words_decode(s, &cs, out, &one);
	closed();
	(void)words_decode(s, &single, out, &two);
	same();
	for (size_t i = 0; i < one.n; i += len)
		if (utf8_at(str_make(one.p, one.n), i, &len) < 0 || one.p[i] == '\n' ||
		    one.p[i] == '\r')
			abort();
	if (!memmem(p, n, "=?", 2)) {
		two.n = 0;
		(void)words_unfold(s, out, &two);
		same();
	}
	check_param(s, &cs);
	check_param(s, NULL);
	(void)words_main(s, type, sizeof(type), &len);
	one.n = 0;
	if (words_addresses(s, 3, out, &one) > 3)
		abort();
	(void)words_names(s, SIZE_MAX, &cs, out, &one);
	closed();
	return 0;
}
