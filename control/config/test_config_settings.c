/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What a configuration says, and what two of them differ in. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/config/config_settings.h"

#define WHOLE                                                                                      \
	"hostname = \"mx.example.net\"\n"                                                          \
	"listener \"a\" { port = 0; address = [\"192.0.2.25/24\"] }\n"                             \
	"route \"b\" { domains = [\"example.com\"]; hosts = [\"198.51.100.1\"] }\n"

static struct config *parse(const char *text)
{
	struct config_error err[4];
	struct config *c = NULL;
	size_t n;

	if (config_parse("test.conf", text, strlen(text), 1, &c, err, 4, &n))
		fail_msg("%u: %s: %s", err[0].line, err[0].key, err[0].reason);
	return c;
}

static const char *value(const struct config_settings *s, const char *key)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->setting[i].key, key))
			return s->setting[i].value;
	return NULL;
}

static char told[4096];

static void tell(void *arg, const struct config_change *c)
{
	size_t at = strlen(told);

	(void)arg;
	snprintf(told + at, sizeof(told) - at, "%s%s: %s%s -> %s%s%s%s", at ? "\n" : "", c->key,
		 c->from ? c->from : "none", c->from_set ? "" : "*", c->to ? c->to : "none", c->to_set ? "" : "*",
		 c->restart ? " restart" : "", c->secret ? " secret" : "");
}

static const char *diff_settings(const struct config_settings *a, const struct config_settings *b)
{
	size_t n = 0, lines = 0;

	told[0] = '\0';
	n = config_settings_diff(a, b, tell, NULL);
	for (const char *p = told; *p; p++)
		lines += *p == '\n';
	assert_int_equal(n, lines + (told[0] != '\0'));
	return told;
}

static const char *diff(const char *from, const char *to)
{
	char a_text[2048], b_text[2048];
	struct config *a, *b;

	snprintf(a_text, sizeof(a_text), "%s%s", WHOLE, from);
	snprintf(b_text, sizeof(b_text), "%s%s", WHOLE, to);
	a = parse(a_text);
	b = parse(b_text);
	diff_settings(config_settings(a), config_settings(b));
	config_unref(a);
	config_unref(b);
	return told;
}

static void values(void **state)
{
	const struct config_settings *s;
	struct config *c;

	(void)state;
	c = parse(WHOLE
		  "route \"x.y\" { domains = [\"a.example\", \"b.example\"]; max-message = 10485760\n"
		  "hosts = [{ host = \"mail.example\"; weight = 2 }]; idle-timeout = 60; tls = may\n"
		  "policy { dry-run = on } }\n"
		  "relay r { addresses = [\"203.0.113.1\"]; by = [] }\n"
		  "dns { stub \"example.org\" = \"192.0.2.54\"; timeout = 1500ms }\n"
		  "limits { min-rate-mode = off }\n"
		  "texts { banner = \"a \\\"b\\\"\" }\n"
		  "rules { files = [\"/nowhere/\xc3\xa9\xff \\\"\\\\\\t*\"] }\n"
		  "chain c { key = 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef }\n");
	s = config_settings(c);
	assert_string_equal(value(s, "hostname"), "mx.example.net");
	assert_string_equal(value(s, "listener.a.port"), "0");
	assert_string_equal(value(s, "listener.a.address"), "[\"192.0.2.25/24\"]");
	assert_string_equal(value(s, "route.\"x.y\".domains"), "[\"a.example\",\"b.example\"]");
	assert_string_equal(value(s, "route.\"x.y\".hosts"), "[{\"host\":\"mail.example\",\"weight\":\"2\"}]");
	assert_string_equal(value(s, "route.\"x.y\".max-message"), "10mb");
	assert_string_equal(value(s, "route.\"x.y\".idle-timeout"), "1min");
	assert_string_equal(value(s, "route.\"x.y\".policy.dry-run"), "yes");
	assert_string_equal(value(s, "relay.r.by"), "[]");
	assert_string_equal(value(s, "dns.stub.\"example.org\""), "192.0.2.54");
	assert_string_equal(value(s, "dns.timeout"), "1500ms");
	assert_string_equal(value(s, "limits.min-rate-mode"), "off");
	assert_string_equal(value(s, "texts.banner"), "a \"b\"");
	/* JSON, whatever octets there are. */
	assert_string_equal(value(s, "rules.files"), "[\"/nowhere/\xc3\xa9\\\\xff \\\"\\\\\\u0009*\"]");
	/* SHA-256 of the key, and the key nowhere. */
	assert_int_equal(strlen(value(s, "chain.c.key")), 64);
	for (size_t i = 0; i < s->n; i++)
		assert_null(strstr(s->setting[i].value, "0123456789abcdef01"));
	for (size_t i = 0; i < s->n; i++) {
		assert_non_null(s->setting[i].info);
		assert_true(!i || strcmp(s->setting[i - 1].key, s->setting[i].key) < 0);
	}
	config_unref(c);
}

