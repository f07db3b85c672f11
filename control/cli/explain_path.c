/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Which way it came: whom the mailbox took for the sender, what it found, and who sent it. */

#include <stdio.h>
#include <string.h>

#include "control/cli/explain.h"

#define MAX_SPF_HOPS 10 /* each costs the domain's look-ups */

/* ---- whom the mailbox took ------------------------------------------------------------------ */

static bool stamped(struct str value, const char *key, struct ip_addr *ip)
{
	struct str k = str_c(key);
	size_t n = 0;

	for (; value.n > k.n; value = str_skip(value, 1))
		if (str_istarts(value, k))
			break;
	if (value.n <= k.n)
		return false;
	value = str_skip(value, k.n);
	if (value.p[0] == '[' || value.p[0] == '"')
		value = str_skip(value, 1);
	while (n < value.n &&
	       (ascii_hex(value.p[n]) >= 0 || value.p[n] == '.' || value.p[n] == ':'))
		n++;
	return ip_parse(str_cut(value, n), ip);
}

/* The fields in which Exchange says whom it judged, the more telling ones first. */
static void find_stamp(struct explanation *e)
{
	static const struct {
		const char *name, *key;
	} stamps[] = {
		{"X-MS-Exchange-ExternalOriginalInternetSender", "ip="},
		{"X-Forefront-Antispam-Report", "CIP:"},
		{"X-MS-Exchange-SkipListedInternetSender", "ip="},
	};
	const struct headers *h = &e->look.headers;

	for (size_t k = 0; k < sizeof(stamps) / sizeof(stamps[0]); k++) {
		size_t i = headers_find(h, str_c(stamps[k].name), 0);

		if (i < h->n && stamped(header_value(h, i), stamps[k].key, &e->taken)) {
			e->stamp = stamps[k].name;
			return;
		}
	}
}

static bool is_listed(const struct look *l, const struct ip_addr *ip)
{
	for (size_t i = 0; i < l->n_ranges; i++)
		if (ip_in_range(ip, &l->range[i]))
			return true;
	return false;
}

static bool same_host(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;

	if (!n)
		return false;
	return str_ieq(a, b) || (a.n > n && str_iends(a, b) && a.p[a.n - n - 1] == '.') ||
	       (b.n > n && str_iends(b, a) && b.p[b.n - n - 1] == '.');
}

long explain_line_of(const struct explanation *e, const struct told *t)
{
	const struct walker_hop *hop = e->hops.hop;
	size_t below = 0;

	while (below < e->hops.n_hops && hop[below].field < t->field)
		below++;
	if (below < e->hops.n_hops && same_host(str_c(hop[below].by), str_c(t->by)))
		return (long)below;
	return below && same_host(str_c(hop[below - 1].by), str_c(t->by)) ? (long)below - 1 : -1;
}

/*
 * Some hosts write what they found above their own Received line, some below it; gateways do both
 * as well. The host's is the topmost that no server further down the path can have written.
 */
static void find_host(struct explanation *e)
{
	const struct walker_hop *hop = e->hops.hop;
	long entry = e->entry;

	if (entry < 0 || hop[entry].field < 0)
		return;
	for (size_t i = 0; i < e->told.n; i++) {
		const struct told *t = &e->told.told[i];
		bool deep = (size_t)entry + 1 < e->hops.n_hops && t->field > hop[entry + 1].field;

		if (t->error[0] || explain_line_of(e, t) > entry || deep)
			continue;
		e->host = t;
		return;
	}
}

/* The line by which a server of the same house handed it on: the cloud's have public addresses. */
static bool is_inside(const struct walker_hop *hop)
{
	struct str helo = str_c(hop->helo), by = str_c(hop->by);
	size_t dots = 0, n = 0;

	while (n < helo.n && n < by.n &&
	       ascii_lower(helo.p[helo.n - n - 1]) == ascii_lower(by.p[by.n - n - 1]))
		dots += helo.p[helo.n - ++n] == '.';
	/* The last two labels are the same. */
	return dots >= 2 || (dots == 1 && n && (n == helo.n || n == by.n));
}

