/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/auth/spf/spf_grammar.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#define VERSION_LEN 6 /* "v=spf1" */

static const char delimiters[] = ".-+,/_=";
/* Macros whose value hangs on more than address and domain. */
static const char sender_letters[] = "slohp";

bool spf_is_record(struct str t)
{
	return str_istarts(t, STR("v=spf1")) && (t.n == VERSION_LEN || t.p[VERSION_LEN] == ' ');
}

bool spf_mech_looks_up(enum spf_mechanism m)
{
	return m != SPF_MECH_ALL && m != SPF_MECH_IP4 && m != SPF_MECH_IP6;
}

/* Length of the macro-expand at the start of s ("%{...}", "%%", "%_", "%-"), 0 if malformed. */
static size_t macro_expand(struct str s, bool explain)
{
	size_t i = 2;
	uint8_t c;

	if (s.n < 2 || s.p[0] != '%')
		return 0;
	if (s.p[1] == '%' || s.p[1] == '_' || s.p[1] == '-')
		return 2;
	if (s.p[1] != '{' || s.n < 4)
		return 0;
	c = ascii_lower(s.p[i++]);
	/* RFC 7208 7.2: c, r and t only in explanations. */
	if (!memchr("slodiphv", c, 8) && !(explain && (c == 'c' || c == 'r' || c == 't')))
		return 0;
	if (i < s.n && ascii_is_digit(s.p[i])) {
		unsigned int v = 0;

		while (i < s.n && ascii_is_digit(s.p[i])) {
			v = v * 10 + (s.p[i++] - '0');
			if (v > 255) /* names have at most 127 labels */
				v = 255;
		}
		if (v == 0) /* RFC 7208 7.3: nonzero */
			return 0;
	}
	if (i < s.n && ascii_lower(s.p[i]) == 'r')
		i++;
	while (i < s.n && memchr(delimiters, s.p[i], sizeof(delimiters) - 1))
		i++;
	return i < s.n && s.p[i] == '}' ? i + 1 : 0;
}

bool spf_macro_string_valid(struct str s, bool explain)
{
	while (s.n) {
		size_t k = 1;

		if (s.p[0] == '%')
			k = macro_expand(s, explain);
		else if (!ascii_is_vchar(s.p[0]) && !(explain && s.p[0] == ' '))
			k = 0;
		if (k == 0)
			return false;
		s = str_skip(s, k);
	}
	return true;
}

/* toplabel: letters, digits, inner hyphens, not all digits. */
static bool toplabel(struct str s)
{
	bool other = false;

	if (s.n == 0 || !ascii_is_alnum(s.p[0]) || !ascii_is_alnum(s.p[s.n - 1]))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_alnum(s.p[i]) && s.p[i] != '-')
			return false;
		if (!ascii_is_digit(s.p[i]))
			other = true;
	}
	return other;
}

/* domain-spec = macro-string domain-end; domain-end = ( "." toplabel [ "." ] ) / macro-expand */
static bool domain_spec(struct str s)
{
	size_t end = 0, dot;

	if (!spf_macro_string_valid(s, false))
		return false;
	for (size_t i = 0; i < s.n;) {
		size_t k = s.p[i] == '%' ? macro_expand(str_skip(s, i), false) : 1;

		if (k > 1)
			end = i + k;
		i += k;
	}
	if (s.n && end == s.n)
		return true;
	/* The dot and the top label lie behind the last macro. */
	if (s.n && s.p[s.n - 1] == '.')
		s.n--;
	for (dot = s.n; dot > end && s.p[dot - 1] != '.'; dot--)
		;
	return dot > end && dot > 0 && toplabel(str_skip(s, dot));
}

/* Decimal without leading zeros at s, all of it. */
static bool cidr(struct str s, unsigned int max, uint8_t *out)
{
	unsigned int v = 0;

	if (s.n == 0 || s.n > 3 || (s.n > 1 && s.p[0] == '0'))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_digit(s.p[i]))
			return false;
		v = v * 10 + (s.p[i] - '0');
	}
	*out = (uint8_t)v;
	return v <= max;
}

