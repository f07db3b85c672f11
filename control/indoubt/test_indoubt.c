/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "control/indoubt/indoubt.h"
#include "postern/limits.h"

#define NOW 1700000000u

static char path[] = "/tmp/indoubt-XXXXXX";
static struct indoubt *t;

static struct indoubt *try_open(char *err)
{
	return indoubt_open(path, err, 256);
}

static void reopen(void)
{
	char err[256] = "";

	indoubt_close(t);
	t = try_open(err);
	if (!t)
		fail_msg("%s", err);
}

static int fresh(void **state)
{
	(void)state;
	unlink(path);
	t = NULL;
	reopen();
	return 0;
}

static int done(void **state)
{
	(void)state;
	indoubt_close(t);
	t = NULL;
	return 0;
}

static bool identify(const char *text, const char *from, struct indoubt_id *id)
{
	struct iovec iov[2] = {{(char *)text, 7}, {(char *)text + 7, strlen(text) - 7}};
	struct mail_bytes content = {iov, 2, strlen(text)};
	struct headers h;
	bool ok;

	assert_int_equal(headers_parse(&h, &content), 0);
	ok = indoubt_identify(&h, &content, str_c(from), id);
	headers_free(&h);
	return ok;
}

#define MESSAGE                                                                                    \
	"Message-ID: <1@example.net>\r\nDate: today\r\nFrom: a@example.net\r\n\r\nbody\r\n"

static const struct str one[] = {STR("a@example.com")}, both[] = {STR("a@example.com"),
								   STR("b@example.com")};

static struct indoubt_id id_of(const char *text)
{
	struct indoubt_id id;

	assert_true(identify(text, "s@example.net", &id));
	return id;
}

static struct indoubt_ticket *begin(const char *text, const struct str *rcpt, size_t n)
{
	struct indoubt_id id = id_of(text);
	struct indoubt_ticket *k = indoubt_begin(t, &id, rcpt, n, "TRACE00000000001", NOW);

	assert_non_null(k);
	return k;
}

static struct indoubt_ticket *claim(const char *text, const struct str *rcpt, size_t n,
				    uint64_t now)
{
	struct indoubt_id id = id_of(text);
	char trace_id[17] = "";
	struct indoubt_ticket *k = indoubt_claim(t, &id, rcpt, n, now, trace_id);

	if (k)
		assert_string_equal(trace_id, "TRACE00000000001");
	return k;
}

/* ---- what a message is ------------------------------------------------------------------------- */

static void identity(void **state)
{
	static const char *const other[] = {
		"Message-ID: <2@example.net>\r\nDate: today\r\nFrom: a@example.net\r\n\r\nbody\r\n",
		"Message-ID: <1@example.net>\r\nDate: later\r\nFrom: a@example.net\r\n\r\nbody\r\n",
		"Message-ID: <1@example.net>\r\nDate: today\r\nFrom: b@example.net\r\n\r\nbody\r\n",
		"Message-ID: <1@example.net>\r\nDate: today\r\nFrom: a@example.net\r\n\r\nbodY\r\n",
		"Message-ID: <1@example.net>\r\nDate: today\r\nFrom: a@example.net\r\nTo: x\r\n\r\nbody\r\n",
		"Message-ID: <1@example.net>\r\nDate: today\r\nFrom: a@example.net\r\nSubject: x\r\n\r\nbody\r\n",
		"Message-ID: <1@example.net>\r\nDate: today\r\nFrom: a@example.net\r\nDKIM-Signature: x\r\n\r\nbody\r\n",
		/* the same octets, divided in another way */
		"Message-ID: <1@example.net>\r\nDate: todayFrom: a@example.net\r\n\r\nbody\r\n",
	};
	struct indoubt_id a = id_of(MESSAGE), b;

	(void)state;
	b = id_of("Received: from elsewhere\r\nX-Mailer: y\r\n" MESSAGE);
	assert_memory_equal(&a, &b, sizeof(a)); /* trace fields differ in a retry */
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		b = id_of(other[i]);
		assert_memory_not_equal(&a, &b, sizeof(a));
	}
	assert_true(identify(MESSAGE, "other@example.net", &b));
	assert_memory_not_equal(&a, &b, sizeof(a));
	assert_false(identify("From: a@example.net\r\n\r\nno id\r\n", "s@example.net", &b));
	assert_false(identify("Message-ID: <1>\r\n" MESSAGE, "s@example.net", &b));
}

