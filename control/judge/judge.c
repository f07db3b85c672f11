/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/judge/judge_internal.h"
#include "postern/clock.h"
#include "postern/limits.h"
#include "postern/stats.h"

static void give_up_on_open(struct judge *j);

/* ---- the end: rules, policy, header block ---------------------------------------------------- */

static void count_results(struct judge *j)
{
	static const uint16_t spf[] = {
		[SPF_NONE] = CTL_spf_none,		[SPF_NEUTRAL] = CTL_spf_neutral,
		[SPF_PASS] = CTL_spf_pass,		[SPF_FAIL] = CTL_spf_fail,
		[SPF_SOFTFAIL] = CTL_spf_softfail,	[SPF_TEMPERROR] = CTL_spf_temperror,
		[SPF_PERMERROR] = CTL_spf_permerror,
	};
	static const uint16_t dmarc[] = {
		[DMARC_PASS] = CTL_dmarc_pass,		 [DMARC_NONE] = CTL_dmarc_none,
		[DMARC_PERMERROR] = CTL_dmarc_permerror, [DMARC_TEMPERROR] = CTL_dmarc_temperror,
		[DMARC_FAIL] = CTL_dmarc_fail,
	};
	const struct judgement *r = &j->result;
	uint64_t *c = j->env.counters;

	c[CTL_messages]++;
	c[spf[r->spf.result]]++;
	for (size_t i = 0; i < r->dkim->n; i++)
		switch (r->dkim->sig[i].result) {
		case DKIM_PASS: c[CTL_dkim_pass]++; break;
		case DKIM_FAIL: c[CTL_dkim_fail]++; break;
		case DKIM_TEMPERROR: c[CTL_dkim_temperror]++; break;
		case DKIM_PERMERROR: c[CTL_dkim_permerror]++; break;
		default: c[CTL_dkim_neutral]++;
		}
	c[r->arc->result == ARC_PASS ? CTL_arc_pass : r->arc->result == ARC_FAIL ? CTL_arc_fail
									       : CTL_arc_none]++;
	if (r->dmarc_judged)
		c[dmarc[r->dmarc.result]]++;
	c[CTL_dmarc_psl_differs] += r->dmarc.psl_differs;
	c[CTL_signatures_broken] += r->conflicts.broken;
	judge_count_policy(j);
	/* What follows was done to a message; nothing is done to one that was only watched. */
	if (j->req.env->flags & RECORD_F_OBSERVED)
		return;
	c[CTL_headers_removed] += r->n_forged;
	c[CTL_signatures_voided_oversigned_trace] += r->conflicts.oversigned_trace;
	c[CTL_signatures_voided_forged_own_header] += r->conflicts.forged_own_header;
	c[CTL_signatures_voided_foreign_trust] += r->conflicts.foreign_trust;
	c[CTL_received_spf_left_out] += r->spf_field_left_out;
	judge_foreign_count(j);
	if (r->origin.status == ORIGIN_UNRESOLVED)
		c[CTL_origin_unresolved]++;
	c[CTL_origin_unproven] += r->origin.unproven;
	c[CTL_origin_contradicted] += r->origin.contradicted;
	c[CTL_origin_chained] += r->origin.chain == CHAIN_VERIFIED;
	c[CTL_origin_chain_failed] += r->origin.chain > CHAIN_VERIFIED;
}

bool judge_sender_is_known(const struct judge *j)
{
	return j->result.origin.status != ORIGIN_UNRESOLVED &&
	       j->result.origin.status != ORIGIN_PRIVATE_PEER;
}

/* Optional: written if the route wants it and no signature would fail for it. "": not. */
static int spf_field(struct judge *j, const struct annotate_signatures *sigs, char *buf, size_t cap)
{
	struct judgement *r = &j->result;
	const struct config *c = j->req.config;

	buf[0] = '\0';
	if (!config_received_spf(c, j->route) || !judge_sender_is_known(j))
		return 0;
	if (!annotate_may_add(&r->headers, r->drop, sigs, STR("Received-SPF"))) {
		r->spf_field_left_out = true;
		return 0;
	}
	return judge_received_spf(r, j->req.env, judge_hostname(j), buf, cap);
}

