/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * --corpus: the files of a directory, in the order of their names, a message each. What is in them
 * is anybody's: a file that is no message is named with its line, and nothing is sent at all unless
 * --skip-bad says so, since another load than was given would be measured.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/smtpload/content.h"
#include "bench/smtpload/load.h"

#define LINE_OCTETS 998u /* RFC 5321 4.5.3.1.6, without CRLF */
#define TELL_MAX    20u  /* files that are named */

static uint32_t bad;

const char *corpus_why(enum corpus_fault fault)
{
	static const char *const why[] = {
		[CORPUS_OK] = "nothing",
		[CORPUS_EMPTY] = "it is empty",
		[CORPUS_NUL] = "a NUL octet, which DATA cannot carry (RFC 5321 4.5.2)",
		[CORPUS_LONG_LINE] = "a line of more than 998 octets (RFC 5321 4.5.3.1.6)",
		[CORPUS_NO_HEADER] = "no header: the first line is not `name: value`",
		[CORPUS_HEADER] =
			"neither a header field nor a continuation, before the empty line",
		[CORPUS_TOO_LARGE] = "more than 64 MiB",
	};

	return why[fault];
}

/* RFC 5322 2.2: printable octets but the colon, then a colon. White space before it is obsolete
 * (4.5) and seen. */
static bool is_field(const uint8_t *p, uint32_t n)
{
	uint32_t i = 0;

	while (i < n && p[i] > ' ' && p[i] < 127 && p[i] != ':')
		i++;
	if (!i)
		return false;
	while (i < n && (p[i] == ' ' || p[i] == '\t'))
		i++;
	return i < n && p[i] == ':';
}

/* A line without its end. *in_header: until the empty one. */
static enum corpus_fault check_line(const uint8_t *p, uint32_t n, bool first, bool *in_header)
{
	if (n > LINE_OCTETS)
		return CORPUS_LONG_LINE;
	if (!*in_header)
		return CORPUS_OK;
	if (!n && !first) {
		*in_header = false;
		return CORPUS_OK;
	}
	if (first)
		return is_field(p, n) ? CORPUS_OK : CORPUS_NO_HEADER;
	return p[0] == ' ' || p[0] == '\t' || is_field(p, n) ? CORPUS_OK : CORPUS_HEADER;
}

/* CRLF, LF and CR are ends of lines alike: RFC 5321 2.3.8 has only the first. */
enum corpus_fault corpus_normalise(const uint8_t *p, uint32_t n, uint8_t *out, uint32_t *out_n,
				   uint32_t *line)
{
	bool in_header = true;
	uint32_t i = 0, k = 0;

	*out_n = *line = 0;
	if (!n)
		return CORPUS_EMPTY;
	while (i < n) {
		uint32_t from = k;
		enum corpus_fault fault;

		++*line;
		while (i < n && p[i] != '\n' && p[i] != '\r') {
			if (!p[i])
				return CORPUS_NUL;
			out[k++] = p[i++];
		}
		fault = check_line(out + from, k - from, !from, &in_header);
		if (fault)
			return fault;
		if (i < n && p[i++] == '\r' && i < n && p[i] == '\n')
			i++;
		out[k++] = '\r';
		out[k++] = '\n';
	}
	*out_n = k;
	return CORPUS_OK;
}

static void tell(const char *name, uint32_t line, const char *why)
{
	if (bad++ >= TELL_MAX)
		return;
	fprintf(stderr, "smtpload: --corpus %s/%s", load.opt.corpus, name);
	if (line)
		fprintf(stderr, ", line %u", line);
	fprintf(stderr, ": %s\n", why);
}

static ssize_t read_all(int fd, uint8_t *p, size_t size)
{
	size_t n = 0;

	while (n < size) {
		ssize_t rc = read(fd, p + n, size - n);

		if (rc < 0 && errno == EINTR)
			continue;
		if (rc < 0)
			return -1;
		if (!rc)
			break;
		n += (size_t)rc;
	}
	return (ssize_t)n;
}

/* 0, also if the file is no message; -1: no memory or no room for more. */
static int take(const char *name, const uint8_t *p, uint32_t n)
{
	uint32_t line = 0, out_n = 0;
	enum corpus_fault fault;
	uint8_t *out = malloc(2 * (size_t)n + 2), *less;

	if (!out)
		return -1;
	fault = corpus_normalise(p, n, out, &out_n, &line);
	if (!fault && out_n > CONTENT_MAX)
		fault = CORPUS_TOO_LARGE;
	if (fault) {
		tell(name, fault == CORPUS_EMPTY || fault == CORPUS_TOO_LARGE ? 0 : line,
		     corpus_why(fault));
		free(out);
		return 0;
	}
	less = realloc(out, out_n);
	return content_add(less ? less : out, out_n, 1, "", name);
}

static int read_file(int dir, const char *name)
{
	struct stat st;
	uint8_t *p = NULL;
	ssize_t n;
	int rc = 0, fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 || fstat(fd, &st)) {
		tell(name, 0, strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode)) { /* a directory in it is not an error */
		if (!S_ISDIR(st.st_mode))
			tell(name, 0, "not a regular file");
		goto out;
	}
	if ((uint64_t)st.st_size > CONTENT_MAX) {
		tell(name, 0, corpus_why(CORPUS_TOO_LARGE));
		goto out;
	}
	/* One octet more than there should be: who grew meanwhile is too large. */
	p = malloc((size_t)st.st_size + 1);
	if (!p) {
		rc = -1;
		goto out;
	}
	n = read_all(fd, p, (size_t)st.st_size + 1);
	if (n < 0)
		tell(name, 0, strerror(errno));
	else if (n > st.st_size)
		tell(name, 0, "it grew while it was read");
	else
		rc = take(name, p, (uint32_t)n);
out:
	free(p);
	if (fd >= 0)
		close(fd);
	return rc;
}

static int shown(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/* By octets: the order must not depend on the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int corpus_read(const char *directory)
{
	struct dirent **name = NULL;
	int n, dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	bad = 0;
	n = dir < 0 ? -1 : scandirat(dir, ".", &name, shown, by_name);
	if (n < 0) {
		fprintf(stderr, "smtpload: --corpus %s: %s\n", directory, strerror(errno));
		rc = -1;
		goto out;
	}
	for (int i = 0; i < n && !rc; i++)
		rc = read_file(dir, name[i]->d_name);
	if (rc)
		fprintf(stderr,
			"smtpload: --corpus %s: more than %u messages or %llu octets, a message of "
			"more than %u chunks, or no memory\n",
			directory, CONTENT_COUNT_MAX, CONTENT_ALL_MAX, CONTENT_CHUNKS);
	if (bad > TELL_MAX)
		fprintf(stderr, "smtpload: --corpus %s: and %u more\n", directory, bad - TELL_MAX);
	if (!rc && !contents.n) {
		fprintf(stderr, "smtpload: --corpus %s: no message in it\n", directory);
		rc = -1;
	}
	if (!rc && bad && !load.opt.skip_bad) {
		fprintf(stderr,
			"smtpload: --corpus %s: %u of %u files cannot be sent (--skip-bad "
			"sends the others)\n",
			directory, bad, bad + contents.n);
		rc = -1;
	}
out:
	for (int i = 0; i < n; i++)
		free(name[i]);
	free(name);
	if (dir >= 0)
		close(dir);
	return rc;
}
