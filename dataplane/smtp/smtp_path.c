/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_path.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "postern/limits.h"
#include "postern/utf8.h"

/*
 * RFC 5321 4.1.2: sub-domain = Let-dig [Ldh-str]; RFC 6531 3.3: or a U-label.
 * '_' is taken where a letter is: hosts named so send mail, and no grammar is confused by it.
 */
static bool is_let_dig(uint8_t c)
{
	return ascii_is_alnum(c) || c == '_';
}

/* UTS 46 2.3: full stops of other scripts, which some would take for the border of a label. */
static bool is_full_stop(struct str s, size_t i)
{
	size_t len;
	long cp = utf8_at(s, i, &len);

	return cp == 0x3002 || cp == 0xff0e || cp == 0xff61;
}

/*
 * Length of the label at the start of s. Whether a U-label is one of RFC 5890 control finds out;
 * here it is UTF-8 that could be: as an A-label, "xn--" and at least an octet a code point, it must
 * fit RFC 1035 2.3.4.
 */
static size_t label_span(struct str s)
{
	size_t i = 0, points = 0;
	bool ascii = true;

	while (i < s.n) {
		size_t n = is_let_dig(s.p[i]) || s.p[i] == '-';

		if (!n && (s.p[i] & 0x80) && !is_full_stop(s, i))
			n = utf8_non_ascii(s, i);
		if (!n)
			break;
		ascii = ascii && s.p[i] < 0x80;
		i += n;
		points++;
	}
	if (!i || points + (ascii ? 0 : 4) > LIMIT_DNS_LABEL || s.p[0] == '-' || s.p[i - 1] == '-')
		return 0;
	return i;
}

/* Length of the domain at the start of s, 0 if there is none. */
static size_t domain_span(struct str s)
{
	size_t i = 0;

	for (;;) {
		size_t n = label_span(str_skip(s, i));

		if (!n)
			return 0;
		i += n;
		if (i == s.n || s.p[i] != '.')
			return i;
		i++;
	}
}

bool smtp_domain_valid(struct str s)
{
	return s.n && s.n <= LIMIT_DOMAIN && utf8_is_ascii(s) && domain_span(s) == s.n;
}

/* RFC 5321 4.1.3: IPv4 or "IPv6:", or a tag that is not ours to know, ':' and dcontent. */
bool smtp_literal_valid(struct str s)
{
	char text[INET6_ADDRSTRLEN + 1];
	uint8_t addr[16];
	struct str in;
	size_t colon, v6 = sizeof("IPv6:") - 1;

	if (s.n < 3 || s.n > LIMIT_DOMAIN || s.p[0] != '[' || s.p[s.n - 1] != ']')
		return false;
	in = str_make(s.p + 1, s.n - 2);
	for (size_t i = 0; i < in.n; i++)
		if (!ascii_is_vchar(in.p[i]) || in.p[i] == '[' || in.p[i] == ']' ||
		    in.p[i] == '\\')
			return false;
	colon = str_find(in, ':');
	if (colon == in.n || str_istarts(in, STR("IPv6:"))) {
		bool six = colon != in.n;

		in = str_skip(in, six ? v6 : 0);
		if (in.n >= sizeof(text))
			return false;
		memcpy(text, in.p, in.n);
		text[in.n] = '\0';
		return inet_pton(six ? AF_INET6 : AF_INET, text, addr) == 1;
	}
	for (size_t i = 0; i < colon; i++)
		if (!ascii_is_alnum(in.p[i]) && in.p[i] != '-')
			return false;
	return colon > 0 && in.p[colon - 1] != '-' && colon + 1 < in.n;
}

static size_t literal_span(struct str s)
{
	size_t end = str_find(s, ']');

	if (end == s.n || !smtp_literal_valid(str_cut(s, end + 1)))
		return 0;
	return end + 1;
}

/* RFC 5321 4.1.2: Quoted-string; RFC 6531 3.3: qtextSMTP with UTF-8, not quoted-pairSMTP. */
static size_t quoted_span(struct str s)
{
	size_t i = 1, n;

	while (i < s.n && s.p[i] != '"') {
		if (s.p[i] == '\\') {
			i++;
			n = i < s.n && s.p[i] >= 0x20 && s.p[i] <= 0x7e;
		} else {
			n = s.p[i] & 0x80 ? utf8_non_ascii(s, i) : s.p[i] >= 0x20 && s.p[i] != 0x7f;
		}
		if (!n)
			return 0;
		i += n;
	}
	return i < s.n ? i + 1 : 0;
}

