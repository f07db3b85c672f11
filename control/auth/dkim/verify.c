/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/auth/dkim/body.h"
#include "control/auth/dkim/tags.h"

/*
 * Questions for the keys go out at once; while they are open the body is hashed in slices
 * (body.h), so that a large message does not hold the loop. A signature is checked when its key
 * arrives. The verdict over all is put together when body and answers are through.
 */

struct job {
	struct dkim_check *check;
	struct dkim_signature *sig;
	struct dkim_params p;
	struct dns_query *query;
	int hash;                  /* in the pass */
	struct dkim_key_verdict key;
};

struct dkim_check {
	const struct headers *headers;
	struct dkim_options opt;
	struct dns *dns;
	struct event *turn;
	dkim_callback *cb;
	void *arg;
	struct dkim_results results;
	struct body_run *run;
	unsigned int open;         /* DNS questions */
	struct job job[LIMIT_DKIM_SIGNATURES];
	size_t n_jobs;
};

const char *dkim_result_name(enum dkim_result r)
{
	static const char *const name[] = {
		[DKIM_NONE] = "none", [DKIM_PASS] = "pass", [DKIM_FAIL] = "fail",
		[DKIM_POLICY] = "policy", [DKIM_NEUTRAL] = "neutral",
		[DKIM_TEMPERROR] = "temperror", [DKIM_PERMERROR] = "permerror",
	};

	return (unsigned int)r < sizeof(name) / sizeof(name[0]) ? name[r] : "permerror";
}

/* ---- keys ----------------------------------------------------------------------------------- */

static void key_failed(struct job *j, enum dkim_result result, const char *why)
{
	j->key.result = result;
	snprintf(j->key.reason, sizeof(j->key.reason), "%s", why);
}

