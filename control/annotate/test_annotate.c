/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/annotate/annotate.h"

#define AR "Authentication-Results: mx.example.net;\r\n\tspf=pass smtp.mailfrom=a@example.com\r\n"

static struct str rcpt[2];
static struct mail_envelope env;
static struct origin origin;
static struct annotate_input in;
static const struct str own_prefix = STR("X-Postern");
static const struct annotate_own own = {STR("mx.example.net"), &own_prefix, 1};

static struct ip_addr ip(const char *text)
{
	struct ip_addr a;

	assert_true(ip_parse(str_c(text), &a));
	return a;
}

static int fresh(void **state)
{
	(void)state;
	rcpt[0] = STR("b@example.net");
	rcpt[1] = STR("c@example.net");
	env = (struct mail_envelope){.peer = ip("203.0.113.5"),
				     .proto = PROTO_ESMTPS,
				     .tls_version = 0x0304,
				     .tls_cipher = STR("TLS_AES_256_GCM_SHA384"),
				     .helo = STR("mail.example.com"),
				     .rcpt = rcpt,
				     .n_rcpts = 1,
				     .time_ns = 1700000000ull * 1000000000,
				     .trace_id = "0123456789ABCDEF"};
	origin = (struct origin){
		.status = ORIGIN_DIRECT, .ip = env.peer, .helo = "mail.example.com"};
	in = (struct annotate_input){.gateway = "mx.example.net", .authserv_id = "mx.example.net",
		.prefix = "X-Postern", .env = &env, .origin = &origin, .ptr = "ptr.example.com",
		.origin_ptr = "ptr.example.com", .authres = AR, .score = 7.25, .action = "accept"};
	return 0;
}

static int make(const char *m, const struct mail_range *range, size_t n,
		struct annotate_output *out)
{
	struct iovec iov = {(void *)(uintptr_t)m, strlen(m)};
	struct mail_bytes c = {&iov, 1, strlen(m)};
	int rc = annotate_make(&in, &c, range, n, out);

	if (rc == 0)
		assert_int_equal(annotate_prove(out, &c, range, n), 0);
	return rc;
}

