/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The one configuration file, with those that it includes, checked, as an immutable snapshot. Everything that runs holds a
 * reference to the snapshot that it started with; a reload makes a new one or none at all.
 *
 * The syntax is the plain part of the "universal configuration language" (postern.conf(5)), read by
 * a parser of our own that knows file and line of every value. Keys, their types, bounds and defaults
 * stand in one table (keys.h). An unknown key, a wrong type, a value out of bounds or a contradiction is
 * an error that names file, line, key and what was expected; nothing is guessed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/admission/admission.h"
#include "control/attachments/attachments.h"
#include "control/auth/dnsbl/dnsbl.h"
#include "control/dns/dns.h"
#include "control/lists/list.h"
#include "control/mail/mail.h"
#include "control/origin/origin.h"
#include "postern/handoff.h"

struct config_listener {
	char *name;
	uint16_t ethdev;           /* ethdev port id */
	struct ip_net *address;    /* own addresses with the prefix of their link */
	size_t n_addresses;
	uint16_t smtp_port;        /* default 25 */
};

struct config_host {
	char *name;                /* host name or address text */
	struct ip_addr ip;         /* if is_ip */
	bool is_ip;
	uint16_t port;             /* default: the route's */
	uint16_t priority;         /* the lowest is tried first */
	uint16_t weight;           /* share among those of one priority; 1 and more */
};

struct config_route;

/* Servers in a cable (port role inline). */
struct config_inline {
	char *name;
	struct ip_net *net;        /* of the servers; the longest prefix of all counts */
	size_t n_nets;
	uint16_t port;             /* default 25 */
	uint8_t mode;              /* enum handoff_inline_mode */
	/* INLINE_TERMINATE only */
	char *hostname;            /* in banner, EHLO and "by"; NULL: ours */
	char *route_name;
	const struct config_route *route; /* goes to whom the client dialled, and tells it who that is */
	bool allow_clear;          /* without a certificate of its name */
	bool tls;                  /* there is one: STARTTLS is offered */
};

/* Who may name another client than itself (XCLIENT, PROXY protocol). */
struct config_trust {
	char *name;
	struct ip_net *net;
	size_t n_nets;
	bool xclient;
	bool proxy;                /* it begins every connection with a PROXY header */
};

struct config_certificate {
	char *name, *chain_file;
	struct str chain, key;     /* PEM; the key belongs to the first certificate of the chain */
	int64_t not_after;         /* seconds since 1970 */
};

struct config_tls {
	struct config_certificate *certificate;
	size_t n_certificates;     /* 0: STARTTLS is not offered */
	uint16_t min_version;      /* 0x0303, 0x0304; 0 where no file was read: 1.2 */
	struct str ciphers;        /* n == 0: built-in list */
	struct str client_ca;      /* PEM; n != 0: clients are asked for a certificate, as they are
	                              where a relay is known by a fingerprint */
};

struct arc_key; /* control/auth/arc/arc.h */

/* A key that seals, under selector._domainkey.domain. */
struct config_arc_key {
	char *name, *domain, *selector; /* lower case; the domain in A-labels */
	struct arc_key *key;
	int64_t active_from, active_until; /* seconds since 1970, [from, until); 0, INT64_MAX: open */
};

struct config_arc {
	struct config_arc_key *key;
	size_t n_keys;
};

enum config_arc_seal {
	ARC_SEAL_NEVER,
	ARC_SEAL_MODIFIED,         /* only where fields of the original were removed */
	ARC_SEAL_ALWAYS,
};

/* TLS towards a next hop. */
enum config_tls_policy {
	TLS_POLICY_NONE,
	TLS_POLICY_MAY,            /* where it is offered and works, else in clear; the default */
	TLS_POLICY_ENCRYPT,        /* always, with whomever */
	TLS_POLICY_VERIFY,         /* always, and the certificate is of the name */
	TLS_POLICY_DANE,           /* as the TLSA records say (RFC 7672); without them as "may" */
	TLS_POLICY_DANE_ONLY,      /* never without them */
};
/* Their words in the file, in the order of the enum. */
#define TLS_POLICY_WORDS "none", "may", "encrypt", "verify", "dane", "dane-only"

