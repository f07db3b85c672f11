/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Filters that were passed by, what SPF, DKIM, DMARC and ARC came to on either side, and the
 * verdicts. The words of X-Forefront-Antispam-Report are those of Microsoft's page "Anti-spam
 * message headers".
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/verify.h"

#define SPAM_SCL 5 /* and more: spam, high confidence spam */

/* ---- filters passed by ---------------------------------------------------------------------- */

static void check_allowed(struct findings *f, const struct arrived_report *r)
{
	if (!strcmp(r->ipv, "CAL")) {
		findings_add(
			f, "ip-allow-list", FINDINGS_FAIL,
			"IPV:CAL: the address that handed it over is in the IP Allow List of the "
			"connection filter, so whatever comes through it is hardly filtered");
		findings_advise(f, "Take this gateway out of it: Set-HostedConnectionFilterPolicy "
				   "-Identity Default -IPAllowList @{Remove='ADDRESS'}. To let one "
				   "sender pass, write a rule on X-Postern-Original-Sender "
				   "(docs/troubleshooting.md).");
	}
	if (!strcmp(r->sfv, "SKA")) {
		findings_add(
			f, "allowed-sender", FINDINGS_WARNING,
			"SFV:SKA: filtering was skipped for a sender or domain that an anti-spam "
			"policy allows by its name, which anybody can write");
		findings_advise(f,
				"Take it out of AllowedSenders and AllowedSenderDomains; allow it "
				"here by allow-domains, which wants it authenticated.");
	} else if (!strcmp(r->sfv, "SFE")) {
		findings_add(
			f, "allowed-sender", FINDINGS_WARNING,
			"SFV:SFE: filtering was skipped for a sender in the recipient's own list");
		findings_advise(f, "Get-MailboxJunkEmailConfiguration shows that list.");
	}
	/* An allow entry sets the same level; then that is the cause. */
	if (!r->has_scl || r->scl != -1 || findings_has(f, "ip-allow-list", FINDINGS_FAIL) ||
	    findings_has(f, "allowed-sender", FINDINGS_WARNING))
		return;
	if (!strcmp(r->sfv, "SKI")) {
		findings_add(f, "taken-for-internal", FINDINGS_FAIL,
			     "SCL:-1, SFV:SKI: it was taken for mail from inside the organization");
		findings_advise(
			f, "An OnPremises connector lends strangers that trust: this gateway's "
			   "connector has to be of type Partner (posternctl doctor exchange "
			   "ROUTE --connectors FILE).");
		return;
	}
	findings_add(
		f, "filter-bypassed", FINDINGS_FAIL,
		"SCL:-1%s%s: a mail flow rule spares it the filter, most likely one for this "
		"gateway's address from before enhanced filtering, so nothing that the skip list "
		"finds is used",
		r->sfv[0] ? ", SFV:" : "", r->sfv);
	findings_advise(f, "Get-TransportRule | Where-Object { $_.SetSCL -eq -1 } | Format-List "
			   "Name,SenderIpRanges names it: Disable-TransportRule.");
}

/* ---- results on both sides ------------------------------------------------------------------ */

static const char *why_sender(bool drifted)
{
	return drifted ? " It follows from the sender that was taken, above." : "";
}

static void check_spf(struct findings *f, const struct arrived *a, const char *side, bool drifted)
{
	const char *there = a->host && a->host->spf[0] ? a->host->spf
			    : a->host_spf              ? a->host_spf->spf
						       : "";
	const char *here = a->own->spf;

	if (!there[0] || !here[0])
		return;
	if (str_ieq(str_c(there), str_c(here))) {
		findings_add(f, "spf", FINDINGS_OK, "%s there and here", here);
		return;
	}
	findings_add(f, "spf", strcmp(here, "pass") ? FINDINGS_WARNING : FINDINGS_FAIL,
		     "SPF is %s at %s and %s here.%s", there, side, here, why_sender(drifted));
	if (!drifted)
		findings_advise(f, "The same sender, another answer: the domain's record changed "
				   "meanwhile, or DNS failed on one side. posternctl simulate asks "
				   "once more.");
}

/* The domain of a signature that passes; NULL: none does. */
static const char *dkim_passes(const struct told *t)
{
	for (size_t i = 0; i < t->n_dkim; i++)
		if (str_ieq(str_c(t->dkim[i].result), STR("pass")))
			return t->dkim[i].domain;
	return NULL;
}

