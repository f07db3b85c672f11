/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RULES_CACHE_PATH 512

/* Where the database of these expressions is kept. False: it cannot be named. */
bool rules_cache_path(const char *dir, unsigned int mode, const char *const *text,
		      const unsigned int *flags, const unsigned int *ids, size_t n,
		      char path[RULES_CACHE_PATH]);
/* False: not there, or not what was written. *bytes is the caller's. */
bool rules_cache_get(const char *path, char **bytes, size_t *len);
void rules_cache_put(const char *path, const char *bytes, size_t len);

struct rules_cache_pruned {
	size_t files;
	uint64_t octets;
};

/*
 * Removes files of the cache that were not got or put for `days` days, then, while the rest is more
 * than `max` octets, those whose last use is longest ago. What this process got or put stays, whatever
 * its size; of the rest of the directory nothing is touched: only regular files of our names are
 * removed, and no link is followed. Another process that uses the same directory loses at most the
 * time to compile again. 0 or -errno of reading the directory.
 */
int rules_cache_prune(const char *dir, uint64_t max, unsigned int days, struct rules_cache_pruned *gone);
