/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A route to whom the client dialled: to = dialled. Who that is and on which port, the connection
 * says; whose mail it takes, the server does, asked at each RCPT in the client's name. So keys that
 * would answer either are errors here, and those that would let in whom the server has not seen.
 */

#include <net/if.h>
#include <string.h>

#include "control/config/config_value.h"
#include "postern/limits.h"

void read_interface(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		    void *field)
{
	char *name;

	(void)k;
	if (!config_string(r, n))
		return;
	if (strlen(n->text) >= IF_NAMESIZE || strpbrk(n->text, "/ \t") || !strcmp(n->text, ".") ||
	    !strcmp(n->text, "..")) {
		config_fail(r->c, n, NULL, "\"%s\" is no name of a network interface: up to %d characters "
			    "without / and white space", n->text, IF_NAMESIZE - 1);
		return;
	}
	name = config_dup(r->mem, str_c(n->text));
	memcpy(field, &name, sizeof(name));
}

static void check_keys(struct config_reader *r, const struct config_node *n)
{
	static const struct {
		const char *key, *why;
	} never[] = {
		{"domains", "the server that was dialled says at RCPT whose mail it takes"},
		{"hosts", "mail goes to the server that was dialled, and to no other"},
		{"mx", "mail goes to the server that was dialled, and to no other"},
		{"port", "it is the port that was dialled"},
		{"family", "it is that of the address that was dialled"},
		{"mta-sts", "a policy is about MX records: this route does not go by them"},
		{"chain", "a chain is for the next hop that is another Postern; a server is none"},
	};

	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if (config_child(n, never[i].key))
			config_fail(r->c, config_child(n, never[i].key), NULL, "not with to = dialled: %s",
				    never[i].why);
}

void config_route_dialled(struct config_reader *r, const struct config_node *n,
			  const struct config_route *route)
{
	static const char *const source[] = {"source-address", "source-v4", "source-v6"};

	check_keys(r, n);
	/* What nobody was asked about would be accepted, whoever sends to whomever. */
	if (route->verify == VERIFY_NONE)
		config_fail(r->c, config_child(n, "verify"), NULL, "not with to = dialled: recipients of "
			    "anywhere would be accepted; the server must be asked (callout), or a list");
	if (!route->trust_rcpt && route->verify == VERIFY_CALLOUT)
		config_fail(r->c, config_child(n, "trust-rcpt"), NULL, "not with to = dialled: recipients "
			    "of anywhere would be accepted; the server must be asked, or verify = list");
	if (route->provider != PROVIDER_SMTP)
		config_fail(r->c, config_child(n, "provider"), NULL, "not with to = dialled: a cloud is "
			    "not behind a cable");
	if (route->tls.policy == TLS_POLICY_DANE || route->tls.policy == TLS_POLICY_DANE_ONLY)
		config_fail(r->c, config_child(n, "tls"), NULL, "not with to = dialled: TLSA records are "
			    "found by the name of a host, and it is known by its address");
	if (route->tls.policy == TLS_POLICY_VERIFY && route->provider == PROVIDER_SMTP &&
	    !config_child(n, "tls-name"))
		config_fail(r->c, config_child(n, "tls"), NULL, "verify needs tls-name: the server is known "
			    "by its address, which is not in its certificate");
	for (size_t i = 0; i < 3 && route->transparent; i++)
		if (config_child(n, source[i]))
			config_fail(r->c, config_child(n, source[i]), NULL, "with transparent = yes we come "
				    "from the client's address");
	if (route->transparent && (route->xclient || route->proxy != PROXY_NONE))
		config_fail(r->c, config_child(n, "transparent"), NULL, "the server is told the client "
			    "already (%s): one of the two", route->xclient ? "xclient" : "proxy");
}

/* Of any route. */
void config_route_transparent(struct config_reader *r, const struct config_node *n,
			      struct config_route *route)
{
	static const char *const of_it[] = {"transparent-interface", "transparent-mark"};

	/* It is of use to nobody but this client. */
	if (route->transparent && !config_child(n, "idle-timeout"))
		route->idle_timeout_s = DEFAULT_TRANSPARENT_IDLE_S;
	if (route->transparent && !route->dialled)
		config_fail(r->c, config_child(n, "transparent"), NULL, "only with to = dialled: elsewhere "
			    "the next hop's replies would not find their way here");
	for (size_t i = 0; i < 2 && !route->transparent; i++)
		if (config_child(n, of_it[i]))
			config_fail(r->c, config_child(n, of_it[i]), NULL, "only with transparent = yes");
}
