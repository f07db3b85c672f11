/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * (?!unsubscribe)<U><N><S>...: the word as it is written is met everywhere, and never a match. Only
 * what is certain counts: a string of which not each octet is told exactly would keep matches out.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/regex/regex_automaton.h"

#define STRINGS 64u           /* of one look-ahead */
#define ALTERNATIVES 16u      /* of one octet */
#define REPEATED 4u

struct strings {
	struct automaton_except v[STRINGS];
	size_t n;
};

struct job {
	const struct regex *re;
	bool oom;
};

/* What the strings of *in are continued by goes into *out. False: too many, or not certain. */
static bool walk(struct job *j, uint32_t i, const struct strings *in, struct strings *out);

static struct strings *strings_new(struct job *j)
{
	struct strings *s = calloc(1, sizeof(*s));

	j->oom |= !s;
	return s;
}

static bool add(struct strings *to, const struct automaton_except *from)
{
	if (to->n == STRINGS)
		return false;
	to->v[to->n++] = *from;
	return true;
}

static bool octets(const struct regex_class *c, const struct strings *in, struct strings *out)
{
	if (regex_class_count(c) > 2 * ALTERNATIVES)
		return false;
	for (unsigned int o = 0; o < 256; o++) {
		bool letter = (o | 0x20) >= 'a' && (o | 0x20) <= 'z';
		bool both = letter && regex_class_has(c, (uint8_t)o) && regex_class_has(c, (uint8_t)(o ^ 0x20));

		if (!regex_class_has(c, (uint8_t)o) || (both && !(o & 0x20)))
			continue;
		for (size_t k = 0; k < in->n; k++) {
			struct automaton_except e = in->v[k];

			if (e.len == AUTOMATON_EXCEPT_LEN)
				return false;
			e.fold[e.len] = both ? 0x20 : 0;
			e.octet[e.len++] = (uint8_t)o;
			if (!add(out, &e))
				return false;
		}
	}
	return true;
}

static bool sequence(struct job *j, const struct regex_node *n, const struct strings *in, struct strings *out)
{
	struct strings *now = strings_new(j), *next = strings_new(j);
	bool ok = now && next;

	if (ok)
		*now = *in;
	for (uint32_t c = n->child; ok && c != REGEX_NONE; c = j->re->node[c].next) {
		next->n = 0;
		ok = walk(j, c, now, next);
		*now = *next;
	}
	if (ok)
		*out = *now;
	free(now);
	free(next);
	return ok;
}

static bool alternatives(struct job *j, const struct regex_node *n, const struct strings *in, struct strings *out)
{
	struct strings *one = strings_new(j);
	bool ok = one;

	for (uint32_t c = n->child; ok && c != REGEX_NONE; c = j->re->node[c].next) {
		one->n = 0;
		ok = walk(j, c, in, one);
		for (size_t k = 0; ok && k < one->n; k++)
			ok = add(out, &one->v[k]);
	}
	free(one);
	return ok;
}

static bool repeated(struct job *j, const struct regex_node *n, const struct strings *in, struct strings *out)
{
	struct strings *now, *next;
	bool ok;

	if (n->max > REPEATED)
		return false;
	now = strings_new(j);
	next = strings_new(j);
	ok = now && next;
	if (ok)
		*now = *in;
	for (uint32_t k = 0; ok && k <= n->max; k++) {
		for (size_t i = 0; ok && k >= n->min && i < now->n; i++)
			ok = add(out, &now->v[i]);
		next->n = 0;
		ok = ok && (k == n->max || walk(j, n->child, now, next));
		if (ok)
			*now = *next;
	}
	free(now);
	free(next);
	return ok;
}

static bool walk(struct job *j, uint32_t i, const struct strings *in, struct strings *out)
{
	const struct regex_node *n = &j->re->node[i];

	if (j->oom)
		return false;
	switch (n->kind) {
	case REGEX_CLASS:
		return octets(&j->re->set[n->set], in, out);
	case REGEX_CAT:
		return sequence(j, n, in, out);
	case REGEX_ALT:
		return alternatives(j, n, in, out);
	case REGEX_REPEAT:
		return repeated(j, n, in, out);
	case REGEX_EMPTY:
		*out = *in;
		return true;
	default:
		return false;
	}
}

/* Where texts are lines, control does not see what lies behind one. Returns how many are left. */
static size_t drop_line_feeds(struct strings *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n; i++)
		if (!memchr(s->v[i].octet, '\n', s->v[i].len))
			s->v[kept++] = s->v[i];
	s->n = kept;
	return kept;
}

/* One look-ahead's; of those of its alternatives that are certain. */
static void denied(struct job *j, uint32_t child, struct regex_strings *out)
{
	struct strings *none = strings_new(j), *s = strings_new(j);

	if (none && s) {
		void *p;

		none->n = 1; /* the empty string */
		if (walk(j, child, none, s) && drop_line_feeds(s)) {
			p = reallocarray(out->v, out->n + s->n, sizeof(*out->v));
			j->oom |= !p;
			if (p) {
				out->v = p;
				memcpy(out->v + out->n, s->v, s->n * sizeof(*s->v));
				out->n += s->n;
			}
		}
	}
	free(none);
	free(s);
}

static bool takes_nothing(const struct regex_node *n)
{
	return n->kind == REGEX_LOOK || n->kind == REGEX_ASSERT || n->kind == REGEX_EMPTY;
}

int regex_except(const struct regex *re, const struct regex_stretch *s, struct regex_strings *out)
{
	struct job j = {.re = re};
	bool begun = false;

	*out = (struct regex_strings){0};
	/* What the tree says too much of a look-ahead it would deny too much. */
	if (re->atomic)
		return 0;
	for (uint32_t c = regex_sequence(re); c != REGEX_NONE; c = re->node[c].next) {
		const struct regex_node *n = &re->node[c];

		begun |= c == s->first;
		if (!takes_nothing(n)) {
			if (begun)
				break;
			/* What stood before is denied at another place. */
			free(out->v);
			*out = (struct regex_strings){0};
		} else if (n->kind == REGEX_LOOK && n->what == REGEX_NOT_AHEAD) {
			denied(&j, n->child, out);
		}
	}
	if (j.oom) {
		free(out->v);
		*out = (struct regex_strings){0};
		return -ENOMEM;
	}
	return 0;
}