/* Cuts "/n" off the end of s if its last slash is followed by digits only. *slash: where. */
static bool tail(struct str s, size_t *slash)
{
	size_t i = s.n;

	while (i && ascii_is_digit(s.p[i - 1]))
		i--;
	if (i == s.n || i == 0 || s.p[i - 1] != '/')
		return false;
	*slash = i - 1;
	return true;
}

/* dual-cidr-length at the end of *s, cut off. */
static const char *dual_cidr(struct str *s, struct spf_term *t)
{
	size_t at;

	if (!tail(*s, &at))
		return NULL;
	if (at && s->p[at - 1] == '/') {
		if (!cidr(str_skip(*s, at + 1), 128, &t->prefix6))
			return "IPv6 prefix length is not 0 to 128";
		s->n = at - 1;
		if (!tail(*s, &at))
			return NULL;
	}
	if (!cidr(str_skip(*s, at + 1), 32, &t->prefix4))
		return "IPv4 prefix length is not 0 to 32";
	s->n = at;
	return NULL;
}

/* ":" domain-spec. `s` begins at the colon. */
static const char *take_domain(struct str s, struct spf_term *t, bool needed)
{
	if (s.n == 0)
		return needed ? "domain missing" : NULL;
	if (s.p[0] != ':')
		return "unexpected character behind the mechanism's name";
	s = str_skip(s, 1);
	if (!domain_spec(s))
		return s.n ? "malformed domain-spec" : "empty domain";
	t->domain = s;
	return NULL;
}

static const char *take_ip4(struct str s, struct spf_term *t)
{
	size_t slash;
	unsigned int part = 0;

	if (s.n < 2 || s.p[0] != ':')
		return "ip4 wants an address";
	s = str_skip(s, 1);
	slash = str_find(s, '/');
	if (slash < s.n && !cidr(str_skip(s, slash + 1), 32, &t->prefix4))
		return "IPv4 prefix length is not 0 to 32";
	s.n = slash;
	for (; part < 4; part++) {
		size_t k = part < 3 ? str_find(s, '.') : s.n;

		if ((part < 3 && k == s.n) || !cidr(str_cut(s, k), 255, &t->addr[part]))
			return "not an IPv4 address";
		s = str_skip(s, k + 1);
	}
	return NULL;
}

static const char *take_ip6(struct str s, struct spf_term *t)
{
	char text[64];
	size_t slash;

	if (s.n < 2 || s.p[0] != ':')
		return "ip6 wants an address";
	s = str_skip(s, 1);
	slash = str_find(s, '/');
	if (slash < s.n && !cidr(str_skip(s, slash + 1), 128, &t->prefix6))
		return "IPv6 prefix length is not 0 to 128";
	s.n = slash;
	if (s.n >= sizeof(text))
		return "not an IPv6 address";
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (strlen(text) != s.n || inet_pton(AF_INET6, text, t->addr) != 1)
		return "not an IPv6 address";
	return NULL;
}

static const struct {
	const char *name;
	enum spf_mechanism mech;
} mechanisms[] = {
	{"all", SPF_MECH_ALL}, {"include", SPF_MECH_INCLUDE}, {"a", SPF_MECH_A},
	{"mx", SPF_MECH_MX},   {"ptr", SPF_MECH_PTR},         {"ip4", SPF_MECH_IP4},
	{"ip6", SPF_MECH_IP6}, {"exists", SPF_MECH_EXISTS},
};

static const char *directive(struct str s, struct spf_term *t)
{
	size_t k = 0;
	const char *why;
	bool known = false;

	t->text = s;
	t->qualifier = '+';
	t->prefix4 = 32;
	t->prefix6 = 128;
	if (s.n && memchr("+-?~", s.p[0], 4)) {
		t->qualifier = (char)s.p[0];
		s = str_skip(s, 1);
	}
	while (k < s.n && s.p[k] != ':' && s.p[k] != '/')
		k++;
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]) && !known; i++) {
		if (str_ieq(str_cut(s, k), str_c(mechanisms[i].name))) {
			t->mech = mechanisms[i].mech;
			known = true;
		}
	}
	if (!known)
		return "unknown mechanism";
	s = str_skip(s, k);
	switch (t->mech) {
	case SPF_MECH_ALL:
		return s.n ? "all takes no argument" : NULL;
	case SPF_MECH_INCLUDE:
	case SPF_MECH_EXISTS:
		return take_domain(s, t, true);
	case SPF_MECH_PTR:
		return take_domain(s, t, false);
	case SPF_MECH_A:
	case SPF_MECH_MX:
		why = dual_cidr(&s, t);
		return why ? why : take_domain(s, t, false);
	case SPF_MECH_IP4:
		return take_ip4(s, t);
	case SPF_MECH_IP6:
		return take_ip6(s, t);
	}
	return "unknown mechanism";
}