static bool is_signed(const struct told *t)
{
	for (size_t i = 0; i < t->n_dkim; i++)
		if (!str_ieq(str_c(t->dkim[i].result), STR("none")))
			return true;
	return false;
}

static void check_dkim(struct findings *f, const struct arrived *a, const char *side)
{
	const char *there = dkim_passes(a->host), *here = dkim_passes(a->own);

	if (!a->host->n_dkim || !a->own->n_dkim)
		return;
	if (here && !there) {
		findings_add(f, "dkim", FINDINGS_FAIL,
			     "a signature of %.100s passed here and none does at %s", here, side);
		findings_advise(
			f, "posternctl explain FILE says what changed. Something behind this "
			   "gateway rewrites the message; or the signature forbids a field "
			   "that every relay adds (signatures_voided in our trace); or its key "
			   "went from the DNS meanwhile.");
	} else if (!is_signed(a->own) && !there) {
		findings_add(f, "dkim", FINDINGS_OK, "it is not signed");
	} else if (!here && there) {
		findings_add(
			f, "dkim", FINDINGS_WARNING,
			"a signature passes at %s that did not here: key records or DNS differ",
			side);
	} else {
		findings_add(
			f, "dkim", here ? FINDINGS_OK : FINDINGS_WARNING,
			here ? "passes there and here"
			     : "no signature passed, there or here: it was broken before it came");
		if (!here)
			findings_advise(f,
					"posternctl explain FILE says what broke it, and by whom.");
	}
}

static void check_dmarc(struct findings *f, const struct arrived *a, const char *side, bool drifted)
{
	const char *there = a->host->dmarc, *here = a->own->dmarc;
	/* Exchange's word for "no record, but aligned". */
	bool there_pass = !strcmp(there, "pass") || !strcmp(there, "bestguesspass");

	if (!there[0] || !here[0])
		return;
	if (!strcmp(there, here) || (there_pass && strcmp(here, "fail") != 0)) {
		findings_add(f, "dmarc", FINDINGS_OK, "%s there, %s here", there, here);
		return;
	}
	findings_add(f, "dmarc", strcmp(here, "pass") ? FINDINGS_WARNING : FINDINGS_FAIL,
		     "DMARC is %s at %s and %s here.%s", there, side, here, why_sender(drifted));
}

static void check_arc(struct findings *f, const struct arrived *a, const struct verify *v)
{
	const struct told *t = a->host_arc && a->host_arc->arc[0] ? a->host_arc : a->host;

	if (!v->sealing || !t || !t->arc[0])
		return;
	if (!strcmp(t->arc, "fail")) {
		findings_add(f, "arc-broken", FINDINGS_FAIL,
			     "the chain that ends with our seal fails there");
		findings_advise(f,
				"posternctl keys check: is the key published? Else the message was "
				"changed behind us (posternctl explain).");
	} else if (t->has_oda && !t->oda) {
		findings_add(
			f, "sealer-untrusted", FINDINGS_FAIL,
			"arc=%s with oda=0: the chain is whole, and Exchange does not trust its "
			"sealer",
			t->arc);
		findings_advise(f,
				"Set-ArcConfig -Identity Default -ArcTrustedSealers with the d= of "
				"our seal (posternctl doctor exchange prints it).");
	} else {
		findings_add(f, "arc", FINDINGS_OK, "arc=%s%s", t->arc, t->has_oda ? " oda=1" : "");
	}
}

static void check_compauth(struct findings *f, const struct told *host, bool passed, bool drifted)
{
	static const struct {
		const char *reason, *text;
	} why[] = {
		{"000", "DMARC failed and its policy is quarantine or reject"},
		{"001", "no result is aligned with From, and the domain has no strict policy"},
		{"002", "an administrator forbids this pair of sender and From"},
		{"010", "DMARC failed, and sender and recipient are of your own organization"},
	};
	const char *text = host->compauth_reason[0] == '6'
				   ? "From is a domain of your own, and the sender is not proven"
				   : "see Microsoft's page on message headers";

	if (strcmp(host->compauth, "fail") != 0)
		return;
	for (size_t i = 0; i < sizeof(why) / sizeof(why[0]); i++)
		if (!strcmp(host->compauth_reason, why[i].reason))
			text = why[i].text;
	findings_add(f, "compauth", FINDINGS_FAIL, "compauth=fail reason=%s: %s.%s",
		     host->compauth_reason[0] ? host->compauth_reason : "?", text,
		     why_sender(drifted));
	if (!passed)
		findings_advise(
			f, "It did not come through this gateway, which would have judged it: see "
			   "above.");
	else if (!drifted)
		findings_advise(f, "The sender is right and not authenticated: the cure is at his "
				   "domain (SPF, DKIM, DMARC), or a spoof allow entry for his own "
				   "infrastructure.");
}

