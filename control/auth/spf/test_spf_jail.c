/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/auth/spf/spf.h"
#include "control/auth/spf/spf_jail.h"
#include "control/dns/dns_zone.h"

struct fixture {
	struct event_base *base;
	struct dns *dns;
	struct spf_jail *jail;
	unsigned int calls;
	struct spf_verdict v;
};

static void zone_of(char *text, size_t cap)
{
	size_t o = (size_t)snprintf(
		text, cap,
		"$ORIGIN example.com.\n"
		"@ TXT \"v=spf1 a:mail.example.com -all exp=why.example.com\"\n"
		"mail A 192.0.2.10\n"
		"why TXT \"%%{i} is not one of %%{d}\"\n"
		"soft TXT \"v=spf1 include:example.com ~all\"\n"
		"local TXT \"v=spf1 exists:%%{l}.u.example.com -all\"\n"
		"two TXT \"v=spf1 -all\"\ntwo TXT \"v=spf1 +all\"\n"
		"broken TXT \"v=spf1 include:soft.example.com include:nope.example.com -all\"\n"
		"bad.u A 127.0.0.2\n\\195\\164.u A 127.0.0.2\n"
		"loop TXT \"v=spf1 ip4:127.0.0.1 -all\"\n"
		"many TXT ( \"v=spf1 a:mail.example.com a:mail.example.com a:mail.example.com "
		"a:mail.example.com\"\n"
		" \" ip4:198.51.100.1 a:mail.example.com a:mail.example.com a:mail.example.com "
		"a:mail.example.com\"\n"
		" \" ip6:2001:db8::/32 redirect=away.example.com\" )\n"
		"away TXT \"v=spf1 include:far.example.com -all\"\n"
		"far TXT \"v=spf1 ip4:203.0.113.0/24\"\n"
		"long TXT");

	/* More terms than libspf2 can count: the match is the last but one. */
	o += (size_t)snprintf(text + o, cap - o, " \"v=spf1\"");
	for (unsigned int i = 0; i < 300; i++)
		o += (size_t)snprintf(text + o, cap - o, " \" ip4:198.51.%u.%u\"", i / 100,
				      i % 100);
	snprintf(text + o, cap - o, " \" ip4:203.0.113.9 -all\"\n");
}

static int make(void **state, struct spf_options opt)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct dns_zone *z = dns_zone_new();
	static char text[32768];
	char err[256] = "";

	zone_of(text, sizeof(text));
	if (dns_zone_parse(z, (uint8_t *)text, strlen(text), "test", err, sizeof(err))) {
		fprintf(stderr, "%s\n", err);
		return -1;
	}
	f->base = event_base_new();
	f->dns = dns_new_memory(f->base, z, 0);
	f->jail = spf_jail_new(f->base, f->dns, &opt, err, sizeof(err));
	*state = f;
	return f->jail ? 0 : -1;
}

static int setup(void **state)
{
	return make(state, (struct spf_options){.n_workers = 1, .no_cache = true});
}

static int setup_impatient(void **state)
{
	return make(state, (struct spf_options){.n_workers = 1, .run_ms = 1000, .no_cache = true});
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	spf_jail_free(f->jail);
	dns_free(f->dns);
	event_base_free(f->base);
	free(f);
	return 0;
}

static void on_verdict(void *arg, const struct spf_verdict *v)
{
	struct fixture *f = arg;

	f->calls++;
	f->v = *v;
}

static struct spf_check *ask(struct fixture *f, const char *ip, const char *from)
{
	struct spf_request r = {.helo = STR("mail.example.com"), .mail_from = str_c(from)};
	unsigned int before = f->calls;
	struct spf_check *c;

	assert_true(ip_parse(str_c(ip), &r.ip));
	c = spf_check(f->jail, &r, on_verdict, f);
	assert_non_null(c);
	assert_int_equal(f->calls, before); /* never from inside */
	return c;
}

