/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Policies over HTTPS from a server of our own, the record from a zone in memory. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/dns/dns_zone.h"
#include "control/sts/fake_https.h"
#include "control/sts/sts.h"
#include "postern/limits.h"
#include "postern/stats.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
#define POLICY "version: STSv1\nmode: enforce\nmx: mx.example.net\nmax_age: 86400\n"
#define TESTING "version: STSv1\nmode: testing\nmx: mx.example.net\nmax_age: 86400\n"

static struct fake_cert ca, good, wrong, expired;
static char ca_file[64];

struct lab {
	struct event_base *base;
	struct dns_zone *zone;
	struct dns *dns;
	struct sts *sts;
	struct fake_https *web;
	uint64_t counters[POSTERN_CTL_COUNTER_COUNT];
};

struct asked {
	bool done;
	enum sts_mode mode; /* STS_NONE: no policy */
	char mx[256], error[200];
};

static void zone_add(struct lab *l, const char *name, uint16_t type, const char *text)
{
	struct dns_wire_name w;
	uint8_t data[256];
	size_t n = 4;

	assert_int_equal(dns_wire_from_text(str_c(name), &w), 0);
	if (type == DNS_A) {
		assert_int_equal(inet_pton(AF_INET, text, data), 1);
	} else {
		n = strlen(text) + 1;
		data[0] = (uint8_t)strlen(text);
		memcpy(data + 1, text, strlen(text));
	}
	assert_int_equal(dns_zone_add(l->zone, &w, type, 60, data, n), 0);
}

static void lab_new(struct lab *l, const struct fake_cert *cert, const char *says)
{
	memset(l, 0, sizeof(*l));
	l->base = event_base_new();
	l->web = fake_https_new(l->base, cert, says);
	l->zone = dns_zone_new();
	l->dns = dns_new_memory(l->base, l->zone, 1000);
	l->sts = sts_new(l->base, l->dns, l->counters);
	assert_non_null(l->sts);
	sts_options(l->sts)->ca_file = ca_file;
	sts_options(l->sts)->port = l->web->port;
	zone_add(l, "mta-sts.example.com", DNS_A, "127.0.0.1");
}

static void lab_free(struct lab *l)
{
	sts_free(l->sts);
	dns_free(l->dns);
	fake_https_free(l->web);
	event_base_free(l->base);
}

