/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The header block that goes in front, and the proof that nothing else changed. Output = block +
 * original octets less the removed ranges (forged copies of our own headers), as an iovec list over
 * the content where it lies.
 */

#include "control/auth/arc/arc.h"
#include "control/auth/dkim/dkim.h"
#include "control/mail/mail.h"
#include "control/origin/origin.h"

struct mail_range {
	size_t off, len;       /* octets of the original content */
};

/* Why a field of the original is left out; one octet a field of headers. */
enum annotate_drop {
	DROP_NO,
	DROP_FORGED,           /* it claims to be ours */
	DROP_FOREIGN,          /* it claims the trust of another mail system */
};

struct annotate_own {
	struct str authserv_id;
	const struct str *prefix; /* "X-Postern" and whatever else our fields may begin with */
	size_t n_prefixes;
};

/* Fields to be removed before anything reads the headers: <prefix> and <prefix>-*, and
 * Authentication-Results / ARC-Authentication-Results that claim our authserv-id. Fills drop[] (of
 * h->n) and returns how many there are. */
size_t annotate_mark_forged(const struct headers *h, const struct annotate_own *own, uint8_t *drop);

#define ANNOTATE_FOREIGN_NAMES 3
extern const struct str annotate_foreign_names[ANNOTATE_FOREIGN_NAMES];
/* Fields whose names begin with one of annotate_foreign_names or of `more`: fills found[] (of
 * h->n) with the name, borrowed, n == 0 where there is none, and returns how many there are. */
size_t annotate_find_foreign(const struct headers *h, const struct str *more, size_t n_more,
			     struct str *found);

/* The octets of the dropped fields, top to bottom, adjacent ones merged. Count, or -ENOSPC. */
long annotate_ranges(const struct headers *h, const uint8_t *drop, struct mail_range *range,
		     size_t cap);

/* The signatures that a message carries, as they were judged on arrival. NULL: none. */
struct annotate_signatures {
	const struct dkim_results *dkim;
	const struct arc_results *arc;
};

/* The planner of optional fields: may one called `name` go in front without a signature failing for
 * it? Asked of every DKIM-Signature and ARC-Message-Signature that passed or may yet pass
 * elsewhere. Fields that are not optional are added in any case: else whoever oversigns their names
 * switches us off. */
bool annotate_may_add(const struct headers *h, const uint8_t *drop,
		      const struct annotate_signatures *sigs, struct str name);

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
	const char *received_spf;   /* complete Received-SPF field with CRLF; NULL: none */
	double score;
	const char *action;         /* "accept" "tag" ... */
	const char *would;          /* in a dry run: what would have been done; else NULL */
	const char *const *rule;    /* names of rules hit */
	size_t n_rules;
	bool v6_plain;              /* "[2001:db8::1]" instead of "[IPv6:2001:db8::1]" */
	bool exchange;              /* Received as Exchange writes it: "from HELO (IP) by" */
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
/* What is sent elsewhere says for whom it was: <prefix>-Quarantine, <prefix>-Envelope-From and a
 * <prefix>-Envelope-To for each recipient, on top. Octets that a line cannot have are percent-encoded. */
struct annotate_held {
	const char *prefix;
	struct str mail_from;
	const struct str *rcpt;
	size_t n_rcpts;
	const char *reason;
};
/* As annotate_on_top(). */
int annotate_envelope(struct annotate_output *out, const struct annotate_held *held);
void annotate_free(struct annotate_output *out);

/* Per-message proof: out is exactly block + content less ranges (lengths and identity of pieces,
 * no copy), and every field of the block is well-formed. 0 or -EBADMSG. */
int annotate_prove(const struct annotate_output *out, const struct mail_bytes *content,
		   const struct mail_range *range, size_t n_ranges);

/* How many signatures that passed (DKIM-Signature, ARC-Message-Signature, ARC-Seal) do not any more
 * behind us: names of ours in an h= more often than the message has them, or a removed field that
 * is signed. `broken` is set if one would fail for any other reason (must stay 0). */
struct annotate_conflicts {
	unsigned int oversigned_trace, forged_own_header, foreign_trust, broken;
};
void annotate_conflicts(const struct annotate_output *out, const struct headers *h,
			const uint8_t *drop, const struct annotate_signatures *sigs,
			struct annotate_conflicts *res);
