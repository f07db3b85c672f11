/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Literals that every match holds. For each node, from the leaves up: all its strings if they are
 * few (`exact`), else sets of which every string of it begins (`head`) and ends (`tail`) with one,
 * and the rarest set seen inside it (`best`). Where parts follow each other, the tails of what was
 * before joined to the heads of what comes are such a set as well. A set may hold the empty string,
 * and then says nothing.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/regex/regex.h"

#define COPIES 12u            /* of a repeated part that are looked at */
#define CLASS_MAX 12u         /* members of a class that is spelt out */

struct set {
	struct regex_literal *v;
	size_t n;
};

struct info {
	bool exact;
	struct set all;          /* if exact; head and tail are then not used */
	struct set head, tail;
	struct set best;         /* n 0: none yet */
	double cost;             /* of best */
};

struct job {
	const struct regex *re;
	bool oom;
};

static struct set set_new(struct job *j, size_t n)
{
	struct set s = {malloc((n + 1) * sizeof(*s.v)), 0};

	if (!s.v)
		j->oom = true;
	return s;
}

static struct set copy(struct job *j, const struct set *from)
{
	struct set s = set_new(j, from->n);

	if (s.v && from->n) {
		memcpy(s.v, from->v, from->n * sizeof(*s.v));
		s.n = from->n;
	}
	return s;
}

static struct set empty_string(struct job *j)
{
	struct set s = set_new(j, 1);

	if (s.v) {
		s.v[0] = (struct regex_literal){0};
		s.n = 1;
	}
	return s;
}

static int by_octets(const void *a, const void *b)
{
	const struct regex_literal *x = a, *y = b;
	unsigned int n = x->len < y->len ? x->len : y->len;
	int d = memcmp(x->octet, y->octet, n);

	return d ? d : x->len != y->len ? (int)x->len - y->len : (int)x->caseless - y->caseless;
}

static void unique(struct set *s)
{
	size_t kept = 0;

	if (s->n < 2)
		return;
	qsort(s->v, s->n, sizeof(*s->v), by_octets);
	for (size_t i = 0; i < s->n; i++)
		if (!kept || by_octets(&s->v[kept - 1], &s->v[i]) != 0)
			s->v[kept++] = s->v[i];
	s->n = kept;
}

static void lower(struct regex_literal *l)
{
	l->caseless = true;
	for (unsigned int i = 0; i < l->len; i++)
		if (l->octet[i] >= 'A' && l->octet[i] <= 'Z')
			l->octet[i] |= 0x20;
}

enum keep { KEEP_ALL, KEEP_HEAD, KEEP_TAIL };

/* a and b joined. False: too long, and KEEP_ALL. */
static bool join(const struct regex_literal *a, const struct regex_literal *b, enum keep keep,
		 struct regex_literal *out)
{
	uint8_t both[2 * REGEX_LITERAL_MAX];
	unsigned int n = (unsigned int)a->len + b->len, from = 0;

	memcpy(both, a->octet, a->len);
	memcpy(both + a->len, b->octet, b->len);
	if (n > REGEX_LITERAL_MAX) {
		if (keep == KEEP_ALL)
			return false;
		from = keep == KEEP_TAIL ? n - REGEX_LITERAL_MAX : 0;
		n = REGEX_LITERAL_MAX;
	}
	*out = (struct regex_literal){.len = (uint8_t)n};
	memcpy(out->octet, both + from, n);
	/* One string is caseless or not, as a whole: caseless stands for more. */
	if (a->caseless || b->caseless)
		lower(out);
	return true;
}

/* False: too many or too long. */
static bool product(struct job *j, const struct set *a, const struct set *b, enum keep keep,
		    struct set *out)
{
	*out = (struct set){0};
	if (a->n * b->n > REGEX_LITERALS)
		return false;
	*out = set_new(j, a->n * b->n);
	for (size_t i = 0; out->v && i < a->n; i++)
		for (size_t k = 0; k < b->n; k++) {
			if (!join(&a->v[i], &b->v[k], keep, &out->v[out->n])) {
				free(out->v);
				*out = (struct set){0};
				return false;
			}
			out->n++;
		}
	unique(out);
	return out->v != NULL;
}