static void differences(void **state)
{
	(void)state;
	assert_string_equal(diff("", ""), "");
	/* Written otherwise, or as the default is. */
	assert_string_equal(diff("policy { tag-score = 5; greylist = no }\nlimits { data-timeout = 3min }\n",
				 "limits { data-timeout = 180s; max-message = 50mb }\n"), "");
	assert_string_equal(diff("policy { tag-score = 6 }\n", ""), "policy.tag-score: 6 -> 5*");
	assert_string_equal(diff("", "policy { tag-score = 6 }\n"), "policy.tag-score: 5* -> 6");
	assert_string_equal(diff("dns { timeout = 5s }\n", "dns { timeout = 6s; forwarders = [\"192.0.2.1\"] }\n"),
			    "dns.forwarders: none* -> [\"192.0.2.1\"] restart\n"
			    "dns.timeout: 5s -> 6s restart");
	assert_string_equal(diff("", "dns { stub \"example.org\" = \"192.0.2.54\" }\n"),
			    "dns.stub.\"example.org\": none* -> 192.0.2.54 restart");
	assert_string_equal(diff("", "quarantine { directory = /q; min-free = 1gb }\nloops = 1\n"),
			    "quarantine.directory: none* -> /q restart");
	/* A section that is not there has no defaults. */
	assert_string_equal(diff("", "route c { domains = [\"c.example\"]; hosts = [\"192.0.2.9\"]; port = 25 }\n"),
			    "route.c.domains: none* -> [\"c.example\"]\n"
			    "route.c.hosts: none* -> [\"192.0.2.9\"]\n"
			    "route.c.port: none* -> 25");
	assert_string_equal(diff("trust t { addresses = [\"192.0.2.9\"]; proxy = yes; xclient = yes }\n",
				 "trust t { addresses = [\"192.0.2.9\"]; proxy = yes }\n"),
			    "trust.t.xclient: yes -> no*");
	/* What a provider says is no default of the table. */
	assert_string_equal(diff("", "sources { sessions = 25 }\n"), "");
	assert_string_equal(
		diff("route c { domains = [\"c.example\"]; hosts = [\"192.0.2.9\"]; provider = exchange-online\n"
		     "messages-per-connection = 100 }\n",
		     "route c { domains = [\"c.example\"]; hosts = [\"192.0.2.9\"]; provider = exchange-online }\n"),
		"route.c.messages-per-connection: 100 -> none*");
	/* Nor is it for a route's own policy, which has that of all. */
	assert_string_equal(
		diff("route c { domains = [\"c.example\"]; hosts = [\"192.0.2.9\"]; policy { tag-score = 5 } }\n",
		     "route c { domains = [\"c.example\"]; hosts = [\"192.0.2.9\"]; policy { } }\n"),
		"route.c.policy.tag-score: 5 -> none*");
}

static void secrets(void **state)
{
	static const uint8_t salt[CONFIG_SALT] = {1}, other[CONFIG_SALT] = {2};
	struct config *a = parse(WHOLE "header-prefix = \"X-Hidden-One\"\n"),
		      *b = parse(WHOLE "header-prefix = \"X-Hidden-Two\"\n");
	struct config_settings *sa = config_settings_salted(config_settings(a), salt),
			       *sb = config_settings_salted(config_settings(b), salt),
			       *so = config_settings_salted(config_settings(a), other),
			       *again = config_settings_salted(config_settings(a), salt);

	(void)state;
	assert_string_equal(diff_settings(sa, again), "");
	assert_non_null(strstr(diff_settings(sa, sb), "header-prefix: "));
	assert_non_null(strstr(told, " secret"));
	assert_null(strstr(told, "Hidden"));
	/* Without the salt nothing is learned from them. */
	assert_string_not_equal(value(sa, "header-prefix"), value(so, "header-prefix"));
	assert_string_not_equal(value(sa, "header-prefix"), value(config_settings(a), "header-prefix"));
	assert_string_equal(value(sa, "hostname"), "mx.example.net");
	config_settings_unref(sa);
	config_settings_unref(sb);
	config_settings_unref(so);
	config_settings_unref(again);
	config_unref(a);
	config_unref(b);
	/* The default is not told to be what it is not. */
	assert_non_null(strstr(diff("", "header-prefix = \"X-Hidden-One\"\n"), "header-prefix: none* -> "));
}

