/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What is exported is what OpenMetrics and Prometheus call well-formed, and HTTP answers what was asked.
 * With --dump [openmetrics] the text goes to standard output, for promtool (tests/monitoring).
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/metrics/metrics.h"

static struct metrics_snapshot *full(void)
{
	struct metrics_snapshot *s = calloc(1, sizeof(*s));

	s->started_ns = 1700000000123456789u;
	s->realtime_ns = s->started_ns + 5;
	s->generation = 3;
	s->linked = s->ready = true;
	s->workers = 2;
	s->dp[0][CNT_rx_packets] = 10;
	s->dp[1][CNT_rx_packets] = 20;
	s->dp[1][CNT_sessions_now] = 7;
	s->ctl[CTL_messages] = UINT64_MAX;
	s->ctl[CTL_rule_ns] = 1500000000;
	buckets_add(&s->judge, 999);
	buckets_add(&s->judge, 1000);
	buckets_add(&s->judge, 1001);
	buckets_add(&s->judge, 3600000000u);
	s->n_routes = 2;
	strcpy(s->route[0].name, "of\"fi\\ce");
	memset(s->route[1].name, 'x', METRICS_NAME - 1);
	s->route[0].outcome[TRACE_REJECTED] = 4;
	s->route[0].state = 2;
	s->route[1].breaker_open = true;
	buckets_add(&s->route[1].stage[METRICS_REPLY], 30000000);
	s->n_rules = 1;
	strcpy(s->rule[0].name, "__A_RULE");
	s->rule[0].hits = 9;
	return s;
}

static __attribute__((noinline)) char *rendered(const struct metrics_snapshot *s, bool openmetrics)
{
	char *text = NULL;
	size_t n;

	assert_int_equal(metrics_render(s, openmetrics, &text, &n), 0);
	assert_int_equal(strlen(text), n);
	return text;
}

static void has(const char *text, const char *line)
{
	char want[512];

	snprintf(want, sizeof(want), "\n%s\n", line);
	if (!strstr(text, want))
		fail_msg("no line %s", line);
}

static void values(void **state)
{
	struct metrics_snapshot *s = full();
	char *t = rendered(s, true);

	(void)state;
	has(t, "postern_rx_packets_total{worker=\"0\"} 10");
	has(t, "postern_rx_packets_total{worker=\"1\"} 20");
	has(t, "postern_sessions_now{worker=\"1\"} 7");
	has(t, "# TYPE postern_rx_packets counter");
	has(t, "# TYPE postern_sessions_now gauge");
	has(t, "postern_messages_total 18446744073709551615");
	has(t, "postern_rule_seconds_total 1.500000000");
	has(t, "# UNIT postern_rule_seconds seconds");
	has(t, "postern_judge_seconds_bucket{le=\"0.001\"} 2");
	has(t, "postern_judge_seconds_bucket{le=\"0.0025\"} 3");
	has(t, "postern_judge_seconds_bucket{le=\"1.0\"} 3");
	has(t, "postern_judge_seconds_bucket{le=\"+Inf\"} 4");
	has(t, "postern_judge_seconds_count 4");
	has(t, "postern_judge_seconds_sum 3600.003000");
	has(t, "postern_recipients_total{route=\"of\\\"fi\\\\ce\",outcome=\"rejected\"} 4");
	has(t, "postern_route_state{route=\"of\\\"fi\\\\ce\"} 2");
	has(t, "postern_rule_hits_total{rule=\"__A_RULE\"} 9");
	has(t, "postern_dataplane_linked 1");
	assert_string_equal(t + strlen(t) - 6, "# EOF\n");
	free(t);
	t = rendered(s, false);
	has(t, "# TYPE postern_rx_packets_total counter");
	assert_null(strstr(t, "# EOF"));
	assert_null(strstr(t, "# UNIT"));
	free(t);
	/* Without the dataplane its counters are not said to be 0. */
	s->workers = 0;
	s->linked = false;
	t = rendered(s, true);
	assert_null(strstr(t, "postern_rx_packets"));
	has(t, "postern_dataplane_linked 0");
	free(t);
	free(s);
}

/* Each family once and in one piece; each sample belongs to the family above it. */
static void form(void **state)
{
	struct metrics_snapshot *s = full();

	(void)state;
	for (int open = 0; open < 2; open++) {
		char *t = rendered(s, open), *save, *line, name[256] = "", marker[300];
		char *copy = strdup(t);

		for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
			size_t n = strcspn(line, "{ ");
			const char *first;

			if (!strncmp(line, "# TYPE ", 7)) {
				snprintf(name, sizeof(name), "%.*s", (int)strcspn(line + 7, " "), line + 7);
				snprintf(marker, sizeof(marker), "# TYPE %s ", name);
				first = strstr(t, marker);
				assert_non_null(first);
				assert_null(strstr(first + 1, marker));
				assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"),
						 strlen(name));
			} else if (line[0] != '#') {
				assert_true(n >= strlen(name));
				assert_memory_equal(line, name, strlen(name));
			}
		}
		free(copy);
		free(t);
	}
	free(s);
}

