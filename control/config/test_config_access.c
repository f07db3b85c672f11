/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Lists of policy: in the file and beside it, for all and for a route; who is in them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/config/access.h"
#include "postern/limits.h"

static char path[64];

static void write_list(const char *text, size_t n)
{
	int fd;

	strcpy(path, "/tmp/postern-access-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), (ssize_t)n);
	close(fd);
}

/* policy and route policy; %s in them is the path. */
static struct config *parse(const char *policy, const char *of_route, struct config_error *err,
			    size_t *n)
{
	char text[8192], one[2048], two[2048];
	struct config *c = NULL;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(one, sizeof(one), policy, path);
	snprintf(two, sizeof(two), of_route, path);
#pragma GCC diagnostic pop
	snprintf(text, sizeof(text),
		 "hostname = \"mx.example.net\"\nlistener a { port = 0; address = "
		 "[\"203.0.113.25/24\"] }\nroute b { domains = [\"example.com\"]; hosts = "
		 "[\"198.51.100.1\"]\npolicy { %s } }\nroute c { domains = [\"example.org\", "
		 "\".example.org\"]; hosts = [\"198.51.100.1\"] }\npolicy { %s }\n",
		 two, one);
	*n = 0;
	if (config_parse("x", text, strlen(text), 1, &c, err, 8, n))
		return NULL;
	return c;
}

static bool denies(const struct config_policy *p, const char *ip)
{
	struct ip_addr a;

	assert_true(ip_parse(str_c(ip), &a));
	return admission_listed(&p->access.deny_origins, &p->access.allow_origins, &a) ==
	       ADMISSION_DENIED;
}

static bool sender(const struct config *c, const char *mailbox)
{
	return config_listed_sender(c->policy.access.deny_senders, str_c(mailbox));
}

static void files(void **state)
{
	static const char nets[] =
		"# nets\n192.0.2.0/24 # all of it\n\n2001:db8::/32\r\n198.51.100.7\n";
	static const char senders[] =
		"Bad@Example.net\n@spam.example\n@.below.example\n\"a b\"@x.example\n"
		"@b\303\274cher.example";
	struct config_error err[8];
	struct config *c;
	size_t n;

	(void)state;
	write_list(nets, sizeof(nets) - 1);
	c = parse("deny-origins = \"%s\"; allow-origins = [\"192.0.2.64/26\"]", "", err, &n);
	if (!c)
		fail_msg("%s:%u: %s", err[0].file, err[0].line, err[0].reason);
	assert_true(denies(&c->policy, "192.0.2.1"));
	assert_false(denies(&c->policy, "192.0.2.65"));
	assert_true(denies(&c->policy, "2001:db8:1::1"));
	assert_true(denies(&c->policy, "198.51.100.7"));
	assert_false(denies(&c->policy, "198.51.100.8"));
	config_unref(c);
	unlink(path);

	write_list(senders, sizeof(senders) - 1);
	c = parse("deny-senders = \"%s\"", "", err, &n);
	assert_non_null(c);
	assert_true(sender(c, "bad@example.NET"));
	assert_false(sender(c, "good@example.net"));
	assert_true(sender(c, "anybody@spam.example"));
	assert_false(sender(c, "anybody@x.spam.example"));
	assert_false(sender(c, "anybody@below.example"));
	assert_true(sender(c, "anybody@a.below.example"));
	assert_true(sender(c, "anybody@a.b.below.example"));
	assert_true(sender(c, "\"a b\"@x.example"));
	assert_true(sender(c, "x@xn--bcher-kva.example"));
	assert_true(sender(c, "x@b\303\274cher.example"));
	assert_false(sender(c, ""));
	assert_false(sender(c, "postmaster"));
	config_unref(c);
	unlink(path);
}

static void domains(void **state)
{
	struct config_error err[8];
	struct config *c;
	size_t n;

	(void)state;
	c = parse("allow-domains = [\"Good.example\", \".group.example\"]; deny-domains = []", "",
		  err, &n);
	assert_non_null(c);
	assert_true(config_listed_domain(c->policy.access.allow_domains, "good.example"));
	assert_false(config_listed_domain(c->policy.access.allow_domains, "x.good.example"));
	assert_true(config_listed_domain(c->policy.access.allow_domains, "x.y.group.example"));
	assert_false(config_listed_domain(c->policy.access.allow_domains, "group.example"));
	assert_false(config_listed_domain(c->policy.access.allow_domains, ""));
	assert_false(config_listed_domain(c->policy.access.deny_domains, "good.example"));
	assert_false(config_listed_domain(NULL, "good.example"));
	assert_int_equal(c->policy.access.deny_action, CONFIG_REJECT);
	assert_int_equal(c->policy.access.skips, CONFIG_SKIP_SCORE | CONFIG_SKIP_DNSBL |
							 CONFIG_SKIP_CHECKS | CONFIG_SKIP_GREYLIST);
	config_unref(c);
}

/* Each list of a route stands in place of the same of all; the rest is inherited. */
static void routes(void **state)
{
	struct config_error err[8];
	struct config *c;
	size_t n;

	(void)state;
	c = parse("deny-origins = [\"192.0.2.0/24\"]; allow-skips = [\"dmarc\"]; allow-domains = "
		  "[\"x.example\"]"
		  "; greylist = yes; greylist-delay = 5min; quarantine-mailbox = "
		  "\"q@sub.example.org\"",
		  "deny-origins = []; deny-senders = [\"a@x.example\"]; deny-action = discard; "
		  "greylist = no; quarantine-mailbox = \"Other@example.com\"; quarantine-route = c",
		  err, &n);
	if (!c)
		fail_msg("%s: %s", err[0].key, err[0].reason);
	assert_true(denies(&c->policy, "192.0.2.1"));
	assert_false(denies(c->route[0].policy, "192.0.2.1"));
	assert_false(sender(c, "a@x.example"));
	assert_true(
		config_listed_sender(c->route[0].policy->access.deny_senders, STR("a@x.example")));
	assert_int_equal(c->policy.access.deny_action, CONFIG_REJECT);
	assert_int_equal(c->route[0].policy->access.deny_action, CONFIG_DISCARD);
	assert_int_equal(c->route[0].policy->access.skips, CONFIG_SKIP_DMARC);
	assert_true(c->greylist && c->policy.greylist.on && !c->route[0].policy->greylist.on);
	assert_int_equal(c->policy.greylist.delay_s, 300);
	assert_int_equal(c->policy.greylist.window_s, DEFAULT_GREYLIST_WINDOW_S);
	assert_string_equal(c->policy.quarantine_mailbox, "q@sub.example.org");
	assert_ptr_equal(c->policy.quarantine_route, &c->route[1]);
	assert_string_equal(c->route[0].policy->quarantine_mailbox, "Other@example.com");
	assert_ptr_equal(c->route[0].policy->quarantine_route, &c->route[1]);
	assert_true(config_can_hold(c, &c->policy));
	assert_string_equal(c->greylist_file, "/run/postern/greylist");
	config_unref(c);
	/* Only the route has it on. */
	c = parse("", "greylist = yes", err, &n);
	assert_non_null(c);
	assert_true(c->greylist);
	config_unref(c);
	c = parse("", "", err, &n);
	assert_non_null(c);
	assert_false(c->greylist || config_can_hold(c, &c->policy));
	config_unref(c);
}

/* A line that is wrong is told with the list's own file and line. */
static void bad_files(void **state)
{
	static const struct {
		const char *key, *text, *reason;
		unsigned int line;
	} t[] = {
		{"deny-origins", "192.0.2.1\n\n192.0.2.1/8\n", "bits behind the prefix", 3},
		{"allow-origins", "mx.example.net\n", "address or address/prefix", 1},
		{"deny-senders", "a@x.example\nx.example\n", "@domain", 2},
		{"allow-domains", "#\nx..example\n", "no valid domain", 2},
		{"deny-domains", "a@x.example\n", "there is no address in it", 1},
	};
	struct config_error err[8];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char policy[64];

		write_list(t[i].text, strlen(t[i].text));
		snprintf(policy, sizeof(policy), "%s = \"%%s\"", t[i].key);
		assert_null(parse(policy, "", err, &n));
		if (n != 1 || err[0].line != t[i].line || strcmp(err[0].file, path) ||
		    !strstr(err[0].reason, t[i].reason))
			fail_msg("%s: %zu errors, %s:%u: %s", t[i].key, n, err[0].file, err[0].line,
				 err[0].reason);
		unlink(path);
	}
}

