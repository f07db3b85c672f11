/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Queue to the thread, results back through an eventfd. Puts that wait together share one sync of
 * the directory and one commit: under load a disk that takes 10 ms for a sync still takes hundreds of
 * messages a second.
 */

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "control/quarantine/internal.h"
#include "postern/clock.h"
#include "postern/limits.h"

enum op { OP_PUT, OP_GET, OP_DELETE, OP_RELEASE, OP_LIST };

struct job {
	TAILQ_ENTRY(job) link;
	enum op op;
	quarantine_callback *cb;
	void *arg;
	char id[QUARANTINE_ID + 1];
	const struct quarantine_message *put;
	uint8_t *rcpts; /* release, owned */
	size_t n_rcpts;
	char *rcpt, *mail_from; /* filter, owned */
	size_t limit;

	int error;
	char why[160];
	struct got *got;
	json_t *list;
};
TAILQ_HEAD(job_list, job);

/* A message as get() gives it; `message` is first, so that it is found from there. */
struct got {
	struct quarantine_message message;
	struct iovec iov;
	void *memory; /* of the message's strings */
	bool kept;    /* the caller frees it */
};

struct quarantine {
	struct event *readable;
	int fd; /* eventfd: something is in `done` */
	pthread_t thread;

	pthread_mutex_t lock; /* of all up to the blank line */
	pthread_cond_t wake;
	struct job_list todo, done;
	bool stopping;
	uint64_t max_bytes, min_free;
	unsigned int max_age_s;
	struct quarantine_stats stats;

	/* the thread's */
	struct store store;
	struct index index;
	uint64_t messages, bytes;
};