/* later: its set is being made, the rest follows. */
static int make_block(struct judge *j, bool *later)
{
	struct judgement *r = &j->result;
	const struct config *c = j->req.config;
	const struct annotate_signatures sigs = {r->dkim, r->arc};
	const char **name = calloc(r->n_hits + LIMIT_DNSBLS + 1, sizeof(*name));
	char lists[LIMIT_DNSBLS][JUDGE_LIST_NAME];
	char authres[JUDGE_AUTHRES], chain[CHAIN_FIELD], spf[JUDGE_RECEIVED_SPF];
	struct annotate_input in = {
		.gateway = judge_hostname(j),
		.authserv_id = c->authserv_id,
		.prefix = config_header_prefix(c, j->route),
		.env = j->req.env,
		.origin = &r->origin,
		.ptr = r->ptr.name,
		.origin_ptr = r->origin_ptr.name,
		.authres = authres,
		.chain = chain,
		.received_spf = spf,
		.score = r->policy.score,
		.action = policy_action_name(r->policy.action),
		.would = r->policy.would != r->policy.action ? policy_action_name(r->policy.would)
							     : NULL,
		.rule = name,
		.n_rules = r->n_hits,
		.v6_plain = j->route && j->route->v6_plain,
		.exchange = j->route && j->route->received_exchange,
	};
	int rc = name ? j->ranges_rc : -ENOMEM;

	if (rc) {
		free(name);
		return rc;
	}
	for (size_t i = 0; i < r->n_hits; i++)
		name[i] = r->hit[i].rule->name;
	in.n_rules += judge_lists_names(j, lists, name + r->n_hits);
	rc = judge_authres(r, j->req.env, c->authserv_id, authres, sizeof(authres));
	if (!rc)
		rc = judge_chain_field(j, chain);
	if (!rc)
		rc = spf_field(j, &sigs, spf, sizeof(spf));
	if (!rc)
		rc = annotate_make(&in, j->req.content, r->range, r->n_ranges, &r->out);
	if (!rc) {
		for (size_t i = 0; i < r->headers.n; i++)
			r->out.headers_removed += r->drop[i] != DROP_NO;
		*later = !j->req.incomplete && judge_seal(j, authres);
	}
	free(name);
	return rc;
}

static void block_failed(struct judge *j, int rc)
{
	struct judgement *r = &j->result;

	r->error = rc;
	snprintf(r->error_text, sizeof(r->error_text), "header block: %s", strerror(-rc));
	judge_conclude(j);
}

void judge_block_done(struct judge *j)
{
	struct judgement *r = &j->result;
	const struct annotate_signatures sigs = {r->dkim, r->arc};

	/* Not the message's fault: -EBADMSG would say so. */
	if (annotate_prove(&r->out, j->req.content, r->range, r->n_ranges)) {
		block_failed(j, -EIO);
		return;
	}
	annotate_conflicts(&r->out, &r->headers, r->drop, &sigs, &r->conflicts);
	if (!judge_proof_start(j))
		judge_conclude(j);
}

static void finish(struct judge *j)
{
	struct judgement *r = &j->result;
	uint8_t alabels[LIMIT_PATH + MAIL_ALABEL];
	struct policy_input in;
	bool later = false;
	int rc = judge_rules(j);

	in = (struct policy_input){
		.config = r->policy_config,
		.origin = &r->origin,
		.spf = &r->spf,
		.dkim = j->req.incomplete ? NULL : r->dkim,
		.arc = r->arc,
		.arc_unanswered = j->arc_late,
		.dmarc = r->dmarc_judged ? &r->dmarc : NULL,
		.ptr = &r->origin_ptr,
		.dnsbl = r->dnsbl,
		.mail_from = mailbox_alabel(j->req.env->mail_from, alabels, sizeof(alabels)),
		.null_mx = r->null_mx,
		.quarantine = config_can_hold(j->req.config, r->policy_config),
		.hit = r->hit,
		.n_hits = r->n_hits,
	};
	policy_decide(&in, &r->policy);
	judge_foreign_decide(j);
	policy_dry_run(r->policy_config, &r->policy);
	if (!rc)
		rc = make_block(j, &later);
	if (rc)
		block_failed(j, rc);
	else if (!later)
		judge_block_done(j);
}

void judge_conclude(struct judge *j)
{
	struct judgement *r = &j->result;

	count_results(j);
	r->judge_us = clock_mono_us() - j->started_us;
	j->done = true;
	event_del(j->timer);
	j->cb(j->arg, r);
}

/* ---- the parallel part ------------------------------------------------------------------------ */

void judge_one_done(struct judge *j)
{
	if (--j->open)
		return;
	/* Never from inside the call that started it. */
	event_active(j->finish, 0, 0);
}

static void on_dmarc(void *arg, const struct dmarc_verdict *v)
{
	struct judge *j = arg;

	j->dmarc_open = false;
	j->result.dmarc = *v;
	j->result.dmarc_judged = true;
	finish(j);
}

