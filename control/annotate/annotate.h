/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The header block that goes in front, and the proof that nothing else changed. Output = block +
 * original octets less the removed ranges (forged copies of our own headers), as an iovec list over
 * the content where it lies.
 */

#include "control/auth/dkim/dkim.h"
#include "control/mail/mail.h"
#include "control/origin/origin.h"

struct mail_range {
	size_t off, len;       /* octets of the original content */
};

/* Fields to be removed before anything reads the headers: X-Postern-* (prefix configurable) and
 * Authentication-Results / ARC-Authentication-Results that claim our authserv-id. Fills ranges[],
 * top to bottom, adjacent ones merged, and drop[] (one bool per field). Count, or -ENOSPC. */
long annotate_find_forged(const struct headers *h, struct str authserv_id, struct str prefix,
			  struct mail_range *range, size_t cap, bool *drop);

/* The ranges of what drop[] marks. Count, or -ENOSPC. */
long annotate_ranges(const struct headers *h, const bool *drop, struct mail_range *range,
		     size_t cap);

struct annotate_input {
	const char *gateway;        /* our host name, in "by" and as authserv-id unless set */
	const char *authserv_id;
	const char *prefix;         /* "X-Postern" */
	const struct mail_envelope *env;
	const struct origin *origin;
	const char *ptr;            /* forward-confirmed name of the TCP peer or "" */
	const char *origin_ptr;     /* of the origin (same as ptr when direct) or "" */
	const char *authres;        /* complete Authentication-Results field with CRLF */
	const char *chain;          /* complete chain field with CRLF (chain.h), "" or NULL: none */
	double score;
	const char *action;         /* "accept" "tag" ... */
	const char *const *rule;    /* names of rules hit */
	size_t n_rules;
	bool v6_plain;              /* "[2001:db8::1]" instead of "[IPv6:2001:db8::1]" */
};

struct annotate_output {
	char *block;                /* owned; CRLF lines, top to bottom */
	size_t block_len;
	struct iovec *iov;          /* owned; block, then the original pieces */
	size_t n_iov;
	size_t size;                /* octets in all */
	bool utf8;                  /* of an SMTPUTF8 message: fields may be UTF-8 (RFC 6532) */
	unsigned int headers_removed; /* whole fields; filled by who decided on them */
};

/* 0, -ENOMEM, -EINVAL (a value could not be written safely; never truncated silently). */
int annotate_make(const struct annotate_input *in, const struct mail_bytes *content,
		  const struct mail_range *range, size_t n_ranges, struct annotate_output *out);
/* The same around a block that was made before; a copy of it is made. */
int annotate_assemble(struct str block, bool utf8, const struct mail_bytes *content,
		      const struct mail_range *range, size_t n_ranges, struct annotate_output *out);
/* Puts more fields on top of the block. 0; -ENOMEM, -EINVAL (they are not well-formed): out is as
 * it was. */
int annotate_on_top(struct annotate_output *out, const char *fields, size_t len);
void annotate_free(struct annotate_output *out);

/* Per-message proof: out is exactly block + content less ranges (lengths and identity of pieces,
 * no copy), and every field of the block is well-formed. 0 or -EBADMSG. */
int annotate_prove(const struct annotate_output *out, const struct mail_bytes *content,
		   const struct mail_range *range, size_t n_ranges);

/* How many signatures our mandatory headers void: names of ours in an h= more often than the
 * message has them, or a removed field that h= covers. `broken` is set if a signature would fail
 * for any other reason (must stay 0). */
struct annotate_conflicts { unsigned int oversigned_trace, forged_own_header, broken; };
void annotate_conflicts(const struct annotate_output *out, const struct headers *h, const bool *drop,
			const struct dkim_results *sigs, struct annotate_conflicts *res);