/* a becomes both; false: too many, a stays. */
static bool join_sets(struct set *a, const struct set *b)
{
	struct regex_literal *v;

	if (a->n + b->n > REGEX_LITERALS)
		return false;
	v = reallocarray(a->v, a->n + b->n + 1, sizeof(*v));
	if (!v)
		return false;
	if (b->n)
		memcpy(v + a->n, b->v, b->n * sizeof(*v));
	a->v = v;
	a->n += b->n;
	unique(a);
	return true;
}

/* -1: no gate. */
static double cost_of(const struct set *s)
{
	double sum = 0;

	if (!s->n)
		return -1;
	for (size_t i = 0; i < s->n; i++) {
		if (s->v[i].len < REGEX_LITERAL_MIN)
			return -1;
		sum += regex_literal_frequency(&s->v[i]);
	}
	/* Of two that are as rare the smaller one. */
	return sum + 1e-9 * (double)s->n;
}

static void offer(struct job *j, struct info *to, const struct set *s)
{
	double cost = cost_of(s);
	struct set mine;

	if (cost < 0 || (to->best.n && to->cost <= cost))
		return;
	mine = copy(j, s);
	if (!mine.v)
		return;
	free(to->best.v);
	to->best = mine;
	to->cost = cost;
}

static void info_free(struct info *i)
{
	free(i->all.v);
	free(i->head.v);
	free(i->tail.v);
	free(i->best.v);
	*i = (struct info){0};
}

static struct info exactly(struct set s)
{
	return (struct info){.exact = true, .all = s};
}

static struct info anything(struct job *j)
{
	return (struct info){.head = empty_string(j), .tail = empty_string(j)};
}

static const struct set *head_of(const struct info *i)
{
	return i->exact ? &i->all : &i->head;
}

static const struct set *tail_of(const struct info *i)
{
	return i->exact ? &i->all : &i->tail;
}

/* a, then b; both are used up. */
static struct info then(struct job *j, struct info a, struct info b)
{
	struct info r = {0};
	struct set s;

	if (a.exact && b.exact && product(j, &a.all, &b.all, KEEP_ALL, &s)) {
		r = exactly(s);
		goto out;
	}
	if (!a.exact || !product(j, &a.all, head_of(&b), KEEP_HEAD, &r.head))
		r.head = copy(j, head_of(&a));
	if (!b.exact || !product(j, tail_of(&a), &b.all, KEEP_TAIL, &r.tail))
		r.tail = copy(j, tail_of(&b));
	/* Cut at either end it is still what stands where the two meet. */
	if (product(j, tail_of(&a), head_of(&b), KEEP_TAIL, &s)) {
		offer(j, &r, &s);
		free(s.v);
	}
	offer(j, &r, tail_of(&a));
	offer(j, &r, head_of(&b));
	offer(j, &r, &a.best);
	offer(j, &r, &b.best);
out:
	info_free(&a);
	info_free(&b);
	return r;
}

/* What must be in a match of it, as one set. */
static void settle(struct job *j, struct info *i)
{
	offer(j, i, head_of(i));
	offer(j, i, tail_of(i));
}

/* a or b; both are used up. */
static struct info either(struct job *j, struct info a, struct info b)
{
	struct info r = {0};

	if (a.exact && b.exact && join_sets(&a.all, &b.all)) {
		info_free(&b);
		return a;
	}
	settle(j, &a);
	settle(j, &b);
	r.head = copy(j, head_of(&a));
	r.tail = copy(j, tail_of(&a));
	if (!join_sets(&r.head, head_of(&b))) {
		free(r.head.v);
		r.head = empty_string(j);
	}
	if (!join_sets(&r.tail, tail_of(&b))) {
		free(r.tail.v);
		r.tail = empty_string(j);
	}
	if (a.best.n && b.best.n) {
		r.best = copy(j, &a.best);
		if (join_sets(&r.best, &b.best)) {
			r.cost = cost_of(&r.best);
		} else {
			free(r.best.v);
			r.best = (struct set){0};
		}
	}
	info_free(&a);
	info_free(&b);
	return r;
}

static struct info walk(struct job *j, uint32_t i);

static struct info of_class(struct job *j, const struct regex_class *c)
{
	struct set s;

