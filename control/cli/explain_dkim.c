/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Which signature broke, by what, and as far as the message tells: where. */

#include <stdio.h>
#include <string.h>

#include "control/cli/explain.h"

/* Fields of products that are known to rewrite what they pass on. */
static const struct {
	const char *prefix, *name;
} modifiers[] = {
	{"X-Mimecast-", "Mimecast"},
	{"X-Proofpoint-", "Proofpoint"},
	{"X-PPE-", "Proofpoint Essentials"},
	{"X-Barracuda-", "Barracuda"},
	{"X-BESS-", "Barracuda"},
	{"X-IronPort-", "Cisco"},
	{"X-Sophos-", "Sophos"},
	{"X-TM-", "Trend Micro"},
	{"X-CFEmailSecurity-", "Cloudflare"},
	{"X-hornetsecurity-", "Hornetsecurity"},
	{"X-antispameurope-", "Hornetsecurity"},
	{"List-Id", "a mailing list"},
	{"X-Mailman-Version", "Mailman"},
};

static bool starts_with_any(const char *s, const char *const *prefix, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strncmp(s, prefix[i], strlen(prefix[i])))
			return true;
	return false;
}

static bool is_missing(const struct headers *h, struct str name)
{
	return headers_find(h, name, 0) >= h->n;
}

const char *explain_dkim_kind(const struct headers *h, const struct dkim_signature *sig)
{
	static const char *const key[] = {"key", "no key", "malformed key", "p= ", "RSA key"};

	if (sig->result == DKIM_PASS || sig->result == DKIM_NONE)
		return "";
	if (sig->result == DKIM_POLICY || sig->result == DKIM_NEUTRAL)
		return "policy";
	if (!strcmp(sig->reason, "body hash did not verify") ||
	    !strcmp(sig->reason, "l= is larger than the body"))
		return "body";
	if (!strcmp(sig->reason, "signature did not verify")) {
		for (size_t i = 0; i < sig->n_signed; i++)
			if (is_missing(h, sig->signed_names[i]))
				return "missing-field";
		return "header";
	}
	return starts_with_any(sig->reason, key, sizeof(key) / sizeof(key[0])) ? "key" : "other";
}

static void add_word(char *out, size_t cap, struct str word)
{
	size_t n = strlen(out);
	char one[128];
	size_t k = 0;

	for (size_t i = 0; i < word.n && k + 1 < sizeof(one); i++)
		if (ascii_is_vchar(word.p[i]))
			one[k++] = (char)word.p[i];
	one[k] = '\0';
	if (k && n + k + 3 < cap)
		snprintf(out + n, cap - n, "%s%s", n ? ", " : "", one);
}

/* "dkim=pass" for this domain: a server that took the message while it was whole. */
static bool says_pass(struct str value, const char *domain)
{
	size_t n = strlen(domain);

	for (; value.n >= 9; value = str_skip(value, 1)) {
		struct str result;

		if (!str_istarts(value, STR("dkim=pass")))
			continue;
		result = str_cut(value, str_find(value, ';'));
		for (; result.n >= 9 + n; result = str_skip(result, 1)) {
			struct str d;
			bool tag = str_istarts(result, STR("header.d=")) ||
				   str_istarts(result, STR("header.i=@"));

			if (!tag)
				continue;
			d = str_skip(result, ascii_lower(result.p[7]) == 'i' ? 10 : 9);
			if (str_istarts(d, str_c(domain)) &&
			    (d.n == n || d.p[n] == ';' || ascii_is_wsp_crlf(d.p[n])))
				return true;
		}
	}
	return false;
}

/* The topmost result that still says pass: what broke the signature stands above it. */
static long last_pass(const struct headers *h, const char *domain)
{
	for (size_t i = 0; i < h->n; i++) {
		struct str name = header_name(h, i);

		if ((str_ieq(name, STR("Authentication-Results")) ||
		     str_ieq(name, STR("ARC-Authentication-Results")) ||
		     str_ieq(name, STR("X-Original-Authentication-Results"))) &&
		    says_pass(header_value(h, i), domain))
			return (long)i;
	}
	return -1;
}

