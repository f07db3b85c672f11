/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <event2/event.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/auth/arc/chain.h"
#include "control/auth/dkim/test_dns.h"

#define NOW  1700000000
#define BODY "Hello  world\r\n\r\n"
#define HEAD "From: a@example.com\r\nSubject: s\r\nDKIM-Signature: v=1\r\n"
#define CAP  (1 << 18)

static struct {
	struct event_base *base;
	struct dns *dns;
	struct arc_key *key, *rsa;
	struct arc_results got; /* without its sets */
	char chain[4096], last_sealer[256];
	unsigned int calls;
} t;

static struct arc_key *key_of(EVP_PKEY *pkey, char *pem, size_t cap)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char err[128], *data;
	struct arc_key *k;
	long n;

	assert_int_equal(PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_get_mem_data(bio, &data);
	k = arc_key_new(str_make(data, (size_t)n), err, sizeof(err));
	if (pem) {
		assert_true((size_t)n < cap);
		memcpy(pem, data, (size_t)n);
		pem[n] = '\0';
	}
	BIO_free(bio);
	return k;
}

static int setup(void **state)
{
	static const uint8_t seed[32] = {4, 5, 6};
	EVP_PKEY *ed = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	EVP_PKEY *rsa = EVP_RSA_gen(2048);
	char record[1024];
	unsigned char der[512], *at = der;
	uint8_t pub[32];
	size_t len = sizeof(pub);
	int n;

	(void)state;
	t.base = event_base_new();
	t.dns = test_dns_new(t.base);
	t.key = key_of(ed, NULL, 0);
	t.rsa = key_of(rsa, NULL, 0);
	assert_true(t.key && t.rsa);
	EVP_PKEY_get_raw_public_key(ed, pub, &len);
	n = snprintf(record, sizeof(record), "v=DKIM1; k=ed25519; p=");
	EVP_EncodeBlock((unsigned char *)record + n, pub, 32);
	test_dns_txt(t.dns, "k._domainkey.example.net", record);
	test_dns_txt(t.dns, "k._domainkey.example.org", record);
	n = snprintf(record, sizeof(record), "v=DKIM1; p=");
	EVP_EncodeBlock((unsigned char *)record + n, der, i2d_PUBKEY(rsa, &at));
	test_dns_txt(t.dns, "r._domainkey.example.net", record);
	test_dns_status(t.dns, "t._domainkey.example.net", DNS_TEMPFAIL);
	EVP_PKEY_free(ed);
	EVP_PKEY_free(rsa);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arc_key_free(t.key);
	arc_key_free(t.rsa);
	test_dns_free(t.dns);
	event_base_free(t.base);
	return 0;
}

struct want {
	struct arc_seal_request req; /* key NULL: only validate */
	char *set;
	long n;
	const struct mail_bytes *content;
};

static void done(void *arg, const struct arc_results *r)
{
	struct want *w = arg;

	t.calls++;
	t.got = *r;
	t.got.set = NULL;
	assert_true(arc_sealers(r, t.chain, sizeof(t.chain)) >= 0);
	if (r->result == ARC_PASS)
		snprintf(t.last_sealer, sizeof(t.last_sealer), "%s",
			 r->set[r->n - 1].sealed.domain);
	if (w->req.key)
		w->n = arc_seal(&w->req, w->content, r, w->set, CAP);
}

/* Validates m; with a key, returns m with one more set in front (owned by the caller). */
static char *run(const char *m, const struct arc_seal_request *req)
{
	size_t n = strlen(m);
	struct iovec iov[2] = {{(void *)(uintptr_t)m, n / 3},
			       {(void *)(uintptr_t)(m + n / 3), n - n / 3}};
	struct mail_bytes content = {iov, 2, n};
	const struct dkim_options opt = {.now = NOW};
	struct want w = {.content = &content};
	struct arc_check *c;
	struct headers h;
	char *out = NULL;

	if (req) {
		w.req = *req;
		w.set = malloc(CAP);
		assert_non_null(w.set);
	}
	t.calls = 0;
	assert_int_equal(headers_parse(&h, &content), 0);
	c = arc_verify(t.dns, t.base, &h, &content, &opt, done, &w);
	assert_non_null(c);
	assert_int_equal(t.calls, 0);
	event_base_dispatch(t.base);
	assert_int_equal(t.calls, 1);
	arc_check_free(c);
	assert_int_equal(test_dns_open(t.dns), 0);
	headers_free(&h);
	if (req) {
		assert_true(w.n >= 0);
		out = malloc((size_t)w.n + n + 1);
		assert_non_null(out);
		memcpy(out, w.set, (size_t)w.n);
		memcpy(out + w.n, m, n + 1);
		free(w.set);
	}
	return out;
}

