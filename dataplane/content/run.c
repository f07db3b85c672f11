/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/run.h"

void run_begin(struct content_run *r, const struct content_sink *sink, unsigned int slot,
	       uint8_t *buf)
{
	*r = (struct content_run){.sink = sink, .buf = buf, .slot = (uint16_t)slot};
}

static void give(struct content_run *r, unsigned int last)
{
	unsigned int flags = (r->begun ? 0 : CONTENT_RUN_FIRST) | last;

	r->sink->run(r->sink->ctx, r->slot, r->buf, r->n, flags);
	r->begun = true;
	r->n = 0;
}

uint8_t *run_space(struct content_run *r, size_t *room)
{
	if (r->n == CONTENT_RUN)
		give(r, 0);
	*room = CONTENT_RUN - r->n;
	return r->buf + r->n;
}

void run_put(struct content_run *r, const uint8_t *p, size_t n)
{
	r->there = true;
	while (n) {
		size_t room;
		uint8_t *at = run_space(r, &room);
		size_t k = n < room ? n : room;

		memcpy(at, p, k);
		r->n += (uint32_t)k;
		p += k;
		n -= k;
	}
}

void run_flush(struct content_run *r)
{
	if (r->n)
		give(r, 0);
}

void run_end(struct content_run *r)
{
	if (r->there)
		give(r, CONTENT_RUN_LAST);
}

void run_words(void *ctx, const uint8_t *p, size_t n)
{
	run_put(ctx, p, n);
}
