/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A message: from deliver_start() to its one callback. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/deliver/internal.h"

struct deliver_job {
	TAILQ_ENTRY(deliver_job) link;
	struct completion done;
	struct xact x;
	struct deliver_request req;
	struct deliver_result result;
	struct deliver_rcpt_result *rcpt;
	char trace_id[65];
	deliver_callback *cb;
	void *arg;
};

#define JOB_OF(ptr, member) ((struct deliver_job *)((char *)(ptr)-offsetof(struct deliver_job, member)))

static void job_free(struct deliver_job *j)
{
	deliver_uncomplete(j->x.d, &j->done);
	xact_fini(&j->x);
	free(j->rcpt);
	free(j);
}

void jobs_drop(struct deliver *d)
{
	struct deliver_job *j;

	while ((j = TAILQ_FIRST(&d->jobs))) {
		TAILQ_REMOVE(&d->jobs, j, link);
		job_free(j);
	}
}

static void run(struct completion *c)
{
	struct deliver_job *j = JOB_OF(c, done);
	struct deliver *d = j->x.d;
	bool gone = false, *outer = d->gone;

	/* Out of the list first: the callback may free everything, this job's result lives on till
	 * it returns. */
	TAILQ_REMOVE(&d->jobs, j, link);
	xact_fini(&j->x);
	d->gone = &gone;
	j->cb(j->arg, &j->result);
	free(j->rcpt);
	free(j);
	if (gone)
		*outer = true;
	else
		d->gone = outer;
}

static void refused_rcpts(struct deliver_job *j)
{
	struct xact *x = &j->x;
	struct deliver_result *res = &j->result;
	struct ending e = {.kind = END_REPLY, .stage = STAGE_RCPT};
	bool alert = false;
	size_t at = 0;

	truth_learn(x);
	for (size_t i = 0; i < x->n_rcpts && !alert; i++)
		if (verdict_classify(x->config, STAGE_RCPT, &j->rcpt[i].next_hop) == VERDICT_RELAY) {
			alert = true;
			at = i;
		}
	if (x->n_rcpts == 1) {
		e.reply = j->rcpt[0].next_hop;
		xact_reply(x, &e, &res->reply, &res->outcome, &res->alert);
		return;
	}
	res->outcome = DELIVER_DEFERRED;
	res->alert = alert;
	if (alert) {
		xact_alert(x, STAGE_RCPT, &j->rcpt[at].next_hop);
		verdict_relay(&res->reply, x->trace_id);
		return;
	}
	/* A 5xx for all would be wrong for those that were taken; the retry hears each its own. */
	verdict_own(&res->reply, 451, 3, 0, "a recipient was refused, try again later", x->trace_id);
}

static void final(struct xact *x, const struct ending *e)
{
	struct deliver_job *j = JOB_OF(x, x);
	struct deliver_result *res = &j->result;
	struct host *h = x->last;

	overload_ended(x, e);
	if (e->kind == END_RCPTS) {
		refused_rcpts(j);
	} else {
		xact_reply(x, e, &res->reply, &res->outcome, &res->alert);
		if (e->kind == END_DELIVERED)
			truth_learn(x);
		else if (e->kind == END_REPLY)
			truth_of_content(x, e, res);
		for (size_t i = 0; i < x->n_rcpts; i++)
			if (e->kind == END_DELIVERED ||
			    (e->kind == END_REPLY && e->stage != STAGE_RCPT))
				j->rcpt[i].next_hop = e->reply;
	}
	for (size_t i = 0; i < x->n_rcpts; i++)
		j->rcpt[i].outcome = res->outcome;
	if (h && res->outcome == DELIVER_DELIVERED)
		h->delivered++;
	else if (h && res->outcome == DELIVER_REJECTED)
		h->rejected++;
	else if (h && res->outcome == DELIVER_DEFERRED)
		h->deferred++;
	res->rcpt = j->rcpt;
	res->tls = x->tls;
	memcpy(res->host, x->last_host, sizeof(res->host));
	memcpy(res->egress, x->last_own, sizeof(res->egress));
	snprintf(res->stage, sizeof(res->stage), "%s", stage_name(e->stage));
	res->dot_written = x->dot_written;
	res->bdat = x->dot_written && x->bdat;
	res->eof_crlf_added = x->dot_written && x->body.tail_added;
	if (e->kind == END_DELIVERED && x->bdat)
		deliver_count(x->d, CTL_nexthop_bdat);
	if (e->kind == END_DELIVERED && res->eof_crlf_added)
		deliver_count(x->d, CTL_nexthop_crlf_added);
	res->late = x->cancelled && x->dot_written;
	res->first_byte_us = x->first_byte_us;
	res->done_us = deliver_now_us() - x->start_us;
	deliver_complete(x->d, &j->done);
}

