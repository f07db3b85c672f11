/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Matches of a scan → hits. The matches come from another process: nothing of them is believed but
 * that they are there, and a rule that must not be missed is looked at anew where they are not all
 * there.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_internal.h"
#include "postern/limits.h"

struct seen {
	uint32_t count;
	uint64_t end;            /* of the first one */
};

/* In place of a number of matches: PCRE2 ran into a limit; the text could not be had. */
#define LIMITED (-1)
#define CANNOT (-2)

enum text_state { TEXT_NEW, TEXT_THERE, TEXT_ABSENT, TEXT_FAILED };

struct judging {
	const struct rules *r;
	const struct rules_source *src;
	struct rules_matcher *matcher;
	struct seen *seen;       /* by rule */
	double *value;           /* by rule */
	bool *open;              /* by rule: it could not be decided */
	struct str *where;       /* by rule */
	struct { enum text_state state; bool partial; struct str text; } *text; /* by slot of r->slot */
	bool in_full;
	struct rules_judged *out;
	bool oom;
};

static size_t slot_index(const struct rules *r, uint16_t number)
{
	size_t i = 0;

	while (i < r->n_slots && r->slot[i].number != number)
		i++;
	return i;
}

const struct rules_slot *rules_slot_at(const struct rules *r, uint16_t number)
{
	size_t i = slot_index(r, number);

	return i < r->n_slots ? &r->slot[i] : NULL;
}

static bool is_field(uint16_t slot)
{
	return slot >= CONTENT_SLOT_SELECTOR;
}

static enum text_state text_of(struct judging *j, size_t slot)
{
	int rc;

	if (j->text[slot].state != TEXT_NEW)
		return j->text[slot].state;
	if (!j->src)
		return TEXT_FAILED;
	rc = j->src->text(j->src->ctx, j->r->slot[slot].number, &j->text[slot].text);
	j->text[slot].state = rc > 0 ? TEXT_THERE : rc == 0 ? TEXT_ABSENT : TEXT_FAILED;
	j->out->texts++;
	j->out->failed += rc < 0;
	j->oom |= rc == -ENOMEM;
	return j->text[slot].state;
}

/* 1, 0, CANNOT */
static int is_there(struct judging *j, uint16_t number)
{
	size_t i = slot_index(j->r, number);
	struct str none;
	int rc;

	if (!j->src)
		return CANNOT;
	if (j->src->has)
		rc = j->src->has(j->src->ctx, number);
	else if (i < j->r->n_slots)
		rc = text_of(j, i) == TEXT_THERE ? 1 : j->text[i].state == TEXT_ABSENT ? 0 : -EIO;
	else
		rc = j->src->text(j->src->ctx, number, &none);
	j->oom |= rc == -ENOMEM;
	return rc < 0 ? CANNOT : rc > 0;
}

static uint32_t most(const struct rules *r, size_t i)
{
	return !r->rule[i].multiple || r->rule[i].negated ? 1 : r->src[i].max_hits ? r->src[i].max_hits
										   : UINT16_MAX;
}

/* How often the pattern matches; LIMITED, CANNOT. */
static long look(struct judging *j, size_t i, size_t from)
{
	const struct rule_source *src = &j->r->src[i];
	size_t slot = slot_index(j->r, j->r->rule[i].slot);
	struct str text = STR("");

	if (slot == j->r->n_slots)
		return CANNOT;
	switch (text_of(j, slot)) {
	case TEXT_THERE:
		text = j->text[slot].text;
		break;
	case TEXT_ABSENT:
		/* A header that is not there is its default, or empty; of a view there is nothing. */
		if (!is_field(j->r->rule[i].slot) || j->r->slot[slot].lines)
			return 0;
		if (src->has_default)
			text = str_c(src->unset);
		from = 0;
		break;
	default:
		return CANNOT;
	}
	if (!j->matcher)
		j->matcher = rules_matcher_new();
	if (!j->matcher) {
		j->oom = true;
		return CANNOT;
	}
	if (!rules_code(j->r, i)) {
		j->oom = true;
		return CANNOT;
	}
	return rules_match(j->matcher, src, &j->r->slot[slot], text, from, most(j->r, i), &j->where[i]);
}

/* A native rule without a match: what a header that is not there says. */
static long not_seen(struct judging *j, size_t i)
{
	const struct rule_source *src = &j->r->src[i];

	int there;

	if (!src->absent_match || !is_field(j->r->rule[i].slot))
		return 0;
	there = is_there(j, j->r->rule[i].slot);
	return there == CANNOT ? CANNOT : !there;
}

/* Was not all of the slot's text scanned? */
static bool is_partial(const struct judging *j, uint16_t slot)
{
	size_t i = slot_index(j->r, slot);

	return j->src && i < j->r->n_slots && j->text[i].partial;
}

static long of_pattern(struct judging *j, size_t i)
{
	const struct rule *rule = &j->r->rule[i];
	const struct seen *s = &j->seen[i];

	if (j->in_full || rule->tier == RULE_CONTROL || is_partial(j, rule->slot))
		return look(j, i, 0);
	if (!s->count)
		return not_seen(j, i);
	if (rule->tier == RULE_NATIVE)
		return 1;
	j->out->gates++;
	/* Every match holds a literal of its gate, and none of those ends before the first. */
	return look(j, i, rule->tier == RULE_GATED && s->end ? (size_t)s->end - 1 : 0);
}

