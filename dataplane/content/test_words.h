/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* A words_charset for tests: UTF-8 and US-ASCII as they are (what is cut short becomes U+FFFD),
 * ISO-8859-1. Counts that every conversion that began has ended. */

#include <errno.h>
#include <stdlib.h>

#include "dataplane/content/words.h"
#include "postern/utf8.h"

struct test_charset {
	enum { TEST_CLOSED, TEST_UTF8, TEST_LATIN1 } open;
	uint8_t held[4]; /* of a character */
	unsigned int n_held;
};

static int test_charset_begin(void *ctx, struct str name)
{
	struct test_charset *t = ctx;

	if (t->open != TEST_CLOSED)
		abort();
	if (str_ieq(name, STR("utf-8")) || str_ieq(name, STR("us-ascii")))
		t->open = TEST_UTF8;
	else if (str_ieq(name, STR("iso-8859-1")))
		t->open = TEST_LATIN1;
	else
		return -ENOENT;
	t->n_held = 0;
	return 0;
}

static unsigned int test_charset_needs(uint8_t lead)
{
	return lead < 0xc2 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 1;
}

static void test_charset_feed(void *ctx, const uint8_t *p, size_t n, words_out out, void *out_ctx)
{
	struct test_charset *t = ctx;

	if (t->open == TEST_CLOSED)
		abort();
	for (size_t i = 0; i < n; i++) {
		size_t len;

		if (t->open == TEST_LATIN1) {
			uint8_t two[2] = {(uint8_t)(0xc0 | p[i] >> 6),
					  (uint8_t)(0x80 | (p[i] & 0x3f))};

			if (p[i] < 0x80)
				out(out_ctx, p + i, 1);
			else
				out(out_ctx, two, 2);
			continue;
		}
		if (t->n_held && (p[i] & 0xc0) != 0x80) {
			out(out_ctx, (const uint8_t *)"\xef\xbf\xbd", 3);
			t->n_held = 0;
		}
		t->held[t->n_held++] = p[i];
		if (t->n_held < test_charset_needs(t->held[0]))
			continue;
		if (utf8_at(str_make(t->held, t->n_held), 0, &len) < 0)
			out(out_ctx, (const uint8_t *)"\xef\xbf\xbd", 3);
		else
			out(out_ctx, t->held, t->n_held);
		t->n_held = 0;
	}
}

static void test_charset_end(void *ctx, words_out out, void *out_ctx)
{
	struct test_charset *t = ctx;

	if (t->open == TEST_CLOSED)
		abort();
	if (t->n_held)
		out(out_ctx, (const uint8_t *)"\xef\xbf\xbd", 3);
	t->n_held = 0;
	t->open = TEST_CLOSED;
}

#define TEST_CHARSET(state)                                                                        \
	((struct words_charset){test_charset_begin, test_charset_feed, test_charset_end, &(state)})
