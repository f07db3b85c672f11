/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/deliver/verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 400

const char *stage_name(enum stage s)
{
	static const char *const name[] = {
		[STAGE_CONNECT] = "connect", [STAGE_BANNER] = "banner", [STAGE_EHLO] = "ehlo",
		[STAGE_TLS] = "tls",
		[STAGE_MAIL] = "mail",       [STAGE_RCPT] = "rcpt",     [STAGE_DATA] = "data",
		[STAGE_BODY] = "body",       [STAGE_DOT] = "dot",
	};

	return name[s];
}

/* Index of needle in hay, or hay.n. */
static size_t find_text(struct str hay, struct str needle)
{
	if (!needle.n)
		return hay.n;
	for (size_t i = 0; i + needle.n <= hay.n; i++)
		if (str_ieq(str_make(hay.p + i, needle.n), needle))
			return i;
	return hay.n;
}

/* "606", "606-649", "70x". */
static bool detail_matches(const char *s, uint16_t detail)
{
	char *end;
	unsigned long from = strtoul(s, &end, 10), to = from;

	if (end == s)
		return false;
	if (*end == 'x' && !end[1])
		return detail / 10 == from && detail >= 10;
	if (*end == '-') {
		s = end + 1;
		to = strtoul(s, &end, 10);
		if (end == s)
			return false;
	}
	return !*end && detail >= from && detail <= to;
}

bool verdict_pattern(const char *pattern, const struct deliver_reply *r)
{
	struct str p = str_c(pattern), text = str_c(r->text);
	bool digits = p.n == 3 && ascii_is_digit(p.p[0]) && ascii_is_digit(p.p[1]) &&
		      ascii_is_digit(p.p[2]);
	unsigned int cls, subject;
	int used = 0;

	if (digits)
		return strtoul(pattern, NULL, 10) == r->code;
	if (p.n > 2 && ascii_is_digit(p.p[0]) && p.p[1] == '.' &&
	    sscanf(pattern, "%1u.%3u.%n", &cls, &subject, &used) == 2 && used)
		return r->enh_class == cls && r->enh_subject == subject &&
		       detail_matches(pattern + used, r->enh_detail);
	return find_text(text, p) < text.n;
}

/*
 * Whoever names our address at RCPT refuses that address (a ban, a list in the DNS, an access table) and
 * not the recipient; unless the code says that it is one of the mailbox, for some put the client's
 * address into every reply. Behind the content it proves nothing: Gmail names the client when the
 * message is the reason.
 */
static bool our_address(enum stage stage, const struct deliver_reply *r)
{
	return r->names_us && stage == STAGE_RCPT && (r->enh_subject == 0 || r->enh_subject == 7);
}

bool verdict_relay_denied(const struct deliver_reply *r)
{
	static const char *const known[] = {
		"relay access denied", "relaying denied", "unable to relay", "not permitted to relay",
		"relay not permitted", "relaying not allowed", "relay denied",
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (verdict_pattern(known[i], r))
			return true;
	return false;
}

/* The relay is refused, not this mail: our connector, certificate, address or reputation. Of these a
 * server that takes us for the client knows TLS alone. */
static bool relay_fault(const struct config *c, enum stage stage, const struct deliver_reply *r)
{
	static const char *const known[] = {
		"5.7.51", "5.7.64", "5.7.25", "5.7.506", "5.7.508", "5.7.510", "5.7.513",
		"5.7.606-649", "5.7.70x",
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]) && !r->to_client; i++)
		if (verdict_pattern(known[i], r))
			return true;
	if (r->code == 530)
		return true;
	if (!r->to_client && verdict_relay_denied(r))
		return true;
	for (size_t i = 0; i < c->n_relay_fault_codes; i++)
		if (verdict_pattern(c->relay_fault_code[i], r))
			return true;
	/* Postfix: "421 4.7.1 ... Error: No client certificate presented", "Client certificate not
	 * trusted"; others say so as late as at RCPT. */
	if (stage <= STAGE_RCPT && verdict_pattern("client certificate", r))
		return true;
	if (r->code / 100 != 5)
		return false;
	if (!r->to_client && (stage <= STAGE_MAIL || our_address(stage, r)))
		return true;
	/* RFC 5321 4.2.3: these speak of commands and their order, hence of us; 504 also of a HELO or a
	 * sender without a domain (Postfix), which are the client's where it takes us for it. */
	return r->code == 500 || r->code == 502 || r->code == 503 || (r->code == 504 && !r->to_client);
}