static void accepts(void **state)
{
	static const struct { const char *accept; bool open; } t[] = {
		{NULL, false}, {"", false}, {"*/*", false}, {"text/plain", false},
		{"application/openmetrics-text", true},
		{"application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true},
		{"text/plain;q=0.9, Application/OpenMetrics-Text ; Q=0.95", true},
		{"application/openmetrics-text;q=0.1,text/plain;q=0.5", false},
		{"application/openmetrics-text;q=0", false}, {"application/openmetrics-textual", false},
		{",,;;q=,application/openmetrics-text;q=x", false}, {";q=1", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (metrics_wants_openmetrics(t[i].accept) != t[i].open)
			fail_msg("%s", t[i].accept ? t[i].accept : "(none)");
}

/* The whole answer to a request on a UNIX socket. */
static char *asked(const char *path, const char *request)
{
	static char buf[1 << 20];
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	size_t n = 0;
	ssize_t k;

	strcpy(sa.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(write(fd, request, strlen(request)), strlen(request));
	while ((k = read(fd, buf + n, sizeof(buf) - 1 - n)) > 0)
		n += (size_t)k;
	buf[n] = '\0';
	close(fd);
	return buf;
}

#define GET "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"

static void http(void **state)
{
	char dir[] = "/tmp/postern-metrics-XXXXXX", path[64], where[80], err[256];
	struct metrics_snapshot *s = full();
	struct metrics *m, *second;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	snprintf(where, sizeof(where), "unix:%s", path);
	m = metrics_new(where, err, sizeof(err));
	assert_non_null(m);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_non_null(strstr(asked(path, GET "\r\n"), "503 "));
	memcpy(metrics_fill(m), s, sizeof(*s));
	metrics_publish(m);
	assert_non_null(strstr(asked(path, GET "\r\n"), "text/plain; version=0.0.4"));
	assert_non_null(strstr(asked(path, GET "\r\n"), "\npostern_messages_total 1844"));
	assert_non_null(strstr(asked(path, GET "Accept: application/openmetrics-text\r\n\r\n"),
			       "application/openmetrics-text; version=1.0.0; charset=utf-8"));
	assert_non_null(strstr(asked(path, GET "Accept: application/openmetrics-text\r\n\r\n"), "\n# EOF\n"));
	assert_non_null(strstr(asked(path, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), "404 "));
	assert_non_null(strstr(asked(path, "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
					   "Content-Length: 3\r\n\r\nabc"), "405 "));
	assert_non_null(strstr(asked(path, "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
					   "Content-Length: 0\r\n\r\n"), "Allow: GET, HEAD"));
	assert_null(strstr(asked(path, "HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
			   "postern_messages_total"));
	/* somebody listens: not to be taken away; and what is no socket is not to be removed */
	second = metrics_new(where, err, sizeof(err));
	assert_null(second);
	assert_non_null(strstr(err, where));
	metrics_free(m);
	assert_int_not_equal(stat(path, &st), 0);
	fclose(fopen(path, "w"));
	assert_null(metrics_new(where, err, sizeof(err)));
	assert_int_equal(stat(path, &st), 0);
	unlink(path);
	/* a stale one is */
	{
		struct sockaddr_un sa = {.sun_family = AF_UNIX};
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		strcpy(sa.sun_path, path);
		assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
		close(fd);
	}
	m = metrics_new(where, err, sizeof(err));
	assert_non_null(m);
	metrics_free(m);
	m = metrics_new("127.0.0.1:0", err, sizeof(err));
	assert_non_null(m);
	metrics_free(m);
	m = metrics_new("[::1]:0", err, sizeof(err));
	if (!m) /* a machine without IPv6 */
		assert_non_null(strstr(err, "[::1]:0"));
	metrics_free(m);
	rmdir(dir);
	free(s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values), cmocka_unit_test(form), cmocka_unit_test(accepts),
		cmocka_unit_test(http),
	};
	struct metrics_snapshot *s;

	if (argc > 1 && !strcmp(argv[1], "--dump")) {
		s = full();
		fputs(rendered(s, argc > 2), stdout);
		fflush(stdout);
		_exit(0);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
