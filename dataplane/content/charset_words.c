/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/charset_words.h"

#define PIECE 256u

static int begin(void *ctx, struct str name)
{
	struct charset_words *w = ctx;

	return charset_begin(&w->c, name);
}

static void give(struct charset_words *w, const uint8_t *p, size_t n, words_out out, void *out_ctx)
{
	*w->bad |= w->c.bad;
	if (n)
		out(out_ctx, p, n);
}

static void feed(void *ctx, const uint8_t *p, size_t n, words_out out, void *out_ctx)
{
	struct charset_words *w = ctx;
	uint8_t buf[CHARSET_OUT(PIECE)];

	while (n) {
		size_t k = n < PIECE ? n : PIECE;

		give(w, buf, charset_feed(&w->c, p, k, buf), out, out_ctx);
		p += k;
		n -= k;
	}
}

static void end(void *ctx, words_out out, void *out_ctx)
{
	struct charset_words *w = ctx;
	uint8_t buf[CHARSET_OUT(0)];
	size_t n = charset_end(&w->c, buf);

	give(w, buf, n, out, out_ctx);
}

struct words_charset charset_words(struct charset_words *w)
{
	return (struct words_charset){.begin = begin, .feed = feed, .end = end, .ctx = w};
}
