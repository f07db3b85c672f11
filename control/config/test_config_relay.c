/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Relay and chain sections: what is taken, and what is refused with its key and reason. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/config/config.h"
#include "postern/limits.h"

#define BASE                                                                                       \
	"hostname = \"mx.example.net\"\n"                                                           \
	"listener a { port = 0; address = [\"192.0.2.25/24\"] }\n"                                  \
	"route b { domains = [\"example.com\"]; hosts = [\"198.51.100.1\"] }\n"
#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define RELAY(keys) "relay r { " keys " }\n"
#define AT(address, keys) RELAY("addresses = [\"" address "\"]; " keys)
#define TENANT "tenant { header = \"X-OriginatorOrg\"; values = \"example.com\" }"

static int load(const char *text, struct config **c, struct config_error *err)
{
	size_t n;

	return config_parse("t", text, strlen(text), 1, c, err, 1, &n);
}

static struct config *good(const char *text)
{
	struct config_error err = {0};
	struct config *c = NULL;

	if (load(text, &c, &err))
		fail_msg("%s\n%s: %s", text, err.key, err.reason);
	return c;
}

static void ranges(void **state)
{
	static const char text[] = BASE RELAY(
		"addresses = [\"198.51.100.1-198.51.100.9\", \"2001:db8::1 - 2001:db8::ff\", "
		"\"203.0.113.0/24\", \"10.0.0.0-10.255.255.255\", \"192.0.2.9-192.0.2.9\"]");
	struct config *c = good(text);
	const struct origin_relay *r = &c->relays.relay[0];
	static const struct { const char *ip; bool in; } t[] = {
		{"198.51.100.0", false}, {"198.51.100.1", true}, {"198.51.100.9", true},
		{"198.51.100.10", false}, {"2001:db8::1", true}, {"2001:db8::", false},
		{"2001:db8::ff", true}, {"2001:db8::100", false}, {"203.0.113.255", true},
		{"203.0.114.0", false}, {"10.128.0.0", true}, {"192.0.2.9", true}, {"192.0.2.8", false},
	};

	(void)state;
	assert_int_equal(r->n_ranges, 5);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct ip_addr ip;

		assert_true(ip_parse(str_c(t[i].ip), &ip));
		if ((origin_relay_of(&c->relays, &ip) == r) != t[i].in)
			fail_msg("%s", t[i].ip);
	}
	config_unref(c);
}

static void taken(void **state)
{
	struct config *c = good(
		BASE "relay r { addresses = [\"203.0.113.5\"]; tenant { header = X-Secret\n"
		     "values = [\"one two\", \"three\"] }\nunproven = direct\n"
		     "corroborate = [\"X-Vendor-IP\", \"X-Originating-IP\"]\n"
		     "srs-domains = [\"B\xc3\xbc" "cher.example\"]; chain = [late, early]; "
		     "chain-fallback = true }\n"
		     "chain early { key = \"" KEY "\" }\nchain late { key = \"" KEY " " KEY
		     "\"; max-age = 1min }\n"
		     "route c { domains = [\"example.org\"]; hosts = [\"198.51.100.1\"]; chain = early }\n");
	const struct origin_relay *r = &c->relays.relay[0];

	(void)state;
	assert_string_equal(r->tenant_header, "X-Secret");
	assert_int_equal(r->n_tenant_values, 2);
	assert_string_equal(r->tenant_value[0], "one two");
	assert_int_equal(r->cloud, CLOUD_NONE);
	assert_int_equal(r->n_corroborate, 2);
	assert_string_equal(r->corroborate[1], "X-Originating-IP");
	assert_string_equal(r->srs_domain[0], "xn--bcher-kva.example");
	assert_int_equal(r->n_chains, 2);
	assert_string_equal(r->chain[0]->name, "late");
	assert_int_equal(r->chain[0]->n, 64);
	assert_int_equal(r->chain[0]->max_age_s, 60);
	assert_int_equal(r->chain[1]->n, 32);
	assert_int_equal(r->chain[1]->secret[31], 0x1f);
	assert_int_equal(r->chain[1]->max_age_s, DEFAULT_CHAIN_AGE_S);
	assert_true(r->chain_fallback);
	assert_null(c->route[0].chain);
	assert_ptr_equal(c->route[1].chain, r->chain[1]);
	config_unref(c);
}

