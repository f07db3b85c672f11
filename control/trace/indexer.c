/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * At any time one file of the log is being read, at a place that is known to be in the database as well.
 * The file that the writer writes to (the tip) is read until nothing is there, then waited for. A file
 * that is not the tip is read to its end and left; what comes next is then looked for among all files that
 * are there, by the time of their first lines. Renames do not matter, since a file is known by its first
 * line; nor does anything that happened while nobody was looking.
 */

#include "control/trace/indexer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "control/trace/logfiles.h"
#include "control/trace/owner.h"
#include "control/trace/reader.h"
#include "control/trace/shares.h"
#include "postern/clock.h"
#include "postern/limits.h"

/* Mail goes first. */
#define NICE 10
#define RETRY_S 1
#define STOP_S 1
#define GATHER_MS 100
#define PRUNE_S 10
#define GONE 64
/* A file system with less free may be what is full, and forgetting does not help it. */
#define DISK_FREE (32u << 20)
#define BATCH_GROWTH 50u
#define SHARES_S 300
#define SHARES_SPAN_S 3600

struct indexer {
	struct indexer_options opt;
	char *log, *database;
	pthread_t thread;
	bool running;

	pthread_mutex_t lock; /* of all up to the blank line */
	pthread_cond_t wake;
	bool stop, kicked, rebuild, hurry;
	dev_t tip_dev;
	ino_t tip_ino;
	struct indexer_stats stats;
	struct logfile gone[GONE];   /* deleted by rotation, not looked at yet */
	size_t n_gone;

	/* the thread's */
	struct trace_index *index;   /* NULL: could not be opened yet */
	struct reader reader;
	bool complete;               /* the index has been given what an older version left out */
	time_t pruned_s, shares_s, stop_s;
};

/* Records older than this are not wanted. */
static int64_t horizon_ms(const struct indexer *x)
{
	return (int64_t)clock_real_ms() - (int64_t)x->opt.max_age_s * 1000;
}

static void failed(struct indexer *x, const char *why)
{
	pthread_mutex_lock(&x->lock);
	x->stats.failed++;
	snprintf(x->stats.why, sizeof(x->stats.why), "%.*s", (int)sizeof(x->stats.why) - 1, why);
	pthread_mutex_unlock(&x->lock);
}

