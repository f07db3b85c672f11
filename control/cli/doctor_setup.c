/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What is to be set on the other side, for this configuration. The connector is a Partner's: an
 * OnPremises one, or CloudServicesMailEnabled, would lend strangers the organization's own trust.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/doctor.h"

#define MAX_NETS    256 /* of one range */
#define SCRIPT_LINE 65536
#define QUOTED      8192

const char *const *doctor_doors(enum arrived_side side)
{
	static const char *const exchange[] = {"mail.protection.outlook.com", "mx.microsoft", NULL};
	static const char *const google[] = {"google.com", "googlemail.com", NULL};

	return side == ARRIVED_EXCHANGE ? exchange : google;
}

bool doctor_is_door(enum arrived_side side, const char *host)
{
	struct str s = str_c(host);

	if (s.n && s.p[s.n - 1] == '.')
		s.n--;
	for (const char *const *door = doctor_doors(side); *door; door++)
		if (domain_is_in(s, str_c(*door)))
			return true;
	return false;
}

/* ---- which relays --------------------------------------------------------------------------- */

bool doctor_listable(const struct doctor *d, const struct origin_relay *relay,
		     const struct ip_range *r)
{
	if (ip_is_private(&r->first) || relay->cloud != CLOUD_NONE || cloud_of(r) != CLOUD_NONE)
		return false;
	return d->side == ARRIVED_GMAIL || ip_is_v4(&r->first);
}

void doctor_relays(struct doctor *d)
{
	const struct origin_relays *all = &d->config->relays;
	struct findings *f = &d->findings;
	char text[96];

	for (size_t i = 0; i < all->n; i++) {
		const struct origin_relay *relay = &all->relay[i];

		for (size_t k = 0; k < relay->n_ranges; k++) {
			const struct ip_range *r = &relay->range[k];

			if (doctor_listable(d, relay, r) || ip_is_private(&r->first))
				continue;
			doctor_range(r, text, sizeof(text));
			if (relay->cloud != CLOUD_NONE || cloud_of(r) != CLOUD_NONE) {
				findings_add(f, "relays", FINDINGS_WARNING,
					     "relay \"%s\": %s is of a "
					     "cloud that all its tenants send from, and is left "
					     "out below",
					     relay->name, text);
				findings_advise(
					f, "Listed over there, any tenant could name any "
					   "sender, and Microsoft takes none of its own. Seal "
					   "what comes that way (arc-seal = always) and have the "
					   "sealer trusted.");
			} else {
				findings_add(
					f, "relays", FINDINGS_WARNING,
					"relay \"%s\": %s is IPv6, and "
					"is left out below: it is not documented that EFSkipIPs "
					"takes it",
					relay->name, text);
				findings_advise(f,
						"Try it in the tenant, and --verify a message that "
						"came that way.");
			}
		}
	}
}

/* ---- Exchange ------------------------------------------------------------------------------- */

struct script {
	json_t *lines;
	char *line;
	bool full;
};

static void __attribute__((format(printf, 2, 3))) add(struct script *s, const char *fmt, ...)
{
	size_t n = strlen(s->line);
	va_list ap;
	int k;

	va_start(ap, fmt);
	k = vsnprintf(s->line + n, SCRIPT_LINE - n, fmt, ap);
	va_end(ap);
	s->full |= k < 0 || (size_t)k >= SCRIPT_LINE - n;
}

static void add_quoted(struct script *s, const char *text)
{
	char buf[QUOTED];

	if (doctor_quote(str_c(text), buf, sizeof(buf)) < 0)
		s->full = true;
	else
		add(s, "%s", buf);
}

/* A line that does not fit whole is not printed at all: half of it could do something else. */
static void end(struct script *s)
{
	json_array_append_new(s->lines,
			      json_string(s->full ? "# A line is left out here: it is longer "
						    "than can be printed."
						  : s->line));
	s->line[0] = '\0';
	s->full = false;
}

/* A comment ends with its line: its text is clean. */
static void comment(struct script *s, const char *text)
{
	char buf[512];

	add(s, "# %s", look_clean(str_c(text), buf, sizeof(buf)));
	end(s);
}

static void connector_name(struct script *s, const struct doctor *d)
{
	char name[128];

	snprintf(name, sizeof(name), "Postern %s", d->route->name);
	add_quoted(s, name);
}

