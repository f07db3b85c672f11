/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/scan/scan_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCAN_BLOB_ALIGN 64u

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

static bool part_ok(uint64_t off, uint64_t n, size_t len)
{
	return off >= sizeof(struct scan_blob_head) && off % SCAN_BLOB_ALIGN == 0 && off <= len &&
	       n > 0 && n <= len - off;
}

/* NULL, or what is wrong with the head. */
static const char *check_head(const struct scan_blob_head *h, size_t len)
{
	if (h->magic != SCAN_BLOB_MAGIC)
		return "bad magic";
	if (h->n_patterns == 0)
		return "no patterns";
	if (!memchr(h->hs_version, '\0', sizeof(h->hs_version)))
		return "version is not terminated";
	/* The bytecode belongs to one release: another one would run it and read it wrongly. */
	if (strcmp(h->hs_version, hs_version()) != 0)
		return "made by another Hyperscan version";
	if (!h->block_len && !h->stream_len && !h->automaton_len)
		return "no database";
	if (h->block_len != 0 && !part_ok(h->block_off, h->block_len, len))
		return "block database out of bounds";
	if ((h->stream_len != 0) != (h->block_len != 0) ||
	    (h->stream_len && !part_ok(h->stream_off, h->stream_len, len)))
		return "streaming database out of bounds";
	if (h->automaton_len && !part_ok(h->automaton_off, h->automaton_len, len))
		return "automaton out of bounds";
	return NULL;
}

static hs_error_t load_part(const uint8_t *p, uint64_t off, uint64_t n, hs_database_t **out)
{
	return hs_deserialize_database((const char *)(p + off), (size_t)n, out);
}

static hs_error_t load_databases(struct scan_generation *g, struct scan_view *v,
				 const struct scan_blob_head *head, const void *blob)
{
	size_t state = 0, n = 0;
	hs_error_t e;

	e = load_part(blob, head->block_off, head->block_len, &v->block);
	if (e == HS_SUCCESS)
		e = load_part(blob, head->stream_off, head->stream_len, &v->stream);
	/* A database run in the wrong mode gives an error a message; better none at all. */
	if (e == HS_SUCCESS)
		e = hs_stream_size(v->stream, &state);
	if (e == HS_SUCCESS && hs_stream_size(v->block, &n) != HS_DB_MODE_ERROR)
		e = HS_DB_MODE_ERROR;
	if (e == HS_SUCCESS)
		e = hs_alloc_scratch(v->block, &g->scratch);
	if (e == HS_SUCCESS)
		e = hs_alloc_scratch(v->stream, &g->scratch);
	if (e != HS_SUCCESS)
		return e;
	g->stream_bytes += state;
	if (hs_database_size(v->block, &n) == HS_SUCCESS)
		g->database_bytes += n;
	if (hs_database_size(v->stream, &n) == HS_SUCCESS)
		g->database_bytes += n;
	return HS_SUCCESS;
}

/* NULL, or what is wrong. Copied, for the blob is unmapped after this. */
static const char *load_automaton(struct scan_generation *g, struct scan_view *v,
				  const struct scan_blob_head *head, const void *blob)
{
	size_t size = (head->automaton_len + SCAN_BLOB_ALIGN - 1) & ~(uint64_t)(SCAN_BLOB_ALIGN - 1);

	v->automaton_mem = aligned_alloc(SCAN_BLOB_ALIGN, size);
	if (!v->automaton_mem)
		return "no memory";
	memcpy(v->automaton_mem, (const uint8_t *)blob + head->automaton_off, head->automaton_len);
	g->database_bytes += size;
	return automaton_open(v->automaton_mem, head->automaton_len, head->n_patterns, &v->automaton);
}

static int load_view(struct scan_generation *g, const struct scan_input *in, char *err,
		     size_t err_len)
{
	struct scan_view *v = &g->view[in->view];
	const char *why = "shorter than its head";
	struct scan_blob_head head;
	hs_error_t e = HS_SUCCESS;

	if (in->len >= sizeof(head)) {
		memcpy(&head, in->blob, sizeof(head));
		why = check_head(&head, in->len);
	}
	if (!why && head.automaton_len)
		why = load_automaton(g, v, &head, in->blob);
	if (why) {
		snprintf(err, err_len, "view %u: %s", in->view, why);
		return -EINVAL;
	}
	if (head.block_len)
		e = load_databases(g, v, &head, in->blob);
	if (e != HS_SUCCESS) {
		snprintf(err, err_len, "view %u: Hyperscan error %d", in->view, e);
		return hs_errno(e);
	}
	if (in->view < VIEW_COUNT)
		g->views |= 1u << in->view;
	return 0;
}

int scan_generation_new(const struct scan_input *in, unsigned int n, uint32_t generation,
			struct scan_generation **out, char *err, size_t err_len)
{
	struct scan_generation *g;
	int ret = 0;

	*out = NULL;
	if (hs_valid_platform() != HS_SUCCESS) {
		snprintf(err, err_len, "this CPU lacks what Hyperscan needs (SSSE3)");
		return -ENOTSUP;
	}
	g = calloc(1, sizeof(*g));
	if (!g) {
		snprintf(err, err_len, "no memory");
		return -ENOMEM;
	}
	g->id = generation;
	for (unsigned int i = 0; i < n && !ret; i++) {
		if (in[i].view >= SCAN_SLOTS || scan_view_used(&g->view[in[i].view])) {
			snprintf(err, err_len, "view %u: unknown, or given twice", in[i].view);
			ret = -EINVAL;
		} else {
			ret = load_view(g, &in[i], err, err_len);
		}
	}
	if (ret) {
		scan_generation_free(g);
		return ret;
	}
	if (g->scratch)
		hs_scratch_size(g->scratch, &g->scratch_bytes);
	*out = g;
	return 0;
}

void scan_generation_free(struct scan_generation *g)
{
	if (!g)
		return;
	for (unsigned int v = 0; v < SCAN_SLOTS; v++) {
		hs_free_database(g->view[v].block);
		hs_free_database(g->view[v].stream);
		free(g->view[v].automaton_mem);
	}
	hs_free_scratch(g->scratch);
	free(g);
}

uint32_t scan_generation_id(const struct scan_generation *g)
{
	return g->id;
}

uint32_t scan_generation_views(const struct scan_generation *g)
{
	return g->views;
}

void scan_generation_sizes(const struct scan_generation *g, size_t *databases, size_t *scratch,
			   size_t *stream_state)
{
	*databases = g->database_bytes;
	*scratch = g->scratch_bytes;
	*stream_state = g->stream_bytes;
}