/* A hundred thousand of each: taken, found, and nobody else is. */
static void many(void **state)
{
	enum { N = 100000 };
	char *text = malloc(N * 40), name[64];
	struct config_error err[8];
	struct config *c;
	size_t at = 0, n;

	(void)state;
	assert_non_null(text);
	for (unsigned int i = 0; i < N; i++)
		at += (size_t)sprintf(text + at, "10.%u.%u.%u\n", i >> 16, i >> 8 & 255, i & 255);
	write_list(text, at);
	c = parse("deny-origins = \"%s\"", "", err, &n);
	assert_non_null(c);
	assert_int_equal(c->policy.access.deny_origins.n, N);
	assert_true(denies(&c->policy, "10.1.134.159"));
	assert_false(denies(&c->policy, "10.1.134.160"));
	config_unref(c);
	unlink(path);
	for (unsigned int i = at = 0; i < N; i++)
		at += (size_t)sprintf(text + at, "u%u@d%u.example\n", i, i % 100);
	write_list(text, at);
	c = parse("deny-senders = \"%s\"", "", err, &n);
	assert_non_null(c);
	assert_int_equal(c->policy.access.deny_senders->n, N);
	for (unsigned int i = 0; i < N; i++) {
		sprintf(name, "u%u@d%u.example", i, i % 100);
		assert_true(sender(c, name));
		sprintf(name, "u%u@d%u.example", i, i % 100 + 1);
		assert_false(sender(c, name));
	}
	config_unref(c);
	unlink(path);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files),     cmocka_unit_test(domains), cmocka_unit_test(routes),
		cmocka_unit_test(bad_files), cmocka_unit_test(many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
