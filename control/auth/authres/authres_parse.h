/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Authentication-Results: reader (RFC 8601 2.2, with the UTF-8 of RFC 6532 and 8616 in values). It
 * says what is written, not whether it is true: whoever calls it knows who wrote the field.
 */

#include <stddef.h>
#include <stdint.h>

#include "postern/limits.h"
#include "postern/str.h"

/* What writers of the field do that RFC 8601 does not allow. Each is read only where it cannot be
 * taken for something else, and is noted in struct authres. */
#define AUTHRES_NO_ID (1u << 0)        /* the first result stands where the authserv-id belongs */
#define AUTHRES_BARE_PAIR (1u << 1)    /* a property without ptype: "action=none" */
#define AUTHRES_LOOSE_VALUE (1u << 2)  /* header.b=a/b1, smtp.mailfrom=<>, policy.ip=2001:db8::1 */
#define AUTHRES_EMPTY_RESULT (1u << 3) /* nothing between two semicolons or behind the last */
#define AUTHRES_LATE_REASON (1u << 4)  /* a reason behind a property */

enum authres_grammar {
	AUTHRES_STRICT,   /* RFC 8601: anything else is an error */
	AUTHRES_AS_FOUND, /* with the five liberties above; Microsoft and Google need them */
};

struct authres_propspec {
	struct str ptype;    /* "smtp"; n == 0: a bare pair */
	struct str property; /* "mailfrom" */
	struct str value;    /* unquoted and unfolded: any UTF-8 without controls but HTAB, or empty.
	                      * A mailbox whose local-part is quoted keeps those quotes */
};

struct authres_resinfo {
	struct str method;      /* a keyword, as written: compare with str_ieq() */
	unsigned int version;   /* of the method; 1 if none is written (RFC 8601 2.6) */
	struct str result;      /* a keyword, as written */
	struct str reason;      /* unquoted; p == NULL: none */
	struct str comment;     /* raw text of the first comment behind the result, without its outer
	                         * parentheses, folds and quoted pairs kept; p == NULL: none. For
	                         * people: comments have no meaning (RFC 8601 2.2) */
	unsigned int first_prop, n_props; /* in struct authres.props */
};

/* 18 kB: not for a deep stack. */
struct authres {
	struct str authserv_id;  /* unquoted; n == 0 with AUTHRES_NO_ID only */
	unsigned int version;    /* of the field; 1 if none is written. Others mean an unknown grammar */
	unsigned int liberties;  /* AUTHRES_*: those that were taken; 0 with AUTHRES_STRICT */
	unsigned int n_results;  /* 0: "none" (or with AUTHRES_EMPTY_RESULT: nothing) */
	unsigned int n_props;
	struct authres_resinfo results[LIMIT_AUTHRES_RESULTS];
	struct authres_propspec props[LIMIT_AUTHRES_PROPS];
	struct {
		const char *what; /* static text: "a comment does not end"; NULL: no error */
		size_t at;        /* octet of the value where it was met */
	} error;
};

/* value: all behind the colon, or behind the "i=N;" of an ARC-Authentication-Results field (see
 * authres_instance()); raw, folds and comments included. What out points to lies in value or in
 * scratch; a scratch of value.n octets always suffices. 0; -EBADMSG: not the grammar; -E2BIG: more
 * than a limit of limits.h (LIMIT_AUTHRES_*); -ENOSPC: scratch. On an error out holds only the
 * error. */
int authres_parse(struct str value, enum authres_grammar grammar, uint8_t *scratch, size_t cap,
		  struct authres *out);

/* The property "ptype.property" of a result, names without regard to case (both ASCII literals);
 * n == 0, p == NULL: there is none, or several with different values: nobody can say which is
 * meant. ptype "" asks for a bare pair. */
struct str authres_prop(const struct authres *a, const struct authres_resinfo *r, const char *ptype,
			const char *property);

/* The value of an ARC-Authentication-Results field behind its "i=N;" (RFC 8617 4.1.1), N in
 * *instance (0 if above 999); the value itself and 0 if there is none. */
struct str authres_instance(struct str value, unsigned int *instance);
