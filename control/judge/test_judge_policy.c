/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Whole messages through the judge for what policy does about them: lists in the DNS, trusted
 * sealers and forwarders, replies. Chains are sealed here, by a key that the zone has. */

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
#include "control/judge/judge.h"
#include "postern/stats.h"

#define NOW 1700000000
#define KEYS                                                                                       \
	"k._domainkey.list TXT \"v=DKIM1; k=ed25519; p=%s\"\n"                                     \
	"k._domainkey.other TXT \"v=DKIM1; k=ed25519; p=%s\"\n"                                    \
	"test._domainkey.list TXT \"v=DKIM1; k=ed25519; t=y; p=%s\"\n"

static const char zone[] =
	"$ORIGIN example.\n"
	"victim TXT \"v=spf1 ip4:192.0.2.1 -all\"\n"
	"_dmarc.victim TXT \"v=DMARC1; p=reject\"\n"
	"own TXT \"v=spf1 ip4:192.0.2.1 -all\"\n"
	"_dmarc.own TXT \"v=DMARC1; p=none\"\n"
	"list TXT \"v=spf1 ip4:198.51.100.9 ip4:198.51.100.10 ip4:198.51.100.11 ip6:2001:db8::9 -all\"\n"
	"twice TXT \"v=spf1 -all\"\n"
	"twice TXT \"v=spf1 +all\"\n"
	"mute MX 0 .\n"
	"mute2 MX 0 .\n"
	"mute2 MX 10 list.example.\n"
	"_dmarc.list TXT \"v=DMARC1; p=none\"\n"
	"9.100.51.198.in-addr.arpa. PTR list.example.\n"
	"list A 198.51.100.9\n"
	/* lists: one with 198.51.100.10 and 2001:db8::9, one of the good with .9 */
	"10.100.51.198.bl A 127.0.0.2\n"
	"9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl A 127.0.0.2\n"
	"2.0.0.127.bl A 127.0.0.2\n"
	"9.100.51.198.wl A 127.0.10.2\n"
	"2.0.0.127.wl A 127.0.0.2\n"
	"*.world A 127.0.0.2\n";

#define CONFIG(policy, lists)                                                                      \
	"hostname = \"mx.example.net\"\n"                                                          \
	"listener a { port = 0; address = [\"192.0.2.25/24\"] }\n"                                 \
	"route b { domains = [\"example.com\"]; hosts = [\"192.0.2.2\"] }\n"                       \
	"policy { " policy " }\n" lists
#define BL(more) "dnsbl bl { zone = \"bl.example\"; " more " }\n"

static struct event_base *base;
static struct dns *dns;
static struct spf_jail *jail;
static EVP_PKEY *pkey;
static struct arc_key *key;
static uint64_t counters[POSTERN_CTL_COUNTER_COUNT];
static struct str to = STR("r@example.com");

static void done(void *arg, const struct judgement *j)
{
	(void)j;
	*(bool *)arg = true;
	event_base_loopbreak(base);
}

static struct judge *judge(const char *config, const char *ip, const char *mail_from, const char *m)
{
	struct iovec iov = {(void *)(uintptr_t)m, strlen(m)};
	static struct mail_bytes content;
	static struct iovec kept;
	static struct mail_envelope env;
	struct judge_env jenv = {base, dns, jail, counters};
	struct judge_request req = {.env = &env, .content = &content};
	struct config_error err[1] = {0};
	bool finished = false;
	struct judge *j;
	size_t n;

	kept = iov;
	content = (struct mail_bytes){&kept, 1, iov.iov_len};
	env = (struct mail_envelope){.helo = STR("list.example"), .rcpt = &to, .n_rcpts = 1,
				     .mail_from = str_c(mail_from), .trace_id = "t",
				     .time_ns = NOW * 1000000000ull};
	memset(counters, 0, sizeof(counters));
	assert_true(ip_parse(str_c(ip), &env.peer));
	if (config_parse("t", config, strlen(config), 1, &req.config, err, 1, &n))
		fail_msg("%s: %s", err[0].key, err[0].reason);
	j = judge_start(&jenv, &req, done, &finished);
	assert_non_null(j);
	event_base_dispatch(base);
	assert_true(finished);
	config_unref(req.config);
	return j;
}

static bool has(const struct judge *j, const char *text)
{
	const struct judgement *r = judge_result(j);

	return memmem(r->out.block, r->out.block_len, text, strlen(text)) != NULL;
}