/* RFC 5321 4.1.2: Dot-string or Quoted-string; RFC 6531 3.3: atext with UTF-8. Length or 0. */
static size_t local_span(struct str s)
{
	size_t i = 0;

	if (s.n && s.p[0] == '"')
		return quoted_span(s);
	for (;;) {
		size_t start = i, n;

		while (i < s.n && (n = s.p[i] & 0x80 ? utf8_non_ascii(s, i)
						      : ascii_is_atext(s.p[i])))
			i += n;
		if (i == start)
			return 0;
		if (i == s.n || s.p[i] != '.')
			return i;
		i++;
	}
}

/* A-d-l ":" of RFC 5321 4.1.2; length with the colon, 0 if it is malformed. */
static size_t route_span(struct str s)
{
	size_t i = 0, n;

	for (;;) {
		if (i == s.n || s.p[i] != '@')
			return 0;
		i++;
		n = domain_span(str_skip(s, i));
		if (!n || n > LIMIT_DOMAIN)
			return 0;
		i += n;
		if (i == s.n)
			return 0;
		if (s.p[i] == ':')
			return i + 1;
		if (s.p[i++] != ',')
			return 0;
	}
}

static enum smtp_path_verdict mailbox_span(struct str s, enum smtp_path_kind kind, size_t *len)
{
	size_t local = local_span(s), domain;
	struct str d;

	if (!local)
		return SMTP_PATH_SYNTAX;
	if (local > LIMIT_LOCAL_PART)
		return SMTP_PATH_LONG;
	*len = local;
	if (local == s.n || s.p[local] != '@') {
		/* RFC 5321 4.1.1.3: "<Postmaster>" without a domain. */
		if (kind == SMTP_PATH_FORWARD && str_ieq(str_cut(s, local), STR("postmaster")))
			return SMTP_PATH_OK;
		return SMTP_PATH_SYNTAX;
	}
	d = str_skip(s, local + 1);
	domain = d.n && d.p[0] == '[' ? literal_span(d) : domain_span(d);
	if (!domain)
		return SMTP_PATH_SYNTAX;
	if (domain > LIMIT_DOMAIN)
		return SMTP_PATH_LONG;
	*len = local + 1 + domain;
	return SMTP_PATH_OK;
}

/* Octets above ASCII that are no UTF-8, or code points that are not taken: tells an address of
 * another character set apart from plain nonsense. */
static bool has_bad_8bit(struct str s)
{
	for (size_t i = 0, n; i < s.n && s.p[i] != '>'; i += n) {
		n = s.p[i] & 0x80 ? utf8_non_ascii(s, i) : 1;
		if (!n)
			return true;
	}
	return false;
}

enum smtp_path_verdict smtp_path_parse(struct str in, enum smtp_path_kind kind,
				       struct smtp_path *out)
{
	enum smtp_path_verdict v;
	size_t at = 1, len;

	*out = (struct smtp_path){.mailbox = STR_NONE};
	if (!in.n || in.p[0] != '<')
		return SMTP_PATH_SYNTAX;
	if (in.n > 1 && in.p[1] == '>' && kind == SMTP_PATH_REVERSE) {
		out->mailbox = str_make(in.p + 1, 0);
		out->used = 2;
		return SMTP_PATH_OK;
	}
	if (has_bad_8bit(in))
		return SMTP_PATH_NOT_UTF8;
	if (in.n > 1 && in.p[1] == '@') {
		len = route_span(str_skip(in, 1));
		if (!len)
			return SMTP_PATH_SYNTAX;
		at += len;
		out->source_route = true;
	}
	v = mailbox_span(str_skip(in, at), kind, &len);
	if (v != SMTP_PATH_OK)
		return v;
	if (at + len >= in.n || in.p[at + len] != '>')
		return SMTP_PATH_SYNTAX;
	out->used = at + len + 1;
	if (out->used > LIMIT_PATH)
		return SMTP_PATH_LONG;
	out->mailbox = str_make(in.p + at, len);
	out->utf8 = !utf8_is_ascii(str_cut(in, out->used));
	return SMTP_PATH_OK;
}
