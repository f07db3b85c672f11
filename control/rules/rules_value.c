/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The value of a meta expression, where some of the rules in it have not been looked at: from where
 * to where it may lie. Most say no as soon as one of their parts does.
 */

#include "control/rules/rules_internal.h"

static struct rules_span point(double v)
{
	return (struct rules_span){v, v};
}

static const struct rules_span either = {0, 1};

/* 1, 0, or -1: it cannot be told. */
static int truth(struct rules_span s)
{
	return s.lo > 0 || s.hi < 0 ? 1 : rules_span_known(s) ? 0 : -1;
}

static struct rules_span of_truth(int t)
{
	return t < 0 ? either : point(t);
}

static double scalar(enum meta_op op, double a, double b)
{
	switch (op) {
	case META_ADD: return a + b;
	case META_SUBTRACT: return a - b;
	case META_MULTIPLY: return a * b;
	/* Nothing divided by nothing is no hit. */
	case META_DIVIDE: return b > 0 || b < 0 ? a / b : 0;
	case META_LESS: return a < b;
	case META_MORE: return a > b;
	case META_LESS_EQUAL: return a <= b;
	case META_MORE_EQUAL: return a >= b;
	case META_EQUAL: return !(a < b) && !(a > b);
	case META_NOT_EQUAL: return a < b || a > b;
	case META_AND: return (a < 0 || a > 0) && (b < 0 || b > 0);
	case META_OR: return a < 0 || a > 0 || b < 0 || b > 0;
	default: return 0;
	}
}

static struct rules_span product(struct rules_span a, struct rules_span b)
{
	double v[4] = {a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi};
	struct rules_span s = point(v[0]);

	for (int i = 1; i < 4; i++) {
		s.lo = v[i] < s.lo ? v[i] : s.lo;
		s.hi = v[i] > s.hi ? v[i] : s.hi;
	}
	return s;
}

/* a < b, or a <= b */
static int less(struct rules_span a, struct rules_span b, bool or_equal)
{
	if (or_equal)
		return a.hi <= b.lo ? 1 : a.lo > b.hi ? 0 : -1;
	return a.hi < b.lo ? 1 : a.lo >= b.hi ? 0 : -1;
}

static struct rules_span apply(enum meta_op op, struct rules_span a, struct rules_span b)
{
	int ta = truth(a), tb = truth(b);
	bool apart = a.hi < b.lo || b.hi < a.lo;

	if (rules_span_known(a) && rules_span_known(b))
		return point(scalar(op, a.lo, b.lo));
	switch (op) {
	case META_ADD: return (struct rules_span){a.lo + b.lo, a.hi + b.hi};
	case META_SUBTRACT: return (struct rules_span){a.lo - b.hi, a.hi - b.lo};
	case META_MULTIPLY: return product(a, b);
	case META_DIVIDE: return RULES_SPAN_ANY;
	case META_LESS: return of_truth(less(a, b, false));
	case META_MORE: return of_truth(less(b, a, false));
	case META_LESS_EQUAL: return of_truth(less(a, b, true));
	case META_MORE_EQUAL: return of_truth(less(b, a, true));
	case META_EQUAL: return of_truth(apart ? 0 : -1);
	case META_NOT_EQUAL: return of_truth(apart ? 1 : -1);
	case META_AND: return of_truth(!ta || !tb ? 0 : ta > 0 && tb > 0 ? 1 : -1);
	case META_OR: return of_truth(ta > 0 || tb > 0 ? 1 : !ta && !tb ? 0 : -1);
	default: return point(0);
	}
}

struct rules_span rules_meta_span(const struct rule_source *src, const struct rules_span *span)
{
	struct rules_span stack[META_STACK + 1];
	size_t n = 0;

	for (size_t i = 0; i < src->n_steps; i++) {
		const struct meta_step *s = &src->step[i];
		int t;

		switch (s->op) {
		case META_NUMBER:
			stack[n++] = point(s->number);
			break;
		case META_RULE:
			stack[n++] = s->rule == UINT32_MAX ? point(0) : span[s->rule];
			break;
		case META_NOT:
			t = truth(stack[n - 1]);
			stack[n - 1] = of_truth(t < 0 ? -1 : !t);
			break;
		case META_MINUS:
			stack[n - 1] = (struct rules_span){-stack[n - 1].hi, -stack[n - 1].lo};
			break;
		default:
			n--;
			stack[n - 1] = apply(s->op, stack[n - 1], stack[n]);
			break;
		}
	}
	return n ? stack[n - 1] : point(0);
}
