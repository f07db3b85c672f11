/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A stream of checks while workers, and now and then the helper that forks them, are killed under
 * it. Each check ends once, with the right result or temperror; what was killed is counted and
 * replaced; no descriptor and no process is left. Usage: test_spf_storm [CHECKS]
 */

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/auth/spf/test_spf_lab.h"

#define AT_ONCE 64
#define WORKERS 4
#define SEEN    65536
#define RUN_MS  1000
#define EVERY   5    /* right results between two strikes: by progress, not by time */
#define LATE_US 3000 /* at most so long after the last of them */

static unsigned long n_checks = 3000;

static const char zone[] = "$ORIGIN example.com.\n"
			   "@ TXT \"v=spf1 include:one.example.com mx ?all\"\n"
			   "@ MX 10 mail\nmail A 192.0.2.10\n"
			   "one TXT \"v=spf1 exists:%{l}.u.example.com ip4:198.51.100.0/24 "
			   "redirect=two.example.com\"\n"
			   "two TXT \"v=spf1 ip6:2001:db8::/32 a:mail.example.com -all\"\n"
			   "bad TXT \"v=spf1 include:none.example.com -all\"\n"
			   "hard TXT \"v=spf1 a:mail.example.com -all exp=why.example.com\"\n"
			   "why TXT \"no\"\nlucky.u A 127.0.0.2\n";

static const struct {
	const char *ip, *from;
	enum spf_result want;
} question[] = {
	{"192.0.2.10", "a@example.com", SPF_PASS},
	{"192.0.2.11", "a@example.com", SPF_NEUTRAL},
	{"203.0.113.1", "lucky@example.com", SPF_PASS},
	{"2001:db8::1", "a@example.com", SPF_PASS},
	{"2001:db9::1", "a@example.com", SPF_NEUTRAL},
	{"198.51.100.9", "a@one.example.com", SPF_PASS},
	{"192.0.2.12", "a@two.example.com", SPF_FAIL},
	{"192.0.2.12", "a@bad.example.com", SPF_PERMERROR},
	{"192.0.2.12", "a@hard.example.com", SPF_FAIL},
	{"192.0.2.10", "a@hard.example.com", SPF_PASS},
	{"192.0.2.10", "a@none.example.com", SPF_NONE},
};
#define QUESTIONS (sizeof(question) / sizeof(question[0]))

struct storm {
	struct spf_lab lab;
	struct event *turn;
	unsigned long asked, ended, right, temporary, wrong;
	unsigned long killed, stopped, helpers;
	unsigned int turns;
	uint64_t rng;
	pid_t seen[SEEN]; /* killed or stopped once: never again, the id may be another's by now */
	size_t n_seen;
	bool over;
};

struct one {
	struct storm *s;
	size_t what;
};

static uint64_t next(struct storm *s)
{
	s->rng ^= s->rng << 13;
	s->rng ^= s->rng >> 7;
	s->rng ^= s->rng << 17;
	return s->rng;
}

static void ask(struct storm *s);

static void ended(void *arg, const struct spf_verdict *v)
{
	struct one *o = arg;
	struct storm *s = o->s;

	s->ended++;
	if (v->result == question[o->what].want) {
		struct timeval tv = {0, (suseconds_t)(next(s) % LATE_US)};

		if (++s->right % EVERY == 0)
			evtimer_add(s->turn, &tv);
	} else if (v->result == SPF_TEMPERROR &&
		   (!strcmp(v->reason, "SPF evaluator died") ||
		    !strcmp(v->reason, "SPF evaluation took too long"))) {
		s->temporary++;
	} else if (s->wrong++ < 5) {
		printf("wrong: %s %s: %s, \"%s\"\n", question[o->what].ip, question[o->what].from,
		       spf_result_name(v->result), v->reason);
	}
	free(o);
	if (s->asked < n_checks)
		ask(s);
}

static void ask(struct storm *s)
{
	struct one *o = malloc(sizeof(*o));
	struct spf_request r = {.helo = STR("mail.example.com")};

	assert_non_null(o);
	*o = (struct one){s, s->asked % QUESTIONS};
	r.mail_from = str_c(question[o->what].from);
	assert_true(ip_parse(str_c(question[o->what].ip), &r.ip));
	assert_non_null(spf_check(s->lab.jail, &r, ended, o));
	s->asked++;
}

static bool was_seen(const struct storm *s, pid_t pid)
{
	for (size_t i = 0; i < s->n_seen; i++)
		if (s->seen[i] == pid)
			return true;
	return false;
}

