/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Of a route: whose mail it takes, where that goes, and what a provider is known to demand. */

#include <string.h>

#include "control/config/config_value.h"
#include "control/config/recipients.h"
#include "postern/limits.h"

/* ---- domains ------------------------------------------------------------------------------ */

/* "example.com", or ".example.com": whatever is below it. */
static char *route_domain(struct config_reader *r, const struct config_node *n)
{
	struct str text = str_c(n->text);
	bool below = text.n && text.p[0] == '.';
	char dotted[LIMIT_CONFIG_STRING + 2];
	char *d;

	if (text.n && (text.p[0] == '*' || text.p[0] == '@')) {
		config_fail(r->c, n, NULL, "\"%s\": a route lists domains without wildcard or @; "
			    "\".example.com\" is what lies below example.com", n->text);
		return NULL;
	}
	d = config_domain(r, n, below ? str_skip(text, 1) : text);
	if (!d || !below)
		return d;
	if (!strchr(d, '.')) {
		config_fail(r->c, n, NULL, "\"%s\" is a whole top-level domain: nobody is that", n->text);
		return NULL;
	}
	dotted[0] = '.';
	memcpy(dotted + 1, d, strlen(d) + 1);
	return config_dup(r->mem, str_c(dotted));
}

void read_route_domains(struct config_reader *r, const struct config_node *n,
			const struct config_key *k, void *field)
{
	struct config_route *route = field;

	if (!config_list(r, n, k))
		return;
	route->domain = config_alloc(r->mem, n->n * sizeof(*route->domain));
	for (const struct config_node *e = n->first; e && route->domain; e = e->next) {
		route->domain[route->n_domains] = route_domain(r, e);
		if (route->domain[route->n_domains])
			route->n_domains++;
	}
}

/* ---- hosts -------------------------------------------------------------------------------- */

/* "name", "name:25", "192.0.2.1", "192.0.2.1:25", "2001:db8::1", "[2001:db8::1]:25". */
static bool split_host(struct str text, struct str *host, struct str *port, bool *bracket)
{
	size_t colon = str_find(text, ':'), end;

	*port = STR_NONE;
	*host = text;
	*bracket = text.n && text.p[0] == '[';
	if (*bracket) {
		end = str_find(text, ']');
		if (end == text.n)
			return false;
		*host = str_make(text.p + 1, end - 1);
		text = str_skip(text, end + 1);
		if (text.n && text.p[0] != ':')
			return false;
		if (text.n)
			*port = str_skip(text, 1);
		return !text.n || port->n;
	}
	if (colon == text.n || str_find(str_skip(text, colon + 1), ':') + colon + 1 < text.n)
		return true;
	*host = str_cut(text, colon);
	*port = str_skip(text, colon + 1);
	return port->n > 0;
}

static bool host(struct config_reader *r, const struct config_node *n, struct config_host *out)
{
	struct str name, port;
	bool bracket;

	if (!split_host(str_c(n->text), &name, &port, &bracket) ||
	    (port.n && !config_port(port, &out->port))) {
		config_fail(r->c, n, NULL, "\"%s\": expected host, host:port, address, address:port "
			    "or [IPv6 address]:port with a port of 1 to 65535", n->text);
		return false;
	}
	/* What holds a colon or only digits and dots wants to be an address. */
	if (bracket || str_find(name, ':') < name.n || ip_parse(name, &out->ip)) {
		out->is_ip = config_host_address(r, n, name, &out->ip);
		out->name = config_dup(r->mem, name);
		return out->is_ip;
	}
	out->name = config_domain(r, n, name);
	return out->name != NULL;
}

static void read_host_name(struct config_reader *r, const struct config_node *n,
			   const struct config_key *k, void *field)
{
	(void)k;
	if (config_string(r, n))
		host(r, n, field);
}

static const struct config_key host_keys[] = {
	{"host", read_host_name, 0, 0},
	{"port", CONFIG_TAKE(struct config_host, port)},
	{"weight", CONFIG_TAKE(struct config_host, weight)},
	{"priority", CONFIG_TAKE(struct config_host, priority)},
};
const struct config_binding config_of_hosts = CONFIG_BINDING("route.hosts", host_keys);

/* In a section: host = "name", port beside it. */
static bool host_section(struct config_reader *r, const struct config_node *n,
			 struct config_host *out)
{
	const struct config_node *port = config_child(n, "port");
	struct config_host named = {0};

	config_read_defaults(r, &config_of_hosts, out);
	config_read_section(r, n, &config_of_hosts, out);
	if (out->name && port && config_child(n, "host")) {
		/* Which of two ports would count must not hang on the order of the lines. */
		if (host(r, config_child(n, "host"), &named) && named.port)
			config_fail(r->c, port, NULL, "the host has a port already: %s",
				    config_child(n, "host")->text);
	}
	return out->name != NULL;
}

