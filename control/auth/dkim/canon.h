/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * RFC 6376 3.4 canonicalization as a stream into SHA-256, for DKIM and ARC. The body is read where
 * it lies, once for all hashes; nothing but a small stage is copied.
 */

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/mail/mail.h"
#include "postern/limits.h"

#define CANON_DIGEST 32
#define CANON_STAGE 2048
/* Distinct (canonicalization, limit) of one message: every DKIM signature, as many of ARC, the
 * one of the chain field, and the one that a seal of ours is made over. */
#define CANON_HASHES (2 * LIMIT_DKIM_SIGNATURES + 2)

enum dkim_canon { CANON_SIMPLE, CANON_RELAXED };

struct canon_hash {            /* one distinct (canonicalization, limit) */
	enum dkim_canon canon;
	uint64_t limit;        /* octets of canonical body taken */
	uint64_t taken;
	EVP_MD_CTX *md;
	uint8_t digest[CANON_DIGEST];
};

struct canon_body {
	enum dkim_canon canon;
	bool used;
	bool cr, wsp;          /* held back: what they mean hangs on the next octet */
	bool any;              /* something was written */
	uint64_t crlf;         /* CRLFs held back: they may be the empty lines at the end */
	uint64_t total;        /* canonical octets so far */
	size_t n_stage;
	uint8_t stage[CANON_STAGE];
};

struct canon_pass {
	struct canon_body body[2]; /* by enum dkim_canon */
	struct canon_hash hash[CANON_HASHES];
	size_t n;
	bool failed;           /* OpenSSL refused a step */
};

void canon_pass_init(struct canon_pass *p);
/* Index of the hash (an equal one is shared), -ENOSPC, -ENOMEM. */
int canon_pass_add(struct canon_pass *p, enum dkim_canon canon, uint64_t limit);
void canon_pass_update(struct canon_pass *p, const uint8_t *data, size_t n);
/* Digests are there afterwards, and body[canon].total is the whole canonical length. */
void canon_pass_end(struct canon_pass *p);
void canon_pass_free(struct canon_pass *p);

/* Digest of the fields field[] in this order, and of field `own` as below. */
int canon_fields(const struct headers *h, const size_t *field, size_t n_fields, size_t own,
		 struct str cut, enum dkim_canon canon, uint8_t digest[CANON_DIGEST]);
/* Digest of the fields named in names[] (chosen from the bottom up, RFC 6376 5.4.2) and of field
 * `own` with the octets `cut` of its value left out and no final CRLF. cut.n == 0: nothing left
 * out. 0, -ENOMEM, -EIO. */
int canon_headers(const struct headers *h, const struct str *names, size_t n_names, size_t own,
		  struct str cut, enum dkim_canon canon, uint8_t digest[CANON_DIGEST]);