enum verdict_class verdict_classify(const struct config *c, enum stage stage,
				    const struct deliver_reply *r)
{
	bool enhanced = r->enh_class == 4;

	switch (r->code / 100) {
	case 2:
		return VERDICT_OK;
	case 4:
		if (relay_fault(c, stage, r))
			return VERDICT_RELAY;
		/* Throttling goes first: "421 4.7.0 too much mail" must not find another door. */
		if (enhanced && (r->enh_subject == 7 || r->enh_subject == 2 ||
				 (r->enh_subject == 5 && r->enh_detail == 3)))
			return VERDICT_THROTTLE;
		if (r->code == 421 || (enhanced && (r->enh_subject == 4 ||
						    (r->enh_subject == 3 && r->enh_detail == 2))))
			return VERDICT_SERVICE;
		return VERDICT_DEFER;
	case 5:
		return relay_fault(c, stage, r) ? VERDICT_RELAY : VERDICT_REJECT;
	default:
		return VERDICT_GARBAGE;
	}
}

bool verdict_recipient_wide(const struct deliver_reply *r)
{
	if (r->code / 100 != 5 || r->enh_class != 5)
		return false;
	switch (r->enh_subject) {
	case 1:
		return r->enh_detail == 1 || r->enh_detail == 10;
	case 2:
	case 4:
		return r->enh_detail == 1;
	default:
		return false;
	}
}

static bool is_name_octet(uint8_t c)
{
	return ascii_is_alnum(c) || c == '-' || c == '_' || c == '.' || c == ':' || c >= 0x80;
}

/* The next whole occurrence of a host's name or address, from `at` on; -1: there is none. */
static long find_whole(const char *text, size_t at, struct str needle)
{
	for (;;) {
		struct str t = str_skip(str_c(text), at);
		size_t i = find_text(t, needle), rest;

		if (i >= t.n)
			return -1;
		i += at;
		rest = i + needle.n;
		/* Behind an @ it is a mail domain that happens to have the host's name. */
		if (!((i && (is_name_octet((uint8_t)text[i - 1]) || text[i - 1] == '@')) ||
		      (text[rest] && text[rest] != '.' && is_name_octet((uint8_t)text[rest])) ||
		      (text[rest] == '.' && ascii_is_alnum((uint8_t)text[rest + 1]))))
			return (long)i;
		at = i + 1;
	}
}

static bool names(const char *text, const char *ip)
{
	char tagged[64];

	if (!ip || !*ip)
		return false;
	/* RFC 5321 4.1.3: some write the literal of an IPv6 address with its tag. */
	snprintf(tagged, sizeof(tagged), "IPv6:%s", ip);
	return find_whole(text, 0, str_c(ip)) >= 0 || find_whole(text, 0, str_c(tagged)) >= 0;
}

/* Replaces whole occurrences of `name` in the NUL-terminated text by "next-hop". */
static void hide(char *text, size_t cap, const char *name)
{
	static const char mask[] = "next-hop";
	struct str needle = str_c(name);
	char tail[TEXT_MAX * 4];
	size_t at = 0;
	long i;

	if (needle.n < 2)
		return;
	while (at < cap - 1 && (i = find_whole(text, at, needle)) >= 0) {
		snprintf(tail, sizeof(tail), "%s", text + i + needle.n);
		snprintf(text + i, cap - (size_t)i, "%s%s", mask, tail);
		at = (size_t)i + sizeof(mask) - 1;
	}
}

