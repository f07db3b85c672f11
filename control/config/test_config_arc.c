/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The arc section and the routes that seal, with keys that are made here. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/auth/arc/arc.h"
#include "control/config/config.h"

#define HEAD                                                                                       \
	"hostname = mx.example.net\n"                                                              \
	"listener a { port = 1; address = [\"192.0.2.25/24\"] }\n"
#define ROUTE(more)                                                                                \
	"route b { domains = [\"example.com\"], hosts = [\"198.51.100.1\"]; " more " }\n"
/* Of Ed25519, 48 octets of DER. */
#define INLINE                                                                                     \
	"pem = [\"-----BEGIN PRIVATE KEY-----\", "                                                 \
	"\"MC4CAQAwBQYDK2VwBCIEIAQFBgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\", "                   \
	"\"-----END PRIVATE KEY-----\"]"
#define KEY(name, domain, selector, more)                                                          \
	"key " name " { domain = \"" domain "\"; selector = \"" selector "\"; " INLINE "; " more   \
	" }\n"

static char dir[64];

static const char *write_file(const char *name, const char *text, mode_t mode)
{
	static char p[128];
	FILE *f;

	snprintf(p, sizeof(p), "%s/%s", dir, name);
	unlink(p);
	f = fopen(p, "w");
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(p, mode), 0);
	return p;
}

static void write_key(const char *name, unsigned int bits, mode_t mode)
{
	struct arc_key *k = arc_key_generate(bits);
	char pem[ARC_KEY_PEM];

	assert_non_null(k);
	assert_true(arc_key_pem(k, pem, sizeof(pem)) > 0);
	write_file(name, pem, mode);
	arc_key_free(k);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/postern-arc-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	write_key("rsa", 2048, 0640);
	write_key("small", 1024, 0600);
	write_key("open", 0, 0644);
	write_key("shared", 0, 0660);
	write_file("junk", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0600);
	write_file("empty", "", 0600);
	return 0;
}

static int teardown(void **state)
{
	static const char *const name[] = {"rsa",  "small", "open", "shared",
					   "junk", "empty", "conf"};
	char p[128];

	(void)state;
	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		snprintf(p, sizeof(p), "%s/%s", dir, name[i]);
		unlink(p);
	}
	return rmdir(dir);
}

static int load(const char *text, struct config **c, struct config_error *err)
{
	size_t n;

	memset(err, 0, sizeof(*err));
	return config_parse("test.conf", text, strlen(text), 7, c, err, 1, &n);
}

static struct config *good(const char *text)
{
	struct config_error err;
	struct config *c = NULL;

	if (load(text, &c, &err))
		fail_msg("%u: %s: %s", err.line, err.key, err.reason);
	return c;
}

static const char *signer(const struct config *c, size_t route, int64_t now)
{
	const struct config_arc_key *k = config_arc_key_at(&c->route[route], now);

	return k ? k->name : "";
}

static void rotation(void **state)
{
	/* The routes stand in front of the keys that they name. */
	struct config *c = good(HEAD ROUTE(
		"arc-seal = always; arc-domain = \"Example.net\"") "route n { domains = "
								   "[\"example.org\"]; hosts = "
								   "[\"198.51.100.1\"]; arc-seal = "
								   "never; "
								   "arc-keys = [\"other\"] }\n"
								   "arc { " KEY("old",
										"example.net", "S1",
										"active-until = "
										"\"2026-06-30\"")
									   KEY("new", "example.net",
									       "s2",
									       "active-from = "
									       "\"2026-06-01\"; "
									       "active-until = "
									       "\"2027-01-31\"")
										   KEY("other",
										       "example."
										       "org",
										       "s1",
										       "") "}");

	(void)state;
	assert_int_equal(c->route[0].arc_seal, ARC_SEAL_ALWAYS);
	assert_int_equal(c->route[0].n_arc_keys, 2);
	assert_string_equal(c->arc.key[0].selector, "s1");
	assert_true(arc_key_is_ed25519(c->arc.key[0].key));
	assert_string_equal(signer(c, 0, 0), "old");
	assert_string_equal(signer(c, 0, 1780271999), "old"); /* 2026-05-31 23:59:59 */
	assert_string_equal(signer(c, 0, 1780272000), "new"); /* the newer one of two */
	assert_string_equal(signer(c, 0, 1801439999), "new"); /* 2027-01-31 23:59:59 */
	assert_string_equal(signer(c, 0, 1801440000), "");
	assert_int_equal(c->route[1].arc_seal, ARC_SEAL_NEVER);
	assert_true(config_arc_is_ours(c, "EXAMPLE.net", "s2"));
	assert_true(config_arc_is_ours(c, "example.org", "S1"));
	assert_false(config_arc_is_ours(c, "example.org", "s2"));
	assert_false(config_arc_is_ours(c, "", ""));
	config_unref(c);
}