/* The value of our Received line, unfolded. */
static const char *received(void)
{
	static char text[2048];
	struct annotate_output out;
	const char *at;
	long n;

	assert_int_equal(make("A: b\r\n", NULL, 0, &out), 0);
	at = memmem(out.block, out.block_len, "\r\nReceived: ", 12);
	assert_non_null(at);
	n = header_unfold(str_make(at + 12, out.block_len - (size_t)(at + 12 - out.block)),
			  (uint8_t *)text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	for (char *p = text; *p; p++)
		if (*p == '\t')
			*p = ' ';
	annotate_free(&out);
	return text;
}

static void whole(void **state)
{
	static const char *const rules[] = {"RULE_A", "RULE_B"};
	struct annotate_output out;

	(void)state;
	in.rule = rules;
	in.n_rules = 2;
	in.action = "tag";
	assert_int_equal(make("A: b\r\n\r\nbody", NULL, 0, &out), 0);
	assert_int_equal(out.n_iov, 2);
	assert_int_equal(out.size, out.block_len + 12);
	assert_true(str_eq(str_make(out.block, out.block_len), STR(
		"X-Postern-Original-Sender: ip=203.0.113.5;\r\n\thelo=mail.example.com;\r\n"
		"\tptr=ptr.example.com;\r\n\tvia=direct\r\n"
		"X-Postern-Score: 7.25\r\nX-Postern-Verdict: tag; rules=RULE_A,RULE_B\r\n"
		"X-Postern-Trace: 0123456789ABCDEF\r\n" AR
		"Received: from mail.example.com (ptr.example.com [203.0.113.5])\r\n"
		"\tby mx.example.net (Postern) with ESMTPS id 0123456789ABCDEF\r\n"
		"\t(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384)\r\n\tfor <b@example.net>;\r\n"
		"\tTue, 14 Nov 2023 22:13:20 +0000\r\n")));
	annotate_free(&out);
}

static void received_forms(void **state)
{
	(void)state;
#define WITH "by mx.example.net (Postern) with "
#define END " id 0123456789ABCDEF for <b@example.net>; Tue, 14 Nov 2023 22:13:20 +0000"
	env.tls_version = 0;
	env.proto = PROTO_SMTP;
	in.ptr = "";
	env.helo = STR("x (198.51.100.1)");
	assert_string_equal(received(),
			    "from [203.0.113.5] (unknown [203.0.113.5]) " WITH "SMTP" END);
	env.helo = STR("198.51.100.1");
	assert_string_equal(received(),
			    "from [203.0.113.5] (unknown [203.0.113.5]) " WITH "SMTP" END);
	env.helo = STR("a\r\nX-Evil: 1");
	assert_string_equal(received(),
			    "from [203.0.113.5] (unknown [203.0.113.5]) " WITH "SMTP" END);
	env.helo = STR("[IPv6:2001:db8::7]");
	env.peer = ip("2001:db8::1");
	env.proto = PROTO_UTF8SMTP;
	assert_string_equal(received(), "from [IPv6:2001:db8::7] (unknown [IPv6:2001:db8::1]) " WITH
					"UTF8SMTP" END);
	in.v6_plain = true;
	env.helo = STR("");
	assert_string_equal(received(),
			    "from [IPv6:2001:db8::1] (unknown [2001:db8::1]) " WITH "UTF8SMTP" END);
	in.ptr = "evil (x)";
	env.helo = STR("[192.0.2.999]");
	assert_string_equal(received(),
			    "from [IPv6:2001:db8::1] (unknown [2001:db8::1]) " WITH "UTF8SMTP" END);
	in.exchange = true;
	assert_string_equal(received(),
			    "from [IPv6:2001:db8::1] (2001:db8::1) " WITH "UTF8SMTP" END);
	env.peer = ip("203.0.113.5");
	env.helo = STR("h.example");
	in.ptr = "ptr.example.com";
	assert_string_equal(received(), "from h.example (203.0.113.5) " WITH "UTF8SMTP" END);
	rcpt[0] = STR("\"a b\"@example.net");
	assert_null(strstr(received(), " for "));
	rcpt[0] = STR("b\xc3\xa4@example.net");
	assert_null(strstr(received(), " for "));
	rcpt[0] = STR("a@b>;\r\nX: 1");
	assert_null(strstr(received(), " for "));
	rcpt[0] = STR("b@example.net");
	env.n_rcpts = 2;
	assert_null(strstr(received(), " for "));
}

/* RFC 6532: UTF-8 where the message is SMTPUTF8, and no octet of it that could mislead. */
static void received_utf8(void **state)
{
	(void)state;
	env.proto = PROTO_UTF8SMTPS;
	env.smtputf8 = true;
	rcpt[0] = STR("b\xc3\xa4@\xe4\xbe\x8b.example");
	assert_non_null(strstr(received(), " with UTF8SMTPS id 0123456789ABCDEF (version=TLSv1.3 "
				"cipher=TLS_AES_256_GCM_SHA384) for <b\xc3\xa4@\xe4\xbe\x8b.example>; Tue,"));
	rcpt[0] = STR("b\xe4@example.net");
	assert_null(strstr(received(), " for "));
	rcpt[0] = STR("b\xe2\x80\xa8@example.net");
	assert_null(strstr(received(), " for "));
	rcpt[0] = STR("b\xe2\x80\xae@example.net");
	assert_null(strstr(received(), " for "));
	rcpt[0] = STR("b\xc3@example.net");
	assert_null(strstr(received(), " for "));
	env.helo = STR("\xc3\xa4.example");
	assert_non_null(strstr(received(), "from [203.0.113.5] ("));
}

/* What a client's certificate and hello say is not in the header, whatever it is. */
static void received_tls(void **state)
{
	(void)state;
	env.tls_client = STR("relay)\r\nX-Evil: 1");
	env.tls_sni = STR("a (b");
	env.tls_flags = TLS_F_CLIENT | TLS_F_VERIFIED;
	env.tls_version = 0x0303;
	env.tls_cipher = STR("ECDHE-RSA-AES128-GCM-SHA256");
	assert_non_null(strstr(received(), " with ESMTPS id 0123456789ABCDEF (version=TLSv1.2 "
				"cipher=ECDHE-RSA-AES128-GCM-SHA256) for <b@example.net>; Tue,"));
	assert_null(strstr(received(), "relay"));
	env.tls_cipher = STR("");
	assert_non_null(strstr(received(), " (version=TLSv1.2) for "));
	env.tls_version = 0x0300; /* nothing we speak */
	assert_null(strstr(received(), "version="));
}

static void authres_utf8(void **state)
{
	struct annotate_output out;

	(void)state;
	in.authres = "Authentication-Results: x; spf=pass smtp.mailfrom=\xc3\xa4@example.com\r\n";
	assert_int_equal(make("A: b\r\n", NULL, 0, &out), -EINVAL);
	env.smtputf8 = true;
	assert_int_equal(make("A: b\r\n", NULL, 0, &out), 0);
	annotate_free(&out);
	in.authres = "Authentication-Results: x; spf=pass smtp.mailfrom=\xe4@example.com\r\n";
	assert_int_equal(make("A: b\r\n", NULL, 0, &out), -EINVAL);
	in.authres = "Authentication-Results\xc3\xa4: x; none\r\n";
	assert_int_equal(make("A: b\r\n", NULL, 0, &out), -EINVAL);
}

static void sender_forms(void **state)
{
	struct annotate_output out;

	(void)state;
	origin.status = ORIGIN_VIA;
	origin.ip = ip("2001:db8::9");
	strcpy(origin.via, "edge 1");
	strcpy(origin.helo, "x;y(z)");
	in.origin_ptr = "a\r\nb";
	in.score = -0.004;
	assert_int_equal(make("", NULL, 0, &out), 0);
	assert_non_null(memmem(out.block, out.block_len,
			       "ip=2001:db8::9;\r\n\thelo=x%3By%28z%29;\r\n\tptr=unknown;\r\n\tvia="
			       "relay:edge%201\r\n",
			       70));
	assert_non_null(memmem(out.block, out.block_len, "-Score: 0.00\r\n", 14));
	annotate_free(&out);
	in.score = -12.345;
	assert_int_equal(make("", NULL, 0, &out), 0);
	assert_non_null(memmem(out.block, out.block_len, "-Score: -12.3", 13));
	annotate_free(&out);
}

/* A value that cannot be written safely is an error, never silently another value. */
static void refused(void **state)
{
	static const char *const bad_rule[] = {"A\r\nX-Evil:"};
	static const char *const authres[] = {"X: y\r\n",
					      "Authentication-Results: x",
					      AR "X-Evil: 1\r\n",
					      "Authentication-Results: x\r\n\r\n",
					      "Authentication-Results: \xc3\xa4\r\n",
					      "Authentication-Results: x\n\ty\r\n",
					      "Authentication-Results: x\r\n\t \r\n"};
	struct annotate_output out;

	(void)state;
	for (size_t i = 0; i < sizeof(authres) / sizeof(authres[0]); i++) {
		in.authres = authres[i];
		assert_int_equal(make("A: b\r\n", NULL, 0, &out), -EINVAL);
	}
	fresh(NULL);
	in.received_spf = "Authentication-Results: x\r\n";
	assert_int_equal(make("A: b\r\n", NULL, 0, &out), -EINVAL);
	in.received_spf = "Received-SPF: none\r\nX-Evil: 1\r\n";
	assert_int_equal(make("A: b\r\n", NULL, 0, &out), -EINVAL);
	fresh(NULL);
	in.gateway = "mx example";
	assert_int_equal(make("A: b\r\n", NULL, 0, &out), -EINVAL);
	fresh(NULL);
	in.action = "tag\r\n";
	assert_int_equal(make("A: b\r\n", NULL, 0, &out), -EINVAL);
	fresh(NULL);
	in.prefix = "X:";
	assert_int_equal(make("A: b\r\n", NULL, 0, &out), -EINVAL);
	fresh(NULL);
	in.score = NAN;
	assert_int_equal(make("A: b\r\n", NULL, 0, &out), -EINVAL);
	fresh(NULL);
	in.rule = bad_rule;
	in.n_rules = 1;
	assert_int_equal(make("A: b\r\n", NULL, 0, &out), -EINVAL);
	fresh(NULL);
	env.tls_cipher = STR("X)\r\n");
	assert_int_equal(make("A: b\r\n", NULL, 0, &out), -EINVAL);
	fresh(NULL);
	strcpy(env.trace_id, "A B");
	assert_int_equal(make("A: b\r\n", NULL, 0, &out), -EINVAL);
	fresh(NULL);
	/* the first line would become a part of our Received */
	assert_int_equal(make(" folded\r\n\r\n", NULL, 0, &out), -EINVAL);
}

#define FORGED_MAIL                                                                                \
	"X-POSTERN-Score: 9\r\nX-Postern: 1\r\nSubject: a\r\nX-Posterns: stays\r\n"                \
	"Authentication-Results: MX.example.net; spf=pass\r\nAuthentication-Results: "             \
	"other.example; spf=pass\r\n"                                                              \
	"ARC-Authentication-Results: i=1; (c) mx.example.net; none\r\nX-Postern-Score : 1\r\n"     \
	"Authentication-Results-Original: mx.example.net\r\nX-A: b\nX-Postern-Score: 2\r\n"        \
	"X-Postern-Score\x01: 3\r\n\r\nX-Postern-Score: body stays\r\n"

static void forged(void **state)
{
	static const char m[] = FORGED_MAIL;
	struct mail_range range[8];
	uint8_t drop[16];
	static const uint8_t want[] = {1, 1, 0, 0, 1, 0, 1, 1, 0, 1, 1};
	struct annotate_output out;
	struct headers h;
	char got[2048];
	size_t n = 0;
	long k;

	(void)state;
	/* Every cut of the content leaves the same octets. */
	for (size_t cut = 0; cut < sizeof(m); cut++) {
		struct iovec iov[2] = {{(void *)(uintptr_t)m, cut},
				       {(void *)(uintptr_t)(m + cut), sizeof(m) - 1 - cut}};
		struct mail_bytes c = {iov, 2, sizeof(m) - 1};

		assert_int_equal(headers_parse(&h, &c), 0);
		assert_int_equal(h.n, 11);
		assert_int_equal(annotate_mark_forged(&h, &own, drop), 7);
		k = annotate_ranges(&h, drop, range, 8);
		assert_int_equal(k, 4);
		assert_memory_equal(drop, want, sizeof(want));
		assert_int_equal(annotate_make(&in, &c, range, (size_t)k, &out), 0);
		assert_int_equal(annotate_prove(&out, &c, range, (size_t)k), 0);
		n = 0;
		for (size_t i = 1; i < out.n_iov; i++) {
			memcpy(got + n, out.iov[i].iov_base, out.iov[i].iov_len);
			n += out.iov[i].iov_len;
		}
		assert_true(str_eq(str_make(got, n),
				   STR("Subject: a\r\nX-Posterns: stays\r\n"
				       "Authentication-Results: other.example; spf=pass\r\n"
				       "Authentication-Results-Original: "
				       "mx.example.net\r\n\r\nX-Postern-Score: body stays\r\n")));
		assert_int_equal(out.size, out.block_len + n);
		annotate_free(&out);
		assert_int_equal(annotate_ranges(&h, drop, range, 3), -ENOSPC);
		headers_free(&h);
	}
}

static void proof_fails(void **state)
{
	static const char m[] = "A: b\r\nC: d\r\n\r\nbody";
	struct iovec iov = {(void *)(uintptr_t)m, sizeof(m) - 1};
	struct mail_bytes c = {&iov, 1, sizeof(m) - 1};
	struct mail_range r = {6, 6}, other = {0, 6}, wide = {6, 600};
	struct annotate_output out;

	(void)state;
	assert_int_equal(annotate_make(&in, &c, &r, 1, &out), 0);
	assert_int_equal(out.n_iov, 3);
	assert_int_equal(annotate_prove(&out, &c, &r, 1), 0);
	assert_int_equal(annotate_prove(&out, &c, NULL, 0), -EBADMSG);
	assert_int_equal(annotate_prove(&out, &c, &other, 1), -EBADMSG);
	assert_int_equal(annotate_prove(&out, &c, &wide, 1), -EBADMSG);
	out.iov[1].iov_len--;
	assert_int_equal(annotate_prove(&out, &c, &r, 1), -EBADMSG);
	out.iov[1].iov_len++;
	out.iov[2].iov_base = (uint8_t *)out.iov[2].iov_base - 1;
	assert_int_equal(annotate_prove(&out, &c, &r, 1), -EBADMSG);
	out.iov[2].iov_base = (uint8_t *)out.iov[2].iov_base + 1;
	out.n_iov--;
	assert_int_equal(annotate_prove(&out, &c, &r, 1), -EBADMSG);
	out.n_iov++;
	out.size++;
	assert_int_equal(annotate_prove(&out, &c, &r, 1), -EBADMSG);
	out.size--;
	out.block[0] = '\n';
	assert_int_equal(annotate_prove(&out, &c, &r, 1), -EBADMSG);
	annotate_free(&out);
	assert_int_equal(annotate_make(&in, &c, &wide, 1, &out), -EINVAL);
}

/* More on top: whole fields only, and the proof holds over all. */
static void on_top(void **state)
{
	static const char m[] = "A: b\r\nC: d\r\n\r\nbody";
	static const char *const bad[] = {"", "X: 1", "X: 1\r\n\r\n", "\tX: 1\r\n", "X: 1\n",
					  "X: \x01\r\n", "X: \xc3\xbc\r\n"};
	struct iovec iov = {(void *)(uintptr_t)m, sizeof(m) - 1};
	struct mail_bytes c = {&iov, 1, sizeof(m) - 1};
	struct mail_range r = {6, 6};
	struct annotate_output out;
	size_t len, size;

	(void)state;
	assert_int_equal(annotate_make(&in, &c, &r, 1, &out), 0);
	len = out.block_len;
	size = out.size;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(annotate_on_top(&out, bad[i], strlen(bad[i])), -EINVAL);
		assert_int_equal(annotate_prove(&out, &c, &r, 1), 0);
	}
	assert_int_equal(annotate_on_top(&out, "B: 2\r\n", 6), 0);
	assert_int_equal(annotate_on_top(&out, "A: 1\r\n\tx\r\n", 10), 0);
	assert_int_equal(annotate_prove(&out, &c, &r, 1), 0);
	assert_int_equal(out.block_len, len + 16);
	assert_int_equal(out.size, size + 16);
	assert_memory_equal(out.block, "A: 1\r\n\tx\r\nB: 2\r\nX-Postern-", 26);
	annotate_free(&out);
}

