/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Expressions of meta rules: C's operators with C's precedence over the names of rules, whose value
 * is how often they hit. Compiled to steps of a stack machine, from left to right; && and || look at
 * both sides, which have no effects.
 */

#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_internal.h"
#include "postern/limits.h"

struct parser {
	struct rules *r;
	size_t self;
	struct str s;
	struct meta_step *step;
	size_t n, cap;
	unsigned int depth, stack, nesting;
	const char *why;
};

static void fail(struct parser *p, const char *why)
{
	if (!p->why)
		p->why = why;
}

static void emit(struct parser *p, struct meta_step step)
{
	if (p->why)
		return;
	if (p->n == LIMIT_RULES_META) {
		fail(p, "the expression is too long");
		return;
	}
	if (!rules_grow(p->r, &p->step, p->n, &p->cap, sizeof(*p->step))) {
		fail(p, "out of memory");
		return;
	}
	p->step[p->n++] = step;
	if (step.op <= META_RULE)
		p->stack++;
	else if (step.op > META_MINUS)
		p->stack--;
	if (p->stack > META_STACK)
		fail(p, "the expression is nested too deep");
}

static bool take(struct parser *p, const char *token)
{
	p->s = str_trim(p->s);
	if (!str_istarts(p->s, str_c(token)))
		return false;
	p->s = str_skip(p->s, strlen(token));
	return true;
}

static int compare_name(const void *key, const void *element, void *arg)
{
	const struct rules *r = arg;

	return strcmp(key, r->rule[*(const uint32_t *)element].name);
}

static uint32_t find(const struct rules *r, const char *name)
{
	size_t lo = 0, hi = r->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int d = compare_name(name, &r->by_name[mid], (void *)r);

		if (!d)
			return r->by_name[mid];
		if (d < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return UINT32_MAX;
}

const struct rule *rules_find(const struct rules *r, const char *name)
{
	uint32_t i = r->by_name ? find(r, name) : UINT32_MAX;

	return i == UINT32_MAX ? NULL : &r->rule[i];
}

static void unknown(struct parser *p, const char *name)
{
	const struct rule_source *src = &p->r->src[p->self];

	rules_issue_add(p->r, RULES_NOTE, src->file, src->line, p->r->rule[p->self].name,
			"there is no rule %s; it counts as 0", name);
}

static void number(struct parser *p)
{
	double v = 0, scale = 1;
	bool dot = false;
	size_t n = 0;

	for (; n < p->s.n && n < 32 && (ascii_is_digit(p->s.p[n]) || (p->s.p[n] == '.' && !dot)); n++) {
		if (p->s.p[n] == '.')
			dot = true;
		else if (dot)
			v += (p->s.p[n] - '0') * (scale /= 10);
		else
			v = v * 10 + (p->s.p[n] - '0');
	}
	p->s = str_skip(p->s, n);
	emit(p, (struct meta_step){.op = META_NUMBER, .number = v});
}

/* "rules_matching(__NAME*)": the sum of all that the pattern names. */
static bool glob(const char *pattern, const char *name)
{
	while (*pattern) {
		if (*pattern == '*') {
			while (*name && !glob(pattern + 1, name))
				name++;
			return *name || !pattern[1];
		}
		if (!*name || (*pattern != '?' && *pattern != *name))
			return false;
		pattern++;
		name++;
	}
	return !*name;
}

static void matching(struct parser *p)
{
	char pattern[LIMIT_RULES_NAME + 1];
	size_t n, stars = 0;

	p->s = str_trim(p->s);
	n = str_find(p->s, ')');
	if (n == p->s.n || n > LIMIT_RULES_NAME) {
		fail(p, "rules_matching(PATTERN) without its end");
		return;
	}
	for (size_t i = 0; i < n; i++)
		stars += p->s.p[i] == '*';
	if (stars > 4) {
		fail(p, "more than four * in one pattern");
		return;
	}
	memcpy(pattern, p->s.p, n);
	pattern[n] = '\0';
	p->s = str_skip(p->s, n + 1);
	emit(p, (struct meta_step){.op = META_NUMBER});
	for (size_t i = 0; i < p->r->n && !p->why; i++)
		if (i != p->self && glob(pattern, p->r->rule[i].name)) {
			emit(p, (struct meta_step){.op = META_RULE, .rule = (uint32_t)i});
			emit(p, (struct meta_step){.op = META_ADD});
		}
}

static void name(struct parser *p)
{
	char text[LIMIT_RULES_NAME + 1];
	size_t n = 0;
	uint32_t i;

	while (n < p->s.n && (ascii_is_alnum(p->s.p[n]) || p->s.p[n] == '_'))
		n++;
	if (!n || n > LIMIT_RULES_NAME) {
		fail(p, n ? "a name is too long" : "expected a rule, a number or a bracket");
		return;
	}
	memcpy(text, p->s.p, n);
	text[n] = '\0';
	p->s = str_skip(p->s, n);
	if (strcmp(text, "rules_matching") == 0 && take(p, "(")) {
		matching(p);
		return;
	}
	i = find(p->r, text);
	if (i == UINT32_MAX)
		unknown(p, text);
	emit(p, (struct meta_step){.op = META_RULE, .rule = i});
}

static void binary(struct parser *p, unsigned int level);

static void unary(struct parser *p)
{
	if (++p->nesting > 2 * META_STACK) {
		fail(p, "the expression is nested too deep");
	} else if (take(p, "!")) {
		unary(p);
		emit(p, (struct meta_step){.op = META_NOT});
	} else if (take(p, "-")) {
		unary(p);
		emit(p, (struct meta_step){.op = META_MINUS});
	} else if (take(p, "+")) {
		unary(p);
	} else if (take(p, "(")) {
		binary(p, 0);
		if (!take(p, ")"))
			fail(p, "a bracket without its end");
	} else if (p->s.n && ascii_is_digit(p->s.p[0])) {
		number(p);
	} else {
		name(p);
	}
	p->nesting--;
}

static const struct {
	const char *token;
	unsigned int level;
	enum meta_op op;
} operators[] = { /* longer ones before their beginnings */
	{"||", 0, META_OR}, {"&&", 1, META_AND}, {"==", 2, META_EQUAL}, {"!=", 2, META_NOT_EQUAL},
	{"<=", 3, META_LESS_EQUAL}, {">=", 3, META_MORE_EQUAL}, {"<", 3, META_LESS},
	{">", 3, META_MORE}, {"+", 4, META_ADD}, {"-", 4, META_SUBTRACT}, {"*", 5, META_MULTIPLY},
	{"/", 5, META_DIVIDE},
};
#define LEVELS 6

static bool operator(struct parser *p, unsigned int level, enum meta_op *op)
{
	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++)
		if (operators[i].level == level && take(p, operators[i].token)) {
			*op = operators[i].op;
			return true;
		}
	return false;
}

