/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/cli/batch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/cli/dispatch.h"
#include "control/cli/grammar.h"
#include "control/cli/words.h"
#include "postern/limits.h"

/* Not a FILE: a child that exits would set back the offset of one, which it shares with us. */
struct batch {
	struct cli cli;
	const char *name;
	unsigned long number; /* of the line */
	bool rest;            /* of a line that was too long is still to come */
	int fd;
	size_t n, at; /* of buf: octets there, and read */
	char buf[16384];
	char line[LIMIT_CLI_LINE + 1];
};

static int complain(const struct batch *b, const char *why)
{
	fprintf(stderr, "%s:%lu: %s\n", b->name, b->number, why);
	return CLI_USAGE;
}

/* Octets that are there to be read; 0: there are no more; or as read(2). */
static long fill(struct batch *b)
{
	ssize_t k;

	if (b->at < b->n)
		return (long)(b->n - b->at);
	do
		k = read(b->fd, b->buf, sizeof(b->buf));
	while (k < 0 && errno == EINTR);
	b->n = k > 0 ? (size_t)k : 0;
	b->at = 0;
	return k < 0 ? -errno : k;
}

/* Behind the newline. */
static void skip_rest(struct batch *b)
{
	while (b->rest && fill(b) > 0)
		b->rest = b->buf[b->at++] != '\n';
	b->rest = false;
}

/* The length of the next line, without its end; -ENODATA: there is none; -E2BIG, or as read(2). */
static long next_line(struct batch *b)
{
	size_t n = 0;

	skip_rest(b);
	b->number++;
	for (;;) {
		long k = fill(b);

		if (k <= 0)
			return k < 0 ? k : n ? (long)n : -ENODATA;
		if (b->buf[b->at] == '\n')
			break;
		if (n == LIMIT_CLI_LINE) {
			b->rest = true;
			return -E2BIG;
		}
		b->line[n++] = b->buf[b->at++];
	}
	b->at++;
	return (long)(n && b->line[n - 1] == '\r' ? n - 1 : n);
}

/* A line of b->line; *end: it says that it is the last. */
static int run_line(struct batch *b, size_t n, bool *end)
{
	static const char *const what[] = {"", ", a finding", ", not understood", ", not reached"};
	char why[WORDS_WHY], text[256];
	struct words w;
	int code = CLI_OK;

	if (words_split(&w, b->line, n, why)) {
		code = complain(b, why);
	} else if (w.n) {
		*end = dispatch_ends(&b->cli, (int)w.n, w.word);
		if (!*end)
			code = dispatch_apart(&b->cli, (int)w.n, w.word, true);
		if (code) {
			b->line[n] = '\0';
			snprintf(text, sizeof(text), "exit code %d%s: %.180s", code,
				 code < 4 ? what[code] : "", show_plain(b->line));
			complain(b, text);
		}
	}
	words_free(&w);
	return code;
}

static int run_all(struct batch *b, bool keep_going)
{
	int code = CLI_OK, rc;
	bool end = false;
	long n;

	while (!end && (n = next_line(b)) != -ENODATA) {
		if (n >= 0)
			rc = run_line(b, (size_t)n, &end);
		else
			rc = complain(b, n == -E2BIG ? "the line is too long"
						     : strerror((int)-n));
		if (!code)
			code = rc;
		/* ^C was meant for all of it; and of a file that cannot be read no more comes. */
		if (rc && (!keep_going || rc == 128 + SIGINT || (n < 0 && n != -E2BIG)))
			break;
	}
	return code;
}

int batch_run(const struct cli *cli, const char *file, bool keep_going)
{
	bool is_stdin = !strcmp(file, "-");
	struct batch *b = calloc(1, sizeof(*b));
	int code;

	if (!b) {
		fputs("posternctl: out of memory\n", stderr);
		return CLI_UNREACHABLE;
	}
	b->cli = *cli;
	b->cli.shell = true; /* no shell and no batch inside */
	b->name = is_stdin ? "standard input" : file;
	b->fd = is_stdin ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
	if (b->fd < 0) {
		fprintf(stderr, "posternctl: %s: %s\n", file, strerror(errno));
		free(b);
		return CLI_USAGE;
	}
	code = run_all(b, keep_going);
	if (!is_stdin)
		close(b->fd);
	free(b);
	return code;
}
