/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Routes: whose mail they take, where it goes, what a provider brings along. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/config/config.h"
#include "postern/limits.h"

#define TOP "hostname = mx.example.net\nlistener a { port = 1; address = [\"192.0.2.25/24\"] }\n"
#define ROUTE(text) TOP "route r { domains = [\"example.com\"]\n" text " }"
#define HOSTS "hosts = [\"mail.example.com\"]\n"

static struct config *parse(const char *text)
{
	struct config_error err[4];
	struct config *c = NULL;
	size_t n;
	int rc = config_parse("test.conf", text, strlen(text), 7, &c, err, 4, &n);

	if (rc)
		print_error("%s:%u: %s: %s\n", err[0].file, err[0].line, err[0].key, err[0].reason);
	assert_int_equal(rc, 0);
	return c;
}

static const char *route_of(const struct config *c, const char *domain)
{
	const struct config_route *r = config_route_for(c, str_c(domain));

	return r ? r->name : "none";
}

/* The most specific entry counts, in whatever order they stand. */
static void subdomains(void **state)
{
	struct config *c = parse(TOP
		"route wide { domains = [\".Example.org\", \".b\xc3\xbc" "cher.example\"]; hosts = [\"a\"] }\n"
		"route narrow { domains = [\".sub.example.org\", \"example.org\"]; hosts = [\"b\"] }\n"
		"route one { domains = [\"x.sub.example.org\"]; hosts = [\"c\"] }\n");
	static const struct { const char *domain, *route; } want[] = {
		{"example.org", "narrow"}, {"a.example.org", "wide"}, {"A.B.EXAMPLE.ORG", "wide"},
		{"sub.example.org", "wide"}, {"y.sub.example.org", "narrow"},
		{"x.sub.example.org", "one"}, {"z.x.sub.example.org", "narrow"},
		{"notexample.org", "none"}, {"org", "none"}, {".example.org", "none"},
		{"example.org.", "none"}, {"a..example.org", "none"}, {"", "none"},
		{"mail.xn--bcher-kva.example", "wide"}, {"mail.b\xc3\xbc" "cher.example", "wide"},
		{"b\xc3\xbc" "cher.example", "none"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		if (strcmp(route_of(c, want[i].domain), want[i].route))
			fail_msg("%s: %s, expected %s", want[i].domain, route_of(c, want[i].domain),
				 want[i].route);
	config_unref(c);
}

static void hosts_as_strings_are_tried_in_order(void **state)
{
	struct config *c = parse(ROUTE("hosts = [\"b.example.com\", \"a.example.com:26\", \"192.0.2.1\"]; "
				       "port = 2525"));
	const struct config_route *r = &c->route[0];

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(r->host[i].priority, i);
		assert_int_equal(r->host[i].weight, 1);
	}
	assert_int_equal(r->host[0].port, 2525);
	assert_int_equal(r->host[1].port, 26);
	config_unref(c);
}

static void hosts_with_weights(void **state)
{
	struct config *c = parse(ROUTE(
		"hosts = [{ host = \"a.example.com\"; weight = 3 },\n"
		"{ host = \"[2001:db8::1]:26\"; priority = 5 }, { port = 27; host = \"b.example.com\" }]"));
	const struct config_route *r = &c->route[0];

	(void)state;
	assert_int_equal(r->n_hosts, 3);
	assert_int_equal(r->host[0].weight, 3);
	assert_int_equal(r->host[0].priority, 0);
	assert_int_equal(r->host[0].port, 25);
	assert_int_equal(r->host[1].priority, 5);
	assert_int_equal(r->host[1].weight, 1);
	assert_int_equal(r->host[1].port, 26);
	assert_true(r->host[1].is_ip);
	assert_int_equal(r->host[2].port, 27);
	config_unref(c);
}

static void by_mx_records(void **state)
{
	struct config *c = parse(TOP
		"route own { domains = [\"example.com\", \".example.org\"]; mx = true; port = 26 }\n"
		"route named { domains = [\"example.net\"]; mx = \"Hosts.Example.NET\" }\n");
	char way[MAIL_ALABEL];

	(void)state;
	assert_true(c->route[0].mx);
	assert_null(c->route[0].mx_domain);
	assert_int_equal(c->route[0].port, 26);
	assert_string_equal(c->route[1].mx_domain, "hosts.example.net");
	config_route_way(&c->route[0], STR("A.Example.ORG"), way);
	assert_string_equal(way, "a.example.org");
	config_route_way(&c->route[1], STR("example.net"), way);
	assert_string_equal(way, "");
	config_unref(c);
	/* Domains of one route may go different ways: LIMITS has to say so. */
	c = parse(TOP "route own { domains = [\".example.com\"]; mx = true }");
	assert_int_equal(c->dataplane.many_routes, 1);
	config_unref(c);
	c = parse(ROUTE("mx = true"));
	assert_int_equal(c->dataplane.many_routes, 0);
	config_unref(c);
}

static void providers(void **state)
{
	struct config *c = parse(TOP
		"route x { domains = [\"example.com\"]; " HOSTS "provider = exchange-online }\n"
		"route g { domains = [\"example.org\"]; mx = true; provider = google-workspace }\n"
		"route s { domains = [\"example.net\"]; " HOSTS "provider = smtp }\n"
		/* each of it can be said otherwise, before or behind it */
		"route y { domains = [\"a.example\"]; " HOSTS "family = any; connection-age = 5min\n"
		"provider = exchange-online; messages-per-connection = 50; rate = 2.5 }\n");

	(void)state;
	assert_int_equal(c->route[0].family, FAMILY_V4);
	assert_int_equal(c->route[0].messages_per_connection, 199);
	assert_in_range(c->route[0].connection_age_s, 60, 20 * 60 - 1);
	assert_int_equal(c->route[0].size_margin, 65536);
	assert_string_equal(c->route[0].tls_names[0], "mail.protection.outlook.com");
	assert_int_equal(c->route[1].family, FAMILY_V4);
	assert_int_equal(c->route[1].messages_per_connection, 100);
	assert_int_equal(c->route[1].size_margin, 65536);
	assert_string_equal(c->route[1].tls_names[0], "google.com");
	assert_int_equal(c->route[2].family, FAMILY_ANY);
	assert_int_equal(c->route[2].connection_age_s, 0);
	assert_int_equal(c->route[2].size_margin, 0);
	assert_null(c->route[2].tls_names);
	assert_int_equal(c->route[3].family, FAMILY_ANY);
	assert_int_equal(c->route[3].connection_age_s, 300);
	assert_int_equal(c->route[3].messages_per_connection, 50);
	assert_true(c->route[3].rate == 2.5);
	config_unref(c);
}

static void sources_and_families(void **state)
{
	struct config *c = parse(ROUTE(HOSTS "source-v4 = \"192.0.2.9\"; source-v6 = \"2001:db8::9\"\n"
				       "family = prefer-v6"));

	(void)state;
	assert_true(c->route[0].has_source[0]);
	assert_true(c->route[0].has_source[1]);
	assert_int_equal(c->route[0].family, FAMILY_PREFER_V6);
	config_unref(c);
	c = parse(ROUTE(HOSTS "source-address = \"2001:db8::9\""));
	assert_false(c->route[0].has_source[0]);
	assert_int_equal(c->route[0].family, FAMILY_V6);
	config_unref(c);
}

/* What no route takes is not announced. */
static void announced_size(void **state)
{
	struct config *c = parse(TOP
		"route a { domains = [\"example.com\"]; " HOSTS "max-message = 1mb }\n"
		"route b { domains = [\"example.org\"]; " HOSTS "max-message = 3mb }\n");

	(void)state;
	assert_int_equal(c->dataplane.max_message, 3u << 20);
	config_unref(c);
	c = parse(TOP "route a { domains = [\"example.com\"]; " HOSTS "max-message = 1mb }\n"
		      "route b { domains = [\"example.org\"]; " HOSTS "}\n");
	assert_int_equal(c->dataplane.max_message, DEFAULT_MAX_MESSAGE);
	config_unref(c);
}

/* ---- lists of recipients -------------------------------------------------------------------- */

static char list_path[64];

static void write_list(const char *text, size_t n)
{
	FILE *f;
	int fd;

	strcpy(list_path, "/tmp/postern-list-XXXXXX");
	fd = mkstemp(list_path);
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	assert_int_equal(fwrite(text, 1, n, f), n);
	fclose(f);
}

static struct config *with_list(const char *text, const char *keys, struct config_error *err, size_t *n)
{
	char conf[1024];
	struct config *c = NULL;

	write_list(text, strlen(text));
	snprintf(conf, sizeof(conf), ROUTE(HOSTS "verify = list; recipients = \"%s\"\n%s"), list_path,
		 keys);
	config_parse("test.conf", conf, strlen(conf), 1, &c, err, 4, n);
	remove(list_path);
	return c;
}

static bool listed(const struct config *c, const char *mailbox)
{
	return config_recipients_has(c->route[0].recipients, str_c(mailbox));
}

static void a_list(void **state)
{
	struct config_error err[4];
	struct config *c;
	size_t n;

	(void)state;
	c = with_list("# people\r\nAnn@Example.com # boss\n\n  bob@example.com\t\nann@EXAMPLE.com\n"
		      "@all.example.com\n\"quo ted\"@example.com\n\"plain\"@example.com\n#tag@example.com\n"
		      "o#h@example.com\nj\xc3\xb6rg@b\xc3\xbc" "cher.example", "", err, &n);
	assert_non_null(c);
	assert_int_equal(config_recipients_count(c->route[0].recipients), 7);
	assert_true(listed(c, "ann@example.com"));
	assert_true(listed(c, "ANN@example.COM"));
	assert_true(listed(c, "bob@example.com"));
	assert_false(listed(c, "bo@example.com"));
	assert_false(listed(c, "bob@example.org"));
	assert_false(listed(c, "bob+tag@example.com"));
	assert_true(listed(c, "anybody@all.example.com"));
	assert_false(listed(c, "anybody@sub.all.example.com"));
	/* RFC 5321 4.1.2: the quotes are not part of the name. */
	assert_true(listed(c, "plain@example.com"));
	assert_true(listed(c, "\"b\\ob\"@example.com"));
	assert_true(listed(c, "\"quo ted\"@example.com"));
	assert_false(listed(c, "\"b@ob\"@example.com"));
	assert_true(listed(c, "o#h@example.com"));
	assert_false(listed(c, "#tag@example.com")); /* that line is a comment */
	assert_true(listed(c, "j\xc3\xb6rg@xn--bcher-kva.example"));
	assert_true(listed(c, "postmaster@example.com"));
	assert_true(listed(c, "Postmaster"));
	assert_false(listed(c, "bob"));
	assert_false(listed(c, ""));
	config_unref(c);
}

static void a_list_with_case_and_tags(void **state)
{
	struct config_error err[4];
	struct config *c;
	size_t n;

	(void)state;
	c = with_list("Ann@example.com\n+odd@example.com\n", "recipients-case = exact\n"
		      "recipients-delimiter = \"+\"", err, &n);
	assert_non_null(c);
	assert_true(listed(c, "Ann@EXAMPLE.com"));
	assert_false(listed(c, "ann@example.com"));
	assert_true(listed(c, "Ann+news@example.com"));
	assert_true(listed(c, "Ann+a+b@example.com"));
	assert_true(listed(c, "+odd@example.com"));
	assert_false(listed(c, "+@example.com"));
	assert_false(listed(c, "\"Ann+x\"@example.com"));
	config_unref(c);
}

static const struct {
	const char *text;
	unsigned int line;
	const char *reason;
} bad_lists[] = {
	{"", 0, "not one address"}, {"# nobody\n", 0, "not one address"},
	{"a@example.com\nbob\n", 2, "expected an address"}, {"a@example.com\n\n@\n", 3, "expected an address"},
	{"a b@example.com\n", 1, "no spaces"}, {"a@example.com, b@example.com\n", 1, "no spaces"},
	{"a@b..example\n", 1, "no valid domain"}, {"a@-example.com", 1, "no valid domain"},
	{"a@[192.0.2.1]", 1, "no valid domain"}, {"a\x01@example.com\n", 1, "no control"},
	{"<a@example.com>\n", 1, "no valid domain"},
};

static void lists_that_are_wrong(void **state)
{
	char long_line[2000];
	struct config_error err[4];
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(bad_lists) / sizeof(bad_lists[0]); i++) {
		assert_null(with_list(bad_lists[i].text, "", err, &n));
		if (n != 1 || err[0].line != bad_lists[i].line || strcmp(err[0].file, list_path) ||
		    !strstr(err[0].reason, bad_lists[i].reason))
			fail_msg("%zu: %zu errors, %s:%u: %s", i, n, err[0].file, err[0].line,
				 err[0].reason);
	}
	assert_null(with_list("a@example.com\n", "recipients-case = lower", err, &n));
	assert_int_equal(n, 1);
	assert_null(with_list("a@example.com\n", "recipients-delimiter = \"++\"", err, &n));
	assert_int_equal(n, 1);
	memset(long_line, 'a', sizeof(long_line) - 1);
	memcpy(long_line + 1000, "@example.com", 13);
	assert_null(with_list(long_line, "", err, &n));
	assert_int_equal(n, 1);
	/* A wrong file is told of a few times, not a million. */
	for (size_t i = 0; i + 2 < sizeof(long_line); i += 2)
		memcpy(long_line + i, "x\n", 3);
	assert_null(with_list(long_line, "", err, &n));
	assert_in_range(n, 2, 30);
}