/* What is given back leaves its range, which it may cut in two. */
static void given_back(void **state)
{
	static const char m[] = "X-Postern-A: 1\r\nX-Postern-B: 2\r\nX-Postern-C: 3\r\nD: 4\r\n\r\n";
	struct iovec iov = {(void *)(uintptr_t)m, sizeof(m) - 1};
	struct mail_bytes c = {&iov, 1, sizeof(m) - 1};
	struct mail_range r[3];
	struct headers h;
	uint8_t drop[5];

	(void)state;
	assert_int_equal(headers_parse(&h, &c), 0);
	assert_int_equal(annotate_mark_forged(&h, &own, drop), 3);
	assert_int_equal(annotate_ranges(&h, drop, r, 1), 1);
	assert_true(r[0].off == 0 && r[0].len == 48);
	drop[1] = DROP_NO;
	assert_int_equal(annotate_ranges(&h, drop, r, 1), -ENOSPC);
	assert_int_equal(annotate_ranges(&h, drop, r, 3), 2);
	assert_true(r[0].off == 0 && r[0].len == 16 && r[1].off == 32 && r[1].len == 16);
	drop[0] = drop[2] = DROP_NO;
	assert_int_equal(annotate_ranges(&h, drop, r, 3), 0);
	headers_free(&h);
}

