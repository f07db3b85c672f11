/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What key.c and seal.c share. */

#include "control/auth/arc/arc.h"
#include "control/auth/dkim/tags.h"

#define ARC_B64_SIGNATURE (DKIM_MAX_SIGNATURE / 3 * 4 + 8)

struct arc_key {
	EVP_PKEY *pkey;
	bool ed25519;
};

/* Signs the digest; base64 with a NUL. 0 or -EIO. */
int arc_key_sign(const struct arc_key *k, const uint8_t digest[CANON_DIGEST],
		 char out[ARC_B64_SIGNATURE]);
