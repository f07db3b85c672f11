/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdio.h>
#include <stdlib.h>

#include "control/cli/arrived.h"
#include "postern/limits.h"

const char *arrived_side_name(enum arrived_side side)
{
	return side == ARRIVED_EXCHANGE ? "Exchange Online" : "Gmail";
}

/* ---- lists of pairs ------------------------------------------------------------------------- */

static void copy(char *out, size_t cap, struct str s)
{
	(void)look_clean(s, out, cap);
}

/* The value of `key` in "key=value; key:value"; STR_NONE: not there. The first counts. */
static struct str pair(struct str list, const char *key)
{
	struct str k = str_c(key);

	while (list.n) {
		size_t end = str_find(list, ';');
		struct str item = str_trim(str_cut(list, end));

		list = str_skip(list, end + 1);
		if (item.n > k.n && str_istarts(item, k) &&
		    (item.p[k.n] == '=' || item.p[k.n] == ':'))
			return str_trim(str_skip(item, k.n + 1));
	}
	return STR_NONE;
}

static bool pair_ip(struct str list, const char *key, struct ip_addr *out)
{
	struct str s = pair(list, key);

	if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		s = str_make(s.p + 1, s.n - 2);
	return ip_parse(s, out);
}

/* All copies of a field are counted; the value of the only one, unfolded. */
static struct str only(const struct headers *h, const char *name, uint8_t *buf, size_t cap,
		       unsigned int *copies)
{
	size_t at = headers_find(h, str_c(name), 0);
	long n;

	*copies = 0;
	for (size_t i = at; i < h->n; i = headers_find(h, str_c(name), i + 1))
		++*copies;
	n = *copies == 1 ? header_unfold(header_value(h, at), buf, cap) : -1;
	return n < 0 ? STR_NONE : str_make(buf, (size_t)n);
}

/* ---- Exchange ------------------------------------------------------------------------------- */

static void read_stamp(const struct headers *h, const char *name, struct arrived_stamp *out)
{
	uint8_t buf[2048];
	struct str s = only(h, name, buf, sizeof(buf), &out->copies);

	out->has_ip = pair_ip(s, "ip", &out->ip);
	copy(out->helo, sizeof(out->helo), pair(s, "domain"));
}

static void read_report(const struct headers *h, struct arrived_report *r)
{
	uint8_t buf[8192];
	struct str s = only(h, "X-Forefront-Antispam-Report", buf, sizeof(buf), &r->copies), scl;
	bool below;

	r->has_ip = pair_ip(s, "CIP", &r->ip);
	copy(r->helo, sizeof(r->helo), pair(s, "H"));
	copy(r->ptr, sizeof(r->ptr), pair(s, "PTR"));
	copy(r->cat, sizeof(r->cat), pair(s, "CAT"));
	copy(r->sfv, sizeof(r->sfv), pair(s, "SFV"));
	copy(r->ipv, sizeof(r->ipv), pair(s, "IPV"));
	copy(r->sfty, sizeof(r->sfty), pair(s, "SFTY"));
	scl = pair(s, "SCL");
	below = scl.n && scl.p[0] == '-';
	scl = str_skip(scl, below);
	r->has_scl = scl.n == 1 && ascii_is_digit(scl.p[0]);
	if (r->has_scl)
		r->scl = below ? '0' - scl.p[0] : scl.p[0] - '0';
}

/* ---- the way in ----------------------------------------------------------------------------- */

/* Between servers of the cloud itself; nobody outside writes above the front door's line. */
static bool is_house(const char *by)
{
	static const char *const house[] = {"outlook.com", "office365.com", "exchangelabs.com"};

	for (size_t i = 0; i < sizeof(house) / sizeof(house[0]); i++)
		if (domain_is_in(str_c(by), str_c(house[i])))
			return true;
	return false;
}

/* Not by HELO, which is the sender's word. */
static bool is_door(enum arrived_side side, const char *by)
{
	if (side == ARRIVED_GMAIL)
		return str_ieq(str_c(by), STR("mx.google.com"));
	return domain_is_in(str_c(by), STR("mail.protection.outlook.com")) ||
	       domain_is_in(str_c(by), STR("mx.microsoft"));
}

static long find_entry(const struct arrived *a, enum arrived_side side)
{
	for (size_t i = 0; i < a->hops.n_hops; i++) {
		const struct walker_hop *hop = &a->hops.hop[i];

		if (hop->field < 0 || !hop->has_ip)
			continue;
		if (is_door(side, hop->by))
			return (long)i;
		if (side == ARRIVED_GMAIL || !is_house(hop->by))
			return -1;
	}
	return -1;
}

static long find_ours(const struct arrived *a, const struct headers *h, const char *hostname)
{
	for (long i = a->entry + 1; a->entry >= 0 && i < (long)a->hops.n_hops; i++) {
		const struct walker_hop *hop = &a->hops.hop[i];
		struct str value = header_value(h, (size_t)hop->field);

		if (str_ieq(str_c(hop->by), str_c(hostname)) &&
		    memmem(value.p, value.n, " (Postern) with ", 16))
			return i;
	}
	return -1;
}

