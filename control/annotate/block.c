/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "control/annotate/block.h"
#include "postern/limits.h"
#include "postern/utf8.h"

#define FOLD_AT 78   /* RFC 5322 2.1.1: SHOULD */
#define MAX_LINE 998 /* RFC 5322 2.1.1: MUST */

struct text {
	char *p;
	size_t n, cap;
	int error; /* sticks */
};

static void put(struct text *t, struct str s)
{
	if (t->error)
		return;
	if (s.n > t->cap - t->n) {
		size_t cap = (t->cap + s.n) * 2 + 1024;
		char *p = realloc(t->p, cap);

		if (!p) {
			t->error = -ENOMEM;
			return;
		}
		t->p = p;
		t->cap = cap;
	}
	if (s.n)
		memcpy(t->p + t->n, s.p, s.n);
	t->n += s.n;
}

static void put_c(struct text *t, const char *s)
{
	put(t, str_c(s));
}

static void invalid(struct text *t)
{
	if (!t->error)
		t->error = -EINVAL;
}

/* A word of ours or of the configuration: visible ASCII that means nothing to a parser. */
static void put_word(struct text *t, const char *s)
{
	size_t i = 0;

	for (; s && s[i]; i++)
		if (!ascii_is_alnum((uint8_t)s[i]) && !strchr("-_.:+/@", s[i]))
			invalid(t);
	if (i == 0)
		invalid(t);
	else
		put_c(t, s);
}

/* Anything, with what is not plain percent-encoded. */
static void put_encoded(struct text *t, struct str s)
{
	char octet[4];

	for (size_t i = 0; i < s.n; i++)
		put_c(t, percent_octet(s.p[i], octet));
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" (RFC 5321 4.1.3), or without the tag. */
static void put_literal(struct text *t, const struct ip_addr *ip, bool v6_plain)
{
	char buf[46];

	put_c(t, ip_is_v4(ip) || v6_plain ? "[" : "[IPv6:");
	put_c(t, ip_format(ip, buf, sizeof(buf)));
	put_c(t, "]");
}

/* RFC 5321 4.1.1.1: a Domain or an address literal. A bare address is neither, and a walker could
 * take it for the client's. */
static bool is_helo(struct str s)
{
	struct ip_addr ip;

	if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']') {
		s = str_make(s.p + 1, s.n - 2);
		if (str_istarts(s, STR("IPv6:")))
			return str_find(s, '.') == s.n && ip_parse(str_skip(s, 5), &ip);
		return str_find(s, ':') == s.n && ip_parse(s, &ip);
	}
	return domain_is_valid(s) && !ip_parse(s, &ip);
}

static bool is_host(const char *s)
{
	return s && domain_is_valid(str_c(s));
}

/* ---- X- fields ------------------------------------------------------------------------------ */

static void field_start(struct text *t, const struct annotate_input *in, const char *name)
{
	struct str prefix = str_c(in->prefix);

	for (size_t i = 0; i < prefix.n; i++)
		if (!ascii_is_alnum(prefix.p[i]) && prefix.p[i] != '-')
			invalid(t);
	if (prefix.n == 0 || prefix.n > 64)
		invalid(t);
	put(t, prefix);
	put_c(t, name);
}

static void put_origin(struct text *t, const struct annotate_input *in)
{
	const struct origin *o = in->origin;
	char buf[46];

	field_start(t, in, "-Original-Sender: ip=");
	put_c(t, ip_format(&o->ip, buf, sizeof(buf)));
	put_c(t, ";\r\n\thelo=");
	put_encoded(t, str_c(o->helo));
	put_c(t, ";\r\n\tptr=");
	put_c(t, is_host(in->origin_ptr) ? in->origin_ptr : "unknown");
	put_c(t, ";\r\n\tvia=");
	if (o->status == ORIGIN_VIA) {
		put_c(t, "relay:");
		put_encoded(t, str_c(o->via));
	} else {
		put_c(t, origin_status_name(o->status));
	}
	put_c(t, "\r\n");
}