static void wait_calls(struct fixture *f, unsigned int n)
{
	while (f->calls < n)
		assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
}

static enum spf_result check(struct fixture *f, const char *ip, const char *from)
{
	unsigned int n = f->calls + 1;

	ask(f, ip, from);
	wait_calls(f, n);
	return f->v.result;
}

static void wait_worker(struct fixture *f, pid_t *pid)
{
	while (spf_jail_workers(f->jail, pid, 1) == 0)
		assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
}

static void test_results(void **state)
{
	struct fixture *f = *state;
	struct spf_stats s;

	assert_int_equal(check(f, "192.0.2.10", "a@example.com"), SPF_PASS);
	assert_string_equal(f->v.mechanism, "a:mail.example.com");
	assert_string_equal(f->v.domain, "example.com");
	assert_int_equal(f->v.lookups, 1);
	assert_true(f->v.cacheable && f->v.ttl == 3600);
	assert_int_equal(check(f, "192.0.2.11", "a@example.com"), SPF_FAIL);
	assert_string_equal(f->v.mechanism, "-all");
	assert_string_equal(f->v.explanation, "192.0.2.11 is not one of example.com");
	assert_int_equal(check(f, "192.0.2.10", "a@soft.example.com"), SPF_PASS);
	assert_string_equal(f->v.mechanism, "include:example.com");
	assert_int_equal(check(f, "2001:db8::1", "a@soft.example.com"), SPF_SOFTFAIL);
	assert_int_equal(check(f, "192.0.2.1", "bad@local.example.com"), SPF_PASS);
	assert_false(f->v.cacheable);
	assert_int_equal(check(f, "192.0.2.1", "good@local.example.com"), SPF_FAIL);
	/* RFC 8616 4: never, though the name is there. */
	assert_int_equal(check(f, "192.0.2.1", "\xc3\xa4@local.example.com"), SPF_FAIL);
	assert_int_equal(check(f, "192.0.2.1", "a@two.example.com"), SPF_PERMERROR);
	assert_int_equal(check(f, "192.0.2.1", "a@broken.example.com"), SPF_PERMERROR);
	assert_non_null(strstr(f->v.reason, "nope.example.com: no SPF record"));
	assert_int_equal(check(f, "192.0.2.1", "a@none.example.com"), SPF_NONE);
	assert_int_equal(check(f, "192.0.2.1", "a@b\xc3\xa9.example.com"), SPF_NONE);
	/* libspf2 on its own lets loopback pass. */
	assert_int_equal(check(f, "127.0.0.2", "a@loop.example.com"), SPF_FAIL);
	assert_int_equal(check(f, "203.0.113.9", "a@long.example.com"), SPF_PASS);
	assert_string_equal(f->v.mechanism, "ip4:203.0.113.9");
	assert_int_equal(check(f, "203.0.113.8", "a@long.example.com"), SPF_FAIL);
	assert_int_equal(check(f, "203.0.113.8", "a@many.example.com"), SPF_PASS);
	assert_string_equal(f->v.mechanism, "include:far.example.com");
	assert_int_equal(f->v.lookups, 10);
	assert_int_equal(check(f, "198.51.100.1", "a@many.example.com"), SPF_PASS);
	assert_string_equal(f->v.mechanism, "ip4:198.51.100.1");
	assert_int_equal(f->v.lookups, 4);
	assert_int_equal(check(f, "2001:db8::5", "a@many.example.com"), SPF_PERMERROR);
	assert_string_equal(f->v.reason, "more than 2 void DNS lookups");
	spf_jail_stats(f->jail, &s);
	assert_int_equal(s.checks, 17);
	assert_int_equal(s.by_result[SPF_PASS], 6);
	assert_int_equal(s.worker_died + s.worker_killed, 0);
	assert_int_equal(s.refused_evaluator, 0);
}

