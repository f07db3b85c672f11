/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The header of the PROXY protocol, versions 1 (a line of text) and 2 (binary), by which a load
 * balancer says whose connection it passes on. Knows grammar only: whom to believe is its caller's
 * matter. Also the address texts that XCLIENT has in common with it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/str.h"

struct proxy_header {
	uint8_t version;     /* 1, 2 */
	bool local;          /* LOCAL, UNKNOWN, UNSPEC: the connection is the balancer's own */
	uint8_t src[16];     /* IPv4 mapped; with `local` nothing from here on is set */
	uint8_t dst[16];
	uint16_t src_port;
	uint16_t dst_port;
	/* Version 2: values as they came, n == 0: absent. They point into what was parsed. */
	struct str authority;
	struct str alpn;
	struct str ssl;      /* flags, result of verification, sub-TLVs that are well-formed */
	struct str tlvs;     /* all of them, well-formed */
};

/*
 * p[0..n): all that has come so far. Returns the length of the header, which may be less than n;
 * -EAGAIN: it may become one; -EBADMSG: it never will.
 */
long proxy_parse(const uint8_t *p, size_t n, struct proxy_header *out);
/*
 * The TLVs that say something of the client, without NOOP and CRC32C, as many whole ones as fit into
 * cap octets. Returns their length; *cut: some did not fit.
 */
size_t proxy_tlvs_keep(struct str tlvs, uint8_t *out, size_t cap, bool *cut);
/* After -EAGAIN: so many octets more belong to the header for sure; at least one. */
size_t proxy_more(const uint8_t *p, size_t n);

/* Address literals without brackets, as 16 octets; nothing in front or behind. */
bool proxy_ip4(struct str text, uint8_t out[16]);
bool proxy_ip6(struct str text, uint8_t out[16]);
/* Decimal, 0 to 65535, no leading zeros. */
bool proxy_port(struct str text, uint16_t *out);
