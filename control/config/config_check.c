/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The top level of the file, defaults, and the sections that are mere tables. */

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "control/config/config_value.h"
#include "postern/limits.h"

#define N_KEYS(t) (sizeof(t) / sizeof((t)[0]))

/* ---- single values ---------------------------------------------------------------------- */

static void read_loops(struct config_reader *r, const struct config_node *n,
		       const struct config_key *k, void *field)
{
	if (n->kind == NODE_NUMBER && n->unit == UNIT_NONE && n->number > 1) {
		config_fail(r->c, n, NULL, "only 1 event loop is built so far, %s asked for", n->text);
		return;
	}
	read_count(r, n, k, field);
}

/* A text that goes into replies: an array of `width` octets, NUL included. */
static void read_text(struct config_reader *r, const struct config_node *n,
		      const struct config_key *k, void *field)
{
	if (config_reply_text(r, n, k->width - 1))
		memcpy(field, n->text, strlen(n->text) + 1);
}

/* "530", "5.7.51", "5.7.606-649" */
static bool fault_code_ok(const char *s)
{
	unsigned int cls, subject, detail, last;
	int len = 0;

	if (strspn(s, "0123456789.-") != strlen(s) || strlen(s) > 16)
		return false;
	if (strlen(s) == 3 && strchr(s, '.') == NULL)
		return (s[0] == '4' || s[0] == '5') && s[1] >= '0' && s[1] <= '5' && s[2] != '-';
	if ((s[0] != '4' && s[0] != '5') || s[1] != '.')
		return false;
	/* RFC 3463 2: subject and detail are numbers of up to three digits. */
	if (sscanf(s, "%1u.%3u.%3u%n", &cls, &subject, &detail, &len) != 3)
		return false;
	if (s[len] == '\0')
		return true;
	s += len;
	return sscanf(s, "-%3u%n", &last, &len) == 1 && s[1] != '-' && s[len] == '\0' && last > detail;
}

static void read_fault_codes(struct config_reader *r, const struct config_node *n,
			     const struct config_key *k, void *field)
{
	struct config *c = field;

	if (!config_list(r, n, k))
		return;
	c->relay_fault_code = config_alloc(r->mem, (n->n + 1) * sizeof(char *));
	for (const struct config_node *e = n->first; e && c->relay_fault_code; e = e->next) {
		if (!fault_code_ok(e->text))
			config_fail(r->c, e, NULL, "\"%s\" is no reply code (530), enhanced code "
				    "(5.7.51) or range (5.7.606-649) of class 4 or 5", e->text);
		c->relay_fault_code[c->n_relay_fault_codes++] = config_dup(r->mem, str_c(e->text));
	}
}

/* ---- dns -------------------------------------------------------------------------------- */

/* "192.0.2.53" or "192.0.2.53@5353", as libunbound takes it. */
static const char *dns_server(struct config_reader *r, const struct config_node *n)
{
	struct str text = str_c(n->text);
	size_t at = str_find(text, '@');
	struct ip_addr ip;
	uint16_t port;

	if (!config_host_address(r, n, str_cut(text, at), &ip))
		return NULL;
	if (at < text.n && !config_port(str_skip(text, at + 1), &port)) {
		config_fail(r->c, n, NULL, "%s: expected address or address@port with a port of 1 to "
			    "65535", n->text);
		return NULL;
	}
	return config_dup(r->mem, text);
}

static void read_forwarders(struct config_reader *r, const struct config_node *n,
			    const struct config_key *k, void *field)
{
	struct dns_options *dns = field;
	const char **list;

	if (!config_list(r, n, k))
		return;
	dns->forwarder = list = config_alloc(r->mem, (n->n + 1) * sizeof(*list));
	for (const struct config_node *e = n->first; e && list; e = e->next)
		list[dns->n_forwarders++] = dns_server(r, e);
}

static void read_stubs(struct config_reader *r, const struct config_node *n,
		       const struct config_key *k, void *field)
{
	struct dns_options *dns = field;
	struct dns_stub *stub = config_alloc(r->mem, (n->n + 1) * sizeof(*stub));

	(void)k;
	dns->stub = stub;
	for (const struct config_node *e = n->first; e && stub; e = e->next) {
		if (!config_string(r, e))
			continue;
		stub[dns->n_stubs].zone = config_domain(r, e, str_c(e->key));
		stub[dns->n_stubs++].addr = dns_server(r, e);
	}
}

