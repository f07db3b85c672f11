/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/auth/dkim/tags.h"
#include "control/hash/sha256.h"

static void tag_lists(void **state)
{
	static const struct { const char *text; long n; const char *last;
	} t[] = {
		{"a=b", 1, "b"},
		{"a=b;", 1, "b"},
		{"a=b; ", 1, "b"},
		{" a = b ; c\t=\r\n d e ", 2, "d e"},
		{"a=;b=", 2, ""},
		{"a=b=c", 1, "b=c"},
		{"A=1; a=2", 2, "2"},
		{"a_1=x", 1, "x"},
		{"a=x\r\n \r\n y", 1, "x\r\n \r\n y"},
		{"a=\xc3\xa4", 1, "\xc3\xa4"},
		{"", -1, ""},
		{";", -1, ""},
		{"a=b;;", -1, ""},
		{"a=b;;c=d", -1, ""},
		{"a", -1, ""},
		{"a b=c", -1, ""},
		{"1a=b", -1, ""},
		{"=b", -1, ""},
		{"a=b; a=c", -1, ""},
		{"a=b\r\nc=d", -1, ""},
		{"a=b\rc", -1, ""},
		{"a=b\nc", -1, ""},
		{"a=b\x7f", -1, ""},
		{"a=b\x01", -1, ""},
		{"a-b=c", -1, ""},
		{"_a=b", -1, ""},
	};
	struct dkim_tags tags;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int rc = dkim_tags_parse(str_c(t[i].text), &tags, &why);

		assert_int_equal(rc == 0 ? (long)tags.n : -1, t[i].n);
		if (rc == 0)
			assert_true(str_eq(tags.tag[tags.n - 1].value, str_c(t[i].last)));
	}
	assert_int_not_equal(dkim_tags_parse(str_make("a=b\0c", 5), &tags, &why), 0);
}

static void base64(void **state)
{
	static const struct { const char *text; const char *out;
	} t[] = {
		{"", ""},
		{"Zg==", "f"},
		{"Zm8=", "fo"},
		{"Zm9v", "foo"},
		{"Z m\t9\r\n v", "foo"},
		{"Zm9v\r\n YmFy", "foobar"},
		{"Zg= =", "f"},
		{"Zg", NULL},
		{"Zg=", NULL},
		{"Zg===", NULL},
		{"Zg==Zg==", NULL},
		{"Z=g=", NULL},
		{"Zm9v\r\nYmFy", NULL},
		{"Zm9-", NULL},
		{"====", NULL},
		{"Zm9v!", NULL},
		{"A===", NULL},
	};
	uint8_t out[16];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		long n = dkim_base64(str_c(t[i].text), out, sizeof(out));

		if (!t[i].out) {
			assert_true(n < 0);
			continue;
		}
		assert_int_equal(n, strlen(t[i].out));
		assert_memory_equal(out, t[i].out, (size_t)n);
	}
	assert_true(dkim_base64(STR("Zm9v"), out, 2) < 0);
}

static void key_records(void **state)
{
	static const struct {
		const char *text;
		bool ok, test, strict, sha256, email, revoked;
	} t[] = {
		{"v=DKIM1; k=rsa; p=Zm9v", 1, 0, 0, 1, 1, 0},
		{"p=Zm9v", 1, 0, 0, 1, 1, 0},
		{"v=DKIM1; p=", 1, 0, 0, 1, 1, 1},
		{"v=DKIM1; t=y:s; p=Zm9v", 1, 1, 1, 1, 1, 0},
		{"v=DKIM1; t= s : x ; p=Zm9v", 1, 0, 1, 1, 1, 0},
		{"h=sha1; p=Zm9v", 1, 0, 0, 0, 1, 0},
		{"h=sha1:sha256; p=Zm9v", 1, 0, 0, 1, 1, 0},
		{"s=other; p=Zm9v", 1, 0, 0, 1, 0, 0},
		{"s=other:*; p=Zm9v", 1, 0, 0, 1, 1, 0},
		{"s=email; n=note here; p=Zm9v;", 1, 0, 0, 1, 1, 0},
		{"p=Zm9v; v=DKIM1", 0, 0, 0, 0, 0, 0},
		{"v=DKIM2; p=Zm9v", 0, 0, 0, 0, 0, 0},
		{"v=dkim1; p=Zm9v", 0, 0, 0, 0, 0, 0},
		{"v=DKIM1; k=dsa; p=Zm9v", 0, 0, 0, 0, 0, 0},
		{"v=DKIM1; k=rsa", 0, 0, 0, 0, 0, 0},
		{"v=DKIM1; p=Zm9", 0, 0, 0, 0, 0, 0},
		{"p=Zm9v; p=Zm9v", 0, 0, 0, 0, 0, 0},
		{"v=spf1 -all", 0, 0, 0, 0, 0, 0},
		{"", 0, 0, 0, 0, 0, 0},
	};
	struct dkim_key k;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int rc = dkim_key_parse(str_c(t[i].text), &k, &why);

		assert_int_equal(rc == 0, t[i].ok);
		if (rc)
			continue;
		assert_int_equal(k.testing, t[i].test);
		assert_int_equal(k.strict_identity, t[i].strict);
		assert_int_equal(k.sha256, t[i].sha256);
		assert_int_equal(k.email, t[i].email);
		assert_int_equal(k.revoked, t[i].revoked);
	}
}

