/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Who sent this? Hop 0 is the TCP peer. While a hop's address belongs to a configured relay, the
 * next Received from the top says who handed it the mail; it must parse strictly and fit the relay. The
 * peer itself may have to prove by its certificate that it is the relay, and by a header whose
 * tenant of a shared cloud; a chained instance proves by a code what it found (chain.h).
 * The walk stops at the first hop that is not listed: below it everything is the attacker's writing.
 * What vendors' headers and rewritten envelope senders say is told beside it and decides nothing.
 */

#include <stdbool.h>
#include <stddef.h>

#include "control/mail/mail.h"
#include "control/origin/chain.h"
#include "control/origin/cloud.h"
#include "control/origin/srs.h"
#include "postern/limits.h"

struct origin_relay {
	const char *name;
	const struct ip_range *range;
	size_t n_ranges;
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
	bool unproven_direct;    /* at its address without the proofs: a sender like any other,
	                            instead of unresolved */
	/*
	 * Whose mail it is, of many who send from these addresses: the field `header` is there exactly
	 * once and its value is one of these, octet by octet. Asked for at every hop.
	 */
	enum origin_cloud cloud;
	const char *tenant_header; /* NULL: nothing is asked for */
	const char *const *tenant_value;
	size_t n_tenant_values;
	/* Fields that this relay writes about who connected to it. */
	const char *const *corroborate;
	size_t n_corroborate;
	const char *const *srs_domain; /* domains it rewrites MAIL FROM to; n == 0: those of `by` */
	size_t n_srs_domains;
	/* Keys of a chained instance; n == 0: it is none. */
	const struct chain_key *const *chain;
	size_t n_chains;
	bool chain_fallback;     /* without a valid code its Received lines are believed after all */
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

/* Is the message that we gave this trace id still on its way from us to all the recipients of the one
 * that is looked at? */
typedef bool origin_in_hand(void *arg, struct str trace_id);
/* Has it been here twice, or once and is still on its way from here, or over LIMIT_RECEIVED_HOPS hops?
 * `own`: our name as it stands behind "by"; shared: others write it too, so that only what is on its
 * way counts; in_hand NULL: nothing is. */
bool origin_is_loop(const struct headers *h, struct str own, bool shared, origin_in_hand *in_hand, void *arg);
/* Has it been where `own` stands behind "by", ever? */
bool origin_was_at(const struct headers *h, struct str own);

/* What is said of a hop; words that are empty were not there or cannot be shown. */
struct origin_hop {
	struct ip_addr ip;
	char helo[256];
	char helo_raw[384];   /* percent-encoded, if `helo` cannot be shown as it is */
	char rdns[256];       /* as the line says; not checked */
	char by[256];
	char with[32], id[128], date[48];
	const char *relay;    /* name of the relay entry it belongs to, or NULL */
	long field;           /* index of the field it was read from; -1: the TCP peer */
	char note[320];       /* why the walk went on or stopped here */
};

#define ORIGIN_MAX_HOPS 100

/* What a listed relay's own header says of who connected. The topmost copy is read: relays put
 * theirs on top or in place of what was there. */
struct origin_corroboration {
	char header[LIMIT_FIELD_NAME + 1];
	const char *relay;
	long field;
	unsigned int copies;
	bool has_ip;          /* false: the value is no address */
	struct ip_addr ip;
	bool agrees;          /* it is an address of the walk, from behind this relay to the sender */
};
#define ORIGIN_MAX_CORROBORATION 32

struct origin {
	enum origin_status status;
	struct ip_addr ip;
	char helo[256];       /* as the origin said it; "" if unusable */
	char via[64];         /* name of the outermost relay, "" if direct */
	char reason[160];     /* for UNRESOLVED and PRIVATE_PEER */
	bool unproven;        /* a hop has a relay's address and not its proofs: its note says why */
	enum chain_status chain; /* of the peer, if it is a chained instance */
	char chain_key[64];   /* name, if one was named and known */
	struct origin_corroboration corroboration[ORIGIN_MAX_CORROBORATION]; /* of VIA only */
	size_t n_corroboration;
	bool contradicted;    /* one of them does not agree */
	struct srs srs;       /* MAIL FROM as it was before a relay of the walk rewrote it */
	struct origin_hop *hop; /* owned; hop 0 is the peer */
	size_t n_hops;
};

/* Does the peer show a certificate of this relay? NULL: yes, or none is asked for; else why not. */
const char *origin_tls_problem(const struct origin_relay *relay, const struct mail_envelope *env);
/* Does the message carry the tenant's header? NULL: yes, or none is asked for; else why not. */
const char *origin_tenant_problem(const struct origin_relay *relay, const struct headers *h);
/* The relay that has this address, or NULL. */
const struct origin_relay *origin_relay_of(const struct origin_relays *relays,
					   const struct ip_addr *ip);
/* Fills corroboration and srs of an origin that is VIA. */
void origin_corroborate(const struct origin_relays *relays, const struct headers *h,
			struct origin *o);
void origin_unwrap(const struct origin_relays *relays, struct str mail_from, struct origin *o);

struct origin_request {
	const struct origin_relays *relays;
	const struct mail_envelope *env;
	const struct headers *headers;
	bool allow_private;               /* a private peer that is not listed is taken (labs) */
	const struct chain_claim *claim;  /* what the peer's chain field says; NULL: not looked at */
};
/* 0 or -ENOMEM. */
int origin_find(const struct origin_request *req, struct origin *out);
/* The same without a chain. */
int origin_walk(const struct origin_relays *relays, const struct mail_envelope *env,
		const struct headers *h, bool allow_private, struct origin *out);
void origin_free(struct origin *o);
