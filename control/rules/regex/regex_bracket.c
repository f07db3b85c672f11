/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* [...] and the escapes that stand for one octet. */

#include <string.h>

#include "control/rules/regex/regex_internal.h"

static int hex_digit(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
	       c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \xHH, \xH, \x, \x{H...} */
static int hex(struct regex_parser *p)
{
	bool braces = regex_take(p, "{");
	unsigned int v = 0, n = 0;

	while (hex_digit(regex_peek(p, 0)) >= 0 && n < (braces ? 8u : 2u)) {
		v = v * 16 + (unsigned int)hex_digit(regex_peek(p, 0));
		p->at++;
		n++;
	}
	if ((braces && (!n || !regex_take(p, "}"))) || v > 0xff) {
		regex_fail(p, "\\x{...} that is no octet");
		return -1;
	}
	return (int)v;
}

/* \0, \07, \012 */
static int octal(struct regex_parser *p, uint8_t first)
{
	unsigned int v = (unsigned int)first - '0', n = 1;

	while (regex_peek(p, 0) >= '0' && regex_peek(p, 0) <= '7' && n < 3) {
		v = v * 8 + (unsigned int)(regex_peek(p, 0) - '0');
		p->at++;
		n++;
	}
	if (v > 0xff) {
		regex_fail(p, "an octal number that is no octet");
		return -1;
	}
	return (int)v;
}

int regex_char_escape(struct regex_parser *p, uint8_t c)
{
	switch (c) {
	case 't': return '\t';
	case 'n': return '\n';
	case 'r': return '\r';
	case 'f': return '\f';
	case 'e': return 0x1b;
	case 'a': return 0x07;
	case 'x': return hex(p);
	case '0': return octal(p, c);
	default: break;
	}
	if (ascii_is_alnum(c)) {
		regex_fail(p, "an escape that is not known here");
		return -1;
	}
	return c;
}

/* "[:name:]", at its first octet. 1: taken, 0: none, -1: refused. */
static int posix(struct regex_parser *p, struct regex_class *set)
{
	size_t n = 2;
	struct regex_class one;
	struct str name;
	bool invert;

	if (regex_peek(p, 0) != '[' || regex_peek(p, 1) != ':')
		return 0;
	while (regex_peek(p, n) >= 0 && regex_peek(p, n) != ':' && regex_peek(p, n) != ']')
		n++;
	if (regex_peek(p, n) != ':' || regex_peek(p, n + 1) != ']')
		return 0;
	name = str_make(p->s.p + p->at + 2, n - 2);
	invert = name.n && name.p[0] == '^';
	if (!regex_class_posix(str_skip(name, invert), &one)) {
		regex_fail(p, "an unknown POSIX class");
		return -1;
	}
	if (invert)
		regex_class_invert(&one);
	regex_class_or(set, &one);
	p->at += n + 2;
	return 1;
}

/* One member: its octet; -2: a set was added; -1: refused. */
static int member(struct regex_parser *p, struct regex_class *set)
{
	struct regex_class one;
	int c = regex_peek(p, 0), rc;

	rc = posix(p, set);
	if (rc)
		return rc < 0 ? -1 : -2;
	/* [.x.] and [=x=] are errors in Perl. */
	if (c == '[' && (regex_peek(p, 1) == '.' || regex_peek(p, 1) == '=')) {
		regex_fail(p, "[. or [= in a class");
		return -1;
	}
	p->at++;
	if (c != '\\')
		return c;
	c = regex_peek(p, 0);
	if (c < 0) {
		regex_fail(p, "a class without its end");
		return -1;
	}
	p->at++;
	if (c == 'b')
		return '\b';
	if (c != 'N' && regex_class_escape((uint8_t)c, &one)) {
		regex_class_or(set, &one);
		return -2;
	}
	if (c >= '1' && c <= '7')
		return octal(p, (uint8_t)c);
	return regex_char_escape(p, (uint8_t)c);
}

/* Behind a member: "-b", unless the "-" is the last octet of the class. */
static bool range(struct regex_parser *p, int from, struct regex_class *set)
{
	int to = from;

	if (regex_peek(p, 0) == '-' && regex_peek(p, 1) != ']' && regex_peek(p, 1) >= 0) {
		p->at++;
		to = member(p, set);
		if (to < from) {
			regex_fail(p, "a range in a class that is none");
			return false;
		}
	}
	regex_class_add(set, (unsigned int)from, (unsigned int)to);
	return true;
}

uint32_t regex_bracket(struct regex_parser *p)
{
	bool invert = regex_take(p, "^"), first = true;
	struct regex_class set = {{0}};

	for (;; first = false) {
		int c = regex_peek(p, 0);

		if (c < 0)
			return regex_fail(p, "a class without its end");
		if (c == ']' && !first)
			break;
		c = member(p, &set);
		if (c == -1)
			return REGEX_NONE;
		if (c >= 0 && !range(p, c, &set))
			return REGEX_NONE;
		/* [\w-x]: the "-" is text in Perl; PCRE2 agrees, Hyperscan may not. */
		if (c == -2 && regex_peek(p, 0) == '-' && regex_peek(p, 1) != ']') {
			regex_class_add(&set, '-', '-');
			p->at++;
		}
	}
	p->at++;
	if (p->flags & REGEX_F_CASELESS)
		regex_class_fold(&set);
	if (invert)
		regex_class_invert(&set);
	return regex_set_node(p, &set);
}
