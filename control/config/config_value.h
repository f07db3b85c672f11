/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Private to control/config: values of the tree → fields of struct config. What a key is, stands in
 * keys.h; here is which field it goes to, and how where its type does not say that. A reader that
 * finds something wrong records it and leaves the field alone.
 */

#include "control/config/config_tree.h"
#include "control/config/keys.h"

struct config_reader {
	struct config_ctx *c;
	struct config_mem *mem;
	struct config *out;
};

struct config_key;
typedef void config_read(struct config_reader *r, const struct config_node *n,
			 const struct config_key *k, void *field);

struct config_key {
	const char *name;
	config_read *read;        /* NULL: by its type */
	size_t off, width;        /* of the field in its structure */
	const struct config_info *info; /* filled when it is read */
};

#define CONFIG_FIELD(type, member) offsetof(type, member), sizeof(((type *)0)->member)
/* Its type says how it is read. */
#define CONFIG_TAKE(type, member) NULL, CONFIG_FIELD(type, member)

/* Where what a section says goes. */
struct config_binding {
	const char *path;         /* of a section of keys.h */
	const struct config_key *key;
	size_t n;
};
#define CONFIG_BINDING(path, keys) {path, keys, sizeof(keys) / sizeof((keys)[0])}
/* All of them, for the test that table and bindings have the same keys. */
extern const struct config_binding *const config_bindings[];
extern const size_t n_config_bindings;
extern const struct config_binding config_of_trace, config_of_metrics; /* config_trace.c */
extern const struct config_binding config_of_listener, config_of_route, config_of_hosts, config_of_policy,
	config_of_route_policy, config_of_relay, config_of_tenant, config_of_chain, config_of_trust,
	config_of_tls, config_of_certificate, config_of_arc, config_of_arc_key, config_of_dnsbl, config_of_list,
	config_of_attachment, config_of_sources, config_of_tap, config_of_inline, config_of_inline_server,
	config_of_exceptions, config_of_exceptions_gateway, config_of_exceptions_inline,
	config_of_exceptions_tap;

config_read read_count;   /* plain number */
config_read read_size;    /* octets: plain, or with k m g kb mb gb */
config_read read_seconds; /* whole seconds: plain, or with ms s min h d */
config_read read_millis;  /* the same, kept in milliseconds */
config_read read_double;
config_read read_bool;
config_read read_choice;
config_read read_domain;  /* host name, lower case, A-labels, at least two labels */
config_read read_path;    /* absolute path */
config_read read_socket;  /* absolute path that fits a socket address */

void config_unknown_key(struct config_ctx *c, const struct config_node *n,
			const struct config_section_info *s);
/* Every child of `section` by its key; an unknown one is an error with a hint, as is a missing one. */
void config_read_section(struct config_reader *r, const struct config_node *section,
			 const struct config_binding *binding, void *base);
/* The defaults of the table, read like values of a file. */
void config_read_defaults(struct config_reader *r, const struct config_binding *binding, void *base);
/* The whole file of that absolute path; n == 0 and an error at n otherwise. secret: a file that
 * others may read or write is refused. */
struct str config_file(struct config_reader *r, const struct config_node *n, bool secret);
/* Is it an array of strings? A single string is an error too: one spelling for one thing. */
bool config_strings(struct config_reader *r, const struct config_node *n, size_t min, size_t max);
/* The same of a KEY_LIST, with the bounds of the table. */
bool config_list(struct config_reader *r, const struct config_node *n, const struct config_key *k);
/* A string that is not empty. */
bool config_string(struct config_reader *r, const struct config_node *n);
/* Text of a domain → lower case A-labels in `mem`; NULL and an error at n. */
char *config_domain(struct config_reader *r, const struct config_node *n, struct str text);
/* An address without prefix that a host can have; an error at n otherwise. */
bool config_host_address(struct config_reader *r, const struct config_node *n, struct str text,
			 struct ip_addr *out);
/* An address or network without bits behind its prefix, not IPv4-mapped, not wider than min_v4 and
 * min_v6; an error at n otherwise. */
bool config_network(struct config_reader *r, const struct config_node *n, unsigned int min_v4,
		    unsigned int min_v6, struct ip_net *out);
/* 1..max, digits only. */
bool config_port(struct str text, uint16_t *out);

/* Chain and key of `c` belong together; errors at the keys of `n` by which they were given. */
void config_check_pair(struct config_reader *r, const struct config_node *n,
		       const char *chain_key, const char *key_key, struct config_certificate *c);
config_read read_pem_chain, read_pem_key;      /* field: struct config_certificate */
config_read read_pem_ca;                       /* field: struct str */
config_read read_tls_version;                  /* field: uint16_t */

