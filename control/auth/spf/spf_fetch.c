/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/auth/spf/spf_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "postern/utf8.h"

#define TXT_MAX 65535

static void fetch_free(struct spf_fetch *f)
{
	LIST_REMOVE(f, link);
	dns_cancel(f->query);
	free(f);
}

void spf_fetch_free(struct spf_check *c)
{
	struct spf_fetch *f;

	while ((f = LIST_FIRST(&c->fetches)))
		fetch_free(f);
	for (size_t i = 0; i < c->n_answers; i++) {
		free(c->answer[i]->host);
		free(c->answer[i]);
	}
	c->n_answers = 0;
}

static struct spf_answer *find(const struct spf_check *c, struct spf_key k)
{
	for (size_t i = 0; i < c->n_answers; i++)
		if (spf_key_eq(c->answer[i]->key, k))
			return c->answer[i];
	return NULL;
}

static struct spf_answer *store(struct spf_check *c, struct spf_key k, uint8_t status)
{
	struct spf_answer *a;

	if (c->n_answers == SPF_WIRE_ANSWERS)
		return NULL;
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->key = k;
	a->status = status;
	c->answer[c->n_answers++] = a;
	return a;
}

/* The term a key speaks of; NULL for the root's record and redirects (*spec then says what) or if
 * there is no such term. */
static const struct spf_term *term_of(const struct spf_check *c, struct spf_key k)
{
	const struct spf_node *nd = &c->tree.node[k.node];

	if (k.node >= c->tree.n || nd->state != SPF_NODE_OK || k.term >= nd->rec.n_terms)
		return NULL;
	return &nd->rec.term[k.term];
}

static bool key_valid(const struct spf_check *c, struct spf_key k)
{
	const struct spf_term *t = term_of(c, k);
	const struct spf_answer *list;

	switch (k.kind) {
	case SPF_KEY_RECORD:
		if (k.term == SPF_TERM_ROOT)
			return c->tree.n == 0 && k.node == 0;
		if (spf_tree_child(&c->tree, k.node, k.term) != SPF_NODES_MAX)
			return false;
		if (k.term == SPF_TERM_REDIRECT)
			return k.node < c->tree.n && c->tree.node[k.node].rec.redirect.n;
		return t && t->mech == SPF_MECH_INCLUDE;
	case SPF_KEY_TARGET:
		return t && (t->mech == SPF_MECH_A || t->mech == SPF_MECH_MX ||
			     t->mech == SPF_MECH_EXISTS);
	case SPF_KEY_MX:
		list = find(c, (struct spf_key){SPF_KEY_TARGET, k.node, k.term, 0});
		return t && t->mech == SPF_MECH_MX && list && list->host && k.index < list->count;
	case SPF_KEY_PTR:
		return t && t->mech == SPF_MECH_PTR && k.index == 0;
	case SPF_KEY_PTR_HOST:
		return t && t->mech == SPF_MECH_PTR && k.index < c->reverse.n;
	default:
		return false;
	}
}

int spf_fetch_add(struct spf_check *c, struct spf_key k)
{
	struct spf_fetch *f;

	if (!key_valid(c, k) || find(c, k))
		return -EINVAL;
	LIST_FOREACH (f, &c->fetches, link)
		if (spf_key_eq(f->key, k))
			return -EINVAL;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->c = c;
	f->key = k;
	LIST_INSERT_HEAD(&c->fetches, f, link);
	return 0;
}

