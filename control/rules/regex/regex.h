/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A Perl pattern over octets as a tree, and what can be told from the tree. It matches nothing: PCRE2
 * and Hyperscan do that. What is told here decides where a pattern may be looked for, so all of it
 * errs to one side: the tree stands for at least every string that the pattern matches (look-arounds,
 * back references and atomic groups only take away), and what the parser does not know is not parsed
 * at all. Knows no rules and no messages.
 *
 *   regex_parse.c     text → tree                 regex_literals.c  literals that every match holds
 *   regex_class.c     sets of octets              regex_lines.c     may a match go over a line end?
 *   regex_frequency.c how often octets follow each other in mail
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/str.h"

/* A set of octets. */
struct regex_class {
	uint64_t bits[4];
};

static inline bool regex_class_has(const struct regex_class *c, uint8_t octet)
{
	return c->bits[octet >> 6] >> (octet & 63) & 1;
}
void regex_class_add(struct regex_class *c, unsigned int from, unsigned int to);
void regex_class_or(struct regex_class *c, const struct regex_class *other);
void regex_class_invert(struct regex_class *c);
/* Adds the other case of each ASCII letter in it. */
void regex_class_fold(struct regex_class *c);
unsigned int regex_class_count(const struct regex_class *c);
/* 'd' 'D' 'w' 'W' 's' 'S' 'h' 'H' 'v' 'V' 'N' as in \d; false: none of them. */
bool regex_class_escape(uint8_t letter, struct regex_class *c);
/* "alpha", "xdigit", ...; false: unknown. */
bool regex_class_posix(struct str name, struct regex_class *c);

enum regex_kind {
	REGEX_EMPTY,
	REGEX_CLASS,     /* one octet of a set */
	REGEX_CAT,       /* children in order */
	REGEX_ALT,       /* one of the children */
	REGEX_REPEAT,    /* the child, min to max times */
	REGEX_ASSERT,    /* nothing, at a place: `what` */
	REGEX_LOOK,      /* nothing, if the child matches here or does not: `what` */
	REGEX_BACKREF,   /* any octets, or none */
};

/* REGEX_ASSERT, REGEX_LOOK */
enum regex_what {
	REGEX_LINE_START = 1,  /* ^ with m */
	REGEX_LINE_END,        /* $ with m */
	REGEX_TEXT_START,      /* ^ without m */
	REGEX_TEXT_END,        /* $ without m: at the end, or before a line end there */
	REGEX_VERY_START,      /* \A, and ^ behind (?-m): no flag of the whole turns it into that of a line */
	REGEX_VERY_LAST,       /* \Z, $ behind (?-m) */
	REGEX_VERY_END,        /* \z */
	REGEX_WORD, REGEX_NOT_WORD, /* \b, \B */
	REGEX_AHEAD, REGEX_NOT_AHEAD, REGEX_BEHIND, REGEX_NOT_BEHIND,
};

#define REGEX_NONE UINT32_MAX
#define REGEX_INFINITE UINT32_MAX

struct regex_node {
	uint8_t kind;          /* enum regex_kind */
	uint8_t what;          /* enum regex_what */
	uint32_t min, max;     /* REPEAT; max may be REGEX_INFINITE */
	uint32_t child;        /* first one */
	uint32_t next;         /* next sibling */
	uint32_t set;          /* CLASS: index in regex.set */
};

struct regex {
	struct regex_node *node;
	size_t n_nodes, cap_nodes;
	struct regex_class *set;
	size_t n_sets, cap_sets;
	uint32_t root;
	bool atomic;           /* parts of it match less than the tree says, look-arounds aside */
};

#define REGEX_F_CASELESS (1u << 0)
#define REGEX_F_MULTILINE (1u << 1)
#define REGEX_F_DOTALL (1u << 2)
#define REGEX_F_EXTENDED (1u << 3)

/*
 * 0; -ENOTSUP: something that is not known here, *why says what (static text) and *at where; -ENOMEM.
 * On an error there is nothing to free. Bounded by LIMIT_REGEX_NODES and LIMIT_REGEX_NESTING.
 */
int regex_parse(struct str pattern, unsigned int flags, struct regex *out, const char **why,
		size_t *at);
void regex_free(struct regex *re);

/* ---- what a tree tells ---------------------------------------------------------------------- */

/*
 * A set of literals of which every match contains at least one. Octets of caseless ones are lower
 * case and stand for both cases.
 */
#define REGEX_LITERAL_MAX 24u
#define REGEX_LITERAL_MIN 4u
#define REGEX_LITERALS 1024u

struct regex_literal {
	uint8_t len;
	bool caseless;
	uint8_t octet[REGEX_LITERAL_MAX];
};

struct regex_literals {
	struct regex_literal *literal; /* owned */
	size_t n;                      /* 0: there is no such set */
	double per_octet;              /* how often one is expected in mail text */
};

/* 0 (also where out->n is 0) or -ENOMEM. */
int regex_literals(const struct regex *re, struct regex_literals *out);
void regex_literals_free(struct regex_literals *l);
/* Expected occurrences in an octet of mail text, by the built-in sample (mailtext.h). */
double regex_literal_frequency(const struct regex_literal *l);
/* How often one of the set stands at a place of mail text. */
double regex_class_frequency(const struct regex_class *c);

struct regex_lines {
	bool empty;       /* it may match no octets */
	bool line_end;    /* a match may hold a line feed */
	bool crosses;     /* ... with something behind it; or a look-around may see one */
	bool lossy;       /* a line may match which, among others, does not: what is denied by a
			   * look-around may be in the next line, or an end asserted behind a line feed */
	bool needs_last;  /* its last octet is one and may be a line feed */
	bool text_edges;  /* \A \Z \z, or ^ $ without m */
	bool very_edges;  /* \A \Z \z, ^ $ behind (?-m): no flag of the whole turns them into ends of lines */
};
void regex_lines(const struct regex *re, struct regex_lines *out);
