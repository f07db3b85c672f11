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

#include "control/auth/dkim/test_dns.h"
#include "control/auth/dmarc/dmarc.h"

/* What is asked that must not be asked fails, and with it the walk. */
static const char zone[] = "_dmarc.plain.example\tv=DMARC1; p=reject; sp=quarantine; np=none\n"
			   "www.plain.example\t!nodata\n"
			   "_dmarc.sub.plain.example\tv=DMARC1; p=none\n"
			   "_dmarc.strict.example\tv=DMARC1; p=quarantine; adkim=s; aspf=s\n"
			   "_dmarc.test.example\tv=DMARC1; p=reject; sp=quarantine; t=y\n"
			   "www.test.example\t!nodata\n"
			   /* psd=y above: the organizational domain is one label below */
			   "_dmarc.bank.example\tv=DMARC1; p=reject; np=reject; psd=y\n"
			   "_dmarc.example\tv=spf1 -all\n"
			   "www.one.bank.example\t!nodata\n"
			   "_dmarc.two.bank.example\tv=DMARC1; p=quarantine\n"
			   /* psd=n: what is above it is another's */
			   "_dmarc.dept.uni.example\tv=DMARC1; p=quarantine; psd=n\n"
			   "_dmarc.uni.example\tv=DMARC1; p=reject\n"
			   "www.dept.uni.example\t!nodata\n"
			   /* several records are none */
			   "_dmarc.twice.example\tv=DMARC1; p=reject\n"
			   "_dmarc.twice.example\tv=DMARC1; p=none\n"
			   "_dmarc.beside.example\tv=DMARC1; p=reject\n"
			   "_dmarc.beside.example\tsomething else\n"
			   "_dmarc.empty.example\tv=DMARC1\n"
			   "_dmarc.reports.example\tv=DMARC1; rua=mailto:r@reports.example\n"
			   "_dmarc.broken.example\t!tempfail\n"
			   "_dmarc.half.broken.example\tv=DMARC1; p=reject\n"
			   /* a name of ten labels: the whole, then the last seven */
			   "_dmarc.b.c.d.e.f.g.h.deep.example\t!tempfail\n"
			   "_dmarc.c.d.e.f.g.h.deep.example\t!tempfail\n"
			   "_dmarc.deep.example\tv=DMARC1; p=reject\n"
			   "a.b.c.d.e.f.g.h.deep.example\t!nodata\n"
			   /* one of eight: each of them */
			   "_dmarc.d.e.f.g.h.cut.example\tv=DMARC1; p=reject\n"
			   /* the list knows co.uk */
			   "_dmarc.shop.co.uk\tv=DMARC1; p=reject\n"
			   "_dmarc.far.a.shop.co.uk\tv=DMARC1; p=quarantine; psd=n\n";

struct sig {
	enum dkim_result result;
	const char *domain;
};

static struct event_base *base;
static struct dns *dns;
static struct dmarc_verdict got;
static unsigned int calls;
static bool free_inside, testing_counts, testing_key;
static unsigned int budget_ms;
static struct dmarc_check *check;

static void done(void *arg, const struct dmarc_verdict *v)
{
	(void)arg;
	assert_non_null(check); /* else it ran inside dmarc_check() */
	calls++;
	got = *v;
	if (free_inside)
		dmarc_check_free(check);
}

static void run(const char *from, enum spf_result spf, const char *mail_from, const char *helo,
		struct sig a, struct sig b)
{
	struct dmarc_options opt = {.budget_ms = budget_ms, .testing_counts = testing_counts};
	char m[1024];
	struct iovec iov = {m, (size_t)snprintf(m, sizeof(m), "From: %s\r\n\r\nx\r\n", from)};
	struct mail_bytes content = {&iov, 1, iov.iov_len};
	struct spf_verdict s = {.result = spf,
				.identity = mail_from[0] ? SPF_ID_MAILFROM : SPF_ID_HELO};
	struct dkim_signature sig[2] = {{.result = a.result, .testing = testing_key},
					{.result = b.result}};
	struct dkim_results dkim = {sig, b.domain ? 2 : a.domain ? 1 : 0};
	struct headers h;
	struct dmarc_request req = {&h, &s, str_c(mail_from), &dkim};