#define BH "bh=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=;"
#define GOOD "v=1; a=rsa-sha256; d=example.com; s=k; b=Zm9v;" BH

static void signatures(void **state)
{
	static const struct {
		const char *text;
		enum dkim_result result;
		const char *reason;
	} t[] = {
		{GOOD "h=From", DKIM_NONE, ""},
		{GOOD "h= To : from :Subject; c=relaxed; i=a@sub.example.com; q=x:dns/txt",
		 DKIM_NONE, ""},
		{GOOD "h=from; i==61=40@EXAMPLE.com; l=0; t=1; x=99999999999", DKIM_NONE, ""},
		{GOOD "h=from; t=1300; x=1301", DKIM_NONE, ""},
		{"v=2; a=rsa-sha256; d=example.com; s=k; b=Zm9v;" BH "h=from", DKIM_PERMERROR,
		 "unknown version"},
		{"a=rsa-sha256; d=example.com; s=k; b=Zm9v;" BH "h=from", DKIM_PERMERROR,
		 "no v= tag"},
		{"v=1; a=rsa-sha1; d=example.com; s=k; b=Zm9v;" BH "h=from", DKIM_PERMERROR,
		 "rsa-sha1 is historic"},
		{"v=1; a=x; d=example.com; s=k; b=Zm9v;" BH "h=from", DKIM_PERMERROR,
		 "unknown algorithm"},
		{"v=1; d=example.com; s=k; b=Zm9v;" BH "h=from", DKIM_PERMERROR, "no a= tag"},
		{"v=1; a=rsa-sha256; s=k; b=Zm9v;" BH "h=from", DKIM_PERMERROR, "no d= tag"},
		{"v=1; a=rsa-sha256; d=e_x.com; s=k; b=Zm9v;" BH "h=from", DKIM_PERMERROR,
		 "malformed d="},
		{"v=1; a=rsa-sha256; d=example.com; s=a..b; b=Zm9v;" BH "h=from", DKIM_PERMERROR,
		 "malformed s="},
		{"v=1; a=rsa-sha256; d=example.com; s=a_b.c; b=Zm9v;" BH "h=from", DKIM_NONE, ""},
		{"v=1; a=rsa-sha256; d=example.com; s=k; b=Zm9;" BH "h=from", DKIM_PERMERROR,
		 "malformed b="},
		{"v=1; a=rsa-sha256; d=example.com; s=k; b=;" BH "h=from", DKIM_PERMERROR,
		 "no b= tag"},
		{"v=1; a=rsa-sha256; d=example.com; s=k; b=Zm9v; bh=Zm9v; h=from", DKIM_PERMERROR,
		 "malformed bh="},
		{"v=1; a=rsa-sha256; d=example.com; s=k; b=Zm9v; h=from", DKIM_PERMERROR,
		 "no bh= tag"},
		{GOOD "h=to:subject", DKIM_PERMERROR, "From is not signed"},
		{GOOD "h=from::to", DKIM_PERMERROR, "empty name in h="},
		{GOOD "h=from:a b", DKIM_PERMERROR, "malformed name in h="},
		{GOOD "h=", DKIM_PERMERROR, "no h= tag"},
		{GOOD "h=from; c=nowsp", DKIM_PERMERROR, "unknown canonicalization"},
		{GOOD "h=from; c=simple/", DKIM_PERMERROR, "unknown canonicalization"},
		{GOOD "h=from; i=a@notexample.com", DKIM_PERMERROR, "i= is not within d="},
		{GOOD "h=from; i=@com", DKIM_PERMERROR, "i= is not within d="},
		{GOOD "h=from; i=example.com", DKIM_PERMERROR, "malformed i="},
		{GOOD "h=from; i==0d@example.com", DKIM_PERMERROR, "malformed i="},
		{GOOD "h=from; l=-1", DKIM_PERMERROR, "malformed l="},
		{GOOD "h=from; l=", DKIM_PERMERROR, "malformed l="},
		{GOOD "h=from; q=http", DKIM_PERMERROR, "no known query method in q="},
		{GOOD "h=from; t=1000; x=1000", DKIM_PERMERROR, "x= is not later than t="},
		{GOOD "h=from; t=1301", DKIM_PERMERROR, "t= is in the future"},
		{GOOD "h=from; x=999", DKIM_FAIL, "signature expired"},
		{GOOD "h=from; t=a", DKIM_PERMERROR, "malformed t="},
		{GOOD "h=from; d=example.net", DKIM_PERMERROR, "duplicate tag"},
	};
	const struct dkim_options opt = {.now = 1000};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct dkim_signature sig = {0};
		struct dkim_params p;
		int rc = dkim_signature_parse(str_c(t[i].text), DKIM_FIELD_SIGNATURE, &opt, &p,
					      &sig);

		assert_string_equal(sig.reason, t[i].reason);
		assert_int_equal(sig.result, t[i].result);
		assert_int_equal(rc == 0, t[i].result == DKIM_NONE);
		free(sig.signed_names);
	}
}

