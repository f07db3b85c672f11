/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Messages in which the words of nasty.cf, and what is nearly them, stand at random places, in all
 * the wrappings that mail has. */

#include "tests/oracle/rng.h"

#include "postern/str.h"

struct octets {
	uint8_t *p;
	size_t n, cap;
};

/* Aborts where there is no memory. */
void octets_add(struct octets *o, const void *p, size_t n);

/* Replaces what out held; the caller frees out->p in the end. */
void mailmade(struct rng *r, struct octets *out);
