/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* One pattern over one text by PCRE2: the whole of it, or line by line. */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/rules/rules_internal.h"
#include "postern/limits.h"

#define JIT_STACK_START (32 * 1024)
#define JIT_STACK_MAX (1024 * 1024)

/*
 * PCRE2's match limit counts anew at every place where a match may begin, so it does not bound what a
 * text costs: a pattern that runs to the end of the text from each place is quadratic. So it is asked
 * about a few places at a time, and between two turns the clock is looked at.
 */
#define SLICE_WORK (32u * 1024 * 1024) /* places × octets behind them, a turn */
#define SLICE_MIN 16u

/* PCRE2's things for one message. */
struct rules_matcher {
	pcre2_match_context *context;
	pcre2_match_data *data;
	pcre2_jit_stack *stack;
	uint64_t deadline_ns;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void rules_matcher_free(struct rules_matcher *m)
{
	if (!m)
		return;
	pcre2_match_data_free(m->data);
	pcre2_match_context_free(m->context);
	pcre2_jit_stack_free(m->stack);
	free(m);
}

struct rules_matcher *rules_matcher_new(void)
{
	struct rules_matcher *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->context = pcre2_match_context_create(NULL);
	m->data = pcre2_match_data_create(1, NULL);
	m->stack = pcre2_jit_stack_create(JIT_STACK_START, JIT_STACK_MAX, NULL);
	if (!m->context || !m->data || !m->stack) {
		rules_matcher_free(m);
		return NULL;
	}
	/* A message can be written so that a pattern backtracks for ever. */
	pcre2_set_match_limit(m->context, LIMIT_RULES_PCRE_MATCH);
	pcre2_set_depth_limit(m->context, LIMIT_RULES_PCRE_DEPTH);
	pcre2_set_heap_limit(m->context, LIMIT_RULES_PCRE_HEAP_KB);
	pcre2_jit_stack_assign(m->context, NULL, m->stack);
	rules_matcher_begin(m);
	return m;
}

void rules_matcher_begin(struct rules_matcher *m)
{
	m->deadline_ns = now_ns() + LIMIT_RULES_MS * 1000000u;
}

/* How often it matches in s, up to max, without overlaps. -1: it ran into a limit. */
static long count(struct rules_matcher *m, const pcre2_code *code, struct str s, uint32_t max,
		  struct str *where)
{
	size_t at = 0, slice = s.n ? SLICE_WORK / s.n : 1;
	uint32_t found = 0;

	slice = slice < SLICE_MIN ? SLICE_MIN : slice;
	while (found < max && at <= s.n) {
		size_t last = s.n - at < slice ? s.n : at + slice;
		const PCRE2_SIZE *span;
		int rc;

		if (now_ns() > m->deadline_ns)
			return found ? (long)found : -1;
		pcre2_set_offset_limit(m->context, last);
		rc = pcre2_match(code, s.p ? s.p : (PCRE2_SPTR) "", s.n, at, 0, m->data, m->context);
		if (rc == PCRE2_ERROR_NOMATCH && last < s.n) {
			at = last + 1;
			continue;
		}
		if (rc == PCRE2_ERROR_NOMATCH)
			break;
		/* 0: more groups than the one we have room for. */
		if (rc < 0)
			return found ? (long)found : -1;
		span = pcre2_get_ovector_pointer(m->data);
		/* \K may set the start behind the end. */
		if (!found++ && where && span[0] <= span[1])
			*where = str_make(s.p + span[0], span[1] - span[0]);
		at = span[1] > at ? span[1] : at + 1;
	}
	return (long)found;
}

static size_t line_start(struct str text, size_t from)
{
	if (from > text.n)
		from = text.n;
	while (from && text.p[from - 1] != '\n')
		from--;
	return from;
}

long rules_match(struct rules_matcher *m, const struct rule_source *src, const struct rules_slot *slot,
		 struct str text, size_t from, uint32_t max, struct str *where)
{
	long found = 0;
	bool limit = false;
	size_t at;

	if (!slot->lines)
		return count(m, src->code, text, max, where);
	at = line_start(text, from);
	if (src->no_subject && at == 0)
		at = str_find(text, '\n') + 1;
	while (at < text.n && (uint32_t)found < max) {
		struct str line = str_skip(text, at);
		size_t n = str_find(line, '\n');
		bool feed = n < line.n;
		long k = count(m, src->code, str_cut(line, n + (feed && slot->line_feed)),
			       max - (uint32_t)found, found ? NULL : where);

		/* One line that cannot be told says nothing of the others. */
		limit |= k < 0;
		found += k > 0 ? k : 0;
		at += n + 1;
	}
	return !found && limit ? -1 : found;
}
