/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdarg.h>
#include <stdio.h>

#include "control/origin/received_lenient.h"
#include "control/origin/walkers.h"

#define SCRATCH 8192

static const char *const kind_name[] = {
	[WALKER_EXCHANGE] = "exchange",
	[WALKER_GMAIL] = "gmail",
	[WALKER_SPAMASSASSIN] = "spamassassin",
	[WALKER_RSPAMD] = "rspamd",
	[WALKER_FIRST_RECEIVED] = "first-received",
	[WALKER_LAST_PUBLIC] = "last-public",
};

const char *walker_kind_name(enum walker_kind kind)
{
	return kind_name[kind];
}

bool walker_kind_parse(struct str name, enum walker_kind *out)
{
	for (unsigned int i = 0; i < sizeof(kind_name) / sizeof(kind_name[0]); i++)
		if (str_eq(name, str_c(kind_name[i]))) {
			*out = (enum walker_kind)i;
			return true;
		}
	return false;
}

static bool is_listed(const struct walker_setting *set, const struct ip_addr *ip)
{
	for (size_t i = 0; i < set->n_listed; i++)
		if (ip_in_range(ip, &set->listed[i]))
			return true;
	return false;
}

static bool is_loopback(const struct ip_addr *ip)
{
	static const struct ip_addr v6 = {{[15] = 1}};

	return ip_is_v4(ip) ? ip->a[12] == 127 : !memcmp(ip, &v6, sizeof(v6));
}

static void __attribute__((format(printf, 2, 3))) note(struct walker_hop *hop, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(hop->note, sizeof(hop->note), fmt, ap);
	va_end(ap);
}

static void copy_word(char out[256], struct str s)
{
	out[0] = '\0';
	if (s.n >= 256)
		return;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_vchar(s.p[i]))
			return;
	if (s.n)
		memcpy(out, s.p, s.n);
	out[s.n] = '\0';
}

/* RFC 3848: the trailing A of "with"; Postfix and Sendmail say it in a comment. */
static bool is_authenticated(const struct received *r, struct str value)
{
	if (str_ieq(r->with, STR("ESMTPA")) || str_ieq(r->with, STR("ESMTPSA")) ||
	    str_ieq(r->with, STR("ASMTP")) || str_ieq(r->with, STR("UTF8SMTPA")) ||
	    str_ieq(r->with, STR("UTF8SMTPSA")))
		return true;
	for (; value.n; value = str_skip(value, 1))
		if (str_istarts(value, STR("(authenticated")))
			return true;
	return false;
}

static struct walker_hop *add_line(struct walker_view *v, const struct headers *h, size_t field)
{
	struct walker_hop *hop = &v->hop[v->n_hops++];
	struct str value = header_value(h, field);
	uint8_t scratch[SCRATCH];
	struct received r;
	const char *why;

	*hop = (struct walker_hop){.field = (long)field};
	if (received_parse_lenient(value, scratch, sizeof(scratch), &r, &why)) {
		copy_word(hop->by, r.by);
		note(hop, "not read as a hop (%s): passed over", why);
		return hop;
	}
	hop->has_ip = true;
	hop->ip = r.ip;
	hop->authenticated = is_authenticated(&r, value);
	copy_word(hop->helo, r.helo);
	copy_word(hop->rdns, r.rdns);
	copy_word(hop->by, r.by);
	return hop;
}

/* The next hop, or NULL: none is left. */
static struct walker_hop *next_hop(struct walker_view *v, const struct walker_start *start,
				   const struct headers *h, size_t *field)
{
	struct walker_hop *hop;

	if (v->n_hops == ORIGIN_MAX_HOPS)
		return NULL;
	if (v->n_hops == 0 && start->has_peer) {
		hop = &v->hop[v->n_hops++];
		*hop = (struct walker_hop){.has_ip = true, .ip = start->peer, .field = -1};
		copy_word(hop->helo, start->peer_helo);
		*field = start->field;
		return hop;
	}
	*field = headers_find(h, STR("Received"), v->n_hops == 0 ? start->field : *field);
	if (*field >= h->n)
		return NULL;
	return add_line(v, h, (*field)++);
}