/* Which of its files it is, if it is for the owner of one. */
static void failed_to_open(struct indexer *x, const char *why)
{
	static const char *const suffix[] = {"", "-wal", "-shm"};
	char path[4200], owner[400] = "", text[800];

	for (size_t i = 0; !owner[0] && i < sizeof(suffix) / sizeof(suffix[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", x->database, suffix[i]);
		owner_text(path, owner, sizeof(owner));
	}
	snprintf(text, sizeof(text), "%.390s%s", why, owner);
	failed(x, text);
}

static bool stopping(struct indexer *x)
{
	bool stop;

	pthread_mutex_lock(&x->lock);
	stop = x->stop;
	pthread_mutex_unlock(&x->lock);
	if (stop && !x->stop_s)
		x->stop_s = (time_t)clock_mono_s();
	return stop && (time_t)clock_mono_s() > x->stop_s + STOP_S;
}

/* With the lock. More than that while the database does not answer: nobody read them. */
static void keep_gone(struct indexer *x, const struct logfile *f)
{
	if (x->n_gone < GONE)
		x->gone[x->n_gone++] = *f;
	else
		x->stats.dropped++;
}

/* ---- the database ------------------------------------------------------------------------------- */

/* Else it is no index of ours that was damaged, but a file that somebody named by mistake. */
static bool was_database(const char *path)
{
	char magic[16] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool ok = fd >= 0 && read(fd, magic, sizeof(magic)) == (ssize_t)sizeof(magic) &&
		  !memcmp(magic, "SQLite format 3", sizeof(magic));

	if (fd >= 0)
		close(fd);
	return ok;
}

/* A damaged database is put aside, the last one of these kept for whoever wants to know. */
static void set_aside(struct indexer *x, const char *why)
{
	char from[4200], to[4200];

	trace_index_close(x->index);
	x->index = NULL;
	snprintf(to, sizeof(to), "%s.damaged", x->database);
	(void)rename(x->database, to);
	for (int i = 0; i < 2; i++) {
		snprintf(from, sizeof(from), "%s%s", x->database, i ? "-wal" : "-shm");
		(void)unlink(from);
	}
	failed(x, why);
	pthread_mutex_lock(&x->lock);
	x->stats.rebuilt++;
	pthread_mutex_unlock(&x->lock);
}

static int open_index(struct indexer *x, char *err, size_t err_len)
{
	int rc = trace_index_open(&x->index, x->database, x->opt.max_size, err, err_len);

	if (rc != -EBADMSG || !was_database(x->database))
		return rc;
	set_aside(x, err);
	return trace_index_open(&x->index, x->database, x->opt.max_size, err, err_len);
}

/* False: it did not work out, and is tried again later. */
static bool settle(struct indexer *x, int rc)
{
	char why[256];

	if (!rc)
		return true;
	/* A copy: the database's goes with it. */
	snprintf(why, sizeof(why), "%s", rc == -ENOMEM ? "out of memory" : trace_index_why(x->index));
	if (rc == -EBADMSG && was_database(x->database)) {
		set_aside(x, why);
		reader_close(&x->reader);
	} else if (rc != -EAGAIN) {
		failed(x, why);
	}
	return false;
}

static bool disk_has_room(const struct indexer *x)
{
	struct statvfs fs;

	return !statvfs(x->database, &fs) && (uint64_t)fs.f_bavail * fs.f_frsize >= DISK_FREE;
}

static bool prune(struct indexer *x)
{
	uint64_t n, all = 0, bytes;
	bool more = true;
	int rc = 0;

	for (int i = 0; more && !rc && i < 1000 && !stopping(x); i++, all += n)
		rc = trace_index_prune(x->index, horizon_ms(x), false, &n, &more);
	bytes = rc ? 0 : trace_index_bytes(x->index);
	pthread_mutex_lock(&x->lock);
	x->stats.pruned += all;
	x->stats.bytes = rc ? x->stats.bytes : bytes;
	pthread_mutex_unlock(&x->lock);
	return settle(x, rc);
}

/* Not even the smallest batch found room, whatever the counts of pages say. */
static void make_room(struct indexer *x)
{
	uint64_t n = 0;
	bool more;

	if (!disk_has_room(x) || trace_index_prune(x->index, horizon_ms(x), true, &n, &more))
		return;
	pthread_mutex_lock(&x->lock);
	x->stats.pruned += n;
	pthread_mutex_unlock(&x->lock);
}

static bool is_full(struct indexer *x)
{
	/* An eighth of what prune() leaves below the bound. */
	return trace_index_bytes(x->index) > x->opt.max_size / 16 * 15;
}

static void look_at_shares(struct indexer *x)
{
	json_t *shares, *findings;
	int rc = shares_of(x->index, (int64_t)clock_real_ms() - SHARES_SPAN_S * 1000, &shares);
	const char *text;

	findings = json_object_get(shares, "findings");
	text = json_string_value(json_object_get(json_array_get(findings, 0), "text"));
	pthread_mutex_lock(&x->lock);
	if (!rc) {
		x->stats.diverging = (unsigned int)json_array_size(findings);
		snprintf(x->stats.finding, sizeof(x->stats.finding), "%.*s", (int)sizeof(x->stats.finding) - 1,
			 text ? text : "");
	}
	pthread_mutex_unlock(&x->lock);
	json_decref(shares);
}

/* ---- reading ------------------------------------------------------------------------------------- */

/* One batch. -ENODATA: nothing is there. */
static int batch(struct indexer *x)
{
	struct reader_count n = {0};
	int rc;

	if (is_full(x) && !prune(x))
		return -EAGAIN;
	rc = reader_batch(&x->reader, x->index, horizon_ms(x), &n);
	pthread_mutex_lock(&x->lock);
	x->stats.records += n.records;
	x->stats.lines_bad += n.bad;
	x->stats.lag = reader_lag(&x->reader);
	pthread_mutex_unlock(&x->lock);
	return rc;
}

static bool is_tip(struct indexer *x)
{
	bool same;

	pthread_mutex_lock(&x->lock);
	same = x->reader.fd >= 0 && x->tip_ino && x->reader.ino == x->tip_ino && x->reader.dev == x->tip_dev;
	pthread_mutex_unlock(&x->lock);
	return same;
}

/* To the end of the file that is open. False: not now. */
static bool read_on(struct indexer *x)
{
	int rc;

	while ((rc = batch(x)) == 0 || (rc == -ENOSPC && x->reader.batch > 1)) {
		/* What prune() leaves free holds a small batch, and not any. */
		x->reader.batch = rc ? x->reader.batch / 2 : x->reader.batch + BATCH_GROWTH;
		if (x->reader.batch > READER_BATCH)
			x->reader.batch = READER_BATCH;
		if (stopping(x))
			return false;
	}
	if (rc == -ENODATA)
		return true;
	/* Not of the database: the file cannot be read. */
	if (rc == -EREMOTEIO) {
		failed(x, "a file of the log cannot be read");
		return false;
	}
	settle(x, rc);
	if (rc == -ENOSPC)
		make_room(x);
	return false;
}

/* All files, oldest first; the tip is left open. */
static bool read_all(struct indexer *x)
{
	struct logfile *list;
	long n = logfiles_list(x->log, &list);
	bool ok = n >= 0;

	if (!ok)
		failed(x, strerror((int)-n));
	for (long i = 0; ok && i < n; i++) {
		int fd = logfiles_open(x->log, &list[i]);

		if (fd < 0) {
			/* Renamed or deleted meanwhile; when it is there still, the next round finds it. */
			ok = fd == -ENOENT;
			continue;
		}
		reader_open(&x->reader, fd, list[i].key);
		ok = read_on(x);
		if (ok && !is_tip(x))
			reader_close(&x->reader);
	}
	free(list);
	return ok;
}

/* -EBUSY and others: not now. */
static int is_lost(struct indexer *x, const struct logfile *f, bool *lost)
{
	int64_t segment;
	uint64_t offset = 0;
	int rc = trace_index_begin(x->index);

	if (rc)
		return rc;
	rc = trace_index_place(x->index, f->key, &segment, &offset);
	trace_index_rollback(x->index);
	*lost = offset < f->size;
	return rc;
}

/* Of the files that rotation deleted those that were not read to their end. The one that is open still is
 * read on, whatever became of its name, and is looked at when it is closed. */
static void count_lost(struct indexer *x)
{
	struct logfile list[GONE];
	size_t n, kept = 0;
	uint64_t dropped = 0;

	pthread_mutex_lock(&x->lock);
	n = x->n_gone;
	memcpy(list, x->gone, n * sizeof(list[0]));
	x->n_gone = 0;
	pthread_mutex_unlock(&x->lock);
	for (size_t i = 0; i < n; i++) {
		bool open = x->reader.fd >= 0 && x->reader.dev == list[i].dev && x->reader.ino == list[i].ino;
		bool lost = false;

		if (open || is_lost(x, &list[i], &lost))
			list[kept++] = list[i];
		dropped += lost;
	}
	pthread_mutex_lock(&x->lock);
	for (size_t i = 0; i < kept; i++)
		keep_gone(x, &list[i]);
	x->stats.dropped += dropped;
	pthread_mutex_unlock(&x->lock);
}

static bool step(struct indexer *x)
{
	if (x->reader.fd < 0)
		return read_all(x);
	/* Emptied by whoever copies and truncates: it has another first line. */
	if (reader_truncated(&x->reader))
		reader_close(&x->reader);
	/* Asked before reading: what was written until it ceased to be the tip is read. */
	else if (is_tip(x))
		return read_on(x);
	else if (!read_on(x))
		return false;
	reader_close(&x->reader);
	return read_all(x);
}

static bool asked_to_stop(void *x)
{
	return stopping(x);
}

/* Once; what there is no room for now is there after a start with more. */
static bool complete(struct indexer *x)
{
	int rc = x->complete ? 0 : trace_index_complete(x->index, asked_to_stop, x);

	x->complete = !rc || rc == -ENOSPC;
	return x->complete || (rc != -EINTR && settle(x, rc));
}

static bool serve(struct indexer *x, bool rebuild)
{
	char err[256];

	if (!x->index && open_index(x, err, sizeof(err))) {
		failed_to_open(x, err);
		return false;
	}
	if (!complete(x))
		return false;
	if (rebuild) {
		reader_close(&x->reader);
		if (!settle(x, trace_index_reset(x->index, false)))
			return false;
		pthread_mutex_lock(&x->lock);
		x->rebuild = false;
		pthread_mutex_unlock(&x->lock);
	}
	count_lost(x);
	/* Before reading, which may fail for want of what this makes free. */
	if ((time_t)clock_mono_s() >= x->pruned_s + PRUNE_S) {
		x->pruned_s = (time_t)clock_mono_s();
		if (!prune(x))
			return false;
	}
	if (!step(x))
		return false;
	if ((time_t)clock_mono_s() >= x->shares_s + SHARES_S) {
		x->shares_s = (time_t)clock_mono_s();
		look_at_shares(x);
	}
	return true;
}

static void *work(void *arg)
{
	struct indexer *x = arg;
	bool ok = true;

	/* Linux: of this thread alone. Without it the work is merely less polite. */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	pthread_mutex_lock(&x->lock);
	for (;;) {
		bool rebuild;
		uint64_t begun;
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += ok ? PRUNE_S : RETRY_S;
		while (!x->stop && (!ok || (!x->kicked && !x->rebuild)))
			if (pthread_cond_timedwait(&x->wake, &x->lock, &until) == ETIMEDOUT)
				break;
		/* What comes within the next moment goes with it. */
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += GATHER_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		while (!x->stop && ok && !x->hurry)
			if (pthread_cond_timedwait(&x->wake, &x->lock, &until) == ETIMEDOUT)
				break;
		/* One that did not succeed a second ago is not tried at the end. */
		if (x->stop && (!ok || !x->kicked))
			break;
		x->kicked = x->hurry = false;
		x->stats.caught_up = false;
		begun = x->stats.written;
		rebuild = x->rebuild;
		pthread_mutex_unlock(&x->lock);
		ok = serve(x, rebuild);
		pthread_mutex_lock(&x->lock);
		x->stats.caught_up = ok && !x->kicked;
		if (ok) {
			x->stats.why[0] = '\0';
			x->stats.read = begun;
		}
	}
	pthread_mutex_unlock(&x->lock);
	return NULL;
}

/* ---- for others --------------------------------------------------------------------------------- */

static void destroy(struct indexer *x)
{
	reader_close(&x->reader);
	reader_free(&x->reader);
	trace_index_close(x->index);
	pthread_cond_destroy(&x->wake);
	pthread_mutex_destroy(&x->lock);
	free(x->log);
	free(x->database);
	free(x);
}

struct indexer *indexer_new(const struct indexer_options *opt, char *err, size_t err_len)
{
	struct indexer *x = calloc(1, sizeof(*x));
	int rc;

	snprintf(err, err_len, "out of memory");
	if (!x)
		return NULL;
	x->opt = *opt;
	if (x->opt.max_size < INDEX_MIN_SIZE)
		x->opt.max_size = INDEX_MIN_SIZE;
	pthread_mutex_init(&x->lock, NULL);
	pthread_cond_init(&x->wake, NULL);
	x->log = strdup(opt->log);
	x->database = strdup(opt->database);
	x->shares_s = (time_t)clock_mono_s();
	x->kicked = true;
	x->stats.written = 1; /* what earlier processes wrote */
	reader_init(&x->reader);
	if (!x->log || !x->database)
		goto fail;
	rc = open_index(x, err, err_len);
	/* Locked, no room, somebody else's: the log goes on, and so may we later. What is no index of ours is a mistake
	 * in the configuration. */
	if (rc == -EBADMSG || rc == -EEXIST || rc == -ENOMEM)
		goto fail;
	if (rc)
		failed_to_open(x, err);
	rc = pthread_create(&x->thread, NULL, work, x);
	if (!rc)
		return x;
	snprintf(err, err_len, "%s", strerror(rc));
fail:
	destroy(x);
	return NULL;
}

void indexer_free(struct indexer *x)
{
	if (!x)
		return;
	pthread_mutex_lock(&x->lock);
	x->stop = true;
	pthread_cond_signal(&x->wake);
	pthread_mutex_unlock(&x->lock);
	pthread_join(x->thread, NULL);
	destroy(x);
}

void indexer_kick(struct indexer *x)
{
	pthread_mutex_lock(&x->lock);
	/* Who gathers is not woken for each record. */
	if (!x->kicked)
		pthread_cond_signal(&x->wake);
	x->kicked = true;
	x->stats.written++;
	x->stats.caught_up = false;
	pthread_mutex_unlock(&x->lock);
}

void indexer_hurry(struct indexer *x)
{
	pthread_mutex_lock(&x->lock);
	x->hurry = true;
	pthread_cond_signal(&x->wake);
	pthread_mutex_unlock(&x->lock);
}

void indexer_tip(struct indexer *x, const struct stat *now)
{
	pthread_mutex_lock(&x->lock);
	x->tip_dev = now->st_dev;
	x->tip_ino = now->st_ino;
	x->kicked = true;
	x->stats.caught_up = false;
	pthread_cond_signal(&x->wake);
	pthread_mutex_unlock(&x->lock);
}

void indexer_gone(struct indexer *x, const struct logfile *f)
{
	pthread_mutex_lock(&x->lock);
	keep_gone(x, f);
	pthread_mutex_unlock(&x->lock);
}

void indexer_rebuild(struct indexer *x)
{
	pthread_mutex_lock(&x->lock);
	x->rebuild = true;
	x->stats.written++;
	x->stats.caught_up = false;
	pthread_cond_signal(&x->wake);
	pthread_mutex_unlock(&x->lock);
}

void indexer_stats(struct indexer *x, struct indexer_stats *out)
{
	pthread_mutex_lock(&x->lock);
	*out = x->stats;
	pthread_mutex_unlock(&x->lock);
}