static long find_ip(const struct explanation *e, const struct ip_addr *ip)
{
	for (size_t i = 0; i < e->hops.n_hops; i++)
		if (e->hops.hop[i].has_ip && !memcmp(&e->hops.hop[i].ip, ip, sizeof(*ip)))
			return (long)i;
	return -1;
}

/* Index of the line in which the mailbox's side names who came from outside: by its stamp, else by
 * the list, else the first public address, of another house if there is one; -1: there is none. */
static long find_entry(const struct explanation *e)
{
	const struct walker_hop *hop = e->hops.hop;
	long first = e->stamp ? find_ip(e, &e->taken) : -1;

	if (first >= 0)
		return first;
	for (size_t i = 0; i < e->hops.n_hops; i++) {
		if (!hop[i].has_ip)
			continue;
		if (e->look.n_ranges) {
			if (is_listed(&e->look, &hop[i].ip))
				return (long)i;
		} else if (!ip_is_private(&hop[i].ip)) {
			if (!is_inside(&hop[i]))
				return (long)i;
			first = first < 0 ? (long)i : first;
		}
	}
	return first;
}

static void find_border(struct explanation *e)
{
	e->border = e->stamp ? find_ip(e, &e->taken) : e->entry;
	if (e->stamp && e->border < 0) {
		char ip[64];

		explain_add(
			e, "taken-not-in-chain", -1,
			"%s says that %s was taken for the sender, which no Received line names",
			e->stamp, ip_format(&e->taken, ip, sizeof(ip)));
	}
}

/* ---- who sent it ---------------------------------------------------------------------------- */

/* What becomes of the message once the sender is seen. */
static void foretell(struct explanation *e, char *out, size_t cap)
{
	const struct walker_hop *s = &e->hops.hop[e->sender];
	struct spf_verdict spf = *look_spf(&e->look, &s->ip, s->helo);
	const struct dmarc_verdict *d = look_dmarc(&e->look, &spf);

	snprintf(out, cap, " Then SPF says %s and DMARC %s.", spf_result_name(spf.result),
		 dmarc_result_name(d->result));
}

static void advise_listing(struct explanation *e, struct finding *f)
{
	char list[256] = "", ip[64], then[80];

	if (!f)
		return;
	for (long i = e->border; i < e->sender; i++) {
		const struct walker_hop *h = &e->hops.hop[i];
		size_t n = strlen(list);

		if (h->has_ip && !ip_is_private(&h->ip) && n + sizeof(ip) < sizeof(list))
			snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "",
				 ip_format(&h->ip, ip, sizeof(ip)));
	}
	foretell(e, then, sizeof(then));
	snprintf(f->advice, sizeof(f->advice),
		 "Tell the mailbox's side that these are gateways: %s. Exchange Online: EFSkipIPs "
		 "of the inbound "
		 "connector. Google Workspace: inbound gateway, with detection of the external "
		 "address on. SpamAssassin: "
		 "trusted_networks. rspamd: ip_map of external_relay.%s",
		 list, then);
}

static void what_host_found(const struct explanation *e, char *out, size_t cap)
{
	const struct told *t = e->host;

	if (!t || (!t->spf[0] && !t->dmarc[0]))
		snprintf(out, cap, "the mailbox saw its address");
	else
		snprintf(out, cap, "the mailbox host%s%.80s%s judged its address: %s%s%s%s%s",
			 t->by[0] ? " (" : "", t->by, t->by[0] ? ")" : "", t->spf[0] ? "SPF " : "",
			 t->spf, t->spf[0] && t->dmarc[0] ? ", " : "", t->dmarc[0] ? "DMARC " : "",
			 t->dmarc);
}

static void hidden(struct explanation *e, long sender, const char *evidence)
{
	const struct walker_hop *b = &e->hops.hop[e->border], *s = &e->hops.hop[sender];
	char ip[64], ip2[64], saw[320];

	e->sender = sender;
	what_host_found(e, saw, sizeof(saw));
	advise_listing(e, explain_add(e, "sender-hidden", b->field,
				      "%.80s (%s) hid the sender: %s; the true sender is %s "
				      "(%.80s), which had handed the message to %.80s%s",
				      b->helo[0] ? b->helo : "a relay",
				      ip_format(&b->ip, ip, sizeof(ip)), saw,
				      ip_format(&s->ip, ip2, sizeof(ip2)),
				      s->helo[0] ? s->helo : "no HELO", s->by[0] ? s->by : "it",
				      evidence));
}

