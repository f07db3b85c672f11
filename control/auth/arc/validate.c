/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/auth/arc/chain.h"
#include "control/auth/dkim/tags.h"

/*
 * RFC 8617 5.2, one signature a turn of the loop, in its order: the newest AMS, the seals from the
 * newest down, then the older AMS for oldest-pass; the first that fails ends it. A set can cost two
 * questions and two RSA operations, and there may be 50 sets: only when both signatures of the
 * newest set stand are the keys of the others asked for, all at once. The answer for a name is kept
 * until the end, since one sealer often comes twice.
 */

struct ask {
	struct arc_check *check;
	char name[LIMIT_DNS_NAME + 1];
	struct dns_query *query;
	enum dns_status status;
	char reason[100];
	uint8_t *text[DKIM_MAX_KEY_RECORDS]; /* NULL: one that could not be read */
	size_t len[DKIM_MAX_KEY_RECORDS];
	size_t n;
};

struct part { /* one AMS or one seal */
	struct dkim_params p;
	int hash; /* in the body run, of an AMS */
	struct ask *ask;
	bool parsed;
};

struct arc_check {
	const struct headers *headers;
	struct dkim_options opt;
	struct dns *dns;
	struct event *turn;
	struct body_run *run;
	arc_callback *cb;
	void *arg;
	struct arc_results results;
	struct part *message, *seal; /* by instance - 1 */
	struct ask *ask[2 * LIMIT_ARC_SETS];
	size_t n_asks;
	size_t step; /* of 2 * results.n */
	bool all_asked, told;
};

static void turn_again(struct arc_check *c)
{
	static const struct timeval now = {0, 0};

	event_add(c->turn, &now);
}

static void fail(struct arc_check *c, size_t i, const char *what, const char *why)
{
	struct arc_results *r = &c->results;

	r->result = ARC_FAIL;
	snprintf(r->reason, sizeof(r->reason), "i=%zu: %s: %s", i, what, why);
}

/* ---- keys ----------------------------------------------------------------------------------- */

static void key_keep(struct ask *a, const struct dns_rr *rr)
{
	uint8_t text[DKIM_MAX_KEY_RECORD];
	long n = dns_txt(rr, text, sizeof(text));

	if (n >= 0) {
		a->text[a->n] = malloc((size_t)n + 1);
		if (a->text[a->n]) {
			memcpy(a->text[a->n], text, (size_t)n);
			a->len[a->n] = (size_t)n;
		}
	}
	a->n++;
}

static void key_arrived(void *arg, const struct dns_answer *answer)
{
	struct ask *a = arg;

	a->query = NULL;
	a->status = answer->status;
	snprintf(a->reason, sizeof(a->reason), "%s", answer->reason ? answer->reason : "failure");
	for (size_t i = 0; i < answer->n && a->n < DKIM_MAX_KEY_RECORDS; i++)
		key_keep(a, &answer->rr[i]);
	turn_again(a->check);
}

/* One question a name. 0 or -ENOMEM. */
static int key_ask(struct arc_check *c, struct part *part)
{
	struct ask *a;

	if (!part->parsed || part->ask)
		return 0;
	for (size_t i = 0; i < c->n_asks; i++)
		if (str_ieq(str_c(c->ask[i]->name), str_c(part->p.key_name))) {
			part->ask = c->ask[i];
			return 0;
		}
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->check = c;
	memcpy(a->name, part->p.key_name, sizeof(a->name));
	c->ask[c->n_asks++] = part->ask = a;
	a->query = dns_resolve(c->dns, str_c(a->name), DNS_TXT, key_arrived, a);
	return a->query ? 0 : -ENOMEM;
}

static int keys_ask(struct arc_check *c)
{
	int rc = 0;

	for (size_t i = c->results.n; i > 0 && !rc; i--) {
		rc = key_ask(c, &c->seal[i - 1]);
		if (!rc)
			rc = key_ask(c, &c->message[i - 1]);
	}
	c->all_asked = true;
	return rc;
}

/* ---- one signature -------------------------------------------------------------------------- */

static void refuse(struct dkim_signature *sig, enum dkim_result result, const char *why)
{
	sig->result = result;
	snprintf(sig->reason, sizeof(sig->reason), "%s", why);
}

