/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/auth/dkim/canon.h"
#include "control/auth/dkim/dkim.h"
#include "control/auth/dkim/test_dns.h"
#include "postern/limits.h"

struct run {
	struct dkim_check *check;
	unsigned int calls;
	size_t n;
	struct dkim_signature first; /* copy; its names are gone */
	bool free_inside;
};

static void done(void *arg, const struct dkim_results *r)
{
	struct run *run = arg;

	assert_non_null(run->check); /* else it ran inside dkim_verify() */
	run->calls++;
	run->n = r->n;
	if (r->n)
		run->first = r->sig[0];
	if (run->free_inside) {
		dkim_check_free(run->check);
		run->check = NULL;
	}
}

static struct run verify(struct dns *dns, struct event_base *base, const char *m, size_t n,
			 const struct dkim_options *opt, bool free_inside)
{
	struct iovec iov[2] = {{(void *)(uintptr_t)m, n / 2},
			       {(void *)(uintptr_t)(m + n / 2), n - n / 2}};
	struct mail_bytes c = {iov, 2, n};
	struct run run = {.free_inside = free_inside};
	struct headers h;

	assert_int_equal(headers_parse(&h, &c), 0);
	run.check = dkim_verify(dns, base, &h, &c, opt, done, &run);
	assert_non_null(run.check);
	assert_int_equal(run.calls, 0);
	event_base_dispatch(base);
	assert_int_equal(test_dns_open(dns), 0);
	dkim_check_free(run.check);
	headers_free(&h);
	return run;
}

static void base64(const uint8_t *p, size_t n, char *out)
{
	EVP_EncodeBlock((unsigned char *)out, p, (int)n);
}

/* Signs with Ed25519 from texts that were canonicalized by hand, relaxed/relaxed. */
static char *sign(struct dns *dns, const char *canonical_body, const char *body, const char *extra,
		  size_t *n)
{
	static const uint8_t seed[32] = {1, 2, 3};
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t digest[32], pub[32], sig[64];
	char bh[64], b[128], p[64], record[128], tags[512], text[1024];
	size_t len = sizeof(pub), sig_len = sizeof(sig), cap = strlen(body) + 2048;
	char *m = malloc(cap);

	assert_non_null(m);
	assert_int_equal(EVP_PKEY_get_raw_public_key(key, pub, &len), 1);
	base64(pub, 32, p);
	snprintf(record, sizeof(record), "v=DKIM1; k=ed25519; p=%s", p);
	test_dns_txt(dns, "k._domainkey.example.com", record);
	EVP_Digest(canonical_body, strlen(canonical_body), digest, NULL, canon_sha256(), NULL);
	base64(digest, 32, bh);
	snprintf(
		tags, sizeof(tags),
		"v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.com; s=k; %sh=from; bh=%s; b=",
		extra, bh);
	snprintf(text, sizeof(text), "from:a@example.com\r\ndkim-signature:%s", tags);
	EVP_Digest(text, strlen(text), digest, NULL, canon_sha256(), NULL);
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key), 1);
	assert_int_equal(EVP_DigestSign(ctx, sig, &sig_len, digest, 32), 1);
	base64(sig, 64, b);
	*n = (size_t)snprintf(m, cap, "DKIM-Signature: %s%s\r\nFrom:  a@example.com\r\n\r\n%s",
			      tags, b, body);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return m;
}

