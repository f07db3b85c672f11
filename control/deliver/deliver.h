/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * To the next hop: SMTP client over pooled connections, recipient callouts, memory of refusals, and
 * the mapping of what the next hop said to what our client hears (design: delivery contract). It
 * keeps no queue: a message is with the next hop or it is nowhere.
 *
 * Everything runs on one event loop. No callback runs inside the call that started it.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/config/config.h"
#include "control/deliver/load.h"
#include "control/dns/dns.h"
#include "control/mail/mail.h"
#include "postern/buckets.h"
#include "postern/limits.h"

struct event_base;
struct deliver;      /* per loop: pools by (route, host), refusal memory, positive cache */
struct deliver_job;

/* A reply to our client. text: one line, printable ASCII, sanitised, at most 400 octets. */
struct deliver_reply {
	uint16_t code;
	uint8_t enh_class;   /* 0: none */
	uint16_t enh_subject, enh_detail;
	bool names_us;       /* a next hop's: the text names the address that we came from */
	bool to_client;      /* a next hop's, that takes us for the client: what it refuses is that one */
	char text[416];
};

/* `counters`: control's block, indexed by the enum of POSTERN_CTL_COUNTERS (stats.h). `hostname`
 * comes with each request's config. */
struct deliver *deliver_new(struct event_base *base, struct dns *dns, uint64_t *counters);
/* Closes all connections; open jobs and questions are dropped without a callback. */
void deliver_free(struct deliver *d);

/*
 * An operator must act. Told at deliveries and callouts alike, once a next hop or route and
 * LIMIT_ALERT_S.
 */
struct deliver_alert {
	const char *route;
	const char *text;              /* what is wrong with the route, or, with a host, with its TLS;
	                                  NULL: the next hop refuses this relay (its certificate,
	                                  address or connector), no message: */
	const char *host;
	uint16_t port;
	const char *stage;
	const struct deliver_reply *said;
	uint64_t untold;               /* since the last of this next hop or route */
	bool over;                     /* good news: what was told before is no more; text only */
};
typedef void deliver_alert_callback(void *arg, const struct deliver_alert *a);
void deliver_on_alert(struct deliver *d, deliver_alert_callback *cb, void *arg);

/* Looks the MX records of its routes up, and tells of those that lead back here or nowhere. */
void deliver_check_routes(struct deliver *d, struct config *config);

/* Who sends, as far as it is known: for routes that tell their next hop (xclient, xforward, proxy),
 * or that lead to whom it dialled. Texts are any octets. */
struct deliver_client {
	struct ip_addr ip, local;      /* local: ours that it connected to, or the server that it dialled */
	uint16_t port, local_port;     /* 0: not known */
	struct ip_addr connected;      /* the TCP peer, whose address a transparent route takes */
	struct str helo, name;         /* name: forward-confirmed; n == 0: none */
	bool esmtp;
	uint16_t tls_version;          /* as in struct mail_envelope; 0: clear */
	struct str tls_cipher, tls_client; /* tls_client: name in a certificate that was verified */
};

/*
 * Is this recipient good? Order: refusal memory (route, MAIL FROM, RCPT), recipient-wide negative
 * memory, then by `verify` of the route: its list; or the positive cache and a probe (EHLO, MAIL with
 * the real reverse-path, RCPT, RSET) on a pooled connection; one probe per (route, MAIL FROM, RCPT) in
 * flight, the rest wait for it; LIMIT_CALLOUT_S in all, then a stale positive entry, else 451 4.4.3.
 * 250 2.1.5 accepts. Where RCPT is not to be trusted nothing is asked. A declared size that the next
 * hop cannot take is 550 5.3.4.
 * `route` belongs to `config`, which is referenced until the callback or the cancel. smtputf8: the
 * client's MAIL said so; the probe says it too, and a next hop that does not offer it is 553 5.6.7.
 */
struct deliver_ask {
	struct config *config;
	const struct config_route *route;
	struct str mail_from, rcpt;
	bool smtputf8;
	uint64_t declared_size;        /* SIZE= of MAIL; 0: it said none */
	const struct deliver_client *client; /* copied; NULL: nobody is known */
};
struct deliver_question;
typedef void deliver_verify_callback(void *arg, const struct deliver_reply *reply);
struct deliver_question *deliver_verify(struct deliver *d, const struct deliver_ask *ask,
					deliver_verify_callback *cb, void *arg);
