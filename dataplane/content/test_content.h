/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What the tests of words, html and uri share: collected output, inputs put together at random from
 * pieces, and the bound on steps. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "postern/str.h"

uint64_t content_steps;

struct collected {
	uint8_t *p;
	size_t n, room;
};

static inline void collect(struct collected *c, const void *p, size_t n)
{
	if (n == 0)
		return;
	if (n > c->room - c->n) {
		c->room = 2 * (c->n + n);
		c->p = realloc(c->p, c->room);
		assert_non_null(c->p);
	}
	memcpy(c->p + c->n, p, n);
	c->n += n;
}

static inline struct str collected(const struct collected *c)
{
	return str_make(c->p ? c->p : (const uint8_t *)"", c->n);
}

static inline void assert_str(struct str got, struct str want, struct str input)
{
	if (str_eq(got, want))
		return;
	print_error("input \"%.*s\"\n got  \"%.*s\"\n want \"%.*s\"\n", STR_FMT(input),
		    STR_FMT(got), STR_FMT(want));
	fail();
}

static inline uint64_t test_random(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Up to `most` of the pieces behind each other; the length. */
static inline size_t test_compose(uint8_t *buf, size_t size, const char *const *piece,
				  size_t pieces, size_t most)
{
	size_t n = 0;

	for (size_t k = test_random() % (most + 1); k; k--) {
		const char *s = piece[test_random() % pieces];
		size_t len = strlen(s);

		if (n + len > size)
			break;
		memcpy(buf + n, s, len);
		n += len;
	}
	/* Now and then octets that nobody expects. */
	for (size_t k = test_random() % 8; n && k == 0; k++)
		buf[test_random() % n] = (uint8_t)test_random();
	return n;
}

/* Steps of a hostile input of n octets and of 2n: at most `most` an octet, and twice as many. The
 * input is `first` and then `piece` again and again. */
static inline void test_linear(const char *first, const char *piece,
			       void (*run)(const uint8_t *p, size_t n), unsigned int most)
{
	size_t size = 1u << 18, n = strlen(first), len = strlen(piece);
	uint8_t *buf = malloc(2 * size + n + len);
	uint64_t once, twice;

	assert_non_null(buf);
	memcpy(buf, first, n);
	for (; n < 2 * size; n += len)
		memcpy(buf + n, piece, len);
	content_steps = 0;
	run(buf, size);
	once = content_steps;
	content_steps = 0;
	run(buf, 2 * size);
	twice = content_steps;
	if (once < size / 64 || once > most * size || twice > 2 * once + size / 4)
		print_error("\"%s\" again and again: %.2f steps an octet, then %.2f\n", piece,
			    (double)once / (double)size, (double)twice / 2 / (double)size);
	assert_true(once >= size / 64); /* or nothing was counted */
	assert_true(once <= most * size);
	assert_true(twice <= 2 * once + size / 4);
	free(buf);
}