static void read_zone_files(struct config_reader *r, const struct config_node *n,
			    const struct config_key *k, void *field)
{
	struct dns_options *dns = field;
	const char **list;

	if (!config_list(r, n, k))
		return;
	dns->zone_file = list = config_alloc(r->mem, (n->n + 1) * sizeof(*list));
	for (const struct config_node *e = n->first; e && list; e = e->next)
		read_path(r, e, k, &list[dns->n_zone_files++]);
}

/* "" says that there is none. */
static void read_anchor(struct config_reader *r, const struct config_node *n,
			const struct config_key *k, void *field)
{
	if (n->kind != NODE_STRING || n->text[0])
		read_path(r, n, k, field);
}

static const struct config_key dns_keys[] = {
	{"forwarders", read_forwarders, 0, 0},
	{"stub", read_stubs, 0, 0},
	{"zone-files", read_zone_files, 0, 0},
	{"trust-anchor-file", read_anchor, CONFIG_FIELD(struct dns_options, trust_anchor_file)},
	{"timeout", CONFIG_TAKE(struct dns_options, timeout_ms)},
};

static const struct config_binding of_dns = CONFIG_BINDING("dns", dns_keys);

static void read_dns(struct config_reader *r, const struct config_node *n,
		     const struct config_key *k, void *field)
{
	struct dns_options *dns = field;

	(void)k;
	config_read_section(r, n, &of_dns, dns);
	if (dns->n_zone_files && (dns->n_forwarders || dns->n_stubs))
		config_fail(r->c, config_child(n, "zone-files"), NULL, "with zone-files nothing is "
			    "asked over the network: forwarders and stub contradict it");
}

/* ---- rules ------------------------------------------------------------------------------ */

static void rules_glob(struct config_reader *r, const struct config_node *n, char ***list,
		       size_t *count, size_t *cap)
{
	const char *last = strrchr(n->text, '/');
	bool wild = strpbrk(n->text, "*?[") != NULL;
	glob_t g = {0};
	int rc;

	if (n->text[0] != '/' || last[1] == '\0') {
		config_fail(r->c, n, NULL, "expected an absolute path of rule files, found %s", n->text);
		return;
	}
	if (wild && strpbrk(n->text, "*?[") < last) {
		config_fail(r->c, n, NULL, "wildcards are taken in the last part of a path only");
		return;
	}
	rc = glob(n->text, GLOB_ERR, NULL, &g);
	if (rc == GLOB_NOMATCH && !wild)
		config_fail(r->c, n, NULL, "%s: no such file", n->text);
	else if (rc == GLOB_NOSPACE)
		r->mem->failed = true;
	for (size_t i = 0; rc == 0 && i < g.gl_pathc; i++) {
		struct stat st;

		if (stat(g.gl_pathv[i], &st) || !S_ISREG(st.st_mode)) {
			config_fail(r->c, n, NULL, "%s is no regular file", g.gl_pathv[i]);
			continue;
		}
		if (*count == *cap) {
			config_fail(r->c, n, NULL, "more than %zu rule files", *cap);
			break;
		}
		(*list)[(*count)++] = config_dup(r->mem, str_c(g.gl_pathv[i]));
	}
	globfree(&g);
}

static void read_rules_files(struct config_reader *r, const struct config_node *n,
			     const struct config_key *k, void *field)
{
	struct config *c = field;
	size_t cap = LIMIT_RULES_FILES;

	if (!config_list(r, n, k))
		return;
	c->rules_file = config_alloc(r->mem, cap * sizeof(char *));
	for (const struct config_node *e = n->first; e && c->rules_file; e = e->next)
		rules_glob(r, e, &c->rules_file, &c->n_rules_files, &cap);
}

static const struct config_key rules_keys[] = {
	{"files", read_rules_files, 0, 0},
	{"cache", CONFIG_TAKE(struct config, rules_cache)},
	{"cache-size", CONFIG_TAKE(struct config, rules_cache_size)},
	{"score-set", CONFIG_TAKE(struct config, rules_score_set)},
	{"compile-time", CONFIG_TAKE(struct config, rules_compile_time_s)},
	{"compile-memory", CONFIG_TAKE(struct config, rules_compile_memory)},
};

/* ---- tables ----------------------------------------------------------------------------- */



#define LIMIT_OF(member) CONFIG_FIELD(struct config, dataplane.member)