static void validate(const char *m)
{
	free(run(m, NULL));
}

static struct arc_seal_request by(const char *domain)
{
	return (struct arc_seal_request){
		.key = t.key,
		.domain = domain,
		.selector = "k",
		.authserv_id = "mx.example.net",
		.results = STR("arc=none;\r\n\tspf=pass smtp.mailfrom=a@b.example"),
		.now = NOW};
}

/* m is freed. */
static char *again(char *m, const char *domain)
{
	struct arc_seal_request req = by(domain);
	char *out = run(m, &req);

	free(m);
	return out;
}

static char *chain_of(unsigned int n)
{
	char *m = strdup(HEAD "\r\n" BODY);

	for (unsigned int i = 0; i < n; i++)
		m = again(m, i % 2 ? "example.org" : "example.net");
	return m;
}

/* Replaces the first `from` by `to`, both of one length. */
static void change(char *m, const char *from, const char *to)
{
	char *at = strstr(m, from);

	assert_non_null(at);
	assert_int_equal(strlen(from), strlen(to));
	memcpy(at, to, strlen(to));
}

static void chains(void **state)
{
	char *m;

	(void)state;
	validate(HEAD "\r\n" BODY);
	assert_int_equal(t.got.result, ARC_NONE);
	assert_string_equal(t.got.reason, "");
	for (unsigned int n = 1; n <= 50; n = n < 5 ? n + 1 : n + 45) {
		m = chain_of(n);
		validate(m);
		assert_int_equal(t.got.result, ARC_PASS);
		assert_int_equal(t.got.n, n);
		assert_int_equal(t.got.oldest_pass, 0);
		if (n == 3)
			assert_string_equal(t.chain, "example.net:example.org:example.net");
		for (const char *line = m, *end; (end = strstr(line, "\r\n")); line = end + 2)
			assert_true(end - line <= 78);
		free(m);
	}
	/* RFC 8617 4.2.1: nobody makes a 51st set. */
	m = again(chain_of(50), "example.net");
	assert_true(strncmp(m, "ARC-Seal: a=ed25519-sha256;", 27) == 0);
	assert_non_null(strstr(m, "i=50;"));
	assert_null(strstr(m, "i=51;"));
	free(m);
}

static void broken(void **state)
{
	char *m = chain_of(3);

	(void)state;
	change(m, "Hello", "hello");
	validate(m);
	assert_int_equal(t.got.result, ARC_FAIL);
	assert_string_equal(t.got.reason, "i=3: ARC-Message-Signature: body hash did not verify");
	/* RFC 8617 5.1.2: our set says so, and it covers itself only; then nobody adds more. */
	m = again(m, "example.org");
	assert_non_null(strstr(m, "cv=fail;"));
	change(m, "hello", "Hello");
	validate(m);
	assert_true(t.got.ended);
	assert_string_equal(t.got.reason, "i=4: the seal says cv=fail");
	m = again(m, "example.net");
	assert_null(strstr(m, "i=5;"));
	free(m);

	/* A list in the middle changed the Subject: its own AMS verifies, the ones before do not.
	 */
	m = chain_of(2);
	change(m, "Subject: s", "Subject: t");
	free(again(m, "example.net"));
	assert_string_equal(t.got.reason, "i=2: ARC-Message-Signature: signature did not verify");

	m = chain_of(2);
	change(strstr(m, "i=1; mx"), "spf=pass", "spf=fail");
	validate(m);
	assert_string_equal(t.got.reason, "i=2: ARC-Seal: signature did not verify");
	free(m);
}

/* The message changes between two sealers, as a list does it: the seals hold, the old AMS does not.
 */
