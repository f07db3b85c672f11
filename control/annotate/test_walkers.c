/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The property that the product is for: whatever is delivered, the next hop finds the sender that
 * we found, and nothing that a sender writes moves it. Arrangements are made with a fixed seed; who
 * really sent is known from making them.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <openssl/evp.h>

#include "control/annotate/annotate.h"
#include "control/origin/walkers.h"

#define ARRANGEMENTS 60000
#define DATE         "Tue, 14 Nov 2023 22:13:20 +0000"
#define MAX_TEXT     32768

/* 0 to 4 stand in front in any order; the last is another instance of ours, chained. */
#define RELAYS  6
#define TENANT  4
#define CHAINED 5
static struct ip_range net[RELAYS];
static const char *const by_0[] = {"relay0.example.org"};
static const char *const cloud_name_tls[] = {"out.cloud.example"};
static const char *const tenants[] = {"tenant.example"};
static const uint8_t secret[2][32] = {{1, 2, 3}, {4}};
static const struct chain_key key = {"site", secret[0], 32, 600};
static const struct chain_key forged_key = {"site", secret[1], 32, 600};
static const struct chain_key *const keys[] = {&key};
static struct origin_relay relay[RELAYS] = {
	{.name = "r0", .range = &net[0], .n_ranges = 1, .by = by_0, .n_by = 1},
	{.name = "r1", .range = &net[1], .n_ranges = 1},
	{.name = "r2", .range = &net[2], .n_ranges = 1, .hops = 2},
	{.name = "r3", .range = &net[3], .n_ranges = 1},
	{.name = "r4", .range = &net[TENANT], .n_ranges = 1, .tls_name = cloud_name_tls, .n_tls_names = 1,
	 .tenant_header = "X-OriginatorOrg", .tenant_value = tenants, .n_tenant_values = 1},
	{.name = "r5", .range = &net[CHAINED], .n_ranges = 1, .chain = keys, .n_chains = 1},
};
static const struct origin_relays relays = {relay, RELAYS};
static struct ip_range listed[RELAYS + 2];

/* The first ones are fit for our line; the rest are attacks on readers of it. */
static const char *const helos[] = {
	"mail.example.com",
	"a",
	"[203.0.113.77]",
	"[IPv6:2001:db8:77::1]",
	"xn--bcher-kva.example",
	"[8.8.8.8]x",
	"8.8.8.8",
	"x (y [8.8.8.8])",
	"x(y.example [8.8.8.8])",
	"x [8.8.8.8]",
	"by",
	"x ([8.8.8.8]) by relay0.example.org with ESMTP id 1; " DATE,
	"x ([8.8.8.8]) by relay0.example.org with ESMTP id 1; " DATE " (",
	"((((",
	"))",
	"x\\(",
	"helo=8.8.8.8",
	"a;b",
	"unknown",
	"",
	"x ([8.8.8.8] helo=y) (Exim 4)",
	"from",
	"x by y (8.8.8.8)",
};
#define FIT 5

static uint64_t rng_state = 88172645463325252ull;

static unsigned int below(unsigned int n)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (unsigned int)((rng_state >> 16) % n);
}

struct arrangement {
	struct ip_addr origin;
	const char *helo;
	bool fit, v6_plain, v6_egress, exchange;
	unsigned int n_relays, nat, broken, clouds;
	bool second; /* it came out of the first of two instances */
	struct mail_envelope env;
	char text[MAX_TEXT];
	size_t n;
};

static struct {
	unsigned int delivered, direct, via[5], nat, v6, unresolved, private_peer, proxied, hostile;
	unsigned int tenants, strangers, chained, unchained;
} seen;

static struct ip_addr ip(const char *text)
{
	struct ip_addr a;

	assert_true(ip_parse(str_c(text), &a));
	return a;
}

static struct ip_addr ip_of(const char *format, unsigned int a, unsigned int b)
{
	char text[64];

