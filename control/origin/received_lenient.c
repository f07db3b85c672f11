/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <stdio.h>

#include "control/origin/received_lenient.h"

/*
 * The line is cut into words and comments. What stands between "from" and the first bare "by" tells
 * of the client; the products differ in what they put there:
 *
 *   from HELO (PTR [IP])                         Postfix, Sendmail, Gmail, ours
 *   from HELO (IP)                               Exchange; with qmail the word is the PTR
 *   from PTR ([IP] helo=HELO)                    Exim; without helo= the PTR is the HELO
 *   from PTR (HELO name) (user@IP)               qmail; EHLO, LHLO with others
 *   from [IP] (account user HELO name)           CommuniGate
 *   from PTR(IP), claiming to be "HELO" via SMTP smail
 *   from HELO [IP], from [IP], from IP           webmailers and old appliances
 *
 * The first address counts: what follows may be the client's own words.
 */

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_COMMENT };

struct token {
	enum token_kind kind;
	struct str s; /* a comment without its parentheses */
};

struct line {
	struct str rest;
	struct str first; /* word behind "from", n == 0: none */
	bool helo_said;   /* a HELO stood in a place of its own */
	bool port;        /* the address came with a port */
	bool bare;        /* the address was a comment of its own, without brackets */
	bool via;         /* smail: "via" in front of "by" */
	bool http, exim, verified, microsoft;
	struct str lone_comment; /* a comment that is one word */
};

static struct token next(struct line *l)
{
	unsigned int depth = 0;
	size_t n = 0;
	struct token t = {TOKEN_END, STR_NONE};

	l->rest = str_trim(l->rest);
	if (!l->rest.n)
		return t;
	if (l->rest.p[0] != '(') {
		while (n < l->rest.n && !ascii_is_wsp_crlf(l->rest.p[n]) && l->rest.p[n] != '(')
			n++;
		t = (struct token){TOKEN_WORD, str_cut(l->rest, n)};
		l->rest = str_skip(l->rest, n);
		while (t.s.n > 1 && (t.s.p[t.s.n - 1] == ';' || t.s.p[t.s.n - 1] == ','))
			t.s.n--;
		return t;
	}
	for (; n < l->rest.n; n++) {
		depth += l->rest.p[n] == '(';
		if (l->rest.p[n] == ')' && --depth == 0)
			break;
	}
	t = (struct token){TOKEN_COMMENT, str_make(l->rest.p + 1, n - 1)};
	l->rest = str_skip(l->rest, n + 1);
	return t;
}

static struct str first_word(struct str s)
{
	size_t n = 0;

	s = str_trim(s);
	while (n < s.n && !ascii_is_wsp_crlf(s.p[n]))
		n++;
	return str_cut(s, n);
}

/* "192.0.2.1", "192.0.2.1:25", "192.0.2.1.25", "IPv6:2001:db8::1". */
static bool address(struct line *l, struct str s, struct ip_addr *ip)
{
	size_t dots = 0, cut = 0;

	if (str_istarts(s, STR("IPv6:")))
		s = str_skip(s, 5);
	if (ip_parse(s, ip))
		return true;
	for (size_t i = 0; i < s.n; i++) {
		dots += s.p[i] == '.';
		if (s.p[i] == ':' || (s.p[i] == '.' && dots == 4)) {
			cut = i;
			break;
		}
	}
	for (size_t i = cut + 1; i < s.n; i++)
		if (!ascii_is_digit(s.p[i]))
			return false;
	if (!cut || cut + 1 >= s.n || !ip_parse(str_cut(s, cut), ip))
		return false;
	l->port = true;
	return true;
}

static bool literal(struct line *l, struct str s, struct ip_addr *ip)
{
	size_t close = str_find(s, ']');

	return s.n && s.p[0] == '[' && close < s.n && address(l, str_make(s.p + 1, close - 1), ip);
}

/* Names that say there is none. */
static bool is_no_name(struct str s)
{
	return !s.n || s.p[0] == '[' || str_ieq(s, STR("unknown")) || str_ieq(s, STR("softdnserr"));
}

static void set_rdns(struct received *out, struct str name)
{
	if (name.n > 1 && name.p[name.n - 1] == '.')
		name.n--;
	if (!out->rdns.n && !is_no_name(name))
		out->rdns = name;
}

static void set_helo(struct line *l, struct received *out, struct str name)
{
	if (!l->helo_said)
		out->helo = first_word(name);
	l->helo_said = true;
}

/* "[IP]", "PTR [IP]", with "helo=NAME", "verified" or others' remarks behind it. */
static bool bracketed(struct line *l, struct str c, struct received *out)
{
	size_t open = str_find(c, '['), close;
	struct str rest;

	if (open == c.n || !literal(l, str_skip(c, open), &out->ip))
		return false;
	out->has_ip = true;
	set_rdns(out, first_word(str_cut(c, open)));
	close = open + str_find(str_skip(c, open), ']') + 1;
	rest = str_skip(c, close);
	l->port |= rest.n && rest.p[0] == ':';
	for (; rest.n; rest = str_skip(rest, 1))
		if (str_istarts(rest, STR("helo="))) {
			set_helo(l, out, str_skip(rest, 5));
			if (!ip_parse(l->first, &(struct ip_addr){0}))
				set_rdns(out, l->first);
		}
	l->verified |= str_eq(str_trim(str_skip(c, close)), STR("verified"));
	return true;
}

static bool plain(struct line *l, struct str c, struct received *out)
{
	bool padded = c.n && c.p[0] == ' ';

	/* qmail: "user@IP", where the user may hold an @ of its own. */
	if (!bracketed(l, c, out) && !address(l, str_trim(c), &out->ip)) {
		size_t at = c.n;

		while (at && c.p[at - 1] != '@')
			at--;
		if (!at || !address(l, str_skip(c, at), &out->ip))
			return false;
		l->bare = true;
	} else if (str_find(c, '[') == c.n) {
		l->bare = !padded && !l->port;
	}
	out->has_ip = true;
	return true;
}

