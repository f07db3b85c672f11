/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The arc section: keys that seal, and which of them a route has. The files are read with the
 * configuration, so that a reload takes renewed ones. A key whose time is over is no error, because
 * mail must go on: the route's messages then leave unsealed, and are counted.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>

#include "control/auth/arc/arc.h"
#include "control/config/config_value.h"
#include "postern/limits.h"

/* ---- one key --------------------------------------------------------------------------------- */

/* d= stands in every message as it is written here: nothing is converted silently. */
static void read_seal_domain(struct config_reader *r, const struct config_node *n,
			     const struct config_key *k, void *field)
{
	char *d, **out = field;

	(void)k;
	if (!config_string(r, n))
		return;
	d = config_domain(r, n, str_c(n->text));
	if (d && strcasecmp(d, n->text) != 0)
		config_fail(r->c, n, NULL, "d= is made of A-labels: write \"%s\"", d);
	else if (d && !strchr(d, '.'))
		config_fail(r->c, n, NULL,
			    "\"%s\" is not fully qualified: expected at least two labels", n->text);
	else
		*out = d;
}

/* RFC 6376 3.1: sub-domain *("." sub-domain). */
static void read_selector(struct config_reader *r, const struct config_node *n,
			  const struct config_key *k, void *field)
{
	char **out = field, *p;

	(void)k;
	if (!config_string(r, n))
		return;
	if (!domain_is_valid(str_c(n->text))) {
		config_fail(r->c, n, NULL,
			    "\"%s\" is no selector: labels of letters, digits and hyphens, "
			    "dots between them",
			    n->text);
		return;
	}
	*out = p = config_dup(r->mem, str_c(n->text));
	for (; p && *p; p++)
		*p = (char)ascii_lower((uint8_t)*p);
}

static int two(const char *s)
{
	return (s[0] - '0') * 10 + (s[1] - '0');
}

/* RFC 3339 5.6 full-date → its first second, in UTC. */
static bool date(struct config_reader *r, const struct config_node *n, int64_t *out)
{
	static const char form[] = "dddd-dd-dd";
	struct tm tm = {0}, back;
	const char *s;
	time_t t;

	if (!config_string(r, n))
		return false;
	s = n->text;
	for (size_t i = 0; i < sizeof(form); i++)
		if (form[i] == 'd' ? !ascii_is_digit((uint8_t)s[i]) : s[i] != form[i]) {
			config_fail(r->c, n, NULL, "\"%s\" is no date: expected \"YYYY-MM-DD\"", s);
			return false;
		}
	tm.tm_year = two(s) * 100 + two(s + 2) - 1900;
	tm.tm_mon = two(s + 5) - 1;
	tm.tm_mday = two(s + 8);
	back = tm;
	t = timegm(&back);
	if (tm.tm_year < 70 || back.tm_mon != tm.tm_mon || back.tm_mday != tm.tm_mday) {
		config_fail(r->c, n, NULL, "there is no day %s", s);
		return false;
	}
	*out = (int64_t)t;
	return true;
}

static void read_from(struct config_reader *r, const struct config_node *n,
		      const struct config_key *k, void *field)
{
	(void)k;
	date(r, n, field);
}

/* The day named is the last one. */
static void read_until(struct config_reader *r, const struct config_node *n,
		       const struct config_key *k, void *field)
{
	int64_t first;

	(void)k;
	if (date(r, n, &first))
		*(int64_t *)field = first + 86400;
}

static void make_key(struct config_reader *r, const struct config_node *n, struct str pem,
		     struct config_arc_key *k)
{
	char why[128];

	if (!pem.n)
		return;
	k->key = arc_key_new(pem, why, sizeof(why));
	if (!k->key) {
		config_fail(r->c, n, NULL, "%s", why);
	} else if (!arc_key_is_ed25519(k->key) && arc_key_bits(k->key) < LIMIT_ARC_RSA_BITS) {
		config_fail(r->c, n, NULL, "an RSA key of %u bits: at least %d",
			    arc_key_bits(k->key), LIMIT_ARC_RSA_BITS);
		arc_key_free(k->key);
		k->key = NULL;
	}
}

static void read_key_file(struct config_reader *r, const struct config_node *n,
			  const struct config_key *k, void *field)
{
	struct str pem = config_file(r, n, true);

	(void)k;
	make_key(r, n, pem, field);
	if (pem.n)
		OPENSSL_cleanse((void *)(uintptr_t)pem.p, pem.n);
}