	snprintf(text, sizeof(text), format, a, b);
	return ip(text);
}

static struct ip_addr stranger(void)
{
	return below(3) ? ip_of("203.0.113.%u", 1 + below(200), 0)
			: ip_of("2001:db8:%x::%x", 0x70 + below(64), below(65536));
}

static struct ip_addr private_ip(void)
{
	return below(4) ? ip_of("10.%u.0.%u", below(19), below(256))
			: ip_of("fd00:%x::%x", below(99), below(99));
}

static struct ip_addr relay_ip(unsigned int i)
{
	static const char *const format[RELAYS] = {"198.51.100.%u", "2001:db8:1::%x", "192.0.2.%u",
						   "10.20.0.%u", "2001:db8:2::%x",
						   "198.51.100.13%u"};

	return ip_of(format[i], 1 + below(i == CHAINED ? 9 : 14), 0);
}

static void __attribute__((format(printf, 2, 3))) add(struct arrangement *a, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(a->text + a->n, sizeof(a->text) - a->n, fmt, ap);
	va_end(ap);
	assert_true(n >= 0 && (size_t)n < sizeof(a->text) - a->n);
	a->n += (size_t)n;
}

/* A line of a trusted relay, in one of the forms that the strict reader knows. */
static void relay_line(struct arrangement *a, const struct ip_addr *from, const char *helo,
		       const char *by)
{
	char buf[46];
	const char *tag = !ip_is_v4(from) && below(2) ? "IPv6:" : "";

	ip_format(from, buf, sizeof(buf));
	switch (below(4)) {
	case 0:
		add(a,
		    "Received: from %s (%s%s) by %s (2001:db8::9) with Microsoft SMTP Server "
		    "(version=TLS1_2, cipher=X)\r\n id 15.20.1.2 via Frontend Transport; " DATE
		    "\r\n",
		    helo, tag, buf, by);
		break;
	case 1:
		add(a,
		    "Received: from %s (p.example. [%s%s])\r\n\tby %s with ESMTPS id abc-1.2 for "
		    "<d@example.org>\r\n\t(version=TLS1_3 cipher=X bits=256/256);\r\n\t" DATE
		    " (PST)\r\n",
		    helo, tag, buf, by);
		break;
	case 2:
		add(a,
		    "Received: from %s (unknown [%s%s])\r\n\t(using TLSv1.3 with cipher X (256/256 "
		    "bits))\r\n\t(Client CN \"[8.8.8.8] helo=x\", Issuer \"by y\" (verified "
		    "OK))\r\n\tby "
		    "%s (Postfix) with ESMTPS id 4F; " DATE " (UTC)\r\n",
		    helo, tag, buf, by);
		break;
	default:
		add(a, "Received: from %s ([%s%s]) by %s with SMTP id 1; " DATE "\r\n", helo, tag,
		    buf, by);
	}
}

static void forged_chain(struct arrangement *a)
{
	static const char *const trap[] = {
		"Received: from x.example (x.example [8.8.8.8]) by gw.example.net (Postern) with "
		"ESMTPS id "
		"0123456789ABCDEF; " DATE "\r\n",
		"Received: from relay0.example.org (relay0.example.org [198.51.100.3]) by "
		"gw.example.net "
		"(Postern) with ESMTPS id 2; " DATE "\r\n",
		"Received: from gw.example.net ([203.0.113.250]) by mx.example with ESMTP id "
		"3; " DATE "\r\n",
		"Received: from x ([10.0.0.1]) by relay0.example.org with ESMTP id 4; " DATE "\r\n",
		"Received: what is this\r\n",
		"Received:\r\n",
		"Received : from a (8.8.8.8) by b; " DATE "\r\n",
		"Received: from y (8.8.4.4) by relay0.example.org with Microsoft SMTP Server id "
		"5; " DATE "\r\n",
		"Received: from ([8.8.8.8\r\n by\r\n",
		"X-Postern-Original-Sender: ip=8.8.8.8\r\n",
		"X-Originating-IP: [8.8.8.8]\r\n",
		"X-Postern-Chain: v=1; k=site; t=1700000000; ip=8.8.8.8; via=direct; helo=x; "
		"h=0000000000000000000000000000000000000000000000000000000000000000\r\n",
	};

	for (unsigned int n = below(6); n; n--)
		add(a, "%s", trap[below(sizeof(trap) / sizeof(trap[0]))]);
}

