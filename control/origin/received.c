/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <stdio.h>

#include "control/origin/origin.h"
#include "postern/limits.h"
#include "postern/utf8.h"

/*
 * The strict reader of a Received field (RFC 5321 4.4), for lines that trusted relays wrote:
 *
 *   from HELO (PTR [IP])  or ([IP])  or (IP)   then known comments only
 *   by HOST (anything)  via/with/id/for in any order, once each, comments between  ; date-time
 *
 * The relay copied HELO, PTR and the recipient from strangers. So whatever could be read in two
 * ways is refused: a second address in front of "by", a backslash in a comment, nesting, a keyword
 * twice, text behind the date.
 */

#define MAX_COMMENTS 16

struct reader {
	struct str s;      /* what is left */
	const char *why;
};

static bool refuse(struct reader *r, const char *why)
{
	r->why = why;
	return false;
}

static void skip_wsp(struct reader *r)
{
	while (r->s.n && ascii_is_wsp(r->s.p[0]))
		r->s = str_skip(r->s, 1);
}

/* A word without white space, parentheses, brackets of addr-specs, quotes, backslash, semicolon. */
static bool take_word(struct reader *r, struct str *out)
{
	size_t n = 0;

	while (n < r->s.n && ascii_is_vchar(r->s.p[n]) && !strchr("()<>;,\"\\", r->s.p[n]))
		n++;
	*out = str_cut(r->s, n);
	if (n == 0 || n > LIMIT_DOMAIN)
		return refuse(r, n ? "word too long" : "word expected");
	r->s = str_skip(r->s, n);
	/* A word ends at white space, a comment, the semicolon or the end. */
	if (r->s.n && !ascii_is_wsp(r->s.p[0]) && r->s.p[0] != '(' && r->s.p[0] != ';')
		return refuse(r, "malformed word");
	skip_wsp(r);
	return true;
}

static bool take_keyword(struct reader *r, struct str keyword)
{
	if (!str_istarts(r->s, keyword) || r->s.n == keyword.n || !ascii_is_wsp(r->s.p[keyword.n]))
		return false;
	r->s = str_skip(r->s, keyword.n);
	skip_wsp(r);
	return true;
}

/* "(text)"; `nested` allows one level inside, as in "(256/256 bits)" lists of other relays. */
static bool take_comment(struct reader *r, struct str *out, bool nested)
{
	unsigned int depth = 0;

	for (size_t i = 0; i < r->s.n; i++) {
		uint8_t c = r->s.p[i];

		if (c == '\\')
			return refuse(r, "backslash in a comment");
		if (c == '(' && ++depth > (nested ? 2u : 1u))
			return refuse(r, "nested comment");
		if (c == ')' && --depth == 0) {
			*out = str_make(r->s.p + 1, i - 1);
			r->s = str_skip(r->s, i + 1);
			skip_wsp(r);
			return true;
		}
	}
	return refuse(r, "comment without end");
}

/* RFC 5321 4.1.3: "IPv6:" is the tag; Exchange and some others leave it out. */
static bool address(struct str s, struct ip_addr *ip)
{
	if (str_istarts(s, STR("IPv6:"))) {
		s = str_skip(s, 5);
		return str_find(s, ':') < s.n && ip_parse(s, ip);
	}
	return ip_parse(s, ip);
}

/* A host name in TCP-info: Gmail writes the root dot; underscores exist in the wild. */
static bool is_name(struct str s)
{
	uint8_t text[LIMIT_DNS_NAME];

	if (s.n > 1 && s.p[s.n - 1] == '.')
		s.n--;
	if (s.n == 0 || s.n > sizeof(text))
		return false;
	for (size_t i = 0; i < s.n; i++)
		text[i] = s.p[i] == '_' ? 'x' : s.p[i];
	return domain_is_valid(str_make(text, s.n));
}

