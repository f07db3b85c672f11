/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Envelope senders that a forwarder or the sender's own host rewrote, read back: SRS0 and SRS1 (the
 * Sender Rewriting Scheme) and BATV (draft-levine-smtp-batv: "prvs="; "btv1==" as one vendor writes
 * it). The hash in them is its writer's and cannot be checked here: what comes out is information
 * and never an identity.
 */

#include "control/mail/mail.h"

enum srs_kind { SRS_NONE, SRS_SRS0, SRS_SRS1, SRS_BATV };
const char *srs_kind_name(enum srs_kind k); /* "none" "srs0" "srs1" "batv" */

struct srs {
	enum srs_kind kind;
	char original[320]; /* mailbox; octets as in MAIL FROM; the domain passes the grammar */
};

/* False (and SRS_NONE): no such address, or nothing that could have been one before. */
bool srs_decode(struct str mailbox, struct srs *out);
