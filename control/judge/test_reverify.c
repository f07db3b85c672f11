/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The second verification sees what is broken, says what is only not to be verified, and forgives
 * what was foretold and nothing else. */

#include <event2/event.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/dns/dns_zone.h"
#include "control/judge/judge_reverify.h"

#define NOW 1700000000

static struct event_base *base;
static struct dns *with_key, *without_key;
static EVP_PKEY *ed;
static struct arc_key *seal_key;
static char message[8192];
static size_t size;

/* What is done to the message between the two verifications. */
struct change {
	const char *find, *put; /* in the original part of what leaves, same length */
	const char *in_front;   /* fields on top of our block, NULL: none */
	const char *names;      /* h= of the DKIM-Signature */
	bool key_gone;
	uint8_t drop_odd; /* X-Odd is removed for this reason */
	bool hidden;      /* and nobody was told */
	unsigned int checked, voided, broken, unsettled;
	const char *text;
};

static const struct change changes[] = {
	{.names = "From:X-Odd", .checked = 3},
	{.names = "From", .find = "X-Odd: 1", .put = "X-Odd: 2", .checked = 3},
	{.names = "From:X-Odd",
	 .find = "X-Odd: 1",
	 .put = "X-Odd: 2",
	 .checked = 3,
	 .broken = 1,
	 .text = "DKIM-Signature d=signer.example s=e: "},
	{.names = "From",
	 .find = "body",
	 .put = "BODY",
	 .checked = 3,
	 .broken = 2,
	 .text = "DKIM-Signature d=signer.example s=e: "},
	{.names = "From",
	 .find = "DKIM-Signature",
	 .put = "DKIM-Signaturf",
	 .checked = 3,
	 .broken = 1,
	 .text = "DKIM-Signature d=signer.example s=e: not verified"},
	{.names = "From",
	 .find = "spf=pass",
	 .put = "spf=fail",
	 .checked = 3,
	 .broken = 1,
	 .text = "ARC-Seal d=signer.example s=e: "},
	{.names = "From", .key_gone = true, .checked = 3, .unsettled = 2},
	{.names = "From:X-Odd",
	 .find = "X-Odd: 1",
	 .put = "X-Odd: 2",
	 .key_gone = true,
	 .checked = 3,
	 .unsettled = 1,
	 .broken = 1,
	 .text = "DKIM-Signature d=signer.example s=e: no key"},
	{.names = "From",
	 .find = "body",
	 .put = "BODY",
	 .key_gone = true,
	 .checked = 3,
	 .broken = 2,
	 .text = "DKIM-Signature"},
	{.names = "From:X-Postern-Score", .checked = 3, .voided = 1},
	{.names = "From:Received:From", .checked = 3, .voided = 1},
	{.names = "From:X-Odd", .drop_odd = DROP_FORGED, .checked = 3, .voided = 1},
	{.names = "From:X-Odd", .drop_odd = DROP_FOREIGN, .checked = 3, .voided = 1},
	{.names = "From", .drop_odd = DROP_FOREIGN, .checked = 3},
	/* Not where it is said to be: nothing is found any more. */
	{.names = "From", .drop_odd = DROP_FOREIGN, .hidden = true, .checked = 3},
	{.names = "From:X-Odd",
	 .drop_odd = DROP_FOREIGN,
	 .hidden = true,
	 .checked = 3,
	 .broken = 1,
	 .text = "DKIM-Signature"},
	/* A set of our own, by a key that nobody knows. */
	{.names = "From",
	 .in_front = "ARC-Seal: i=2; a=rsa-sha256; cv=pass; d=x.example; s=x; b=AAAA\r\n"
		     "ARC-Message-Signature: i=2; a=rsa-sha256; d=x.example; s=x; "
		     "h=from; bh=AAAA; b=AAAA\r\n"
		     "ARC-Authentication-Results: i=2; mx.example.net; none\r\n",
	 .checked = 3},
	{.names = "From:X-New", .in_front = "X-New: x\r\n", .checked = 3, .voided = 1},
};