static void a_million(void **state)
{
	size_t n = 0, lines = 1000000;
	char *text = malloc(lines * 28), conf[512], who[64];
	struct config *c;

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < lines; i++)
		n += (size_t)sprintf(text + n, "user%zu@example.com\n", i);
	write_list(text, n);
	free(text);
	snprintf(conf, sizeof(conf), ROUTE(HOSTS "verify = list; recipients = \"%s\""), list_path);
	c = parse(conf);
	remove(list_path);
	assert_int_equal(config_recipients_count(c->route[0].recipients), lines);
	for (size_t i = 0; i < lines; i += 997) {
		snprintf(who, sizeof(who), "user%zu@example.com", i);
		assert_true(listed(c, who));
		snprintf(who, sizeof(who), "user%zu@example.com", i + lines);
		assert_false(listed(c, who));
	}
	config_unref(c);
}

static void truth_and_identity_keys(void **state)
{
	struct config *c = parse(ROUTE(HOSTS "trust-rcpt = no; breaker = off; breaker-jump = 80\n"
				       "breaker-samples = 100; breaker-window = 20min; overload = no\n"
				       "overload-wait = 20; overload-factor = 8; max-outstanding = 30; arena-share = 20\n"
				       "xclient = yes; xforward = yes; proxy = v2"));

	(void)state;
	assert_false(c->route[0].trust_rcpt);
	assert_false(c->route[0].breaker.on);
	assert_int_equal(c->route[0].breaker.jump, 80);
	assert_int_equal(c->route[0].breaker.samples, 100);
	assert_int_equal(c->route[0].breaker.window_s, 1200);
	assert_false(c->route[0].overload.on);
	assert_int_equal(c->route[0].overload.wait_s, 20);
	assert_int_equal(c->route[0].overload.factor, 8);
	assert_int_equal(c->route[0].overload.max_outstanding, 30);
	assert_int_equal(c->route[0].overload.arena_share, 20);
	assert_true(c->route[0].xclient);
	assert_true(c->route[0].xforward);
	assert_int_equal(c->route[0].proxy, PROXY_V2);
	config_unref(c);
	c = parse(ROUTE(HOSTS));
	assert_true(c->route[0].trust_rcpt);
	assert_true(c->route[0].breaker.on);
	assert_int_equal(c->route[0].breaker.jump, 60);
	assert_true(c->route[0].overload.on);
	assert_int_equal(c->route[0].overload.wait_s, 5);
	assert_int_equal(c->route[0].overload.factor, 4);
	assert_int_equal(c->route[0].overload.max_outstanding, 0);
	assert_int_equal(c->route[0].overload.arena_share, 50);
	assert_int_equal(c->route[0].proxy, PROXY_NONE);
	config_unref(c);
}

