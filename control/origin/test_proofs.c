/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What relays prove, and what is told beside the walk. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/origin/origin.h"

#define DATE "Tue, 14 Nov 2023 22:13:20 +0000"
#define LINE(ip, by)                                                                               \
	"Received: from h." by " (p.example [" ip "]) by " by " with ESMTP id 1;\r\n\t" DATE "\r\n"

static struct ip_range cloud_net, edge_net;
static const char *const tls_name[] = {"out.cloud.example"};
static const char *const values[] = {"tenant.example", "other.tenant.example"};
static const char *const edge_by[] = {"edge.example"}, *const srs_domains[] = {"srs.example"};
static const char *const vendor[] = {"X-Vendor-IP", "X-Second-IP"};
static struct origin_relay relay[2];
static const struct origin_relays relays = {relay, 2};

static int setup(void **state)
{
	(void)state;
	relay[0] = (struct origin_relay){.name = "cloud", .range = &cloud_net, .n_ranges = 1,
		.tls_name = tls_name, .n_tls_names = 1, .tenant_header = "X-OriginatorOrg",
		.tenant_value = values, .n_tenant_values = 2};
	relay[1] = (struct origin_relay){.name = "edge", .range = &edge_net, .n_ranges = 1,
		.by = edge_by, .n_by = 1, .corroborate = vendor, .n_corroborate = 2};
	return !ip_range_parse(STR("192.0.2.0-192.0.2.9"), &cloud_net) ||
	       !ip_range_parse(STR("198.51.100.7"), &edge_net);
}

static void find(const char *peer, const char *m, const char *mail_from, bool tls,
		 const struct chain_claim *claim, struct origin *o)
{
	struct iovec iov = {(void *)(uintptr_t)m, strlen(m)};
	struct mail_bytes c = {&iov, 1, strlen(m)};
	struct mail_envelope env = {.helo = STR("peer.example"), .mail_from = str_c(mail_from)};
	struct headers h;
	struct origin_request req = {&relays, &env, &h, false, claim};

	if (tls) {
		env.tls_version = 0x0304;
		env.tls_flags = TLS_F_CLIENT | TLS_F_VERIFIED;
		env.tls_client = str_c(tls_name[0]);
	}
	assert_true(ip_parse(str_c(peer), &env.peer));
	assert_int_equal(headers_parse(&h, &c), 0);
	assert_int_equal(origin_find(&req, o), 0);
	headers_free(&h);
}

/* A shared cloud: who is at its address is not yet the tenant. */
static void tenant(void **state)
{
#define OWN "X-OriginatorOrg: tenant.example\r\n"
#define SENDER LINE("203.0.113.5", "cloud.example")
	static const struct {
		const char *m;
		bool tls;
		const char *why; /* NULL: it is the relay */
	} t[] = {
		{SENDER OWN, true, NULL},
		{"x-originatororg:tenant.example  \r\n" SENDER, true, NULL},
		{SENDER "X-OriginatorOrg:\r\n other.tenant.example\r\n", true, NULL},
		{SENDER OWN, false, "no TLS was spoken"},
		{SENDER, true, "missing"},
		{SENDER "X-OriginatorOrg: stranger.example\r\n", true, "another tenant"},
		{SENDER "X-OriginatorOrg: Tenant.example\r\n", true, "another tenant"},
		{SENDER "X-OriginatorOrg: tenant.example.evil.example\r\n", true, "another tenant"},
		{SENDER "X-OriginatorOrg: tenant.example stranger.example\r\n", true, "another tenant"},
		{SENDER "X-OriginatorOrg: tenant.exampl\r\n", true, "another tenant"},
		{SENDER "X-OriginatorOrg:\r\n", true, "another tenant"},
		{SENDER OWN "X-OriginatorOrg: stranger.example\r\n", true, "more than once"},
		{OWN SENDER "X-OriginatorOrg : stranger.example\r\n", true, "more than once"},
		{SENDER OWN OWN, true, "more than once"},
		{SENDER "X-OriginatorOrg : tenant.example\r\n", true, "no cloud writes"},
		{SENDER "X-OriginatorOrg: tenant.example\rX: y\r\n", true, "no cloud writes"},
		{SENDER "X-OriginatorOrg-Forged: tenant.example\r\n", true, "missing"},
		{SENDER "\r\n" OWN, true, "missing"}, /* in the body */
	};

	(void)state;
	for (int direct = 0; direct < 2; direct++) {
		relay[0].unproven_direct = direct;
		for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
			enum origin_status want = !t[i].why ? ORIGIN_VIA
						: direct    ? ORIGIN_DIRECT
							    : ORIGIN_UNRESOLVED;
			struct origin o;

			find("192.0.2.9", t[i].m, "a@b.example", t[i].tls, NULL, &o);
			if (o.status != want || o.unproven != !!t[i].why ||
			    (t[i].why && !strstr(o.hop[0].note, t[i].why)))
				fail_msg("case %zu: %s, %s", i, origin_status_name(o.status),
					 o.hop[0].note);
			origin_free(&o);
		}
	}
	setup(NULL);
}

