/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Compiled databases on disk. A file is named by the SHA-256 of what was compiled (expressions,
 * flags, ids, mode), the release of Hyperscan and the features of this CPU, and begins with the
 * SHA-256 of what it holds: one that was cut or altered is compiled anew. The directory belongs to
 * control: whoever may write there may write what the dataplane runs.
 */

#include "control/rules/rules_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <hs/hs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "postern/limits.h"

#define SUM 32
#define NAME (2 * SUM + 3) /* "….db" */

/* What this process got and put: rules_cache_prune() leaves it. Compiling is the work of one thread. */
static struct {
	char (*name)[NAME + 1];
	size_t n, cap;
} used;

static void remember(const char *path)
{
	const char *name = strrchr(path, '/');
	size_t cap = used.cap ? 2 * used.cap : 64;
	void *more;

	if (used.n == used.cap) {
		more = realloc(used.name, cap * sizeof(*used.name));
		if (!more)
			return; /* it costs time to make it again */
		used.name = more;
		used.cap = cap;
	}
	snprintf(used.name[used.n++], sizeof(*used.name), "%s", name ? name + 1 : path);
}

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
	/* When it was used last, also where access times are off; another's file may refuse it. */
	if (ok)
		(void)futimens(fd, (struct timespec[]){{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}});
	close(fd);
	if (ok)
		remember(path);
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
	else
		remember(path);
}

/* ---- pruning ------------------------------------------------------------------------------ */

#define TORN_S 3600 /* writing takes a compiler less than a second */

struct entry {
	char name[NAME + 1];
	time_t last;
	uint64_t octets;
};

struct entries {
	struct entry *e;
	size_t n, cap;
};

static bool is_hex(const char *s, size_t n)
{
	return strspn(s, "0123456789abcdef") >= n;
}

/* ".XXXXXX" behind a name: what a compiler that was killed was writing. */
static bool is_ours(const char *name, bool *torn)
{
	size_t n = strlen(name);

	*torn = n == NAME + 7;
	return (n == NAME || (*torn && name[NAME] == '.')) && is_hex(name, 2 * SUM) &&
	       memcmp(name + 2 * SUM, ".db", 3) == 0;
}

static bool is_used(const char *name)
{
	for (size_t i = 0; i < used.n; i++)
		if (strcmp(used.name[i], name) == 0)
			return true;
	return false;
}

static void drop(int dir, const char *name, uint64_t octets, struct rules_cache_pruned *gone)
{
	if (unlinkat(dir, name, 0))
		return;
	gone->files++;
	gone->octets += octets;
}

/* Ours that are not in use go into the list, which is to be freed; *kept: octets of those that are. */
static int gather(DIR *d, struct entries *list, uint64_t *kept, struct rules_cache_pruned *gone)
{
	time_t now = time(NULL);
	struct dirent *e;

	while ((errno = 0, e = readdir(d))) {
		struct stat st;
		bool torn;

		if (!is_ours(e->d_name, &torn) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
		    !S_ISREG(st.st_mode))
			continue;
		if (torn) {
			if (st.st_mtime < now - TORN_S)
				drop(dirfd(d), e->d_name, (uint64_t)st.st_size, gone);
			continue;
		}
		if (is_used(e->d_name)) {
			*kept += (uint64_t)st.st_size;
			continue;
		}
		if (list->n == list->cap) {
			size_t cap = list->cap ? 2 * list->cap : 256;
			void *more = realloc(list->e, cap * sizeof(*list->e));

			if (!more)
				return -ENOMEM;
			list->e = more;
			list->cap = cap;
		}
		list->e[list->n].last = st.st_atime > st.st_mtime ? st.st_atime : st.st_mtime;
		list->e[list->n].octets = (uint64_t)st.st_size;
		memcpy(list->e[list->n++].name, e->d_name, NAME + 1);
	}
	return -errno;
}

static int latest_first(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->last != y->last ? (x->last < y->last ? 1 : -1) : strcmp(x->name, y->name);
}

int rules_cache_prune(const char *path, uint64_t max, unsigned int days, struct rules_cache_pruned *gone)
{
	time_t oldest = time(NULL) - (time_t)days * 86400;
	struct entries list = {0};
	DIR *d = opendir(path);
	uint64_t sum = 0;
	int rc;

	*gone = (struct rules_cache_pruned){0};
	if (!d)
		return -errno;
	rc = gather(d, &list, &sum, gone);
	if (!rc && list.n)
		qsort(list.e, list.n, sizeof(*list.e), latest_first);
	for (size_t i = 0; !rc && i < list.n; i++) {
		sum += list.e[i].octets;
		if (list.e[i].last < oldest || sum > max)
			drop(dirfd(d), list.e[i].name, list.e[i].octets, gone);
	}
	free(list.e);
	closedir(d);
	return rc;
}