struct config_route_tls {
	enum config_tls_policy policy;
	char **name;               /* that the certificate must have one of; none: the provider's
	                              (tls_names of the route) or the host's name */
	size_t n_names;
	char *sni;                 /* NULL: the host's name */
	struct str ca;             /* PEM; n == 0: the system's */
	uint16_t min_version;      /* 0x0303, 0x0304; 0 where no file was read: 1.2 */
	struct config_certificate certificate; /* ours, shown when asked for; chain.n == 0: none */
	uint8_t id[32];            /* digest of all of the above: what has another id shares neither
	                              connections nor sessions */
};

enum config_verify {
	VERIFY_CALLOUT,            /* ask the next hop at RCPT with the real MAIL FROM */
	VERIFY_NONE,               /* accept at RCPT; its refusals come at delivery */
	VERIFY_LIST,               /* accept who is in the route's list */
};

/* Fields of a stranger that claim the trust of another mail system. */
enum config_foreign {
	FOREIGN_STRIP,             /* they are removed */
	FOREIGN_REJECT,            /* the message is refused */
	FOREIGN_KEEP,              /* told and counted only */
};

enum config_switch { SWITCH_INHERIT, SWITCH_OFF, SWITCH_ON };

/* When a route's own refusals are no longer believed (control/deliver/breaker.h). */
struct config_breaker {
	bool on;                   /* default */
	unsigned int jump;         /* percent of what used to be taken; default 60 */
	unsigned int samples;      /* default 50 */
	unsigned int window_s;     /* default 600 */
};

/* How much of a route may be under way (control/deliver/load.h). */
struct config_overload {
	bool on;                      /* default */
	unsigned int max_outstanding; /* transactions; 0: no fixed bound, default */
	unsigned int wait_s;          /* for a connection, that is not too long; default 5 */
	unsigned int factor;          /* so many times what is usual is slow; default 4 */
	unsigned int arena_share;     /* percent that the route may come to hold; default 50 */
};

struct config_recipients;

enum config_proxy { PROXY_NONE, PROXY_V2 };

enum config_family {
	FAMILY_ANY,                /* IPv4 first */
	FAMILY_V4, FAMILY_V6,
	FAMILY_PREFER_V6,
};

/* Whose documented limits a route begins with; its other keys may change each. */
enum config_provider { PROVIDER_SMTP, PROVIDER_EXCHANGE_ONLINE, PROVIDER_GOOGLE_WORKSPACE };