	snprintf(s.domain, sizeof(s.domain), "%s",
		 mail_from[0] ? strchr(mail_from, '@') + 1 : helo);
	snprintf(sig[0].domain, sizeof(sig[0].domain), "%s", a.domain ? a.domain : "");
	snprintf(sig[1].domain, sizeof(sig[1].domain), "%s", b.domain ? b.domain : "");
	assert_int_equal(headers_parse(&h, &content), 0);
	calls = 0;
	check = NULL;
	check = dmarc_check(dns, base, &req, &opt, done, NULL);
	assert_non_null(check);
	headers_free(&h); /* borrowed inside the call only */
	event_base_dispatch(base);
	assert_int_equal(calls, 1);
	assert_int_equal(test_dns_open(dns), 0);
	if (!free_inside)
		dmarc_check_free(check);
}

#define NO_SIG                                                                                     \
	{                                                                                          \
		DKIM_NONE, NULL                                                                    \
	}

static const struct {
	const char *from;
	enum spf_result spf;
	const char *mail_from, *helo;
	struct sig a, b;
	enum dmarc_result want;
	enum dmarc_policy disposition;
	const char *policy_domain, *org;
	enum dmarc_tag tag;
	bool psl_differs;
} rows[] = {
#define ROW(...)                                                                                   \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
	/* alignment: the same domain, relaxed, unrelated */
	ROW("a@plain.example", SPF_PASS, "b@plain.example", "", NO_SIG, NO_SIG, DMARC_PASS, 0,
	    "plain.example", "plain.example", DMARC_TAG_P, false),
	ROW("a@plain.example", SPF_PASS, "b@bounce.plain.example", "", NO_SIG, NO_SIG, DMARC_PASS,
	    0, "plain.example", "plain.example", DMARC_TAG_P, false),
	ROW("a@plain.example", SPF_NONE, "b@x.example", "", {DKIM_PASS, "x.plain.example"}, NO_SIG,
	    DMARC_PASS, 0, "plain.example", "plain.example", DMARC_TAG_P, false),
	ROW("a@plain.example", SPF_PASS, "b@x.example", "", {DKIM_PASS, "y.example"}, NO_SIG,
	    DMARC_FAIL, DMARC_POLICY_REJECT, "plain.example", "plain.example", DMARC_TAG_P, false),
	ROW("a@plain.example", SPF_PASS, "b@notplain.example", "", NO_SIG, NO_SIG, DMARC_FAIL,
	    DMARC_POLICY_REJECT, "plain.example", "plain.example", DMARC_TAG_P, false),
	/* only pass counts; one of several is enough */
	ROW("a@plain.example", SPF_SOFTFAIL, "b@plain.example", "", {DKIM_FAIL, "plain.example"},
	    NO_SIG, DMARC_FAIL, DMARC_POLICY_REJECT, "plain.example", "plain.example", DMARC_TAG_P,
	    false),
	ROW("a@plain.example", SPF_NEUTRAL, "b@plain.example", "", {DKIM_POLICY, "plain.example"},
	    {DKIM_PASS, "plain.example"}, DMARC_PASS, 0, "plain.example", "plain.example",
	    DMARC_TAG_P, false),
	/* null reverse-path: postmaster at HELO; else HELO says nothing */
	ROW("a@plain.example", SPF_PASS, "", "mx.plain.example", NO_SIG, NO_SIG, DMARC_PASS, 0,
	    "plain.example", "plain.example", DMARC_TAG_P, false),
	ROW("a@plain.example", SPF_PASS, "b@x.example", "mx.plain.example", NO_SIG, NO_SIG,
	    DMARC_FAIL, DMARC_POLICY_REJECT, "plain.example", "plain.example", DMARC_TAG_P, false),
	/* sp for what exists, np for what does not */
	ROW("a@www.plain.example", SPF_NONE, "b@x.example", "", NO_SIG, NO_SIG, DMARC_FAIL,
	    DMARC_POLICY_QUARANTINE, "plain.example", "plain.example", DMARC_TAG_SP, false),
	ROW("a@nowhere.plain.example", SPF_NONE, "b@x.example", "", NO_SIG, NO_SIG, DMARC_FAIL,
	    DMARC_POLICY_NONE, "plain.example", "plain.example", DMARC_TAG_NP, false),
	ROW("a@sub.plain.example", SPF_NONE, "b@x.example", "", {DKIM_PASS, "plain.example"},
	    NO_SIG, DMARC_PASS, 0, "sub.plain.example", "plain.example", DMARC_TAG_P, false),
	/* strict */
	ROW("a@strict.example", SPF_PASS, "b@m.strict.example", "", {DKIM_PASS, "m.strict.example"},
	    NO_SIG, DMARC_FAIL, DMARC_POLICY_QUARANTINE, "strict.example", "strict.example",
	    DMARC_TAG_P, false),
	ROW("a@strict.example", SPF_NONE, "b@x.example", "", {DKIM_PASS, "STRICT.example"}, NO_SIG,
	    DMARC_PASS, 0, "strict.example", "strict.example", DMARC_TAG_P, false),
	/* t=y: one level less */
	ROW("a@test.example", SPF_NONE, "b@x.example", "", NO_SIG, NO_SIG, DMARC_FAIL,
	    DMARC_POLICY_QUARANTINE, "test.example", "test.example", DMARC_TAG_P, false),
	ROW("a@www.test.example", SPF_NONE, "b@x.example", "", NO_SIG, NO_SIG, DMARC_FAIL,
	    DMARC_POLICY_NONE, "test.example", "test.example", DMARC_TAG_SP, false),
	/* psd=y; the list takes bank.example for the organizational domain */
	ROW("a@www.one.bank.example", SPF_NONE, "b@x.example", "", NO_SIG, NO_SIG, DMARC_FAIL,
	    DMARC_POLICY_REJECT, "bank.example", "one.bank.example", DMARC_TAG_P, false),
	ROW("a@gone.bank.example", SPF_PASS, "b@two.bank.example", "", NO_SIG, NO_SIG, DMARC_FAIL,
	    DMARC_POLICY_REJECT, "bank.example", "gone.bank.example", DMARC_TAG_NP, true),
	ROW("a@two.bank.example", SPF_PASS, "b@m.two.bank.example", "", NO_SIG, NO_SIG, DMARC_PASS,
	    0, "two.bank.example", "two.bank.example", DMARC_TAG_P, false),
	ROW("a@bank.example", SPF_PASS, "b@two.bank.example", "", NO_SIG, NO_SIG, DMARC_FAIL,
	    DMARC_POLICY_REJECT, "bank.example", "bank.example", DMARC_TAG_P, true),
	/* psd=n */
	ROW("a@www.dept.uni.example", SPF_PASS, "b@uni.example", "", NO_SIG, NO_SIG, DMARC_FAIL,
	    DMARC_POLICY_QUARANTINE, "dept.uni.example", "dept.uni.example", DMARC_TAG_P, true),
	ROW("a@uni.example", SPF_PASS, "b@x.dept.uni.example", "", NO_SIG, NO_SIG, DMARC_FAIL,
	    DMARC_POLICY_REJECT, "uni.example", "uni.example", DMARC_TAG_P, true),
	ROW("a@uni.example", SPF_PASS, "b@y.uni.example", "", NO_SIG, NO_SIG, DMARC_PASS, 0,
	    "uni.example", "uni.example", DMARC_TAG_P, false),
	/* records that are none */
	ROW("a@twice.example", SPF_PASS, "b@twice.example", "", NO_SIG, NO_SIG, DMARC_NONE, 0, "",
	    "twice.example", DMARC_TAG_P, false),
	ROW("a@beside.example", SPF_NONE, "b@x.example", "", NO_SIG, NO_SIG, DMARC_FAIL,
	    DMARC_POLICY_REJECT, "beside.example", "beside.example", DMARC_TAG_P, false),
	ROW("a@empty.example", SPF_PASS, "b@empty.example", "", NO_SIG, NO_SIG, DMARC_NONE, 0, "",
	    "empty.example", DMARC_TAG_P, false),
	ROW("a@reports.example", SPF_NONE, "b@x.example", "", NO_SIG, NO_SIG, DMARC_FAIL, 0,
	    "reports.example", "reports.example", DMARC_TAG_P, false),
	ROW("a@nothing.example", SPF_PASS, "b@nothing.example", "", NO_SIG, NO_SIG, DMARC_NONE, 0,
	    "", "nothing.example", DMARC_TAG_P, false),
	/* failures of DNS and of what is aligned */
	ROW("a@broken.example", SPF_PASS, "b@broken.example", "", NO_SIG, NO_SIG, DMARC_TEMPERROR,
	    0, "", "", DMARC_TAG_P, false),
	ROW("a@half.broken.example", SPF_PASS, "b@half.broken.example", "", NO_SIG, NO_SIG,
	    DMARC_PASS, 0, "half.broken.example", "", DMARC_TAG_P, false),
	ROW("a@half.broken.example", SPF_PASS, "b@broken.example", "", NO_SIG, NO_SIG,
	    DMARC_TEMPERROR, 0, "half.broken.example", "", DMARC_TAG_P, true),
	ROW("a@half.broken.example", SPF_PASS, "b@x.example", "", NO_SIG, NO_SIG, DMARC_FAIL,
	    DMARC_POLICY_REJECT, "half.broken.example", "", DMARC_TAG_P, false),
	ROW("a@plain.example", SPF_TEMPERROR, "b@plain.example", "", NO_SIG, NO_SIG,
	    DMARC_TEMPERROR, 0, "plain.example", "plain.example", DMARC_TAG_P, false),
	ROW("a@plain.example", SPF_NONE, "b@x.example", "", {DKIM_TEMPERROR, "x.example"}, NO_SIG,
	    DMARC_FAIL, DMARC_POLICY_REJECT, "plain.example", "plain.example", DMARC_TAG_P, false),
	ROW("a@plain.example", SPF_TEMPERROR, "b@plain.example", "", {DKIM_PASS, "plain.example"},
	    NO_SIG, DMARC_PASS, 0, "plain.example", "plain.example", DMARC_TAG_P, false),
	/* more than eight labels */
	ROW("u@a.b.c.d.e.f.g.h.deep.example", SPF_NONE, "b@x.example", "", NO_SIG, NO_SIG,
	    DMARC_FAIL, DMARC_POLICY_REJECT, "deep.example", "deep.example", DMARC_TAG_P, false),
	ROW("u@c.d.e.f.g.h.cut.example", SPF_PASS, "b@d.e.f.g.h.cut.example", "", NO_SIG, NO_SIG,
	    DMARC_PASS, 0, "d.e.f.g.h.cut.example", "d.e.f.g.h.cut.example", DMARC_TAG_P, true),
	/* a suffix of two labels, which the walk does not need to know */
	ROW("a@www.shop.co.uk", SPF_PASS, "b@m.shop.co.uk", "", NO_SIG, NO_SIG, DMARC_PASS, 0,
	    "shop.co.uk", "shop.co.uk", DMARC_TAG_P, false),
	ROW("a@far.a.shop.co.uk", SPF_PASS, "b@shop.co.uk", "", NO_SIG, NO_SIG, DMARC_FAIL,
	    DMARC_POLICY_QUARANTINE, "far.a.shop.co.uk", "far.a.shop.co.uk", DMARC_TAG_P, true),
	ROW("a@far.a.shop.co.uk", SPF_PASS, "b@co.uk", "", {DKIM_PASS, "uk"}, NO_SIG, DMARC_FAIL,
	    DMARC_POLICY_QUARANTINE, "far.a.shop.co.uk", "far.a.shop.co.uk", DMARC_TAG_P, false),
};

