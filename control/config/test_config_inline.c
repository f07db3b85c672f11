/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Servers in a cable, routes to whom the client dialled, and the table of exceptions. */

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
#include <openssl/x509v3.h>

#include "control/config/config.h"
#include "control/config/keys.h"
#include "postern/limits.h"

#define H "hostname = gw.example.net\n"
#define ROUTE(keys) "route r { to = dialled\n" keys " }\n"
#define XROUTE ROUTE("xclient = yes")
#define SERVER(keys) "inline { server s { addresses = [\"192.0.2.25\"]; route = r; " keys " } }\n"
#define CLEAR "allow-clear = yes"
#define GOOD H XROUTE SERVER(CLEAR)

static char dir[64], pem[128], key[128];

static void write_certificate(void)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_EXTENSION *names;
	FILE *f;

	X509_set_version(x, 2);
	X509_gmtime_adj(X509_getm_notBefore(x), -1000);
	X509_gmtime_adj(X509_getm_notAfter(x), 1000);
	names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:mail.example.com,DNS:*.example.org");
	X509_add_ext(x, names, -1);
	X509_EXTENSION_free(names);
	X509_set_pubkey(x, k);
	assert_true(X509_sign(x, k, EVP_sha256()) > 0);
	f = fopen(pem, "w");
	PEM_write_X509(f, x);
	fclose(f);
	f = fopen(key, "w");
	PEM_write_PrivateKey(f, k, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(k);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/postern-inline-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(pem, sizeof(pem), "%s/a.pem", dir);
	snprintf(key, sizeof(key), "%s/a.key", dir);
	write_certificate();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(pem);
	unlink(key);
	return rmdir(dir);
}

static int load(const char *text, struct config **c, struct config_error err[2], size_t *n)
{
	memset(err, 0, 2 * sizeof(*err));
	return config_parse("test.conf", text, strlen(text), 7, c, err, 2, n);
}

static struct config *parse(const char *text)
{
	struct config_error err[2];
	struct config *c = NULL;
	size_t n;

	if (load(text, &c, err, &n))
		fail_msg("%u: %s: %s", err[0].line, err[0].key, err[0].reason);
	return c;
}

/* With the certificate of mail.example.com and *.example.org. */
static struct config *parse_tls(const char *text)
{
	char all[2000];

	snprintf(all, sizeof(all), "%stls { certificate a { chain = \"%s\"; key = \"%s\" } }\n", text, pem, key);
	return parse(all);
}

static struct ip_addr ip(const char *text)
{
	struct ip_addr a;

	assert_true(ip_parse(str_c(text), &a));
	return a;
}

static const char *server_at(const struct config *c, uint16_t listener, const char *address, uint16_t port)
{
	struct ip_addr a = ip(address);
	const struct config_inline *s = config_inline_for(c, listener, &a, port);

	return s ? s->name : "none";
}

static void the_longest_prefix_counts(void **state)
{
	struct config *c = parse(H XROUTE "inline { own-sources = [\"192.0.2.9\", \"2001:db8::/64\"]\n"
		"server wide { addresses = [\"192.0.2.0/24\"]; mode = bypass }\n"
		"server mail { addresses = [\"192.0.2.25\", \"2001:db8::25\"]; route = r; " CLEAR
		"; hostname = Mail.example.com }\n"
		"server late { addresses = [\"192.0.2.0/25\"]; mode = observe; port = 26 }\n"
		"server twin { addresses = [\"192.0.2.26\"]; route = r; " CLEAR "; hostname = mail.example.com }\n"
		"bypass = yes }\n");
	const struct handoff_config *d = &c->dataplane;
	const uint16_t in = HANDOFF_LISTENER_INLINE;

	(void)state;
	assert_string_equal(server_at(c, in, "192.0.2.25", 25), "mail");
	assert_string_equal(server_at(c, in + 3, "192.0.2.25", 25), "mail");
	assert_string_equal(server_at(c, in, "2001:db8::25", 25), "mail");
	assert_string_equal(server_at(c, in, "192.0.2.24", 25), "wide");
	assert_string_equal(server_at(c, in, "192.0.2.25", 26), "late");
	assert_string_equal(server_at(c, in, "192.0.2.225", 26), "none");
	assert_string_equal(server_at(c, in, "198.51.100.1", 25), "none");
	assert_string_equal(server_at(c, 0, "192.0.2.25", 25), "none");
	assert_string_equal(server_at(c, HANDOFF_LISTENER_TAP, "192.0.2.25", 25), "none");
	assert_ptr_equal(c->inlined[1].route, &c->route[0]);
	assert_null(c->inlined[0].route);

	assert_int_equal(d->n_listeners, 0);
	assert_int_equal(d->n_inlines, 5);
	assert_int_equal(d->inlined[0].prefix_len, 120);
	assert_int_equal(d->inlined[0].mode, INLINE_BYPASS);
	assert_int_equal(d->inlined[0].name, 0);
	assert_int_equal(d->inlined[2].id, HANDOFF_LISTENER_INLINE + 1);
	assert_int_equal(d->inlined[2].prefix_len, 128);
	assert_int_equal(d->inlined[2].mode, INLINE_TERMINATE);
	assert_int_equal(d->inlined[2].flags, 0);
	assert_int_equal(d->inlined[3].tcp_port, 26);
	/* One name, told once. */
	assert_int_equal(d->n_inline_names, 1);
	assert_string_equal(d->inline_name[0], "mail.example.com");
	assert_int_equal(d->inlined[1].name, 1);
	assert_int_equal(d->inlined[4].name, 1);
	assert_int_equal(d->n_inline_own, 2);
	assert_int_equal(d->inline_own[1].prefix_len, 64);
	assert_int_equal(d->bypass, 1);
	config_unref(c);
}

