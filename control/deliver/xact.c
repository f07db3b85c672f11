/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/deliver/internal.h"

int xact_init(struct xact *x, struct deliver *d, struct config *config,
	      const struct config_route *route)
{
	x->d = d;
	x->route = route;
	x->pool = pool_get(d, route->name);
	if (!x->pool)
		return -ENOMEM;
	overload_rules(x->pool, route);
	x->config = config_ref(config);
	x->start_us = deliver_now_us();
	return 0;
}

static void finish(struct xact *x, const struct ending *e)
{
	x->place = XACT_DONE;
	x->final(x, e);
}

static void no_room(struct xact *x)
{
	deliver_count(x->d, CTL_nexthop_queue_full);
	xact_refuse(x, 451, 4, 5, "too much mail is waiting, try again later");
}

void xact_refuse(struct xact *x, uint16_t code, uint16_t subject, uint16_t detail, const char *text)
{
	struct ending e = {.kind = END_LOCAL, .stage = STAGE_CONNECT};

	verdict_own(&e.reply, code, subject, detail, text, x->trace_id);
	finish(x, &e);
}

void xact_ready(struct xact *x)
{
	struct ending none = {.kind = END_DNS, .stage = STAGE_CONNECT};

	if (!x->n_targets)
		finish(x, &none);
	else if (!pool_wait(x, false))
		no_room(x);
}

void xact_start(struct xact *x, const struct ending *at_once)
{
	if (at_once)
		finish(x, at_once);
	else
		targets_begin(x);
}

void xact_fini(struct xact *x)
{
	if (x->place == XACT_WAITING)
		pool_unwait(x);
	resolve_cancel(x);
	targets_free(x);
	if (x->conn) {
		struct conn *c = x->conn;

		x->conn = NULL;
		c->x = NULL;
		conn_close(c, body_open(c));
	}
	x->place = XACT_DONE;
	config_unref(x->config);
	x->config = NULL;
}

bool xact_tried(const struct xact *x, const struct address *a)
{
	for (size_t i = 0; i < x->n_tried; i++)
		if (x->tried[i].port == a->port && !memcmp(&x->tried[i].ip, &a->ip, sizeof(a->ip)))
			return true;
	return false;
}

const struct address *xact_address(struct xact *x)
{
	for (size_t i = 0; i < x->n_found; i++)
		if (!xact_tried(x, &x->found[i]))
			return &x->found[i];
	return NULL;
}

void xact_resolved(struct xact *x)
{
	const struct address *a = xact_address(x);
	struct conn *c = x->conn;
	bool allowed = tls_prepare(c);

	if (x->n_found && !allowed) {
		snprintf(x->last_host, sizeof(x->last_host), "%s", c->host->name);
		x->n_found = 0; /* the host is passed over, with all its addresses */
		session_failed(c, END_TLS);
		return;
	}
	if (a) {
		x->cur = *a;
		x->has_cur = true;
		conn_connect(c, a);
		return;
	}
	snprintf(x->last_host, sizeof(x->last_host), "%s", c->host->name);
	if (!x->n_found) {
		snprintf(c->host->last_error, sizeof(c->host->last_error), "no address (%s)",
			 x->dns[0] == DNS_TEMPFAIL || x->dns[1] == DNS_TEMPFAIL ||
				 x->dns[0] == DNS_BOGUS || x->dns[1] == DNS_BOGUS
				 ? "DNS failure" : "DNS: none");
	}
	session_failed(c, x->n_found ? END_CONNECT : END_DNS);
}

/* Is there another address, on this host or the next? */
static bool next_address(struct xact *x, const struct ending *e)
{
	struct host *h = x->target[x->host_at].host;

	if (x->n_tried == LIMIT_ONWARD_ATTEMPTS)
		return false;
	/* A pooled connection was used: what other addresses there are is not known yet. */
	if (!x->resolved && e->kind != END_DNS)
		return true;
	if (x->resolved && xact_address(x))
		return true;
	if (e->kind == END_CONNECT || e->kind == END_DNS)
		h->avoid_until_ms = deliver_now_us() / 1000 + x->d->tuning.avoid_ms;
	x->resolved = false;
	x->n_found = 0;
	if (x->host_at + 1 == x->n_targets)
		return false;
	x->host_at++;
	return true;
}

/* Design, delivery contract: only before the dot, and only where this address, not this mail, is the
 * reason; never after throttling. */
static bool may_go_elsewhere(const struct xact *x, const struct ending *e)
{
	if (x->dot_written || x->cancelled)
		return false;
	switch (e->kind) {
	case END_CONNECT:
	case END_DNS:
	case END_LOST:
	case END_TIMEOUT:
	case END_GARBAGE:
	case END_TLS:
		return true;
	case END_REPLY:
		return verdict_classify(x->config, e->stage, &e->reply) == VERDICT_SERVICE;
	case END_RCPTS:
		for (size_t i = 0; i < x->n_rcpts; i++) {
			const struct deliver_reply *r = &x->rcpt_result[i].next_hop;
			enum verdict_class v = verdict_classify(x->config, STAGE_RCPT, r);

			if (v != VERDICT_OK && v != VERDICT_SERVICE)
				return false;
		}
		return true;
	default:
		return false;
	}
}

static bool is_telling(const struct ending *e)
{
	return e->kind == END_REPLY || e->kind == END_TLS;
}

