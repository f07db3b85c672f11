/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/scan/scan_gates.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A run of up to this is joined with what was carried; of a longer one its head. More than a place
 * is followed over, and what lies before a gram. */
#define HEAD 256u

struct call {
	scan_gates_found *found;
	void *ctx;
	uint64_t base;            /* octets of the text before the piece at hand */
};

static void on_found(void *ctx, uint32_t id, size_t end)
{
	const struct call *c = ctx;

	c->found(c->ctx, id, c->base + end);
}

static void places(const struct scan_gates *g, const uint8_t *p, size_t n, size_t from, size_t to, bool last,
		   struct call *c)
{
	if (g->literals_mem)
		literals_run(&g->literals, p, n, from, to, c->base, on_found, c);
	if (g->automaton_mem)
		automaton_run(&g->automaton, p, n, from, to, last, on_found, c);
}

void scan_gates_block(const struct scan_gates *g, const uint8_t *p, size_t n, scan_gates_found *found, void *ctx)
{
	struct call c = {found, ctx, 0};

	places(g, p, n, 0, n, true, &c);
}

/* The last octets of p[0..n), whose first `done` places were looked at. */
static void carry(struct scan_carry *c, const uint8_t *p, size_t n, size_t done)
{
	size_t keep = n < sizeof(c->octet) ? n : sizeof(c->octet);

	memcpy(c->octet, p + n - keep, keep);
	c->n = (uint8_t)keep;
	c->done = (uint8_t)(done - (n - keep));
}

void scan_gates_run(const struct scan_gates *g, struct scan_carry *c, uint64_t before, const uint8_t *p,
		    size_t n, scan_gates_found *found, void *ctx)
{
	uint8_t joined[sizeof(c->octet) + HEAD];
	size_t head = n < HEAD ? n : HEAD, len = c->n + head, to;
	struct call call = {found, ctx, before - c->n};

	memcpy(joined, c->octet, c->n);
	memcpy(joined + c->n, p, head);
	if (n <= HEAD) {
		to = len > SCAN_GATES_AHEAD + c->done ? len - SCAN_GATES_AHEAD : c->done;
		places(g, joined, len, c->done, to, false, &call);
		carry(c, joined, len, to);
		return;
	}
	places(g, joined, len, c->done, c->n + SCAN_GATES_BEHIND, false, &call);
	call.base = before;
	places(g, p, n, SCAN_GATES_BEHIND, n - SCAN_GATES_AHEAD, false, &call);
	carry(c, p, n, n - SCAN_GATES_AHEAD);
}

void scan_gates_end(const struct scan_gates *g, const struct scan_carry *c, uint64_t before,
		    scan_gates_found *found, void *ctx)
{
	struct call call = {found, ctx, before - c->n};

	places(g, c->octet, c->n, c->done, c->n, true, &call);
}

static int copy(const uint8_t *from, size_t len, void **out, size_t *bytes)
{
	size_t size = (len + SCAN_BUNDLE_ALIGN - 1) / SCAN_BUNDLE_ALIGN * SCAN_BUNDLE_ALIGN;

	*out = aligned_alloc(SCAN_BUNDLE_ALIGN, size);
	if (!*out)
		return -ENOMEM;
	memcpy(*out, from, len);
	*bytes += size;
	return 0;
}

int scan_gates_load(const uint8_t *literals, size_t literals_len, const uint8_t *automaton,
		    size_t automaton_len, uint32_t ids, struct scan_gates *out, size_t *bytes, const char **why)
{
	*why = NULL;
	if (literals_len) {
		if (copy(literals, literals_len, &out->literals_mem, bytes))
			return -ENOMEM;
		*why = literals_open(out->literals_mem, literals_len, ids, &out->literals);
	}
	if (automaton_len && !*why) {
		if (copy(automaton, automaton_len, &out->automaton_mem, bytes))
			return -ENOMEM;
		*why = automaton_open(out->automaton_mem, automaton_len, ids, &out->automaton);
	}
	return *why ? -EINVAL : 0;
}

void scan_gates_free(struct scan_gates *g)
{
	free(g->literals_mem);
	free(g->automaton_mem);
	*g = (struct scan_gates){0};
}
