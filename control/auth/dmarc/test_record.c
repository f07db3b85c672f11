/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/auth/dmarc/record.h"

#define N DMARC_POLICY_NONE
#define Q DMARC_POLICY_QUARANTINE
#define R DMARC_POLICY_REJECT

static void not_a_record(void **state)
{
	static const char *const t[] = {
		"", "v=DMARC", "v=DMARC10; p=none", "v=dmarc1; p=none", "V=DMARC1; p=none",
		" v=DMARC1",
		"p=none; v=DMARC1", "v=DMARC1 p=none", "v=spf1 -all", "v", "v;DMARC1", "vv=DMARC1",
	};
	struct dmarc_record r;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (dmarc_record_parse(str_c(t[i]), &r))
			fail_msg("'%s' is taken for a record", t[i]);
}

static void policies(void **state)
{
	static const struct {
		const char *text;
		enum dmarc_policy p, sp, np;
		bool has_p;
	} t[] = {
		{"v=DMARC1;p=reject", R, R, R, true},
		{"v = DMARC1 ; P = Reject ;", R, R, R, true},
		{"v=DMARC1; p=none; sp=quarantine", N, Q, Q, true},
		{"v=DMARC1; p=none; sp=quarantine; np=reject", N, Q, R, true},
		{"v=DMARC1; p=reject; np=none", R, R, N, true},
		{"v=DMARC1; sp=none; x=y; ; p=quarantine; pct=0; rf=afrf; ri=1", Q, N, N, true},
		{"v=DMARC1; p=quarantine; p=none", Q, Q, Q, true},
		{"v=DMARC1; p=reject; sp=whatever", N, N, N, false},
		{"v=DMARC1; p=reject; np=; rua=mailto:r@b.example", N, N, N, true},
		{"v=DMARC1; p=rejected", N, N, N, false},
		{"v=DMARC1; p", N, N, N, false},
		{"v=DMARC1", N, N, N, false},
		{"v=DMARC1; rua=mailto:r@b.example", N, N, N, true},
		{"v=DMARC1; p=bad; sp=reject; rua=mailto:r@b.example", N, N, N, true},
		{"v=DMARC1; p=bad; rua=r@b.example", N, N, N, false},
		{"v=DMARC1; rua=:x, 1x:y, mail to:x, m:", N, N, N, false},
		{"v=DMARC1; rua=x , https://b.example/r", N, N, N, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct dmarc_record r;

		assert_true(dmarc_record_parse(str_c(t[i].text), &r));
		if (r.has_p != t[i].has_p)
			fail_msg("'%s': has_p %d", t[i].text, r.has_p);
		if (r.has_p && (r.p != t[i].p || r.sp != t[i].sp || r.np != t[i].np))
			fail_msg("'%s': %s %s %s", t[i].text, dmarc_policy_name(r.p),
				 dmarc_policy_name(r.sp), dmarc_policy_name(r.np));
	}
}

static void others(void **state)
{
	struct dmarc_record r;

	(void)state;
	assert_true(dmarc_record_parse(STR("v=DMARC1; p=none"), &r));
	assert_true(!r.testing && r.psd == 'u' && !r.adkim_strict && !r.aspf_strict && !r.has_sp);
	assert_string_equal(r.fo, "0");
	assert_true(dmarc_record_parse(STR("v=DMARC1;p=none;t=Y;psd=N;adkim=s;aspf=S;fo=1:d:s;"
					   "rua=mailto:a@b.example, mailto:c@d.example;"
					   "ruf=mailto:e@f.example"), &r));
	assert_true(r.testing && r.psd == 'n' && r.adkim_strict && r.aspf_strict);
	assert_string_equal(r.fo, "1:d:s");
	assert_string_equal(r.rua, "mailto:a@b.example, mailto:c@d.example");
	assert_string_equal(r.ruf, "mailto:e@f.example");
	assert_true(dmarc_record_parse(STR("v=DMARC1;p=none;t=n;psd=x;adkim=x;aspf=r;"
					   "rua=mailto:a\x80@b.example"), &r));
	assert_true(!r.testing && r.psd == 'u' && !r.adkim_strict && !r.aspf_strict && !r.rua[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(not_a_record),
		cmocka_unit_test(policies),
		cmocka_unit_test(others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
