/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A gate for patterns that hold no literal, made by control (control/rules/regex/): says where a
 * stretch that every match must hold has been met; the pattern itself is control's to judge.
 *
 * At each place of a text the pairs among the next octets are looked up, each in a table that says
 * of which buckets of patterns it may be the beginning; what is left of them by AND is followed
 * from that place by an automaton, which stops at the first octet it cannot go on with.
 *
 *   struct automaton_head
 *   uint16_t next[n_states << shift]            by state, then class of the octet
 *   uint32_t accept[n_states - accept_from + 1] of states from accept_from on: offsets into found
 *   uint32_t found[n_found]                     gates that are met in a state; gate k is of bucket k % 64
 *   uint32_t id[n_gates]                        what a gate stands for
 *
 * Nothing is kept from run to run: what is open at the end of octets that are not the text's last
 * counts as met.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUTOMATON_MAGIC 0x50534155u /* "PSAU" */
#define AUTOMATON_MAX_STATES 65535u
#define AUTOMATON_MAX_GATES 2048u
#define AUTOMATON_BUCKETS 64u
#define AUTOMATON_PAIRS 6u
#define AUTOMATON_FIRST 4u          /* looked at everywhere; the others where these four agree */
/* Octets of a pair: without their case, all above 0x7f as one. */
#define AUTOMATON_FOLDS 128u
/* Octets that a place is followed over: what is open then counts as met. */
#define AUTOMATON_FOLLOW 256u
#define AUTOMATON_DEAD 0u           /* the state that nothing goes on from */

struct automaton_head {
	uint32_t magic;
	uint32_t n_states;
	uint32_t accept_from;
	uint32_t n_found;
	uint32_t n_gates;
	uint32_t shift;           /* 1 << shift >= number of classes */
	uint32_t next_off, accept_off, found_off, id_off; /* from the head; 64-byte aligned */
	uint32_t size;            /* of all */
	uint8_t pad[20];
	uint8_t class_of[256];
	uint16_t start[AUTOMATON_BUCKETS];   /* state; AUTOMATON_DEAD: the bucket is empty */
	uint8_t fold[256];
	uint64_t mask[AUTOMATON_PAIRS][AUTOMATON_FOLDS * AUTOMATON_FOLDS]; /* first octet, then second */
};

struct automaton {
	const struct automaton_head *head;
	const uint16_t *next;
	const uint32_t *accept, *found, *id;
};

/* NULL, or what is wrong with it. ids: all are below it. The memory stays the caller's and must
 * outlive *out; 64-byte aligned. */
const char *automaton_open(const void *blob, size_t len, uint32_t ids, struct automaton *out);

/* `end`: offset behind an octet that a match must reach, counted from p. Once a call for each gate. */
typedef void automaton_found(void *ctx, uint32_t id, size_t end);
/* Stretches that begin at one of the places [from, to) of p[0..n). last: the text ends with
 * p[n - 1]. Linear in n whatever the text is. */
void automaton_run(const struct automaton *a, const uint8_t *p, size_t n, size_t from, size_t to,
		   bool last, automaton_found *found, void *ctx);