#define HEADS_FROM(d) "From: a@" d "\r\nTo: r@example.com\r\nSubject: s\r\n"
#define FORGED HEADS_FROM("victim.example") "\r\nx\r\n"

static void replies(void **state)
{
	static const struct {
		const char *config, *ip, *mail_from, *message;
		enum policy_action want;
		unsigned int code, detail;
		const char *text; /* of the reply */
		unsigned int counter;
	} t[] = {
		{CONFIG("spf-fail = reject", ""), "198.51.100.200", "a@list.example",
		 HEADS_FROM("list.example") "\r\nx\r\n", POLICY_REJECT, 550, 23, "SPF check failed",
		 CTL_policy_spf_fail},
		{CONFIG("spf-permerror = reject", ""), "198.51.100.9", "a@twice.example",
		 HEADS_FROM("twice.example") "\r\nx\r\n", POLICY_REJECT, 550, 24, "twice.example",
		 CTL_policy_spf_error},
		{CONFIG("dkim-required = passing; dkim-missing = reject", ""), "198.51.100.9",
		 "a@list.example", HEADS_FROM("list.example") "\r\nx\r\n", POLICY_REJECT, 550, 20,
		 "No passing DKIM", CTL_policy_dkim},
		{CONFIG("reverse-dns = reject", ""), "198.51.100.10", "a@list.example",
		 HEADS_FROM("list.example") "\r\nx\r\n", POLICY_REJECT, 550, 25,
		 "198.51.100.10 has no name", CTL_policy_reverse_dns},
		{CONFIG("reverse-dns = reject", ""), "198.51.100.9", "a@list.example",
		 HEADS_FROM("list.example") "\r\nx\r\n", POLICY_ACCEPT, 0, 0, "", CTL_messages},
		{CONFIG("arc-fail = reject", ""), "198.51.100.9", "a@list.example",
		 "ARC-Seal: i=1; junk\r\n" HEADS_FROM("quiet.example") "\r\nx\r\n", POLICY_REJECT, 550, 29,
		 "ARC validation failure", CTL_policy_arc},
		{CONFIG("null-mx = reject", ""), "198.51.100.9", "a@mute.example",
		 HEADS_FROM("list.example") "\r\nx\r\n", POLICY_REJECT, 550, 27, "null MX: mute.example",
		 CTL_policy_null_mx},
		/* RFC 7505 3: with others it is none */
		{CONFIG("null-mx = reject", ""), "198.51.100.9", "a@mute2.example",
		 HEADS_FROM("list.example") "\r\nx\r\n", POLICY_ACCEPT, 0, 0, "", CTL_messages},
		{CONFIG("null-mx = reject", ""), "198.51.100.9", "", HEADS_FROM("list.example") "\r\nx\r\n",
		 POLICY_ACCEPT, 0, 0, "", CTL_messages},
		{CONFIG("", ""), "198.51.100.9", "a@mute.example", HEADS_FROM("list.example") "\r\nx\r\n",
		 POLICY_ACCEPT, 0, 0, "", CTL_messages},
		{CONFIG("null-mx = reject; reverse-dns = reject", ""), "198.51.100.10",
		 "a@mute.example", HEADS_FROM("list.example") "\r\nx\r\n", POLICY_REJECT, 550, 26,
		 "Multiple authentication checks failed", CTL_policy_several},
		{CONFIG("protected-domains = [\"own.example\"]", ""), "198.51.100.9", "a@list.example",
		 HEADS_FROM("own.example") "\r\nx\r\n", POLICY_REJECT, 550, 26, "own.example",
		 CTL_dmarc_refused},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct judge *j = judge(t[i].config, t[i].ip, t[i].mail_from, t[i].message);
		const struct policy_verdict *v = &judge_result(j)->policy;

		assert_int_equal(judge_result(j)->error, 0);
		if (v->action != t[i].want || v->code != t[i].code || v->enh_detail != t[i].detail ||
		    !strstr(v->text, t[i].text))
			fail_msg("row %zu: %s %u %u.%u.%u %s (%s)", i, policy_action_name(v->action),
				 v->code, v->enh_class, v->enh_subject, v->enh_detail, v->text, v->reason);
		assert_int_equal(counters[t[i].counter], 1);
		judge_free(j);
	}
}