static const struct config_key limits_keys[] = {
	/* An arena record lists at most HANDOFF_MAX_CHUNKS chunks, and one is kept in reserve.
	 * RFC 5321 4.5.3.1.7: 64K at least. */
	{"max-message", NULL, LIMIT_OF(max_message)},
	{"max-recipients", NULL, LIMIT_OF(max_rcpt)},
	{"max-errors", NULL, LIMIT_OF(max_errors)},
	{"max-errors-mode", NULL, LIMIT_OF(max_errors_mode)},
	{"max-idle-commands", NULL, LIMIT_OF(max_idle)},
	{"max-idle-commands-mode", NULL, LIMIT_OF(max_idle_mode)},
	{"early-talkers", NULL, LIMIT_OF(early)},
	{"max-transactions", NULL, LIMIT_OF(max_transactions)},
	{"max-line", NULL, LIMIT_OF(max_line)},
	{"command-timeout", NULL, LIMIT_OF(command_timeout_s)},
	{"data-timeout", NULL, LIMIT_OF(data_timeout_s)},
	{"data-total-timeout", NULL, LIMIT_OF(data_total_timeout_s)},
	{"data-total-timeout-mode", NULL, LIMIT_OF(data_total_mode)},
	{"verdict-timeout", NULL, LIMIT_OF(verdict_timeout_s)},
	{"min-rate", NULL, LIMIT_OF(min_rate)},
	{"min-rate-mode", NULL, LIMIT_OF(min_rate_mode)},
	{"min-rate-large", NULL, LIMIT_OF(min_rate_large)},
	{"min-rate-large-mode", NULL, LIMIT_OF(min_rate_large_mode)},
	{"arena-share", NULL, LIMIT_OF(arena_share)},
	{"arena-share-mode", NULL, LIMIT_OF(arena_share_mode)},
	{"refuse-bare-cr", CONFIG_TAKE(struct config, dataplane.refuse_bare_cr)},
};

static const struct config_key dataplane_keys[] = {
	{"socket", CONFIG_TAKE(struct config, dataplane_socket)},
	{"when-control-is-down", NULL, LIMIT_OF(down_action)},
};

static const struct config_key texts_keys[] = {
	{"banner", read_text, LIMIT_OF(banner)},
	{"help", read_text, LIMIT_OF(help)},
	{"contact", read_text, LIMIT_OF(contact)},
};

static const struct config_key quarantine_keys[] = {
	{"directory", CONFIG_TAKE(struct config, quarantine.directory)},
	{"max-size", CONFIG_TAKE(struct config, quarantine.max_size)},
	{"min-free", CONFIG_TAKE(struct config, quarantine.min_free)},
	{"max-age", CONFIG_TAKE(struct config, quarantine.max_age_s)},
};

static const struct config_key api_keys[] = {
	{"socket", CONFIG_TAKE(struct config, api_socket)},
};

static const struct config_key spf_keys[] = {
	{"workers", CONFIG_TAKE(struct config, spf_workers)},
};

