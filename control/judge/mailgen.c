/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/auth/arc/arc.h"
#include "control/judge/mailgen.h"
#include "postern/limits.h"

/* None reads as what we write in its place: its signature would stand. */
static const struct pool {
	const char *name, *text;
	enum kind kind;
	bool odd; /* octets that only simple canonicalization leaves alone */
} pool[] = {
	{"Received", "Received: from a ([192.0.2.9]) by b; Tue, 14 Nov 2023 22:13:20 +0000\r\n",
	 STAYS, 0},
	{"X-Postern-Score", "X-Postern-Score: 9\r\n", OURS, 0},
	{"X-Postern-Score", "x-POSTERN-score : 9\r\n", OURS, 0},
	{"X-Postern-Verdict", "X-Postern-Verdict:\r\n deny\r\n", OURS, 0},
	{"X-Postern-Original-Sender", "X-Postern-Original-Sender: ip=192.0.2.66\r\n", OURS, 0},
	{"X-Postern-Trace", "X-Postern-Trace: 1\r\n", OURS, 0},
	{"X-Postern", "X-Postern: 1\r\n", OURS, 0},
	{"X-Posterns", "X-Posterns: another\r\n", STAYS, 0},
	{"X-Acme-7f3-Score", "X-Acme-7f3-Score: 1\r\n", OURS_B, 0},
	{"Authentication-Results", "Authentication-Results: mx.example.net; spf=pass\r\n", OURS, 0},
	{"Authentication-Results", "authentication-results: MX.Example.NET 1; spf=pass\r\n", OURS,
	 0},
	{"Authentication-Results", "Authentication-Results: (a (b) c)\r\n mx.example.net; none\r\n",
	 OURS, 0},
	{"Authentication-Results", "Authentication-Results: \"mx.example.net\"; none\r\n", OURS, 0},
	{"Authentication-Results", "Authentication-Results: \"mx\\.example.net\"; none\r\n", OURS,
	 0},
	{"Authentication-Results",
	 "Authentication-Results: \xef\xbd\x8d\xef\xbd\x98.example.net; none\r\n", OURS, 0},
	{"Authentication-Results",
	 "Authentication-Results: mx\xe3\x80\x82"
	 "example.net; none\r\n",
	 OURS, 0},
	{"Authentication-Results", "Authentication-Results: (mx.example.net) x.example; none\r\n",
	 STAYS, 0},
	{"Authentication-Results", "Authentication-Results: other.example; spf=pass\r\n", STAYS, 0},
	{"Authentication-Results", "Authentication-Results: amx.example.net; spf=pass\r\n", STAYS,
	 0},
	{"Authentication-Results-Original",
	 "Authentication-Results-Original: mx.example.net; none\r\n", STAYS, 0},
	{"Received-SPF", "Received-SPF: pass receiver=mx.example.net\r\n", STAYS, 0},
	{"X-MS-Exchange-Organization-SCL", "X-MS-Exchange-Organization-SCL: -1\r\n", FOREIGN, 0},
	{"X-MS-Exchange-Organization-AuthAs", "x-ms-exchange-organization-AUTHAS\t: Internal\r\n",
	 FOREIGN, 0},
	{"X-MS-Exchange-CrossPremises-SCL", "X-MS-Exchange-CrossPremises-SCL: -1\r\n", FOREIGN, 0},
	{"X-Forefront-Antispam-Report", "X-Forefront-Antispam-Report: SFV:SKN\r\n", FOREIGN, 0},
	{"X-MS-Has-Attach", "X-MS-Has-Attach: yes\r\n", STAYS, 0},
	{"X-Odd", "X-Odd: a\nX-Postern-Score: 2\r\n", OURS, 1},
	{"X-Odd", "X-Odd: a\rX-MS-Exchange-Organization-SCL: -1\r\n", FOREIGN, 1},
	{"X-Odd", "X-Odd: a\rb\r\n", STAYS, 1},
	{"X-Odd", "X-Odd: a\r\n X-Postern-Score: 2\r\n", STAYS, 0},
	{"", "X-Postern-Score\x01: 3\r\n", OURS, 1},
	{"", "\xef\xbb\xbfX-Postern-Score: 3\r\n", OURS, 1},
	{"", "X-MS-Exchange-Organization-SCL\xa0: -1\r\n", FOREIGN, 1},
	{"", "no colon at all\r\n", STAYS, 1},
	{"List-Id", "List-Id: <l.example>\r\n", STAYS, 0},
};
#define POOL (sizeof(pool) / sizeof(pool[0]))

