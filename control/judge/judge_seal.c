/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Our part in a chain (RFC 8617): which results in our name are really ours, and the set that goes
 * on top. Signing takes 0.4 to 0.6 ms with RSA of 2048 bits, 0.05 ms with Ed25519, two signatures a set:
 * it is done by threads (control/auth/arc/pool.h), on the loop only where there are none, or too many
 * wait for them. A message that cannot be sealed leaves without a set: mail is worth more.
 */

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/auth/arc/pool.h"
#include "control/judge/judge_internal.h"
#include "postern/limits.h"
#include "postern/stats.h"

/* ---- sets of ours that come back ------------------------------------------------------------- */

/* Passed, and with a key of ours. Others may publish keys under our domain, for mail they send in
 * its name: it is not enough. */
static bool is_ours(const struct config *c, const struct dkim_signature *sig)
{
	return sig->result == DKIM_PASS && config_arc_is_ours(c, sig->domain, sig->selector);
}

/* One field under exactly that name: what a lenient reader would take for another stays removed. */
static bool is_plain(const struct headers *h, size_t field)
{
	return str_ieq(header_name(h, field), STR("ARC-Authentication-Results")) &&
	       !(h->field[field].flags &
		 (HEADER_F_BARE | HEADER_F_NUL | HEADER_F_SPACE_COLON | HEADER_F_MALFORMED));
}

void judge_own_sets(struct judge *j, const struct arc_results *arc)
{
	struct judgement *r = &j->result;
	long n;

	r->arc = arc;
	for (size_t i = 0; arc->result == ARC_PASS && i < arc->n; i++) {
		const struct arc_set *s = &arc->set[i];

		if (!r->drop[s->aar])
			continue;
		if (is_ours(j->req.config, &s->message) && is_ours(j->req.config, &s->sealed) &&
		    is_plain(&r->headers, s->aar)) {
			r->drop[s->aar] = DROP_NO;
			r->n_forged--;
			continue;
		}
		/* Without the field the chain is broken for whoever comes behind us, and we do not
		 * believe what speaks in our name. */
		if (r->arc != &j->no_arc) {
			j->no_arc = *arc;
			j->no_arc.result = ARC_FAIL;
			snprintf(j->no_arc.reason, sizeof(j->no_arc.reason),
				 "i=%zu: results in our name, not sealed by us", i + 1);
			r->arc = &j->no_arc;
		}
	}
	n = annotate_ranges(&r->headers, r->drop, r->range, JUDGE_RANGES);
	j->ranges_rc = n < 0 ? (int)n : 0;
	r->n_ranges = n < 0 ? 0 : (size_t)n;
}

/* ---- the set of this message ----------------------------------------------------------------- */

static void on_body(evutil_socket_t fd, short what, void *arg)
{
	struct judge *j = arg;

	(void)fd;
	(void)what;
	j->body_open = false;
	judge_one_done(j);
}

int judge_seal_prepare(struct judge *j)
{
	const struct config_route *route = j->route;
	int rc;

	j->body_hash = -1;
	if (!route || route->arc_seal == ARC_SEAL_NEVER ||
	    (route->arc_seal == ARC_SEAL_MODIFIED && !j->result.n_ranges))
		return 0;
	j->body_hash = canon_pass_add(&j->run->pass, CANON_RELAXED, UINT64_MAX);
	if (j->body_hash < 0)
		return j->body_hash;
	j->body = event_new(j->env.base, -1, 0, on_body, j);
	rc = j->body ? body_run_join(j->run, j->body) : -ENOMEM;
	if (rc) {
		if (j->body)
			event_free(j->body);
		j->body = NULL;
		return rc;
	}
	j->body_open = true;
	j->open++;
	return 0;
}

void judge_seal_cancel(struct judge *j)
{
	if (!j->body)
		return;
	body_run_leave(j->run, j->body);
	event_free(j->body);
	j->body = NULL;
	j->body_open = false;
}

static bool is_wanted(const struct judge *j)
{
	const struct judgement *r = &j->result;
	const struct config_route *route = j->route;

	/* Nothing of what is refused goes out; without a sender there was no look at the chain. */
	if (!route || r->policy.action >= POLICY_DEFER || !judge_sender_is_known(j))
		return false;
	return route->arc_seal == ARC_SEAL_ALWAYS ||
	       (route->arc_seal == ARC_SEAL_MODIFIED && r->out.headers_removed > 0);
}

/* What stands behind "Authentication-Results: id;", or behind the id alone where nothing does. */
static struct str results_of(const char *authres)
{
	struct str s = str_c(authres);

