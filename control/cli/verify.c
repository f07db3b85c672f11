/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/verify.h"

struct work {
	const struct verify *v;
	struct arrived *a;
	struct findings *f;
	const char *side;      /* name */
	bool exchange, passed; /* passed: it came through this gateway */
	struct verify_result *result;
};

bool ip_listed(const struct ip_addr *ip, const struct ip_range *range, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ip_in_range(ip, &range[i]))
			return true;
	return false;
}

/* ---- the way it came ------------------------------------------------------------------------ */

/* Of the route: "example.com", or ".example.com" for any below. */
static bool is_own_domain(const struct verify *v, struct str domain)
{
	for (size_t i = 0; i < v->n_domains; i++) {
		struct str d = str_c(v->domain[i]);

		if (d.p[0] == '.' ? domain.n > d.n && str_iends(domain, d) : str_ieq(domain, d))
			return true;
	}
	return false;
}

static void past_us(struct work *w, const struct walker_hop *e, const char *ip)
{
	struct str from = str_c(w->a->mail_from), domain = mailbox_domain(from);
	const char *forged = w->a->ours >= 0 ? " The lines below that name this gateway are "
					       "forged, or were copied from another message."
					     : "";

	/* Exchange's smtp.mailfrom is a domain. */
	if (is_own_domain(w->v, domain.n ? domain : from)) {
		findings_add(
			w->f, "direct-send", FINDINGS_FAIL,
			"%s (%.80s) handed it to %s itself, past this gateway, and with a sender "
			"of your own domain (%.100s): direct send.%s",
			ip, e->helo, w->side, w->a->mail_from, forged);
		findings_advise(
			w->f,
			w->exchange ? "Set-OrganizationConfig -RejectDirectSend $true, when "
				      "devices and services "
				      "that use it have a connector. And the connector of this "
				      "gateway restricts "
				      "all senders to its certificate or addresses (posternctl "
				      "doctor exchange)."
				    : "Inbound gateway: \"Reject all mail not from gateway IPs\".");
		return;
	}
	findings_add(w->f, "bypass", FINDINGS_FAIL,
		     "%s (%.80s) handed it to %s itself: it did not come through this gateway, so "
		     "nothing of ours was looked at.%s",
		     ip, e->helo, w->side, forged);
	findings_advise(
		w->f,
		"%s closes that way, when the MX records lead here only. A server of yours between "
		"this gateway and the cloud is not looked through: let this gateway be the last "
		"hop.",
		w->exchange ? "The Partner connector for all senders with "
			      "RestrictDomainsToCertificate (or RestrictDomainsToIPAddresses)"
			    : "\"Reject all mail not from gateway IPs\" of the inbound gateway");
}

static void check_way(struct work *w)
{
	const struct arrived *a = w->a;
	const struct walker_hop *e;
	bool from_us, named, next;
	char ip[64];

	if (a->entry < 0) {
		findings_add(
			w->f, "not-arrived", FINDINGS_UNKNOWN,
			"no Received line of %s's front door is on top: the message is not out "
			"of a mailbox there, or its header was cut",
			w->side);
		findings_advise(w->f, "Save the message with all of its header (\"view source\", "
				      "\"show original\").");
		return;
	}
	e = &a->hops.hop[a->entry];
	ip_format(&e->ip, ip, sizeof(ip));
	w->result->has_entry = true;
	w->result->entry = e->ip;
	named = str_ieq(str_c(e->helo), str_c(w->v->names.hostname));
	from_us = w->v->n_egress ? ip_listed(&e->ip, w->v->egress, w->v->n_egress) : named;
	next = a->ours == a->entry + 1;
	w->passed = next && (from_us || named);
	if (from_us && next && !w->v->n_egress) {
		findings_add(w->f, "way", FINDINGS_WARNING,
			     "it came through this gateway by what %s said its name was (HELO), "
			     "which anybody can say",
			     ip);
		findings_advise(w->f,
				"Set source-address of the route, or name the address of this "
				"gateway by --egress.");
	} else if (from_us && next) {
		findings_add(w->f, "way", FINDINGS_OK, "it came through this gateway (%s)", ip);
	} else if (w->passed) {
		findings_add(w->f, "egress-unlisted", FINDINGS_FAIL,
			     "it was handed over by %s in the name of this gateway, which is no "
			     "egress address of the route",
			     ip);
		findings_advise(w->f,
				"A NAT, or another address of this machine: set source-address, "
				"or name it by --egress, and list it on the other side. If it "
				"is not yours, the lines of this gateway are forged.");
	} else if (from_us) {
		findings_add(
			w->f, "no-line", FINDINGS_FAIL,
			"it came from %s, an address of this gateway, without our Received line "
			"right below: another program sends from there, or the line was removed",
			ip);
		findings_advise(w->f, "Nothing but Postern may send from an address that the cloud "
				      "skips: whoever can, names any sender.");
	} else {
		past_us(w, e, ip);
	}
}

