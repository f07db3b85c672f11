/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/auth/dmarc/internal.h"

/*
 * Everything is evaluated again from the start after each round of answers, until nothing waits:
 * the evaluation is a pure function of the names known, and the last pass is the only one that is
 * kept.
 */

struct dmarc_check {
	struct dmarc_names names;
	struct dmarc_ids ids;
	struct event *turn, *deadline;
	dmarc_callback *cb;
	void *arg;
	struct dmarc_verdict verdict;
	bool testing; /* a pass by a testing key was left out */
};

/* ---- identifiers ---------------------------------------------------------------------------- */

static void add_id(struct dmarc_check *c, const char *domain, bool spf, bool failed, size_t sig)
{
	struct dmarc_id *id = &c->ids.id[c->ids.n];

	if (c->ids.n == sizeof(c->ids.id) / sizeof(c->ids.id[0]) || sig >= 32 ||
	    !mail_alabel(str_c(domain), id->domain) || !domain_is_valid(str_c(id->domain)))
		return;
	id->spf = spf;
	id->failed = failed;
	id->bit = 1u << sig;
	c->ids.n++;
}

static void take_ids(struct dmarc_check *c, const struct dmarc_request *req, bool testing_counts)
{
	const struct spf_verdict *spf = req->spf;

	c->verdict.spf = spf->result;
	/* RFC 9989 4.4.2: MAIL FROM only; for a null reverse-path it is postmaster at HELO. */
	if ((spf->identity == SPF_ID_MAILFROM) == (req->mail_from.n > 0)) {
		snprintf(c->verdict.spf_domain, sizeof(c->verdict.spf_domain), "%.253s",
			 spf->domain);
		if (spf->result == SPF_PASS || spf->result == SPF_TEMPERROR)
			add_id(c, spf->domain, true, spf->result != SPF_PASS, 0);
	}
	for (size_t i = 0; i < req->dkim->n; i++) {
		const struct dkim_signature *s = &req->dkim->sig[i];

		if (s->result == DKIM_PASS && s->testing && !testing_counts)
			c->testing = true;
		else if (s->result == DKIM_PASS || s->result == DKIM_TEMPERROR)
			add_id(c, s->domain, false, s->result != DKIM_PASS, i);
	}
}

static void take_authors(struct dmarc_check *c, const struct headers *headers)
{
	struct dmarc_verdict *v = &c->verdict;
	struct from_authors from;

	from_find(headers, &from);
	v->from = from.status;
	v->n = from.n;
	for (size_t i = 0; i < from.n; i++)
		memcpy(v->author[i].domain, from.domain[i], sizeof(from.domain[i]));
	if (from.n)
		return;
	v->result = DMARC_PERMERROR;
	snprintf(v->reason, sizeof(v->reason), "From: %s", from.reason);
}

/* ---- turns ---------------------------------------------------------------------------------- */

static bool evaluate_all(struct dmarc_check *c)
{
	bool waiting = false;

	for (size_t i = 0; i < c->verdict.n; i++) {
		struct dmarc_author *a = &c->verdict.author[i];
		struct dmarc_record beside;

		if (dmarc_evaluate(&c->names, &c->ids, a->domain, false, &a->walk, &a->record) ==
		    DMARC_WAITING)
			waiting = true;
		if (dmarc_evaluate(&c->names, &c->ids, a->domain, true, &a->psl, &beside) ==
		    DMARC_WAITING)
			waiting = true;
	}
	return !waiting;
}

static bool is_stricter(const struct dmarc_evaluation *a, const struct dmarc_evaluation *b)
{
	if (a->disposition != b->disposition)
		return a->disposition > b->disposition;
	return a->result > b->result;
}

/* RFC 9989 5.3.1 leaves it open: with several author domains the strictest result stands. */
static void sum_up(struct dmarc_verdict *v)
{
	v->decisive = v->n;
	for (size_t i = 0; i < v->n; i++) {
		const struct dmarc_author *a = &v->author[i];

		if (v->decisive == v->n || is_stricter(&a->walk, &v->author[v->decisive].walk))
			v->decisive = i;
		v->psl_differs |= a->walk.result != a->psl.result ||
				  a->walk.disposition != a->psl.disposition;
	}
	if (v->decisive == v->n)
		return;
	v->result = v->author[v->decisive].walk.result;
	v->disposition = v->author[v->decisive].walk.disposition;
	/* Who shows the route instead of the mailbox must not be told that it passed. */
	if (v->from == FROM_ROUTED && v->result < DMARC_PERMERROR) {
		v->result = DMARC_PERMERROR;
		snprintf(v->reason, sizeof(v->reason), "From: source route in an address");
		return;
	}
	snprintf(v->reason, sizeof(v->reason), "%s", v->author[v->decisive].walk.reason);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct dmarc_check *c = arg;

	(void)fd;
	(void)what;
	if (!evaluate_all(c))
		return;
	/* What was asked and is not needed any more must not answer behind the callback. */
	dmarc_names_close(&c->names);
	event_del(c->deadline);
	event_del(c->turn);
	sum_up(&c->verdict);
	if (c->testing && c->verdict.result == DMARC_FAIL)
		snprintf(c->verdict.reason, sizeof(c->verdict.reason),
			 "no aligned SPF or DKIM pass (testing keys do not count)");
	c->cb(c->arg, &c->verdict); /* may free c */
}

static void on_answered(void *arg)
{
	struct dmarc_check *c = arg;

	/* Answers of one turn of the loop are looked at together. */
	event_active(c->turn, 0, 0);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct dmarc_check *c = arg;

	(void)fd;
	(void)what;
	dmarc_names_close(&c->names);
	event_active(c->turn, 0, 0);
}

struct dmarc_check *dmarc_check(struct dns *dns, struct event_base *base,
				const struct dmarc_request *req, const struct dmarc_options *opt,
				dmarc_callback *cb, void *arg)
{
	unsigned int ms = opt->budget_ms ? opt->budget_ms : LIMIT_DMARC_TIME_S * 1000;
	struct timeval budget = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	struct dmarc_check *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->names = (struct dmarc_names){.dns = dns, .answered = on_answered, .arg = c};
	c->cb = cb;
	c->arg = arg;
	c->turn = event_new(base, -1, 0, on_turn, c);
	c->deadline = evtimer_new(base, on_deadline, c);
	if (!c->turn || !c->deadline || event_add(c->deadline, &budget)) {
		dmarc_check_free(c);
		return NULL;
	}
	take_authors(c, req->headers);
	take_ids(c, req, opt->testing_counts);
	event_active(c->turn, 0, 0);
	return c;
}

void dmarc_check_free(struct dmarc_check *c)
{
	if (!c)
		return;
	dmarc_names_free(&c->names);
	if (c->turn)
		event_free(c->turn);
	if (c->deadline)
		event_free(c->deadline);
	free(c);
}
