/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Matches of a scan → hits. The matches come from another process: nothing of them is believed. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_internal.h"
#include "postern/limits.h"

#define JIT_STACK_START (32 * 1024)
#define JIT_STACK_MAX (1024 * 1024)

/* PCRE2's things for one message, made when the first rule needs them. */
struct confirm {
	const struct mail_bytes *content;
	uint8_t *copy;           /* content in one piece, if it is not */
	const uint8_t *p;
	size_t n;
	pcre2_match_context *context;
	pcre2_match_data *data;
	pcre2_jit_stack *stack;
};

static bool confirm_start(struct confirm *c)
{
	const struct mail_bytes *m = c->content;
	size_t at = 0;

	if (c->data)
		return true;
	c->context = pcre2_match_context_create(NULL);
	c->data = pcre2_match_data_create(1, NULL);
	c->stack = pcre2_jit_stack_create(JIT_STACK_START, JIT_STACK_MAX, NULL);
	if (!c->context || !c->data || !c->stack)
		return false;
	/* A message can be written so that a pattern backtracks for ever. */
	pcre2_set_match_limit(c->context, LIMIT_RULES_PCRE_MATCH);
	pcre2_set_depth_limit(c->context, LIMIT_RULES_PCRE_DEPTH);
	pcre2_set_heap_limit(c->context, LIMIT_RULES_PCRE_HEAP_KB);
	pcre2_jit_stack_assign(c->context, NULL, c->stack);
	for (size_t i = 0; i < m->n_iov; i++)
		c->n += m->iov[i].iov_len;
	if (m->n_iov == 1) {
		c->p = m->iov[0].iov_base;
		return true;
	}
	c->copy = malloc(c->n + 1);
	if (!c->copy)
		return false;
	for (size_t i = 0; i < m->n_iov; i++) {
		if (m->iov[i].iov_len)
			memcpy(c->copy + at, m->iov[i].iov_base, m->iov[i].iov_len);
		at += m->iov[i].iov_len;
	}
	c->p = c->copy;
	return true;
}

static void confirm_end(struct confirm *c)
{
	free(c->copy);
	pcre2_match_data_free(c->data);
	pcre2_match_context_free(c->context);
	pcre2_jit_stack_free(c->stack);
}

/* How often the pattern matches, up to max, without overlaps. -1: it could not be told. */
static long confirm_count(struct confirm *c, const struct rule_source *src, uint32_t max)
{
	uint32_t found = 0;
	size_t at = 0;

	while (found < max && at <= c->n) {
		const PCRE2_SIZE *span;
		int rc = pcre2_match(src->code, c->p ? c->p : (PCRE2_SPTR) "", c->n, at, 0, c->data,
				     c->context);

		if (rc == PCRE2_ERROR_NOMATCH)
			break;
		/* 0: more groups than the one we have room for. */
		if (rc < 0)
			return found ? (long)found : -1;
		found++;
		span = pcre2_get_ovector_pointer(c->data);
		/* \K may set the end before the start. */
		at = span[1] > at ? span[1] : at + 1;
	}
	return (long)found;
}

/* Hits of rule i that was reported `seen` times; -1: could not be told, -2: no memory. */
static long judge(const struct rules *r, size_t i, uint32_t seen, struct confirm *c)
{
	const struct rule_source *src = &r->src[i];
	uint32_t max = !r->rule[i].multiple ? 1 : src->max_hits ? src->max_hits : UINT16_MAX;

	/* Hyperscan reports every end of a match: how often a rule hits only PCRE2 can tell. */
	if (!r->rule[i].prefilter && !r->rule[i].multiple)
		return 1;
	if (!c->content)
		return r->rule[i].prefilter ? -1 : seen < max ? (long)seen : (long)max;
	if (!confirm_start(c))
		return -2;
	return confirm_count(c, src, max);
}

long rules_hits(const struct rules *r, const struct handoff_match *match, size_t n_matches,
		const struct mail_bytes *content, struct rule_hit *hit, size_t cap, unsigned int *unknown)
{
	struct confirm c = {.content = content};
	uint32_t *seen = calloc(r->n + 1, sizeof(*seen));
	long n = 0;

	*unknown = 0;
	if (!seen)
		return -ENOMEM;
	for (size_t m = 0; m < n_matches; m++) {
		const struct handoff_match one = match[m];
		uint32_t count = one.count ? one.count : 1, *s;

		if (one.view >= VIEW_COUNT || one.rule >= r->view[one.view].n) {
			++*unknown;
			continue;
		}
		s = &seen[r->view[one.view].rule[one.rule]];
		*s = *s > UINT32_MAX - count ? UINT32_MAX : *s + count;
	}
	for (size_t i = 0; i < r->n && (size_t)n < cap; i++) {
		long count = seen[i] ? judge(r, i, seen[i], &c) : 0;

		if (count == -2) {
			n = -ENOMEM;
			break;
		}
		if (count < 0)
			++*unknown;
		if (count > 0)
			hit[n++] = (struct rule_hit){.rule = &r->rule[i], .count = (unsigned int)count,
						     .score = r->rule[i].score};
	}
	confirm_end(&c);
	free(seen);
	return n;
}
