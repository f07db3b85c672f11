/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/scan/scan_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "postern/stats.h"

/*
 * Where in the match list a rule was found last, and how many places of a gate are there. Only a
 * hint, checked against the list itself, so that it serves all messages of the worker and is never
 * cleared.
 */
#define SCAN_HINTS 1024u
struct scan_hint {
	uint16_t at;
	uint16_t places;
};
/* Places of gates leave so much of the list to rules that are not in it yet. */
#define PLACES_SHARE 2u

struct scan_message {
	struct scan_worker *w;
	struct scan_message *next_free;
	hs_stream_t *stream;      /* NULL: the view has gates only */
	uint8_t view;
	bool failed;
	bool open;
	uint64_t octets;          /* so far */
	struct scan_carry carry;
};

struct scan_worker {
	struct scan_generation *g;
	uint64_t *counters;
	hs_scratch_t *scratch;
	unsigned int max_streams;
	unsigned int busy;
	struct scan_message *free[VIEW_COUNT];
	struct scan_message *slot[VIEW_COUNT]; /* max_streams each, or NULL */
	struct scan_hint hint[SCAN_HINTS];
};

/* One call: where its matches go. */
struct scan_call {
	struct scan_worker *w;
	struct handoff_match *match;
	uint32_t *n;
	uint32_t cap;
	uint32_t flags;
	uint16_t slot;
};

static bool is_match(const struct scan_call *t, uint32_t i, uint32_t rule)
{
	return i < *t->n && t->match[i].rule == rule && t->match[i].slot == t->slot;
}

static struct scan_hint *hint_of(struct scan_call *t, uint32_t rule)
{
	return &t->w->hint[((rule + t->slot * 64u) * 2654435761u) >> 22];
}

static struct handoff_match *find_match(struct scan_call *t, uint32_t rule)
{
	struct scan_hint *hint = hint_of(t, rule);

	if (is_match(t, hint->at, rule))
		return &t->match[hint->at];
	for (uint32_t i = 0; i < *t->n; i++) {
		if (is_match(t, i, rule)) {
			*hint = (struct scan_hint){(uint16_t)i, GATE_PLACES};
			return &t->match[i];
		}
	}
	return NULL;
}

static void add_match(struct scan_call *t, uint32_t rule, uint64_t end, uint16_t places)
{
	if (*t->n >= t->cap) {
		/* Not stopped: the counts of the rules that are listed still go on. */
		t->flags |= RECORD_F_MATCHES_CUT;
		return;
	}
	*hint_of(t, rule) = (struct scan_hint){(uint16_t)*t->n, places};
	t->match[(*t->n)++] = (struct handoff_match){
		.rule = rule, .slot = t->slot, .count = 1, .end = end};
	t->w->counters[CNT_scan_matches]++;
}

static int on_match(unsigned int id, unsigned long long from, unsigned long long to,
		    unsigned int flags, void *ctx)
{
	struct scan_call *t = ctx;
	struct handoff_match *m = find_match(t, id);

	(void)from;
	(void)flags;
	if (!m) {
		add_match(t, id, to, 1);
		return 0;
	}
	if (m->count < UINT16_MAX)
		m->count++;
	/* Hyperscan promises no order. */
	if (to < m->end)
		m->end = to;
	return 0;
}

/* A gate has an entry for each of its first places. More than that are a count above one. */
static void on_gate(void *ctx, uint32_t id, uint64_t end)
{
	struct scan_call *t = ctx;
	struct handoff_match *m = find_match(t, id);
	uint16_t places = m ? hint_of(t, id)->places : 0;

	if (places < GATE_PLACES && (!m || *t->n < t->cap / PLACES_SHARE))
		add_match(t, id, end, places + 1);
	else if (m->count < UINT16_MAX)
		m->count++;
}

/* The text of this slot begins. */
static void note_presence(struct scan_call *t, const struct scan_slot *s)
{
	if (s->present)
		on_match(HANDOFF_PRESENT, 0, 0, 0, t);
}

static uint32_t outcome(struct scan_call *t, hs_error_t e)
{
	if (e != HS_SUCCESS) {
		t->w->counters[CNT_scan_error]++;
		t->flags |= RECORD_F_SCAN_PARTIAL;
	}
	return t->flags;
}

static void open_pool(struct scan_worker *w, unsigned int view, int *ret)
{
	const struct scan_slot *v = scan_slot(w->g, view);

	if (*ret || !v || !scan_slot_matches(v) || !w->max_streams)
		return;
	w->slot[view] = calloc(w->max_streams, sizeof(*w->slot[view]));
	if (!w->slot[view]) {
		*ret = -ENOMEM;
		return;
	}
	for (unsigned int i = 0; i < w->max_streams; i++) {
		struct scan_message *m = &w->slot[view][i];

		if (v->stream && hs_open_stream(v->stream, 0, &m->stream) != HS_SUCCESS) {
			*ret = -ENOMEM;
			return;
		}
		m->w = w;
		m->view = (uint8_t)view;
		m->next_free = w->free[view];
		w->free[view] = m;
	}
}

int scan_worker_new(struct scan_generation *g, unsigned int max_streams, uint64_t *counters,
		    struct scan_worker **out)
{
	struct scan_worker *w = calloc(1, sizeof(*w));
	int ret = 0;