/* Behind another relay its certificate is not seen, and its header still is. */
static void tenant_inside(void **state)
{
#define VIA_CLOUD LINE("192.0.2.3", "edge.example") SENDER
	struct origin o;

	(void)state;
	find("198.51.100.7", VIA_CLOUD OWN, "a@b.example", false, NULL, &o);
	assert_int_equal(o.status, ORIGIN_VIA);
	assert_string_equal(o.hop[0].note, "listed: relay edge");
	assert_string_equal(o.hop[1].note, "listed: relay cloud, by its tenant's header");
	assert_int_equal(o.n_hops, 3);
	origin_free(&o);
	find("198.51.100.7", VIA_CLOUD, "a@b.example", false, NULL, &o);
	assert_int_equal(o.status, ORIGIN_UNRESOLVED);
	assert_true(o.unproven);
	assert_non_null(strstr(o.reason, "address of relay cloud, but the header of its tenant"));
	origin_free(&o);
	relay[0].unproven_direct = true;
	find("198.51.100.7", VIA_CLOUD, "a@b.example", false, NULL, &o);
	assert_int_equal(o.status, ORIGIN_VIA);
	assert_memory_equal(&o.ip, &o.hop[1].ip, sizeof(o.ip));
	assert_null(o.hop[1].relay);
	assert_int_equal(o.n_hops, 2);
	origin_free(&o);
	setup(NULL);
}

static void clouds(void **state)
{
	static const struct { const char *range; enum origin_cloud cloud; } t[] = {
		{"40.92.0.0", CLOUD_MICROSOFT365},	   {"40.91.255.255", CLOUD_NONE},
		{"40.0.0.0/8", CLOUD_MICROSOFT365},	   {"52.103.255.255", CLOUD_MICROSOFT365},
		{"52.104.0.0-52.110.0.0", CLOUD_NONE},	   {"104.47.127.255", CLOUD_MICROSOFT365},
		{"104.47.128.0", CLOUD_NONE},		   {"104.46.0.0-104.47.0.0", CLOUD_MICROSOFT365},
		{"2a01:111:f400::1", CLOUD_MICROSOFT365},  {"2a01:111:f401::/48", CLOUD_NONE},
		{"209.85.220.41", CLOUD_GOOGLE},	   {"209.85.127.255", CLOUD_NONE},
		{"2a00:1450:4864:20::52f", CLOUD_GOOGLE},  {"2a00:1450:5000::/36", CLOUD_NONE},
		{"2000::-3fff::", CLOUD_MICROSOFT365},	   {"192.0.2.0/24", CLOUD_NONE},
		{"74.125.0.0-74.125.0.9", CLOUD_GOOGLE},
	};
	struct ip_range r;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_true(ip_range_parse(str_c(t[i].range), &r));
		if (cloud_of(&r) != t[i].cloud)
			fail_msg("%s: %s", t[i].range, cloud_name(cloud_of(&r)));
	}
}

