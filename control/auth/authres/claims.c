/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <idn2.h>
#include <stdio.h>

#include "control/auth/authres/authres.h"
#include "control/auth/authres/authres_parse.h"
#include "control/auth/authres/lex.h"
#include "postern/utf8.h"

/*
 * Readers of this field differ: some take comments into account, some do not; some fold case or
 * Unicode. A field claims our id if any of them could read it so. What parses is compared as a
 * whole; what does not parse is searched.
 */

#define MAX_ID 1024       /* octets of a folded id; nobody's real one is longer */
#define MAX_UNUSUAL 256   /* code points beyond ASCII that are looked up */

/* ---- folding ------------------------------------------------------------------------------ */

struct fold {
	uint8_t text[MAX_ID];
	size_t n;
	size_t unusual;
	bool overflow;
};

static void fold_put(struct fold *f, uint8_t c)
{
	if (f->n == sizeof(f->text))
		f->overflow = true;
	else
		f->text[f->n++] = ascii_lower(c);
}

/* A code point beyond ASCII as IDNA (UTS 46) maps it: full-width and mathematical letters become
 * plain ones, invisible ones vanish. What stays outside ASCII can be no part of an ASCII id, but
 * must not join its neighbours either. */
static void fold_unusual(struct fold *f, struct str octets, long cp)
{
	char text[8] = {0};
	uint8_t *mapped = NULL;

	/* UTS 46: full stops of other scripts separate labels. */
	if (cp == 0x3002 || cp == 0xff0e || cp == 0xff61 || cp == 0x2024) {
		fold_put(f, '.');
		return;
	}
	/* Invisible: soft hyphen, joiners, zero width, variation selectors, BOM, spaces. */
	if (cp == 0xad || cp == 0x34f || cp == 0x61c || (cp >= 0x180b && cp <= 0x180f) ||
	    (cp >= 0x2000 && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202f) ||
	    (cp >= 0x205f && cp <= 0x206f) || (cp >= 0xfe00 && cp <= 0xfe0f) || cp == 0xfeff ||
	    cp == 0xa0 || cp == 0x3000 || (cp >= 0x80 && cp < 0xa0) || cp >= 0xe0000)
		return;
	if (++f->unusual > MAX_UNUSUAL) {
		f->overflow = true;
		return;
	}
	memcpy(text, octets.p, octets.n);
	if (idn2_lookup_u8((uint8_t *)text, &mapped, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) ==
		    IDN2_OK &&
	    !str_istarts(str_c((char *)mapped), STR("xn--")))
		for (size_t i = 0; mapped[i]; i++)
			fold_put(f, mapped[i]);
	else
		fold_put(f, 0xff);
	idn2_free(mapped);
}

/* Adds s with case, compatibility forms, white space, controls, quotes and broken octets gone. */
static void fold_text(struct fold *f, struct str s)
{
	size_t len;

	for (size_t i = 0; i < s.n && !f->overflow; i += len) {
		long cp = utf8_at(s, i, &len);

		if (cp < 0 || cp <= 0x20 || cp == 0x7f || cp == '"' || cp == '\\')
			continue;
		if (cp < 0x80)
			fold_put(f, (uint8_t)cp);
		else
			fold_unusual(f, str_make(s.p + i, len), cp);
	}
}

static struct str fold_str(const struct fold *f)
{
	struct str s = str_make(f->text, f->n);

	while (s.n && s.p[s.n - 1] == '.')
		s.n--;
	return s;
}

static bool contains(struct str s, struct str what)
{
	return what.n && memmem(s.p, s.n, what.p, what.n) != NULL;
}

/* ---- grammar ------------------------------------------------------------------------------ */

