/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/trace/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/trace/logfiles.h"

#define FIRST_BUFFER (2u * 1024 * 1024)

void reader_init(struct reader *r)
{
	*r = (struct reader){.fd = -1, .batch = READER_BATCH};
}

void reader_open(struct reader *r, int fd, uint64_t key)
{
	struct stat st = {0};

	reader_close(r);
	r->fd = fd;
	(void)fstat(fd, &st); /* zeros are no file, and no tip */
	r->dev = st.st_dev;
	r->ino = st.st_ino;
	r->key = key;
	r->at = 0; /* the first batch asks the index */
}

void reader_close(struct reader *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

void reader_free(struct reader *r)
{
	free(r->buf);
	r->buf = NULL;
	r->cap = 0;
}

bool reader_truncated(const struct reader *r)
{
	struct stat st;

	return r->fd >= 0 && !fstat(r->fd, &st) && (uint64_t)st.st_size < r->at;
}

uint64_t reader_lag(const struct reader *r)
{
	struct stat st;

	if (r->fd < 0 || fstat(r->fd, &st) || (uint64_t)st.st_size < r->at)
		return 0;
	return (uint64_t)st.st_size - r->at;
}

static int grow(struct reader *r)
{
	size_t cap = r->cap ? r->cap * 2 : FIRST_BUFFER;
	char *p = realloc(r->buf, cap);

	if (!p)
		return -ENOMEM;
	r->buf = p;
	r->cap = cap;
	return 0;
}

/* Octets from r->at on with a whole line among them, 0 if there is none. A line that is too long is what is
 * in the buffer, and counts as one. */
static ssize_t fill(struct reader *r)
{
	for (;;) {
		ssize_t n;

		if (!r->cap && grow(r))
			return -ENOMEM;
		n = pread(r->fd, r->buf, r->cap, (off_t)r->at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -EREMOTEIO;
		if (memchr(r->buf, '\n', (size_t)n))
			return n;
		if ((size_t)n < r->cap)
			return 0;
		if (r->cap >= LOGFILES_LINE)
			return n;
		if (grow(r))
			return -ENOMEM;
	}
}

static int one(struct reader *r, struct trace_index *x, int64_t segment, size_t off, size_t n,
	       int64_t horizon_ms, struct reader_count *count)
{
	struct row row;
	int rc = 0;

	if (!n)
		return 0;
	if (!row_read(&row, r->buf + off, n))
		count->bad++;
	else if (row.time_ms >= horizon_ms) {
		rc = trace_index_put(x, &row, segment, r->at + off, n);
		count->records += !rc;
	}
	return rc;
}

static int lines(struct reader *r, struct trace_index *x, int64_t segment, size_t n, int64_t horizon_ms,
		 size_t *done, struct reader_count *count)
{
	int rc = 0;

	*done = 0;
	for (unsigned int i = 0; !rc && i < r->batch && *done < n; i++) {
		const char *end = memchr(r->buf + *done, '\n', n - *done);
		size_t len;

		if (!end && *done)
			break; /* the rest of it comes with the next */
		len = end ? (size_t)(end - (r->buf + *done)) : n;
		rc = end ? one(r, x, segment, *done, len, horizon_ms, count) : 0;
		count->bad += !end;
		*done += len + (end != NULL);
	}
	return rc;
}

int reader_batch(struct reader *r, struct trace_index *x, int64_t horizon_ms, struct reader_count *count)
{
	int64_t segment;
	size_t done = 0;
	ssize_t n;
	int rc;

	/* Nothing new: no transaction. */
	if (r->at && !reader_lag(r))
		return -ENODATA;
	rc = trace_index_begin(x);
	if (rc)
		return rc;
	/* Within the transaction: nobody else puts the same lines there meanwhile. */
	rc = trace_index_place(x, r->key, &segment, &r->at);
	if (rc)
		goto out;
	n = fill(r);
	rc = n < 0 ? (int)n : n ? 0 : -ENODATA;
	if (!rc)
		rc = lines(r, x, segment, (size_t)n, horizon_ms, &done, count);
	if (!rc)
		rc = trace_index_placed(x, segment, r->at + done);
	if (!rc)
		rc = trace_index_commit(x);
	if (!rc) {
		r->at += done;
		return 0;
	}
out:
	trace_index_rollback(x);
	if (rc != -ENODATA)
		*count = (struct reader_count){0};
	return rc;
}