static void international(void **state)
{
	const struct dkim_options opt = {.now = 1000};
	struct dkim_signature sig = {0};
	struct dkim_params p;

	(void)state;
	/* RFC 8616 4: U-labels in d=, looked up as A-labels. */
	assert_int_equal(dkim_signature_parse(STR("v=1; a=rsa-sha256; d=b\xc3\xbc"
						  "cher.example; s=k; b=Zm9v;" BH
						  "h=from; i=\xc3\xa4@b\xc3\xbc"
						  "cher.example"),
					      DKIM_FIELD_SIGNATURE, &opt, &p, &sig),
			 0);
	assert_string_equal(sig.domain, "xn--bcher-kva.example");
	assert_string_equal(p.key_name, "k._domainkey.xn--bcher-kva.example");
	free(sig.signed_names);
}

/* Digest of a text under SHA-256, by another way than the pass. */
static void sha256(const char *text, uint8_t *out)
{
	assert_int_equal(EVP_Digest(text, strlen(text), out, NULL, hash_sha256(), NULL), 1);
}

static const struct { const char *body, *simple, *relaxed; } bodies[] = {
	{"", "\r\n", ""},
	{"\r\n", "\r\n", ""},
	{"\r\n\r\n\r\n", "\r\n", ""},
	{" \t\r\n \r\n", " \t\r\n \r\n", ""},
	{" ", " \r\n", ""},
	{"a", "a\r\n", "a\r\n"},
	{"a\r\n", "a\r\n", "a\r\n"},
	{"a\r\n\r\n\r\n", "a\r\n", "a\r\n"},
	{"a \t b \r\n\r\n  c\t\r\n \r\n", "a \t b \r\n\r\n  c\t\r\n \r\n", "a b\r\n\r\n c\r\n"},
	{"a \t", "a \t\r\n", "a\r\n"},
	{"a\r", "a\r\r\n", "a\r\r\n"},
	{"a \rb\nc\r\r\n", "a \rb\nc\r\r\n", "a \rb\nc\r\r\n"},
	{"\r\n\r\na", "\r\n\r\na\r\n", "\r\n\r\na\r\n"},
	{"a\r\n \r\n\tb", "a\r\n \r\n\tb\r\n", "a\r\n\r\n b\r\n"},
};