/* A name that may go into headers, replies and trace records. */
bool config_section_name(struct config_reader *r, const struct config_node *n);
bool config_is_section(struct config_reader *r, const struct config_node *n);

/* What goes into and out of headers: config_annotate.c. */
config_read read_prefix;         /* "X-Postern" */
config_read read_switch;         /* boolean of a route: field is an enum config_switch */
config_read read_foreign_headers; /* field: struct config */
void config_check_annotate(struct config_reader *r, const struct config_node *root);

/* A fully qualified domain in A-labels, with a leading dot for what lies below it; NULL: an error at
 * n. */
char *config_name_or_below(struct config_reader *r, const struct config_node *n);
/* Only printable ASCII, as a reply is (RFC 5321 4.2); an error at n otherwise. */
bool config_reply_text(struct config_reader *r, const struct config_node *n, size_t max);

/* Where a route's mail goes: config_route.c; field: struct config_route. */
config_read read_route_domains, read_route_hosts, read_route_mx;
config_read read_route_recipients, read_delimiter;
config_read read_route_source, read_route_source_v4, read_route_source_v6;
/* What a provider documents; before the keys of the section, which may say otherwise. */
void config_route_preset(struct config_route *route, const struct config_node *provider);
/* Behind all keys: what they leave open, and what they must not say together. */
void config_route_finish(struct config_reader *r, const struct config_node *section,
			 struct config_route *route);

/* to = dialled: config_dialled.c. Behind all keys of the route. */
config_read read_interface;
void config_route_dialled(struct config_reader *r, const struct config_node *section,
			  const struct config_route *route);
void config_route_transparent(struct config_reader *r, const struct config_node *section,
			      struct config_route *route);

/* config_inline.c, config_exceptions.c */
config_read read_inline, read_exceptions; /* field: struct config */
void config_exceptions_defaults(struct config_reader *r);
void config_check_inline(struct config_reader *r, const struct config_node *root);
void config_inline_handoff(const struct config *c, struct handoff_config *d);

/* Sections: config_net.c, config_relay.c, config_chain.c, config_tls.c, config_route_tls.c,
 * config_arc.c, config_sources.c, config_policy.c, config_dnsbl.c, config_lists.c. */
config_read read_listeners;
config_read read_routes;
config_read read_relays;
config_read read_trust;
config_read read_tls, read_tls_names, read_tls_fingerprints;
config_read read_chains, read_chain_names; /* the latter looks at the form alone */
config_read read_arc, read_arc_names;
config_read read_route_tls_names;
/* tls-... of a route, to be called when all its keys are read. */
void config_route_tls(struct config_reader *r, const struct config_node *n,
		      struct config_route *route);
config_read read_sources;
/* config_trace.c; field: struct config */
config_read read_trace, read_metrics;
void config_check_trace(struct config_reader *r, const struct config_node *root);
config_read read_policy_nets; /* field: struct admission_nets */
config_read read_tap;        /* config_tap.c */
config_read read_policy, read_dnsbls; /* field: struct config_policy */
config_read read_lists, read_attachments;
/* config_access.c: a list in the file, or the path of one. */
config_read read_access_nets;                        /* field: struct admission_nets */
config_read read_access_domains, read_access_senders; /* field: struct config_set * */
config_read read_access_skips;
config_read read_mailbox;    /* an address of a fully qualified domain; field: char * */
config_read read_route_name; /* looked for when all are read; field: char * */
void config_check_access(struct config_reader *r, const struct config_node *policy,
			 const struct config_access *access);
/* A network that both lists have, as the longer prefix counts; NULL: none. Both are sorted. */
const struct ip_net *config_net_in_both(const struct admission_nets *a,
					const struct admission_nets *b);
void config_policy_defaults(struct config_reader *r, struct config_policy *policy);
/* Behind the whole file: the policy of each route that has one of its own. */
void config_route_policies(struct config_reader *r, const struct config_node *root);
/* What only the whole can show: loops, one domain in two routes, addresses twice. */
void config_check_sources(struct config_reader *r, const struct config_node *root);
/* Names of routes -> routes. */
void config_check_tap(struct config_reader *r, const struct config_node *root);
void config_check_policy(struct config_reader *r, const struct config_node *root);
void config_check_net(struct config_reader *r, const struct config_node *root);
void config_check_identities(struct config_reader *r, const struct config_node *root);
/* One string, or a list of 1 to `max`: the first element and their number; NULL: neither. */
const struct config_node *config_string_or_list(struct config_reader *r,
						const struct config_node *n, size_t max,
						size_t *count);
void config_check_relays(struct config_reader *r, const struct config_node *root);
/* Names of chains -> keys, in relays and routes. */
void config_check_chains(struct config_reader *r, const struct config_node *root);
void config_check_arc(struct config_reader *r, const struct config_node *root);
