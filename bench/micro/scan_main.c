/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * micro-scan: what inspecting content costs, step by step. bench/micro/scan runs it and makes the
 * table; on standard input it takes, a line each,
 *
 *   round     measures everything once       → a line of JSON
 *   dearest   which rules cost control most  → a line of JSON
 *
 * and before that it prints a line about rules, messages and the build.
 *
 *   micro-scan [--cache DIRECTORY] --work DIRECTORY --literals FILE --corpus NAME=DIRECTORY...
 *              [--same NAME=N] RULES...
 */

#include <errno.h>
#include <getopt.h>
#include <hs/hs.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/micro/scan.h"

#define MAX_CORPORA 8
#define MAX_LITERALS 20000u

static const struct { const char *name; unsigned int view; } view[] = {
	{"body", VIEW_BODY}, {"rawbody", VIEW_RAWBODY}, {"uri", VIEW_URI}, {"full", VIEW_FULL},
	{"attachment", VIEW_ATTACHMENT}, {"headers", SB_HEADERS}};
#define N_VIEWS (sizeof(view) / sizeof(view[0]))

static const struct { const char *name; uint32_t tiers; } tier[] = {
	{"native and confirmed", 1u << RULE_NATIVE | 1u << RULE_CONFIRMED},
	{"gated", 1u << RULE_GATED}, {"automaton", 1u << RULE_AUTOMATON}};
#define N_TIERS (sizeof(tier) / sizeof(tier[0]))

static struct {
	struct sb_files files;
	struct sb_corpus corpus[MAX_CORPORA];
	struct sb_views views[MAX_CORPORA];
	size_t n_corpora;
	const char *literal_file;
	char **literal;
	size_t n_literals;
	struct sb_set set, by_tier[N_TIERS], literals;
	struct sb_raw *naive[N_VIEWS], *raw, *raw_single;
	const char *same;      /* corpus that peers are asked about as well */
	size_t n_same;
} b;

_Noreturn void sb_die(const char *fmt, ...)
{
	va_list ap;

	fputs("micro-scan: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

void *sb_alloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		sb_die("no memory");
	return p;
}

void sb_grow(void *array, size_t n, size_t *cap, size_t size)
{
	void **a = array;

	if (n < *cap)
		return;
	*cap = *cap ? 2 * *cap : 64;
	*a = reallocarray(*a, *cap, size);
	if (!*a)
		sb_die("no memory");
}

void sb_hex(const uint8_t sha256[32], char out[65])
{
	for (unsigned int i = 0; i < 32; i++)
		sprintf(out + 2 * i, "%02x", sha256[i]);
}

static void print(json_t *o)
{
	if (!o || json_dumpf(o, stdout, JSON_COMPACT))
		sb_die("cannot write");
	putchar('\n');
	fflush(stdout);
	json_decref(o);
}

/* ---- what is measured */

static void read_literals(void)
{
	char *line = NULL;
	size_t cap = 0;
	FILE *in = fopen(b.literal_file, "re");

	if (!in)
		sb_die("%s: %s", b.literal_file, strerror(errno));
	b.literal = sb_alloc(MAX_LITERALS, sizeof(*b.literal));
	while (getline(&line, &cap, in) > 0 && b.n_literals < MAX_LITERALS) {
		line[strcspn(line, "\n")] = '\0';
		if (!*line)
			continue;
		b.literal[b.n_literals] = strdup(line);
		if (!b.literal[b.n_literals++])
			sb_die("no memory");
	}
	free(line);
	fclose(in);
}

/* The literals as rules of ours. */
static void load_literals(void)
{
	char path[4096];
	const char *file = path;
	struct sb_files f = {.file = &file, .n = 1, .cache = b.files.cache, .directory = b.files.directory};
	FILE *out;

	read_literals();
	snprintf(path, sizeof(path), "%s/literals.cf", b.files.directory);
	out = fopen(path, "we");
	if (!out)
		sb_die("%s: %s", path, strerror(errno));
	for (size_t i = 0; i < b.n_literals; i++) {
		fprintf(out, "full LITERAL_%zu /", i);
		for (const char *c = b.literal[i]; *c; c++)
			fprintf(out, "\\x%02x", (unsigned char)*c);
		fputs("/i\n", out);
	}
	if (fclose(out))
		sb_die("%s: %s", path, strerror(errno));
	sb_set_load(&b.literals, &f);
	b.raw = sb_raw_literals(b.literal, b.n_literals, false);
	b.raw_single = sb_raw_literals(b.literal, b.n_literals, true);
}

static json_t *counts(const struct rules *r)
{
	unsigned int n[RULE_KINDS][RULE_TIERS] = {0};
	json_t *all = json_object();

	for (size_t i = 0; i < rules_total(r); i++)
		n[rules_at(r, i)->kind][rules_at(r, i)->tier]++;
	for (unsigned int k = 0; k < RULE_KINDS; k++) {
		json_t *o = json_object();

		for (unsigned int t = 0; t < RULE_TIERS; t++)
			if (n[k][t])
				json_object_set_new(o, rule_tier_name(t), json_integer(n[k][t]));
		json_object_set_new(all, rule_kind_name(k), o);
	}
	return all;
}

static void files_sha256(char hex[65])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t sum[32], buf[65536];
	size_t n;

	if (!md || !EVP_DigestInit_ex(md, EVP_sha256(), NULL))
		sb_die("SHA-256");
	for (size_t i = 0; i < b.files.n; i++) {
		FILE *in = fopen(b.files.file[i], "re");

		if (!in)
			sb_die("%s: %s", b.files.file[i], strerror(errno));
		while ((n = fread(buf, 1, sizeof(buf), in)))
			EVP_DigestUpdate(md, buf, n);
		fclose(in);
	}
	EVP_DigestFinal_ex(md, sum, NULL);
	EVP_MD_CTX_free(md);
	sb_hex(sum, hex);
}

