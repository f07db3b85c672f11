/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The inline section: servers in a cable, and what is done with what their clients send. A server
 * that is terminated in its own name must still learn who its client is, or every rule that it has
 * about addresses would be about us: a route that does not tell it is refused (config_check_inline).
 */

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "control/config/config_value.h"
#include "postern/limits.h"

/* ---- keys ----------------------------------------------------------------------------------- */

/* A hole in the cable of the size of a country is a mistake; "everybody" is not: every server that
 * answers on port 25 behind the cable. */
static struct ip_net *read_nets(struct config_reader *r, const struct config_node *n,
				const struct config_key *k, size_t *count)
{
	struct ip_net *net;

	if (!config_list(r, n, k))
		return NULL;
	net = config_alloc(r->mem, (n->n + 1) * sizeof(*net));
	for (const struct config_node *e = n->first; e && net; e = e->next)
		if (config_network(r, e, 0, 0, &net[*count]))
			++*count;
	return net;
}

static void read_addresses(struct config_reader *r, const struct config_node *n,
			   const struct config_key *k, void *field)
{
	struct config_inline *s = field;

	s->net = read_nets(r, n, k, &s->n_nets);
}

static void read_own_sources(struct config_reader *r, const struct config_node *n,
			     const struct config_key *k, void *field)
{
	struct config *c = field;

	c->inline_own = read_nets(r, n, k, &c->n_inline_own);
}

static const struct config_key server_keys[] = {
	{"addresses", read_addresses, 0, 0},
	{"port", CONFIG_TAKE(struct config_inline, port)},
	{"mode", CONFIG_TAKE(struct config_inline, mode)},
	{"route", read_route_name, CONFIG_FIELD(struct config_inline, route_name)},
	{"hostname", CONFIG_TAKE(struct config_inline, hostname)},
	{"allow-clear", CONFIG_TAKE(struct config_inline, allow_clear)},
};
const struct config_binding config_of_inline_server = CONFIG_BINDING("inline.server", server_keys);

static void read_servers(struct config_reader *r, const struct config_node *n,
			 const struct config_key *k, void *field)
{
	struct config *c = field;

	(void)k;
	c->inlined = config_alloc(r->mem, n->n * sizeof(*c->inlined));
	for (const struct config_node *e = n->first; e && c->inlined; e = e->next) {
		struct config_inline *s = &c->inlined[c->n_inlines];

		if (!config_is_section(r, e) || !config_section_name(r, e))
			continue;
		c->n_inlines++;
		*s = (struct config_inline){.name = config_dup(r->mem, str_c(e->key))};
		config_read_defaults(r, &config_of_inline_server, s);
		config_read_section(r, e, &config_of_inline_server, s);
	}
}

static const struct config_key inline_keys[] = {
	{"server", read_servers, 0, 0},
	{"own-sources", read_own_sources, 0, 0},
	{"bypass", CONFIG_TAKE(struct config, dataplane.bypass)},
};
const struct config_binding config_of_inline = CONFIG_BINDING("inline", inline_keys);

void read_inline(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		 void *field)
{
	(void)k;
	config_read_section(r, n, &config_of_inline, field);
}

/* ---- one server ------------------------------------------------------------------------------- */

static const struct config_node *server_node(const struct config_node *root, const char *name)
{
	return config_child(config_child(config_child(root, "inline"), "server"), name);
}

