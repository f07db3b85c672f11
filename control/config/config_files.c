/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Files of the configuration on the disk. */

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "control/config/config_tree.h"
#include "postern/limits.h"

void config_texts_free(struct config_text *t, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (t[i].text)
			OPENSSL_cleanse(t[i].text, t[i].len);
		free(t[i].text);
		free(t[i].name);
	}
}

/* Up to LIMIT_CONFIG_FILE octets and one, by which more is known; `size` is what it seems to have.
 */
static int read_all(int fd, off_t size, struct config_text *t)
{
	size_t cap = size < (off_t)LIMIT_CONFIG_FILE ? (size_t)size + 1 : LIMIT_CONFIG_FILE + 1;

	t->text = malloc(cap);
	if (!t->text)
		return -ENOMEM;
	while (t->len < cap) {
		ssize_t k = read(fd, t->text + t->len, cap - t->len);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			return 0;
		t->len += (size_t)k;
	}
	/* It grew under our hands, and half of it is no configuration. */
	return t->len > LIMIT_CONFIG_FILE ? 0 : -EAGAIN;
}

int config_text_read(const char *path, struct config_text *t)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc;
	struct stat st;

	*t = (struct config_text){0};
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		rc = -errno;
	else if (!S_ISREG(st.st_mode))
		rc = S_ISDIR(st.st_mode) ? -EISDIR : -ENXIO;
	else
		rc = read_all(fd, st.st_size, t);
	close(fd);
	if (rc) {
		config_texts_free(t, 1);
		*t = (struct config_text){0};
		return rc;
	}
	t->readable = st.st_mode & (S_IRWXO | S_IWGRP);
	return 0;
}

/* What was found, read; none of it is kept after an error. */
static int read_found(const glob_t *g, size_t max, struct config_text **out, size_t *n,
		      char why[CONFIG_WHY])
{
	struct config_text *t = calloc(g->gl_pathc, sizeof(*t));
	size_t sum = 0;
	int rc = t ? 0 : -ENOMEM;

	for (size_t i = 0; i < g->gl_pathc && !rc; i++) {
		const char *path = g->gl_pathv[i];

		rc = config_text_read(path, &t[i]);
		if (rc && rc != -ENOMEM) {
			snprintf(why, CONFIG_WHY, "%.180s: %s", path, strerror(-rc));
			rc = -EINVAL;
		}
		if (rc)
			break;
		t[i].name = strdup(path);
		sum += t[i].len;
		if (!t[i].name) {
			rc = -ENOMEM;
		} else if (sum > max) {
			snprintf(why, CONFIG_WHY, "%.180s: more than %zu octets in all", path, max);
			rc = -EINVAL;
		}
	}
	if (rc) {
		config_texts_free(t, t ? g->gl_pathc : 0);
		free(t);
		return rc;
	}
	*out = t;
	*n = g->gl_pathc;
	return 0;
}

int config_find_files(void *arg, const char *pattern, size_t max, struct config_text **out,
		      size_t *n, char why[CONFIG_WHY])
{
	const char *wild = strpbrk(pattern, "*?["), *last = strrchr(pattern, '/');
	glob_t g = {0};
	int rc;

	(void)arg;
	if (wild && last && wild < last) {
		snprintf(why, CONFIG_WHY,
			 "%.160s: wildcards are taken in the last part of a path only", pattern);
		return -EINVAL;
	}
	/* Without wildcards a name is that file, whatever else is in it. */
	rc = glob(pattern, GLOB_ERR | GLOB_NOESCAPE | (wild ? 0 : GLOB_NOCHECK), NULL, &g);
	if (rc == GLOB_NOMATCH) {
		rc = 0;
	} else if (rc == GLOB_NOSPACE) {
		rc = -ENOMEM;
	} else if (rc) {
		snprintf(why, CONFIG_WHY, "%.180s: %s", pattern, strerror(errno));
		rc = -EINVAL;
	} else if (g.gl_pathc > LIMIT_CONFIG_FILES) {
		snprintf(why, CONFIG_WHY, "%.180s: more than %d files", pattern,
			 LIMIT_CONFIG_FILES);
		rc = -EINVAL;
	} else {
		rc = read_found(&g, max, out, n, why);
	}
	globfree(&g);
	return rc;
}