static json_t *setup(void)
{
	json_t *corpora = json_array(), *naive = json_object(), *o;
	size_t databases = 0, scratch = 0, stream = 0;
	char sha[65], digest[65];

	for (size_t i = 0; i < b.n_corpora; i++)
		json_array_append_new(corpora, sb_corpus_json(&b.corpus[i]));
	for (size_t i = 0; i < N_VIEWS; i++) {
		size_t n = 0, left = 0;

		if (view[i].view == SB_HEADERS)
			continue;
		b.naive[i] = sb_raw_naive(&b.set, view[i].view, b.files.cache, &n, &left);
		if (n)
			json_object_set_new(naive, view[i].name, json_pack("{s:I, s:I}", "patterns",
				(json_int_t)n, "left_out", (json_int_t)left));
	}
	if (b.set.generation)
		scan_generation_sizes(b.set.generation, &databases, &scratch, &stream);
	files_sha256(sha);
	sb_hex(rules_digest(b.set.rules), digest);
	o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:I, s:I, s:I, s:I}", "hyperscan",
		      hs_version(), "compiler", "gcc " __VERSION__, "march", BENCH_MARCH, "optimization",
		      BENCH_OPTIMIZATION, "rules_sha256", sha, "rules", (json_int_t)rules_count(b.set.rules),
		      "counts", counts(b.set.rules), "corpora", corpora, "naive", naive, "literals",
		      (json_int_t)b.n_literals, "database_octets", (json_int_t)databases, "scratch_octets",
		      (json_int_t)scratch, "stream_octets", (json_int_t)stream);
	json_object_set_new(o, "rules_digest", json_string(digest));
	return o;
}

static json_t *cost(struct sb_cost c)
{
	return json_pack("{s:I, s:I, s:I}", "ns", (json_int_t)c.ns, "octets", (json_int_t)c.octets, "matches",
			 (json_int_t)c.matches);
}

/* Selectors have other numbers in another set: only views can be told of it. */
static json_t *by_view(const struct sb_set *s, const struct sb_views *v)
{
	json_t *o = json_object();

	for (size_t i = 0; i < N_VIEWS; i++) {
		struct sb_cost c = {0};

		if (view[i].view != SB_HEADERS || s == &b.set)
			c = sb_view(s, v, view[i].view);
		if (c.octets)
			json_object_set_new(o, view[i].name, cost(c));
	}
	return o;
}

static json_t *control(const struct sb_set *s, const struct sb_corpus *c)
{
	struct sb_control t;

	sb_control(s, c, c->n, &t);
	return json_pack("{s:o, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "all", cost(t.all),
			 "median_us", t.median_us, "p99_us", t.p99_us, "max_us", t.most_us, "messages",
			 (json_int_t)t.messages, "with_gates", (json_int_t)t.with_gates, "gates",
			 (json_int_t)t.gates, "texts", (json_int_t)t.texts, "hits", (json_int_t)t.hits,
			 "in_full", (json_int_t)t.in_full, "limited", (json_int_t)t.limited);
}

static struct sb_cost whole(const struct sb_set *s, const struct sb_corpus *c, size_t n)
{
	return sb_sum(sb_whole(s, c, n, false), sb_whole(s, c, n, true));
}

/* What is scanned view by view must be what is scanned at once. */
static void compare(json_t *views, struct sb_cost at_once, const char *name)
{
	uint64_t matches = 0;
	const char *key;
	json_t *v;

	json_object_foreach(views, key, v)
		matches += (uint64_t)json_integer_value(json_object_get(v, "matches"));
	if (matches != at_once.matches)
		sb_die("%s: %lu matches at once, %lu view by view", name, (unsigned long)at_once.matches,
		       (unsigned long)matches);
}

static json_t *literals(const struct sb_corpus *c)
{
	return json_pack("{s:o, s:o, s:o}", "ours", cost(whole(&b.literals, c, c->n)), "raw",
			 cost(sb_raw_full(b.raw, c)), "raw_single", cost(sb_raw_full(b.raw_single, c)));
}

