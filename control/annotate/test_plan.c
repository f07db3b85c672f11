/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What h= means for what may be added and what is void, and which fields are strangers'. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/annotate/conflicts.h"
#include "control/annotate/lines.h"

static const char mail[] =
	"ARC-Seal: 2\r\nARC-Message-Signature: 2\r\nARC-Authentication-Results: 2\r\n"
	"ARC-Seal: 1\r\nARC-Message-Signature: 1\r\nARC-Authentication-Results: 1\r\n"
	"DKIM-Signature: x\r\nReceived-SPF: one\r\nFrom: a\r\nReceived-SPF: two\r\n\r\n";
enum { SEAL_2, AMS_2, AAR_2, SEAL_1, AMS_1, AAR_1, DKIM, SPF_1, FROM, SPF_2, FIELDS };

static struct headers headers_of(const char *text, struct iovec *iov)
{
	struct mail_bytes c = {iov, 1, strlen(text)};
	struct headers h;

	*iov = (struct iovec){(void *)(uintptr_t)text, strlen(text)};
	assert_int_equal(headers_parse(&h, &c), 0);
	return h;
}

static void planner(void **state)
{
	static const struct {
		const char *names[4];
		enum dkim_result result;
		uint8_t drop_one;
		bool may;
	} t[] = {
		{{"from"}, DKIM_PASS, DROP_NO, true},
		{{"from", "received-spf", "received-spf"}, DKIM_PASS, DROP_NO, true},
		{{"from", "received-spf", "received-spf", "RECEIVED-SPF"},
		 DKIM_PASS,
		 DROP_NO,
		 false},
		/* the key may be there at the next hop; l= may be taken there */
		{{"from", "received-spf", "received-spf", "received-spf"},
		 DKIM_TEMPERROR,
		 DROP_NO,
		 false},
		{{"from", "received-spf", "received-spf", "received-spf"},
		 DKIM_POLICY,
		 DROP_NO,
		 false},
		/* no signature can be lost that is none */
		{{"from", "received-spf", "received-spf", "received-spf"},
		 DKIM_FAIL,
		 DROP_NO,
		 true},
		{{"from", "received-spf", "received-spf", "received-spf"},
		 DKIM_PERMERROR,
		 DROP_NO,
		 true},
		/* one of two is gone: one more would be signed */
		{{"from", "received-spf", "received-spf"}, DKIM_PASS, DROP_FORGED, false},
		{{"from", "received-spf"}, DKIM_PASS, DROP_FORGED, true},
	};
	struct iovec iov;
	struct headers h = headers_of(mail, &iov);
	struct annotate_signatures nobody = {NULL, NULL};

	(void)state;
	assert_int_equal(h.n, FIELDS);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct str names[4];
		struct dkim_signature sig = {
			.result = t[i].result, .field = DKIM, .signed_names = names};
		struct dkim_results dkim = {&sig, 1};
		struct arc_set set = {.message = sig};
		struct arc_results arc = {.set = &set, .n = 1};
		struct annotate_signatures by_dkim = {&dkim, NULL}, by_arc = {NULL, &arc};
		uint8_t drop[FIELDS] = {[SPF_2] = t[i].drop_one};
		size_t n;

		for (n = 0; n < 4 && t[i].names[n]; n++)
			names[n] = str_c(t[i].names[n]);
		sig.n_signed = set.message.n_signed = n;
		if (annotate_may_add(&h, drop, &by_dkim, STR("Received-SPF")) != t[i].may ||
		    annotate_may_add(&h, drop, &by_arc, STR("Received-SPF")) != t[i].may)
			fail_msg("case %zu", i);
		assert_true(annotate_may_add(&h, drop, &nobody, STR("Received-SPF")));
		assert_true(annotate_may_add(&h, drop, &by_dkim, STR("X-Other")));
	}
	headers_free(&h);
}

