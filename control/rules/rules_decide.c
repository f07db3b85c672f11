/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Does one rule hit? The matches come from another process: nothing of them is believed but that they
 * are there.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_judging.h"
#include "control/rules/rules_stats.h"
#include "dataplane/scan/gate.h"
#include "postern/limits.h"

/* In place of a number of matches: PCRE2 ran into a limit; the text could not be had. */
#define LIMITED (-1)
#define CANNOT (-2)

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

static int ask(struct judging *j, uint16_t number, struct str *text)
{
	uint64_t start = rules_clock_ns();
	int rc = j->src->text(j->src->ctx, number, text);

	j->out->text_ns += rules_clock_ns() - start;
	return rc;
}

static enum text_state text_of(struct judging *j, size_t slot)
{
	int rc;

	if (j->text[slot].state != TEXT_NEW)
		return j->text[slot].state;
	if (!j->src)
		return TEXT_FAILED;
	rc = ask(j, j->r->slot[slot].number, &j->text[slot].text);
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
		rc = ask(j, number, &none);
	j->oom |= rc == -ENOMEM;
	return rc < 0 ? CANNOT : rc > 0;
}

uint32_t rules_most(const struct rules *r, size_t i)
{
	return !r->rule[i].multiple || r->rule[i].negated ? 1 : r->src[i].max_hits ? r->src[i].max_hits
										   : UINT16_MAX;
}

/* The text that rule i is about. 1, 0: there is nothing that could match, CANNOT. */
static int text_for(struct judging *j, size_t i, size_t slot, struct str *text)
{
	const struct rule_source *src = &j->r->src[i];

	if (slot == j->r->n_slots)
		return CANNOT;
	switch (text_of(j, slot)) {
	case TEXT_THERE:
		*text = j->text[slot].text;
		return 1;
	case TEXT_ABSENT:
		/* A header that is not there is its default, or empty; of a view there is nothing. */
		if (!is_field(j->r->rule[i].slot) || j->r->slot[slot].lines)
			return 0;
		*text = src->has_default ? str_c(src->unset) : STR("");
		return 1;
	default:
		return CANNOT;
	}
}

static bool ready(struct judging *j, size_t i)
{
	if (!j->matcher)
		j->matcher = rules_matcher_new();
	j->oom |= !j->matcher || !rules_code(j->r, i);
	return !j->oom;
}

/* What PCRE2 took is all that is charged to the rule. */
static long charge(struct judging *j, size_t i, uint64_t start, long n)
{
	struct rule_counts *c = rules_stats_of(j->src ? j->src->stats : NULL, i);
	uint64_t ns = rules_clock_ns() - start;

	j->out->evaluated++;
	j->out->pattern_ns += ns;
	if (c) {
		c->evaluated++;
		c->matched += n > 0;
		c->limited += n == LIMITED;
		c->ns += ns;
	}
	return n;
}

/* How often the pattern matches; LIMITED, CANNOT. */
static long look(struct judging *j, size_t i)
{
	size_t slot = slot_index(j->r, j->r->rule[i].slot);
	struct str text = STR("");
	int there = text_for(j, i, slot, &text);
	uint64_t start;

	if (there <= 0)
		return there;
	if (!ready(j, i))
		return CANNOT;
	start = rules_clock_ns();
	return charge(j, i, start, rules_match(j->matcher, &j->r->src[i], &j->r->slot[slot], text,
					       rules_most(j->r, i), &j->where[i]));
}

/*
 * The same, where all places of a gate are known: a match holds what opened it, and lies within one
 * line.
 */
static long look_at_places(struct judging *j, size_t i)
{
	size_t slot = slot_index(j->r, j->r->rule[i].slot), n = 0;
	uint64_t place[GATE_PLACES];
	struct str text = STR("");
	int there = text_for(j, i, slot, &text);
	uint64_t start;

	if (there <= 0)
		return there;
	if (!ready(j, i))
		return CANNOT;
	for (uint32_t k = j->seen[i].last; k && n < GATE_PLACES; k = j->before[k - 1]) {
		place[n] = j->match[k - 1].end;
		place[n] -= place[n] > 0;
		n++;
	}
	start = rules_clock_ns();
	return charge(j, i, start, rules_match_places(j->matcher, &j->r->src[i], &j->r->slot[slot], text, place,
						      n, rules_most(j->r, i), &j->where[i]));
}

static bool places_known(const struct judging *j, size_t i)
{
	const struct rule *rule = &j->r->rule[i];
	const struct rules_slot *slot = rules_slot_at(j->r, rule->slot);

	return (rule->tier == RULE_GATED || rule->tier == RULE_AUTOMATON) && slot && slot->lines &&
	       j->seen[i].count == j->seen[i].entries && j->seen[i].entries <= GATE_PLACES;
}

/* A native rule without a match: what a header that is not there says. */
static long not_seen(struct judging *j, size_t i)
{
	const struct rule_source *src = &j->r->src[i];
	const struct rules_slot *slot;
	int there;

	if (!src->absent_match || !is_field(j->r->rule[i].slot))
		return 0;
	/* Of parts there may be many; that of none is no text. */
	slot = rules_slot_at(j->r, j->r->rule[i].slot);
	if (slot && slot->lines)
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
	const struct rules_seen *s = &j->seen[i];

	if (j->in_full || rule->tier == RULE_CONTROL || is_partial(j, rule->slot))
		return look(j, i);
	if (!s->count)
		return not_seen(j, i);
	if (rule->tier == RULE_NATIVE) {
		/* Whatever comes of it: the hit stands. */
		if (j->src && j->src->where)
			(void)look(j, i);
		return 1;
	}
	return places_known(j, i) ? look_at_places(j, i) : look(j, i);
}

enum rules_effort rules_effort(const struct judging *j, size_t i)
{
	const struct rule *rule = &j->r->rule[i];

	if (rule->exists)
		return j->src && j->src->has ? EFFORT_NONE : EFFORT_ALWAYS;
	if (j->in_full || rule->tier == RULE_CONTROL || is_partial(j, rule->slot))
		return EFFORT_ALWAYS;
	if (!j->seen[i].count)
		return j->r->src[i].absent_match && is_field(rule->slot) && j->src && !j->src->has
			       ? EFFORT_ALWAYS : EFFORT_NONE;
	if (rule->tier == RULE_NATIVE)
		return EFFORT_NONE;
	return places_known(j, i) ? EFFORT_LINES : EFFORT_OPENED;
}

struct rules_span rules_span_before(const struct rules *r, size_t i)
{
	return (struct rules_span){0, rules_most(r, i)};
}

void rules_decide(struct judging *j, size_t i)
{
	const struct rule *rule = &j->r->rule[i];
	long n = rule->exists ? is_there(j, rule->slot) : of_pattern(j, i);

	if (n < 0) {
		j->out->limited += n == LIMITED;
		j->state[i] = RULES_OPEN;
		j->span[i] = RULES_SPAN_ANY;
		return;
	}
	if (rule->negated) {
		j->where[i] = STR_NONE;
		n = !n;
	}
	j->state[i] = RULES_DECIDED;
	j->span[i] = (struct rules_span){(double)n, (double)n};
}