/* A string has one line, a key has several: they stand in a list. */
static void read_key_text(struct config_reader *r, const struct config_node *n,
			  const struct config_key *k, void *field)
{
	size_t len = 0, at = 0;
	char *pem;

	if (n->source && n->source->readable) {
		config_fail(r->c, n, NULL,
			    "a key stands here, and others may read or write this file: "
			    "take their permission away (chmod 0640)");
		return;
	}
	if (!config_list(r, n, k))
		return;
	for (const struct config_node *e = n->first; e; e = e->next)
		len += strlen(e->text) + 1;
	pem = config_alloc(r->mem, len + 1);
	if (!pem)
		return;
	for (const struct config_node *e = n->first; e; e = e->next)
		at += (size_t)sprintf(pem + at, "%s\n", e->text);
	make_key(r, n, str_make(pem, at), field);
	OPENSSL_cleanse(pem, len);
}

static const struct config_key key_keys[] = {
	{"domain", read_seal_domain, CONFIG_FIELD(struct config_arc_key, domain)},
	{"selector", read_selector, CONFIG_FIELD(struct config_arc_key, selector)},
	{"file", read_key_file, 0, 0},
	{"pem", read_key_text, 0, 0},
	{"active-from", read_from, CONFIG_FIELD(struct config_arc_key, active_from)},
	{"active-until", read_until, CONFIG_FIELD(struct config_arc_key, active_until)},
};

const struct config_binding config_of_arc_key = CONFIG_BINDING("arc.key", key_keys);

static void check_key(struct config_reader *r, const struct config_node *n,
		      const struct config_arc_key *k)
{
	bool file = config_child(n, "file"), pem = config_child(n, "pem");

	if (file && pem)
		config_fail(r->c, n, "pem", "the key is in file already");
	else if (!file && !pem)
		config_fail(r->c, n, "file", "missing: the private key in PEM");
	if (k->domain && k->selector &&
	    strlen(k->domain) + strlen(k->selector) + strlen("._domainkey.") > LIMIT_DNS_NAME)
		config_fail(r->c, n, "selector", "%s._domainkey.%s is too long for a name of DNS",
			    k->selector, k->domain);
	if (k->active_until <= k->active_from)
		config_fail(r->c, n, "active-until",
			    "is before active-from: the key would never sign");
}

static void read_arc_keys(struct config_reader *r, const struct config_node *n,
			  const struct config_key *k, void *field)
{
	struct config_arc *arc = field;

	(void)k;
	if (n->n > LIMIT_ARC_KEYS) {
		config_fail(r->c, n, NULL, "more than %d keys", LIMIT_ARC_KEYS);
		return;
	}
	arc->key = config_alloc(r->mem, (n->n + 1) * sizeof(*arc->key));
	for (const struct config_node *e = n->first; e && arc->key; e = e->next) {
		struct config_arc_key *key = &arc->key[arc->n_keys];

		if (!config_section_name(r, e) || !config_is_section(r, e))
			continue;
		arc->n_keys++; /* also if it is bad: what it holds is freed by this count */
		key->name = config_dup(r->mem, str_c(e->key));
		key->active_until = INT64_MAX;
		config_read_section(r, e, &config_of_arc_key, key);
		check_key(r, e, key);
	}
}

static const struct config_key arc_keys[] = {
	{"key", read_arc_keys, 0, 0},
};

const struct config_binding config_of_arc = CONFIG_BINDING("arc", arc_keys);

void read_arc(struct config_reader *r, const struct config_node *n, const struct config_key *k,
	      void *field)
{
	(void)k;
	config_read_section(r, n, &config_of_arc, field);
}

/* ---- keys of a route ------------------------------------------------------------------------- */

static const struct config_node *key_node(const struct config_node *root,
					  const struct config_arc_key *k)
{
	return config_child(config_child(config_child(root, "arc"), "key"), k->name);
}

/* One record cannot publish two keys. */
static void check_selectors(struct config_reader *r, const struct config_node *root)
{
	const struct config_arc *arc = &r->out->arc;

	for (size_t i = 0; i < arc->n_keys; i++)
		for (size_t j = 0; j < i; j++) {
			const struct config_arc_key *a = &arc->key[j], *b = &arc->key[i];

			if (!strcmp(a->domain, b->domain) && !strcmp(a->selector, b->selector) &&
			    a->active_from < b->active_until && b->active_from < a->active_until)
				config_fail(r->c, key_node(root, b), "selector",
					    "%s of %s is that of "
					    "key \"%s\" at the same time",
					    b->selector, b->domain, a->name);
		}
}

static void by_names(struct config_reader *r, const struct config_node *list,
		     struct config_route *route)
{
	const struct config_arc *arc = &r->out->arc;

	for (const struct config_node *e = list->first; e; e = e->next) {
		size_t i = 0;

		while (i < arc->n_keys && strcmp(arc->key[i].name, e->text) != 0)
			i++;
		if (i == arc->n_keys) {
			config_fail(r->c, e, NULL, "there is no arc key \"%s\"", e->text);
			continue;
		}
		for (size_t k = 0; k < route->n_arc_keys; k++)
			if (route->arc_key[k] == &arc->key[i])
				config_fail(r->c, e, NULL, "\"%s\" is listed twice", e->text);
		if (route->n_arc_keys < arc->n_keys)
			route->arc_key[route->n_arc_keys++] = &arc->key[i];
	}
}

