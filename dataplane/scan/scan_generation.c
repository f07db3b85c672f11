/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A bundle → databases and the plan of what is to be made for them. */

#include "dataplane/scan/scan_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/scan/bundle.h"

struct reader {
	const uint8_t *p;
	size_t n;
	struct scan_bundle head;
	struct scan_generation *g;
	char *err;
	size_t err_len;
};

static int hs_errno(hs_error_t e)
{
	switch (e) {
	case HS_SUCCESS:
		return 0;
	case HS_NOMEM:
	case HS_BAD_ALLOC:
		return -ENOMEM;
	case HS_DB_PLATFORM_ERROR:
	case HS_ARCH_ERROR:
		return -ENOTSUP;
	default:
		return -EINVAL;
	}
}

static int wrong(const struct reader *r, const char *what)
{
	snprintf(r->err, r->err_len, "rules: %s", what);
	return -EINVAL;
}

/* `n` elements of `size` octets lie inside, aligned. */
static bool inside(const struct reader *r, uint64_t off, uint64_t n, uint64_t size)
{
	return off >= sizeof(struct scan_bundle) && off % SCAN_BUNDLE_ALIGN == 0 && off <= r->n &&
	       n <= (r->n - off) / size;
}

static int read_head(struct reader *r)
{
	if (r->n < sizeof(r->head))
		return wrong(r, "shorter than its head");
	memcpy(&r->head, r->p, sizeof(r->head));
	if (r->head.magic != SCAN_BUNDLE_MAGIC)
		return wrong(r, "bad magic");
	if (r->head.size != r->n)
		return wrong(r, "another size than its head says");
	if (r->head.flags & ~SCAN_BUNDLE_HASH)
		return wrong(r, "unknown flags");
	if (!memchr(r->head.hs_version, '\0', sizeof(r->head.hs_version)))
		return wrong(r, "version is not terminated");
	/* The bytecode belongs to one release: another one would run it and read it wrongly. */
	if (strcmp(r->head.hs_version, hs_version()) != 0)
		return wrong(r, "made by another Hyperscan version");
	if (!r->head.n_slots || r->head.n_slots > HANDOFF_SLOTS ||
	    r->head.n_selectors > CONTENT_MAX_SELECTORS)
		return wrong(r, "no slots, or too many");
	if (!inside(r, r->head.slots, r->head.n_slots, sizeof(struct scan_bundle_slot)) ||
	    !inside(r, r->head.selectors, r->head.n_selectors, sizeof(struct scan_bundle_selector)))
		return wrong(r, "a table lies outside of it");
	return 0;
}

static bool selector_ok(const struct content_selector *s)
{
	bool named = s->source == CONTENT_FIELD || s->source == CONTENT_MIMEFIELD;

	return s->source <= CONTENT_MIMEFIELD && s->form <= CONTENT_NAME_RAW &&
	       s->pick <= CONTENT_PICK_LAST && named == (s->name.n != 0);
}

/* Names are copied: the bundle goes when it has been read. */
static int read_selectors(struct reader *r)
{
	const struct scan_bundle_selector *in =
		(const struct scan_bundle_selector *)(const void *)(r->p + r->head.selectors);
	size_t names = 0, at = 0;

	for (uint32_t i = 0; i < r->head.n_selectors; i++) {
		if (in[i].name > r->n || in[i].name_len > r->n - in[i].name ||
		    in[i].name_len > LIMIT_SELECTOR_NAME)
			return wrong(r, "a name of a header lies outside of it");
		names += in[i].name_len;
	}
	r->g->names = malloc(names + 1);
	r->g->selector = calloc(r->head.n_selectors + 1u, sizeof(*r->g->selector));
	if (!r->g->names || !r->g->selector)
		return -ENOMEM;
	for (uint32_t i = 0; i < r->head.n_selectors; i++) {
		struct content_selector *s = &r->g->selector[i];

		memcpy(r->g->names + at, r->p + in[i].name, in[i].name_len);
		*s = (struct content_selector){in[i].source, in[i].form, in[i].pick,
					       str_make(r->g->names + at, in[i].name_len)};
		at += in[i].name_len;
		if (!selector_ok(s))
			return wrong(r, "a selector of a kind that is not known");
	}
	r->g->plan.selector = r->g->selector;
	r->g->plan.n_selectors = r->head.n_selectors;
	r->g->plan.hash = r->head.flags & SCAN_BUNDLE_HASH;
	return 0;
}

static hs_error_t load(const struct reader *r, uint64_t off, uint64_t n, hs_database_t **out)
{
	if (!n || !inside(r, off, n, 1))
		return HS_INVALID;
	return hs_deserialize_database((const char *)(r->p + off), (size_t)n, out);
}

/* Copied, for the bundle is unmapped after this. */
static int load_gates(struct reader *r, const struct scan_bundle_slot *in, struct scan_slot *s)
{
	const char *why;
	int rc;

	if ((in->automaton_len && !inside(r, in->automaton, in->automaton_len, 1)) ||
	    (in->literals_len && !inside(r, in->literals, in->literals_len, 1)))
		return wrong(r, "gates lie outside of it");
	if (in->n_patterns > UINT32_MAX)
		return wrong(r, "too many patterns");
	rc = scan_gates_load(in->literals_len ? r->p + in->literals : NULL, in->literals_len,
			     in->automaton_len ? r->p + in->automaton : NULL, in->automaton_len,
			     (uint32_t)in->n_patterns, &s->gates, &r->g->database_bytes, &why);
	return rc == -EINVAL ? wrong(r, why) : rc;
}

