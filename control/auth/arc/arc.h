/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Authenticated Received Chain (RFC 8617): validation of the chain that a message carries, and the
 * making of one more set. Hashes, tag lists and keys are those of DKIM. What a chain is worth, and
 * whose, is not known here: policy decides by the sealers.
 */

#include "control/auth/dkim/body.h"
#include "control/auth/dkim/dkim.h"
#include "control/dns/dns.h"
#include "control/mail/mail.h"
#include "postern/limits.h"

enum arc_result { ARC_NONE, ARC_PASS, ARC_FAIL };
const char *arc_result_name(enum arc_result r); /* as in RFC 8617 4.2 */

struct arc_set {
	size_t aar, ams, seal;         /* fields in headers; SIZE_MAX: not there */
	enum arc_result cv;            /* what the seal says of the chain below it */
	bool cv_known;
	/* ARC-Authentication-Results behind "i=N;": authserv-id and results, raw, borrowed from the
	 * headers. It is worth as much as the sealer. */
	struct str results;
	struct dkim_signature message; /* the AMS; DKIM_NONE: not judged */
	struct dkim_signature sealed;  /* the ARC-Seal: d= is the sealer; DKIM_NONE: not judged */
};

struct arc_results {
	enum arc_result result;
	char reason[224];              /* "" unless it failed */
	struct arc_set *set;           /* set[i - 1] is instance i */
	size_t n;                      /* the highest instance met, at most LIMIT_ARC_SETS */
	bool ended;                    /* the newest seal says cv=fail: nobody may seal any more */
	/* RFC 8617 5.2: 0: every AMS verifies; else the lowest instance from which on all do. Only
	 * for ARC_PASS. */
	unsigned int oldest_pass;
};

struct arc_check;
typedef void arc_callback(void *arg, const struct arc_results *results);

/* As dkim_verify(): headers and content stay valid until the callback or the cancel, the callback
 * never runs inside, results live until arc_check_free(), which cancels before the callback.
 * opt->run may be the one that dkim_verify() of this message was given. NULL: -ENOMEM. */
struct arc_check *arc_verify(struct dns *dns, struct event_base *base,
			     const struct headers *headers, const struct mail_bytes *content,
			     const struct dkim_options *opt, arc_callback *cb, void *arg);
void arc_check_free(struct arc_check *c);
/* Ends it before its callback, which will not run: a chain that is there has failed for `why` (RFC
 * 8617 5.2). The results live until arc_check_free(). */
const struct arc_results *arc_give_up(struct arc_check *c, const char *why);

/* The sealers of a chain that passed, i=1 first, as "a.example:b.example". Length, or -ENOSPC. */
long arc_sealers(const struct arc_results *r, char *buf, size_t cap);

/* ---- sealing -------------------------------------------------------------------------------- */

/* A private key of RSA (1024 to 4096 bits) or Ed25519. */
struct arc_key;
/* pem: PKCS#8 or PKCS#1, not encrypted. NULL with err (cap octets) saying why. */
struct arc_key *arc_key_new(struct str pem, char *err, size_t cap);
/* A new one; bits: of RSA, 0: Ed25519. NULL: OpenSSL could not. */
struct arc_key *arc_key_generate(unsigned int bits);
void arc_key_free(struct arc_key *k);
bool arc_key_is_ed25519(const struct arc_key *k);
unsigned int arc_key_bits(const struct arc_key *k);
/* PKCS#8, not encrypted, with a NUL: to be cleansed by the caller. Length, -ENOSPC or -EIO. */
#define ARC_KEY_PEM 4096
long arc_key_pem(const struct arc_key *k, char *buf, size_t cap);
/* The TXT record that publishes its public half (RFC 6376 3.6.1, RFC 8463 4), with a NUL. Length,
 * -ENOSPC or -EIO. */
#define ARC_KEY_RECORD 1024
long arc_key_record(const struct arc_key *k, char *buf, size_t cap);
/* Would a verifier that finds this record take what the key signs? If not, err says why. */
bool arc_key_fits(const struct arc_key *k, struct str record, char *err, size_t cap);

struct arc_seal_request {
	const struct arc_key *key;
	const char *domain, *selector;  /* d=, s= */
	const char *authserv_id;
	/* As in Authentication-Results behind "authserv-id;", folded or not; n == 0: none. */
	struct str results;
	int64_t now;                    /* t= */
	/* Names for h=, separated by colons; NULL: chosen from what the message has. */
	const char *names;
	/* The digest of the relaxed body without limit, if somebody has it; NULL: hashed here. */
	const uint8_t *body_hash;
	/* Characters of b= in a line, 0: 72. The seal covers the folds of the AMS, and the seals of
	 * the public suite were made over b= in one line. */
	unsigned int b_line;
};

/* Makes one set over the message as it will leave (without the set), whose chain was found to be
 * as `chain` says (fields of it are not looked at: they may have moved): ARC-Seal,
 * ARC-Message-Signature, ARC-Authentication-Results, each with its CRLF. The same input makes the
 * same octets. Length in buf; 0: nothing is to be added (the chain has ended, or has 50 sets);
 * -ENOSPC, -ENOMEM, -EIO, -EINVAL (a domain, selector, id or result that cannot be written, or
 * another chain than the one judged). */
long arc_seal(const struct arc_seal_request *req, const struct mail_bytes *content,
	      const struct arc_results *chain, char *buf, size_t cap);