/* The gateways are known: the first hop behind them is the sender. */
static void by_list(struct explanation *e)
{
	const struct walker_hop *hop = e->hops.hop;
	struct finding *f;
	long private = -1;
	char ip[64];

	for (size_t i = (size_t)e->border + 1; i < e->hops.n_hops; i++) {
		if (!hop[i].has_ip || is_listed(&e->look, &hop[i].ip))
			continue;
		if (!ip_is_private(&hop[i].ip)) {
			hidden(e, (long)i, "");
			return;
		}
		private = private < 0 ? (long)i : private;
	}
	if (private >= 0) {
		f = explain_add(e, "nat-hides", hop[private].field,
				"%.80s saw the private address %s: a NAT or a load balancer in "
				"front of it hides the "
				"senders",
				hop[private].by, ip_format(&hop[private].ip, ip, sizeof(ip)));
		if (f)
			snprintf(f->advice, sizeof(f->advice),
				 "No setting behind it brings the address back: keep the source "
				 "address in front of %.80s, "
				 "or hand it on by PROXY.",
				 hop[private].by);
		return;
	}
	f = explain_add(e, "line-missing", hop[e->border].field,
			"no line that can be read says who handed the message to %s",
			ip_format(&hop[e->border].ip, ip, sizeof(ip)));
	if (f)
		snprintf(f->advice, sizeof(f->advice),
			 "If that gateway did not write the message itself, it has to add a "
			 "Received line and leave it in "
			 "place: without it the next hop cannot look behind it.");
}

/* No list: SPF of the domain tells a gateway from a sender. */
static void by_spf(struct explanation *e)
{
	const struct walker_hop *hop = e->hops.hop;
	enum spf_result r;
	struct finding *f;
	unsigned int tried = 0;

	if (!e->look.reverse_path.n) {
		e->sender = e->border;
		return;
	}
	r = look_spf(&e->look, &hop[e->border].ip, hop[e->border].helo)->result;
	if (r != SPF_FAIL && r != SPF_SOFTFAIL && r != SPF_NEUTRAL) {
		e->sender = e->border;
		return;
	}
	for (size_t i = (size_t)e->border + 1; i < e->hops.n_hops && tried < MAX_SPF_HOPS; i++) {
		if (!hop[i].has_ip || ip_is_private(&hop[i].ip))
			continue;
		tried++;
		if (look_spf(&e->look, &hop[i].ip, hop[i].helo)->result == SPF_PASS) {
			hidden(e, (long)i,
			       "; SPF of the sender's domain passes there and not for the relay");
			return;
		}
	}
	if (r == SPF_NEUTRAL)
		return;
	f = explain_add(e, "spf-fails", hop[e->border].field,
			"SPF says %s for whom the mailbox took, and no hop below passes it",
			spf_result_name(r));
	if (f)
		snprintf(f->advice, sizeof(f->advice),
			 "Forged, forwarded with its sender kept, or sent from a host that the "
			 "domain does not list. If a "
			 "gateway of yours is in the path, name it by --gateway and --skip.");
}

static void find_way(struct explanation *e)
{
	/* The whole path is told, the mailbox's own lines too. */
	e->look.start.field = 0;
	walker_hops(&e->look.start, &e->look.headers, &e->hops);
	e->entry = find_entry(e);
	find_host(e);
}

void explain_path(struct explanation *e)
{
	e->sender = -1;
	told_read(&e->look.headers, &e->told);
	find_stamp(e);
	/* What has reached a mailbox comes from nobody any more. */
	e->look.start.has_peer &= !e->stamp;
	find_way(e);
	if (!e->stamp && e->host && e->host->has_ip) {
		e->stamp = e->host->name;
		e->taken = e->host->ip;
	}
	find_border(e);
	if (e->border >= 0 && is_listed(&e->look, &e->hops.hop[e->border].ip))
		by_list(e);
	else if (e->border >= 0)
		by_spf(e);
}