static void judge_key(struct job *j, const struct dns_answer *answer)
{
	struct dkim_check *c = j->check;
	uint8_t digest[CANON_DIGEST], text[DKIM_MAX_KEY_RECORD];
	size_t n = answer->n < DKIM_MAX_KEY_RECORDS ? answer->n : DKIM_MAX_KEY_RECORDS;

	if (answer->status == DNS_TEMPFAIL || answer->status == DNS_BOGUS) {
		j->key.result = DKIM_TEMPERROR;
		snprintf(j->key.reason, sizeof(j->key.reason), "key: DNS %.100s",
			 answer->reason ? answer->reason : "failure");
		return;
	}
	if (answer->status != DNS_OK || n == 0) {
		/* RFC 6376 6.1.2: no key is a permanent failure. */
		key_failed(j, DKIM_PERMERROR, "no key for signature");
		return;
	}
	if (canon_headers(c->headers, j->sig->signed_names, j->sig->n_signed, j->sig->field,
			  j->p.b_raw, j->p.header_canon, digest)) {
		key_failed(j, DKIM_TEMPERROR, "out of memory");
		return;
	}
	for (size_t i = 0; i < n && j->key.result != DKIM_PASS; i++) {
		long len = dns_txt(&answer->rr[i], text, sizeof(text));

		dkim_key_try(c->opt.keys, len < 0 ? STR_NONE : str_make(text, (size_t)len), &j->p,
			     digest, &j->key);
	}
	j->sig->key_bits = j->key.bits;
	j->sig->testing = j->key.testing;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void job_finish(struct job *j)
{
	struct dkim_check *c = j->check;
	struct dkim_signature *sig = j->sig;
	const struct canon_pass *pass = &c->run->pass;

	sig->result = j->key.result;
	memcpy(sig->reason, j->key.reason, sizeof(sig->reason));
	if (j->p.limit != UINT64_MAX)
		sig->body_length = pass->hash[j->hash].taken;
	if (sig->result == DKIM_PASS || sig->result == DKIM_FAIL)
		dkim_body_judge(pass, j->hash, &j->p, c->opt.l_policy_fail, sig);
}

static void turn_again(struct dkim_check *c)
{
	static const struct timeval now = {0, 0};

	event_add(c->turn, &now);
}

static void key_arrived(void *arg, const struct dns_answer *answer)
{
	struct job *j = arg;
	struct dkim_check *c = j->check;

	j->query = NULL;
	judge_key(j, answer);
	c->open--;
	if (c->open == 0 && c->run->done)
		turn_again(c);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct dkim_check *c = arg;

	(void)fd;
	(void)what;
	if (c->open || !c->run->done)
		return;
	for (size_t i = 0; i < c->n_jobs; i++)
		job_finish(&c->job[i]);
	c->cb(c->arg, &c->results); /* may free c */
}

static int signature_start(struct dkim_check *c, struct dkim_signature *sig)
{
	struct job *j;
	int rc;

	if (c->headers->flags & HEADERS_F_TOO_LARGE) {
		sig->result = DKIM_NEUTRAL;
		sig->body_length = UINT64_MAX;
		snprintf(sig->reason, sizeof(sig->reason), "header block too large");
		return 0;
	}
	if (c->n_jobs == LIMIT_DKIM_SIGNATURES) {
		sig->result = DKIM_NEUTRAL;
		sig->body_length = UINT64_MAX;
		snprintf(sig->reason, sizeof(sig->reason), "too many signatures");
		return 0;
	}
	j = &c->job[c->n_jobs];
	rc = dkim_signature_parse(header_value(c->headers, sig->field), DKIM_FIELD_SIGNATURE,
				  &c->opt, &j->p, sig);
	if (rc == -EBADMSG)
		return 0;
	if (rc)
		return rc;
	j->check = c;
	j->sig = sig;
	j->hash = canon_pass_add(&c->run->pass, j->p.body_canon, j->p.limit);
	if (j->hash < 0)
		return j->hash;
	j->query = dns_resolve(c->dns, str_c(j->p.key_name), DNS_TXT, key_arrived, j);
	if (!j->query)
		return -ENOMEM;
	c->n_jobs++;
	c->open++;
	return 0;
}

struct dkim_check *dkim_verify(struct dns *dns, struct event_base *base,
			       const struct headers *headers, const struct mail_bytes *content,
			       const struct dkim_options *opt, dkim_callback *cb, void *arg)
{
	const struct str name = STR("DKIM-Signature");
	struct dkim_check *c = calloc(1, sizeof(*c));
	size_t n = 0;
	int rc;

	if (!c)
		return NULL;
	c->headers = headers;
	c->opt = *opt;
	c->dns = dns;
	c->cb = cb;
	c->arg = arg;
	for (size_t i = headers_find(headers, name, 0); i < headers->n;
	     i = headers_find(headers, name, i + 1))
		n++;
	c->results.sig = calloc(n ? n : 1, sizeof(*c->results.sig));
	c->turn = evtimer_new(base, on_turn, c);
	if (!c->results.sig || !c->turn)
		goto fail;
	c->run = opt->run ? opt->run : body_run_new(base, headers, content);
	rc = c->run ? body_run_join(c->run, c->turn) : -ENOMEM;
	if (!opt->run)
		body_run_unref(c->run); /* joining took a reference of its own */
	if (rc) {
		c->run = NULL;
		goto fail;
	}
	for (size_t i = headers_find(headers, name, 0); i < headers->n;
	     i = headers_find(headers, name, i + 1)) {
		struct dkim_signature *sig = &c->results.sig[c->results.n++];

		sig->field = i;
		if (signature_start(c, sig))
			goto fail;
	}
	return c;
fail:
	dkim_check_free(c);
	return NULL;
}

void dkim_check_free(struct dkim_check *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_jobs; i++)
		if (c->job[i].query)
			dns_cancel(c->job[i].query);
	if (c->run)
		body_run_leave(c->run, c->turn);
	if (c->turn)
		event_free(c->turn);
	for (size_t i = 0; i < c->results.n; i++)
		free(c->results.sig[i].signed_names);
	free(c->results.sig);
	free(c);
}