static const struct bad {
	const char *text;
	unsigned int line;
	const char *key, *reason;
} bad[] = {
	{TOP "route r { " HOSTS "domains = [\"*.example.com\"] }", 4, "route.r.domains", "\".example.com\""},
	{TOP "route r { " HOSTS "domains = [\".com\"] }", 4, "route.r.domains", "top-level domain"},
	{TOP "route r { " HOSTS "domains = [\".\"] }", 4, "route.r.domains", "no host or domain name"},
	{TOP "route r { " HOSTS "domains = [\"..example.com\"] }", 4, "route.r.domains", "no host or domain"},
	{TOP "route r { " HOSTS "domains = [\".example.com\",\n\".Example.COM\"] }", 5, "route.r.domains",
	 "of route \"r\" already"},
	{TOP "route r { domains = [\".example.com\"]; " HOSTS " }\nroute s { domains = [\".example.com\"]\n"
	     HOSTS "}", 5, "route.s.domains", ".example.com is a domain of route \"r\" already"},
	{ROUTE("port = 25"), 3, "route.r.hosts", "missing"},
	{ROUTE("mx = false"), 4, "route.r.mx", "no hosts"},
	{ROUTE(HOSTS "mx = true"), 5, "route.r.mx", "not to both"},
	{ROUTE("mx = 5"), 4, "route.r.mx", "expected true, or the domain"},
	{ROUTE("mx = \"-x\""), 4, "route.r.mx", "no host or domain name"},
	{ROUTE("mx = \"MX.example.net\""), 4, "route.r.mx", "our own name"},
	{TOP "route r { mx = true\ndomains = [\"mx.example.net\"] }", 4, "route.r.domains", "our own name"},
	{ROUTE("hosts = [\"a\",\n{ host = \"b\" }]"), 5, "route.r.hosts", "expected a string"},
	{ROUTE("hosts = [{ host = \"b\" },\n\"a\"]"), 5, "route.r.hosts", "either all hosts are"},
	{ROUTE("hosts = [{ weight = 2 }]"), 4, "route.r.hosts.host", "missing"},
	{ROUTE("hosts = [{ host = \"b\"; weight = 0 }]"), 4, "route.r.hosts.weight", "1 to 65535"},
	{ROUTE("hosts = [{ host = \"b\"; wait = 1 }]"), 4, "route.r.hosts.wait", "unknown key"},
	{ROUTE("hosts = [{ host = \"b:26\"\nport = 27 }]"), 5, "route.r.hosts.port", "a port already"},
	{ROUTE("hosts = [{ host = \"b\" },\n{ host = \"b\"; port = 25 }]"), 5, "route.r.hosts",
	 "listed twice"},
	{ROUTE("hosts = [{ host = \"192.0.2.25\" }]"), 4, "route.r.hosts", "our own address"},
	{ROUTE("hosts = [\"2001:db8::1\"]\nprovider = exchange-online"), 4, "route.r.hosts",
	 "address family"},
	{ROUTE(HOSTS "provider = office"), 5, "route.r.provider", "\"exchange-online\""},
	{ROUTE(HOSTS "family = v5"), 5, "route.r.family", "\"prefer-v6\""},
	{ROUTE(HOSTS "family = v6\nsource-v4 = \"192.0.2.9\""), 6, "route.r.source-v4", "never used"},
	{ROUTE(HOSTS "family = v4\nsource-address = \"2001:db8::9\""), 6, "route.r.source-address",
	 "never used"},
	{ROUTE(HOSTS "source-v4 = \"2001:db8::9\""), 5, "route.r.source-v4", "no IPv4 address"},
	{ROUTE(HOSTS "source-v4 = \"192.0.2.9\"\nsource-address = \"192.0.2.8\""), 6,
	 "route.r.source-address", "given twice"},
	{ROUTE(HOSTS "connection-age = 2d"), 5, "route.r.connection-age", "out of bounds"},
	{ROUTE(HOSTS "rate = -1"), 5, "route.r.rate", "out of bounds"},
	{ROUTE(HOSTS "queue-timeout = 0"), 5, "route.r.queue-timeout", "out of bounds"},
	{ROUTE(HOSTS "max-message = 10kb"), 5, "route.r.max-message", "at least 65536"},
	{ROUTE(HOSTS "verify = list"), 5, "route.r.verify", "nobody would be let in"},
	{ROUTE(HOSTS "recipients = \"/x\""), 5, "route.r.recipients", "only verify = list"},
	{ROUTE(HOSTS "verify = list\nrecipients = x"), 6, "route.r.recipients", "absolute path"},
	{ROUTE(HOSTS "verify = list\nrecipients = \"/nowhere/x\""), 6, "route.r.recipients",
	 "No such file"},
	{ROUTE(HOSTS "verify = list\nrecipients = \"/tmp\""), 6, "route.r.recipients", "no regular file"},
	{ROUTE(HOSTS "recipients-case = exact"), 5, "route.r.recipients-case", "there is no list"},
	{ROUTE(HOSTS "breaker-jump = 5"), 5, "route.r.breaker-jump", "10 to 100"},
	{ROUTE(HOSTS "breaker-window = 5"), 5, "route.r.breaker-window", "out of bounds"},
	{ROUTE(HOSTS "overload-wait = 0"), 5, "route.r.overload-wait", "out of bounds"},
	{ROUTE(HOSTS "overload-factor = 1"), 5, "route.r.overload-factor", "2 to 100"},
	{ROUTE(HOSTS "max-outstanding = 4097"), 5, "route.r.max-outstanding", "0 to 4096"},
	{ROUTE(HOSTS "arena-share = 0"), 5, "route.r.arena-share", "1 to 100"},
	{ROUTE(HOSTS "proxy = v1"), 5, "route.r.proxy", "\"none\" or \"v2\""},
	{ROUTE(HOSTS "xclient = maybe"), 5, "route.r.xclient", "true or false"},
	{ROUTE(HOSTS "port = 0"), 5, "route.r.port", "1 to 65535"},
};

