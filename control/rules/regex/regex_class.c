/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Sets of octets: the classes of Perl and POSIX without a locale, which are those of ASCII. */

#include "control/rules/regex/regex.h"

void regex_class_add(struct regex_class *c, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i <= to && i < 256; i++)
		c->bits[i >> 6] |= (uint64_t)1 << (i & 63);
}

void regex_class_or(struct regex_class *c, const struct regex_class *other)
{
	for (unsigned int i = 0; i < 4; i++)
		c->bits[i] |= other->bits[i];
}

void regex_class_invert(struct regex_class *c)
{
	for (unsigned int i = 0; i < 4; i++)
		c->bits[i] = ~c->bits[i];
}

void regex_class_fold(struct regex_class *c)
{
	for (unsigned int i = 'a'; i <= 'z'; i++) {
		unsigned int upper = i - 'a' + 'A';

		if (regex_class_has(c, (uint8_t)i) || regex_class_has(c, (uint8_t)upper)) {
			regex_class_add(c, i, i);
			regex_class_add(c, upper, upper);
		}
	}
}

unsigned int regex_class_count(const struct regex_class *c)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < 4; i++)
		n += (unsigned int)__builtin_popcountll(c->bits[i]);
	return n;
}

static void word(struct regex_class *c)
{
	regex_class_add(c, 'a', 'z');
	regex_class_add(c, 'A', 'Z');
	regex_class_add(c, '0', '9');
	regex_class_add(c, '_', '_');
}

bool regex_class_escape(uint8_t letter, struct regex_class *c)
{
	*c = (struct regex_class){{0}};
	switch (letter | 0x20) {
	case 'd':
		regex_class_add(c, '0', '9');
		break;
	case 'w':
		word(c);
		break;
	case 's': /* with VT, as Perl since 5.18 and PCRE2 have it */
		regex_class_add(c, '\t', '\r');
		regex_class_add(c, ' ', ' ');
		break;
	case 'h':
		regex_class_add(c, '\t', '\t');
		regex_class_add(c, ' ', ' ');
		regex_class_add(c, 0xa0, 0xa0);
		break;
	case 'v':
		regex_class_add(c, '\n', '\r');
		regex_class_add(c, 0x85, 0x85);
		break;
	case 'n':
		if (letter != 'N')
			return false;
		regex_class_add(c, '\n', '\n');
		break;
	default:
		return false;
	}
	if (!(letter & 0x20))
		regex_class_invert(c);
	return true;
}

bool regex_class_posix(struct str name, struct regex_class *c)
{
	static const struct {
		const char *name;
		uint8_t range[4][2];
	} known[] = {
		{"alpha", {{'a', 'z'}, {'A', 'Z'}}},
		{"digit", {{'0', '9'}}},
		{"alnum", {{'a', 'z'}, {'A', 'Z'}, {'0', '9'}}},
		{"upper", {{'A', 'Z'}}},
		{"lower", {{'a', 'z'}}},
		{"space", {{'\t', '\r'}, {' ', ' '}}},
		{"blank", {{'\t', '\t'}, {' ', ' '}}},
		{"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}},
		{"xdigit", {{'0', '9'}, {'a', 'f'}, {'A', 'F'}}},
		{"word", {{'a', 'z'}, {'A', 'Z'}, {'0', '9'}, {'_', '_'}}},
		{"print", {{' ', '~'}}},
		{"graph", {{'!', '~'}}},
		{"cntrl", {{0x01, 0x1f}, {0x7f, 0x7f}}},
		{"ascii", {{0x01, 0x7f}}},
	};

	*c = (struct regex_class){{0}};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!str_eq(name, str_c(known[i].name)))
			continue;
		for (unsigned int k = 0; k < 4; k++)
			if (known[i].range[k][1])
				regex_class_add(c, known[i].range[k][0], known[i].range[k][1]);
		/* NUL, which a range above cannot begin with. */
		if (str_eq(name, STR("cntrl")) || str_eq(name, STR("ascii")))
			regex_class_add(c, 0, 0);
		return true;
	}
	return false;
}