static void defaults(void **state)
{
	char text[2000];
	struct config *c = good(HEAD ROUTE(""));

	(void)state;
	assert_int_equal(c->route[0].arc_seal, ARC_SEAL_NEVER);
	assert_int_equal(c->route[0].n_arc_keys + c->arc.n_keys, 0);
	config_unref(c);
	/* Keys of one domain need not be chosen. What is past already is no error. */
	snprintf(text, sizeof(text),
		 HEAD ROUTE("arc-seal = modified") "arc { key a { domain = \"example.net\"; "
						   "selector = \"a.b\"; file = \"%s/rsa\"; "
						   "active-until = \"2001-01-01\" } }",
		 dir);
	c = good(text);
	assert_int_equal(arc_key_bits(c->arc.key[0].key), 2048);
	assert_int_equal(c->route[0].n_arc_keys, 1);
	assert_string_equal(signer(c, 0, 1800000000), "");
	config_unref(c);
}

static void bad(void **state)
{
#define ONE KEY("a", "example.net", "s", "")
#define FILE_KEY(file)                                                                             \
	"arc { key a { domain = \"example.net\"; selector = s; file = \"%s/" file "\" } }"
	static const struct {
		const char *text, *at, *reason;
		unsigned int line;
	} t[] =
		{
			{ROUTE("") FILE_KEY("none"), "arc.key.a.file", "No such file", 4},
			{ROUTE("") FILE_KEY("junk"), "arc.key.a.file",
			 "no unencrypted PEM private key", 4},
			{ROUTE("") FILE_KEY("empty"), "arc.key.a.file", "empty", 4},
			{ROUTE("") FILE_KEY("small"), "arc.key.a.file",
			 "RSA key of 1024 bits: at least 2048", 4},
			{ROUTE("") FILE_KEY("open"), "arc.key.a.file",
			 "others may read or write it", 4},
			{ROUTE("") FILE_KEY("shared"), "arc.key.a.file",
			 "others may read or write it", 4},
			{ROUTE("") "arc { key a { domain = \"example.net\"; selector = s; pem = "
				   "[\"x\"] } }",
			 "arc.key.a.pem", "no unencrypted PEM", 4},
			{ROUTE("") "arc { key a { domain = \"example.net\"; selector = s; pem = "
				   "\"x\" } }",
			 "arc.key.a.pem", "array", 4},
			{ROUTE("") "arc { key a { domain = \"example.net\"; selector = s } }",
			 "arc.key.a.file", "missing", 4},
			{ROUTE("") "arc { " KEY("a", "example.net", "s", "file = \"/x\"") "}",
			 "arc.key.a.file", "No such file", 4},
			{ROUTE("") "arc { key a { selector = s; " INLINE " } }", "arc.key.a.domain",
			 "missing", 4},
			{ROUTE("") "arc { key a { domain = \"example.net\"; " INLINE " } }",
			 "arc.key.a.selector", "missing", 4},
			{ROUTE("") "arc { " KEY("a", "gr\xc3\xbcn.example", "s", "") "}",
			 "arc.key.a.domain", "A-labels: write \"xn--grn-ioa.example\"", 4},
			{ROUTE("") "arc { " KEY("a", "example", "s", "") "}", "arc.key.a.domain",
			 "fully", 4},
			{ROUTE("") "arc { " KEY("a", "example.net", "s_1", "") "}",
			 "arc.key.a.selector", "no selector", 4},
			{ROUTE("") "arc { " KEY("a", "example.net", "s",
						"active-from = \"2026-02-29\"") "}",
			 "arc.key.a.active-from", "no day 2026-02-29", 4},
			{ROUTE("") "arc { " KEY("a", "example.net", "s",
						"active-from = \"2026-1-1\"") "}",
			 "arc.key.a.active-from", "YYYY-MM-DD", 4},
			{ROUTE("") "arc { " KEY("a", "example.net", "s",
						"active-until = \"2026-01-01T00\"") "}",
			 "arc.key.a.active-until", "YYYY-MM-DD", 4},
			{ROUTE("") "arc { " KEY("a", "example.net", "s",
						"active-from = \"2026-02-02\"; "
						"active-until = \"2026-02-01\"") "}",
			 "arc.key.a.active-until", "never sign", 4},
			{ROUTE("") "arc { " ONE KEY("b", "example.net", "S", "") "}",
			 "arc.key.b.selector", "that of key \"a\"", 5},
			{ROUTE("") "arc { }", "arc.key", "missing", 4},
			{ROUTE("") "arc { keys = 1 }", "arc.keys", "did you mean \"key\"", 4},
			{ROUTE("arc-seal = always"), "route.b.arc-seal", "there is no arc key", 3},
			{ROUTE("arc-seal = sometimes"), "route.b.arc-seal", "never", 3},
			{ROUTE("arc-seal = always; arc-domain = \"example.org\"") "arc { " ONE "}",
			 "route.b.arc-domain", "no arc key of example.org", 3},
			{ROUTE("arc-seal = always; arc-keys = [\"b\"]") "arc { " ONE "}",
			 "route.b.arc-keys", "no arc key \"b\"", 3},
			{ROUTE("arc-seal = always; arc-keys = [\"a\", \"a\"]") "arc { " ONE "}",
			 "route.b.arc-keys", "twice", 3},
			{ROUTE("arc-seal = always; arc-keys = [\"a\"]; arc-domain = "
			       "\"example.net\"") "arc { " ONE "}",
			 "route.b.arc-keys", "chooses keys already", 3},
			{ROUTE("arc-domain = \"example.net\"") "arc { " ONE "}",
			 "route.b.arc-domain", "without arc-seal", 3},
			{ROUTE("arc-seal = always") "arc { " ONE KEY("b", "example.org", "s",
								     "") "}",
			 "route.b.arc-domain", "keys of example.net and of example.org", 3},
			{ROUTE("arc-seal = always") "arc { " ONE KEY("b", "example.net", "t",
								     "") "}",
			 "route.b.arc-seal", "neither is the newer", 3},
			{ROUTE("arc-seal = always") "arc { " KEY("a", "example.net", "s",
								 "active-until = \"2026-01-31\"")
				 KEY("b", "example.net", "t", "active-from = \"2026-02-02\"") "}",
			 "route.b.arc-seal",
			 "no key is active between the end of \"a\" and the beginning of \"b\"", 3},
		};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char text[3000], form[3000];
		struct config_error err;
		struct config *c = NULL;

		snprintf(form, sizeof(form), HEAD "%s", t[i].text);
		snprintf(text, sizeof(text), form, dir);
		assert_true(load(text, &c, &err) < 0);
		if (strcmp(err.key, t[i].at) || !strstr(err.reason, t[i].reason) ||
		    err.line != t[i].line)
			fail_msg("case %zu: %u: %s: %s", i, err.line, err.key, err.reason);
		/* Nothing of a key is ever told. */
		assert_null(strstr(err.reason, "MC4C"));
	}
}