static void lists(void **state)
{
	static const struct {
		const char *config, *ip, *mail_from, *message;
		enum policy_action want;
		double score;
		const char *block; /* in our header block */
		unsigned int counter;
	} t[] = {
		{CONFIG("", BL("score = 3")), "198.51.100.10", "a@list.example",
		 HEADS_FROM("list.example") "\r\nx\r\n", POLICY_ACCEPT, 3, "rules=dnsbl.bl", CTL_dnsbl_listed},
		{CONFIG("", BL("score = 3")), "2001:db8::9", "a@list.example",
		 HEADS_FROM("list.example") "\r\nx\r\n", POLICY_ACCEPT, 3, "rules=dnsbl.bl", CTL_dnsbl_listed},
		{CONFIG("", BL("score = 3")), "198.51.100.9", "a@list.example",
		 HEADS_FROM("list.example") "\r\nx\r\n", POLICY_ACCEPT, 0, "X-Postern-Verdict: accept\r\n",
		 CTL_dnsbl_not_listed},
		{CONFIG("", BL("action = reject; reply = \"See https://bl.example/\"")), "198.51.100.10",
		 "a@list.example", HEADS_FROM("list.example") "\r\nx\r\n", POLICY_REJECT, 0, "",
		 CTL_dnsbl_refused},
		/* evidence beside p=reject: the list; without, a tag */
		{CONFIG("", BL("")), "198.51.100.10", "a@list.example", FORGED, POLICY_REJECT, 0, "",
		 CTL_dmarc_refused},
		{CONFIG("", BL("")), "198.51.100.9", "a@list.example", FORGED, POLICY_TAG, 0, "",
		 CTL_dmarc_tagged},
		{CONFIG("", BL("evidence = no")), "198.51.100.10", "a@list.example", FORGED, POLICY_TAG, 0,
		 "", CTL_dmarc_tagged},
		/* a list that lists the world is not believed */
		{CONFIG("", "dnsbl w { zone = \"world.example\"; action = reject }\n"), "198.51.100.10",
		 "a@list.example", HEADS_FROM("list.example") "\r\nx\r\n", POLICY_ACCEPT, 0,
		 "X-Postern-Verdict: accept\r\n", CTL_dnsbl_broken},
		{CONFIG("", "dnsbl wl { zone = \"wl.example\"; kind = allow; score = -2 }\n"),
		 "198.51.100.9", "a@list.example", HEADS_FROM("list.example") "\r\nx\r\n", POLICY_ACCEPT,
		 -2, "dnswl=pass dns.zone=wl.example policy.ip=127.0.10.2 dns.sec=no", CTL_dnsbl_listed},
		{CONFIG("", "dnsbl wl { zone = \"wl.example\"; kind = allow; score = -2 }\n"),
		 "198.51.100.10", "a@list.example", HEADS_FROM("list.example") "\r\nx\r\n", POLICY_ACCEPT,
		 0, "dnswl=none dns.zone=wl.example\r\n", CTL_dnsbl_not_listed},
		/* private addresses are nobody's business */
		{CONFIG("allow-private-peer = yes", BL("action = reject")), "10.0.0.1", "a@list.example",
		 HEADS_FROM("list.example") "\r\nx\r\n", POLICY_ACCEPT, 0, "", CTL_messages},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct judge *j = judge(t[i].config, t[i].ip, t[i].mail_from, t[i].message);
		const struct judgement *r = judge_result(j);
		json_t *o = judge_json(j);

		assert_int_equal(r->error, 0);
		if (r->policy.action != t[i].want || r->policy.score != t[i].score)
			fail_msg("row %zu: %s %.2f (%s)", i, policy_action_name(r->policy.action),
				 r->policy.score, r->policy.reason);
		if (!has(j, t[i].block))
			fail_msg("row %zu: no '%s' in\n%.*s", i, t[i].block, (int)r->out.block_len,
				 r->out.block);
		assert_int_equal(counters[t[i].counter], 1);
		assert_int_equal(json_array_size(json_object_get(o, "dnsbl")), r->n_dnsbls);
		json_decref(o);
		judge_free(j);
	}
}

