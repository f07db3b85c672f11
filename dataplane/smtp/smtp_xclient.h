/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* The attributes of one XCLIENT command: Postfix's XCLIENT_README. Grammar only. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/smtp/smtp_client.h"
#include "postern/handoff.h"
#include "postern/limits.h"
#include "postern/str.h"

#define SMTP_XCLIENT_OFFER "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT"

struct smtp_xclient {
	bool has_addr, has_port, has_dest, has_dest_port, has_proto, has_helo;
	bool addr_known, dest_known;  /* false: [UNAVAILABLE] */
	uint8_t addr[16];
	uint8_t dest[16];
	uint16_t port;                /* 0: [UNAVAILABLE] */
	uint16_t dest_port;
	uint8_t proto;                /* enum handoff_proto */
	uint8_t helo_len;             /* 0: [UNAVAILABLE] */
	uint8_t helo[LIMIT_DOMAIN];
};

/* arg: what follows the verb. False: 501. */
bool smtp_xclient_parse(struct str arg, struct smtp_xclient *out);
/* RFC 3461 4: decodes; the length, or -1: no xtext, or longer than cap. */
long smtp_xtext(struct str in, uint8_t *out, size_t cap);