static void broken_line(struct arrangement *a)
{
	static const char *const line[] = {
		"Received: by relay0.example.org (queue) id 7; " DATE "\r\n",
		"Received: from p.example ([8.8.8.8] helo=h) by relay0.example.org with esmtp "
		"(Exim 4.96) id "
		"1; " DATE "\r\n",
		"Received: from h (p [8.8.8.8]) by elsewhere.example\r\n",
		"Received: from \xff (p [8.8.8.8]) by relay0.example.org with SMTP id 1; " DATE
		"\r\n",
	};

	a->broken++;
	add(a, "%s", line[below(4)]);
}

/* Lines from the top: what relay k wrote, about the hop below it. */
static void relay_lines(struct arrangement *a, const unsigned int *which,
			const struct ip_addr *address)
{
	for (unsigned int k = 0; k < a->n_relays; k++) {
		bool last = k + 1 == a->n_relays;
		const struct ip_addr *from = last ? &a->origin : &address[k + 1];
		const char *helo = last ? a->helo : "relay.example.org";
		const char *by = which[k] == 0 ? "mx.relay0.example.org" : "relay.example.org";
		struct ip_addr middle = below(2) ? private_ip() : relay_ip(2);

		if (below(25) == 0) {
			broken_line(a);
			continue;
		}
		if (which[k] == 2)
			relay_line(a, &middle, "inner.example.org", by);
		if (!last && below(4) == 0) {
			middle = private_ip();
			relay_line(a, &middle, "nat.example.org", by);
			a->nat++;
			a->broken++;
			by = "nat.example.org";
		}
		relay_line(a, from, helo, by);
	}
}

/* The cloud writes whose mail it is below all lines; a stranger's may hold a copy of his own. */
static void cloud(struct arrangement *a, const unsigned int *which)
{
	bool stranger = below(4) == 0;

	for (unsigned int k = 0; k < a->n_relays; k++)
		a->clouds += which[k] == TENANT;
	if (!a->clouds)
		return;
	if (which[0] == TENANT && below(6)) {
		a->env.tls_flags = TLS_F_CLIENT | TLS_F_VERIFIED;
		a->env.tls_client = str_c(cloud_name_tls[0]);
	} else if (which[0] == TENANT) {
		a->broken++;
	}
	a->broken += stranger;
	seen.strangers += stranger;
	if (stranger && below(2))
		add(a, "X-OriginatorOrg: tenant.example\r\n");
	add(a, "X-OriginatorOrg: %s.example\r\n", stranger ? "stranger" : "tenant");
}

