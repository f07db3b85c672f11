/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The relay section, and what relays must not say, alone and together. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "control/config/config_value.h"
#include "postern/limits.h"

/* ---- addresses ------------------------------------------------------------------------------ */

/* Is last - first below 2^bits? */
static bool is_within(const struct ip_range *range, unsigned int bits)
{
	unsigned int borrow = 0;
	uint8_t diff[16];

	for (size_t i = 16; i--;) {
		unsigned int d = 256u + range->last.a[i] - range->first.a[i] - borrow;

		diff[i] = (uint8_t)d;
		borrow = d < 256;
	}
	for (unsigned int bit = 0; bit < 128 - bits; bit++)
		if (diff[bit / 8] & (0x80u >> bit % 8))
			return false;
	return true;
}

static bool are_hosts(const struct ip_addr *ip)
{
	return ip_is_v4(ip) ? ip->a[12] != 0 && ip->a[12] < 224 : ip->a[0] != 0xff;
}

/* "first-last" */
static bool between(struct config_reader *r, const struct config_node *n, size_t dash,
		    struct ip_range *out)
{
	struct str text = str_c(n->text);
	struct ip_range swapped;
	char other[LIMIT_CONFIG_STRING + 2];

	if (!ip_range_parse(text, out)) {
		snprintf(other, sizeof(other), "%s-%.*s", n->text + dash + 1, (int)dash, n->text);
		if (ip_range_parse(str_c(other), &swapped))
			config_fail(r->c, n, NULL, "%s ends before it begins", n->text);
		else
			config_fail(r->c, n, NULL, "\"%s\" is no range: expected two addresses of one "
				    "family, first-last", n->text);
		return false;
	}
	if (ip_is_v4(&out->first) && str_find(text, ':') < text.n) {
		config_fail(r->c, n, NULL, "%s is of IPv4-mapped addresses: write it as IPv4", n->text);
		return false;
	}
	if (!is_within(out, ip_is_v4(&out->first) ? 24 : 109)) {
		config_fail(r->c, n, NULL, "%s is too large for a relay: at most as many addresses as in "
			    "a /%u are taken", n->text, ip_is_v4(&out->first) ? 8 : 19);
		return false;
	}
	return true;
}

/* Whoever may say who sent a message must be a machine, not a part of the Internet. */
static bool read_range(struct config_reader *r, const struct config_node *n, struct ip_range *out)
{
	size_t dash = str_find(str_c(n->text), '-');
	struct ip_net net;

	if (n->text[dash] ? !between(r, n, dash, out)
			  : !config_network(r, n, 8, 19, &net) || !ip_range_parse(str_c(n->text), out))
		return false;
	if (are_hosts(&out->first) && are_hosts(&out->last))
		return true;
	config_fail(r->c, n, NULL, "%s is not a network of hosts", n->text);
	return false;
}

static void read_ranges(struct config_reader *r, const struct config_node *n,
			const struct config_key *k, void *field)
{
	struct origin_relay *relay = field;
	struct ip_range *range;

	if (!config_list(r, n, k))
		return;
	relay->range = range = config_alloc(r->mem, n->n * sizeof(*range));
	for (const struct config_node *e = n->first; e && range; e = e->next)
		relay->n_ranges += read_range(r, e, &range[relay->n_ranges]);
}

/* ---- names ---------------------------------------------------------------------------------- */

static const char *const *domains(struct config_reader *r, const struct config_node *n,
				  const struct config_key *k, size_t *count)
{
	const char **list;

	if (!config_list(r, n, k))
		return NULL;
	list = config_alloc(r->mem, (n->n + 1) * sizeof(*list));
	for (const struct config_node *e = n->first; e && list; e = e->next) {
		list[*count] = config_domain(r, e, str_c(e->text));
		*count += list[*count] != NULL;
	}
	return list;
}

static void read_by(struct config_reader *r, const struct config_node *n,
		    const struct config_key *k, void *field)
{
	struct origin_relay *relay = field;

	relay->by = domains(r, n, k, &relay->n_by);
}

static void read_srs_domains(struct config_reader *r, const struct config_node *n,
			     const struct config_key *k, void *field)
{
	struct origin_relay *relay = field;

	relay->srs_domain = domains(r, n, k, &relay->n_srs_domains);
}

/* RFC 5322 3.6.8, less what no vendor uses. */
static bool is_field_name(struct config_reader *r, const struct config_node *n)
{
	static const char *const walked[] = {"Received", "Authentication-Results", "From", "Sender"};
	size_t len = strlen(n->text);
	bool ok = len && len <= LIMIT_FIELD_NAME;

	for (size_t i = 0; i < len; i++)
		ok &= ascii_is_alnum((uint8_t)n->text[i]) || n->text[i] == '-' || n->text[i] == '_';
	if (!ok) {
		config_fail(r->c, n, NULL, "\"%.100s\" is no name of a header field: 1 to %d letters, "
			    "digits, hyphens, without a colon", n->text, LIMIT_FIELD_NAME);
		return false;
	}
	for (size_t i = 0; i < sizeof(walked) / sizeof(walked[0]) && ok; i++)
		ok = strcasecmp(n->text, walked[i]) != 0;
	if (!ok)
		config_fail(r->c, n, NULL, "%s is written by everybody and says nothing here", n->text);
	return ok;
}

