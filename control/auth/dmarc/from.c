/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <stdio.h>

#include "control/auth/dmarc/from.h"
#include "postern/utf8.h"

struct reader {
	struct str s;
	size_t i;
	struct from_authors *out;
};

const char *from_status_name(enum from_status s)
{
	static const char *const name[] = {
		[FROM_OK] = "ok",
		[FROM_ROUTED] = "routed",
		[FROM_MISSING] = "missing",
		[FROM_SEVERAL] = "several",
		[FROM_MALFORMED] = "malformed",
		[FROM_NO_ADDRESS] = "no-address",
		[FROM_TOO_MANY] = "too-many",
	};

	return (unsigned int)s < sizeof(name) / sizeof(name[0]) ? name[s] : "malformed";
}

static bool fail(struct from_authors *out, enum from_status status, const char *why)
{
	out->status = status;
	out->n = 0;
	snprintf(out->reason, sizeof(out->reason), "%s", why);
	return false;
}

static bool malformed(struct reader *r, const char *why)
{
	return fail(r->out, FROM_MALFORMED, why);
}

static int peek(const struct reader *r)
{
	return r->i < r->s.n ? r->s.p[r->i] : -1;
}

/* What may stand in quoted strings, comments and display names beside special characters. Octets
 * above 127 need not be UTF-8 there: they decide nothing. */