static void oldest_pass(void **state)
{
	struct arc_seal_request req = by("example.org");
	char *m = chain_of(2), set[8192];
	struct arc_results passed = {.result = ARC_PASS, .n = 2};
	struct iovec iov = {m, strlen(m)};
	struct mail_bytes content = {&iov, 1, iov.iov_len};
	char *whole;
	long n;

	(void)state;
	change(m, "Subject: s", "Subject: t");
	n = arc_seal(&req, &content, &passed, set, sizeof(set));
	assert_true(n > 0);
	assert_int_equal(arc_seal(&req, &content, &passed, set, sizeof(set)), n);
	assert_int_equal(arc_seal(&req, &content, &passed, set, (size_t)n - 1), -ENOSPC);
	whole = calloc(1, (size_t)n + iov.iov_len + 1);
	assert_non_null(whole);
	memcpy(whole, set, (size_t)n);
	memcpy(whole + n, m, iov.iov_len);
	whole = again(whole, "example.net");
	validate(whole);
	assert_int_equal(t.got.result, ARC_PASS);
	assert_int_equal(t.got.n, 4);
	assert_int_equal(t.got.oldest_pass, 3);
	/* Another chain than the one that was judged. */
	passed.n = 1;
	assert_int_equal(arc_seal(&req, &content, &passed, set, sizeof(set)), -EINVAL);
	free(whole);
	free(m);
}

static void keys(void **state)
{
	struct arc_seal_request req = by("example.net");
	char pem[4096], err[128] = "", *m;
	EVP_PKEY *small = EVP_RSA_gen(768), *ec = EVP_EC_gen("P-256");

	(void)state;
	req.key = t.rsa;
	req.selector = "r";
	m = run(HEAD "\r\n" BODY, &req);
	validate(m);
	assert_int_equal(t.got.result, ARC_PASS);
	free(m);
	/* RFC 8617 5.2: a DNS error is a failure. */
	req.selector = "t";
	m = run(HEAD "\r\n" BODY, &req);
	validate(m);
	assert_int_equal(t.got.result, ARC_FAIL);
	assert_string_equal(t.got.reason, "i=1: ARC-Message-Signature: key: DNS scripted");
	free(m);
	assert_null(key_of(small, pem, sizeof(pem)));
	assert_null(key_of(ec, pem, sizeof(pem)));
	assert_null(arc_key_new(STR("no key"), err, sizeof(err)));
	assert_string_equal(err, "no unencrypted PEM private key");
	EVP_PKEY_free(small);
	EVP_PKEY_free(ec);
}

static void requests(void **state)
{
	struct iovec iov = {(void *)(uintptr_t)(HEAD "\r\n" BODY), sizeof(HEAD "\r\n" BODY) - 1};
	struct mail_bytes content = {&iov, 1, iov.iov_len};
	const struct arc_results none = {0};
	struct arc_seal_request req;
	char set[8192];
	long n;

	(void)state;
	req = by("example..net");
	assert_int_equal(arc_seal(&req, &content, &none, set, sizeof(set)), -EINVAL);
	req = by("example.net");
	req.authserv_id = "mx;x";
	assert_int_equal(arc_seal(&req, &content, &none, set, sizeof(set)), -EINVAL);
	req = by("example.net");
	req.results = STR("spf=pass\r\nBcc: x");
	assert_int_equal(arc_seal(&req, &content, &none, set, sizeof(set)), -EINVAL);
	req.results = STR_NONE;
	n = arc_seal(&req, &content, &none, set, sizeof(set) - 1);
	assert_true(n > 0);
	set[n] = '\0';
	assert_non_null(strstr(set, "ARC-Authentication-Results: i=1; mx.example.net; none\r\n"));
	assert_non_null(strstr(set, "h=from:from:subject:dkim-signature;"));
	assert_non_null(strstr(set, "cv=none;"));
}