bool quarantine_id_valid(const char *id)
{
	return strlen(id) == QUARANTINE_ID &&
	       strspn(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == QUARANTINE_ID;
}

void quarantine_message_free(struct quarantine_message *m)
{
	struct got *g = (struct got *)m;

	if (!g)
		return;
	free(g->iov.iov_base);
	free(g->memory);
	free(g);
}

struct quarantine_message *quarantine_keep(const struct quarantine_answer *a)
{
	struct got *g = (struct got *)a->message;

	g->kept = true;
	return a->message;
}

static void job_free(struct job *j)
{
	free(j->rcpts);
	free(j->rcpt);
	free(j->mail_from);
	if (j->got && !j->got->kept)
		quarantine_message_free(&j->got->message);
	json_decref(j->list);
	free(j);
}

/* ---- the thread ------------------------------------------------------------------------------- */

static void failed(struct quarantine *q, struct job *j, int error, const char *where)
{
	const char *db = index_why(&q->index);

	j->error = error;
	if (strcmp(where, "index") == 0 && error != -ENOENT && error != -EEXIST)
		snprintf(j->why, sizeof(j->why), "index: %s", db);
	else
		snprintf(j->why, sizeof(j->why), "%s: %s", where, strerror(-error));
}

/* Is there room for so much? The file system may fill up all the same, and then writing says so. */
static int room(struct quarantine *q, const struct job *j, uint64_t pending)
{
	uint64_t size = j->put->content.size, there, max, keep;
	int rc = store_free_bytes(&q->store, &there);

	pthread_mutex_lock(&q->lock);
	max = q->max_bytes;
	keep = q->min_free;
	pthread_mutex_unlock(&q->lock);
	if (rc)
		return rc;
	if (max && (size > max || q->bytes + pending > max - size))
		return -EDQUOT;
	return there < keep || there - keep < size ? -ENOSPC : 0;
}

/* Files first, then their names, then the index: what has a row is there. */
static void put_batch(struct quarantine *q, struct job_list *batch)
{
	uint64_t pending = 0, n = 0;
	struct job *j;
	int rc;

	TAILQ_FOREACH(j, batch, link) {
		rc = room(q, j, pending);
		if (!rc)
			rc = store_write(&q->store, j->id, &j->put->content);
		if (rc) {
			failed(q, j, rc == -EDQUOT ? -ENOSPC : rc,
			       rc == -EDQUOT ? "max-size reached" : "message file");
			continue;
		}
		pending += j->put->content.size;
	}
	rc = store_sync(&q->store);
	if (!rc)
		rc = index_begin(&q->index);
	TAILQ_FOREACH(j, batch, link) {
		int own = j->error;

		if (own)
			continue;
		own = rc ? rc : index_put(&q->index, j->put);
		if (own) {
			failed(q, j, own, "index");
			/* EEXIST cannot come: the file's name was free. */
			store_unlink(&q->store, j->id);
			pending -= j->put->content.size;
			/* With no room for a row SQLite may give up all that were put before, and the
			 * next would stand by itself, whatever its client hears. */
			if (!rc && !index_in_transaction(&q->index))
				rc = own;
			continue;
		}
		n++;
	}
	if (!rc)
		rc = index_commit(&q->index);
	if (!rc) {
		q->messages += n;
		q->bytes += pending;
		return;
	}
	TAILQ_FOREACH(j, batch, link)
		if (!j->error) {
			failed(q, j, rc, "index");
			store_unlink(&q->store, j->id);
		}
	index_rollback(&q->index);
}

/* The row first: without it the file is nobody's, and the next start removes it. */
static int drop(struct quarantine *q, const char *id)
{
	uint64_t size = 0;
	int rc = index_delete(&q->index, id, &size);

	if (rc)
		return rc;
	store_unlink(&q->store, id);
	q->messages--;
	q->bytes -= size < q->bytes ? size : q->bytes;
	return 0;
}

static void release(struct quarantine *q, struct job *j)
{
	size_t left = 0;
	int rc = index_release(&q->index, j->id, j->rcpts, j->n_rcpts, &left);

	if (!rc && !left)
		rc = drop(q, j->id);
	if (rc)
		failed(q, j, rc, "index");
}

static void get(struct quarantine *q, struct job *j)
{
	struct got *g = j->got = calloc(1, sizeof(*g));
	uint8_t *data = NULL;
	int rc;

	if (!g) {
		failed(q, j, -ENOMEM, "message");
		return;
	}
	rc = index_get(&q->index, j->id, &g->message, &g->memory);
	if (rc) {
		failed(q, j, rc, "index");
		return;
	}
	rc = store_read(&q->store, j->id, g->message.content.size, &data);
	if (rc == -ENOENT) {
		/* Not to be taken for a message that is not there: this one was acknowledged. */
		j->error = -ESTALE;
		snprintf(j->why, sizeof(j->why), "message file: held/%s.eml is gone", j->id);
		return;
	}
	if (rc) {
		failed(q, j, rc, "message file");
		return;
	}
	g->iov = (struct iovec){data, g->message.content.size};
	g->message.content.iov = &g->iov;
	g->message.content.n_iov = 1;
}

static void one(struct quarantine *q, struct job *j)
{
	struct quarantine_filter f = {j->rcpt, j->mail_from, j->limit};
	int rc = 0;

	switch (j->op) {
	case OP_GET: get(q, j); return;
	case OP_RELEASE: release(q, j); return;
	case OP_DELETE: rc = drop(q, j->id); break;
	case OP_LIST: rc = index_list(&q->index, &f, &j->list); break;
	case OP_PUT: break;
	}
	if (rc)
		failed(q, j, rc, "index");
}

static void expire(struct quarantine *q, unsigned int max_age_s)
{
	char id[QUARANTINE_ID + 1];
	uint64_t before = (clock_real_s() - max_age_s) * 1000000000u, n = 0;

	while (n < LIMIT_QUARANTINE_BATCH && index_oldest(&q->index, before, id) == 0 &&
	       drop(q, id) == 0)
		n++;
	pthread_mutex_lock(&q->lock);
	q->stats.expired += n;
	pthread_mutex_unlock(&q->lock);
}

static void count(struct quarantine *q, const struct job *j)
{
	struct quarantine_stats *s = &q->stats;

	s->messages = q->messages;
	s->bytes = q->bytes;
	if (j->op == OP_PUT)
		*(j->error ? &s->failed : &s->put) += 1;
	else if (j->op == OP_DELETE && !j->error)
		s->deleted++;
	else if (j->op == OP_RELEASE && !j->error)
		s->released++;
}

/* Next piece of work: one job, or the puts that wait in a row. False: nothing but the time. */
static bool take(struct quarantine *q, struct job_list *batch)
{
	struct timespec until;
	struct job *j;
	size_t n = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LIMIT_QUARANTINE_SWEEP_S;
	while (TAILQ_EMPTY(&q->todo) && !q->stopping)
		if (pthread_cond_timedwait(&q->wake, &q->lock, &until) == ETIMEDOUT)
			break;
	while ((j = TAILQ_FIRST(&q->todo)) && n < LIMIT_QUARANTINE_BATCH) {
		if (n && j->op != OP_PUT)
			break;
		TAILQ_REMOVE(&q->todo, j, link);
		TAILQ_INSERT_TAIL(batch, j, link);
		n++;
		if (j->op != OP_PUT)
			break;
	}
	return n > 0;
}

static void *work(void *arg)
{
	struct quarantine *q = arg;
	struct job_list batch;
	struct job *j;

	pthread_mutex_lock(&q->lock);
	for (;;) {
		unsigned int age = q->max_age_s;

		TAILQ_INIT(&batch);
		if (!take(q, &batch)) {
			if (q->stopping)
				break;
			pthread_mutex_unlock(&q->lock);
			if (age)
				expire(q, age);
			pthread_mutex_lock(&q->lock);
			continue;
		}
		pthread_mutex_unlock(&q->lock);
		j = TAILQ_FIRST(&batch);
		if (j->op == OP_PUT)
			put_batch(q, &batch);
		else
			one(q, j);
		pthread_mutex_lock(&q->lock);
		TAILQ_FOREACH(j, &batch, link)
			count(q, j);
		TAILQ_CONCAT(&q->done, &batch, link);
		if (eventfd_write(q->fd, 1)) {
			/* Only a counter that is full refuses, and then it is readable. */
		}
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

/* ---- the event loop's side -------------------------------------------------------------------- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct quarantine *q = arg;
	struct job_list done;
	eventfd_t n;
	struct job *j;

	(void)what;
	(void)eventfd_read(fd, &n);
	TAILQ_INIT(&done);
	pthread_mutex_lock(&q->lock);
	TAILQ_CONCAT(&done, &q->done, link);
	pthread_mutex_unlock(&q->lock);
	while ((j = TAILQ_FIRST(&done))) {
		struct quarantine_answer a = {
			.error = j->error,
			.why = j->why,
			.message = j->op == OP_GET && !j->error ? &j->got->message : NULL,
			.list = j->list,
		};

		TAILQ_REMOVE(&done, j, link);
		if (j->cb)
			j->cb(j->arg, &a);
		job_free(j);
	}
}

static struct job *job_new(enum op op, const char *id, quarantine_callback *cb, void *arg)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->op = op;
	j->cb = cb;
	j->arg = arg;
	if (id)
		memcpy(j->id, id, QUARANTINE_ID);
	return j;
}

/* An id that cannot be one is answered like one that is not there, without the thread. */
static int give(struct quarantine *q, struct job *j, const char *id)
{
	bool bad = id && !quarantine_id_valid(id);

	pthread_mutex_lock(&q->lock);
	if (bad) {
		j->error = j->op == OP_PUT ? -EINVAL : -ENOENT;
		snprintf(j->why, sizeof(j->why), "no message id");
		TAILQ_INSERT_TAIL(&q->done, j, link);
		(void)eventfd_write(q->fd, 1);
	} else {
		TAILQ_INSERT_TAIL(&q->todo, j, link);
		pthread_cond_signal(&q->wake);
	}
	pthread_mutex_unlock(&q->lock);
	return 0;
}

static int simple(struct quarantine *q, enum op op, const char *id, quarantine_callback *cb,
		  void *arg)
{
	struct job *j = job_new(op, quarantine_id_valid(id) ? id : NULL, cb, arg);

	return j ? give(q, j, id) : -ENOMEM;
}

int quarantine_put(struct quarantine *q, const struct quarantine_message *m,
		   quarantine_callback *cb, void *arg)
{
	struct job *j = job_new(OP_PUT, quarantine_id_valid(m->id) ? m->id : NULL, cb, arg);

	if (!j)
		return -ENOMEM;
	j->put = m;
	return give(q, j, m->id);
}

int quarantine_get(struct quarantine *q, const char *id, quarantine_callback *cb, void *arg)
{
	return simple(q, OP_GET, id, cb, arg);
}

int quarantine_delete(struct quarantine *q, const char *id, quarantine_callback *cb, void *arg)
{
	return simple(q, OP_DELETE, id, cb, arg);
}

int quarantine_release(struct quarantine *q, const char *id, const uint8_t *rcpts, size_t n,
		       quarantine_callback *cb, void *arg)
{
	struct job *j = job_new(OP_RELEASE, quarantine_id_valid(id) ? id : NULL, cb, arg);

	if (!j)
		return -ENOMEM;
	j->rcpts = malloc(n + 1);
	if (!j->rcpts) {
		job_free(j);
		return -ENOMEM;
	}
	memcpy(j->rcpts, rcpts, n);
	j->n_rcpts = n;
	return give(q, j, id);
}

int quarantine_list(struct quarantine *q, const struct quarantine_filter *f,
		    quarantine_callback *cb, void *arg)
{
	struct job *j = job_new(OP_LIST, NULL, cb, arg);

	if (!j)
		return -ENOMEM;
	j->limit = f->limit && f->limit < LIMIT_QUARANTINE_LIST ? f->limit : LIMIT_QUARANTINE_LIST;
	j->rcpt = f->rcpt ? strdup(f->rcpt) : NULL;
	j->mail_from = f->mail_from ? strdup(f->mail_from) : NULL;
	if ((f->rcpt && !j->rcpt) || (f->mail_from && !j->mail_from)) {
		job_free(j);
		return -ENOMEM;
	}
	return give(q, j, NULL);
}

void quarantine_stats(struct quarantine *q, struct quarantine_stats *out)
{
	pthread_mutex_lock(&q->lock);
	*out = q->stats;
	pthread_mutex_unlock(&q->lock);
}

void quarantine_set(struct quarantine *q, const struct quarantine_options *opt)
{
	pthread_mutex_lock(&q->lock);
	q->max_bytes = opt->max_bytes;
	q->min_free = opt->min_free;
	q->max_age_s = opt->max_age_s;
	pthread_mutex_unlock(&q->lock);
}

static bool known(void *arg, const char *id)
{
	return index_has(arg, id);
}

static int open_all(struct quarantine *q, const char *directory, char *err, size_t err_len)
{
	char path[4096];
	int rc = store_open(&q->store, directory, err, err_len);
	long n;

	if (rc)
		return rc;
	if (snprintf(path, sizeof(path), "%s/index.db", directory) >= (int)sizeof(path)) {
		snprintf(err, err_len, "%.100s: too long", directory);
		return -ENAMETOOLONG;
	}
	rc = index_open(&q->index, path, err, err_len);
	if (rc)
		return rc;
	n = store_reconcile(&q->store, known, &q->index);
	if (n < 0 || index_totals(&q->index, &q->messages, &q->bytes)) {
		snprintf(err, err_len, "%s: cannot be read", directory);
		return n < 0 ? (int)n : -EIO;
	}
	q->stats.messages = q->messages;
	q->stats.bytes = q->bytes;
	return 0;
}

struct quarantine *quarantine_new(struct event_base *base, const struct quarantine_options *opt,
				  char *err, size_t err_len)
{
	struct quarantine *q = calloc(1, sizeof(*q));

	if (!q) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	TAILQ_INIT(&q->todo);
	TAILQ_INIT(&q->done);
	q->store = (struct store){-1, -1, -1, -1};
	q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->wake, NULL);
	quarantine_set(q, opt);
	if (q->fd < 0 || open_all(q, opt->directory, err, err_len))
		goto fail;
	snprintf(err, err_len, "out of memory");
	q->readable = event_new(base, q->fd, EV_READ | EV_PERSIST, on_readable, q);
	if (!q->readable || event_add(q->readable, NULL))
		goto fail;
	if (pthread_create(&q->thread, NULL, work, q)) {
		snprintf(err, err_len, "no thread");
		goto fail;
	}
	return q;
fail:
	if (q->readable)
		event_free(q->readable);
	index_close(&q->index);
	store_close(&q->store);
	if (q->fd >= 0)
		close(q->fd);
	pthread_cond_destroy(&q->wake);
	pthread_mutex_destroy(&q->lock);
	free(q);
	return NULL;
}

void quarantine_free(struct quarantine *q)
{
	struct job *j;

	if (!q)
		return;
	pthread_mutex_lock(&q->lock);
	q->stopping = true;
	pthread_cond_signal(&q->wake);
	pthread_mutex_unlock(&q->lock);
	pthread_join(q->thread, NULL);
	while ((j = TAILQ_FIRST(&q->done))) {
		TAILQ_REMOVE(&q->done, j, link);
		job_free(j);
	}
	event_free(q->readable);
	index_close(&q->index);
	store_close(&q->store);
	close(q->fd);
	pthread_cond_destroy(&q->wake);
	pthread_mutex_destroy(&q->lock);
	free(q);
}
