/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Shared by the files of the parser. */

#include "control/rules/regex/regex.h"

/* In regex_parser.flags, beside REGEX_F_*: `m` was switched off in the pattern itself. */
#define REGEX_F_NOT_MULTILINE (1u << 16)

struct regex_parser {
	struct str s;
	size_t at;
	struct regex *re;
	unsigned int flags;
	unsigned int depth;
	unsigned int groups;
	const char *why;       /* the first complaint */
	size_t fail_at;
	bool oom;
};

/* REGEX_NONE always; the first complaint is kept. */
uint32_t regex_fail(struct regex_parser *p, const char *why);
/* -1: there is none. */
int regex_peek(const struct regex_parser *p, size_t ahead);
bool regex_take(struct regex_parser *p, const char *text);
uint32_t regex_set_node(struct regex_parser *p, const struct regex_class *c);

/* Behind "[". */
uint32_t regex_bracket(struct regex_parser *p);
/* Behind "\" and c: the octet that it stands for, or -1. */
int regex_char_escape(struct regex_parser *p, uint8_t c);
