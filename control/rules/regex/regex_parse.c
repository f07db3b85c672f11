/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Text of a pattern → tree. Where Perl and PCRE2 would read something in two ways, or where it is
 * rare, it is refused: a pattern that is not understood costs time, one that is misunderstood loses
 * mail.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/regex/regex_internal.h"
#include "postern/limits.h"

uint32_t regex_fail(struct regex_parser *p, const char *why)
{
	if (!p->why) {
		p->why = why;
		p->fail_at = p->at;
	}
	return REGEX_NONE;
}

static bool grow(void **array, size_t n, size_t *cap, size_t size)
{
	size_t want = *cap ? *cap * 2 : 32;
	void *q;

	if (n < *cap)
		return true;
	q = reallocarray(*array, want, size);
	if (!q)
		return false;
	*array = q;
	*cap = want;
	return true;
}

static uint32_t node(struct regex_parser *p, enum regex_kind kind)
{
	struct regex *re = p->re;
	void *array = re->node;

	if (re->n_nodes >= LIMIT_REGEX_NODES)
		return regex_fail(p, "too large");
	if (!grow(&array, re->n_nodes, &re->cap_nodes, sizeof(*re->node))) {
		p->oom = true;
		return regex_fail(p, "out of memory");
	}
	re->node = array;
	re->node[re->n_nodes] = (struct regex_node){.kind = (uint8_t)kind, .child = REGEX_NONE,
						    .next = REGEX_NONE, .set = REGEX_NONE};
	return (uint32_t)re->n_nodes++;
}

uint32_t regex_set_node(struct regex_parser *p, const struct regex_class *c)
{
	struct regex *re = p->re;
	uint32_t i = node(p, REGEX_CLASS);
	void *array = re->set;

	if (i == REGEX_NONE)
		return i;
	if (!grow(&array, re->n_sets, &re->cap_sets, sizeof(*re->set))) {
		p->oom = true;
		return regex_fail(p, "out of memory");
	}
	re->set = array;
	re->set[re->n_sets] = *c;
	re->node[i].set = (uint32_t)re->n_sets++;
	return i;
}

static uint32_t octet(struct regex_parser *p, uint8_t c)
{
	struct regex_class set = {{0}};

	regex_class_add(&set, c, c);
	if (p->flags & REGEX_F_CASELESS)
		regex_class_fold(&set);
	return regex_set_node(p, &set);
}

static uint32_t assertion(struct regex_parser *p, enum regex_what what)
{
	uint32_t i = node(p, REGEX_ASSERT);

	if (i != REGEX_NONE)
		p->re->node[i].what = (uint8_t)what;
	return i;
}

int regex_peek(const struct regex_parser *p, size_t ahead)
{
	return p->at + ahead < p->s.n ? p->s.p[p->at + ahead] : -1;
}

bool regex_take(struct regex_parser *p, const char *text)
{
	size_t n = strlen(text);

	if (p->s.n - p->at < n || memcmp(p->s.p + p->at, text, n) != 0)
		return false;
	p->at += n;
	return true;
}

/* ---- groups ----------------------------------------------------------------------------- */

static uint32_t alternatives(struct regex_parser *p);

/* "i-s:" or "i)" behind "(?". 1: a group with flags begins; 0: flags till the end of the group. */
static int inline_flags(struct regex_parser *p)
{
	unsigned int set = 0, *to = &set, clear = 0;

	if (regex_take(p, "^"))
		clear = REGEX_F_CASELESS | REGEX_F_MULTILINE | REGEX_F_DOTALL | REGEX_F_EXTENDED;
	for (;;) {
		int c = regex_peek(p, 0);

		p->at++;
		switch (c) {
		case 'i': *to |= REGEX_F_CASELESS; break;
		case 'm': *to |= REGEX_F_MULTILINE; break;
		case 's': *to |= REGEX_F_DOTALL; break;
		case 'x': *to |= REGEX_F_EXTENDED; break;
		case '-':
			if (to == &clear) {
				regex_fail(p, "flags");
				return -1;
			}
			to = &clear;
			break;
		case ':':
		case ')':
			p->flags = (p->flags | set) & ~clear;
			/* (?^i:...): cleared first, then set. */
			p->flags |= to == &set ? set : 0;
			if (p->flags & REGEX_F_MULTILINE)
				p->flags &= ~REGEX_F_NOT_MULTILINE;
			else if (clear & REGEX_F_MULTILINE)
				p->flags |= REGEX_F_NOT_MULTILINE;
			return c == ':';
		default:
			p->at--;
			regex_fail(p, "a construct behind (? that is not known here");
			return -1;
		}
	}
}

