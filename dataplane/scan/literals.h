/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Thousands of literals that are seldom met, made by control (control/rules/rules_literals.c): says
 * which gates one of their literals was found for.
 *
 * Of each literal some grams were chosen, those octets in it that mail has least. At every stride-th
 * place of a text the gram there, cases aside, is looked up in a filter of one bit a gram; what
 * passes is compared with the literals of that gram. A literal has a gram for each remainder of its
 * places by the stride, so that wherever it stands one of them, and only one, is looked up. The
 * longer the shortest literal is, the longer are the grams, and the fewer places are looked at. Where
 * few literals are, and some of them short, a sieve stands before the filter.
 *
 *   struct literals_head
 *   uint8_t  filter[1 << filter_bits]
 *   uint32_t bucket[(1 << bucket_bits) + 1]     by the same hash: offsets into entry
 *   uint16_t tag[n_entries]                     by other bits of the hash, so that few entries are read
 *   struct literals_entry entry[n_entries]
 *   uint32_t id[n_gates]                        what a gate stands for
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/scan/gate.h"
#include "dataplane/scan/sieve.h"

#define LITERALS_MAGIC 0x50534c33u /* "PSL3" */
#define LITERALS_LEN 24u           /* octets of one, at most */
#define LITERALS_MAX_GATES 4096u
#define LITERALS_MAX_ENTRIES (1u << 20)
#define LITERALS_MAX_BITS 18u
#define LITERALS_MIN_BITS 3u

#define LITERALS_KINDS 3u

/* Octets of a gram, and every how many places one is looked up. */
static const struct literals_kind {
	uint8_t gram, stride;
} literals_kind[LITERALS_KINDS] = {{4, 1}, {6, 2}, {8, 4}};

/* What literals of so many octets, at the least, can have. */
static inline unsigned int literals_kind_of(unsigned int shortest)
{
	unsigned int i = LITERALS_KINDS - 1;

	while (i && shortest < literals_kind[i].gram + literals_kind[i].stride - 1u)
		i--;
	return i;
}

struct literals_head {
	uint32_t magic;
	uint32_t size;            /* of all */
	uint32_t n_entries, n_gates;
	uint32_t kind;            /* in literals_kind */
	uint32_t filter_bits, bucket_bits;
	struct sieve sieve;       /* of kind 0: passes each place of a gram, if it is there */
	uint32_t filter_off, bucket_off, tag_off, entry_off, id_off; /* from the head; 64-byte aligned */
};

struct literals_entry {
	uint64_t gram;            /* as it is read, cases aside */
	uint16_t gate;
	uint8_t len, at;          /* of the literal; where in it the gram is */
	uint8_t octet[LITERALS_LEN]; /* a letter whose case does not matter in lower case */
	uint8_t fold[LITERALS_LEN];  /* 0x20 where a case does not matter, else 0 */
	uint8_t pad[4];
};

struct literals {
	const struct literals_head *head;
	const uint8_t *filter;
	const uint32_t *bucket;
	const uint16_t *tag;
	const struct literals_entry *entry;
	const uint32_t *id;
};

/* Both sides read and hash alike. n: literals_kind.gram. */
static inline uint64_t literals_gram(const uint8_t *p, unsigned int n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return v | 0x2020202020202020u >> (64 - 8 * n);
}
/* The same where eight octets can be read. */
static inline uint64_t literals_gram_fast(const uint8_t *p, unsigned int n)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return (v | 0x2020202020202020u) & ~(uint64_t)0 >> (64 - 8 * n);
}
static inline uint64_t literals_hash(uint64_t gram)
{
	return gram * 0x9e3779b97f4a7c15u;
}
/* Which bit of its octet a gram has; those of four octets have it by the octet behind. */
static inline unsigned int literals_bit(uint64_t hash)
{
	return hash >> 36 & 7;
}
/* Of those octets of a gram of eight too that are not in the bits above only. */
static inline uint16_t literals_tag(uint64_t hash)
{
	return (uint16_t)(hash >> 30);
}

/* NULL, or what is wrong with it. ids: all are below it. The memory stays the caller's and must
 * outlive *out; 64-byte aligned. */
const char *literals_open(const void *blob, size_t len, uint32_t ids, struct literals *out);

/*
 * Literals whose gram begins at one of the places [from, to) of p[0..n); before: octets of the text
 * before p. A text made to be slow opens all gates instead: linear in n.
 */
void literals_run(const struct literals *l, const uint8_t *p, size_t n, size_t from, size_t to,
		  uint64_t before, gate_found *found, void *ctx);
