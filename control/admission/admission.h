/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What is known of each source, and whether it may go on. A source is a prefix: an IPv4 address or an
 * IPv6 /64. The table counts its open sessions, the rate of its connections, its failures by kind and
 * the messages that a next hop took from it, and compares them with the limits of the configuration.
 *
 * Volume (sessions, connection rate) is limited for sources that are not known to be good only; whoever
 * is in good standing is judged by its failures, and by their share. Failures and acceptances fade with
 * a half-life; a failure limit that was passed stays passed until half of it has faded.
 *
 * The table is bounded. IPv4 and IPv6 have a half each, so that neither can push the other out; within
 * a /48 only some /64 have entries of their own, the rest shares that of the /48. It is keyed with a
 * secret: which entries meet in a bucket cannot be chosen from outside. A full bucket gives up the entry
 * that is worth least.
 *
 * Pure: no clock, no I/O, no loop. It must not know sessions, configuration files, or what is said to
 * clients. One thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/mail/mail.h"

enum admission_limit {
	ADMISSION_FAILURES,          /* a budget: all kinds but recipients */
	ADMISSION_UNKNOWN,           /* a budget: recipients that were refused */
	ADMISSION_SESSIONS,          /* open at once */
	ADMISSION_RATE,              /* connections a minute, as many at once */
	ADMISSION_LIMITS
};
/* As the configuration calls it: "failures" "unknown-recipients" "sessions" "connection-rate". */
const char *admission_limit_name(enum admission_limit l);

enum admission_mode { ADMISSION_OFF, ADMISSION_OBSERVE, ADMISSION_ENFORCE };

enum admission_failure {
	FAILURE_RCPT, FAILURE_PROTOCOL, FAILURE_EARLY, FAILURE_FOREIGN, FAILURE_SLOW, FAILURE_TLS,
	FAILURE_REJECTED, FAILURE_KINDS
};
const char *admission_failure_name(enum admission_failure f); /* "recipients" "protocol" ... */

/* All zero: nothing is limited. */
struct admission_rules {
	struct {
		uint32_t max;
		uint8_t mode;        /* enum admission_mode */
	} limit[ADMISSION_LIMITS];
	uint32_t half_life_s;        /* of failures, and of the acceptances that outweigh them */
};

/* ---- lists by address ----------------------------------------------------------------------- */

struct admission_nets {
	struct ip_net *net;          /* no bits behind the prefix; as admission_nets_sort() leaves it */
	size_t n;
};
void admission_nets_sort(struct admission_nets *nets);
/* The longest prefix, of the 128-bit form, that holds the address; -1: none. */
int admission_nets_match(const struct admission_nets *nets, const struct ip_addr *ip);

enum admission_listed { ADMISSION_UNLISTED, ADMISSION_ALLOWED, ADMISSION_DENIED };
/* The longer prefix decides. */
enum admission_listed admission_listed(const struct admission_nets *deny,
				       const struct admission_nets *allow, const struct ip_addr *ip);

/* ---- the table ------------------------------------------------------------------------------- */

struct admission;

/* The entry in which a session is counted; serial 0: none. It may be gone meanwhile, that is known. */
struct admission_ref {
	uint32_t at, serial;
};

struct admission_verdict {
	bool barred;
	bool good;                   /* in good standing; of admission_connect() only */
	bool tell;                   /* the operator has not heard of this source for LIMIT_ALERT_S */
	uint8_t observed;            /* bits of limits that would bar, if they were enforced */
	enum admission_limit by;     /* barred, or observed: the first of them */
	uint32_t is, max;            /* of `by` */
	struct ip_net source;        /* the prefix that is counted */
};

/* `entries`: at least 16, rounded to a power of two. NULL: out of memory. */
struct admission *admission_new(const uint8_t secret[16], size_t entries);
void admission_free(struct admission *a);

/* `now_ms`: of any clock that never goes back, the same in all calls. */

/* May a session begin? Then it is counted and *ref says where; barred: *ref is none. */
void admission_connect(struct admission *a, const struct admission_rules *r,
		       const struct ip_addr *ip, uint64_t now_ms, struct admission_ref *ref,
		       struct admission_verdict *v);
/* The session of *ref is over, or goes to another source; *ref is none afterwards. */
void admission_leave(struct admission *a, struct admission_ref *ref);
/* All sessions are over, and nobody will say so of each. */
void admission_leave_all(struct admission *a);

/* May a session of this source go on? Looks at failures only, and makes no entry. */
void admission_check(struct admission *a, const struct admission_rules *r, const struct ip_addr *ip,
		     uint64_t now_ms, struct admission_verdict *v);
/* `n` failures of a kind. v: as of admission_check(), but `observed` only for the failure that passed
 * the limit; NULL: there is nobody to be refused now. */
void admission_fail(struct admission *a, const struct admission_rules *r, const struct ip_addr *ip,
		    enum admission_failure kind, uint32_t n, uint64_t now_ms,
		    struct admission_verdict *v);
/* A next hop took a message. */
void admission_accept(struct admission *a, const struct admission_rules *r, const struct ip_addr *ip,
		      uint64_t now_ms);

/* ---- for the operator ------------------------------------------------------------------------- */

struct admission_view {
	struct ip_net source;
	bool good;                   /* in good standing */
	uint8_t over;                /* bits of the failure limits that it is over */
	uint32_t sessions, connects; /* now; since it has been known */
	uint32_t rate;               /* of connections, against the limit of the name */
	uint32_t prefixes;           /* of a /48: /64 with an entry of their own */
	uint32_t hit[ADMISSION_LIMITS]; /* times that it was refused or observed for it */
	float failures[FAILURE_KINDS], accepted; /* faded */
	uint32_t idle_s;             /* since it was heard of */
};
enum admission_order { ADMISSION_WORST, ADMISSION_BUSIEST };
/* The first `cap` by failures and hits, or by sessions and rate; those with none are left out. */
size_t admission_list(struct admission *a, const struct admission_rules *r, uint64_t now_ms,
		      enum admission_order order, struct admission_view *out, size_t cap);
/* What counts for an address: its own entry, and that of its /48. 0 to 2. */
size_t admission_look(struct admission *a, const struct admission_rules *r, const struct ip_addr *ip,
		      uint64_t now_ms, struct admission_view out[2]);
/* Failures, rate and hits of the same entries are forgotten; how many there were. */
size_t admission_forgive(struct admission *a, const struct ip_addr *ip);

struct admission_stats {
	size_t entries, used;
	uint64_t evicted;            /* that were worth something */
};
void admission_stats(const struct admission *a, struct admission_stats *out);
