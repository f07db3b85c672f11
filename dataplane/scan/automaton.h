/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A gate for patterns that hold no literal, made by control (control/rules/regex/): says where a
 * stretch that every match must hold has been met; the pattern itself is control's to judge.
 *
 * At each place of a text the pairs of octets there, the first of which is the octet before and the
 * first one, are looked up, each in a table that says
 * of which buckets of gates it may be the beginning; what is left of them by AND is followed from
 * that place by an automaton, which stops at the first octet it cannot go on with. Where few places
 * of mail look like the beginning of anything, a sieve finds them first.
 *
 *   struct automaton_head
 *   uint64_t mask[n_pairs][AUTOMATON_PAIRS]     by pair; n_pairs is the square of pair_classes
 *   uint16_t next[n_states << shift]            by state, then class of the octet
 *   uint32_t accept[n_states - accept_from + 1] of states from accept_from on: offsets into found
 *   uint32_t found[n_found]                     gates that are met in a state
 *   uint32_t id[n_gates]                        what a gate stands for
 *   uint32_t except_at[n_gates + 1]             offsets into except
 *   struct automaton_except except[n_except]    what a gate is not met by, where it begins so
 *
 * Nothing is kept from run to run: what is open at the end of octets that are not the text's last
 * counts as met.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/scan/gate.h"
#include "dataplane/scan/sieve.h"

#define AUTOMATON_MAGIC 0x50534157u /* "PSAW" */
#define AUTOMATON_MAX_STATES 65535u
#define AUTOMATON_MAX_GATES 2048u
#define AUTOMATON_BUCKETS 64u
#define AUTOMATON_PAIRS 8u
#define AUTOMATON_FIRST 5u          /* looked at everywhere; the others where these agree */
#define AUTOMATON_EXCEPT_LEN 24u
#define AUTOMATON_MAX_EXCEPT 65536u
/* Octets that a place is followed over at most: what is open then counts as met. */
#define AUTOMATON_FOLLOW 64u
/* States that are further than so many octets from their start count as met. */
#define AUTOMATON_DEPTH 12u
#define AUTOMATON_DEAD 0u           /* the state that nothing goes on from */

struct automaton_head {
	uint32_t magic;
	uint32_t n_states;
	uint32_t accept_from;
	uint32_t n_found;
	uint32_t n_gates;
	uint32_t shift;           /* 1 << shift >= number of classes */
	uint32_t pair_classes;
	uint32_t n_except;
	uint32_t mask_off, next_off, accept_off; /* from the head; 64-byte aligned */
	uint32_t found_off, id_off, except_at_off, except_off;
	uint32_t size;            /* of all */
	uint16_t start[AUTOMATON_BUCKETS];            /* state; AUTOMATON_DEAD: the bucket is empty */
	uint16_t gate_from[AUTOMATON_BUCKETS], gate_to[AUTOMATON_BUCKETS]; /* its gates; buckets may share them */
	struct sieve sieve;       /* passes each place that the first pairs pass, if it is there */
	uint8_t class_of[256];    /* for next */
	uint8_t pair_class[256];  /* for first and more */
};

struct automaton_except {
	uint8_t len;
	uint8_t pad[7];
	uint8_t octet[AUTOMATON_EXCEPT_LEN]; /* a letter whose case does not matter in lower case */
	uint8_t fold[AUTOMATON_EXCEPT_LEN];  /* 0x20 where a case does not matter, else 0 */
	uint8_t pad2[8];
};

struct automaton {
	const struct automaton_head *head;
	const uint64_t *mask;
	const uint16_t *next;
	const uint32_t *accept, *found, *id, *except_at;
	const struct automaton_except *except;
};

/* NULL, or what is wrong with it. ids: all are below it. The memory stays the caller's and must
 * outlive *out; 64-byte aligned. */
const char *automaton_open(const void *blob, size_t len, uint32_t ids, struct automaton *out);

/* Stretches that begin at one of the places [from, to) of p[0..n). last: the text ends with
 * p[n - 1]. Linear in n whatever the text is. */
void automaton_run(const struct automaton *a, const uint8_t *p, size_t n, size_t from, size_t to,
		   bool last, gate_found *found, void *ctx);