static bool same_host(const struct config_host *a, const struct config_host *b)
{
	if (a->port != b->port || a->is_ip != b->is_ip)
		return false;
	return a->is_ip ? !memcmp(&a->ip, &b->ip, sizeof(a->ip)) : !strcmp(a->name, b->name);
}

void read_route_hosts(struct config_reader *r, const struct config_node *n,
		      const struct config_key *k, void *field)
{
	struct config_route *route = field;
	bool sections = n->kind == NODE_ARRAY && n->first && n->first->kind == NODE_SECTION;

	(void)k;
	for (const struct config_node *e = sections ? n->first : NULL; e; e = e->next)
		if (e->kind != NODE_SECTION) {
			config_fail(r->c, e, NULL, "either all hosts are { host = ... } or none is: "
				    "those without are tried in their order");
			return;
		}
	if (!sections && !config_strings(r, n, 1, LIMIT_CONFIG_HOSTS))
		return;
	if (n->n > LIMIT_CONFIG_HOSTS) {
		config_fail(r->c, n, NULL, "%zu hosts: at most %u are possible", n->n,
			    LIMIT_CONFIG_HOSTS);
		return;
	}
	route->host = config_alloc(r->mem, n->n * sizeof(*route->host));
	for (const struct config_node *e = n->first; e && route->host; e = e->next) {
		struct config_host *h = &route->host[route->n_hosts];

		h->priority = (uint16_t)route->n_hosts;
		h->weight = 1;
		if (sections ? host_section(r, e, h) : host(r, e, h))
			route->n_hosts++;
		else
			*h = (struct config_host){0};
	}
}

/* ---- MX ----------------------------------------------------------------------------------- */

void read_route_mx(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		   void *field)
{
	struct config_route *route = field;

	(void)k;
	if (n->kind == NODE_BOOL) {
		route->mx = n->boolean;
	} else if (n->kind != NODE_STRING) {
		config_fail(r->c, n, NULL, "expected true, or the domain whose MX records count, found %s",
			    config_kind_name(n));
	} else if (config_string(r, n)) {
		route->mx_domain = config_domain(r, n, str_c(n->text));
		route->mx = route->mx_domain != NULL;
	}
}

/* ---- recipients --------------------------------------------------------------------------- */

/* Read when the other keys of the list are known: config_route_finish(). */
void read_route_recipients(struct config_reader *r, const struct config_node *n,
			   const struct config_key *k, void *field)
{
	char *path;

	(void)field;
	read_path(r, n, k, &path);
}

void read_delimiter(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		    void *field)
{
	(void)k;
	if (!config_string(r, n))
		return;
	if (strlen(n->text) != 1 || !strchr("+-_=#.", n->text[0]))
		config_fail(r->c, n, NULL, "expected one of + - _ = # . found \"%s\"", n->text);
	else
		*(char *)field = n->text[0];
}

static void finish_list(struct config_reader *r, const struct config_node *section,
			struct config_route *route)
{
	const struct config_node *list = config_child(section, "recipients"),
				 *verify = config_child(section, "verify");
	static const char *const of_list[] = {"recipients-case", "recipients-delimiter"};

	if (route->verify == VERIFY_LIST && !list)
		config_fail(r->c, verify, NULL, "without recipients = \"/file\" nobody would be let in");
	else if (list && route->verify != VERIFY_LIST)
		config_fail(r->c, list, NULL, "only verify = list asks the list");
	else if (list && list->kind == NODE_STRING && list->text[0] == '/')
		route->recipients = config_recipients_load(r, list, list->text, route->list_exact,
							   route->list_delimiter);
	for (size_t i = 0; i < sizeof(of_list) / sizeof(of_list[0]) && !list; i++)
		if (config_child(section, of_list[i]))
			config_fail(r->c, config_child(section, of_list[i]), NULL, "there is no list: "
				    "recipients is missing");
}

/* ---- sources ------------------------------------------------------------------------------ */

static void set_source(struct config_reader *r, const struct config_node *n,
		       struct config_route *route, int want)
{
	struct ip_addr ip;
	int which;

	if (!config_string(r, n) || !config_host_address(r, n, str_c(n->text), &ip))
		return;
	which = ip_is_v4(&ip) ? 0 : 1;
	if (want >= 0 && which != want) {
		config_fail(r->c, n, NULL, "%s is no IPv%d address", n->text, want ? 6 : 4);
	} else if (route->has_source[which]) {
		config_fail(r->c, n, NULL, "the IPv%d source address is given twice", which ? 6 : 4);
	} else {
		route->source[which] = ip;
		route->has_source[which] = true;
	}
}