static void test_helo(void **state)
{
	struct fixture *f = *state;
	struct spf_request r = {.identity = SPF_ID_HELO,
				.helo = STR("example.com"),
				.mail_from = STR("x@none.example.com")};

	assert_true(ip_parse(STR("192.0.2.10"), &r.ip));
	assert_non_null(spf_check(f->jail, &r, on_verdict, f));
	wait_calls(f, 1);
	assert_int_equal(f->v.result, SPF_PASS);
	assert_int_equal(f->v.identity, SPF_ID_HELO);
	r.identity = SPF_ID_MAILFROM; /* RFC 7208 2.4: the null reverse-path stands for HELO */
	r.mail_from = STR("");
	assert_non_null(spf_check(f->jail, &r, on_verdict, f));
	wait_calls(f, 2);
	assert_int_equal(f->v.result, SPF_PASS);
	assert_int_equal(f->v.identity, SPF_ID_HELO);
	r.helo = STR("[192.0.2.10]");
	assert_non_null(spf_check(f->jail, &r, on_verdict, f));
	wait_calls(f, 3);
	assert_int_equal(f->v.result, SPF_NONE);
}

/* Holds the worker still until the check's request is with it. */
static pid_t hold(struct fixture *f)
{
	struct spf_stats s;
	pid_t pid;

	wait_worker(f, &pid);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	ask(f, "192.0.2.10", "a@example.com");
	do {
		assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
		spf_jail_stats(f->jail, &s);
	} while (s.workers_busy == 0);
	return pid;
}

static void test_kill(void **state)
{
	struct fixture *f = *state;
	struct spf_stats s;

	for (unsigned int i = 1; i <= 3; i++) {
		pid_t pid = hold(f);

		assert_int_equal(kill(pid, SIGKILL), 0);
		wait_calls(f, 2 * i - 1);
		assert_int_equal(f->v.result, SPF_TEMPERROR);
		assert_string_equal(f->v.reason, "SPF evaluator died");
		assert_int_equal(check(f, "192.0.2.10", "a@example.com"), SPF_PASS);
	}
	spf_jail_stats(f->jail, &s);
	assert_int_equal(s.worker_died, 3);
	assert_int_equal(s.worker_killed, 0);
	assert_int_equal(s.worker_spawned, 4);
}

/* A worker ends itself after its number of runs; nobody's check notices. */
static void test_retire(void **state)
{
	struct fixture *f = *state;
	struct spf_stats s;
	unsigned int n = 0;

	do {
		assert_int_equal(check(f, "127.0.0.1", "a@loop.example.com"), SPF_PASS);
		spf_jail_stats(f->jail, &s);
	} while (s.worker_spawned < 2 && ++n < 20000);
	assert_int_equal(s.worker_spawned, 2);
	assert_int_equal(s.worker_died + s.worker_killed, 0);
}

static void test_hang(void **state)
{
	struct fixture *f = *state;
	struct spf_stats s;
	pid_t pid = hold(f), next;

	wait_calls(f, 1);
	assert_int_equal(f->v.result, SPF_TEMPERROR);
	assert_string_equal(f->v.reason, "SPF evaluation took too long");
	assert_int_equal(check(f, "192.0.2.10", "a@example.com"), SPF_PASS);
	wait_worker(f, &next);
	assert_int_not_equal(pid, next);
	spf_jail_stats(f->jail, &s);
	assert_int_equal(s.worker_killed, 1);
	assert_int_equal(s.worker_died, 0);
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;
	struct spf_stats s;
	pid_t pid;

	spf_cancel(ask(f, "192.0.2.10", "a@example.com"));
	wait_worker(f, &pid);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	for (int i = 0; i < 2; i++) { /* one with the worker, one waiting for it */
		struct spf_check *c = ask(f, "192.0.2.10", "a@example.com");

		do {
			assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
			spf_jail_stats(f->jail, &s);
		} while (i ? s.waiting == 0 : s.workers_busy == 0);
		spf_cancel(c);
	}
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(check(f, "192.0.2.10", "a@example.com"), SPF_PASS);
	assert_int_equal(f->calls, 1);
	ask(f, "192.0.2.10", "a@example.com"); /* open when the jail goes */
}