/* Is a certificate of ours of that name? RFC 6125 6.4.3: a wildcard is a whole label. */
static bool has_certificate(const struct config *c, const char *name)
{
	bool found = false;

	for (size_t i = 0; i < c->tls.n_certificates && !found; i++) {
		struct str pem = c->tls.certificate[i].chain;
		BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
		X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

		found = x && X509_check_host(x, name, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
		X509_free(x);
		BIO_free(bio);
	}
	ERR_clear_error();
	return found;
}

const char *config_inline_hostname(const struct config *c, const struct config_inline *s)
{
	return s && s->hostname ? s->hostname : c->hostname;
}

/* What only a server that is terminated has. */
static void check_passed(struct config_reader *r, const struct config_node *n)
{
	static const char *const keys[] = {"route", "hostname", "allow-clear"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (config_child(n, keys[i]))
			config_fail(r->c, config_child(n, keys[i]), NULL, "only with mode = terminate: "
				    "what passes the cable is not ours to answer or to route");
}

static void check_tls(struct config_reader *r, const struct config_node *n, struct config_inline *s)
{
	const char *name = config_inline_hostname(r->out, s);

	s->tls = has_certificate(r->out, name);
	if (s->tls && s->allow_clear)
		config_fail(r->c, config_child(n, "allow-clear"), NULL, "a certificate of the tls section "
			    "is of %s: STARTTLS is offered", name);
	if (!s->tls && !s->allow_clear)
		config_fail(r->c, n, "mode", "terminate without a certificate of %s in the tls section: "
			    "STARTTLS could not be offered, and senders that demand it (MTA-STS, DANE) "
			    "would not deliver. Give the server's certificate, or mode = observe, or "
			    "allow-clear = yes", name);
}

static void check_terminated(struct config_reader *r, const struct config_node *n,
			     struct config_inline *s)
{
	const struct config_route *route = NULL;

	check_tls(r, n, s);
	if (!s->route_name) {
		config_fail(r->c, n, "route", "missing: the route with to = dialled that its mail takes");
		return;
	}
	for (size_t i = 0; i < r->out->n_routes && !route; i++)
		if (!strcmp(r->out->route[i].name, s->route_name))
			route = &r->out->route[i];
	if (!route)
		config_fail(r->c, config_child(n, "route"), NULL, "there is no route \"%s\"", s->route_name);
	else if (!route->dialled)
		config_fail(r->c, config_child(n, "route"), NULL, "route \"%s\" goes elsewhere: mail that "
			    "is taken in a server's name goes to that server, which needs a route with "
			    "to = dialled", route->name);
	else if (!route->xclient && route->proxy == PROXY_NONE && !route->transparent)
		config_fail(r->c, config_child(n, "route"), NULL, "route \"%s\" hides the client's address "
			    "from the server: it needs xclient = yes, proxy = v2 or transparent = yes; "
			    "else mode = observe", route->name);
	s->route = route;
}

/* ---- all of them -------------------------------------------------------------------------------- */

struct net_use {
	const struct config_inline *s;
	size_t index;
};

static const struct config_node *net_node(const struct config_node *root, const struct net_use *u)
{
	const struct config_node *n = config_child(server_node(root, u->s->name), "addresses");

	n = n ? n->first : NULL;
	for (size_t i = u->index; n && i; i--)
		n = n->next;
	return n;
}

static bool same_net(const struct ip_net *a, const struct ip_net *b)
{
	return a->prefix == b->prefix && !memcmp(&a->addr, &b->addr, sizeof(a->addr));
}

/* The longest prefix counts, so the same one of two servers would mean nothing. */
static void check_net(struct config_reader *r, const struct config_node *root,
		      const struct net_use *all, size_t n)
{
	const struct net_use *u = &all[n - 1];
	const struct ip_net *net = &u->s->net[u->index];
	const struct config *c = r->out;

	for (size_t i = 0; i + 1 < n; i++)
		if (all[i].s->port == u->s->port && same_net(&all[i].s->net[all[i].index], net))
			config_fail(r->c, net_node(root, u), NULL, "is of server \"%s\" already",
				    all[i].s->name);
	for (size_t i = 0; i < c->n_listeners && u->s->mode == INLINE_TERMINATE; i++)
		for (size_t k = 0; k < c->listener[i].n_addresses; k++)
			if (c->listener[i].smtp_port == u->s->port &&
			    ip_in_net(&c->listener[i].address[k].addr, net))
				config_fail(r->c, net_node(root, u), NULL, "holds our own address (listener "
					    "\"%s\"): mail would go round in a loop", c->listener[i].name);
}

static void check_nets(struct config_reader *r, const struct config_node *root)
{
	struct net_use all[HANDOFF_MAX_INLINE];
	size_t n = 0;

	for (size_t i = 0; i < r->out->n_inlines; i++)
		for (size_t k = 0; k < r->out->inlined[i].n_nets; k++) {
			struct net_use u = {&r->out->inlined[i], k};

			if (n == HANDOFF_MAX_INLINE) {
				config_fail(r->c, net_node(root, &u), NULL, "more than %u addresses of "
					    "servers in all", HANDOFF_MAX_INLINE);
				return;
			}
			all[n++] = u;
			check_net(r, root, all, n);
		}
}

static void check_names(struct config_reader *r, const struct config_node *root)
{
	const struct config *c = r->out;
	size_t names = 0;

	for (size_t i = 0; i < c->n_inlines; i++) {
		bool new = c->inlined[i].hostname;

		for (size_t k = 0; k < i && new; k++)
			new = !c->inlined[k].hostname || strcmp(c->inlined[i].hostname, c->inlined[k].hostname);
		names += new;
		if (new && names > HANDOFF_MAX_INLINE_NAMES)
			config_fail(r->c, config_child(server_node(root, c->inlined[i].name), "hostname"), NULL,
				    "more than %u names of servers in all", HANDOFF_MAX_INLINE_NAMES);
	}
}

/* A route that goes to whom the client dialled is of use for such servers only. */
static void check_routes(struct config_reader *r, const struct config_node *root)
{
	const struct config *c = r->out;

	for (size_t i = 0; i < c->n_routes; i++) {
		bool used = !c->route[i].dialled;

		for (size_t k = 0; k < c->n_inlines && !used; k++)
			used = c->inlined[k].route == &c->route[i];
		if (!used)
			config_fail(r->c, config_child(config_child(root, "route"), c->route[i].name), "to",
				    "dialled: no server of the inline section has this route");
	}
}

/* The tracker follows so many TCP ports: those of the tap section, or 25, are among them. */
static void check_observed(struct config_reader *r, const struct config_node *root)
{
	const struct handoff_config *d = &r->out->dataplane;
	uint16_t port[HANDOFF_MAX_TAP_PORTS] = {25};
	size_t n = 1;

	if (d->n_tap_ports) {
		n = d->n_tap_ports;
		memcpy(port, d->tap_port, sizeof(port));
	}
	for (size_t i = 0; i < r->out->n_inlines; i++) {
		const struct config_inline *s = &r->out->inlined[i];
		size_t k = 0;

		while (k < n && port[k] != s->port)
			k++;
		if (s->mode != INLINE_OBSERVE || k < n)
			continue;
		if (n == HANDOFF_MAX_TAP_PORTS) {
			const struct config_node *server = server_node(root, s->name), *at = config_child(server, "port");

			/* It may have the default, 25. */
			config_fail(r->c, at ? at : server, NULL,
				    "servers that are observed, and tap.ports, have more than %u ports in all",
				    HANDOFF_MAX_TAP_PORTS);
			return;
		}
		port[n++] = s->port;
	}
}

void config_check_inline(struct config_reader *r, const struct config_node *root)
{
	struct config *c = r->out;

	for (size_t i = 0; i < c->n_inlines; i++) {
		struct config_inline *s = &c->inlined[i];
		const struct config_node *n = server_node(root, s->name);

		if (s->mode == INLINE_TERMINATE)
			check_terminated(r, n, s);
		else
			check_passed(r, n);
	}
	check_nets(r, root);
	check_names(r, root);
	check_observed(r, root);
	if (!r->c->n_errors)
		check_routes(r, root);
}

/* ---- for others ---------------------------------------------------------------------------------- */

static uint8_t name_number(struct handoff_config *d, const char *name)
{
	uint32_t i = 0;

	if (!name)
		return 0;
	while (i < d->n_inline_names && strcmp(d->inline_name[i], name))
		i++;
	if (i == d->n_inline_names)
		snprintf(d->inline_name[d->n_inline_names++], sizeof(d->inline_name[0]), "%s", name);
	return (uint8_t)(i + 1);
}

void config_inline_handoff(const struct config *c, struct handoff_config *d)
{
	for (size_t i = 0; i < c->n_inlines; i++) {
		const struct config_inline *s = &c->inlined[i];

		for (size_t k = 0; k < s->n_nets; k++) {
			struct handoff_inline *h = &d->inlined[d->n_inlines++];

			memcpy(h->address, s->net[k].addr.a, sizeof(h->address));
			h->prefix_len = s->net[k].prefix;
			h->tcp_port = s->port;
			h->id = (uint16_t)(HANDOFF_LISTENER_INLINE + i);
			h->mode = s->mode;
			h->flags = (uint8_t)((s->tls ? INLINE_F_TLS : 0) |
					     (s->route && s->route->transparent ? INLINE_F_TRANSPARENT : 0));
			h->name = name_number(d, s->hostname);
		}
	}
	for (size_t i = 0; i < c->n_inline_own; i++) {
		struct handoff_inline_own *h = &d->inline_own[d->n_inline_own++];

		memcpy(h->address, c->inline_own[i].addr.a, sizeof(h->address));
		h->prefix_len = c->inline_own[i].prefix;
	}
}

const struct config_inline *config_inline_for(const struct config *c, uint16_t listener,
					      const struct ip_addr *local, uint16_t port)
{
	const struct config_inline *best = NULL;
	int prefix = -1;

	if (!config_is_inline(listener))
		return NULL;
	for (size_t i = 0; i < c->n_inlines; i++)
		for (size_t k = 0; k < c->inlined[i].n_nets; k++) {
			const struct ip_net *net = &c->inlined[i].net[k];

			if (c->inlined[i].port != port || net->prefix <= prefix || !ip_in_net(local, net))
				continue;
			best = &c->inlined[i];
			prefix = net->prefix;
		}
	return best;
}

const struct config_route *config_route_at(const struct config *c, uint16_t listener,
					   const struct ip_addr *local, uint16_t port, struct str domain)
{
	const struct config_inline *s;

	if (!config_is_inline(listener))
		return config_route_for(c, domain);
	s = config_inline_for(c, listener, local, port);
	return s ? s->route : NULL;
}
