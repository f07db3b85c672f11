/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/auth/dkim/tags.h"

/*
 * Questions for the keys go out at once; while they are open the body is hashed in slices, so that
 * a large message does not hold the loop. A signature is checked when its key arrives. The verdict
 * over all is put together when slices and answers are through.
 */

#define SLICE (1u << 20) /* octets of body hashed in one turn of the loop */

struct job {
	struct dkim_check *check;
	struct dkim_signature *sig;
	struct dkim_params p;
	struct dns_query *query;
	int hash;                  /* in the pass */
	enum dkim_result key_result;
	char key_reason[sizeof(((struct dkim_signature *)0)->reason)];
};

struct dkim_check {
	const struct headers *headers;
	struct mail_bytes content;
	struct dkim_options opt;
	struct dns *dns;
	struct event *turn;
	dkim_callback *cb;
	void *arg;
	struct dkim_results results;
	struct canon_pass pass;
	size_t piece, piece_off;   /* where the body pass stands */
	bool body_done;
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

/* Which of several keys' verdicts speaks for the signature: the one that got furthest. */
static unsigned int rank(enum dkim_result r)
{
	return r == DKIM_PASS ? 4 : r == DKIM_FAIL ? 3 : r == DKIM_POLICY ? 2 : r == DKIM_PERMERROR;
}

static void judge_record(struct job *j, const struct dns_rr *rr, const uint8_t *digest)
{
	uint8_t text[DKIM_MAX_KEY_RECORD];
	char reason[sizeof(j->key_reason)] = "";
	enum dkim_result res = DKIM_PERMERROR;
	struct dkim_key key;
	const char *why = "";
	uint32_t bits = 0;
	long n = dns_txt(rr, text, sizeof(text));

	if (n < 0) {
		snprintf(reason, sizeof(reason), "malformed key record");
	} else if (dkim_key_parse(str_make(text, (size_t)n), &key, &why)) {
		snprintf(reason, sizeof(reason), "key record: %s", why);
	} else {
		res = dkim_key_verify(&key, &j->p, digest, &bits, reason, sizeof(reason));
		if (rank(res) >= rank(j->key_result))
			j->sig->testing = key.testing;
	}
	if (rank(res) > rank(j->key_result)) {
		j->key_result = res;
		j->sig->key_bits = bits;
		snprintf(j->key_reason, sizeof(j->key_reason), "%s", reason);
	}
}

static void judge_key(struct job *j, const struct dns_answer *answer)
{
	struct dkim_check *c = j->check;
	uint8_t digest[CANON_DIGEST];
	size_t n = answer->n < DKIM_MAX_KEY_RECORDS ? answer->n : DKIM_MAX_KEY_RECORDS;

	if (answer->status == DNS_TEMPFAIL || answer->status == DNS_BOGUS) {
		j->key_result = DKIM_TEMPERROR;
		snprintf(j->key_reason, sizeof(j->key_reason), "key: DNS %.100s",
			 answer->reason ? answer->reason : "failure");
		return;
	}
	j->key_result = DKIM_NONE;
	if (answer->status != DNS_OK || n == 0) {
		/* RFC 6376 6.1.2: no key is a permanent failure. */
		j->key_result = DKIM_PERMERROR;
		snprintf(j->key_reason, sizeof(j->key_reason), "no key for signature");
		return;
	}
	if (canon_headers(c->headers, j->sig->signed_names, j->sig->n_signed, j->sig->field,
			  j->p.b_raw, j->p.header_canon, digest)) {
		j->key_result = DKIM_TEMPERROR;
		snprintf(j->key_reason, sizeof(j->key_reason), "out of memory");
		return;
	}
	for (size_t i = 0; i < n && j->key_result != DKIM_PASS; i++)
		judge_record(j, &answer->rr[i], digest);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void job_finish(struct job *j)
{
	struct dkim_check *c = j->check;
	struct dkim_signature *sig = j->sig;
	uint64_t total = c->pass.body[j->p.body_canon].total;
	bool limited = j->p.limit != UINT64_MAX;

	sig->result = j->key_result;
	snprintf(sig->reason, sizeof(sig->reason), "%s", j->key_reason);
	if (limited)
		sig->body_length = c->pass.hash[j->hash].taken;
	if (sig->result != DKIM_PASS && sig->result != DKIM_FAIL)
		return;
	if (c->pass.failed) {
		sig->result = DKIM_TEMPERROR;
		snprintf(sig->reason, sizeof(sig->reason), "out of memory");
	} else if (limited && j->p.limit > total) {
		/* RFC 6376 3.5: l= must not be larger than the canonical body. */
		sig->result = DKIM_PERMERROR;
		snprintf(sig->reason, sizeof(sig->reason), "l= is larger than the body");
	} else if (memcmp(c->pass.hash[j->hash].digest, j->p.body_hash, CANON_DIGEST) != 0) {
		sig->result = DKIM_FAIL;
		snprintf(sig->reason, sizeof(sig->reason), "body hash did not verify");
	} else if (sig->result == DKIM_PASS && limited && j->p.limit < total) {
		if (c->opt.l_policy_fail)
			sig->result = DKIM_POLICY;
		snprintf(sig->reason, sizeof(sig->reason), "l=%llu of %llu",
			 (unsigned long long)j->p.limit, (unsigned long long)total);
	}
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
	if (c->open == 0 && c->body_done)
		turn_again(c);
}

/* Hashes one slice. True when the body is through. */
static bool body_slice(struct dkim_check *c)
{
	size_t left = SLICE;

	while (c->piece < c->content.n_iov && left) {
		const struct iovec *v = &c->content.iov[c->piece];
		size_t n = v->iov_len - c->piece_off;

		if (n > left)
			n = left;
		if (n)
			canon_pass_update(&c->pass, (const uint8_t *)v->iov_base + c->piece_off, n);
		left -= n;
		c->piece_off += n;
		if (c->piece_off == v->iov_len) {
			c->piece++;
			c->piece_off = 0;
		}
	}
	return c->piece == c->content.n_iov;
}

static void body_start(struct dkim_check *c)
{
	c->piece_off = c->headers->body_off;
	while (c->piece < c->content.n_iov && c->piece_off >= c->content.iov[c->piece].iov_len)
		c->piece_off -= c->content.iov[c->piece++].iov_len;
	if (c->piece == c->content.n_iov)
		c->piece_off = 0;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct dkim_check *c = arg;

	(void)fd;
	(void)what;
	if (!c->body_done) {
		if (c->n_jobs && !body_slice(c)) {
			turn_again(c);
			return;
		}
		canon_pass_end(&c->pass);
		c->body_done = true;
	}
	if (c->open)
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
	rc = dkim_signature_parse(header_value(c->headers, sig->field), &c->opt, &j->p, sig);
	if (rc == -EBADMSG)
		return 0;
	if (rc)
		return rc;
	j->check = c;
	j->sig = sig;
	j->hash = canon_pass_add(&c->pass, j->p.body_canon, j->p.limit);
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

	if (!c)
		return NULL;
	c->headers = headers;
	c->content = *content;
	c->opt = *opt;
	c->dns = dns;
	c->cb = cb;
	c->arg = arg;
	canon_pass_init(&c->pass);
	for (size_t i = headers_find(headers, name, 0); i < headers->n;
	     i = headers_find(headers, name, i + 1))
		n++;
	c->results.sig = calloc(n ? n : 1, sizeof(*c->results.sig));
	c->turn = evtimer_new(base, on_turn, c);
	if (!c->results.sig || !c->turn)
		goto fail;
	for (size_t i = headers_find(headers, name, 0); i < headers->n;
	     i = headers_find(headers, name, i + 1)) {
		struct dkim_signature *sig = &c->results.sig[c->results.n++];

		sig->field = i;
		if (signature_start(c, sig))
			goto fail;
	}
	body_start(c);
	turn_again(c);
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
	if (c->turn)
		event_free(c->turn);
	canon_pass_free(&c->pass);
	for (size_t i = 0; i < c->results.n; i++)
		free(c->results.sig[i].signed_names);
	free(c->results.sig);
	free(c);
}
