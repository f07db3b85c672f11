/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The event loop appends lines to a buffer in memory; a thread writes it out. The buffer is bounded:
 * a disk that stands still costs records, not mail. The newest lines are kept for queries, in a ring
 * that only the loop's thread touches.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/mail/mail.h"
#include "control/rfc3339.h"
#include "control/trace/facts.h"
#include "control/trace/indexer.h"
#include "control/trace/owner.h"
#include "control/trace/trace.h"
#include "postern/clock.h"
#include "postern/limits.h"
#include "postern/stats.h"

#define BUFFER_MAX (16u * 1024 * 1024)
#define KEEP_DEFAULT 1000
#define LINGER_MS 5

struct buffer {
	char *p;
	size_t len, cap;
	size_t records;
};

struct kept {
	char *line;
	size_t n;
};

struct trace {
	struct trace_options opt;
	char *path, *index_path;
	uint64_t *counters;
	struct kept *kept;     /* ring; [next - 1] is the newest */
	size_t keep, next, n_kept;
	struct indexer *indexer; /* NULL: there is no index */
	uint64_t alerted_s, index_alerted_s, diverging_s, retry_s;
	bool missing;          /* no file could be opened yet */
	int missing_why;       /* an errno; not written to by anybody once the writer runs */
	trace_listener *listener; /* NULL: nobody */
	void *listener_arg;

	pthread_t writer;
	pthread_mutex_t lock;  /* of all up to the blank line */
	pthread_cond_t wake;
	struct buffer filling;
	size_t failed;         /* records the writer could not write, not counted yet */
	uint64_t rotated, rotate_failed;
	int next_fd;           /* opened anew, for the writer to go over to; -1: none */
	int error;             /* of the last write; 0: it went well */
	bool stop, writing;
	bool idle;             /* the writer waits for a line */

	/* the writer's */
	int fd;
	uint64_t size;         /* of the file */
};

const char *trace_outcome_name(enum trace_outcome o)
{
	static const char *const name[] = {"delivered",	  "rejected",  "deferred",
					   "quarantined", "discarded", "aborted",
					   "observed",	  "unjudged"};

	return name[o];
}

enum trace_outcome trace_outcome_of(const char *name)
{
	int o = 0;

	while (o < TRACE_OUTCOMES && (!name || strcmp(name, trace_outcome_name((enum trace_outcome)o))))
		o++;
	return (enum trace_outcome)o;
}

/* ---- the writer --------------------------------------------------------------------------------- */

static int open_file(const char *path)
{
	int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);

	return fd < 0 ? -errno : fd;
}

/* The writer's file from now on. A line that nobody finished, since a process or the machine died, is
 * ended here: it must not spoil the next one. */
static void take_file(struct trace *t, int fd)
{
	struct stat st = {0};
	char last = '\n';

	t->fd = fd;
	(void)fstat(fd, &st);
	t->size = (uint64_t)st.st_size;
	if (st.st_size && pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n' &&
	    write(fd, "\n", 1) == 1)
		t->size++;
	if (t->indexer)
		indexer_tip(t->indexer, &st);
}

/* 0 or an errno. *done: octets that were written. */
static int write_all(int fd, const char *p, size_t n, size_t *done)
{
	*done = 0;
	while (*done < n) {
		ssize_t k = write(fd, p + *done, n - *done);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? errno : EIO;
		*done += (size_t)k;
	}
	return 0;
}

/* How many records did not make it. Of one that was cut in the middle nothing stays. */
static size_t write_buffer(struct trace *t, const struct buffer *b, int *error)
{
	size_t done, whole, lost = b->records;
	struct stat st;

	*error = t->missing_why;
	if (t->fd < 0)
		return lost;
	/* Somebody may have emptied it meanwhile. */
	if (!fstat(t->fd, &st))
		t->size = (uint64_t)st.st_size;
	*error = write_all(t->fd, b->p, b->len, &done);
	whole = done;
	while (whole && b->p[whole - 1] != '\n')
		whole--;
	for (size_t i = 0; i < whole; i++)
		lost -= b->p[i] == '\n';
	if (whole < done && ftruncate(t->fd, (off_t)(t->size + whole)))
		/* Then it is ended, and is no record. */
		whole = done + (write(t->fd, "\n", 1) == 1);
	t->size += whole;
	return lost;
}

static void name_of(const struct trace *t, unsigned int i, char *out, size_t cap)
{
	if (i)
		snprintf(out, cap, "%s.%u", t->path, i);
	else
		snprintf(out, cap, "%s", t->path);
}

