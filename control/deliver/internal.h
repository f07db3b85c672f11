/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Inside of deliver: what its files share.
 *
 *   job.c, verify.c   a message, a callout: both are a `struct xact`, "MAIL and RCPTs, then perhaps
 *        |            content", that wants a connection
 *   xact.c            which address next, when to give up
 *   pool.c            slots of a route, waiting queue, idle connections
 *   session.c         the SMTP dialogue on a connection
 *   identity.c        who the client is, told in front of banner or MAIL; transparent.c, by its address
 *   content.c         its last part: DATA or BDAT, content, dot or LAST
 *   conn.c            the socket: connect, read, write, deadline, close
 *   overload.c        how much of a route may be under way: tickets, the second's tick; load.c, pure
 *   tls_conn.c        TLS on it; tls_ctx.c: contexts and sessions for it
 *   tls_policy.c      what TLS an attempt must have, and what becomes of it if it fails; dane.c
 *
 * Nothing calls back up the stack into the user: results are queued and run from one event
 * (deliver.c), where also the pools hand out connections and closed ones are freed. So no function
 * below finds its connection or transaction gone under it, and a callback may free everything.
 */

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

#include "control/deliver/breaker.h"
#include "control/deliver/deliver.h"
#include "control/deliver/load.h"
#include "control/deliver/memory.h"
#include "control/deliver/mx.h"
#include "control/deliver/reply.h"
#include "control/deliver/stuff.h"
#include "control/deliver/tls_out.h"
#include "control/deliver/verdict.h"
#include "control/hash/siphash.h"
#include "control/sts/sts.h"
#include "postern/limits.h"
#include "postern/stats.h"

/* Deadlines and bounds; 0 in the first two: the route's. Tests make them short. */
struct deliver_tuning {
	unsigned int connect_ms, command_ms;
	unsigned int progress_ms;  /* LIMIT_ONWARD_PROGRESS_S: the socket took nothing */
	unsigned int final_ms;     /* LIMIT_FINAL_REPLY_TIMEOUT_S */
	unsigned int callout_ms;   /* LIMIT_CALLOUT_S */
	unsigned int idle_ms;      /* 0: the route's */
	unsigned int avoid_ms;     /* an address that did not connect goes last for so long */
	size_t waiting_max;
	int sndbuf;                /* 0: the kernel's */
	uint64_t skew_s;           /* added to the clock of the memories */
	bool local_is_own;         /* an MX that leads to this machine is ourselves */
};
struct deliver_tuning *deliver_tuning(struct deliver *d);

struct address {
	struct ip_addr ip;
	uint16_t port;
};

/* A next hop that a transaction may go to. */
struct target {
	struct host *host;           /* counted in host.refs */
	uint16_t priority, weight;   /* as of config_host */
};

enum ending_kind {
	END_DELIVERED,  /* 2xx to the dot */
	END_ACCEPTED,   /* callout: 2xx to RCPT */
	END_REPLY,      /* the next hop's reply decides */
	END_RCPTS,      /* all RCPT replies are in, at least one is a refusal */
	END_LOCAL,      /* decided here: `reply` is already ours */
	END_CONNECT,    /* no connection */
	END_DNS,        /* no address */
	END_LOST,       /* closed or reset */
	END_TIMEOUT,
	END_GARBAGE,
	END_TLS,        /* `fault` says how */
	END_ABORTED,    /* cancelled or unwanted */
};

struct ending {
	enum ending_kind kind;
	enum stage stage;
	enum tls_fault fault;
	struct deliver_reply reply;
};

struct conn;
struct pool;
struct xact;

/* XACT_MX: the MX records of its domain are asked for. */
enum xact_place { XACT_NEW, XACT_MX, XACT_WAITING, XACT_ON_CONN, XACT_DONE };

