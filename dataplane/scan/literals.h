/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Thousands of literals that are seldom met, made by control (control/rules/rules_literals.c): says
 * which gates one of their literals was found for.
 *
 * Of each literal control chose a gram, the four octets in it that mail has least. At each place of a text the gram there, cases aside, is looked up in a filter that fits the
 * first cache: one octet by the gram's hash, one bit in it by the octet behind the gram. What passes
 * is compared with the literals of that gram.
 *
 *   struct literals_head
 *   uint8_t  filter[1 << filter_bits]
 *   uint32_t bucket[(1 << bucket_bits) + 1]     by the same hash: offsets into entry
 *   struct literals_entry entry[n_entries]
 *   uint32_t id[n_gates]                        what a gate stands for
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/scan/gate.h"

#define LITERALS_MAGIC 0x50534c54u /* "PSLT" */
#define LITERALS_LEN 24u           /* octets of one, at most */
#define LITERALS_MAX_GATES 4096u
#define LITERALS_MAX_ENTRIES (1u << 20)
#define LITERALS_MAX_BITS 18u
#define LITERALS_MIN_BITS 3u

#define LITERALS_GRAM 4u

struct literals_head {
	uint32_t magic;
	uint32_t size;            /* of all */
	uint32_t n_entries, n_gates;
	uint32_t filter_bits, bucket_bits;
	uint32_t filter_off, bucket_off, entry_off, id_off; /* from the head; 64-byte aligned */
};

struct literals_entry {
	uint32_t gram;            /* as it is read, cases aside */
	uint16_t gate;
	uint8_t len, at;          /* of the literal; where in it the gram is */
	uint8_t octet[LITERALS_LEN]; /* a letter whose case does not matter in lower case */
	uint8_t fold[LITERALS_LEN];  /* 0x20 where a case does not matter, else 0 */
	uint8_t pad[8];
};

struct literals {
	const struct literals_head *head;
	const uint8_t *filter;
	const uint32_t *bucket;
	const struct literals_entry *entry;
	const uint32_t *id;
};

/* Both sides read and hash alike. */
static inline uint32_t literals_gram(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, LITERALS_GRAM);
	return v | 0x20202020u;
}
static inline uint32_t literals_hash(uint32_t gram)
{
	return gram * 0x9e3779b1u;
}

/* NULL, or what is wrong with it. ids: all are below it. The memory stays the caller's and must
 * outlive *out; 64-byte aligned. */
const char *literals_open(const void *blob, size_t len, uint32_t ids, struct literals *out);

/*
 * Literals whose gram begins at one of the places [from, to) of p[0..n). A text made to be slow opens
 * all gates instead: linear in n.
 */
void literals_run(const struct literals *l, const uint8_t *p, size_t n, size_t from, size_t to,
		  gate_found *found, void *ctx);
