/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Who sent this? Hop 0 is the TCP peer. While a hop's address belongs to a configured relay, the
 * next Received from the top says who handed it the mail; it must parse strictly and fit the relay. The
 * peer itself may have to prove by its certificate that it is the relay.
 * The walk stops at the first hop that is not listed: below it everything is the attacker's writing.
 */

#include <stdbool.h>
#include <stddef.h>

#include "control/mail/mail.h"

struct origin_relay {
	const char *name;
	const struct ip_net *net;
	size_t n_nets;
	const char *const *by;   /* allowed suffixes of `by`, lower case ("mx.example.net"); n_by 0: any */
	size_t n_by;
	unsigned int hops;       /* Received lines this relay adds per pass; default 1 */
	/*
	 * With one of these a peer at its address is this relay only if it shows one of the
	 * certificates: a name (with a leading dot: any below it; A-labels, lower case) that verified
	 * by client-ca, or a fingerprint, which needs no CA.
	 */
	const char *const *tls_name;
	size_t n_tls_names;
	const uint8_t (*tls_sha256)[32]; /* of the certificate, DER */
	size_t n_tls_sha256;
	bool unproven_direct;    /* at its address without the certificate: a sender like any other,
	                            instead of unresolved */
};

struct origin_relays {
	const struct origin_relay *relay;
	size_t n;
};

enum origin_status {
	ORIGIN_DIRECT,        /* the peer is no relay: it is the sender */
	ORIGIN_VIA,           /* found behind one or more relays */
	ORIGIN_UNRESOLVED,    /* a relay's line did not parse or fit */
	ORIGIN_PRIVATE_PEER,  /* private address that is not listed: a NAT hides the senders */
};
const char *origin_status_name(enum origin_status s); /* "direct" "via" "unresolved" "private-peer" */

/* A Received field, strictly parsed (our own, Exchange's, Gmail's, Postfix's forms). */
struct received {
	struct str helo;      /* word behind "from" */
	struct str rdns;      /* n == 0: none or "unknown" */
	struct ip_addr ip;
	bool has_ip;
	struct str by;
	struct str with;
	struct str id;
	struct str for_addr;
	struct str date;
};
/* UTF-8 is taken in the mailbox of "for", as relays write it into SMTPUTF8 messages, and nowhere else.
 * `scratch` (cap octets) holds the unfolded value that the fields point into.
 * 0, -EBADMSG (does not parse strictly; *why is a short text), -ENOSPC. */
int received_parse_strict(struct str value, uint8_t *scratch, size_t cap, struct received *out,
			  const char **why);

struct origin_hop {
	struct ip_addr ip;
	char helo[256];
	char by[256];
	const char *relay;    /* name of the relay entry it belongs to, or NULL */
	long field;           /* index of the Received field it was read from; -1: the TCP peer */
	char note[160];       /* why the walk went on or stopped here */
};

#define ORIGIN_MAX_HOPS 100

struct origin {
	enum origin_status status;
	struct ip_addr ip;
	char helo[256];       /* as the origin said it; "" if unusable */
	char via[64];         /* name of the outermost relay, "" if direct */
	char reason[160];     /* for UNRESOLVED and PRIVATE_PEER */
	bool unproven;        /* the peer has a relay's address and not its certificate: the note of
	                         hop 0 says why */
	struct origin_hop *hop; /* owned; hop 0 is the peer */
	size_t n_hops;
};

/* Does the peer show a certificate of this relay? NULL: yes, or none is asked for; else why not. */
const char *origin_tls_problem(const struct origin_relay *relay, const struct mail_envelope *env);
/* 0 or -ENOMEM. `allow_private`: a private peer that is not listed is taken as it is (labs). */
int origin_walk(const struct origin_relays *relays, const struct mail_envelope *env,
		const struct headers *h, bool allow_private, struct origin *out);
void origin_free(struct origin *o);
