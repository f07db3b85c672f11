/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The body view of a rule set on one core: the plan's database as the dataplane runs it, its two
 * halves (literals, automaton), and one naive database of the patterns themselves.
 *
 *   bench_rules [--cache DIRECTORY] [--naive] FILE...
 */

#include <getopt.h>
#include <hs/hs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/rules/mailtext.h"
#include "control/rules/rules_database.h"
#include "dataplane/scan/automaton.h"
#include "dataplane/scan/literals.h"
#include "dataplane/scan/scan.h"
#include "postern/stats.h"

#define MESSAGE (10u * 1024)
#define MESSAGES 400u
#define TURNS 5

static uint8_t text[MESSAGES][MESSAGE];

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static void say(const char *what, double took, unsigned long opened)
{
	printf("%-34s %6.3f GB/s", what, (double)TURNS * MESSAGES * MESSAGE / took / 1e9);
	if (opened)
		printf("  %.1f rules a message", (double)opened / TURNS / MESSAGES);
	putchar('\n');
}

static void as_the_dataplane(const struct rules *r)
{
	static uint64_t counters[POSTERN_DP_COUNTER_COUNT];
	void *bundle = NULL;
	size_t len = 0;
	struct handoff_match match[HANDOFF_MAX_MATCHES];
	struct scan_generation *g;
	struct scan_worker *w;
	unsigned long opened = 0;
	char err[256] = "";
	double start;

	if (rules_pack(r, 0, false, &bundle, &len) || !bundle ||
	    scan_generation_new(bundle, len, 1, &g, err, sizeof(err)) ||
	    scan_worker_new(g, 1, counters, &w)) {
		printf("no body database: %s\n", err);
		return;
	}
	start = now();
	for (int t = 0; t < TURNS; t++)
		for (size_t i = 0; i < MESSAGES; i++) {
			uint32_t n = 0;

			scan_block(w, VIEW_BODY, text[i], MESSAGE, match, &n, HANDOFF_MAX_MATCHES);
			opened += n;
		}
	say("plan, literals and automaton", now() - start, opened);
	scan_worker_free(w);
	scan_generation_free(g);
	free(bundle);
}

static int ignore(unsigned int id, unsigned long long from, unsigned long long to,
		  unsigned int flags, void *ctx)
{
	(void)id;
	(void)from;
	(void)to;
	(void)flags;
	(void)ctx;
	return 0;
}

static void database(const char *what, hs_database_t *db)
{
	hs_scratch_t *scratch = NULL;
	double start;

	if (hs_alloc_scratch(db, &scratch) != HS_SUCCESS)
		return;
	start = now();
	for (int t = 0; t < TURNS; t++)
		for (size_t i = 0; i < MESSAGES; i++)
			hs_scan(db, (const char *)text[i], MESSAGE, 0, scratch, ignore, NULL);
	say(what, now() - start, 0);
	hs_free_scratch(scratch);
}

static void count(void *ctx, uint32_t id, size_t end)
{
	(void)id;
	(void)end;
	++*(unsigned long *)ctx;
}

static void found(void *ctx, uint32_t id, size_t end)
{
	(void)ctx;
	(void)id;
	(void)end;
}

static void literals(const uint8_t *blob, size_t len, uint32_t n_patterns)
{
	struct literals l;
	double start;
	unsigned long opened = 0;

	if (!len || literals_open(blob, len, n_patterns, &l))
		return;
	start = now();
	for (int t = 0; t < TURNS; t++)
		for (size_t i = 0; i < MESSAGES; i++)
			literals_run(&l, text[i], MESSAGE, 0, MESSAGE, 0, count, &opened);
	say("  literals alone", now() - start, opened);
}

static void halves(const struct rules *r)
{
	struct rules_blob_head head;
	hs_database_t *db = NULL;
	struct automaton a;
	const uint8_t *blob;
	uint8_t *copy;
	size_t len;
	double start;

	blob = rules_blob(r, VIEW_BODY, &len);
	if (!blob)
		return;
	memcpy(&head, blob, sizeof(head));
	if (head.block_len && hs_deserialize_database((const char *)blob + head.block_off, head.block_len,
						      &db) == HS_SUCCESS)
		database("  patterns alone", db);
	hs_free_database(db);
	literals(blob + head.literals_off, head.literals_len, head.n_patterns);
	if (!head.automaton_len)
		return;
	copy = aligned_alloc(64, (head.automaton_len + 63) & ~(size_t)63);
	if (!copy)
		return;
	memcpy(copy, blob + head.automaton_off, head.automaton_len);
	if (!automaton_open(copy, head.automaton_len, head.n_patterns, &a)) {
		start = now();
		for (int t = 0; t < TURNS; t++)
			for (size_t i = 0; i < MESSAGES; i++)
				automaton_run(&a, text[i], MESSAGE, 0, MESSAGE, true, found, NULL);
		say("  automaton alone", now() - start, 0);
	}
	free(copy);
}

/* Patterns as written; those that tags are replaced in take minutes and are left out. */
static void naive(const struct rules *r)
{
	size_t n = 0, cap = rules_total(r);
	const char **list = calloc(cap + 1, sizeof(*list));
	unsigned int *flags = calloc(cap + 1, sizeof(*flags));
	hs_compile_error_t *error = NULL;
	hs_database_t *db = NULL;

	for (size_t i = 0; list && flags && i < cap; i++) {
		const struct rule *rule = rules_at(r, i);
		hs_expr_info_t *info = NULL;
		const unsigned int f = HS_FLAG_PREFILTER | HS_FLAG_MULTILINE | HS_FLAG_SINGLEMATCH |
				       HS_FLAG_CASELESS | HS_FLAG_ALLOWEMPTY;

		if (rule->kind != RULE_BODY || rule->tier > RULE_CONTROL || strchr(rules_text(r, rule), '<'))
			continue;
		if (hs_expression_info(rules_text(r, rule), f, &info, &error) == HS_SUCCESS) {
			list[n] = rules_text(r, rule);
			flags[n++] = f;
		}
		free(info);
		hs_free_compile_error(error);
		error = NULL;
	}
	if (n && hs_compile_multi(list, flags, NULL, (unsigned int)n, HS_MODE_BLOCK, NULL, &db, &error) ==
			 HS_SUCCESS) {
		char what[60];

		snprintf(what, sizeof(what), "one database of %zu patterns", n);
		database(what, db);
	}
	hs_free_compile_error(error);
	hs_free_database(db);
	free(list);
	free(flags);
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {{"cache", 1, 0, 'c'}, {"naive", 0, 0, 'n'}, {0}};
	struct rules_options opt = RULES_DEFAULT;
	bool with_naive = false;
	struct rules *r;
	double start;
	int o;

	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (o == 'c')
			opt.cache = optarg;
		else if (o == 'n')
			with_naive = true;
		else
			return 2;
	}
	start = now();
	if (rules_load_with((const char *const *)argv + optind, (size_t)(argc - optind), &opt, &r)) {
		fprintf(stderr, "the rules do not load\n");
		return 1;
	}
	printf("%zu rules, loaded in %.1f s of CPU; %u messages of %u octets\n", rules_count(r), now() - start,
	       MESSAGES, MESSAGE);
	for (uint32_t i = 0; i < MESSAGES; i++)
		mailtext_body(1000 + i, text[i], MESSAGE);
	as_the_dataplane(r);
	halves(r);
	if (with_naive)
		naive(r);
	rules_free(r);
	return 0;
}
