/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Matches of a scan → hits. Nothing is looked at that no verdict depends on: most meta rules say no
 * by one of their parts, and the others need not be known then.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_judging.h"
#include "control/rules/rules_stats.h"
#include "postern/limits.h"

static void count_matches(struct judging *j, size_t n)
{
	for (size_t m = 0; m < n; m++) {
		const struct handoff_match one = j->match[m];
		const struct rules_slot *slot = rules_slot_at(j->r, one.slot);
		uint32_t count = one.count ? one.count : 1;
		struct rules_seen *s;

		if (one.rule == HANDOFF_PRESENT)
			continue;
		if (slot && one.rule == HANDOFF_PARTIAL) {
			j->text[slot - j->r->slot].partial = true;
			j->out->partial++;
			continue;
		}
		if (!slot || one.rule >= slot->n) {
			j->out->unknown++;
			continue;
		}
		s = &j->seen[slot->rule[one.rule]];
		s->entries++;
		j->before[m] = s->last;
		s->last = (uint32_t)m + 1;
		s->count = s->count > UINT32_MAX - count ? UINT32_MAX : s->count + count;
	}
}

static void facts(struct judging *j)
{
	for (size_t k = 0; j->src && k < j->src->n_facts; k++) {
		const struct rule *rule = rules_find(j->r, j->src->fact[k].name);

		if (rule && rule->kind == RULE_EVAL)
			j->span[rule - j->r->rule] = (struct rules_span){j->src->fact[k].value, j->src->fact[k].value};
	}
}

/* A rule that is told of, or does something. */
static bool is_shown(const struct judging *j, size_t i)
{
	const struct rule *rule = &j->r->rule[i];

	return strncmp(rule->name, "__", 2) != 0 || rule->action != RULE_SCORE || (j->src && j->src->parts);
}

static bool has_value(const struct judging *j, size_t i)
{
	return j->state[i] == RULES_DECIDED && (j->span[i].lo < 0 || j->span[i].lo > 0);
}

static void count_hits(const struct judging *j)
{
	for (size_t i = 0; j->src && j->src->stats && i < j->r->n; i++)
		if (has_value(j, i))
			rules_stats_of(j->src->stats, i)->hits++;
}

static bool is_hit(const struct judging *j, size_t i)
{
	return is_shown(j, i) && has_value(j, i);
}

static struct rule_hit hit_of(const struct judging *j, size_t i)
{
	const struct rule *rule = &j->r->rule[i];
	double v = j->span[i].lo;
	struct rule_hit h = {.rule = rule, .score = rule->score, .text = j->where[i],
			     .count = v >= 1 && v < 1e6 ? (unsigned int)v : 1};

	/* As in SpamAssassin each match of a multiple rule scores; a meta rule scores once. */
	if (rule->multiple && rule->kind != RULE_META)
		h.score *= h.count;
	return h;
}

static long write_hits(struct judging *j, struct rule_hit *hit, size_t cap)
{
	size_t n = 0, all = 0;

	for (size_t i = 0; i < j->r->n; i++)
		all += is_hit(j, i);
	/* Where not all find room, what does something does; in order, where they do. */
	for (size_t i = 0; all > cap && i < j->r->n && n < cap; i++)
		if (is_hit(j, i) && j->r->rule[i].action != RULE_SCORE)
			hit[n++] = hit_of(j, i);
	for (size_t i = 0; i < j->r->n && n < cap; i++)
		if (is_hit(j, i) && (all <= cap || j->r->rule[i].action == RULE_SCORE))
			hit[n++] = hit_of(j, i);
	j->out->cut = (unsigned int)(all - n);
	return (long)n;
}

/* ---- what has to be looked at --------------------------------------------------------------- */

/* As far as it is known what it is made of. */
static void look_at_meta(struct judging *j, size_t i)
{
	j->span[i] = rules_meta_span(&j->r->src[i], j->span);
	if (rules_span_known(j->span[i]))
		j->state[i] = RULES_DECIDED;
}

/* The part of a meta rule that is decided with the least effort; UINT32_MAX: none is left. */
static uint32_t cheapest_part(const struct judging *j, size_t i)
{
	const struct rule_source *src = &j->r->src[i];
	uint32_t best = UINT32_MAX;
	enum rules_effort least = EFFORT_ALWAYS;

	for (size_t k = 0; k < src->n_steps; k++) {
		uint32_t part = src->step[k].rule;
		enum rules_effort effort;

		if (src->step[k].op != META_RULE || part == UINT32_MAX || j->state[part] != RULES_PENDING)
			continue;
		/* A meta rule may be settled by a part that takes less. */
		effort = j->r->rule[part].kind == RULE_META ? EFFORT_LINES : rules_effort(j, part);
		if (best == UINT32_MAX || effort < least) {
			best = part;
			least = effort;
		}
	}
	return best;
}

