/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Asynchronous DNS of one event loop: libunbound on the loop's event base (forwarders, stub zones,
 * or full recursion), or an in-memory source made of RFC 1035 zone files (tests, `posternctl scan
 * --dns-zone`). Both behind one interface; the callback never runs inside dns_resolve().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/mail/mail.h"

struct event_base;
struct dns;
struct dns_query;

#define DNS_A 1u
#define DNS_NS 2u
#define DNS_CNAME 5u
#define DNS_SOA 6u
#define DNS_PTR 12u
#define DNS_MX 15u
#define DNS_TXT 16u
#define DNS_AAAA 28u
#define DNS_TLSA 52u
#define DNS_SPF 99u

enum dns_status {
	DNS_OK,        /* at least one record of the asked type (behind CNAMEs) */
	DNS_NODATA,    /* name exists, type does not */
	DNS_NXDOMAIN,
	DNS_TEMPFAIL,  /* SERVFAIL, refused, time-out, other RCODE */
	DNS_BOGUS,     /* DNSSEC says no; to be treated as TEMPFAIL, told apart in the trace */
};

struct dns_rr {
	const uint8_t *data;  /* rdata as on the wire, names uncompressed */
	size_t len;
};

struct dns_answer {
	enum dns_status status;
	bool secure;          /* DNSSEC validated */
	uint32_t ttl;         /* seconds; of the answer or of the negative answer */
	const struct dns_rr *rr; /* of the asked type only; bounded to 64 */
	size_t n;
	const char *alias;    /* name at the end of the CNAMEs, where the records are; "": no CNAME */
	const char *reason;   /* for TEMPFAIL and BOGUS: short text; never NULL then */
};

typedef void dns_callback(void *arg, const struct dns_answer *answer);

struct dns_stub { const char *zone; const char *addr; }; /* addr "ip" or "ip@port" */

struct dns_options {
	const char *const *forwarder; /* "192.0.2.53" or "192.0.2.53@5353"; n_forwarders 0: recursion */
	size_t n_forwarders;
	const struct dns_stub *stub;  /* zones asked at a given authoritative server */
	size_t n_stubs;
	const char *const *zone_file; /* if n_zone_files > 0: only these answer, no packet is sent */
	size_t n_zone_files;
	const char *trust_anchor_file; /* NULL: no DNSSEC validation */
	unsigned int timeout_ms;      /* per question; default 10,000 */
};

/* err (>= 256 octets): which option is bad and why (zone files: file:line: reason). */
struct dns *dns_new(struct event_base *base, const struct dns_options *opt, char *err, size_t err_len);
/* Cancels everything that is open; no callback runs any more. */
void dns_free(struct dns *d);

/* `name`: text form, dots, no escapes needed for host names; trailing dot optional. An invalid or
 * over-long name answers DNS_NXDOMAIN without a packet. NULL only on -ENOMEM. */
struct dns_query *dns_resolve(struct dns *d, struct str name, uint16_t type, dns_callback *cb, void *arg);
struct buckets;
/* How long answers took, time-outs among them. */
const struct buckets *dns_times(const struct dns *d);
/* The callback will not run. */
void dns_cancel(struct dns_query *q);

/* Concatenates the character-strings of a TXT rdata. Length, or -ENOSPC / -EBADMSG. */
long dns_txt(const struct dns_rr *rr, uint8_t *out, size_t cap);
/* Uncompressed wire name (at off in rr) to text without the trailing dot. Length or -EBADMSG, -ENOSPC. */
long dns_name(const struct dns_rr *rr, size_t off, char *out, size_t cap);
/* "1.2.0.192.in-addr.arpa" / nibble form; out >= 74. */
void dns_reverse_name(const struct ip_addr *ip, char *out, size_t cap);

/* PTR with forward confirmation (RFC 8601 iprev): at most 10 names looked at. */
struct ptr_query;
struct ptr_result {
	enum { PTR_OK, PTR_NONE, PTR_MISMATCH, PTR_TEMPFAIL } status;
	char name[256];       /* confirmed name for PTR_OK, else "" */
};
typedef void ptr_callback(void *arg, const struct ptr_result *result);
struct ptr_query *ptr_resolve(struct dns *d, const struct ip_addr *ip, ptr_callback *cb, void *arg);
void ptr_cancel(struct ptr_query *q);
