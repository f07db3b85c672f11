/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Records in memory, looked up as an authoritative server would answer (RFC 1034 4.3.2, RFC 4592):
 * CNAMEs chased inside the set, wildcards, NODATA told apart from NXDOMAIN, empty non-terminals.
 * The set is one union: it has no zone cuts.
 */

#include "control/dns/dns_wire.h"

struct dns_zone;

struct dns_zone *dns_zone_new(void);
void dns_zone_free(struct dns_zone *z);
/* rdata is on the wire's form. 0, -EINVAL (malformed, CNAME beside other data), -ENOMEM. */
int dns_zone_add(struct dns_zone *z, const struct dns_wire_name *name, uint16_t type, uint32_t ttl,
		 const uint8_t *rdata, size_t n);
/* For tests: every type not listed at this name is answered TEMPFAIL ("timed out"). */
int dns_zone_add_timeout(struct dns_zone *z, const struct dns_wire_name *name);
/* 0, or -ENOMEM. */
int dns_zone_lookup(const struct dns_zone *z, const struct dns_wire_name *name, uint16_t type,
		    struct dns_parsed *out);

/* RFC 1035 5 master file. 0, or -EINVAL with "file:line: reason", -ENOMEM, -errno of opening. */
int dns_zone_load(struct dns_zone *z, const char *path, char *err, size_t err_len);
int dns_zone_parse(struct dns_zone *z, const uint8_t *text, size_t n, const char *name, char *err,
		   size_t err_len);
/* Record data from its tokens (dns_zone_rdata.c). */
struct dns_token {
	struct str raw;
	bool quoted;
}; /* escapes still in it */
/* Length of the rdata in out, or -EINVAL with *why. */
long dns_zone_rdata(uint16_t type, const struct dns_token *tok, size_t n_tok,
		    const struct dns_wire_name *origin, uint8_t *out, size_t cap, const char **why);
/* Name with escapes, relative to origin unless it ends in a dot. 0 or -EINVAL. */
int dns_zone_name(struct str text, const struct dns_wire_name *origin, struct dns_wire_name *out);
/* "MX", "TYPE65280"; 0 if unknown. */
uint16_t dns_zone_type(struct str text);

/* A struct dns over records in memory; takes the zone over. */
struct dns *dns_new_memory(struct event_base *base, struct dns_zone *z, unsigned int timeout_ms);
