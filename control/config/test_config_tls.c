/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The tls and trust sections, with keys that are made here. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "control/config/config.h"

#define BASE "hostname = mx.example.net\n" \
	"listener a { port = 1; address = [\"192.0.2.25/24\"] }\n" \
	"route b { domains = [\"example.com\"], hosts = [\"198.51.100.1\"] }\n"

static char dir[64];

static char *path(const char *name)
{
	static char p[4][128];
	static unsigned int i;

	i = (i + 1) % 4;
	snprintf(p[i], sizeof(p[i]), "%s/%s", dir, name);
	return p[i];
}

static void write_pair(const char *name, EVP_PKEY *key, long seconds, const char *password)
{
	char file[64];
	X509 *x = X509_new();
	FILE *f;

	X509_set_version(x, 2);
	X509_gmtime_adj(X509_getm_notBefore(x), -100000);
	X509_gmtime_adj(X509_getm_notAfter(x), seconds);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)"mx.example.net", -1, -1, 0);
	X509_set_pubkey(x, key);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	snprintf(file, sizeof(file), "%s.pem", name);
	f = fopen(path(file), "w");
	PEM_write_X509(f, x);
	fclose(f);
	snprintf(file, sizeof(file), "%s.key", name);
	f = fopen(path(file), "w");
	PEM_write_PrivateKey(f, key, password ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
			     (void *)(uintptr_t)password);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/postern-config-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	write_pair("ec", EVP_EC_gen("P-256"), 1000, NULL);
	write_pair("rsa", EVP_RSA_gen(2048), 1000, NULL);
	write_pair("small", EVP_RSA_gen(1024), 1000, NULL);
	write_pair("old", EVP_EC_gen("P-256"), -1000, NULL);
	write_pair("locked", EVP_EC_gen("P-256"), 1000, "secret");
	return 0;
}

static int teardown(void **state)
{
	static const char *const name[] = {"ec", "rsa", "small", "old", "locked"};
	char file[64];

	(void)state;
	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		snprintf(file, sizeof(file), "%s.pem", name[i]);
		unlink(path(file));
		snprintf(file, sizeof(file), "%s.key", name[i]);
		unlink(path(file));
	}
	return rmdir(dir);
}

static int load(const char *text, struct config **c, struct config_error *err)
{
	size_t n;

	memset(err, 0, sizeof(*err));
	return config_parse("test.conf", text, strlen(text), 7, c, err, 1, &n);
}

static struct str text_of(const struct handoff_tls *t, struct handoff_tls_ref r)
{
	return str_make((const uint8_t *)t + r.off, r.len);
}

static void good(void **state)
{
	char text[2000];
	struct config_error err;
	struct config *c = NULL;
	struct handoff_tls *t;
	void *packed;
	size_t len;

	(void)state;
	snprintf(text, sizeof(text), BASE "tls { certificate one { chain = \"%s\"; key = \"%s\" }\n"
		 "certificate two { chain = \"%s\"; key = \"%s\" }\nmin-version = \"1.3\"\n"
		 "ciphers = \"ECDHE-ECDSA-AES128-GCM-SHA256\"\nclient-ca = \"%s\" }\n", path("ec.pem"), path("ec.key"),
		 path("rsa.pem"), path("rsa.key"), path("old.pem"));
	if (load(text, &c, &err))
		fail_msg("%u: %s: %s", err.line, err.key, err.reason);
	assert_int_equal(c->tls.n_certificates, 2);
	assert_int_equal(c->tls.min_version, 0x0304);
	assert_true(c->tls.certificate[0].not_after > 1700000000);
	assert_int_equal(config_tls_pack(c, &packed, &len), 0);
	t = packed;
	assert_int_equal(t->size, len);
	assert_int_equal(t->n_certificates, 2);
	assert_true(str_istarts(text_of(t, t->certificate[1].chain), STR("-----BEGIN CERTIFICATE")));
	assert_true(str_istarts(text_of(t, t->certificate[1].key), STR("-----BEGIN PRIVATE KEY")));
	assert_true(str_istarts(text_of(t, t->client_ca), STR("-----BEGIN CERTIFICATE")));
	assert_true(str_istarts(text_of(t, t->ciphers), STR("ECDHE-ECDSA")));
	config_tls_forget(packed, len);
	config_unref(c);
}

