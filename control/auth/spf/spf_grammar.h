/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * RFC 7208 section 12, to the letter: what is not a sentence of it is a permerror and goes no
 * further. Strings of a parsed record borrow the record's text.
 */

#include <stdbool.h>
#include <stdint.h>

#include "postern/str.h"

#define SPF_RECORD_MAX (16 * 1024) /* ours; RFC 7208 3.4 wants records to fit 512 octets */

enum spf_mechanism {
	SPF_MECH_ALL,
	SPF_MECH_INCLUDE,
	SPF_MECH_A,
	SPF_MECH_MX,
	SPF_MECH_PTR,
	SPF_MECH_IP4,
	SPF_MECH_IP6,
	SPF_MECH_EXISTS,
};

struct spf_term {
	struct str text;   /* as published */
	struct str domain; /* domain-spec; n == 0: none */
	enum spf_mechanism mech;
	char qualifier;           /* '+', '-', '~', '?' */
	uint8_t prefix4, prefix6; /* CIDR lengths, 32 and 128 if not given */
	uint8_t addr[16];         /* ip4 (first 4 octets), ip6 */
};

struct spf_record {
	struct spf_term *term; /* owned */
	size_t n_terms;
	struct str redirect, exp; /* domain-spec; n == 0: absent */
	bool sender_macros;       /* uses s, l, o, h or p, or a macro in exists */
};

/* "v=spf1" followed by a space or the end (RFC 7208 4.5)? */
bool spf_is_record(struct str text);
/* 0, -EINVAL with *why (a constant) and *where (in the text), -ENOMEM. */
int spf_record_parse(struct spf_record *r, struct str text, const char **why, struct str *where);
void spf_record_free(struct spf_record *r);

/* Does the mechanism cause a DNS lookup that counts (RFC 7208 4.6.4)? */
bool spf_mech_looks_up(enum spf_mechanism m);
/* macro-string with the letters of explain-string (c, r, t) allowed or not, spaces allowed or not.
 */
bool spf_macro_string_valid(struct str s, bool explain);
/* Does a macro-string that is valid use a macro of these letters? */
bool spf_macro_uses(struct str s, const char *letters);
