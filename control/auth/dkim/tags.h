/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The pieces of a DKIM verifier that are pure functions over octets: tag lists, the signature
 * field, the key record, and the check of one digest with one key.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/auth/dkim/canon.h"
#include "control/auth/dkim/dkim.h"

#define DKIM_MAX_TAGS 64          /* ours; RFC 6376 defines 13 */
#define DKIM_MAX_SIGNED_NAMES 1000 /* entries in h=; ours, against costs */
#define DKIM_MAX_SIGNATURE 512    /* octets of b=: RSA with 4096 bits */
#define DKIM_MAX_KEY 2048         /* octets of p= decoded */
#define DKIM_MAX_KEY_RECORD 8192  /* octets of a TXT record */
#define DKIM_MAX_KEY_RECORDS 8    /* key records tried for one signature; ours */
#define DKIM_CLOCK_SKEW_S 300     /* clocks differ by as much; ours */

struct dkim_tag {
	struct str name;
	struct str value; /* without surrounding FWS, else as written */
	struct str raw;   /* all octets between "=" and ";" */
};

struct dkim_tags {
	struct dkim_tag tag[DKIM_MAX_TAGS];
	size_t n;
};

/* RFC 6376 3.2, strictly; a duplicate name voids the list. 0 or -EBADMSG with *why. */
int dkim_tags_parse(struct str list, struct dkim_tags *out, const char **why);
const struct dkim_tag *dkim_tags_find(const struct dkim_tags *tags, const char *name);

/* base64string of RFC 6376 2.10: FWS between the characters, padding required. Octets written,
 * -EBADMSG or -ENOSPC. */
long dkim_base64(struct str s, uint8_t *out, size_t cap);

/* Takes the next element of a list separated by `sep` off *list, without FWS around it. */
bool dkim_list_next(struct str *list, uint8_t sep, struct str *item);

enum dkim_key_type { DKIM_KEY_RSA, DKIM_KEY_ED25519 };

/* What the verifier needs of a signature field beside what struct dkim_signature tells. */
struct dkim_params {
	enum dkim_key_type key_type;
	enum dkim_canon header_canon, body_canon;
	uint64_t limit;                /* l=, or UINT64_MAX */
	uint8_t body_hash[CANON_DIGEST];
	uint8_t signature[DKIM_MAX_SIGNATURE];
	size_t signature_len;
	struct str b_raw;              /* points into the field */
	char key_name[LIMIT_DNS_NAME + 1];
	bool identity_differs;         /* the domain of i= is a true subdomain of d= */
};

/* RFC 8617 4.1.2, 4.1.3: the fields of ARC are DKIM signatures with a few tags of their own. */
enum dkim_field { DKIM_FIELD_SIGNATURE, DKIM_FIELD_ARC_MESSAGE, DKIM_FIELD_ARC_SEAL };

/* Parses the raw value of such a field. 0; -EBADMSG: sig->result and sig->reason say why it
 * cannot be verified; -ENOMEM. sig->signed_names is owned by the caller (one block). */
int dkim_signature_parse(struct str value, enum dkim_field field, const struct dkim_options *opt,
			 struct dkim_params *p, struct dkim_signature *sig);

struct dkim_key {
	enum dkim_key_type type;
	bool testing;          /* t=y */
	bool strict_identity;  /* t=s */
	bool sha256;           /* h= admits sha256 */
	bool email;            /* s= admits email */
	bool revoked;          /* p= is empty */
	uint8_t data[DKIM_MAX_KEY];
	size_t len;
	/* Made of data when first verified with; dkim_key_close() frees them. */
	EVP_PKEY *pkey;
	EVP_PKEY_CTX *rsa;     /* ready to verify again and again */
	bool unusable;         /* data is no key of the type */
	uint32_t bits;
};

/* RFC 6376 3.6.1. 0 or -EBADMSG with *why. */
int dkim_key_parse(struct str record, struct dkim_key *key, const char **why);
void dkim_key_close(struct dkim_key *key);

/* Judges b= over the header digest with the key: PASS, FAIL, POLICY, PERMERROR. Sets *bits;
 * reason (cap octets) unless PASS. */
enum dkim_result dkim_key_verify(struct dkim_key *key, const struct dkim_params *p,
				 const uint8_t digest[CANON_DIGEST], uint32_t *bits, char *reason,
				 size_t cap);

/* The key of a record, out of the cache or parsed into it; NULL and *why if it is malformed. Stays
 * until the next call. `cache` may be NULL: then `own` holds it, and the caller closes that. */
struct dkim_key *dkim_keys_get(struct dkim_keys *cache, struct str record, struct dkim_key *own,
			       const char **why);

/* What the records of a key say of a signature: the verdict of the one that got furthest. */
struct dkim_key_verdict {
	enum dkim_result result; /* DKIM_NONE before the first record */
	uint32_t bits;
	bool testing;
	char reason[160];
};

/* Judges with one more record; record.p == NULL: one that could not be read. */
void dkim_key_try(struct dkim_keys *cache, struct str record, const struct dkim_params *p,
		  const uint8_t digest[CANON_DIGEST], struct dkim_key_verdict *v);

/* The body against a signature whose b= passed or failed: sets result and reason. `hash` is the
 * index in the pass, which has ended. */
void dkim_body_judge(const struct canon_pass *pass, int hash, const struct dkim_params *p,
		     bool l_policy_fail, struct dkim_signature *sig);