static void key_files(void **state)
{
	char dir[] = "/tmp/postern-chain-XXXXXX", path[64], text[512];
	struct config_error err = {0};
	struct config *c = NULL;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/key", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, KEY "\n");
	fclose(f);
	snprintf(text, sizeof(text), BASE "chain s { key-file = \"%s\" }\n", path);
	assert_int_equal(chmod(path, 0600), 0);
	c = good(text);
	assert_int_equal(c->chain[0].n, 32);
	config_unref(c);
	assert_int_equal(chmod(path, 0644), 0);
	assert_true(load(text, &c, &err) < 0);
	assert_non_null(strstr(err.reason, "others may read"));
	unlink(path);
	assert_true(load(text, &c, &err) < 0);
	assert_string_equal(err.key, "chain.s.key-file");
	rmdir(dir);
}

static void refused(void **state)
{
	static const struct { const char *text, *key, *reason; } t[] = {
		/* ranges */
		{AT("203.0.113.9-203.0.113.1", ""), "relay.r.addresses", "ends before it begins"},
		{AT("203.0.113.1-2001:db8::1", ""), "relay.r.addresses", "no range"},
		{AT("203.0.113.1-", ""), "relay.r.addresses", "no range"},
		{AT("203.0.113.1-9", ""), "relay.r.addresses", "no range"},
		{AT("203.0.113.0/28-203.0.113.99", ""), "relay.r.addresses", "no range"},
		{AT("203.0.113.1-203.0.113.2-203.0.113.3", ""), "relay.r.addresses", "no range"},
		{AT("::ffff:203.0.113.1-::ffff:203.0.113.2", ""), "relay.r.addresses", "write it as IPv4"},
		{AT("10.0.0.0-11.0.0.0", ""), "relay.r.addresses", "too large"},
		{AT("2001:db8::-2001:4db8::", ""), "relay.r.addresses", "too large"},
		{AT("223.255.255.255-224.0.0.1", ""), "relay.r.addresses", "not a network of hosts"},
		{AT("0.0.0.1-1.0.0.0", ""), "relay.r.addresses", "not a network of hosts"},
		{"relay a { addresses = [\"203.0.113.0/24\"] }\n"
		 "relay r { addresses = [\"203.0.112.9-203.0.113.0\"] }\n", "relay.a.addresses",
		 "overlaps with an address of relay \"r\""},
		{"relay a { addresses = [\"203.0.113.1-203.0.113.9\", \"203.0.113.3\"] }\n"
		 "relay r { addresses = [\"203.0.113.5-203.0.113.6\"] }\n", "relay.r.addresses",
		 "overlaps with an address of relay \"a\""},
		{"relay w { addresses = [\"::1-::2:0:0:0\"] }\nrelay v { addresses = [\"::1:0:0:0-::3:0:0:0\"] }\n",
		 "relay.v.addresses", "overlaps with an address of relay \"w\""},
		/* our form of IPv4 lies inside of w, and is not of it */
		{"relay w { addresses = [\"::1-::2:0:0:0\"] }\nrelay a { addresses = [\"203.0.113.0/24\"] }\n"
		 AT("203.0.113.5", ""), "relay.r.addresses", "overlaps with an address of relay \"a\""},
		/* shared clouds */
		{AT("40.92.1.1", ""), "relay.r.addresses", "all tenants of Microsoft 365"},
		{AT("40.0.0.0-40.92.0.0", "unproven = defer"), "relay.r.addresses", "needs tenant {"},
		{AT("2a01:111:f403::/48", "by = [\"outlook.com\"]"), "relay.r.addresses", "needs tenant {"},
		{RELAY("addresses = [\"203.0.113.5\", \"209.85.128.0/17\"]"), "relay.r.addresses",
		 "all tenants of Google"},
		{AT("2607:f8b0:4864:20::/64", "cloud = none"), "relay.r.addresses", "all tenants of Google"},
		{AT("203.0.113.5", "cloud = google"), "relay.r.cloud", "all tenants of Google"},
		{AT("203.0.113.5", "cloud = microsoft365; " TENANT), "relay.r.cloud", "needs tls-name"},
		{AT("40.92.1.1", TENANT), "relay.r.addresses", "the tenant's header is anybody's"},
		{AT("40.92.1.1", "cloud = google; " TENANT), "relay.r.addresses",
		 "is an address of Microsoft 365, and cloud says Google"},
		{AT("203.0.113.5", "cloud = azure"), "relay.r.cloud", "\"microsoft365\" or \"google\""},
		/* tenant */
		{AT("203.0.113.5", "tenant { header = X-A }"), "relay.r.tenant.values", "missing"},
		{AT("203.0.113.5", "tenant { values = a }"), "relay.r.tenant.header", "missing"},
		{AT("203.0.113.5", "tenant = x"), "relay.r.tenant", "expected one section"},
		{AT("203.0.113.5", "tenant x { header = X-A }"), "relay.r.tenant", "without a name"},
		{AT("203.0.113.5", "tenant { header = \"X-A:\"; values = a }"), "relay.r.tenant.header",
		 "no name of a header field"},
		{AT("203.0.113.5", "tenant { header = received; values = a }"), "relay.r.tenant.header",
		 "written by everybody"},
		{AT("203.0.113.5", "tenant { header = x-postern-org; values = a }"),
		 "relay.r.tenant.header", "as our own header fields"},
		{AT("203.0.113.5", "tenant { header = X-A; values = [] }"), "relay.r.tenant.values",
		 "1 to 64"},
		{AT("203.0.113.5", "tenant { header = X-A; values = [\" a\"] }"), "relay.r.tenant.values",
		 "printable ASCII"},
		{AT("203.0.113.5", "tenant { header = X-A; value = a }"), "relay.r.tenant.value",
		 "did you mean \"values\"?"},
		{AT("203.0.113.5", "unproven = direct"), "relay.r.unproven", "nothing is to be proven"},
		/* corroboration, SRS */
		{AT("203.0.113.5", "corroborate = [\"X A\"]"), "relay.r.corroborate", "no name of a header"},
		{AT("203.0.113.5", "corroborate = [X-A, x-a]"), "relay.r.corroborate", "listed already"},
		{AT("203.0.113.5", "corroborate = [\"Received\"]"), "relay.r.corroborate",
		 "written by everybody"},
		{AT("203.0.113.5", "corroborate = X-A"), "relay.r.corroborate", "expected an array"},
		{AT("203.0.113.5", "srs-domains = [\"@a.example\"]"), "relay.r.srs-domains", "no host or domain"},
		{AT("203.0.113.5", "srs-domains = []"), "relay.r.srs-domains", "expected 1 to"},
		{AT("203.0.113.5", "by = [\".outlook.com\"]"), "relay.r.by", "no host or domain"},
		/* chains */
		{AT("203.0.113.5", "chain = x"), "relay.r.chain", "there is no chain \"x\""},
		{AT("203.0.113.5", "chain = []"), "relay.r.chain", "1 to 16"},
		{AT("203.0.113.5", "chain-fallback = true"), "relay.r.chain-fallback", "no chain to fall back"},
		{"chain x { key = \"" KEY "\" }\n" AT("203.0.113.5", "chain = x; hops = 2"), "relay.r.hops",
		 "writes one line"},
		{"chain x { max-age = 10min }\n", "chain.x.key", "missing"},
		{"chain x { key = abc }\n", "chain.x.key", "32 to 256 octets"},
		{"chain x { key = \"" KEY "0\" }\n", "chain.x.key", "32 to 256 octets"},
		{"chain x { key = \"" KEY "0g\" }\n", "chain.x.key", "32 to 256 octets"},
		{"chain x { key = 12345678 }\n", "chain.x.key", "32 to 256 octets"},
		{"chain x { key = [\"" KEY "\"] }\n", "chain.x.key", "32 to 256 octets"},
		{"chain x { key = \"0000000000000000000000000000000000000000000000000000000000000000\" }\n",
		 "chain.x.key", "all the same"},
		{"chain x { key = \"" KEY "\"; max-age = 2h }\n", "chain.x.max-age", "10 to 3600 seconds"},
		{"chain x { key = \"" KEY "\"; max-age = 5 }\n", "chain.x.max-age", "10 to 3600 seconds"},
		{"chain x { key-file = \"/dev/null\" }\n", "chain.x.key-file", "no regular file"},
		{"chain x { key-file = \"key\" }\n", "chain.x.key-file", "expected an absolute path"},
		{"chain { key = \"" KEY "\" }\n", "chain", "needs a name"},
		{"route c { domains = [\"example.org\"]; hosts = [\"198.51.100.1\"]; chain = [a, b] }\n",
		 "route.c.chain", "one key signs"},
		{"route c { domains = [\"example.org\"]; hosts = [\"198.51.100.1\"]; chain = a }\n",
		 "route.c.chain", "there is no chain \"a\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct config_error err = {0};
		struct config *c = NULL;
		char text[2048];

		snprintf(text, sizeof(text), BASE "%s", t[i].text);
		if (!load(text, &c, &err))
			fail_msg("taken: %s", t[i].text);
		if (strcmp(err.key, t[i].key) || !strstr(err.reason, t[i].reason))
			fail_msg("%s\n%s: %s", t[i].text, err.key, err.reason);
		assert_true(err.line > 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges), cmocka_unit_test(taken), cmocka_unit_test(key_files),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
