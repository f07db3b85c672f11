/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* listener, route and trust sections. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config/config_value.h"
#include "postern/limits.h"

/* The first address of the net, and whether all bits behind the prefix are 0 (or 1). */
static struct ip_addr net_base(const struct ip_net *net, bool *zeros, bool *ones)
{
	struct ip_addr base = net->addr;

	*zeros = *ones = true;
	for (unsigned int bit = net->prefix; bit < 128; bit++) {
		uint8_t mask = (uint8_t)(0x80u >> (bit % 8));

		if (base.a[bit / 8] & mask)
			*zeros = false;
		else
			*ones = false;
		base.a[bit / 8] &= (uint8_t)~mask;
	}
	return base;
}

/* ---- listener --------------------------------------------------------------------------- */

static void listener_address(struct config_reader *r, const struct config_node *n,
			     struct ip_net *out)
{
	struct str text = str_c(n->text);
	size_t slash = str_find(text, '/');
	unsigned int link, limit;
	bool zeros, ones;

	if (!config_host_address(r, n, str_cut(text, slash), &out->addr))
		return;
	if (slash == text.n) {
		config_fail(r->c, n, NULL, "%s lacks the prefix of its link, as in %s/%d", n->text,
			    n->text, ip_is_v4(&out->addr) ? 24 : 64);
		return;
	}
	if (!ip_net_parse(text, out)) {
		config_fail(r->c, n, NULL, "%s has a bad prefix length", n->text);
		return;
	}
	limit = ip_is_v4(&out->addr) ? 96 : 0;
	link = out->prefix - limit;
	if (ip_is_v4(&out->addr) && out->addr.a[12] == 127) {
		config_fail(r->c, n, NULL, "%s is loopback, which no network port has", n->text);
	} else if (link < (limit ? 8u : 16u)) {
		config_fail(r->c, n, NULL, "a link of prefix /%u is no link", link);
	} else if (out->prefix < 127) {
		net_base(out, &zeros, &ones);
		if (zeros)
			config_fail(r->c, n, NULL, "%s is the network itself, not an address in it",
				    n->text);
		else if (ones && limit)
			config_fail(r->c, n, NULL, "%s is the broadcast address of its network",
				    n->text);
	}
}

static void read_own_addresses(struct config_reader *r, const struct config_node *n,
			       const struct config_key *k, void *field)
{
	struct config_listener *l = field;
	const struct config_node *e = n->first;

	if (!config_list(r, n, k))
		return;
	l->address = config_alloc(r->mem, n->n * sizeof(*l->address));
	if (!l->address)
		return;
	for (; e; e = e->next)
		listener_address(r, e, &l->address[l->n_addresses++]);
}

static const struct config_key listener_keys[] = {
	{"port", CONFIG_TAKE(struct config_listener, ethdev)},
	{"address", read_own_addresses, 0, 0},
	{"smtp-port", CONFIG_TAKE(struct config_listener, smtp_port)},
};

const struct config_binding config_of_listener = CONFIG_BINDING("listener", listener_keys);

void read_listeners(struct config_reader *r, const struct config_node *n,
		    const struct config_key *k, void *field)
{
	struct config *c = r->out;

	(void)k;
	(void)field;
	c->listener = config_alloc(r->mem, n->n * sizeof(*c->listener));
	if (!c->listener)
		return;
	for (const struct config_node *e = n->first; e; e = e->next) {
		struct config_listener *l = &c->listener[c->n_listeners];

		if (!config_is_section(r, e) || !config_section_name(r, e))
			continue;
		c->n_listeners++;
		l->name = config_dup(r->mem, str_c(e->key));
		config_read_defaults(r, &config_of_listener, l);
		config_read_section(r, e, &config_of_listener, l);
	}
}

/* ---- route ------------------------------------------------------------------------------ */

/* What a route changes of the policy is read when that is known: config_route_policies(). */
static void read_later(struct config_reader *r, const struct config_node *n,
		       const struct config_key *k, void *field)
{
	(void)k;
	(void)field;
	config_is_section(r, n);
}