static void on_result(void *arg, const struct sts_result *r)
{
	struct asked *a = arg;

	assert_false(a->done);
	a->done = true;
	a->mode = r->policy ? r->policy->mode : STS_NONE;
	snprintf(a->mx, sizeof(a->mx), "%s", r->policy ? r->policy->mx : "");
	snprintf(a->error, sizeof(a->error), "%s", r->error ? r->error : "");
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

static void run(struct lab *l, const bool *flag, unsigned int ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
	bool late = false;
	struct event *ev = evtimer_new(l->base, on_late, &late);

	event_add(ev, &tv);
	while (!late && !(flag && *flag))
		event_base_loop(l->base, EVLOOP_ONCE);
	event_free(ev);
	assert_true(!flag || *flag);
}

static void ask(struct lab *l, struct asked *a)
{
	memset(a, 0, sizeof(*a));
	assert_non_null(sts_lookup(l->sts, STR("example.com"), on_result, a));
	assert_false(a->done);
	run(l, &a->done, 10000);
}

static int setup(void **state)
{
	struct str pem;
	int fd;

	(void)state;
	signal(SIGPIPE, SIG_IGN); /* the TLS of the server raises it */
	ca = fake_ca("Test CA");
	good = fake_leaf(&ca, (struct fake_leaf){.dns = "mta-sts.example.com"});
	wrong = fake_leaf(&ca, (struct fake_leaf){.dns = "example.com"});
	expired = fake_leaf(&ca, (struct fake_leaf){.dns = "mta-sts.example.com", .from_s = -9, .to_s = -1});
	strcpy(ca_file, "/tmp/postern-sts-XXXXXX");
	fd = mkstemp(ca_file);
	pem = fake_pem(&ca);
	if (fd < 0 || write(fd, pem.p, pem.n) != (ssize_t)pem.n)
		return -1;
	close(fd);
	free((void *)(uintptr_t)pem.p);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_cert_free(&ca);
	fake_cert_free(&good);
	fake_cert_free(&wrong);
	fake_cert_free(&expired);
	return unlink(ca_file);
}

static void fetched_and_kept(void **state)
{
	struct lab l;
	struct asked a;

	(void)state;
	lab_new(&l, &good, OK POLICY);
	zone_add(&l, "_mta-sts.example.com", DNS_TXT, "v=STSv1; id=1;");
	ask(&l, &a);
	if (a.mode != STS_ENFORCE)
		fail_msg("%s", a.error);
	assert_string_equal(a.mx, "mx.example.net");
	assert_non_null(strstr(l.web->request, "GET /.well-known/mta-sts.txt HTTP/1.1\r\n"));
	assert_non_null(strstr(l.web->request, "Host: mta-sts.example.com"));
	ask(&l, &a);
	assert_int_equal(a.mode, STS_ENFORCE);
	assert_int_equal(l.web->requests, 1);
	assert_int_equal(l.counters[CTL_sts_fetched], 1);
	lab_free(&l);
}

/* RFC 8461 5.1: what is valid goes on when its host fails; and ends when its time is over. */
static void outlives_an_attack(void **state)
{
	struct lab l;
	struct asked a;

	(void)state;
	lab_new(&l, &good, OK POLICY);
	zone_add(&l, "_mta-sts.example.com", DNS_TXT, "v=STSv1; id=1;");
	ask(&l, &a);
	assert_int_equal(a.mode, STS_ENFORCE);
	l.web->says = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
	sts_options(l.sts)->skew_s = 86400 / 2 + 60;
	ask(&l, &a); /* old enough to be fetched anew; meanwhile it is used */
	assert_int_equal(a.mode, STS_ENFORCE);
	for (int i = 0; i < 100 && !l.counters[CTL_sts_fetch_failed]; i++)
		run(&l, NULL, 20);
	assert_int_equal(l.counters[CTL_sts_fetch_failed], 1);
	ask(&l, &a);
	assert_int_equal(a.mode, STS_ENFORCE);
	assert_string_equal(a.error, "");
	sts_options(l.sts)->skew_s = 86400 + 60;
	ask(&l, &a);
	assert_int_equal(a.mode, STS_NONE);
	assert_non_null(strstr(a.error, "404"));
	lab_free(&l);
}

static void renewed(void **state)
{
	struct lab l;
	struct asked a;

	(void)state;
	lab_new(&l, &good, OK POLICY);
	zone_add(&l, "_mta-sts.example.com", DNS_TXT, "v=STSv1; id=1;");
	ask(&l, &a);
	l.web->says = OK TESTING;
	sts_options(l.sts)->skew_s = 86400 / 2 + 60;
	ask(&l, &a);
	assert_int_equal(a.mode, STS_ENFORCE);
	for (int i = 0; i < 100 && l.counters[CTL_sts_fetched] < 2; i++)
		run(&l, NULL, 20);
	ask(&l, &a);
	assert_int_equal(a.mode, STS_TESTING);
	assert_int_equal(l.web->requests, 2);
	lab_free(&l);
}

static void no_record(void **state)
{
	struct lab l;
	struct asked a;

	(void)state;
	lab_new(&l, &good, OK POLICY);
	ask(&l, &a);
	assert_int_equal(a.mode, STS_NONE);
	assert_string_equal(a.error, "");
	assert_int_equal(l.web->requests, 0);
	assert_int_equal(sts_count(l.sts), 0);
	lab_free(&l);
}

static void failures(void **state)
{
	static char large[LIMIT_STS_POLICY + sizeof(OK) + 100];
	const struct {
		const struct fake_cert *cert;
		const char *says, *error;
	} t[] = {
		{&good, "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n",
		 "HTTP status 404"},
		{&good, "HTTP/1.1 301 Moved\r\nLocation: https://mta-sts.example.com/x\r\n"
			"Content-Length: 0\r\n\r\n", "HTTP status 301"},
		{&good, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" POLICY,
		 "content type text/html"},
		{&good, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" POLICY, "content type missing"},
		{&good, OK "mode: enforce\n", "no version"},
		{&good, large, "larger than any policy"},
		{&good, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 65537\r\n\r\n",
		 "cannot be fetched"},
		{&good, "SSH-2.0-x\r\n", "cannot be fetched"},
		{&good, NULL, "cannot be fetched"},
		{&wrong, OK POLICY, "cannot be fetched"},
		{&expired, OK POLICY, "cannot be fetched"},
	};

	(void)state;
	strcpy(large, OK);
	memset(large + strlen(OK), '\n', LIMIT_STS_POLICY + 1);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct lab l;
		struct asked a;

		lab_new(&l, t[i].cert, t[i].says);
		zone_add(&l, "_mta-sts.example.com", DNS_TXT, "v=STSv1; id=1;");
		if (!t[i].says)
			sts_options(l.sts)->fetch_ms = 200;
		ask(&l, &a);
		if (a.mode != STS_NONE || !strstr(a.error, t[i].error))
			fail_msg("%zu: %d %s", i, a.mode, a.error);
		assert_int_equal(l.counters[CTL_sts_fetch_failed], 1);
		/* Not again so soon; then it may have been mended. */
		l.web->says = OK POLICY;
		ask(&l, &a);
		assert_int_equal(a.mode, STS_NONE);
		assert_true(a.error[0]);
		assert_int_equal(l.counters[CTL_sts_fetch_failed], 1);
		sts_options(l.sts)->skew_s = LIMIT_STS_RETRY_S + 1;
		ask(&l, &a);
		assert_int_equal(a.mode, t[i].cert == &good ? STS_ENFORCE : STS_NONE);
		lab_free(&l);
	}
}

static void no_host(void **state)
{
	struct lab l;
	struct asked a;

	(void)state;
	lab_new(&l, &good, OK POLICY);
	zone_add(&l, "_mta-sts.example.com", DNS_TXT, "v=STSv1; id=1;");
	memset(&a, 0, sizeof(a));
	zone_add(&l, "_mta-sts.example.org", DNS_TXT, "v=STSv1; id=1;");
	assert_non_null(sts_lookup(l.sts, STR("example.org"), on_result, &a));
	run(&l, &a.done, 10000);
	assert_int_equal(a.mode, STS_NONE);
	assert_non_null(strstr(a.error, "no address"));
	lab_free(&l);
}

static void policy_none(void **state)
{
	struct lab l;
	struct asked a;

	(void)state;
	lab_new(&l, &good, OK "version: STSv1\nmode: none\nmax_age: 86400\n");
	zone_add(&l, "_mta-sts.example.com", DNS_TXT, "v=STSv1; id=1;");
	ask(&l, &a);
	assert_int_equal(a.mode, STS_NONE);
	assert_string_equal(a.error, "");
	assert_int_equal(l.counters[CTL_sts_fetched], 1);
	lab_free(&l);
}

/* Many at once are one fetch; who goes away is not called. */
static void together(void **state)
{
	struct lab l;
	struct asked a[5] = {0};
	struct sts_query *q[5];

	(void)state;
	lab_new(&l, &good, OK TESTING);
	zone_add(&l, "_mta-sts.example.com", DNS_TXT, "v=STSv1; id=1;");
	for (int i = 0; i < 5; i++)
		q[i] = sts_lookup(l.sts, STR("example.com"), on_result, &a[i]);
	sts_cancel(q[1]);
	run(&l, &a[4].done, 10000);
	assert_false(a[1].done);
	assert_int_equal(a[0].mode, STS_TESTING);
	assert_int_equal(l.web->requests, 1);
	q[1] = sts_lookup(l.sts, STR("example.com"), on_result, &a[1]);
	sts_cancel(q[1]);
	run(&l, NULL, 20);
	assert_false(a[1].done);
	lab_free(&l);
}

/* As a restart; the web server is gone, as an attacker would have it. */
static int restart(struct lab *l, json_t *j, uint64_t real_s)
{
	int rc;

	sts_free(l->sts);
	l->sts = sts_new(l->base, l->dns, l->counters);
	assert_non_null(l->sts);
	sts_options(l->sts)->ca_file = ca_file;
	sts_options(l->sts)->port = 1;
	rc = sts_load(l->sts, j, real_s);
	json_decref(j);
	return rc;
}

/* RFC 8461 3.3, 10.2: for its max_age, a restart or not. */
static void over_a_restart(void **state)
{
	static const struct {
		int64_t later;       /* seconds between the two */
		bool there;
	} t[] = {{0, true}, {86399 - 20, true}, {86401, false}, {-100 * 86400, true}};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct asked a;
		struct lab l;
		json_t *j;

		lab_new(&l, &good, OK POLICY);
		zone_add(&l, "_mta-sts.example.com", DNS_TXT, "v=STSv1; id=1;");
		ask(&l, &a);
		assert_int_equal(a.mode, STS_ENFORCE);
		assert_int_equal(sts_changes(l.sts), 1);
		j = sts_save(l.sts, 1700000000);
		assert_int_equal(json_array_size(json_object_get(j, "policies")), 1);
		assert_int_equal(restart(&l, j, (uint64_t)(1700000000 + t[i].later)), t[i].there);
		ask(&l, &a);
		assert_int_equal(a.mode, t[i].there ? STS_ENFORCE : STS_NONE);
		assert_string_equal(a.mx, t[i].there ? "mx.example.net" : "");
		/* However the clock went, it lasts no longer than it said. */
		sts_options(l.sts)->skew_s = 86401;
		ask(&l, &a);
		assert_int_equal(a.mode, STS_NONE);
		lab_free(&l);
	}
}

