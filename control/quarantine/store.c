/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "control/quarantine/internal.h"

static void file_name(const char *id, char out[QUARANTINE_ID + 5])
{
	snprintf(out, QUARANTINE_ID + 5, "%.*s.eml", QUARANTINE_ID, id);
}

static int open_directory(int at, const char *name)
{
	int fd;

	if (mkdirat(at, name, 0750) && errno != EEXIST)
		return -errno;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int store_open(struct store *s, const char *directory, char *err, size_t err_len)
{
	int rc;

	*s = (struct store){-1, -1, -1, -1};
	s->dir = rc = open_directory(AT_FDCWD, directory);
	if (rc < 0)
		goto fail;
	s->lock = openat(s->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	rc = s->lock < 0 || flock(s->lock, LOCK_EX | LOCK_NB) ? -errno : 0;
	if (rc == -EWOULDBLOCK) {
		snprintf(err, err_len, "%s: another process owns it", directory);
		store_close(s);
		return -EBUSY;
	}
	if (rc)
		goto fail;
	s->fresh = rc = open_directory(s->dir, "new");
	if (rc < 0)
		goto fail;
	s->held = rc = open_directory(s->dir, "held");
	if (rc < 0)
		goto fail;
	/* The two directories themselves must survive. */
	if (fsync(s->dir)) {
		rc = -errno;
		goto fail;
	}
	return 0;
fail:
	snprintf(err, err_len, "%s: %s", directory, strerror(-rc));
	store_close(s);
	return rc;
}

void store_close(struct store *s)
{
	int *fd[] = {&s->dir, &s->fresh, &s->held, &s->lock};

	for (size_t i = 0; i < sizeof(fd) / sizeof(fd[0]); i++) {
		if (*fd[i] >= 0)
			close(*fd[i]);
		*fd[i] = -1;
	}
}

static int write_all(int fd, const struct mail_bytes *content)
{
	for (size_t i = 0; i < content->n_iov; i++) {
		const uint8_t *p = content->iov[i].iov_base;
		size_t n = content->iov[i].iov_len;

		while (n) {
			ssize_t k = write(fd, p, n);

			if (k < 0 && errno == EINTR)
				continue;
			if (k < 0)
				return -errno;
			p += k;
			n -= (size_t)k;
		}
	}
	return 0;
}

int store_write(struct store *s, const char *id, const struct mail_bytes *content)
{
	char name[QUARANTINE_ID + 5];
	int fd, rc;

	file_name(id, name);
	fd = openat(s->fresh, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return -errno;
	rc = write_all(fd, content);
	if (!rc && fsync(fd))
		rc = -errno;
	/* What close() reports (NFS, quota) is a write that did not happen. */
	if (close(fd) && !rc)
		rc = -errno;
	if (!rc && renameat2(s->fresh, name, s->held, name, RENAME_NOREPLACE))
		rc = -errno;
	if (rc)
		unlinkat(s->fresh, name, 0);
	return rc;
}

int store_sync(struct store *s)
{
	return fsync(s->held) ? -errno : 0;
}

int store_unlink(struct store *s, const char *id)
{
	char name[QUARANTINE_ID + 5];

	file_name(id, name);
	return unlinkat(s->held, name, 0) ? -errno : 0;
}

static int read_all(int fd, uint8_t *p, size_t n)
{
	while (n) {
		ssize_t k = read(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (!k)
			return -EBADMSG;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

int store_read(struct store *s, const char *id, uint64_t size, uint8_t **data)
{
	char name[QUARANTINE_ID + 5];
	struct stat st;
	int fd, rc = 0;

	file_name(id, name);
	*data = NULL;
	fd = openat(s->held, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		rc = -errno;
	else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
		rc = -EBADMSG;
	else if (!(*data = malloc(size + 1)))
		rc = -ENOMEM;
	if (!rc)
		rc = read_all(fd, *data, size);
	close(fd);
	if (rc) {
		free(*data);
		*data = NULL;
	}
	return rc;
}

int store_free_bytes(const struct store *s, uint64_t *out)
{
	struct statvfs v;

	if (fstatvfs(s->dir, &v))
		return -errno;
	*out = (uint64_t)v.f_bavail * v.f_frsize;
	return 0;
}

static bool id_of(const char *name, char id[QUARANTINE_ID + 1])
{
	if (strlen(name) != QUARANTINE_ID + 4 || strcmp(name + QUARANTINE_ID, ".eml") != 0)
		return false;
	memcpy(id, name, QUARANTINE_ID);
	id[QUARANTINE_ID] = '\0';
	return quarantine_id_valid(id);
}

/* Files of ours in `fd` that `known` does not know; others are left alone. */
static long sweep(int fd, bool (*known)(void *arg, const char *id), void *arg)
{
	char id[QUARANTINE_ID + 1];
	struct dirent *e;
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	long n = 0;

	if (!d) {
		n = -errno;
		if (copy >= 0)
			close(copy);
		return n;
	}
	while ((e = readdir(d)))
		if (id_of(e->d_name, id) && !(known && known(arg, id)))
			n += unlinkat(fd, e->d_name, 0) == 0;
	closedir(d);
	return n;
}

long store_reconcile(struct store *s, bool (*known)(void *arg, const char *id), void *arg)
{
	long a = sweep(s->fresh, NULL, NULL), b = sweep(s->held, known, arg);

	return a < 0 ? a : b < 0 ? b : a + b;
}
