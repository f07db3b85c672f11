/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/auth/arc/pool.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "postern/limits.h"

enum place { QUEUED, RUNNING, DONE };

struct arc_job {
	TAILQ_ENTRY(arc_job) link;   /* of todo or done, by place */
	struct arc_pool *p;
	enum place place;
	struct arc_seal_request req;
	struct mail_bytes content;
	const struct arc_results *chain;
	char *buf;
	size_t cap;
	long n;
	arc_job_callback *cb;
	void *arg;
};
TAILQ_HEAD(job_list, arc_job);

struct arc_pool {
	struct event *readable;
	int fd;                      /* eventfd: something is in `done` */
	pthread_t thread[LIMIT_ARC_THREADS];
	unsigned int n_threads;
	unsigned int open;           /* jobs; the loop's */

	pthread_mutex_t lock;        /* of all that follows, and of place and n of the jobs */
	pthread_cond_t wake, ended;  /* a job is there; one ended */
	struct job_list todo, done;
	bool stopping;
};

static void *work(void *arg)
{
	struct arc_pool *p = arg;
	struct arc_job *j;
	long n;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (!(j = TAILQ_FIRST(&p->todo)) && !p->stopping)
			pthread_cond_wait(&p->wake, &p->lock);
		if (!j)
			break;
		TAILQ_REMOVE(&p->todo, j, link);
		j->place = RUNNING;
		pthread_mutex_unlock(&p->lock);
		n = arc_seal(&j->req, &j->content, j->chain, j->buf, j->cap);
		pthread_mutex_lock(&p->lock);
		j->n = n;
		j->place = DONE;
		TAILQ_INSERT_TAIL(&p->done, j, link);
		pthread_cond_broadcast(&p->ended);
		/* Only a counter that is full refuses, and then it is readable. */
		(void)!eventfd_write(p->fd, 1);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* One at a time: a callback may cancel any of the others. */
static struct arc_job *take_done(struct arc_pool *p)
{
	struct arc_job *j;

	pthread_mutex_lock(&p->lock);
	j = TAILQ_FIRST(&p->done);
	if (j)
		TAILQ_REMOVE(&p->done, j, link);
	pthread_mutex_unlock(&p->lock);
	return j;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct arc_pool *p = arg;
	struct arc_job *j;
	eventfd_t n;

	(void)what;
	(void)!eventfd_read(fd, &n);
	while ((j = take_done(p))) {
		struct arc_job copy = *j;

		p->open--;
		free(j);
		copy.cb(copy.arg, copy.n);
	}
}

struct arc_job *arc_pool_seal(struct arc_pool *p, const struct arc_seal_request *req,
			      const struct mail_bytes *content, const struct arc_results *chain,
			      char *buf, size_t cap, arc_job_callback *cb, void *arg)
{
	struct arc_job *j = p->open < LIMIT_ARC_QUEUE ? malloc(sizeof(*j)) : NULL;

	if (!j)
		return NULL;
	*j = (struct arc_job){
		.p = p, .place = QUEUED, .req = *req, .content = *content, .chain = chain, .buf = buf,
		.cap = cap, .cb = cb, .arg = arg,
	};
	p->open++;
	pthread_mutex_lock(&p->lock);
	TAILQ_INSERT_TAIL(&p->todo, j, link);
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	return j;
}

void arc_job_cancel(struct arc_job *j)
{
	struct arc_pool *p = j->p;

	pthread_mutex_lock(&p->lock);
	while (j->place == RUNNING)
		pthread_cond_wait(&p->ended, &p->lock);
	TAILQ_REMOVE(j->place == QUEUED ? &p->todo : &p->done, j, link);
	pthread_mutex_unlock(&p->lock);
	p->open--;
	free(j);
}

void arc_pool_free(struct arc_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (unsigned int i = 0; i < p->n_threads; i++)
		pthread_join(p->thread[i], NULL);
	if (p->readable)
		event_free(p->readable);
	if (p->fd >= 0)
		close(p->fd);
	pthread_cond_destroy(&p->wake);
	pthread_cond_destroy(&p->ended);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

struct arc_pool *arc_pool_new(struct event_base *base, unsigned int threads, char *err,
			      size_t err_len)
{
	struct arc_pool *p = calloc(1, sizeof(*p));

	snprintf(err, err_len, "out of memory");
	if (!p)
		return NULL;
	TAILQ_INIT(&p->todo);
	TAILQ_INIT(&p->done);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	pthread_cond_init(&p->ended, NULL);
	p->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->fd >= 0)
		p->readable = event_new(base, p->fd, EV_READ | EV_PERSIST, on_readable, p);
	if (!p->readable || event_add(p->readable, NULL))
		goto fail;
	for (; p->n_threads < threads && p->n_threads < LIMIT_ARC_THREADS; p->n_threads++)
		if (pthread_create(&p->thread[p->n_threads], NULL, work, p)) {
			snprintf(err, err_len, "no thread");
			goto fail;
		}
	return p;
fail:
	arc_pool_free(p);
	return NULL;
}