/* RFC 7208 4.5: the one record with the version. */
static void take_record(struct spf_fetch *f, const struct dns_answer *a)
{
	struct spf_check *c = f->c;
	enum spf_node_state state = SPF_NODE_NONE;
	struct spf_node *nd;
	uint8_t *text = NULL, *buf = malloc(TXT_MAX);
	const char *why = "no SPF record";
	size_t len = 0;

	if (!buf || a->status == DNS_TEMPFAIL || a->status == DNS_BOGUS) {
		state = SPF_NODE_TEMPFAIL;
		why = buf ? a->reason : "out of memory";
	}
	for (size_t i = 0; i < a->n && buf; i++) {
		long n = dns_txt(&a->rr[i], buf, TXT_MAX);

		if (n < 0 || !spf_is_record(str_make(buf, (size_t)n)))
			continue;
		if (state == SPF_NODE_OK) {
			state = SPF_NODE_INVALID;
			why = "more than one SPF record";
			break;
		}
		text = malloc((size_t)n);
		if (!text) {
			state = SPF_NODE_TEMPFAIL;
			why = "out of memory";
			break;
		}
		memcpy(text, buf, (size_t)n);
		len = (size_t)n;
		state = SPF_NODE_OK;
	}
	free(buf);
	if (state != SPF_NODE_OK) {
		free(text);
		text = NULL;
		len = 0;
	}
	nd = spf_tree_add(&c->tree, f->key.node, f->key.term, state, f->name, text, len);
	if (nd && state != SPF_NODE_OK)
		snprintf(nd->reason, sizeof(nd->reason), "%.100s: %.80s", f->name, why);
}

static void take_hosts(struct spf_check *c, struct spf_answer *a, const struct dns_answer *d)
{
	/* RFC 7208 4.6.4: more than ten is a permerror. */
	if (d->n > LIMIT_SPF_MX) {
		a->status = SPF_ANSWER_TOO_MANY;
		return;
	}
	a->host = calloc(d->n ? d->n : 1, sizeof(*a->host));
	for (size_t i = 0; i < d->n && a->host; i++)
		/* RFC 7505: the null MX names no host. */
		if (dns_name(&d->rr[i], 2, a->host[a->count], sizeof(*a->host)) > 0)
			a->count++;
	(void)c;
}

static void take_addresses(struct spf_check *c, struct spf_answer *a, const struct spf_term *t,
			   const struct dns_answer *d)
{
	bool v4 = ip_is_v4(&c->ip) || t->mech == SPF_MECH_EXISTS;

	a->width = v4 ? 4 : 16;
	for (size_t i = 0; i < d->n && a->count < SPF_WIRE_ADDRESSES; i++) {
		if (d->rr[i].len != a->width)
			continue;
		memcpy(a->data + (size_t)a->count * a->width, d->rr[i].data, a->width);
		a->count++;
	}
	if (t->mech != SPF_MECH_EXISTS && a->count && spf_term_any(t, &c->ip)) {
		memcpy(a->data, v4 ? c->ip.a + 12 : c->ip.a, a->width);
		a->count = 1;
	}
}

static void answered(void *arg, const struct dns_answer *d)
{
	struct spf_fetch *f = arg;
	struct spf_check *c = f->c;
	const struct spf_term *t = term_of(c, f->key);
	bool failed = d->status == DNS_TEMPFAIL || d->status == DNS_BOGUS;
	struct spf_answer *a;

	f->query = NULL;
	c->unsure |= failed;
	if (!failed && d->ttl < c->ttl)
		c->ttl = d->ttl;
	if (f->key.kind == SPF_KEY_RECORD) {
		take_record(f, d);
	} else {
		a = store(c, f->key,
			  failed                ? SPF_ANSWER_TEMPFAIL
			  : d->status == DNS_OK ? SPF_ANSWER_OK
						: SPF_ANSWER_VOID);
		if (failed)
			snprintf(c->dns_reason, sizeof(c->dns_reason), "%.100s: %.50s", f->name,
				 d->reason);
		if (a && t && a->status == SPF_ANSWER_OK) {
			if (f->key.kind == SPF_KEY_TARGET && t->mech == SPF_MECH_MX)
				take_hosts(c, a, d);
			else
				take_addresses(c, a, t, d);
		}
	}
	fetch_free(f);
	spf_fetch_pump(c);
}

/* Answers for ptr come from the reverse lookups. */
static void take_reverse(struct spf_fetch *f, struct str target)
{
	struct spf_check *c = f->c;
	const struct spf_reverse *r = &c->reverse;
	struct spf_answer *a;
	bool v4 = ip_is_v4(&c->ip);

	if (f->key.kind == SPF_KEY_PTR) {
		a = store(c, f->key, r->status);
		if (!a || r->status != SPF_ANSWER_OK)
			return;
		a->width = 1;
		a->count = (uint16_t)r->n;
		for (size_t i = 0; i < r->n; i++)
			a->data[i] = spf_is_within(str_c(r->host[i].name), target);
		return;
	}
	a = store(c, f->key, r->host[f->key.index].confirmed ? SPF_ANSWER_OK : SPF_ANSWER_VOID);
	if (!a || a->status != SPF_ANSWER_OK)
		return;
	a->width = v4 ? 4 : 16;
	a->count = 1;
	memcpy(a->data, v4 ? c->ip.a + 12 : c->ip.a, a->width);
}

