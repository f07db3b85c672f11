/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/dns/dns_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unbound-event.h>
#include <unbound.h>

#include "postern/clock.h"

/*
 * libunbound gives no dependable cancel for questions asked by event, so each has a ticket: the
 * question may go, the ticket stays until libunbound has answered it or is gone itself.
 */
struct ticket {
	LIST_ENTRY(ticket) link;
	struct dns_query *q; /* NULL: nobody wants the answer any more */
};

struct dns_unbound {
	struct ub_ctx *ctx;
	LIST_HEAD(ticket_list, ticket) tickets;
};

#define SEC_BOGUS  1
#define SEC_SECURE 2

static bool option(struct ub_ctx *ctx, const char *opt, const char *val, char *err, size_t err_len)
{
	int rc = ub_ctx_set_option(ctx, opt, val);

	if (rc)
		snprintf(err, err_len, "libunbound option %s %s: %s", opt, val, ub_strerror(rc));
	return rc == 0;
}

static bool defaults(struct ub_ctx *ctx, const struct dns_options *opt, char *err, size_t err_len)
{
	/* Without an anchor there is nothing to validate with. Private reverse zones are asked like
	 * any other: the operator's forwarder or stub may well serve them. EDNS size: DNS flag day.
	 */
	return option(ctx,
		      "module-config:", opt->trust_anchor_file ? "validator iterator" : "iterator",
		      err, err_len) &&
	       option(ctx, "do-not-query-localhost:", "no", err, err_len) &&
	       option(ctx, "unblock-lan-zones:", "yes", err, err_len) &&
	       option(ctx, "insecure-lan-zones:", "yes", err, err_len) &&
	       option(ctx, "edns-buffer-size:", "1232", err, err_len) &&
	       option(ctx, "use-syslog:", "no", err, err_len) &&
	       option(ctx, "cache-max-negative-ttl:", "900", err, err_len);
}

static bool servers(struct ub_ctx *ctx, const struct dns_options *opt, char *err, size_t err_len)
{
	int rc;

	for (size_t i = 0; i < opt->n_forwarders; i++) {
		rc = ub_ctx_set_fwd(ctx, opt->forwarder[i]);
		if (rc) {
			snprintf(err, err_len, "forwarder %s: %s", opt->forwarder[i],
				 ub_strerror(rc));
			return false;
		}
	}
	for (size_t i = 0; i < opt->n_stubs; i++) {
		rc = ub_ctx_set_stub(ctx, opt->stub[i].zone, opt->stub[i].addr, 0);
		if (rc) {
			snprintf(err, err_len, "stub zone %s at %s: %s", opt->stub[i].zone,
				 opt->stub[i].addr, ub_strerror(rc));
			return false;
		}
	}
	if (opt->trust_anchor_file) {
		FILE *f = fopen(opt->trust_anchor_file, "re");

		/* libunbound opens it at the first question only; the operator should hear now. */
		if (!f) {
			snprintf(err, err_len, "%s: %s", opt->trust_anchor_file, strerror(errno));
			return false;
		}
		fclose(f);
		rc = ub_ctx_add_ta_file(ctx, opt->trust_anchor_file);
		if (rc) {
			snprintf(err, err_len, "%s: %s", opt->trust_anchor_file, ub_strerror(rc));
			return false;
		}
	}
	return true;
}

struct dns_unbound *dns_unbound_new(struct event_base *base, const struct dns_options *opt,
				    char *err, size_t err_len)
{
	struct dns_unbound *u = calloc(1, sizeof(*u));

	if (!u) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	LIST_INIT(&u->tickets);
	u->ctx = ub_ctx_create_event(base);
	if (!u->ctx) {
		snprintf(err, err_len, "libunbound gives no context on this event base");
		goto fail;
	}
	ub_ctx_debugout(u->ctx, NULL);
	if (defaults(u->ctx, opt, err, err_len) && servers(u->ctx, opt, err, err_len))
		return u;
fail:
	dns_unbound_free(u);
	return NULL;
}

void dns_unbound_free(struct dns_unbound *u)
{
	struct ticket *t;

	if (!u)
		return;
	if (u->ctx)
		ub_ctx_delete(u->ctx);
	while ((t = LIST_FIRST(&u->tickets))) {
		LIST_REMOVE(t, link);
		free(t);
	}
	free(u);
}

static void answered(void *arg, int rcode, void *packet, int packet_len, int sec, char *why_bogus,
		     int was_ratelimited)
{
	struct ticket *t = arg;
	struct dns_query *q = t->q;
	struct dns_parsed *a;

	LIST_REMOVE(t, link);
	free(t);
	if (!q)
		return;
	q->ticket = NULL;
	a = &q->answer;
	if (sec == SEC_BOGUS) {
		char why[80];

		snprintf(why, sizeof(why), "DNSSEC: %s", why_bogus ? why_bogus : "bogus");
		dns_parsed_fail(a, why);
		a->status = DNS_BOGUS;
	} else if (was_ratelimited) {
		dns_parsed_fail(a, "rate limited");
	} else if (rcode != 0 && rcode != 3) {
		char why[40];

		snprintf(why, sizeof(why), "%s (RCODE %d)", rcode == 2 ? "SERVFAIL" : "failed",
			 rcode);
		dns_parsed_fail(a, why);
	} else if (!packet || packet_len <= 0) {
		/* RFC 2308: nothing but the code came; a minute is the shortest sane negative
		 * answer. */
		a->status = rcode == 3 ? DNS_NXDOMAIN : DNS_NODATA;
		a->ttl = 60;
	} else if (dns_packet_parse(a, packet, (size_t)packet_len, &q->name, q->type) == -ENOMEM) {
		dns_parsed_fail(a, "out of memory");
	}
	a->secure = sec == SEC_SECURE && a->status != DNS_TEMPFAIL;
	dns_cache_put(q->d->cache, &q->name, q->type, clock_mono_us(), a);
	dns_query_done(q);
}

/* Presentation form with every octet that is not a letter, digit, '-' or '_' escaped. */
static void escape(const struct dns_wire_name *w, char *out)
{
	size_t at = 0;

	if (w->b[0] == 0)
		*out++ = '.';
	while (w->b[at]) {
		size_t k = w->b[at++];

		for (; k; k--, at++) {
			uint8_t c = w->b[at];

			if (ascii_is_alnum(c) || c == '-' || c == '_') {
				*out++ = (char)c;
			} else {
				*out++ = '\\';
				*out++ = (char)('0' + c / 100);
				*out++ = (char)('0' + c / 10 % 10);
				*out++ = (char)('0' + c % 10);
			}
		}
		*out++ = '.';
	}
	*out = '\0';
}

int dns_unbound_ask(struct dns_unbound *u, struct dns_query *q)
{
	struct ticket *t = calloc(1, sizeof(*t));
	char text[4 * DNS_WIRE_NAME + 2];
	int rc;

	if (!t)
		return -ENOMEM;
	t->q = q;
	q->ticket = t;
	LIST_INSERT_HEAD(&u->tickets, t, link);
	escape(&q->name, text);
	/* May call answered() before it returns, for names it knows itself. */
	rc = ub_resolve_event(u->ctx, text, q->type, 1, t, answered, NULL);
	if (rc) {
		LIST_REMOVE(t, link);
		free(t);
		q->ticket = NULL;
		dns_parsed_fail(&q->answer, ub_strerror(rc));
		dns_query_done(q);
	}
	return 0;
}

void dns_unbound_forget(struct dns_query *q)
{
	struct ticket *t = q->ticket;

	t->q = NULL;
	q->ticket = NULL;
}