/* Not printf: the decimal point must not follow a locale. */
static void put_score(struct text *t, const struct annotate_input *in)
{
	char buf[48];
	long long cents;

	field_start(t, in, "-Score: ");
	if (!(in->score > -1e9 && in->score < 1e9)) { /* nor NaN */
		invalid(t);
		return;
	}
	cents = (long long)(in->score * 100 + (in->score < 0 ? -0.5 : 0.5));
	snprintf(buf, sizeof(buf), "%s%lld.%02lld\r\n", cents < 0 ? "-" : "", llabs(cents) / 100,
		 llabs(cents) % 100);
	put_c(t, buf);
}

static void put_verdict(struct text *t, const struct annotate_input *in)
{
	size_t line = t->n;

	field_start(t, in, "-Verdict: ");
	put_word(t, in->action);
	if (in->would) {
		put_c(t, "; would=");
		put_word(t, in->would);
	}
	for (size_t i = 0; i < in->n_rules && !t->error; i++) {
		put_c(t, i ? "," : "; rules=");
		if (t->n - line + strlen(in->rule[i]) + 1 > FOLD_AT) {
			put_c(t, "\r\n\t");
			line = t->n;
		}
		put_word(t, in->rule[i]);
	}
	put_c(t, "\r\n");
}

static void put_trace(struct text *t, const struct annotate_input *in)
{
	field_start(t, in, "-Trace: ");
	put_word(t, in->env->trace_id);
	put_c(t, "\r\n");
}

/* ---- Received ------------------------------------------------------------------------------- */

/* As Gmail and others write it; RFC 8314 4.3 wants the cipher suite told. Names that a client's
 * certificate holds are its own words: they go to the trace, not here. */
static void put_tls(struct text *t, const struct mail_envelope *env)
{
	const char *version = env->tls_version == 0x0304 ? "TLSv1.3" :
			      env->tls_version == 0x0303 ? "TLSv1.2" : NULL;

	if (!version)
		return;
	put_c(t, "\r\n\t(version=");
	put_c(t, version);
	for (size_t i = 0; i < env->tls_cipher.n; i++)
		if (!ascii_is_alnum(env->tls_cipher.p[i]) && env->tls_cipher.p[i] != '-' &&
		    env->tls_cipher.p[i] != '_') {
			invalid(t);
			return;
		}
	if (env->tls_cipher.n) {
		put_c(t, " cipher=");
		put(t, env->tls_cipher);
	}
	put_c(t, ")");
}

/* RFC 5321 4.4: "for" is optional. With several recipients it would tell one of another (7.2), and
 * a mailbox that needs quoting could be read in two ways. RFC 6531 3.7.3: UTF-8 in a message that is
 * SMTPUTF8 only. */
static void put_for(struct text *t, const struct mail_envelope *env)
{
	struct str to;

	if (env->n_rcpts != 1)
		return;
	to = env->rcpt[0];
	if (to.n == 0 || to.n > LIMIT_LOCAL_PART + 1 + LIMIT_DOMAIN)
		return;
	for (size_t i = 0, n; i < to.n; i += n) {
		n = env->smtputf8 && (to.p[i] & 0x80) ? utf8_non_ascii(to, i)
						       : ascii_is_vchar(to.p[i]);
		if (!n || strchr("()<>;,\"\\", to.p[i]))
			return;
	}
	put_c(t, "\r\n\tfor <");
	put(t, to);
	put_c(t, ">");
}