static void in_force(void **state)
{
	struct config *first = parse(WHOLE "dns { timeout = 5s }\ntrace { file = /a }\n"),
		      *now = parse(WHOLE "dns { timeout = 6s; forwarders = [\"192.0.2.1\"] }\n"
					 "policy { tag-score = 7 }\ngreylist-file = /g\n");
	struct config_settings *start = config_settings_of_start(config_settings(first)), *s, *later;

	(void)state;
	assert_int_equal(start->n, 2);
	s = config_settings_in_force(start, config_settings(now));
	assert_string_equal(value(s, "dns.timeout"), "5s");
	assert_string_equal(value(s, "trace.file"), "/a");
	assert_string_equal(value(s, "policy.tag-score"), "7");
	assert_null(value(s, "dns.forwarders"));
	assert_null(value(s, "greylist-file"));
	config_settings_unref(s);
	/* What was opened later than at the start. */
	later = config_settings_with(start, config_settings(now), "greylist-file");
	assert_string_equal(value(later, "greylist-file"), "/g");
	assert_int_equal(later->n, 3);
	s = config_settings_with(later, config_settings(first), "greylist-file");
	assert_null(value(s, "greylist-file"));
	config_settings_unref(s);
	config_settings_unref(later);
	config_settings_unref(start);
	config_unref(first);
	config_unref(now);
}

static void from_elsewhere(void **state)
{
	const struct config_section_info *section;
	struct config_settings *s = config_settings_new(3);

	(void)state;
	assert_true(config_settings_add(s, "route.b.port", "26"));
	assert_true(config_settings_add(s, "hostname", "x"));
	assert_true(config_settings_add(s, "of.tomorrow", "1"));
	assert_false(config_settings_add(s, "loops", "1"));
	config_settings_sort(s);
	assert_string_equal(s->setting[0].key, "hostname");
	assert_null(s->setting[1].info);
	assert_string_equal(s->setting[2].info->name, "port");
	config_settings_unref(s);
	assert_string_equal(config_setting_info("route.\"a.b\".policy.tag-score", &section)->name, "tag-score");
	assert_string_equal(section->path, "route.policy");
	assert_string_equal(config_setting_info("tls.certificate.x.chain", &section)->name, "chain");
	assert_null(config_setting_info("route.b.deny", &section));
	assert_null(config_setting_info("route.b.policy.deny", &section));
	assert_null(config_setting_info("", &section));
}

/* Files that a configuration names are not looked at, but its own words are. */
static void a_file_alone(void **state)
{
	char dir[] = "/tmp/postern-settings-XXXXXX", path[64];
	struct config_settings *s = NULL;
	struct config_error err[4];
	size_t n;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/x.conf", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(WHOLE "tls { certificate x { chain = /nowhere; key = /nowhere } }\n", f);
	fclose(f);
	assert_int_equal(config_settings_load(path, &s, err, 4, &n), 0);
	assert_string_equal(value(s, "tls.certificate.x.key"), "/nowhere");
	config_settings_unref(s);
	f = fopen(path, "a");
	fputs("polcy { }\nroute { }\nspf = 5\n", f);
	fclose(f);
	assert_int_equal(config_settings_load(path, &s, err, 4, &n), -EINVAL);
	assert_null(s);
	assert_int_equal(n, 3);
	assert_string_equal(err[0].key, "route");
	assert_string_equal(err[1].reason, "unknown key; did you mean \"policy\"?");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(config_settings_load(path, &s, err, 4, &n), -ENOENT);
	assert_int_equal(n, 1);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),	  cmocka_unit_test(differences), cmocka_unit_test(secrets),
		cmocka_unit_test(in_force),	  cmocka_unit_test(from_elsewhere),
		cmocka_unit_test(a_file_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
