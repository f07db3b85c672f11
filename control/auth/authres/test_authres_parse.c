/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/auth/authres/authres.h"
#include "control/auth/authres/authres_parse.h"
#include "postern/utf8.h"

#define S(lit) lit, sizeof(lit) - 1

static struct authres a;
static uint8_t scratch[65536];

static int parse(const char *v, size_t n, enum authres_grammar g)
{
	return authres_parse(str_make(v, n), g, scratch, n, &a);
}

/* What was read, in one notation: id/version|method/version=result reason{..} (comment) p.q=[v] */
static const char *told(void)
{
	static char out[8192];
	int n = snprintf(out, sizeof(out), "%.*s/%u", STR_FMT(a.authserv_id), a.version);

	for (unsigned int i = 0; i < a.n_results; i++) {
		const struct authres_resinfo *r = &a.results[i];

		n += snprintf(out + n, sizeof(out) - (size_t)n, "|%.*s/%u=%.*s", STR_FMT(r->method),
			      r->version, STR_FMT(r->result));
		if (r->reason.p)
			n += snprintf(out + n, sizeof(out) - (size_t)n, " {%.*s}",
				      STR_FMT(r->reason));
		if (r->comment.p)
			n += snprintf(out + n, sizeof(out) - (size_t)n, " (%.*s)",
				      STR_FMT(r->comment));
		for (unsigned int k = r->first_prop; k < r->first_prop + r->n_props; k++)
			n += snprintf(out + n, sizeof(out) - (size_t)n, " %.*s.%.*s=[%.*s]",
				      STR_FMT(a.props[k].ptype), STR_FMT(a.props[k].property),
				      STR_FMT(a.props[k].value));
	}
	return out;
}

