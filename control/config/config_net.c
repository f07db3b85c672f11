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

	(void)k;
	if (!config_strings(r, n, 1, HANDOFF_MAX_LISTENERS))
		return;
	l->address = config_alloc(r->mem, n->n * sizeof(*l->address));
	if (!l->address)
		return;
	for (; e; e = e->next)
		listener_address(r, e, &l->address[l->n_addresses++]);
}

static const struct config_key listener_keys[] = {
	{"port", read_count, CONFIG_INT(struct config_listener, ethdev), 0, LIMIT_ETHDEV},
	{"address", read_own_addresses, 0, 0},
	{"smtp-port", read_count, CONFIG_INT(struct config_listener, smtp_port), 1, 65535},
};

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
		l->smtp_port = 25;
		config_read_section(r, e, listener_keys,
				    sizeof(listener_keys) / sizeof(listener_keys[0]), l);
		config_required(r, e, "port", "the number of the network port, as given to the dataplane");
		config_required(r, e, "address", "our addresses with the prefix of their link");
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

static const char *const verify_words[] = {[VERIFY_CALLOUT] = "callout", [VERIFY_NONE] = "none",
					   [VERIFY_LIST] = "list", NULL};
static const char *const proxy_words[] = {[PROXY_NONE] = "none", [PROXY_V2] = "v2", NULL};
static const char *const family_words[] = {[FAMILY_ANY] = "any", [FAMILY_V4] = "v4", [FAMILY_V6] = "v6",
					   [FAMILY_PREFER_V6] = "prefer-v6", NULL};
static const char *const to_words[] = {"hosts", "dialled", NULL};
static const char *const case_words[] = {"ignore", "exact", NULL};
static const char *const literal_words[] = {"tagged", "plain", NULL};
static const char *const received_words[] = {"rfc5321", "exchange", NULL};
static const char *const foreign_words[] = {
	[FOREIGN_STRIP] = "strip", [FOREIGN_REJECT] = "reject", [FOREIGN_KEEP] = "keep", NULL};
static const char *const chunking_words[] = {"auto", "never", NULL};
static const char *const seal_words[] = {
	[ARC_SEAL_NEVER] = "never", [ARC_SEAL_MODIFIED] = "modified", [ARC_SEAL_ALWAYS] = "always",
	NULL};
static const char *const eight_words[] = {"strict", "pass", NULL};
static const char *const tls_words[] = {TLS_POLICY_WORDS, NULL};