static pid_t parent_of(pid_t pid)
{
	char path[64], line[512];
	int parent = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	fclose(f);
	assert_int_equal(sscanf(strrchr(line, ')') + 2, "%*c %d", &parent), 1);
	return parent;
}

/* The process that forks workers is killed: another takes its place. */
static void test_helper_killed(void **state)
{
	struct fixture *f = *state;
	struct spf_stats s;
	pid_t pid, helper, last = 0;

	for (unsigned int i = 1; i <= 3; i++) {
		wait_worker(f, &pid);
		helper = parent_of(pid);
		assert_int_not_equal(helper, f->jail->helper);
		assert_int_not_equal(helper, last);
		assert_int_equal(parent_of(helper), f->jail->helper);
		last = helper;
		assert_int_equal(kill(helper, SIGKILL), 0);
		while (spf_jail_workers(f->jail, &pid, 1)) /* they die with it */
			assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
		assert_int_equal(check(f, "192.0.2.10", "a@example.com"), SPF_PASS);
		spf_jail_stats(f->jail, &s);
		assert_int_equal(s.helper_died, i);
		assert_int_equal(s.worker_died, i);
		assert_false(s.helper_gone);
	}
}

/* Both are: checks end at once and say so. */
static void test_helper_gone(void **state)
{
	struct fixture *f = *state;
	struct spf_stats s;
	pid_t pid;

	wait_worker(f, &pid);
	pid = parent_of(pid);
	assert_int_equal(kill(f->jail->helper, SIGKILL), 0);
	assert_int_equal(check(f, "192.0.2.10", "a@example.com"), SPF_PASS);
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (spf_jail_workers(f->jail, &pid, 1))
		assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
	assert_int_equal(check(f, "192.0.2.10", "a@example.com"), SPF_TEMPERROR);
	assert_string_equal(f->v.reason, "SPF evaluators are gone");
	spf_jail_stats(f->jail, &s);
	assert_true(s.helper_gone);
}

static void test_no_process_left(void **state)
{
	struct fixture *f = *state;
	pid_t pid;

	wait_worker(f, &pid);
	spf_jail_free(f->jail);
	f->jail = NULL;
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

/* A name server that never answers: the budget of the check ends it. */
static void test_budget(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char fwd[64], err[256];
	const char *list[] = {fwd};
	struct dns_options opt = {.forwarder = list, .n_forwarders = 1};
	struct dns *dns;
	struct spf_jail *silent, *own = f->jail;
	struct spf_stats s;

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	snprintf(fwd, sizeof(fwd), "127.0.0.1@%u", ntohs(sin.sin_port));
	dns = dns_new(f->base, &opt, err, sizeof(err));
	assert_non_null(dns);
	silent = spf_jail_new(f->base, dns, &(struct spf_options){.budget_ms = 100}, err,
			      sizeof(err));
	assert_non_null(silent);
	f->jail = silent;
	assert_int_equal(check(f, "192.0.2.10", "a@example.com"), SPF_TEMPERROR);
	assert_string_equal(f->v.reason, "SPF check took too long");
	spf_jail_stats(silent, &s);
	assert_int_equal(s.budget_exceeded, 1);
	f->jail = own;
	spf_jail_free(silent);
	dns_free(dns);
	close(fd);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_results),
		T(test_helo),
		T(test_kill),
		T(test_retire),
		cmocka_unit_test_setup_teardown(test_hang, setup_impatient, teardown),
		T(test_cancel),
		T(test_helper_killed),
		T(test_helper_gone),
		T(test_no_process_left),
		T(test_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
