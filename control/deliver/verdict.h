/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Whose fault is a refusal, and what does our client hear of it. Pure functions, no I/O. */

#include <stdbool.h>

#include "control/deliver/deliver.h"
#include "control/deliver/reply.h"

enum stage {
	STAGE_CONNECT,
	STAGE_BANNER,
	STAGE_EHLO,
	STAGE_TLS,   /* STARTTLS and handshake */
	STAGE_MAIL,
	STAGE_RCPT,
	STAGE_DATA,
	STAGE_BODY,
	STAGE_DOT,   /* the dot or BDAT LAST is out */
};

const char *stage_name(enum stage s);

enum verdict_class {
	VERDICT_OK,       /* 2xx */
	VERDICT_SERVICE,  /* 421, 4.3.2, 4.4.x: this address is not well, another may be */
	VERDICT_THROTTLE, /* 4.7.x, 4.2.x, 4.5.3: asked to slow down; no other address is tried */
	VERDICT_DEFER,    /* any other 4xx */
	VERDICT_REJECT,   /* 5xx that speaks of the recipient or the message */
	VERDICT_RELAY,    /* 4xx or 5xx that speaks of us: never passed on, never kept */
	VERDICT_GARBAGE,  /* 3xx where none belongs */
};

enum verdict_class verdict_classify(const struct config *c, enum stage stage,
				    const struct deliver_reply *r);
/* One of "5.7.51", "5.7.606-649", "5.7.70x", "530", or a piece of text without case. */
bool verdict_pattern(const char *pattern, const struct deliver_reply *r);
/* It says so in words: nobody may send there by it, from where we come. */
bool verdict_relay_denied(const struct deliver_reply *r);
/* 5xx that says: no such mailbox for anybody (5.1.1, 5.1.10, 5.4.1, 5.2.1). */
bool verdict_recipient_wide(const struct deliver_reply *r);

/* What the next hop said, in printable ASCII; the names of the route's hosts, `host` and the address
 * `ip` of the next hop (NULL: none) are taken out. Enhanced code x.0.0 if it gave none. `own_ip`: the
 * address that we came from, NULL or "": not known. */
void verdict_from_parser(struct deliver_reply *out, const struct reply_parser *p,
			 const struct config_route *route, const char *host, const char *ip,
			 const char *own_ip);
/* Passed on to our client: 421 becomes 451 (it would close *our* session), any 2xx 250. */
void verdict_pass(struct deliver_reply *out, const struct deliver_reply *next_hop,
		  const char *trace_id);
/* In our own words. */
void verdict_own(struct deliver_reply *out, uint16_t code, uint16_t subject, uint16_t detail,
		 const char *text, const char *trace_id);
/* 451 4.4.0 for VERDICT_RELAY. */
void verdict_relay(struct deliver_reply *out, const char *trace_id);
/* May it stand between < and > of MAIL or RCPT? Octets that end the path or the line may not. */
bool verdict_path_is_safe(struct str mailbox);
bool verdict_path_is_ascii(struct str mailbox);