static void reads(void **state)
{
	static const struct { const char *value; size_t n; const char *told; } t[] = {
		/* RFC 8601 appendix B has these shapes */
		{S(" example.org 1; none"), "example.org/1"},
		{S(" example.com; none"), "example.com/1"},
		{S(" x.example; NONE (nothing)"), "x.example/1"},
		{S(" example.com;\r\n\tspf=pass smtp.mailfrom=example.net"),
		 "example.com/1|spf/1=pass smtp.mailfrom=[example.net]"},
		{S(" example.com;\r\n auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n"
		   " spf=pass smtp.mailfrom=example.net\r\n"),
		 NULL},
		{S(" example.com;\r\n auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n"
		   " spf=pass smtp.mailfrom=example.net"),
		 "example.com/1|auth/1=pass (cram-md5) smtp.auth=[sender@example.net]"
		 "|spf/1=pass smtp.mailfrom=[example.net]"},
		{S(" foo.example.net (foobar) 1 (baz);\r\n\tdkim (Because I like it) / 1 (One yay) = "
		   "(wait for it) fail\r\n\tpolicy (A dot can go here) . (like that) expired\r\n\t"
		   "(this surprised me) = (as I wasn't expecting it) 1362471462"),
		 "foo.example.net/1|dkim/1=fail (A dot can go here) policy.expired=[1362471462]"},
		{S(" x.example; dkim=fail reason=\"bad \\\"hash\\\"\" header.i=@example.com"
		   " header.b=\"a/b+c\""),
		 "x.example/1|dkim/1=fail {bad \"hash\"} header.i=[@example.com] header.b=[a/b+c]"},
		{S(" x.example; a=b reason = (c) token"), "x.example/1|a/1=b {token} (c)"},
		{S(" \"x; y\"; a/12=b c.d=\"\""), "x; y/1|a/12=b c.d=[]"},
		{S("x.example 2;a=b(c)d.e=\"f\"g.h=i"), "x.example/2|a/1=b (c) d.e=[f] g.h=[i]"},
		{S(" x.example; a=b c.d=\"one\r\n two\""), "x.example/1|a/1=b c.d=[one two]"},
		{S(" x.example; a=b c.d=\"; e=pass\" f.g=(;)h"),
		 "x.example/1|a/1=b (;) c.d=[; e=pass] f.g=[h]"},
		{S(" x.example; a=b (one (two \\) ;)) (three) c.d=e"),
		 "x.example/1|a/1=b (one (two \\) ;)) c.d=[e]"},
		/* the "@" in quotes is none */
		{S(" x.example; a=b smtp.mailfrom=\"b@c\"@d.example"),
		 "x.example/1|a/1=b smtp.mailfrom=[\"b@c\"@d.example]"},
		{S(" x.example; a=b smtp.mailfrom=a/b=c@d.example"),
		 "x.example/1|a/1=b smtp.mailfrom=[a/b=c@d.example]"},
		{S(" m\xc3\xa4x.example; a=b smtp.mailfrom=\xc3\xa4@\xc3\xa4.example"),
		 "m\xc3\xa4x.example/1|a/1=b smtp.mailfrom=[\xc3\xa4@\xc3\xa4.example]"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int rc = parse(t[i].value, t[i].n, AUTHRES_STRICT);

		if (rc != (t[i].told ? 0 : -EBADMSG) || (!rc && strcmp(told(), t[i].told) != 0))
			fail_msg("%s: %d %s: %s", t[i].value, rc, a.error.what ? a.error.what : "",
				 told());
		/* What is strict is read the same by the other. */
		if (!rc) {
			assert_int_equal(parse(t[i].value, t[i].n, AUTHRES_AS_FOUND), 0);
			assert_string_equal(told(), t[i].told);
			assert_int_equal(a.liberties, 0);
		}
	}
}

static void refuses(void **state)
{
	static const struct { const char *value; size_t n; size_t at; const char *what; } t[] = {
		{S(""), 0, "no authserv-id"},
		{S(" ; spf=pass"), 1, "no authserv-id"},
		{S(" \"\"; spf=pass"), 0, "an empty authserv-id"},
		{S(" x.example"), 10, "neither results nor \"none\""},
		{S(" x.example 1"), 12, "neither results nor \"none\""},
		{S(" x.example one; none"), 11, "neither version nor semicolon behind the authserv-id"},
		{S(" x.example 1 1; none"), 13, "no semicolon behind the version"},
		{S(" x/example; none"), 1, "no authserv-id"},
		{S(" x.example\"y\"; none"), 10, "a character that may not stand in an authserv-id"},
		{S(" x.example; none; none"), 22, "\"none\" beside results"},
		{S(" x.example; none; a=b"), 21, "\"none\" beside results"},
		{S(" x.example; a=b; none"), 21, "\"none\" beside results"},
		{S(" x.example; a=b;"), 16, "no result behind a semicolon"},
		{S(" x.example; a=b;; c=d"), 16, "no result behind a semicolon"},
		{S(" x.example; a"), 13, "no equals sign behind a method"},
		{S(" x.example; a=;"), 14, "no result"},
		{S(" x.example; a-=b"), 12, "no method"},
		{S(" x.example; a/b=c"), 14, "no version behind the slash"},
		{S(" x.example; a=b c"), 17, "no equals sign behind a property"},
		{S(" x.example; a=b c=d"), 16, "a property without its type"},
		{S(" x.example; a=b c.=d"), 18, "no name of a property behind the dot"},
		{S(" x.example; a=b c.d="), 20, "no value"},
		{S(" x.example; a=b c.d=e/f"), 20, "a value that needs quotes"},
		{S(" x.example; a=b c.d=e:f"), 21, "a character that may not stand here"},
		{S(" x.example; a=b c.d=e@"), 20, "a value that needs quotes"},
		{S(" x.example; a=b c.d=\"e\"@"), 20, "a mailbox with a bad domain"},
		{S(" x.example; a=b c.d=e reason=f"), 29, "a reason behind a property"},
		{S(" x.example; a=b reason=f reason=g"), 32, "a second reason"},
		{S(" x.example; a=b reason=f/g"), 23, "a reason that needs quotes"},
		{S(" x.example; a=b (c; d=e"), 16, "a comment that does not end, or lies too deep"},
		{S(" x.example; a=b c.d=\"e; f=g"), 20, "a quoted string that does not end"},
		{S(" x.example; a=b\r\nX-Evil: 1"), 15, "a control character"},
		{S(" x.example; a=b\rc"), 15, "a control character"},
		{S(" x.example; a=b c.d=\"\\\r\n e\""), 22, "a quoted line end"},
		{S(" x.example; a=\0b"), 14, "a control character"},
		{S(" x.example; a=b c.d=\xff"), 20, "an octet that is not UTF-8"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int rc = parse(t[i].value, t[i].n, AUTHRES_STRICT);

		if (rc != -EBADMSG || a.error.at != t[i].at || strcmp(a.error.what, t[i].what) != 0)
			fail_msg("%s: %d at %zu: %s", t[i].value, rc, a.error.at,
				 a.error.what ? a.error.what : "-");
		assert_int_equal(a.n_results + a.n_props, 0);
	}
}

/* The fields as both clouds and others write them. */
static void as_found(void **state)
{
	static const struct {
		const char *value; size_t n; unsigned int liberties; const char *told;
	} t[] = {
		{S(" spf=fail (sender IP is 192.0.2.25)\r\n smtp.mailfrom=example.com; dkim=none "
		   "(message not signed)\r\n header.d=none;dmarc=fail action=oreject\r\n"
		   " header.from=example.com;compauth=fail reason=000"),
		 AUTHRES_NO_ID | AUTHRES_BARE_PAIR,
		 "/1|spf/1=fail (sender IP is 192.0.2.25) smtp.mailfrom=[example.com]"
		 "|dkim/1=none (message not signed) header.d=[none]"
		 "|dmarc/1=fail .action=[oreject] header.from=[example.com]|compauth/1=fail {000}"},
		{S(" mx.example.net 1; spf=pass smtp.mailfrom=example.com; dmarc=pass action=none"
		   " header.from=example.com; dkim=pass header.d=example.com; arc=pass (0 oda=1 ltdi=1"
		   " spf=[1,1,smtp.mailfrom=example.com])"),
		 AUTHRES_BARE_PAIR,
		 "mx.example.net/1|spf/1=pass smtp.mailfrom=[example.com]"
		 "|dmarc/1=pass .action=[none] header.from=[example.com]"
		 "|dkim/1=pass header.d=[example.com]"
		 "|arc/1=pass (0 oda=1 ltdi=1 spf=[1,1,smtp.mailfrom=example.com])"},
		{S(" mx.example.net;\r\n       dkim=pass header.i=@example.com header.s=s1"
		   " header.b=b/8L=qk5;\r\n       spf=pass (example.net: domain of a=b@example.com"
		   " designates 192.0.2.25 as permitted sender) smtp.mailfrom=\"a=b@example.com\""),
		 AUTHRES_LOOSE_VALUE,
		 "mx.example.net/1|dkim/1=pass header.i=[@example.com] header.s=[s1]"
		 " header.b=[b/8L=qk5]|spf/1=pass (example.net: domain of a=b@example.com designates"
		 " 192.0.2.25 as permitted sender) smtp.mailfrom=[a=b@example.com]"},
		{S(" x.example; spf=none smtp.mailfrom=<>; iprev=pass policy.iprev=2001:db8::1;"),
		 AUTHRES_LOOSE_VALUE | AUTHRES_EMPTY_RESULT,
		 "x.example/1|spf/1=none smtp.mailfrom=[<>]|iprev/1=pass policy.iprev=[2001:db8::1]"},
		{S(" x.example; spf=none smtp.mailfrom=; a=b c.d=e reason=\"f\""),
		 AUTHRES_LOOSE_VALUE | AUTHRES_LATE_REASON,
		 "x.example/1|spf/1=none smtp.mailfrom=[]|a/1=b {f} c.d=[e]"},
		{S(" x.example"), AUTHRES_EMPTY_RESULT, "x.example/1"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int rc;

		assert_int_equal(parse(t[i].value, t[i].n, AUTHRES_STRICT), -EBADMSG);
		rc = parse(t[i].value, t[i].n, AUTHRES_AS_FOUND);
		if (rc || a.liberties != t[i].liberties || strcmp(told(), t[i].told) != 0)
			fail_msg("%s: %d %s: %x %s", t[i].value, rc,
				 a.error.what ? a.error.what : "", a.liberties, told());
	}
	/* Liberties do not extend to what can be read in two ways. */
	assert_int_equal(parse(S(" x.example; a=b c.d=e;f g.h=i"), AUTHRES_AS_FOUND), -EBADMSG);
	assert_int_equal(parse(S(" x.example; a=b (c"), AUTHRES_AS_FOUND), -EBADMSG);
	assert_int_equal(parse(S(" x.example; a=b c.d=\"e"), AUTHRES_AS_FOUND), -EBADMSG);
	assert_int_equal(parse(S(" x.example; a=b reason=c reason=d"), AUTHRES_AS_FOUND), -EBADMSG);
}

static void bounds(void **state)
{
	static char v[65536];
	size_t n;

	(void)state;
	n = (size_t)sprintf(v, "x");
	for (unsigned int i = 0; i < LIMIT_AUTHRES_RESULTS; i++)
		n += (size_t)sprintf(v + n, ";a=b");
	assert_int_equal(parse(v, n, AUTHRES_STRICT), 0);
	assert_int_equal(a.n_results, LIMIT_AUTHRES_RESULTS);
	n += (size_t)sprintf(v + n, ";a=b");
	assert_int_equal(parse(v, n, AUTHRES_STRICT), -E2BIG);

	n = (size_t)sprintf(v, "x;a=b");
	for (unsigned int i = 0; i < LIMIT_AUTHRES_PROPS; i++)
		n += (size_t)sprintf(v + n, " c.d=e");
	assert_int_equal(parse(v, n, AUTHRES_STRICT), 0);
	assert_int_equal(a.n_props, LIMIT_AUTHRES_PROPS);
	n += (size_t)sprintf(v + n, " c.d=e");
	assert_int_equal(parse(v, n, AUTHRES_STRICT), -E2BIG);

	n = (size_t)sprintf(v, "x;a=b ");
	memset(v + n, '(', LIMIT_AUTHRES_NESTING + 1);
	memset(v + n + LIMIT_AUTHRES_NESTING + 1, ')', LIMIT_AUTHRES_NESTING + 1);
	assert_int_equal(parse(v, n + 2 * LIMIT_AUTHRES_NESTING + 2, AUTHRES_STRICT), -EBADMSG);
	assert_int_equal(authres_parse(str_make(v + 1, n), AUTHRES_STRICT, scratch, 0, &a), -EBADMSG);
	memset(v + n, '(', LIMIT_AUTHRES_NESTING);
	memset(v + n + LIMIT_AUTHRES_NESTING, ')', LIMIT_AUTHRES_NESTING);
	assert_int_equal(parse(v, n + 2 * LIMIT_AUTHRES_NESTING, AUTHRES_STRICT), 0);

	assert_int_equal(authres_parse(STR("x; a=b c.d=\"e\\f\""), AUTHRES_STRICT, scratch, 1, &a),
			 -ENOSPC);
	assert_int_equal(authres_parse(STR("x; a=b c.d=\"e\\f\""), AUTHRES_STRICT, scratch, 2, &a), 0);
}

static void properties(void **state)
{
	(void)state;
	assert_int_equal(parse(S("x; a=b Smtp.MailFrom=c d.e=f d.e=g h.i=j h.i=j; k=l smtp.helo=m"),
			       AUTHRES_STRICT), 0);
	assert_true(str_eq(authres_prop(&a, &a.results[0], "smtp", "mailfrom"), STR("c")));
	/* Two that differ are none. */
	assert_null(authres_prop(&a, &a.results[0], "d", "e").p);
	assert_true(str_eq(authres_prop(&a, &a.results[0], "h", "i"), STR("j")));
	assert_null(authres_prop(&a, &a.results[0], "smtp", "helo").p);
	assert_true(str_eq(authres_prop(&a, &a.results[1], "smtp", "helo"), STR("m")));
}

static void instances(void **state)
{
	unsigned int i;

	(void)state;
	assert_true(str_eq(authres_instance(STR(" i=3; x; none"), &i), STR(" x; none")));
	assert_int_equal(i, 3);
	assert_true(str_eq(authres_instance(STR("(c) I = 50 (d); x"), &i), STR(" x")));
	assert_int_equal(i, 50);
	assert_true(str_eq(authres_instance(STR("i=99999999999;x"), &i), STR("x")));
	assert_int_equal(i, 0);
	assert_true(str_eq(authres_instance(STR("x; i=1"), &i), STR("x; i=1")));
	assert_int_equal(i, 0);
	assert_true(str_eq(authres_instance(STR("i=;x"), &i), STR("i=;x")));
}

/* ---- what the writer writes is read back ---------------------------------------------------- */

static uint64_t rng_state = 88172645463325252ull;

static unsigned int rnd(unsigned int n)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (unsigned int)(rng_state % n);
}

static struct str random_text(char *buf, unsigned int most)
{
	static const char *const piece[] = {
		"a", "example.com", "@", ".", "\"", "\\", "(", ")", ";", " ", "=", "\r\n", "\t", "\xc3\xa4",
		"\xe2\x80\xae", "\xff", "<", ">", ",", ":", "none", "spf=pass", "i=1;", "'", "/", "+"};
	unsigned int k = rnd(most);
	size_t n = 0;

	while (k--)
		n += (size_t)sprintf(buf + n, "%s", piece[rnd(sizeof(piece) / sizeof(piece[0]))]);
	return str_make(buf, n);
}

/* As the writer's header says: what may not be written becomes '?'. */
static struct str written(struct str s, bool utf8, char *buf)
{
	size_t n = 0;

	for (size_t i = 0, len; i < s.n; i += len) {
		len = utf8 && (s.p[i] & 0x80) ? utf8_non_ascii(s, i) : 0;
		if (len) {
			memcpy(buf + n, s.p + i, len);
			n += len;
			continue;
		}
		len = 1;
		buf[n++] = s.p[i] >= 0x20 && s.p[i] < 0x7f ? (char)s.p[i] : '?';
	}
	return str_make(buf, n);
}

static void round_trip(void **state)
{
	static const char *const method[] = {"spf", "dkim", "dmarc", "x-a"};
	static char buf[65536];
	char text[24][512], plain[512];

	(void)state;
	for (unsigned int round = 0; round < 20000; round++) {
		struct str reason[8], prop[8][2];
		unsigned int n = rnd(8), k = 0;
		struct authres_writer w;
		long len;

		authres_begin(&w, buf, sizeof(buf), STR("mx.example.net"));
		w.utf8 = rnd(2);
		for (unsigned int i = 0; i < n; i++) {
			reason[i] = random_text(text[k++], 20);
			authres_result(&w, method[rnd(4)], "pass", reason[i]);
			for (unsigned int q = 0; q < 2; q++) {
				prop[i][q] = random_text(text[k++], 30);
				authres_property(&w, "smtp", q ? "helo" : "mailfrom", prop[i][q]);
			}
			if (rnd(2))
				authres_comment(&w, random_text(plain, 20));
		}
		len = authres_end(&w);
		assert_true(len > 25);
		if (parse(buf + 23, (size_t)len - 25, AUTHRES_STRICT))
			fail_msg("%s: %s at %zu", buf, a.error.what, a.error.at);
		assert_true(str_eq(a.authserv_id, STR("mx.example.net")));
		assert_int_equal(a.n_results, n);
		for (unsigned int i = 0; i < n; i++) {
			const struct authres_resinfo *r = &a.results[i];

			assert_true(str_eq(r->reason, written(reason[i], w.utf8, plain)));
			for (unsigned int q = 0; q < 2; q++)
				assert_true(str_eq(
					authres_prop(&a, r, "smtp", q ? "helo" : "mailfrom"),
					written(prop[i][q], w.utf8, plain)));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads), cmocka_unit_test(refuses), cmocka_unit_test(as_found),
		cmocka_unit_test(bounds), cmocka_unit_test(properties), cmocka_unit_test(instances),
		cmocka_unit_test(round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
