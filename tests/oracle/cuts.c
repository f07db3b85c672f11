/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "tests/oracle/cuts.h"

#include <stdlib.h>

#include "dataplane/content/content.h"

/* An octet a run costs a call each. */
#define OCTETS_MAX 3000u

const char *cuts_name(enum cuts_kind k)
{
	static const char *const name[CUTS_KINDS] = {"few",    "octets",   "tiny",
						     "inside", "boundary", "segments"};

	return name[k];
}

static void add(struct cuts *c, size_t at)
{
	if (c->n == c->cap) {
		c->cap = 2 * c->cap + 64;
		c->at = realloc(c->at, c->cap * sizeof(*c->at));
		if (!c->at)
			abort();
	}
	c->at[c->n++] = at;
}

static int ascending(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return x < y ? -1 : x > y;
}

static void runs(struct cuts *c, struct rng *r, size_t from, size_t to, uint32_t least,
		 uint32_t most)
{
	for (size_t at = from; at < to; at += least + rng_below(r, most - least + 1))
		add(c, at);
}

/* Places where an octet depends on the one before. */
static bool inside(struct str t, size_t i)
{
	uint8_t before = t.p[i - 1], c = t.p[i];

	return (before == '\r' && c == '\n') || (c & 0xc0) == 0x80 || before == '=' ||
	       before == '%' || before == '&' || before == '<' || c == '=' ||
	       (before == '\n' && (c == '-' || c == ' ' || c == '\r'));
}

static void insides(struct cuts *c, struct rng *r, struct str t)
{
	uint32_t one_in = 1 + rng_below(r, 12);

	for (size_t i = 1; i < t.n && c->n < 2 * OCTETS_MAX; i++)
		if ((inside(t, i) && !rng_below(r, one_in)) || !rng_below(r, 400))
			add(c, i);
}

void cuts_draw(struct cuts *c, struct rng *r, struct str text)
{
	size_t n = text.n, from;

	c->n = 0;
	c->kind = (enum cuts_kind)rng_below(r, CUTS_KINDS);
	if (!n)
		return;
	switch (c->kind) {
	case CUTS_OCTETS:
		from = n > OCTETS_MAX ? rng_below(r, (uint32_t)(n - OCTETS_MAX)) : 0;
		runs(c, r, from, from + OCTETS_MAX < n ? from + OCTETS_MAX : n, 1, 1);
		break;
	case CUTS_TINY:
		from = n > 16 * OCTETS_MAX ? rng_below(r, (uint32_t)(n - 16 * OCTETS_MAX)) : 0;
		runs(c, r, from, from + 16 * OCTETS_MAX < n ? from + 16 * OCTETS_MAX : n, 0, 16);
		break;
	case CUTS_INSIDE:
		insides(c, r, text);
		break;
	case CUTS_BOUNDARY:
		for (size_t k = CONTENT_RUN; k < n + 8; k += CONTENT_RUN)
			for (uint32_t i = rng_below(r, 4); i; i--)
				add(c, k - 4 + rng_below(r, 9));
		add(c, n - 1 - rng_below(r, n < 40 ? (uint32_t)n : 40));
		add(c, rng_below(r, n < 40 ? (uint32_t)n : 40));
		break;
	case CUTS_SEGMENTS:
		from = 500 + rng_below(r, 1200);
		for (size_t k = from; k < n; k += from)
			add(c, k);
		break;
	default:
		for (uint32_t i = 1 + rng_below(r, 8); i; i--)
			add(c, rng_below(r, (uint32_t)n + 1));
		break;
	}
	if (c->n)
		qsort(c->at, c->n, sizeof(*c->at), ascending);
	while (c->n && c->at[c->n - 1] > n)
		c->n--;
}

void cuts_free(struct cuts *c)
{
	free(c->at);
	*c = (struct cuts){0};
}
