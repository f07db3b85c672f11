/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Whatever is said comes back when jansson reads it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/json/json_out.h"

static json_t *read_back(struct json_out *o)
{
	json_t *v;

	assert_false(o->failed);
	v = json_loadb(o->p, o->n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	assert_non_null(v);
	json_out_free(o);
	return v;
}

static void is(struct json_out *o, const char *text)
{
	assert_false(o->failed);
	assert_int_equal(o->n, strlen(text));
	assert_memory_equal(o->p, text, o->n);
	json_decref(read_back(o));
}

static void shapes(void **state)
{
	struct json_out o = {0};

	(void)state;
	json_out_open(&o, NULL);
	json_out_close(&o);
	is(&o, "{}");
	json_out_open(&o, NULL);
	json_out_array(&o, "a");
	json_out_end(&o);
	json_out_array(&o, "b");
	json_out_int(&o, NULL, 1);
	json_out_open(&o, NULL);
	json_out_bool(&o, "t", true);
	json_out_null(&o, "n");
	json_out_close(&o);
	json_out_string(&o, NULL, "{");
	json_out_string(&o, NULL, "[");
	json_out_end(&o);
	json_out_value(&o, "v", json_pack("[s, {s:i}]", "x", "y", 2));
	json_out_value(&o, "w", json_string("z"));
	json_out_members(&o, json_object());
	json_out_members(&o, json_pack("{s:b, s:n}", "m", 0, "k"));
	json_out_string_or_null(&o, "s", "");
	json_out_string_or_null(&o, "r", NULL);
	json_out_close(&o);
	is(&o, "{\"a\":[],\"b\":[1,{\"t\":true,\"n\":null},\"{\",\"[\"],\"v\":[\"x\",{\"y\":2}],\"w\":\"z\","
	       "\"m\":false,\"k\":null,\"s\":\"\",\"r\":null}");
	json_out_open(&o, NULL);
	json_out_members(&o, json_pack("{s:i}", "first", 1));
	json_out_close(&o);
	is(&o, "{\"first\":1}");
}

static void numbers(void **state)
{
	static const int64_t whole[] = {0, 1, -1, 10, INT64_MAX, INT64_MIN};
	static const double real[] = {0, 5, -0.5, 0.1, 1e300, -1e-300, 1.0 / 3, 3.5, 123456789012345678.0};

	(void)state;
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		struct json_out o = {0};
		json_t *v;

		json_out_array(&o, NULL);
		json_out_int(&o, NULL, whole[i]);
		json_out_end(&o);
		v = read_back(&o);
		assert_true(json_is_integer(json_array_get(v, 0)));
		assert_true(json_integer_value(json_array_get(v, 0)) == whole[i]);
		json_decref(v);
	}
	for (size_t i = 0; i < sizeof(real) / sizeof(real[0]); i++) {
		struct json_out o = {0};
		json_t *v;

		json_out_array(&o, NULL);
		json_out_real(&o, NULL, real[i]);
		json_out_end(&o);
		v = read_back(&o);
		assert_true(json_is_real(json_array_get(v, 0)));
		assert_true(json_real_value(json_array_get(v, 0)) == real[i]);
		json_decref(v);
	}
}

static json_t *text_back(const char *p, size_t n)
{
	struct json_out o = {0};
	json_t *v, *s;

	json_out_open(&o, NULL);
	json_out_text(&o, "t", str_make(p, n));
	json_out_close(&o);
	v = read_back(&o);
	s = json_incref(json_object_get(v, "t"));
	json_decref(v);
	assert_true(json_is_string(s));
	return s;
}

static void same(const char *p, size_t n, const char *want, size_t want_n)
{
	json_t *s = text_back(p, n);

	assert_int_equal(json_string_length(s), want_n);
	assert_memory_equal(json_string_value(s), want, want_n);
	json_decref(s);
}

static void texts(void **state)
{
	char all[127];

	(void)state;
	same("", 0, "", 0);
	same(NULL, 0, "", 0);
	for (int c = 1; c < 128; c++)
		all[c - 1] = (char)c;
	same(all, sizeof(all), all, sizeof(all)); /* every control, quote, backslash */
	same("\xc3\xbc\xe2\x82\xac\xf0\x9f\x93\xae", 9, "\xc3\xbc\xe2\x82\xac\xf0\x9f\x93\xae", 9);
	same("a\0b\n", 4, "a?b?", 4);
	same("\xff\"\\", 3, "?\"\\", 3);
	same("\xc3", 1, "?", 1);
	same("x\xed\xa0\x80y", 5, "x???y", 5); /* a surrogate */
	same("\xc0\x80", 2, "??", 2);
}

/* Any octets at all, and more of them than there was room for. */
static void hostile(void **state)
{
	uint32_t x = 12345;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		char buf[3000];
		size_t n = (size_t)round * 3 / 2;

		for (size_t i = 0; i < n; i++) {
			x = x * 1664525 + 1013904223;
			buf[i] = (char)(round % 3 ? x >> 24 : x >> 26);
		}
		json_decref(text_back(buf, n));
	}
}

static void failures(void **state)
{
	struct json_out o = {0};

	(void)state;
	json_out_open(&o, NULL);
	json_out_value(&o, "v", NULL);
	assert_true(o.failed);
	json_out_close(&o); /* and everything behind it is harmless */
	json_out_free(&o);
	json_out_members(&o, NULL);
	assert_true(o.failed);
	json_out_free(&o);
	assert_false(o.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shapes), cmocka_unit_test(numbers), cmocka_unit_test(texts),
		cmocka_unit_test(hostile), cmocka_unit_test(failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