	return str_skip(s, str_find(s, ';') + 1);
}

static struct arc_seal_request seal_request(const struct judge *j, const struct config_arc_key *key,
					    const char *authres)
{
	const struct body_run *run = j->run;
	struct arc_seal_request req = {
		.key = key->key,
		.domain = key->domain,
		.selector = key->selector,
		.authserv_id = j->req.config->authserv_id,
		.results = results_of(authres),
		.now = (int64_t)(j->req.env->time_ns / 1000000000u),
	};

	/* The body leaves as it came: what the verifiers hashed is what is sealed. */
	if (run && run->done && !run->pass.failed && j->body_hash >= 0)
		req.body_hash = run->pass.hash[j->body_hash].digest;
	return req;
}

static const char *why_not(long rc)
{
	switch (rc) {
	case -ENOSPC:
		return "the header block is too large";
	case -ENOMEM:
		return "out of memory";
	case -EIO:
		return "the key could not sign";
	default:
		return "the chain cannot be continued";
	}
}

static void failed(struct judge *j, const char *why)
{
	j->result.seal.status = JUDGE_SEAL_FAILED;
	j->result.seal.reason = why;
	j->env.counters[CTL_arc_seal_failed]++;
}

static void skipped(struct judge *j, const char *why)
{
	j->result.seal.status = JUDGE_SEAL_SKIPPED;
	j->result.seal.reason = why;
	j->env.counters[CTL_arc_seal_skipped]++;
}

static void made(struct judge *j, const struct config_arc_key *key, const char *set, long n)
{
	struct judgement *r = &j->result;

	if (n > 0)
		n = annotate_on_top(&r->out, set, (size_t)n);
	if (n < 0) {
		failed(j, why_not(n));
		return;
	}
	r->seal = (struct judge_seal){.status = JUDGE_SEALED,
				      .domain = key->domain,
				      .selector = key->selector,
				      .cv = r->arc->result,
				      .instance = (unsigned int)r->arc->n + 1};
	j->env.counters[CTL_arc_sealed]++;
}

static void forget(struct judge *j)
{
	free(j->sealing.set);
	free(j->sealing.authres);
	memset(&j->sealing, 0, sizeof(j->sealing));
}

static void on_sealed(void *arg, long n)
{
	struct judge *j = arg;

	made(j, j->sealing.key, j->sealing.set, n);
	forget(j);
	judge_block_done(j);
}

void judge_seal_give_up(struct judge *j)
{
	if (!j->sealing.job)
		return;
	arc_job_cancel(j->sealing.job);
	forget(j);
}

void judge_seal_late(struct judge *j)
{
	judge_seal_give_up(j);
	failed(j, "it was not done in time");
}

/* True: on_sealed() comes. */
static bool seal(struct judge *j, const struct config_arc_key *key, const char *authres)
{
	const size_t cap = 3 * LIMIT_HEADER_FIELD;
	const struct judgement *r = &j->result;
	const struct mail_bytes content = {r->out.iov, r->out.n_iov, r->out.size};
	struct arc_seal_request req;
	long n = -ENOMEM;

	j->sealing.key = key;
	j->sealing.set = malloc(cap);
	j->sealing.authres = strdup(authres);
	if (j->sealing.set && j->sealing.authres) {
		req = seal_request(j, key, j->sealing.authres);
		if (j->env.seals)
			j->sealing.job = arc_pool_seal(j->env.seals, &req, &content, r->arc,
						       j->sealing.set, cap, on_sealed, j);
		if (j->sealing.job)
			return true;
		j->env.counters[CTL_arc_seal_waited] += j->env.seals != NULL;
		n = arc_seal(&req, &content, r->arc, j->sealing.set, cap);
	}
	made(j, key, j->sealing.set, n);
	forget(j);
	return false;
}

bool judge_seal(struct judge *j, const char *authres)
{
	struct judgement *r = &j->result;
	const struct config_arc_key *key;

	if (!is_wanted(j))
		return false;
	if (r->arc->ended) {
		skipped(j, "the chain has ended: its newest seal says cv=fail");
		return false;
	}
	if (r->arc->n >= LIMIT_ARC_SETS) {
		skipped(j, "the chain has 50 sets");
		return false;
	}
	key = config_arc_key_at(j->route, (int64_t)(j->req.env->time_ns / 1000000000u));
	if (!key) {
		failed(j, "no key of the route is active today");
		return false;
	}
	return seal(j, key, authres);
}
