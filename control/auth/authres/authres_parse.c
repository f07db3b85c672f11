/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>

#include "control/auth/authres/authres_parse.h"
#include "control/auth/authres/lex.h"
#include "postern/utf8.h"

#define MAX_NUMBER 1000000 /* of a version: larger ones are as unknown as this */

struct parser {
	struct str s;
	size_t i;
	bool as_found;
	uint8_t *scratch;
	size_t cap, used;
	struct authres *out;
	struct authres_resinfo *result; /* being read; NULL before the first */
};

static int fail_at(struct parser *p, size_t at, int rc, const char *what)
{
	p->out->error.what = what;
	p->out->error.at = at;
	return rc;
}

static int fail(struct parser *p, const char *what)
{
	return fail_at(p, p->i, -EBADMSG, what);
}

/* A liberty is taken where it is allowed. */
static int liberty(struct parser *p, unsigned int which, const char *what)
{
	if (!p->as_found)
		return fail(p, what);
	p->out->liberties |= which;
	return 0;
}

static bool at(const struct parser *p, uint8_t c)
{
	return p->i < p->s.n && p->s.p[p->i] == c;
}

static bool at_end(const struct parser *p)
{
	return p->i >= p->s.n || p->s.p[p->i] == ';';
}

/* CRLF only as a fold, no other control, and UTF-8: with that out of the way the rest is simple. */
static int check_octets(struct parser *p)
{
	struct str s = p->s;

	for (size_t len; p->i < s.n; p->i += len) {
		long cp = utf8_at(s, p->i, &len);

		if (cp < 0)
			return fail(p, "an octet that is not UTF-8");
		if (cp == '\r' && p->i + 2 < s.n && s.p[p->i + 1] == '\n' &&
		    ascii_is_wsp(s.p[p->i + 2]))
			len = 3;
		else if ((cp < 0x20 && cp != '\t') || cp == 0x7f)
			return fail(p, "a control character");
	}
	p->i = 0;
	return 0;
}

/* Skips white space and comments, of which the first behind a result is kept. */
static int skip(struct parser *p)
{
	while (p->i < p->s.n) {
		size_t n = 1;

		if (at(p, '(')) {
			n = authres_comment_len(p->s, p->i);
			if (!n)
				return fail(p, "a comment that does not end, or lies too deep");
			if (p->result && p->result->result.n && !p->result->comment.p)
				p->result->comment = str_make(p->s.p + p->i + 1, n - 2);
		} else if (!ascii_is_wsp_crlf(p->s.p[p->i])) {
			break;
		}
		p->i += n;
	}
	return 0;
}

static struct str keyword(struct parser *p)
{
	size_t start = p->i;

	while (p->i < p->s.n && (ascii_is_alnum(p->s.p[p->i]) || at(p, '-')))
		p->i++;
	return str_make(p->s.p + start, p->i - start);
}

static int need_keyword(struct parser *p, struct str *out, const char *what)
{
	size_t start = p->i;

	*out = keyword(p);
	return authres_is_keyword(*out) ? 0 : fail_at(p, start, -EBADMSG, what);
}

static int need(struct parser *p, uint8_t c, const char *what)
{
	if (!at(p, c))
		return fail(p, what);
	p->i++;
	return skip(p);
}

static int number(struct parser *p, unsigned int *out, const char *what)
{
	size_t start = p->i;

	for (*out = 0; p->i < p->s.n && ascii_is_digit(p->s.p[p->i]); p->i++)
		*out = *out < MAX_NUMBER ? *out * 10 + (p->s.p[p->i] - '0') : MAX_NUMBER;
	return p->i > start ? 0 : fail(p, what);
}

static int put(struct parser *p, uint8_t c)
{
	if (p->used == p->cap)
		return fail_at(p, p->i, -ENOSPC, "too little room for unquoted text");
	p->scratch[p->used++] = c;
	return 0;
}

/* The raw octets without the CRLFs of folds; `unquote`: and without quotes and backslashes. */
static int plain(struct parser *p, struct str raw, bool unquote, struct str *out)
{
	size_t start = p->used;
	int rc = 0;

	if (unquote)
		raw = str_make(raw.p + 1, raw.n - 2);
	if (str_find(raw, '\r') == raw.n && (!unquote || str_find(raw, '\\') == raw.n)) {
		*out = raw;
		return 0;
	}
	for (size_t i = 0; i < raw.n && !rc; i++) {
		if (raw.p[i] == '\r' || raw.p[i] == '\n')
			continue;
		if (unquote && raw.p[i] == '\\')
			i++;
		rc = put(p, raw.p[i]);
	}
	*out = str_make(p->scratch + start, p->used - start);
	return rc;
}

static int quoted(struct parser *p, struct str *raw)
{
	size_t n = authres_quoted_len(p->s, p->i);

	if (!n)
		return fail(p, "a quoted string that does not end");
	*raw = str_make(p->s.p + p->i, n);
	/* RFC 5322 3.2.1: a fold cannot be quoted. */
	for (size_t i = 0; i + 1 < n; i++)
		if (raw->p[i] == '\\' && raw->p[++i] == '\r')
			return fail_at(p, p->i + i, -EBADMSG, "a quoted line end");
	p->i += n;
	return 0;
}