static void decide(struct judging *j, size_t i)
{
	const struct rule *rule = &j->r->rule[i];
	long n = rule->exists ? is_there(j, rule->slot) : of_pattern(j, i);

	if (n < 0) {
		j->out->limited += n == LIMITED;
		j->open[i] = true;
		return;
	}
	if (rule->negated) {
		j->where[i] = STR_NONE;
		n = !n;
	}
	j->value[i] = (double)n;
}

/* Over what could not be decided nothing can be said. */
static void decide_meta(struct judging *j, size_t i)
{
	const struct rule_source *src = &j->r->src[i];

	for (size_t k = 0; k < src->n_steps; k++)
		if (src->step[k].op == META_RULE && src->step[k].rule != UINT32_MAX)
			j->open[i] |= j->open[src->step[k].rule];
	if (!j->open[i])
		j->value[i] = rules_meta_value(src, j->value);
}

static void count_matches(struct judging *j, const struct handoff_match *match, size_t n)
{
	for (size_t m = 0; m < n; m++) {
		const struct handoff_match one = match[m];
		const struct rules_slot *slot = rules_slot_at(j->r, one.slot);
		uint32_t count = one.count ? one.count : 1;
		struct seen *s;

		if (one.rule == HANDOFF_PRESENT)
			continue;
		if (slot && one.rule == HANDOFF_PARTIAL) {
			j->text[slot - j->r->slot].partial = true;
			continue;
		}
		if (!slot || one.rule >= slot->n) {
			j->out->unknown++;
			continue;
		}
		s = &j->seen[slot->rule[one.rule]];
		if (!s->count || one.end < s->end)
			s->end = one.end;
		s->count = s->count > UINT32_MAX - count ? UINT32_MAX : s->count + count;
	}
}

static void facts(struct judging *j)
{
	for (size_t k = 0; j->src && k < j->src->n_facts; k++) {
		const struct rule *rule = rules_find(j->r, j->src->fact[k].name);

		if (rule && rule->kind == RULE_EVAL)
			j->value[rule - j->r->rule] = j->src->fact[k].value;
	}
}

static bool is_hit(const struct judging *j, size_t i)
{
	const struct rule *rule = &j->r->rule[i];
	bool shown = strncmp(rule->name, "__", 2) != 0 || rule->action != RULE_SCORE ||
		     (j->src && j->src->parts);

	return shown && (j->value[i] < 0 || j->value[i] > 0);
}

static struct rule_hit hit_of(const struct judging *j, size_t i)
{
	double v = j->value[i];

	return (struct rule_hit){
		.rule = &j->r->rule[i], .score = j->r->rule[i].score, .text = j->where[i],
		.count = v >= 1 && v < 1e6 ? (unsigned int)v : 1,
	};
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

static bool start(struct judging *j)
{
	size_t n = j->r->n + 1;

	j->seen = calloc(n, sizeof(*j->seen));
	j->value = calloc(n, sizeof(*j->value));
	j->where = calloc(n, sizeof(*j->where));
	j->open = calloc(n, sizeof(*j->open));
	j->text = calloc(j->r->n_slots + 1, sizeof(*j->text));
	return j->seen && j->value && j->where && j->open && j->text;
}

static long judge(struct judging *j, const struct handoff_match *match, size_t n_matches,
		  struct rule_hit *hit, size_t cap)
{
	const struct rules *r = j->r;
	long n = -ENOMEM;

	*j->out = (struct rules_judged){0};
	if (!start(j))
		goto out;
	count_matches(j, match, n_matches);
	for (size_t i = 0; i < r->n && !j->oom; i++)
		if (r->rule[i].tier != RULE_OFF && r->rule[i].tier != RULE_NOT_SUPPORTED &&
		    r->rule[i].kind != RULE_META)
			decide(j, i);
	facts(j);
	for (size_t k = 0; k < r->n_order; k++) {
		uint32_t i = r->order[k];

		if (r->rule[i].tier == RULE_COMPUTED)
			decide_meta(j, i);
	}
	if (!j->oom)
		n = write_hits(j, hit, cap);
out:
	rules_matcher_free(j->matcher);
	free(j->seen);
	free(j->value);
	free(j->where);
	free(j->open);
	free(j->text);
	return n;
}

long rules_judge(const struct rules *r, const struct handoff_match *match, size_t n_matches,
		 uint32_t flags, const struct rules_source *src, struct rule_hit *hit, size_t cap,
		 struct rules_judged *out)
{
	struct judging j = {.r = r, .src = src, .out = out};

	j.in_full = src && (flags & (RECORD_F_SCAN_PARTIAL | RECORD_F_MATCHES_CUT));
	return judge(&j, match, n_matches, hit, cap);
}

long rules_judge_in_full(const struct rules *r, const struct rules_source *src,
			 struct rule_hit *hit, size_t cap, struct rules_judged *out)
{
	struct judging j = {.r = r, .src = src, .out = out, .in_full = true};

	return judge(&j, NULL, 0, hit, cap);
}