/* SPF and DKIM are through; DMARC is made of both. */
static void on_finish(evutil_socket_t fd, short what, void *arg)
{
	struct judge *j = arg;
	struct dmarc_options opt = {.testing_counts = j->result.policy_config->dkim_testing_pass};
	const struct judgement *r = &j->result;
	struct dmarc_request req = {&r->headers, &r->spf, j->req.env->mail_from, r->dkim};

	(void)fd;
	(void)what;
	if (!judge_sender_is_known(j) || j->req.incomplete) {
		finish(j);
		return;
	}
	j->dmarc = dmarc_check(j->env.dns, j->env.base, &req, &opt, on_dmarc, j);
	j->dmarc_open = j->dmarc != NULL;
	if (!j->dmarc) {
		j->result.dmarc_judged = true;
		dmarc_verdict_temperror(&j->result.dmarc, "out of memory");
		finish(j);
	}
}

static void on_ptr(void *arg, const struct ptr_result *p)
{
	struct judge *j = arg;

	j->ptr = NULL;
	j->result.ptr = *p;
	if (!j->separate_origin_ptr)
		j->result.origin_ptr = *p;
	judge_one_done(j);
}

static void on_origin_ptr(void *arg, const struct ptr_result *p)
{
	struct judge *j = arg;

	j->origin_ptr = NULL;
	j->result.origin_ptr = *p;
	judge_one_done(j);
}

static void on_spf(void *arg, const struct spf_verdict *v)
{
	struct judge *j = arg;

	j->spf = NULL;
	j->result.spf = *v;
	judge_one_done(j);
}

static void on_spf_helo(void *arg, const struct spf_verdict *v)
{
	struct judge *j = arg;

	j->spf_helo = NULL;
	j->result.spf_helo = *v;
	judge_one_done(j);
}

static void on_dkim(void *arg, const struct dkim_results *d)
{
	struct judge *j = arg;

	j->dkim_open = false;
	j->result.dkim = d;
	judge_one_done(j);
}

static void on_arc(void *arg, const struct arc_results *a)
{
	struct judge *j = arg;

	j->arc_open = false;
	judge_own_sets(j, a);
	judge_one_done(j);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct judge *j = arg;

	(void)fd;
	(void)what;
	if (j->done)
		return;
	j->result.timed_out = true;
	/* Nobody knows who sent it. */
	if (j->chain.reading) {
		judge_failed(j, -ETIMEDOUT);
		return;
	}
	if (j->reverify) {
		judge_proof_give_up(j);
		judge_conclude(j);
		return;
	}
	if (j->sealing.job) {
		judge_seal_late(j);
		judge_block_done(j);
		return;
	}
	give_up_on_open(j);
	if (judge_sender_is_known(j) && !j->req.incomplete && !j->result.dmarc_judged) {
		j->result.dmarc_judged = true;
		dmarc_verdict_temperror(&j->result.dmarc, "no answer in time");
	}
	finish(j);
}

static void give_up_on_open(struct judge *j)
{
	struct judgement *r = &j->result;

	if (j->ptr) {
		ptr_cancel(j->ptr);
		j->ptr = NULL;
		r->ptr.status = PTR_TEMPFAIL;
	}
	if (j->origin_ptr) {
		ptr_cancel(j->origin_ptr);
		j->origin_ptr = NULL;
		r->origin_ptr.status = PTR_TEMPFAIL;
	}
	if (j->spf) {
		spf_cancel(j->spf);
		j->spf = NULL;
		r->spf.result = SPF_TEMPERROR;
		snprintf(r->spf.reason, sizeof(r->spf.reason), "no answer in time");
	}
	if (j->spf_helo) {
		spf_cancel(j->spf_helo);
		j->spf_helo = NULL;
		r->spf_helo.result = SPF_TEMPERROR;
	}
	if (j->dkim_open) {
		dkim_check_free(j->dkim);
		j->dkim = NULL;
		j->dkim_open = false;
		r->dkim = &j->no_dkim;
	}
	if (j->arc_open) {
		j->arc_open = false;
		j->arc_late = true;
		judge_own_sets(j, arc_give_up(j->arc, "no answer in time"));
	}
	judge_lists_give_up(j);
	judge_seal_cancel(j);
	if (j->dmarc_open) {
		dmarc_check_free(j->dmarc);
		j->dmarc = NULL;
		j->dmarc_open = false;
	}
	judge_chain_cancel(j);
	event_del(j->finish);
}