/* Its parts are decided until it is; parts that are meta rules themselves come first in r->order, so
 * this ends. Over what could not be decided nothing can be said. */
static void settle(struct judging *j, uint32_t i)
{
	while (j->state[i] == RULES_PENDING && !j->oom) {
		uint32_t part;

		look_at_meta(j, i);
		if (j->state[i] != RULES_PENDING)
			return;
		part = cheapest_part(j, i);
		if (part == UINT32_MAX) {
			j->state[i] = RULES_OPEN;
		} else if (j->r->rule[part].kind == RULE_META) {
			settle(j, part);
		} else {
			rules_decide(j, part);
		}
	}
}

static bool is_pattern(const struct rule *rule)
{
	return rule->tier != RULE_OFF && rule->tier != RULE_NOT_SUPPORTED && rule->kind < RULE_META;
}

/* The dataplane tells that it must be looked at, if a verdict depends on it. */
static void count_gate(struct judging *j, size_t i)
{
	enum rule_tier tier = j->r->rule[i].tier;
	struct rule_counts *c = rules_stats_of(j->src ? j->src->stats : NULL, i);

	if (j->in_full || !j->seen[i].count || tier == RULE_NATIVE || tier == RULE_CONTROL)
		return;
	j->out->gates++;
	if (c)
		c->opened++;
}

/* What is shown must be decided, and what takes nothing is; the rest when a meta rule depends on it. */
static void decide_all(struct judging *j)
{
	const struct rules *r = j->r;

	for (size_t i = 0; i < r->n && !j->oom; i++) {
		if (!is_pattern(&r->rule[i])) {
			/* Off, or not supported: 0. Facts are known by now. */
			j->state[i] = r->rule[i].tier == RULE_COMPUTED && r->rule[i].kind == RULE_META
					      ? RULES_PENDING : RULES_DECIDED;
			continue;
		}
		count_gate(j, i);
		if (j->in_full || is_shown(j, i) || rules_effort(j, i) == EFFORT_NONE)
			rules_decide(j, i);
		else
			j->span[i] = rules_span_before(r, i);
	}
	for (size_t k = 0; k < r->n_order && !j->oom; k++)
		if (r->rule[r->order[k]].tier == RULE_COMPUTED)
			look_at_meta(j, r->order[k]);
	for (size_t k = 0; k < r->n_order && !j->oom; k++)
		if (r->rule[r->order[k]].tier == RULE_COMPUTED && is_shown(j, r->order[k]))
			settle(j, r->order[k]);
}

static bool start(struct judging *j, size_t n_matches)
{
	size_t n = j->r->n + 1;

	j->seen = calloc(n, sizeof(*j->seen));
	j->before = calloc(n_matches + 1, sizeof(*j->before));
	j->span = calloc(n, sizeof(*j->span));
	j->where = calloc(n, sizeof(*j->where));
	j->state = calloc(n, sizeof(*j->state));
	j->text = calloc(j->r->n_slots + 1, sizeof(*j->text));
	return j->seen && j->before && j->span && j->where && j->state && j->text;
}

static long judge(struct judging *j, size_t n_matches, struct rule_hit *hit, size_t cap)
{
	long n = -ENOMEM;

	*j->out = (struct rules_judged){0};
	if (!start(j, n_matches))
		goto out;
	count_matches(j, n_matches);
	facts(j);
	decide_all(j);
	if (!j->oom) {
		count_hits(j);
		n = write_hits(j, hit, cap);
	}
out:
	rules_matcher_free(j->matcher);
	free(j->seen);
	free(j->before);
	free(j->span);
	free(j->where);
	free(j->state);
	free(j->text);
	return n;
}

long rules_judge(const struct rules *r, const struct handoff_match *match, size_t n_matches,
		 uint32_t flags, const struct rules_source *src, struct rule_hit *hit, size_t cap,
		 struct rules_judged *out)
{
	struct judging j = {.r = r, .src = src, .match = match, .out = out};

	j.in_full = src && (flags & (RECORD_F_SCAN_PARTIAL | RECORD_F_MATCHES_CUT));
	return judge(&j, n_matches, hit, cap);
}

long rules_judge_in_full(const struct rules *r, const struct rules_source *src,
			 struct rule_hit *hit, size_t cap, struct rules_judged *out)
{
	struct judging j = {.r = r, .src = src, .out = out, .in_full = true};

	return judge(&j, 0, hit, cap);
}