struct xact {
	struct deliver *d;
	struct pool *pool;
	TAILQ_ENTRY(xact) link;      /* pool's queue */
	enum xact_place place;
	bool probe;
	struct config *config;       /* referenced */
	const struct config_route *route;
	struct str mail_from;
	const struct str *rcpt;
	size_t n_rcpts;
	const struct deliver_request *req; /* NULL: probe */
	void *wanted_arg;
	const char *trace_id;
	const struct deliver_client *client;
	struct deliver_rcpt_result *rcpt_result;
	bool utf8;

	/* where to */
	struct target target[LIMIT_CONFIG_HOSTS]; /* in the order of this transaction */
	size_t n_targets, host_at;
	struct mx_query *mx;
	char domain[MAIL_ALABEL];    /* whose MX records name them; "": those of the route */
	bool unsigned_mx;            /* the MX records came without DNSSEC */
	struct sts_query *sts_query;
	struct sts_policy *sts;      /* MTA-STS of that domain; referenced, NULL: none */
	char sts_why[200];
	uint64_t waits_until_us;     /* for a connection; 0: it never waited */
	uint64_t queued_us;          /* it waits since, or waited the last time */
	uint64_t attached_us;        /* it got its last connection; 0: none */
	uint64_t asked_us;           /* MAIL, then the dot, went out */
	bool rated;                  /* it has had its turn by the rate of the route */
	struct address found[16];    /* addresses of the current host */
	size_t n_found;
	bool resolved;
	struct dns_query *query[2];
	enum dns_status dns[2];
	bool dns_failed;             /* DNS did not answer, or with what DNSSEC refuses */
	bool unsigned_addr;          /* some of `found` came without DNSSEC */
	char alias[LIMIT_DNS_NAME + 1]; /* where `found` are; "": at the host's own name */
	struct address tried[LIMIT_ONWARD_ATTEMPTS];
	size_t n_tried;
	struct address cur;          /* of the attempt that runs, if has_cur */
	bool has_cur;
	bool fresh_only;             /* a pooled connection died under it: the next one is new */
	bool no_tls;                 /* TLS failed under "may": the next connection is in clear */
	struct dane dane;            /* of the current host */
	struct deliver_tls tls;      /* of the last attempt */
	struct ending best;          /* of earlier addresses: the most telling */
	bool has_best;

	/* on the connection */
	struct conn *conn;
	struct deliver_reply mail_reply;
	bool mail_answered;
	size_t rcpt_at;              /* RCPT replies seen */
	struct stuff body;
	bool bdat;                   /* content goes by BDAT on this connection */
	uint64_t body_us;            /* the content began to be sent */
	bool dot_written;            /* the dot, or the last octet of BDAT: some of it */
	bool cancelled;
	struct host *last;           /* where the last attempt went; hosts live as long as deliver */
	char last_host[300];
	char last_own[46];           /* our address there; "": it was not connected */
	uint64_t start_us, first_byte_us;

	/* job or probe: the end, from the event loop, never inside the start */
	void (*final)(struct xact *x, const struct ending *e);
};

enum conn_state {
	CONN_RESOLVE, CONN_CONNECT, CONN_BANNER, CONN_EHLO, CONN_HELO, CONN_STARTTLS, CONN_TLS,
	CONN_XCLIENT, CONN_XFORWARD, CONN_IDLE,
	CONN_MAIL, CONN_RCPT, CONN_DATA, CONN_BODY, CONN_DOT, CONN_RSET,
	CONN_QUIT, CONN_DEAD,
	CONN_STATES,
};