static int start_spf(struct judge *j)
{
	const struct mail_envelope *e = j->req.env;
	const struct origin *o = &j->result.origin;
	uint8_t alabels[LIMIT_PATH + MAIL_ALABEL];
	struct spf_request req = {
		.ip = o->ip,
		.identity = SPF_ID_MAILFROM,
		.helo = str_c(o->helo),
		/* RFC 8616 4: SPF knows A-labels only. */
		.mail_from = mailbox_alabel(e->mail_from, alabels, sizeof(alabels)),
		.hostname = str_c(judge_hostname(j)),
		.now = e->time_ns / 1000000000u,
	};

	j->spf = spf_check(j->env.spf, &req, on_spf, j);
	req.identity = SPF_ID_HELO;
	j->spf_helo = spf_check(j->env.spf, &req, on_spf_helo, j);
	j->open += 2;
	return j->spf && j->spf_helo ? 0 : -ENOMEM;
}

static int start_parallel(struct judge *j)
{
	const struct judgement *r = &j->result;
	struct dkim_options opt = {.now = (int64_t)(j->req.env->time_ns / 1000000000u),
				   .keys = j->env.keys},
			    dkim;
	int rc;

	/* Without a known sender there is nobody to judge; policy defers the message. */
	if (!judge_sender_is_known(j)) {
		j->result.dkim = &j->no_dkim;
		j->open = 1;
		judge_one_done(j);
		return 0;
	}
	j->separate_origin_ptr = memcmp(&r->origin.ip, &j->req.env->peer, sizeof(r->origin.ip)) != 0;
	j->ptr = ptr_resolve(j->env.dns, &j->req.env->peer, on_ptr, j);
	j->open++;
	if (j->separate_origin_ptr) {
		j->origin_ptr = ptr_resolve(j->env.dns, &r->origin.ip, on_origin_ptr, j);
		j->open++;
	}
	if (!j->ptr || (j->separate_origin_ptr && !j->origin_ptr))
		return -ENOMEM;
	if (j->req.incomplete) {
		j->result.dkim = &j->no_dkim;
		return judge_lists_start(j) ? -ENOMEM : start_spf(j);
	}
	j->run = body_run_new(j->env.base, &r->headers, j->req.content);
	if (!j->run)
		return -ENOMEM;
	opt.run = j->run;
	rc = judge_chain_prepare(j);
	if (!rc)
		rc = judge_seal_prepare(j);
	if (rc)
		return rc;
	/* A chain with l= is judged as it is written; policy_lift() believes no such one. */
	dkim = opt;
	dkim.l_policy_fail = r->policy_config->dkim_l_fail;
	j->dkim = dkim_verify(j->env.dns, j->env.base, &r->headers, j->req.content, &dkim, on_dkim, j);
	j->dkim_open = j->dkim != NULL;
	j->arc = arc_verify(j->env.dns, j->env.base, &r->headers, j->req.content, &opt, on_arc, j);
	j->arc_open = j->arc != NULL;
	j->open += 2;
	if (judge_lists_start(j))
		return -ENOMEM;
	if (!j->arc || !j->dkim)
		return -ENOMEM;
	return start_spf(j);
}

int judge_read_headers(struct judge *j)
{
	struct judgement *r = &j->result;
	const struct config *c = j->req.config;
	/* A copy under the whole's name is forged even where the route has one of its own. */
	const struct str prefix[] = {str_c(c->header_prefix),
				     str_c(config_header_prefix(c, j->route))};
	const struct annotate_own own = {str_c(c->authserv_id), prefix, 2};
	int rc = headers_parse(&r->headers, j->req.content);

	if (rc)
		return rc;
	/* What we cannot read to its end may hide a forged header; what starts with white space would
	 * become a part of ours. Such a message is refused, never passed on unread. */
	if (r->headers.flags & (HEADERS_F_TOO_LARGE | HEADERS_F_FIRST_FOLDED))
		return -EBADMSG;
	r->drop = calloc(r->headers.n + 1, sizeof(*r->drop));
	r->range = calloc(JUDGE_RANGES, sizeof(*r->range));
	if (!r->drop || !r->range)
		return -ENOMEM;
	r->n_forged = annotate_mark_forged(&r->headers, &own, r->drop);
	return 0;
}

int judge_origin(struct judge *j)
{
	const struct config *c = j->req.config;
	struct judgement *r = &j->result;
	const struct origin_request req = {
		.relays = &c->relays,
		.env = j->req.env,
		.headers = &r->headers,
		.allow_private = c->policy.allow_private_peer,
		.claim = j->chain.have ? &j->chain.claim : NULL,
	};
	int rc = origin_find(&req, &r->origin);
	long n;

	if (!rc)
		rc = judge_foreign_find(j);
	if (rc)
		return rc;
	n = annotate_ranges(&r->headers, r->drop, r->range, JUDGE_FORGED);
	if (n < 0)
		return n == -ENOSPC ? -EBADMSG : (int)n;
	r->n_ranges = (size_t)n;
	return start_parallel(j);
}

