/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/auth/spf/spf_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

const char *spf_result_name(enum spf_result r)
{
	static const char *const name[] = {
		[SPF_NONE] = "none",           [SPF_NEUTRAL] = "neutral",
		[SPF_PASS] = "pass",           [SPF_FAIL] = "fail",
		[SPF_SOFTFAIL] = "softfail",   [SPF_TEMPERROR] = "temperror",
		[SPF_PERMERROR] = "permerror",
	};

	return (size_t)r < sizeof(name) / sizeof(name[0]) ? name[r] : "none";
}

static void release(struct spf_check *c)
{
	LIST_REMOVE(c, link);
	spf_share_leave(c);
	spf_run_abort(c->jail, &c->run);
	spf_fetch_free(c);
	spf_reverse_free(c);
	dns_cancel(c->explain_query);
	if (c->timer)
		event_free(c->timer);
	if (c->begin)
		event_free(c->begin);
	spf_tree_free(&c->tree);
	free(c->explain_text);
	free(c->strings);
	free(c);
}

static void printable(char *out, size_t cap, const char *in)
{
	size_t i = 0;

	for (; in[i] && i + 1 < cap; i++)
		out[i] = in[i] == ' ' || ascii_is_vchar((uint8_t)in[i]) ? in[i] : '?';
	out[i] = '\0';
}

/* The verdict is whole. */
static void tell(struct spf_check *c)
{
	struct spf_verdict out = c->verdict;
	spf_callback *cb = c->cb;
	void *arg = c->arg;

	c->jail->stats.by_result[out.result]++;
	release(c);
	cb(arg, &out);
}

void spf_finish(struct spf_check *c, enum spf_result result, const char *reason)
{
	struct spf_verdict *v = &c->verdict;
	bool error = result == SPF_TEMPERROR || result == SPF_PERMERROR;

	v->result = result;
	printable(v->reason, sizeof(v->reason), reason);
	printable(v->domain, sizeof(v->domain), c->verdict.domain);
	v->ttl = result == SPF_TEMPERROR || c->ttl == UINT32_MAX ? 0 : c->ttl;
	v->cacheable = result != SPF_TEMPERROR && v->ttl && !c->unsure;
	for (size_t i = 0; i < c->tree.n; i++)
		if (c->tree.node[i].rec.sender_macros)
			v->cacheable = false;
	if (error)
		v->mechanism[0] = '\0';
	spf_share_tell(c);
	tell(c);
}

void spf_context(const struct spf_check *c, const char *current, struct spf_macro_context *m)
{
	*m = (struct spf_macro_context){
		.ip = &c->ip,
		.local = c->local,
		.domain = c->domain,
		.current = str_c(current),
		.helo = c->helo,
		.hostname = c->hostname,
		.now = c->now,
	};
	if (c->reverse.state == SPF_REVERSE_READY)
		m->validated = spf_reverse_pick(c, m->current);
}

/* The directive of the judged domain's own policy that decided: an include, not what matched in it.
 */
static void name_mechanism(struct spf_check *c, struct spf_key at)
{
	const struct spf_term *t = spf_tree_matched(&c->tree, at, &c->ip);
	size_t node = at.node, o = 0;
	struct str s = t ? t->text : STR("default");

	for (; node < c->tree.n; node = c->tree.node[node].parent) {
		const struct spf_node *nd = &c->tree.node[node];

		if (nd->term == SPF_TERM_ROOT)
			break;
		if (nd->term == SPF_TERM_REDIRECT) /* its record stands in the place of the other */
			continue;
		s = c->tree.node[nd->parent].rec.term[nd->term].text;
	}
	for (; o < s.n && o + 1 < sizeof(c->verdict.mechanism); o++)
		c->verdict.mechanism[o] = (char)s.p[o];
	c->verdict.mechanism[o] = '\0';
}

/* The record that the term at `at` wanted is not there or not sound. RFC 7208 5.2, 6.1. */
static void record_trouble(struct spf_check *c, struct spf_key at)
{
	size_t i = spf_tree_child(&c->tree, at.node, at.term);
	const struct spf_node *nd = &c->tree.node[i];

	if (i == SPF_NODES_MAX)
		spf_finish(c, SPF_TEMPERROR, "SPF evaluator lost its place");
	else
		spf_finish(c, nd->state == SPF_NODE_TEMPFAIL ? SPF_TEMPERROR : SPF_PERMERROR,
			   nd->reason);
}