void deliver_verify_cancel(struct deliver_question *q);
/* Recipients that a transaction has already; begins as zeros. */
struct deliver_joined {
	size_t n;
	uint64_t domain[LIMIT_RCPT_DOMAINS]; /* keyed hashes of their domains */
	unsigned int n_domains;
};
/* It is good; may it join them? False: *why says 452 4.5.3 (the next hop takes no more at once, or none
 * of another domain, or this one has to be sent alone). */
bool deliver_may_join(struct deliver *d, const struct deliver_ask *ask, const struct deliver_joined *have,
		      struct deliver_reply *why);
void deliver_join(struct deliver *d, struct deliver_joined *have, struct str rcpt);

/*
 * May a transaction of this route begin (control/deliver/load.h)? To be asked before anything is asked of
 * its next hop; with a ticket of this route the answer is yes. False: *why is 451 4.4.5, or 421 if that
 * has been so for long and this session was refused before. A ticket of another route is given back.
 */
struct deliver_entry {
	const struct config_route *route;
	struct load_room room;
	uint64_t declared_size;        /* as in struct deliver_ask */
	const char *trace_id;          /* "": none yet */
	bool again;                    /* this session heard 451 4.4.5 before */
};
bool deliver_admit(struct deliver *d, const struct deliver_entry *e, struct load_ticket *t,
		   struct deliver_reply *why);
/* For the dataplane, which knows no routes: its number, the same as long as this lives, and its share;
 * 0: it has none. */
uint16_t deliver_arena_share(struct deliver *d, const struct config *c, const struct config_route *route,
			     uint8_t *share);
/* load_submit() for a message of this route; from: its transaction's ticket, NULL: it has none. */
void deliver_submitted(struct deliver *d, const struct config_route *route, uint32_t worker, uint64_t size,
		       struct load_ticket *from, struct load_ticket *to);

/* How long what took, of a route; NULL: it was not used. DELIVER_TIMES of them, in this order. */
enum deliver_time { DELIVER_WAIT, DELIVER_CONNECT, DELIVER_RCPT, DELIVER_TRANSFER, DELIVER_REPLY, DELIVER_WHOLE,
		    DELIVER_TIMES };
const struct buckets *deliver_times(const struct deliver *d, const char *route);

struct deliver_load_status {
	const char *route;
	unsigned int waiting, connections, max_connections;
	struct load_view load;
};
/* Of the routes of `c` that were used. */
size_t deliver_loads(const struct deliver *d, const struct config *c, struct deliver_load_status *out,
		     size_t cap);

/* The breaker of a route (control/deliver/breaker.h). */
struct deliver_breaker_status {
	const char *route;
	bool open, by_known;           /* by_known: recipients that were good before opened it */
	uint64_t open_s, opened;       /* for how long; how often since the start */
	double share, base, limit;     /* of 5xx at RCPT in its window; 0 to 1 */
	uint32_t samples;
};
size_t deliver_breakers(const struct deliver *d, const struct config *c,
			struct deliver_breaker_status *out, size_t cap);
/* An operator has seen it; 5xx are passed on again. learn: this share is normal from now on. 0,
 * -ENOENT: no such route; -EALREADY: it is not open. */
int deliver_breaker_ack(struct deliver *d, const struct config *c, const char *route, bool learn);

/* What has to outlive a restart, as documents for control/state/; real_s: CLOCK_REALTIME. NULL: out of
 * memory, or of MTA-STS that it was never asked for. */
json_t *deliver_breakers_save(const struct deliver *d, uint64_t real_s);
json_t *deliver_sts_save(const struct deliver *d, uint64_t real_s);
/* Before the first message. How many breakers are open, policies are valid; -EBADMSG: it is no such
 * document; what stands before the place that is wrong is taken. */
int deliver_breakers_load(struct deliver *d, const struct config *c, const json_t *j, uint64_t real_s);
int deliver_sts_load(struct deliver *d, const json_t *j, uint64_t real_s);
/* Nobody knows which breakers were open: all are, until they are acknowledged. */
void deliver_breakers_doubt(struct deliver *d, const struct config *c);
/* One opened, or was acknowledged: what was saved is old. Not from inside a call above. */
typedef void deliver_breaker_callback(void *arg);
void deliver_on_breaker(struct deliver *d, deliver_breaker_callback *cb, void *arg);
/* Grows with each policy that is fetched. */
uint64_t deliver_sts_changes(const struct deliver *d);

