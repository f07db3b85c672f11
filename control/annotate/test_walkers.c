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

#include "control/annotate/annotate.h"
#include "control/origin/walkers.h"

#define ARRANGEMENTS 60000
#define DATE         "Tue, 14 Nov 2023 22:13:20 +0000"
#define MAX_TEXT     32768

#define RELAYS 4
static struct ip_range net[RELAYS];
static const char *const by_0[] = {"relay0.example.org"};
static struct origin_relay relay[RELAYS] = {
	{.name = "r0", .range = &net[0], .n_ranges = 1, .by = by_0, .n_by = 1},
	{.name = "r1", .range = &net[1], .n_ranges = 1},
	{.name = "r2", .range = &net[2], .n_ranges = 1, .hops = 2},
	{.name = "r3", .range = &net[3], .n_ranges = 1},
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
	bool fit, v6_plain, v6_egress;
	unsigned int n_relays, nat, broken;
	struct mail_envelope env;
	char text[MAX_TEXT];
	size_t n;
};

static struct {
	unsigned int delivered, direct, via[5], nat, v6, unresolved, private_peer, proxied, hostile;
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
						   "10.20.0.%u"};

	return ip_of(format[i], 1 + below(14), 0);
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
				  .n_relays = below(3) ? below(5) : 0};
	for (unsigned int k = 0; k < a->n_relays; k++) {
		which[k] = below(RELAYS);
		address[k] = relay_ip(which[k]);
	}
	relay_lines(a, which, address);
	forged_chain(a);
	add(a, "From: a@example.com\r\nSubject: s\r\n\r\nbody\r\n");
	a->env = (struct mail_envelope){.peer = a->n_relays ? address[0] : a->origin,
					.via = via[below(4)],
					.via_peer = ip("192.0.2.200"),
					.proto = PROTO_ESMTPS,
					.tls_version = 0x0304,
					.tls_cipher = STR("TLS_AES_256_GCM_SHA384"),
					.time_ns = 1700000000ull * 1000000000,
					.helo = a->n_relays ? STR("relay.example.org")
							    : str_c(a->helo),
					.trace_id = "0123456789ABCDEF"};
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
	if (a->n_relays || a->fit)
		assert_string_equal(view.helo, a->helo);
	else
		assert_true(view.helo[0] == '[' || domain_is_valid(str_c(view.helo)));
}

static void deliver(const struct arrangement *a, const struct origin *o)
{
	struct annotate_input in = {.gateway = "gw.example.net",
				    .authserv_id = "gw.example.net",
				    .prefix = "X-Postern",
				    .env = &a->env,
				    .origin = o,
				    .ptr = below(2) ? "p.example" : "",
				    .origin_ptr = "",
				    .authres = "",
				    .action = "accept",
				    .v6_plain = a->v6_plain};
	struct iovec iov = {(void *)(uintptr_t)a->text, a->n};
	struct mail_bytes c = {&iov, 1, a->n};
	static uint8_t text[MAX_TEXT + 8192];
	struct annotate_output out;
	size_t n = 0;

	assert_int_equal(annotate_make(&in, &c, NULL, 0, &out), 0);
	for (size_t i = 0; i < out.n_iov; i++) {
		assert_true(n + out.iov[i].iov_len <= sizeof(text));
		memcpy(text + n, out.iov[i].iov_base, out.iov[i].iov_len);
		n += out.iov[i].iov_len;
	}
	look(a, o, str_make(text, n), WALKER_EXCHANGE);
	look(a, o, str_make(text, n), WALKER_GMAIL);
	annotate_free(&out);
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
		"%u unresolved, %u private\n",
		seen.delivered, seen.direct, seen.via[1], seen.via[2], seen.via[3], seen.via[4],
		seen.nat, seen.v6, seen.proxied, seen.hostile, seen.unresolved, seen.private_peer);
	/* None of the arrangements may be empty of cases. */
	assert_true(seen.delivered > ARRANGEMENTS / 2 && seen.direct > 5000 && seen.via[1] > 2000 &&
		    seen.via[2] > 2000 && seen.via[3] > 2000 && seen.via[4] > 1000 &&
		    seen.nat > 2000 && seen.v6 > 5000 && seen.proxied > 5000 &&
		    seen.hostile > 2000 && seen.unresolved > 2000 && seen.private_peer > 500);
}

static int setup(void **state)
{
	static const char *const nets[RELAYS] = {"198.51.100.0/28", "2001:db8:1::/48",
						 "192.0.2.0/28", "10.20.0.0/24"};

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