static bool group_name(struct regex_parser *p, int end)
{
	size_t start = p->at;

	while (regex_peek(p, 0) >= 0 && (ascii_is_alnum((uint8_t)regex_peek(p, 0)) ||
					 regex_peek(p, 0) == '_'))
		p->at++;
	if (p->at == start || regex_peek(p, 0) != end) {
		regex_fail(p, "name of a group");
		return false;
	}
	p->at++;
	return true;
}

static uint32_t closed(struct regex_parser *p, uint32_t inner)
{
	if (inner != REGEX_NONE && !regex_take(p, ")"))
		return regex_fail(p, "a group without its end");
	return inner;
}

static uint32_t look(struct regex_parser *p, enum regex_what what)
{
	uint32_t inner = closed(p, alternatives(p)), i;

	if (inner == REGEX_NONE)
		return inner;
	i = node(p, REGEX_LOOK);
	if (i != REGEX_NONE) {
		p->re->node[i].what = (uint8_t)what;
		p->re->node[i].child = inner;
	}
	return i;
}

/* Behind "(?". */
static uint32_t special_group(struct regex_parser *p, unsigned int *outer)
{
	static const struct { const char *text; enum regex_what what; } looks[] = {
		{"=", REGEX_AHEAD}, {"!", REGEX_NOT_AHEAD}, {"<=", REGEX_BEHIND}, {"<!", REGEX_NOT_BEHIND}};
	int c = regex_peek(p, 0);

	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
		if (regex_take(p, looks[i].text))
			return look(p, looks[i].what);
	if (regex_take(p, "#")) {
		while (regex_peek(p, 0) >= 0 && regex_peek(p, 0) != ')')
			p->at++;
		return closed(p, node(p, REGEX_EMPTY));
	}
	/* Atomic: matches less than the group without it. */
	if (regex_take(p, ">")) {
		p->re->atomic = true;
		return closed(p, alternatives(p));
	}
	if (regex_take(p, "P<") || regex_take(p, "<")) {
		p->groups++;
		return group_name(p, '>') ? closed(p, alternatives(p)) : REGEX_NONE;
	}
	if (c == 'P' || c == '|' || c == '(' || c == '&' || c == 'R' || (c >= '0' && c <= '9') ||
	    c == '+')
		return regex_fail(p, "a construct behind (? that is not known here");
	switch (inline_flags(p)) {
	case 1:
		return closed(p, alternatives(p));
	case 0:
		*outer = p->flags; /* stay till the end of the group around */
		return node(p, REGEX_EMPTY);
	default:
		return REGEX_NONE;
	}
}

static uint32_t group(struct regex_parser *p)
{
	unsigned int outer = p->flags;
	uint32_t i;

	if (++p->depth > LIMIT_REGEX_NESTING)
		return regex_fail(p, "nested too deep");
	if (regex_take(p, "?")) {
		i = special_group(p, &outer);
	} else if (regex_peek(p, 0) == '*') {
		return regex_fail(p, "a verb");
	} else {
		p->groups++;
		i = closed(p, alternatives(p));
	}
	p->flags = outer;
	p->depth--;
	return i;
}

/* ---- atoms ------------------------------------------------------------------------------ */