static void take(struct walker_view *v, const struct walker_hop *hop, bool by_ptr)
{
	v->found = true;
	v->ip = hop->ip;
	v->field = hop->field;
	memcpy(v->helo, by_ptr && hop->rdns[0] ? hop->rdns : hop->helo, sizeof(v->helo));
}

/* Is this hop passed over? The note says why. `n`: addresses seen before it. */
static bool passes(const struct walker_setting *set, struct walker_hop *hop, size_t n)
{
	bool skip_last = set->kind == WALKER_EXCHANGE && set->skip_last;
	bool private = ip_is_private(&hop->ip);

	if (skip_last ? n == 0 : is_listed(set, &hop->ip)) {
		note(hop, skip_last ? "the last address: skipped" : "listed: skipped");
		return true;
	}
	switch (set->kind) {
	case WALKER_EXCHANGE:
		break;
	case WALKER_GMAIL:
		private
		= private && !set->keep_private;
		break;
	case WALKER_SPAMASSASSIN:
		/* Without a list it takes private networks for its own; loopback always is. */
		private
		= private && (set->n_listed == 0 || is_loopback(&hop->ip));
		if (!private && n && hop->authenticated) {
			note(hop, "authenticated to a trusted host: skipped");
			return true;
		}
		break;
	default:
		private
		= false;
	}
	if (private)
		note(hop, "private address: skipped");
	return private;
}

static void connected(struct walker_view *v)
{
	for (size_t i = 0; i < v->n_hops; i++)
		if (v->hop[i].has_ip) {
			take(v, &v->hop[i], false);
			break;
		}
	v->found = false;
}

static void by_list(const struct walker_setting *set, const struct walker_start *start,
		    const struct headers *h, struct walker_view *v)
{
	struct walker_hop *hop;
	size_t field = 0, n = 0;

	while ((hop = next_hop(v, start, h, &field))) {
		if (!hop->has_ip)
			continue;
		if (!passes(set, hop, n++)) {
			note(hop, "not listed: taken for the sender");
			take(v, hop, set->kind == WALKER_RSPAMD);
			return;
		}
	}
	connected(v);
}

static void first_line(const struct walker_start *start, const struct headers *h, bool peer,
		       struct walker_view *v)
{
	struct walker_hop *hop;
	size_t field = 0;

	while ((hop = next_hop(v, start, h, &field)))
		if (hop->has_ip && (peer || hop->field >= 0)) {
			note(hop, peer ? "who connected: taken for the sender"
				       : "the topmost field: taken for the sender");
			take(v, hop, false);
			return;
		}
	connected(v);
}

static void last_public(const struct walker_start *start, const struct headers *h,
			struct walker_view *v)
{
	struct walker_hop *hop, *last = NULL;
	size_t field = 0;

	while ((hop = next_hop(v, start, h, &field)))
		if (hop->has_ip && !ip_is_private(&hop->ip))
			last = hop;
	if (!last) {
		connected(v);
		return;
	}
	note(last, "the lowest public address: taken for the sender");
	take(v, last, false);
}

void walker_run(const struct walker_setting *set, const struct walker_start *start,
		const struct headers *h, struct walker_view *out)
{
	out->found = false;
	out->n_hops = 0;
	out->helo[0] = '\0';
	out->field = -1;
	if (!set->on)
		first_line(start, h, true, out);
	else if (set->kind == WALKER_FIRST_RECEIVED)
		first_line(start, h, false, out);
	else if (set->kind == WALKER_LAST_PUBLIC)
		last_public(start, h, out);
	else
		by_list(set, start, h, out);
}

void walker_hops(const struct walker_start *start, const struct headers *h, struct walker_view *out)
{
	size_t field = 0;

	*out = (struct walker_view){.field = -1};
	while (next_hop(out, start, h, &field))
		;
}