/* Octets that may stand in a value without quotes; `loose`: that some write so. */
static bool is_bare(uint8_t c, bool loose)
{
	if (c & 0x80)
		return true;
	return ascii_is_vchar(c) && !memchr("();\"", c, 4) && (loose || !memchr("<>,:\\[]", c, 7));
}

static struct str bare(struct parser *p, bool loose)
{
	size_t start = p->i;

	while (p->i < p->s.n && is_bare(p->s.p[p->i], loose))
		p->i++;
	return str_make(p->s.p + start, p->i - start);
}

/* value = token / quoted-string */
static int value(struct parser *p, struct str *out, const char *what)
{
	size_t start = p->i;
	struct str raw;
	int rc;

	if (at(p, '"')) {
		rc = quoted(p, &raw);
		return rc ? rc : plain(p, raw, true, out);
	}
	*out = bare(p, p->as_found);
	if (authres_is_token(*out, true))
		return 0;
	if (out->n && p->as_found)
		return liberty(p, AUTHRES_LOOSE_VALUE, what);
	return fail_at(p, start, -EBADMSG, what);
}

/* [[local-part] "@"] domain-name whose local-part is quoted: it stays as it is written, or else
 * nobody could tell which "@" is the one. */
static int quoted_address(struct parser *p, size_t start, struct str *out)
{
	struct str domain;

	p->i++;
	domain = bare(p, false);
	/* With the "@" in front it is an address without local-part. */
	if (!authres_is_address(str_make(domain.p - 1, domain.n + 1), true))
		return fail_at(p, start, -EBADMSG, "a mailbox with a bad domain");
	return plain(p, str_make(p->s.p + start, p->i - start), false, out);
}

static int pvalue(struct parser *p, struct str *out)
{
	static const char what[] = "a value that needs quotes";
	size_t start = p->i;
	struct str raw;
	int rc;

	if (at(p, '"')) {
		rc = quoted(p, &raw);
		if (rc)
			return rc;
		return at(p, '@') ? quoted_address(p, start, out) : plain(p, raw, true, out);
	}
	*out = bare(p, p->as_found);
	if (authres_is_token(*out, true) || authres_is_address(*out, true))
		return 0;
	if (p->as_found)
		return liberty(p, AUTHRES_LOOSE_VALUE, what);
	return fail_at(p, start, -EBADMSG, out->n ? what : "no value");
}

static int reasonspec(struct parser *p)
{
	int rc = 0;

	if (p->result->reason.p)
		return fail(p, "a second reason");
	if (p->result->n_props)
		rc = liberty(p, AUTHRES_LATE_REASON, "a reason behind a property");
	return rc ? rc : value(p, &p->result->reason, "a reason that needs quotes");
}

static int propspec(struct parser *p, struct str ptype, struct str property)
{
	struct authres_propspec *prop = &p->out->props[p->out->n_props];

	if (p->out->n_props == LIMIT_AUTHRES_PROPS)
		return fail_at(p, p->i, -E2BIG, "too many properties");
	*prop = (struct authres_propspec){.ptype = ptype, .property = property};
	p->out->n_props++;
	p->result->n_props++;
	return pvalue(p, &prop->value);
}

/* "reason=..." or "ptype.property=..." */
static int item(struct parser *p)
{
	struct str first, second = STR_NONE;
	size_t start = p->i;
	int rc = need_keyword(p, &first, "no property, reason or semicolon");

	if (!rc)
		rc = skip(p);
	if (!rc && at(p, '.')) {
		rc = need(p, '.', "");
		if (!rc)
			rc = need_keyword(p, &second, "no name of a property behind the dot");
		if (!rc)
			rc = skip(p);
	}
	if (!rc)
		rc = need(p, '=', "no equals sign behind a property");
	if (rc)
		return rc;
	if (second.n)
		return propspec(p, first, second);
	if (str_ieq(first, STR("reason")))
		return reasonspec(p);
	if (!p->as_found)
		return fail_at(p, start, -EBADMSG, "a property without its type");
	p->out->liberties |= AUTHRES_BARE_PAIR;
	return propspec(p, STR_NONE, first);
}

static int items(struct parser *p)
{
	for (;;) {
		size_t before = p->i;
		int rc = skip(p);

		if (rc || at_end(p))
			return rc;
		/* Only what ends in a quote may touch what comes next (RFC 8601 2.2: pvalue). */
		if (p->i == before && !(p->result->n_props && p->s.p[p->i - 1] == '"'))
			return fail(p, "a character that may not stand here");
		rc = item(p);
		if (rc)
			return rc;
	}
}