/* RFC 5322 3.3, in UTC. */
static void put_date(struct text *t, uint64_t time_ns)
{
	static const char day[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char month[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t now = (time_t)(time_ns / 1000000000u);
	struct tm tm;
	char buf[64];

	if (!gmtime_r(&now, &tm) || tm.tm_year < 0 || tm.tm_year > 8099) {
		invalid(t);
		return;
	}
	snprintf(buf, sizeof(buf), "%s, %02d %s %04d %02d:%02d:%02d +0000", day[tm.tm_wday],
		 tm.tm_mday, month[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
	put_c(t, buf);
}

/* RFC 5321 4.4: "(PTR [IP])". Exchange writes the bare address there, and nothing else. */
static void put_tcp_info(struct text *t, const struct annotate_input *in)
{
	char buf[46];

	put_c(t, " (");
	if (in->exchange) {
		put_c(t, ip_format(&in->env->peer, buf, sizeof(buf)));
	} else {
		put_c(t, is_host(in->ptr) ? in->ptr : "unknown");
		put_c(t, " ");
		put_literal(t, &in->env->peer, in->v6_plain);
	}
	put_c(t, ")");
}

static void put_received(struct text *t, const struct annotate_input *in)
{
	static const char *const with[] = {
		[PROTO_SMTP] = "SMTP", [PROTO_ESMTP] = "ESMTP", [PROTO_ESMTPS] = "ESMTPS",
		[PROTO_UTF8SMTP] = "UTF8SMTP", [PROTO_UTF8SMTPS] = "UTF8SMTPS",
	};
	const struct mail_envelope *env = in->env;

	if (env->proto >= sizeof(with) / sizeof(with[0]) || !is_host(in->gateway)) {
		invalid(t);
		return;
	}
	put_c(t, "Received: from ");
	if (is_helo(env->helo))
		put(t, env->helo);
	else
		put_literal(t, &env->peer, false);
	put_tcp_info(t, in);
	put_c(t, "\r\n\tby ");
	put_c(t, in->gateway);
	put_c(t, " (Postern) with ");
	put_c(t, with[env->proto]);
	put_c(t, " id ");
	put_word(t, env->trace_id);
	put_tls(t, env);
	put_for(t, env);
	put_c(t, ";\r\n\t");
	put_date(t, env->time_ns);
	put_c(t, "\r\n");
}

/* ---- whole ---------------------------------------------------------------------------------- */

/* RFC 6532 3.2: UTF-8 in unstructured text, addresses and comments, not in names of fields. */
static bool line_is_plain(struct str line, bool utf8)
{
	for (size_t i = 0, n; i < line.n; i += n) {
		n = ascii_is_vchar(line.p[i]) || ascii_is_wsp(line.p[i]);
		if (!n && utf8)
			n = utf8_non_ascii(line, i);
		if (!n)
			return false;
	}
	return true;
}

bool block_is_well_formed(const char *block, size_t len, bool utf8)
{
	struct str rest = str_make(block, len);
	bool first = true;

	while (rest.n) {
		size_t n = str_find(rest, '\n'), i = 0;
		struct str line = str_cut(rest, n);

		if (n == rest.n || n == 0 || rest.p[n - 1] != '\r')
			return false;
		line.n--;
		if (line.n == 0 || line.n > MAX_LINE || str_trim(line).n == 0)
			return false;
		if (!line_is_plain(line, utf8))
			return false;
		if (ascii_is_wsp(line.p[0])) {
			if (first)
				return false;
		} else {
			while (i < line.n && (ascii_is_alnum(line.p[i]) || line.p[i] == '-'))
				i++;
			if (i == 0 || i == line.n || line.p[i] != ':')
				return false;
		}
		first = false;
		rest = str_skip(rest, n + 1);
	}
	return !first;
}

/* The field comes ready-made: one field of that name and nothing else. */
static void put_ready(struct text *t, struct str name, const char *field, bool utf8)
{
	struct str s = str_c(field), rest;

	if (s.n == 0)
		return;
	if (!str_istarts(s, name) || s.p[name.n] != ':' || !block_is_well_formed(field, s.n, utf8)) {
		invalid(t);
		return;
	}
	for (rest = str_skip(s, str_find(s, '\n') + 1); rest.n;
	     rest = str_skip(rest, str_find(rest, '\n') + 1))
		if (!ascii_is_wsp(rest.p[0])) {
			invalid(t);
			return;
		}
	put(t, s);
}

static void put_chain(struct text *t, const struct annotate_input *in)
{
	char name[128];

	snprintf(name, sizeof(name), "%.100s-Chain", in->prefix);
	put_ready(t, str_c(name), in->chain, false);
}

int block_write(const struct annotate_input *in, char **out, size_t *len)
{
	struct text t = {0};

	put_origin(&t, in);
	put_score(&t, in);
	put_verdict(&t, in);
	put_trace(&t, in);
	put_chain(&t, in);
	put_ready(&t, STR("Authentication-Results"), in->authres, in->env->smtputf8);
	/* RFC 7208 9.1: above the Received of the same hop. */
	put_ready(&t, STR("Received-SPF"), in->received_spf, in->env->smtputf8);
	put_received(&t, in);
	if (!t.error && !block_is_well_formed(t.p, t.n, in->env->smtputf8))
		t.error = -EINVAL;
	if (t.error) {
		free(t.p);
		return t.error;
	}
	*out = t.p;
	*len = t.n;
	return 0;
}