static void binary(struct parser *p, unsigned int level)
{
	enum meta_op op;

	if (level == LEVELS) {
		unary(p);
		return;
	}
	if (++p->depth > 2 * META_STACK * LEVELS) {
		fail(p, "the expression is nested too deep");
		return;
	}
	binary(p, level + 1);
	while (!p->why && operator(p, level, &op)) {
		binary(p, level + 1);
		emit(p, (struct meta_step){.op = op});
	}
	p->depth--;
}

static void compile(struct rules *r, size_t i)
{
	struct parser p = {.r = r, .self = i, .s = str_c(r->src[i].pattern)};

	binary(&p, 0);
	if (!p.why && str_trim(p.s).n)
		fail(&p, "something stands behind the expression");
	r->src[i].step = p.step;
	r->src[i].n_steps = p.why ? 0 : p.n;
	if (p.why)
		rules_issue_add(r, RULES_ERROR, r->src[i].file, r->src[i].line, r->rule[i].name,
				"%s, near \"%.*s\"", p.why, (int)(p.s.n > 30 ? 30 : p.s.n), p.s.p);
}

/* ---- order -------------------------------------------------------------------------------- */

enum { NEW, OPEN, DONE };

struct visit {
	uint32_t rule;
	size_t step;
};

static void cycle(struct rules *r, uint32_t i, uint32_t needs)
{
	rules_issue_add(r, RULES_ERROR, r->src[i].file, r->src[i].line, r->rule[i].name,
			"the meta rule needs %s, which needs this one", r->rule[needs].name);
}

/* Depth first without recursion: a file may chain as many rules as it likes. */
static void visit(struct rules *r, uint32_t root, uint8_t *state, struct visit *stack)
{
	size_t n = 0;

	stack[n++] = (struct visit){root, 0};
	state[root] = OPEN;
	while (n) {
		struct visit *v = &stack[n - 1];
		const struct rule_source *src = &r->src[v->rule];
		uint32_t next = UINT32_MAX;

		while (v->step < src->n_steps && next == UINT32_MAX) {
			const struct meta_step *s = &src->step[v->step++];

			if (s->op == META_RULE && s->rule != UINT32_MAX &&
			    r->rule[s->rule].kind == RULE_META)
				next = s->rule;
		}
		if (next == UINT32_MAX) {
			state[v->rule] = DONE;
			r->order[r->n_order++] = v->rule;
			n--;
		} else if (state[next] == OPEN) {
			cycle(r, v->rule, next);
		} else if (state[next] == NEW) {
			state[next] = OPEN;
			stack[n++] = (struct visit){next, 0};
		}
	}
}

static void mark_partial(struct rules *r, uint32_t i)
{
	for (size_t k = 0; k < r->src[i].n_steps; k++) {
		const struct meta_step *s = &r->src[i].step[k];
		const struct rule *of = s->op == META_RULE && s->rule != UINT32_MAX ?
					&r->rule[s->rule] : NULL;

		r->rule[i].partial |= of && (of->tier == RULE_NOT_SUPPORTED || of->partial);
	}
}

void rules_meta_compile(struct rules *r)
{
	uint8_t *state = calloc(r->n + 1, 1);
	struct visit *stack = calloc(r->n + 1, sizeof(*stack));

	r->order = calloc(r->n + 1, sizeof(*r->order));
	if (!state || !stack || !r->order)
		r->oom = true;
	for (size_t i = 0; i < r->n && !r->oom; i++)
		if (r->rule[i].kind == RULE_META && r->rule[i].tier == RULE_COMPUTED)
			compile(r, i);
	for (size_t i = 0; i < r->n && !r->oom; i++)
		if (r->rule[i].kind == RULE_META && state[i] == NEW)
			visit(r, (uint32_t)i, state, stack);
	for (size_t i = 0; i < r->n_order && !r->oom; i++)
		mark_partial(r, r->order[i]);
	free(state);
	free(stack);
}
