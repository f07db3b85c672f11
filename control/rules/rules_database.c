/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <hs/hs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_cache.h"
#include "control/rules/rules_database.h"
#include "control/rules/rules_literals.h"
#include "dataplane/scan/scan.h"

#define BLOB_ALIGN 64u

/* The expressions of one database; several may have one id. */
struct job {
	struct rules *r;
	struct rules_slot *slot;
	char **text;
	unsigned int *flags, *ids;
	size_t n, cap;
};

unsigned int rules_hs_flags(const struct rules *r, size_t i, const struct rules_slot *slot)
{
	const struct rule_source *s = &r->src[i];

	/* In a text of lines the edges of a line are those of the text. */
	return (s->caseless ? HS_FLAG_CASELESS : 0) |
	       (s->multiline || slot->lines ? HS_FLAG_MULTILINE : 0) |
	       (s->dotall ? HS_FLAG_DOTALL : 0) | (s->empty ? HS_FLAG_ALLOWEMPTY : 0) |
	       (r->rule[i].prefilter ? HS_FLAG_PREFILTER : 0) | HS_FLAG_SINGLEMATCH;
}

char *rules_hs_text(const struct rule_source *s)
{
	const char *pattern = rule_pattern(s);
	size_t size = strlen(pattern) + sizeof("(?x)");
	char *text = malloc(size);

	if (text)
		snprintf(text, size, "%s%s", s->extended ? "(?x)" : "", pattern);
	return text;
}

static bool add(struct job *j, char *text, unsigned int flags, size_t rule)
{
	struct rules *r = j->r;
	size_t caps[2] = {j->cap, j->cap};

	if (!text || !rules_grow(r, &j->flags, j->n, &caps[0], sizeof(*j->flags)) ||
	    !rules_grow(r, &j->ids, j->n, &caps[1], sizeof(*j->ids)) ||
	    !rules_grow(r, &j->text, j->n, &j->cap, sizeof(*j->text))) {
		free(text);
		r->oom = true;
		return false;
	}
	j->text[j->n] = text;
	j->flags[j->n] = flags;
	j->ids[j->n++] = r->rule[rule].id;
	return true;
}

static void job_end(struct job *j)
{
	for (size_t k = 0; k < j->n; k++)
		free(j->text[k]);
	free(j->text);
	free(j->flags);
	free(j->ids);
}

static void gather(struct job *j)
{
	struct rules *r = j->r;

	for (size_t k = 0; k < j->slot->n; k++) {
		size_t i = j->slot->rule[k];

		if (r->rule[i].tier == RULE_NATIVE || r->rule[i].tier == RULE_CONFIRMED)
			add(j, rules_hs_text(&r->src[i]), rules_hs_flags(r, i, j->slot), i);
	}
}

static void give_up(struct rules *r, size_t i)
{
	r->rule[i].tier = RULE_CONTROL;
	r->rule[i].why = "Hyperscan does not take it among the others";
}

/* Hyperscan tells it as an error of expression 0. */
bool rules_hs_no_memory(int rc, const struct hs_compile_error *error)
{
	return rc == HS_NOMEM || (error && error->message && strstr(error->message, "allocate memory"));
}

/* 1: done. 0: a rule went elsewhere, again. -1: out of memory, or recorded. */
static int compile(struct job *j, unsigned int mode, char **bytes, size_t *len)
{
	hs_compile_error_t *error = NULL;
	hs_database_t *db = NULL;
	hs_error_t rc = hs_compile_multi((const char *const *)j->text, j->flags, j->ids,
					 (unsigned int)j->n, mode, NULL, &db, &error);
	int result = -1;

	if (rc == HS_SUCCESS) {
		result = hs_serialize_database(db, bytes, len) == HS_SUCCESS ? 1 : -1;
		j->r->oom |= result < 0;
	} else if (rules_hs_no_memory(rc, error)) {
		j->r->oom = true;
	} else if (error && error->expression >= 0 && (size_t)error->expression < j->n) {
		give_up(j->r, j->slot->rule[j->ids[error->expression]]);
		result = 0;
	} else {
		rules_issue_add(j->r, RULES_ERROR, "", 0, "", "Hyperscan: %s",
				error ? error->message : "unknown error");
	}
	hs_free_compile_error(error);
	hs_free_database(db);
	return result;
}

