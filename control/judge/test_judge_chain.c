/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Two instances in a row: what the first one puts out is what the second one judges. */

#include <event2/event.h>
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

#define NOW 1700000000u
#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER "100102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define BASE(host, address)                                                                        \
	"hostname = \"" host "\"\n"                                                                 \
	"listener a { port = 0; address = [\"" address "\"] }\n"
#define FIRST                                                                                      \
	BASE("a.example.net", "192.0.2.25/24")                                                      \
	"chain site { key = \"" KEY "\" }\n"                                                        \
	"route b { domains = [\"example.com\"]; hosts = [\"198.51.100.2\"]; chain = site }\n"
#define SECOND(chains, relay)                                                                      \
	BASE("b.example.net", "198.51.100.2/24") chains                                             \
	"relay edge { addresses = [\"192.0.2.25\"]; by = [\"a.example.net\"]; " relay " }\n"        \
	"route b { domains = [\"example.com\"]; hosts = [\"198.51.100.3\"]; chain = onward }\n"     \
	"chain onward { key = \"" OTHER "\" }\n"
#define SITE "chain site { key = \"" KEY "\"; max-age = 10min }\n"
#define GOOD SECOND(SITE, "chain = site")

static struct event_base *base;
static struct dns *dns;
static struct spf_jail *jail;
static uint64_t counters[POSTERN_CTL_COUNTER_COUNT];

struct instance {
	struct config *config;
	struct judge *judge;
	const struct judgement *r;
	struct mail_envelope env;
	struct iovec iov[3];
	struct mail_bytes content;
	bool finished;
};

static void done(void *arg, const struct judgement *j)
{
	(void)j;
	*(bool *)arg = true;
	event_base_loopbreak(base);
}

static const struct str rcpt = STR("r@example.com");

/* The message in up to three pieces. */
static void start(struct instance *i, const char *config, const char *peer, const char *mail_from,
		  uint64_t now, const char *text, size_t n)
{
	struct judge_env env = {base, dns, jail, counters};
	struct judge_request req = {.env = &i->env, .content = &i->content};
	struct config_error err[1];
	size_t n_err, third = n / 3;

	*i = (struct instance){.env = {.helo = STR("s.victim.example"), .rcpt = &rcpt, .n_rcpts = 1,
		.mail_from = str_c(mail_from), .proto = PROTO_ESMTP, .trace_id = "0123456789ABCDEF",
		.time_ns = now * 1000000000u}};
	i->iov[0] = (struct iovec){(void *)(uintptr_t)text, third};
	i->iov[1] = (struct iovec){(void *)(uintptr_t)(text + third), third};
	i->iov[2] = (struct iovec){(void *)(uintptr_t)(text + 2 * third), n - 2 * third};
	i->content = (struct mail_bytes){i->iov, 3, n};
	assert_true(ip_parse(str_c(peer), &i->env.peer));
	if (config_parse("t", config, strlen(config), 1, &i->config, err, 1, &n_err))
		fail_msg("%u: %s: %s", err[0].line, err[0].key, err[0].reason);
	req.config = i->config;
	memset(counters, 0, sizeof(counters));
	i->judge = judge_start(&env, &req, done, &i->finished);
	assert_non_null(i->judge);
}

static void run(struct instance *i, const char *config, const char *peer, const char *mail_from,
		uint64_t now, const char *text, size_t n)
{
	start(i, config, peer, mail_from, now, text, n);
	assert_false(i->finished);
	event_base_dispatch(base);
	assert_true(i->finished);
	i->r = judge_result(i->judge);
}

static void stop(struct instance *i)
{
	judge_free(i->judge);
	config_unref(i->config);
}

/* What goes to the next hop. */
static char *output(const struct judgement *r, size_t *n)
{
	char *text = malloc(r->out.size + 1);

	assert_non_null(text);
	*n = 0;
	for (size_t i = 0; i < r->out.n_iov; i++) {
		memcpy(text + *n, r->out.iov[i].iov_base, r->out.iov[i].iov_len);
		*n += r->out.iov[i].iov_len;
	}
	assert_int_equal(*n, r->out.size);
	text[*n] = '\0';
	return text;
}

#define MESSAGE                                                                                    \
	"X-Postern-Chain: v=1; k=site; t=1700000000; ip=8.8.8.8; via=direct; helo=x; h=00\r\n"      \
	"Received: from liar ([8.8.8.8]) by a.example.net with SMTP id 1; "                         \
	"Tue, 14 Nov 2023 22:13:20 +0000\r\n"                                                       \
	"From: a@victim.example\r\nMessage-ID: <1@victim.example>\r\nSubject: one\r\n\r\n"         \
	"body one\r\nline two  \r\n\r\n\r\n"

