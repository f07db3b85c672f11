/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Messages that a next hop took, and whose client may not know (RFC 1047; design: delivery contract).
 * We own TCP, so we know whether our 250 was acknowledged: an entry lives from right before the onward
 * dot until that acknowledgement, and stays only if it never comes. The retry of such a message is
 * answered from here. Nothing else is ever answered from memory: the same message sent twice, both
 * 250s acknowledged, is delivered twice.
 *
 * One entry a recipient, by MAIL FROM, recipient, Message-ID, Date, the digests of the body and of From,
 * To, Subject and DKIM-Signature; never by trace fields, which differ in a retry. Without a Message-ID
 * there is no entry. The table is a shared mapping of a file, so that it outlives a killed process:
 * what such a process left as "taken" is in doubt, what it left as "pending" is not known to have been
 * taken and is delivered again: in doubt a duplicate rather than a loss.
 *
 *   free --begin--> pending --taken--> taken --kept--> doubt --(LIMIT_INDOUBT_S)--> free
 *                      '------ dropped --'--> free
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/mail/mail.h"

struct indoubt;
struct indoubt_ticket; /* the entries of one message */

/* Maps the file, makes it if it is not there (mode 0640); one of another layout is made anew. -EBUSY:
 * another process has it. NULL: err (>= 256 octets) says why. */
struct indoubt *indoubt_open(const char *path, char *err, size_t err_len);
/* Open tickets have to be given back before. */
void indoubt_close(struct indoubt *t);

/* What the message is, whoever brings it. */
struct indoubt_id {
	uint8_t digest[32];
};
/* False: it has no Message-ID, or more than one. Reads the whole body. */
bool indoubt_identify(const struct headers *h, const struct mail_bytes *content,
		      struct str mail_from, struct indoubt_id *id);

/* Are the copies of all these recipients in doubt? Then nothing is to be delivered: the ticket stands
 * for the reply from memory, as if the next hop had given it now. trace_id: of that delivery. NULL: no
 * (if one of them is not, all are delivered: a duplicate rather than a loss), or -ENOMEM. */
struct indoubt_ticket *indoubt_claim(struct indoubt *t, const struct indoubt_id *id,
				     const struct str *rcpt, size_t n, uint64_t now_s,
				     char trace_id[17]);

/* Right before the onward dot. NULL: -ENOMEM. A full table loses its oldest entry, which is counted. */
struct indoubt_ticket *indoubt_begin(struct indoubt *t, const struct indoubt_id *id,
				     const struct str *rcpt, size_t n, const char *trace_id,
				     uint64_t now_s);
/* The next hop's 2xx is there; our reply is on its way. */
void indoubt_taken(struct indoubt_ticket *k);
/* The client's TCP will not acknowledge our 2xx, or it came too late for one: in doubt. Frees. */
void indoubt_keep(struct indoubt_ticket *k);
/* The client knows, or the next hop did not take it. Frees. NULL is allowed. */
void indoubt_drop(struct indoubt_ticket *k);

struct indoubt_stats {
	uint32_t slots, used, doubt;
	uint64_t kept, answered, pushed_out; /* since the start */
};
void indoubt_stats(const struct indoubt *t, uint64_t now_s, struct indoubt_stats *out);
