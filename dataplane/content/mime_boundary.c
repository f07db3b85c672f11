/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/mime_priv.h"

/* FNV-1a. Who makes boundaries collide has at most LIMIT_MIME_NESTING of them. */
#define HASH_START 2166136261u

static uint32_t hash_step(uint32_t h, uint8_t c)
{
	return (h ^ c) * 16777619u;
}

static uint32_t hash(struct str s)
{
	uint32_t h = HASH_START;

	for (size_t i = 0; i < s.n; i++)
		h = hash_step(h, s.p[i]);
	return h;
}

static uint8_t *bucket(struct mime *m, uint32_t h)
{
	return &m->bucket[(h ^ h >> 16) % MIME_BUCKETS];
}

/* The innermost open level of the layer with this boundary. */
static unsigned int find(const struct mime *m, unsigned int layer, struct str s, uint32_t h)
{
	unsigned int i = m->bucket[(h ^ h >> 16) % MIME_BUCKETS];

	for (; i; i = m->level[i - 1].next) {
		const struct mime_level *l = &m->level[i - 1];

		if (l->hash == h && l->layer == layer && l->len == s.n &&
		    memcmp(m->boundary + l->off, s.p, s.n) == 0)
			return i - 1;
	}
	return MIME_NO_LEVEL;
}

bool mime_boundary_is_open(const struct mime *m, unsigned int layer, struct str boundary)
{
	return find(m, layer, boundary, hash(boundary)) != MIME_NO_LEVEL;
}

bool mime_boundary_push(struct mime *m, struct mime_level *l, struct str boundary)
{
	uint8_t *b;

	if (boundary.n > sizeof(m->boundary) - m->n_boundary)
		return false;
	memcpy(m->boundary + m->n_boundary, boundary.p, boundary.n);
	l->off = m->n_boundary;
	l->len = (uint16_t)boundary.n;
	l->hash = hash(boundary);
	l->open = true;
	m->n_boundary += (uint16_t)boundary.n;
	m->layer[l->layer].n_open++;
	b = bucket(m, l->hash);
	l->next = *b;
	*b = (uint8_t)(l - m->level + 1);
	return true;
}

void mime_boundary_close(struct mime *m, unsigned int level)
{
	struct mime_level *l = &m->level[level];
	uint8_t *at;

	if (!l->open)
		return;
	l->open = false;
	m->layer[l->layer].n_open--;
	for (at = bucket(m, l->hash); *at != level + 1; at = &m->level[*at - 1].next)
		;
	*at = l->next;
}

unsigned int mime_boundary_find(const struct mime *m, unsigned int layer, struct str line,
				bool *close)
{
	uint32_t h = HASH_START, before = h;
	unsigned int whole, cut = MIME_NO_LEVEL;
	struct str s = str_skip(line, 2);

	/* RFC 2046 5.1.1: transport-padding. */
	while (s.n && ascii_is_wsp_crlf(s.p[s.n - 1]))
		s.n--;
	for (size_t i = 0; i < s.n; i++) {
		if (i + 2 == s.n)
			before = h;
		h = hash_step(h, s.p[i]);
	}
	whole = s.n ? find(m, layer, s, h) : MIME_NO_LEVEL;
	if (s.n > 2 && s.p[s.n - 1] == '-' && s.p[s.n - 2] == '-')
		cut = find(m, layer, str_cut(s, s.n - 2), before);
	/* The boundary of one may be that of another with two hyphens behind it. */
	*close = cut != MIME_NO_LEVEL && (whole == MIME_NO_LEVEL || cut > whole);
	return *close ? cut : whole;
}