static void names_and_certificates(void **state)
{
	struct config *c = parse_tls(H XROUTE SERVER("hostname = mail.example.com"));

	(void)state;
	assert_true(c->inlined[0].tls);
	assert_int_equal(c->dataplane.inlined[0].flags, INLINE_F_TLS);
	assert_string_equal(config_inline_hostname(c, &c->inlined[0]), "mail.example.com");
	assert_string_equal(config_inline_hostname(c, NULL), "gw.example.net");
	config_unref(c);
	c = parse_tls(H ROUTE("transparent = yes") SERVER("hostname = mx.example.org"));
	assert_int_equal(c->dataplane.inlined[0].flags, INLINE_F_TLS | INLINE_F_TRANSPARENT);
	config_unref(c);
	c = parse_tls(H XROUTE SERVER("hostname = a.mx.example.org; " CLEAR));
	assert_false(c->inlined[0].tls);
	config_unref(c);
	c = parse(GOOD);
	assert_string_equal(config_inline_hostname(c, &c->inlined[0]), "gw.example.net");
	assert_int_equal(c->dataplane.n_inline_names, 0);
	config_unref(c);
}

static void transparent_routes(void **state)
{
	struct config *c = parse(H ROUTE("transparent = yes; transparent-interface = exc0; transparent-mark = 7")
				 SERVER(CLEAR)), *d = parse(GOOD);

	(void)state;
	assert_true(c->route[0].transparent);
	assert_string_equal(c->route[0].transparent_interface, "exc0");
	assert_int_equal(c->route[0].transparent_mark, 7);
	assert_int_equal(c->route[0].idle_timeout_s, DEFAULT_TRANSPARENT_IDLE_S);
	assert_int_equal(d->route[0].idle_timeout_s, 30);
	assert_true(config_wants_transparent(c));
	assert_false(config_wants_transparent(d));
	config_unref(c);
	config_unref(d);
}

/* No gateway's recipient may find a route to whom "the client dialled". */
static void gateway_routes_are_others(void **state)
{
	struct config *c = parse(GOOD "listener a { port = 0; address = [\"192.0.2.9/24\"] }\n"
				 "route b { domains = [\"example.com\"]; hosts = [\"198.51.100.1\"] }\n");
	struct ip_addr server = ip("192.0.2.25");

	(void)state;
	assert_string_equal(config_route_for(c, STR("example.com"))->name, "b");
	assert_null(config_route_for(c, STR("example.org")));
	assert_null(config_route_for(c, STR("")));
	assert_string_equal(config_route_at(c, 0, &server, 25, STR("example.com"))->name, "b");
	assert_string_equal(config_route_at(c, HANDOFF_LISTENER_INLINE, &server, 25, STR("example.com"))->name, "r");
	assert_null(config_route_at(c, HANDOFF_LISTENER_INLINE, &server, 26, STR("example.com")));
	config_unref(c);
}

