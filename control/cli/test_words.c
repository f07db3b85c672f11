/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/cli/words.h"

static char why[WORDS_WHY];

static const struct {
	const char *line, *words; /* between bars */
	int rc;
	bool open;
	size_t begin;
	char quote;
} lines[] = {
	{"", "", 0, false, 0, 0},
	{"  \t ", "", 0, false, 4, 0},
	{"a", "a", 0, true, 0, 0},
	{"a ", "a", 0, false, 2, 0},
	{" a  bc", "a|bc", 0, true, 4, 0},
	{"'a b' c", "a b|c", 0, true, 6, 0},
	{"'a\\b'", "a\\b", 0, true, 0, 0},
	{"\"a\\b \\\" \\\\\"", "a\\b \" \\", 0, true, 0, 0},
	{"a\\ b", "a b", 0, true, 0, 0},
	{"a\\\\", "a\\", 0, true, 0, 0},
	{"a'b c'\"d\"", "ab cd", 0, true, 0, 0},
	{"'' \"\"", "|", 0, true, 3, 0},
	{"a #b c", "a", 0, false, 6, 0},
	{"#", "", 0, false, 1, 0},
	{"a#b", "a#b", 0, true, 0, 0},
	{"'#'", "#", 0, true, 0, 0},
	{"a 'b c", "a|b c", -EINVAL, true, 2, '\''},
	{"a \"b c", "a|b c", -EINVAL, true, 2, '"'},
	{"a \"b\\", "a|b", -EINVAL, true, 2, '\\'},
	{"a b\\", "a|b", -EINVAL, true, 2, '\\'},
	{"a\x01", NULL, -EILSEQ, false, 0, 0},
	{"a\\\x01", NULL, -EILSEQ, false, 0, 0},
	{"'\x1b[0m'", NULL, -EILSEQ, false, 0, 0},
	{"'a\nb'", NULL, -EILSEQ, false, 0, 0},
	{"gr\xc3\xbc\xc3\x9f'e'",
	 "gr\xc3\xbc\xc3\x9f"
	 "e",
	 0, true, 0, 0},
};

static void as_the_table_says(void **state)
{
	char text[256];
	struct words w;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		int rc = words_split(&w, lines[i].line, strlen(lines[i].line), why);

		if (rc != lines[i].rc)
			fail_msg("%s: %d, %s", lines[i].line, rc, why);
		assert_true(!rc == !*why);
		if (lines[i].words) {
			text[0] = '\0';
			for (size_t k = 0; k < w.n; k++)
				snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
					 k ? "|" : "", w.word[k]);
			assert_string_equal(text, lines[i].words);
			assert_null(w.word[w.n]);
			assert_int_equal(w.open, lines[i].open);
			assert_int_equal(w.begin, lines[i].begin);
			assert_int_equal(w.quote, lines[i].quote);
		}
		words_free(&w);
	}
	assert_int_equal(words_split(&w, "a\0b", 3, why), -EILSEQ);
	assert_string_equal(why, "column 2: a control character");
	words_free(&w);
}

static void too_many(void **state)
{
	static char line[2 * LIMIT_CLI_WORDS + 2];
	struct words w;

	(void)state;
	for (size_t i = 0; i < sizeof(line); i++)
		line[i] = i % 2 ? ' ' : 'a';
	assert_int_equal(words_split(&w, line, 2 * LIMIT_CLI_WORDS, why), 0);
	assert_int_equal(w.n, LIMIT_CLI_WORDS);
	words_free(&w);
	assert_int_equal(words_split(&w, line, 2 * LIMIT_CLI_WORDS + 1, why), -E2BIG);
	words_free(&w);
}

static void quoted_is_one_word(void **state)
{
	static const char *const word[] = {"a", "",   "a b", "it's",    "\"", "\\",
					   "#", "a#", "'''", "a\\'\"b", "?"};
	char text[64], small[4];
	struct words w;

	(void)state;
	for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++) {
		size_t n = words_quote(word[i], text, sizeof(text));

		assert_int_equal(n, strlen(text));
		assert_int_equal(words_split(&w, text, n, why), 0);
		assert_int_equal(w.n, 1);
		assert_string_equal(w.word[0], word[i]);
		words_free(&w);
	}
	assert_int_equal(words_quote("abc", small, sizeof(small)), 3);
	assert_int_equal(words_quote("abcd", small, sizeof(small)), 0);
	assert_int_equal(words_quote("a ", small, sizeof(small)), 0);
	assert_int_equal(words_quote("'", small, sizeof(small)), 0);
	assert_int_equal(words_quote("", small, 2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_the_table_says),
		cmocka_unit_test(too_many),
		cmocka_unit_test(quoted_is_one_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
