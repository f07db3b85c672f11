/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/scan/scan_views.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "postern/stats.h"

struct scan_large {
	struct scan_views *v;
	struct scan_large *next_free;
	struct content *content;
	struct scan_worker *w;
	const struct content_plan *plan;
	struct content_sink sink;
	struct scan_target target;
	struct scan_message *stream[VIEW_COUNT];
	uint32_t open;            /* bit (1 << slot): its stream is */
	uint32_t flags;
};

struct scan_views {
	uint64_t *counters;
	struct scan_large whole;  /* of messages in one piece */
	struct scan_large *large;
	struct scan_large *free;
	uint32_t n_free;
	uint8_t *memory;
};

#define FULL (1u << VIEW_FULL)

static size_t state_size(void)
{
	return (content_size() + 63) & ~(size_t)63;
}

static uint32_t block(struct scan_large *l, unsigned int slot, const uint8_t *p, size_t n)
{
	return scan_block(l->w, slot, p, n, l->target.match, l->target.n_matches, l->target.cap);
}

/* Control evaluates the slot's rules, and only these, in full. */
static void partial(struct scan_large *l, unsigned int slot)
{
	struct scan_target *t = &l->target;

	if (!scan_has_patterns(l->w, slot))
		return;
	if (*t->n_matches < t->cap)
		t->match[(*t->n_matches)++] = (struct handoff_match){
			.rule = HANDOFF_PARTIAL, .slot = (uint16_t)slot, .count = 1};
	else
		l->flags |= RECORD_F_MATCHES_CUT;
}

static void close_stream(struct scan_large *l, unsigned int slot)
{
	l->flags |= scan_close(l->stream[slot], l->target.match, l->target.n_matches, l->target.cap);
	l->stream[slot] = NULL;
	l->open &= ~(1u << slot);
}

static void stream(struct scan_large *l, unsigned int slot, const uint8_t *p, size_t n, bool first)
{
	if (first) {
		l->flags |= scan_present(l->w, slot, l->target.match, l->target.n_matches, l->target.cap);
		if (!scan_has_patterns(l->w, slot))
			return;
		l->stream[slot] = scan_open(l->w, slot);
		if (l->stream[slot])
			l->open |= 1u << slot;
		else
			partial(l, slot);
	}
	if (!(l->open & 1u << slot))
		return;
	l->flags |= scan_run(l->stream[slot], p, n, l->target.match, l->target.n_matches,
			     l->target.cap);
}

static void on_run(void *ctx, unsigned int slot, const uint8_t *p, size_t n, unsigned int flags)
{
	struct scan_large *l = ctx;

	if (flags == (CONTENT_RUN_FIRST | CONTENT_RUN_LAST)) {
		l->flags |= block(l, slot, p, n);
		return;
	}
	if (slot >= VIEW_COUNT) {
		if (flags & CONTENT_RUN_FIRST) {
			partial(l, slot);
			l->flags |= block(l, slot, p, n);
		}
		return;
	}
	stream(l, slot, p, n, flags & CONTENT_RUN_FIRST);
	if (flags & CONTENT_RUN_LAST && l->open & 1u << slot)
		close_stream(l, slot);
}

static bool wants_content(const struct content_plan *plan)
{
	return (plan->views & ~FULL) || plan->n_selectors;
}

static void begin(struct scan_large *l, struct scan_worker *w, const struct scan_target *t)
{
	l->w = w;
	l->plan = scan_worker_plan(w);
	l->target = *t;
	l->open = 0;
	l->flags = 0;
	if (wants_content(l->plan))
		content_begin(l->content, l->plan, &l->sink);
}

