/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The baseline: the same patterns and the same octets through Hyperscan and nothing else. */

#include <ctype.h>
#include <hs/hs.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/micro/scan.h"

struct sb_raw {
	hs_database_t *block, *streamed;
	hs_scratch_t *scratch;
};

struct list {
	char **text;
	unsigned int *flags, *ids;
	size_t n, cap[3];
};

static void add(struct list *l, const char *text, unsigned int flags)
{
	sb_grow(&l->text, l->n, &l->cap[0], sizeof(*l->text));
	sb_grow(&l->flags, l->n, &l->cap[1], sizeof(*l->flags));
	sb_grow(&l->ids, l->n, &l->cap[2], sizeof(*l->ids));
	l->text[l->n] = strdup(text);
	l->flags[l->n] = flags;
	l->ids[l->n] = (unsigned int)l->n;
	if (!l->text[l->n++])
		sb_die("no memory for patterns");
}

/* Compiling hundreds of patterns takes a minute: kept by patterns, flags, mode and release. */
static void kept_path(const struct list *l, unsigned int mode, const char *cache, char *path, size_t size)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t sum[32];
	char hex[65];

	if (!md || !EVP_DigestInit_ex(md, EVP_sha256(), NULL))
		sb_die("SHA-256");
	EVP_DigestUpdate(md, hs_version(), strlen(hs_version()));
	EVP_DigestUpdate(md, &mode, sizeof(mode));
	for (size_t i = 0; i < l->n; i++) {
		EVP_DigestUpdate(md, &l->flags[i], sizeof(l->flags[i]));
		EVP_DigestUpdate(md, l->text[i], strlen(l->text[i]) + 1);
	}
	EVP_DigestFinal_ex(md, sum, NULL);
	EVP_MD_CTX_free(md);
	sb_hex(sum, hex);
	snprintf(path, size, "%s/raw-%s", cache, hex);
}

static hs_database_t *read_kept(const char *path)
{
	FILE *in = fopen(path, "re");
	hs_database_t *db = NULL;
	struct stat st;
	char *p;

	if (!in)
		return NULL;
	if (!fstat(fileno(in), &st) && st.st_size > 0) {
		p = sb_alloc((size_t)st.st_size, 1);
		if (fread(p, 1, (size_t)st.st_size, in) != (size_t)st.st_size ||
		    hs_deserialize_database(p, (size_t)st.st_size, &db) != HS_SUCCESS)
			db = NULL;
		free(p);
	}
	fclose(in);
	return db;
}

static void keep(const hs_database_t *db, const char *path)
{
	char *bytes = NULL, new[4200];
	size_t n = 0;
	FILE *out;

	snprintf(new, sizeof(new), "%s.new", path);
	out = fopen(new, "we");
	if (!out || hs_serialize_database(db, &bytes, &n) != HS_SUCCESS ||
	    fwrite(bytes, 1, n, out) != n || fclose(out) || rename(new, path))
		sb_die("%s cannot be written", path);
	free(bytes);
}

static hs_database_t *compile(const struct list *l, unsigned int mode, const char *cache)
{
	hs_compile_error_t *error = NULL;
	hs_database_t *db = NULL;
	char path[4096];

	if (cache) {
		kept_path(l, mode, cache, path, sizeof(path));
		db = read_kept(path);
		if (db)
			return db;
	}
	if (hs_compile_multi((const char *const *)l->text, l->flags, l->ids, (unsigned int)l->n, mode, NULL,
			     &db, &error) != HS_SUCCESS)
		sb_die("Hyperscan: %s", error ? error->message : "no reason");
	if (cache)
		keep(db, path);
	return db;
}

static struct sb_raw *make(struct list *l, const char *cache)
{
	struct sb_raw *r = NULL;

	if (l->n) {
		r = sb_alloc(1, sizeof(*r));
		r->block = compile(l, HS_MODE_BLOCK, cache);
		r->streamed = compile(l, HS_MODE_STREAM, cache);
		if (hs_alloc_scratch(r->block, &r->scratch) != HS_SUCCESS ||
		    hs_alloc_scratch(r->streamed, &r->scratch) != HS_SUCCESS)
			sb_die("no memory for Hyperscan's scratch");
	}
	for (size_t i = 0; i < l->n; i++)
		free(l->text[i]);
	free(l->text);
	free(l->flags);
	free(l->ids);
	return r;
}

/* Letters behind the pattern in its line, as Hyperscan's flags. */
static unsigned int flags_of(const char *line, const char *pattern)
{
	const char *p = strstr(line, pattern);
	unsigned int flags = HS_FLAG_PREFILTER | HS_FLAG_MULTILINE | HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY;

	for (p = p ? p + strlen(pattern) + 1 : ""; isalpha((unsigned char)*p); p++)
		flags |= *p == 'i' ? HS_FLAG_CASELESS : *p == 's' ? HS_FLAG_DOTALL : 0;
	return flags;
}

static bool line_of(const struct rules *r, const struct rule *rule, char **line, size_t *cap)
{
	unsigned int wanted, at = 0;
	FILE *in = fopen(rules_place(r, rule, &wanted), "re");

	while (in && at < wanted && getline(line, cap, in) > 0)
		at++;
	if (in)
		fclose(in);
	return at == wanted;
}

