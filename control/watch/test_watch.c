/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Watchers on a real socket: what they see, and that one that does not read costs what it may and
 * no more, hears how much it missed, and holds nobody.
 */

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/api/api.h"
#include "control/watch/watch.h"
#include "postern/limits.h"
#include "postern/stats.h"

static struct {
	struct event_base *base;
	struct api *api;
	struct watch *watch;
	struct api_request *req; /* of the last watcher */
	uint64_t counters[POSTERN_CTL_COUNTER_COUNT];
	char dir[64], path[80];
} t;

static void on_watch(void *arg, struct api_request *req, const json_t *body)
{
	(void)arg;
	t.req = req;
	watch_request(t.watch, req, body);
}

static const struct api_command commands[] = {{"watch", on_watch}};

static int set_up(void **state)
{
	char err[256];

	(void)state;
	memset(&t, 0, sizeof(t));
	strcpy(t.dir, "/tmp/watch-XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	snprintf(t.path, sizeof(t.path), "%s/s", t.dir);
	t.base = event_base_new();
	t.watch = watch_new(t.counters);
	t.api = api_new(t.base, t.path, commands, 1, NULL, t.counters, err, sizeof(err));
	assert_non_null(t.api);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	api_free(t.api);
	watch_free(t.watch);
	event_base_free(t.base);
	rmdir(t.dir);
	return 0;
}

/* Until nothing more happens. */
static void settle(void)
{
	for (int i = 0; i < 20; i++)
		event_base_loop(t.base, EVLOOP_NONBLOCK);
}

/* ---- a client ---- */

struct reader {
	int fd;
	char buf[1 << 16];
	size_t n;
	bool over;
};

static void ask(struct reader *r, const char *request)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	*r = (struct reader){.fd = socket(AF_UNIX, SOCK_STREAM, 0)};
	memcpy(sa.sun_path, t.path, strlen(t.path) + 1);
	assert_int_equal(connect(r->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	fcntl(r->fd, F_SETFL, O_NONBLOCK);
	assert_int_equal(write(r->fd, request, strlen(request)), strlen(request));
	settle();
}

/* The next line as JSON, NULL: none. The loop runs meanwhile. */
static json_t *next(struct reader *r)
{
	for (int tries = 0; tries < 3; tries++) {
		char *end = memchr(r->buf, '\n', r->n);
		ssize_t got;

		if (end) {
			json_t *v = json_loadb(r->buf, (size_t)(end - r->buf), 0, NULL);

			assert_non_null(v);
			r->n -= (size_t)(end + 1 - r->buf);
			memmove(r->buf, end + 1, r->n);
			return v;
		}
		settle();
		got = read(r->fd, r->buf + r->n, sizeof(r->buf) - r->n);
		r->over |= got == 0;
		if (got > 0)
			r->n += (size_t)got;
	}
	return NULL;
}

static const char *text(const json_t *v, const char *name)
{
	const char *s = json_string_value(json_object_get(v, name));

	return s ? s : "";
}

static void expect(struct reader *r, const char *event, const char *member, const char *value)
{
	json_t *v = next(r);

	if (!v)
		fail_msg("no line where \"%s\" was due", event);
	assert_string_equal(text(v, "schema"), "postern.watch.1");
	assert_int_equal(strlen(text(v, "time")), 24);
	assert_string_equal(text(v, "event"), event);
	if (member)
		assert_string_equal(text(v, member), value);
	json_decref(v);
}

static void expect_nothing(struct reader *r)
{
	json_t *v = next(r);

	if (v)
		fail_msg("a line where none was due: %s", text(v, "event"));
}

/* ---- what happens ---- */

static void happens(const char *rcpt, const char *more)
{
	char record[4096];

	snprintf(record, sizeof(record),
		 "{\"time\":\"2026-01-02T03:04:05.678Z\",\"trace_id\":\"0123456789ABCDEF\","
		 "\"peer\":\"192.0.2.1\","
		 "\"outcome\":\"delivered\",\"rcpt\":\"%s\"%s}",
		 rcpt, more);
	watch_record(t.watch, record, strlen(record));
}

static void opens(const char *peer)
{
	struct ip_addr ip;

	assert_true(ip_parse(str_c(peer), &ip));
	if (watch_wants_session(t.watch, &ip))
		watch_session(t.watch, &ip,
			      json_pack("{s:s, s:s}", "event", "opened", "peer", peer));
}

static void filters(void **state)
{
	struct reader all, one, sessions;

	(void)state;
	happens("nobody@example.com", ""); /* watches yet */
	ask(&all, "{\"command\":\"watch\"}\n");
	ask(&one, "{\"command\":\"watch\",\"domain\":\"example.org\"}\n");
	ask(&sessions,
	    "{\"command\":\"watch\",\"what\":\"sessions\",\"peer\":\"203.0.113.0/24\"}\n");
	expect(&all, "watching", NULL, NULL);
	expect(&one, "watching", NULL, NULL);
	expect(&sessions, "watching", NULL, NULL);
	happens("a@example.com", "");
	happens("b@example.org", "");
	opens("192.0.2.1");
	opens("203.0.113.1");
	watch_all_sessions(t.watch, json_pack("{s:s, s:i}", "event", "lost", "sessions", 3));
	expect(&all, "message", "rcpt", "a@example.com");
	expect(&all, "message", "rcpt", "b@example.org");
	expect(&all, "opened", "peer", "192.0.2.1");
	expect(&all, "opened", "peer", "203.0.113.1");
	expect(&all, "lost", NULL, NULL);
	expect_nothing(&all);
	expect(&one, "message", "rcpt", "b@example.org");
	expect_nothing(&one);
	expect(&sessions, "opened", "peer", "203.0.113.1");
	expect(&sessions, "lost", NULL, NULL);
	expect_nothing(&sessions);
	close(all.fd);
	close(one.fd);
	close(sessions.fd);
	settle();
	opens("192.0.2.1"); /* nobody watches any more */
	assert_int_equal(t.counters[CTL_watch_events], 8);
	assert_int_equal(t.counters[CTL_watch_left_out], 0);
}

/* The heaviest rules, few of them; other events of the trace; and what the session says instead. */
static void what_is_told(void **state)
{
	char more[2048];
	struct reader r;
	json_t *v;
	size_t n;

	(void)state;
	ask(&r, "{\"command\":\"watch\",\"what\":\"messages\"}\n");
	expect(&r, "watching", NULL, NULL);
	n = (size_t)snprintf(
		more, sizeof(more),
		",\"secret\":1,\"tls\":{},\"judged\":{\"action\":\"tag\",\"score\":4.5,"
		"\"headers\":[],\"matches\":[");
	for (int i = 0; i < 12; i++)
		n += (size_t)snprintf(more + n, sizeof(more) - n,
				      "%s{\"rule\":\"R%d\",\"score\":%d.5}", i ? "," : "", i,
				      i % 2 ? -i : i);
	snprintf(more + n, sizeof(more) - n, "]}");
	happens("a@example.com", more);
	v = next(&r);
	assert_non_null(v);
	assert_string_equal(text(v, "action"), "tag");
	assert_string_equal(text(v, "time"), "2026-01-02T03:04:05.678Z");
	assert_true(json_is_true(json_object_get(v, "tls")));
	assert_null(json_object_get(v, "secret"));
	assert_null(json_object_get(v, "judged"));
	assert_int_equal(json_integer_value(json_object_get(v, "rules_hit")), 12);
	assert_int_equal(json_array_size(json_object_get(v, "rules")), LIMIT_WATCH_RULES);
	assert_string_equal(json_string_value(json_array_get(json_object_get(v, "rules"), 0)),
			    "R11");
	assert_string_equal(json_string_value(json_array_get(json_object_get(v, "rules"), 7)),
			    "R4");
	json_decref(v);
	happens("a@example.com", ",\"event\":\"reply-lost\"");
	expect(&r, "reply-lost", "trace_id", "0123456789ABCDEF");
	happens("", ",\"stage\":\"connect\",\"reply\":\"421 no\"");
	expect_nothing(&r);
	happens("", ",\"stage\":\"connect\",\"next_hop\":\"mx.example.com\",\"judged\":{}");
	expect(&r, "message", "stage", "connect");
	close(r.fd);
}

static void bad_requests(void **state)
{
	struct reader r[LIMIT_WATCHERS + 1];
	json_t *v;

	(void)state;
	ask(&r[0], "{\"command\":\"watch\",\"peer\":\"everybody\"}\n");
	v = next(&r[0]);
	assert_string_equal(text(json_object_get(v, "error"), "code"), "bad-request");
	json_decref(v);
	close(r[0].fd);
	/* No more than so many; one that goes makes room. */
	for (int i = 0; i < LIMIT_WATCHERS; i++) {
		ask(&r[i], "{\"command\":\"watch\"}\n");
		expect(&r[i], "watching", NULL, NULL);
	}
	ask(&r[LIMIT_WATCHERS], "{\"command\":\"watch\"}\n");
	v = next(&r[LIMIT_WATCHERS]);
	assert_string_equal(text(json_object_get(v, "error"), "code"), "busy");
	json_decref(v);
	close(r[0].fd);
	settle();
	ask(&r[0], "{\"command\":\"watch\"}\n");
	expect(&r[0], "watching", NULL, NULL);
	/* What a watcher says is of no interest, however much it is. */
	for (int i = 0; i < 200; i++) {
		char noise[1000];

		memset(noise, 'x', sizeof(noise));
		(void)!write(r[1].fd, noise, sizeof(noise));
		settle();
	}
	happens("a@example.com", "");
	for (int i = 0; i < LIMIT_WATCHERS; i++) {
		expect(&r[i], "message", "rcpt", "a@example.com");
		close(r[i].fd);
	}
	close(r[LIMIT_WATCHERS].fd);
}

/*
 * One reads nothing, the other does. In order: what the first gets, with the note of what it missed
 * in the place of the gap, adds up to all that happened.
 */
static void slow(void **state)
{
	const int n = 4000;
	struct reader lazy, eager;
	uint64_t got = 0, missed = 0, left_out, notes = 0;
	size_t most = 0;
	json_t *v;

	(void)state;
	ask(&eager, "{\"command\":\"watch\",\"what\":\"messages\"}\n");
	expect(&eager, "watching", NULL, NULL);
	ask(&lazy, "{\"command\":\"watch\",\"what\":\"messages\"}\n");
	for (int i = 0; i < n; i++) {
		char rcpt[32];

		snprintf(rcpt, sizeof(rcpt), "r%d@example.com", i);
		happens(rcpt, ",\"reply\":\"250 2.0.0 a reply of some length, so that the queue "
			      "fills sooner\"");
		expect(&eager, "message", "rcpt", rcpt);
		if (api_stream_queued(t.req) > most)
			most = api_stream_queued(t.req);
	}
	assert_true(most > LIMIT_WATCH_QUEUE / 2);
	assert_true(most <= LIMIT_WATCH_QUEUE);
	left_out = t.counters[CTL_watch_left_out];
	assert_true(left_out > 0);
	assert_int_equal(t.counters[CTL_watch_events] + left_out, 2 * (uint64_t)n);
	/* It reads again: the gap is where it is told of, and behind it nothing is missing. */
	expect(&lazy, "watching", NULL, NULL);
	while ((v = next(&lazy))) {
		if (!strcmp(text(v, "event"), "left-out")) {
			missed += (uint64_t)json_integer_value(json_object_get(v, "n"));
			notes++;
		} else {
			char rcpt[32];

			snprintf(rcpt, sizeof(rcpt), "r%llu@example.com",
				 (unsigned long long)(got + missed));
			assert_string_equal(text(v, "rcpt"), rcpt);
			got++;
		}
		json_decref(v);
	}
	assert_int_equal(missed, left_out);
	assert_int_equal(got + missed, n);
	assert_int_equal(notes, 1);
	happens("after@example.com", "");
	expect(&lazy, "message", "rcpt", "after@example.com");
	close(lazy.fd);
	close(eager.fd);
}

/* It goes in the middle of what it has not read; and the daemon goes with others still there. */
static void gone(void **state)
{
	struct reader r, other;

	(void)state;
	ask(&other, "{\"command\":\"watch\"}\n");
	ask(&r, "{\"command\":\"watch\"}\n");
	for (int i = 0; i < 3000; i++)
		happens("a@example.com", "");
	close(r.fd);
	settle();
	happens("a@example.com", "");
	assert_true(t.counters[CTL_watch_left_out] > 0);
	close(other.fd); /* noticed by nobody before the end */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(filters, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bad_requests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(slow, set_up, tear_down),
		cmocka_unit_test_setup_teardown(gone, set_up, tear_down),
	};

	signal(SIGPIPE, SIG_IGN); /* as control does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
