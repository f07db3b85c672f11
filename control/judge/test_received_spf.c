/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What is written is Received-SPF by the grammar of RFC 7208 9.1, read back by a reader of its own,
 * and says what was put in, whatever strangers put into HELO, MAIL FROM and their records.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/judge/judge_internal.h"

#define ROUNDS 20000

static uint64_t rng_state = 0x9e3779b97f4a7c15ull;

static unsigned int below(unsigned int n)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (unsigned int)((rng_state >> 20) % n);
}

/* ---- a reader -------------------------------------------------------------------------------- */

struct reader {
	const char *p, *end;
	char value[2048];
	size_t n;
};

static bool take(struct reader *r, const char *text)
{
	size_t n = strlen(text);

	if ((size_t)(r->end - r->p) < n || memcmp(r->p, text, n))
		return false;
	r->p += n;
	return true;
}

/* RFC 5322 3.2.2 FWS, of what our side writes: a space, or CRLF and a tab. */
static bool fws(struct reader *r)
{
	return take(r, "\r\n\t") || take(r, " ");
}

static bool is_text(const struct reader *r)
{
	return r->p < r->end && (uint8_t)*r->p >= 0x20 && *r->p != 0x7f;
}

/* comment and quoted-string: `open` to `close` with quoted pairs, nothing that opens another. */
static bool enclosed(struct reader *r, char open, char close)
{
	r->n = 0;
	if (r->p == r->end || *r->p++ != open)
		return false;
	while (is_text(r) && *r->p != close) {
		if (*r->p == open && open != close)
			return false;
		if (*r->p == '\\') {
			r->p++;
			if (!is_text(r))
				return false;
		}
		r->value[r->n++] = *r->p++;
	}
	r->value[r->n] = '\0';
	return r->p < r->end && *r->p++ == close;
}

static bool dot_atom(struct reader *r)
{
	static const char atext[] = "!#$%&'*+-/=?^_`{|}~0123456789"
				    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	bool last = false;

	for (r->n = 0; r->p < r->end; r->p++) {
		bool atom = *r->p && strchr(atext, *r->p);

		if (!atom && !(*r->p == '.' && last))
			break;
		last = atom;
		r->value[r->n++] = *r->p;
	}
	r->value[r->n] = '\0';
	return r->n && last;
}

static bool pair(struct reader *r, const char *key, const char *want)
{
	const char *p = r->p;

	if (!fws(r) || !take(r, key) || !take(r, "=")) {
		r->p = p;
		return want == NULL;
	}
	if (!want)
		return false;
	if (*r->p == '"' ? !enclosed(r, '"', '"') : !dot_atom(r))
		return false;
	return !strcmp(r->value, want) && take(r, ";");
}

/* ---- values ---------------------------------------------------------------------------------- */

static size_t hostile(char *out, size_t max, bool ascii)
{
	static const char *const part[] = {"a",
					   "\"",
					   "\\",
					   "(",
					   ")",
					   ";",
					   "\r\n",
					   "\n",
					   "\r\nX-Evil: 1\r\n",
					   "@",
					   ".",
					   "..",
					   " ",
					   "\t",
					   "\x7f",
					   "\xc3\xa4",
					   "\xff",
					   "example",
					   "=",
					   "\xe2\x80\xae",
					   "[",
					   "]",
					   "<",
					   ">",
					   "client-ip=192.0.2.66;"};
	size_t n = 0;

	while (below(8)) {
		const char *s = part[below(sizeof(part) / sizeof(part[0]))];
		size_t k = strlen(s);

		/* The texts of SPF are printable ASCII by contract. */
		if (ascii && ((uint8_t)s[0] < 0x20 || (uint8_t)s[0] >= 0x7f))
			continue;
		if (n + k >= max)
			break;
		memcpy(out + n, s, k);
		n += k;
	}
	out[n] = '\0';
	return n;
}

/* What a header can hold of it. */
static void expected(char *out, const char *in)
{
	size_t n = 0;

	for (; *in; in++)
		out[n++] = (uint8_t)*in < 0x20 || (uint8_t)*in >= 0x7f ? '?' : *in;
	out[n] = '\0';
}

static void read_back(const char *buf, const struct judgement *r, const char *mail_from)
{
	struct reader rd = {.p = buf, .end = buf + strlen(buf)};
	char ip[46], from[1024], helo[1024];

	ip_format(&r->origin.ip, ip, sizeof(ip));
	expected(from, mail_from);
	expected(helo, r->origin.helo);
	if (!take(&rd, "Received-SPF: ") || !take(&rd, spf_result_name(r->spf.result)) ||
	    !fws(&rd) || !enclosed(&rd, '(', ')') || !pair(&rd, "client-ip", ip) ||
	    !pair(&rd, "envelope-from", *from ? from : NULL) ||
	    !pair(&rd, "helo", *helo ? helo : NULL) || !pair(&rd, "receiver", "mx.example.net") ||
	    !pair(&rd, "identity", r->spf.identity == SPF_ID_HELO ? "helo" : "mailfrom") ||
	    !pair(&rd, "mechanism", r->spf.mechanism[0] ? r->spf.mechanism : NULL) ||
	    !pair(&rd, "problem", r->spf.reason[0] ? r->spf.reason : NULL) || !take(&rd, "\r\n") ||
	    rd.p != rd.end)
		fail_msg("%s\nat %s", buf, rd.p);
}

static void hostile_values(void **state)
{
	static struct judgement r;
	char buf[JUDGE_RECEIVED_SPF], mail_from[256];
	struct mail_envelope env = {0};

	(void)state;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		env.mail_from = str_make(mail_from, hostile(mail_from, sizeof(mail_from), false));
		r.spf = (struct spf_verdict){.result = below(SPF_PERMERROR + 1),
					     .identity = below(2) ? SPF_ID_HELO : SPF_ID_MAILFROM};
		hostile(r.origin.helo, sizeof(r.origin.helo), false);
		hostile(r.spf.domain, sizeof(r.spf.domain), true);
		hostile(r.spf.mechanism, sizeof(r.spf.mechanism), true);
		hostile(r.spf.reason, sizeof(r.spf.reason), true);
		assert_true(
			ip_parse(below(2) ? STR("192.0.2.1") : STR("2001:db8::1"), &r.origin.ip));
		assert_int_equal(judge_received_spf(&r, &env, "mx.example.net", buf, sizeof(buf)),
				 0);
		read_back(buf, &r, mail_from);
	}
}

/* A mailbox that no line can hold is left out; a buffer that is too small is an error. */
static void long_values(void **state)
{
	static struct judgement r;
	static char mail_from[513], buf[JUDGE_RECEIVED_SPF];
	struct mail_envelope env = {.mail_from = str_make(mail_from, 512)};

	(void)state;
	r = (struct judgement){.spf = {.result = SPF_PASS}};
	memset(mail_from, '"', 512);
	assert_true(ip_parse(STR("192.0.2.1"), &r.origin.ip));
	assert_int_equal(judge_received_spf(&r, &env, "mx.example.net", buf, sizeof(buf)), 0);
	read_back(buf, &r, "");
	env.mail_from.n = 490;
	mail_from[490] = '\0';
	assert_int_equal(judge_received_spf(&r, &env, "mx.example.net", buf, sizeof(buf)), 0);
	read_back(buf, &r, mail_from);
	for (size_t cap = 1; cap < 100; cap++)
		assert_int_equal(judge_received_spf(&r, &env, "mx.example.net", buf, cap), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(hostile_values),
					   cmocka_unit_test(long_values)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