/* Every cut of every body in three pieces, with and without l=, gives the same digests. */
static void body_splits(void **state)
{
	(void)state;
	for (size_t t = 0; t < sizeof(bodies) / sizeof(bodies[0]); t++) {
		const uint8_t *b = (const uint8_t *)bodies[t].body;
		size_t n = strlen(bodies[t].body);
		uint8_t simple[32], relaxed[32], two[32];
		char cut[8];

		sha256(bodies[t].simple, simple);
		sha256(bodies[t].relaxed, relaxed);
		snprintf(cut, 3, "%s", bodies[t].simple);
		sha256(cut, two);
		for (size_t i = 0; i <= n; i++)
			for (size_t j = i; j <= n; j++) {
				struct canon_pass p;

				canon_pass_init(&p);
				assert_int_equal(canon_pass_add(&p, CANON_SIMPLE, UINT64_MAX), 0);
				assert_int_equal(canon_pass_add(&p, CANON_RELAXED, UINT64_MAX), 1);
				assert_int_equal(canon_pass_add(&p, CANON_SIMPLE, 2), 2);
				assert_int_equal(canon_pass_add(&p, CANON_SIMPLE, UINT64_MAX), 0);
				canon_pass_update(&p, b, i);
				canon_pass_update(&p, b + i, j - i);
				canon_pass_update(&p, b + j, n - j);
				canon_pass_end(&p);
				assert_false(p.failed);
				assert_memory_equal(p.hash[0].digest, simple, 32);
				assert_memory_equal(p.hash[1].digest, relaxed, 32);
				assert_memory_equal(p.hash[2].digest, two, 32);
				assert_int_equal(p.body[0].total, strlen(bodies[t].simple));
				assert_int_equal(p.body[1].total, strlen(bodies[t].relaxed));
				canon_pass_free(&p);
			}
	}
}

/* Long runs go past the stage; a body that starts with ever so many empty lines keeps them. */
static void body_long(void **state)
{
	enum { N = 20000 };
	static const size_t step[] = {1, 7, 2047, 2048, 2049, N};
	char *text = malloc(N + 3);
	uint8_t want[32];

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < N; i++)
		text[i] = i < 9000    ? "\r\n"[i & 1]
			  : i < 15000 ? 'x'
				      : "word \r\n"[i % 5 ? i % 4 : 0];
	memcpy(text + N - 2, "z\r", 2);
	memcpy(text + N, "\r\n", 3);
	sha256(text, want);
	for (size_t s = 0; s < sizeof(step) / sizeof(step[0]); s++) {
		struct canon_pass p;

		canon_pass_init(&p);
		assert_int_equal(canon_pass_add(&p, CANON_SIMPLE, UINT64_MAX), 0);
		for (size_t i = 0; i < N; i += step[s])
			canon_pass_update(&p, (uint8_t *)text + i,
					  step[s] < N - i ? step[s] : N - i);
		canon_pass_end(&p);
		assert_memory_equal(p.hash[0].digest, want, 32);
		canon_pass_free(&p);
	}
	free(text);
}

/* RFC 6376 3.4.3 and 3.4.4, read from the text an octet at a time over the whole body. */
static size_t by_octets(const uint8_t *in, size_t n, bool relaxed, uint8_t *out)
{
	size_t k = 0, line = 0;

	for (size_t i = 0; i < n; i++) {
		bool eol = in[i] == '\r' && i + 1 < n && in[i + 1] == '\n';

		if (relaxed && (in[i] == ' ' || in[i] == '\t')) {
			if (k == line || out[k - 1] != ' ')
				out[k++] = ' ';
			continue;
		}
		if (!eol) {
			out[k++] = in[i];
			continue;
		}
		while (relaxed && k > line && out[k - 1] == ' ')
			k--;
		memcpy(out + k, "\r\n", 2);
		k += 2;
		line = k;
		i++;
	}
	while (relaxed && k > line && out[k - 1] == ' ')
		k--;
	if (k > line) { /* the last line has an end, whether it came with one or not */
		memcpy(out + k, "\r\n", 2);
		k += 2;
	}
	while (k >= 4 && !memcmp(out + k - 4, "\r\n\r\n", 4))
		k -= 2;
	if (k == 2 && !memcmp(out, "\r\n", 2))
		k = 0;
	if (!k && !relaxed) {
		memcpy(out, "\r\n", 2);
		k = 2;
	}
	return k;
}

/* The pass takes long runs as they are; whatever stands in them and wherever they are cut, its digests
 * are those of the octets one by one. */
