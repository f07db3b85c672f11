/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Hash with a key of random octets, for sets that tell what was met before: nobody can make a text
 * that hides another one. Not for keeping secrets. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "dataplane/content/steps.h"
#include "postern/str.h"

struct keyed {
	uint64_t key[2];
};

/* Asks the kernel; ends the process if it has no random octets. Only during start. */
static inline void keyed_init(struct keyed *k)
{
	if (getrandom(k->key, sizeof(k->key), 0) != (ssize_t)sizeof(k->key))
		abort();
}

static inline uint64_t keyed_fold(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Never 0. */
static inline uint64_t keyed_hash(const struct keyed *k, struct str s)
{
	uint64_t h = k->key[0] ^ s.n, w;
	size_t i = 0;

	CONTENT_STEP(s.n);
	for (; s.n - i >= 8; i += 8) {
		memcpy(&w, s.p + i, 8);
		h = keyed_fold(h ^ w, k->key[1] | 1) + k->key[0];
	}
	w = 0;
	if (s.n > i)
		memcpy(&w, s.p + i, s.n - i);
	h = keyed_fold(h ^ w, k->key[1] | 1);
	h = keyed_fold(h ^ k->key[0], 0x9e3779b97f4a7c15ull);
	return h ? h : 1;
}
