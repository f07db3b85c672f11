/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The two small grammars inside a line: a regular expression, and the condition of an `if`. */

#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_internal.h"
#include "postern/limits.h"

/* Whose rules we read: `if (version >= 3.004)` compares with this. */
#define LANGUAGE_VERSION 4.000000

static char closing(uint8_t open)
{
	switch (open) {
	case '{':
		return '}';
	case '(':
		return ')';
	case '[':
		return ']';
	case '<':
		return '>';
	default:
		return (char)open;
	}
}

static bool regex_flags(struct str flags, struct rule_source *src, const char **why)
{
	for (size_t i = 0; i < flags.n; i++)
		switch (flags.p[i]) {
		case 'i':
			src->caseless = true;
			break;
		case 'm':
			src->multiline = true;
			break;
		case 's':
			src->dotall = true;
			break;
		case 'x':
			src->extended = true;
			break;
		case 'a': /* ASCII classes: what ours are anyway */
		case 'o': /* compile once: as we do */
			break;
		default:
			*why = "unknown flag behind the pattern; known are i m s x (and a o)";
			return false;
		}
	return true;
}

/* In the slash form a slash inside must be escaped, or nobody can tell where the pattern ends. */
static bool bare_delimiter(struct str body, char delimiter)
{
	for (size_t i = 0; i < body.n; i++) {
		if (body.p[i] == '\\')
			i++;
		else if (body.p[i] == (uint8_t)delimiter)
			return true;
	}
	return false;
}

bool rules_regex(struct rules *r, struct str text, struct rule_source *src, const char **why)
{
	size_t head = 1, end;
	uint8_t open;
	char close;

	if (text.n > 1 && text.p[0] == 'm' && !ascii_is_alnum(text.p[1]) && text.p[1] > ' ')
		head = 2;
	else if (!text.n || text.p[0] != '/') {
		*why = "expected a pattern: /.../ or m{...} with flags";
		return false;
	}
	open = text.p[head - 1];
	close = closing(open);
	for (end = text.n; end > head && text.p[end - 1] != (uint8_t)close; end--)
		;
	if (end <= head) {
		*why = "the pattern has no end";
		return false;
	}
	end--;
	if (!regex_flags(str_skip(text, end + 1), src, why))
		return false;
	if (end == head) {
		*why = "the pattern is empty";
		return false;
	}
	if (end - head > LIMIT_RULES_PATTERN) {
		*why = "the pattern is too long";
		return false;
	}
	if ((uint8_t)close == open && bare_delimiter(str_make(text.p + head, end - head), close)) {
		*why = "the delimiter stands unescaped inside the pattern";
		return false;
	}
	src->pattern = rules_dup(r, str_make(text.p + head, end - head));
	return true;
}

/* ---- conditions ------------------------------------------------------------------------- */

struct cond {
	struct str s;
	unsigned int depth;
	bool bad;
};

static int cond_or(struct cond *c);

static bool take(struct cond *c, const char *token)
{
	c->s = str_trim(c->s);
	if (!str_istarts(c->s, str_c(token)))
		return false;
	c->s = str_skip(c->s, strlen(token));
	return true;
}

static struct str word(struct cond *c)
{
	size_t n = 0;
	struct str w;

	c->s = str_trim(c->s);
	while (n < c->s.n && (ascii_is_alnum(c->s.p[n]) || c->s.p[n] == '_' || c->s.p[n] == ':' ||
			      c->s.p[n] == '.'))
		n++;
	w = str_cut(c->s, n);
	c->s = str_skip(c->s, n);
	return w;
}

static bool number(struct str w, double *out)
{
	double v = 0, scale = 1;
	bool dot = false;

	if (!w.n || w.n > 32)
		return false;
	for (size_t i = 0; i < w.n; i++) {
		if (w.p[i] == '.' && !dot) {
			dot = true;
			continue;
		}
		if (!ascii_is_digit(w.p[i]))
			return false;
		if (dot)
			v += (w.p[i] - '0') * (scale /= 10);
		else
			v = v * 10 + (w.p[i] - '0');
	}
	*out = v;
	return true;
}

static int compare(struct cond *c, double left)
{
	static const char *const op[] = {">=", "<=", "==", "!=", ">", "<"};
	double right;

	for (size_t i = 0; i < sizeof(op) / sizeof(op[0]); i++) {
		if (!take(c, op[i]))
			continue;
		if (!number(word(c), &right))
			break;
		switch (i) {
		case 0:
			return left >= right;
		case 1:
			return left <= right;
		case 2:
			return !(left < right) && !(left > right);
		case 3:
			return left < right || left > right;
		case 4:
			return left > right;
		default:
			return left < right;
		}
	}
	c->bad = true;
	return -1;
}

static int cond_unary(struct cond *c)
{
	struct str w;
	int v;

	if (++c->depth > LIMIT_RULES_NESTING) {
		c->bad = true;
		return -1;
	}
	if (take(c, "!")) {
		v = cond_unary(c);
		v = v < 0 ? v : !v;
	} else if (take(c, "(")) {
		v = cond_or(c);
		c->bad |= !take(c, ")");
	} else {
		w = word(c);
		if (str_ieq(w, STR("version"))) {
			v = compare(c, LANGUAGE_VERSION);
		} else if (str_ieq(w, STR("plugin")) || str_ieq(w, STR("can")) ||
			   str_ieq(w, STR("has"))) {
			/* There are no plugins and none of their features. */
			c->bad |= !take(c, "(") || !word(c).n || !take(c, ")");
			v = 0;
		} else if (str_ieq(w, STR("local_tests_only"))) {
			v = 0;
		} else {
			c->bad = true;
			v = -1;
		}
	}
	c->depth--;
	return v;
}

static int cond_and(struct cond *c)
{
	int v = cond_unary(c);

	while (!c->bad && take(c, "&&"))
		v &= cond_unary(c);
	return v;
}

static int cond_or(struct cond *c)
{
	int v = cond_and(c);

	while (!c->bad && take(c, "||"))
		v |= cond_and(c);
	return v;
}

int rules_condition(struct str expr, const char **why)
{
	struct cond c = {.s = expr};
	int v = cond_or(&c);

	if (c.bad || str_trim(c.s).n || v < 0) {
		*why = "the condition is not understood";
		return -1;
	}
	return v;
}