/* Is a tag replaced in it? <A>, <inter W1>: what it stands for takes minutes to compile. */
static bool has_tag(const char *pattern)
{
	const char *p = strchr(pattern, '<');

	for (; p; p = strchr(p + 1, '<'))
		if (isupper((unsigned char)p[1]) || !strncmp(p, "<inter ", 7) || !strncmp(p, "<post ", 6) ||
		    !strncmp(p, "<pre ", 5))
			return true;
	return false;
}

struct sb_raw *sb_raw_naive(const struct sb_set *s, unsigned int view, const char *cache, size_t *n,
			    size_t *left)
{
	struct list l = {0};
	char *line = NULL;
	size_t cap = 0;

	*left = 0;
	for (size_t i = 0; i < rules_total(s->rules); i++) {
		const struct rule *rule = rules_at(s->rules, i);
		const char *pattern = rules_text(s->rules, rule);
		hs_compile_error_t *error = NULL;
		hs_expr_info_t *info = NULL;
		unsigned int flags;

		if (rule->slot != view || rule->tier > RULE_CONTROL)
			continue;
		flags = line_of(s->rules, rule, &line, &cap) ? flags_of(line, pattern) : 0;
		if (flags && !has_tag(pattern) &&
		    hs_expression_info(pattern, flags, &info, &error) == HS_SUCCESS)
			add(&l, pattern, flags);
		else
			++*left;
		free(info);
		hs_free_compile_error(error);
	}
	free(line);
	*n = l.n;
	return make(&l, cache);
}

struct sb_raw *sb_raw_literals(char *const *literal, size_t n, bool single)
{
	struct list l = {0};

	for (size_t i = 0; i < n; i++) {
		char text[4 * 256 + 1] = "", *p = text;

		for (const char *c = literal[i]; *c && p < text + sizeof(text) - 5; c++)
			p += sprintf(p, "\\x%02x", (unsigned char)*c);
		add(&l, text, HS_FLAG_CASELESS | (single ? HS_FLAG_SINGLEMATCH : 0));
	}
	return make(&l, NULL);
}

void sb_raw_free(struct sb_raw *r)
{
	if (!r)
		return;
	hs_free_database(r->block);
	hs_free_database(r->streamed);
	hs_free_scratch(r->scratch);
	free(r);
}

static int found(unsigned int id, unsigned long long from, unsigned long long to,
		 unsigned int flags, void *ctx)
{
	(void)id;
	(void)from;
	(void)to;
	(void)flags;
	++*(uint64_t *)ctx;
	return 0;
}

static void must(hs_error_t rc)
{
	if (rc != HS_SUCCESS)
		sb_die("Hyperscan: error %d", rc);
}

struct sb_cost sb_raw_view(struct sb_raw *r, const struct sb_views *v, unsigned int view)
{
	hs_stream_t *stream = NULL;
	struct sb_cost cost = {0};
	uint64_t start = sb_now();

	for (size_t i = 0; i < v->n; i++) {
		const struct sb_run *run = &v->run[i];
		const char *p = (const char *)v->data + run->off;

		if (run->slot != view)
			continue;
		cost.octets += run->n;
		if (run->flags == (CONTENT_RUN_FIRST | CONTENT_RUN_LAST)) {
			must(hs_scan(r->block, p, (unsigned int)run->n, 0, r->scratch, found, &cost.matches));
			continue;
		}
		if (run->flags & CONTENT_RUN_FIRST)
			must(hs_open_stream(r->streamed, 0, &stream));
		must(hs_scan_stream(stream, p, (unsigned int)run->n, 0, r->scratch, found, &cost.matches));
		if (run->flags & CONTENT_RUN_LAST)
			must(hs_close_stream(stream, r->scratch, found, &cost.matches));
	}
	cost.ns = sb_now() - start;
	return cost;
}

static void full_stream(struct sb_raw *r, const char *p, size_t n, uint64_t *matches)
{
	hs_stream_t *stream;

	must(hs_open_stream(r->streamed, 0, &stream));
	for (size_t k = 0; k < n; k += HANDOFF_CHUNK)
		must(hs_scan_stream(stream, p + k, (unsigned int)(n - k < HANDOFF_CHUNK ? n - k : HANDOFF_CHUNK),
				    0, r->scratch, found, matches));
	must(hs_close_stream(stream, r->scratch, found, matches));
}

struct sb_cost sb_raw_full(struct sb_raw *r, const struct sb_corpus *c)
{
	struct sb_cost cost = {0};
	uint64_t start = sb_now();

	for (size_t i = 0; i < c->n; i++) {
		const char *p = (const char *)sb_octets(c, i);
		size_t n = c->message[i].n;

		if (n <= HANDOFF_CHUNK)
			must(hs_scan(r->block, p, (unsigned int)n, 0, r->scratch, found, &cost.matches));
		else
			full_stream(r, p, n, &cost.matches);
		cost.octets += n;
	}
	cost.ns = sb_now() - start;
	return cost;
}
