/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What becomes of each signature when our block stands in front and some fields are gone: foretold
 * from h= alone, without a key. */

#include "control/annotate/annotate.h"

/* Of several reasons the highest is told: what would have voided the signature by itself anyway. */
enum annotate_fate {
	FATE_KEPT,
	FATE_OVERSIGNED, /* h= wants a name of ours more often than the message had it */
	FATE_FOREIGN,    /* h= covers a foreign trust field that was stripped */
	FATE_FORGED,     /* h= covers a field that was removed as forged */
	FATE_BROKEN,     /* anything else: must not be */
};

/* `ours`: the fields of our block. `sig` is a DKIM-Signature or an ARC-Message-Signature of h. */
enum annotate_fate annotate_fate_of(const struct headers *ours, const struct headers *h,
				    const uint8_t *drop, const struct dkim_signature *sig);
/* The seal of instance k + 1 covers the ARC fields of all instances up to it (RFC 8617 5.1.1). */
enum annotate_fate annotate_fate_of_seal(const struct headers *h, const uint8_t *drop,
					 const struct arc_results *arc, size_t k);