static void read_corroborate(struct config_reader *r, const struct config_node *n,
			     const struct config_key *k, void *field)
{
	struct origin_relay *relay = field;
	const char **name;

	if (!config_list(r, n, k))
		return;
	relay->corroborate = name = config_alloc(r->mem, (n->n + 1) * sizeof(*name));
	for (const struct config_node *e = n->first; e && name; e = e->next) {
		if (!is_field_name(r, e))
			continue;
		for (size_t i = 0; i < relay->n_corroborate; i++)
			if (!strcasecmp(name[i], e->text))
				config_fail(r->c, e, NULL, "%s is listed already", e->text);
		name[relay->n_corroborate++] = config_dup(r->mem, str_c(e->text));
	}
}

/* ---- tenant --------------------------------------------------------------------------------- */

static void read_header(struct config_reader *r, const struct config_node *n,
			const struct config_key *k, void *field)
{
	struct origin_relay *relay = field;

	(void)k;
	if (config_string(r, n) && is_field_name(r, n))
		relay->tenant_header = config_dup(r->mem, str_c(n->text));
}

static void read_values(struct config_reader *r, const struct config_node *n,
			const struct config_key *k, void *field)
{
	struct origin_relay *relay = field;
	const struct config_node *e;
	const char **value;
	size_t count;

	(void)k;
	e = config_string_or_list(r, n, LIMIT_TENANT_VALUES, &count);
	relay->tenant_value = value = e ? config_alloc(r->mem, count * sizeof(*value)) : NULL;
	for (; e && value && count--; e = e->next) {
		struct str s = str_c(e->text);
		bool ok = str_trim(s).n == s.n;

		for (size_t i = 0; i < s.n; i++)
			ok &= ascii_is_vchar(s.p[i]) || s.p[i] == ' ';
		if (ok)
			value[relay->n_tenant_values++] = config_dup(r->mem, s);
		else
			config_fail(r->c, e, NULL, "the whole value of the header as printable ASCII, "
				    "without white space around it, was expected");
	}
}

static const struct config_key tenant_keys[] = {
	{"header", read_header, 0, 0},
	{"values", read_values, 0, 0},
};

const struct config_binding config_of_tenant = CONFIG_BINDING("relay.tenant", tenant_keys);

static void read_tenant(struct config_reader *r, const struct config_node *n,
			const struct config_key *k, void *field)
{
	(void)k;
	config_read_section(r, n, &config_of_tenant, field);
}

/* ---- section -------------------------------------------------------------------------------- */


static const struct config_key relay_keys[] = {
	{"addresses", read_ranges, 0, 0},
	{"by", read_by, 0, 0},
	{"hops", CONFIG_TAKE(struct origin_relay, hops)},
	{"tls-name", read_tls_names, 0, 0},
	{"tls-sha256", read_tls_fingerprints, 0, 0},
	{"cloud", CONFIG_TAKE(struct origin_relay, cloud)},
	{"tenant", read_tenant, 0, 0},
	{"unproven", CONFIG_TAKE(struct origin_relay, unproven_direct)},
	{"corroborate", read_corroborate, 0, 0},
	{"srs-domains", read_srs_domains, 0, 0},
	{"chain", read_chain_names, 0, 0},
	{"chain-fallback", CONFIG_TAKE(struct origin_relay, chain_fallback)},
};

const struct config_binding config_of_relay = CONFIG_BINDING("relay", relay_keys);

void read_relays(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		 void *field)
{
	struct origin_relays *relays = field;
	struct origin_relay *list = config_alloc(r->mem, n->n * sizeof(*list));

	(void)k;
	relays->relay = list;
	for (const struct config_node *e = n->first; e && list; e = e->next) {
		struct origin_relay *relay = &list[relays->n];

		if (!config_is_section(r, e) || !config_section_name(r, e))
			continue;
		relays->n++;
		relay->name = config_dup(r->mem, str_c(e->key));
		config_read_defaults(r, &config_of_relay, relay);
		config_read_section(r, e, &config_of_relay, relay);
	}
}

/* ---- the whole ------------------------------------------------------------------------------ */

static const struct config_node *relay_node(const struct config_node *root, const char *name)
{
	const struct config_node *n = config_child(root, "relay");

	return n ? config_child(n, name) : NULL;
}

/* The element of `addresses`; every one of them became a range. */
static const struct config_node *address_node(const struct config_node *root, const char *name,
					      size_t i)
{
	const struct config_node *n = relay_node(root, name);

	n = n ? config_child(n, "addresses") : NULL;
	n = n ? n->first : NULL;
	while (n && i--)
		n = n->next;
	return n;
}