/* What peers are asked about as well. */
static json_t *same(const struct sb_corpus *c)
{
	struct sb_control t;

	sb_control(&b.set, c, b.n_same, &t);
	return json_pack("{s:I, s:o, s:o}", "messages", (json_int_t)t.messages, "scan",
			 cost(whole(&b.set, c, b.n_same)), "control", cost(t.all));
}

static json_t *of_corpus(size_t k)
{
	const struct sb_corpus *c = &b.corpus[k];
	struct sb_cost small = sb_whole(&b.set, c, c->n, false), large = sb_whole(&b.set, c, c->n, true);
	json_t *views = by_view(&b.set, &b.views[k]), *tiers = json_object(), *naive = json_object();
	json_t *judged = control(&b.set, c), *o;

	if (!json_integer_value(json_object_get(judged, "in_full")))
		compare(views, sb_sum(small, large), c->name);
	for (size_t i = 0; i < N_TIERS; i++)
		json_object_set_new(tiers, tier[i].name, by_view(&b.by_tier[i], &b.views[k]));
	for (size_t i = 0; i < N_VIEWS; i++)
		if (b.naive[i])
			json_object_set_new(naive, view[i].name,
					    cost(sb_raw_view(b.naive[i], &b.views[k], view[i].view)));
	o = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", c->name, "whole",
		      cost(sb_sum(small, large)), "small", cost(small), "large", cost(large), "made",
		      cost(sb_made_only(&b.set, c)), "views", views, "tiers", tiers, "naive", naive,
		      "control", judged, "literals", literals(c));
	if (b.same && !strcmp(b.same, c->name))
		json_object_set_new(o, "same", same(c));
	return o;
}

static json_t *a_round(void)
{
	json_t *list = json_array();

	for (size_t i = 0; i < b.n_corpora; i++)
		json_array_append_new(list, of_corpus(i));
	return json_pack("{s:o}", "corpora", list);
}

/* ---- */

static char *split(char *text)
{
	char *equal = strchr(text, '=');

	if (!equal || equal == text || !equal[1])
		sb_die("%s: NAME=... is wanted", text);
	*equal = '\0';
	return equal + 1;
}

static void options(int argc, char **argv)
{
	static const struct option list[] = {
		{"cache", 1, 0, 'c'}, {"work", 1, 0, 'w'}, {"literals", 1, 0, 'l'},
		{"corpus", 1, 0, 'm'}, {"same", 1, 0, 's'}, {0}};
	char *value;
	int c;

	while ((c = getopt_long(argc, argv, "", list, NULL)) != -1)
		switch (c) {
		case 'c': b.files.cache = optarg; break;
		case 'w': b.files.directory = optarg; break;
		case 'l': b.literal_file = optarg; break;
		case 'm':
			if (b.n_corpora == MAX_CORPORA)
				sb_die("at most %d corpora", MAX_CORPORA);
			value = split(optarg);
			sb_corpus_load(&b.corpus[b.n_corpora++], optarg, value);
			break;
		case 's':
			value = split(optarg);
			b.same = optarg;
			b.n_same = strtoul(value, NULL, 10);
			break;
		default: exit(2);
		}
	if (!b.files.directory || !b.literal_file || !b.n_corpora || optind == argc)
		sb_die("--work, --literals, --corpus and files of rules are wanted");
	b.files.file = (const char **)argv + optind;
	b.files.n = (size_t)(argc - optind);
}

static void finish(void)
{
	for (size_t i = 0; i < b.n_corpora; i++) {
		sb_corpus_free(&b.corpus[i]);
		sb_views_free(&b.views[i]);
	}
	for (size_t i = 0; i < N_TIERS; i++)
		sb_set_free(&b.by_tier[i]);
	for (size_t i = 0; i < N_VIEWS; i++)
		sb_raw_free(b.naive[i]);
	for (size_t i = 0; i < b.n_literals; i++)
		free(b.literal[i]);
	free(b.literal);
	sb_raw_free(b.raw);
	sb_raw_free(b.raw_single);
	sb_set_free(&b.literals);
	sb_set_free(&b.set);
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t cap = 0;

	options(argc, argv);
	sb_set_load(&b.set, &b.files);
	for (size_t i = 0; i < N_TIERS; i++)
		sb_set_load_tiers(&b.by_tier[i], &b.files, b.set.rules, tier[i].tiers, tier[i].name);
	load_literals();
	for (size_t i = 0; i < b.n_corpora; i++)
		sb_views_make(&b.views[i], &b.corpus[i], sb_set_plan(&b.set));
	print(setup());
	while (getline(&line, &cap, stdin) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (!strcmp(line, "round"))
			print(a_round());
		else if (!strcmp(line, "dearest"))
			print(sb_dearest(&b.set, &b.files, b.corpus, b.n_corpora));
		else
			sb_die("%s: no such command", line);
	}
	free(line);
	finish();
	return 0;
}