static void conflicts(void **state)
{
	static const char m[] =
		"DKIM-Signature: x\r\nReceived: one\r\nX-Postern-Score: 1\r\nFrom: a\r\n"
		"X-Postern-Score: 2\r\n\r\n";
	uint8_t drop[5] = {0, 0, DROP_FORGED, 0, 0}, all[5] = {DROP_FORGED, 0, 0, 0, 0},
		foreign[5] = {0, 0, DROP_FOREIGN, 0, 0}, odd[5] = {0, 0, 0, 99, 0};
	static const struct { const char *names[4]; unsigned int over, forged;
	} t[] = {
		{{"from"}, 0, 0},
		{{"from", "from"}, 0, 0},
		{{"received"}, 0, 0},
		{{"received", "received"}, 1, 0},
		{{"from", "authentication-results"}, 1, 0},
		{{"x-postern-verdict"}, 1, 0},
		{{"x-postern-score"}, 0, 0},
		{{"x-postern-score", "x-postern-score"}, 0, 1},
		{{"x-other", "dkim-signature"}, 0, 0},
		{{"received", "received", "x-postern-score", "x-postern-score"}, 0, 1},
	};
	struct iovec iov = {(void *)(uintptr_t)m, sizeof(m) - 1};
	struct mail_bytes c = {&iov, 1, sizeof(m) - 1};
	struct dkim_signature sig = {.result = DKIM_PASS};
	struct dkim_results dkim = {&sig, 1};
	struct annotate_signatures sigs = {&dkim, NULL};
	struct annotate_conflicts res;
	struct annotate_output out;
	struct headers h;

	(void)state;
	assert_int_equal(headers_parse(&h, &c), 0);
	assert_int_equal(annotate_make(&in, &c, NULL, 0, &out), 0);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct str names[4];

		for (sig.n_signed = 0; sig.n_signed < 4 && t[i].names[sig.n_signed]; sig.n_signed++)
			names[sig.n_signed] = str_c(t[i].names[sig.n_signed]);
		sig.signed_names = names;
		sig.result = DKIM_PASS;
		annotate_conflicts(&out, &h, drop, &sigs, &res);
		assert_int_equal(res.oversigned_trace, t[i].over);
		assert_int_equal(res.forged_own_header, t[i].forged);
		assert_int_equal(res.broken, 0);
		annotate_conflicts(&out, &h, foreign, &sigs, &res);
		assert_int_equal(res.oversigned_trace, t[i].over);
		assert_int_equal(res.foreign_trust, t[i].forged);
		assert_int_equal(res.forged_own_header + res.broken, 0);
		annotate_conflicts(&out, &h, all, &sigs, &res);
		assert_int_equal(res.forged_own_header, 1);
		annotate_conflicts(&out, &h, odd, &sigs, &res);
		assert_int_equal(res.broken, str_ieq(names[0], STR("from")));
		sig.result = DKIM_FAIL;
		annotate_conflicts(&out, &h, drop, &sigs, &res);
		assert_int_equal(res.oversigned_trace + res.forged_own_header + res.broken, 0);
	}
	annotate_free(&out);
	headers_free(&h);
}

