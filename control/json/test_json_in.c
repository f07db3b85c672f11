/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The same values as jansson reads, of what is well-formed, damaged and made up; and the same refusals. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/json/json_in.h"
#include "control/json/test_json_tree.h"

static void both(const char *text, size_t n)
{
	if (!json_tree_agrees(text, n))
		fail_msg("%.*s", (int)n, text);
}

static const char *const sample[] = {
	"", " ", "null", "true", "false", "nul", "trueX", "{}", "[]", " { } ", "[ ]", "{", "[", "}", "]", "{]", "[}",
	"[1,2]", "[1 2]", "[,1]", "[1,]", "[1,,2]", "{\"a\":1}", "{\"a\":1,}", "{,\"a\":1}", "{\"a\" 1}", "{\"a\"}",
	"{a:1}", "{\"a\":}", "{\"a\":1 \"b\":2}", "{\"a\":1}{", "{\"a\":1} x", "{\"a\":1,\"a\":2}",
	"0", "-0", "-", "01", "1.", ".5", "1.5", "1e5", "1E+5", "1e-5", "1e", "1e+", "-1.25e2", "1e400", "1e-400",
	"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "+1", "0x10", "1x",
	"\"\"", "\"a", "\"a\\\"b\"", "\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\x\"", "\"\\", "\"\\u0041\\u00e4\\u20ac\"",
	"\"\\ud83d\\udce8\"", "\"\\ud83d\"", "\"\\udce8\"", "\"\\ud83d\\u0041\"", "\"\\u00\"", "\"\\u0000\"", "\"\\u00g0\"",
	"\"\\ud83d\\", "\"\xc3\xa4\"", "\"\xc3\"", "\"\xff\"", "\"\x01\"", "\"\t\"", "\"\x7f\"", "{\"\\u00e4\":[{\"b\":\"c\"}]}",
	"[[[[[[[[[[1]]]]]]]]]]", "[{\"a\":[{\"b\":[]},{}]},\"x\",1,2.5,null,true,false]",
	"{\"trace_id\":\"0123456789ABCDEF\",\"judged\":{\"score\":-1.5,\"dkim\":[{\"result\":\"pass\"}],\"matches\":[]},\"us\":12}",
};
#define SAMPLES (sizeof(sample) / sizeof(sample[0]))

static void samples(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++)
		both(sample[i], strlen(sample[i]));
	both("[1,\0 2]", 7);
}

/* Cut anywhere, one octet changed, two glued together. */
static void damaged(void **state)
{
	static const char octets[] = "{}[]\",:\\u0 19.eE+-tfn\n\t\x01\xc3\xa4z";
	uint32_t x = 7;
	char buf[512];

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		size_t n = strlen(sample[i]);

		for (size_t cut = 0; cut < n; cut++)
			both(sample[i], cut);
		for (size_t at = 0; at < n; at++)
			for (size_t o = 0; o < sizeof(octets) - 1; o++) {
				memcpy(buf, sample[i], n);
				buf[at] = octets[o];
				both(buf, n);
			}
	}
	for (int round = 0; round < 20000; round++) {
		size_t n = 0;

		while (n < 40) {
			x = x * 1664525 + 1013904223;
			buf[n++] = octets[(x >> 16) % (sizeof(octets) - 1)];
			if (x >> 28 == 0)
				break;
		}
		both(buf, n);
	}
}

static void kinds(void **state)
{
	char text[] = "{\"a\":\"x\\ty\",\"b\":[1,2],\"c\":3,\"d\":{\"e\":1},\"f\":\"z\"}";
	struct json_in in;
	struct str name, s;
	int64_t i;
	double d;
	bool whole;

	(void)state;
	json_in_init(&in, text, sizeof(text) - 1);
	assert_true(json_in_object(&in));
	assert_true(json_in_member(&in, &name) && str_eq(name, STR("a")));
	assert_true(json_in_text(&in, &s));
	assert_string_equal((const char *)s.p, "x\ty"); /* it ends in a NUL */
	assert_true(json_in_member(&in, &name) && str_eq(name, STR("b")));
	assert_false(json_in_object(&in)); /* an array is passed over */
	assert_true(json_in_member(&in, &name) && str_eq(name, STR("c")));
	assert_true(json_in_number(&in, &whole, &i, &d) && whole && i == 3);
	assert_true(json_in_member(&in, &name) && str_eq(name, STR("d")));
	assert_false(json_in_text(&in, &s));
	assert_true(json_in_member(&in, &name) && str_eq(name, STR("f")));
	assert_false(json_in_number(&in, &whole, &i, &d));
	assert_false(json_in_member(&in, &name));
	assert_true(json_in_done(&in));
}

/* As deep as it may be, and one deeper. */
static void depth(void **state)
{
	char text[2 * (JSON_IN_DEPTH + 2)];

	(void)state;
	for (unsigned int k = JSON_IN_DEPTH; k <= JSON_IN_DEPTH + 1; k++) {
		struct json_in in;

		memset(text, '[', k);
		memset(text + k, ']', k);
		json_in_init(&in, text, 2 * (size_t)k);
		json_in_skip(&in);
		assert_int_equal(json_in_done(&in), k == JSON_IN_DEPTH);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples), cmocka_unit_test(damaged), cmocka_unit_test(kinds), cmocka_unit_test(depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