/* What h= may name besides: there is none of them in most messages. */
static const char *const absent[] = {
	"X-Postern-Score",
	"X-Postern-Verdict",
	"X-Postern-Trace",
	"X-Postern-Original-Sender",
	"X-Acme-7f3-Score",
	"Authentication-Results",
	"Received",
	"Received-SPF",
	"ARC-Authentication-Results",
	"X-MS-Exchange-Organization-SCL",
	"Reply-To",
	"X-Nothing",
};

static struct mail mail;
static EVP_PKEY *ed, *rsa;
static struct arc_key *seal_key;

static uint64_t rng_state = 0x2545f4914f6cdd1dull;

unsigned int mailgen_below(unsigned int n)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (unsigned int)((rng_state >> 20) % n);
}

/* ---- a message ------------------------------------------------------------------------------ */

static char *room(size_t n)
{
	char *p = mail.store + mail.used;

	assert_true(n < sizeof(mail.store) - mail.used);
	mail.used += n;
	return p;
}

static void on_top(const char *name, const char *text, size_t len, enum kind kind, bool odd)
{
	struct field *f = &mail.field[mail.n++];

	assert_true(mail.n <= MAILGEN_FIELDS);
	*f = (struct field){.text = text, .len = len, .kind = kind, .odd = odd};
	snprintf(f->name, sizeof(f->name), "%s", name);
}

static void plain(const char *name, const char *text)
{
	on_top(name, text, strlen(text), STAYS, false);
}

static void filler(size_t len, size_t line)
{
	char *p = room(len + 1);

	memset(p, 'x', len);
	memcpy(p, "X-Fill: ", 8);
	for (size_t i = 8 + line; line && i + 8 < len; i += line)
		memcpy(p + i, "\r\n ", 3);
	memcpy(p + len - 2, "\r\n", 2);
	on_top("X-Fill", p, len, STAYS, false);
}

static void to_the_limits(void)
{
	mail.at_limits = true;
	switch (mailgen_below(4)) {
	case 0: /* as many fields as there may be, with what comes on top */
		for (unsigned int i = 0; i < LIMIT_HEADER_FIELDS - 25; i++)
			plain("X-Many", "X-Many: 1\r\n");
		break;
	case 1: /* octets of the block */
		for (unsigned int i = 0; i < 62; i++)
			filler(4130, 70);
		break;
	case 2: /* one field in lines */
		filler(LIMIT_HEADER_FIELD, 76);
		break;
	default: /* one line */
		filler(LIMIT_HEADER_FIELD, 0);
	}
}

static void fields(void)
{
	plain("Subject", "Subject: s\r\n");
	plain("To", "To: r@a.example.net\r\n");
	plain("Date", "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n");
	plain("From", "From: a@signer.example\r\n");
	if (mailgen_below(60) == 0)
		to_the_limits();
	for (unsigned int n = mailgen_below(9); n; n--) {
		const struct pool *p = &pool[mailgen_below(POOL)];

		on_top(p->name, p->text, strlen(p->text), p->kind, p->odd);
	}
}

/* ---- a signer ------------------------------------------------------------------------------- */

static void add_name(struct signature *s, const char *name)
{
	assert_true(strlen(name) < sizeof(s->names[0]));
	if (s->n < MAILGEN_NAMES && name[0])
		memmove(s->names[s->n++], name, strlen(name) + 1);
}

/* From, some of what is there, some of it once more than it is, some of what is not. */
static void choose_names(struct signature *s, bool relaxed)
{
	s->n = 0;
	add_name(s, "From");
	for (size_t i = 0; i < mail.n; i++) {
		const struct field *f = &mail.field[i];

		if (mailgen_below(3) == 0 && !(f->odd && relaxed) && strncmp(f->name, "ARC-", 4) &&
		    strcmp(f->name, "DKIM-Signature") && strcmp(f->name, "From") &&
		    strcmp(f->name, "X-Many") && s->n < 20)
			add_name(s, f->name);
	}
	for (unsigned int n = mailgen_below(3); n; n--)
		add_name(s, s->names[mailgen_below((unsigned int)s->n)]);
	for (unsigned int n = mailgen_below(4) ? 0 : 1 + mailgen_below(3); n; n--)
		add_name(s, absent[mailgen_below(sizeof(absent) / sizeof(absent[0]))]);
	/* A signer that does not think of odd octets would fail to sign: nothing is shown then. */
	for (size_t i = 0; i < mail.n && relaxed; i++)
		for (size_t k = 0; k < s->n; k++)
			if (mail.field[i].odd && !strcasecmp(s->names[k], mail.field[i].name))
				snprintf(s->names[k], sizeof(s->names[k]), "X-Nothing");
}