/*
 * The next hop's two walkers, as far as they are known: both take the first address in the first
 * parenthesis behind "from" of each Received line, from the top. Exchange passes over addresses of
 * its skip list and private ones; Gmail over those of its gateway list. Written apart from
 * received_parse_strict on purpose.
 */
static bool line_address(const char *value, size_t n, char *out, size_t cap)
{
	const char *open = memchr(value, '(', n), *close, *p, *q;

	if (!open || n < 5 || strncasecmp(value, "from ", 5) != 0)
		return false;
	close = memchr(open, ')', n - (size_t)(open - value));
	if (!close)
		return false;
	p = memchr(open, '[', (size_t)(close - open));
	p = p ? p + 1 : open + 1;
	q = memchr(p, ']', (size_t)(close - p));
	if (!q)
		q = close;
	if (q - p > 5 && strncasecmp(p, "IPv6:", 5) == 0)
		p += 5;
	snprintf(out, cap, "%.*s", (int)(q - p), p);
	return true;
}

static void next_hop_finds(const struct annotate_output *out, const char *const *skip,
			   size_t n_skip, bool skips_private, const char *want)
{
	struct mail_bytes c = {out->iov, out->n_iov, out->size};
	struct headers h;
	char got[128] = "";
	struct ip_addr a;

	assert_int_equal(headers_parse(&h, &c), 0);
	for (size_t i = headers_find(&h, STR("Received"), 0); i < h.n;
	     i = headers_find(&h, STR("Received"), i + 1)) {
		uint8_t value[2048];
		long n = header_unfold(header_value(&h, i), value, sizeof(value));
		bool skipped = false;

		assert_true(n > 0 && line_address((char *)value, (size_t)n, got, sizeof(got)));
		for (size_t k = 0; k < n_skip; k++)
			skipped |= strcmp(skip[k], got) == 0;
		assert_true(ip_parse(str_c(got), &a));
		if (!skipped && !(skips_private && ip_is_private(&a)))
			break;
		got[0] = '\0';
	}
	assert_string_equal(got, want);
	headers_free(&h);
}

