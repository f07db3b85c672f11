/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Which records a query finds, and that a line is UTF-8 as it came. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/trace/trace.h"
#include "postern/stats.h"

static uint64_t counters[POSTERN_CTL_COUNTER_COUNT];
static char path[64];
static struct trace *t;

static int setup(void **state)
{
	char err[256];
	int fd;

	(void)state;
	strcpy(path, "/tmp/postern-trace-XXXXXX");
	fd = mkstemp(path);
	close(fd);
	t = trace_new(&(struct trace_options){.file = path, .keep = 8}, counters, err, sizeof(err));
	return t ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	trace_free(t);
	return unlink(path);
}

static size_t found(const char *from, const char *rcpt)
{
	struct trace_query q = {.mail_from = from, .rcpt = rcpt, .limit = 10};
	json_t *a = trace_find(t, &q);
	size_t n = json_array_size(a);

	json_decref(a);
	return n;
}

static void addresses(void **state)
{
	(void)state;
	trace_write(t, json_pack("{s:s, s:s}", "mail_from", "\xc3\xa4@b\xc3\xbc" "cher.example", "rcpt",
				 "b@Example.com"));
	trace_write(t, json_pack("{s:s, s:s}", "mail_from", "", "rcpt", "\"x@y\"@example.com"));
	trace_write(t, json_pack("{s:s}", "event", "reply-lost"));
	assert_int_equal(found(NULL, NULL), 3);
	assert_int_equal(found("", NULL), 1);
	assert_int_equal(found("\xc3\xa4@b\xc3\xbc" "cher.example", NULL), 1);
	assert_int_equal(found("\xc3\xa4@xn--bcher-kva.example", NULL), 1);
	assert_int_equal(found("@xn--bcher-kva.example", NULL), 1);
	assert_int_equal(found("@B\xc3\x9c" "CHER.example", NULL), 1);
	assert_int_equal(found("@cher.example", NULL), 0);
	assert_int_equal(found(NULL, "B@example.com"), 1);
	assert_int_equal(found(NULL, "@example.com"), 2);
	assert_int_equal(found(NULL, "@y\"@example.com"), 0);
	assert_int_equal(found(NULL, "b@example.org"), 0);
}

static void line(void **state)
{
	char text[4096];
	size_t n;
	FILE *f;

	trace_free(t); /* writes what is buffered */
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	assert_non_null(strstr(text, "\"mail_from\":\"\xc3\xa4@b\xc3\xbc" "cher.example\""));
	unlink(path);
	assert_int_equal(setup(state), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(addresses), cmocka_unit_test(line)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
