/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/explain.h"

#define MAX_SPF_HOPS 10 /* each costs the domain's look-ups */

struct finding *explain_add(struct explanation *e, const char *code, long field, const char *fmt,
			    ...)
{
	struct finding *f;
	va_list ap;

	if (e->n == EXPLAIN_FINDINGS)
		return NULL;
	f = &e->finding[e->n++];
	*f = (struct finding){.code = code, .field = field};
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	return f;
}

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

/* The fields in which mail systems say whom they judged; the more telling ones first. */
static void find_taken(struct explanation *e)
{
	static const struct {
		const char *name, *key;
	} stamps[] = {
		{"X-MS-Exchange-ExternalOriginalInternetSender", "ip="},
		{"X-Forefront-Antispam-Report", "CIP:"},
		{"X-MS-Exchange-SkipListedInternetSender", "ip="},
		{"Received-SPF", "client-ip="},
		{"Authentication-Results", "sender IP is "},
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

static void find_border(struct explanation *e)
{
	const struct walker_hop *hop = e->hops.hop;

	e->border = -1;
	for (size_t i = 0; i < e->hops.n_hops && e->border < 0; i++) {
		if (!hop[i].has_ip)
			continue;
		if (e->stamp           ? !memcmp(&hop[i].ip, &e->taken, sizeof(e->taken))
		    : e->look.n_ranges ? is_listed(&e->look, &hop[i].ip)
				       : !ip_is_private(&hop[i].ip))
			e->border = (long)i;
	}
	if (e->stamp && e->border < 0) {
		char ip[64];

		explain_add(
			e, "taken-not-in-chain", -1,
			"%s says that %s was taken for the sender, which no Received line names",
			e->stamp, ip_format(&e->taken, ip, sizeof(ip)));
	}
}

/* ---- who sent it ---------------------------------------------------------------------------- */

static void advise_listing(const struct explanation *e, struct finding *f)
{
	char list[256] = "", ip[64];

	if (!f)
		return;
	for (long i = e->border; i < e->sender; i++) {
		const struct walker_hop *h = &e->hops.hop[i];
		size_t n = strlen(list);

		if (h->has_ip && !ip_is_private(&h->ip) && n + sizeof(ip) < sizeof(list))
			snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "",
				 ip_format(&h->ip, ip, sizeof(ip)));
	}
	snprintf(f->advice, sizeof(f->advice),
		 "Tell the mailbox's side that these are gateways: %s. Exchange Online: EFSkipIPs "
		 "of the inbound "
		 "connector. Google Workspace: inbound gateway, with detection of the external "
		 "address on. SpamAssassin: "
		 "trusted_networks. rspamd: ip_map of external_relay.",
		 list);
}

static void hidden(struct explanation *e, long sender, const char *evidence)
{
	const struct walker_hop *b = &e->hops.hop[e->border], *s = &e->hops.hop[sender];
	char ip[64], ip2[64];

	e->sender = sender;
	advise_listing(e, explain_add(e, "sender-hidden", b->field,
				      "%.80s (%s) hid the sender: the mailbox saw its address; %s "
				      "(%.80s) had handed the message to %.80s%s",
				      b->helo[0] ? b->helo : "a relay",
				      ip_format(&b->ip, ip, sizeof(ip)),
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

/* ---- output --------------------------------------------------------------------------------- */

static json_t *hops_json(const struct explanation *e)
{
	json_t *a = json_array();
	char ip[64];

	for (size_t i = 0; i < e->hops.n_hops; i++) {
		const struct walker_hop *h = &e->hops.hop[i];

		json_array_append_new(
			a, json_pack("{s:s?, s:s, s:s, s:s, s:i, s:b, s:b, s:s}", "ip",
				     h->has_ip ? ip_format(&h->ip, ip, sizeof(ip)) : NULL, "helo",
				     h->helo, "ptr", h->rdns, "by", h->by, "header", (int)h->field,
				     "taken", (long)i == e->border, "sender", (long)i == e->sender,
				     "note", h->note));
	}
	return a;
}

static json_t *explain_json(const struct explanation *e)
{
	const struct dkim_results *r = e->look.dkim;
	json_t *dkim = json_array(), *list = json_array();

	for (size_t i = 0; r && i < r->n; i++)
		json_array_append_new(dkim,
				      json_pack("{s:s, s:o, s:o, s:o, s:s}", "result",
						dkim_result_name(r->sig[i].result), "domain",
						look_text(str_c(r->sig[i].domain)), "selector",
						look_text(str_c(r->sig[i].selector)), "reason",
						look_text(str_c(r->sig[i].reason)), "broken_by",
						explain_dkim_kind(&e->look.headers, &r->sig[i])));
	for (size_t i = 0; i < e->n; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:i, s:o, s:o}", "code", e->finding[i].code,
						"header", (int)e->finding[i].field, "text",
						look_text(str_c(e->finding[i].text)), "advice",
						look_text(str_c(e->finding[i].advice))));
	return json_pack("{s:s?, s:o, s:o, s:o}", "stamp", e->stamp, "path", hops_json(e), "dkim",
			 dkim, "findings", list);
}

static void print_human(const struct explanation *e)
{
	const struct dkim_results *r = e->look.dkim;
	char ip[64];

	for (size_t i = 0; i < e->hops.n_hops; i++) {
		const struct walker_hop *h = &e->hops.hop[i];

		printf("hop      %s  helo %s  by %s%s%s%s%s\n",
		       h->has_ip ? ip_format(&h->ip, ip, sizeof(ip)) : "-",
		       h->helo[0] ? h->helo : "-", h->by[0] ? h->by : "-", h->note[0] ? "  " : "",
		       h->note, (long)i == e->border ? "  <- taken by the mailbox" : "",
		       (long)i == e->sender ? "  <- sender" : "");
	}
	for (size_t i = 0; r && i < r->n; i++) {
		const struct dkim_signature *s = &r->sig[i];
		const char *kind = explain_dkim_kind(&e->look.headers, s);

		printf("dkim     %s  d=%s s=%s  %s%s%s%s\n", dkim_result_name(s->result), s->domain,
		       s->selector, s->reason, kind[0] ? "  (" : "", kind, kind[0] ? ")" : "");
	}
	for (size_t i = 0; i < e->n; i++)
		printf("finding  %s: %s\n%s%s%s", e->finding[i].code, e->finding[i].text,
		       e->finding[i].advice[0] ? "         " : "", e->finding[i].advice,
		       e->finding[i].advice[0] ? "\n" : "");
	if (!e->n)
		puts("nothing found");
}

int cmd_explain(const struct cli *cli, int argc, char **argv)
{
	struct explanation *e = calloc(1, sizeof(*e));
	int rc;

	if (!e)
		return CLI_USAGE;
	e->look.who = "explain";
	rc = look_open(&e->look, argc, argv);
	if (rc)
		goto out;
	e->sender = -1;
	find_taken(e);
	/* The whole path is told, the mailbox's own lines too. */
	e->look.start.field = 0;
	e->look.start.has_peer &= !e->stamp;
	walker_hops(&e->look.start, &e->look.headers, &e->hops);
	find_border(e);
	if (e->border >= 0 && is_listed(&e->look, &e->hops.hop[e->border].ip))
		by_list(e);
	else if (e->border >= 0)
		by_spf(e);
	explain_dkim(e);
	if (cli->json) {
		json_t *o = explain_json(e);

		print_json(o);
		json_decref(o);
	} else {
		print_human(e);
	}
	rc = e->n ? CLI_FINDING : CLI_OK;
out:
	look_close(&e->look);
	free(e);
	return rc;
}
