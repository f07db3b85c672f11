/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/background.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

/* Mail goes first. */
#define NICE 10

struct background {
	int fd; /* eventfd: the work is done */
	struct event *readable;
	bool busy;
	pthread_t thread;
	void (*work)(void *arg), (*done)(void *arg);
	void *arg;
};

static void *thread(void *arg)
{
	struct background *b = arg;

	/* Linux: of this thread alone. Without it the work is merely less polite. */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	b->work(b->arg);
	/* Only a counter that is full refuses, and then it is readable. */
	(void)!eventfd_write(b->fd, 1);
	return NULL;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct background *b = arg;
	eventfd_t n;

	(void)what;
	if (eventfd_read(fd, &n) || !b->busy)
		return;
	pthread_join(b->thread, NULL);
	b->busy = false;
	b->done(b->arg);
}

struct background *background_new(struct event_base *base)
{
	struct background *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (b->fd >= 0)
		b->readable = event_new(base, b->fd, EV_READ | EV_PERSIST, on_readable, b);
	if (b->readable && !event_add(b->readable, NULL))
		return b;
	background_free(b);
	return NULL;
}

void background_free(struct background *b)
{
	if (!b)
		return;
	if (b->busy)
		pthread_join(b->thread, NULL);
	if (b->readable)
		event_free(b->readable);
	if (b->fd >= 0)
		close(b->fd);
	free(b);
}

int background_run(struct background *b, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	int rc;

	if (b->busy)
		return -EBUSY;
	b->work = work;
	b->done = done;
	b->arg = arg;
	rc = pthread_create(&b->thread, NULL, thread, b);
	b->busy = !rc;
	return -rc;
}