static bool has_refusal(const struct xact *x)
{
	for (size_t i = 0; i < x->n_rcpts; i++) {
		uint16_t code = x->rcpt_result[i].next_hop.code;

		if (code && code / 100 != 2)
			return true;
	}
	return false;
}

void xact_ended(struct xact *x, const struct ending *ending)
{
	struct ending e = *ending;

	x->conn = NULL;
	x->place = XACT_NEW;
	if (x->has_cur && x->n_tried < LIMIT_ONWARD_ATTEMPTS && !xact_tried(x, &x->cur))
		x->tried[x->n_tried++] = x->cur;
	if (may_go_elsewhere(x, &e)) {
		bool told = x->has_cur; /* else: no address was left to try, which says nothing */

		if (next_address(x, &e)) {
			if (told && (!x->has_best || is_telling(&e))) {
				x->best = e;
				x->has_best = true;
			}
			x->has_cur = x->no_tls = false;
			deliver_count(x->d, CTL_nexthop_failover);
			if (!pool_wait(x, true))
				no_room(x);
			return;
		}
		/* What an address said is worth more than that another did not answer. */
		if (x->has_best && (!told || (is_telling(&x->best) && !is_telling(&e) &&
					      e.kind != END_RCPTS)))
			e = x->best;
	}
	/* The replies that it speaks of went when a later attempt began, which broke off. */
	if (e.kind == END_RCPTS && !has_refusal(x))
		e = (struct ending){.kind = END_LOST, .stage = STAGE_RCPT};
	finish(x, &e);
}

void xact_stale(struct xact *x, const struct ending *e)
{
	if (x->fresh_only) {
		xact_ended(x, e);
		return;
	}
	x->conn = NULL;
	x->place = XACT_NEW;
	x->has_cur = false;
	x->fresh_only = true;
	deliver_count(x->d, CTL_nexthop_stale);
	if (!pool_wait(x, true))
		no_room(x);
}

void xact_clear(struct xact *x)
{
	x->conn = NULL;
	x->place = XACT_NEW;
	x->has_cur = false;
	x->fresh_only = true;
	x->no_tls = true;
	if (!pool_wait(x, true))
		no_room(x);
}

static void tell(const struct xact *x, enum stage stage, const struct deliver_reply *said,
		 const char *text)
{
	struct host *h = x->last;
	struct deliver_alert a;

	if (!h)
		return;
	a = (struct deliver_alert){
		.route = h->pool->route, .host = h->name, .port = h->port, .stage = stage_name(stage),
		.said = said, .text = text,
	};
	if (deliver_alert_due(x->d, &h->alert, &a.untold))
		x->d->on_alert(x->d->alert_arg, &a);
}

void xact_route_alert(const struct xact *x, const char *text)
{
	struct deliver_alert a = {.route = x->route->name, .text = text};

	if (deliver_alert_due(x->d, &x->pool->alert, &a.untold))
		x->d->on_alert(x->d->alert_arg, &a);
}

void xact_alert(const struct xact *x, enum stage stage, const struct deliver_reply *said)
{
	deliver_count(x->d, CTL_nexthop_relay_fault);
	tell(x, stage, said, NULL);
}

void xact_warn(const struct xact *x, enum stage stage, const char *text)
{
	tell(x, stage, NULL, text);
}

void xact_reply(const struct xact *x, const struct ending *e, struct deliver_reply *reply,
		enum deliver_outcome *outcome, bool *alert)
{
	const char *id = x->trace_id;

	*outcome = DELIVER_DEFERRED;
	switch (e->kind) {
	case END_DELIVERED:
		*outcome = DELIVER_DELIVERED;
		verdict_pass(reply, &e->reply, id);
		return;
	case END_REPLY:
		switch (verdict_classify(x->config, e->stage, &e->reply)) {
		case VERDICT_RELAY:
			*alert = true;
			xact_alert(x, e->stage, &e->reply);
			verdict_relay(reply, id);
			return;
		case VERDICT_REJECT:
			if (truth_doubtful(x, reply))
				return;
			*outcome = DELIVER_REJECTED;
			break;
		default:
			break;
		}
		verdict_pass(reply, &e->reply, id);
		return;
	case END_LOCAL:
		*reply = e->reply;
		if (e->reply.code / 100 == 5)
			*outcome = DELIVER_REJECTED;
		return;
	case END_DNS:
		/* RFC 3463 3.5: X.4.3 the directory fails, X.4.4 it knows no way. */
		verdict_own(reply, 451, 4, x->dns_failed ? 3 : 4, "mail service is not found at the moment",
			    id);
		return;
	case END_ABORTED:
		*outcome = DELIVER_ABORTED;
		verdict_own(reply, 451, 3, 0, "given up before the message was handed on", id);
		return;
	case END_TLS:
		tls_reply(e->fault, reply, alert, id);
		return;
	case END_GARBAGE:
		if (e->stage == STAGE_TLS) {
			verdict_relay(reply, id);
			return;
		}
		if (!x->dot_written) {
			verdict_own(reply, 451, 5, 0, "mail service gave no valid answer", id);
			return;
		}
		break;
	default:
		break;
	}
	/* RFC 3463 3.5: X.4.1 nobody answered, X.4.2 the connection broke off. */
	if (e->stage <= STAGE_BANNER || e->stage == STAGE_TLS)
		verdict_own(reply, 451, 4, 1, "mail service does not answer, try again later", id);
	else
		verdict_own(reply, 451, 4, 2, "mail service broke off, try again later", id);
}