static void instances(void **state)
{
	static const struct {
		const char *text;
		unsigned int i;
	} aar[] =
		{
			{"i=1; mx", 1},
			{" i = 50 ; mx", 50},
			{"(c (n) \\)) i=2;x", 2},
			{"I=3;", 3},
			{"i=0; x", 0},
			{"i=51; x", 0},
			{"i=001; x", 0},
			{"i=1 x; y", 0},
			{"mx; i=1;", 0},
			{"i=; x", 0},
			{"i=-1; x", 0},
			{"(open i=1;", 0},
			{"", 0},
			{"i", 0},
			{"i=1", 0},
			{"(\\", 0},
		},
	  tags[] = {
		  {"i=1; cv=none", 1}, {"cv=pass; i=50", 50},
		  {"i=51", 0},         {"i=0", 0},
		  {"i=", 0},           {"I=1", 0},
		  {"i=1; i=1", 0},     {"a=b", 0},
		  {"i=1;; a=b", 0},
	  };
	struct str rest;

	(void)state;
	for (size_t k = 0; k < sizeof(aar) / sizeof(aar[0]); k++)
		assert_int_equal(arc_aar_instance(str_c(aar[k].text), &rest), aar[k].i);
	for (size_t k = 0; k < sizeof(tags) / sizeof(tags[0]); k++)
		assert_int_equal(arc_tag_instance(str_c(tags[k].text), NULL, NULL), tags[k].i);
	assert_int_equal(arc_aar_instance(STR("i=7;\r\n\tmx.example.net; none "), &rest), 7);
	assert_true(str_eq(rest, STR("mx.example.net; none")));
}