static int compile_mode(struct job *j, unsigned int mode, char **bytes, size_t *len)
{
	char path[RULES_CACHE_PATH];
	bool named = j->r->opt.cache &&
		     rules_cache_path(j->r->opt.cache, mode, (const char *const *)j->text, j->flags, j->ids,
				      j->n, path);
	int rc;

	if (named && rules_cache_get(path, bytes, len))
		return 1;
	rc = compile(j, mode, bytes, len);
	if (rc == 1 && named)
		rules_cache_put(path, *bytes, *len);
	return rc;
}

static uint64_t place(size_t *end, size_t len)
{
	uint64_t off = *end;

	*end = (*end + len + BLOB_ALIGN - 1) & ~(size_t)(BLOB_ALIGN - 1);
	return len ? off : 0;
}

static void put(uint8_t *blob, uint64_t off, const void *p, size_t len)
{
	if (len)
		memcpy(blob + off, p, len);
}

struct compiled {
	char *block, *stream;
	size_t block_len, stream_len;
};

static void make_blob(struct rules *r, struct rules_slot *slot, const struct compiled *c)
{
	size_t len = (sizeof(struct rules_blob_head) + BLOB_ALIGN - 1) & ~(size_t)(BLOB_ALIGN - 1);
	struct rules_blob_head head = {
		.magic = RULES_BLOB_MAGIC, .n_patterns = (uint32_t)slot->n,
		.block_len = c->block_len, .stream_len = c->stream_len,
		.automaton_len = slot->automaton_len, .literals_len = slot->literals_len,
	};
	uint8_t *blob;

	head.block_off = place(&len, c->block_len);
	head.stream_off = place(&len, c->stream_len);
	head.automaton_off = place(&len, slot->automaton_len);
	head.literals_off = place(&len, slot->literals_len);
	blob = aligned_alloc(BLOB_ALIGN, len);
	if (!blob) {
		r->oom = true;
		return;
	}
	memset(blob, 0, len);
	memcpy(head.rules_sha256, r->digest, sizeof(head.rules_sha256));
	snprintf(head.hs_version, sizeof(head.hs_version), "%s", hs_version());
	memcpy(blob, &head, sizeof(head));
	put(blob, head.block_off, c->block, c->block_len);
	put(blob, head.stream_off, c->stream, c->stream_len);
	put(blob, head.automaton_off, slot->automaton, slot->automaton_len);
	put(blob, head.literals_off, slot->literals, slot->literals_len);
	slot->blob = blob;
	slot->blob_len = len;
}

void rules_database(struct rules *r, struct rules_slot *slot)
{
	struct compiled c = {0};
	int rc = 0;

	if (slot->number >= RULES_SLOT_TOLD)
		return;
	/* Each turn takes at least one rule out, so this ends. */
	while (rc == 0 && !r->oom && !r->error) {
		struct job j = {.r = r, .slot = slot};

		free(c.block);
		c.block = NULL;
		c.block_len = 0;
		gather(&j);
		rc = !j.n ? 1 : compile_mode(&j, HS_MODE_BLOCK, &c.block, &c.block_len);
		if (rc == 1 && j.n)
			rc = compile_mode(&j, HS_MODE_STREAM, &c.stream, &c.stream_len);
		job_end(&j);
	}
	if (rc == 1)
		rules_literals_build(r, slot);
	if (rc == 1 && !r->oom && (c.block_len || slot->automaton_len || slot->literals_len))
		make_blob(r, slot, &c);
	free(c.block);
	free(c.stream);
}