void judge_failed(struct judge *j, int rc)
{
	give_up_on_open(j);
	j->result.dkim = &j->no_dkim;
	j->result.error = rc;
	snprintf(j->result.error_text, sizeof(j->result.error_text), "reading the message: %s",
		 strerror(-rc));
	/* It may be due in this very turn, and one callback is all there is. */
	event_del(j->timer);
	event_active(j->failed, 0, 0);
}

static void on_failed(evutil_socket_t fd, short what, void *arg)
{
	struct judge *j = arg;

	(void)fd;
	(void)what;
	j->done = true;
	event_del(j->timer);
	j->env.counters[CTL_messages]++;
	j->cb(j->arg, &j->result);
}

const char *judge_hostname(const struct judge *j)
{
	const struct mail_envelope *e = j->req.env;
	const struct config *c = j->req.config;

	if (j->req.hostname)
		return j->req.hostname;
	return config_inline_hostname(c, config_inline_for(c, e->listener, &e->local, e->local_port));
}

void judge_find_route(struct judge *j)
{
	const struct mail_envelope *e = j->req.env;

	/* All recipients are of one route. */
	if (e->n_rcpts)
		j->route = config_route_at(j->req.config, e->listener, &e->local, e->local_port,
					   mailbox_domain(e->rcpt[0]));
}

/* A server in a cable writes its name as well: there it says nothing that it stands twice. */
static bool goes_round(const struct judge *j)
{
	const char *own = j->req.config->hostname, *by = judge_hostname(j);
	const struct mail_envelope *e = j->req.env;
	const struct headers *h = &j->result.headers;
	/* Its name may be our own. */
	bool shared = !strcmp(own, by) &&
		      config_inline_for(j->req.config, e->listener, &e->local, e->local_port);

	return origin_is_loop(h, str_c(own), shared, j->req.in_hand, j->req.in_hand_arg) ||
	       (strcmp(own, by) && origin_is_loop(h, str_c(by), true, j->req.in_hand, j->req.in_hand_arg));
}

struct judge *judge_start(const struct judge_env *env, const struct judge_request *req,
			  judge_callback *cb, void *arg)
{
	struct timeval limit = {.tv_sec = LIMIT_JUDGE_S};
	struct judge *j = calloc(1, sizeof(*j));
	bool later = false;
	int rc;

	if (!j)
		return NULL;
	j->env = *env;
	j->req = *req;
	j->cb = cb;
	j->arg = arg;
	j->started_us = clock_mono_us();
	j->result.arc = &j->no_arc;
	config_ref(req->config);
	/* All recipients are of one route. */
	judge_find_route(j);
	j->chain.sign = j->route ? j->route->chain : NULL;
	j->result.policy_config = config_policy_for(req->config, j->route);
	j->timer = evtimer_new(env->base, on_timer, j);
	j->finish = event_new(env->base, -1, 0, on_finish, j);
	j->failed = event_new(env->base, -1, 0, on_failed, j);
	if (!j->timer || !j->finish || !j->failed || evtimer_add(j->timer, &limit)) {
		judge_free(j);
		return NULL;
	}
	rc = judge_read_headers(j);
	if (!rc && req->refuse_loops && goes_round(j))
		rc = -ELOOP;
	if (!rc && !req->incomplete)
		rc = judge_chain_read(j, &later);
	if (!rc && !later)
		rc = judge_origin(j);
	if (rc)
		judge_failed(j, rc);
	return j;
}

void judge_free(struct judge *j)
{
	struct judgement *r;

	if (!j)
		return;
	r = &j->result;
	judge_proof_give_up(j);
	judge_seal_give_up(j);
	if (j->finish)
		give_up_on_open(j);
	if (j->dkim)
		dkim_check_free(j->dkim);
	if (j->arc)
		arc_check_free(j->arc);
	body_run_unref(j->run);
	judge_lists_free(j);
	dmarc_check_free(j->dmarc);
	if (j->timer)
		event_free(j->timer);
	if (j->finish)
		event_free(j->finish);
	if (j->failed)
		event_free(j->failed);
	annotate_free(&r->out);
	origin_free(&r->origin);
	headers_free(&r->headers);
	free(r->range);
	free(r->drop);
	judge_rules_free(j);
	config_unref(j->req.config);
	free(j);
}

const struct judgement *judge_result(const struct judge *j)
{
	return &j->result;
}