/* RFC 5321 4.4, TCP-info: "(name [ip])", "([ip])"; Exchange: "(ip)". */
static bool tcp_info(struct reader *r, struct str c, struct received *out)
{
	size_t open = str_find(c, '[');
	struct str name, literal;

	if (open == c.n) {
		out->has_ip = address(c, &out->ip);
		return out->has_ip ? true : refuse(r, "no address behind from");
	}
	name = str_cut(c, open);
	literal = str_skip(c, open + 1);
	if (literal.n == 0 || literal.p[literal.n - 1] != ']')
		return refuse(r, "malformed address behind from");
	literal.n--;
	if (name.n) {
		if (name.p[name.n - 1] != ' ')
			return refuse(r, "malformed address behind from");
		name.n--;
		if (!is_name(name))
			return refuse(r, "malformed name behind from");
		if (name.p[name.n - 1] == '.')
			name.n--;
		if (!str_ieq(name, STR("unknown")))
			out->rdns = name;
	}
	out->has_ip = address(literal, &out->ip);
	return out->has_ip ? true : refuse(r, "malformed address behind from");
}

/* What Postfix writes between TCP-info and "by", and what our own lines may carry. */
static bool is_known_comment(struct str c)
{
	static const char *const known[] = {
		"using TLS",
		"using SSL",
		"No client certificate requested",
		"Client did not present",
		"Client CN \"",
		"Authenticated sender: ",
		"not using TLS",
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (str_istarts(c, str_c(known[i])))
			return true;
	return false;
}

static bool take_from(struct reader *r, struct received *out)
{
	struct str c;

	if (!take_keyword(r, STR("from")))
		return refuse(r, "no from");
	if (!take_word(r, &out->helo))
		return false;
	if (r->s.n == 0 || r->s.p[0] != '(' || !take_comment(r, &c, false))
		return refuse(r, "no address behind from");
	if (!tcp_info(r, c, out))
		return false;
	for (unsigned int n = 0; r->s.n && r->s.p[0] == '('; n++) {
		if (n == MAX_COMMENTS || !take_comment(r, &c, true))
			return refuse(r, "malformed comment behind from");
		/* A HELO may hold parentheses: then the address above is the client's invention. */
		if (!is_known_comment(c))
			return refuse(r, "second comment behind from");
	}
	return true;
}

static bool take_comments(struct reader *r)
{
	struct str c;

	for (unsigned int n = 0; r->s.n && r->s.p[0] == '('; n++)
		if (n == MAX_COMMENTS || !take_comment(r, &c, true))
			return refuse(r, "malformed comment");
	return true;
}

static bool take_with(struct reader *r, struct received *out)
{
	const struct str exchange = STR("Microsoft SMTP Server");

	/* The one product that has three words. */
	if (str_istarts(r->s, exchange) &&
	    (r->s.n == exchange.n || ascii_is_wsp(r->s.p[exchange.n]) ||
	     r->s.p[exchange.n] == '(')) {
		out->with = str_cut(r->s, exchange.n);
		r->s = str_skip(r->s, exchange.n);
		skip_wsp(r);
		return true;
	}
	return take_word(r, &out->with);
}

static bool take_via(struct reader *r)
{
	struct str word;

	if (!take_word(r, &word))
		return false;
	/* Exchange: "via Frontend Transport", "via Mailbox Transport". */
	if (str_istarts(r->s, STR("Transport")))
		return take_word(r, &word);
	return true;
}

static bool take_for(struct reader *r, struct received *out)
{
	size_t n = 0;

	if (r->s.n == 0 || r->s.p[0] != '<')
		return take_word(r, &out->for_addr);
	for (n = 1; n < r->s.n && !strchr("()<>;\"\\", r->s.p[n]);) {
		size_t k = r->s.p[n] & 0x80 ? utf8_non_ascii(r->s, n) : ascii_is_vchar(r->s.p[n]);

		if (!k)
			break;
		n += k;
	}
	if (n == r->s.n || r->s.p[n] != '>' || n > LIMIT_LOCAL_PART + 1 + LIMIT_DOMAIN + 1)
		return refuse(r, "malformed for");
	out->for_addr = str_make(r->s.p + 1, n - 1);
	r->s = str_skip(r->s, n + 1);
	skip_wsp(r);
	return true;
}

static bool take_clauses(struct reader *r, struct received *out)
{
	bool via = false;

	while (r->s.n && r->s.p[0] != ';') {
		bool ok;

		if (r->s.p[0] == '(')
			ok = take_comments(r);
		else if (!out->with.p && take_keyword(r, STR("with")))
			ok = take_with(r, out);
		else if (!out->id.p && take_keyword(r, STR("id")))
			ok = take_word(r, &out->id);
		else if (!out->for_addr.p && take_keyword(r, STR("for")))
			ok = take_for(r, out);
		else if (!via && take_keyword(r, STR("via")))
			ok = via = take_via(r);
		else
			return refuse(r, "unknown or repeated clause");
		if (!ok)
			return false;
	}
	return r->s.n ? true : refuse(r, "no date");
}

static bool take_number(struct reader *r, size_t min, size_t max)
{
	size_t n = 0;

	while (n < r->s.n && n < max && ascii_is_digit(r->s.p[n]))
		n++;
	r->s = str_skip(r->s, n);
	return n >= min;
}

static bool take_octet(struct reader *r, uint8_t c)
{
	if (r->s.n == 0 || r->s.p[0] != c)
		return false;
	r->s = str_skip(r->s, 1);
	return true;
}

static bool take_name(struct reader *r, const char *const *name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_istarts(r->s, str_make(name[i], 3))) {
			r->s = str_skip(r->s, 3);
			return true;
		}
	return false;
}

