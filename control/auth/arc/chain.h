/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* The structure of a chain, without a look at any signature. */

#include "control/auth/arc/arc.h"

/* "i=N;" in front of ARC-Authentication-Results (RFC 8617 4.1.1), CFWS around. Instance 1 to 50, or
 * 0; *rest is what stands behind. */
unsigned int arc_aar_instance(struct str value, struct str *rest);
/* i= of an AMS or a seal, 0 if it is no instance. cv (may be NULL): cv= of a seal. */
unsigned int arc_tag_instance(struct str value, enum arc_result *cv, bool *cv_known);

/* Sorts the fields into sets and judges RFC 8617 5.2 steps 1 to 3. r->result is ARC_PASS where the
 * signatures are to decide. 0 or -ENOMEM; r->set is the caller's to free. */
int arc_chain_read(const struct headers *h, struct arc_results *r);
/* The fields that the seal of `set` covers, of sets first..last; the seal of the last is left out.
 * Writes up to 3 * LIMIT_ARC_SETS indices, returns how many. */
size_t arc_chain_sealed(const struct arc_results *r, size_t first, size_t last, size_t *field);
