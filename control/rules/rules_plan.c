/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Which tier a pattern is in. Texts of headers are short: there the pattern itself is looked for. In
 * the large views one dear pattern slows down all others that share its database, so there only what
 * is as cheap as literals goes in, and literals stand for the rest.
 */

#include <hs/hs.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_automaton.h"
#include "control/rules/rules_cache.h"
#include "control/rules/rules_database.h"
#include "control/rules/rules_internal.h"

/* A gate that opens more often than once in so many octets keeps nobody out. */
#define GATE_RARE (1.0 / 3000)
/* Slower than this alone, in 1e9 octets a second: not among others, not even in a header. */
#define HEADER_SLOW 0.02
#define VIEW_SLOW 1.0
/* What control does faster than that, in nanoseconds an octet, needs no gate. */
#define CHEAP_NS 0.5
/* A tree of more nodes: its compilation takes minutes. */
#define NATIVE_NODES 500u

unsigned int rules_regex_flags(const struct rule_source *s)
{
	return (s->caseless ? REGEX_F_CASELESS : 0) | (s->multiline ? REGEX_F_MULTILINE : 0) |
	       (s->dotall ? REGEX_F_DOTALL : 0) | (s->extended ? REGEX_F_EXTENDED : 0);
}

void rules_analyse(struct rules *r, size_t i)
{
	struct rule_source *s = &r->src[i];
	const char *why = "";
	struct regex re;
	size_t at = 0;

	if (regex_parse(str_c(rule_pattern(s)), rules_regex_flags(s), &re, &why, &at)) {
		r->rule[i].why = why;
		return;
	}
	regex_lines(&re, &s->lines);
	if (regex_literals(&re, &s->gate))
		r->oom = true;
	s->analysed = true;
	s->large = re.n_nodes > NATIVE_NODES;
	r->rule[i].n_literals = (unsigned int)s->gate.n;
	r->rule[i].gate = s->gate.n ? s->gate.per_octet * 10000 : 0;
	regex_free(&re);
}

static bool takes(struct rules *r, size_t i, const struct rules_slot *slot)
{
	char *text = rules_hs_text(&r->src[i]);
	hs_compile_error_t *error = NULL;
	hs_expr_info_t *info = NULL;
	hs_error_t rc = text ? hs_expression_info(text, rules_hs_flags(r, i, slot), &info, &error) : HS_NOMEM;

	r->oom |= rc != HS_SUCCESS && rules_hs_no_memory(rc, error);
	hs_free_compile_error(error);
	free(info);
	free(text);
	return rc == HS_SUCCESS;
}

/* Does Hyperscan take it, as it is or approximately? */
static bool native(struct rules *r, size_t i, const struct rules_slot *slot)
{
	r->rule[i].prefilter = false;
	if (takes(r, i, slot))
		return true;
	r->rule[i].prefilter = true;
	return takes(r, i, slot);
}

/* May what Hyperscan finds in the slot's text lack a match that the rule has? */
static const char *loses(const struct rules *r, size_t i, const struct rules_slot *slot)
{
	const struct rule_source *s = &r->src[i];

	if (!slot->lines)
		return NULL;
	if (!s->analysed)
		return "it is not understood";
	if (s->lines.lossy)
		return "what is in another line may hide a match";
	if (s->lines.very_edges || s->no_subject)
		return "it asks for an end of the text, which is one of lines here";
	return NULL;
}

/* Is a match in the slot's text a hit of the rule? */
static bool exact(const struct rules *r, size_t i, const struct rules_slot *slot)
{
	const struct rule_source *s = &r->src[i];

	if (r->rule[i].prefilter || (r->rule[i].multiple && !r->rule[i].negated))
		return false;
	if (!slot->lines)
		return true;
	return !s->lines.crosses && (slot->line_feed || !s->lines.line_end);
}

static bool gate_usable(const struct rules *r, size_t i, bool any)
{
	const struct regex_literals *gate = &r->src[i].gate;

	return gate->n && (any || gate->per_octet <= GATE_RARE);
}