static void wanted(struct spf_check *c, const struct spf_wire_response *r)
{
	if (++c->rounds > SPF_ROUNDS_MAX || r->n_missing == 0) {
		spf_finish(c, SPF_TEMPERROR, "SPF evaluation does not come to an end");
		return;
	}
	for (size_t i = 0; i < r->n_missing; i++) {
		int rc = spf_fetch_add(c, r->missing[i]);

		if (rc) {
			spf_finish(c, SPF_TEMPERROR,
				   rc == -ENOMEM ? "out of memory"
						 : "SPF evaluator asked for what is not there");
			return;
		}
	}
	spf_fetch_pump(c);
}

static void result(struct spf_check *c, const struct spf_wire_response *r)
{
	name_mechanism(c, r->at);
	switch (r->result) {
	case SPF_FAIL:
		spf_explain(c);
		return;
	case SPF_PASS:
	case SPF_NEUTRAL:
	case SPF_SOFTFAIL:
		spf_finish(c, r->result, "");
		return;
	default: /* nothing we gave it can make it say so */
		spf_finish(c, SPF_PERMERROR, "SPF evaluator gave up");
	}
}

static void run_done(struct spf_run *run, const struct spf_wire_response *r, const char *why)
{
	struct spf_check *c = (struct spf_check *)((char *)run - offsetof(struct spf_check, run));

	if (!r) {
		spf_finish(c, SPF_TEMPERROR, why);
		return;
	}
	c->verdict.lookups = r->lookups;
	c->verdict.voids = r->voids;
	switch (r->outcome) {
	case SPF_OUT_RESULT:
		result(c, r);
		return;
	case SPF_OUT_MISSING:
		wanted(c, r);
		return;
	/* RFC 7208 4.6.4 */
	case SPF_OUT_LOOKUPS:
		spf_finish(c, SPF_PERMERROR, "more than 10 DNS lookups");
		return;
	case SPF_OUT_VOIDS:
		spf_finish(c, SPF_PERMERROR, "more than 2 void DNS lookups");
		return;
	case SPF_OUT_MX:
		spf_finish(c, SPF_PERMERROR, "more than 10 MX records");
		return;
	case SPF_OUT_TEMPFAIL:
		spf_finish(c, SPF_TEMPERROR, c->dns_reason);
		return;
	case SPF_OUT_RECORD:
		record_trouble(c, r->at);
		return;
	case SPF_OUT_REFUSED:
		c->jail->stats.refused_evaluator++;
		spf_finish(c, SPF_PERMERROR, "SPF evaluator refused a record");
		return;
	default:
		spf_finish(c, SPF_TEMPERROR, "SPF evaluator failed");
		return;
	}
}

static int encode(const struct spf_check *c, uint8_t *text, uint8_t *out, long *len)
{
	struct spf_wire_request *q = calloc(1, sizeof(*q));
	struct spf_buf b = {text, 0, SPF_WIRE_MAX, false};
	int rc = -ENOMEM;

	if (!q)
		return rc;
	q->seq = c->run.seq;
	q->v6 = !ip_is_v4(&c->ip);
	memcpy(q->ip, c->ip.a, 16);
	rc = spf_tree_encode(&c->tree, &c->ip, &b, q);
	for (size_t i = 0; i < c->n_answers; i++) {
		const struct spf_answer *a = c->answer[i];

		q->answer[i] =
			(struct spf_wire_answer){a->key, a->status, a->width, a->count, a->data};
	}
	q->n_answers = c->n_answers;
	if (!rc) {
		*len = spf_wire_put_request(q, out, SPF_WIRE_MAX);
		rc = *len < 0 ? (int)*len : 0;
	}
	free(q);
	return rc;
}

/* Without a sound record of the domain itself there is nothing to evaluate. */
static bool root_decides(struct spf_check *c)
{
	const struct spf_node *root = &c->tree.node[0];

	switch (root->state) {
	case SPF_NODE_OK:
		return false;
	case SPF_NODE_NONE:
		spf_finish(c, SPF_NONE, root->reason);
		return true;
	case SPF_NODE_TEMPFAIL:
		spf_finish(c, SPF_TEMPERROR, root->reason);
		return true;
	default:
		spf_finish(c, SPF_PERMERROR, root->reason);
		return true;
	}
}

void spf_evaluate(struct spf_check *c)
{
	const struct spf_node *newest = &c->tree.node[c->tree.n - 1];
	uint8_t *text, *out;
	long len = 0;
	int rc = -ENOMEM;

	if (newest->state == SPF_NODE_INVALID)
		c->jail->stats.refused_grammar++;
	if (root_decides(c))
		return;
	text = malloc(SPF_WIRE_MAX);
	out = malloc(SPF_WIRE_MAX);
	c->run.seq = ++c->jail->seq;
	if (text && out)
		rc = encode(c, text, out, &len);
	free(text);
	if (rc) {
		free(out);
		spf_finish(c, rc == -ENOMEM ? SPF_TEMPERROR : SPF_PERMERROR,
			   rc == -ENOMEM ? "out of memory" : "SPF records are too large");
		return;
	}
	spf_run_start(c->jail, &c->run, out, (size_t)len);
}