/* RFC 5322 3.3, with a numeric zone (RFC 5321 4.4) and at most the zone's name behind it. */
static bool take_date(struct reader *r, struct received *out)
{
	static const char *const day[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
	static const char *const month[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	struct str all, zone;

	r->s = str_skip(r->s, 1);
	skip_wsp(r);
	all = r->s;
	if (take_name(r, day, 7) && !take_octet(r, ','))
		return refuse(r, "malformed date");
	skip_wsp(r);
	if (!take_number(r, 1, 2) || !take_octet(r, ' ') || !take_name(r, month, 12) ||
	    !take_octet(r, ' ') || !take_number(r, 4, 4))
		return refuse(r, "malformed date");
	skip_wsp(r);
	if (!take_number(r, 2, 2) || !take_octet(r, ':') || !take_number(r, 2, 2))
		return refuse(r, "malformed date");
	/* Exchange writes fractions of a second in some lines. */
	if (take_octet(r, ':') &&
	    (!take_number(r, 2, 2) || (take_octet(r, '.') && !take_number(r, 1, 9))))
		return refuse(r, "malformed date");
	skip_wsp(r);
	if ((!take_octet(r, '+') && !take_octet(r, '-')) || !take_number(r, 4, 4))
		return refuse(r, "malformed date");
	out->date = str_cut(all, (size_t)(r->s.p - all.p));
	skip_wsp(r);
	if (r->s.n && r->s.p[0] == '(') {
		if (!take_comment(r, &zone, false))
			return false;
		for (size_t i = 0; i < zone.n; i++)
			if (!ascii_is_alnum(zone.p[i]) && !strchr("+-: ./", zone.p[i]))
				return refuse(r, "text behind the date");
	}
	return r->s.n == 0 ? true : refuse(r, "text behind the date");
}

/* RFC 6531 3.7.3: UTF-8 in the mailbox of "for" alone. */
static bool octets_fit(struct str all, struct str for_addr)
{
	for (size_t i = 0; i < all.n; i++) {
		const uint8_t *p = all.p + i;

		if (!ascii_is_vchar(*p) && !ascii_is_wsp(*p) &&
		    !((*p & 0x80) && for_addr.n && p >= for_addr.p && p < for_addr.p + for_addr.n))
			return false;
	}
	return true;
}

int received_parse_strict(struct str value, uint8_t *scratch, size_t cap, struct received *out,
			  const char **why)
{
	struct reader r = {.why = ""};
	struct str all;
	long n = header_unfold(value, scratch, cap);

	*out = (struct received){0};
	*why = r.why;
	if (n < 0) {
		*why = "too long";
		return -ENOSPC;
	}
	r.s = all = str_make(scratch, (size_t)n);
	if (!take_from(&r, out) ||
	    (!take_keyword(&r, STR("by")) && !refuse(&r, "no by")) ||
	    !take_word(&r, &out->by) || !take_clauses(&r, out) || !take_date(&r, out)) {
		*why = r.why;
		return -EBADMSG;
	}
	if (!octets_fit(all, out->for_addr)) {
		*why = "octet outside printable ASCII";
		return -EBADMSG;
	}
	return 0;
}