static void client_comment(struct line *l, struct str c, struct received *out)
{
	if (str_istarts(c, STR("HELO ")) || str_istarts(c, STR("EHLO ")) ||
	    str_istarts(c, STR("LHLO "))) {
		set_helo(l, out, str_skip(c, 5));
		set_rdns(out, l->first);
	} else if (str_istarts(c, STR("helo="))) {
		set_helo(l, out, str_skip(c, 5));
	} else if (str_istarts(c, STR("account "))) {
		for (; c.n; c = str_skip(c, 1))
			if (str_istarts(c, STR(" HELO ")))
				set_helo(l, out, str_skip(c, 6));
	} else if (!out->has_ip && !plain(l, c, out) && first_word(c).n == c.n) {
		l->lone_comment = c;
	}
}

/* Everything in front of "by". False: no "by". */
static bool client(struct line *l, struct received *out)
{
	bool claim = false;
	struct token t;

	while ((t = next(l)).kind != TOKEN_END) {
		if (t.kind == TOKEN_COMMENT) {
			client_comment(l, t.s, out);
		} else if (str_ieq(t.s, STR("by"))) {
			return true;
		} else if (claim && t.s.n > 2 && t.s.p[0] == '"') {
			set_helo(l, out, str_make(t.s.p + 1, t.s.n - 2));
		} else if (!out->has_ip && literal(l, t.s, &out->ip)) {
			out->has_ip = true;
			if (l->lone_comment.n) {
				set_helo(l, out, l->lone_comment);
				set_rdns(out, l->first);
			}
		}
		claim |= str_ieq(t.s, STR("claiming"));
		l->via |= str_ieq(t.s, STR("via"));
	}
	return false;
}

/* Clauses behind "by". False: a line that no SMTP server wrote. */
static bool server(struct line *l, struct received *out, const char **why)
{
	struct token t = next(l);
	struct str *clause = NULL;

	out->by = t.kind == TOKEN_WORD ? t.s : STR_NONE;
	while ((t = next(l)).kind != TOKEN_END) {
		struct str at = t.s;

		if (t.kind == TOKEN_COMMENT) {
			l->exim |= str_istarts(at, STR("Exim "));
			l->http |= str_istarts(at, STR("via HTTP"));
			if (str_istarts(at, STR("fetchmail-"))) {
				*why = "fetched from a mailbox";
				return false;
			}
			continue;
		}
		if (clause) {
			if (!clause->p)
				*clause = at;
			if (clause == &out->with && str_istarts(at, STR("qmail-scanner"))) {
				*why = "a scanner on the same machine";
				return false;
			}
			l->http |= clause == &out->with && str_istarts(at, STR("HTTP"));
			l->microsoft |= clause == &out->with && str_ieq(at, STR("Microsoft"));
			clause = NULL;
			continue;
		}
		clause = str_ieq(at, STR("with"))  ? &out->with
			 : str_ieq(at, STR("id"))  ? &out->id
			 : str_ieq(at, STR("for")) ? &out->for_addr
						   : NULL;
	}
	return true;
}

/* What the places mean only becomes clear at the end of the line. */
static void settle(struct line *l, struct received *out)
{
	struct ip_addr first;
	bool is_address = ip_parse(l->first, &first) || literal(l, l->first, &first);

	if (l->http) {
		out->helo = out->rdns = STR_NONE;
		return;
	}
	if (l->via) {
		set_rdns(out, l->first);
		if (!l->helo_said)
			out->helo = STR_NONE;
		return;
	}
	if (!l->helo_said)
		out->helo = l->first;
	if (!is_address && ((l->bare && !l->microsoft) || l->exim || l->verified))
		set_rdns(out, l->first);
	/* "[IP] ([IP:port])" shows the address twice and no HELO. */
	if (is_address && l->port && !l->helo_said && !memcmp(&first, &out->ip, sizeof(first)))
		out->helo = STR_NONE;
}

int received_parse_lenient(struct str value, uint8_t *scratch, size_t cap, struct received *out,
			   const char **why)
{
	long n = header_unfold(value, scratch, cap);
	struct line l = {.rest = str_make(scratch, n < 0 ? 0 : (size_t)n)};
	struct token t;
	bool whole;

	*out = (struct received){0};
	*why = "too long";
	if (n < 0)
		return -ENOSPC;
	/* "(from HELO [IP]) by ..." */
	if (str_istarts(l.rest, STR("(from "))) {
		size_t end = str_find(l.rest, ')');

		if (end < l.rest.n)
			scratch[end] = ' ';
		l.rest = str_skip(l.rest, 1);
	}
	t = next(&l);
	*why = "no from";
	if (t.kind != TOKEN_WORD || !str_ieq(t.s, STR("from")))
		return -ENOENT;
	l.rest = str_trim(l.rest);
	if (l.rest.n && l.rest.p[0] != '(')
		l.first = next(&l).s;
	whole = client(&l, out);
	if (whole && !server(&l, out, why))
		return -ENOENT;
	*why = "no address";
	if (!out->has_ip && !ip_parse(l.first, &out->ip) && !literal(&l, l.first, &out->ip))
		return -ENOENT;
	*why = whole ? "" : "no by";
	if (!whole)
		return -ENOENT;
	/* "from 192.0.2.1 by": an address in the place of a name is not what the client said. */
	if (!out->has_ip && !l.helo_said && l.first.p[0] != '[')
		l.first = STR_NONE;
	out->has_ip = true;
	settle(&l, out);
	return 0;
}