#define ENTRY(domain, id, fetched, until, policy)                                                  \
	"{\"version\":1,\"policies\":[{\"domain\":\"" domain "\",\"id\":\"" id "\",\"fetched_at\":" fetched   \
	",\"until\":" until ",\"policy\":\"" policy "\"}]}"
#define GOOD_POLICY "version: STSv1\\nmode: enforce\\nmx: mx.example.net\\nmax_age: 86400\\n"

static void whatever_stands_there(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} t[] = {
		{ENTRY("example.com", "1", "900", "1100", GOOD_POLICY), 1},
		{ENTRY("example.com", "1", "900", "999", GOOD_POLICY), 0},
		{ENTRY("example.com", "1", "2000", "99999999999", GOOD_POLICY), 1},
		{ENTRY("", "1", "900", "1100", GOOD_POLICY), -EBADMSG},
		{ENTRY("Example.com", "1", "900", "1100", GOOD_POLICY), -EBADMSG},
		{ENTRY("a b", "1", "900", "1100", GOOD_POLICY), -EBADMSG},
		{ENTRY("example.com", "", "900", "1100", GOOD_POLICY), -EBADMSG},
		{ENTRY("example.com", "123456789012345678901234567890123", "900", "1100", GOOD_POLICY),
		 -EBADMSG},
		{ENTRY("example.com", "1", "-1", "1100", GOOD_POLICY), -EBADMSG},
		{ENTRY("example.com", "1", "900", "1.5", GOOD_POLICY), -EBADMSG},
		{ENTRY("example.com", "1", "900", "1100", "mode: enforce"), -EBADMSG},
		{"{\"version\":1,\"policies\":[]}", 0},
		{"{\"version\":2,\"policies\":[]}", -EBADMSG},
		{"{\"version\":1,\"policies\":[[]]}", -EBADMSG},
		{"[1]", -EBADMSG},
	};
	struct lab l;

	(void)state;
	lab_new(&l, &good, OK POLICY);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		json_t *j = json_loads(t[i].text, 0, NULL);

		assert_non_null(j);
		if (restart(&l, j, 1000) != t[i].rc)
			fail_msg("%zu: %s", i, t[i].text);
		assert_int_equal(sts_count(l.sts), t[i].rc > 0);
	}
	lab_free(&l);
}

static void given_up(void **state)
{
	(void)state;
	for (unsigned int ms = 0; ms < 12; ms++) {
		struct lab l;
		struct asked a = {0};

		lab_new(&l, &good, OK POLICY);
		zone_add(&l, "_mta-sts.example.com", DNS_TXT, "v=STSv1; id=1;");
		sts_lookup(l.sts, STR("example.com"), on_result, &a);
		run(&l, NULL, ms);
		lab_free(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fetched_and_kept),
		cmocka_unit_test(outlives_an_attack),
		cmocka_unit_test(renewed),
		cmocka_unit_test(no_record),
		cmocka_unit_test(failures),
		cmocka_unit_test(no_host),
		cmocka_unit_test(policy_none),
		cmocka_unit_test(together),
		cmocka_unit_test(over_a_restart),
		cmocka_unit_test(whatever_stands_there),
		cmocka_unit_test(given_up),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