/* name "=": length of the name, 0 if the term is no modifier. */
static size_t modifier_name(struct str s)
{
	size_t k = 0;

	if (s.n == 0 || !ascii_is_alpha(s.p[0]))
		return 0;
	while (k < s.n &&
	       (ascii_is_alnum(s.p[k]) || s.p[k] == '-' || s.p[k] == '_' || s.p[k] == '.'))
		k++;
	return k < s.n && s.p[k] == '=' ? k : 0;
}

static const char *modifier(struct spf_record *r, struct str s, size_t k)
{
	struct str name = str_cut(s, k), value = str_skip(s, k + 1);
	struct str *slot = NULL;

	if (str_ieq(name, STR("redirect")))
		slot = &r->redirect;
	else if (str_ieq(name, STR("exp")))
		slot = &r->exp;
	if (!slot) /* RFC 7208 6: unknown ones are ignored, but must be well-formed */
		return spf_macro_string_valid(value, true) ? NULL : "malformed macro in a modifier";
	/* RFC 7208 6: "MUST NOT appear in a record more than once each" */
	if (slot->n)
		return "modifier appears twice";
	if (!domain_spec(value))
		return "malformed domain-spec";
	*slot = value;
	return NULL;
}

bool spf_macro_uses(struct str s, const char *letters)
{
	for (size_t i = 0; i + 2 < s.n; i++) {
		if (s.p[i] != '%')
			continue;
		if (s.p[i + 1] == '{' && memchr(letters, ascii_lower(s.p[i + 2]), strlen(letters)))
			return true;
		i++; /* "%%" hides no macro */
	}
	return false;
}

static const char *take_term(struct spf_record *r, struct str s)
{
	struct spf_term *t = &r->term[r->n_terms];
	size_t k = modifier_name(s);
	const char *why;

	if (k)
		return modifier(r, s, k);
	memset(t, 0, sizeof(*t));
	why = directive(s, t);
	if (why)
		return why;
	if (spf_macro_uses(t->domain, sender_letters) ||
	    (t->mech == SPF_MECH_EXISTS && str_find(t->domain, '%') < t->domain.n))
		r->sender_macros = true;
	r->n_terms++;
	return NULL;
}

int spf_record_parse(struct spf_record *r, struct str text, const char **why, struct str *where)
{
	size_t spaces = 0;

	memset(r, 0, sizeof(*r));
	*where = text;
	if (text.n > SPF_RECORD_MAX) {
		*why = "record is too long";
		return -EINVAL;
	}
	if (!spf_is_record(text)) {
		*why = "no version";
		return -EINVAL;
	}
	for (size_t i = 0; i < text.n; i++)
		spaces += text.p[i] == ' ';
	r->term = calloc(spaces + 1, sizeof(*r->term));
	if (!r->term)
		return -ENOMEM;
	text = str_skip(text, VERSION_LEN);
	while (text.n) {
		size_t k;

		text = str_skip(text, 1); /* the space */
		k = str_find(text, ' ');
		*where = str_cut(text, k);
		if (k) {
			*why = take_term(r, *where);
			if (*why) {
				spf_record_free(r);
				return -EINVAL;
			}
		}
		text = str_skip(text, k);
	}
	if (spf_macro_uses(r->redirect, sender_letters) || spf_macro_uses(r->exp, sender_letters))
		r->sender_macros = true;
	return 0;
}

void spf_record_free(struct spf_record *r)
{
	free(r->term);
	memset(r, 0, sizeof(*r));
}
