/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What a record says of the connection; texts from outside as JSON. */

#include <jansson.h>

#include "control/mail/mail.h"

/* New reference, or NULL without memory. JSON is UTF-8: what is not, or holds a NUL, which readers of
 * JSON refuse, is written with '?' for each octet outside printable ASCII, and cut. */
json_t *trace_text(struct str s);
/* "TLSv1.3" of a version as it is in octets of the protocol. */
json_t *trace_tls_version(uint16_t v);
/* A Subject as it stands in a header: unfolded, its encoded-words decoded (RFC 2047), at most TRACE_SUBJECT
 * octets. */
#define TRACE_SUBJECT 512
json_t *trace_subject(struct str raw);

/*
 * Adds to the record:
 *   smtputf8  true, if the client said SMTPUTF8
 *   tls       {version, cipher, resumed, sni, client, client_verified, client_sha256} if it spoke TLS
 *             with us; client and client_sha256 are null without a certificate
 *   proxy     {authority, alpn, unique_id, ssl {version, cn, cipher, verified}, malformed} if a PROXY
 *             header came with TLVs; only what was in it
 */
void trace_facts(json_t *record, const struct mail_envelope *e);

/*
 * observed.c: of what was watched (RECORD_F_OBSERVED) adds
 *   mode          "tap", or "inline" for a cable whose packets pass
 *   server, server_port
 *   seen          when it ended, as the packets of a capture say
 *   server_reply  last line of its final reply; null: not seen
 *   complete      all of the message is there
 *   incomplete    if not: "gap,OCTETS" or "aborted"
 *   one_way       true, if the server's octets are not in the feed
 *   envelope_cut  true, if there were recipients that are not told
 *   unjudged      why not, if so: "control", "arena", "size", "rules", "stopping",
 *                 "malformed", "timeout"
 *   anomalies     what was odd since the message before, as --tap-dump names it
 */
void trace_observed(json_t *record, const struct mail_envelope *e);
