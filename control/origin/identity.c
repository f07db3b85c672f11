/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* An address says where a peer is, not who: shared clouds have many tenants behind one. */

#include <openssl/crypto.h>

#include "control/origin/origin.h"

static bool print_fits(const struct origin_relay *relay, const struct mail_envelope *env)
{
	for (size_t i = 0; i < relay->n_tls_sha256; i++)
		if (!memcmp(relay->tls_sha256[i], env->tls_client_sha256, sizeof(relay->tls_sha256[i])))
			return true;
	return false;
}

/* A wildcard in the certificate is no name of one machine: domain_is_valid() refuses it. */
static bool name_fits(const struct origin_relay *relay, struct str name)
{
	if (!domain_is_valid(name))
		return false;
	for (size_t i = 0; i < relay->n_tls_names; i++) {
		struct str want = str_c(relay->tls_name[i]);

		if (want.p[0] == '.' ? name.n > want.n && str_iends(name, want) : str_ieq(name, want))
			return true;
	}
	return false;
}

const char *origin_tls_problem(const struct origin_relay *relay, const struct mail_envelope *env)
{
	bool verified = env->tls_flags & TLS_F_VERIFIED;

	if (!relay->n_tls_names && !relay->n_tls_sha256)
		return NULL;
	/* The handshake was the proxy's, not that of the client it names. A PROXY header stands in
	 * front of a handshake that the balancer only passes on. */
	if (env->via == VIA_XCLIENT)
		return "its client was named by XCLIENT";
	if (!env->tls_version)
		return "no TLS was spoken";
	if (!(env->tls_flags & TLS_F_CLIENT))
		return "it sent no client certificate";
	if (print_fits(relay, env) || (verified && name_fits(relay, env->tls_client)))
		return NULL;
	return verified || !relay->n_tls_names ? "it sent another certificate"
					       : "its client certificate did not verify";
}

/*
 * The field stands anywhere: Exchange Online writes its own below From. A stranger's tenant has the
 * cloud write another value, and where the cloud leaves the stranger's own copy there are two: one
 * value, once, is the tenant's. The value may be a secret of the tenant's own rule.
 */
const char *origin_tenant_problem(const struct origin_relay *relay, const struct headers *h)
{
	struct str name = str_c(relay->tenant_header), value;
	size_t i;

	if (!name.n)
		return NULL;
	i = headers_find(h, name, 0);
	if (i >= h->n)
		return "the header of its tenant is missing";
	if (headers_find(h, name, i + 1) < h->n)
		return "the header of its tenant is there more than once";
	value = str_trim(header_value(h, i));
	if (h->field[i].flags & (HEADER_F_SPACE_COLON | HEADER_F_NUL | HEADER_F_8BIT | HEADER_F_BARE))
		return "the header of its tenant has octets that no cloud writes";
	for (size_t k = 0; k < relay->n_tenant_values; k++) {
		struct str want = str_c(relay->tenant_value[k]);

		if (value.n == want.n && !CRYPTO_memcmp(value.p, want.p, want.n))
			return NULL;
	}
	return "it is of another tenant";
}
