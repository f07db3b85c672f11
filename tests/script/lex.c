/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "tests/script/script.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A quoted string behind its opening quote; returns what follows the closing one. */
static const char *quoted(struct world *w, const char *s, char **out, struct token *t)
{
	char *o = *out;

	t->s = o;
	t->quoted = true;
	for (; *s != '"'; s++) {
		if (!*s)
			fail(w, "string without end");
		if (*s != '\\') {
			*o++ = *s;
			continue;
		}
		switch (*++s) {
		case 'r':
			*o++ = '\r';
			break;
		case 'n':
			*o++ = '\n';
			break;
		case 'x':
			if (hex_digit(s[1]) < 0 || hex_digit(s[2]) < 0)
				fail(w, "\\x wants two hex digits");
			*o++ = (char)(hex_digit(s[1]) << 4 | hex_digit(s[2]));
			s += 2;
			break;
		case '\\':
		case '"':
			*o++ = *s;
			break;
		default:
			fail(w, "unknown escape in string");
		}
	}
	t->n = (size_t)(o - t->s);
	*o++ = 0;
	*out = o;
	return s + 1;
}

void lex(struct world *w, const char *text)
{
	struct line *l = &w->line;
	const char *s = l->text;
	char *o = l->octets;

	if (text != l->text)
		snprintf(l->text, sizeof(l->text), "%s", text);
	l->n = l->at = 0;
	while (*s) {
		struct token *t;

		if (isspace((unsigned char)*s)) {
			s++;
			continue;
		}
		if (*s == '#')
			return;
		if (l->n == SCRIPT_TOKENS)
			fail(w, "too many words in a line");
		t = &l->tok[l->n++];
		*t = (struct token){0};
		if (*s == '"') {
			s = quoted(w, s + 1, &o, t);
			continue;
		}
		t->s = o;
		while (*s && !isspace((unsigned char)*s))
			*o++ = *s++;
		t->n = (size_t)(o - t->s);
		*o++ = 0;
	}
}

bool more(const struct world *w)
{
	return w->line.at < w->line.n;
}

const struct token *next(struct world *w, const char *what)
{
	if (!more(w))
		fail(w, "%s is missing", what);
	return &w->line.tok[w->line.at++];
}

bool take(struct world *w, const char *word)
{
	const struct token *t = &w->line.tok[w->line.at];

	if (!more(w) || t->quoted || strcmp(t->s, word))
		return false;
	w->line.at++;
	return true;
}

void no_more(struct world *w)
{
	if (more(w))
		fail(w, "'%s' is not understood here", w->line.tok[w->line.at].s);
}

bool parse_number(const char *s, int64_t *v)
{
	char *end;

	if (!isdigit((unsigned char)*s) && !(*s == '-' && isdigit((unsigned char)s[1])))
		return false;
	*v = strtoll(s, &end, 0);
	return !*end;
}

int64_t number(struct world *w, const char *what)
{
	const struct token *t = next(w, what);
	int64_t v;

	if (t->quoted || !parse_number(t->s, &v))
		fail(w, "%s: '%s' is not a number", what, t->s);
	return v;
}

struct range range(struct world *w, const char *what)
{
	const struct token *t = next(w, what);
	struct range r = {INT64_MIN, INT64_MAX, false};
	const char *s = t->s, *dots;
	char low[32];
	bool good;

	if (!strcmp(s, "any"))
		return r;
	if (!strncmp(s, ">=", 2)) {
		good = parse_number(s + 2, &r.lo);
	} else if (!strncmp(s, "<=", 2)) {
		good = parse_number(s + 2, &r.hi);
	} else if (!strncmp(s, "!=", 2)) {
		good = parse_number(s + 2, &r.lo);
		r.hi = r.lo;
		r.outside = true;
	} else if ((dots = strstr(s, "..")) && (size_t)(dots - s) < sizeof(low)) {
		memcpy(low, s, (size_t)(dots - s));
		low[dots - s] = 0;
		good = parse_number(low, &r.lo) && parse_number(dots + 2, &r.hi);
	} else {
		good = parse_number(s, &r.lo);
		r.hi = r.lo;
	}
	if (!good)
		fail(w, "%s: '%s' is neither a number nor a range", what, s);
	return r;
}

bool in_range(const struct range *r, int64_t v)
{
	return (v >= r->lo && v <= r->hi) != r->outside;
}

uint64_t duration_ms(struct world *w)
{
	int64_t n = number(w, "time");

	if (n < 0)
		fail(w, "time does not run backwards");
	if (take(w, "s"))
		n *= 1000;
	else if (take(w, "min"))
		n *= 60 * 1000;
	else if (take(w, "h"))
		n *= 3600 * 1000;
	else if (take(w, "d"))
		n *= 24 * 3600 * 1000;
	else
		(void)take(w, "ms");
	return (uint64_t)n;
}

uint32_t relative(struct world *w, const char *what, uint32_t base)
{
	const struct token *t = next(w, what);
	bool absolute = t->s[0] == '=';
	int64_t v;

	if (t->quoted || !parse_number(t->s + absolute, &v))
		fail(w, "%s: '%s' is not a number", what, t->s);
	return absolute ? (uint32_t)v : base + (uint32_t)v;
}

uint8_t flags_of(struct world *w, const struct token *t)
{
	static const char letter[] = "FSRP.UEW";
	uint8_t f = 0;

	if (!strcmp(t->s, "-"))
		return 0;
	for (const char *s = t->s; *s; s++) {
		size_t bit = 0;

		while (bit < 8 && letter[bit] != *s)
			bit++;
		if (bit == 8)
			fail(w, "'%s': flags are of S F R P . U E W, or -", t->s);
		f |= (uint8_t)(1u << bit);
	}
	return f;
}

size_t hex_octets(struct world *w, const struct token *t, uint8_t *to, size_t room)
{
	if (t->n % 2 || t->n / 2 > room)
		fail(w, "'%s': wrong number of hex digits", t->s);
	for (size_t i = 0; i < t->n; i += 2) {
		int hi = hex_digit(t->s[i]), lo = hex_digit(t->s[i + 1]);

		if (hi < 0 || lo < 0)
			fail(w, "'%s' is not hex", t->s);
		to[i / 2] = (uint8_t)((unsigned int)hi << 4 | (unsigned int)lo);
	}
	return t->n / 2;
}
