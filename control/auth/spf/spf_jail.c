/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/auth/spf/spf_jail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/auth/spf/spf_spawner.h"
#include "postern/limits.h"

#define DEFAULT_WORKERS 2
#define DEFAULT_RUN_MS  2000
#define BACKOFF_MIN_MS  50u
#define BACKOFF_MAX_MS  10000u

static struct timeval ms(unsigned int n)
{
	return (struct timeval){n / 1000, (suseconds_t)(n % 1000) * 1000};
}

static void dispatch(struct spf_jail *j);

static void want_workers(struct spf_jail *j)
{
	for (unsigned int i = 0; i < j->n_workers; i++) {
		struct spf_worker *wk = &j->worker[i];

		if (wk->fd < 0 && !wk->wanted && j->helper_fd >= 0 &&
		    spf_spawner_want(j->helper_fd) == 0)
			wk->wanted = true;
	}
}

static void end_run(struct spf_run *run, const struct spf_wire_response *resp, const char *why)
{
	run->active = false;
	run->worker = NULL;
	free(run->request);
	run->request = NULL;
	run->done(run, resp, why);
}

/* Helper and workers are gone for good: nobody should wait out the budget of the check. Each turn
 * ends one, for its callback may free the jail. */
static void give_up(struct spf_jail *j)
{
	struct spf_run *run = TAILQ_FIRST(&j->waiting);

	for (unsigned int i = 0; i < j->n_workers; i++)
		if (j->worker[i].fd >= 0)
			return;
	if (!run)
		return;
	TAILQ_REMOVE(&j->waiting, run, link);
	if (!TAILQ_EMPTY(&j->waiting))
		event_active(j->respawn, EV_TIMEOUT, 0);
	end_run(run, NULL, "SPF evaluators are gone");
}

static void respawn_now(evutil_socket_t fd, short what, void *arg)
{
	struct spf_jail *j = arg;

	(void)fd;
	(void)what;
	if (j->helper_fd < 0)
		give_up(j);
	else
		want_workers(j);
}

/* At once after a first death, ever later when they die in a row. */
static void respawn_later(struct spf_jail *j)
{
	unsigned int shift = j->failures < 8 ? j->failures : 8,
		     n = j->failures ? BACKOFF_MIN_MS << shift : 0;
	struct timeval tv = ms(n > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : n);

	if (!evtimer_pending(j->respawn, NULL))
		evtimer_add(j->respawn, &tv);
}

/* The process is gone or is given up. Its run, if any, is the caller's to end. */
static struct spf_run *worker_drop(struct spf_worker *wk)
{
	struct spf_jail *j = wk->jail;
	struct spf_run *run = wk->run;

	event_free(wk->readable);
	event_free(wk->timer);
	close(wk->fd);
	wk->fd = -1;
	wk->busy = false;
	wk->run = NULL;
	respawn_later(j);
	return run;
}

/* The run's callback comes last: it may free the jail. */
static void worker_died(struct spf_worker *wk, const char *why)
{
	struct spf_jail *j = wk->jail;
	struct spf_run *run;

	if (wk->killed) {
		j->stats.worker_killed++;
	} else {
		j->stats.worker_died++;
		/* Still there if it sent nonsense. */
		if (j->helper_fd >= 0)
			spf_spawner_kill(j->helper_fd, wk->pid);
	}
	run = worker_drop(wk);
	j->failures++;
	if (run)
		end_run(run, NULL, why);
}

static void worker_late(evutil_socket_t fd, short what, void *arg)
{
	struct spf_worker *wk = arg;

	(void)fd;
	(void)what;
	if (wk->jail->helper_fd >= 0)
		spf_spawner_kill(wk->jail->helper_fd, wk->pid);
	wk->killed = true;
	worker_died(wk, "SPF evaluation took too long");
}

static void worker_readable(evutil_socket_t fd, short what, void *arg)
{
	struct spf_worker *wk = arg;
	struct spf_jail *j = wk->jail;
	struct spf_wire_response resp;
	struct spf_run *run = wk->run;
	uint8_t buf[1024];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		worker_died(wk, "SPF evaluator died");
		return;
	}
	if ((size_t)n > sizeof(buf) || !wk->busy || spf_wire_get_response(&resp, buf, (size_t)n) ||
	    resp.seq != wk->seq) {
		worker_died(wk, "SPF evaluator sent a malformed answer");
		return;
	}
	evtimer_del(wk->timer);
	wk->busy = false;
	wk->run = NULL;
	j->failures = 0;
	if (resp.last) /* it has done its number of runs and goes in peace */
		(void)worker_drop(wk);
	dispatch(j);
	if (run)
		end_run(run, &resp, "");
}