static void corroboration(void **state)
{
#define EDGE LINE("203.0.113.5", "edge.example")
	static const struct {
		const char *m;
		size_t n;
		bool has_ip, agrees;
		unsigned int copies;
	} t[] = {
		{EDGE, 0, false, false, 0},
		{"X-Vendor-IP: 203.0.113.5\r\n" EDGE, 1, true, true, 1},
		{EDGE "x-vendor-ip: [203.0.113.5]\r\n", 1, true, true, 1},
		{EDGE "X-Second-IP: 203.0.113.6\r\n", 1, true, false, 1},
		/* the relay's is on top of the sender's own */
		{EDGE "X-Vendor-IP: 203.0.113.5\r\nX-Vendor-IP: 8.8.8.8\r\n", 1, true, true, 2},
		{EDGE "X-Vendor-IP: 198.51.100.7\r\n", 1, true, false, 1}, /* the relay itself */
		{EDGE "X-Vendor-IP: [IPv6:2001:db8::1]\r\n", 1, true, false, 1},
		{EDGE "X-Vendor-IP: [IPv6:203.0.113.5]\r\n", 1, false, false, 1},
		{EDGE "X-Vendor-IP: 203.0.113.5 (x)\r\n", 1, false, false, 1},
		{EDGE "X-Vendor-IP: 203.0.113.5, 8.8.8.8\r\n", 1, false, false, 1},
		{EDGE "X-Vendor-IP: [203.0.113.5\r\n", 1, false, false, 1},
		{EDGE "X-Vendor-IP:\r\n", 1, false, false, 1},
		{EDGE "X-Vendor-IP : 203.0.113.5\r\n", 1, false, false, 1},
	};
	struct origin o;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		const struct origin_corroboration *c = o.corroboration;

		find("198.51.100.7", t[i].m, "a@b.example", false, NULL, &o);
		assert_int_equal(o.status, ORIGIN_VIA);
		assert_int_equal(o.hop[1].ip.a[15], 5); /* whatever it says */
		if (o.n_corroboration != t[i].n ||
		    (t[i].n && (c->has_ip != t[i].has_ip || c->agrees != t[i].agrees ||
				c->copies != t[i].copies)))
			fail_msg("case %zu: %u copies, %d %d", i, c->copies, c->has_ip, c->agrees);
		assert_int_equal(o.contradicted, t[i].has_ip && !t[i].agrees);
		assert_int_equal(o.contradicted, strstr(o.hop[0].note, " says ") != NULL);
		origin_free(&o);
	}
	/* Of nobody that is not listed. */
	find("203.0.113.9", "X-Vendor-IP: 8.8.8.8\r\n", "a@b.example", false, NULL, &o);
	assert_int_equal(o.n_corroboration, 0);
	origin_free(&o);
	/* Two relays with the same header: the nearer one's is on top. */
	relay[0] = relay[1];
	relay[0].name = "outer";
	relay[0].range = &cloud_net;
	find("192.0.2.1", "X-Vendor-IP: 198.51.100.7\r\n" LINE("198.51.100.7", "edge.example")
			  "X-Vendor-IP: 203.0.113.5\r\n" EDGE "X-Vendor-IP: 8.8.8.8\r\n",
	     "a@b.example", false, NULL, &o);
	assert_int_equal(o.n_corroboration, 2);
	assert_true(o.corroboration[0].agrees && o.corroboration[1].agrees && !o.contradicted);
	assert_string_equal(o.corroboration[1].relay, "edge");
	origin_free(&o);
	setup(NULL);
}

