/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/watch/filter.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "control/trace/trace.h"

/* ---- the question ---- */

__attribute__((format(printf, 3, 4))) static int wrong(char *why, size_t cap, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, cap, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static struct str text_of(const json_t *v)
{
	return str_make(json_string_value(v), json_string_length(v));
}

static int read_what(struct watch_filter *f, const json_t *v, char *why, size_t cap)
{
	struct str s = v ? text_of(v) : STR("all");
	bool all = str_eq(s, STR("all"));

	f->sessions = all || str_eq(s, STR("sessions"));
	f->messages = all || str_eq(s, STR("messages"));
	if (f->sessions || f->messages)
		return 0;
	return wrong(why, cap, "what: sessions, messages or all");
}

static int read_peer(struct watch_filter *f, const json_t *v, char *why, size_t cap)
{
	if (!ip_net_parse(text_of(v), &f->peer))
		return wrong(why, cap, "peer: an address or a network");
	f->has_peer = true;
	return 0;
}

static int read_domain(struct watch_filter *f, const json_t *v, char *why, size_t cap)
{
	struct str s = text_of(v);

	if (s.n && s.p[0] == '@')
		s = str_skip(s, 1);
	if (!s.n || !mail_alabel(s, f->domain))
		return wrong(why, cap, "domain: the name of one");
	return 0;
}

static int read_rule(struct watch_filter *f, const json_t *v, char *why, size_t cap)
{
	struct str s = text_of(v);
	bool ok = s.n && s.n <= LIMIT_RULES_NAME;

	for (size_t i = 0; ok && i < s.n; i++)
		ok = ascii_is_alnum(s.p[i]) || s.p[i] == '_' || s.p[i] == '*' || s.p[i] == '?';
	if (!ok)
		return wrong(why, cap,
			     "rule: 1 to %d letters, digits, _, * (anything) and ? (one of these)",
			     LIMIT_RULES_NAME);
	snprintf(f->rule, sizeof(f->rule), "%.*s", STR_FMT(s));
	return 0;
}

static int read_trace_id(struct watch_filter *f, const json_t *v, char *why, size_t cap)
{
	struct str s = text_of(v);
	bool ok = s.n == sizeof(f->trace_id) - 1;

	for (size_t i = 0; ok && i < s.n; i++)
		ok = ascii_is_alnum(s.p[i]);
	if (!ok)
		return wrong(why, cap, "trace_id: 16 letters and digits");
	snprintf(f->trace_id, sizeof(f->trace_id), "%.*s", STR_FMT(s));
	return 0;
}

static int read_route(struct watch_filter *f, const json_t *v, char *why, size_t cap)
{
	struct str s = text_of(v);

	if (!s.n || s.n >= sizeof(f->route) || memchr(s.p, 0, s.n))
		return wrong(why, cap, "route: the name of one");
	snprintf(f->route, sizeof(f->route), "%.*s", STR_FMT(s));
	return 0;
}

static int read_outcome(struct watch_filter *f, const json_t *v, char *why, size_t cap)
{
	enum trace_outcome o = trace_outcome_of(json_string_value(v));

	if (o == TRACE_OUTCOMES)
		return wrong(
			why, cap,
			"outcome: delivered, rejected, deferred, quarantined, discarded, aborted, "
			"observed or unjudged");
	snprintf(f->outcome, sizeof(f->outcome), "%s", trace_outcome_name(o));
	return 0;
}

int watch_filter_read(struct watch_filter *f, const json_t *body, char *why, size_t cap)
{
	static const struct {
		const char *member;
		int (*read)(struct watch_filter *f, const json_t *v, char *why, size_t cap);
	} of[] = {{"peer", read_peer},         {"domain", read_domain}, {"rule", read_rule},
		  {"trace_id", read_trace_id}, {"route", read_route},   {"outcome", read_outcome}};
	const json_t *what = json_object_get(body, "what");
	int rc;

	*f = (struct watch_filter){0};
	rc = what && !json_is_string(what) ? wrong(why, cap, "what: a string")
					   : read_what(f, what, why, cap);
	for (size_t i = 0; !rc && i < sizeof(of) / sizeof(of[0]); i++) {
		const json_t *v = json_object_get(body, of[i].member);

		if (v && !json_is_string(v))
			rc = wrong(why, cap, "%s: a string", of[i].member);
		else if (v)
			rc = of[i].read(f, v, why, cap);
		/* A session has no more than its peer. */
		if (!rc && v && i > 0 && !f->messages)
			rc = wrong(why, cap, "%s: of messages, not of sessions", of[i].member);
		if (v && i > 0)
			f->sessions = false;
	}
	return rc;
}

/* ---- the answer ---- */

static bool in_net(const struct watch_filter *f, const json_t *address)
{
	struct ip_addr ip;

	return json_is_string(address) && ip_parse(text_of(address), &ip) &&
	       ip_in_net(&ip, &f->peer);
}

static bool peer_fits(const struct watch_filter *f, const json_t *r)
{
	return !f->has_peer || in_net(f, json_object_get(r, "peer")) ||
	       in_net(f, json_object_get(r, "origin")) ||
	       in_net(f, json_object_get(json_object_get(r, "via"), "address"));
}

static bool address_is_in(const struct watch_filter *f, const json_t *address)
{
	struct str domain = mailbox_domain(text_of(address));
	char alabel[MAIL_ALABEL];

	return domain.n && mail_alabel(domain, alabel) && !strcasecmp(alabel, f->domain);
}

static bool domain_fits(const struct watch_filter *f, const json_t *r)
{
	return !f->domain[0] || address_is_in(f, json_object_get(r, "mail_from")) ||
	       address_is_in(f, json_object_get(r, "rcpt"));
}

static bool rule_fits(const struct watch_filter *f, const json_t *r)
{
	const json_t *matches = json_object_get(json_object_get(r, "judged"), "matches"), *m;
	size_t i;

	if (!f->rule[0])
		return true;
	json_array_foreach(matches, i, m) {
		struct str name = text_of(json_object_get(m, "rule"));

		if (name.n && str_iglob(name, str_c(f->rule)))
			return true;
	}
	return false;
}

static bool text_fits(const char *want, const json_t *r, const char *member)
{
	return !want[0] || str_ieq(text_of(json_object_get(r, member)), str_c(want));
}

bool watch_filter_record(const struct watch_filter *f, const json_t *r)
{
	return f->messages && text_fits(f->trace_id, r, "trace_id") &&
	       text_fits(f->outcome, r, "outcome") && text_fits(f->route, r, "route") &&
	       peer_fits(f, r) && domain_fits(f, r) && rule_fits(f, r);
}

bool watch_filter_session(const struct watch_filter *f, const struct ip_addr *peer)
{
	return f->sessions && (!f->has_peer || ip_in_net(peer, &f->peer));
}