struct config_route {
	char *name;
	char **domain;             /* lower case, A-labels; ".example.com": any domain below it */
	size_t n_domains;
	enum config_provider provider;
	/* Next hops: hosts, or (mx) what the MX records of mx_domain, or of the recipient's own domain
	 * where that is NULL, name. */
	struct config_host *host;
	size_t n_hosts;
	bool mx;
	char *mx_domain;
	/* In place of both: the server of a cable that the client dialled, which decides who is let in. */
	bool dialled;
	bool transparent;          /* of it: we come from the client's address */
	char *transparent_interface; /* by this; NULL: as the kernel's routes say */
	uint32_t transparent_mark; /* of our segments; 0: none */
	uint16_t port;             /* default 25 */
	enum config_family family;
	enum config_verify verify;
	unsigned int max_connections;         /* at once to this route; default 20 */
	unsigned int messages_per_connection; /* default 100; 0: no bound */
	unsigned int idle_timeout_s;          /* of a pooled connection; default 30 */
	unsigned int connect_timeout_s;       /* default 10 */
	unsigned int command_timeout_s;       /* replies before DATA; default 60 */
	unsigned int connection_age_s;        /* nothing begins on an older one; 0: no bound */
	double rate;                          /* messages a second; 0: no bound */
	unsigned int queue_timeout_s;         /* waiting for a connection; default 60 */
	uint64_t max_message;                 /* octets of content; 0: the next hop's SIZE, less size_margin */
	unsigned int size_margin;             /* room for our header block; provider */
	const char *const *tls_names;         /* provider: NULL-terminated domains that its certificates
	                                         are of, or of a name below; NULL: none is known */
	struct ip_addr source[2];             /* if has_source: IPv4, IPv6 address we connect from */
	bool has_source[2];
	unsigned int max_recipients;          /* of a transaction; 0: those of all */
	struct config_recipients *recipients; /* VERIFY_LIST */
	bool list_exact;           /* of it: the case of a local part counts */
	char list_delimiter;       /* of it: what stands behind this in a local part does not; 0: none */
	bool trust_rcpt;           /* what RCPT is answered is the truth; default. Else refusals come
	                              after DATA, and RCPT is asked for nothing */
	struct config_breaker breaker;
	struct config_overload overload;
	bool xclient;              /* the client is named to the next hop, which must offer it */
	bool xforward;             /* the same for its log, if it offers that */
	enum config_proxy proxy;   /* a PROXY header begins each connection */
	bool v6_plain;             /* "[2001:db8::1]" in Received instead of "[IPv6:...]" */
	bool received_exchange;    /* "from HELO (IP) by" in Received */
	char *header_prefix;       /* NULL: the global one */
	enum config_foreign foreign_trust;
	enum config_switch received_spf;
	bool no_chunking;          /* DATA also where CHUNKING is offered */
	bool pass_8bit;            /* 8-bit content also where 8BITMIME is not offered */
	const struct chain_key *chain; /* the next hop is another instance that knows this key */
	const struct config_policy *policy; /* as for all, but for what the route says otherwise */
	enum config_arc_seal arc_seal;
	char *arc_domain;                      /* as given, NULL: not */
	const struct config_arc_key **arc_key; /* those that may sign */
	size_t n_arc_keys;
	struct config_route_tls tls;
	bool mta_sts;              /* of the recipient's domain, where the way is by MX records */
};

enum config_dmarc {
	CONFIG_DMARC_ENFORCE,      /* refuses with other evidence only, else tags */
	CONFIG_DMARC_MONITOR,      /* judged and told, nothing is done */
	CONFIG_DMARC_STRICT,       /* p=reject is enough to refuse */
};

/* Ascending by what stands when several are asked for; the order of enum policy_action. */
enum config_action {
	CONFIG_ACCEPT, CONFIG_TAG, CONFIG_QUARANTINE,
	CONFIG_DISCARD,            /* a word of deny-action only */
	CONFIG_DEFER, CONFIG_REJECT
};

/* Each asks for more than the one before it. */
enum config_dkim {
	CONFIG_DKIM_NONE,          /* needs no signature */
	CONFIG_DKIM_PASSING,       /* one that passes */
	CONFIG_DKIM_ACCEPTABLE,    /* over the whole body, by a key that is not testing */
	CONFIG_DKIM_AUTHOR,        /* of the author's domain */
};

/* A-labels, lower case; one with a leading dot is of every name below, and not of that name. */
struct config_domains {
	const char **name;
	size_t n;
};
/* Is the domain (A-labels, lower case) one of the list? */
bool config_domain_listed(const struct config_domains *list, const char *domain);

/* What a listing is worth; the list itself is config_policy.dnsbl[] of the same index. */
struct config_listing {
	double score;              /* added to the message's; below 0 for a list of the good */
	bool evidence;             /* counts beside a failed DMARC; default, unless it allows */
	enum config_action action;
	const char *reply;         /* printable ASCII; NULL: our own words */
};

/* Texts as keyed hashes: control/config/list.h. */
struct config_set;