static int seal_digest(struct arc_check *c, size_t i, uint8_t *digest)
{
	size_t field[3 * LIMIT_ARC_SETS], n = arc_chain_sealed(&c->results, 1, i, field);

	return canon_fields(c->headers, field, n, c->results.set[i - 1].seal,
			    c->seal[i - 1].p.b_raw, CANON_RELAXED, digest);
}

static void judge_keys(struct dkim_keys *keys, const struct ask *a, const struct dkim_params *p,
		       const uint8_t *digest, struct dkim_signature *sig)
{
	struct dkim_key_verdict v = {.result = DKIM_NONE};

	if (a->status == DNS_TEMPFAIL || a->status == DNS_BOGUS) {
		sig->result = DKIM_TEMPERROR;
		snprintf(sig->reason, sizeof(sig->reason), "key: DNS %s", a->reason);
		return;
	}
	if (a->status != DNS_OK || a->n == 0) {
		refuse(sig, DKIM_PERMERROR, "no key for signature");
		return;
	}
	for (size_t i = 0; i < a->n && v.result != DKIM_PASS; i++)
		dkim_key_try(keys, a->text[i] ? str_make(a->text[i], a->len[i]) : STR_NONE, p,
			     digest, &v);
	refuse(sig, v.result, v.reason);
	sig->key_bits = v.bits;
	sig->testing = v.testing;
}

/* RFC 8617 5.2 steps 4 and 5: an AMS verifies as a DKIM-Signature does. */
static void judge_message(struct arc_check *c, size_t i)
{
	struct dkim_signature *sig = &c->results.set[i - 1].message;
	const struct part *part = &c->message[i - 1];
	uint8_t digest[CANON_DIGEST];

	if (canon_headers(c->headers, sig->signed_names, sig->n_signed, sig->field, part->p.b_raw,
			  part->p.header_canon, digest)) {
		refuse(sig, DKIM_TEMPERROR, "out of memory");
		return;
	}
	judge_keys(c->opt.keys, part->ask, &part->p, digest, sig);
	if (part->p.limit != UINT64_MAX)
		sig->body_length = c->run->pass.hash[part->hash].taken;
	if (sig->result == DKIM_PASS)
		dkim_body_judge(&c->run->pass, part->hash, &part->p, c->opt.l_policy_fail, sig);
}

/* RFC 8617 5.2 step 6. */
static void judge_seal(struct arc_check *c, size_t i)
{
	struct dkim_signature *sig = &c->results.set[i - 1].sealed;
	const struct part *part = &c->seal[i - 1];
	uint8_t digest[CANON_DIGEST];

	if (seal_digest(c, i, digest))
		refuse(sig, DKIM_TEMPERROR, "out of memory");
	else
		judge_keys(c->opt.keys, part->ask, &part->p, digest, sig);
}

/* ---- the whole ------------------------------------------------------------------------------ */

/* Step 0: newest AMS. 1 to n: seals from the newest down. n + 1 to 2n - 1: the older AMS. */
static bool step_is_seal(const struct arc_check *c)
{
	return c->step >= 1 && c->step <= c->results.n;
}

static size_t step_instance(const struct arc_check *c)
{
	size_t n = c->results.n;

	if (c->step == 0)
		return n;
	return step_is_seal(c) ? n + 1 - c->step : 2 * n - c->step;
}

/* One step. False: something is not there yet, or all is done. */
static bool step(struct arc_check *c)
{
	bool seal = step_is_seal(c);
	size_t i = step_instance(c);
	struct part *part = seal ? &c->seal[i - 1] : &c->message[i - 1];
	struct dkim_signature *sig;

	if (part->parsed && (part->ask->query || (!seal && !c->run->done)))
		return false;
	if (part->parsed && seal)
		judge_seal(c, i);
	else if (part->parsed)
		judge_message(c, i);
	sig = seal ? &c->results.set[i - 1].sealed : &c->results.set[i - 1].message;
	if (sig->result != DKIM_PASS) {
		/* RFC 8617 5.2: a DNS error, too, is a failure for good. */
		if (c->step <= c->results.n)
			fail(c, i, seal ? "ARC-Seal" : "ARC-Message-Signature", sig->reason);
		else
			c->results.oldest_pass = (unsigned int)i + 1;
		c->step = 2 * c->results.n;
		return true;
	}
	c->step++;
	return true;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct arc_check *c = arg;

	(void)fd;
	(void)what;
	/* A failure does not wait for the body or for other keys; those still come by here. */
	if (c->told)
		return;
	if (c->results.result == ARC_PASS && c->step < 2 * c->results.n) {
		if (!step(c))
			return;
		if (c->step == 2 && !c->all_asked && keys_ask(c)) {
			fail(c, c->results.n, "keys", "out of memory");
			c->step = 2 * c->results.n;
		}
		turn_again(c);
		return;
	}
	c->told = true;
	c->cb(c->arg, &c->results); /* may free c */
}