/* ---- life of an entry -------------------------------------------------------------------------- */

static void acknowledged_is_forgotten(void **state)
{
	struct indoubt_ticket *k = begin(MESSAGE, one, 1);

	(void)state;
	assert_null(claim(MESSAGE, one, 1, NOW)); /* pending: nobody knows */
	indoubt_taken(k);
	assert_null(claim(MESSAGE, one, 1, NOW)); /* our reply is on its way: a second copy is new */
	indoubt_drop(k);
	assert_null(claim(MESSAGE, one, 1, NOW));
}

static void lost_is_answered_once(void **state)
{
	struct indoubt_ticket *k = begin(MESSAGE, both, 2);

	(void)state;
	indoubt_taken(k);
	indoubt_keep(k);
	/* one of the two comes again, and its reply is lost, too */
	k = claim(MESSAGE, one, 1, NOW);
	assert_non_null(k);
	indoubt_keep(k);
	/* both, and it is heard */
	k = claim(MESSAGE, both, 2, NOW);
	assert_non_null(k);
	assert_null(claim(MESSAGE, both, 2, NOW));
	indoubt_drop(k);
	assert_null(claim(MESSAGE, one, 1, NOW));
}

static void one_that_is_not_known(void **state)
{
	static const struct str more[] = {STR("a@example.com"), STR("c@example.com")};
	static const struct str upper[] = {STR("A@example.com")};
	struct indoubt_ticket *k = begin(MESSAGE, one, 1);

	(void)state;
	indoubt_taken(k);
	indoubt_keep(k);
	assert_null(claim(MESSAGE, more, 2, NOW));
	assert_null(claim(MESSAGE, upper, 1, NOW));
	k = claim(MESSAGE, one, 1, NOW); /* the attempt took nothing away */
	assert_non_null(k);
	indoubt_keep(k);
}

static void age(void **state)
{
	struct indoubt_stats s;

	(void)state;
	indoubt_keep(begin(MESSAGE, one, 1));
	indoubt_stats(t, NOW, &s);
	assert_int_equal(s.doubt, 1);
	assert_null(claim(MESSAGE, one, 1, NOW + LIMIT_INDOUBT_S));
	indoubt_stats(t, NOW + LIMIT_INDOUBT_S, &s);
	assert_int_equal(s.used, 0);
}

/* ---- another process --------------------------------------------------------------------------- */

static void after_a_kill(void **state)
{
	static const char second[] = "Message-ID: <2@example.net>\r\nFrom: a@example.net\r\n\r\nx\r\n";
	struct indoubt_ticket *pending = begin(MESSAGE, one, 1), *taken = begin(second, one, 1), *k;

	(void)state;
	indoubt_taken(taken);
	reopen(); /* as a new control would; the tickets are lost */
	assert_null(claim(MESSAGE, one, 1, NOW));
	k = claim(second, one, 1, NOW);
	assert_non_null(k);
	indoubt_drop(k);
	assert_null(claim(second, one, 1, NOW));
	free(pending);
	free(taken);
}

static void one_owner(void **state)
{
	char err[256] = "";

	(void)state;
	assert_null(try_open(err));
	assert_non_null(strstr(err, "another process"));
}

static void another_file(void **state)
{
	char err[256] = "";
	FILE *f;

	(void)state;
	indoubt_keep(begin(MESSAGE, one, 1));
	indoubt_close(t);
	f = fopen(path, "r+");
	fputs("something else", f);
	fclose(f);
	t = try_open(err);
	assert_non_null(t);
	assert_null(claim(MESSAGE, one, 1, NOW));
	indoubt_close(t);
	unlink(path);
	assert_int_equal(symlink("/etc/hostname", path), 0);
	t = try_open(err);
	assert_null(t);
	unlink(path);
}