/* The route of the recipient says otherwise. */
static void by_route(void **state)
{
	static const char config[] = CONFIG("", BL("action = reject"))
		"route c { domains = [\"example.org\"]; hosts = [\"192.0.2.2\"]\n"
		"policy { dmarc = strict; reverse-dns = reject } }\n";
	struct judge *j;

	(void)state;
	j = judge(config, "198.51.100.9", "a@list.example", FORGED);
	assert_int_equal(judge_result(j)->policy.action, POLICY_TAG);
	judge_free(j);
	to = STR("r@example.org");
	j = judge(config, "198.51.100.9", "a@list.example", FORGED);
	assert_int_equal(judge_result(j)->policy.cause, POLICY_BY_DMARC);
	assert_int_equal(judge_result(j)->policy.action, POLICY_REJECT);
	judge_free(j);
	j = judge(config, "198.51.100.11", "a@list.example", HEADS_FROM("list.example") "\r\nx\r\n");
	assert_int_equal(judge_result(j)->policy.cause, POLICY_BY_REVERSE_DNS);
	judge_free(j);
	/* the lists are those of all */
	j = judge(config, "198.51.100.10", "a@list.example", HEADS_FROM("list.example") "\r\nx\r\n");
	assert_int_equal(judge_result(j)->policy.cause, POLICY_BY_DNSBL);
	judge_free(j);
	to = STR("r@example.com");
}

/* Given up at each turn of the loop: nothing is left. */
static void given_up(void **state)
{
	static const char config[] = CONFIG("null-mx = tag", BL("") "dnsbl w { zone = \"w.example\" }");
	static char m[] = FORGED;
	struct iovec iov = {m, sizeof(m) - 1};
	struct mail_bytes content = {&iov, 1, sizeof(m) - 1};
	struct mail_envelope env = {.helo = STR("h.example"), .mail_from = STR("a@mute.example"),
				    .rcpt = &to, .n_rcpts = 1, .trace_id = "t"};
	struct judge_env jenv = {base, dns, jail, counters};
	struct judge_request req = {.env = &env, .content = &content};
	struct config_error err[1];
	size_t n;

	(void)state;
	assert_true(ip_parse(STR("198.51.100.10"), &env.peer));
	assert_int_equal(config_parse("t", config, strlen(config), 1, &req.config, err, 1, &n), 0);
	for (int turns = 0;; turns++) {
		bool finished = false;
		struct judge *j = judge_start(&jenv, &req, done, &finished);

		assert_non_null(j);
		for (int k = 0; k < turns && !finished; k++)
			event_base_loop(base, EVLOOP_ONCE);
		judge_free(j);
		if (finished)
			break;
		assert_true(turns < 1000);
	}
	config_unref(req.config);
}

/* ---- chains --------------------------------------------------------------------------------- */

struct sealing {
	const char *domain, *selector, *results;
	const struct mail_bytes *content;
	char set[8192];
	long n;
};

static void seal_it(void *arg, const struct arc_results *r)
{
	struct sealing *s = arg;
	struct arc_seal_request req = {.key = key, .domain = s->domain, .selector = s->selector,
				       .authserv_id = "mx.list.example", .results = str_c(s->results),
				       .now = NOW};

	s->n = arc_seal(&req, s->content, r, s->set, sizeof(s->set));
	event_base_loopbreak(base);
}

/* The message with one more set in front; the caller frees both. */
static char *sealed(const char *m, const char *domain, const char *selector, const char *results)
{
	struct iovec iov = {(void *)(uintptr_t)m, strlen(m)};
	struct mail_bytes content = {&iov, 1, iov.iov_len};
	struct sealing s = {domain, selector, results, &content, {0}, -1};
	struct dkim_options opt = {.now = NOW};
	struct headers h;
	struct arc_check *c;
	char *out;

	assert_int_equal(headers_parse(&h, &content), 0);
	c = arc_verify(dns, base, &h, &content, &opt, seal_it, &s);
	assert_non_null(c);
	event_base_dispatch(base);
	arc_check_free(c);
	headers_free(&h);
	assert_true(s.n > 0);
	out = malloc((size_t)s.n + iov.iov_len + 1);
	memcpy(out, s.set, (size_t)s.n);
	memcpy(out + s.n, m, iov.iov_len + 1);
	return out;
}

#define TRUST CONFIG("trusted-sealers = [\"list.example\"]", "")
#define FOUND "dmarc=pass header.from=victim.example"

static void expect_chain(const char *m, bool lifted, const char *authres)
{
	struct judge *j = judge(TRUST, "198.51.100.9", "b@list.example", m);
	const struct judgement *r = judge_result(j);
	json_t *o = judge_json(j), *over;

	assert_int_equal(r->error, 0);
	if (r->policy.lifted != lifted ||
	    r->policy.action != (lifted ? POLICY_ACCEPT : POLICY_TAG))
		fail_msg("%s (%s) arc=%s %s\n%s", policy_action_name(r->policy.action),
			 r->policy.reason, arc_result_name(r->arc->result), r->arc->reason, m);
	assert_int_equal(counters[CTL_dmarc_overridden_sealer], lifted);
	/* The result itself is what it is. */
	assert_int_equal(r->dmarc.result, DMARC_FAIL);
	if (!has(j, authres))
		fail_msg("no '%s' in\n%.*s", authres, (int)r->out.block_len, r->out.block);
	assert_int_equal(has(j, "policy.override=local_policy"), lifted);
	over = json_object_get(json_object_get(o, "dmarc"), "override");
	assert_string_equal(json_string_value(json_object_get(over, "type")), "local_policy");
	assert_int_equal(json_is_true(json_object_get(over, "lifted")), lifted);
	json_decref(o);
	judge_free(j);
}