/* What mail that a list allows is spared: bits, in the order of their words. */
#define CONFIG_SKIP_SCORE (1u << 0)    /* thresholds */
#define CONFIG_SKIP_DNSBL (1u << 1)    /* lists in the DNS: action, score and evidence */
#define CONFIG_SKIP_CHECKS (1u << 2)   /* single checks */
#define CONFIG_SKIP_GREYLIST (1u << 3)
#define CONFIG_SKIP_RULES (1u << 4)    /* actions of rules */
#define CONFIG_SKIP_DMARC (1u << 5)
#define CONFIG_SKIP_DEFAULT                                                                        \
	(CONFIG_SKIP_SCORE | CONFIG_SKIP_DNSBL | CONFIG_SKIP_CHECKS | CONFIG_SKIP_GREYLIST)
#define CONFIG_SKIP_WORDS "score", "dnsbl", "checks", "greylist", "rules", "dmarc"

/* Whose mail is let in and whose is not, whatever else is found; NULL, n == 0: nobody is listed. */
struct config_access {
	struct admission_nets allow_origins, deny_origins; /* the longer prefix counts */
	struct config_set *deny_senders;  /* by MAIL FROM, which anybody can write: nothing is allowed */
	struct config_set *allow_domains, *deny_domains; /* authenticated ones */
	enum config_action deny_action;   /* default CONFIG_REJECT */
	unsigned int skips;               /* CONFIG_SKIP_* of what is allowed */
};

struct config_greylist {
	bool on;
	unsigned int delay_s;      /* a retry before that is deferred again */
	unsigned int window_s;     /* one behind that is a first attempt */
	unsigned int lifetime_s;   /* of what has passed, since it was last used */
	unsigned int prefix_v4, prefix_v6; /* of the origin, in bits of its family */
};

struct config_route;

struct config_policy {
	bool dry_run;              /* nothing is refused, deferred or held back by policy */
	double tag_score;          /* default 5 */
	double quarantine_score;   /* 0: off */
	double defer_score;        /* 0: off (default) */
	double reject_score;       /* 0: off (default) */
	struct config_access access;
	struct config_greylist greylist;
	/* Where to what is held back goes instead of into the directory; NULL: nowhere. */
	char *quarantine_mailbox;  /* address, its domain as A-labels */
	char *quarantine_route_name;
	const struct config_route *quarantine_route; /* it goes by; set with the mailbox */
	enum config_dmarc dmarc;
	bool dmarc_hold;           /* what DMARC would have quarantined is held back; default: tagged */
	struct config_domains trusted_sealers;    /* whose ARC chains lift a failed DMARC */
	struct config_domains trusted_forwarders; /* whose authenticated mail does */
	struct config_domains protected_domains;  /* refused when DMARC fails, whatever p= says */
	bool dkim_l_fail;          /* l= shorter than the body: dkim=policy; default: pass */
	double dkim_l_score;       /* of a message that has no better signature; default 1 */
	bool dkim_testing_pass;    /* t=y in a key means nothing; default: as if unsigned */
	enum config_action spf_fail, spf_permerror, spf_temperror;
	enum config_dkim dkim_required;
	enum config_action dkim_missing; /* default CONFIG_TAG */
	enum config_action reverse_dns, arc_fail, null_mx;
	struct dnsbl_list *dnsbl;
	struct config_listing *listing;
	size_t n_dnsbls;
	bool allow_private_peer;   /* labs: a private peer that no relay lists is taken as it is */
	struct admission_nets deny;  /* refused at CONNECT; the longer prefix of the two lists counts */
	struct admission_nets allow; /* no limit on sources holds for these */
};

/* What is found counts as a rule of this name. */
struct config_finding {
	const char *name;          /* "list.NAME", "attachment.NAME" */
	const char *describe;      /* NULL: none */
	double score;              /* default 1 */
	enum config_action action; /* CONFIG_ACCEPT: the score alone */
};

/* URIs, their hosts, or hashes of parts, looked up in a file. */
struct config_list {
	struct config_finding finding;
	unsigned int kind;         /* enum list_kind */
	unsigned int below;        /* of domains: what lies below them as well; default */
	char *file;
	struct list *list;         /* owned */
};

struct config_attachment {
	struct config_finding finding;
	struct attachment_rule rule;
	struct list *hashes;       /* owned; NULL: none */
};