/* ---- verdicts ------------------------------------------------------------------------------- */

static bool is_one_of(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (str_ieq(str_c(word), str_c(*list)))
			return true;
	return false;
}

static void check_verdict_there(struct findings *f, const struct arrived_report *r, bool drifted)
{
	static const char *const phish[] = {"SPOOF", "PHSH", "HPHSH", "HPHISH", "UIMP",
					    "DIMP",  "GIMP", "BIMP",  "INTOS",  NULL};
	static const char *const junk[] = {"SPM", "HSPM", "BULK", "OSPM", NULL};

	if (is_one_of(r->cat, phish) || !strncmp(r->sfty, "9.", 2)) {
		findings_add(f, "phishing-verdict", FINDINGS_FAIL,
			     "Exchange warns of phishing: CAT:%s%s%s.%s", r->cat,
			     r->sfty[0] ? " SFTY:" : "", r->sfty, why_sender(drifted));
		if (!drifted)
			findings_advise(f,
					"The sender was seen as he is, so this is Defender's own "
					"judgement: report it there (Submissions); an entry in "
					"spoofed senders for his infrastructure if it is SPOOF.");
	} else if (is_one_of(r->cat, junk) || (r->has_scl && r->scl >= SPAM_SCL)) {
		findings_add(f, "junk-verdict", FINDINGS_FAIL,
			     "Exchange put it into Junk: SCL:%d CAT:%s "
			     "SFV:%s.%s",
			     r->scl, r->cat[0] ? r->cat : "-", r->sfv[0] ? r->sfv : "-",
			     why_sender(drifted));
		if (!strcmp(r->sfv, "SKS"))
			findings_advise(f, "SFV:SKS: a mail flow rule said so, perhaps one on "
					   "X-Postern-Verdict: posternctl rules test shows why "
					   "we tagged it.");
		else if (!drifted)
			findings_advise(f,
					"The sender was seen as he is, so this is Exchange's own "
					"judgement: report it there (Submissions).");
	}
}

static void check_verdict_here(struct findings *f, const struct arrived_record *r)
{
	if (!r->verdict[0] || str_istarts(str_c(r->verdict), STR("accept")))
		return;
	findings_add(f, "our-verdict", FINDINGS_WARNING, "this gateway said %.400s (score %.15s)",
		     r->verdict, r->score[0] ? r->score : "?");
	findings_advise(f,
			"If that is wrong: posternctl rules test --config FILE MESSAGE shows which "
			"rule hit on which text, posternctl scan all the rest. Lower that rule's "
			"score, or allow the sender (allow-domains, allow-origins).");
}

void verify_verdicts(struct findings *f, const struct verify *v, const struct arrived *a,
		     bool passed, bool drifted)
{
	const char *side = arrived_side_name(v->names.side);

	if (v->names.side == ARRIVED_EXCHANGE)
		check_allowed(f, &a->report);
	if (passed && !a->own) {
		findings_add(f, "no-results", FINDINGS_WARNING,
			     "Authentication-Results of %.100s is not right above our Received",
			     v->names.authserv_id);
		findings_advise(f,
				"authserv-id was another when it passed, or something removes the "
				"field behind us.");
	}
	if (passed && a->own)
		check_spf(f, a, side, drifted);
	if (passed && a->own && a->host) {
		check_dkim(f, a, side);
		check_dmarc(f, a, side, drifted);
	}
	if (passed)
		check_arc(f, a, v);
	if (v->names.side == ARRIVED_EXCHANGE && a->host)
		check_compauth(f, a->host, passed, drifted);
	if (v->names.side == ARRIVED_EXCHANGE)
		check_verdict_there(f, &a->report, drifted);
	if (passed)
		check_verdict_here(f, &a->record);
}