struct range_use {
	struct ip_range range;
	const struct origin_relay *relay;
	size_t index;
};

static int by_first(const void *a, const void *b)
{
	const struct range_use *x = a, *y = b;
	int d = (int)ip_is_v4(&x->range.first) - (int)ip_is_v4(&y->range.first);

	if (!d)
		d = memcmp(&x->range.first, &y->range.first, sizeof(x->range.first));
	return d ? d : memcmp(&y->range.last, &x->range.last, sizeof(x->range.last));
}

/* One address, one relay: which entry counts must not hang on the order. */
static void check_overlaps(struct config_reader *r, const struct config_node *root)
{
	const struct origin_relays *relays = &r->out->relays;
	struct range_use *use;
	size_t n = 0, at = 0;

	for (size_t i = 0; i < relays->n; i++)
		n += relays->relay[i].n_ranges;
	use = config_alloc(&r->c->mem, n * sizeof(*use));
	if (!use || !n)
		return;
	for (size_t i = 0; i < relays->n; i++)
		for (size_t j = 0; j < relays->relay[i].n_ranges; j++)
			use[at++] = (struct range_use){relays->relay[i].range[j], &relays->relay[i], j};
	qsort(use, n, sizeof(*use), by_first);
	/* Sorted by family and first address: what begins before the furthest end so far overlaps. */
	for (size_t i = 1, far = 0; i < n; i++) {
		if (ip_ranges_meet(&use[i].range, &use[far].range) && use[i].relay != use[far].relay)
			config_fail(r->c, address_node(root, use[i].relay->name, use[i].index), NULL,
				    "overlaps with an address of relay \"%s\"", use[far].relay->name);
		if (ip_is_v4(&use[i].range.first) != ip_is_v4(&use[far].range.first) ||
		    memcmp(&use[i].range.last, &use[far].range.last, sizeof(struct ip_addr)) > 0)
			far = i;
	}
}

/* From all addresses of a shared cloud any tenant may send. */
static void check_cloud(struct config_reader *r, const struct config_node *root,
			const struct origin_relay *relay)
{
	const struct config_node *n = relay_node(root, relay->name), *at = config_child(n, "cloud");
	enum origin_cloud cloud = relay->cloud;

	for (size_t i = 0; i < relay->n_ranges; i++) {
		enum origin_cloud found = cloud_of(&relay->range[i]);

		if (found == CLOUD_NONE)
			continue;
		if (!at || cloud == CLOUD_NONE || found != cloud)
			at = address_node(root, relay->name, i);
		if (relay->cloud != CLOUD_NONE && found != relay->cloud)
			config_fail(r->c, at, NULL, "%s is an address of %s, and cloud says %s", at->text,
				    cloud_name(found), cloud_name(relay->cloud));
		cloud = found;
		break;
	}
	if (cloud == CLOUD_NONE)
		return;
	if (!relay->tenant_header)
		config_fail(r->c, at, NULL, "all tenants of %s send from the same addresses, and a "
			    "stranger's could say who sent a message: needs tenant { header, values }, "
			    "which proves whose mail it is", cloud_name(cloud));
	else if (!relay->n_tls_names && !relay->n_tls_sha256)
		config_fail(r->c, at, NULL, "needs tls-name with the name in the client certificate of "
			    "%s: without it the tenant's header is anybody's", cloud_name(cloud));
}

static void check_relay(struct config_reader *r, const struct config_node *root,
			const struct origin_relay *relay)
{
	const struct config_node *n = relay_node(root, relay->name);
	struct str prefix = str_c(r->out->header_prefix);
	bool proofs = relay->n_tls_names || relay->n_tls_sha256 || relay->tenant_header;
	const struct config_node *tenant = config_child(n, "tenant");

	check_cloud(r, root, relay);
	if (config_child(n, "unproven") && !proofs)
		config_fail(r->c, config_child(n, "unproven"), NULL, "nothing is to be proven: there is "
			    "no tls-name, tls-sha256 or tenant");
	if (config_child(n, "chain-fallback") && !config_child(n, "chain"))
		config_fail(r->c, config_child(n, "chain-fallback"), NULL, "there is no chain to fall "
			    "back from");
	if (config_child(n, "chain") && relay->hops > 1)
		config_fail(r->c, config_child(n, "hops"), NULL, "a chained instance writes one line: "
			    "take out hops or chain");
	if (relay->tenant_header && str_istarts(str_c(relay->tenant_header), prefix) &&
	    (!relay->tenant_header[prefix.n] || relay->tenant_header[prefix.n] == '-'))
		config_fail(r->c, config_child(tenant, "header"), NULL, "%s begins as our own header "
			    "fields do, and those of others are removed", relay->tenant_header);
}

void config_check_relays(struct config_reader *r, const struct config_node *root)
{
	for (size_t i = 0; i < r->out->relays.n; i++)
		check_relay(r, root, &r->out->relays.relay[i]);
	check_overlaps(r, root);
}