struct conn {
	struct deliver *d;
	struct host *host;           /* NULL once it left the pool (QUIT, dead) */
	struct pool *slot;           /* then: whose slot it has until it is closed */
	TAILQ_ENTRY(conn) link;      /* host's idle or busy list, or deliver's quitting, dead list */
	enum conn_state state;
	int fd;
	bool events;                 /* rd and wr are assigned */
	bool broken;                 /* a write failed: what can still be read decides */
	struct event rd, wr, timer;
	struct address addr;
	char ip_text[46], own_text[46]; /* of the other side; of ours, "" before it is connected */
	struct xact *x;
	bool counts_bulk;
	bool reused;                 /* this is not its first transaction */
	bool proxied, has_client;    /* a PROXY header began it, in the name of `client` */
	bool identified;             /* XCLIENT named `client` */
	bool transparent;            /* it comes from the address of `client` */
	bool forwarded;              /* XFORWARD was said for this transaction */
	struct siphash128 client;    /* hash of who it was, under the secret */
	enum config_tls_policy level; /* what the handshake must bring; of the attempt, not the route */
	struct tls *tls;             /* NULL: in clear */
	bool greeted;                /* EHLO was answered under TLS */
	enum tls_fault fault;
	struct deliver_tls facts;
	char domain[MAIL_ALABEL];    /* x->domain of the attempt that made it */
	unsigned int transactions;
	unsigned int idle_ms;
	uint64_t asked_us;           /* connect began; 0: it is over, and EHLO and TLS as well */
	uint64_t born_us, age_us;    /* connected; may begin a transaction so long, 0: for ever */
	struct ehlo ehlo;
	struct reply_parser parser;
	uint8_t *out;                /* commands on their way */
	size_t out_n, out_at, out_cap;
	size_t dot_at;               /* octets written of what makes the message whole (content.c) */
	bool ready;                  /* content is to be sent once the reply at hand is read */
	bool spent;                  /* a chunk was refused: nothing more is sent but QUIT */
};

/* One line a next hop or route and LIMIT_ALERT_S, however often it happens. */
struct route_alert {
	uint64_t n, told, told_s;
};

struct host {
	TAILQ_ENTRY(host) link;
	struct pool *pool;
	char *name;
	uint16_t port;
	bool is_ip;
	struct ip_addr ip;           /* if is_ip */
	bool by_mx;                  /* MX records named it: it goes when nothing needs it any more */
	unsigned int refs;           /* transactions that may go there */
	uint64_t named_s;            /* last */
	struct ip_addr source[2];    /* IPv4, IPv6 */
	bool has_source[2];
	uint8_t tls_id[32];          /* struct config_route_tls */
	uint64_t clear_until_ms;     /* TLS failed under "may" */
	bool greeted;                /* the next were told by the last EHLO */
	uint32_t caps;
	uint64_t size;               /* 0: no bound */
	unsigned int rcpt_max;       /* recipients of a transaction; 0: no bound is known */
	unsigned int domain_max;     /* their domains; 0: the same */
	unsigned int rcpt_learned;   /* the same from 4.5.3 at RCPT, until learned_until_s */
	uint64_t learned_until_s;
	TAILQ_HEAD(conn_list, conn) idle, busy; /* idle: used last in front */
	uint64_t avoid_until_ms;
	uint64_t delivered, rejected, deferred;
	struct route_alert alert;    /* refusals of the relay */
	char last_error[160];
};

struct pool {
	TAILQ_ENTRY(pool) link;
	struct deliver *d;
	char *route;
	unsigned int number;         /* 1, 2, ... of all that ever were */
	TAILQ_HEAD(, host) hosts;
	TAILQ_HEAD(xact_list, xact) waiting[2]; /* 0: callouts, go first; 1: messages */
	size_t n_waiting;
	unsigned int n_conns;        /* connections and attempts that count against the route */
	unsigned int n_bulk;         /* of these, busy with messages */
	unsigned int n_leaving;      /* of these, about to be closed */
	size_t n_hosts;
	double tokens;               /* of the route's rate; filled up at filled_us */
	uint64_t filled_us;
	struct event timer;          /* of those that wait: the next token, the end of patience */
	struct route_alert alert;
	struct breaker breaker;
	struct buckets times[DELIVER_TIMES];
	struct load load;
	struct load_rules rules;     /* of the configuration that was used last */
	struct route_alert shedding; /* alerts of that */
	bool shedding_told;          /* it began, and its end was not told yet */
};

/* Something to tell the user; run from the event loop. */
struct completion {
	TAILQ_ENTRY(completion) link;
	bool queued;
	void (*run)(struct completion *c);
};