static uint32_t back_reference(struct regex_parser *p)
{
	/* \1 to \9 are always that; \10 and above depend on what else there is. */
	if (regex_peek(p, 0) >= '0' && regex_peek(p, 0) <= '9')
		return regex_fail(p, "a number of two digits behind a backslash");
	return node(p, REGEX_BACKREF);
}

static uint32_t named_reference(struct regex_parser *p)
{
	if (regex_take(p, "{"))
		return group_name(p, '}') ? node(p, REGEX_BACKREF) : REGEX_NONE;
	if (regex_take(p, "<"))
		return group_name(p, '>') ? node(p, REGEX_BACKREF) : REGEX_NONE;
	return regex_fail(p, "a reference that is not known here");
}

/* Behind a backslash, outside of a class. */
static uint32_t escape(struct regex_parser *p)
{
	int c = regex_peek(p, 0), value;
	struct regex_class set;

	if (c < 0)
		return regex_fail(p, "a backslash at the end");
	p->at++;
	switch (c) {
	case 'b': return assertion(p, REGEX_WORD);
	case 'B': return assertion(p, REGEX_NOT_WORD);
	case 'A': return assertion(p, REGEX_VERY_START);
	case 'Z': return assertion(p, REGEX_VERY_LAST);
	case 'z': return assertion(p, REGEX_VERY_END);
	case 'k': case 'g': return named_reference(p);
	default: break;
	}
	if (c >= '1' && c <= '9')
		return back_reference(p);
	if (regex_class_escape((uint8_t)c, &set))
		return regex_set_node(p, &set);
	value = regex_char_escape(p, (uint8_t)c);
	return value < 0 ? REGEX_NONE : octet(p, (uint8_t)value);
}

static uint32_t atom(struct regex_parser *p)
{
	bool multiline = p->flags & REGEX_F_MULTILINE, denied = p->flags & REGEX_F_NOT_MULTILINE;
	struct regex_class set = {{0}};
	int c = regex_peek(p, 0);

	p->at++;
	switch (c) {
	case '(':
		return group(p);
	case '[':
		return regex_bracket(p);
	case '\\':
		return escape(p);
	case '^':
		return assertion(p, multiline ? REGEX_LINE_START : denied ? REGEX_VERY_START : REGEX_TEXT_START);
	case '$':
		return assertion(p, multiline ? REGEX_LINE_END : denied ? REGEX_VERY_LAST : REGEX_TEXT_END);
	case '.':
		if (!(p->flags & REGEX_F_DOTALL))
			regex_class_add(&set, '\n', '\n');
		regex_class_invert(&set);
		return regex_set_node(p, &set);
	case '*': case '+': case '?':
		p->at--;
		return regex_fail(p, "a quantifier with nothing before it");
	default:
		return octet(p, (uint8_t)c);
	}
}

/* ---- quantifiers ------------------------------------------------------------------------ */

static bool number(struct regex_parser *p, uint32_t *out)
{
	size_t start = p->at;
	uint32_t v = 0;

	while (regex_peek(p, 0) >= '0' && regex_peek(p, 0) <= '9' && p->at - start < 6)
		v = v * 10 + (uint32_t)(p->s.p[p->at++] - '0');
	*out = v;
	return p->at > start;
}

/* 1: a quantifier was taken, 0: there is none, -1: it was refused. */
static int quantifier(struct regex_parser *p, uint32_t *min, uint32_t *max)
{
	size_t start = p->at;

	*min = 0;
	*max = REGEX_INFINITE;
	if (regex_take(p, "*"))
		return 1;
	if (regex_take(p, "+")) {
		*min = 1;
		return 1;
	}
	if (regex_take(p, "?")) {
		*max = 1;
		return 1;
	}
	if (!regex_take(p, "{"))
		return 0;
	if (number(p, min)) {
		*max = *min;
		if (regex_take(p, ",") && !number(p, max))
			*max = REGEX_INFINITE;
		if (regex_take(p, "}") && (*max >= *min))
			return 1;
	} else if (regex_peek(p, 0) == ',' || regex_peek(p, 0) == ' ') {
		/* {,n} counts in newer Perls and is text in PCRE2. */
		regex_fail(p, "{,");
		return -1;
	}
	p->at = start;
	return 0;
}