static void table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct dmarc_evaluation *e = &got.author[0].walk;

		run(rows[i].from, rows[i].spf, rows[i].mail_from, rows[i].helo, rows[i].a,
		    rows[i].b);
		if (got.result != rows[i].want || got.disposition != rows[i].disposition ||
		    strcmp(e->policy_domain, rows[i].policy_domain) ||
		    strcmp(e->org, rows[i].org) || e->tag != rows[i].tag ||
		    got.psl_differs != rows[i].psl_differs)
			fail_msg("row %zu, %s: %s (%s) disposition %s, policy of '%s' %s, org "
				 "'%s', psl "
				 "%s org '%s'%s",
				 i, rows[i].from, dmarc_result_name(got.result), got.reason,
				 dmarc_policy_name(got.disposition), e->policy_domain,
				 dmarc_tag_name(e->tag), e->org,
				 dmarc_result_name(got.author[0].psl.result), got.author[0].psl.org,
				 got.psl_differs ? " differs" : "");
		assert_int_equal(got.reason[0] != '\0', got.result != DMARC_PASS);
		assert_true(got.n == 1 && got.decisive == 0);
	}
}

static void several_authors(void **state)
{
	static const struct {
		const char *from;
		enum dmarc_result want;
		const char *decisive;
	} t[] = {
		{"a@plain.example, b@plain.example", DMARC_PASS, "plain.example"},
		{"a@plain.example, b@nothing.example", DMARC_NONE, "nothing.example"},
		{"a@plain.example, b@broken.example", DMARC_TEMPERROR, "broken.example"},
		{"a@plain.example,<b@test.example>", DMARC_FAIL, "test.example"},
		{"a@test.example, b@uni.example, c@broken.example", DMARC_FAIL, "uni.example"},
		{"G: a@plain.example, b@strict.example;", DMARC_FAIL, "strict.example"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		run(t[i].from, SPF_PASS, "x@plain.example", "", (struct sig)NO_SIG,
		    (struct sig)NO_SIG);
		assert_int_equal(got.result, t[i].want);
		assert_string_equal(got.author[got.decisive].domain, t[i].decisive);
	}
	run("a@1.example,a@2.example,a@3.example,a@4.example,a@5.example,a@plain.example", SPF_PASS,
	    "x@plain.example", "", (struct sig)NO_SIG, (struct sig)NO_SIG);
	assert_int_equal(got.result, DMARC_PERMERROR);
	assert_int_equal(got.from, FROM_TOO_MANY);
	run("a@x.example\r\nFrom: a@plain.example", SPF_PASS, "x@plain.example", "",
	    (struct sig)NO_SIG, (struct sig)NO_SIG);
	assert_int_equal(got.result, DMARC_PERMERROR);
	assert_int_equal(got.from, FROM_SEVERAL);
	assert_true(got.reason[0] && got.n == 0 && got.decisive == 0);
	/* a source route: its mailbox is judged, and does not pass */
	run("<@x.example,@y.example:a@strict.example>", SPF_PASS, "x@x.example", "",
	    (struct sig)NO_SIG, (struct sig)NO_SIG);
	assert_int_equal(got.result, DMARC_FAIL);
	assert_string_equal(got.author[got.decisive].domain, "strict.example");
	run("<@strict.example:a@plain.example>", SPF_PASS, "x@plain.example", "",
	    (struct sig)NO_SIG, (struct sig)NO_SIG);
	assert_int_equal(got.result, DMARC_PERMERROR);
	assert_int_equal(got.from, FROM_ROUTED);
}

static void report_data(void **state)
{
	(void)state;
	run("a@plain.example", SPF_PASS, "x@plain.example", "",
	    (struct sig){DKIM_PASS, "x.example"}, (struct sig){DKIM_PASS, "m.plain.example"});
	assert_int_equal(got.author[0].walk.dkim_aligned, 2);
	assert_true(got.author[0].walk.spf_aligned && got.author[0].walk.has_policy);
	assert_int_equal(got.author[0].record.sp, DMARC_POLICY_QUARANTINE);
	assert_int_equal(got.spf, SPF_PASS);
	assert_string_equal(got.spf_domain, "plain.example");
}

static void ends(void **state)
{
	char m[] = "From: a@plain.example\r\n\r\n";
	struct iovec iov = {m, sizeof(m) - 1};
	struct mail_bytes content = {&iov, 1, sizeof(m) - 1};
	struct spf_verdict spf = {0};
	struct dkim_results dkim = {0};
	struct dmarc_options opt = {.budget_ms = 1};
	struct headers h;
	struct dmarc_request req = {&h, &spf, STR("x@y.example"), &dkim};

	(void)state;
	assert_int_equal(headers_parse(&h, &content), 0);
	/* cancelled before anything, and with questions open */
	calls = 0;
	check = dmarc_check(dns, base, &req, &opt, done, NULL);
	dmarc_check_free(check);
	check = dmarc_check(dns, base, &req, &opt, done, NULL);
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	dmarc_check_free(check);
	assert_int_equal(test_dns_open(dns), 0);
	event_base_dispatch(base);
	assert_int_equal(calls, 0);
	headers_free(&h);
	free_inside = true;
	run("a@plain.example", SPF_PASS, "x@plain.example", "", (struct sig)NO_SIG,
	    (struct sig)NO_SIG);
	assert_int_equal(got.result, DMARC_PASS);
	free_inside = false;
}

/* Time is over: what is open counts as failed, what is known counts. */
static void no_answer(void **state)
{
	static const struct {
		const char *from, *mail_from;
		enum dmarc_result want;
		bool has_policy;
	} t[] = {
		{"a@mute.example", "a@mute.example", DMARC_TEMPERROR, false},
		{"a@known.mute.example", "a@known.mute.example", DMARC_PASS, true},
		{"a@known.mute.example", "a@mute.example", DMARC_TEMPERROR, true},
		{"a@known.mute.example", "a@x.example", DMARC_FAIL, true},
		/* the existence that np hangs on: taken for existing, so sp */
		{"a@unsure.plain.example", "a@x.example", DMARC_FAIL, true},
	};

	(void)state;
	budget_ms = 20;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		run(t[i].from, SPF_PASS, t[i].mail_from, "", (struct sig)NO_SIG,
		    (struct sig)NO_SIG);
		if (got.result != t[i].want || got.author[0].walk.has_policy != t[i].has_policy)
			fail_msg("%s: %s, %s", t[i].from, dmarc_result_name(got.result),
				 got.reason);
	}
	assert_int_equal(got.disposition, DMARC_POLICY_QUARANTINE);
	budget_ms = 0;
}