/* Once for a pattern, as long as the cache is kept. */
static double measured(struct rules *r, size_t i, const struct rules_slot *slot)
{
	const char *pattern = rule_pattern(&r->src[i]);
	unsigned int flags = rules_hs_flags(r, i, slot), kind = slot->number < VIEW_COUNT ? slot->number
										       : VIEW_COUNT;
	char path[RULES_CACHE_PATH], *kept = NULL;
	bool named = r->opt.cache && rules_cache_path(r->opt.cache, 0, &pattern, &flags, &kind, 1, path);
	double gb_s = 0;
	size_t len = 0;

	if (named && rules_cache_get(path, &kept, &len)) {
		if (len == sizeof(gb_s))
			memcpy(&gb_s, kept, sizeof(gb_s));
		free(kept);
		if (len == sizeof(gb_s))
			return gb_s;
	}
	gb_s = rules_measure(pattern, flags, slot);
	if (gb_s < 0) {
		r->oom = true;
		return 0;
	}
	if (named)
		rules_cache_put(path, (const char *)&gb_s, sizeof(gb_s));
	return gb_s;
}

static bool automaton_serves(const struct rules *r, size_t i, const struct rules_slot *slot)
{
	return slot->number < VIEW_COUNT || r->src[i].large;
}

/* Hyperscan, and control where that is too slow. */
static void choose_hyperscan(struct rules *r, size_t i, const struct rules_slot *slot, const char *why, bool can)
{
	bool large = slot->number < VIEW_COUNT;
	struct rule *rule = &r->rule[i];

	if (can)
		rule->gb_s = measured(r, i, slot);
	if (can && rule->gb_s > (large ? VIEW_SLOW : HEADER_SLOW)) {
		rule->tier = exact(r, i, slot) ? RULE_NATIVE : RULE_CONFIRMED;
		return;
	}
	rule->prefilter = false;
	if (gate_usable(r, i, true))
		rule->tier = RULE_GATED;
	else
		rule->why = why ? why : can ? "too slow" : "Hyperscan does not take it";
}

static const char *hinders(const struct rules *r, size_t i, const struct rules_slot *slot)
{
	const char *why = loses(r, i, slot);

	return !why && r->src[i].large ? "too large for Hyperscan" : why;
}

static void choose_one(struct rules *r, size_t i, const struct rules_slot *slot,
		       struct rules_automaton *automaton)
{
	bool served = automaton_serves(r, i, slot), can;
	struct rule *rule = &r->rule[i];
	const char *why = hinders(r, i, slot);

	/* Told texts are made by control, and only there. */
	if (slot->number >= RULES_SLOT_TOLD) {
		rule->why = "the text is known to control alone";
		return;
	}
	can = !why && native(r, i, slot);
	if (served && gate_usable(r, i, false))
		rule->tier = RULE_GATED;
	else if (served && rules_automaton_add(automaton, r, i))
		rule->tier = RULE_AUTOMATON;
	else if (!served)
		choose_hyperscan(r, i, slot, why, can);
	if (served && can && r->opt.explain)
		rule->gb_s = measured(r, i, slot);
	if (rule->tier != RULE_NATIVE && rule->tier != RULE_CONFIRMED)
		rule->prefilter = false;
}

/*
 * Better a dear gate than none, and than a database, however quick its patterns are alone: together
 * they are not. What control does in no time needs neither.
 */
static void choose_again(struct rules *r, size_t i, const struct rules_slot *slot,
			 struct rules_automaton *automaton)
{
	struct rule *rule = &r->rule[i];
	const char *why;
	double ns, often;

	if (rule->tier != RULE_CONTROL || slot->number >= RULES_SLOT_TOLD || !automaton_serves(r, i, slot))
		return;
	ns = rules_measure_control(r, i, slot, &often);
	r->oom |= ns < 0;
	if (r->oom)
		return;
	if (often > GATE_RARE) {
		rule->why = "it is met so often that control looks in any case";
		return;
	}
	if (ns < CHEAP_NS) {
		rule->why = "control is quick at it";
		return;
	}
	if (rules_automaton_add_dear(automaton, r, i, ns)) {
		rule->tier = RULE_AUTOMATON;
		rule->why = "";
		return;
	}
	why = hinders(r, i, slot);
	choose_hyperscan(r, i, slot, why, !why && native(r, i, slot));
}

void rules_choose(struct rules *r)
{
	struct rules_automaton *a = calloc(1, sizeof(*a));

	r->oom |= !a;
	for (size_t s = 0; s < r->n_slots && !r->oom; s++) {
		rules_automaton_begin(a);
		for (size_t k = 0; k < r->slot[s].n && !r->oom; k++)
			choose_one(r, r->slot[s].rule[k], &r->slot[s], a);
		for (size_t k = 0; k < r->slot[s].n && !r->oom; k++)
			choose_again(r, r->slot[s].rule[k], &r->slot[s], a);
		rules_automaton_end(a, r, &r->slot[s]);
		if (r->opt.progress)
			r->opt.progress(r->opt.arg, "plan", s + 1, r->n_slots);
	}
	free(a);
}
