/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * tls-... of a route: how we speak TLS to its hosts. As in config_tls.c files are read once, here.
 * What a policy does not look at is refused beside it: an operator who writes tls-name expects that
 * the name is checked.
 */

#include <string.h>

#include <openssl/evp.h>

#include "control/config/config_value.h"
#include "postern/limits.h"

void read_route_tls_names(struct config_reader *r, const struct config_node *n,
			  const struct config_key *k, void *field)
{
	struct config_route_tls *t = field;

	if (!config_list(r, n, k))
		return;
	t->name = config_alloc(r->mem, n->n * sizeof(*t->name));
	for (const struct config_node *e = n->first; e && t->name; e = e->next) {
		t->name[t->n_names] = config_domain(r, e, str_c(e->text));
		if (t->name[t->n_names])
			t->n_names++;
	}
}

static void fail_beside(struct config_reader *r, const struct config_node *n, const char *key,
			const char *why)
{
	const struct config_node *at = config_child(n, key);

	if (at)
		config_fail(r->c, at, NULL, "%s", why);
}

static void check_policy(struct config_reader *r, const struct config_node *n,
			 const struct config_route *route)
{
	static const char *const all[] = {"tls-name", "tls-sni", "tls-ca", "tls-min-version",
					  "tls-certificate", "tls-key"};
	const struct config_route_tls *t = &route->tls;
	bool dane = t->policy == TLS_POLICY_DANE || t->policy == TLS_POLICY_DANE_ONLY;

	if (t->policy == TLS_POLICY_NONE)
		for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
			fail_beside(r, n, all[i], "nothing of TLS is used with tls = none");
	if (t->policy == TLS_POLICY_MAY || t->policy == TLS_POLICY_ENCRYPT) {
		fail_beside(r, n, "tls-name", "no name is looked at without tls = verify");
		fail_beside(r, n, "tls-ca", "no certificate is verified without tls = verify");
	}
	if (dane) {
		fail_beside(r, n, "tls-name", "with DANE the name is the host's");
		fail_beside(r, n, "tls-ca", "with DANE no CA is looked at");
		fail_beside(r, n, "tls-sni", "with DANE the name is the host's");
	}
	for (size_t i = 0; dane && i < route->n_hosts; i++)
		if (route->host[i].is_ip)
			config_fail(r->c, config_child(n, "tls"), NULL, "%s is an address: TLSA "
				    "records are found by the name of a host", route->host[i].name);
}

/* On wherever it can be: a domain that publishes a policy wants it kept. */
static void check_sts(struct config_reader *r, const struct config_node *n,
		      struct config_route *route)
{
	const struct config_node *at = config_child(n, "mta-sts");

	if (!at)
		route->mta_sts = route->mx && route->tls.policy != TLS_POLICY_NONE;
	else if (route->mta_sts && !route->mx)
		config_fail(r->c, at, NULL, "the policy of a domain is about its MX records: this route "
			    "does not go by them");
	else if (route->mta_sts && route->tls.policy == TLS_POLICY_NONE)
		config_fail(r->c, at, NULL, "a policy cannot be kept with tls = none");
}

static void add(EVP_MD_CTX *md, const void *p, size_t n)
{
	uint64_t len = n;

	EVP_DigestUpdate(md, &len, sizeof(len));
	if (n)
		EVP_DigestUpdate(md, p, n);
}

static bool digest(const struct config_route *route, struct config_route_tls *t)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint32_t policy = t->policy, provider = route->provider;
	bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL);

	if (ok) {
		add(md, &policy, sizeof(policy));
		add(md, &provider, sizeof(provider));
		add(md, &t->n_names, sizeof(t->n_names));
		for (size_t i = 0; i < t->n_names; i++)
			add(md, t->name[i], strlen(t->name[i]));
		add(md, t->sni, t->sni ? strlen(t->sni) : 0);
		add(md, t->ca.p, t->ca.n);
		add(md, &t->min_version, sizeof(t->min_version));
		add(md, t->certificate.chain.p, t->certificate.chain.n);
		add(md, t->certificate.key.p, t->certificate.key.n);
		ok = EVP_DigestFinal_ex(md, t->id, NULL);
	}
	EVP_MD_CTX_free(md);
	return ok;
}

void config_route_tls(struct config_reader *r, const struct config_node *n,
		      struct config_route *route)
{
	struct config_route_tls *t = &route->tls;
	bool chain = config_child(n, "tls-certificate"), key = config_child(n, "tls-key");

	check_policy(r, n, route);
	if (chain != key)
		config_fail(r->c, config_child(n, chain ? "tls-certificate" : "tls-key"), NULL,
			    "a certificate is shown with its key only: %s is missing",
			    chain ? "tls-key" : "tls-certificate");
	else if (t->certificate.chain.n && t->certificate.key.n)
		config_check_pair(r, n, "tls-certificate", "tls-key", &t->certificate);
	t->certificate.name = route->name;
	check_sts(r, n, route);
	if (!digest(route, t))
		r->mem->failed = true;
}