static void chains(void **state)
{
	char *one = sealed(FORGED, "list.example", "k", FOUND), *two, *at;

	(void)state;
	expect_chain(one, true, "(arc=pass as[1].d=list.example as[1].s=k)");
	/* another one on top, whom nobody named; and below one that is named */
	two = sealed(one, "other.example", "k", FOUND);
	expect_chain(two, false, "arc=pass");
	free(two);
	two = sealed(one, "list.example", "k", "dmarc=fail header.from=victim.example");
	expect_chain(two, true, "as[2].d=list.example");
	free(two);
	/* the author was changed behind the seal, then the body */
	at = strstr(one, "a@victim");
	at[0] = 'b';
	expect_chain(one, false, "arc=fail");
	at[0] = 'a';
	expect_chain(one, true, "arc=pass");
	one[strlen(one) - 3] = 'y';
	expect_chain(one, false, "arc=fail");
	free(one);
	one = sealed(FORGED, "list.example", "test", FOUND);
	expect_chain(one, false, "arc=pass");
	free(one);
	one = sealed(FORGED, "list.example", "k", "dmarc=pass header.from=list.example");
	expect_chain(one, false, "arc=pass");
	free(one);
	/* names in fields that anybody can write */
	expect_chain("List-Id: <list.example>\r\nARC-Authentication-Results: i=1; list.example; " FOUND
		     "\r\n" FORGED, false, "arc=fail");
}

static void forwarder(void **state)
{
	struct judge *j = judge(CONFIG("trusted-forwarders = [\"list.example\"]", ""), "198.51.100.9",
				"b@list.example", FORGED);

	(void)state;
	assert_int_equal(judge_result(j)->policy.action, POLICY_ACCEPT);
	assert_true(has(j, "dmarc=fail reason=\"no aligned SPF or DKIM pass\" header.from=victim.example"));
	assert_true(has(j, "policy.dmarc=reject policy.override=trusted_forwarder"));
	assert_true(has(j, "(spf=pass smtp.mailfrom=list.example)"));
	assert_int_equal(counters[CTL_dmarc_overridden_forwarder], 1);
	assert_int_equal(counters[CTL_dmarc_fail], 1);
	judge_free(j);
	/* MAIL FROM says so, SPF does not. */
	j = judge(CONFIG("trusted-forwarders = [\"list.example\"]", ""), "198.51.100.200",
		  "b@list.example", FORGED);
	assert_int_equal(judge_result(j)->policy.action, POLICY_REJECT);
	assert_int_equal(counters[CTL_dmarc_overridden_forwarder], 0);
	judge_free(j);
}

/* ---- signatures ----------------------------------------------------------------------------- */

static void digest64(const char *text, size_t n, char out[64], bool sign)
{
	uint8_t md[32], sig[64];
	unsigned int len;

	assert_int_equal(EVP_Digest(text, n, md, &len, EVP_sha256(), NULL), 1);
	if (sign) {
		EVP_MD_CTX *c = EVP_MD_CTX_new();
		size_t n_sig = sizeof(sig);

		assert_int_equal(EVP_DigestSignInit(c, NULL, NULL, NULL, pkey), 1);
		assert_int_equal(EVP_DigestSign(c, sig, &n_sig, md, 32), 1);
		EVP_MD_CTX_free(c);
		EVP_EncodeBlock((unsigned char *)out, sig, 64);
	} else {
		EVP_EncodeBlock((unsigned char *)out, md, 32);
	}
}

