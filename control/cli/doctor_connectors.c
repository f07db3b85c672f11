/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What the tenant has: the output of Get-InboundConnector | ConvertTo-Json, an object or an array
 * of them. The export is made by others and may be old; each value is looked at before it is used.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/doctor.h"
#include "postern/limits.h"

#define MAX_LIST 256

struct connector {
	const json_t *o;
	char name[128], type[32], tls_name[256];
	bool enabled, ours;
	struct ip_range skip[MAX_LIST];
	size_t n_skip;
	bool odd_skip; /* one of the list cannot be read */
};

/* ---- values --------------------------------------------------------------------------------- */

static void text_of(const json_t *o, const char *member, char *out, size_t cap)
{
	const json_t *v = json_object_get(o, member);

	out[0] = '\0';
	if (json_is_string(v))
		(void)look_clean(str_make(json_string_value(v), json_string_length(v)), out, cap);
}

/* Of a list, or of the only one that PowerShell unwrapped. */
static size_t ranges_of(const json_t *o, const char *member, struct ip_range *out, bool *odd)
{
	const json_t *v = json_object_get(o, member);
	size_t count = json_is_array(v) ? json_array_size(v) : json_is_string(v), n = 0;

	*odd = v && !json_is_null(v) && !json_is_array(v) && !json_is_string(v);
	for (size_t i = 0; i < count; i++) {
		const json_t *e = json_is_array(v) ? json_array_get(v, i) : v;

		if (n < MAX_LIST && json_is_string(e) &&
		    ip_range_parse(str_trim(str_make(json_string_value(e), json_string_length(e))),
				   &out[n]))
			n++;
		else
			*odd = true;
	}
	return n;
}

static void hidden_in(struct findings *f, const json_t *v, const char *name, const char *member)
{
	struct str s = str_make(json_string_value(v), json_string_length(v));
	size_t at = 0;
	long cp = doctor_deceptive(s, &at);

	if (cp < 0)
		return;
	findings_add(f, "hidden-unicode", FINDINGS_FAIL,
		     "connector \"%s\": %.60s has U+%04lX in it, which "
		     "nobody sees: it matches nothing",
		     name, member, (unsigned long)cp);
	findings_advise(f, "Type the value anew, do not paste it.");
}

static void check_hidden(struct findings *f, const struct connector *c)
{
	const char *member;
	const json_t *v, *e;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)c->o, member, v)
	{
		if (json_is_string(v))
			hidden_in(f, v, c->name, member);
		json_array_foreach(v, i, e) if (json_is_string(e)) hidden_in(f, e, c->name, member);
	}
}

/* ---- checks --------------------------------------------------------------------------------- */

static bool is_covered(const struct ip_range *r, const struct ip_range *list, size_t n)
{
	/* Lists are of single entries: a range is covered by one of them. */
	for (size_t i = 0; i < n; i++)
		if (ip_in_range(&r->first, &list[i]) && ip_in_range(&r->last, &list[i]))
			return true;
	return false;
}

static bool name_matches(const char *pattern, const char *name)
{
	if (pattern[0] == '*' && pattern[1] == '.')
		return str_iends(str_c(name), str_c(pattern + 1));
	return pattern[0] && str_ieq(str_c(pattern), str_c(name));
}

static bool takes_ours(const struct doctor *d, const struct connector *c)
{
	static struct ip_range sender[MAX_LIST];
	bool odd;
	size_t n = ranges_of(c->o, "SenderIPAddresses", sender, &odd);

	if (d->has_client_name && name_matches(c->tls_name, d->client_name))
		return true;
	for (size_t i = 0; i < d->n_egress; i++)
		for (size_t k = 0; k < n; k++)
			if (ip_ranges_meet(&d->egress[i], &sender[k]))
				return true;
	return false;
}

static bool is_true(const struct connector *c, const char *member)
{
	return json_is_true(json_object_get(c->o, member));
}