/* RFC 8601 2.2: [CFWS] authserv-id [CFWS version] [CFWS] (";" or end). False: it is not that. */
static bool parse_id(struct str s, struct str *id)
{
	size_t i = authres_skip_cfws(s, 0), start = i, len;
	bool spaced;

	if (i >= s.n)
		return false;
	if (s.p[i] == '"') {
		i += authres_quoted_len(s, i);
		if (i == start)
			return false;
	} else {
		for (; i < s.n && !ascii_is_wsp_crlf(s.p[i]) && s.p[i] != ';' && s.p[i] != '(';
		     i += len)
			if (utf8_at(s, i, &len) < 0 ||
			    (s.p[i] < 0x80 && (!ascii_is_vchar(s.p[i]) ||
					       memchr("<>@,:\\\"/[]?=)", s.p[i], 13))))
				return false;
	}
	*id = str_make(s.p + start, i - start);
	start = i;
	i = authres_skip_cfws(s, i);
	spaced = i > start;
	if (spaced && i < s.n && ascii_is_digit(s.p[i])) {
		while (i < s.n && ascii_is_digit(s.p[i]))
			i++;
		i = authres_skip_cfws(s, i);
	}
	return id->n && (i == s.n || (i < s.n && s.p[i] == ';'));
}

/* What stands in front of the first semicolon outside of comments and quotes. If one of those does
 * not end, nobody can say where the id is: all of it. */
static struct str before_semicolon(struct str s)
{
	size_t i = 0;

	while (i < s.n && s.p[i] != ';') {
		size_t k = s.p[i] == '('   ? authres_comment_len(s, i)
			   : s.p[i] == '"' ? authres_quoted_len(s, i)
					   : 1;

		if (k == 0)
			return s;
		i += k;
	}
	return str_cut(s, i);
}

static bool searched(struct str region, struct str id)
{
	struct fold with = {0}, without = {0};
	unsigned int unclosed = 0;

	/* Once with the comments' text, for readers that know no comments, once without. The first
	 * bounds what the second can cost: a comment that never closes is looked for to the end. */
	fold_text(&with, region);
	if (with.overflow)
		return true;
	for (size_t i = 0, start; i < region.n;) {
		size_t k;

		for (start = i; i < region.n && region.p[i] != '(';)
			i++;
		fold_text(&without, str_make(region.p + start, i - start));
		if (i == region.n)
			break;
		k = authres_comment_len(region, i);
		/* In a long value that takes too long, and no honest one is like that. */
		if (!k && ++unclosed > LIMIT_AUTHRES_NESTING && region.n > 2 * MAX_ID)
			return true;
		i += k ? k : 1;
	}
	return without.overflow || contains(fold_str(&with), id) ||
	       contains(fold_str(&without), id);
}

/* The whole id as IDNA reads it, for an id of ours in A-labels. */
static bool same_in_idna(struct str id, struct str ours)
{
	char text[256] = {0};
	uint8_t *alabel = NULL;
	bool same = false;

	id = str_trim(id);
	if (id.n >= 2 && id.p[0] == '"')
		id = str_make(id.p + 1, id.n - 2);
	if (id.n == 0 || id.n >= sizeof(text) || memchr(id.p, '\0', id.n))
		return false;
	memcpy(text, id.p, id.n);
	if (idn2_lookup_u8((uint8_t *)text, &alabel, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) ==
	    IDN2_OK)
		same = str_ieq(str_c((char *)alabel), ours);
	idn2_free(alabel);
	return same;
}

static bool claims(struct str value, struct str ours)
{
	struct fold f = {0};
	struct str id;

	if (!parse_id(value, &id))
		return searched(before_semicolon(value), ours);
	fold_text(&f, id);
	return f.overflow || str_eq(fold_str(&f), ours) || same_in_idna(id, ours);
}

bool authres_claims(struct str value, struct str authserv_id)
{
	struct fold ours = {0};
	unsigned int instance;
	struct str rest;

	fold_text(&ours, authserv_id);
	if (ours.n == 0)
		return false;
	if (claims(value, fold_str(&ours)))
		return true;
	rest = authres_instance(value, &instance);
	return rest.p != value.p && claims(rest, fold_str(&ours));
}
