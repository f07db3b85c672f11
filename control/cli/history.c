/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/cli/history.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HISTORY_OCTETS                                                                             \
	((size_t)LIMIT_CLI_HISTORY * LIMIT_CLI_HISTORY_LINE * 2) /* a larger one is not ours */

/* *base: octets of the directory that is the user's. */
static bool place(char *path, size_t cap, size_t *base)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	bool has_state = state && *state == '/';
	int n;

	if (!has_state && !(home && *home == '/'))
		return false;
	*base = strlen(has_state ? state : home);
	n = snprintf(path, cap, "%s%s/postern/history", has_state ? state : home,
		     has_state ? "" : "/.local/state");
	return n > 0 && (size_t)n < cap;
}

/* What sudo leaves of HOME is another user's: in there we make nothing. One that is not there yet is
 * made in what is ours above it. */
static int check_base(char *path, size_t base)
{
	struct stat st;
	int rc;

	for (;;) {
		char kept = path[base];

		path[base] = '\0';
		rc = stat(base ? path : "/", &st) ? -errno : 0;
		path[base] = kept;
		if (rc != -ENOENT || !base)
			break;
		while (base && path[--base] != '/')
			;
	}
	if (rc)
		return rc;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() ? 0 : -EPERM;
}

/* Directories above the file. */
static int make_directories(char *path)
{
	for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(path, 0700) && errno != EEXIST) {
			int e = errno;

			*p = '/';
			return -e;
		}
		*p = '/';
	}
	return 0;
}

/* Ours, a file of this name alone, and nobody else's to read. */
static int check(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1 ||
	    (size_t)st.st_size > HISTORY_OCTETS)
		return -EPERM;
	return (st.st_mode & 077) && fchmod(fd, 0600) ? -errno : 0;
}

static char *read_all(int fd, size_t *n)
{
	char *text = malloc(HISTORY_OCTETS + 1);
	ssize_t k;

	*n = 0;
	while (text && (k = read(fd, text + *n, HISTORY_OCTETS - *n)) > 0)
		*n += (size_t)k;
	if (text)
		text[*n] = '\0';
	return text;
}

/* Where the last LIMIT_CLI_HISTORY begin. */
static size_t newest(const char *text, size_t n)
{
	size_t lines = 0;

	while (n) {
		if (text[n - 1] == '\n' && lines++ == LIMIT_CLI_HISTORY)
			break;
		n--;
	}
	return n;
}

static void give(char *text, void (*each)(void *arg, const char *line), void *arg)
{
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		size_t n = strlen(line);
		bool plain = history_is_kept(line, n);

		for (size_t i = 0; i < n; i++)
			plain &= (unsigned char)line[i] >= 0x20 && line[i] != 0x7f;
		/* Of what is no text in this locale libedit makes an end of file. */
		if (plain && mbstowcs(NULL, line, 0) != (size_t)-1)
			each(arg, line);
	}
}

/* Under the lock, and in place: another shell has the file open to add to it. */
static void cut(int fd, const char *text, size_t n, size_t from)
{
	if (!from || ftruncate(fd, 0))
		return;
	for (ssize_t k; from < n && (k = write(fd, text + from, n - from)) > 0;)
		from += (size_t)k;
}

void history_open(struct history_file *h, void (*each)(void *arg, const char *line), void *arg,
		  char *why, size_t why_len)
{
	char path[PATH_MAX];
	size_t n = 0, from, base;
	char *text;
	int rc;

	*why = '\0';
	h->fd = -1;
	if (!place(path, sizeof(path), &base))
		return;
	rc = check_base(path, base);
	if (!rc)
		rc = make_directories(path);
	if (!rc)
		h->fd = open(path,
			     O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
			     0600);
	if (!rc)
		rc = h->fd < 0 ? -errno : check(h->fd);
	if (rc) {
		snprintf(why, why_len, "%.160s: %s: no history is kept", path,
			 rc == -EPERM ? "not ours, or no file" : strerror(-rc));
		history_close(h);
		return;
	}
	flock(h->fd, LOCK_EX);
	text = read_all(h->fd, &n);
	if (text) {
		from = newest(text, n);
		cut(h->fd, text, n, from);
		give(text + from, each, arg);
	}
	flock(h->fd, LOCK_UN);
	free(text);
}

bool history_is_kept(const char *line, size_t n)
{
	return n && n < LIMIT_CLI_HISTORY_LINE && *line != ' ' && *line != '\t';
}

void history_add(struct history_file *h, const char *line, size_t n)
{
	char text[LIMIT_CLI_HISTORY_LINE + 1];

	if (h->fd < 0 || !history_is_kept(line, n))
		return;
	memcpy(text, line, n);
	text[n] = '\n';
	flock(h->fd, LOCK_EX);
	/* With O_APPEND in one piece; on a full disk the line is missing and nothing else. */
	if (write(h->fd, text, n + 1) != (ssize_t)n + 1)
		history_close(h);
	else
		flock(h->fd, LOCK_UN);
}

void history_close(struct history_file *h)
{
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
}