static void rewritten(void **state)
{
	static const struct { const char *from, *original; enum srs_kind kind; } t[] = {
		{"SRS0=HhHh=TT=example.com=alice@edge.example", "alice@example.com", SRS_SRS0},
		{"srs0+hhhh=tt=example.com=alice@mx.Edge.Example", "alice@example.com", SRS_SRS0},
		{"SRS0-h/+h=TT=example.com=a=b@edge.example", "a=b@example.com", SRS_SRS0},
		{"SRS1=HHHH=first.example==HHHH=TT=example.com=alice@edge.example", "alice@example.com",
		 SRS_SRS1},
		{"SRS1+HHHH=first.example=-HHHH=TT=example.com=alice@edge.example", "alice@example.com",
		 SRS_SRS1},
		{"prvs=1234abCDef=alice@edge.example", "alice@edge.example", SRS_BATV},
		{"btv1==123abc==alice@edge.example", "alice@edge.example", SRS_BATV},
		{"SRS0=HHHH=TT=example.com=\xc3\xa4@edge.example", "\xc3\xa4@example.com", SRS_SRS0},
		/* not of this relay: anybody may write it */
		{"SRS0=HHHH=TT=example.com=alice@evil.example", "", SRS_NONE},
		{"SRS0=HHHH=TT=example.com=alice@xedge.example", "", SRS_NONE},
		{"prvs=1234abcdef=alice@example.com", "", SRS_NONE},
		/* malformed */
		{"alice@edge.example", "", SRS_NONE},
		{"SRS0@edge.example", "", SRS_NONE},
		{"SRS0=@edge.example", "", SRS_NONE},
		{"SRS0=HHHH=TT=example.com@edge.example", "", SRS_NONE},
		{"SRS0=HHHH=TT=example.com=@edge.example", "", SRS_NONE},
		{"SRS0=HHHH=TT==alice@edge.example", "", SRS_NONE},
		{"SRS0=HHHH=TT=exa_mple..com=alice@edge.example", "", SRS_NONE},
		{"SRS0==TT=example.com=alice@edge.example", "", SRS_NONE},
		{"SRS0HHHH=TT=example.com=alice@edge.example", "", SRS_NONE},
		{"\"SRS0=HHHH=TT=example.com=a b\"@edge.example", "", SRS_NONE},
		{"SRS1=HHHH=first.example=HHHH=TT=example.com=alice@edge.example", "", SRS_NONE},
		{"SRS1=HHHH=first.example=@edge.example", "", SRS_NONE},
		{"prvs=12345abcde=x@edge.example", "x@edge.example", SRS_BATV},
		{"prvs=123xabcdef=alice@edge.example", "", SRS_NONE},
		{"prvs=1234abcdeg=alice@edge.example", "", SRS_NONE},
		{"prvs=1234abcdef=@edge.example", "", SRS_NONE},
		{"btv1==123abc=alice@edge.example", "", SRS_NONE},
		{"", "", SRS_NONE},
		{"SRS0=0123456789012345678901234567890123456789012345678901234567890123456789=TT="
		 "example.com=a@edge.example", "", SRS_NONE},
	};
	struct origin o;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		find("198.51.100.7", EDGE, t[i].from, false, NULL, &o);
		if (o.srs.kind != t[i].kind || strcmp(o.srs.original, t[i].original))
			fail_msg("%s: %s %s", t[i].from, srs_kind_name(o.srs.kind), o.srs.original);
		origin_free(&o);
		/* Nobody who is not listed has domains of his own. */
		find("203.0.113.9", EDGE, t[i].from, false, NULL, &o);
		assert_int_equal(o.srs.kind, SRS_NONE);
		origin_free(&o);
	}
	relay[1].srs_domain = srs_domains;
	relay[1].n_srs_domains = 1;
	find("198.51.100.7", EDGE, t[0].from, false, NULL, &o);
	assert_int_equal(o.srs.kind, SRS_NONE);
	origin_free(&o);
	find("198.51.100.7", EDGE, "SRS0=HHHH=TT=example.com=alice@srs.example", false, NULL, &o);
	assert_int_equal(o.srs.kind, SRS_SRS0);
	origin_free(&o);
	setup(NULL);
}

