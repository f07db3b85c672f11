/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Real and malformed messages: the header index never breaks, and the proof holds on each. */

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/annotate/annotate.h"

#define MAX_FILES 1000

static char *files[MAX_FILES];
static size_t n_files;

static int collect(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)ftw;
	if (type == FTW_F && st->st_size > 0 && !strstr(path, "README") &&
	    !strstr(path, "LICENSE") && n_files < MAX_FILES)
		files[n_files++] = strdup(path);
	return 0;
}

static struct annotate_input input(struct mail_envelope *env, struct origin *origin)
{
	*env = (struct mail_envelope){
		.proto = PROTO_ESMTP, .helo = STR("h.example"), .trace_id = "T"};
	*origin = (struct origin){.status = ORIGIN_DIRECT};
	assert_true(ip_parse(STR("192.0.2.1"), &env->peer));
	origin->ip = env->peer;
	return (struct annotate_input){.gateway = "mx.example.net",
				       .prefix = "X-Postern",
				       .env = env,
				       .origin = origin,
				       .action = "accept"};
}

/* As SMTP would bring it: LF alone becomes CRLF. */
static char *load(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	char *raw = malloc(4 << 20), *out = malloc(8 << 20);
	size_t k;

	assert_non_null(f);
	assert_non_null(raw);
	assert_non_null(out);
	k = fread(raw, 1, 4 << 20, f);
	*n = 0;
	for (size_t i = 0; i < k; i++) {
		if (raw[i] == '\n' && (i == 0 || raw[i - 1] != '\r'))
			out[(*n)++] = '\r';
		out[(*n)++] = raw[i];
	}
	fclose(f);
	free(raw);
	return out;
}

static void check(const char *path, size_t piece)
{
	size_t n, n_iov = 0, covered = 0;
	char *m = load(path, &n);
	struct iovec *iov = calloc(n / piece + 2, sizeof(*iov));
	struct mail_bytes c = {iov, 0, n};
	struct mail_range range[64];
	struct annotate_output out;
	struct annotate_input in;
	struct mail_envelope env;
	struct origin origin;
	struct headers h;
	bool *drop;
	long k;
	int rc;

	assert_non_null(iov);
	for (size_t at = 0; at < n; at += piece)
		iov[n_iov++] = (struct iovec){m + at, piece < n - at ? piece : n - at};
	c.n_iov = n_iov;
	assert_int_equal(headers_parse(&h, &c), 0);
	/* The fields are the block, without a gap. */
	for (size_t i = 0; i < h.n; i++) {
		assert_int_equal(h.field[i].off, covered);
		assert_true(h.field[i].value_off >= h.field[i].off);
		covered += h.field[i].len;
	}
	if (!(h.flags & HEADERS_F_TOO_LARGE))
		assert_int_equal(covered, h.size);
	assert_memory_equal(h.block, m, h.size);
	assert_true(h.body_off <= n);
	drop = calloc(h.n + 1, sizeof(*drop));
	k = annotate_find_forged(&h, STR("mx.example.net"), STR("X-Postern"), range, 64, drop);
	assert_true(k >= 0);
	in = input(&env, &origin);
	rc = annotate_make(&in, &c, range, (size_t)k, &out);
	if (h.flags & HEADERS_F_FIRST_FOLDED) {
		assert_int_equal(rc, -EINVAL);
	} else {
		assert_int_equal(rc, 0);
		assert_int_equal(annotate_prove(&out, &c, range, (size_t)k), 0);
		annotate_free(&out);
	}
	free(drop);
	headers_free(&h);
	free(iov);
	free(m);
}

static void every_message(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_files; i++) {
		check(files[i], 65536);
		check(files[i], 97);
	}
	print_message("%zu messages\n", n_files);
	assert_true(n_files >= 150);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_message)};
	const char *dir = getenv("POSTERN_CONFORMANCE"), *root = getenv("POSTERN_SOURCE_ROOT");
	char path[4096];
	int rc;

	if (dir)
		snprintf(path, sizeof(path), "%s/mime", dir);
	else
		snprintf(path, sizeof(path), "%s/../shared/conformance/mime", root ? root : ".");
	if (nftw(path, collect, 16, FTW_PHYS) || n_files == 0)
		return 77;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	while (n_files)
		free(files[--n_files]);
	return rc;
}
