/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_path.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "postern/limits.h"

/*
 * RFC 5321 4.1.2: sub-domain = Let-dig [Ldh-str]; RFC 1035 2.3.4 for the length of a label.
 * '_' is taken where a letter is: hosts named so send mail, and no grammar is confused by it.
 */
static bool is_let_dig(uint8_t c)
{
	return ascii_is_alnum(c) || c == '_';
}

/* Length of the domain at the start of s, 0 if there is none. */
static size_t domain_span(struct str s)
{
	size_t i = 0;

	for (;;) {
		size_t start = i;

		while (i < s.n && (is_let_dig(s.p[i]) || s.p[i] == '-'))
			i++;
		if (i == start || i - start > LIMIT_DNS_LABEL || s.p[start] == '-' ||
		    s.p[i - 1] == '-')
			return 0;
		if (i == s.n || s.p[i] != '.')
			return i;
		i++;
	}
}

bool smtp_domain_valid(struct str s)
{
	return s.n && s.n <= LIMIT_DOMAIN && domain_span(s) == s.n;
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

/* RFC 5321 4.1.2: Dot-string or Quoted-string; length or 0. */
static size_t local_span(struct str s)
{
	size_t i = 0;

	if (s.n && s.p[0] == '"') {
		for (i = 1; i < s.n; i++) {
			if (s.p[i] == '"')
				return i + 1;
			if (s.p[i] == '\\')
				i++;
			if (i == s.n || s.p[i] < 0x20 || s.p[i] > 0x7e)
				return 0;
		}
		return 0;
	}
	for (;;) {
		size_t start = i;

		while (i < s.n && ascii_is_atext(s.p[i]))
			i++;
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

/* RFC 6531 3.1: without SMTPUTF8 an address is ASCII. Tells it apart from plain nonsense. */
static bool has_8bit(struct str s)
{
	for (size_t i = 0; i < s.n && s.p[i] != '>'; i++)
		if (s.p[i] & 0x80)
			return true;
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
	if (has_8bit(in))
		return SMTP_PATH_NOT_ASCII;
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
	return SMTP_PATH_OK;
}