struct deliver {
	struct event_base *base;
	struct dns *dns;
	uint64_t *counters;
	struct deliver_tuning tuning;
	struct event *kick;
	struct event *second;        /* overload.c; runs while a route is busy */
	TAILQ_HEAD(, pool) pools;
	unsigned int n_pools;
	TAILQ_HEAD(completion_list, completion) done;
	struct conn_list quitting, dead;
	TAILQ_HEAD(, deliver_job) jobs;
	TAILQ_HEAD(, probe) probes;
	TAILQ_HEAD(, deliver_question) questions;
	TAILQ_HEAD(, route_check) checks;
	uint8_t secret[16];
	uint64_t random;             /* state of deliver_random() */
	struct tls_store *tls;
	struct sts *sts;             /* NULL until a route asks for it */
	struct memory *refusals;     /* (route, MAIL FROM, RCPT) → reply */
	struct memory *unknown;      /* (route, RCPT) → reply */
	struct memory *known;        /* (route, RCPT) taken */
	struct memory *alone;        /* (route, MAIL FROM, RCPT): shares no transaction */
	bool *gone;                  /* set when freed inside a callback */
	deliver_alert_callback *on_alert;
	void *alert_arg;
	deliver_breaker_callback *on_breaker;
	void *breaker_arg;
};

/* deliver.c */
void deliver_kick(struct deliver *d);
/* A breaker opened or was acknowledged. */
static inline void deliver_breaker_changed(struct deliver *d)
{
	if (d->on_breaker)
		d->on_breaker(d->breaker_arg);
}
void deliver_complete(struct deliver *d, struct completion *c);
void deliver_uncomplete(struct deliver *d, struct completion *c);
struct sts *deliver_sts(struct deliver *d); /* made when it is needed first; NULL: out of memory */
uint64_t deliver_now_us(void);
uint64_t deliver_now_s(const struct deliver *d);
/* Below n > 0; for the order of equals, not for secrets. */
uint32_t deliver_random(struct deliver *d, uint32_t n);
/* Counts, and says whether the operator is to be told now; *untold: those since the last time. */
bool deliver_alert_due(struct deliver *d, struct route_alert *a, uint64_t *untold);
static inline void deliver_count(struct deliver *d, enum postern_ctl_counter c)
{
	if (d->counters)
		d->counters[c]++;
}

/* job.c, verify.c: without callbacks, for deliver_free() */
void jobs_drop(struct deliver *d);
void probes_drop(struct deliver *d);

/* truth.c: what is known of recipients, and what answers teach. */
struct truth_keys {
	struct memory_key pair, wide; /* (route, MAIL FROM, RCPT), (route, RCPT) */
};
/* client: where the route leads to whom it dialled, server and client are part of them. */
struct truth_keys truth_keys(const struct deliver *d, const struct config_route *route,
			     const struct deliver_client *client, struct str from, struct str rcpt);
/* What can be said without the next hop. */
bool truth_answer(struct deliver *d, const struct deliver_ask *ask, const struct truth_keys *k,
		  bool utf8, struct deliver_reply *r);
void truth_accept(struct deliver_reply *r);
/* Different domains among the recipients; more than LIMIT_RCPT_DOMAINS are not told apart. */
unsigned int truth_domains(const struct xact *x);
/* The next hop is silent: what it last said of this recipient, if that was yes, counts for a day. */
bool truth_stale(struct deliver *d, const struct truth_keys *k, struct deliver_reply *r);
/* A callout was answered; *r is what the client hears. */
void truth_of_probe(struct xact *x, const struct truth_keys *k, const struct deliver_reply *said,
		    struct deliver_reply *r);
/* A declared size that the next hops of the route cannot take. */
bool truth_too_big(struct deliver *d, const struct deliver_ask *ask, struct deliver_reply *r);
/* RCPT replies of a message. */
void truth_learn(struct xact *x);
/* The message was answered by something else than 2xx, or RCPT by 421. */
void truth_of_content(struct xact *x, const struct ending *e, struct deliver_result *res);
/* A 5xx of this route is not believed at the moment: *r says so. */
bool truth_doubtful(const struct xact *x, struct deliver_reply *r);

