/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* One pattern over one text by PCRE2: the whole of it, or line by line. */

#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_internal.h"
#include "control/rules/rules_stats.h"
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
#define CLOCK_WORK (4u * 1024 * 1024) /* ... until the clock is looked at, */
#define CLOCK_CALLS 64u                /* or so many calls, each of LIMIT_RULES_PCRE_MATCH at most */

/* PCRE2's things for one message. */
struct rules_matcher {
	pcre2_match_context *context;
	pcre2_match_data *data;
	pcre2_jit_stack *stack;
	uint64_t deadline_ns;
	uint64_t work, calls;    /* since the clock was looked at */
	bool late;               /* the rule at hand is given up */
};

/* The last one that was given back: its stack would be fresh pages for each message. */
static _Thread_local struct rules_matcher *spare;

static void destroy(struct rules_matcher *m)
{
	pcre2_match_data_free(m->data);
	pcre2_match_context_free(m->context);
	pcre2_jit_stack_free(m->stack);
	free(m);
}

void rules_matcher_free(struct rules_matcher *m)
{
	if (m && spare)
		destroy(m);
	else if (m)
		spare = m;
}

struct rules_matcher *rules_matcher_new(void)
{
	struct rules_matcher *m = spare;

	if (m) {
		spare = NULL;
		rules_matcher_begin(m);
		return m;
	}
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->context = pcre2_match_context_create(NULL);
	m->data = pcre2_match_data_create(1, NULL);
	m->stack = pcre2_jit_stack_create(JIT_STACK_START, JIT_STACK_MAX, NULL);
	if (!m->context || !m->data || !m->stack) {
		destroy(m);
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
	m->deadline_ns = rules_clock_ns() + LIMIT_RULES_MS * 1000000u;
}

static bool too_late(struct rules_matcher *m)
{
	if (!m->late && (m->work >= CLOCK_WORK || ++m->calls >= CLOCK_CALLS)) {
		m->work = m->calls = 0;
		m->late = rules_clock_ns() > m->deadline_ns;
	}
	return m->late;
}

/* Behind the deadline a rule has what lies between two looks at the clock: most need less. */
static void next_rule(struct rules_matcher *m)
{
	m->work = m->calls = 0;
	m->late = false;
}

/* A pattern that is one octet, and stands for itself: some rules count letters. */
static long count_octet(uint8_t octet, struct str s, uint32_t max, struct str *where)
{
	uint32_t found = 0;

	for (size_t i = 0; i < s.n && found < max; i++)
		if (s.p[i] == octet && !found++ && where)
			*where = str_make(s.p + i, 1);
	return (long)found;
}

static bool is_octet(const struct rule_source *src)
{
	const char *pattern = rule_pattern(src);

	return (pattern[0] | 0x20) >= 'a' && (pattern[0] | 0x20) <= 'z' && !pattern[1] && !src->caseless;
}

/* How often it matches in s, up to max, without overlaps. -1: it ran into a limit. */
static long count(struct rules_matcher *m, const struct rule_source *src, struct str s, uint32_t max,
		  struct str *where)
{
	const pcre2_code *code = src->code;
	size_t at = 0, slice = s.n ? SLICE_WORK / s.n : 1;
	uint32_t found = 0, option = 0;

	if (is_octet(src))
		return count_octet((uint8_t)rule_pattern(src)[0], s, max, where);
	slice = slice < SLICE_MIN ? SLICE_MIN : slice;
	while (found < max && at <= s.n) {
		size_t last = s.n - at < slice ? s.n : at + slice;
		const PCRE2_SIZE *span;
		int rc;

		if (too_late(m))
			return found ? (long)found : -1;
		pcre2_set_offset_limit(m->context, last);
		rc = pcre2_match(code, s.p ? s.p : (PCRE2_SPTR) "", s.n, at, option, m->data, m->context);
		span = pcre2_get_ovector_pointer(m->data);
		m->work += ((rc >= 0 && span[1] > at ? span[1] : last) - at + 1) * (s.n - at + 1);
		if (rc == PCRE2_ERROR_NOMATCH && last < s.n) {
			at = last + 1;
			option = 0;
			continue;
		}
		if (rc == PCRE2_ERROR_NOMATCH)
			break;
		/* 0: more groups than the one we have room for. */
		if (rc < 0)
			return found ? (long)found : -1;
		/* \K may set the start behind the end. */
		if (!found++ && where && span[0] <= span[1])
			*where = str_make(s.p + span[0], span[1] - span[0]);
		/* As in Perl, the same empty match is not found twice. */
		if (span[1] < at || (span[1] == at && option)) {
			at++;
			option = 0;
		} else {
			option = span[0] >= span[1] ? PCRE2_NOTEMPTY_ATSTART : 0;
			at = span[1];
		}
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

/* Matches of the line at *at, which then is where the next one begins; *before: the last line that had
 * any. */
static long match_line(struct rules_matcher *m, const struct rule_source *src, const struct rules_slot *slot,
		       struct str text, size_t *at, uint32_t max, struct str *where, struct str *before)
{
	struct str line = str_skip(text, *at);
	size_t n = str_find(line, '\n');
	bool feed = n < line.n, first = *at == 0;
	long k;

	*at += n + 1;
	if (src->no_subject && first)
		return 0;
	k = count(m, src, str_cut(line, n + (feed && slot->line_feed)), max, where);
	line = str_cut(line, n);
	/* Forms of a URI that differ in case alone (uri.h) are one URI to who counts them. */
	if (k > 0 && slot->number == VIEW_URI && before->p && str_ieq(line, *before))
		return 0;
	if (k > 0)
		*before = line;
	return k;
}

static int by_place(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

long rules_match_places(struct rules_matcher *m, const struct rule_source *src,
			const struct rules_slot *slot, struct str text, uint64_t *place, size_t n,
			uint32_t max, struct str *where)
{
	struct str before = STR_NONE;
	size_t next = 0;
	bool limit = false;
	long found = 0;

	qsort(place, n, sizeof(*place), by_place);
	next_rule(m);
	for (size_t i = 0; i < n && (uint32_t)found < max && !m->late; i++) {
		long k;

		if (place[i] < next || place[i] >= text.n)
			continue;
		next = line_start(text, (size_t)place[i]);
		k = match_line(m, src, slot, text, &next, max - (uint32_t)found, found ? NULL : where, &before);
		limit |= k < 0;
		found += k > 0 ? k : 0;
	}
	return !found && limit ? -1 : found;
}

long rules_match(struct rules_matcher *m, const struct rule_source *src, const struct rules_slot *slot,
		 struct str text, uint32_t max, struct str *where)
{
	struct str before = STR_NONE;
	long found = 0;
	bool limit = false;
	size_t at = 0;

	next_rule(m);
	if (!slot->lines)
		return count(m, src, text, max, where);
	while (at < text.n && (uint32_t)found < max && !m->late) {
		/* One line that cannot be told says nothing of the others. */
		long k = match_line(m, src, slot, text, &at, max - (uint32_t)found, found ? NULL : where, &before);

		limit |= k < 0;
		found += k > 0 ? k : 0;
	}
	return !found && limit ? -1 : found;
}
