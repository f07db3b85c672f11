/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/trace/logfiles.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/hash/siphash.h"

#define FIRST (64u * 1024)
/* Of the first line so much is looked at: it is more than enough to be like no other. */
#define HEAD 4096
/* A time in milliseconds has room in the upper bits of a number of the index. */
#define YEAR_MAX (2240 - 1900)

int64_t logfiles_time_ms(const char *text)
{
	struct tm tm = {0};
	const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	int64_t ms = 0, unit = 100;
	time_t t;

	if (!rest || tm.tm_year < 70 || tm.tm_year > YEAR_MAX)
		return 0;
	if (*rest == '.')
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
			ms += unit * (*rest - '0');
	t = timegm(&tm);
	return !strcmp(rest, "Z") && t > 0 ? (int64_t)t * 1000 + ms : 0;
}

/* The directory, and the name in it. */
static int open_directory(const char *path, char base[256])
{
	char dir[4096], copy[4096];
	int fd;

	if (strlen(path) >= sizeof(dir))
		return -ENAMETOOLONG;
	strcpy(dir, path);
	strcpy(copy, path);
	if (snprintf(base, 256, "%s", basename(copy)) >= 256)
		return -ENAMETOOLONG;
	fd = open(dirname(dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static bool is_name(const char *name, const char *base)
{
	size_t n = strlen(base);

	if (strncmp(name, base, n))
		return false;
	return strspn(name + n, ".-0123456789") == strlen(name + n);
}

/* "time" of a line, of which only the beginning may be here. Records begin with anything. */
static int64_t time_in(const char *line, size_t n)
{
	static const char member[] = "\"time\":\"";
	const char *at = NULL, *next = line;
	char text[32] = "";
	size_t room;

	/* The last: those before it lie in objects. No string of a stranger's has it, a quote in one
	 * stands behind a backslash. */
	while ((next = memmem(next, n - (size_t)(next - line), member, sizeof(member) - 1)))
		at = next += sizeof(member) - 1;
	if (!at)
		return 0;
	room = n - (size_t)(at - line);
	for (size_t i = 0; i < room && i < sizeof(text) - 1 && at[i] != '"'; i++)
		text[i] = at[i];
	return logfiles_time_ms(text);
}

/* False: no whole line of JSON stands at its beginning. */
static bool head(int fd, char *line, struct logfile *f)
{
	static const uint8_t secret[16];
	const char *end = NULL;
	size_t n;

	/* Few first lines are long. */
	for (size_t size = FIRST; !end && size <= LOGFILES_LINE; size *= LOGFILES_LINE / FIRST) {
		ssize_t got = pread(fd, line, size, 0);

		end = got > 0 ? memchr(line, '\n', (size_t)got) : NULL;
		if (got < (ssize_t)size)
			break;
	}
	if (!end || line[0] != '{')
		return false;
	n = (size_t)(end - line);
	f->key = siphash128(secret, (const uint8_t *)line, n < HEAD ? n : HEAD).lo >> 1;
	f->time_ms = time_in(line, n);
	return true;
}

static bool look(int dir, const char *name, char *line, struct logfile *f)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	bool ok;

	if (fd < 0)
		return false;
	ok = !fstat(fd, &st) && S_ISREG(st.st_mode) && strlen(name) < sizeof(f->name);
	*f = (struct logfile){.dev = st.st_dev, .ino = st.st_ino, .size = (uint64_t)st.st_size};
	if (ok)
		strcpy(f->name, name);
	ok = ok && head(fd, line, f);
	close(fd);
	return ok;
}

static int by_time(const void *a, const void *b)
{
	const struct logfile *x = a, *y = b;

	if (x->time_ms != y->time_ms)
		return x->time_ms < y->time_ms ? -1 : 1;
	return strcmp(y->name, x->name); /* trace.jsonl.2 is older than trace.jsonl.1 */
}

long logfiles_list(const char *path, struct logfile **list)
{
	char base[256], *line = malloc(LOGFILES_LINE);
	int fd = open_directory(path, base);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	size_t n = 0;

	*list = line ? calloc(LOGFILES_MAX, sizeof(**list)) : NULL;
	if (!d || !*list) {
		int rc = !d ? fd < 0 ? fd : -errno : -ENOMEM;

		if (d)
			closedir(d);
		else if (fd >= 0)
			close(fd);
		free(line);
		free(*list);
		*list = NULL;
		return rc;
	}
	while (n < LOGFILES_MAX && (e = readdir(d)))
		if (is_name(e->d_name, base) && look(dirfd(d), e->d_name, line, &(*list)[n]))
			n++;
	closedir(d);
	free(line);
	qsort(*list, n, sizeof(**list), by_time);
	return (long)n;
}

bool logfiles_look(const char *path, struct logfile *f)
{
	char base[256], *line = malloc(LOGFILES_LINE);
	int dir = line ? open_directory(path, base) : -ENOMEM;
	bool ok = dir >= 0 && look(dir, base, line, f);

	if (dir >= 0)
		close(dir);
	free(line);
	return ok;
}

int logfiles_open(const char *path, const struct logfile *f)
{
	char base[256];
	int dir = open_directory(path, base), fd, rc = 0;
	struct stat st;

	if (dir < 0)
		return dir;
	fd = openat(dir, f->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		rc = -errno;
	close(dir);
	/* Renamed since it was listed: another has its name. */
	if (!rc && (fstat(fd, &st) || st.st_dev != f->dev || st.st_ino != f->ino)) {
		close(fd);
		rc = -ENOENT;
	}
	return rc ? rc : fd;
}
