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

/* Where links lead that were rewritten on the way. */
static const struct {
	const char *host, *name;
} rewriters[] = {
	{"safelinks.protection.outlook.com", "Microsoft Safe Links"},
	{"urldefense.proofpoint.com", "Proofpoint URL Defense"},
	{"urldefense.com/v3/", "Proofpoint URL Defense"},
	{".mimecast.com/s/", "Mimecast URL Protect"},
	{"linkprotect.cudasvc.com", "Barracuda Link Protection"},
	{"secure-web.cisco.com", "Cisco"},
	{"clicktime.symantec.com", "Symantec Click-Time"},
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

static const char *kind_by_reason(const struct headers *h, const struct dkim_signature *sig)
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

/* One more of a list with commas; what does not fit is left out. */
static void add_word(char *out, size_t cap, const char *before, struct str word)
{
	size_t n = strlen(out);
	char one[128];

	if (word.n && n + strlen(before) + word.n + 3 < cap)
		snprintf(out + n, cap - n, "%s%s%s", n ? ", " : "", before,
			 look_clean(word, one, sizeof(one)));
}

/* Index of the line behind which a server's work begins; `none` if it is not known. */
static long line_of(const struct explanation *e, const struct told *t, long none)
{
	long line = t ? explain_line_of(e, t) : -1;

	return line >= 0 ? line : t && t == e->host ? e->entry : none;
}

/* Who may have changed it: from the one that last found it whole (else from where it was signed) to
 * the one before whoever found it broken. Who verifies may change it afterwards. */
static void suspects(const struct explanation *e, const struct dkim_signature *sig,
		     const struct told *pass, char *out, size_t cap)
{
	const struct told *fail = told_dkim(&e->told, sig->domain, "fail", pass);
	long below = pass ? pass->field : (long)sig->field, last = -1;
	long first = line_of(e, fail, -1) + 1;

	for (size_t i = 0; i < e->hops.n_hops && e->hops.hop[i].field < below; i++)
		last = (long)i;
	last = line_of(e, pass, last);
	out[0] = '\0';
	for (long i = first; i <= last; i++)
		add_word(out, cap, "", str_c(e->hops.hop[i].by));
}

static bool in_body(const struct look *l, const char *text)
{
	size_t n = l->content.size - l->headers.body_off;

	return n && memmem(l->data + l->headers.body_off, n, text, strlen(text));
}

/* Products that left their fields, or their links. */
static void products(const struct look *l, char *out, size_t cap)
{
	const char *last = "";

	out[0] = '\0';
	for (size_t k = 0; k < sizeof(modifiers) / sizeof(modifiers[0]); k++)
		for (size_t i = 0; i < l->headers.n; i++)
			if (str_istarts(header_name(&l->headers, i), str_c(modifiers[k].prefix)) &&
			    strcmp(last, modifiers[k].name) != 0) {
				last = modifiers[k].name;
				add_word(out, cap, "fields of ", str_c(last));
				break;
			}
	for (size_t k = 0; k < sizeof(rewriters) / sizeof(rewriters[0]); k++)
		if (in_body(l, rewriters[k].host))
			add_word(out, cap, "links of ", str_c(rewriters[k].name));
}

/* ---- what was done -------------------------------------------------------------------------- */

static const struct undo *find_out(struct explanation *e, size_t i)
{
	struct undo *u = &e->undo[e->n_undo];

	if (e->n_undo == EXPLAIN_UNDO || undo_try(&e->look, &e->look.dkim->sig[i], u))
		return NULL;
	e->undo_of[e->n_undo++] = i;
	return u;
}

const struct undo *explain_undo(const struct explanation *e, size_t i)
{
	for (size_t k = 0; k < e->n_undo; k++)
		if (e->undo_of[k] == i)
			return &e->undo[k];
	return NULL;
}

static void add_steps(const struct undo_part *part, char *buf, size_t cap)
{
	for (size_t i = 0; i < part->n; i++) {
		size_t n = strlen(buf);

		snprintf(buf + n, cap - n, "%s%s", n ? " and " : "", part->step[i].text);
	}
}

const char *explain_dkim_kind(const struct explanation *e, size_t i)
{
	const struct undo *u = explain_undo(e, i);
	const char *kind = kind_by_reason(&e->look.headers, &e->look.dkim->sig[i]);

	/* A name that was signed and is not there is no fault, where it is known what is. */
	return u && u->header.n && !strcmp(kind, "missing-field") ? "header" : kind;
}

const char *explain_undo_text(const struct undo *u, char *buf, size_t cap)
{
	bool header = u->header.whole || u->header.n, body = u->body.whole || u->body.n;
	char steps[2 * UNDO_STEPS * UNDO_TEXT] = "";

	buf[0] = '\0';
	add_steps(&u->header, steps, sizeof(steps));
	add_steps(&u->body, steps, sizeof(steps));
	if (!steps[0])
		return buf;
	snprintf(buf, cap, "%s verifies again when %s%s",
		 header && body ? "the signature"
		 : header       ? "the header"
				: "the body hash",
		 steps,
		 header && body ? ""
		 : header       ? "; what was done to the body was not found"
				: "; what was done to the header was not found");
	return buf;
}

static const char *what_changed(const struct undo *u, const char *kind)
{
	if (u && !u->header.whole && !u->body.whole)
		return "a signed header field and the body of the message";
	if (u && u->header.whole != u->body.whole)
		return u->header.whole ? "the body of the message" : "a signed header field";
	return strcmp(kind, "body") ? "a signed header field" : "the body of the message";
}

static bool has_step(const struct undo_part *part, const char *what)
{
	for (size_t i = 0; i < part->n; i++)
		if (!strcmp(part->step[i].what, what))
			return true;
	return false;
}

/* What would stop it, by what was done: the two weightiest. */
static void remedy(const struct undo *u, char *out, size_t cap)
{
	static const struct {
		const char *what, *advice;
	} known[] = {
		{"subject-tag",
		 "Switch the tag in the Subject off there, and draw the warning in the "
		 "mailbox from a header field instead (Exchange Online: a mail flow "
		 "rule; Google Workspace: a content compliance rule)."},
		{"from",
		 "It is a list or forwarder that writes its own address into From: it has to "
		 "sign with its own domain."},
		{"wrapped",
		 "It is a list that wraps messages: let it add no footer, or sign with its "
		 "own domain."},
		{"lines-added",
		 "Switch the footer, banner or disclaimer off there, or add it on the "
		 "mailbox's side."},
		{"encoding", "That server re-encodes 8-bit mail, for the next one did not offer "
			     "8BITMIME, or by a setting: mend either."},
		{"field-added", "Let that server not add the field to mail that is signed."},
	};
	unsigned int told = 0;

	out[0] = '\0';
	for (size_t k = 0; u && k < sizeof(known) / sizeof(known[0]) && told < 2; k++)
		if (has_step(&u->header, known[k].what) || has_step(&u->body, known[k].what)) {
			size_t n = strlen(out);

			snprintf(out + n, cap - n, "%s%s", told++ ? " " : "", known[k].advice);
		}
	if (!told)
		snprintf(out, cap,
			 "Stop the change there (footers, banners, subject tags, link "
			 "rewriting, re-encoding).");
}

static void missing(struct explanation *e, const struct dkim_signature *sig)
{
	char list[256] = "";

	for (size_t i = 0; i < sig->n_signed; i++)
		if (is_missing(&e->look.headers, sig->signed_names[i]))
			add_word(list, sizeof(list), "", sig->signed_names[i]);
	explain_add(e, "signed-field-missing", (long)sig->field,
		    "the signature of %.80s covers fields that the message does not have: %s; "
		    "either a server removed "
		    "one, or the signer forbade to add them",
		    sig->domain, list);
}

static void modified(struct explanation *e, size_t i, const struct undo *u)
{
	const struct dkim_signature *sig = &e->look.dkim->sig[i];
	const struct told *pass = told_dkim(&e->told, sig->domain, "pass", NULL);
	const char *kind = explain_dkim_kind(e, i);
	char by[256], marks[256], again[512] = "", found[160] = "", advice[600];
	struct finding *f;

	if (!strcmp(kind, "missing-field"))
		missing(e, sig);
	suspects(e, sig, pass, by, sizeof(by));
	products(&e->look, marks, sizeof(marks));
	if (pass)
		snprintf(found, sizeof(found), ", after %.100s had found the signature whole",
			 pass->by[0] ? pass->by : "a server");
	if (u)
		(void)explain_undo_text(u, again, sizeof(again));
	f = explain_add(e, "modified-upstream", (long)sig->field,
			"%s, signed by %.80s, changed on the way%s%s%s%s%s%s%s%s",
			what_changed(u, kind), sig->domain, found, again[0] ? "; " : "", again,
			!by[0]            ? ""
			: strchr(by, ',') ? "; by one of: "
					  : "; by ",
			by, marks[0] ? " (" : "", marks, marks[0] ? ")" : "");
	remedy(u, advice, sizeof(advice));
	if (f)
		snprintf(
			f->advice, sizeof(f->advice),
			"Cannot be repaired behind that server: the signed octets are gone. %s "
			"Else verify DKIM in front of it, or have it seal with ARC and trust it as "
			"a sealer.",
			advice);
}

static void one(struct explanation *e, size_t i)
{
	const struct dkim_signature *sig = &e->look.dkim->sig[i];
	const char *kind = kind_by_reason(&e->look.headers, sig);
	struct finding *f;

	if (!kind[0])
		return;
	if (!strcmp(kind, "body") || !strcmp(kind, "header") || !strcmp(kind, "missing-field")) {
		modified(e, i, find_out(e, i));
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
		one(e, i);
}