static const struct config_key route_keys[] = {
	{"domains", read_route_domains, 0, 0},
	{"provider", CONFIG_TAKE(struct config_route, provider)},
	{"hosts", read_route_hosts, 0, 0},
	{"mx", read_route_mx, 0, 0},
	{"to", CONFIG_TAKE(struct config_route, dialled)},
	{"transparent", CONFIG_TAKE(struct config_route, transparent)},
	{"transparent-interface", read_interface, CONFIG_FIELD(struct config_route, transparent_interface)},
	{"transparent-mark", CONFIG_TAKE(struct config_route, transparent_mark)},
	{"port", CONFIG_TAKE(struct config_route, port)},
	{"family", CONFIG_TAKE(struct config_route, family)},
	{"verify", CONFIG_TAKE(struct config_route, verify)},
	{"recipients", read_route_recipients, 0, 0},
	{"recipients-case", CONFIG_TAKE(struct config_route, list_exact)},
	{"recipients-delimiter", read_delimiter, CONFIG_FIELD(struct config_route, list_delimiter)},
	{"trust-rcpt", CONFIG_TAKE(struct config_route, trust_rcpt)},
	{"breaker", CONFIG_TAKE(struct config_route, breaker.on)},
	{"breaker-jump", CONFIG_TAKE(struct config_route, breaker.jump)},
	{"breaker-samples", CONFIG_TAKE(struct config_route, breaker.samples)},
	{"breaker-window", CONFIG_TAKE(struct config_route, breaker.window_s)},
	{"overload", CONFIG_TAKE(struct config_route, overload.on)},
	{"overload-wait", CONFIG_TAKE(struct config_route, overload.wait_s)},
	{"overload-factor", CONFIG_TAKE(struct config_route, overload.factor)},
	{"max-outstanding", CONFIG_TAKE(struct config_route, overload.max_outstanding)},
	{"arena-share", CONFIG_TAKE(struct config_route, overload.arena_share)},
	{"xclient", CONFIG_TAKE(struct config_route, xclient)},
	{"xforward", CONFIG_TAKE(struct config_route, xforward)},
	{"proxy", CONFIG_TAKE(struct config_route, proxy)},
	{"max-connections", CONFIG_TAKE(struct config_route, max_connections)},
	{"messages-per-connection", CONFIG_TAKE(struct config_route, messages_per_connection)},
	{"connection-age", CONFIG_TAKE(struct config_route, connection_age_s)},
	{"rate", CONFIG_TAKE(struct config_route, rate)},
	{"queue-timeout", CONFIG_TAKE(struct config_route, queue_timeout_s)},
	{"max-message", CONFIG_TAKE(struct config_route, max_message)},
	{"max-recipients", CONFIG_TAKE(struct config_route, max_recipients)},
	{"idle-timeout", CONFIG_TAKE(struct config_route, idle_timeout_s)},
	{"connect-timeout", CONFIG_TAKE(struct config_route, connect_timeout_s)},
	{"command-timeout", CONFIG_TAKE(struct config_route, command_timeout_s)},
	{"source-address", read_route_source, 0, 0},
	{"source-v4", read_route_source_v4, 0, 0},
	{"source-v6", read_route_source_v6, 0, 0},
	{"v6-literal", CONFIG_TAKE(struct config_route, v6_plain)},
	{"received-format", CONFIG_TAKE(struct config_route, received_exchange)},
	{"header-prefix", read_prefix, CONFIG_FIELD(struct config_route, header_prefix)},
	{"received-spf", read_switch, CONFIG_FIELD(struct config_route, received_spf)},
	{"foreign-trust", CONFIG_TAKE(struct config_route, foreign_trust)},
	{"chunking", CONFIG_TAKE(struct config_route, no_chunking)},
	{"chain", read_chain_names, 0, 0},
	{"8bit", CONFIG_TAKE(struct config_route, pass_8bit)},
	{"policy", read_later, 0, 0},
	{"arc-seal", CONFIG_TAKE(struct config_route, arc_seal)},
	{"arc-domain", CONFIG_TAKE(struct config_route, arc_domain)},
	{"arc-keys", read_arc_names, 0, 0},
	{"tls", CONFIG_TAKE(struct config_route, tls.policy)},
	{"tls-name", read_route_tls_names, CONFIG_FIELD(struct config_route, tls)},
	{"tls-sni", CONFIG_TAKE(struct config_route, tls.sni)},
	{"tls-ca", read_pem_ca, CONFIG_FIELD(struct config_route, tls.ca)},
	{"tls-min-version", read_tls_version, CONFIG_FIELD(struct config_route, tls.min_version)},
	{"tls-certificate", read_pem_chain, CONFIG_FIELD(struct config_route, tls.certificate)},
	{"tls-key", read_pem_key, CONFIG_FIELD(struct config_route, tls.certificate)},
	{"mta-sts", CONFIG_TAKE(struct config_route, mta_sts)},
};