static void arrange(struct arrangement *a)
{
	static const uint8_t via[] = {VIA_NONE, VIA_NONE, VIA_PROXY, VIA_XCLIENT};
	unsigned int which[4] = {0},
		     h = below(2) ? below(FIT) : below(sizeof(helos) / sizeof(helos[0]));
	struct ip_addr address[4];

	*a = (struct arrangement){.origin = below(12) ? stranger() : private_ip(),
				  .helo = helos[h],
				  .fit = h < FIT,
				  .v6_plain = below(2),
				  .v6_egress = below(2),
				  .exchange = below(2),
				  .n_relays = below(3) ? below(5) : 0};
	for (unsigned int k = 0; k < a->n_relays; k++) {
		which[k] = below(CHAINED);
		address[k] = relay_ip(which[k]);
	}
	relay_lines(a, which, address);
	forged_chain(a);
	a->env = (struct mail_envelope){.peer = a->n_relays ? address[0] : a->origin,
					.via = via[below(4)],
					.via_peer = ip("192.0.2.200"),
					.proto = PROTO_ESMTPS,
					.tls_version = 0x0304,
					.tls_cipher = STR("TLS_AES_256_GCM_SHA384"),
					.time_ns = 1700000000ull * 1000000000,
					.helo = a->n_relays ? STR("relay.example.org")
							    : str_c(a->helo),
					.mail_from = STR("a@example.com"),
					.trace_id = "0123456789ABCDEF"};
	/* No handshake of the client that an XCLIENT names. */
	if (a->n_relays && which[0] == TENANT)
		a->env.via = below(2) ? VIA_PROXY : VIA_NONE;
	cloud(a, which);
	add(a, "From: a@example.com\r\nSubject: s\r\n\r\nbody\r\n");
}

static void fail_with(const struct arrangement *a, const char *who, const struct ip_addr *got)
{
	char want[46], have[46];

	fail_msg("%s: %s instead of %s, HELO \"%s\"\n%s", who, ip_format(got, have, sizeof(have)),
		 ip_format(&a->origin, want, sizeof(want)), a->helo, a->text);
}

static void look(const struct arrangement *a, const struct origin *o, struct str message,
		 enum walker_kind kind)
{
	static struct walker_view view;
	struct walker_setting set = {
		.kind = kind, .on = true, .listed = listed, .n_listed = RELAYS + 2};
	struct walker_start start = {
		.has_peer = true,
		.peer_helo = STR("gw.example.net"),
		.peer = ip(a->v6_egress ? "2001:db8:ffff::25" : "203.0.113.250")};
	struct iovec iov = {(void *)(uintptr_t)message.p, message.n};
	struct mail_bytes c = {&iov, 1, message.n};
	struct headers h;

	assert_int_equal(headers_parse(&h, &c), 0);
	walker_run(&set, &start, &h, &view);
	headers_free(&h);
	if (!view.found || memcmp(&view.ip, &o->ip, sizeof(view.ip)) != 0)
		fail_with(a, walker_kind_name(kind), &view.ip);
	/* An unfit HELO of a direct peer gives way to its address; relays' lines stand as they are.
	 */
	if (!a->second && (a->n_relays || a->fit))
		assert_string_equal(view.helo, a->helo);
	else if (!a->second)
		assert_true(view.helo[0] == '[' || domain_is_valid(str_c(view.helo)));
}

static void body_digest(const uint8_t *text, size_t n, uint8_t out[CHAIN_DIGEST])
{
	const uint8_t *body = memmem(text, n, "\r\n\r\n", 4);

	assert_non_null(body);
	assert_int_equal(EVP_Digest(body, (size_t)(text + n - body), out, NULL, EVP_sha256(), NULL), 1);
}

static void sign(const struct arrangement *a, const struct origin *o, const struct chain_key *k,
		 char field[CHAIN_FIELD])
{
	struct chain_facts facts = {.time = 1700000000, .ip = o->ip, .via = "direct"};
	struct chain_message m = {.mail_from = a->env.mail_from};
	struct iovec iov = {(void *)(uintptr_t)a->text, a->n};
	struct mail_bytes c = {&iov, 1, a->n};
	struct headers h;

	memcpy(facts.helo, o->helo, sizeof(facts.helo));
	body_digest((const uint8_t *)a->text, a->n, m.body);
	assert_int_equal(headers_parse(&h, &c), 0);
	assert_int_equal(chain_header_digest(&h, 0, NULL, m.header), 0);
	headers_free(&h);
	assert_int_equal(chain_write(k, STR("X-Postern"), &facts, &m, field), 0);
}

static void deliver(const struct arrangement *a, const struct origin *o);

/* The second instance gets what the first one put out, or what an attacker at the first one's
 * address made of it. */
