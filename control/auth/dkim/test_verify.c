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
#include "control/hash/sha256.h"
#include "postern/limits.h"

struct run {
	struct dkim_check *check;
	unsigned int calls;
	size_t n;
	struct dkim_signature first; /* copy; its names are gone */
	const struct dkim_signature *all; /* until the check is freed */
	bool free_inside;
};

static void done(void *arg, const struct dkim_results *r)
{
	struct run *run = arg;

	assert_non_null(run->check); /* else it ran inside dkim_verify() */
	run->calls++;
	run->n = r->n;
	run->all = r->sig;
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

static char public_key[64]; /* of the last signature, base64 */

/* Signs with Ed25519 from texts that were canonicalized by hand, relaxed/relaxed. */
static char *sign(struct dns *dns, const char *canonical_body, const char *body, const char *extra,
		  size_t *n)
{
	static const uint8_t seed[32] = {1, 2, 3};
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t digest[32], pub[32], sig[64];
	char bh[64], b[128], record[128], tags[512], text[1024];
	size_t len = sizeof(pub), sig_len = sizeof(sig), cap = strlen(body) + 2048;
	char *m = malloc(cap);

	assert_non_null(m);
	assert_int_equal(EVP_PKEY_get_raw_public_key(key, pub, &len), 1);
	base64(pub, 32, public_key);
	snprintf(record, sizeof(record), "v=DKIM1; k=ed25519; p=%s", public_key);
	test_dns_txt(dns, "k._domainkey.example.com", record);
	EVP_Digest(canonical_body, strlen(canonical_body), digest, NULL, hash_sha256(), NULL);
	base64(digest, 32, bh);
	snprintf(
		tags, sizeof(tags),
		"v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.com; s=k; %sh=from; bh=%s; b=",
		extra, bh);
	snprintf(text, sizeof(text), "from:a@example.com\r\ndkim-signature:%s", tags);
	EVP_Digest(text, strlen(text), digest, NULL, hash_sha256(), NULL);
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

/* What DNS says of the key, and what that makes of a good signature. */
static void key_answers(void **state)
{
	static const struct {
		const char *text[3]; /* "%" stands for the right key's p= */
		enum dns_status status;
		enum dkim_result result;
		const char *reason;
		bool testing;
	} t[] = {
		{{"v=DKIM1; k=ed25519; p=%"}, DNS_OK, DKIM_PASS, "", false},
		{{"v=DKIM1; k=ed25519; t=y; p=%"}, DNS_OK, DKIM_PASS, "", true},
		{{"v=DKIM1; k=ed25519; t=s; p=%"}, DNS_OK, DKIM_PASS, "", false},
		{{NULL}, DNS_NXDOMAIN, DKIM_PERMERROR, "no key for signature", false},
		{{NULL}, DNS_NODATA, DKIM_PERMERROR, "no key for signature", false},
		/* RFC 6376 6.1.2: what may be there another time is a temporary failure. */
		{{NULL}, DNS_TEMPFAIL, DKIM_TEMPERROR, "key: DNS scripted", false},
		{{NULL}, DNS_BOGUS, DKIM_TEMPERROR, "key: DNS scripted", false},
		{{"v=DKIM1; k=ed25519; p="}, DNS_OK, DKIM_PERMERROR, "key revoked", false},
		{{"v=DKIM1; p=%"}, DNS_OK, DKIM_PERMERROR,
		 "key is of another type than the signature", false},
		{{"v=DKIM1; k=ed25519; h=sha1; p=%"}, DNS_OK, DKIM_PERMERROR,
		 "key does not allow sha256", false},
		{{"v=DKIM1; k=ed25519; s=tlsrpt; p=%"}, DNS_OK, DKIM_PERMERROR,
		 "key is not for email", false},
		{{"nonsense"}, DNS_OK, DKIM_PERMERROR, "key record: malformed tag name", false},
		{{"v=DKIM1; p=", "v=spf1 -all", "v=DKIM1; k=ed25519; p=%"}, DNS_OK, DKIM_PASS, "",
		 false},
		{{"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}, DNS_OK,
		 DKIM_FAIL, "signature did not verify", false},
	};
	struct dkim_keys *keys = dkim_keys_new(16);
	const struct dkim_options opt = {.now = 1700000000, .keys = keys};
	struct event_base *base = event_base_new();
	struct dns *dns = test_dns_new(base);
	size_t n;
	char *m = sign(dns, "x\r\n", "x\r\n", "", &n);

	(void)state;
	test_dns_free(dns);
	for (size_t i = 0; i < 2 * sizeof(t) / sizeof(t[0]); i++) { /* twice: the cache */
		size_t k = i % (sizeof(t) / sizeof(t[0]));
		struct run r;

		dns = test_dns_new(base);
		for (size_t j = 0; j < 3 && t[k].text[j]; j++) {
			char record[256];
			size_t len = strcspn(t[k].text[j], "%");

			snprintf(record, sizeof(record), "%.*s%s", (int)len, t[k].text[j],
				 t[k].text[j][len] ? public_key : "");
			test_dns_txt(dns, "k._domainkey.example.com", record);
		}
		if (!t[k].text[0])
			test_dns_status(dns, "k._domainkey.example.com", t[k].status);
		r = verify(dns, base, m, n, &opt, false);
		assert_string_equal(r.first.reason, t[k].reason);
		assert_int_equal(r.first.result, t[k].result);
		assert_int_equal(r.first.testing, t[k].testing);
		test_dns_free(dns);
	}
	free(m);
	dkim_keys_free(keys);
	event_base_free(base);
}

/* Ten are judged, the rest is neutral; what is malformed takes no place. */
static void many(void **state)
{
	const struct dkim_options opt = {.now = 1700000000};
	struct event_base *base = event_base_new();
	struct dns *dns = test_dns_new(base);
	size_t n, len = 0, field;
	char *one = sign(dns, "x\r\n", "x\r\n", "", &n), *m = malloc(20 * n);
	struct iovec iov;
	struct mail_bytes c;
	struct headers h;
	struct run run = {0};

	(void)state;
	assert_non_null(m);
	field = (size_t)(strstr(one, "\r\nFrom:") + 2 - one);
	for (int i = 0; i < 12; i++) {
		if (i == 3)
			len += (size_t)sprintf(m + len, "DKIM-Signature: v=1; junk\r\n");
		memcpy(m + len, one, field);
		len += field;
	}
	memcpy(m + len, one + field, n - field);
	len += n - field;
	iov = (struct iovec){m, len};
	c = (struct mail_bytes){&iov, 1, len};
	assert_int_equal(headers_parse(&h, &c), 0);
	run.check = dkim_verify(dns, base, &h, &c, &opt, done, &run);
	assert_non_null(run.check);
	event_base_dispatch(base);
	assert_int_equal(run.n, 13);
	for (size_t i = 0; i < run.n; i++) {
		const struct dkim_signature *s = &run.all[i];

		assert_int_equal(s->result, i == 3    ? DKIM_PERMERROR
					    : i <= 10 ? DKIM_PASS
						      : DKIM_NEUTRAL);
	}
	assert_string_equal(run.all[12].reason, "too many signatures");
	dkim_check_free(run.check);
	headers_free(&h);
	free(m);
	free(one);
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
		cmocka_unit_test(key_answers), cmocka_unit_test(many),
		cmocka_unit_test(too_large), cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
