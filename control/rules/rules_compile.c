/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Patterns → PCRE2 code and Hyperscan databases.
 *
 * PCRE2 speaks first: it knows the language of the rules as a whole and says where a pattern is
 * wrong. Then Hyperscan takes each pattern as it is, or only as a prefilter (look-around, back
 * references, ...), which PCRE2 confirms at run time; a pattern that it does not take at all is an
 * error. Both databases hold the same patterns under the same ids.
 */

#include <hs/hs.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_internal.h"
#include "dataplane/scan/scan.h"
#include "postern/limits.h"

#define BLOB_ALIGN 64u

static void pattern_error(struct rules *r, size_t i, const char *what, const char *why)
{
	rules_issue_add(r, RULES_ERROR, r->src[i].file, r->src[i].line, r->rule[i].name, "%s: %s",
			what, why);
}

/* UTF and \C would change what an octet is; both views of a message are octets. */
static void compile_pcre(struct rules *r, size_t i)
{
	struct rule_source *s = &r->src[i];
	uint32_t options = PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C |
			   (s->caseless ? PCRE2_CASELESS : 0) | (s->multiline ? PCRE2_MULTILINE : 0) |
			   (s->dotall ? PCRE2_DOTALL : 0) | (s->extended ? PCRE2_EXTENDED : 0);
	uint32_t empty = 0;
	PCRE2_SIZE at = 0;
	int error = 0;

	s->code = pcre2_compile((PCRE2_SPTR)s->pattern, strlen(s->pattern), options, &error, &at, NULL);
	if (!s->code) {
		char text[160], why[240];

		if (error == PCRE2_ERROR_HEAP_FAILED)
			r->oom = true;
		pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof(text));
		snprintf(why, sizeof(why), "%s (at octet %zu of the pattern)", text, (size_t)at);
		pattern_error(r, i, "bad pattern", why);
		return;
	}
	/* Without JIT (no executable memory) the interpreter does the same. */
	pcre2_jit_compile(s->code, PCRE2_JIT_COMPLETE);
	pcre2_pattern_info(s->code, PCRE2_INFO_MATCHEMPTY, &empty);
	s->empty = empty;
	if (empty)
		rules_issue_add(r, RULES_NOTE, s->file, s->line, r->rule[i].name,
				"the pattern matches the empty string: it hits every message");
}

struct job {
	struct rules *r;
	struct rules_view *v;
	char **text;             /* with "(?x)" in front where flag x is set */
	unsigned int *flags, *ids;
};

static unsigned int hs_flags(const struct rule *rule, const struct rule_source *s)
{
	return (s->caseless ? HS_FLAG_CASELESS : 0) | (s->multiline ? HS_FLAG_MULTILINE : 0) |
	       (s->dotall ? HS_FLAG_DOTALL : 0) | (s->empty ? HS_FLAG_ALLOWEMPTY : 0) |
	       (rule->prefilter ? HS_FLAG_PREFILTER : 0) | (rule->multiple ? 0 : HS_FLAG_SINGLEMATCH);
}

/* The next worse way to take pattern k; false: there is none (recorded). */
static bool downgrade(struct job *j, size_t k, const char *why)
{
	size_t i = j->v->rule[k];

	if (j->r->rule[i].prefilter) {
		pattern_error(j->r, i, "Hyperscan does not take the pattern, not even as a prefilter",
			      why);
		return false;
	}
	j->r->rule[i].prefilter = true;
	j->flags[k] = hs_flags(&j->r->rule[i], &j->r->src[i]);
	return true;
}

/* Asks about each pattern alone, which is cheap and finds most of what will not go. */
static void look_at_each(struct job *j)
{
	for (size_t k = 0; k < j->v->n; k++) {
		hs_compile_error_t *error = NULL;
		hs_expr_info_t *info = NULL;
		char why[200];

		if (hs_expression_info(j->text[k], j->flags[k], &info, &error) != HS_SUCCESS) {
			snprintf(why, sizeof(why), "%s", error ? error->message : "unknown");
			downgrade(j, k, why);
		}
		hs_free_compile_error(error);
		free(info);
		/* As a prefilter too it must be understood. */
		if (!(j->flags[k] & HS_FLAG_PREFILTER))
			continue;
		error = NULL;
		info = NULL;
		if (hs_expression_info(j->text[k], j->flags[k], &info, &error) != HS_SUCCESS) {
			snprintf(why, sizeof(why), "%s", error ? error->message : "unknown");
			downgrade(j, k, why);
		}
		hs_free_compile_error(error);
		free(info);
	}
}

/* 1: done. 0: a pattern was downgraded, again. -1: error recorded. */
static int compile_mode(struct job *j, unsigned int mode, char **bytes, size_t *len)
{
	hs_compile_error_t *error = NULL;
	hs_database_t *db = NULL;
	hs_error_t rc = hs_compile_multi((const char *const *)j->text, j->flags, j->ids,
					 (unsigned int)j->v->n, mode, NULL, &db, &error);
	int result = -1;
	char why[200];

	if (rc == HS_SUCCESS) {
		rc = hs_serialize_database(db, bytes, len);
		result = rc == HS_SUCCESS ? 1 : -1;
		if (rc != HS_SUCCESS)
			j->r->oom = true;
	} else if (rc == HS_NOMEM) {
		j->r->oom = true;
	} else {
		snprintf(why, sizeof(why), "%s", error ? error->message : "unknown");
		if (error && error->expression >= 0 && (size_t)error->expression < j->v->n)
			result = downgrade(j, (size_t)error->expression, why) ? 0 : -1;
		else
			rules_issue_add(j->r, RULES_ERROR, "", 0, "", "Hyperscan: %s", why);
	}
	hs_free_compile_error(error);
	hs_free_database(db);
	return result;
}