/* The name a key stands for. Length, -EAGAIN (wants the reverse name), -ENOSPC or -EINVAL. */
static long name_of(struct spf_check *c, struct spf_key k, char *out, size_t cap)
{
	const struct spf_node *nd = &c->tree.node[k.node];
	struct spf_macro_context m;
	struct str spec;
	long n;

	if (k.kind == SPF_KEY_RECORD && k.term == SPF_TERM_ROOT) {
		memcpy(out, c->verdict.domain, strlen(c->verdict.domain) + 1);
		return (long)strlen(out);
	}
	if (k.kind == SPF_KEY_MX) {
		const struct spf_answer *a =
			find(c, (struct spf_key){SPF_KEY_TARGET, k.node, k.term, 0});

		snprintf(out, cap, "%s", a->host[k.index]);
		return (long)strlen(out);
	}
	spec = k.term == SPF_TERM_REDIRECT ? nd->rec.redirect : nd->rec.term[k.term].domain;
	if (spec.n == 0) {
		snprintf(out, cap, "%s", nd->domain);
		return (long)strlen(out);
	}
	spf_context(c, nd->domain, &m);
	n = spf_macro_domain(spec, &m, (uint8_t *)out, cap - 1);
	if (n >= 0)
		out[n] = '\0';
	return n;
}

static uint16_t type_of(const struct spf_check *c, struct spf_key k)
{
	const struct spf_term *t = term_of(c, k);

	if (k.kind == SPF_KEY_RECORD)
		return DNS_TXT;
	if (k.kind == SPF_KEY_TARGET && t->mech == SPF_MECH_MX)
		return DNS_MX;
	/* RFC 7208 5.7: exists asks for A, whatever the client's family. */
	return t->mech == SPF_MECH_EXISTS || ip_is_v4(&c->ip) ? DNS_A : DNS_AAAA;
}

/* 1: done at once; 0: under way; -ENOMEM. */
static int fetch_start(struct spf_fetch *f)
{
	struct spf_check *c = f->c;
	bool ptr = f->key.kind == SPF_KEY_PTR || f->key.kind == SPF_KEY_PTR_HOST;
	long n = name_of(c, f->key, f->name, sizeof(f->name));

	if (n == -EAGAIN || (ptr && c->reverse.state != SPF_REVERSE_READY))
		return spf_reverse_start(c);
	/* Expands to more than any name: as good as not there. RFC 8616 4: what a macro made of a UTF-8
	 * local part never matches, whatever octets are in the DNS. */
	if (n < 0 || (f->key.kind != SPF_KEY_MX && !utf8_is_ascii(str_make(f->name, (size_t)n))))
		n = 0;
	if (ptr) {
		take_reverse(f, str_make(f->name, (size_t)n));
		return 1;
	}
	/* A name that DNS cannot carry (NUL, empty or long labels) is answered NXDOMAIN. */
	if (n == 0 && f->key.kind != SPF_KEY_MX)
		f->query = dns_resolve(c->jail->dns, STR(".."), DNS_TXT, answered, f);
	else
		f->query = dns_resolve(c->jail->dns, str_make(f->name, (size_t)n),
				       type_of(c, f->key), answered, f);
	return f->query ? 0 : -ENOMEM;
}

void spf_fetch_pump(struct spf_check *c)
{
	struct spf_fetch *f, *next;

	for (f = LIST_FIRST(&c->fetches); f; f = next) {
		int rc;

		next = LIST_NEXT(f, link);
		if (f->query)
			continue;
		rc = fetch_start(f);
		if (rc < 0) {
			spf_finish(c, SPF_TEMPERROR, "out of memory");
			return;
		}
		if (rc == 1)
			fetch_free(f);
	}
	if (LIST_EMPTY(&c->fetches))
		spf_evaluate(c);
}
