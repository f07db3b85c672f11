/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

#define RULES_CACHE_PATH 512

/* Where the database of these expressions is kept. False: it cannot be named. */
bool rules_cache_path(const char *dir, unsigned int mode, const char *const *text,
		      const unsigned int *flags, const unsigned int *ids, size_t n,
		      char path[RULES_CACHE_PATH]);
/* False: not there, or not what was written. *bytes is the caller's. */
bool rules_cache_get(const char *path, char **bytes, size_t *len);
void rules_cache_put(const char *path, const char *bytes, size_t len);
