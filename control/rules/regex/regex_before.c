/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Most patterns begin at the edge of a word, where one place in five or six lies: what may stand
 * before the first octet of a stretch says more than the next octets do. Told by pairs of octets, the
 * one before and the first, which a walk through the pattern narrows down: an assertion keeps those
 * pairs that it holds between, and what takes octets leaves those of its last ones.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/regex/regex_automaton.h"

struct job {
	const struct regex *re;
	bool oom;
};

static const struct regex_class any = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};

static struct regex_before *pairs_new(struct job *j)
{
	struct regex_before *p = calloc(1, sizeof(*p));

	j->oom |= !p;
	return p;
}

static void unite(struct regex_before *a, const struct regex_before *b)
{
	for (unsigned int c = 0; c < 256; c++)
		regex_class_or(&a->row[c], &b->row[c]);
}

static void intersect(struct regex_class *a, const struct regex_class *b)
{
	for (unsigned int i = 0; i < 4; i++)
		a->bits[i] &= b->bits[i];
}

static bool is_word(unsigned int c)
{
	return c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* Where a text is one of lines a line feed stands for the start of what control looks at: no octet,
 * and so no word, is before it. */
static void at_edge(struct regex_before *p, bool edge)
{
	struct regex_class word = {{0}}, other;

	for (unsigned int c = 0; c < 256; c++)
		if (is_word(c))
			regex_class_add(&word, c, c);
	other = word;
	regex_class_invert(&other);
	for (unsigned int c = 0; c < 256; c++)
		intersect(&p->row[c], is_word(c) == edge ? &other : &word);
}

static void only_behind(struct regex_before *p, const struct regex_class *c)
{
	for (unsigned int o = 0; o < 256; o++)
		if (!regex_class_has(c, (uint8_t)o))
			p->row[o] = (struct regex_class){{0}};
}

static void at_place(struct regex_before *p, const struct regex_node *n)
{
	struct regex_class feed = {{0}};

	regex_class_add(&feed, '\n', '\n');
	if (n->what == REGEX_WORD || n->what == REGEX_NOT_WORD)
		at_edge(p, n->what == REGEX_WORD);
	else if (n->what == REGEX_LINE_START || n->what == REGEX_TEXT_START || n->what == REGEX_VERY_START)
		only_behind(p, &feed);
}

/* Octets that alone are denied, as far as they are told exactly. */
static void denied(const struct regex *re, uint32_t i, struct regex_class *out)
{
	const struct regex_node *n = &re->node[i];

	if (n->kind == REGEX_CLASS)
		regex_class_or(out, &re->set[n->set]);
	else if (n->kind == REGEX_ALT || (n->kind == REGEX_CAT && n->child != REGEX_NONE &&
					  re->node[n->child].next == REGEX_NONE))
		for (uint32_t c = n->child; c != REGEX_NONE; c = re->node[c].next)
			denied(re, c, out);
}

/* What is before the place behind node i, where `in` is before it. In place. */
static void pass(struct job *j, uint32_t i, struct regex_before *p);

static void look_behind(struct job *j, const struct regex_node *n, struct regex_before *p)
{
	struct regex_class no = {{0}};

	if (n->what == REGEX_BEHIND) {
		struct regex_before *seen = pairs_new(j);

		if (!seen)
			return;
		memset(seen->row, 0xff, sizeof(seen->row));
		pass(j, n->child, seen);
		for (unsigned int c = 0; c < 256; c++)
			intersect(&p->row[c], &seen->row[c]);
		free(seen);
	} else if (n->what == REGEX_NOT_BEHIND && !j->re->atomic) {
		denied(j->re, n->child, &no);
		regex_class_invert(&no);
		/* The start of a line has nothing before it. */
		regex_class_add(&no, '\n', '\n');
		only_behind(p, &no);
	}
}

static void alternatives(struct job *j, const struct regex_node *n, struct regex_before *p)
{
	struct regex_before *all = pairs_new(j), *one = pairs_new(j);

	for (uint32_t c = n->child; all && one && c != REGEX_NONE; c = j->re->node[c].next) {
		*one = *p;
		pass(j, c, one);
		unite(all, one);
	}
	if (all && one)
		*p = *all;
	free(all);
	free(one);
}

/* None, once, twice: a third time adds nothing to that. */
static void repeated(struct job *j, const struct regex_node *n, struct regex_before *p)
{
	struct regex_before *all = pairs_new(j);

	if (all) {
		if (!n->min)
			*all = *p;
		for (unsigned int k = 0; k < 2 && k < n->max; k++) {
			pass(j, n->child, p);
			unite(all, p);
		}
		*p = *all;
	}
	free(all);
}

static void pass(struct job *j, uint32_t i, struct regex_before *p)
{
	const struct regex_node *n = &j->re->node[i];

	if (j->oom)
		return;
	switch (n->kind) {
	case REGEX_CLASS:
		for (unsigned int c = 0; c < 256; c++)
			p->row[c] = regex_class_has(&j->re->set[n->set], (uint8_t)c) ? any
										     : (struct regex_class){{0}};
		break;
	case REGEX_CAT:
		for (uint32_t c = n->child; c != REGEX_NONE; c = j->re->node[c].next)
			pass(j, c, p);
		break;
	case REGEX_ALT:
		alternatives(j, n, p);
		break;
	case REGEX_REPEAT:
		repeated(j, n, p);
		break;
	case REGEX_ASSERT:
		at_place(p, n);
		break;
	case REGEX_LOOK:
		look_behind(j, n, p);
		break;
	case REGEX_BACKREF:
		memset(p->row, 0xff, sizeof(p->row));
		break;
	default:
		break;
	}
}

/* Pairs whose second octet is taken first inside of node i go into *out; *p becomes what is left
 * where nothing was taken. */
static void enter(struct job *j, uint32_t i, struct regex_before *p, struct regex_before *out)
{
	const struct regex_node *n = &j->re->node[i];
	struct regex_before *in, *left;

	if (j->oom)
		return;
	switch (n->kind) {
	case REGEX_CLASS:
		for (unsigned int c = 0; c < 256; c++) {
			struct regex_class first = p->row[c];

			intersect(&first, &j->re->set[n->set]);
			regex_class_or(&out->row[c], &first);
		}
		*p = (struct regex_before){0};
		return;
	case REGEX_CAT:
		for (uint32_t c = n->child; c != REGEX_NONE; c = j->re->node[c].next)
			enter(j, c, p, out);
		return;
	case REGEX_ALT:
	case REGEX_REPEAT:
		in = pairs_new(j);
		left = pairs_new(j);
		if (in && left && n->kind == REGEX_REPEAT && !n->min)
			*left = *p;
		for (uint32_t c = n->child; in && left && c != REGEX_NONE; c = j->re->node[c].next) {
			*in = *p;
			enter(j, c, in, out);
			unite(left, in);
		}
		if (in && left)
			*p = *left;
		free(in);
		free(left);
		return;
	case REGEX_BACKREF:
		unite(out, p);
		return;
	default:
		pass(j, i, p);
		return;
	}
}

int regex_before(const struct regex *re, const struct regex_stretch *s, struct regex_before **out)
{
	struct job j = {.re = re};
	struct regex_before *p = pairs_new(&j), *first = pairs_new(&j);
	uint32_t i = regex_sequence(re);

	if (p && first) {
		memset(p->row, 0xff, sizeof(p->row));
		for (; i != s->first && i != REGEX_NONE; i = re->node[i].next)
			pass(&j, i, p);
		for (unsigned int k = 0; k < s->n && i != REGEX_NONE; k++, i = re->node[i].next)
			enter(&j, i, p, first);
		/* What takes nothing at all begins anywhere. */
		unite(first, p);
	}
	free(p);
	if (j.oom) {
		free(first);
		return -ENOMEM;
	}
	*out = first;
	return 0;
}