/* Where messages are held back; directory NULL: nowhere. */
struct config_quarantine {
	char *directory;
	uint64_t max_size;         /* octets of messages; 0: no bound */
	uint64_t min_free;         /* octets left free on the file system */
	unsigned int max_age_s;    /* older ones are deleted */
};

/* Of tap ports; what the dataplane must know of them is in struct handoff_config. */
struct config_tap {
	bool midstream, ignore_checksums;
	char *journal_route_name;  /* NULL: no copies are sent */
	const struct config_route *journal_route; /* set with it */
	char *journal_mailbox;     /* address that they go to; NULL: the recipients */
};

struct config_private;

struct config {
	unsigned int refs;         /* config_ref, config_unref */
	uint64_t generation;       /* given by config_load's caller */
	char *path;

	char *hostname;            /* ours, in banner, EHLO, "by" */
	char *authserv_id;         /* default: hostname */
	char *header_prefix;       /* default "X-Postern" */
	bool received_spf;         /* of routes that do not say otherwise; default false */
	struct str *foreign_trust_header; /* beginnings of names, besides those that are built in */
	size_t n_foreign_trust_headers;
	double reverify;           /* share of messages; default DEFAULT_REVERIFY */
	char *dataplane_socket;    /* default /run/postern/dataplane.sock */
	char *api_socket;          /* default /run/postern/control.sock */
	char *indoubt_file;        /* default: in-doubt, beside the api socket */
	char *state_directory;     /* default: state, there */
	char *greylist_file;       /* default: greylist, beside the api socket */
	bool greylist;             /* a policy has it on */
	char *trace_file;          /* JSON lines; default /var/log/postern/trace.jsonl */
	struct config_trace {
		uint64_t file_size;    /* rotated at so many octets; 0: never */
		unsigned int files;    /* rotated files that are kept */
		char *index;           /* SQLite; default: beside the file; "none": there is none */
		uint64_t index_size;   /* octets */
		unsigned int index_age_s;
		bool subjects;         /* in the records; default false */
	} trace;
	char *metrics;             /* "unix:/path" or address:port; NULL: no metrics */
	unsigned int loops;        /* event loops of control; only 1 is built */
	unsigned int spf_workers;  /* jailed evaluators; default 2 */

	struct config_listener *listener;
	size_t n_listeners;
	struct config_route *route;
	size_t n_routes;
	struct origin_relays relays;
	struct chain_key *chain;
	size_t n_chains;
	struct config_trust *trust;
	size_t n_trusts;
	struct config_inline *inlined;
	size_t n_inlines;
	struct ip_net *inline_own; /* whose flows pass, though they go to such a server */
	size_t n_inline_own;
	struct config_tls tls;
	struct config_arc arc;
	struct dns_options dns;
	char **rules_file;         /* globs already expanded, in order */
	size_t n_rules_files;
	char *rules_cache;         /* directory of compiled rules; default: rules, beside the api socket */
	unsigned int rules_score_set;    /* 0 to 3, of four scores */
	unsigned int rules_compile_time_s; /* of CPU */
	uint64_t rules_compile_memory;   /* octets */
	uint64_t rules_cache_size;       /* octets */
	struct config_list *list;
	size_t n_lists;
	struct config_attachment *attachment;
	size_t n_attachments;
	struct config_policy policy;
	struct config_quarantine quarantine;
	struct config_tap tap;
	struct admission_rules sources;
	/* extra codes and texts by which a next hop refuses the relay, not the message */
	char **relay_fault_code;   /* "5.7.51", "5.7.606-649", "530" */
	size_t n_relay_fault_codes;

	struct handoff_config dataplane; /* limits and listeners, ready to be pushed; magic, size and
	                                    generation filled */

	struct config_private *priv;     /* of config.c: memory, index of domains; NULL in a struct
	                                    that a test filled by hand */
};

/* SHA-256 of parts is looked up somewhere. */
bool config_wants_hashes(const struct config *c);