/* Who may have changed it: servers above `pass` (all below the signature's writer if -1). */
static void suspects(const struct explanation *e, long pass, long signature, char *out, size_t cap)
{
	long below = pass >= 0 ? pass : signature;

	out[0] = '\0';
	for (size_t i = 0; i < e->hops.n_hops; i++)
		if (e->hops.hop[i].field < below && e->hops.hop[i].by[0])
			add_word(out, cap, str_c(e->hops.hop[i].by));
}

static void products(const struct headers *h, char *out, size_t cap)
{
	const char *last = "";

	out[0] = '\0';
	for (size_t k = 0; k < sizeof(modifiers) / sizeof(modifiers[0]); k++)
		for (size_t i = 0; i < h->n; i++)
			if (str_istarts(header_name(h, i), str_c(modifiers[k].prefix)) &&
			    strcmp(last, modifiers[k].name) != 0) {
				last = modifiers[k].name;
				size_t n = strlen(out);

				snprintf(out + n, cap - n, "%s%s", n ? ", " : "", last);
				break;
			}
}

static void modified(struct explanation *e, const struct dkim_signature *sig, const char *what)
{
	const struct headers *h = &e->look.headers;
	long pass = last_pass(h, sig->domain);
	char by[256], names[160];
	struct finding *f;

	suspects(e, pass, (long)sig->field, by, sizeof(by));
	products(h, names, sizeof(names));
	f = explain_add(e, "modified-upstream", (long)sig->field,
			"%s of the message signed by %.80s was changed on its way%s%s%s%s%s%s",
			what, sig->domain,
			pass >= 0 ? ", after a server had found the signature whole" : "",
			by[0] ? "; it went through: " : "", by, names[0] ? " (fields of: " : "",
			names, names[0] ? ")" : "");
	if (f)
		snprintf(f->advice, sizeof(f->advice),
			 "Cannot be repaired behind that server: the signed octets are gone. Stop "
			 "the change there "
			 "(footers, banners, subject tags, link rewriting, re-encoding), verify "
			 "DKIM in front of it, "
			 "or have it seal with ARC and trust it as a sealer.");
}

static void missing(struct explanation *e, const struct dkim_signature *sig)
{
	char list[256] = "";

	for (size_t i = 0; i < sig->n_signed; i++)
		if (is_missing(&e->look.headers, sig->signed_names[i]))
			add_word(list, sizeof(list), sig->signed_names[i]);
	explain_add(e, "signed-field-missing", (long)sig->field,
		    "the signature of %.80s covers fields that the message does not have: %s; "
		    "either a server removed "
		    "one, or the signer forbade to add them",
		    sig->domain, list);
}

static void one(struct explanation *e, const struct dkim_signature *sig)
{
	const char *kind = explain_dkim_kind(&e->look.headers, sig);
	struct finding *f;

	if (!kind[0])
		return;
	if (!strcmp(kind, "body")) {
		modified(e, sig, "the body");
	} else if (!strcmp(kind, "header")) {
		modified(e, sig, "a signed header field");
	} else if (!strcmp(kind, "missing-field")) {
		missing(e, sig);
		modified(e, sig, "a signed header field");
	} else if (!strcmp(kind, "key")) {
		f = explain_add(e, "signer-key", (long)sig->field,
				"the key %.60s._domainkey.%.80s: %s", sig->selector, sig->domain,
				sig->reason);
		if (f)
			snprintf(f->advice, sizeof(f->advice),
				 "Nothing changed the message: the signer's DNS has to be put "
				 "right, or the message is old "
				 "and its key was withdrawn.");
	} else {
		explain_add(e, "signature-unusable", (long)sig->field,
			    "the signature of %.80s does not count: %s",
			    sig->domain[0] ? sig->domain : "(no usable domain)", sig->reason);
	}
}

void explain_dkim(struct explanation *e)
{
	const struct dkim_results *r = look_dkim(&e->look);

	for (size_t i = 0; r && i < r->n; i++)
		one(e, &r->sig[i]);
}
