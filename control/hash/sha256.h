/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

#include <openssl/evp.h>

/* SHA-256 as OpenSSL's providers have it, fetched once: EVP_sha256() is fetched anew for each digest, which
 * costs more than hashing a header does. NULL: there is none. From any thread. */
const EVP_MD *hash_sha256(void);