/* One problem of a file; line 0: of the file as a whole. */
struct config_error {
	char file[256];
	unsigned int line;
	char key[128];         /* dotted path, "listener.public.address" */
	char reason[320];      /* what is wrong and what was expected */
};

/* 0 and *out with one reference; or -EINVAL and up to `cap` errors, *n_errors says how many there
 * are; -ENOMEM; -errno of reading the file (as an error entry too). */
int config_load(const char *path, uint64_t generation, struct config **out,
		struct config_error *err, size_t cap, size_t *n_errors);
/* The same from memory, for tests and fuzzing; `name` stands for the file. */
int config_parse(const char *name, const void *text, size_t len, uint64_t generation,
		 struct config **out, struct config_error *err, size_t cap, size_t *n_errors);
struct config *config_ref(struct config *c);
void config_unref(struct config *c);

/* The listener that has this address as its own; NULL: none. */
const struct config_listener *config_listener_of(const struct config *c, const struct ip_addr *ip);

/* Route of a recipient's domain (U-labels find their A-labels), NULL if it is not ours: there is no
 * default route. The most specific entry counts: the domain itself, else the nearest ".parent". */
const struct config_route *config_route_for(const struct config *c, struct str domain);
/* Was the session of this listener (handoff.h) taken in a cable? */
static inline bool config_is_inline(uint16_t listener)
{
	return listener & HANDOFF_LISTENER_INLINE && listener != HANDOFF_LISTENER_TAP;
}
/* The server that such a session dialled; NULL: it is none, or the server is not listed any more. By
 * its address, for a reload may have given its number to another. */
const struct config_inline *config_inline_for(const struct config *c, uint16_t listener,
					      const struct ip_addr *local, uint16_t port);
/* The route of a recipient: in a cable that of the server that was dialled, else config_route_for(). */
const struct config_route *config_route_at(const struct config *c, uint16_t listener,
					   const struct ip_addr *local, uint16_t port, struct str domain);
/* Our name towards its clients; s NULL: towards those of a gateway. */
const char *config_inline_hostname(const struct config *c, const struct config_inline *s);
/* A route needs CAP_NET_RAW: it comes from others' addresses. */
bool config_wants_transparent(const struct config *c);
/* Is it in the list? Domains as A-labels; postmaster always is (RFC 5321 4.5.1). */
bool config_recipients_has(const struct config_recipients *l, struct str mailbox);
size_t config_recipients_count(const struct config_recipients *l);
/* What recipients must share beside their route to share a transaction: "", or their domain where
 * its own MX records say where mail goes. */
void config_route_way(const struct config_route *route, struct str domain, char out[MAIL_ALABEL]);

/* What holds for mail of this route; NULL: for mail of no route. */
const struct config_policy *config_policy_for(const struct config *c,
					      const struct config_route *route);
/* Is there a place for what policy holds back? */
bool config_can_hold(const struct config *c, const struct config_policy *p);
/* Is the domain (A-labels, lower case) in the list, or a parent as ".parent"? set NULL: no. */
bool config_listed_domain(const struct config_set *set, const char *domain);
/* The address, all of its domain as "@domain", or all below one as "@.domain"? set NULL: no. */
bool config_listed_sender(const struct config_set *set, struct str mailbox);

/* As the route has it, else as the whole has it. route NULL: none. */
const char *config_header_prefix(const struct config *c, const struct config_route *route);
bool config_received_spf(const struct config *c, const struct config_route *route);

/* The key of the route that signs now: the newest that is active; NULL: none is. */
const struct config_arc_key *config_arc_key_at(const struct config_route *route, int64_t now);
/* Is it one of our keys, active or not? */
bool config_arc_is_ours(const struct config *c, const char *domain, const char *selector);

/* The tls section as the dataplane takes it (struct handoff_tls); *out NULL without one. To be
 * given to config_tls_forget(): it holds private keys. 0 or -ENOMEM. */
int config_tls_pack(const struct config *c, void **out, size_t *len);
void config_tls_forget(void *packed, size_t len);