static void answers(void **state)
{
	const struct dkim_options opt = {.now = 1700000000},
				  strict = {.now = 1700000000, .l_policy_fail = true};
	struct event_base *base = event_base_new();
	struct dns *dns = test_dns_new(base);
	static const char none[] = "From: a\r\n\r\nx";
	struct run r;
	size_t n;
	char *m;

	(void)state;
	r = verify(dns, base, none, sizeof(none) - 1, &opt, false);
	assert_int_equal(r.calls, 1);
	assert_int_equal(r.n, 0);

	m = sign(dns, "a b\r\n", "a \t b \r\n\r\n", "", &n);
	r = verify(dns, base, m, n, &opt, true);
	assert_int_equal(r.calls, 1);
	assert_int_equal(r.first.result, DKIM_PASS);
	assert_string_equal(r.first.reason, "");
	assert_int_equal(r.first.key_bits, 256);
	assert_string_equal(r.first.domain, "example.com");
	assert_true(r.first.body_length == UINT64_MAX);
	m[n - 9] ^= 1;
	r = verify(dns, base, m, n, &opt, false);
	assert_int_equal(r.first.result, DKIM_FAIL);
	assert_string_equal(r.first.reason, "body hash did not verify");
	free(m);

	m = sign(dns, "a b\r\n", "a b\r\nmore\r\n", "l=5; ", &n);
	r = verify(dns, base, m, n, &opt, false);
	assert_int_equal(r.first.result, DKIM_PASS);
	assert_string_equal(r.first.reason, "l=5 of 11");
	assert_true(r.first.body_length == 5);
	r = verify(dns, base, m, n, &strict, false);
	assert_int_equal(r.first.result, DKIM_POLICY);
	free(m);
	m = sign(dns, "a b\r\n", "a b\r\n", "l=5; ", &n);
	r = verify(dns, base, m, n, &strict, false);
	assert_int_equal(r.first.result, DKIM_PASS);
	assert_string_equal(r.first.reason, "");
	free(m);
	test_dns_free(dns);
	event_base_free(base);
}

/* A body of several slices, hashed over several turns of the loop. */
static void slices(void **state)
{
	const struct dkim_options opt = {.now = 1700000000};
	struct event_base *base = event_base_new();
	struct dns *dns = test_dns_new(base);
	size_t n, size = (5u << 20) + 3;
	char *body = malloc(size + 3), *m;
	struct run r;

	(void)state;
	assert_non_null(body);
	memset(body, 'x', size);
	memcpy(body + size, "\r\n", 3);
	m = sign(dns, body, body, "", &n);
	r = verify(dns, base, m, n, &opt, false);
	assert_int_equal(r.first.result, DKIM_PASS);
	m[n - 3]++;
	r = verify(dns, base, m, n, &opt, false);
	assert_int_equal(r.first.result, DKIM_FAIL);
	free(m);
	free(body);
	test_dns_free(dns);
	event_base_free(base);
}

/* Freed before the callback: no callback, no question left open. */
static void cancel(void **state)
{
	const struct dkim_options opt = {.now = 1700000000};
	struct event_base *base = event_base_new();
	struct dns *dns = test_dns_new(base);
	size_t n;
	char *m = sign(dns, "", "", "", &n);

	(void)state;
	for (int turns = 0; turns < 3; turns++) {
		struct iovec iov = {m, n};
		struct mail_bytes c = {&iov, 1, n};
		struct run run = {0};
		struct headers h;

		assert_int_equal(headers_parse(&h, &c), 0);
		run.check = dkim_verify(dns, base, &h, &c, &opt, done, &run);
		assert_non_null(run.check);
		for (int i = 0; i < turns && run.calls == 0; i++)
			event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		dkim_check_free(run.check);
		assert_int_equal(test_dns_open(dns), 0);
		event_base_dispatch(base);
		if (turns == 0)
			assert_int_equal(run.calls, 0);
		assert_true(run.calls <= 1);
		headers_free(&h);
	}
	free(m);
	test_dns_free(dns);
	event_base_free(base);
}

static void too_large(void **state)
{
	const struct dkim_options opt = {.now = 1700000000};
	struct event_base *base = event_base_new();
	struct dns *dns = test_dns_new(base);
	size_t n = LIMIT_HEADER_BLOCK + 100;
	char *m = calloc(1, n);
	struct run r;

	(void)state;
	assert_non_null(m);
	memset(m, 'a', n);
	memcpy(m, "DKIM-Signature: v=1\r\nX:", 23);
	r = verify(dns, base, m, n, &opt, false);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.first.result, DKIM_NEUTRAL);
	assert_string_equal(r.first.reason, "header block too large");
	free(m);
	test_dns_free(dns);
	event_base_free(base);
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(dkim_result_name(DKIM_NONE), "none");
	assert_string_equal(dkim_result_name(DKIM_TEMPERROR), "temperror");
	assert_string_equal(dkim_result_name((enum dkim_result)99), "permerror");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers), cmocka_unit_test(slices), cmocka_unit_test(cancel),
		cmocka_unit_test(too_large), cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
