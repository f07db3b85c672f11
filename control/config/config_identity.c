/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* tls-name and tls-sha256 of a relay: the certificates by which it is known. */

#include <string.h>

#include "control/config/config_value.h"
#include "postern/limits.h"

char *config_name_or_below(struct config_reader *r, const struct config_node *n)
{
	bool below = n->text[0] == '.';
	char *domain = config_domain(r, n, str_c(n->text + below));
	char *out = domain ? config_alloc(r->mem, strlen(domain) + 2) : NULL;

	if (domain && !strchr(domain, '.')) {
		config_fail(r->c, n, NULL, "\"%s\" is not fully qualified: expected at least two labels",
			    n->text);
		return NULL;
	}
	if (out) {
		out[0] = '.';
		strcpy(out + below, domain);
	}
	return out;
}

void read_tls_names(struct config_reader *r, const struct config_node *n,
		    const struct config_key *k, void *field)
{
	struct origin_relay *relay = field;
	const struct config_node *e;
	const char **list;
	size_t count;

	(void)k;
	e = config_string_or_list(r, n, LIMIT_RELAY_IDENTITIES, &count);
	relay->tls_name = list = e ? config_alloc(r->mem, count * sizeof(*list)) : NULL;
	for (; e && list && count--; e = e->next) {
		list[relay->n_tls_names] = config_name_or_below(r, e);
		if (list[relay->n_tls_names])
			relay->n_tls_names++;
	}
}

/* 64 hexadecimal digits, which may have a colon behind each octet, as OpenSSL prints them. */
static bool fingerprint(struct str text, uint8_t out[32])
{
	static const uint8_t zero[32];
	size_t i = 0;

	for (size_t k = 0; k < 32; k++, i += 2) {
		int high, low;

		if (k && i < text.n && text.p[i] == ':')
			i++;
		if (text.n < i + 2)
			return false;
		high = ascii_hex(text.p[i]);
		low = ascii_hex(text.p[i + 1]);
		if (high < 0 || low < 0)
			return false;
		out[k] = (uint8_t)(high << 4 | low);
	}
	/* What a record without a certificate holds. */
	return i == text.n && memcmp(out, zero, sizeof(zero)) != 0;
}

void read_tls_fingerprints(struct config_reader *r, const struct config_node *n,
			   const struct config_key *k, void *field)
{
	struct origin_relay *relay = field;
	const struct config_node *e;
	uint8_t(*list)[32];
	size_t count;

	(void)k;
	e = config_string_or_list(r, n, LIMIT_RELAY_IDENTITIES, &count);
	list = e ? config_alloc(r->mem, count * sizeof(*list)) : NULL;
	relay->tls_sha256 = (const uint8_t(*)[32])list;
	for (; e && list && count--; e = e->next)
		if (fingerprint(str_c(e->text), list[relay->n_tls_sha256]))
			relay->n_tls_sha256++;
		else
			config_fail(r->c, e, NULL, "\"%.100s\" is no SHA-256 fingerprint: expected 64 "
				    "hexadecimal digits", e->text);
}

/* What can never be shown would make a peer of the relay for ever. */
void config_check_identities(struct config_reader *r, const struct config_node *root)
{
	const struct config *c = r->out;
	const struct config_node *relays = config_child(root, "relay");

	for (size_t i = 0; relays && i < c->relays.n; i++) {
		const struct origin_relay *relay = &c->relays.relay[i];
		const struct config_node *n = config_child(relays, relay->name);
		const char *key = relay->n_tls_names ? "tls-name" : "tls-sha256";

		if (!relay->n_tls_names && !relay->n_tls_sha256)
			continue;
		if (!c->tls.n_certificates)
			config_fail(r->c, config_child(n, key), NULL, "needs a tls section: without "
				    "STARTTLS no client shows a certificate");
		else if (relay->n_tls_names && !c->tls.client_ca.n)
			config_fail(r->c, config_child(n, key), NULL, "needs client-ca in the tls "
				    "section, by which the name is verified");
	}
}