static void bad_routes(void **state)
{
	unsigned int wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct bad *b = &bad[i];
		struct config_error err[4] = {0};
		struct config *c = NULL;
		size_t n = 0;
		int rc = config_parse("bad.conf", b->text, strlen(b->text), 1, &c, err, 4, &n);

		if (rc == -EINVAL && n == 1 && err[0].line == b->line && !strcmp(err[0].key, b->key) &&
		    strstr(err[0].reason, b->reason))
			continue;
		print_error("[%zu] expected %u: %s: ..%s..\n%s\n", i, b->line, b->key, b->reason, b->text);
		for (size_t k = 0; k < n && k < 4; k++)
			print_error("  %u: %s: %s\n", err[k].line, err[k].key, err[k].reason);
		wrong++;
		config_unref(rc ? NULL : c);
	}
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(subdomains),
		cmocka_unit_test(hosts_as_strings_are_tried_in_order),
		cmocka_unit_test(hosts_with_weights),
		cmocka_unit_test(by_mx_records),
		cmocka_unit_test(providers),
		cmocka_unit_test(sources_and_families),
		cmocka_unit_test(announced_size),
		cmocka_unit_test(a_list),
		cmocka_unit_test(a_list_with_case_and_tags),
		cmocka_unit_test(lists_that_are_wrong),
		cmocka_unit_test(a_million),
		cmocka_unit_test(truth_and_identity_keys),
		cmocka_unit_test(bad_routes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
