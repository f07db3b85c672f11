/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What a pattern costs: Hyperscan in block mode, alone, over a sample of such text. */

#include <hs/hs.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "control/rules/mailtext.h"
#include "control/rules/rules_database.h"
#include "control/rules/rules_internal.h"

#define SAMPLE (64u * 1024)
#define TURNS 3

static struct {
	uint8_t body[SAMPLE], rawbody[SAMPLE], uri[SAMPLE], header[SAMPLE];
} sample;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make(void)
{
	mailtext_body(11, sample.body, SAMPLE);
	mailtext_rawbody(12, sample.rawbody, SAMPLE);
	mailtext_uri(13, sample.uri, SAMPLE);
	mailtext_header(14, sample.header, SAMPLE);
}

static const uint8_t *sample_of(const struct rules_slot *slot)
{
	pthread_once(&once, make);
	return slot->number == VIEW_BODY ? sample.body : slot->number == VIEW_URI ? sample.uri :
	       slot->number < VIEW_COUNT ? sample.rawbody : sample.header;
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

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

double rules_measure(const char *pattern, unsigned int hs_flags, const struct rules_slot *slot)
{
	/* A single match would end the work of a rule that hits at once: all of them are looked for. */
	unsigned int flags = hs_flags & ~(unsigned int)HS_FLAG_SINGLEMATCH;
	hs_compile_error_t *error = NULL;
	hs_scratch_t *scratch = NULL;
	hs_database_t *db = NULL;
	double best = 0;
	bool no_memory = false;
	hs_error_t rc = hs_compile(pattern, flags, HS_MODE_BLOCK, NULL, &db, &error);

	if (rc == HS_SUCCESS)
		rc = hs_alloc_scratch(db, &scratch);
	if (rc != HS_SUCCESS) {
		no_memory = rules_hs_no_memory(rc, error);
		goto out;
	}
	for (int i = 0; i < TURNS; i++) {
		double start = now(), took;

		if (hs_scan(db, (const char *)sample_of(slot), SAMPLE, 0, scratch, ignore, NULL) != HS_SUCCESS)
			goto out;
		took = now() - start;
		if (took > 0 && (best <= 0 || took < best))
			best = took;
	}
out:
	hs_free_scratch(scratch);
	hs_free_database(db);
	hs_free_compile_error(error);
	if (no_memory)
		return -1;
	return best > 0 ? SAMPLE / best / 1e9 : 0;
}

double rules_measure_control(const struct rules *r, size_t i, const struct rules_slot *slot, double *often)
{
	struct rules_matcher *m = rules_matcher_new();
	struct str text = str_make(sample_of(slot), SAMPLE);
	double start, took;
	long n;

	if (!m || !rules_code(r, i)) {
		rules_matcher_free(m);
		return -1;
	}
	start = now();
	n = rules_match(m, &r->src[i], slot, text, rules_most(r, i), NULL);
	took = now() - start;
	*often = n > 0 ? (double)n / SAMPLE : 0;
	rules_matcher_free(m);
	return took * 1e9 / SAMPLE;
}