static char *first_output(const char *text, size_t len, size_t *n)
{
	struct instance a;
	char *out;

	run(&a, FIRST, "203.0.113.5", "a@victim.example", NOW, text, len);
	assert_int_equal(a.r->error, 0);
	assert_int_equal(a.r->origin.status, ORIGIN_DIRECT);
	out = output(a.r, n);
	assert_non_null(strstr(out, "X-Postern-Chain: v=1; k=site; t=1700000000;\r\n"
				    "\tip=203.0.113.5; via=direct;\r\n\thelo=s.victim.example;\r\n\th="));
	stop(&a);
	return out;
}

static void look(const struct instance *b, enum chain_status chain, const char *ip)
{
	const struct judgement *r = b->r;
	json_t *o = judge_json(b->judge), *origin = json_object_get(o, "origin");
	bool verified = chain == CHAIN_VERIFIED, found = ip != NULL;

	assert_int_equal(r->error, 0);
	if (r->origin.chain != chain || (r->origin.status == ORIGIN_VIA) != found)
		fail_msg("%s, %s: %s", chain_status_name(r->origin.chain),
			 origin_status_name(r->origin.status), r->origin.reason);
	assert_int_equal(counters[CTL_origin_chained], verified);
	assert_int_equal(counters[CTL_origin_chain_failed], !verified);
	assert_int_equal(counters[CTL_origin_unresolved], !found);
	assert_int_equal(r->policy.action == POLICY_DEFER, !found);
	assert_string_equal(json_string_value(json_object_get(json_object_get(origin, "chain"), "result")),
			    chain_status_name(chain));
	if (found)
		assert_string_equal(json_string_value(json_object_get(origin, "ip")), ip);
	json_decref(o);
}

static void judge_second(const char *config, const char *mail_from, uint64_t now, const char *text,
			 size_t n, enum chain_status chain, const char *ip)
{
	struct instance b;

	run(&b, config, "192.0.2.25", mail_from, now, text, n);
	look(&b, chain, ip);
	stop(&b);
}

static void verified(void **state)
{
	struct instance b;
	char *text, *again, *line;
	size_t n, m;

	(void)state;
	text = first_output(MESSAGE, sizeof(MESSAGE) - 1, &n);
	run(&b, GOOD, "192.0.2.25", "a@victim.example", NOW + 3, text, n);
	look(&b, CHAIN_VERIFIED, "203.0.113.5");
	assert_string_equal(b.r->origin.helo, "s.victim.example");
	assert_int_equal(b.r->spf.result, SPF_PASS);
	/* The first one's block is gone; ours says the same sender, and its own code follows. */
	again = output(b.r, &m);
	assert_true(b.r->n_ranges > 0);
	line = strstr(again, "X-Postern-Chain:");
	assert_non_null(line);
	assert_null(strstr(line + 1, "X-Postern-Chain:"));
	assert_true(!strncmp(line, "X-Postern-Chain: v=1; k=onward; t=1700000003;\r\n"
			     "\tip=203.0.113.5; via=relay:edge;\r\n", 70));
	assert_null(strstr(again, "8.8.8.8; via"));
	stop(&b);
	free(again);
	/* A line of ours that would not parse any more does no harm: it is not needed. */
	memcpy(strstr(text, "Received: from"), "Received: FROM?", 15);
	judge_second(GOOD, "a@victim.example", NOW, text, n, CHAIN_VERIFIED, "203.0.113.5");
	free(text);
}

/* The prefix of the first one's route is the second one's own; what the first one strips is not
 * covered. */
static void secret_prefix(void **state)
{
	static const char mail[] = "X-MS-Exchange-Organization-SCL: -1\r\n" MESSAGE,
			  first[] = BASE("a.example.net", "192.0.2.25/24")
			  "chain site { key = \"" KEY "\" }\n"
			  "route b { domains = [\"example.com\"]; hosts = [\"198.51.100.2\"]; chain = site\n"
			  "header-prefix = \"X-Site-9\"; received-format = exchange; received-spf = true }\n";
	struct instance a;
	char *text;
	size_t n;

	(void)state;
	run(&a, first, "203.0.113.5", "a@victim.example", NOW, mail, sizeof(mail) - 1);
	text = output(a.r, &n);
	stop(&a);
	assert_non_null(strstr(text, "X-Site-9-Chain: v=1; k=site; t=1700000000;\r\n"));
	assert_null(strstr(text, "SCL"));
	judge_second(GOOD "header-prefix = \"X-Site-9\"\n", "a@victim.example", NOW + 3, text, n,
		     CHAIN_VERIFIED, "203.0.113.5");
	judge_second(GOOD, "a@victim.example", NOW + 3, text, n, CHAIN_MISSING, NULL);
	free(text);
}

/* Changes one place of what the first instance put out. */
static void changed(const char *text, size_t n, const char *at, char to, const char *config,
		    const char *ip)
{
	char *copy = strndup(text, n), *p = strstr(copy, at);

	assert_non_null(p);
	p[strlen(at) - 1] = to;
	judge_second(config, "a@victim.example", NOW, copy, n, CHAIN_WRONG, ip);
	free(copy);
}

