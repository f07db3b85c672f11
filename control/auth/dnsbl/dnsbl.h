/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Lists of addresses in the DNS (RFC 5782): is an IPv4 or IPv6 address on them? All are asked at
 * once. What a listing is worth is not known here.
 *
 * A list can go wrong in ways that look like a listing of everybody: its domain expires and answers
 * anything, it refuses our resolver by an error code, it lists the whole world as it closes. So an
 * answer counts only if it is within 127.0.0.0/8 and no error code, and (unless the list has no
 * test entries) only if the list's own test entries of RFC 5782 5 are as they have to be.
 */

#include "control/dns/dns.h"

/* Answers: by octet, both ends included. */
struct dnsbl_range {
	uint8_t low[4], high[4];
};

struct dnsbl_list {
	const char *name;                 /* of the configuration */
	const char *zone;                 /* at most LIMIT_DNSBL_ZONE octets */
	const struct dnsbl_range *answer; /* n_answers == 0: any but 127.0.0.1 */
	size_t n_answers;
	bool allow;    /* a list of the good: told as dnswl (RFC 8904) */
	bool untested; /* it has no test entries */
};

enum dnsbl_result {
	DNSBL_NOT_LISTED,
	DNSBL_LISTED,
	DNSBL_FAILED,  /* no answer in time, or a failure of DNS */
	DNSBL_NO_LIST, /* an answer that is no listing: an error code, outside of 127.0.0.0/8 */
	DNSBL_BROKEN,  /* it lists, and its test entries say that it is broken */
};
const char *dnsbl_result_name(enum dnsbl_result r); /* "not-listed" "listed" "failed" ... */

struct dnsbl_verdict {
	enum dnsbl_result result;
	uint8_t answer[4]; /* of LISTED the one that fits, of NO_LIST the odd one */
	bool secure;       /* DNSSEC validated */
	char reason[80];   /* of FAILED, NO_LIST, BROKEN */
};

struct event_base;
struct dnsbl_check;
/* v[i] is of list[i]. */
typedef void dnsbl_callback(void *arg, const struct dnsbl_verdict *v, size_t n);

/* At most LIMIT_DNSBLS lists, which stay valid until dnsbl_free(). budget_ms: for all of it, 0:
 * LIMIT_DNSBL_TIME_S; what is open then has failed. The callback never runs inside, and once; the
 * verdicts live until dnsbl_free(), which is allowed inside it, and before it cancels. NULL:
 * -ENOMEM. */
struct dnsbl_check *dnsbl_check(struct dns *dns, struct event_base *base,
				const struct dnsbl_list *list, size_t n, const struct ip_addr *ip,
				unsigned int budget_ms, dnsbl_callback *cb, void *arg);
void dnsbl_free(struct dnsbl_check *c);