enum deliver_outcome {
	DELIVER_DELIVERED,   /* 2xx to the final dot or BDAT LAST; below, "dot" is both */
	DELIVER_REJECTED,    /* 5xx that speaks of recipient or message */
	DELIVER_DEFERRED,    /* anything else */
	DELIVER_ABORTED,     /* cancelled, or not wanted any more, before the dot */
};

enum deliver_verified { DELIVER_VERIFIED_NO, DELIVER_VERIFIED_NAME, DELIVER_VERIFIED_DANE };
const char *deliver_verified_name(enum deliver_verified v); /* "no", "name", "dane" */

/* TLS of the attempt that the result speaks of. */
struct deliver_tls {
	const char *policy;            /* of the route, static text; NULL: it came to no attempt */
	char version[12];              /* "TLSv1.3"; "": in clear */
	char cipher[48];
	enum deliver_verified verified;
	bool resumed;
	char why[200];                 /* what decided: records found, what failed; "": the policy */
};

struct deliver_rcpt_result {
	enum deliver_outcome outcome;
	struct deliver_reply next_hop; /* what the next hop said of this recipient or the message */
};

struct deliver_result {
	struct deliver_reply reply;    /* for the client */
	enum deliver_outcome outcome;  /* of the transaction */
	const struct deliver_rcpt_result *rcpt; /* n_rcpts of the request */
	char host[300];                /* "name [address]:port" that was last talked to */
	char egress[46];               /* our address there, "": it was not connected */
	char stage[16];                /* where it ended: enum stage, by name */
	bool dot_written;              /* the final dot left us */
	bool bdat;                     /* it was a BDAT LAST */
	bool eof_crlf_added;           /* DATA needed a CRLF before its dot that the content lacked */
	bool late;                     /* the result came after deliver_cancel() */
	bool alert;                    /* the relay itself was refused, or TLS was not as asked for */
	struct deliver_tls tls;
	uint64_t first_byte_us, done_us; /* since deliver_start */
};

struct deliver_request {
	struct config *config;
	const struct config_route *route; /* of config */
	struct str mail_from;
	const struct str *rcpt;
	size_t n_rcpts;
	const struct iovec *iov;       /* header block and content, unstuffed */
	size_t n_iov;
	size_t size;                   /* octets in iov */
	uint8_t body;                  /* enum handoff_body */
	bool has_8bit;                 /* octets above 127 are in it */
	bool bare_lf;                  /* it has bare LF: by BDAT or not at all */
	bool bare_cr;                  /* it has bare CR; beside a dot or an LF the same holds */
	bool smtputf8;                 /* the client's MAIL said SMTPUTF8; non-ASCII paths imply it */
	const struct deliver_client *client; /* NULL: nobody is known */
	const char *trace_id;          /* in our replies; NULL: the caller's side adds it */
	/* Asked right before the final dot is written: false closes without it. `arg` is that of
	 * deliver_start; must not call back into deliver. NULL: always wanted. */
	bool (*wanted)(void *arg);
};

/*
 * All strings and the bytes stay valid until the callback. It is called exactly once, after which
 * not one octet of the request is read any more. NULL: -ENOMEM. Addresses of the next hop are tried
 * in order, before the dot only. Sending is paced by the socket; dot-stuffing is done on the way
 * out, without copying the message.
 */
typedef void deliver_callback(void *arg, const struct deliver_result *result);
struct deliver_job *deliver_start(struct deliver *d, const struct deliver_request *req,
				  deliver_callback *cb, void *arg);
/* Nobody waits any more: before the dot the connection is closed and the callback comes with
 * DELIVER_ABORTED; after the dot the reply is still awaited and comes as `late`. */
void deliver_cancel(struct deliver_job *j);

/* For `show status`: one line per route and host. */
struct deliver_host_status {
	const char *route, *host;
	uint16_t port;
	unsigned int connections, busy, waiting;
	uint64_t delivered, rejected, deferred;
	char last_error[160];
};
size_t deliver_status(const struct deliver *d, struct deliver_host_status *out, size_t cap);