static void arc_voids(void **state)
{
	static const struct {
		size_t drop;
		uint8_t why;
		unsigned int seals, ams; /* void */
	} t[] = {
		{FROM, DROP_NO, 0, 0},       {AAR_2, DROP_FORGED, 1, 0},
		{AAR_1, DROP_FORGED, 2, 0},  {AMS_1, DROP_FOREIGN, 2, 1},
		{SEAL_2, DROP_FORGED, 1, 0}, {FROM, DROP_FORGED, 0, 2},
		{SPF_1, DROP_FORGED, 0, 0},
	};
	static char block[] = "X-A: b\r\n";
	struct str from = STR("from");
	struct dkim_signature pass = {.result = DKIM_PASS, .signed_names = &from, .n_signed = 1};
	struct arc_set set[2] = {{.aar = AAR_1, .ams = AMS_1, .seal = SEAL_1},
				 {.aar = AAR_2, .ams = AMS_2, .seal = SEAL_2}};
	struct arc_results arc = {.set = set, .n = 2};
	struct annotate_signatures sigs = {NULL, &arc};
	struct annotate_output out = {.block = block, .block_len = sizeof(block) - 1};
	struct annotate_conflicts res;
	struct iovec iov;
	struct headers h = headers_of(mail, &iov);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		set[i].message = set[i].sealed = pass;
		set[i].message.field = set[i].ams;
		set[i].sealed.field = set[i].seal;
	}
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint8_t drop[FIELDS] = {0};
		unsigned int n = t[i].seals + t[i].ams;

		drop[t[i].drop] = t[i].why;
		annotate_conflicts(&out, &h, drop, &sigs, &res);
		if (res.broken || res.oversigned_trace ||
		    res.forged_own_header != (t[i].why == DROP_FORGED ? n : 0) ||
		    res.foreign_trust != (t[i].why == DROP_FOREIGN ? n : 0))
			fail_msg("case %zu: %u forged, %u foreign, %u broken", i,
				 res.forged_own_header, res.foreign_trust, res.broken);
	}
	/* A block that does not read as fields is nobody's message. */
	out.block = (char[]){" folded\r\n"};
	out.block_len = 9;
	annotate_conflicts(&out, &h, (uint8_t[FIELDS]){0}, &sigs, &res);
	assert_int_equal(res.broken, 4);
	headers_free(&h);
}

static void strangers(void **state)
{
	static const char m[] =
		"X-MS-Exchange-Organization-SCL: -1\r\nx-forefront-a : 1\r\n"
		"X-MS-Exchange-CrossTenant-Id: 1\r\nX-A: b\r\n X-Forefront-A: 1\r\n"
		"X-B: c\rX-Forefront-A: 1\r\nX-B: c\r\n x\rX-MS-Exchange-CrossPremises-A\r\n"
		"X-Acme-T: 1\r\nX-Acme: 1\r\n\x01\xc2\xa0X-Forefront-A: 1\r\nX-Forefront: "
		"1\r\n\r\n";
	static const char *const want[] = {"X-MS-Exchange-Organization-SCL",
					   "x-forefront-a",
					   "",
					   "",
					   "X-Forefront-A",
					   "X-MS-Exchange-CrossPremises-A",
					   "X-Acme-T",
					   "",
					   "X-Forefront-A",
					   ""};
	const struct str more[] = {STR("X-Acme-"), STR_NONE};
	struct iovec iov;
	struct headers h = headers_of(m, &iov);
	struct str found[16];

	(void)state;
	assert_int_equal(h.n, sizeof(want) / sizeof(want[0]));
	assert_int_equal(annotate_find_foreign(&h, more, 2, found), 6);
	for (size_t i = 0; i < h.n; i++)
		assert_true(str_eq(found[i], str_c(want[i])));
	assert_int_equal(annotate_find_foreign(&h, NULL, 0, found), 5);
	headers_free(&h);
}

/* A field of line ends alone, as long as it may be: read in one go. */
static void many_lines(void **state)
{
	static char m[65536 + 64];
	struct iovec iov;
	struct headers h;
	const struct str prefix = STR("X-Postern");
	const struct annotate_own own = {STR("mx.example.net"), &prefix, 1};
	struct str found[2];
	uint8_t drop[2];

	(void)state;
	for (int odd = 0; odd < 3; odd++) {
		memset(m, "\r\x01\xff"[odd], sizeof(m) - 1);
		memcpy(m, "A: b\r", 5);
		strcpy(m + 65536, "\rX-Postern-A: b\r\n\r\n");
		h = headers_of(m, &iov);
		assert_int_equal(h.n, 1);
		assert_int_equal(annotate_mark_forged(&h, &own, drop), 1);
		assert_int_equal(annotate_find_foreign(&h, &prefix, 1, found), 1);
		assert_true(str_eq(found[0], STR("X-Postern-A")));
		headers_free(&h);
	}
}

static void names_of_lines(void **state)
{
	(void)state;
	assert_true(str_eq(line_name(STR("A: b")), STR("A")));
	assert_true(str_eq(line_name(STR("\t\xef\xbb\xbf A\x7f\xa0 \t: b")), STR("A")));
	assert_true(str_eq(line_name(STR("A b\r\n")), STR("A b")));
	assert_int_equal(line_name(STR(" \t:")).n, 0);
	assert_int_equal(line_name(STR_NONE).n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(planner),        cmocka_unit_test(arc_voids),
		cmocka_unit_test(strangers),      cmocka_unit_test(many_lines),
		cmocka_unit_test(names_of_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