void read_route_source(struct config_reader *r, const struct config_node *n,
		       const struct config_key *k, void *field)
{
	(void)k;
	set_source(r, n, field, -1);
}

void read_route_source_v4(struct config_reader *r, const struct config_node *n,
			  const struct config_key *k, void *field)
{
	(void)k;
	set_source(r, n, field, 0);
}

void read_route_source_v6(struct config_reader *r, const struct config_node *n,
			  const struct config_key *k, void *field)
{
	(void)k;
	set_source(r, n, field, 1);
}

/* ---- way ---------------------------------------------------------------------------------- */

void config_route_way(const struct config_route *route, struct str domain, char out[MAIL_ALABEL])
{
	if (!route->mx || route->mx_domain || !mail_alabel(domain, out))
		out[0] = '\0';
}

/* ---- providers ---------------------------------------------------------------------------- */

void config_route_preset(struct config_route *route, const struct config_node *provider)
{
	static const char *const exchange[] = {"mail.protection.outlook.com", "mx.microsoft", NULL};
	static const char *const google[] = {"google.com", NULL};
	const char *name = provider && provider->kind == NODE_STRING ? provider->text : "";

	if (!strcmp(name, "exchange-online")) {
		route->tls_names = exchange;
		/* Microsoft asks of gateways: 199 messages and 20 minutes a connection. The last
		 * minute is for the message that is under way then. */
		route->messages_per_connection = 199;
		route->connection_age_s = 19 * 60;
	} else if (!strcmp(name, "google-workspace")) {
		route->tls_names = google;
	} else {
		return;
	}
	/* Both know a gateway by IPv4 addresses; IPv6 senders are judged by stricter rules. */
	route->family = FAMILY_V4;
	route->tls.policy = TLS_POLICY_VERIFY;
	route->size_margin = LIMIT_ROUTE_HEADERS;
}

/* ---- the whole of a route ----------------------------------------------------------------- */

static void finish_hosts(struct config_reader *r, const struct config_node *section,
			 struct config_route *route)
{
	const struct config_node *at = config_child(section, "hosts"),
				 *e = at ? at->first : NULL;

	for (size_t i = 0; i < route->n_hosts; i++, e = e ? e->next : NULL) {
		struct config_host *h = &route->host[i];

		if (!h->port)
			h->port = route->port;
		for (size_t k = 0; k < i; k++)
			if (same_host(h, &route->host[k]))
				config_fail(r->c, e ? e : at, NULL, "%s is listed twice", h->name);
	}
}

static void finish_sources(struct config_reader *r, const struct config_node *section,
			   struct config_route *route)
{
	static const char *const key[] = {"source-v4", "source-v6"};
	const struct config_node *one = config_child(section, "source-address");
	bool family_given = config_child(section, "family");

	/* One address for all: the other family has none to leave from. */
	if (one && route->has_source[0] != route->has_source[1] && !family_given)
		route->family = route->has_source[0] ? FAMILY_V4 : FAMILY_V6;
	for (int i = 0; i < 2; i++) {
		enum config_family other = i ? FAMILY_V4 : FAMILY_V6;

		if (route->has_source[i] && route->family == other && (family_given || !one))
			config_fail(r->c, one ? one : config_child(section, key[i]), NULL, "the family "
				    "of this route is IPv%d: the address is never used", i ? 4 : 6);
	}
}

void config_route_finish(struct config_reader *r, const struct config_node *section,
			 struct config_route *route)
{
	const struct config_node *mx = config_child(section, "mx"),
				 *hosts = config_child(section, "hosts");

	if (route->dialled)
		; /* where it goes the connection says: config_route_dialled() */
	else if (!hosts && !mx)
		config_fail(r->c, section, "hosts", "missing: where their mail goes; there is no default");
	else if (!hosts && !route->mx && mx->kind == NODE_BOOL)
		config_fail(r->c, mx, NULL, "without MX records this route has no hosts");
	else if (hosts && route->mx)
		config_fail(r->c, mx, NULL, "hosts are given: mail goes to them or to what MX records "
			    "name, not to both");
	if (route->max_message && route->max_message < LIMIT_ROUTE_HEADERS)
		config_fail(r->c, config_child(section, "max-message"), NULL, "expected 0 (what the next "
			    "hop says) or at least %u octets", LIMIT_ROUTE_HEADERS);
	finish_hosts(r, section, route);
	finish_sources(r, section, route);
	finish_list(r, section, route);
}
