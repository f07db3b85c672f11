/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Received-SPF (RFC 7208 9.1): result, a comment for people, and pairs of key and value, each pair
 * on a line of its own. Every value that is no dot-atom is a quoted-string: an IPv6 address, a
 * mailbox, a mechanism with its colon. What came from strangers can neither end a string nor a
 * line.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/judge/judge_internal.h"
#include "postern/utf8.h"

#define MAX_LINE 998

struct field {
	char *buf;
	size_t cap, len;
	bool failed;
	bool utf8; /* SMTPUTF8 message (RFC 6532) */
};

static void put(struct field *f, struct str s)
{
	if (s.n >= f->cap - f->len) {
		f->failed = true;
		return;
	}
	if (s.n)
		memcpy(f->buf + f->len, s.p, s.n);
	f->len += s.n;
}

static void put_c(struct field *f, const char *s)
{
	put(f, str_c(s));
}

/* RFC 5322 3.2.1, 3.2.2, 3.2.4: what is special in there gets a backslash, what may not be there is
 * '?'. */
static void put_escaped(struct field *f, struct str s, const char *special)
{
	for (size_t i = 0, n; i < s.n; i += n) {
		n = f->utf8 && (s.p[i] & 0x80) ? utf8_non_ascii(s, i) : 0;
		if (n) {
			put(f, str_make(s.p + i, n));
			continue;
		}
		n = 1;
		if (s.p[i] < 0x20 || s.p[i] >= 0x7f) {
			put_c(f, "?");
			continue;
		}
		if (strchr(special, s.p[i]))
			put_c(f, "\\");
		put(f, str_make(s.p + i, 1));
	}
}

/* RFC 5322 3.2.3: atoms with single dots between them. */
static bool is_dot_atom(struct str s)
{
	bool dot = true; /* a dot may not stand here */

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '.' ? dot : !ascii_is_atext(s.p[i]))
			return false;
		dot = s.p[i] == '.';
	}
	return s.n && !dot;
}

static void pair(struct field *f, const char *key, struct str value)
{
	size_t start = f->len;

	if (value.n == 0)
		return;
	put_c(f, "\r\n\t");
	put_c(f, key);
	put_c(f, "=");
	if (is_dot_atom(value)) {
		put(f, value);
	} else {
		put_c(f, "\"");
		put_escaped(f, value, "\"\\");
		put_c(f, "\"");
	}
	put_c(f, ";");
	/* RFC 5322 2.1.1: a value that no line can hold is left out; Authentication-Results has it.
	 */
	if (f->len - start > 2 + MAX_LINE)
		f->len = start;
}

static const char *says(enum spf_result r)
{
	switch (r) {
	case SPF_PASS:
		return " permits ";
	case SPF_FAIL:
		return " does not permit ";
	case SPF_SOFTFAIL:
		return " rather does not permit ";
	case SPF_NEUTRAL:
		return " says nothing about ";
	case SPF_NONE:
		return " has no policy about ";
	default:
		return " cannot be asked about ";
	}
}

int judge_received_spf(const struct judgement *r, const struct mail_envelope *env,
		       const char *gateway, char *buf, size_t cap)
{
	const struct spf_verdict *v = &r->spf;
	bool mail_from = v->identity == SPF_ID_MAILFROM;
	struct field f = {.buf = buf, .cap = cap - 1, .utf8 = env->smtputf8};
	char ip[46];

	ip_format(&r->origin.ip, ip, sizeof(ip));
	put_c(&f, "Received-SPF: ");
	put_c(&f, spf_result_name(v->result));
	put_c(&f, " (");
	put_escaped(&f, str_c(gateway), "()\\");
	put_c(&f, ": ");
	put_escaped(&f, v->domain[0] ? str_c(v->domain) : STR("the sender"), "()\\");
	put_c(&f, says(v->result));
	put_c(&f, ip);
	put_c(&f, ")");
	pair(&f, "client-ip", str_c(ip));
	/* RFC 7208 2.4: a null reverse-path stands for postmaster@HELO, and has no value of its
	 * own. */
	pair(&f, "envelope-from", env->mail_from);
	pair(&f, "helo", str_c(r->origin.helo));
	pair(&f, "receiver", str_c(gateway));
	pair(&f, "identity", mail_from ? STR("mailfrom") : STR("helo"));
	pair(&f, "mechanism", str_c(v->mechanism));
	pair(&f, "problem", str_c(v->reason));
	put_c(&f, "\r\n");
	if (f.failed)
		return -ENOSPC;
	buf[f.len] = '\0';
	return 0;
}
