/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Which recipients share what is remembered. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/deliver/memory.h"

static const uint8_t secret[16] = {1, 2, 3};

static bool same(struct str a, struct str b)
{
	struct memory_key x = memory_key(secret, "r", NULL, a), y = memory_key(secret, "r", NULL, b);
	struct memory_key p = memory_key(secret, "r", &a, STR("c@example.com"));
	struct memory_key q = memory_key(secret, "r", &b, STR("c@example.com"));

	assert_int_equal(x.lo == y.lo && x.hi == y.hi, p.lo == q.lo && p.hi == q.hi);
	return x.lo == y.lo && x.hi == y.hi;
}

static void keys(void **state)
{
	(void)state;
	assert_true(same(STR("a@Example.com"), STR("a@example.COM")));
	assert_false(same(STR("A@example.com"), STR("a@example.com")));
	assert_true(same(STR("a@b\xc3\xbc" "cher.example"), STR("a@xn--bcher-kva.example")));
	assert_true(same(STR("a@B\xc3\x9c" "CHER.example"), STR("a@XN--bcher-kva.example")));
	assert_false(same(STR("\xc3\xa4@example.com"), STR("\xc3\x84@example.com")));
	assert_false(same(STR("a@b\xfc" "cher.example"), STR("a@b\xfd" "cher.example")));
}

/* What nobody has heard is kept longer, and then given once. */
static void untold(void **state)
{
	struct memory_key k = memory_key(secret, "r", NULL, STR("a@example.com"));
	struct deliver_reply r = {.code = 450, .text = "later"}, got;
	struct memory *m = memory_new(4);

	(void)state;
	memory_put(m, k, 100, 10, 1000, &r);
	assert_true(memory_get(m, k, 1099, &got, NULL));
	assert_int_equal(got.code, 450);
	assert_false(memory_get(m, k, 1099, &got, NULL));
	memory_put(m, k, 100, 10, 1000, &r);
	assert_true(memory_get(m, k, 105, NULL, NULL)); /* within its time: any number of times */
	assert_true(memory_get(m, k, 109, NULL, NULL));
	assert_false(memory_get(m, k, 110, NULL, NULL));
	memory_put(m, k, 100, 10, 1000, &r);
	assert_false(memory_get(m, k, 1100, NULL, NULL));
	memory_put(m, k, 100, 0, 1000, &r);
	assert_true(memory_get(m, k, 100, NULL, NULL));
	assert_false(memory_get(m, k, 100, NULL, NULL));
	assert_int_equal(memory_count(m), 0);
	memory_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(keys), cmocka_unit_test(untold)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
