/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The event loop appends lines to a buffer in memory; a thread writes it out. The buffer is bounded:
 * a disk that stands still costs records, not mail. The newest records are kept for queries, in a
 * ring of references that only the loop's thread touches.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "control/mail/mail.h"
#include "control/trace/trace.h"
#include "postern/limits.h"
#include "postern/stats.h"

#define BUFFER_MAX (16u * 1024 * 1024)
#define KEEP_DEFAULT 10000

struct buffer {
	char *p;
	size_t len, cap;
	size_t records;
};

struct trace {
	char *path;
	uint64_t *counters;
	json_t **kept;         /* ring; [next - 1] is the newest */
	size_t keep, next, n_kept;

	pthread_t writer;
	pthread_mutex_t lock;  /* of all below */
	pthread_cond_t wake;
	struct buffer filling;
	size_t failed;         /* records the writer could not write, not counted yet */
	int fd;
	bool stop;
};

const char *trace_outcome_name(enum trace_outcome o)
{
	static const char *const name[] = {"delivered",	  "rejected",  "deferred",
					   "quarantined", "discarded", "aborted",
					   "observed",	  "unjudged"};

	return name[o];
}

static bool write_all(int fd, const char *p, size_t n)
{
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

static void *writer(void *arg)
{
	struct trace *t = arg;
	struct buffer b = {0};

	pthread_mutex_lock(&t->lock);
	for (;;) {
		struct buffer swap;
		int fd;
		bool ok;

		while (!t->filling.len && !t->stop)
			pthread_cond_wait(&t->wake, &t->lock);
		if (!t->filling.len)
			break;
		swap = t->filling;
		t->filling = b;
		t->filling.len = t->filling.records = 0;
		b = swap;
		fd = t->fd;
		pthread_mutex_unlock(&t->lock);
		ok = write_all(fd, b.p, b.len);
		pthread_mutex_lock(&t->lock);
		if (!ok)
			t->failed += b.records;
		if (fd != t->fd) /* reopened meanwhile: this one is ours to close */
			close(fd);
	}
	pthread_mutex_unlock(&t->lock);
	free(b.p);
	return NULL;
}

static int open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);

	return fd < 0 ? -errno : fd;
}

struct trace *trace_new(const char *path, size_t keep, uint64_t *counters, char *err, size_t err_len)
{
	struct trace *t = calloc(1, sizeof(*t));
	int rc = ENOMEM;

	if (!t)
		goto fail;
	t->counters = counters;
	t->keep = keep ? keep : KEEP_DEFAULT;
	t->path = strdup(path);
	t->kept = calloc(t->keep, sizeof(*t->kept));
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->wake, NULL);
	t->fd = open_file(path);
	if (t->fd < 0)
		rc = -t->fd;
	if (t->fd < 0 || !t->path || !t->kept)
		goto fail;
	rc = pthread_create(&t->writer, NULL, writer, t);
	if (!rc)
		return t;
	close(t->fd);
fail:
	snprintf(err, err_len, "%s", strerror(rc));
	if (t) {
		free(t->path);
		free(t->kept);
	}
	free(t);
	return NULL;
}

void trace_free(struct trace *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->writer, NULL);
	close(t->fd);
	for (size_t i = 0; i < t->keep; i++)
		json_decref(t->kept[i]);
	pthread_cond_destroy(&t->wake);
	pthread_mutex_destroy(&t->lock);
	free(t->filling.p);
	free(t->kept);
	free(t->path);
	free(t);
}

int trace_reopen(struct trace *t)
{
	int fd = open_file(t->path), old;

	if (fd < 0)
		return fd;
	pthread_mutex_lock(&t->lock);
	old = t->fd;
	/* dup3 keeps the number that a write under way uses: it ends in the old file or the new. */
	dup3(fd, old, O_CLOEXEC);
	pthread_mutex_unlock(&t->lock);
	close(fd);
	return 0;
}

static void stamp(json_t *record)
{
	struct timespec ts;
	struct tm tm;
	char day[32], text[48];

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%03ldZ", day, ts.tv_nsec / 1000000);
	json_object_set_new(record, "time", json_string(text));
}

/* True when the line is on its way. */
static bool append(struct trace *t, const char *line, size_t n)
{
	struct buffer *b = &t->filling;
	bool ok = b->len + n + 1 <= BUFFER_MAX;

	if (ok && b->len + n + 1 > b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 64 * 1024;
		char *p;

		while (cap < b->len + n + 1)
			cap *= 2;
		p = realloc(b->p, cap);
		ok = p != NULL;
		if (ok) {
			b->p = p;
			b->cap = cap;
		}
	}
	if (ok) {
		memcpy(b->p + b->len, line, n);
		b->p[b->len + n] = '\n';
		b->len += n + 1;
		b->records++;
	}
	return ok;
}

void trace_write(struct trace *t, json_t *record)
{
	char *line;
	bool ok = false;

	if (!record) {
		t->counters[CTL_trace_failed]++;
		return;
	}
	if (!json_object_get(record, "time"))
		stamp(record);
	line = json_dumps(record, JSON_COMPACT);
	pthread_mutex_lock(&t->lock);
	if (line)
		ok = append(t, line, strlen(line));
	t->counters[CTL_trace_failed] += t->failed;
	t->failed = 0;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	free(line);
	t->counters[ok ? CTL_trace_records : CTL_trace_failed]++;
	json_decref(t->kept[t->next]);
	t->kept[t->next] = record;
	t->next = (t->next + 1) % t->keep;
	if (t->n_kept < t->keep)
		t->n_kept++;
}

/* ---- query ---------------------------------------------------------------------------------------- */

static bool same(const json_t *record, const char *member, const char *want)
{
	const char *have;

	if (!want)
		return true;
	have = json_string_value(json_object_get(record, member));
	return have && !strcasecmp(have, want);
}

/* "@example.com" asks for a domain, anything else for the whole address. U-labels and A-labels are
 * the same domain. */
static bool same_address(const json_t *record, const char *member, const char *want)
{
	const char *v = json_string_value(json_object_get(record, member));
	uint8_t buf[2][LIMIT_PATH + MAIL_ALABEL];
	struct str have, w;

	if (!want || !v)
		return !want;
	have = mailbox_alabel(str_c(v), buf[0], sizeof(buf[0]));
	w = mailbox_alabel(str_c(want), buf[1], sizeof(buf[1]));
	if (want[0] == '@')
		have = str_skip(have, (size_t)(mailbox_domain(have).n ? mailbox_local(have).n : have.n));
	return str_ieq(have, w);
}

static bool matches(const json_t *r, const struct trace_query *q)
{
	const char *id = json_string_value(json_object_get(r, "message_id"));

	return same(r, "trace_id", q->trace_id) &&
	       (!q->message_id || (id && !strcmp(id, q->message_id))) &&
	       same_address(r, "mail_from", q->mail_from) && same_address(r, "rcpt", q->rcpt) &&
	       same(r, "origin", q->origin) && same(r, "outcome", q->outcome);
}

json_t *trace_find(struct trace *t, const struct trace_query *q)
{
	json_t *found = json_array();

	for (size_t i = 0; i < t->n_kept && json_array_size(found) < q->limit; i++) {
		json_t *r = t->kept[(t->next + t->keep - 1 - i) % t->keep];

		if (matches(r, q))
			json_array_append(found, r);
	}
	return found;
}