static const struct bad {
	const char *text;
	unsigned int line;
	const char *key, *reason;
} bad[] = {
	{H XROUTE "inline { server s { route = r; " CLEAR " } }", 4, "inline.server.s.addresses", "missing"},
	{H XROUTE "inline { server s { addresses = [] } }", 4, "inline.server.s.addresses", "1 to"},
	{H XROUTE "inline { server s { addresses = [\"192.0.2.1/24\"] } }", 4, "inline.server.s.addresses",
	 "bits behind"},
	{H XROUTE "inline { server { addresses = [\"192.0.2.1\"] } }", 4, "inline.server", "needs a name"},
	{H XROUTE "inline { server s { addresses = [\"192.0.2.1\"]; mode = tap } }", 4,
	 "inline.server.s.mode", "expected \"terminate\" or \"observe\" or \"bypass\""},
	{H XROUTE "inline { server s { addresses = [\"192.0.2.1\"]; port = 0 } }", 4,
	 "inline.server.s.port", "out of bounds"},
	{H XROUTE "inline { server s { addresses = [\"192.0.2.1\"]; " CLEAR " } }", 4,
	 "inline.server.s.route", "to = dialled"},
	{H XROUTE "inline { server s { addresses = [\"192.0.2.1\"]; route = x; " CLEAR " } }", 4,
	 "inline.server.s.route", "no route \"x\""},
	{GOOD "route b { domains = [\"example.com\"]; hosts = [\"198.51.100.1\"] }\n"
	 "inline { server t { addresses = [\"192.0.2.1\"]; route = b } }", 6, "inline", "twice"},
	{H "route b { domains = [\"example.com\"]; hosts = [\"198.51.100.1\"] }\n"
	 "inline { server t { addresses = [\"192.0.2.1\"]; route = b; " CLEAR " } }", 3,
	 "inline.server.t.route", "goes elsewhere"},
	/* The client's address. */
	{H ROUTE("") SERVER(CLEAR), 4, "inline.server.s.route", "hides the client's address"},
	{H ROUTE("xforward = yes") SERVER(CLEAR), 4, "inline.server.s.route", "hides the client's address"},
	{H ROUTE("transparent = yes\nxclient = yes") SERVER(CLEAR), 3, "route.r.transparent", "one of the two"},
	{H ROUTE("transparent = yes\nproxy = v2") SERVER(CLEAR), 3, "route.r.transparent", "one of the two"},
	{H ROUTE("transparent = yes\nsource-address = \"192.0.2.7\"") SERVER(CLEAR), 4,
	 "route.r.source-address", "from the client's address"},
	{H ROUTE("xclient = yes\ntransparent-mark = 7") SERVER(CLEAR), 4, "route.r.transparent-mark",
	 "only with transparent"},
	{H ROUTE("transparent = yes\ntransparent-interface = a23456789012345x") SERVER(CLEAR), 4,
	 "route.r.transparent-interface", "no name of a network interface"},
	{H "listener a { port = 0; address = [\"192.0.2.9/24\"] }\n"
	 "route b { domains = [\"example.com\"]; hosts = [\"198.51.100.1\"]\ntransparent = yes }\n", 4,
	 "route.b.transparent", "only with to = dialled"},
	/* Certificates. */
	{H XROUTE SERVER(""), 4, "inline.server.s.mode", "mode = observe, or allow-clear"},
	{H XROUTE "inline { server s { addresses = [\"192.0.2.1\"]; mode = observe; route = r } }", 4,
	 "inline.server.s.route", "only with mode = terminate"},
	{H XROUTE "inline { server s { addresses = [\"192.0.2.1\"]; mode = bypass; " CLEAR " } }", 4,
	 "inline.server.s.allow-clear", "only with mode = terminate"},
	/* What the server has to decide. */
	{H ROUTE("xclient = yes\ndomains = [\"example.com\"]") SERVER(CLEAR), 4, "route.r.domains",
	 "whose mail it takes"},
	{H ROUTE("xclient = yes\nhosts = [\"192.0.2.1\"]") SERVER(CLEAR), 4, "route.r.hosts", "to no other"},
	{H ROUTE("xclient = yes\nmx = true") SERVER(CLEAR), 4, "route.r.mx", "to no other"},
	{H ROUTE("xclient = yes\nport = 26") SERVER(CLEAR), 4, "route.r.port", "that was dialled"},
	{H ROUTE("xclient = yes\nverify = none") SERVER(CLEAR), 4, "route.r.verify", "of anywhere"},
	{H ROUTE("xclient = yes\ntrust-rcpt = no") SERVER(CLEAR), 4, "route.r.trust-rcpt", "of anywhere"},
	{H ROUTE("xclient = yes\ntls = verify") SERVER(CLEAR), 4, "route.r.tls", "needs tls-name"},
	{H ROUTE("xclient = yes\ntls = dane-only") SERVER(CLEAR), 4, "route.r.tls", "known by its address"},
	{H ROUTE("xclient = yes\nprovider = exchange-online") SERVER(CLEAR), 4, "route.r.provider", "a cloud"},
	{H "listener a { port = 0; address = [\"192.0.2.9/24\"] }\n"
	 "route b { domains = [\"example.com\"]; hosts = [\"198.51.100.1\"]\nto = cloud }\n", 4, "route.b.to",
	 "\"hosts\" or \"dialled\""},
	{H XROUTE "listener a { port = 0; address = [\"192.0.2.9/24\"] }\n", 2, "route.r.to",
	 "no server of the inline section"},
	{GOOD "policy { quarantine-mailbox = \"a@example.com\"; quarantine-route = r }\n", 5,
	 "policy.quarantine-route", "whom the client dialled"},
	{GOOD "tap { journal-route = r }\n", 5, "tap.journal-route", "whom the client dialled"},
	/* Addresses. */
	{H XROUTE "inline { server s { addresses = [\"192.0.2.1\"]; route = r; " CLEAR " }\n"
	 "server t { addresses = [\"192.0.2.1\"]; mode = bypass } }", 5, "inline.server.t.addresses",
	 "of server \"s\" already"},
	{GOOD "listener a { port = 0; address = [\"192.0.2.25/24\"] }\n", 4, "inline.server.s.addresses",
	 "holds our own address"},
	{H "route b { domains = [\"example.com\"]; hosts = [\"198.51.100.1\"] }\n"
	 "inline { own-sources = [\"192.0.2.1\"] }\n", 0, "listener", "or a server in the inline section"},
	/* Exceptions. */
	{GOOD "exceptions { inline { midstream = reject } }", 5, "exceptions.inline.midstream",
	 "beginning was not seen"},
	{GOOD "exceptions { inline { fragment = drop-flow } }", 5, "exceptions.inline.fragment", "forge"},
	{GOOD "exceptions { inline { malformed = reject } }", 5, "exceptions.inline.malformed", "forge"},
	{GOOD "exceptions { inline { control-down = ignore } }", 5, "exceptions.inline.control-down",
	 "nobody would judge"},
	{GOOD "exceptions { inline { no-memory = pass-flow } }", 5, "exceptions.inline.no-memory",
	 "no memory to watch"},
	{GOOD "exceptions { tap { control-down = reject } }", 5, "exceptions.tap.control-down",
	 "nothing is sent"},
	{GOOD "exceptions { tap { gap = drop-flow } }", 5, "exceptions.tap.gap", "nothing is sent"},
	{GOOD "exceptions { gateway { no-memory = bypass } }", 5, "exceptions.gateway.no-memory",
	 "nobody else to whom"},
	{GOOD "exceptions { gateway { gap = ignore } }", 5, "exceptions.gateway.gap", "unknown key"},
	{GOOD "exceptions { inline { gap = fail } }", 5, "exceptions.inline.gap",
	 "expected \"default\" or \"pass-flow\" or \"bypass\", found"},
	{GOOD "exceptions { cable { } }", 5, "exceptions.cable", "unknown key"},
};