static void walkers(void **state)
{
	/* Gateway behind two relays: "edge" got it from the stranger, handed it to "inner". */
	static const char below[] = "Received: from edge.example (edge.example "
				    "[192.0.2.10])\r\n\tby inner.example (Postfix) with ESMTP id 1;"
				    "\r\n\tTue, 14 Nov 2023 22:13:10 +0000\r\n"
				    "Received: from s.example (s.example [203.0.113.77]) by "
				    "edge.example (Postfix) with ESMTP id 2;\r\n"
				    "\tTue, 14 Nov 2023 22:13:00 +0000\r\n"
				    "Received: from liar (liar [198.51.100.66]) by s.example; Tue, "
				    "14 Nov 2023 22:00:00 +0000\r\n\r\n";
	static const char *const skip[] = {"192.0.2.1", "192.0.2.10", "192.0.2.20"};
	static const char *const peers[] = {"203.0.113.5", "2001:db8::5"};
	struct ip_range net;
	struct origin_relay relay = {.name = "relays", .range = &net, .n_ranges = 1};
	struct origin_relays relays = {&relay, 1};
	struct annotate_output out;
	struct headers h;
	struct iovec iov = {(void *)(uintptr_t)below, sizeof(below) - 1};
	struct mail_bytes c = {&iov, 1, sizeof(below) - 1};
	char text[46];

	(void)state;
	/* direct: our line itself names the sender, whatever the HELO tries */
	for (size_t i = 0; i < 2; i++) {
		static const char *const helo[] = {"h.example", "x ([198.51.100.1])",
						   "[198.51.100.1]", "("};

		for (size_t k = 0; k < 4; k++) {
			env.helo = str_c(helo[k]);
			env.peer = ip(peers[i]);
			assert_int_equal(make(below, NULL, 0, &out), 0);
			next_hop_finds(&out, skip, 3, true, peers[i]);
			next_hop_finds(&out, skip, 3, false, peers[i]);
			annotate_free(&out);
		}
	}
	/* through relays: the walk, and both walkers after it, end at the same address */
	assert_true(ip_range_parse(STR("192.0.2.0/24"), &net));
	env.peer = ip("192.0.2.20");
	assert_int_equal(headers_parse(&h, &c), 0);
	assert_int_equal(origin_walk(&relays, &env, &h, false, &origin), 0);
	assert_int_equal(origin.status, ORIGIN_VIA);
	assert_int_equal(make(below, NULL, 0, &out), 0);
	next_hop_finds(&out, skip, 3, true, ip_format(&origin.ip, text, sizeof(text)));
	next_hop_finds(&out, skip, 3, false, "203.0.113.77");
	annotate_free(&out);
	origin_free(&origin);
	headers_free(&h);
}