static void count_marks(struct scan_views *v, uint32_t marks)
{
	static const struct {
		uint32_t mark;
		unsigned int counter;
	} of[] = {
#define M(mark, name) {CONTENT_M_##mark, CNT_content_##name}
		M(HEADER_CUT, header_cut), M(NESTING, nesting), M(PARTS, parts), M(NO_END, no_end),
		M(BAD_BOUNDARY, bad_boundary), M(BAD_ENCODING, bad_encoding),
		M(UNKNOWN_ENCODING, unknown_encoding), M(UNKNOWN_CHARSET, unknown_charset),
		M(BAD_CHARSET, bad_charset), M(NUL, nul), M(8BIT_HEADER, 8bit_header),
		M(HTML_CUT, html_cut), M(URI_CUT, uri_cut), M(DUPLICATE_FIELD, duplicate_field),
		M(BAD_FIELD, bad_field), M(ARCHIVE, archive),
#undef M
	};

	for (size_t i = 0; marks && i < sizeof(of) / sizeof(of[0]); i++)
		if (marks & of[i].mark)
			v->counters[of[i].counter]++;
}

static struct scan_outcome finish(struct scan_large *l)
{
	struct scan_outcome o = {0};

	if (wants_content(l->plan)) {
		content_end(l->content);
		o.marks = content_marks(l->content);
		count_marks(l->v, o.marks);
	}
	o.flags = l->flags;
	return o;
}

struct scan_outcome scan_views_block(struct scan_views *v, struct scan_worker *w, const uint8_t *p,
				     size_t n, const struct scan_target *t)
{
	struct scan_large *l = &v->whole;

	begin(l, w, t);
	if (l->plan->views & FULL)
		l->flags |= block(l, VIEW_FULL, p, n);
	if (wants_content(l->plan))
		content_feed(l->content, p, n);
	return finish(l);
}

struct scan_large *scan_views_open(struct scan_views *v, struct scan_worker *w,
				   const struct scan_target *t)
{
	struct scan_large *l = v->free;

	if (!l) {
		v->counters[CNT_scan_no_stream]++;
		return NULL;
	}
	v->free = l->next_free;
	v->n_free--;
	begin(l, w, t);
	if (l->plan->views & FULL)
		stream(l, VIEW_FULL, NULL, 0, true);
	return l;
}

uint32_t scan_views_left(const struct scan_views *v)
{
	return v->n_free;
}

void scan_large_run(struct scan_large *l, const uint8_t *p, size_t n)
{
	if (l->plan->views & FULL)
		stream(l, VIEW_FULL, p, n, false);
	if (wants_content(l->plan))
		content_feed(l->content, p, n);
}

static void put_back(struct scan_large *l)
{
	l->next_free = l->v->free;
	l->v->free = l;
	l->v->n_free++;
}

struct scan_outcome scan_large_close(struct scan_large *l)
{
	struct scan_outcome o;

	if (l->open & FULL)
		close_stream(l, VIEW_FULL);
	o = finish(l);
	put_back(l);
	return o;
}

void scan_large_abort(struct scan_large *l)
{
	for (unsigned int i = 0; i < VIEW_COUNT; i++)
		if (l->open & 1u << i)
			scan_abort(l->stream[i]);
	l->open = 0;
	put_back(l);
}

int scan_views_new(unsigned int max_large, uint64_t *counters, struct scan_views **out)
{
	struct scan_views *v = calloc(1, sizeof(*v));
	size_t size = state_size();

	*out = NULL;
	if (!v)
		return -ENOMEM;
	v->counters = counters;
	v->large = calloc(max_large + 1u, sizeof(*v->large));
	v->memory = aligned_alloc(64, size * (max_large + 1u));
	if (!v->large || !v->memory) {
		scan_views_free(v);
		return -ENOMEM;
	}
	v->whole.v = v;
	v->whole.content = content_init(v->memory);
	v->whole.sink = (struct content_sink){.run = on_run, .ctx = &v->whole};
	for (unsigned int i = 0; i < max_large; i++) {
		v->large[i].v = v;
		v->large[i].sink = (struct content_sink){.run = on_run, .ctx = &v->large[i]};
		v->large[i].content = content_init(v->memory + (i + 1u) * size);
		put_back(&v->large[i]);
	}
	*out = v;
	return 0;
}

void scan_views_free(struct scan_views *v)
{
	if (!v)
		return;
	free(v->large);
	free(v->memory);
	free(v);
}
