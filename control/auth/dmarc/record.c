/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/auth/dmarc/record.h"

const char *dmarc_policy_name(enum dmarc_policy p)
{
	static const char *const name[] = {"none", "quarantine", "reject"};

	return name[p];
}

static struct str trim_wsp(struct str s)
{
	while (s.n && ascii_is_wsp(s.p[0]))
		s = str_skip(s, 1);
	while (s.n && ascii_is_wsp(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* Takes "name = value" up to the next ";" off *rest. False: it is no tag. */
static bool next_tag(struct str *rest, struct str *name, struct str *value)
{
	size_t end = str_find(*rest, ';');
	struct str tag = str_cut(*rest, end);
	size_t eq = str_find(tag, '=');

	*rest = str_skip(*rest, end + 1);
	*name = trim_wsp(str_cut(tag, eq));
	*value = trim_wsp(str_skip(tag, eq + 1));
	return eq < tag.n && name->n;
}

bool dmarc_record_is(struct str text)
{
	struct str name, value;

	/* RFC 9989 4.8: the first tag, at the first octet; the value is case-sensitive. */
	return text.n && text.p[0] == 'v' && next_tag(&text, &name, &value) && name.n == 1 &&
	       str_eq(value, STR("DMARC1"));
}

static bool read_policy(struct str v, enum dmarc_policy *out)
{
	for (unsigned int p = DMARC_POLICY_NONE; p <= DMARC_POLICY_REJECT; p++)
		if (str_ieq(v, str_c(dmarc_policy_name(p)))) {
			*out = p;
			return true;
		}
	return false;
}

static void keep(struct str v, char *out, size_t cap)
{
	if (v.n >= cap)
		return;
	for (size_t i = 0; i < v.n; i++)
		if (!ascii_is_vchar(v.p[i]) && v.p[i] != ' ')
			return;
	if (v.n)
		memcpy(out, v.p, v.n);
	out[v.n] = '\0';
}

/* Scheme, colon and something behind it, in one of the elements. */
static bool has_uri(struct str list)
{
	while (list.n) {
		size_t end = str_find(list, ',');
		struct str uri = trim_wsp(str_cut(list, end));
		size_t colon = str_find(uri, ':');
		bool ok = colon > 0 && colon + 1 < uri.n && ascii_is_alpha(uri.p[0]);

		for (size_t i = 0; i < uri.n; i++)
			ok = ok && ascii_is_vchar(uri.p[i]) &&
			     (i > colon || ascii_is_alnum(uri.p[i]) || i == colon ||
			      memchr("+-.", uri.p[i], 3));
		if (ok)
			return true;
		list = str_skip(list, end + 1);
	}
	return false;
}

enum tag { T_P, T_SP, T_NP, T_T, T_PSD, T_ADKIM, T_ASPF, T_RUA, T_RUF, T_FO, T_COUNT };

static void read_tag(struct dmarc_record *r, enum tag tag, struct str v, bool *rua, bool *bad)
{
	switch (tag) {
	case T_P: r->has_p = read_policy(v, &r->p); break;
	case T_SP:
		r->has_sp = read_policy(v, &r->sp);
		*bad |= !r->has_sp;
		break;
	case T_NP:
		r->has_np = read_policy(v, &r->np);
		*bad |= !r->has_np;
		break;
	case T_T: r->testing = str_ieq(v, STR("y")); break;
	case T_PSD:
		if (str_ieq(v, STR("y")) || str_ieq(v, STR("n")))
			r->psd = (char)ascii_lower(v.p[0]);
		break;
	case T_ADKIM: r->adkim_strict = str_ieq(v, STR("s")); break;
	case T_ASPF: r->aspf_strict = str_ieq(v, STR("s")); break;
	case T_RUA:
		*rua = has_uri(v);
		keep(v, r->rua, sizeof(r->rua));
		break;
	case T_RUF: keep(v, r->ruf, sizeof(r->ruf)); break;
	default: keep(v, r->fo, sizeof(r->fo));
	}
}

bool dmarc_record_parse(struct str text, struct dmarc_record *out)
{
	static const char *const tags[T_COUNT] = {"p", "sp", "np", "t", "psd", "adkim", "aspf",
						  "rua", "ruf", "fo"};
	bool seen[T_COUNT] = {false}, rua = false, bad = false;
	struct str name, value;

	*out = (struct dmarc_record){.psd = 'u', .fo = "0"};
	if (!dmarc_record_is(text))
		return false;
	while (text.n) {
		if (!next_tag(&text, &name, &value))
			continue;
		for (unsigned int t = 0; t < T_COUNT; t++)
			if (!seen[t] && str_ieq(name, str_c(tags[t]))) {
				seen[t] = true;
				read_tag(out, t, value, &rua, &bad);
			}
	}
	/* RFC 9989 4.10.1: with an invalid sp or np as without a valid p there is no policy; who
	 * wants reports gets reports. */
	if (!out->has_p || bad) {
		out->p = DMARC_POLICY_NONE;
		out->has_p = rua;
		out->has_sp = out->has_np = false;
	}
	if (!out->has_sp)
		out->sp = out->p;
	if (!out->has_np)
		out->np = out->sp;
	return true;
}
