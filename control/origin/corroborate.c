/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What listed relays say beside their Received lines. Told, never believed over the walk: below a
 * relay that does not take such a header away a sender may have written it. */

#include <stdio.h>
#include <strings.h>

#include "control/origin/origin.h"

/* "192.0.2.1", "[192.0.2.1]", "2001:db8::1", "[2001:db8::1]", "[IPv6:2001:db8::1]". */
static bool read_address(struct str s, struct ip_addr *out)
{
	s = str_trim(s);
	if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']') {
		s = str_make(s.p + 1, s.n - 2);
		if (str_istarts(s, STR("IPv6:"))) {
			s = str_skip(s, 5);
			if (str_find(s, ':') == s.n)
				return false;
		}
	}
	return ip_parse(s, out);
}

static bool is_on_way(const struct origin *o, size_t behind, const struct ip_addr *ip)
{
	for (size_t i = behind + 1; i < o->n_hops; i++)
		if (!memcmp(&o->hop[i].ip, ip, sizeof(*ip)))
			return true;
	return false;
}

static void contradict(struct origin *o, struct origin_hop *hop,
		       const struct origin_corroboration *c)
{
	size_t n = strlen(hop->note);
	char ip[46];

	o->contradicted = true;
	snprintf(hop->note + n, sizeof(hop->note) - n, "; its %.60s says %s", c->header,
		 ip_format(&c->ip, ip, sizeof(ip)));
}

static void read_header(struct origin *o, size_t at, const struct origin_relay *relay,
			const char *name, const struct headers *h)
{
	struct origin_corroboration *c = &o->corroboration[o->n_corroboration];
	size_t i = headers_find(h, str_c(name), 0);

	/* The copies further up are those of relays nearer to us. */
	for (size_t k = 0; k < o->n_corroboration; k++)
		if (!strcasecmp(o->corroboration[k].header, name) && i < h->n)
			i = headers_find(h, str_c(name), i + 1);
	if (i >= h->n || o->n_corroboration == ORIGIN_MAX_CORROBORATION)
		return;
	*c = (struct origin_corroboration){.relay = relay->name, .field = (long)i};
	snprintf(c->header, sizeof(c->header), "%s", name);
	for (size_t k = i; k < h->n; k = headers_find(h, str_c(name), k + 1))
		c->copies++;
	c->has_ip = !(h->field[i].flags & HEADER_F_SPACE_COLON) &&
		    read_address(header_value(h, i), &c->ip);
	c->agrees = c->has_ip && is_on_way(o, at, &c->ip);
	o->n_corroboration++;
	if (c->has_ip && !c->agrees)
		contradict(o, &o->hop[at], c);
}

/* A hop remembers the name alone. */
static const struct origin_relay *by_name(const struct origin_relays *relays, const char *name)
{
	for (size_t i = 0; i < relays->n; i++)
		if (relays->relay[i].name == name)
			return &relays->relay[i];
	return NULL;
}

void origin_corroborate(const struct origin_relays *relays, const struct headers *h,
			struct origin *o)
{
	for (size_t i = 0; i < o->n_hops; i++) {
		const struct origin_relay *relay =
			o->hop[i].relay ? by_name(relays, o->hop[i].relay) : NULL;

		for (size_t k = 0; relay && k < relay->n_corroborate; k++)
			read_header(o, i, relay, relay->corroborate[k], h);
	}
}

static bool is_below(struct str domain, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (domain_is_in(domain, str_c(list[i])))
			return true;
	return false;
}

void origin_unwrap(const struct origin_relays *relays, struct str mail_from, struct origin *o)
{
	uint8_t buf[LIMIT_PATH + MAIL_ALABEL];
	struct str domain = mailbox_domain(mailbox_alabel(mail_from, buf, sizeof(buf)));

	for (size_t i = 0; i < o->n_hops; i++) {
		const struct origin_relay *relay =
			o->hop[i].relay ? by_name(relays, o->hop[i].relay) : NULL;
		bool own = relay && (relay->n_srs_domains
					     ? is_below(domain, relay->srs_domain, relay->n_srs_domains)
					     : is_below(domain, relay->by, relay->n_by));

		if (own) {
			srs_decode(mail_from, &o->srs);
			return;
		}
	}
}