/* Any octet of an entry is another: it is no entry. */
static void damaged(void **state)
{
	struct stat st;
	uint8_t line[64];
	long at = 0;
	FILE *f;

	(void)state;
	indoubt_keep(begin(MESSAGE, one, 1));
	f = fopen(path, "r+");
	assert_int_equal(fstat(fileno(f), &st), 0);
	for (at = 4096; at < st.st_size; at += 64) {
		static const uint8_t none[64];

		fseek(f, at, SEEK_SET);
		assert_int_equal(fread(line, 1, 64, f), 64);
		if (memcmp(line, none, 64) != 0)
			break;
	}
	assert_true(at < st.st_size);
	for (int i = 0; i < 64; i++) {
		line[i] ^= 0x40;
		fseek(f, at, SEEK_SET);
		fwrite(line, 1, 64, f);
		fflush(f);
		assert_null(claim(MESSAGE, one, 1, NOW));
		line[i] ^= 0x40;
	}
	fseek(f, at, SEEK_SET);
	fwrite(line, 1, 64, f);
	fclose(f);
	indoubt_keep(claim(MESSAGE, one, 1, NOW));
}

/* More than there is room for: the last are there, nothing else is touched, nothing is answered that
 * was not put in. */
static void full(void **state)
{
	struct indoubt_stats s;
	unsigned int found = 0;

	(void)state;
	for (unsigned int i = 0; i < 3 * LIMIT_INDOUBT / 2; i++) {
		char text[80];
		struct indoubt_id id;

		snprintf(text, sizeof(text), "Message-ID: <%u@example.net>\r\n\r\nx\r\n", i);
		assert_true(identify(text, "s@example.net", &id));
		indoubt_keep(indoubt_begin(t, &id, one, 1, "TRACE00000000001", NOW + i / 1000));
	}
	for (unsigned int i = LIMIT_INDOUBT; i < 3 * LIMIT_INDOUBT / 2; i++) {
		char text[80];
		struct indoubt_ticket *k;

		snprintf(text, sizeof(text), "Message-ID: <%u@example.net>\r\n\r\nx\r\n", i);
		k = claim(text, one, 1, NOW);
		found += k != NULL;
		indoubt_keep(k);
	}
	indoubt_stats(t, NOW, &s);
	assert_true(s.used <= s.slots && s.used > s.slots / 10 * 9);
	assert_true(s.pushed_out >= LIMIT_INDOUBT / 2);
	assert_true(found > LIMIT_INDOUBT / 2 / 10 * 9);
}

/* Killed while it writes: whatever is answered afterwards was put in. */
static void killed(void **state)
{
	(void)state;
	for (int round = 0; round < 20; round++) {
		pid_t pid;
		int status;

		indoubt_close(t);
		t = NULL;
		pid = fork();
		if (!pid) {
			reopen();
			for (unsigned int i = 0;; i++)
				indoubt_keep(begin(i % 2 ? MESSAGE : "Message-ID: <k>\r\n\r\nk\r\n",
						   both, 2));
		}
		usleep(1000 + 331 * (unsigned int)round);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		reopen();
		assert_null(claim("Message-ID: <never>\r\n\r\nk\r\n", one, 1, NOW));
		indoubt_keep(claim(MESSAGE, one, 1, NOW));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(identity, fresh, done),
		cmocka_unit_test_setup_teardown(acknowledged_is_forgotten, fresh, done),
		cmocka_unit_test_setup_teardown(lost_is_answered_once, fresh, done),
		cmocka_unit_test_setup_teardown(one_that_is_not_known, fresh, done),
		cmocka_unit_test_setup_teardown(age, fresh, done),
		cmocka_unit_test_setup_teardown(after_a_kill, fresh, done),
		cmocka_unit_test_setup_teardown(one_owner, fresh, done),
		cmocka_unit_test_setup_teardown(another_file, fresh, done),
		cmocka_unit_test_setup_teardown(damaged, fresh, done),
		cmocka_unit_test_setup_teardown(full, fresh, done),
		cmocka_unit_test_setup_teardown(killed, fresh, done),
	};
	int rc;

	close(mkstemp(path));
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return rc;
}