static void add_egress(struct script *s, const struct doctor *d)
{
	char text[96];

	for (size_t i = 0; i < d->n_egress; i++) {
		add(s, "%s", i ? "," : "");
		add_quoted(s, doctor_range(&d->egress[i], text, sizeof(text)));
	}
}

static bool has_relays(const struct doctor *d)
{
	const struct origin_relays *all = &d->config->relays;

	for (size_t i = 0; i < all->n; i++)
		for (size_t k = 0; k < all->relay[i].n_ranges; k++)
			if (doctor_listable(d, &all->relay[i], &all->relay[i].range[k]))
				return true;
	return false;
}

static void add_relays(struct script *s, const struct doctor *d)
{
	const struct origin_relays *all = &d->config->relays;
	char text[96];

	for (size_t i = 0; i < all->n; i++)
		for (size_t k = 0; k < all->relay[i].n_ranges; k++) {
			const struct ip_range *r = &all->relay[i].range[k];

			if (!doctor_listable(d, &all->relay[i], r))
				continue;
			add(s, ",");
			add_quoted(s, doctor_range(r, text, sizeof(text)));
		}
}

static void new_connector(struct script *s, const struct doctor *d)
{
	bool tls = d->route->tls.policy >= TLS_POLICY_ENCRYPT &&
		   d->route->tls.policy != TLS_POLICY_DANE;

	comment(s,
		"1. A connector for mail of this gateway. From then on no other mail is taken from "
		"outside: run it when the MX records lead here only.");
	add(s, "New-InboundConnector -Name ");
	connector_name(s, d);
	add(s, " -ConnectorType Partner -SenderDomains '*' -RequireTls %s",
	    tls ? "$true" : "$false");
	if (d->has_client_name) {
		add(s, " -RestrictDomainsToCertificate $true -TlsSenderCertificateName ");
		add_quoted(s, d->client_name);
	} else {
		add(s, " -RestrictDomainsToIPAddresses $true -SenderIPAddresses ");
		add_egress(s, d);
	}
	end(s);
}

static void set_connector(struct script *s, const struct doctor *d)
{
	comment(s,
		d->n_users
			? "2. Who is behind it: first for pilots (all recipients of a message must "
			  "be listed, by each of their addresses), then for all."
			: "2. Who is behind it. To try it with some recipients first: --users.");
	add(s, "Set-InboundConnector -Identity ");
	connector_name(s, d);
	if (has_relays(d)) {
		add(s, " -EFSkipLastIP $false -EFSkipIPs ");
		add_egress(s, d);
		add_relays(s, d);
	} else {
		add(s, " -EFSkipLastIP $true -EFSkipIPs $null");
	}
	add(s, " -EFUsers ");
	for (size_t i = 0; i < d->n_users; i++) {
		add(s, "%s", i ? "," : "");
		add_quoted(s, d->user[i]);
	}
	add(s, "%s", d->n_users ? "" : "$null");
	end(s);
	if (d->n_users) {
		add(s, "Set-InboundConnector -Identity ");
		connector_name(s, d);
		add(s, " -EFUsers $null");
		end(s);
	}
}

static void trust_sealer(struct script *s, const struct doctor *d)
{
	const struct config_arc_key *key = config_arc_key_at(d->route, d->look.now);

	if (d->route->arc_seal == ARC_SEAL_NEVER || !key)
		return;
	comment(s, "3. Our seal. This replaces the list: add what Get-ArcConfig shows, by commas "
		   "within "
		   "the quotes.");
	add(s, "Set-ArcConfig -Identity Default -ArcTrustedSealers ");
	add_quoted(s, key->domain);
	end(s);
}