/* ---- whom it was taken to be from ----------------------------------------------------------- */

static const struct origin_relay *relay_of(const struct work *w, const struct ip_addr *ip)
{
	return w->v->relays ? origin_relay_of(w->v->relays, ip) : NULL;
}

/* Below us in the path, and above whom we found? */
static bool is_below_truth(const struct arrived *a, const struct ip_addr *ip)
{
	bool truth = false;

	for (long i = a->ours; i >= 0 && i < (long)a->hops.n_hops; i++) {
		const struct walker_hop *h = &a->hops.hop[i];

		if (truth && h->has_ip && !memcmp(&h->ip, ip, sizeof(*ip)))
			return true;
		truth |= h->has_ip && !memcmp(&h->ip, &a->record.ip, sizeof(h->ip));
	}
	return false;
}

static void gateway_taken(struct work *w, const char *taken, const char *truth, const char *field)
{
	const struct arrived_stamp *skip = &w->a->skip_listed;

	if (w->exchange && skip->has_ip && !w->a->original.has_ip &&
	    !memcmp(&skip->ip, &w->a->record.ip, sizeof(skip->ip))) {
		findings_add(
			w->f, "users-not-covered", FINDINGS_FAIL,
			"%s says %s, this gateway: the skip list found the sender (%s), but it "
			"was not used, for not all recipients are in EFUsers",
			field, taken, truth);
		findings_advise(w->f,
				"Add the other recipients, with each of their proxy addresses, or "
				"end the pilot: Set-InboundConnector -EFUsers $null.");
		return;
	}
	findings_add(w->f, "gateway-taken", FINDINGS_FAIL,
		     "%s says %s: this gateway was taken for the sender, who is %s", field, taken,
		     truth);
	findings_advise(w->f, w->exchange ? "Enhanced filtering is off on the connector that the "
					    "mail is attributed to, that "
					    "address is not in its list, or another connector took "
					    "the mail: posternctl doctor "
					    "exchange ROUTE --connectors FILE tells which."
					  : "That address is not in the inbound gateway's list, or "
					    "\"Automatically detect "
					    "external IP\" is off there: posternctl doctor google "
					    "ROUTE prints the settings.");
}

static void sender_differs(struct work *w, const struct ip_addr *taken, const char *field)
{
	const struct origin_relay *relay = relay_of(w, taken);
	char a[64], b[64];

	ip_format(taken, a, sizeof(a));
	ip_format(&w->a->record.ip, b, sizeof(b));
	if (!memcmp(taken, &w->result->entry, sizeof(*taken))) {
		gateway_taken(w, a, b, field);
	} else if (relay) {
		findings_add(w->f, "hop-missing", FINDINGS_FAIL,
			     "%s says %s, your relay \"%.63s\": the sender behind it is %s", field,
			     a, relay->name, b);
		findings_advise(
			w->f,
			w->exchange ? "Add %s to EFSkipIPs of the connector, and all of the "
				      "relay's public "
				      "addresses; EFSkipLastIP skips one hop only."
				    : "Add %s to the inbound gateway's list, and all of the "
				      "relay's public "
				      "addresses, with \"Automatically detect external IP\" on.",
			a);
	} else if (is_below_truth(w->a, taken)) {
		findings_add(
			w->f, "skipped-too-far", FINDINGS_FAIL,
			"%s says %s, from a line below the sender's (%s), which he can write as "
			"he likes: the list over there covers the sender's address",
			field, a, b);
		findings_advise(w->f,
				"Take %s out of the list (EFSkipIPs, inbound gateway), or list it "
				"as a relay here as well.",
				b);
	} else {
		findings_add(w->f, "sender-drift", FINDINGS_FAIL, "%s says %s, we found %s", field,
			     a, b);
		findings_advise(w->f,
				"posternctl explain FILE shows the path hop by hop; compare the "
				"lists of both sides (relay sections here).");
	}
	w->result->drifted = true;
}