void verdict_from_parser(struct deliver_reply *out, const struct reply_parser *p,
			 const struct config_route *route, const char *host, const char *ip,
			 const char *own_ip)
{
	char text[REPLY_TEXT + 64];
	size_t n = 0;

	memset(out, 0, sizeof(*out));
	out->code = p->code;
	/* RFC 3463 2: 3yz has no class. */
	if (p->code / 100 != 3) {
		out->enh_class = (uint8_t)(p->code / 100);
		if (p->enh_class) {
			out->enh_subject = p->enh_subject;
			out->enh_detail = p->enh_detail;
		}
	}
	for (size_t i = 0; i < p->text_len; i++) {
		uint8_t c = p->text[i];

		text[n++] = c == '\t' ? ' ' : c >= 0x20 && c < 0x7f ? (char)c : '?';
	}
	text[n] = '\0';
	/* On one machine both have the same address: then it may well be the next hop's own. */
	out->names_us = (!ip || !own_ip || strcmp(ip, own_ip) != 0) && names(text, own_ip);
	for (size_t i = 0; route && i < route->n_hosts; i++)
		hide(text, sizeof(text), route->host[i].name);
	if (host)
		hide(text, sizeof(text), host);
	if (ip)
		hide(text, sizeof(text), ip);
	text[TEXT_MAX] = '\0';
	memcpy(out->text, text, strlen(text) + 1);
}

/* text " [trace]", cut so that the trace id is never what is lost. */
static void finish_text(struct deliver_reply *out, const char *text, const char *trace_id)
{
	size_t id = trace_id ? strnlen(trace_id, 64) : 0;
	size_t n = strnlen(text, TEXT_MAX), room = TEXT_MAX - (id ? id + 3 : 0);

	if (n > room)
		n = room;
	memmove(out->text, text, n);
	if (id) {
		if (n)
			out->text[n++] = ' ';
		out->text[n++] = '[';
		memcpy(out->text + n, trace_id, id);
		n += id;
		out->text[n++] = ']';
	}
	out->text[n] = '\0';
}

void verdict_pass(struct deliver_reply *out, const struct deliver_reply *next_hop,
		  const char *trace_id)
{
	struct deliver_reply r = *next_hop;

	if (r.code / 100 == 2)
		r.code = 250;
	if (r.code == 421)
		r.code = 451; /* RFC 5321 3.8: 421 announces that the channel closes; ours does not */
	finish_text(&r, next_hop->text, trace_id);
	*out = r;
}

void verdict_own(struct deliver_reply *out, uint16_t code, uint16_t subject, uint16_t detail,
		 const char *text, const char *trace_id)
{
	memset(out, 0, sizeof(*out));
	out->code = code;
	out->enh_class = (uint8_t)(code / 100);
	out->enh_subject = subject;
	out->enh_detail = detail;
	finish_text(out, text, trace_id);
}

void verdict_relay(struct deliver_reply *out, const char *trace_id)
{
	verdict_own(out, 451, 4, 0, "mail service is not reachable at the moment, try again later",
		    trace_id);
}

bool verdict_path_is_ascii(struct str m)
{
	for (size_t i = 0; i < m.n; i++)
		if (m.p[i] >= 0x80)
			return false;
	return true;
}

bool verdict_path_is_safe(struct str m)
{
	bool quoted = false;

	if (m.n > LIMIT_ONWARD_PATH)
		return false;
	for (size_t i = 0; i < m.n; i++) {
		uint8_t c = m.p[i];

		if (c < 0x20 || c == 0x7f)
			return false;
		if (quoted && c == '\\') {
			if (++i == m.n || m.p[i] < 0x20 || m.p[i] == 0x7f)
				return false;
			continue;
		}
		if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == ' ' || c == '<' || c == '>'))
			return false;
	}
	return !quoted;
}
