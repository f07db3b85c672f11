/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 *   SRS0=HHHH=TT=domain=local@forwarder
 *   SRS1=HHHH=first-forwarder==HHHH=TT=domain=local@second-forwarder
 *
 * Behind the tag, and behind the first forwarder of SRS1, any of "=", "-" and "+" separates; the
 * rest is by "=". The local part is what remains and may hold "=" itself.
 */

#include <string.h>

#include "control/origin/srs.h"
#include "postern/limits.h"
#include "postern/utf8.h"

#define MAX_HASH 64 /* characters of hash or time stamp; the usual ones have 4 and 2 */

const char *srs_kind_name(enum srs_kind k)
{
	static const char *const name[] = {"none", "srs0", "srs1", "batv"};

	return name[k];
}

/* Base64 and its URL form. */
static bool is_hash(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alnum(s.p[i]) && !strchr("+/-_", s.p[i]))
			return false;
	return s.n > 0 && s.n <= MAX_HASH;
}

/* Text up to the next "=", which goes too. */
static bool take(struct str *s, struct str *out)
{
	size_t n = str_find(*s, '=');

	*out = str_cut(*s, n);
	if (n == s->n)
		return false;
	*s = str_skip(*s, n + 1);
	return true;
}

static bool tag(struct str *s, struct str name)
{
	if (!str_istarts(*s, name) || s->n == name.n || !strchr("=-+", s->p[name.n]))
		return false;
	*s = str_skip(*s, name.n + 1);
	return true;
}

/* A quoted local part was never rewritten into one without quotes. */
static bool is_local(struct str s)
{
	for (size_t i = 0, n; i < s.n; i += n) {
		n = s.p[i] & 0x80 ? utf8_non_ascii(s, i) : ascii_is_atext(s.p[i]) || s.p[i] == '.';
		if (!n)
			return false;
	}
	return s.n > 0 && s.n <= LIMIT_LOCAL_PART;
}

static bool done(struct srs *out, enum srs_kind kind, struct str local, struct str domain)
{
	if (!is_local(local) || !domain_is_valid(domain) ||
	    local.n + 1 + domain.n >= sizeof(out->original))
		return false;
	memcpy(out->original, local.p, local.n);
	out->original[local.n] = '@';
	memcpy(out->original + local.n + 1, domain.p, domain.n);
	out->original[local.n + 1 + domain.n] = '\0';
	out->kind = kind;
	return true;
}

/* What stands behind the tag of SRS0. */
static bool srs0(struct str s, enum srs_kind kind, struct srs *out)
{
	struct str hash, stamp, domain;

	return take(&s, &hash) && is_hash(hash) && take(&s, &stamp) && is_hash(stamp) &&
	       take(&s, &domain) && done(out, kind, s, domain);
}

static bool srs1(struct str s, struct srs *out)
{
	struct str hash, first;

	if (!take(&s, &hash) || !is_hash(hash) || !take(&s, &first) || !domain_is_valid(first))
		return false;
	/* The separator of the SRS0 that was wrapped. */
	return s.n && strchr("=-+", s.p[0]) && srs0(str_skip(s, 1), SRS_SRS1, out);
}

/* "prvs=KDDDSSSSSS=local": key number, day, six hexadecimal digits. */
static bool is_prvs(struct str s)
{
	if (s.n != 10)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (i < 4 ? !ascii_is_digit(s.p[i]) : ascii_hex(s.p[i]) < 0)
			return false;
	return true;
}

static bool batv(struct str s, struct str domain, struct srs *out)
{
	struct str t;

	if (str_istarts(s, STR("prvs="))) {
		s = str_skip(s, 5);
		return take(&s, &t) && is_prvs(t) && done(out, SRS_BATV, s, domain);
	}
	if (!str_istarts(s, STR("btv1==")))
		return false;
	s = str_skip(s, 6);
	return take(&s, &t) && is_hash(t) && s.n && s.p[0] == '=' &&
	       done(out, SRS_BATV, str_skip(s, 1), domain);
}

bool srs_decode(struct str mailbox, struct srs *out)
{
	struct str s = mailbox_local(mailbox);

	*out = (struct srs){.kind = SRS_NONE};
	if (tag(&s, STR("SRS0")))
		return srs0(s, SRS_SRS0, out);
	if (tag(&s, STR("SRS1")))
		return srs1(s, out);
	return batv(s, mailbox_domain(mailbox), out);
}