static void worker_arrived(struct spf_jail *j, pid_t pid, int fd)
{
	struct spf_worker *wk = NULL;

	for (unsigned int i = 0; i < j->n_workers && !wk; i++)
		if (j->worker[i].wanted)
			wk = &j->worker[i];
	if (!wk) {
		close(fd);
		return;
	}
	wk->wanted = false;
	wk->killed = false;
	wk->readable = event_new(j->base, fd, EV_READ | EV_PERSIST, worker_readable, wk);
	wk->timer = evtimer_new(j->base, worker_late, wk);
	if (!wk->readable || !wk->timer || event_add(wk->readable, NULL) < 0) {
		if (wk->readable)
			event_free(wk->readable);
		if (wk->timer)
			event_free(wk->timer);
		close(fd);
		respawn_later(j);
		return;
	}
	wk->fd = fd;
	wk->pid = pid;
	wk->busy = false;
	j->stats.worker_spawned++;
	dispatch(j);
}

static void want_again(struct spf_jail *j)
{
	for (unsigned int i = 0; i < j->n_workers; i++)
		j->worker[i].wanted = false;
}

static void helper_readable(evutil_socket_t fd, short what, void *arg)
{
	struct spf_jail *j = arg;
	int worker_fd, error, rc;
	pid_t pid;

	(void)what;
	while (j->helper_fd >= 0 &&
	       (rc = spf_spawner_next(fd, &pid, &worker_fd, &error)) != -EAGAIN) {
		if (rc == 1) {
			worker_arrived(j, pid, worker_fd);
		} else if (rc == 0) {
			want_again(j);
			j->failures++;
			respawn_later(j);
		} else if (rc == 2) {
			/* Its workers died with it: their sockets say so themselves. A worker that
			 * the new one makes on an old order finds no place and ends. */
			j->stats.helper_died++;
			want_again(j);
			respawn_later(j);
		} else {
			/* They are not forked again: there are threads now. */
			j->stats.helper_gone = true;
			event_del(j->helper_event);
			close(j->helper_fd);
			j->helper_fd = -1;
			event_active(j->respawn, EV_TIMEOUT, 0);
		}
	}
}

