/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Compiled databases on disk. A file is named by the SHA-256 of what was compiled (expressions,
 * flags, ids, mode), the release of Hyperscan and the features of this CPU, and begins with the
 * SHA-256 of what it holds: one that was cut or altered is compiled anew. The directory belongs to
 * control: whoever may write there may write what the dataplane runs.
 */

#include "control/rules/rules_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <hs/hs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/limits.h"

#define SUM 32


static bool update(EVP_MD_CTX *md, const void *p, size_t n)
{
	return md && EVP_DigestUpdate(md, p, n);
}

bool rules_cache_path(const char *dir, unsigned int mode, const char *const *text,
		      const unsigned int *flags, const unsigned int *ids, size_t n,
		      char path[RULES_CACHE_PATH])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	hs_platform_info_t platform;
	uint8_t sum[SUM];
	bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) &&
		  hs_populate_platform(&platform) == HS_SUCCESS &&
		  update(md, hs_version(), strlen(hs_version()) + 1) &&
		  update(md, &platform.tune, sizeof(platform.tune)) &&
		  update(md, &platform.cpu_features, sizeof(platform.cpu_features)) &&
		  update(md, &mode, sizeof(mode));
	int len;

	/* Each string with its NUL, so that one cannot flow into the next. */
	for (size_t i = 0; ok && i < n; i++)
		ok = update(md, &flags[i], sizeof(flags[i])) && update(md, &ids[i], sizeof(ids[i])) &&
		     update(md, text[i], strlen(text[i]) + 1);
	ok = ok && EVP_DigestFinal_ex(md, sum, NULL);
	EVP_MD_CTX_free(md);
	if (!ok)
		return false;
	len = snprintf(path, RULES_CACHE_PATH, "%s/", dir);
	if (len < 0 || (size_t)len + 2 * SUM + 8 > RULES_CACHE_PATH)
		return false;
	for (unsigned int i = 0; i < SUM; i++)
		len += sprintf(path + len, "%02x", sum[i]);
	strcpy(path + len, ".db");
	return true;
}

static bool read_all(int fd, uint8_t *p, size_t n)
{
	while (n) {
		ssize_t k = read(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

static bool write_all(int fd, const void *from, size_t n)
{
	const uint8_t *p = from;

	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

/* Ours, and nobody else's to write. */
static bool trusted(int fd, struct stat *st)
{
	return !fstat(fd, st) && S_ISREG(st->st_mode) && (st->st_uid == geteuid() || st->st_uid == 0) &&
	       !(st->st_mode & (S_IWGRP | S_IWOTH)) && st->st_size > SUM &&
	       st->st_size <= (off_t)LIMIT_RULES_DATABASE;
}

bool rules_cache_get(const char *path, char **bytes, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	uint8_t kept[SUM], sum[SUM];
	struct stat st;
	char *p = NULL;
	bool ok = false;

	if (fd < 0)
		return false;
	if (!trusted(fd, &st))
		goto out;
	*len = (size_t)st.st_size - SUM;
	p = malloc(*len);
	ok = p && read_all(fd, kept, SUM) && read_all(fd, (uint8_t *)p, *len) &&
	     EVP_Digest(p, *len, sum, NULL, EVP_sha256(), NULL) && memcmp(sum, kept, SUM) == 0;
out:
	close(fd);
	if (ok)
		*bytes = p;
	else
		free(p);
	return ok;
}

/* A cache that cannot be written costs time and nothing else. */
void rules_cache_put(const char *path, const char *bytes, size_t len)
{
	char tmp[RULES_CACHE_PATH + 16];
	uint8_t sum[SUM];
	bool ok;
	int fd;

	snprintf(tmp, sizeof(tmp), "%s.XXXXXX", path);
	if (!EVP_Digest(bytes, len, sum, NULL, EVP_sha256(), NULL))
		return;
	fd = mkostemp(tmp, O_CLOEXEC); /* 0600 */
	if (fd < 0)
		return;
	ok = write_all(fd, sum, SUM) && write_all(fd, bytes, len);
	ok = !close(fd) && ok;
	if (!ok || rename(tmp, path))
		unlink(tmp);
}