static int setup(void **state)
{
	char path[] = "/tmp/postern-dmarc-XXXXXX";
	int fd = mkstemp(path);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	bool ok = f && fputs(zone, f) >= 0;

	(void)state;
	base = event_base_new();
	dns = test_dns_new(base);
	ok = f && !fclose(f) && ok && test_dns_load(dns, path);
	remove(path);
	test_dns_silent(dns, "_dmarc.mute.example");
	test_dns_silent(dns, "unsure.plain.example");
	test_dns_txt(dns, "_dmarc.known.mute.example", "v=DMARC1; p=reject");
	return ok ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	test_dns_free(dns);
	event_base_free(base);
	return 0;
}

/* RFC 6376 3.6.1: as if there were no signature, for better or worse. */
static void testing(void **state)
{
	static const struct {
		enum spf_result spf;
		struct sig a, b;
		bool counts;
		enum dmarc_result want;
		bool told;
	} t[] = {
		{SPF_NONE, {DKIM_PASS, "plain.example"}, NO_SIG, false, DMARC_FAIL, true},
		{SPF_NONE, {DKIM_PASS, "plain.example"}, NO_SIG, true, DMARC_PASS, false},
		{SPF_PASS, {DKIM_PASS, "plain.example"}, NO_SIG, false, DMARC_PASS, false},
		{SPF_NONE, {DKIM_PASS, "plain.example"}, {DKIM_PASS, "plain.example"}, false, DMARC_PASS,
		 false},
		{SPF_NONE, {DKIM_FAIL, "plain.example"}, NO_SIG, false, DMARC_FAIL, false},
		/* whether its key is a test nobody knows yet */
		{SPF_NONE, {DKIM_TEMPERROR, "plain.example"}, NO_SIG, false, DMARC_TEMPERROR, false},
	};

	(void)state;
	testing_key = true;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		/* The flag is of the key: without one there is none to see. */
		testing_key = t[i].a.result != DKIM_TEMPERROR;
		testing_counts = t[i].counts;
		run("a@plain.example", t[i].spf, "b@plain.example", "", t[i].a, t[i].b);
		assert_int_equal(got.result, t[i].want);
		assert_int_equal(!!strstr(got.reason, "testing keys do not count"), t[i].told);
	}
	testing_key = testing_counts = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(testing),
		cmocka_unit_test(table),
		cmocka_unit_test(several_authors),
		cmocka_unit_test(report_data),
		cmocka_unit_test(no_answer),
		cmocka_unit_test(ends),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
