/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Sequences that some server or other takes for the end of data. Behind each stands a second
 * message; it must stay content of the first, or go down with it. In BDAT they are content like any
 * other, in one chunk and over two. The sequences are public data beside the checkout; without it
 * the test is skipped.
 */

#include "dataplane/smtp/smtp_script.h"

#include <jansson.h>

#define SKIP 77

static json_t *lookalikes;

static const char before[] = "EHLO c.example.org\r\nMAIL FROM:<a@example.org>\r\n"
			     "RCPT TO:<b@example.com>\r\nDATA\r\nSubject: 1\r\n\r\nfirst";
static const char behind[] = "MAIL FROM:<evil@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"
			     "Subject: 2\r\n\r\nsecond\r\n.\r\nQUIT\r\n";

static unsigned int occurrences(const char *p, size_t n, const char *what)
{
	unsigned int count = 0;

	for (size_t i = 0; i + strlen(what) <= n; i++)
		count += memcmp(p + i, what, strlen(what)) == 0;
	return count;
}

/* nul: the sequence has a NUL in it, which is content and only marked; all others are refused. */
static void judge(size_t which, bool nul)
{
	bool refused = occurrences(f->out, f->out_n, "\r\n554 5.6.0 ") == 1;

	assert_int_equal(refused, !nul);
	if (f->txns != 1 || f->messages + refused != 1)
		fail_msg("look-alike %zu: %u transactions, %u messages", which, f->txns,
			 f->messages);
	assert_int_equal(occurrences(f->out, f->out_n, "\r\n354 "), 1);
	assert_int_equal(occurrences(f->out, f->out_n, "\r\n221 "), 1);
	assert_int_equal(f->counters[CNT_smtp_lookalike], 1);
	assert_true(f->closed);
	if (f->messages) {
		const char *c = (const char *)f->content;

		/* Accepted whole: the second is within. */
		assert_int_equal(occurrences(c, f->content_n, "evil"), 1);
		assert_int_equal(occurrences(c, f->content_n, "\r\nsecond\r\n"), 1);
	}
}

static size_t build(char *out, size_t max, const char *seq, size_t n)
{
	size_t a = sizeof(before) - 1, b = sizeof(behind) - 1;

	assert_true(a + n + b <= max);
	memcpy(out, before, a);
	memcpy(out + a, seq, n);
	memcpy(out + a + n, behind, b);
	return a + n + b;
}

static void test_lookalikes(void **state)
{
	size_t i;
	json_t *v;
	char in[1024];

	(void)state;
	json_array_foreach(lookalikes, i, v)
	{
		size_t len = json_string_length(v);
		size_t n = build(in, sizeof(in), json_string_value(v), len);

		for (size_t cut = 0; cut <= n; cut++) {
			start();
			fake_feed(f, in, cut, true);
			fake_feed(f, in + cut, n - cut, true);
			judge(i, memchr(json_string_value(v), 0, len) != NULL);
			stop();
		}
		/* A segment for each octet of the sequence, and one for each octet of all. */
		start();
		fake_feed(f, in, sizeof(before) - 1, true);
		for (size_t k = 0; k < len; k++)
			fake_feed(f, in + sizeof(before) - 1 + k, 1, true);
		fake_feed(f, in + sizeof(before) - 1 + len, n - len - sizeof(before) + 1, true);
		judge(i, memchr(json_string_value(v), 0, len) != NULL);
		stop();
		start();
		for (size_t k = 0; k < n; k++)
			fake_feed(f, in + k, 1, true);
		judge(i, memchr(json_string_value(v), 0, len) != NULL);
		stop();
	}
}

/* ---- BDAT --------------------------------------------------------------------------------- */

/* The session in which `content` comes in chunks of [0, border) and [border, n); in one if it is 0. */
static size_t in_chunks(char *out, size_t max, const char *content, size_t n, size_t border)
{
	size_t at = (size_t)snprintf(out, max, S_MAIL);

	if (border) {
		at += (size_t)snprintf(out + at, max - at, "BDAT %zu\r\n", border);
		memcpy(out + at, content, border);
		at += border;
	}
	at += (size_t)snprintf(out + at, max - at, "BDAT %zu LAST\r\n", n - border);
	memcpy(out + at, content + border, n - border);
	at += n - border;
	return at + (size_t)snprintf(out + at, max - at, "QUIT\r\n");
}

static void judge_bdat(size_t which, const char *content, size_t n)
{
	if (f->txns != 1 || f->messages != 1 || f->out_n < strlen(DONE BYE) ||
	    memcmp(f->out + f->out_n - strlen(DONE BYE), DONE BYE, strlen(DONE BYE)) != 0)
		fail_msg("look-alike %zu: %u transactions, %u messages", which, f->txns,
			 f->messages);
	assert_int_equal(f->content_n, n);
	assert_memory_equal(f->content, content, n);
	assert_true(f->facts.flags & RECORD_F_BDAT);
	assert_int_equal(f->counters[CNT_smtp_lookalike], 1);
	assert_true(f->closed);
}

static void cut_everywhere(size_t which, const char *content, size_t n, size_t border)
{
	char in[1024];
	size_t len = in_chunks(in, sizeof(in), content, n, border);

	for (size_t cut = 0; cut < len; cut++) {
		start();
		fake_feed(f, in, cut, true);
		fake_feed(f, in + cut, len - cut, true);
		judge_bdat(which, content, n);
		stop();
	}
	start();
	for (size_t k = 0; k < len; k++)
		fake_feed(f, in + k, 1, true);
	judge_bdat(which, content, n);
	stop();
}

static void test_bdat(void **state)
{
	const char first[] = "Subject: 1\r\n\r\nfirst";
	size_t i, a = sizeof(first) - 1;
	char content[512];
	json_t *v;

	(void)state;
	json_array_foreach(lookalikes, i, v)
	{
		size_t len = json_string_length(v), n = a + len;

		memcpy(content, first, a);
		memcpy(content + a, json_string_value(v), len);
		memcpy(content + n, behind, sizeof(behind) - 1);
		/* A message behind it, and nothing behind it. */
		for (int k = 0; k < 2; k++) {
			size_t all = k ? n : n + sizeof(behind) - 1;

			cut_everywhere(i, content, all, 0);
			for (size_t border = a; border <= n; border++)
				cut_everywhere(i, content, all, border);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_lookalikes),
					   cmocka_unit_test(test_bdat)};
	const char *dir = getenv("POSTERN_CONFORMANCE");
	char path[4096];
	json_t *root;
	int ret;

	snprintf(path, sizeof(path), "%s/smtp/end-of-data-lookalikes.json",
		 dir ? dir : POSTERN_SOURCE_ROOT "/../shared/conformance");
	root = json_load_file(path, JSON_ALLOW_NUL, NULL);
	if (!root) {
		printf("skipped: no %s\n", path);
		return SKIP;
	}
	lookalikes = json_object_get(root, "lookalikes");
	ret = json_array_size(lookalikes) < 12 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
	json_decref(root);
	return ret;
}