/* What the walk does with a claim; reading one is test_chain.c's. */
static void chained(void **state)
{
	static const uint8_t secret[32] = {1};
	static const struct chain_key key = {"site", secret, sizeof(secret), 600};
	static const struct chain_key *const keys[] = {&key};
	struct chain_claim claim = {.status = CHAIN_VERIFIED, .key = &key, .field = 0,
				    .facts = {.helo = "s.example", .via = "direct"}};
	struct origin o;

	(void)state;
	assert_true(ip_parse(STR("203.0.113.77"), &claim.facts.ip));
	/* A relay that is no chained instance: a claim is nothing. */
	find("198.51.100.7", EDGE, "a@b.example", false, &claim, &o);
	assert_int_equal(o.ip.a[15], 5);
	assert_int_equal(o.chain, CHAIN_NONE);
	origin_free(&o);
	relay[1].chain = keys;
	relay[1].n_chains = 1;
	find("198.51.100.7", "Received: junk\r\n", "a@b.example", false, &claim, &o);
	assert_int_equal(o.status, ORIGIN_VIA);
	assert_int_equal(o.ip.a[15], 77);
	assert_string_equal(o.helo, "s.example");
	assert_string_equal(o.chain_key, "site");
	assert_string_equal(o.via, "edge");
	origin_free(&o);
	/* Whoever is not listed may write what he likes. */
	find("203.0.113.9", EDGE, "a@b.example", false, &claim, &o);
	assert_int_equal(o.status, ORIGIN_DIRECT);
	assert_int_equal(o.ip.a[15], 9);
	origin_free(&o);
	for (enum chain_status s = CHAIN_MISSING; s <= CHAIN_ERROR; s++) {
		claim.status = s;
		find("198.51.100.7", EDGE, "a@b.example", false, s % 2 ? &claim : NULL, &o);
		assert_int_equal(o.status, ORIGIN_UNRESOLVED);
		assert_non_null(strstr(o.reason, "chain field of relay edge: "));
		origin_free(&o);
		relay[1].chain_fallback = true;
		find("198.51.100.7", EDGE, "a@b.example", false, &claim, &o);
		assert_int_equal(o.status, ORIGIN_VIA);
		assert_int_equal(o.ip.a[15], 5);
		assert_int_equal(o.chain, s);
		assert_non_null(strstr(o.hop[0].note, chain_status_name(s)));
		origin_free(&o);
		relay[1].chain_fallback = false;
	}
	/* A sender that is private, or a relay here, is no sender. */
	claim.status = CHAIN_VERIFIED;
	assert_true(ip_parse(STR("10.0.0.1"), &claim.facts.ip));
	find("198.51.100.7", EDGE, "a@b.example", false, &claim, &o);
	assert_int_equal(o.status, ORIGIN_UNRESOLVED);
	origin_free(&o);
	assert_true(ip_parse(STR("192.0.2.1"), &claim.facts.ip));
	find("198.51.100.7", EDGE, "a@b.example", false, &claim, &o);
	assert_int_equal(o.status, ORIGIN_UNRESOLVED);
	origin_free(&o);
	setup(NULL);
}

/* What is told of a hop. */
static void told(void **state)
{
	struct iovec iov = {(void *)(uintptr_t)EDGE, strlen(EDGE)};
	struct mail_bytes c = {&iov, 1, strlen(EDGE)};
	struct mail_envelope env = {.helo = STR("x ([8.8.8.8])\x80")};
	struct headers h;
	struct origin o;

	(void)state;
	assert_true(ip_parse(STR("198.51.100.7"), &env.peer));
	assert_int_equal(headers_parse(&h, &c), 0);
	assert_int_equal(origin_walk(&relays, &env, &h, false, &o), 0);
	assert_string_equal(o.hop[0].helo, "");
	assert_string_equal(o.hop[0].helo_raw, "x%20%28[8.8.8.8]%29%80");
	assert_string_equal(o.hop[1].helo, "h.edge.example");
	assert_string_equal(o.hop[1].helo_raw, "");
	assert_string_equal(o.hop[1].rdns, "p.example");
	assert_string_equal(o.hop[1].by, "edge.example");
	assert_string_equal(o.hop[1].with, "ESMTP");
	assert_string_equal(o.hop[1].id, "1");
	assert_string_equal(o.hop[1].date, DATE);
	assert_string_equal(o.hop[1].note, "stopped: not listed, the sender");
	origin_free(&o);
	headers_free(&h);
	find("198.51.100.7", "X: y\r\n" LINE("203.0.113.5", "other.example"), "", false, NULL, &o);
	assert_string_equal(o.hop[0].note,
			    "stopped: line of relay edge (header 1): by does not fit (other.example)");
	origin_free(&o);
	find("198.51.100.7", "X: y\r\n", "", false, NULL, &o);
	assert_string_equal(o.reason, "line of relay edge: no Received line left");
	origin_free(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tenant), cmocka_unit_test(tenant_inside), cmocka_unit_test(clouds),
		cmocka_unit_test(corroboration), cmocka_unit_test(rewritten), cmocka_unit_test(chained),
		cmocka_unit_test(told),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
