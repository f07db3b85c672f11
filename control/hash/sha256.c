/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/hash/sha256.h"

#include <pthread.h>

static EVP_MD *sha256_md;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void sha256_fetch(void)
{
	sha256_md = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static void __attribute__((destructor)) sha256_release(void)
{
	EVP_MD_free(sha256_md);
	sha256_md = NULL;
}

const EVP_MD *hash_sha256(void)
{
	pthread_once(&sha256_once, sha256_fetch);
	return sha256_md;
}