/* Our own reader takes every line that we write: chained gateways find the origin. */
static void own_line_reads(void **state)
{
	static const char *const helo[] = {"h.example", "bad helo", "[192.0.2.7]", ""};
	static const char *const peers[] = {"203.0.113.5", "2001:db8::5"};
	struct received r;
	uint8_t scratch[2048];
	const char *why;

	(void)state;
	for (size_t i = 0; i < 16; i++) {
		char line[2048];

		env.helo = str_c(helo[i & 3]);
		env.peer = ip(peers[i >> 2 & 1]);
		env.tls_version = i & 8 ? 0x0303 : 0;
		in.v6_plain = i & 8;
		in.exchange = i & 2;
		snprintf(line, sizeof(line), "%s", received());
		assert_int_equal(
			received_parse_strict(str_c(line), scratch, sizeof(scratch), &r, &why), 0);
		assert_memory_equal(&r.ip, &env.peer, sizeof(r.ip));
		assert_true(str_eq(r.by, STR("mx.example.net")));
		assert_true(str_eq(r.id, STR("0123456789ABCDEF")));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(whole, fresh), cmocka_unit_test_setup(received_forms, fresh),
		cmocka_unit_test_setup(received_utf8, fresh), cmocka_unit_test_setup(received_tls, fresh), cmocka_unit_test_setup(authres_utf8, fresh),
		cmocka_unit_test_setup(sender_forms, fresh), cmocka_unit_test_setup(refused, fresh),
		cmocka_unit_test_setup(forged, fresh), cmocka_unit_test_setup(proof_fails, fresh),
		cmocka_unit_test_setup(conflicts, fresh), cmocka_unit_test_setup(walkers, fresh),
		cmocka_unit_test_setup(own_line_reads, fresh), cmocka_unit_test_setup(on_top, fresh),
		cmocka_unit_test(given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
