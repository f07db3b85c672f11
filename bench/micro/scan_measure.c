/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Messages through the dataplane's scan, whole and in pieces. */

#include "bench/micro/scan.h"

/* What is said of a slot (HANDOFF_PRESENT and its kind) is no match. */
static uint64_t patterns(const struct sb_scanned *s)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < s->n; i++)
		n += s->match[i].rule < UINT32_MAX - 15 ? s->match[i].count : 0;
	return n;
}

void sb_scan(const struct sb_set *s, const uint8_t *p, size_t n, struct sb_scanned *out)
{
	const struct scan_target t = {out->match, &out->n, HANDOFF_MAX_MATCHES};
	struct scan_large *l;

	out->n = out->flags = 0;
	if (!s->worker)
		return;
	/* dataplane/message.c: a message of up to one chunk is one run in block mode. */
	if (n <= HANDOFF_CHUNK) {
		out->flags = scan_views_block(s->views, s->worker, p, n, &t).flags;
		return;
	}
	l = scan_views_open(s->views, s->worker, &t);
	if (!l)
		sb_die("no state for a large message");
	for (size_t i = 0; i < n; i += HANDOFF_CHUNK)
		scan_large_run(l, p + i, n - i < HANDOFF_CHUNK ? n - i : HANDOFF_CHUNK);
	out->flags = scan_large_close(l).flags;
}

struct sb_cost sb_whole(const struct sb_set *s, const struct sb_corpus *c, size_t n_messages,
			bool large)
{
	static struct sb_scanned out;
	struct sb_cost cost = {0};
	uint64_t start = sb_now();

	for (size_t i = 0; i < n_messages && i < c->n; i++) {
		if ((c->message[i].n > HANDOFF_CHUNK) != large)
			continue;
		sb_scan(s, sb_octets(c, i), c->message[i].n, &out);
		cost.matches += patterns(&out);
		cost.octets += c->message[i].n;
	}
	cost.ns = sb_now() - start;
	return cost;
}

static void count(void *ctx, unsigned int slot, const uint8_t *p, size_t n, unsigned int flags)
{
	struct sb_cost *cost = ctx;

	(void)slot;
	(void)flags;
	cost->matches += n ? p[0] : 1;
}

struct sb_cost sb_made_only(const struct sb_set *s, const struct sb_corpus *c)
{
	struct sb_cost cost = {0};
	const struct content_sink sink = {count, &cost};
	const struct content_plan *plan = sb_set_plan(s);
	struct content *content = content_init(s->content);
	uint64_t start = sb_now();

	for (size_t i = 0; i < c->n; i++) {
		const uint8_t *p = sb_octets(c, i);
		size_t n = c->message[i].n;

		content_begin(content, plan, &sink);
		for (size_t k = 0; k < n; k += HANDOFF_CHUNK)
			content_feed(content, p + k, n - k < HANDOFF_CHUNK ? n - k : HANDOFF_CHUNK);
		content_end(content);
		cost.octets += n;
	}
	cost.ns = sb_now() - start;
	cost.matches = 0;
	return cost;
}

/* Of a selector no more than the first run is looked at. */
static bool is_of(const struct sb_run *r, unsigned int view)
{
	return view == SB_HEADERS ? r->slot >= CONTENT_SLOT_SELECTOR && r->flags & CONTENT_RUN_FIRST
				  : r->slot == view;
}

/* As on_run() of dataplane/scan/scan_views.c. */
struct sb_cost sb_view(const struct sb_set *s, const struct sb_views *v, unsigned int view)
{
	static struct sb_scanned out;
	struct scan_message *stream = NULL;
	struct sb_cost cost = {0};
	uint32_t message = UINT32_MAX;
	uint64_t start = sb_now();

	for (size_t i = 0; i < v->n && s->worker; i++) {
		const struct sb_run *r = &v->run[i];
		const uint8_t *p = v->data + r->off;

		if (!is_of(r, view) || !scan_has_patterns(s->worker, r->slot))
			continue;
		if (r->message != message) {
			cost.matches += patterns(&out);
			message = r->message;
			out.n = 0;
		}
		cost.octets += r->n;
		if (r->slot >= CONTENT_SLOT_SELECTOR ||
		    r->flags == (CONTENT_RUN_FIRST | CONTENT_RUN_LAST)) {
			scan_block(s->worker, r->slot, p, r->n, out.match, &out.n, HANDOFF_MAX_MATCHES);
			continue;
		}
		if (r->flags & CONTENT_RUN_FIRST)
			stream = scan_open(s->worker, r->slot);
		if (!stream)
			sb_die("no stream for a view");
		scan_run(stream, p, r->n, out.match, &out.n, HANDOFF_MAX_MATCHES);
		if (r->flags & CONTENT_RUN_LAST) {
			scan_close(stream, out.match, &out.n, HANDOFF_MAX_MATCHES);
			stream = NULL;
		}
	}
	cost.matches += patterns(&out);
	out.n = 0;
	cost.ns = sb_now() - start;
	return cost;
}