static void make_blob(struct job *j, const char *block, size_t block_len, const char *stream,
		      size_t stream_len)
{
	size_t block_off = (sizeof(struct scan_blob_head) + BLOB_ALIGN - 1) & ~(size_t)(BLOB_ALIGN - 1);
	size_t stream_off = (block_off + block_len + BLOB_ALIGN - 1) & ~(size_t)(BLOB_ALIGN - 1);
	size_t len = (stream_off + stream_len + BLOB_ALIGN - 1) & ~(size_t)(BLOB_ALIGN - 1);
	struct scan_blob_head head = {
		.magic = SCAN_BLOB_MAGIC, .n_patterns = (uint32_t)j->v->n,
		.block_off = block_off, .block_len = block_len,
		.stream_off = stream_off, .stream_len = stream_len,
	};
	uint8_t *blob = aligned_alloc(BLOB_ALIGN, len);

	if (!blob) {
		j->r->oom = true;
		return;
	}
	memset(blob, 0, len);
	memcpy(head.rules_sha256, j->r->digest, sizeof(head.rules_sha256));
	snprintf(head.hs_version, sizeof(head.hs_version), "%s", hs_version());
	memcpy(blob, &head, sizeof(head));
	memcpy(blob + block_off, block, block_len);
	memcpy(blob + stream_off, stream, stream_len);
	j->v->blob = blob;
	j->v->blob_len = len;
}

/* What decides the databases and what their ids mean. */
static void make_digest(struct rules *r)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) &&
		  EVP_DigestUpdate(md, hs_version(), strlen(hs_version()) + 1);

	for (size_t i = 0; ok && i < r->n; i++) {
		uint32_t head[3] = {r->rule[i].view, r->rule[i].id,
				    hs_flags(&r->rule[i], &r->src[i]) |
					    (r->src[i].extended ? 1u << 31 : 0)};

		/* Each string with its NUL, so that one cannot flow into the next. */
		ok = EVP_DigestUpdate(md, head, sizeof(head)) &&
		     EVP_DigestUpdate(md, r->rule[i].name, strlen(r->rule[i].name) + 1) &&
		     EVP_DigestUpdate(md, r->src[i].pattern, strlen(r->src[i].pattern) + 1);
	}
	if (!ok || !EVP_DigestFinal_ex(md, r->digest, NULL))
		r->oom = true;
	EVP_MD_CTX_free(md);
}

static bool job_start(struct job *j)
{
	size_t n = j->v->n;

	j->text = calloc(n + 1, sizeof(*j->text));
	j->flags = calloc(n + 1, sizeof(*j->flags));
	j->ids = calloc(n + 1, sizeof(*j->ids));
	if (!j->text || !j->flags || !j->ids)
		return false;
	for (size_t k = 0; k < n; k++) {
		const struct rule_source *s = &j->r->src[j->v->rule[k]];
		size_t size = strlen(s->pattern) + sizeof("(?x)");

		j->text[k] = malloc(size);
		if (!j->text[k])
			return false;
		snprintf(j->text[k], size, "%s%s", s->extended ? "(?x)" : "", s->pattern);
		j->flags[k] = hs_flags(&j->r->rule[j->v->rule[k]], s);
		j->ids[k] = (unsigned int)k;
	}
	return true;
}

static void compile_view(struct rules *r, struct rules_view *v)
{
	struct job j = {.r = r, .v = v};
	char *block = NULL, *stream = NULL;
	size_t block_len = 0, stream_len = 0;
	int rc = 0;

	if (!job_start(&j)) {
		r->oom = true;
		goto out;
	}
	look_at_each(&j);
	/* Each turn makes at least one pattern a prefilter, so this ends. */
	while (!r->error && rc == 0) {
		free(block);
		block = NULL;
		rc = compile_mode(&j, HS_MODE_BLOCK, &block, &block_len);
		if (rc == 1)
			rc = compile_mode(&j, HS_MODE_STREAM, &stream, &stream_len);
	}
	if (r->error || r->oom || rc != 1)
		goto out;
	make_digest(r);
	make_blob(&j, block, block_len, stream, stream_len);
out:
	for (size_t k = 0; j.text && k < v->n; k++)
		free(j.text[k]);
	free(j.text);
	free(j.flags);
	free(j.ids);
	free(block);
	free(stream);
}

void rules_compile(struct rules *r)
{
	for (size_t i = 0; i < r->n; i++)
		compile_pcre(r, i);
	if (r->error || r->oom)
		return;
	make_digest(r);
	for (uint8_t view = 0; view < VIEW_COUNT; view++) {
		struct rules_view *v = &r->view[view];
		size_t n = 0;

		for (size_t i = 0; i < r->n; i++)
			n += r->rule[i].view == view;
		if (!n)
			continue;
		v->rule = calloc(n, sizeof(*v->rule));
		if (!v->rule) {
			r->oom = true;
			return;
		}
		for (size_t i = 0; i < r->n; i++)
			if (r->rule[i].view == view) {
				r->rule[i].id = (uint32_t)v->n;
				v->rule[v->n++] = (uint32_t)i;
			}
		compile_view(r, v);
	}
}