static const struct config_key route_keys[] = {
	{"domains", read_route_domains, 0, 0},
	{"provider", read_choice, CONFIG_INT(struct config_route, provider), .words = config_provider_words},
	{"hosts", read_route_hosts, 0, 0},
	{"mx", read_route_mx, 0, 0},
	{"to", read_choice, CONFIG_INT(struct config_route, dialled), .words = to_words},
	{"transparent", read_bool, CONFIG_FIELD(struct config_route, transparent)},
	{"transparent-interface", read_interface, CONFIG_FIELD(struct config_route, transparent_interface)},
	{"transparent-mark", read_count, CONFIG_INT(struct config_route, transparent_mark), 1, UINT32_MAX},
	{"port", read_count, CONFIG_INT(struct config_route, port), 1, 65535},
	{"family", read_choice, CONFIG_INT(struct config_route, family), .words = family_words},
	{"verify", read_choice, CONFIG_INT(struct config_route, verify), .words = verify_words},
	{"recipients", read_route_recipients, 0, 0},
	{"recipients-case", read_choice, CONFIG_INT(struct config_route, list_exact), .words = case_words},
	{"recipients-delimiter", read_delimiter, CONFIG_FIELD(struct config_route, list_delimiter)},
	{"trust-rcpt", read_bool, CONFIG_FIELD(struct config_route, trust_rcpt)},
	{"breaker", read_bool, CONFIG_FIELD(struct config_route, breaker.on)},
	{"breaker-jump", read_count, CONFIG_INT(struct config_route, breaker.jump), 10, 100},
	{"breaker-samples", read_count, CONFIG_INT(struct config_route, breaker.samples), 10, 100000},
	{"breaker-window", read_seconds, CONFIG_INT(struct config_route, breaker.window_s), 60, 86400},
	{"overload", read_bool, CONFIG_FIELD(struct config_route, overload.on)},
	{"overload-wait", read_seconds, CONFIG_INT(struct config_route, overload.wait_s), 1, 300},
	{"overload-factor", read_count, CONFIG_INT(struct config_route, overload.factor), 2, 100},
	{"max-outstanding", read_count, CONFIG_INT(struct config_route, overload.max_outstanding), 0,
	 LIMIT_ONWARD_WAITING},
	{"arena-share", read_count, CONFIG_INT(struct config_route, overload.arena_share), 1, 100},
	{"xclient", read_bool, CONFIG_FIELD(struct config_route, xclient)},
	{"xforward", read_bool, CONFIG_FIELD(struct config_route, xforward)},
	{"proxy", read_choice, CONFIG_INT(struct config_route, proxy), .words = proxy_words},
	{"max-connections", read_count, CONFIG_INT(struct config_route, max_connections), 1, 10000},
	{"messages-per-connection", read_count,
	 CONFIG_INT(struct config_route, messages_per_connection), 0, 1000000},
	{"connection-age", read_seconds, CONFIG_INT(struct config_route, connection_age_s), 0, 86400},
	{"rate", read_double, CONFIG_FIELD(struct config_route, rate), 0, 100000},
	{"queue-timeout", read_seconds, CONFIG_INT(struct config_route, queue_timeout_s), 1, 600},
	{"max-message", read_size, CONFIG_INT(struct config_route, max_message), 0, 1u << 30},
	{"max-recipients", read_count, CONFIG_INT(struct config_route, max_recipients), 0,
	 HANDOFF_MAX_RCPTS},
	{"idle-timeout", read_seconds, CONFIG_INT(struct config_route, idle_timeout_s), 0, 3600},
	{"connect-timeout", read_seconds, CONFIG_INT(struct config_route, connect_timeout_s), 1, 300},
	{"command-timeout", read_seconds, CONFIG_INT(struct config_route, command_timeout_s), 1, 600},
	{"source-address", read_route_source, 0, 0},
	{"source-v4", read_route_source_v4, 0, 0},
	{"source-v6", read_route_source_v6, 0, 0},
	{"v6-literal", read_choice, CONFIG_INT(struct config_route, v6_plain), .words = literal_words},
	{"received-format", read_choice, CONFIG_INT(struct config_route, received_exchange),
	 .words = received_words},
	{"header-prefix", read_prefix, CONFIG_FIELD(struct config_route, header_prefix)},
	{"received-spf", read_switch, CONFIG_FIELD(struct config_route, received_spf)},
	{"foreign-trust", read_choice, CONFIG_INT(struct config_route, foreign_trust),
	 .words = foreign_words},
	{"chunking", read_choice, CONFIG_INT(struct config_route, no_chunking), .words = chunking_words},
	{"chain", read_chain_names, 0, 0},
	{"8bit", read_choice, CONFIG_INT(struct config_route, pass_8bit), .words = eight_words},
	{"policy", read_later, 0, 0},
	{"arc-seal", read_choice, CONFIG_INT(struct config_route, arc_seal), .words = seal_words},
	{"arc-domain", read_domain, CONFIG_FIELD(struct config_route, arc_domain)},
	{"arc-keys", read_arc_names, 0, 0},
	{"tls", read_choice, CONFIG_INT(struct config_route, tls.policy), .words = tls_words},
	{"tls-name", read_route_tls_names, CONFIG_FIELD(struct config_route, tls)},
	{"tls-sni", read_domain, CONFIG_FIELD(struct config_route, tls.sni)},
	{"tls-ca", read_pem_ca, CONFIG_FIELD(struct config_route, tls.ca)},
	{"tls-min-version", read_tls_version, CONFIG_FIELD(struct config_route, tls.min_version)},
	{"tls-certificate", read_pem_chain, CONFIG_FIELD(struct config_route, tls.certificate)},
	{"tls-key", read_pem_key, CONFIG_FIELD(struct config_route, tls.certificate)},
	{"mta-sts", read_bool, CONFIG_INT(struct config_route, mta_sts)},
};

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
		*route = (struct config_route){
			.name = config_dup(r->mem, str_c(e->key)),
			.max_connections = 20, .messages_per_connection = 100,
			.idle_timeout_s = 30, .connect_timeout_s = 10, .command_timeout_s = 60,
			.tls.policy = TLS_POLICY_MAY,
			.queue_timeout_s = 60, .port = 25, .trust_rcpt = true,
			.breaker = {.on = true, .jump = 60, .samples = 50, .window_s = 600},
			.overload = {.on = true, .wait_s = 5, .factor = 4, .arena_share = 50},
		};
		config_route_preset(route, config_child(e, "provider"));
		config_read_section(r, e, route_keys, sizeof(route_keys) / sizeof(route_keys[0]),
				    route);
		if (route->dialled)
			config_route_dialled(r, e, route);
		else
			config_required(r, e, "domains", "the recipient domains of this route");
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

	(void)k;
	if (!config_strings(r, n, 1, LIMIT_LIST))
		return;
	t->net = config_alloc(r->mem, n->n * sizeof(*t->net));
	for (const struct config_node *e = n->first; e && t->net; e = e->next)
		trusted_net(r, e, &t->net[t->n_nets++]);
}

static const struct config_key trust_keys[] = {
	{"addresses", read_trusted_nets, 0, 0},
	{"xclient", read_bool, CONFIG_FIELD(struct config_trust, xclient)},
	{"proxy", read_bool, CONFIG_FIELD(struct config_trust, proxy)},
};

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
		config_read_section(r, e, trust_keys, sizeof(trust_keys) / sizeof(trust_keys[0]), t);
		config_required(r, e, "addresses", "who may name another client than itself");
		if (!t->xclient && !t->proxy)
			config_fail(r->c, e, NULL, "neither xclient nor proxy is on: this trusts "
				    "nobody with anything");
	}
}