static void late(evutil_socket_t fd, short what, void *arg)
{
	struct spf_check *c = arg;

	(void)fd;
	(void)what;
	if (c->explaining) { /* the result is known, only its words are not */
		c->unsure = true;
		spf_finish(c, SPF_FAIL, "");
		return;
	}
	c->jail->stats.budget_exceeded++;
	/* RFC 7208 4.6.4 */
	spf_finish(c, SPF_TEMPERROR, "SPF check took too long");
}

/* RFC 7208 4.3: a multi-label domain name with labels of 1 to 63 octets. NUL and what is not ASCII
 * cannot be looked up either. */
static bool domain_fit(struct str d)
{
	size_t label = 0, dots = 0;

	if (d.n && d.p[d.n - 1] == '.')
		d.n--;
	if (d.n == 0 || d.n > LIMIT_DNS_NAME || d.p[0] == '[')
		return false;
	for (size_t i = 0; i <= d.n; i++) {
		if (i == d.n || d.p[i] == '.') {
			if (label == 0 || label > LIMIT_DNS_LABEL)
				return false;
			dots += i < d.n;
			label = 0;
		} else if (!ascii_is_vchar(d.p[i])) {
			return false;
		} else {
			label++;
		}
	}
	return dots > 0;
}

static void begin(evutil_socket_t fd, short what, void *arg)
{
	struct spf_check *c = arg;
	struct spf_key root = {SPF_KEY_RECORD, 0, SPF_TERM_ROOT, 0};

	(void)fd;
	(void)what;
	if (c->answered) {
		tell(c);
		return;
	}
	if (!domain_fit(c->domain)) {
		spf_finish(c, SPF_NONE,
			   c->verdict.identity == SPF_ID_HELO
				   ? "HELO is no domain name that can be checked"
				   : "MAIL FROM has no domain name that can be checked");
		return;
	}
	memcpy(c->verdict.domain, c->domain.p, c->domain.n);
	c->verdict.domain[c->domain.n] = '\0';
	if (spf_share_ask(c)) {
		if (c->answered)
			tell(c);
		return;
	}
	if (spf_fetch_add(c, root))
		spf_finish(c, SPF_TEMPERROR, "out of memory");
	else
		spf_fetch_pump(c);
}

static struct str copy(uint8_t **at, struct str s)
{
	struct str out = {*at, s.n};

	if (s.n)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return out;
}

static void choose(struct spf_check *c, enum spf_identity identity)
{
	/* RFC 7208 2.3, 2.4: HELO, and a null reverse-path, stand for postmaster@HELO. */
	if (identity == SPF_ID_HELO || c->mail_from.n == 0) {
		c->verdict.identity = SPF_ID_HELO;
		c->domain = c->helo;
		c->local = STR("postmaster");
		return;
	}
	c->verdict.identity = SPF_ID_MAILFROM;
	c->domain = mailbox_domain(c->mail_from);
	c->local = mailbox_local(c->mail_from);
	if (c->local.n == 0) /* RFC 7208 4.3 */
		c->local = STR("postmaster");
}

struct spf_check *spf_check(struct spf_jail *j, const struct spf_request *req, spf_callback *cb,
			    void *arg)
{
	struct spf_check *c = calloc(1, sizeof(*c));
	uint8_t *at;

	if (!c)
		return NULL;
	c->jail = j;
	c->cb = cb;
	c->arg = arg;
	c->ip = req->ip;
	c->now = req->now;
	c->ttl = UINT32_MAX;
	c->run.done = run_done;
	LIST_INIT(&c->fetches);
	LIST_INIT(&c->followers);
	LIST_INSERT_HEAD(&j->checks, c, link);
	c->strings = malloc(req->helo.n + req->mail_from.n + req->hostname.n + 1);
	c->timer = evtimer_new(j->base, late, c);
	c->begin = evtimer_new(j->base, begin, c);
	if (!c->strings || !c->timer || !c->begin || evtimer_add(c->timer, &j->budget) < 0) {
		release(c);
		return NULL;
	}
	at = c->strings;
	c->helo = copy(&at, req->helo);
	c->mail_from = copy(&at, req->mail_from);
	c->hostname = copy(&at, req->hostname);
	choose(c, req->identity);
	j->stats.checks++;
	event_active(c->begin, EV_TIMEOUT, 0);
	return c;
}

void spf_cancel(struct spf_check *c)
{
	if (c)
		release(c);
}

void spf_checks_free(struct spf_jail *j)
{
	struct spf_check *c;

	while ((c = LIST_FIRST(&j->checks)))
		release(c);
}