static int part_start(struct arc_check *c, struct part *part, enum dkim_field kind, size_t field,
		      struct dkim_signature *sig)
{
	int rc;

	sig->field = field;
	rc = dkim_signature_parse(header_value(c->headers, field), kind, &c->opt, &part->p, sig);
	if (rc == -EBADMSG)
		return 0;
	if (rc)
		return rc;
	if (kind == DKIM_FIELD_ARC_MESSAGE) {
		part->hash = canon_pass_add(&c->run->pass, part->p.body_canon, part->p.limit);
		if (part->hash == -ENOSPC) {
			refuse(sig, DKIM_NEUTRAL, "too many different l=");
			return 0;
		}
		if (part->hash < 0)
			return part->hash;
	}
	part->parsed = true;
	return 0;
}

static int parts_start(struct arc_check *c)
{
	struct arc_results *r = &c->results;
	int rc = 0;

	if (r->result != ARC_PASS)
		return 0;
	c->message = calloc(r->n, sizeof(*c->message));
	c->seal = calloc(r->n, sizeof(*c->seal));
	if (!c->message || !c->seal)
		return -ENOMEM;
	for (size_t i = r->n; i > 0 && !rc; i--) {
		struct arc_set *s = &r->set[i - 1];

		rc = part_start(c, &c->message[i - 1], DKIM_FIELD_ARC_MESSAGE, s->ams, &s->message);
		if (!rc)
			rc = part_start(c, &c->seal[i - 1], DKIM_FIELD_ARC_SEAL, s->seal,
					&s->sealed);
	}
	if (!rc)
		rc = key_ask(c, &c->message[r->n - 1]);
	return rc ? rc : key_ask(c, &c->seal[r->n - 1]);
}

struct arc_check *arc_verify(struct dns *dns, struct event_base *base,
			     const struct headers *headers, const struct mail_bytes *content,
			     const struct dkim_options *opt, arc_callback *cb, void *arg)
{
	struct arc_check *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return NULL;
	c->headers = headers;
	c->opt = *opt;
	c->dns = dns;
	c->cb = cb;
	c->arg = arg;
	c->turn = evtimer_new(base, on_turn, c);
	if (!c->turn || arc_chain_read(headers, &c->results))
		goto fail;
	c->run = opt->run ? opt->run : body_run_new(base, headers, content);
	rc = c->run ? body_run_join(c->run, c->turn) : -ENOMEM;
	if (!opt->run)
		body_run_unref(c->run); /* joining took a reference of its own */
	if (rc) {
		c->run = NULL;
		goto fail;
	}
	if (parts_start(c))
		goto fail;
	turn_again(c);
	return c;
fail:
	arc_check_free(c);
	return NULL;
}

static void ask_free(struct ask *a)
{
	if (a->query)
		dns_cancel(a->query);
	for (size_t i = 0; i < a->n; i++)
		free(a->text[i]);
	free(a);
}

const struct arc_results *arc_give_up(struct arc_check *c, const char *why)
{
	struct arc_results *r = &c->results;

	for (size_t i = 0; i < c->n_asks; i++)
		if (c->ask[i]->query) {
			dns_cancel(c->ask[i]->query);
			c->ask[i]->query = NULL;
		}
	event_del(c->turn);
	c->told = true;
	if (r->result == ARC_PASS) {
		r->result = ARC_FAIL;
		snprintf(r->reason, sizeof(r->reason), "%s", why);
	}
	return r;
}

void arc_check_free(struct arc_check *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_asks; i++)
		ask_free(c->ask[i]);
	if (c->run)
		body_run_leave(c->run, c->turn);
	if (c->turn)
		event_free(c->turn);
	for (size_t i = 0; c->results.set && i < LIMIT_ARC_SETS; i++)
		free(c->results.set[i].message.signed_names);
	free(c->results.set);
	free(c->message);
	free(c->seal);
	free(c);
}