/* False: the worker is dead already, which nobody has noticed yet. */
static bool send_run(struct spf_worker *wk, struct spf_run *run)
{
	struct spf_jail *j = wk->jail;
	ssize_t n = send(wk->fd, run->request, run->len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
		return false;
	wk->busy = true;
	wk->run = run;
	wk->seq = run->seq;
	run->worker = wk;
	j->stats.runs++;
	evtimer_add(wk->timer, &j->run_time);
	if (n != (ssize_t)run->len) /* no way to go on with it */
		event_active(wk->timer, EV_TIMEOUT, 0);
	return true;
}

static void dispatch(struct spf_jail *j)
{
	struct spf_run *run;

	for (unsigned int i = 0; i < j->n_workers; i++) {
		struct spf_worker *wk = &j->worker[i];

		if (wk->fd < 0 || wk->busy)
			continue;
		run = TAILQ_FIRST(&j->waiting);
		if (!run)
			return;
		TAILQ_REMOVE(&j->waiting, run, link);
		if (send_run(wk, run))
			continue;
		/* It never saw the run, which goes to another; that ends no check. */
		TAILQ_INSERT_HEAD(&j->waiting, run, link);
		worker_died(wk, "");
	}
}

void spf_run_start(struct spf_jail *j, struct spf_run *run, uint8_t *request, size_t len)
{
	run->request = request;
	run->len = len;
	run->worker = NULL;
	run->active = true;
	TAILQ_INSERT_TAIL(&j->waiting, run, link);
	if (j->helper_fd < 0)
		event_active(j->respawn, EV_TIMEOUT, 0);
	dispatch(j);
}

void spf_run_abort(struct spf_jail *j, struct spf_run *run)
{
	if (!run->active)
		return;
	if (run->worker)
		run->worker->run = NULL;
	else
		TAILQ_REMOVE(&j->waiting, run, link);
	run->active = false;
	free(run->request);
	run->request = NULL;
}

int spf_helper_start(struct spf_helper *h)
{
	return spf_spawner_start(&h->pid, &h->fd);
}

struct spf_jail *spf_jail_new(struct event_base *base, struct dns *dns,
			      const struct spf_options *opt, char *err, size_t err_len)
{
	struct spf_jail *j = calloc(1, sizeof(*j));
	struct spf_helper own;
	int rc = -ENOMEM;

	if (!j)
		goto fail;
	j->base = base;
	j->dns = dns;
	j->helper_fd = -1;
	TAILQ_INIT(&j->waiting);
	LIST_INIT(&j->checks);
	for (size_t i = 0; i < SPF_LEADERS; i++)
		LIST_INIT(&j->leader[i]);
	if (!opt || !opt->no_cache) {
		j->cache = spf_cache_new(LIMIT_SPF_CACHE);
		if (!j->cache)
			goto fail;
	}
	j->n_workers = opt && opt->n_workers ? opt->n_workers : DEFAULT_WORKERS;
	if (j->n_workers > SPF_WORKERS_MAX)
		j->n_workers = SPF_WORKERS_MAX;
	j->budget = ms(opt && opt->budget_ms ? opt->budget_ms : LIMIT_SPF_TIME_S * 1000);
	j->run_time = ms(opt && opt->run_ms ? opt->run_ms : DEFAULT_RUN_MS);
	for (unsigned int i = 0; i < SPF_WORKERS_MAX; i++) {
		j->worker[i].jail = j;
		j->worker[i].fd = -1;
	}
	rc = opt && opt->helper ? 0 : spf_helper_start(&own);
	if (rc)
		goto fail;
	j->helper = opt && opt->helper ? opt->helper->pid : own.pid;
	j->helper_fd = opt && opt->helper ? opt->helper->fd : own.fd;
	rc = -ENOMEM;
	j->respawn = evtimer_new(base, respawn_now, j);
	j->helper_event = event_new(base, j->helper_fd, EV_READ | EV_PERSIST, helper_readable, j);
	if (!j->respawn || !j->helper_event || event_add(j->helper_event, NULL) < 0)
		goto fail;
	want_workers(j);
	return j;
fail:
	snprintf(err, err_len, "SPF helper: %s", strerror(-rc));
	spf_jail_free(j);
	return NULL;
}

void spf_jail_free(struct spf_jail *j)
{
	if (!j)
		return;
	spf_checks_free(j);
	for (unsigned int i = 0; i < j->n_workers; i++) {
		struct spf_worker *wk = &j->worker[i];

		if (wk->fd < 0)
			continue;
		event_free(wk->readable);
		event_free(wk->timer);
		close(wk->fd);
	}
	if (j->helper_event)
		event_free(j->helper_event);
	if (j->respawn)
		event_free(j->respawn);
	if (j->helper_fd >= 0)
		close(j->helper_fd);
	if (j->helper > 0)
		while (waitpid(j->helper, NULL, 0) < 0 && errno == EINTR)
			;
	spf_cache_free(j->cache);
	free(j);
}

void spf_jail_stats(const struct spf_jail *j, struct spf_stats *out)
{
	const struct spf_run *run;

	*out = j->stats;
	out->workers_idle = out->workers_busy = out->waiting = 0;
	for (unsigned int i = 0; i < j->n_workers; i++) {
		if (j->worker[i].fd < 0)
			continue;
		if (j->worker[i].busy)
			out->workers_busy++;
		else
			out->workers_idle++;
	}
	out->cached = j->cache ? spf_cache_count(j->cache) : 0;
	TAILQ_FOREACH (run, &j->waiting, link)
		out->waiting++;
}

size_t spf_jail_workers(const struct spf_jail *j, pid_t *out, size_t cap)
{
	size_t n = 0;

	for (unsigned int i = 0; i < j->n_workers; i++) {
		if (j->worker[i].fd < 0)
			continue;
		if (n < cap)
			out[n] = j->worker[i].pid;
		n++;
	}
	return n;
}