/* FILE.1 becomes FILE.2, and so on; FILE becomes FILE.1. When that does not work FILE goes on growing. */
static bool rotate(struct trace *t)
{
	char from[4200], to[4200];
	struct logfile last;
	bool had;
	int fd;

	/* What goes for good: the one that another takes the place of. */
	name_of(t, t->opt.files, to, sizeof(to));
	had = t->indexer && logfiles_look(to, &last);
	for (unsigned int i = t->opt.files; i--;) {
		name_of(t, i, from, sizeof(from));
		name_of(t, i + 1, to, sizeof(to));
		if (!rename(from, to)) {
			if (had && i + 1 == t->opt.files)
				indexer_gone(t->indexer, &last);
		} else if (errno != ENOENT || !i) {
			return false;
		}
	}
	if (!t->opt.files && unlink(t->path))
		return false;
	if (!t->opt.files && had)
		indexer_gone(t->indexer, &last);
	fd = open_file(t->path);
	if (fd < 0)
		return false;
	close(t->fd);
	take_file(t, fd);
	return true;
}

/* Lines that come meanwhile are written together: under load the event loop wakes nobody for a single one. */
static void linger(struct trace *t)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LINGER_MS * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (!t->stop && t->next_fd < 0)
		if (pthread_cond_timedwait(&t->wake, &t->lock, &until))
			return;
}

static void *writer(void *arg)
{
	struct trace *t = arg;
	struct buffer b = {0};

	pthread_mutex_lock(&t->lock);
	for (;;) {
		struct buffer swap;
		bool due, rotated;
		size_t lost;
		int error, fd;

		linger(t);
		while (!t->filling.len && !t->stop && t->next_fd < 0) {
			t->idle = true;
			pthread_cond_wait(&t->wake, &t->lock);
			t->idle = false;
		}
		fd = t->next_fd;
		t->next_fd = -1;
		if (!t->filling.len && fd < 0)
			break;
		swap = t->filling;
		t->filling = b;
		t->filling.len = t->filling.records = 0;
		b = swap;
		t->writing = true;
		pthread_mutex_unlock(&t->lock);
		if (fd >= 0) {
			if (t->fd >= 0)
				close(t->fd);
			take_file(t, fd);
		}
		lost = b.len ? write_buffer(t, &b, &error) : (error = 0);
		due = t->opt.file_size && t->size >= t->opt.file_size;
		if (t->indexer)
			indexer_kick(t->indexer);
		rotated = due && rotate(t);
		pthread_mutex_lock(&t->lock);
		t->writing = false;
		t->failed += lost;
		t->error = error;
		t->rotated += rotated;
		t->rotate_failed += due && !rotated;
	}
	pthread_mutex_unlock(&t->lock);
	free(b.p);
	return NULL;
}

/* ---- life --------------------------------------------------------------------------------------- */

static void destroy(struct trace *t)
{
	if (!t)
		return;
	if (t->fd >= 0)
		close(t->fd);
	if (t->next_fd >= 0)
		close(t->next_fd);
	indexer_free(t->indexer);
	for (size_t i = 0; t->kept && i < t->keep; i++)
		free(t->kept[i].line);
	pthread_cond_destroy(&t->wake);
	pthread_mutex_destroy(&t->lock);
	free(t->filling.p);
	free(t->kept);
	free(t->path);
	free(t->index_path);
	free(t);
}

static bool start_index(struct trace *t, char *err, size_t err_len)
{
	struct indexer_options opt = {t->path, t->index_path, t->opt.index_size, t->opt.index_age_s};

	if (!t->index_path)
		return true;
	t->indexer = indexer_new(&opt, err, err_len);
	return t->indexer != NULL;
}

struct trace *trace_new(const struct trace_options *opt, uint64_t *counters, char *err, size_t err_len)
{
	struct trace *t = calloc(1, sizeof(*t));
	pthread_condattr_t monotonic;
	int rc, fd;

