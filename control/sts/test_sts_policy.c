/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/sts/sts_policy.h"
#include "postern/limits.h"

#define GOOD "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\n" \
	"mx: backupmx.example.com\r\nmax_age: 604800\r\n"

static struct sts_policy *parse(const char *text)
{
	const char *why;
	struct sts_policy *p = sts_policy_parse(str_c(text), &why);

	if (!p)
		fail_msg("%s", why);
	return p;
}

static void good(void **state)
{
	struct sts_policy *p = parse(GOOD);

	(void)state;
	assert_int_equal(p->mode, STS_ENFORCE);
	assert_int_equal(p->max_age, 604800);
	assert_int_equal(p->n_mx, 3);
	sts_policy_unref(p);
	/* LF, any order, what is not known, what stands twice, no line end at the end. */
	p = parse("max_age:10\nmx:Mail.Example.com \nx-note: a:b\nmode: testing\nversion:STSv1\n"
		  "mode: enforce\nmax_age: 99\nversion: STSv2");
	assert_int_equal(p->mode, STS_TESTING);
	assert_int_equal(p->max_age, 10);
	assert_string_equal(p->mx, "mail.example.com");
	sts_policy_unref(p);
	p = parse("version: STSv1\nmode: none\nmax_age: 4294967296\n");
	assert_int_equal(p->mode, STS_NONE);
	assert_int_equal(p->max_age, LIMIT_STS_MAX_AGE_S);
	assert_int_equal(p->n_mx, 0);
	sts_policy_unref(p);
}

static void bad(void **state)
{
	static const struct {
		const char *text, *why;
	} t[] = {
		{"", "no version"},
		{"<html>\n", "without key"},
		{"version: STSv2\nmode: none\nmax_age: 1\n", "version"},
		{"Version: STSv1\nmode: none\nmax_age: 1\n", "no version"},
		{"version: STSv1\nmax_age: 1\nmx: a.example\n", "no mode"},
		{"version: STSv1\nmode: Enforce\nmax_age: 1\nmx: a.example\n", "mode"},
		{"version: STSv1\nmode: enforce\nmx: a.example\n", "no max_age"},
		{"version: STSv1\nmode: enforce\nmx: a.example\nmax_age: -1\n", "max_age"},
		{"version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 1d\n", "max_age"},
		{"version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 12345678901\n", "max_age"},
		{"version: STSv1\nmode: enforce\nmx: a.example\nmax_age:\n", "max_age"},
		{"version: STSv1\nmode: enforce\nmax_age: 1\n", "no mx"},
		{"version: STSv1\nmode: enforce\nmx: *\nmax_age: 1\n", "pattern"},
		{"version: STSv1\nmode: enforce\nmx: *.*.example\nmax_age: 1\n", "pattern"},
		{"version: STSv1\nmode: enforce\nmx: a*.example\nmax_age: 1\n", "pattern"},
		{"version: STSv1\nmode: enforce\nmx: com\nmax_age: 1\n", "pattern"},
		{"version: STSv1\nmode: enforce\nmx: a..example\nmax_age: 1\n", "pattern"},
		{"version: STSv1\nmode: enforce\nmx: a.example.\nmax_age: 1\n", "pattern"},
		{"version: STSv1\nmode: enforce\nmx:\nmax_age: 1\n", "pattern"},
		{"version: STSv1\nmode: enforce\nmx: a example\nmax_age: 1\n", "pattern"},
	};
	char *large = malloc(LIMIT_STS_POLICY + 2), many[(LIMIT_STS_MX + 1) * 16 + 1] = "";
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_null(sts_policy_parse(str_c(t[i].text), &why));
		if (!strstr(why, t[i].why))
			fail_msg("%zu: %s", i, why);
	}
	for (size_t i = 0; i <= LIMIT_STS_MX; i++)
		strcat(many, "mx: a.example\n");
	assert_null(sts_policy_parse(str_c(many), &why));
	assert_non_null(strstr(why, "too many"));
	memset(large, '\n', LIMIT_STS_POLICY + 1);
	assert_null(sts_policy_parse(str_make(large, LIMIT_STS_POLICY + 1), &why));
	assert_non_null(strstr(why, "larger"));
	free(large);
	/* NUL does not hide what stands behind it. */
	assert_null(sts_policy_parse(str_make("version: STSv1\0x\nmode: none\nmax_age: 1", 39), &why));
}

/* RFC 8461 4.1 */
static void matching(void **state)
{
	struct sts_policy *p = parse(GOOD);

	(void)state;
	assert_true(sts_policy_allows(p, STR("mail.example.com")));
	assert_true(sts_policy_allows(p, STR("MAIL.example.com.")));
	assert_true(sts_policy_allows(p, STR("mx1.example.net")));
	assert_false(sts_policy_allows(p, STR("example.net")));
	assert_false(sts_policy_allows(p, STR("a.mx1.example.net")));
	assert_false(sts_policy_allows(p, STR(".example.net")));
	assert_false(sts_policy_allows(p, STR("mx1.example.com")));
	assert_false(sts_policy_allows(p, STR("mail.example.com.evil.example")));
	assert_false(sts_policy_allows(p, STR("xmail.example.com")));
	assert_false(sts_policy_allows(p, STR("")));
	sts_policy_unref(p);
}

static bool record(char id[STS_ID], const char *a, const char *b)
{
	uint8_t data[2][256];
	struct dns_rr rr[2];
	const char *text[] = {a, b};
	size_t n = 0;

	for (; n < 2 && text[n]; n++) {
		data[n][0] = (uint8_t)strlen(text[n]);
		memcpy(data[n] + 1, text[n], strlen(text[n]));
		rr[n] = (struct dns_rr){data[n], strlen(text[n]) + 1};
	}
	return sts_record_id(rr, n, id);
}

static void records(void **state)
{
	char id[STS_ID];

	(void)state;
	assert_true(record(id, "v=STSv1; id=20160831085700Z;", NULL));
	assert_string_equal(id, "20160831085700Z");
	assert_true(record(id, "v=STSv1;id=1", "v=spf1 -all"));
	assert_string_equal(id, "1");
	assert_true(record(id, "v=STSv1 ; x=y ;\tid=abc ; z=1", NULL));
	assert_string_equal(id, "abc");
	assert_true(record(id, "v=STSv1; id=12345678901234567890123456789012", NULL));
	assert_false(record(id, "v=STSv1; id=123456789012345678901234567890123", NULL));
	assert_false(record(id, "v=STSv1; id=a-b", NULL));
	assert_false(record(id, "v=STSv1; id=", NULL));
	assert_false(record(id, "v=STSv1;", NULL));
	assert_false(record(id, "v=STSv2; id=1", NULL));
	assert_false(record(id, "v=STSv1; id=1", "v=STSv1; id=2"));
	assert_false(record(id, "v=STSv1; id=1; id=2", NULL));
	assert_false(record(id, "V=STSv1; id=1", NULL));
	assert_false(record(id, " x", NULL));
	assert_false(record(id, NULL, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(bad),
		cmocka_unit_test(matching),
		cmocka_unit_test(records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
