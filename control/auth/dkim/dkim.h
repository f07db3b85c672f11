/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * DKIM verification (RFC 6376, 8301, 8463). Content is read where it lies; each distinct body
 * canonicalization and l= is hashed once for all signatures. Keys come from dns.h.
 */

#include <stdbool.h>
#include <stdint.h>

#include "control/dns/dns.h"
#include "control/mail/mail.h"

enum dkim_result {
	DKIM_NONE, DKIM_PASS, DKIM_FAIL, DKIM_POLICY, DKIM_NEUTRAL, DKIM_TEMPERROR, DKIM_PERMERROR
};
const char *dkim_result_name(enum dkim_result r); /* as in RFC 8601 2.7.1 */

struct dkim_signature {
	enum dkim_result result;
	char reason[160];     /* "" for pass; plain words otherwise (pass with l= says "l=N of M") */
	char domain[256];     /* d=, "" if unusable; A-labels or as written, checked by grammar */
	char selector[256];   /* s= */
	char identity[320];   /* i=, "" if absent */
	char algorithm[32];   /* "rsa-sha256" ... */
	char b_prefix[9];     /* first 8 characters of b=, for header.b */
	uint32_t key_bits;
	bool testing;         /* t=y in the key */
	bool partial;         /* b= and bh= verify, and l= is shorter than the body */
	uint64_t body_length; /* octets of canonical body hashed when l= is there, else UINT64_MAX */
	size_t field;         /* index in headers */
	/* h= as a list of lower-case names, for the conflict planner; owned by the result */
	struct str *signed_names;
	size_t n_signed;
};

struct dkim_results {
	struct dkim_signature *sig; /* top to bottom; at most LIMIT_DKIM_SIGNATURES judged, the rest
	                               are neutral with a reason */
	size_t n;
};

/*
 * Keys as they come out of their records, for DKIM and ARC on one loop's thread. To parse one costs
 * several times what a verification does. An entry belongs to the octets of its record and to no
 * name: what DNS says, and for how long, is not its business, so it is never out of date. Bounded,
 * least recently used goes first.
 */
struct dkim_keys;
struct dkim_keys_stats {
	uint64_t hits, misses;
	size_t kept;
};
struct dkim_keys *dkim_keys_new(size_t cap); /* NULL: -ENOMEM or no randomness */
void dkim_keys_free(struct dkim_keys *k);
void dkim_keys_stats(const struct dkim_keys *k, struct dkim_keys_stats *out);

struct dkim_options {
	int64_t now;             /* seconds since the epoch, for x= and t= */
	bool l_policy_fail;      /* l= shorter than the body is DKIM_POLICY instead of pass */
	struct dkim_keys *keys;  /* NULL: every key is parsed anew */
	struct body_run *run;    /* body.h, shared with ARC of this message; NULL: its own */
};

struct body_run;
struct dkim_check;
typedef void dkim_callback(void *arg, const struct dkim_results *results);

/* headers and content stay valid until the callback or the cancel. The callback never runs inside
 * dkim_verify(). Results live until dkim_check_free(), which the caller does after the callback;
 * dkim_check_free() before it cancels. NULL: -ENOMEM. */
struct dkim_check *dkim_verify(struct dns *dns, struct event_base *base, const struct headers *headers,
			       const struct mail_bytes *content, const struct dkim_options *opt,
			       dkim_callback *cb, void *arg);
void dkim_check_free(struct dkim_check *c);