	snprintf(err, err_len, "out of memory");
	if (!t)
		return NULL;
	t->opt = *opt;
	t->counters = counters;
	t->keep = opt->keep ? opt->keep : KEEP_DEFAULT;
	t->path = strdup(opt->file);
	t->index_path = opt->index ? strdup(opt->index) : NULL;
	t->kept = calloc(t->keep, sizeof(*t->kept));
	t->fd = t->next_fd = -1;
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&t->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (!t->path || !t->kept || (opt->index && !t->index_path))
		goto fail;
	fd = open_file(t->path);
	/* Mail goes before its trace: what belongs to somebody else, or lies in a directory that is not there, is told
	 * of and tried again. */
	t->missing = fd < 0;
	t->missing_why = t->error = fd < 0 ? -fd : 0;
	t->retry_s = clock_mono_s() + LIMIT_ALERT_S;
	t->fd = fd < 0 ? -1 : fd;
	if (!start_index(t, err, err_len))
		goto fail;
	if (fd >= 0)
		take_file(t, fd);
	rc = pthread_create(&t->writer, NULL, writer, t);
	if (!rc)
		return t;
	snprintf(err, err_len, "%s", strerror(rc));
fail:
	destroy(t);
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
	destroy(t);
}

int trace_reopen(struct trace *t)
{
	int fd = open_file(t->path), old;

	if (fd < 0)
		return fd;
	pthread_mutex_lock(&t->lock);
	/* The writer goes over between two of its writes, so that no line is torn. */
	old = t->next_fd;
	t->next_fd = fd;
	if (t->missing)
		t->error = 0;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	t->missing = false;
	if (old >= 0)
		close(old);
	return 0;
}

/* ---- what is told of it ------------------------------------------------------------------------- */

/* Why records are not written, "" if they are. */
static void file_error(struct trace *t, char *out, size_t cap)
{
	char owner[512] = "";
	int error;

	pthread_mutex_lock(&t->lock);
	error = t->error;
	pthread_mutex_unlock(&t->lock);
	out[0] = '\0';
	if (!error)
		return;
	if (t->missing)
		owner_text(t->path, owner, sizeof(owner));
	snprintf(out, cap, "%.400s cannot be %s: %s%s", t->path, t->missing ? "opened" : "written", strerror(error), owner);
}

static void count_index(struct trace *t, const struct indexer_stats *s)
{
	t->counters[CTL_trace_indexed] = s->records;
	t->counters[CTL_trace_index_bad] = s->lines_bad;
	t->counters[CTL_trace_index_failed] = s->failed;
	t->counters[CTL_trace_index_dropped] = s->dropped;
	t->counters[CTL_trace_index_pruned] = s->pruned;
	t->counters[CTL_trace_index_rebuilt] = s->rebuilt;
	t->counters[CTL_trace_index_lag_bytes] = s->lag;
	t->counters[CTL_trace_index_bytes] = s->bytes;
	t->counters[CTL_trace_shares_diverging] = s->diverging;
}

static bool due(uint64_t *last_s, uint64_t now, uint64_t every_s)
{
	if (*last_s && now < *last_s + every_s)
		return false;
	*last_s = now;
	return true;
}

void trace_second(struct trace *t, trace_alert *alert)
{
	struct indexer_stats s = {0};
	uint64_t now = clock_mono_s();
	char text[2048], file[1024];

	if (t->missing && now >= t->retry_s) {
		t->retry_s = now + LIMIT_ALERT_S;
		(void)trace_reopen(t);
	}
	if (t->indexer) {
		indexer_stats(t->indexer, &s);
		count_index(t, &s);
	}
	pthread_mutex_lock(&t->lock);
	t->counters[CTL_trace_failed] += t->failed;
	t->failed = 0;
	t->counters[CTL_trace_rotated] = t->rotated;
	t->counters[CTL_trace_rotate_failed] = t->rotate_failed;
	pthread_mutex_unlock(&t->lock);
	file_error(t, file, sizeof(file));
	if (file[0] && due(&t->alerted_s, now, LIMIT_ALERT_S)) {
		snprintf(text, sizeof(text), "trace: %s; mail goes on without records", file);
		alert(text);
	}
	if (s.why[0] && due(&t->index_alerted_s, now, LIMIT_ALERT_S)) {
		/* Of one that cannot be opened nobody knows. */
		if (s.lag)
			snprintf(text, sizeof(text), "trace: index: %s; it is behind its log by %llu octets, and mail goes on",
				 s.why, (unsigned long long)s.lag);
		else
			snprintf(text, sizeof(text), "trace: index: %s; it is not written, and mail goes on", s.why);
		alert(text);
	}
	if (s.finding[0] && due(&t->diverging_s, now, LIMIT_SHARES_ALERT_S)) {
		snprintf(text, sizeof(text), "verdicts differ by the way that mail goes: %s (posternctl trace "
			 "shares)", s.finding);
		alert(text);
	}
}