const struct config_binding config_of_route = CONFIG_BINDING("route", route_keys);

void read_routes(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		 void *field)
{
	struct config *c = r->out;

	(void)k;
	(void)field;
	c->route = config_alloc(r->mem, n->n * sizeof(*c->route));
	if (!c->route)
		return;
	for (const struct config_node *e = n->first; e; e = e->next) {
		struct config_route *route = &c->route[c->n_routes];

		if (!config_is_section(r, e) || !config_section_name(r, e))
			continue;
		c->n_routes++;
		*route = (struct config_route){.name = config_dup(r->mem, str_c(e->key))};
		config_read_defaults(r, &config_of_route, route);
		config_route_preset(route, config_child(e, "provider"));
		config_read_section(r, e, &config_of_route, route);
		if (route->dialled)
			config_route_dialled(r, e, route);
		else if (!config_child(e, "domains"))
			config_fail(r->c, e, "domains", "missing: the recipient domains of this route");
		config_route_transparent(r, e, route);
		config_route_finish(r, e, route);
		config_route_tls(r, e, route);
	}
}

/* ---- networks ----------------------------------------------------------------------------- */

bool config_network(struct config_reader *r, const struct config_node *n, unsigned int min_v4,
		    unsigned int min_v6, struct ip_net *out)
{
	struct str text = str_c(n->text);
	char buf[64];
	bool zeros, ones, v4;
	struct ip_addr base;

	if (!ip_net_parse(text, out)) {
		config_fail(r->c, n, NULL, "\"%s\" is no address or network (address/prefix)", n->text);
		return false;
	}
	v4 = str_find(text, ':') == text.n;
	if (!v4 && ip_is_v4(&out->addr)) {
		config_fail(r->c, n, NULL, "%s is of IPv4-mapped addresses: write it as IPv4", n->text);
		return false;
	}
	if (out->prefix < (v4 ? 96 + min_v4 : min_v6)) {
		config_fail(r->c, n, NULL, "%s is too large for a relay: at least /%u is needed",
			    n->text, v4 ? min_v4 : min_v6);
		return false;
	}
	base = net_base(out, &zeros, &ones);
	if (!zeros)
		config_fail(r->c, n, NULL, "%s has bits behind its prefix: did you mean %s/%u?",
			    n->text, ip_format(&base, buf, sizeof(buf)),
			    out->prefix - (v4 ? 96u : 0u));
	return zeros;
}

/* ---- trust ------------------------------------------------------------------------------ */

static void trusted_net(struct config_reader *r, const struct config_node *n, struct ip_net *out)
{
	/* Whoever may say who sent a message must be a machine, not a part of the Internet. */
	if (!config_network(r, n, 8, 19, out))
		return;
	if (ip_is_v4(&out->addr) ? out->addr.a[12] >= 224 || out->addr.a[12] == 0
				 : out->addr.a[0] == 0xff)
		config_fail(r->c, n, NULL, "%s is not a network of hosts", n->text);
}

static void read_trusted_nets(struct config_reader *r, const struct config_node *n,
			      const struct config_key *k, void *field)
{
	struct config_trust *t = field;

	if (!config_list(r, n, k))
		return;
	t->net = config_alloc(r->mem, n->n * sizeof(*t->net));
	for (const struct config_node *e = n->first; e && t->net; e = e->next)
		trusted_net(r, e, &t->net[t->n_nets++]);
}

static const struct config_key trust_keys[] = {
	{"addresses", read_trusted_nets, 0, 0},
	{"xclient", CONFIG_TAKE(struct config_trust, xclient)},
	{"proxy", CONFIG_TAKE(struct config_trust, proxy)},
};

const struct config_binding config_of_trust = CONFIG_BINDING("trust", trust_keys);

void read_trust(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		void *field)
{
	struct config *c = r->out;

	(void)k;
	(void)field;
	c->trust = config_alloc(r->mem, n->n * sizeof(*c->trust));
	for (const struct config_node *e = n->first; e && c->trust; e = e->next) {
		struct config_trust *t = &c->trust[c->n_trusts];

		if (!config_is_section(r, e) || !config_section_name(r, e))
			continue;
		c->n_trusts++;
		t->name = config_dup(r->mem, str_c(e->key));
		config_read_defaults(r, &config_of_trust, t);
		config_read_section(r, e, &config_of_trust, t);
		if (!t->xclient && !t->proxy)
			config_fail(r->c, e, NULL, "neither xclient nor proxy is on: this trusts "
				    "nobody with anything");
	}
}