	if (regex_class_count(c) > 2 * CLASS_MAX)
		return anything(j);
	s = set_new(j, 2 * CLASS_MAX);
	for (unsigned int o = 0; s.v && o < 256; o++) {
		uint8_t octet = (uint8_t)o, other = octet ^ 0x20;
		bool letter = (octet | 0x20) >= 'a' && (octet | 0x20) <= 'z';
		bool both = letter && regex_class_has(c, octet) && regex_class_has(c, other);

		if (!regex_class_has(c, octet) || (both && !(octet & 0x20)))
			continue;
		s.v[s.n++] = (struct regex_literal){.len = 1, .caseless = both, .octet = {octet}};
	}
	if (s.n > CLASS_MAX) {
		free(s.v);
		return anything(j);
	}
	return exactly(s);
}

/* Some of the copies, each walked anew: they are few and small. */
static struct info repeated(struct job *j, const struct regex_node *n)
{
	struct info r = exactly(empty_string(j));
	uint32_t copies = n->min < COPIES ? n->min : COPIES;

	for (uint32_t k = 0; k < copies && !j->oom; k++)
		r = then(j, r, walk(j, n->child));
	if (copies < n->min)
		return then(j, r, anything(j));
	if (n->max == n->min)
		return r;
	if (n->max != REGEX_INFINITE && n->max - n->min <= 3) {
		struct info more = exactly(empty_string(j));

		for (uint32_t k = n->min; k < n->max && !j->oom; k++)
			more = either(j, exactly(empty_string(j)), then(j, walk(j, n->child), more));
		return then(j, r, more);
	}
	return then(j, r, anything(j));
}

static struct info children(struct job *j, const struct regex_node *n)
{
	struct info r = exactly(n->kind == REGEX_CAT ? empty_string(j) : set_new(j, 0));
	bool first = true;

	for (uint32_t c = n->child; c != REGEX_NONE && !j->oom; c = j->re->node[c].next) {
		struct info one = walk(j, c);

		if (n->kind == REGEX_CAT) {
			r = then(j, r, one);
		} else if (first) {
			info_free(&r);
			r = one;
		} else {
			r = either(j, r, one);
		}
		first = false;
	}
	return r;
}

static struct info walk(struct job *j, uint32_t i)
{
	const struct regex_node *n = &j->re->node[i];

	if (j->oom)
		return (struct info){0};
	switch (n->kind) {
	case REGEX_CLASS:
		return of_class(j, &j->re->set[n->set]);
	case REGEX_CAT:
	case REGEX_ALT:
		return children(j, n);
	case REGEX_REPEAT:
		return repeated(j, n);
	case REGEX_BACKREF:
		return anything(j);
	default: /* takes nothing */
		return exactly(empty_string(j));
	}
}

/* Literals that hold another one of the set add nothing: where they stand, the other stands. */
static bool holds(const struct regex_literal *a, const struct regex_literal *b)
{
	if (b->len > a->len || (a->caseless && !b->caseless))
		return false;
	for (unsigned int at = 0; at + b->len <= a->len; at++) {
		unsigned int k = 0;

		for (; k < b->len; k++) {
			uint8_t c = a->octet[at + k];

			if (b->caseless && c >= 'A' && c <= 'Z')
				c |= 0x20;
			if (c != b->octet[k])
				break;
		}
		if (k == b->len)
			return true;
	}
	return false;
}

static void minimise(struct set *s)
{
	size_t kept = 0;
	bool drop[REGEX_LITERALS] = {false};

	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < s->n && !drop[i]; k++)
			drop[i] = k != i && !drop[k] && holds(&s->v[i], &s->v[k]);
	for (size_t i = 0; i < s->n; i++)
		if (!drop[i])
			s->v[kept++] = s->v[i];
	s->n = kept;
}

int regex_literals(const struct regex *re, struct regex_literals *out)
{
	struct job j = {.re = re};
	struct info r = walk(&j, re->root);

	*out = (struct regex_literals){0};
	settle(&j, &r);
	if (!j.oom && r.best.n) {
		minimise(&r.best);
		out->literal = r.best.v;
		out->n = r.best.n;
		out->per_octet = cost_of(&r.best);
		r.best.v = NULL;
	}
	info_free(&r);
	return j.oom ? -ENOMEM : 0;
}

void regex_literals_free(struct regex_literals *l)
{
	free(l->literal);
	*l = (struct regex_literals){0};
}