static void none(void **state)
{
	struct config_error err;
	struct config *c = NULL;
	void *packed;
	size_t len;

	(void)state;
	assert_int_equal(load(BASE, &c, &err), 0);
	assert_int_equal(config_tls_pack(c, &packed, &len), 0);
	assert_null(packed);
	config_unref(c);
}

/* Mail must go on with a certificate that has run out. */
static void expired_is_taken(void **state)
{
	char text[1000];
	struct config_error err;
	struct config *c = NULL;

	(void)state;
	snprintf(text, sizeof(text), BASE "tls { certificate a { chain = \"%s\"; key = \"%s\" } }",
		 path("old.pem"), path("old.key"));
	assert_int_equal(load(text, &c, &err), 0);
	assert_true(c->tls.certificate[0].not_after < 4000000000);
	config_unref(c);
}

static void bad(void **state)
{
	static const struct {
		const char *chain, *key, *more, *at, *reason;
	} t[] = {
		{"ec.pem", "rsa.key", "", "tls.certificate.a.key", "does not belong"},
		{"ec.key", "ec.key", "", "tls.certificate.a.chain", "no certificate in PEM"},
		{"ec.pem", "ec.pem", "", "tls.certificate.a.key", "no private key in PEM"},
		{"locked.pem", "locked.key", "", "tls.certificate.a.key", "encrypted"},
		{"small.pem", "small.key", "", "tls.certificate.a.key", "1024 bits"},
		{"none.pem", "ec.key", "", "tls.certificate.a.chain", "No such file"},
		{"", "ec.key", "", "tls.certificate.a.chain", "no regular file"},
		{"ec.pem", "ec.key", "min-version = \"1.1\"", "tls.min-version", "expected \"1.2\" or \"1.3\""},
		{"ec.pem", "ec.key", "ciphers = \"FOO\"", "tls.ciphers", "no list of ciphers"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char text[1000];
		struct config_error err;
		struct config *c = NULL;

		snprintf(text, sizeof(text), BASE "tls { certificate a { chain = \"%s\"; key = \"%s\" }\n%s }",
			 path(t[i].chain), path(t[i].key), t[i].more);
		assert_true(load(text, &c, &err) < 0);
		if (strcmp(err.key, t[i].at) || !strstr(err.reason, t[i].reason))
			fail_msg("case %zu: %s: %s", i, err.key, err.reason);
	}
}

static void trust(void **state)
{
	struct config_error err;
	struct config *c = NULL;

	(void)state;
	assert_int_equal(load(BASE "trust lb { addresses = [\"192.0.2.0/28\", \"2001:db8::5\"]; proxy = yes }\n"
			      "trust front { addresses = [\"198.51.100.7\"]; xclient = yes }\n", &c, &err), 0);
	assert_int_equal(c->dataplane.n_trusts, 3);
	assert_int_equal(c->dataplane.trust[0].prefix_len, 96 + 28);
	assert_int_equal(c->dataplane.trust[1].flags, TRUST_PROXY);
	assert_int_equal(c->dataplane.trust[2].flags, TRUST_XCLIENT);
	config_unref(c);
	assert_true(load(BASE "trust lb { addresses = [\"192.0.2.1\"] }\n", &c, &err) < 0);
	assert_non_null(strstr(err.reason, "neither xclient nor proxy"));
	assert_true(load(BASE "trust lb { xclient = yes }\n", &c, &err) < 0);
	assert_string_equal(err.key, "trust.lb.addresses");
}

#define PRINT "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define COLONS "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:" \
	"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF"

static const char *tls_section(bool ca)
{
	static char text[600];
	int n = snprintf(text, sizeof(text), "tls { certificate one { chain = \"%s\"; key = \"%s\" }\n",
			 path("ec.pem"), path("ec.key"));

	snprintf(text + n, sizeof(text) - (size_t)n, ca ? "client-ca = \"%s\" }\n" : "}\n",
		 path("old.pem"));
	return text;
}

static void relay_identity(void **state)
{
	static const struct {
		const char *keys;
		bool ca, asks;
		size_t names, prints;
	} t[] = {
		{"", false, false, 0, 0},
		{"unproven = \"direct\"; tls-sha256 = \"" PRINT "\"", false, true, 0, 1},
		{"tls-sha256 = [\"" PRINT "\", \"" COLONS "\"]", true, true, 0, 2},
		{"tls-name = \"Relay.Example.NET\"", true, false, 1, 0},
		{"cloud = microsoft365; tenant { header = X-OriginatorOrg; values = \"example.com\" }; "
		 "tls-name = \"relay.example.net\"", true, false, 1, 0},
		{"tls-name = [\"a.example.net\", \".b\xc3\xbc" "cher.example\"]; tls-sha256 = \"" PRINT "\"",
		 true, true, 2, 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char text[2000];
		struct config_error err;
		struct config *c = NULL;
		const struct origin_relay *r;
		void *packed;
		size_t len;

		snprintf(text, sizeof(text), BASE "%srelay r { addresses = [\"203.0.113.5\"]; %s }\n",
			 tls_section(t[i].ca), t[i].keys);
		if (load(text, &c, &err))
			fail_msg("%s: %s: %s", t[i].keys, err.key, err.reason);
		r = &c->relays.relay[0];
		assert_int_equal(r->n_tls_names, t[i].names);
		assert_int_equal(r->unproven_direct, i == 1);
		assert_int_equal(r->n_tls_sha256, t[i].prints);
		for (size_t k = 0; k < t[i].prints; k++)
			assert_true(r->tls_sha256[k][1] == 0x11 && r->tls_sha256[k][31] == 0xff);
		if (t[i].names == 1)
			assert_string_equal(r->tls_name[0], "relay.example.net");
		if (t[i].names == 2)
			assert_string_equal(r->tls_name[1], ".xn--bcher-kva.example");
		assert_int_equal(config_tls_pack(c, &packed, &len), 0);
		assert_int_equal(((struct handoff_tls *)packed)->ask_client, t[i].asks);
		config_tls_forget(packed, len);
		config_unref(c);
	}
}

static void bad_identity(void **state)
{
	static const struct {
		const char *keys;
		int tls; /* 0: no section, 1: without client-ca, 2: with */
		const char *at, *reason;
	} t[] = {
		{"tls-name = \"a.example.net\"", 0, "relay.r.tls-name", "needs a tls section"},
		{"tls-name = \"a.example.net\"", 1, "relay.r.tls-name", "needs client-ca"},
		{"tls-sha256 = \"" PRINT "\"", 0, "relay.r.tls-sha256", "needs a tls section"},
		{"tls-name = \"net\"", 2, "relay.r.tls-name", "not fully qualified"},
		{"tls-name = \".net\"", 2, "relay.r.tls-name", "not fully qualified"},
		{"tls-name = \"*.example.net\"", 2, "relay.r.tls-name", "no host or domain name"},
		{"tls-name = \"..example.net\"", 2, "relay.r.tls-name", "no host or domain name"},
		{"tls-name = \"\"", 2, "relay.r.tls-name", "empty"},
		{"tls-name = []", 2, "relay.r.tls-name", "1 to 1000"},
		{"tls-name = 5", 2, "relay.r.tls-name", "expected an array"},
		{"tls-sha256 = \"" PRINT "0\"", 1, "relay.r.tls-sha256", "64 hexadecimal"},
		{"tls-sha256 = \"" PRINT ":\"", 1, "relay.r.tls-sha256", "64 hexadecimal"},
		{"tls-sha256 = \":" PRINT "\"", 1, "relay.r.tls-sha256", "64 hexadecimal"},
		{"tls-sha256 = \"0011\"", 1, "relay.r.tls-sha256", "64 hexadecimal"},
		{"tls-sha256 = \"0g" PRINT "\"", 1, "relay.r.tls-sha256", "64 hexadecimal"},
		{"tls-sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"", 1,
		 "relay.r.tls-sha256", "64 hexadecimal"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char text[2000];
		struct config_error err;
		struct config *c = NULL;

		snprintf(text, sizeof(text), BASE "%srelay r { addresses = [\"203.0.113.5\"]; %s }\n",
			 t[i].tls ? tls_section(t[i].tls == 2) : "", t[i].keys);
		assert_true(load(text, &c, &err) < 0);
		if (strcmp(err.key, t[i].at) || !strstr(err.reason, t[i].reason))
			fail_msg("%s: %s: %s", t[i].keys, err.key, err.reason);
	}
}

#define ROUTE "hostname = mx.example.net\n" \
	"listener a { port = 1; address = [\"192.0.2.25/24\"] }\n" \
	"dns { trust-anchor-file = \"/usr/share/dns/root.key\" }\n" \
	"route b { domains = [\"example.com\"], hosts = [\"hop.example.net\"]\n%s }\n"

static int load_route(struct config **c, struct config_error *err, const char *keys)
{
	char text[2000];

	snprintf(text, sizeof(text), ROUTE, keys);
	return load(text, c, err);
}

static void route(void **state)
{
	char keys[1000];
	struct config_error err;
	struct config *c = NULL, *again = NULL;
	const struct config_route_tls *t;

	(void)state;
	assert_int_equal(load_route(&c, &err, ""), 0);
	assert_int_equal(c->route[0].tls.policy, TLS_POLICY_MAY);
	assert_int_equal(c->route[0].tls.min_version, TLS1_2_VERSION);
	config_unref(c);
	snprintf(keys, sizeof(keys), "tls = verify; tls-name = [\"MX.example.net\", \"b.example.net\"]\n"
		 "tls-sni = front.example.net; tls-ca = \"%s\"; tls-min-version = \"1.3\"\n"
		 "tls-certificate = \"%s\"; tls-key = \"%s\"", path("rsa.pem"), path("ec.pem"), path("ec.key"));
	if (load_route(&c, &err, keys))
		fail_msg("%u: %s: %s", err.line, err.key, err.reason);
	t = &c->route[0].tls;
	assert_int_equal(t->policy, TLS_POLICY_VERIFY);
	assert_int_equal(t->n_names, 2);
	assert_string_equal(t->name[0], "mx.example.net");
	assert_string_equal(t->sni, "front.example.net");
	assert_int_equal(t->min_version, 0x0304);
	assert_true(str_istarts(t->ca, STR("-----BEGIN CERTIFICATE")));
	assert_true(t->certificate.not_after > 1700000000);
	/* The same settings share connections over a reload, others do not. */
	assert_int_equal(load_route(&again, &err, keys), 0);
	assert_memory_equal(t->id, again->route[0].tls.id, 32);
	config_unref(again);
	*strstr(keys, "b.example") = 'c';
	assert_int_equal(load_route(&again, &err, keys), 0);
	assert_memory_not_equal(t->id, again->route[0].tls.id, 32);
	config_unref(again);
	config_unref(c);
	assert_int_equal(load_route(&c, &err, "tls = dane-only"), 0);
	assert_int_equal(c->route[0].tls.policy, TLS_POLICY_DANE_ONLY);
	assert_false(c->route[0].mta_sts);
	config_unref(c);
	assert_int_equal(load("hostname = mx.example.net\n"
			      "listener a { port = 1; address = [\"192.0.2.25/24\"] }\n"
			      "route a { domains = [\"example.com\"], mx = true }\n"
			      "route b { domains = [\"b.example\"], mx = true, mta-sts = false }\n"
			      "route c { domains = [\"c.example\"], mx = true, tls = none }\n"
			      "route d { domains = [\"d.example\"], hosts = [\"d.example.net\"]\n"
			      "\tprovider = exchange-online }\n"
			      "route e { domains = [\"e.example\"], hosts = [\"d.example.net\"]\n"
			      "\tprovider = google-workspace; tls = encrypt }\n", &c, &err), 0);
	assert_true(c->route[0].mta_sts);
	assert_false(c->route[1].mta_sts);
	assert_false(c->route[2].mta_sts);
	assert_int_equal(c->route[3].tls.policy, TLS_POLICY_VERIFY);
	assert_int_equal(c->route[4].tls.policy, TLS_POLICY_ENCRYPT);
	config_unref(c);
}

static void bad_route(void **state)
{
	static const struct {
		const char *keys, *at, *reason;
	} t[] = {
		{"tls = always", "route.b.tls", "dane-only"},
		{"tls = none; tls-min-version = \"1.3\"", "route.b.tls-min-version", "tls = none"},
		{"tls = none; tls-sni = a.example.net", "route.b.tls-sni", "tls = none"},
		{"tls-name = [a.example.net]", "route.b.tls-name", "without tls = verify"},
		{"tls = encrypt; tls-ca = \"@ec.pem\"", "route.b.tls-ca", "without tls = verify"},
		{"tls = dane; tls-name = [a.example.net]", "route.b.tls-name", "the host's"},
		{"tls = dane-only; tls-ca = \"@ec.pem\"", "route.b.tls-ca", "no CA is looked at"},
		{"tls = dane; tls-sni = a.example.net", "route.b.tls-sni", "the host's"},
		{"tls = verify; tls-name = a.example.net", "route.b.tls-name", "array"},
		{"tls = verify; tls-name = []", "route.b.tls-name", "1"},
		{"tls = verify; tls-ca = \"@ec.key\"", "route.b.tls-ca", "no certificate in PEM"},
		{"tls = verify; tls-ca = \"@none.pem\"", "route.b.tls-ca", "No such file"},
		{"tls-min-version = \"1.1\"", "route.b.tls-min-version", "expected \"1.2\" or \"1.3\""},
		{"mta-sts = true", "route.b.mta-sts", "does not go by them"},
		{"tls-certificate = \"@ec.pem\"", "route.b.tls-certificate", "tls-key is missing"},
		{"tls-key = \"@ec.key\"", "route.b.tls-key", "tls-certificate is missing"},
		{"tls-certificate = \"@ec.pem\"; tls-key = \"@rsa.key\"", "route.b.tls-key", "does not belong"},
		{"tls-certificate = \"@locked.pem\"; tls-key = \"@locked.key\"", "route.b.tls-key", "encrypted"},
	};
	struct config_error err;
	struct config *c = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char keys[600];
		size_t n = 0;

		for (const char *p = t[i].keys; *p; p++)
			n += (size_t)snprintf(keys + n, sizeof(keys) - n, *p == '@' ? "%s/" : "%.1s",
					      *p == '@' ? dir : p);
		assert_true(load_route(&c, &err, keys) < 0);
		if (strcmp(err.key, t[i].at) || !strstr(err.reason, t[i].reason))
			fail_msg("case %zu: %s: %s", i, err.key, err.reason);
	}
	/* DANE stands on signed answers and on names. */
	assert_true(load("hostname = mx.example.net\n"
			 "listener a { port = 1; address = [\"192.0.2.25/24\"] }\n"
			 "route b { domains = [\"example.com\"], hosts = [\"hop.example.net\"], tls = dane }\n",
			 &c, &err) < 0);
	assert_string_equal(err.key, "route.b.tls");
	assert_non_null(strstr(err.reason, "trust-anchor-file"));
	assert_true(load("hostname = mx.example.net\n"
			 "dns { trust-anchor-file = \"/usr/share/dns/root.key\" }\n"
			 "listener a { port = 1; address = [\"192.0.2.25/24\"] }\n"
			 "route b { domains = [\"example.com\"], hosts = [\"192.0.2.1\"], tls = dane }\n",
			 &c, &err) < 0);
	assert_non_null(strstr(err.reason, "is an address"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good), cmocka_unit_test(none), cmocka_unit_test(expired_is_taken),
		cmocka_unit_test(bad), cmocka_unit_test(route), cmocka_unit_test(bad_route),
		cmocka_unit_test(trust),
		cmocka_unit_test(relay_identity), cmocka_unit_test(bad_identity),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
