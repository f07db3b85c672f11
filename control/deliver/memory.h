/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What is remembered of recipients: bounded, least recently used goes first. A key is a 128-bit
 * SipHash-2-4 under a random secret, so that nobody outside can make two recipients share an entry.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/deliver/deliver.h"

struct memory;
struct memory_key {
	uint64_t lo, hi;
};

/* Of (route, MAIL FROM, RCPT); domains are compared without case, as A-labels. from == NULL:
 * recipient-wide. */
struct memory_key memory_key(const uint8_t secret[16], const char *route, const struct str *from,
			     struct str rcpt);

/* NULL: -ENOMEM. At most `cap` entries. */
struct memory *memory_new(size_t cap);
void memory_free(struct memory *m);
/* reply NULL: the entry is a mere "yes". An entry that memory_get() has given to nobody yet is kept
 * for untold_s, if that is longer than ttl_s. -ENOMEM leaves the table as it was. */
int memory_put(struct memory *m, struct memory_key key, uint64_t now_s, uint32_t ttl_s,
	       uint32_t untold_s, const struct deliver_reply *reply);
/* False if there is none or it has expired. reply, made_s may be NULL; an entry of a mere "yes"
 * leaves reply->code 0. */
bool memory_get(struct memory *m, struct memory_key key, uint64_t now_s,
		struct deliver_reply *reply, uint64_t *made_s);
void memory_drop(struct memory *m, struct memory_key key);
size_t memory_count(const struct memory *m);