json_t *trace_status(struct trace *t)
{
	struct indexer_stats s = {0};
	char file[1024];
	json_t *o;
	unsigned int pending;

	file_error(t, file, sizeof(file));
	o = json_pack("{s:o, s:o, s:o}", "file", trace_text(str_c(t->path)), "file_error",
		      file[0] ? trace_text(str_c(file)) : json_null(), "index",
		      t->index_path ? trace_text(str_c(t->index_path)) : json_null());
	if (!t->indexer)
		return o;
	pthread_mutex_lock(&t->lock);
	/* Each is told the index when it is in the file. Looked at first: one time too many is caught up with. */
	pending = (t->filling.len != 0) + t->writing;
	pthread_mutex_unlock(&t->lock);
	indexer_stats(t->indexer, &s);
	json_object_update_new(o, json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "caught_up",
		s.caught_up && !pending, "written", (json_int_t)(s.written + pending), "read", (json_int_t)s.read,
		"records", (json_int_t)s.records, "lag_bytes", (json_int_t)s.lag, "bytes",
		(json_int_t)s.bytes, "failed", (json_int_t)s.failed, "dropped", (json_int_t)s.dropped, "pruned",
		(json_int_t)s.pruned, "rebuilt", (json_int_t)s.rebuilt, "index_error", s.why[0] ?
		trace_text(str_c(s.why)) : json_null()));
	return o;
}

void trace_hurry(struct trace *t)
{
	if (t->indexer)
		indexer_hurry(t->indexer);
}

int trace_reindex(struct trace *t)
{
	if (!t->indexer)
		return -ENOENT;
	indexer_rebuild(t->indexer);
	return 0;
}

/* ---- records ------------------------------------------------------------------------------------ */

void trace_begin(struct json_out *o)
{
	char now[RFC3339];

	json_out_open(o, NULL);
	json_out_string(o, "time", rfc3339_ms(clock_real_ms(), now));
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

/* Among the newest, for who asks. */
static void keep(struct trace *t, const char *line, size_t n)
{
	struct kept *k = &t->kept[t->next];
	char *copy = malloc(n);

	if (!copy)
		return;
	memcpy(copy, line, n);
	free(k->line);
	*k = (struct kept){copy, n};
	t->next = (t->next + 1) % t->keep;
	if (t->n_kept < t->keep)
		t->n_kept++;
}

void trace_write_line(struct trace *t, const char *line, size_t n)
{
	bool ok;

	if (t->listener)
		t->listener(t->listener_arg, line, n);
	pthread_mutex_lock(&t->lock);
	ok = append(t, line, n);
	t->counters[CTL_trace_failed] += t->failed;
	t->failed = 0;
	if (t->idle)
		pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	t->counters[ok ? CTL_trace_records : CTL_trace_failed]++;
	keep(t, line, n);
}

void trace_end(struct trace *t, struct json_out *o)
{
	json_out_close(o);
	if (o->failed)
		t->counters[CTL_trace_failed]++;
	else
		trace_write_line(t, o->p, o->n);
	json_out_free(o);
}

void trace_write(struct trace *t, json_t *record)
{
	struct json_out o = {0};

	if (json_object_get(record, "time"))
		json_out_open(&o, NULL);
	else
		trace_begin(&o);
	json_out_members(&o, record);
	trace_end(t, &o);
}

void trace_on_record(struct trace *t, trace_listener *cb, void *arg)
{
	t->listener = cb;
	t->listener_arg = arg;
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

/* Lines are read only until enough are found; one that does not even have the id in it is not. */
static bool may_match(const struct kept *k, const struct trace_query *q)
{
	struct str id = str_c(q->trace_id), line = str_make(k->line, k->n);

	for (size_t at = 0; id.n && at + id.n <= line.n; at++)
		if (ascii_lower(line.p[at]) == ascii_lower(id.p[0]) && str_istarts(str_skip(line, at), id))
			return true;
	return !id.n;
}

json_t *trace_find(struct trace *t, const struct trace_query *q)
{
	json_t *found = json_array();

	for (size_t i = 0; i < t->n_kept && json_array_size(found) < q->limit; i++) {
		const struct kept *k = &t->kept[(t->next + t->keep - 1 - i) % t->keep];
		json_t *r = may_match(k, q) ? json_loadb(k->line, k->n, 0, NULL) : NULL;

		if (r && matches(r, q))
			json_array_append(found, r);
		json_decref(r);
	}
	return found;
}