static pid_t parent_of(pid_t pid)
{
	char path[64], line[512] = "";
	int parent = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f && fgets(line, sizeof(line), f) && strrchr(line, ')'))
		sscanf(strrchr(line, ')') + 2, "%*c %d", &parent);
	if (f)
		fclose(f);
	return parent;
}

/* One of the workers; the kind of death changes. */
static void strike(evutil_socket_t fd, short what, void *arg)
{
	static const int how[] = {SIGKILL, SIGSEGV, SIGABRT, SIGSYS, SIGBUS};
	struct storm *s = arg;
	pid_t pid[WORKERS], victim;
	size_t n = spf_jail_workers(s->lab.jail, pid, WORKERS);
	int sig = ++s->turns % 41 == 0 ? SIGSTOP : how[s->turns % (sizeof(how) / sizeof(how[0]))];

	(void)fd;
	(void)what;
	if (s->over || n == 0 || s->n_seen == SEEN)
		return;
	victim = pid[next(s) % n];
	if (was_seen(s, victim))
		return;
	if (s->turns % 53 == 0) { /* the helper, and all workers with it */
		pid_t helper = parent_of(victim);

		if (parent_of(helper) != s->lab.jail->helper || was_seen(s, helper))
			return;
		s->seen[s->n_seen++] = helper;
		if (kill(helper, SIGKILL) == 0)
			s->helpers++;
		return;
	}
	s->seen[s->n_seen++] = victim;
	if (kill(victim, sig))
		return;
	if (sig == SIGSTOP)
		s->stopped++;
	else
		s->killed++;
}

static unsigned int open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void storm(struct storm *s)
{
	struct spf_stats st;
	pid_t alive[WORKERS];

	spf_lab_open(&s->lab, zone,
		     &(struct spf_options){
			     .n_workers = WORKERS, .run_ms = RUN_MS, .no_cache = true});
	s->turn = evtimer_new(s->lab.base, strike, s);
	assert_non_null(s->turn);
	while (s->asked < AT_ONCE)
		ask(s);
	while (s->ended < n_checks)
		assert_int_equal(event_base_loop(s->lab.base, EVLOOP_ONCE), 0);
	s->over = true;
	/* It is over: the next checks have their right results as soon as all that were struck are
	 * replaced, some of which are found out only now. */
	n_checks += 8 * WORKERS;
	while (s->asked < n_checks)
		ask(s);
	while (s->ended < n_checks || spf_jail_workers(s->lab.jail, alive, WORKERS) < WORKERS)
		assert_int_equal(event_base_loop(s->lab.base, EVLOOP_ONCE), 0);
	spf_jail_stats(s->lab.jail, &st);
	printf("%lu checks: %lu right, %lu temperror, %lu wrong; %lu workers killed, %lu stopped, "
	       "%lu helpers killed; counted: %llu died, %llu killed for their time, %llu helpers, "
	       "%llu spawned\n",
	       s->ended, s->right, s->temporary, s->wrong, s->killed, s->stopped, s->helpers,
	       (unsigned long long)st.worker_died, (unsigned long long)st.worker_killed,
	       (unsigned long long)st.helper_died, (unsigned long long)st.worker_spawned);
	assert_int_equal(s->wrong, 0);
	assert_int_equal(s->ended, s->asked);
	assert_true(s->killed > 0 && s->stopped > 0 && s->helpers > 0);
	assert_true(s->temporary > 0 && s->right > s->temporary);
	/* Each death is counted once. With a helper go up to all its workers, struck or not. A
	 * machine that is too slow may have more of them killed for their time. */
	assert_int_equal(st.helper_died, s->helpers);
	assert_true(st.worker_died + st.worker_killed >= s->killed);
	assert_true(st.worker_died <= s->killed + s->stopped + WORKERS * s->helpers);
	assert_int_equal(st.worker_spawned, WORKERS + st.worker_died + st.worker_killed);
	/* One death is at most one check's. */
	assert_true(s->temporary <= st.worker_died + st.worker_killed);
	assert_int_equal(st.waiting + st.workers_busy, 0);
	event_free(s->turn);
	spf_lab_close(&s->lab);
}

static void test_storm(void **state)
{
	struct storm *s = calloc(1, sizeof(*s));
	unsigned int before = open_files();

	(void)state;
	assert_non_null(s);
	s->rng = 0x9e3779b97f4a7c15ull;
	storm(s);
	assert_int_equal(open_files(), before);
	/* Neither running nor waiting to be reaped. */
	for (size_t i = 0; i < s->n_seen; i++)
		assert_true(kill(s->seen[i], 0) < 0 && errno == ESRCH);
	free(s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_storm)};

	if (argc > 1)
		n_checks = strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