	*out = NULL;
	if (!w)
		return -ENOMEM;
	w->g = g;
	w->counters = counters;
	w->max_streams = max_streams;
	if (g->scratch && hs_clone_scratch(g->scratch, &w->scratch) != HS_SUCCESS)
		ret = -ENOMEM;
	for (unsigned int v = 0; v < VIEW_COUNT; v++)
		open_pool(w, v, &ret);
	if (ret) {
		scan_worker_free(w);
		return ret;
	}
	*out = w;
	return 0;
}

void scan_worker_free(struct scan_worker *w)
{
	if (!w)
		return;
	for (unsigned int v = 0; v < VIEW_COUNT; v++) {
		for (unsigned int i = 0; w->slot[v] && i < w->max_streams; i++)
			if (w->slot[v][i].stream)
				hs_close_stream(w->slot[v][i].stream, NULL, NULL, NULL);
		free(w->slot[v]);
	}
	hs_free_scratch(w->scratch);
	free(w);
}

const struct content_plan *scan_worker_plan(const struct scan_worker *w)
{
	return &w->g->plan;
}

unsigned int scan_worker_busy(const struct scan_worker *w)
{
	return w->busy;
}

uint32_t scan_block(struct scan_worker *w, unsigned int slot, const uint8_t *p, size_t n,
		    struct handoff_match *match, uint32_t *n_matches, uint32_t cap)
{
	struct scan_call t = {w, match, n_matches, cap, 0, (uint16_t)slot};
	const struct scan_slot *s = scan_slot(w->g, slot);

	if (!s)
		return 0;
	note_presence(&t, s);
	if (!scan_slot_matches(s))
		return t.flags;
	if (n > UINT_MAX)
		return outcome(&t, HS_INVALID);
	w->counters[CNT_scan_runs]++;
	w->counters[CNT_scan_bytes] += n;
	scan_gates_block(&s->gates, p, n, on_gate, &t);
	if (!s->block)
		return t.flags;
	/* Hyperscan takes no NULL, but a text may be empty, and a rule may match that. */
	return outcome(&t, hs_scan(s->block, p ? (const char *)p : "",
				   (unsigned int)n, 0, w->scratch, on_match, &t));
}

bool scan_has_patterns(const struct scan_worker *w, unsigned int slot)
{
	const struct scan_slot *s = scan_slot(w->g, slot);

	return s && scan_slot_matches(s);
}

uint32_t scan_present(struct scan_worker *w, unsigned int slot, struct handoff_match *match,
		      uint32_t *n_matches, uint32_t cap)
{
	struct scan_call t = {w, match, n_matches, cap, 0, (uint16_t)slot};
	const struct scan_slot *s = scan_slot(w->g, slot);

	if (s)
		note_presence(&t, s);
	return t.flags;
}

struct scan_message *scan_open(struct scan_worker *w, unsigned int slot)
{
	const struct scan_slot *s = scan_slot(w->g, slot);
	struct scan_message *m;

	if (slot >= VIEW_COUNT || !s || !scan_slot_matches(s))
		return NULL;
	m = w->free[slot];
	if (!m) {
		w->counters[CNT_scan_no_stream]++;
		return NULL;
	}
	w->free[slot] = m->next_free;
	m->failed = false;
	m->open = true;
	m->octets = 0;
	m->carry = (struct scan_carry){0};
	w->busy++;
	return m;
}

uint32_t scan_run(struct scan_message *m, const uint8_t *p, size_t n,
		  struct handoff_match *match, uint32_t *n_matches, uint32_t cap)
{
	struct scan_call t = {m->w, match, n_matches, cap, 0, m->view};
	const struct scan_slot *s = scan_slot(m->w->g, m->view);
	hs_error_t e = HS_SUCCESS;

	/* A stream that failed once has lost its place: what it found later would be nonsense. */
	if (m->failed)
		return RECORD_F_SCAN_PARTIAL;
	if (!n)
		return 0;
	m->w->counters[CNT_scan_runs]++;
	m->w->counters[CNT_scan_bytes] += n;
	scan_gates_run(&s->gates, &m->carry, m->octets, p, n, on_gate, &t);
	m->octets += n;
	if (n > UINT_MAX)
		e = HS_INVALID;
	else if (m->stream)
		e = hs_scan_stream(m->stream, (const char *)p, (unsigned int)n, 0, m->w->scratch,
				   on_match, &t);
	m->failed = e != HS_SUCCESS;
	return outcome(&t, e);
}

/* Back into the pool, as if fresh. */
static void put_back(struct scan_message *m)
{
	struct scan_worker *w = m->w;

	m->open = false;
	m->next_free = w->free[m->view];
	w->free[m->view] = m;
	w->busy--;
}

uint32_t scan_close(struct scan_message *m, struct handoff_match *match, uint32_t *n_matches,
		    uint32_t cap)
{
	struct scan_call t = {m->w, match, n_matches, cap, 0, m->view};
	const struct scan_slot *s = scan_slot(m->w->g, m->view);
	uint32_t flags;

	if (m->failed) {
		scan_abort(m);
		return RECORD_F_SCAN_PARTIAL;
	}
	scan_gates_end(&s->gates, &m->carry, m->octets, on_gate, &t);
	flags = m->stream ? outcome(&t, hs_reset_stream(m->stream, 0, m->w->scratch, on_match, &t)) : 0;
	put_back(m);
	return flags;
}

void scan_abort(struct scan_message *m)
{
	if (!m || !m->open)
		return;
	/* No callback: the octets so far are forgotten, matches at their end included. */
	if (m->stream)
		hs_reset_stream(m->stream, 0, NULL, NULL, NULL);
	put_back(m);
}