/* RFC 6376 3.4.1, 3.4.2. */
static void canonical(char *out, size_t *n, const char *text, size_t len, bool relaxed)
{
	size_t colon = (size_t)((const char *)memchr(text, ':', len) - text), i = colon + 1;
	bool wsp = false, any = false;

	if (!relaxed) {
		memcpy(out + *n, text, len);
		*n += len;
		return;
	}
	while (colon && (text[colon - 1] == ' ' || text[colon - 1] == '\t'))
		colon--;
	for (size_t k = 0; k < colon; k++)
		out[(*n)++] = (char)ascii_lower((uint8_t)text[k]);
	out[(*n)++] = ':';
	for (; i < len; i++) {
		if (strchr(" \t\r\n", text[i])) {
			wsp = true;
			continue;
		}
		if (wsp && any)
			out[(*n)++] = ' ';
		wsp = false;
		any = true;
		out[(*n)++] = text[i];
	}
	memcpy(out + *n, "\r\n", 2);
	*n += 2;
}

static void signed_octets(const struct signature *s, bool relaxed, char *out, size_t *n)
{
	static bool used[MAILGEN_FIELDS];

	memset(used, 0, sizeof(used));
	for (size_t k = 0; k < s->n; k++)
		for (size_t i = 0; i < mail.n; i++) {
			const struct field *f = &mail.field[i];

			if (used[i] || strcasecmp(f->name, s->names[k]))
				continue;
			used[i] = true;
			canonical(out, n, f->text, f->len, relaxed);
			break;
		}
}

static void sign_dkim(void)
{
	static char data[MAILGEN_TEXT];
	bool relaxed = mailgen_below(2), use_rsa = mailgen_below(8) == 0;
	struct signature *s = &mail.dkim[mail.n_dkim];
	uint8_t hash[32], sig[512];
	size_t n = 0, len = sizeof(sig);
	char *text = room(4096), b64[800];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int at;

	choose_names(s, relaxed);
	mail.n_dkim++;
	EVP_Digest(MAILGEN_BODY, sizeof(MAILGEN_BODY) - 1, hash, NULL, EVP_sha256(), NULL);
	EVP_EncodeBlock((uint8_t *)b64, hash, 32);
	at = sprintf(text,
		     "DKIM-Signature: v=1; a=%s-sha256; c=%s/simple; d=signer.example; s=%s;\r\n"
		     "\tbh=%s;\r\n\th=",
		     use_rsa ? "rsa" : "ed25519", relaxed ? "relaxed" : "simple",
		     use_rsa ? "r" : "e", b64);
	for (size_t i = 0; i < s->n; i++)
		at += sprintf(text + at, "%s%s", i ? ":\r\n\t" : "", s->names[i]);
	at += sprintf(text + at, ";\r\n\tb=");
	signed_octets(s, relaxed, data, &n);
	memcpy(text + at, "\r\n", 2);
	canonical(data, &n, text, (size_t)at + 2, relaxed);
	n -= 2;
	if (use_rsa) {
		assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, rsa), 1);
		assert_int_equal(EVP_DigestSign(ctx, sig, &len, (uint8_t *)data, n), 1);
	} else {
		/* RFC 8463 3: the signature is of the hash. */
		EVP_Digest(data, n, hash, NULL, EVP_sha256(), NULL);
		assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, ed), 1);
		assert_int_equal(EVP_DigestSign(ctx, sig, &len, hash, 32), 1);
	}
	EVP_MD_CTX_free(ctx);
	EVP_EncodeBlock((uint8_t *)b64, sig, (int)len);
	at += sprintf(text + at, "%s\r\n", b64);
	plain("DKIM-Signature", text);
}

static void write_out(void)
{
	mail.size = 0;
	for (size_t i = mail.n; i > 0; i--) {
		memcpy(mail.text + mail.size, mail.field[i - 1].text, mail.field[i - 1].len);
		mail.size += mail.field[i - 1].len;
	}
	memcpy(mail.text + mail.size, "\r\n" MAILGEN_BODY, sizeof(MAILGEN_BODY) + 1);
	mail.size += sizeof(MAILGEN_BODY) + 1;
}