/* overload.c */
int overload_init(struct deliver *d); /* 0 or -ENOMEM */
void overload_free(struct deliver *d);
/* The route is used: its rules are these now. */
void overload_rules(struct pool *p, const struct config_route *route);
void overload_attached(struct xact *x);  /* it has got a connection */
void overload_ended(struct xact *x, const struct ending *e);
void overload_stage(struct conn *c, enum load_stage stage, uint64_t asked_us);

/* targets.c: next hops of a transaction, in its own order. */
void targets_begin(struct xact *x); /* hosts or MX; then xact_ready() or x->final */
void targets_free(struct xact *x);
void xact_ready(struct xact *x);
/* In our own words, without the next hop. */
void xact_refuse(struct xact *x, uint16_t code, uint16_t subject, uint16_t detail, const char *text);

/* route_check.c */
void route_checks_drop(struct deliver *d);

/* xact.c */
int xact_init(struct xact *x, struct deliver *d, struct config *config,
	      const struct config_route *route);
void xact_start(struct xact *x, const struct ending *at_once); /* NULL: ask the pool */
void xact_fini(struct xact *x);  /* leaves queue, connection and resolver; no callback */
/* The address to try next on the current host; NULL: go on with xact_failed(). */
const struct address *xact_address(struct xact *x);
bool xact_tried(const struct xact *x, const struct address *a);
/* What our client hears of it; not for END_RCPTS, END_ACCEPTED. */
void xact_reply(const struct xact *x, const struct ending *e, struct deliver_reply *reply,
		enum deliver_outcome *outcome, bool *alert);
/* `said` refuses the relay itself. */
void xact_alert(const struct xact *x, enum stage stage, const struct deliver_reply *said);
/* The next hop itself is not as the route asks for. */
void xact_warn(const struct xact *x, enum stage stage, const char *text);
/* Something about the route itself: told once a LIMIT_ALERT_S. */
void xact_route_alert(const struct xact *x, const char *text);
/* The attempt is over and the connection is no longer ours. */
void xact_ended(struct xact *x, const struct ending *e);
/* A pooled connection died before MAIL was answered. */
void xact_stale(struct xact *x, const struct ending *e);
/* TLS failed that need not be: the same address again, in clear. */
void xact_clear(struct xact *x);

/* resolve.c: addresses of the current host of x; then xact_resolved() */
int resolve_start(struct xact *x);
void resolve_cancel(struct xact *x);
void xact_resolved(struct xact *x);

/* pool.c */
struct pool *pool_get(struct deliver *d, const char *route);
/* Made if it is new; by name, port and source addresses. NULL: out of memory. */
struct host *pool_host(struct pool *p, const struct config_route *route,
		       const struct config_host *want, bool by_mx);
/* The next hops of the route that are known, one after the other; NULL: no more. client: as for
 * truth_keys(). */
struct host *pool_next(struct pool *p, const struct config_route *route,
		       const struct deliver_client *client, struct host *after);
/* All next hops of the route said so in their last EHLO. */
bool pool_offers(struct deliver *d, const struct config_route *route,
		 const struct deliver_client *client, uint32_t caps);
bool pool_wait(struct xact *x, bool first); /* false: too many wait */
void pool_unwait(struct xact *x);
void pool_dispatch(struct pool *p);
void pool_leave(struct conn *c);      /* it takes nothing more; its slot is free when it is closed: */
void pool_left(struct conn *c);
void pool_idle(struct conn *c);       /* transaction over, connection good */
void pools_free(struct deliver *d);

