/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* dnsbl sections: lists of addresses in the DNS, and what a listing is worth. */

#include <string.h>

#include "control/config/config_value.h"
#include "postern/limits.h"

#define MAX_REPLY 150 /* with our words and the trace id it fits a line of RFC 5321 4.5.3.1.5 */

/* ---- answers ---------------------------------------------------------------------------- */

/* Digits only, up to `max`, without leading zeros. */
static bool number(struct str *s, unsigned int max, unsigned int *out)
{
	size_t n = 0;

	for (*out = 0; n < s->n && n < 3 && ascii_is_digit(s->p[n]); n++)
		*out = *out * 10 + (unsigned int)(s->p[n] - '0');
	if (!n || *out > max || (n > 1 && s->p[0] == '0'))
		return false;
	*s = str_skip(*s, n);
	return true;
}

static bool take(struct str *s, uint8_t c)
{
	if (!s->n || s->p[0] != c)
		return false;
	*s = str_skip(*s, 1);
	return true;
}

static bool octet(struct str *s, uint8_t *low, uint8_t *high)
{
	unsigned int from = 0, to = 255;

	if (!take(s, '*')) {
		if (!number(s, 255, &from))
			return false;
		to = from;
		if (take(s, '-') && (!number(s, 255, &to) || to < from))
			return false;
	}
	*low = (uint8_t)from;
	*high = (uint8_t)to;
	return true;
}

/* A prefix ends inside one octet at most, so that a network is a range in each. */
static bool widen(struct dnsbl_range *r, unsigned int prefix)
{
	for (unsigned int i = 0; i < 4; i++) {
		unsigned int kept = prefix > 8 * i ? prefix - 8 * i : 0;
		uint8_t rest = kept >= 8 ? 0 : (uint8_t)(0xff >> kept);

		if (r->low[i] != r->high[i] || (r->low[i] & rest))
			return false;
		r->high[i] = r->low[i] | rest;
	}
	return true;
}

/* "127.0.0.2", "127.0.0.0/24", "127.0.*.3", "127.0.0.4-7". */
static bool parse_range(struct str text, struct dnsbl_range *out, const char **why)
{
	unsigned int prefix;

	*why = "expected an address, address/prefix, or ranges as in 127.0.*.2-11";
	for (unsigned int i = 0; i < 4; i++)
		if ((i && !take(&text, '.')) || !octet(&text, &out->low[i], &out->high[i]))
			return false;
	if (take(&text, '/')) {
		if (!number(&text, 32, &prefix))
			return false;
		if (!widen(out, prefix)) {
			*why = "bits behind the prefix";
			return false;
		}
	}
	if (text.n)
		return false;
	if (out->low[0] != 127 || out->high[0] != 127) {
		*why = "answers are within 127.0.0.0/8 (RFC 5782 2.1)";
		return false;
	}
	if (out->low[1] == 255 && out->low[2] == 255) {
		*why = "127.255.255.0/24 are error codes, not listings";
		return false;
	}
	return true;
}

/* ---- sections --------------------------------------------------------------------------- */

struct dnsbl_entry {
	struct dnsbl_list list;
	struct config_listing listing;
	bool tests;
};

static void read_zone(struct config_reader *r, const struct config_node *n,
		      const struct config_key *k, void *field)
{
	const char *zone = NULL;

	read_domain(r, n, k, &zone);
	if (zone && strlen(zone) > LIMIT_DNSBL_ZONE)
		config_fail(r->c, n, NULL,
			    "zone of %zu octets: at most %d leave room for an IPv6 address",
			    strlen(zone), LIMIT_DNSBL_ZONE);
	else if (zone)
		memcpy(field, &zone, sizeof(zone));
}

static void read_answers(struct config_reader *r, const struct config_node *n,
			 const struct config_key *k, void *field)
{
	struct dnsbl_list *list = field;
	struct dnsbl_range *range;

	if (!config_list(r, n, k))
		return;
	list->answer = range = config_alloc(r->mem, n->n * sizeof(*range));
	for (const struct config_node *e = n->first; e && range; e = e->next) {
		const char *why;

		if (parse_range(str_c(e->text), &range[list->n_answers], &why))
			list->n_answers++;
		else
			config_fail(r->c, e, NULL, "\"%.100s\": %s", e->text, why);
	}
}

static void read_reply(struct config_reader *r, const struct config_node *n,
		       const struct config_key *k, void *field)
{
	const char *text;

	(void)k;
	if (!config_reply_text(r, n, MAX_REPLY))
		return;
	text = config_dup(r->mem, str_c(n->text));
	memcpy(field, &text, sizeof(text));
}


#define ENTRY(member) CONFIG_FIELD(struct dnsbl_entry, member)

static const struct config_key dnsbl_keys[] = {
	{"zone", read_zone, ENTRY(list.zone)},
	{"kind", NULL, ENTRY(list.allow)},
	{"answers", read_answers, ENTRY(list)},
	{"test-entries", NULL, ENTRY(tests)},
	{"score", NULL, ENTRY(listing.score)},
	{"evidence", NULL, ENTRY(listing.evidence)},
	{"action", NULL, ENTRY(listing.action)},
	{"reply", read_reply, ENTRY(listing.reply)},
};

const struct config_binding config_of_dnsbl = CONFIG_BINDING("dnsbl", dnsbl_keys);

static void check_dnsbl(struct config_reader *r, const struct config_node *n,
			const struct dnsbl_entry *e)
{
	if (e->list.allow && (e->listing.score > 0 || e->listing.evidence || e->listing.action))
		config_fail(r->c, n, "kind",
			    "a list of the good is worth a score of 0 or less, and no "
			    "evidence or action");
	if (!e->list.allow && e->listing.score < 0)
		config_fail(r->c, n, "score", "%g speaks for a message: that needs kind = allow",
			    e->listing.score);
	if (e->listing.reply && e->listing.action < CONFIG_DEFER)
		config_fail(r->c, n, "reply", "nobody hears it: action is not defer or reject");
}

void read_dnsbls(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		 void *field)
{
	struct config_policy *p = field;

	(void)k;
	if (n->n > LIMIT_DNSBLS) {
		config_fail(r->c, n, NULL, "more than %d lists", LIMIT_DNSBLS);
		return;
	}
	p->dnsbl = config_alloc(r->mem, n->n * sizeof(*p->dnsbl));
	p->listing = config_alloc(r->mem, n->n * sizeof(*p->listing));
	for (const struct config_node *e = n->first; e && p->dnsbl && p->listing; e = e->next) {
		struct dnsbl_entry entry = {0};
		const struct config_node *kind;

		if (!config_is_section(r, e) || !config_section_name(r, e))
			continue;
		config_read_defaults(r, &config_of_dnsbl, &entry);
		kind = config_child(e, "kind");
		entry.listing.evidence = !kind || !kind->text || strcmp(kind->text, "allow") != 0;
		entry.list.name = config_dup(r->mem, str_c(e->key));
		config_read_section(r, e, &config_of_dnsbl, &entry);
		check_dnsbl(r, e, &entry);
		entry.list.untested = !entry.tests;
		p->dnsbl[p->n_dnsbls] = entry.list;
		p->listing[p->n_dnsbls++] = entry.listing;
	}
}