/* From a@list.example, signed by RFC 8463 with selector s; l: octets of the body, -1: all. */
static void signed_message(const char *s, int l, char *out, size_t cap)
{
	static const char body[] = "x\r\nadded\r\n";
	char bh[64], b[96], tag[32] = "", head[512], hashed[768];
	int n;

	if (l >= 0)
		snprintf(tag, sizeof(tag), "l=%d; ", l);
	digest64(body, l >= 0 ? (size_t)l : sizeof(body) - 1, bh, false);
	snprintf(head, sizeof(head), "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=list.example; s=%s; "
		 "%sh=from; bh=%s; b=", s, tag, bh);
	n = snprintf(hashed, sizeof(hashed), "from:a@list.example\r\ndkim-signature:%s", head);
	digest64(hashed, (size_t)n, b, true);
	snprintf(out, cap, "DKIM-Signature: %s%s\r\n" HEADS_FROM("list.example") "\r\n%s", head, b, body);
}

static void signatures(void **state)
{
	static const struct {
		const char *selector;
		int l;
		const char *policy;
		const char *authres;
		enum dmarc_result dmarc;
		double score;
		bool lifted; /* as a trusted forwarder's */
	} t[] = {
		{"k", -1, "", "dkim=pass header.d=list.example", DMARC_PASS, 0, true},
		{"k", 3, "", "dkim=pass reason=\"l=3 of 10\"", DMARC_PASS, 1, false},
		{"k", 10, "", "dkim=pass header.d=list.example", DMARC_PASS, 0, true},
		{"k", 3, "dkim-l = fail", "dkim=policy reason=\"l=3 of 10\"", DMARC_FAIL, 0, false},
		{"test", -1, "", "dkim=pass reason=\"testing key\"", DMARC_FAIL, 0, false},
		{"test", -1, "dkim-testing = pass", "dkim=pass reason=\"testing key\"", DMARC_PASS, 0,
		 false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char config[1024], m[2048];
		const struct judgement *r;
		struct judge *j;

		snprintf(config, sizeof(config), CONFIG("trusted-forwarders = [\"list.example\"]; %s", ""),
			 t[i].policy);
		signed_message(t[i].selector, t[i].l, m, sizeof(m));
		j = judge(config, "203.0.113.77", "b@quiet.example", m);
		r = judge_result(j);
		assert_int_equal(r->error, 0);
		if (!has(j, t[i].authres) || r->dmarc.result != t[i].dmarc ||
		    r->policy.score != t[i].score ||
		    (r->policy.lift == POLICY_LIFT_FORWARDER) != t[i].lifted)
			fail_msg("row %zu: dmarc=%s lift %d score %.2f\n%.*s", i,
				 dmarc_result_name(r->dmarc.result), r->policy.lift, r->policy.score,
				 (int)r->out.block_len, r->out.block);
		judge_free(j);
	}
}

static int make_key(char *pub64)
{
	static const uint8_t seed[32] = {9, 8, 7};
	EVP_PKEY *ed = pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	BIO *bio = BIO_new(BIO_s_mem());
	uint8_t pub[32];
	size_t len = sizeof(pub);
	char err[128], *data;
	long n;

	PEM_write_bio_PrivateKey(bio, ed, NULL, NULL, 0, NULL, NULL);
	n = BIO_get_mem_data(bio, &data);
	key = arc_key_new(str_make(data, (size_t)n), err, sizeof(err));
	EVP_PKEY_get_raw_public_key(ed, pub, &len);
	EVP_EncodeBlock((unsigned char *)pub64, pub, sizeof(pub));
	BIO_free(bio);
	return key ? 0 : -1;
}

static int setup(void **state)
{
	struct spf_options opt = {.n_workers = 1};
	struct dns_zone *z = dns_zone_new();
	char text[sizeof(zone) + sizeof(KEYS) + 256], err[256] = "", pub[64];
	int n;

	(void)state;
	if (make_key(pub))
		return -1;
	n = snprintf(text, sizeof(text), "%s" KEYS, zone, pub, pub, pub);
	if (n < 0 || (size_t)n >= sizeof(text) ||
	    dns_zone_parse(z, (uint8_t *)text, (size_t)n, "test", err, sizeof(err))) {
		fprintf(stderr, "%s\n", err);
		return -1;
	}
	base = event_base_new();
	dns = dns_new_memory(base, z, 0);
	jail = spf_jail_new(base, dns, &opt, err, sizeof(err));
	return jail ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	spf_jail_free(jail);
	dns_free(dns);
	arc_key_free(key);
	EVP_PKEY_free(pkey);
	event_base_free(base);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies),
		cmocka_unit_test(lists),
		cmocka_unit_test(by_route),
		cmocka_unit_test(given_up),
		cmocka_unit_test(chains),
		cmocka_unit_test(forwarder),
		cmocka_unit_test(signatures),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