/* RFC 6376 3.4.1, 3.7; RFC 8463. */
static void sign(const char *names)
{
	static const char fields[] = "X-Odd: 1\r\nFrom: a@signer.example\r\n", body[] = "body\r\n";
	char field[1024], data[2048], b64[128];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t hash[32], sig[64];
	size_t len = sizeof(sig);
	int n;

	EVP_Digest(body, sizeof(body) - 1, hash, NULL, EVP_sha256(), NULL);
	EVP_EncodeBlock((uint8_t *)b64, hash, 32);
	snprintf(field, sizeof(field),
		 "DKIM-Signature: v=1; a=ed25519-sha256; d=signer.example; s=e; h=%s;"
		 " bh=%s; b=",
		 names, b64);
	n = snprintf(data, sizeof(data), "From: a@signer.example\r\n%s%s",
		     strstr(names, "X-Odd") ? "X-Odd: 1\r\n" : "", field);
	EVP_Digest(data, (size_t)n, hash, NULL, EVP_sha256(), NULL);
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, ed), 1);
	assert_int_equal(EVP_DigestSign(ctx, sig, &len, hash, 32), 1);
	EVP_MD_CTX_free(ctx);
	EVP_EncodeBlock((uint8_t *)b64, sig, 64);
	size = (size_t)snprintf(message, sizeof(message), "%s%s\r\n%s\r\n%s", field, b64, fields,
				body);
}

static void seal(void)
{
	struct arc_seal_request req = {.key = seal_key,
				       .domain = "signer.example",
				       .selector = "e",
				       .authserv_id = "relay.example",
				       .now = NOW,
				       .names = "From",
				       .results = STR("spf=pass")};
	struct iovec iov = {message, size};
	struct mail_bytes content = {&iov, 1, size};
	struct arc_results none = {.result = ARC_NONE};
	char set[4096];
	long n = arc_seal(&req, &content, &none, set, sizeof(set));

	assert_true(n > 0 && (size_t)n + size < sizeof(message));
	memmove(message + n, message, size);
	memcpy(message, set, (size_t)n);
	size += (size_t)n;
}

static void on_dkim(void *arg, const struct dkim_results *r)
{
	*(const struct dkim_results **)arg = r;
}

static void on_arc(void *arg, const struct arc_results *r)
{
	*(const struct arc_results **)arg = r;
}

static void on_done(void *arg, const struct reverify_result *r)
{
	*(struct reverify_result *)arg = *r;
}

static void make(const struct mail_bytes *c, const struct headers *h, const uint8_t *drop,
		 const struct change *t, struct annotate_output *out)
{
	struct mail_envelope env = {.proto = PROTO_ESMTP,
				    .helo = STR("h.example"),
				    .trace_id = "T",
				    .time_ns = NOW * 1000000000ull};
	struct origin origin = {.status = ORIGIN_DIRECT};
	struct annotate_input in = {.gateway = "mx.example.net",
				    .prefix = "X-Postern",
				    .env = &env,
				    .origin = &origin,
				    .action = "accept"};
	struct mail_range range[4];
	long n = annotate_ranges(h, drop, range, 4);
	size_t front = t->in_front ? strlen(t->in_front) : 0;

	assert_true(n >= 0);
	assert_int_equal(annotate_make(&in, c, range, (size_t)n, out), 0);
	if (!front)
		return;
	out->block = realloc(out->block, out->block_len + front);
	assert_non_null(out->block);
	memmove(out->block + front, out->block, out->block_len);
	memcpy(out->block, t->in_front, front);
	out->block_len += front;
	out->size += front;
	out->iov[0] = (struct iovec){out->block, out->block_len};
}

/* The pieces behind the block point into a copy from now on, changed. */
static char *change(struct annotate_output *out, const struct change *t)
{
	char *copy = malloc(size), *at;

	assert_non_null(copy);
	memcpy(copy, message, size);
	for (size_t i = 1; i < out->n_iov; i++)
		out->iov[i].iov_base = copy + ((char *)out->iov[i].iov_base - message);
	if (t->find) {
		at = memmem(copy, size, t->find, strlen(t->find));
		assert_non_null(at);
		memcpy(at, t->put, strlen(t->put));
	}
	return copy;
}