/* One more set on top, by the sealer that is shown to be right elsewhere. */
static void seal(void)
{
	struct signature *s = &mail.ams[mail.n_arc];
	struct arc_results chain = {.result = mail.n_arc ? ARC_PASS : ARC_NONE, .n = mail.n_arc};
	char names[1600] = "", *buf = room(8192), *ams, *aar;
	bool ours = mailgen_below(6) == 0;
	struct arc_seal_request req = {.key = seal_key,
				       .domain = "signer.example",
				       .selector = "e",
				       .authserv_id = ours ? "mx.example.net" : "relay.example",
				       .now = 1700000000,
				       .results = STR("spf=pass smtp.mailfrom=signer.example"),
				       .names = names};
	struct iovec iov;
	struct mail_bytes content = {&iov, 1, 0};
	long n;

	choose_names(s, true);
	for (size_t i = 0; i < s->n; i++) {
		if (!strcasecmp(s->names[i], "ARC-Authentication-Results"))
			strcpy(s->names[i], "X-Nothing");
		sprintf(names + strlen(names), "%s%s", i ? ":" : "", s->names[i]);
	}
	write_out();
	iov = (struct iovec){mail.text, mail.size};
	content.size = mail.size;
	n = arc_seal(&req, &content, &chain, buf, 8192);
	assert_true(n > 0 && n < 8192);
	ams = memmem(buf, (size_t)n, "\r\nARC-Message-Signature:", 24);
	aar = memmem(buf, (size_t)n, "\r\nARC-Authentication-Results:", 29);
	assert_true(ams && aar && ams < aar);
	on_top("ARC-Authentication-Results", aar + 2, (size_t)(buf + n - aar - 2),
	       ours ? OURS : STAYS, false);
	on_top("ARC-Message-Signature", ams + 2, (size_t)(aar - ams), STAYS, false);
	on_top("ARC-Seal", buf, (size_t)(ams - buf) + 2, STAYS, false);
	mail.own_aar[mail.n_arc++] = ours;
}

const struct mail *mailgen_next(void)
{
	mail.n = mail.n_dkim = mail.n_arc = mail.used = 0;
	mail.at_limits = false;
	mail.route = mailgen_below(3);
	fields();
	for (unsigned int n = 1 + mailgen_below(2); n; n--)
		sign_dkim();
	for (unsigned int n = mailgen_below(5) ? 0 : 1 + mailgen_below(3); n; n--)
		seal();
	write_out();
	return &mail;
}

/* ---- set-up --------------------------------------------------------------------------------- */

static void key_record(char *out, size_t cap)
{
	uint8_t pub[32], *der = NULL;
	char b64[1200];
	size_t len = sizeof(pub), n;
	int der_len;

	assert_int_equal(EVP_PKEY_get_raw_public_key(ed, pub, &len), 1);
	EVP_EncodeBlock((uint8_t *)b64, pub, 32);
	n = (size_t)snprintf(out, cap,
			     "$ORIGIN signer.example.\ne._domainkey TXT \"v=DKIM1; k=ed25519; "
			     "p=%s\"\n",
			     b64);
	der_len = i2d_PUBKEY(rsa, &der);
	assert_true(der_len > 0);
	EVP_EncodeBlock((uint8_t *)b64, der, der_len);
	OPENSSL_free(der);
	n += (size_t)snprintf(out + n, cap - n, "r._domainkey TXT \"v=DKIM1; p=%.200s\" \"%s\"\n",
			      b64, b64 + 200);
	assert_true(n < cap);
}

int mailgen_start(char *zone, size_t cap)
{
	static const uint8_t seed[32] = {7};
	char err[256] = "", pem[512];
	BIO *bio = BIO_new(BIO_s_mem());
	int len;

	ed = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	rsa = EVP_RSA_gen(1024);
	key_record(zone, cap);
	if (PEM_write_bio_PrivateKey(bio, ed, NULL, NULL, 0, NULL, NULL) != 1)
		return -1;
	len = BIO_read(bio, pem, sizeof(pem));
	BIO_free(bio);
	seal_key = arc_key_new(str_make(pem, (size_t)len), err, sizeof(err));
	return seal_key ? 0 : -1;
}

void mailgen_stop(void)
{
	arc_key_free(seal_key);
	EVP_PKEY_free(ed);
	EVP_PKEY_free(rsa);
}