static bool is_text(int c)
{
	return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* RFC 5322 3.2.2: FWS has one fold. A line of white space alone (obs-FWS) ends some's header. */
static bool skip_fws(struct reader *r)
{
	bool folded = false;

	for (;;) {
		if (r->i < r->s.n && ascii_is_wsp(r->s.p[r->i])) {
			r->i++;
		} else if (r->i + 2 < r->s.n && r->s.p[r->i] == '\r' && r->s.p[r->i + 1] == '\n' &&
			   ascii_is_wsp(r->s.p[r->i + 2])) {
			if (folded)
				return malformed(r, "folded line of white space alone");
			folded = true;
			r->i += 3;
		} else {
			return true;
		}
	}
}

/* One octet of a quoted string or comment, or a quoted-pair, or folding white space. */
static bool skip_text(struct reader *r)
{
	int c = peek(r);

	if (c == '\r')
		return r->i + 2 < r->s.n && r->s.p[r->i + 1] == '\n' &&
				       ascii_is_wsp(r->s.p[r->i + 2])
			       ? skip_fws(r)
			       : malformed(r, "bare CR");
	if (c == '\\') {
		r->i++;
		c = peek(r);
	}
	if (!is_text(c))
		return malformed(r, c < 0 ? "quoted string or comment without end"
					  : "control character");
	r->i++;
	return true;
}

static bool skip_comment(struct reader *r)
{
	unsigned int depth = 0;

	do {
		int c = peek(r);

		if (c == '(' && ++depth > LIMIT_DMARC_COMMENTS)
			return malformed(r, "comments nested too deeply");
		if (c == ')')
			depth--;
		if (c == '(' || c == ')')
			r->i++;
		else if (!skip_text(r))
			return false;
	} while (depth);
	return true;
}

static bool skip_cfws(struct reader *r)
{
	for (;;) {
		if (!skip_fws(r))
			return false;
		if (peek(r) != '(')
			return true;
		if (!skip_comment(r))
			return false;
	}
}

static bool skip_quoted(struct reader *r)
{
	r->i++;
	while (peek(r) != '"')
		if (!skip_text(r))
			return false;
	r->i++;
	return true;
}

/* Octets of an atom with dots in it, wherever they stand; *loose: it is no dot-atom-text. */
static struct str take_atom(struct reader *r, bool *loose)
{
	size_t start = r->i;
	bool dot = true;

	*loose = false;
	while (r->i < r->s.n) {
		uint8_t c = r->s.p[r->i];

		if (c != '.' && !ascii_is_atext(c) && c < 0x80)
			break;
		if (c == '.' && dot)
			*loose = true;
		dot = c == '.';
		r->i++;
	}
	if (dot)
		*loose = true;
	return str_make(r->s.p + start, r->i - start);
}

/* RFC 6532 3.2: UTF-8, and none of what nobody sees. */
static bool is_clean_utf8(struct str s)
{
	for (size_t i = 0, n; i < s.n; i += n) {
		n = s.p[i] & 0x80 ? utf8_non_ascii(s, i) : 1;
		if (!n)
			return false;
	}
	return true;
}

/* RFC 2047 5: no encoded word in an addr-spec; some programs decode it there. */
static bool has_encoded_word(struct str s)
{
	for (size_t i = 0; i + 1 < s.n; i++)
		if ((s.p[i] == '=' && s.p[i + 1] == '?') || (s.p[i] == '?' && s.p[i + 1] == '='))
			return true;
	return false;
}

static bool add_domain(struct reader *r, struct str domain)
{
	struct from_authors *out = r->out;
	char name[MAIL_ALABEL];

	if (!is_clean_utf8(domain) || !mail_alabel(domain, name) || !domain_is_valid(str_c(name)))
		return malformed(r, "domain of an address is no host name");
	out->n_addresses++;
	for (size_t i = 0; i < out->n; i++)
		if (!strcmp(out->domain[i], name))
			return true;
	if (out->n == LIMIT_DMARC_AUTHORS)
		return fail(out, FROM_TOO_MANY, "too many author domains");
	memcpy(out->domain[out->n++], name, sizeof(name));
	return true;
}

/* "@" domain behind a local part that has been read. No CFWS on either side of the "@": RFC 5322
 * 3.4.1 advises against it, and readers cut such addresses in different places. */
static bool read_domain(struct reader *r, struct str local, bool loose)
{
	struct str domain;

	if (!local.n || loose)
		return malformed(r, "local part is no dot-atom or quoted string");
	if (!is_clean_utf8(local))
		return malformed(r, "local part is no UTF-8, or holds what is not seen");
	if (has_encoded_word(local))
		return malformed(r, "encoded word in an address");
	r->i++; /* "@" */
	if (peek(r) == '[')
		return malformed(r, "address literal instead of a domain");
	domain = take_atom(r, &loose);
	if (loose)
		return malformed(r, "malformed domain of an address");
	return add_domain(r, domain);
}

/* RFC 5322 4.4: obs-route, of domains alone. Its mailbox is who is meant. */
static bool read_route(struct reader *r)
{
	do {
		struct str domain;
		char name[MAIL_ALABEL];
		bool loose;

		if (!skip_fws(r))
			return false;
		if (peek(r) != '@')
			return malformed(r, "malformed source route in an address");
		r->i++;
		domain = take_atom(r, &loose);
		if (loose || !is_clean_utf8(domain) || !mail_alabel(domain, name) ||
		    !domain_is_valid(str_c(name)))
			return malformed(r, "malformed source route in an address");
	} while (peek(r) == ',' && r->i++ < r->s.n);
	if (peek(r) != ':')
		return malformed(r, "malformed source route in an address");
	r->i++;
	r->out->status = FROM_ROUTED;
	snprintf(r->out->reason, sizeof(r->out->reason), "source route in an address");
	return true;
}

static bool read_angle(struct reader *r)
{
	struct str local;
	bool loose = false;
	size_t start;

	r->i++; /* "<" */
	if (!skip_fws(r))
		return false;
	if ((peek(r) == '@' || peek(r) == ',') && !read_route(r))
		return false;
	start = r->i;
	if (peek(r) == '"') {
		if (!skip_quoted(r))
			return false;
		local = str_make(r->s.p + start, r->i - start);
	} else {
		local = take_atom(r, &loose);
	}
	if (peek(r) != '@')
		return malformed(r, "no addr-spec between angle brackets");
	if (!read_domain(r, local, loose) || !skip_fws(r))
		return false;
	if (peek(r) != '>')
		return malformed(r, "text behind the addr-spec between angle brackets");
	r->i++;
	return skip_cfws(r);
}

/* Words up to "<", ":" or the "@" of an addr-spec without brackets. */
static bool read_mailbox(struct reader *r, bool *group)
{
	size_t words = 0;

	*group = false;
	for (;; words++) {
		size_t start = r->i;
		struct str word;
		bool loose = false;

		if (peek(r) == '<')
			return read_angle(r);
		if (peek(r) == ':' && words) {
			*group = true;
			return true;
		}
		if (peek(r) == '"') {
			if (!skip_quoted(r))
				return false;
			word = str_make(r->s.p + start, r->i - start);
		} else {
			word = take_atom(r, &loose);
		}
		if (!word.n)
			return malformed(r, peek(r) < 0 || peek(r) == ',' || peek(r) == ';'
						    ? "element without an address"
						    : "character that needs quotes");
		if (peek(r) == '@' && words)
			return malformed(r, "words in front of an address without angle brackets");
		if (peek(r) == '@')
			return read_domain(r, word, loose) && skip_cfws(r);
		if (!skip_cfws(r))
			return false;
	}
}

/* RFC 5322 3.4: group; what follows is checked by the caller. */
static bool read_group(struct reader *r)
{
	bool group;

	r->i++; /* ":" */
	if (!skip_cfws(r))
		return false;
	if (peek(r) == ';') {
		r->i++;
		return skip_cfws(r);
	}
	for (;;) {
		if (!read_mailbox(r, &group))
			return false;
		if (group)
			return malformed(r, "group inside a group");
		if (peek(r) != ',' && peek(r) != ';')
			return malformed(r, "text behind an address");
		if (r->s.p[r->i++] == ';')
			return skip_cfws(r);
		if (!skip_cfws(r))
			return false;
	}
}

void from_parse(struct str value, struct from_authors *out)
{
	struct reader r = {.s = value, .out = out};
	bool group;

	*out = (struct from_authors){0};
	do {
		if (!skip_cfws(&r) || !read_mailbox(&r, &group) || (group && !read_group(&r)))
			return;
		if (peek(&r) >= 0 && peek(&r) != ',') {
			malformed(&r, "text behind an address");
			return;
		}
	} while (r.i++ < r.s.n);
	if (!out->n)
		fail(out, FROM_NO_ADDRESS, "only empty groups");
}

/* ---- which field ---------------------------------------------------------------------------- */

/* "From", then nothing that could be part of a name, then ":". */
static bool looks_like_from(struct str s)
{
	while (s.n && (s.p[0] <= 0x20 || s.p[0] >= 0x7f))
		s = str_skip(s, 1);
	if (!str_istarts(s, STR("from")))
		return false;
	s = str_skip(s, 4);
	while (s.n && (s.p[0] <= 0x20 || s.p[0] >= 0x7f))
		s = str_skip(s, 1);
	return s.n && s.p[0] == ':';
}

/* The same of what stands behind a bare CR or LF. Another one of these ends it: that has its own turn,
 * and a field full of them is read once and not as often as it has them. */
static bool line_is_from(struct str s)
{
	size_t i = 0;

	if (!s.n || ascii_is_wsp(s.p[0]))
		return false; /* a folded line */
	while (i < s.n && s.p[i] != '\r' && s.p[i] != '\n' && (s.p[i] <= 0x20 || s.p[i] >= 0x7f))
		i++;
	return i < s.n && s.p[i] != '\r' && s.p[i] != '\n' && looks_like_from(str_skip(s, i));
}

/* A field that a reader of bare CR, bare LF or odd names would take for From. */
static bool hides_from(const struct headers *h, size_t i)
{
	const struct header_field *f = &h->field[i];
	struct str s = str_make(h->block + f->off, f->len);

	if ((f->flags & HEADER_F_MALFORMED) && looks_like_from(s))
		return true;
	if (!(f->flags & HEADER_F_BARE))
		return false;
	for (size_t k = 0; k + 1 < s.n; k++)
		if ((s.p[k] == '\r' || s.p[k] == '\n') && line_is_from(str_skip(s, k + 1)))
			return true;
	return false;
}

void from_find(const struct headers *h, struct from_authors *out)
{
	size_t first = headers_find(h, STR("From"), 0);

	*out = (struct from_authors){0};
	for (size_t i = 0; i < h->n; i++)
		if (hides_from(h, i)) {
			fail(out, FROM_SEVERAL, "a malformed field that may be read as From");
			return;
		}
	if (first == h->n)
		fail(out, FROM_MISSING, "no From field");
	else if (headers_find(h, STR("From"), first + 1) < h->n)
		fail(out, FROM_SEVERAL, "more than one From field");
	else
		from_parse(header_value(h, first), out);
}