/* Freed at any moment: no callback, no question left open. */
static void cancel(void **state)
{
	char *m = chain_of(3);

	(void)state;
	for (int turns = 0; turns < 12; turns++) {
		struct iovec iov = {m, strlen(m)};
		struct mail_bytes content = {&iov, 1, iov.iov_len};
		const struct dkim_options opt = {.now = NOW};
		struct want w = {0};
		struct arc_check *c;
		struct headers h;
		unsigned int calls;

		t.calls = 0;
		assert_int_equal(headers_parse(&h, &content), 0);
		c = arc_verify(t.dns, t.base, &h, &content, &opt, done, &w);
		assert_non_null(c);
		for (int i = 0; i < turns; i++)
			event_base_loop(t.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		calls = t.calls;
		arc_check_free(c);
		event_base_dispatch(t.base);
		assert_int_equal(t.calls, calls);
		assert_int_equal(test_dns_open(t.dns), 0);
		headers_free(&h);
	}
	free(m);
}

/* In place of the callback, at any moment: what is not yet proven has failed. */
static void given_up(void **state)
{
	char *m = chain_of(3);
	const char *text[] = {m, HEAD "\r\n" BODY};

	(void)state;
	for (int turns = 0; turns < 24; turns++) {
		struct iovec iov = {(void *)(uintptr_t)text[turns % 2], strlen(text[turns % 2])};
		struct mail_bytes content = {&iov, 1, iov.iov_len};
		const struct dkim_options opt = {.now = NOW};
		const struct arc_results *r;
		struct want w = {0};
		struct arc_check *c;
		struct headers h;

		t.calls = 0;
		assert_int_equal(headers_parse(&h, &content), 0);
		c = arc_verify(t.dns, t.base, &h, &content, &opt, done, &w);
		assert_non_null(c);
		for (int i = 0; i < turns / 2 && !t.calls; i++)
			event_base_loop(t.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		if (!t.calls) {
			r = arc_give_up(c, "no time");
			assert_int_equal(r->result, turns % 2 ? ARC_NONE : ARC_FAIL);
			assert_int_equal(r->n, turns % 2 ? 0 : 3);
			assert_string_equal(r->reason, turns % 2 ? "" : "no time");
			assert_int_equal(test_dns_open(t.dns), 0);
			event_base_dispatch(t.base);
			assert_int_equal(t.calls, 0);
		}
		arc_check_free(c);
		headers_free(&h);
	}
	free(m);
}

/* What is published is what verifies, and nothing else is. */
static void published(void **state)
{
	const struct arc_key *key[] = {t.key, t.rsa};
	char record[2][ARC_KEY_RECORD], why[160], small[32], pem[ARC_KEY_PEM], err[128];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct arc_key *again;
		long n = arc_key_record(key[i], record[i], sizeof(record[i]));

		assert_true(n > 0 && (size_t)n == strlen(record[i]));
		assert_int_equal(arc_key_record(key[i], small, sizeof(small)), -ENOSPC);
		assert_true(arc_key_pem(key[i], pem, sizeof(pem)) > 0);
		assert_int_equal(arc_key_pem(key[i], small, sizeof(small)), -ENOSPC);
		again = arc_key_new(str_c(pem), err, sizeof(err));
		assert_non_null(again);
		assert_true(arc_key_fits(again, str_c(record[i]), why, sizeof(why)));
		arc_key_free(again);
	}
	for (size_t i = 0; i < 2; i++)
		assert_false(arc_key_fits(key[i], str_c(record[!i]), why, sizeof(why)));
	assert_non_null(strstr(why, "another type"));
	assert_false(arc_key_fits(key[0], STR_NONE, why, sizeof(why)));
	assert_false(arc_key_fits(key[0], STR("v=DKIM1; p="), why, sizeof(why)));
	assert_string_equal(why, "key revoked");
	assert_false(arc_key_fits(key[0], STR("v=DKIM1; k=ed25519; "
		"p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="), why, sizeof(why)));
	assert_string_equal(why, "it is of another key");
}

/* dkimpy finds the AMS of an instance by " i=N;": wherever the lines end. */
static void instance_is_found(void **state)
{
	struct iovec iov = {(void *)(uintptr_t)(HEAD "\r\n" BODY), sizeof(HEAD "\r\n" BODY) - 1};
	struct mail_bytes content = {&iov, 1, iov.iov_len};
	const struct arc_results none = {0};
	char set[8192], domain[80] = "";

	(void)state;
	for (size_t i = 0; i < 60; i++) {
		struct arc_seal_request req;
		const char *ams;
		long n;

		memset(domain, 'a', i + 1);
		strcpy(domain + i + 1, ".example");
		req = by(domain);
		n = arc_seal(&req, &content, &none, set, sizeof(set) - 1);
		assert_true(n > 0);
		set[n] = '\0';
		ams = strstr(set, "ARC-Message-Signature:");
		*strstr(set, "ARC-Authentication-Results:") = '\0';
		assert_non_null(strstr(ams, " i=1;"));
	}
}

static void dkim_done(void *arg, const struct dkim_results *r)
{
	unsigned int *calls = arg;

	assert_int_equal(r->n, 1);
	(*calls)++;
}

/* One pass of the body for both; either may go before it has ended. */
static void shared(void **state)
{
	char *m = chain_of(2);
	struct iovec iov = {m, strlen(m)};
	struct mail_bytes content = {&iov, 1, iov.iov_len};
	struct headers h;

	(void)state;
	assert_int_equal(headers_parse(&h, &content), 0);
	for (int gone = 0; gone < 3; gone++) {
		struct body_run *r = body_run_new(t.base, &h, &content);
		const struct dkim_options opt = {.now = NOW, .run = r};
		unsigned int dkim_calls = 0;
		struct want w = {0};
		struct dkim_check *d;
		struct arc_check *a;

		t.calls = 0;
		assert_non_null(r);
		d = dkim_verify(t.dns, t.base, &h, &content, &opt, dkim_done, &dkim_calls);
		a = arc_verify(t.dns, t.base, &h, &content, &opt, done, &w);
		assert_true(d && a);
		/* Both sets were made over the same body. */
		assert_int_equal(r->pass.n, 1);
		body_run_unref(r);
		if (gone == 1)
			dkim_check_free(d);
		if (gone == 2)
			arc_check_free(a);
		event_base_dispatch(t.base);
		assert_int_equal(dkim_calls, gone != 1);
		assert_int_equal(t.calls, gone != 2);
		if (gone != 2)
			assert_int_equal(t.got.result, ARC_PASS);
		if (gone != 1)
			dkim_check_free(d);
		if (gone != 2)
			arc_check_free(a);
		assert_int_equal(test_dns_open(t.dns), 0);
	}
	headers_free(&h);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains), cmocka_unit_test(broken),   cmocka_unit_test(oldest_pass),
		cmocka_unit_test(keys),   cmocka_unit_test(requests), cmocka_unit_test(instances),
		cmocka_unit_test(cancel), cmocka_unit_test(shared),   cmocka_unit_test(given_up),
		cmocka_unit_test(published), cmocka_unit_test(instance_is_found),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
