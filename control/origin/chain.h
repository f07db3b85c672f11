/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What one instance tells the next about the original sender, with a code that only they can make:
 *
 *   X-Postern-Chain: v=1; k=KEY; t=SECONDS; ip=ADDRESS; via=direct|relay:NAME; helo=ENCODED; h=HEX
 *
 * h is HMAC-SHA-256 (RFC 2104) over all of it, MAIL FROM, every header field below our block and
 * the body in the simple canonicalization of RFC 6376. What lies below our block is what the first
 * instance got, less forged fields it removed, and it does not change on the way to the second: our
 * block ends with our Received, the topmost one of the message that the second one sees.
 *
 * Recipients are not bound: a next hop may refuse some of them. A code may be used again while it
 * is young, for the same message with the same MAIL FROM, from the first instance's address: then
 * it says the same true thing.
 */

#include "control/mail/mail.h"
#include "postern/limits.h"

#define CHAIN_DIGEST 32
#define CHAIN_FIELD 1536 /* octets of the longest field that is written, with name and CRLF */

struct chain_key {
	const char *name;
	const uint8_t *secret; /* LIMIT_CHAIN_KEY_MIN..MAX octets */
	size_t n;
	unsigned int max_age_s;
};

enum chain_status {
	CHAIN_NONE,     /* the peer is no chained instance */
	CHAIN_VERIFIED,
	CHAIN_MISSING,
	CHAIN_MALFORMED,
	CHAIN_UNKNOWN_KEY, /* not one of the relay's keys */
	CHAIN_WRONG,    /* the code belongs to another message, MAIL FROM or key */
	CHAIN_EXPIRED,  /* or from the future, by more than LIMIT_CHAIN_SKEW_S */
	CHAIN_ERROR,    /* no memory, or OpenSSL refused: nothing is known */
};
/* "none" "verified" "missing" "malformed" "unknown-key" "wrong" "expired" "error" */
const char *chain_status_name(enum chain_status s);

struct chain_facts {
	uint64_t time;  /* seconds since 1970, of the first instance's clock */
	struct ip_addr ip;
	char helo[256]; /* printable ASCII, or "" */
	char via[72];   /* "direct" or "relay:NAME" */
};

/* What the code is bound to, besides the facts. */
struct chain_message {
	struct str mail_from;
	uint8_t header[CHAIN_DIGEST];
	uint8_t body[CHAIN_DIGEST]; /* whole body, simple */
};

struct chain_claim {
	enum chain_status status;
	const struct chain_key *key; /* if known */
	long field;                  /* its index; -1: none */
	struct chain_facts facts;    /* to be believed if VERIFIED */
	uint64_t age;
};

/* Digest of the fields from `from` on, without those in drop[] (NULL: all count). 0 or -EIO. */
int chain_header_digest(const struct headers *h, size_t from, const uint8_t *drop,
			uint8_t out[CHAIN_DIGEST]);
/* The field, with its CRLF and a NUL. 0, -EIO, -EINVAL: facts that cannot be written. */
int chain_write(const struct chain_key *key, struct str prefix, const struct chain_facts *facts,
		const struct chain_message *m, char out[CHAIN_FIELD]);
/* The peer's field, above the topmost Received; any of keys[] is taken. `now`: seconds. */
void chain_read(const struct chain_key *const *keys, size_t n_keys, struct str prefix,
		const struct headers *h, struct str mail_from, const uint8_t body[CHAIN_DIGEST],
		uint64_t now, struct chain_claim *out);