/* A section whose keys lie in struct config. */
#define SECTION(name)                                                                              \
	static const struct config_binding of_##name = CONFIG_BINDING(#name, name##_keys);         \
	static void read_##name(struct config_reader *r, const struct config_node *n,              \
				const struct config_key *k, void *field)                           \
	{                                                                                          \
		(void)k;                                                                           \
		config_read_section(r, n, &of_##name, field);                                      \
	}
SECTION(rules)
SECTION(limits)
SECTION(texts)
SECTION(dataplane)
SECTION(quarantine)
SECTION(api)
SECTION(spf)

static const struct config_key top_keys[] = {
	{"hostname", CONFIG_TAKE(struct config, hostname)},
	{"authserv-id", CONFIG_TAKE(struct config, authserv_id)},
	{"header-prefix", read_prefix, CONFIG_FIELD(struct config, header_prefix)},
	{"received-spf", CONFIG_TAKE(struct config, received_spf)},
	{"foreign-trust-headers", read_foreign_headers, 0, 0},
	{"reverify", CONFIG_TAKE(struct config, reverify)},
	{"dataplane", read_dataplane, 0, 0},
	{"listener", read_listeners, 0, 0},
	{"inline", read_inline, 0, 0},
	{"exceptions", read_exceptions, 0, 0},
	{"route", read_routes, 0, 0},
	{"chain", read_chains, 0, 0},
	{"relay", read_relays, CONFIG_FIELD(struct config, relays)},
	{"trust", read_trust, 0, 0},
	{"tls", read_tls, CONFIG_FIELD(struct config, tls)},
	{"arc", read_arc, CONFIG_FIELD(struct config, arc)},
	{"dns", read_dns, CONFIG_FIELD(struct config, dns)},
	{"rules", read_rules, 0, 0},
	{"policy", read_policy, CONFIG_FIELD(struct config, policy)},
	{"dnsbl", read_dnsbls, CONFIG_FIELD(struct config, policy)},
	{"list", read_lists, 0, 0},
	{"attachment", read_attachments, 0, 0},
	{"relay-fault-codes", read_fault_codes, 0, 0},
	{"limits", read_limits, 0, 0},
	{"sources", read_sources, CONFIG_FIELD(struct config, sources)},
	{"texts", read_texts, 0, 0},
	{"trace", read_trace, 0, 0},
	{"metrics", read_metrics, 0, 0},
	{"in-doubt-file", CONFIG_TAKE(struct config, indoubt_file)},
	{"state-directory", CONFIG_TAKE(struct config, state_directory)},
	{"greylist-file", CONFIG_TAKE(struct config, greylist_file)},
	{"quarantine", read_quarantine, 0, 0},
	{"tap", read_tap, 0, 0},
	{"api", read_api, 0, 0},
	{"loops", read_loops, CONFIG_FIELD(struct config, loops)},
	{"spf", read_spf, 0, 0},
};

static const struct config_binding of_top = CONFIG_BINDING("", top_keys);

const struct config_binding *const config_bindings[] = {
	&of_top, &of_dataplane, &config_of_listener, &config_of_route, &config_of_hosts,
	&config_of_route_policy, &config_of_relay, &config_of_tenant, &config_of_trust, &config_of_chain,
	&config_of_tls, &config_of_certificate, &config_of_arc, &config_of_arc_key, &of_dns, &of_rules,
	&config_of_policy, &config_of_dnsbl, &config_of_list, &config_of_attachment, &of_quarantine,
	&config_of_inline, &config_of_inline_server, &config_of_exceptions, &config_of_exceptions_gateway,
	&config_of_exceptions_inline, &config_of_exceptions_tap,
	&config_of_tap, &config_of_sources, &of_limits, &of_texts, &config_of_trace, &config_of_metrics, &of_api, &of_spf,
};
const size_t n_config_bindings = N_KEYS(config_bindings);

/* Of sections that need not be there, and of the top level. */
static void defaults(struct config_reader *r, struct config *c)
{
	static const struct config_binding *const whole[] = {
		&of_top, &of_dataplane, &of_rules, &of_quarantine, &of_limits, &config_of_trace, &of_api, &of_spf};

	for (size_t i = 0; i < N_KEYS(whole); i++)
		config_read_defaults(r, whole[i], c);
	config_read_defaults(r, &of_dns, &c->dns);
	config_read_defaults(r, &config_of_sources, &c->sources);
	config_read_defaults(r, &config_of_tap, c);
	config_policy_defaults(r, &c->policy);
	config_exceptions_defaults(r);
}

static char *beside(struct config_mem *mem, const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');
	char text[LIMIT_SOCKET_PATH + 16];

	snprintf(text, sizeof(text), "%.*s/%s", slash ? (int)(slash - path) : 0, path, name);
	return config_dup(mem, str_c(text));
}

static void check_sums(struct config_reader *r, const struct config_node *root)
{
	const struct config *c = r->out;
	const struct handoff_config *d = &c->dataplane;
	const struct config_node *limits = config_child(root, "limits"),
				 *api = config_child(root, "api");
	size_t trusted = 0;

	/* RFC 5321 4.5.3.1.6: a line of 1000 octets with its CRLF is taken. */
	if (d->max_line && d->max_line < LIMIT_TEXT_LINE)
		config_fail(r->c, config_child(limits, "max-line"), NULL, "expected 0 (any) or at "
			    "least %d octets", LIMIT_TEXT_LINE);
	if (d->data_total_timeout_s < d->data_timeout_s)
		config_fail(r->c, limits, "data-total-timeout", "%u s in all are less than the "
			    "data-timeout of %u s", d->data_total_timeout_s, d->data_timeout_s);
	for (size_t i = 0; i < c->n_trusts; i++) {
		trusted += c->trust[i].n_nets;
		if (trusted > HANDOFF_MAX_TRUSTS)
			config_fail(r->c, config_child(root, "trust"), c->trust[i].name, "more than %u "
				    "trusted networks in all", HANDOFF_MAX_TRUSTS);
	}
	if (c->api_socket && c->dataplane_socket && !strcmp(c->api_socket, c->dataplane_socket))
		config_fail(r->c, api ? api : config_child(root, "dataplane"), "socket", "%s is the "
			    "socket of both api and dataplane", c->api_socket);
}

/* Is there a route whose domains go to next hops of their own? */
static bool many_ways(const struct config *c)
{
	for (size_t i = 0; i < c->n_routes; i++) {
		const struct config_route *r = &c->route[i];

		if (r->mx && !r->mx_domain && (r->n_domains > 1 || r->domain[0][0] == '.'))
			return true;
	}
	return false;
}

/* What no route takes is not announced either. */
static uint64_t largest_message(const struct config *c)
{
	uint64_t largest = 0;

	for (size_t i = 0; i < c->n_routes; i++) {
		if (!c->route[i].max_message || c->route[i].max_message > c->dataplane.max_message)
			return c->dataplane.max_message;
		if (c->route[i].max_message > largest)
			largest = c->route[i].max_message;
	}
	return largest ? largest : c->dataplane.max_message;
}

static void fill_handoff(struct config *c)
{
	struct handoff_config *d = &c->dataplane;

	d->magic = HANDOFF_MAGIC;
	d->size = sizeof(*d);
	d->generation = c->generation;
	/* Every route is open to every listener. */
	d->many_routes = c->n_routes > 1 || many_ways(c);
	d->max_message = largest_message(c);
	snprintf(d->hostname, sizeof(d->hostname), "%s", c->hostname);
	for (size_t i = 0; i < c->n_trusts; i++)
		for (size_t j = 0; j < c->trust[i].n_nets; j++) {
			struct handoff_trust *h = &d->trust[d->n_trusts++];

			memcpy(h->address, c->trust[i].net[j].addr.a, sizeof(h->address));
			h->prefix_len = (uint8_t)c->trust[i].net[j].prefix;
			h->flags = (uint8_t)((c->trust[i].xclient ? TRUST_XCLIENT : 0) |
					     (c->trust[i].proxy ? TRUST_PROXY : 0));
		}
	for (size_t i = 0; i < c->n_listeners; i++) {
		const struct config_listener *l = &c->listener[i];

		for (size_t j = 0; j < l->n_addresses; j++) {
			struct handoff_listener *h = &d->listener[d->n_listeners++];

			memcpy(h->address, l->address[j].addr.a, sizeof(h->address));
			h->tcp_port = l->smtp_port;
			h->port = l->ethdev;
			h->id = (uint16_t)i;
			h->prefix_len = l->address[j].prefix;
		}
	}
	config_inline_handoff(c, d);
}

static bool has_servers(const struct config_node *root)
{
	const struct config_node *n = config_child(root, "inline");

	return n && config_child(n, "server");
}

void config_check(struct config_ctx *ctx, const struct config_node *root, struct config_mem *mem,
		  struct config *out)
{
	struct config_reader r = {.c = ctx, .mem = mem, .out = out};

	defaults(&r, out);
	config_read_section(&r, root, &of_top, out);
	config_route_policies(&r, root);
	/* Who only watches takes no mail and gives none. */
	if (!config_child(root, "listener") && !config_child(root, "tap") && !has_servers(root))
		config_fail_line(ctx, 0, "listener", "missing: at least one listener is needed, or a server "
				 "in the inline section, or tap");
	if (!config_child(root, "route") &&
	    (config_child(root, "listener") || !(config_child(root, "tap") || has_servers(root))))
		config_fail_line(ctx, 0, "route", "missing: at least one route is needed; there is no "
				 "default route");
	if (!out->authserv_id)
		out->authserv_id = out->hostname;
	if (!out->indoubt_file && out->api_socket)
		out->indoubt_file = beside(mem, out->api_socket, "in-doubt");
	if (!out->state_directory && out->api_socket)
		out->state_directory = beside(mem, out->api_socket, "state");
	if (!out->greylist_file && out->api_socket)
		out->greylist_file = beside(mem, out->api_socket, "greylist");
	if (!out->rules_cache && out->api_socket)
		out->rules_cache = beside(mem, out->api_socket, "rules");
	if (ctx->n_errors || mem->failed || ctx->mem.failed)
		return;
	check_sums(&r, root);
	config_check_trace(&r, root);
	config_check_policy(&r, root);
	config_check_tap(&r, root);
	config_check_sources(&r, root);
	config_check_net(&r, root);
	config_check_inline(&r, root);
	config_check_identities(&r, root);
	config_check_relays(&r, root);
	config_check_chains(&r, root);
	config_check_arc(&r, root);
	config_check_annotate(&r, root);
	if (!ctx->n_errors && !ctx->mem.failed)
		fill_handoff(out);
}