/* Behind the method's name. */
static int resinfo(struct parser *p, struct str method)
{
	int rc = 0;

	if (p->out->n_results == LIMIT_AUTHRES_RESULTS)
		return fail_at(p, p->i, -E2BIG, "too many results");
	p->result = &p->out->results[p->out->n_results++];
	*p->result = (struct authres_resinfo){
		.method = method, .version = 1, .first_prop = p->out->n_props};
	if (at(p, '/')) {
		rc = need(p, '/', "");
		if (!rc)
			rc = number(p, &p->result->version, "no version behind the slash");
		if (!rc)
			rc = skip(p);
	}
	if (!rc)
		rc = need(p, '=', "no equals sign behind a method");
	if (!rc)
		rc = need_keyword(p, &p->result->result, "no result");
	return rc ? rc : items(p);
}

/* Behind a semicolon, or at the begin of a field without authserv-id. */
static int result_or_none(struct parser *p, unsigned int *nones)
{
	struct str word;
	int rc = skip(p);

	if (rc)
		return rc;
	if (at_end(p))
		return liberty(p, AUTHRES_EMPTY_RESULT, "no result behind a semicolon");
	rc = need_keyword(p, &word, "no method");
	if (!rc)
		rc = skip(p);
	if (rc)
		return rc;
	if (str_ieq(word, STR("none")) && at_end(p)) {
		++*nones;
		return 0;
	}
	return resinfo(p, word);
}

/* authserv-id [CFWS authres-version] */
static int head(struct parser *p)
{
	size_t before;
	int rc = value(p, &p->out->authserv_id, "no authserv-id");

	if (!rc && !p->out->authserv_id.n)
		rc = fail_at(p, 0, -EBADMSG, "an empty authserv-id");
	before = p->i;
	if (!rc)
		rc = skip(p);
	if (rc || at_end(p))
		return rc;
	if (p->i == before)
		return fail(p, "a character that may not stand in an authserv-id");
	rc = number(p, &p->out->version, "neither version nor semicolon behind the authserv-id");
	if (!rc)
		rc = skip(p);
	return rc || at_end(p) ? rc : fail(p, "no semicolon behind the version");
}

/* Does the field begin with a result? No authserv-id has an equals sign. */
static bool no_id(struct parser *p)
{
	size_t start = p->i, i;
	bool yes = authres_is_keyword(keyword(p));

	i = authres_skip_cfws(p->s, p->i);
	yes &= i < p->s.n && p->s.p[i] == '=';
	p->i = start;
	return yes;
}

static int field(struct parser *p)
{
	unsigned int nones = 0;
	int rc = check_octets(p);

	if (!rc)
		rc = skip(p);
	if (!rc && p->as_found && no_id(p)) {
		p->out->liberties |= AUTHRES_NO_ID;
		rc = result_or_none(p, &nones);
	} else if (!rc) {
		rc = head(p);
	}
	if (!rc && p->i >= p->s.n && !p->out->n_results)
		rc = liberty(p, AUTHRES_EMPTY_RESULT, "neither results nor \"none\"");
	while (!rc && p->i < p->s.n) {
		p->i++;
		rc = result_or_none(p, &nones);
		if (!rc && nones && nones + p->out->n_results > 1)
			rc = fail(p, "\"none\" beside results");
	}
	return rc;
}

int authres_parse(struct str text, enum authres_grammar grammar, uint8_t *scratch, size_t cap,
		  struct authres *out)
{
	struct parser p = {.s = text,
			   .as_found = grammar == AUTHRES_AS_FOUND,
			   .scratch = scratch,
			   .cap = cap,
			   .out = out};
	int rc;

	out->authserv_id = STR_NONE;
	out->version = 1;
	out->liberties = out->n_results = out->n_props = 0;
	out->error.what = NULL;
	out->error.at = 0;
	rc = field(&p);
	if (rc) {
		out->liberties = out->n_results = out->n_props = 0;
		out->authserv_id = STR_NONE;
	}
	return rc;
}

struct str authres_prop(const struct authres *a, const struct authres_resinfo *r, const char *ptype,
			const char *property)
{
	struct str found = STR_NONE;

	for (unsigned int i = r->first_prop; i < r->first_prop + r->n_props; i++) {
		const struct authres_propspec *prop = &a->props[i];

		if (!str_ieq(prop->ptype, str_c(ptype)) ||
		    !str_ieq(prop->property, str_c(property)))
			continue;
		if (found.p && !str_eq(found, prop->value))
			return STR_NONE;
		found = prop->value;
	}
	return found;
}

struct str authres_instance(struct str s, unsigned int *instance)
{
	size_t i = authres_skip_cfws(s, 0), digits;
	unsigned int n = 0;

	*instance = 0;
	if (i >= s.n || ascii_lower(s.p[i]) != 'i')
		return s;
	i = authres_skip_cfws(s, i + 1);
	if (i >= s.n || s.p[i] != '=')
		return s;
	i = authres_skip_cfws(s, i + 1);
	for (digits = 0; i < s.n && ascii_is_digit(s.p[i]); digits++)
		n = n < 1000 ? n * 10 + (s.p[i++] - '0') : (i++, n);
	i = authres_skip_cfws(s, i);
	if (digits == 0 || i >= s.n || s.p[i] != ';')
		return s;
	*instance = n < 1000 ? n : 0;
	return str_skip(s, i + 1);
}