/* `turns` < 0: to its end. True: the end was met. */
static bool run(const struct change *t, int turns)
{
	struct iovec iov = {message, size};
	struct mail_bytes content = {&iov, 1, size};
	struct dkim_options opt = {.now = NOW};
	struct reverify_request req = {.dns = t->key_gone ? without_key : with_key,
				       .base = base,
				       .now = NOW,
				       .content = &content};
	struct reverify_result got = {0};
	struct annotate_output out;
	struct reverify *v;
	struct headers h;
	uint8_t drop[16] = {0}, told[16] = {0};
	struct dkim_check *d;
	struct arc_check *a;
	char *copy;
	size_t odd;

	assert_int_equal(headers_parse(&h, &content), 0);
	d = dkim_verify(with_key, base, &h, &content, &opt, on_dkim, &req.sigs.dkim);
	a = arc_verify(with_key, base, &h, &content, &opt, on_arc, &req.sigs.arc);
	event_base_dispatch(base);
	assert_int_equal(req.sigs.dkim->sig[0].result, DKIM_PASS);
	assert_int_equal(req.sigs.arc->result, ARC_PASS);
	odd = headers_find(&h, STR("X-Odd"), 0);
	drop[odd] = t->drop_odd;
	if (!t->hidden)
		memcpy(told, drop, sizeof(told));
	make(&content, &h, drop, t, &out);
	copy = change(&out, t);
	req.headers = &h;
	req.drop = told;
	req.out = &out;
	v = reverify_start(&req, on_done, &got);
	assert_non_null(v);
	assert_false(got.done);
	if (turns < 0)
		event_base_dispatch(base);
	for (int i = 0; i < turns && !got.done; i++)
		event_base_loop(base, EVLOOP_ONCE);
	if (turns < 0 && (got.checked != t->checked || got.voided != t->voided ||
			  got.broken != t->broken || got.unsettled != t->unsettled ||
			  strncmp(got.text, t->text ? t->text : "", t->text ? strlen(t->text) : 1)))
		fail_msg("case %td: %u checked, %u void, %u broken, %u unsettled: %s", t - changes,
			 got.checked, got.voided, got.broken, got.unsettled, got.text);
	reverify_free(v);
	event_base_loop(base, EVLOOP_NONBLOCK);
	dkim_check_free(d);
	arc_check_free(a);
	annotate_free(&out);
	headers_free(&h);
	free(copy);
	return got.done;
}

static void each(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		sign(changes[i].names);
		seal();
		assert_true(run(&changes[i], -1));
	}
}

static void cancelled(void **state)
{
	int turns = 0;

	(void)state;
	sign("From");
	seal();
	while (!run(&changes[1], turns))
		assert_true(++turns < 1000);
	assert_true(turns > 1);
}

static struct dns *dns_of(const char *text)
{
	struct dns_zone *z = dns_zone_new();
	char err[256];

	assert_int_equal(
		dns_zone_parse(z, (const uint8_t *)text, strlen(text), "t", err, sizeof(err)), 0);
	return dns_new_memory(base, z, 0);
}

static int setup(void **state)
{
	static const uint8_t seed[32] = {9};
	char zone[256], pem[256], b64[64], err[256];
	BIO *bio = BIO_new(BIO_s_mem());
	uint8_t pub[32];
	size_t n = 32;
	int len;

	(void)state;
	base = event_base_new();
	ed = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	EVP_PKEY_get_raw_public_key(ed, pub, &n);
	EVP_EncodeBlock((uint8_t *)b64, pub, 32);
	snprintf(zone, sizeof(zone),
		 "e._domainkey.signer.example. TXT \"v=DKIM1; k=ed25519; p=%s\"\n", b64);
	with_key = dns_of(zone);
	without_key = dns_of("nothing.example. TXT \"x\"\n");
	if (PEM_write_bio_PrivateKey(bio, ed, NULL, NULL, 0, NULL, NULL) != 1)
		return -1;
	len = BIO_read(bio, pem, sizeof(pem));
	BIO_free(bio);
	seal_key = arc_key_new(str_make(pem, (size_t)len), err, sizeof(err));
	return seal_key ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	dns_free(with_key);
	dns_free(without_key);
	event_base_free(base);
	arc_key_free(seal_key);
	EVP_PKEY_free(ed);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each), cmocka_unit_test(cancelled)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