static void second(const struct arrangement *first, const uint8_t *text, size_t n, bool forged)
{
	static struct arrangement a;
	struct chain_claim claim;
	struct origin_request req = {&relays, &a.env, NULL, false, &claim};
	uint8_t body[CHAIN_DIGEST];
	struct mail_bytes c;
	struct headers h;
	struct origin o;
	unsigned int attack = below(10);
	struct iovec iov;
	char *p;

	a = *first;
	assert_true(n < sizeof(a.text));
	memcpy(a.text, text, n);
	a.text[a.n = n] = '\0';
	a.second = true;
	a.n_relays = 1;
	a.env.peer = relay_ip(CHAINED);
	a.env.helo = STR("gw.example.net");
	a.env.time_ns += (attack == 1 ? 601ull : 2ull) * 1000000000;
	a.env.mail_from = attack == 2 ? STR("b@example.com") : first->env.mail_from;
	p = strstr(a.text, attack == 3 ? "X-Postern-Chain" : attack == 4 ? "Subject: s" : "body\r\n");
	assert_non_null(p);
	if (attack >= 3 && attack <= 5)
		*p = 'Y';
	if (attack == 6) /* a sender of his own, above and below */
		memcpy(strstr(strstr(a.text, "X-Postern-Chain"), "ip="), "ip=8.8.8.8; ", 12);
	iov = (struct iovec){a.text, a.n};
	c = (struct mail_bytes){&iov, 1, a.n};
	assert_int_equal(headers_parse(&h, &c), 0);
	body_digest((const uint8_t *)a.text, a.n, body);
	chain_read(keys, 1, STR("X-Postern"), &h, a.env.mail_from, body, a.env.time_ns / 1000000000,
		   &claim);
	req.headers = &h;
	assert_int_equal(origin_find(&req, &o), 0);
	if (!forged && (attack == 0 || attack > 6)) {
		if (o.status != ORIGIN_VIA || memcmp(&o.ip, &a.origin, sizeof(o.ip)) != 0)
			fail_with(&a, o.reason, &o.ip);
		seen.chained++;
		deliver(&a, &o);
	} else {
		assert_int_equal(o.status, ORIGIN_UNRESOLVED);
		seen.unchained++;
	}
	origin_free(&o);
	headers_free(&h);
}

static void deliver(const struct arrangement *a, const struct origin *o)
{
	static char chain[CHAIN_FIELD];
	bool go_on = !a->second && below(4) == 0, forge = go_on && below(12) == 0;
	struct annotate_input in = {.gateway = "gw.example.net",
				    .authserv_id = "gw.example.net",
				    .prefix = "X-Postern",
				    .env = &a->env,
				    .origin = o,
				    .ptr = below(2) ? "p.example" : "",
				    .origin_ptr = "",
				    .authres = "",
				    .action = "accept",
				    .v6_plain = a->v6_plain,
				    .exchange = a->exchange};
	struct iovec iov = {(void *)(uintptr_t)a->text, a->n};
	struct mail_bytes c = {&iov, 1, a->n};
	static uint8_t text[2][MAX_TEXT + 8192];
	uint8_t *to = text[a->second];
	struct annotate_output out;
	size_t n = 0;

	if (go_on) {
		sign(a, o, forge ? &forged_key : &key, chain);
		in.chain = chain;
	}
	assert_int_equal(annotate_make(&in, &c, NULL, 0, &out), 0);
	for (size_t i = 0; i < out.n_iov; i++) {
		assert_true(n + out.iov[i].iov_len <= sizeof(text[0]));
		memcpy(to + n, out.iov[i].iov_base, out.iov[i].iov_len);
		n += out.iov[i].iov_len;
	}
	look(a, o, str_make(to, n), WALKER_EXCHANGE);
	look(a, o, str_make(to, n), WALKER_GMAIL);
	annotate_free(&out);
	if (go_on)
		second(a, to, n, forge);
}