/* Fields below this one may have been written before the front door. */
static long host_end(const struct arrived *a, const struct headers *h)
{
	return a->entry + 1 < (long)a->hops.n_hops ? a->hops.hop[a->entry + 1].field : (long)h->n;
}

static bool by_host(enum arrived_side side, const struct told *t)
{
	struct str by = str_c(t->by);

	if (side == ARRIVED_GMAIL)
		return str_ieq(by, STR("mx.google.com")) || str_ieq(by, STR("google.com"));
	/* Exchange's Authentication-Results has no authserv-id. */
	return !by.n || str_ieq(by, STR("mx.microsoft.com")) ||
	       domain_is_in(by, STR("protection.outlook.com"));
}

static void find_told(struct arrived *a, const struct headers *h, const struct arrived_names *names)
{
	long end = host_end(a, h), ours = a->ours >= 0 ? a->hops.hop[a->ours].field : -1;

	for (size_t i = 0; a->entry >= 0 && i < a->told.n; i++) {
		const struct told *t = &a->told.told[i];
		bool results = !strcmp(t->name, "Authentication-Results");

		if (t->error[0])
			continue;
		if (results && !a->own && t->field > a->hops.hop[a->entry].field &&
		    t->field < ours && str_ieq(str_c(t->by), str_c(names->authserv_id)))
			a->own = t;
		if (t->field >= end)
			continue;
		if (!strcmp(t->name, "Received-SPF")) {
			if (!a->host_spf && !str_ieq(str_c(t->by), str_c(names->hostname)))
				a->host_spf = t;
		} else if (!by_host(names->side, t)) {
			continue;
		} else if (results && !a->host) {
			a->host = t;
		} else if (t->instance && !a->host_arc) {
			a->host_arc = t;
		}
	}
}

/* ---- our record ----------------------------------------------------------------------------- */

static struct str own_field(const struct arrived *a, const struct headers *h, const char *prefix,
			    const char *what, uint8_t *buf, size_t cap)
{
	char name[LIMIT_FIELD_NAME + 32];
	long from = a->hops.hop[a->entry].field, to = a->hops.hop[a->ours].field, n;
	size_t i;

	snprintf(name, sizeof(name), "%s-%s", prefix, what);
	i = headers_find(h, str_c(name), (size_t)from);
	if ((long)i >= to)
		return STR_NONE;
	n = header_unfold(header_value(h, i), buf, cap);
	return n < 0 ? STR_NONE : str_make(buf, (size_t)n);
}

static void read_record(struct arrived *a, const struct headers *h, const char *prefix)
{
	struct arrived_record *r = &a->record;
	uint8_t buf[4096];
	struct str s;

	if (a->ours < 0)
		return;
	s = own_field(a, h, prefix, "Original-Sender", buf, sizeof(buf));
	r->has_ip = pair_ip(s, "ip", &r->ip);
	copy(r->helo, sizeof(r->helo), pair(s, "helo"));
	copy(r->ptr, sizeof(r->ptr), pair(s, "ptr"));
	copy(r->via, sizeof(r->via), pair(s, "via"));
	copy(r->score, sizeof(r->score), own_field(a, h, prefix, "Score", buf, sizeof(buf)));
	copy(r->verdict, sizeof(r->verdict), own_field(a, h, prefix, "Verdict", buf, sizeof(buf)));
}

void arrived_read(const struct headers *h, const struct arrived_names *names, struct arrived *out)
{
	static const struct walker_start top = {0};
	uint8_t path[LOOK_PATH];

	memset(out, 0, sizeof(*out));
	told_read(h, &out->told);
	walker_hops(&top, h, &out->hops);
	out->entry = find_entry(out, names->side);
	out->ours = find_ours(out, h, names->hostname);
	find_told(out, h, names);
	if (names->side == ARRIVED_EXCHANGE) {
		read_stamp(h, "X-MS-Exchange-SkipListedInternetSender", &out->skip_listed);
		read_stamp(h, "X-MS-Exchange-ExternalOriginalInternetSender", &out->original);
		read_report(h, &out->report);
	}
	read_record(out, h, names->prefix);
	copy(out->mail_from, sizeof(out->mail_from), look_return_path(h, path));
	if (!out->mail_from[0] && out->host)
		copy(out->mail_from, sizeof(out->mail_from), str_c(out->host->mail_from));
}

bool arrived_taken(const struct arrived *a, enum arrived_side side, struct ip_addr *ip,
		   const char **field)
{
	if (side == ARRIVED_EXCHANGE && a->original.has_ip) {
		*ip = a->original.ip;
		*field = "X-MS-Exchange-ExternalOriginalInternetSender";
	} else if (side == ARRIVED_EXCHANGE && a->report.has_ip) {
		*ip = a->report.ip;
		*field = "X-Forefront-Antispam-Report (CIP)";
	} else if (side == ARRIVED_GMAIL && a->host_spf && a->host_spf->has_ip) {
		*ip = a->host_spf->ip;
		*field = "Received-SPF (client-ip)";
	} else if (a->host && a->host->has_ip) {
		*ip = a->host->ip;
		*field = "Authentication-Results";
	} else if (a->host_spf && a->host_spf->has_ip) {
		*ip = a->host_spf->ip;
		*field = "Received-SPF (client-ip)";
	} else {
		return false;
	}
	return true;
}