static void bad_files(void **state)
{
	struct config_error err[2];
	struct config *c;
	size_t n, wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct bad *b = &bad[i];

		if (!load(b->text, &c, err, &n)) {
			config_unref(c);
			print_error("taken: %s\n", b->text);
			wrong++;
		} else if (n != 1 || err[0].line != b->line || strcmp(err[0].key, b->key) ||
			   !strstr(err[0].reason, b->reason)) {
			print_error("%s\n%zu errors, %u: %s: %s\n", b->text, n, err[0].line, err[0].key,
				    err[0].reason);
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

static void exceptions(void **state)
{
	struct config *c = parse(GOOD "exceptions { inline { control-down = bypass; midstream = drop-flow\n"
				 "no-memory = default }\ntap { midstream = pass-flow } }");
	const uint8_t(*e)[CAUSE_COUNT] = c->dataplane.exception;

	(void)state;
	assert_int_equal(e[PORT_MODE_INLINE][CAUSE_CONTROL_DOWN], ACT_BYPASS);
	assert_int_equal(e[PORT_MODE_INLINE][CAUSE_MIDSTREAM], ACT_DROP_FLOW);
	assert_int_equal(e[PORT_MODE_INLINE][CAUSE_NO_MEMORY], ACT_REJECT);
	assert_int_equal(e[PORT_MODE_TAP][CAUSE_MIDSTREAM], ACT_PASS_FLOW);
	config_unref(c);
	c = parse(GOOD);
	e = c->dataplane.exception;
	assert_int_equal(e[PORT_MODE_INLINE][CAUSE_CONTROL_DOWN], ACT_REJECT);
	assert_int_equal(e[PORT_MODE_INLINE][CAUSE_MIDSTREAM], ACT_PASS_FLOW);
	assert_int_equal(e[PORT_MODE_TAP][CAUSE_GAP], ACT_PASS_FLOW);
	/* What can come is always told; the rest is no case. */
	for (int mode = 0; mode < PORT_MODE_COUNT; mode++)
		for (int cause = 0; cause < CAUSE_COUNT; cause++)
			assert_int_equal(e[mode][cause] == ACT_DEFAULT,
					 mode == PORT_MODE_GATEWAY && cause == CAUSE_GAP);
	config_unref(c);
}

/* The tracker follows sixteen ports, 25 among them. */
static void ports_that_are_observed(void **state)
{
	struct config_error err[2];
	struct config *c;
	char text[4096];

	(void)state;
	for (unsigned int servers = 15; servers < 17; servers++) {
		size_t at = (size_t)snprintf(text, sizeof(text), "%s", H XROUTE
					      "inline {\nserver s { addresses = [\"192.0.2.25\"]; route = r; "
					      CLEAR " }"), n = 0;

		for (unsigned int i = 0; i < servers; i++)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "\nserver o%u { addresses = "
					       "[\"198.51.100.%u\"]; mode = observe; port = %u }", i, i + 1, 2525 + i);
		snprintf(text + at, sizeof(text) - at, " }\n");
		if (!load(text, &c, err, &n)) {
			assert_int_equal(servers, 15);
			config_unref(c);
			continue;
		}
		assert_int_equal(servers, 16);
		assert_int_equal(n, 1);
		assert_string_equal(err[0].key, "inline.server.o15.port");
		assert_non_null(strstr(err[0].reason, "more than 16 ports"));
	}
}

/* Says why, and names nothing that would be refused as well. */
static bool is_reason(const char *reason, const struct config_info *info, const char *action)
{
	const char *why = strstr(reason, ": ");

	if (!why || strncmp(reason, action, strlen(action)) || strstr(reason, "expected"))
		return false;
	for (unsigned int a = 0; a < ACT_COUNT; a++)
		if (!info->words[a][0] && strstr(why, config_actions[a]))
			return false;
	return strlen(why) > 20;
}

/* A word of the key is taken; any other action is refused, with the reason and not with a list. */
static void each_key_its_words(void **state)
{
	static const char *const modes[] = {"gateway", "inline", "tap"};
	unsigned int n_taken = 0, n_refused = 0;
	char path[64], text[1024];

	(void)state;
	for (size_t mode = 0; mode < 3; mode++) {
		const struct config_section_info *s;

		snprintf(path, sizeof(path), "exceptions.%s", modes[mode]);
		s = config_section_info(path);
		for (size_t k = 0; k < s->n; k++)
			for (unsigned int a = 0; a < ACT_COUNT; a++) {
				struct config_error err[2];
				struct config *c = NULL;
				size_t n = 0;
				bool is_word = s->key[k].words[a][0];

				snprintf(text, sizeof(text), GOOD "exceptions { %s { %s = %s } }", modes[mode],
					 s->key[k].name, config_actions[a]);
				if (!load(text, &c, err, &n) != is_word)
					fail_msg("%s", text);
				if (!is_word &&
				    (n != 1 || !is_reason(err[0].reason, &s->key[k], config_actions[a])))
					fail_msg("%s: %s", text, err[0].reason);
				n_taken += is_word;
				n_refused += !is_word;
				if (c)
					config_unref(c);
			}
	}
	/* The table of docs/inline.md: 17 times `default`, and 30 words of causes. */
	assert_int_equal(n_taken, 17 + 30);
	assert_int_equal(n_taken + n_refused, 17 * ACT_COUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_prefix_counts),
		cmocka_unit_test(names_and_certificates),
		cmocka_unit_test(transparent_routes),
		cmocka_unit_test(gateway_routes_are_others),
		cmocka_unit_test(bad_files),
		cmocka_unit_test(exceptions),
		cmocka_unit_test(ports_that_are_observed),
		cmocka_unit_test(each_key_its_words),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