static void check_helo(struct work *w)
{
	const struct arrived *a = w->a;
	const char *helo = a->original.helo[0] ? a->original.helo : a->report.helo;
	char encoded[800];

	if (!helo[0] || !a->record.helo[0])
		return;
	(void)percent_encode(str_c(helo), encoded, sizeof(encoded));
	if (!str_ieq(str_c(encoded), str_c(a->record.helo)))
		findings_add(w->f, "helo-differs", FINDINGS_WARNING,
			     "the sender's HELO is %.200s there and %.200s here", helo,
			     a->record.helo);
}

static void check_sender(struct work *w)
{
	const struct arrived *a = w->a;
	struct ip_addr taken;
	const char *field;
	char ip[64];

	if (a->original.copies > 1 || a->skip_listed.copies > 1 || a->report.copies > 1) {
		findings_add(
			w->f, "stamp-ambiguous", FINDINGS_WARNING,
			"a field of Exchange's is there more than once: nobody can say which one "
			"is a stranger's, so none of them is read");
		findings_advise(w->f,
				"foreign-trust = strip of the route removes what strangers write "
				"into such fields.");
	}
	if (a->original.has_ip && a->report.has_ip &&
	    memcmp(&a->original.ip, &a->report.ip, sizeof(a->report.ip)) != 0)
		findings_add(
			w->f, "stamp-ambiguous", FINDINGS_WARNING,
			"ExternalOriginalInternetSender and CIP name two addresses: one of the "
			"fields may be a stranger's");
	if (!w->passed)
		return;
	if (!a->record.has_ip) {
		findings_add(
			w->f, "no-record", FINDINGS_FAIL,
			"%.64s-Original-Sender is not between the front door's Received and ours",
			w->v->names.prefix);
		findings_advise(w->f, "header-prefix of the route was another when it passed, or "
				      "something removes the field behind us.");
		return;
	}
	if (!arrived_taken(a, w->v->names.side, &taken, &field)) {
		findings_add(w->f, "no-stamp", FINDINGS_UNKNOWN,
			     "nothing says whom %s took for the sender", w->side);
		return;
	}
	if (memcmp(&taken, &a->record.ip, sizeof(taken)) != 0) {
		sender_differs(w, &taken, field);
		return;
	}
	findings_add(w->f, "sender", FINDINGS_OK, "%s says %s, and so do we", field,
		     ip_format(&taken, ip, sizeof(ip)));
	check_helo(w);
}

int verify_message(const struct verify *v, const struct headers *h, struct verify_result *result)
{
	struct work w = {.v = v,
			 .a = malloc(sizeof(*w.a)),
			 .f = &result->findings,
			 .side = arrived_side_name(v->names.side),
			 .exchange = v->names.side == ARRIVED_EXCHANGE,
			 .result = result};

	if (!w.a)
		return -ENOMEM;
	arrived_read(h, &v->names, w.a);
	if (h->flags & (HEADERS_F_TOO_LARGE | HEADERS_F_NO_END))
		findings_add(w.f, "header", FINDINGS_WARNING,
			     "the header is larger than is read, or does not end: it may be cut");
	check_way(&w);
	if (w.a->entry >= 0) {
		check_sender(&w);
		verify_verdicts(w.f, v, w.a, w.passed, result->drifted);
	}
	free(w.a);
	return 0;
}
