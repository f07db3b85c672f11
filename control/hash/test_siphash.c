/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Against the published vectors of SipHash-2-4-128: key 00 01 .. 0f, input 00 01 .. of that length. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "control/hash/siphash.h"

static void test_vectors(void **state)
{
	static const struct { size_t n; uint64_t lo, hi; } v[] = {
		{0, 0xe6a825ba047f81a3ull, 0x930255c71472f66dull},
		{1, 0x44af996bd8c187daull, 0x45fc229b11597634ull},
	};
	uint8_t key[16], in[64];

	(void)state;
	for (uint8_t i = 0; i < 64; i++)
		in[i] = i;
	memcpy(key, in, sizeof(key));
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct siphash128 h = siphash128(key, in, v[i].n);

		assert_true(h.lo == v[i].lo && h.hi == v[i].hi);
	}
	/* Every length has its own value, over the end of whole words too. */
	for (size_t n = 1; n < sizeof(in); n++)
		assert_true(siphash128(key, in, n).lo != siphash128(key, in, n - 1).lo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