static void check_kind(struct doctor *d, const struct connector *c)
{
	struct findings *f = &d->findings;
	enum findings_level bad = c->enabled ? FINDINGS_FAIL : FINDINGS_WARNING;
	const char *off = c->enabled ? "" : " (it is disabled)";

	if (str_ieq(str_c(c->type), STR("OnPremises"))) {
		findings_add(f, "connector-type", bad,
			     "connector \"%s\" is of type OnPremises%s: it "
			     "lends the organization's own trust to whatever comes through it%s",
			     c->name, off, c->ours ? ", and this gateway's mail does" : "");
		findings_advise(
			f, "Take mail of this gateway by a Partner connector. If a hybrid server "
			   "needs this one, its addresses and certificate must be none of this "
			   "gateway's.");
	} else if (!str_ieq(str_c(c->type), STR("Partner"))) {
		findings_add(f, "connector-type", FINDINGS_FAIL,
			     "connector \"%s\": ConnectorType is not "
			     "told as a word",
			     c->name);
		findings_advise(
			f,
			"Export with: Get-InboundConnector | Select-Object *,@{n='ConnectorType';"
			"e={\"$($_.ConnectorType)\"}} -ExcludeProperty ConnectorType | "
			"ConvertTo-Json");
	}
	for (size_t i = 0; i < 2; i++) {
		static const char *const member[] = {"CloudServicesMailEnabled",
						     "TreatMessagesAsInternal"};

		if (!is_true(c, member[i]))
			continue;
		findings_add(f, "connector-trust", bad,
			     "connector \"%s\" has %s%s: it believes headers "
			     "that strangers can write, and skips checks for them",
			     c->name, member[i], off);
		findings_advise(f, "Set-InboundConnector with -%s $false.", member[i]);
	}
}

/* Whoever is at an address that is skipped may name any sender. */
static void check_strangers(struct doctor *d, const struct connector *c)
{
	const struct origin_relays *relays = &d->config->relays;
	char text[96];

	for (size_t i = 0; i < c->n_skip; i++) {
		bool known = is_covered(&c->skip[i], d->egress, d->n_egress);

		for (size_t k = 0; k < relays->n && !known; k++)
			known = is_covered(&c->skip[i], relays->relay[k].range,
					   relays->relay[k].n_ranges);
		doctor_range(&c->skip[i], text, sizeof(text));
		if (cloud_of(&c->skip[i]) != CLOUD_NONE)
			findings_add(&d->findings, "skip-list", FINDINGS_FAIL,
				     "connector \"%s\": EFSkipIPs has %s, of a cloud that all its "
				     "tenants send from: each of them may name any sender",
				     c->name, text);
		else if (!known)
			findings_add(
				&d->findings, "skip-list", FINDINGS_WARNING,
				"connector \"%s\": EFSkipIPs has %s, more than this gateway and "
				"its relays: whoever is there may name any sender",
				c->name, text);
	}
}

static void check_skip(struct doctor *d, const struct connector *c)
{
	const struct origin_relays *relays = &d->config->relays;
	struct findings *f = &d->findings;
	size_t before = f->n;
	char text[96];

	if (!c->n_skip && !is_true(c, "EFSkipLastIP")) {
		findings_add(f, "skip-list", FINDINGS_FAIL,
			     "connector \"%s\" has no enhanced filtering: "
			     "this gateway is taken for every sender",
			     c->name);
		findings_advise(f, "The Set-InboundConnector line below.");
		return;
	}
	for (size_t i = 0; c->n_skip && i < d->n_egress; i++)
		if (!is_covered(&d->egress[i], c->skip, c->n_skip))
			findings_add(f, "skip-list", FINDINGS_FAIL,
				     "connector \"%s\": EFSkipIPs lacks %s, "
				     "this gateway",
				     c->name, doctor_range(&d->egress[i], text, sizeof(text)));
	for (size_t i = 0; i < relays->n; i++)
		for (size_t k = 0; k < relays->relay[i].n_ranges; k++) {
			const struct ip_range *r = &relays->relay[i].range[k];

			if (!doctor_listable(d, &relays->relay[i], r) ||
			    is_covered(r, c->skip, c->n_skip))
				continue;
			findings_add(f, "skip-list", FINDINGS_FAIL,
				     "connector \"%s\": %s lacks %s of relay "
				     "\"%s\"%s",
				     c->name, c->n_skip ? "EFSkipIPs" : "EFSkipLastIP",
				     doctor_range(r, text, sizeof(text)), relays->relay[i].name,
				     c->n_skip ? "" : ", as it skips this gateway only");
		}
	check_strangers(d, c);
	if (c->odd_skip)
		findings_add(f, "skip-list", FINDINGS_WARNING,
			     "connector \"%s\": an entry of EFSkipIPs "
			     "cannot be read",
			     c->name);
	if (json_array_size(json_object_get(c->o, "EFUsers")))
		findings_add(f, "skip-list", FINDINGS_WARNING,
			     "connector \"%s\": EFUsers limits it to "
			     "messages all of whose recipients are listed",
			     c->name);
	if (f->n == before)
		findings_add(f, "skip-list", FINDINGS_OK,
			     "connector \"%s\" skips this gateway and all "
			     "relays",
			     c->name);
}

