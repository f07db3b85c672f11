/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The wire format of RFC 1035 as this folder needs it: names, rdata, and the answer section of a
 * reply packet. Nothing here allocates for the caller but struct dns_parsed; nothing trusts a byte.
 */

#include "control/dns/dns.h"

#define DNS_WIRE_NAME 255 /* RFC 1035 2.3.4, with length octets and root */
#define DNS_MAX_RRS   64
#define DNS_MAX_CHAIN 8 /* CNAMEs followed */

struct dns_wire_name {
	uint8_t len; /* with the root octet */
	uint8_t b[DNS_WIRE_NAME];
};

/* Text (bytes between dots are taken literally, no escapes) to wire. 0 or -EINVAL. */
int dns_wire_from_text(struct str text, struct dns_wire_name *out);
/* Wire name at p, uncompressed, exactly n octets at most; its length or -EBADMSG. */
long dns_wire_length(const uint8_t *p, size_t n);
/* Text form without the trailing dot (root: ""). Length; -EBADMSG if the name is malformed or holds
 * octets that text without escapes cannot carry; -ENOSPC. */
long dns_wire_to_text(const uint8_t *p, size_t n, char *out, size_t cap);
bool dns_wire_eq(const struct dns_wire_name *a,
		 const struct dns_wire_name *b); /* case-insensitive */
void dns_wire_lower(struct dns_wire_name *w);

/* Octets of rdata are well-formed for `type` and names in it are uncompressed. */
bool dns_rdata_valid(uint16_t type, const uint8_t *p, size_t n);

/* An answer being put together. Records' data lie in `data`, which may move while it grows, so that
 * rr[] is filled by dns_parsed_seal(). */
struct dns_parsed {
	enum dns_status status;
	bool secure;
	uint32_t ttl;
	char alias[DNS_WIRE_NAME + 1]; /* text; "" also where it has none */
	char reason[96];
	struct dns_rr rr[DNS_MAX_RRS];
	size_t n;
	uint8_t *data;
	size_t used, cap;
	size_t off[DNS_MAX_RRS];
};

void dns_parsed_init(struct dns_parsed *a);
void dns_parsed_free(struct dns_parsed *a);
/* -ENOMEM; -E2BIG when 64 records are there already (the caller may ignore it). */
int dns_parsed_add(struct dns_parsed *a, const uint8_t *rdata, size_t n);
void dns_parsed_seal(struct dns_parsed *a);
void dns_parsed_alias(struct dns_parsed *a, const struct dns_wire_name *w);
void dns_parsed_fail(struct dns_parsed *a, const char *reason);

/* Reads the reply to (qname, type). 0, -EBADMSG (a->reason says why), -ENOMEM. */
int dns_packet_parse(struct dns_parsed *a, const uint8_t *pkt, size_t n,
		     const struct dns_wire_name *qname, uint16_t type);