/* A brace that is no quantifier is text. */
static uint32_t quantified(struct regex_parser *p, uint32_t inner)
{
	uint32_t min, max, i;
	int rc = quantifier(p, &min, &max);

	if (rc < 0)
		return REGEX_NONE;
	if (!rc)
		return inner;
	/* Lazy: the same strings. Possessive: fewer of them. */
	if (!regex_take(p, "?") && regex_take(p, "+"))
		p->re->atomic = true;
	if (p->re->node[inner].kind == REGEX_ASSERT || p->re->node[inner].kind == REGEX_LOOK)
		return regex_fail(p, "a quantifier behind a place");
	i = node(p, REGEX_REPEAT);
	if (i == REGEX_NONE)
		return i;
	p->re->node[i].min = min;
	p->re->node[i].max = max;
	p->re->node[i].child = inner;
	return i;
}

static void skip_white(struct regex_parser *p)
{
	if (!(p->flags & REGEX_F_EXTENDED))
		return;
	for (;;) {
		int c = regex_peek(p, 0);

		if (c == ' ' || (c >= '\t' && c <= '\r')) {
			p->at++;
		} else if (c == '#') {
			while (regex_peek(p, 0) >= 0 && regex_peek(p, 0) != '\n')
				p->at++;
		} else {
			return;
		}
	}
}

static uint32_t sequence(struct regex_parser *p)
{
	uint32_t cat = node(p, REGEX_CAT), last = REGEX_NONE;

	if (cat == REGEX_NONE)
		return cat;
	for (;;) {
		uint32_t i;

		skip_white(p);
		if (regex_peek(p, 0) < 0 || regex_peek(p, 0) == '|' || regex_peek(p, 0) == ')')
			return cat;
		i = atom(p);
		if (i == REGEX_NONE)
			return i;
		skip_white(p);
		i = quantified(p, i);
		if (i == REGEX_NONE)
			return i;
		/* "a{2}{3}": nobody means it. */
		if (strchr("*+?", regex_peek(p, 0) < 0 ? 'x' : regex_peek(p, 0)) ||
		    (p->re->node[i].kind == REGEX_REPEAT && regex_peek(p, 0) == '{'))
			return regex_fail(p, "a quantifier behind a quantifier");
		if (last == REGEX_NONE)
			p->re->node[cat].child = i;
		else
			p->re->node[last].next = i;
		last = i;
	}
}

static uint32_t alternatives(struct regex_parser *p)
{
	uint32_t first = sequence(p), alt, last = first;

	if (first == REGEX_NONE || regex_peek(p, 0) != '|')
		return first;
	alt = node(p, REGEX_ALT);
	if (alt == REGEX_NONE)
		return alt;
	p->re->node[alt].child = first;
	while (regex_take(p, "|")) {
		uint32_t i = sequence(p);

		if (i == REGEX_NONE)
			return i;
		p->re->node[last].next = i;
		last = i;
	}
	return alt;
}

void regex_free(struct regex *re)
{
	free(re->node);
	free(re->set);
	*re = (struct regex){0};
}

int regex_parse(struct str pattern, unsigned int flags, struct regex *out, const char **why,
		size_t *at)
{
	struct regex_parser p = {.s = pattern, .re = out, .flags = flags};

	*out = (struct regex){0};
	out->root = alternatives(&p);
	if (out->root != REGEX_NONE && p.at < pattern.n)
		regex_fail(&p, "a bracket too many");
	if (!p.why)
		return 0;
	*why = p.why;
	*at = p.fail_at;
	regex_free(out);
	return p.oom ? -ENOMEM : -ENOTSUP;
}