/* identity.c: XCLIENT, XFORWARD and PROXY. */
#define IDENTITY_PROXY_MAX 1024
/* In front of the banner. 0 or -ENOMEM. */
int identity_connected(struct conn *c);
/* May this pooled connection carry x? */
bool identity_fits(const struct conn *c, const struct xact *x);
/* In front of MAIL. True: it goes on when that is answered, or is over. */
bool identity_begin(struct conn *c);
struct str identity_helo(const struct conn *c);
/* The next hop takes us for the client that its route leads from: what it says is said to that one. */
bool identity_is_client(const struct conn *c);
/* The socket of c is to come from the client's address: in place of bind(). 0 or -errno, told. */
int transparent_bind(struct conn *c);
void identity_on_xclient(struct conn *c, const struct deliver_reply *r);
void identity_on_xforward(struct conn *c, const struct deliver_reply *r);
/* " NAME=value ..." of a client, for an XCLIENT that offers these: with the longest command word and
 * CRLF it fits LIMIT_COMMAND_LINE. */
#define IDENTITY_LINE (LIMIT_COMMAND_LINE - sizeof("XFORWARD\r\n") + 2)
void identity_xclient(const struct deliver_client *client, uint32_t offered, char out[IDENTITY_LINE]);
/* The header for a client, or NULL: for ourselves (LOCAL). Octets. */
size_t identity_proxy(const struct deliver_client *client, uint8_t out[IDENTITY_PROXY_MAX]);

/* conn.c */
struct conn *conn_new(struct host *h);
void conn_connect(struct conn *c, const struct address *a);
void conn_deadline(struct conn *c, unsigned int ms);
int conn_queue(struct conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int conn_queue_raw(struct conn *c, const void *p, size_t n); /* 0 or -ENOMEM */
void conn_flush(struct conn *c);
void conn_want_write(struct conn *c);
/* As recv(), send(), sendmsg(), through TLS if there is one: EAGAIN, EINTR; EPROTO: TLS is broken. */
ssize_t conn_recv(struct conn *c, void *buf, size_t n);
ssize_t conn_send(struct conn *c, const void *p, size_t n, bool more);
/* `more`: what follows at once may share its last packet. */
ssize_t conn_sendv(struct conn *c, const struct iovec *v, size_t n, bool more);
/* The TLS handshake goes on; at its end session_secured() or session_failed(). */
void conn_handshake(struct conn *c);
/* The socket refused a write: what can still be read is read, then the connection is lost. */
void conn_write_failed(struct conn *c);
/* Does the socket of an idle connection still look alive? */
bool conn_alive(struct conn *c);
/* Nothing more is to begin on it: connection-age of the route. */
bool conn_is_old(const struct conn *c);
/* Its transaction is over and it is good: into the pool, or QUIT if it is old. */
void conn_rest(struct conn *c);
/* abort: with RST, so that the next hop cannot take what it has for a whole message. */
void conn_close(struct conn *c, bool abort);
void conn_quit(struct conn *c);
void conn_free(struct conn *c);

/* session.c */
void session_connected(struct conn *c);
void session_greet(struct conn *c);   /* EHLO again, as behind a connect */
void session_begin(struct conn *c);   /* c->x set, EHLO done */
/* It is of no use for c->x, which goes on with a new one. */
void session_retire(struct conn *c);
void session_reply(struct conn *c);   /* c->parser holds one */
void session_secured(struct conn *c); /* the handshake is over and as it must be */
void session_failed(struct conn *c, enum ending_kind kind); /* LOST, TIMEOUT, GARBAGE, CONNECT */
/* The next hop's answer ends the transaction; the connection stays good unless it said 421 or has got
 * content without an end. */
void session_end_with(struct conn *c, enum ending_kind kind, const struct deliver_reply *r);
/* Of what has just been queued: out with it, and a deadline for the reply. */
void session_send(struct conn *c, int err);
enum stage session_stage(const struct conn *c);
unsigned int session_command_ms(const struct conn *c);

/* content.c */
/* Is it for BDAT alone, and the next hop does not take it? */
bool body_unsendable(const struct conn *c);
void body_begin(struct conn *c);   /* every RCPT was taken */
void body_writable(struct conn *c);
/* Content is under way and its end is not out: such a connection is closed by RST. */
bool body_open(const struct conn *c);
void body_on_data(struct conn *c, const struct deliver_reply *r);
void body_on_body(struct conn *c, const struct deliver_reply *r);
void body_on_dot(struct conn *c, const struct deliver_reply *r);