static json_t *exchange_setup(const struct doctor *d)
{
	struct script s = {.lines = json_array(), .line = calloc(1, SCRIPT_LINE)};
	char head[400];

	if (!s.line)
		return s.lines;
	snprintf(head, sizeof(head), "Exchange Online PowerShell for route %s of %s",
		 d->route->name, d->config_path);
	comment(&s, head);
	if (d->n_egress) {
		new_connector(&s, d);
		set_connector(&s, d);
	} else {
		comment(&s, "The address of this gateway is not known: name it by --egress.");
	}
	trust_sealer(&s, d);
	comment(&s,
		"4. Nobody outside sends in the name of your own domains without authentication. "
		"Devices that do need a connector of their own first.");
	add(&s, "Set-OrganizationConfig -RejectDirectSend $true");
	end(&s);
	comment(&s, "5. What spares mail the filter, and makes all of this worthless: look, and "
		    "take this "
		    "gateway out.");
	add(&s, "Get-TransportRule | Where-Object { $_.SetSCL -eq -1 } | Format-List "
		"Name,State,SenderIpRanges");
	end(&s);
	add(&s, "Get-HostedConnectionFilterPolicy | Format-List Name,IPAllowList,EnableSafeList");
	end(&s);
	free(s.line);
	return json_pack("{s:s, s:o}", "kind", "powershell", "lines", s.lines);
}

/* ---- Gmail ---------------------------------------------------------------------------------- */

/* It takes addresses and networks, not "from-to". */
static void add_networks(json_t *list, const struct ip_range *r)
{
	/* 2 for each bit of an address at most. */
	struct doctor_net net[MAX_NETS];
	size_t n = doctor_networks(r, net, MAX_NETS);
	char text[64], ip[46];

	for (size_t i = 0; i < n; i++) {
		ip_format(&net[i].addr, ip, sizeof(ip));
		if (net[i].prefix == (ip_is_v4(&net[i].addr) ? 32u : 128u))
			snprintf(text, sizeof(text), "%s", ip);
		else
			snprintf(text, sizeof(text), "%s/%u", ip, net[i].prefix);
		json_array_append_new(list, json_string(text));
	}
}

static json_t *google_setup(const struct doctor *d)
{
	const struct origin_relays *all = &d->config->relays;
	const struct config_policy *policy = config_policy_for(d->config, d->route);
	bool tls = d->route->tls.policy >= TLS_POLICY_ENCRYPT &&
		   d->route->tls.policy != TLS_POLICY_DANE;
	json_t *list = json_array();
	char header[128];

	for (size_t i = 0; i < d->n_egress; i++)
		add_networks(list, &d->egress[i]);
	for (size_t i = 0; i < all->n; i++)
		for (size_t k = 0; k < all->relay[i].n_ranges; k++)
			if (doctor_listable(d, &all->relay[i], &all->relay[i].range[k]))
				add_networks(list, &all->relay[i].range[k]);
	snprintf(header, sizeof(header), "%s-Score: ([0-9.]+)",
		 config_header_prefix(d->config, d->route));
	return json_pack("{s:s, s:o, s:b, s:b, s:b, s:s, s:f}", "kind", "inbound-gateway",
			 "gateway_ips", list, "detect_external_ip", 1, "reject_others", 1,
			 "require_tls", (int)tls, "header_regexp", header, "spam_score",
			 policy->tag_score);
}

json_t *doctor_setup(const struct doctor *d)
{
	return d->side == ARRIVED_EXCHANGE ? exchange_setup(d) : google_setup(d);
}

void doctor_setup_print(const json_t *setup)
{
	const json_t *lines = json_object_get(setup, "lines"), *e;
	size_t i;

	puts("");
	if (lines) {
		json_array_foreach(lines, i, e) puts(json_string_value(e));
		return;
	}
	puts("Google Admin console: Apps, Google Workspace, Gmail, Spam, phishing and malware, "
	     "Inbound "
	     "gateway");
	puts("  Gateway IPs:");
	json_array_foreach(json_object_get(setup, "gateway_ips"), i, e)
		printf("    %s\n", json_string_value(e));
	puts("  Automatically detect external IP: on");
	puts("  Reject all mail not from gateway IPs: on, when the MX records lead here only");
	printf("  Require TLS for connections from the gateways above: %s\n",
	       json_is_true(json_object_get(setup, "require_tls")) ? "on"
								   : "off, until the route's tls "
								     "is verify");
	puts("  Message is considered spam if the following header regexp matches:");
	printf("    %s\n", json_string_value(json_object_get(setup, "header_regexp")));
	printf("    Regexp extracts a numeric score; compared with %g, the tag-score "
	       "here\n",
	       json_number_value(json_object_get(setup, "spam_score")));
}