static int load_slot(struct reader *r, const struct scan_bundle_slot *in, struct scan_slot *s)
{
	struct scan_generation *g = r->g;
	bool streams = in->slot < VIEW_COUNT;
	size_t state = 0, n = 0;
	hs_error_t e;
	int ret;

	if (in->flags & ~SCAN_SLOT_PRESENT ||
	    (!in->flags && !in->block_len && !in->automaton_len && !in->literals_len))
		return wrong(r, "a slot without use, or with unknown flags");
	s->present = in->flags & SCAN_SLOT_PRESENT;
	ret = load_gates(r, in, s);
	if (ret)
		return ret;
	if (!in->block_len)
		return in->stream_len ? wrong(r, "a stream without a block") : 0;
	e = load(r, in->block, in->block_len, &s->block);
	if (e == HS_SUCCESS && streams)
		e = load(r, in->stream, in->stream_len, &s->stream);
	/* A database run in the wrong mode gives an error a message; better none at all. */
	if (e == HS_SUCCESS && streams)
		e = hs_stream_size(s->stream, &state);
	if (e == HS_SUCCESS && hs_stream_size(s->block, &n) != HS_DB_MODE_ERROR)
		e = HS_DB_MODE_ERROR;
	if (e == HS_SUCCESS)
		e = hs_alloc_scratch(s->block, &g->scratch);
	if (e == HS_SUCCESS && streams)
		e = hs_alloc_scratch(s->stream, &g->scratch);
	if (e != HS_SUCCESS) {
		snprintf(r->err, r->err_len, "rules: slot %u: Hyperscan error %d", in->slot, e);
		return hs_errno(e);
	}
	g->stream_bytes += state;
	if (hs_database_size(s->block, &n) == HS_SUCCESS)
		g->database_bytes += n;
	if (streams && hs_database_size(s->stream, &n) == HS_SUCCESS)
		g->database_bytes += n;
	return 0;
}

static int read_slots(struct reader *r)
{
	const struct scan_bundle_slot *in =
		(const struct scan_bundle_slot *)(const void *)(r->p + r->head.slots);
	struct scan_generation *g = r->g;
	int ret = 0;

	g->slot = calloc(r->head.n_slots, sizeof(*g->slot));
	if (!g->slot)
		return -ENOMEM;
	for (uint32_t i = 0; i < r->head.n_slots && !ret; i++) {
		if (in[i].slot >= VIEW_COUNT + r->head.n_selectors)
			return wrong(r, "a slot that has no selector");
		if (i && in[i].slot <= in[i - 1].slot)
			return wrong(r, "slots out of order");
		g->n_slots = i + 1;
		ret = load_slot(r, &in[i], &g->slot[i]);
		g->at[in[i].slot] = (uint16_t)(i + 1);
		if (in[i].slot < VIEW_COUNT)
			g->plan.views |= 1u << in[i].slot;
	}
	return ret;
}

int scan_generation_new(const void *bundle, size_t len, uint32_t generation,
			struct scan_generation **out, char *err, size_t err_len)
{
	struct reader r = {.p = bundle, .n = len, .err = err, .err_len = err_len};
	int ret;

	*out = NULL;
	err[0] = '\0';
	if (hs_valid_platform() != HS_SUCCESS) {
		snprintf(err, err_len, "this CPU lacks what Hyperscan needs (SSSE3)");
		return -ENOTSUP;
	}
	r.g = calloc(1, sizeof(*r.g));
	if (!r.g) {
		snprintf(err, err_len, "no memory");
		return -ENOMEM;
	}
	r.g->id = generation;
	if (!bundle) {
		*out = r.g;
		return 0;
	}
	ret = read_head(&r);
	if (!ret)
		ret = read_selectors(&r);
	if (!ret)
		ret = read_slots(&r);
	if (ret) {
		if (!err[0])
			snprintf(err, err_len, "no memory for rules");
		scan_generation_free(r.g);
		return ret;
	}
	if (r.g->scratch)
		hs_scratch_size(r.g->scratch, &r.g->scratch_bytes);
	*out = r.g;
	return 0;
}

void scan_generation_free(struct scan_generation *g)
{
	if (!g)
		return;
	for (unsigned int i = 0; i < g->n_slots; i++) {
		hs_free_database(g->slot[i].block);
		hs_free_database(g->slot[i].stream);
		scan_gates_free(&g->slot[i].gates);
	}
	hs_free_scratch(g->scratch);
	free(g->slot);
	free(g->selector);
	free(g->names);
	free(g);
}

uint32_t scan_generation_id(const struct scan_generation *g)
{
	return g->id;
}

const struct content_plan *scan_generation_plan(const struct scan_generation *g)
{
	return &g->plan;
}

void scan_generation_sizes(const struct scan_generation *g, size_t *databases, size_t *scratch,
			   size_t *stream_state)
{
	*databases = g->database_bytes;
	*scratch = g->scratch_bytes;
	*stream_state = g->stream_bytes;
}
