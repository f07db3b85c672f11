/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

#include "dataplane/scan/sieve.h"

/* How many places of a small sample of mail pass it. */
size_t sieve_places(const struct sieve *s);
/* Is it of use: does it pass few places of mail (SIEVE_PASSES), of bodies and of raw text? One that
 * is not is made none. */
void sieve_settle(struct sieve *s);