static void check_lock(struct doctor *d, const struct connector *c)
{
	struct findings *f = &d->findings;
	bool ip = is_true(c, "RestrictDomainsToIPAddresses");

	if (!is_true(c, "RestrictDomainsToCertificate") && !ip) {
		findings_add(f, "connector-lock", FINDINGS_WARNING,
			     "connector \"%s\" does not restrict "
			     "senders to this gateway: mail can go past it",
			     c->name);
		findings_advise(f,
				"When the MX records lead here only: -RestrictDomainsToCertificate "
				"$true, or -RestrictDomainsToIPAddresses $true.");
	}
}

static void check_connector(struct doctor *d, const json_t *o, bool *found)
{
	struct connector *c = calloc(1, sizeof(*c));

	if (!c || !json_is_object(o)) {
		findings_add(&d->findings, "connectors", FINDINGS_UNKNOWN,
			     "an entry is no connector");
		free(c);
		return;
	}
	c->o = o;
	text_of(o, json_object_get(o, "Name") ? "Name" : "Identity", c->name, sizeof(c->name));
	text_of(o, "ConnectorType", c->type, sizeof(c->type));
	text_of(o, "TlsSenderCertificateName", c->tls_name, sizeof(c->tls_name));
	c->enabled = !json_is_false(json_object_get(o, "Enabled"));
	c->n_skip = ranges_of(o, "EFSkipIPs", c->skip, &c->odd_skip);
	c->ours = takes_ours(d, c);
	check_hidden(&d->findings, c);
	check_kind(d, c);
	if (c->ours && c->enabled) {
		*found = true;
		check_skip(d, c);
		check_lock(d, c);
	}
	free(c);
}

/* Windows PowerShell writes UTF-16 where it is not told otherwise. */
static int load(const char *file, json_t **out)
{
	char clean[sizeof(((json_error_t *)0)->text)];
	json_error_t error;
	uint8_t *p = NULL;
	size_t n = 0;
	const char *why = NULL;

	FILE *f = fopen(file, "rb");
	p = f ? malloc(LIMIT_CONFIG_FILE) : NULL;
	n = p ? fread(p, 1, LIMIT_CONFIG_FILE, f) : 0;
	if (!n)
		why = f ? "empty" : "cannot be read";
	else if (n == LIMIT_CONFIG_FILE)
		why = "too large";
	else if (n > 2 && ((p[0] == 0xff && p[1] == 0xfe) || (p[0] == 0xfe && p[1] == 0xff)))
		why = "UTF-16: save it with | Out-File -Encoding utf8";
	if (!why) {
		size_t bom = n > 3 && !memcmp(p, "\xef\xbb\xbf", 3) ? 3 : 0;

		*out = json_loadb((const char *)p + bom, n - bom, 0, &error);
		if (!*out)
			fprintf(stderr, "posternctl doctor: %s:%d: %s\n", file, error.line,
				look_clean(str_c(error.text), clean, sizeof(clean)));
	} else {
		fprintf(stderr, "posternctl doctor: %s: %s\n", file, why);
	}
	if (f)
		fclose(f);
	free(p);
	return *out ? CLI_OK : CLI_USAGE;
}

int doctor_connectors(struct doctor *d)
{
	json_t *list = NULL, *o;
	bool found = false;
	size_t i;
	int rc = load(d->connectors, &list);

	if (rc)
		return rc;
	if (json_is_array(list))
		json_array_foreach(list, i, o) check_connector(d, o, &found);
	else
		check_connector(d, list, &found);
	if (!found) {
		findings_add(&d->findings, "connectors", FINDINGS_FAIL,
			     "no connector that is enabled knows "
			     "this gateway, by its certificate or by its addresses");
		findings_advise(&d->findings, "The New-InboundConnector line below.");
	}
	json_decref(list);
	return CLI_OK;
}
