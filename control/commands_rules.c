/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `show rules`: what each rule of the set in force did, and what it cost control. */

#include <stdlib.h>
#include <string.h>

#include "control/loop.h"
#include "postern/limits.h"

enum order { ORDER_SET, ORDER_COST, ORDER_HITS, ORDER_OPENED, ORDERS };
static const char *const order_name[ORDERS] = {
	[ORDER_SET] = "", [ORDER_COST] = "cost", [ORDER_HITS] = "hits", [ORDER_OPENED] = "opened"};

struct row {
	const struct rule *rule;
	const struct rule_counts *c;
	uint64_t key; /* the largest is first */
};

struct wanted {
	enum order order;
	size_t limit;
	struct str name; /* pattern; n 0: all */
};

/* ---- the question ---- */

static struct str text_of(const json_t *v)
{
	return str_make(json_string_value(v), json_string_length(v));
}

static bool order_of(struct api_request *req, const json_t *v, enum order *order)
{
	for (int i = ORDER_COST; i < ORDERS; i++)
		if (json_is_string(v) && str_eq(text_of(v), str_c(order_name[i]))) {
			*order = (enum order)i;
			return true;
		}
	api_error(req, "bad-request", "top: cost, hits or opened, not \"%.64s\"",
		  json_is_string(v) ? json_string_value(v) : "something that is no string");
	return false;
}

static bool limit_of(struct api_request *req, const json_t *v, size_t *limit)
{
	json_int_t n = json_integer_value(v);

	if (json_is_integer(v) && n >= 1 && n <= LIMIT_RULES) {
		*limit = (size_t)n;
		return true;
	}
	api_error(req, "bad-request", "limit: a number from 1 to %d", LIMIT_RULES);
	return false;
}

static bool name_of(struct api_request *req, const json_t *v, struct str *name)
{
	struct str s = text_of(v);
	bool ok = json_is_string(v) && s.n && s.n <= LIMIT_RULES_NAME;

	for (size_t i = 0; ok && i < s.n; i++)
		ok = ascii_is_alnum(s.p[i]) || s.p[i] == '_' || s.p[i] == '*' || s.p[i] == '?';
	if (!ok)
		api_error(req, "bad-request",
			  "name: 1 to %d letters, digits, _, * (anything) and ? (one of these)",
			  LIMIT_RULES_NAME);
	*name = s;
	return ok;
}

/* False: answered with an error. */
static bool read_request(struct api_request *req, const json_t *body, struct wanted *w)
{
	const json_t *top = json_object_get(body, "top"), *limit = json_object_get(body, "limit"),
		     *name = json_object_get(body, "name");

	*w = (struct wanted){.limit = LIMIT_RULES};
	if (top && !order_of(req, top, &w->order))
		return false;
	if (top)
		w->limit = DEFAULT_RULES_SHOWN;
	return (!limit || limit_of(req, limit, &w->limit)) &&
	       (!name || name_of(req, name, &w->name));
}

/* ---- the answer ---- */

static bool in_force(const struct rule *rule)
{
	return rule->tier != RULE_OFF && rule->tier != RULE_NOT_SUPPORTED;
}

static uint64_t key_of(enum order order, const struct rule_counts *c)
{
	switch (order) {
	case ORDER_COST: return c->ns;
	case ORDER_HITS: return c->hits;
	case ORDER_OPENED: return c->opened;
	default: return 0;
	}
}

/* Within one key in the order of the set. */
static int by_key(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? 1 : -1;
	return x->rule < y->rule ? -1 : x->rule > y->rule;
}

static json_t *one(const struct row *row)
{
	const struct rule *rule = row->rule;
	const struct rule_counts *c = row->c;

	return json_pack("{s:s, s:s, s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:f, s:f}",
			 "name", rule->name, "kind", rule_kind_name(rule->kind), "tier",
			 rule_tier_name(rule->tier), "score", rule->score, "hits",
			 (json_int_t)c->hits, "opened", (json_int_t)c->opened, "evaluated",
			 (json_int_t)c->evaluated, "matched", (json_int_t)c->matched, "limited",
			 (json_int_t)c->limited, "ns", (json_int_t)c->ns, "literals",
			 (int)rule->n_literals, "gate_per_10k", rule->gate, "gb_s", rule->gb_s);
}

static json_t *totals(const struct loop *l)
{
	static const struct {
		const char *name;
		enum postern_ctl_counter counter;
	} of[] = {{"messages", CTL_rule_messages},
		  {"messages_open", CTL_rule_messages_open},
		  {"messages_in_full", CTL_rule_messages_in_full},
		  {"evaluated", CTL_rule_evaluated},
		  {"ns", CTL_rule_ns},
		  {"pattern_ns", CTL_rule_pattern_ns},
		  {"text_ns", CTL_rule_text_ns}};
	json_t *o = json_object();

	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++)
		json_object_set_new(o, of[i].name,
				    json_integer((json_int_t)l->counters[of[i].counter]));
	return o;
}

void commands_show_rules(void *arg, struct api_request *req, const json_t *body)
{
	const struct loop *l = arg;
	const struct snapshot *s = l->active;
	size_t total = rules_total(s->rules), n = 0, force = 0, never = 0, selected = 0;
	struct wanted w;
	struct row *row;
	json_t *list;

	if (!read_request(req, body, &w))
		return;
	row = s->rules_stats ? calloc(total + 1, sizeof(*row)) : NULL;
	if (!row) {
		api_error(req, "failed", "no memory for %s",
			  s->rules_stats ? "the answer"
					 : "the counts of this set of rules: they begin with the "
					   "next reload");
		return;
	}
	for (size_t i = 0; i < total; i++) {
		const struct rule *rule = rules_at(s->rules, i);
		const struct rule_counts *c = rules_stats_of(s->rules_stats, i);
		uint64_t key = key_of(w.order, c);

		force += in_force(rule);
		never += in_force(rule) && !c->hits;
		/* What control knows without a rule's code hits as well: SPF_PASS and its like. */
		if ((!in_force(rule) && !c->hits) ||
		    (w.name.n && !str_iglob(str_c(rule->name), w.name)))
			continue;
		selected++;
		if (w.order == ORDER_SET || key)
			row[n++] = (struct row){rule, c, key};
	}
	qsort(row, n, sizeof(*row), by_key);
	list = json_array();
	for (size_t i = 0; i < n && i < w.limit; i++)
		json_array_append_new(list, one(&row[i]));
	free(row);
	api_reply(req, json_pack("{s:I, s:I, s:I, s:I, s:o, s:o}", "generation",
				 (json_int_t)s->generation, "in_force", (json_int_t)force,
				 "never_hit", (json_int_t)never, "selected", (json_int_t)selected,
				 "totals", totals(l), "rules", list));
}