static bool several_ways(const struct xact *x)
{
	char first[MAIL_ALABEL], other[MAIL_ALABEL];

	config_route_way(x->route, mailbox_domain(x->rcpt[0]), first);
	for (size_t i = 1; i < x->n_rcpts; i++) {
		config_route_way(x->route, mailbox_domain(x->rcpt[i]), other);
		if (strcmp(first, other))
			return true;
	}
	return false;
}

/* What may not go into a command line is refused here, whoever let it through. */
static bool bad_request(const struct xact *x, struct ending *e)
{
	e->kind = END_LOCAL;
	e->stage = STAGE_CONNECT;
	if (!x->n_rcpts) {
		verdict_own(&e->reply, 451, 3, 0, "no recipient", x->trace_id);
		return true;
	}
	if (!verdict_path_is_safe(x->mail_from)) {
		verdict_own(&e->reply, 501, 1, 7, "bad sender address", x->trace_id);
		return true;
	}
	for (size_t i = 0; i < x->n_rcpts; i++)
		if (!x->rcpt[i].n || !verdict_path_is_safe(x->rcpt[i])) {
			verdict_own(&e->reply, 501, 1, 3, "bad recipient address", x->trace_id);
			return true;
		}
	if (several_ways(x)) {
		verdict_own(&e->reply, 451, 5, 3, "recipients go different ways, send them separately",
			    x->trace_id);
		return true;
	}
	return false;
}

struct deliver_job *deliver_start(struct deliver *d, const struct deliver_request *req,
				  deliver_callback *cb, void *arg)
{
	struct deliver_job *j = calloc(1, sizeof(*j));
	struct ending e = {0};
	struct xact *x;

	if (!j)
		return NULL;
	x = &j->x;
	j->rcpt = calloc(req->n_rcpts ? req->n_rcpts : 1, sizeof(*j->rcpt));
	if (!j->rcpt || xact_init(x, d, req->config, req->route)) {
		free(j->rcpt);
		free(j);
		return NULL;
	}
	j->req = *req;
	j->cb = cb;
	j->arg = arg;
	j->done.run = run;
	snprintf(j->trace_id, sizeof(j->trace_id), "%s", req->trace_id ? req->trace_id : "");
	x->req = &j->req;
	x->wanted_arg = arg;
	x->trace_id = j->trace_id;
	x->mail_from = req->mail_from;
	x->rcpt = req->rcpt;
	x->n_rcpts = req->n_rcpts;
	x->rcpt_result = j->rcpt;
	x->client = req->client;
	x->utf8 = req->smtputf8 || !verdict_path_is_ascii(req->mail_from);
	for (size_t i = 0; i < req->n_rcpts && !x->utf8; i++)
		x->utf8 = !verdict_path_is_ascii(req->rcpt[i]);
	x->final = final;
	TAILQ_INSERT_TAIL(&d->jobs, j, link);
	xact_start(x, bad_request(x, &e) ? &e : NULL);
	return j;
}

void deliver_cancel(struct deliver_job *j)
{
	struct xact *x = &j->x;
	struct ending e = {.kind = END_ABORTED, .stage = STAGE_CONNECT};
	struct conn *c = x->conn;

	x->cancelled = true;
	if (x->dot_written) {
		/* The reply is awaited, or is here and waits for its turn. */
		j->result.late = true;
		return;
	}
	if (x->place == XACT_DONE)
		return;
	if (x->place == XACT_WAITING)
		pool_unwait(x);
	resolve_cancel(x);
	if (c) {
		e.stage = session_stage(c);
		x->conn = NULL;
		c->x = NULL;
		conn_close(c, true);
	}
	x->place = XACT_DONE;
	final(x, &e);
}