static void count(const struct arrangement *a, const struct origin *o)
{
	bool delivered = o->status == ORIGIN_DIRECT || o->status == ORIGIN_VIA;

	seen.private_peer += o->status == ORIGIN_PRIVATE_PEER;
	seen.unresolved += o->status == ORIGIN_UNRESOLVED;
	seen.delivered += delivered;
	seen.direct += o->status == ORIGIN_DIRECT;
	seen.via[a->n_relays] += o->status == ORIGIN_VIA;
	seen.nat += a->nat > 0; /* never delivered: the private hop is not listed */
	seen.v6 += delivered && !ip_is_v4(&a->origin);
	seen.proxied += delivered && a->env.via != VIA_NONE;
	seen.hostile += delivered && !a->fit;
	seen.tenants += delivered && a->clouds;
}

static void both_walkers_arrive(void **state)
{
	static struct arrangement a;

	(void)state;
	for (unsigned int i = 0; i < ARRANGEMENTS; i++) {
		struct iovec iov;
		struct mail_bytes c;
		struct headers h;
		struct origin o;

		arrange(&a);
		iov = (struct iovec){a.text, a.n};
		c = (struct mail_bytes){&iov, 1, a.n};
		assert_int_equal(headers_parse(&h, &c), 0);
		assert_int_equal(origin_walk(&relays, &a.env, &h, false, &o), 0);
		count(&a, &o);
		if (o.status == ORIGIN_DIRECT || o.status == ORIGIN_VIA) {
			if (memcmp(&o.ip, &a.origin, sizeof(o.ip)) != 0)
				fail_with(&a, "trust walk", &o.ip);
			assert_true(a.broken == 0);
			deliver(&a, &o);
		}
		origin_free(&o);
		headers_free(&h);
	}
	print_message(
		"%u delivered: %u direct, via %u %u %u %u; %u NAT, %u v6, %u proxied, %u odd HELO; "
		"%u unresolved, %u private; %u of a tenant, %u of strangers' tenants; %u chained, %u "
		"refused\n",
		seen.delivered, seen.direct, seen.via[1], seen.via[2], seen.via[3], seen.via[4],
		seen.nat, seen.v6, seen.proxied, seen.hostile, seen.unresolved, seen.private_peer,
		seen.tenants, seen.strangers, seen.chained, seen.unchained);
	/* None of the arrangements may be empty of cases. */
	assert_true(seen.delivered > ARRANGEMENTS / 2 && seen.direct > 5000 && seen.via[1] > 2000 &&
		    seen.via[2] > 2000 && seen.via[3] > 2000 && seen.via[4] > 1000 &&
		    seen.nat > 2000 && seen.v6 > 5000 && seen.proxied > 5000 &&
		    seen.hostile > 2000 && seen.unresolved > 2000 && seen.private_peer > 500 &&
		    seen.tenants > 2000 && seen.strangers > 2000 && seen.chained > 2000 &&
		    seen.unchained > 2000);
}

static int setup(void **state)
{
	static const char *const nets[RELAYS] = {"198.51.100.0/28", "2001:db8:1::/48",
						 "192.0.2.0-192.0.2.15", "10.20.0.0/24",
						 "2001:db8:2::/48", "198.51.100.130-198.51.100.139"};

	(void)state;
	for (unsigned int i = 0; i < RELAYS; i++)
		if (!ip_range_parse(str_c(nets[i]), &net[i]) ||
		    !ip_range_parse(str_c(nets[i]), &listed[i]))
			return -1;
	return ip_range_parse(STR("203.0.113.250"), &listed[RELAYS]) &&
			       ip_range_parse(STR("2001:db8:ffff::25"), &listed[RELAYS + 1])
		       ? 0
		       : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(both_walkers_arrive)};

	return cmocka_run_group_tests(tests, setup, NULL);
}