static void body_by_octets(void **state)
{
	static const char *const alphabet[] = {
		"a \t\r\n", "\r\n", "ab\r", "words and more of them \r\n\r\n\t",
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 \n\x01\x1f\x80\xff.",
	};
	static uint8_t in[6000], out[2 * sizeof(in) + 2];
	uint64_t seed = 42;

	(void)state;
#define NEXT(below) ((size_t)((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 33) % (below))
	for (unsigned int round = 0; round < 4000; round++) {
		const char *from = alphabet[NEXT(5)];
		size_t n = NEXT(round % 4 ? 200 : sizeof(in)), limit = NEXT(2 * n + 3), line = NEXT(90) + 1;
		struct canon_pass p;
		uint8_t want[32];

		for (size_t i = 0; i < n; i++)
			in[i] = (uint8_t)from[NEXT(strlen(from))];
		for (size_t i = line; NEXT(2) && i + 2 < n; i += line) /* mostly text of lines */
			memcpy(in + i, "\r\n", 2);
		canon_pass_init(&p);
		for (int relaxed = 0; relaxed < 2; relaxed++) {
			enum dkim_canon c = relaxed ? CANON_RELAXED : CANON_SIMPLE;

			assert_int_equal(canon_pass_add(&p, c, UINT64_MAX), 2 * relaxed);
			assert_int_equal(canon_pass_add(&p, c, limit), 2 * relaxed + 1);
		}
		for (size_t i = 0; i < n;) {
			size_t piece = 1 + NEXT(round % 3 ? 40 : sizeof(in));

			piece = piece < n - i ? piece : n - i;
			canon_pass_update(&p, in + i, piece);
			i += piece;
		}
		canon_pass_end(&p);
		for (int relaxed = 0; relaxed < 2; relaxed++) {
			size_t k = by_octets(in, n, relaxed, out);

			assert_int_equal(p.body[relaxed].total, k);
			assert_int_equal(EVP_Digest(out, k, want, NULL, hash_sha256(), NULL), 1);
			assert_memory_equal(p.hash[2 * relaxed].digest, want, 32);
			k = k < limit ? k : limit;
			assert_int_equal(EVP_Digest(out, k, want, NULL, hash_sha256(), NULL), 1);
			assert_memory_equal(p.hash[2 * relaxed + 1].digest, want, 32);
		}
		canon_pass_free(&p);
	}
#undef NEXT
}

static void header_forms(void **state)
{
	static const char m[] =
		"Sub ject: no\r\nFrom: one\r\nX-Two \t:  a\t b \r\n\tc  \r\nfrom: two\r\n"
		"DKIM-Signature: v=1; b=ab c \r\n\t; x\r\n\r\n";
	static const struct {
		const char *names[4];
		enum dkim_canon canon;
		const char *want;
	} t[] = {
		{{"from"}, CANON_RELAXED, "from:two\r\ndkim-signature:v=1; b=; x"},
		{{"from", "from", "from"},
		 CANON_RELAXED,
		 "from:two\r\nfrom:one\r\ndkim-signature:v=1; b=; x"},
		{{"x-two", "none"}, CANON_RELAXED, "x-two:a b c\r\ndkim-signature:v=1; b=; x"},
		{{"x-two", "from"},
		 CANON_SIMPLE,
		 "X-Two \t:  a\t b \r\n\tc  \r\nfrom: two\r\nDKIM-Signature: v=1; b=; x"},
		{{"dkim-signature"}, CANON_RELAXED, "dkim-signature:v=1; b=; x"},
		{{"sub ject"}, CANON_SIMPLE, "DKIM-Signature: v=1; b=; x"},
	};
	struct iovec iov = {(void *)(uintptr_t)m, sizeof(m) - 1};
	struct mail_bytes c = {&iov, 1, sizeof(m) - 1};
	struct headers h;
	struct str cut = str_make(strstr(m, "ab c"), 8);
	uint8_t got[32], want[32];

	(void)state;
	assert_int_equal(headers_parse(&h, &c), 0);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct str names[4];
		size_t n = 0;

		for (; n < 4 && t[i].names[n]; n++)
			names[n] = str_c(t[i].names[n]);
		assert_int_equal(canon_headers(&h, names, n, 4, cut, t[i].canon, got), 0);
		sha256(t[i].want, want);
		assert_memory_equal(got, want, 32);
	}
	headers_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tag_lists),     cmocka_unit_test(base64),
		cmocka_unit_test(key_records),   cmocka_unit_test(signatures),
		cmocka_unit_test(international), cmocka_unit_test(body_splits),
		cmocka_unit_test(body_long),     cmocka_unit_test(header_forms),
		cmocka_unit_test(body_by_octets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
