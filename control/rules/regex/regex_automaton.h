/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Gates for patterns without literals, all in one automaton (dataplane/scan/automaton.h). Of each
 * pattern a stretch is taken that every match must hold and that mail seldom does: assertions and
 * look-arounds left out, bounded repetitions of more than one made endless, and cut off where
 * something endless of many octets begins. What remains is determinised from a fixed place on, so that
 * patterns do not multiply each other's states; where it still grows too large, patterns are left out.
 * What a look-ahead denies at the start of a stretch, and is a few strings, are its exceptions.
 *
 *   regex_stretch.c    which part of a tree, and how often it will be met
 *   regex_nfa.c        a stretch → positions
 *   regex_except.c     its exceptions
 *   regex_before.c     what may stand before it
 *   regex_masks.c      which pairs of octets may begin it
 *   regex_buckets.c    which of them share a bit of the masks
 *   regex_cluster.c    ... so that few places of mail pass
 *   regex_automaton.c  positions → automaton
 */

#include "control/rules/regex/regex.h"
#include "dataplane/scan/automaton.h"

struct regex_stretch {
	uint32_t first;      /* node: child of the sequence at the root (or the root itself) */
	unsigned int n;      /* nodes from there on */
	double per_octet;    /* expected openings */
	unsigned int size;   /* positions, about */
	double persists;     /* share of octets that its most patient place goes on waiting over */
};

#define REGEX_PATIENT 0.3
/* Those that open seldom enough to be of use (`rare`, per octet) and have max_size positions at most,
 * one for each node of the sequence that they may begin with, the best ones first. Returns their
 * number, cap at most. */
size_t regex_stretches(const struct regex *re, double rare, unsigned int max_size,
		       struct regex_stretch *out, size_t cap);
/* Is it cut here? An endless or long repetition of most octets. */
bool regex_is_wide(const struct regex *re, const struct regex_node *n);
/* How a repetition is read: so many copies, then endlessly, or up to so many more. */
struct regex_relaxed {
	uint32_t copies, more;
	bool endless;
};
struct regex_relaxed regex_relaxed(const struct regex *re, const struct regex_node *n);

/* Positions of all patterns. */
#define REGEX_ACCEPT UINT32_MAX
struct regex_nfa {
	struct regex_nfa_state {
		uint8_t kind;        /* 0: an octet of set, then a; 1: a or b; 2: the gate is met */
		bool exact;          /* of the positions that are for masks only */
		uint32_t a, b;
		uint32_t gate;       /* its number */
		struct regex_class set;
	} *state;
	size_t n, cap;
	bool oom, too_large;
	size_t limit;
};

/* Octets d that may be the first one where octet c stands before it. */
struct regex_before {
	struct regex_class row[256];
};

struct regex_gate {
	uint32_t id;
	uint32_t weight;         /* states of it alone; the caller's to set */
	uint32_t start;          /* position */
	uint32_t exact;          /* the same stretch with each octet above 0x7f told apart */
	struct regex_strings {
		size_t n;
		struct automaton_except *v; /* owned */
	} except;
	struct regex_before *before; /* owned */
};

/* Adds a stretch as gate number `number`. 0; -ENOMEM, -E2BIG: nothing of it is of use then, nor is
 * there anything to free. */
int regex_nfa_add(struct regex_nfa *nfa, const struct regex *re, const struct regex_stretch *s,
		  uint32_t number, uint32_t id, struct regex_gate *out);
void regex_nfa_free(struct regex_nfa *nfa);
void regex_gate_free(struct regex_gate *g);

/* Strings that no match of the stretch can have at its first octet. 0 (also where there are none) or
 * -ENOMEM. */
int regex_except(const struct regex *re, const struct regex_stretch *s, struct regex_strings *out);
/* 0 or -ENOMEM; *out is the caller's. Where nothing stands before the stretch it may begin with any
 * octet. */
int regex_before(const struct regex *re, const struct regex_stretch *s, struct regex_before **out);
/* The first node of the sequence that the pattern is, groups around all of it aside. */
uint32_t regex_sequence(const struct regex *re);

/* The pairs that gates of one bucket may begin with: octets d that may follow octet c as the k-th
 * pair, the first of which is the octet before and the first octet. `depth`: behind so many octets one
 * of them has been met. */
struct regex_pairs {
	struct regex_class row[AUTOMATON_PAIRS][256];
	unsigned int depth;
};
/* 0 or -ENOMEM; gates [from, to), where they begin with one of these octets. */
int regex_pairs(const struct regex_nfa *nfa, const struct regex_gate *gate, size_t from, size_t to,
		const struct regex_class *begin, struct regex_pairs *out);

/* Gates → buckets, so that few places of mail look like a beginning. */
struct regex_bucket {
	uint16_t from, to;       /* of the gates in their new order */
	struct regex_class begin;
	struct regex_pairs *pairs; /* owned */
	double places;           /* share of mail's that pass the first pairs */
};
/* gate[] is put in order, and number[] says where each one is now. 0 or -ENOMEM. */
int regex_buckets(const struct regex_nfa *nfa, struct regex_gate *gate, size_t n, uint32_t *number,
		  struct regex_bucket bucket[AUTOMATON_BUCKETS]);
/* Items [0, n) that begin with pairs[] into `most` clusters; cluster[i] is the number of the item that
 * stands for item i's, the first of them. pairs and weight are changed. 0 or -ENOMEM. */
int regex_cluster(struct regex_pairs *pairs, uint32_t *weight, size_t n, size_t most, uint16_t *cluster);
void regex_buckets_free(struct regex_bucket bucket[AUTOMATON_BUCKETS]);
/* Classes of octets that no position tells apart, nor what may stand before these gates; frequent
 * ones first; of the exact positions or of the others. Returns their number. */
unsigned int regex_classes(const struct regex_nfa *nfa, bool exact, const struct regex_gate *gate,
			   size_t n_gates, uint8_t class_of[256], uint8_t octet_of[256]);

/*
 * Determinises the stretches; what is open behind AUTOMATON_DEPTH octets counts as met. 0 and a blob for automaton_open() in *out (the caller's, 64-byte
 * aligned); -E2BIG: more than max states; -ENOMEM. *n_states: in any case.
 */
int regex_determinise(const struct regex_nfa *nfa, const struct regex_gate *gate, size_t n_gates,
		      size_t max, void **out, size_t *len, size_t *n_states);