/* One selector with another key later; days that follow each other. */
static void reuse(void **state)
{
	struct config *c =
		good(HEAD ROUTE("arc-seal = always") "arc { " KEY("a", "example.net", "s",
								  "active-until = \"2026-01-31\"")
			     KEY("b", "example.net", "s", "active-from = \"2026-02-01\"") "}");

	(void)state;
	assert_string_equal(signer(c, 0, 1769903999), "a");
	assert_string_equal(signer(c, 0, 1769904000), "b");
	config_unref(c);
}

static int load_file(const char *path, struct config **c, struct config_error *err)
{
	size_t n;

	memset(err, 0, sizeof(*err));
	return config_load(path, 1, c, err, 1, &n);
}

/* A key may stand in the file if nobody else reads it; what is renewed is taken by the next load.
 */
static void files(void **state)
{
	char text[2000], before[ARC_KEY_RECORD], after[ARC_KEY_RECORD];
	struct config_error err;
	struct config *c = NULL;
	const char *conf = write_file(
		"conf",
		HEAD ROUTE("arc-seal = always") "arc { " KEY("a", "example.net", "s", "") "}",
		0640);

	(void)state;
	assert_int_equal(load_file(conf, &c, &err), 0);
	config_unref(c);
	assert_int_equal(chmod(conf, 0644), 0);
	assert_true(load_file(conf, &c, &err) < 0);
	assert_string_equal(err.key, "arc.key.a.pem");
	assert_non_null(strstr(err.reason, "others may read or write this file"));

	snprintf(text, sizeof(text),
		 HEAD ROUTE("arc-seal = always") "arc { key a { domain = \"example.net\"; selector "
						 "= s; file = \"%s/rsa\" } }",
		 dir);
	conf = write_file("conf", text, 0644);
	assert_int_equal(load_file(conf, &c, &err), 0);
	assert_true(arc_key_record(c->arc.key[0].key, before, sizeof(before)) > 0);
	config_unref(c);
	write_key("rsa", 2048, 0600);
	snprintf(text, sizeof(text), "%s/conf", dir);
	assert_int_equal(load_file(text, &c, &err), 0);
	assert_true(arc_key_record(c->arc.key[0].key, after, sizeof(after)) > 0);
	assert_string_not_equal(before, after);
	config_unref(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rotation), cmocka_unit_test(defaults), cmocka_unit_test(bad),
		cmocka_unit_test(reuse),    cmocka_unit_test(files),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
