/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

#include "dataplane/scan/sieve.h"

/* Is it of use: does it pass few places of mail (SIEVE_PASSES), of bodies, of raw text, of URIs? One
 * that is not is made none. */
void sieve_settle(struct sieve *s);
