/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/lists/list.h"
#include "postern/limits.h"

static struct list *parse(const char *text, enum list_kind kind)
{
	struct list_error err;
	struct list *l;

	if (list_parse(str_c(text), kind, &l, &err))
		fail_msg("line %u: %s", err.line, err.reason);
	return l;
}

static void refused(const char *text, enum list_kind kind, unsigned int line)
{
	struct list_error err;
	struct list *l;

	assert_int_equal(list_parse(str_c(text), kind, &l, &err), -EINVAL);
	assert_null(l);
	assert_int_equal(err.line, line);
	assert_true(err.reason[0]);
}

static void test_domains(void **state)
{
	struct list *l = parse("# published today\n"
			       "bad.example.com\n"
			       "  .Worse.Example.NET.  # and all below\r\n"
			       "*.wild.example.org\n"
			       "0.0.0.0 hosts.example.org\n"
			       "b\xc3\xbc" "cher.example\n"
			       "bad.example.com\n"
			       "\n", LIST_DOMAIN);

	(void)state;
	assert_int_equal(list_count(l), 5);
	assert_true(list_has_domain(l, STR("BAD.example.com"), false));
	assert_true(list_has_domain(l, STR("bad.example.com."), false));
	assert_false(list_has_domain(l, STR("www.bad.example.com"), false));
	assert_true(list_has_domain(l, STR("www.bad.example.com"), true));
	assert_false(list_has_domain(l, STR("notbad.example.com"), true));
	assert_false(list_has_domain(l, STR("example.com"), true));
	assert_true(list_has_domain(l, STR("a.b.worse.example.net"), true));
	assert_true(list_has_domain(l, STR("wild.example.org"), false));
	assert_true(list_has_domain(l, STR("hosts.example.org"), false));
	assert_true(list_has_domain(l, STR("xn--bcher-kva.example"), false));
	assert_false(list_has_domain(l, STR(""), true));
	assert_false(list_has_domain(l, STR("."), true));
	list_free(l);
	refused("good.example\nno domain here\n", LIST_DOMAIN, 2);
	refused("-.example\n", LIST_DOMAIN, 1);
	refused("exa\001mple.com", LIST_DOMAIN, 1);
}

static void test_uris(void **state)
{
	struct list *l = parse("http://Example.com/Path?q#f\nexample.net\nhttps://example.org/ # x\n", LIST_URI);

	(void)state;
	assert_int_equal(list_count(l), 3);
	assert_true(list_has_uri(l, STR("https://EXAMPLE.com/Path?q#f")));
	assert_false(list_has_uri(l, STR("https://example.com/path?q#f")));
	assert_true(list_has_uri(l, STR("http://example.net/")));
	assert_false(list_has_uri(l, STR("http://example.net/x")));
	assert_true(list_has_uri(l, STR("example.org")));
	assert_false(list_has_uri(l, STR("")));
	list_free(l);
	refused("http://a b/\n", LIST_URI, 1);
	refused("example.com\n\nhttp://\n", LIST_URI, 3);
}

static void test_hashes(void **state)
{
	struct list *l = parse("000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F\n"
			       "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f  name\n",
			       LIST_SHA256);
	uint8_t h[32];

	(void)state;
	for (int i = 0; i < 32; i++)
		h[i] = (uint8_t)i;
	assert_true(list_has_sha256(l, h));
	h[0] = 0xff;
	assert_true(list_has_sha256(l, h));
	h[31] = 0;
	assert_false(list_has_sha256(l, h));
	list_free(l);
	refused("00", LIST_SHA256, 1);
	refused("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1g", LIST_SHA256, 1);
	refused("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fff", LIST_SHA256, 1);
}

/* Every entry is found and nothing else, over many. */
static void test_many(void **state)
{
	const size_t n = 300000, line = 32;
	char *text = malloc(n * line + 1), name[64];
	struct list *l;

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < n; i++)
		snprintf(text + i * line, line + 1, "host%08zu.%-18s\n", i * 7, "example.com");
	l = parse(text, LIST_DOMAIN);
	assert_int_equal(list_count(l), n);
	assert_true(list_octets(l) < n * 8 + 600000);
	for (size_t i = 0; i < n * 2; i++) {
		snprintf(name, sizeof(name), "host%08zu.example.com", i);
		assert_int_equal(list_has_domain(l, str_c(name), false), i % 7 == 0);
	}
	list_free(l);
	free(text);
}

static void test_edges(void **state)
{
	char *text = malloc(LIMIT_LIST_LINE + 3);
	struct list_error err;
	struct list *l;

	(void)state;
	l = parse("", LIST_DOMAIN);
	assert_int_equal(list_count(l), 0);
	assert_false(list_has_domain(l, STR("a.example"), true));
	list_free(l);
	memset(text, 'a', LIMIT_LIST_LINE + 1);
	text[LIMIT_LIST_LINE + 1] = '\0';
	refused(text, LIST_URI, 1);
	text[LIMIT_LIST_LINE] = '\0';
	l = parse(text, LIST_URI);
	assert_true(list_has_uri(l, str_c(text)));
	list_free(l);
	free(text);
	assert_int_equal(list_load("/nonexistent/list", LIST_URI, &l, &err), -ENOENT);
	assert_int_equal(list_load("/", LIST_URI, &l, &err), -EFBIG);
	assert_int_equal(list_load("/dev/null", LIST_URI, &l, &err), -EFBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_domains), cmocka_unit_test(test_uris), cmocka_unit_test(test_hashes),
		cmocka_unit_test(test_many), cmocka_unit_test(test_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