static void by_domain(struct config_reader *r, const struct config_node *at,
		      struct config_route *route)
{
	const struct config_arc *arc = &r->out->arc;
	const char *domain = route->arc_domain;

	if (!domain && arc->n_keys)
		domain = arc->key[0].domain;
	for (size_t i = 0; i < arc->n_keys; i++) {
		if (!strcmp(arc->key[i].domain, domain)) {
			route->arc_key[route->n_arc_keys++] = &arc->key[i];
		} else if (!route->arc_domain) {
			config_fail(r->c, at, "arc-domain",
				    "missing: there are keys of %s and of %s", domain,
				    arc->key[i].domain);
			return;
		}
	}
	if (!route->n_arc_keys)
		config_fail(r->c, at, route->arc_domain ? "arc-domain" : "arc-seal",
			    "there is no arc key%s%s", route->arc_domain ? " of " : "",
			    route->arc_domain ? route->arc_domain : "");
}

static bool covered(const struct config_route *route, int64_t t)
{
	for (size_t i = 0; i < route->n_arc_keys; i++)
		if (route->arc_key[i]->active_from <= t && t < route->arc_key[i]->active_until)
			return true;
	return false;
}

/* Which key signs must not hang on the order in the file, and until the last one ends there must be
 * one on every day. */
static void check_times(struct config_reader *r, const struct config_node *at,
			const struct config_route *route)
{
	for (size_t i = 0; i < route->n_arc_keys; i++) {
		const struct config_arc_key *a = route->arc_key[i], *next = NULL;

		for (size_t k = 0; k < route->n_arc_keys; k++) {
			const struct config_arc_key *b = route->arc_key[k];

			if (k < i && a->active_from == b->active_from)
				config_fail(r->c, at, "arc-seal",
					    "of the keys \"%s\" and \"%s\" neither is the "
					    "newer: give one of them another active-from, or list "
					    "one in "
					    "arc-keys",
					    b->name, a->name);
			if (b->active_from > a->active_until &&
			    (!next || b->active_from < next->active_from))
				next = b;
		}
		if (next && !covered(route, a->active_until))
			config_fail(r->c, at, "arc-seal",
				    "no key is active between the end of \"%s\" and "
				    "the beginning of \"%s\"",
				    a->name, next->name);
	}
}

static void check_route(struct config_reader *r, const struct config_node *at,
			struct config_route *route)
{
	const struct config_node *names = config_child(at, "arc-keys"),
				 *domain = config_child(at, "arc-domain");

	if ((names || domain) && !config_child(at, "arc-seal"))
		config_fail(r->c, names ? names : domain, NULL, "without arc-seal it does nothing");
	if (names && domain)
		config_fail(r->c, names, NULL, "arc-domain chooses keys already");
	else if (names || domain || route->arc_seal != ARC_SEAL_NEVER) {
		route->arc_key =
			config_alloc(r->mem, (r->out->arc.n_keys + 1) * sizeof(*route->arc_key));
		if (!route->arc_key)
			return;
		if (names)
			by_names(r, names, route);
		else
			by_domain(r, at, route);
	}
	if (route->arc_seal != ARC_SEAL_NEVER)
		check_times(r, at, route);
}

void config_check_arc(struct config_reader *r, const struct config_node *root)
{
	const struct config_node *routes = config_child(root, "route");

	check_selectors(r, root);
	for (size_t i = 0; i < r->out->n_routes; i++)
		check_route(r, config_child(routes, r->out->route[i].name), &r->out->route[i]);
}

void read_arc_names(struct config_reader *r, const struct config_node *n,
		    const struct config_key *k, void *field)
{
	(void)field;
	config_list(r, n, k); /* the keys may stand further below */
}

/* ---- for those who seal ---------------------------------------------------------------------- */

const struct config_arc_key *config_arc_key_at(const struct config_route *route, int64_t now)
{
	const struct config_arc_key *best = NULL;

	for (size_t i = 0; i < route->n_arc_keys; i++) {
		const struct config_arc_key *k = route->arc_key[i];

		if (k->active_from <= now && now < k->active_until &&
		    (!best || k->active_from > best->active_from))
			best = k;
	}
	return best;
}

bool config_arc_is_ours(const struct config *c, const char *domain, const char *selector)
{
	for (size_t i = 0; i < c->arc.n_keys; i++)
		if (str_ieq(str_c(c->arc.key[i].domain), str_c(domain)) &&
		    str_ieq(str_c(c->arc.key[i].selector), str_c(selector)))
			return true;
	return false;
}

void config_arc_free(struct config_arc *arc)
{
	for (size_t i = 0; i < arc->n_keys; i++)
		arc_key_free(arc->key[i].key);
	arc->n_keys = 0;
}