static void refused(void **state)
{
	static const char fallback[] = SECOND(SITE, "chain = site; chain-fallback = true");
	char *text, *p;
	size_t n;

	(void)state;
	text = first_output(MESSAGE, sizeof(MESSAGE) - 1, &n);
	changed(text, n, "t=1700000000;\r\n\tip=203.0.113.5", '6', GOOD, NULL);
	changed(text, n, "Subject: one", 'E', GOOD, NULL);
	changed(text, n, "body one", 'E', GOOD, NULL);
	changed(text, n, "line two  ", 'x', GOOD, NULL);
	changed(text, n, "liar ([8", '9', GOOD, NULL);
	changed(text, n, "body one", 'E', fallback, "203.0.113.5");
	judge_second(GOOD, "b@victim.example", NOW, text, n, CHAIN_WRONG, NULL);
	judge_second(GOOD, "", NOW, text, n, CHAIN_WRONG, NULL);
	judge_second(GOOD, "a@victim.example", NOW + 601, text, n, CHAIN_EXPIRED, NULL);
	judge_second(fallback, "a@victim.example", NOW + 601, text, n, CHAIN_EXPIRED, "203.0.113.5");
	judge_second(SECOND("chain site { key = \"" OTHER "\" }\n", "chain = site"), "a@victim.example",
		     NOW, text, n, CHAIN_WRONG, NULL);
	judge_second(SECOND("", "chain = onward"), "a@victim.example", NOW, text, n, CHAIN_UNKNOWN_KEY,
		     NULL);
	judge_second(SECOND(SITE, "chain = [onward, site]"), "a@victim.example", NOW, text, n,
		     CHAIN_VERIFIED, "203.0.113.5");
	/* Nothing there but what a stranger wrote, below. */
	p = strstr(text, "Received: from s.victim");
	assert_non_null(p);
	judge_second(GOOD, "a@victim.example", NOW, p, n - (size_t)(p - text), CHAIN_MISSING, NULL);
	judge_second(GOOD, "a@victim.example", NOW, MESSAGE, sizeof(MESSAGE) - 1, CHAIN_MALFORMED,
		     NULL);
	free(text);
}

/* Bodies of more than one turn, and ends that a next hop completes. */
static void bodies(void **state)
{
	static const char head[] = "From: a@victim.example\r\n\r\n";
	size_t big = 3 * 1024 * 1024 + 77, n;
	char *text = malloc(big), *out;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', big);
	memcpy(text, head, sizeof(head) - 1);
	for (size_t i = 500; i + 2 < big; i += 500)
		memcpy(text + i, "\r\n", 2);
	out = first_output(text, big, &n);
	judge_second(GOOD, "a@victim.example", NOW, out, n, CHAIN_VERIFIED, "203.0.113.5");
	out = realloc(out, n + 3);
	assert_non_null(out);
	memcpy(out + n, "\r\n", 3);
	judge_second(GOOD, "a@victim.example", NOW, out, n + 2, CHAIN_VERIFIED, "203.0.113.5");
	out[n / 2] ^= 1;
	judge_second(GOOD, "a@victim.example", NOW, out, n + 2, CHAIN_WRONG, NULL);
	free(out);
	/* Header alone, without its last CRLF. */
	out = first_output("From: a@victim.example\r\nX: y", 28, &n);
	judge_second(GOOD, "a@victim.example", NOW, out, n, CHAIN_VERIFIED, "203.0.113.5");
	out = realloc(out, n + 3);
	assert_non_null(out);
	memcpy(out + n, "\r\n", 3);
	judge_second(GOOD, "a@victim.example", NOW, out, n + 2, CHAIN_VERIFIED, "203.0.113.5");
	free(out);
	free(text);
}

/* Given up at any turn: no callback, nothing left. */
static void cancelled(void **state)
{
	char *text;
	size_t n;

	(void)state;
	text = first_output(MESSAGE, sizeof(MESSAGE) - 1, &n);
	for (int turns = 0;; turns++) {
		struct instance b;
		bool finished;

		start(&b, GOOD, "192.0.2.25", "a@victim.example", NOW, text, n);
		for (int k = 0; k < turns && !b.finished; k++)
			event_base_loop(base, EVLOOP_ONCE);
		finished = b.finished;
		stop(&b);
		if (finished)
			break;
		assert_true(turns < 1000);
	}
	free(text);
}

static int setup(void **state)
{
	static char zone[] = "$ORIGIN example.\nvictim TXT \"v=spf1 ip4:203.0.113.5 -all\"\n";
	struct spf_options opt = {.n_workers = 1};
	struct dns_zone *z = dns_zone_new();
	char err[256] = "";

	(void)state;
	if (dns_zone_parse(z, (uint8_t *)zone, strlen(zone), "test", err, sizeof(err))) {
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
	event_base_free(base);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verified), cmocka_unit_test(secret_prefix),
		cmocka_unit_test(refused), cmocka_unit_test(bodies),
		cmocka_unit_test(cancelled),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
