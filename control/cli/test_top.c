/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Rates out of two answers, and screens of any size. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/cli/top_table.h"

/* ---- answers ---- */

struct at {
	long long us, run, epoch, n; /* n: what all counters have counted so far */
	bool unlinked;
	unsigned int workers, routes, rules;
};

static json_t *worker(const struct at *a, unsigned int i)
{
	return json_pack(
		"{s:i, s:I, s:I, s:I, s:I, s:i, s:I, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f}",
		"worker", (int)i, "busy_cycles", (json_int_t)(a->n / 4), "total_cycles",
		(json_int_t)a->n, "rx_packets", (json_int_t)(a->n * (i + 1)), "tx_packets",
		(json_int_t)a->n, "sessions_now", (int)(100 - i), "smtp_sessions", (json_int_t)a->n,
		"smtp_messages", (json_int_t)(2 * a->n), "tap_flows", 0, "tap_messages", 0,
		"arena_chunks_used", 25, "arena_chunks_free", 75, "arena_records_used", 1,
		"arena_records_free", 1, "submit_ring", 0.5, "verdict_ring", 0.0);
}

static json_t *route(unsigned int i)
{
	char name[32];

	snprintf(name, sizeof(name), "route-%u", i);
	return json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:{s:i, s:i}, s:{s:i, s:i}, "
			 "s:{s:{s:i, s:i}}}",
			 "route", name, "state", i == 1 ? "shedding" : "ok", "cause",
			 i == 1 ? "queue" : "", "outstanding", (int)(7 + i), "bound", 100,
			 "waiting", 3, "connections", 2, "max_connections", 20, "wait", "p50_us", 0,
			 "p99_us", 0, "message", "p50_us", 1500, "p99_us", (int)(250000 + i),
			 "stages", "dot", "p50_us", 1200, "p99_us", 90000);
}

static json_t *host(const struct at *a, unsigned int i)
{
	char name[32];

	snprintf(name, sizeof(name), "route-%u", i);
	return json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:s}", "route", name,
			 "host", "mx.example.com", "port", 25, "connections", 2, "busy", 1,
			 "waiting", 0, "delivered", (json_int_t)(3 * a->n), "rejected",
			 (json_int_t)a->n, "deferred", (json_int_t)0, "last_error",
			 "refused \x1b[2J by \xe2\x80\xae them");
}

static json_t *answer(const struct at *a)
{
	json_t *workers = json_array(), *routes = json_array(), *hosts = json_array(),
	       *rules = json_array(), *breakers = json_array(), *o;
	char name[32];

	for (unsigned int i = 0; i < a->workers; i++)
		json_array_append_new(workers, worker(a, i));
	for (unsigned int i = 0; i < a->routes; i++) {
		json_array_append_new(routes, route(i));
		json_array_append_new(hosts, host(a, i));
	}
	json_array_append_new(breakers, json_pack("{s:s, s:b}", "route", "route-0", "open", true));
	for (unsigned int i = 0; i < a->rules; i++) {
		snprintf(name, sizeof(name), "RULE_%u", i);
		json_array_append_new(rules, json_pack("{s:s, s:f, s:i, s:i, s:i, s:i}", "name",
						       name, "score", 1.5, "hits", 1000, "ns",
						       5000000, "recent_hits", (int)(10 * i),
						       "recent_ns", (int)(1000000 - i)));
	}
	o = json_pack("{s:I, s:I, s:b, s:b, s:s, s:s, s:f, s:i, s:i, s:i}", "at_us",
		      (json_int_t)a->us, "run", (json_int_t)a->run, "ready", true, "draining",
		      false, "version", "1.2.3", "hostname", "mx.example.net", "uptime_s", 3700.0,
		      "generation", 4, "sessions", 12, "messages_in_flight", 5);
	json_object_set_new(o, "reload", json_pack("{s:s}", "stage", "idle"));
	json_object_set_new(o, "alerts",
			    json_pack("{s:i, s:f, s:s}", "n", 0, "ago_s", 0.0, "text", ""));
	json_object_set_new(o, "dataplane",
			    json_pack("{s:b, s:I, s:s, s:o}", "linked", !a->unlinked, "epoch",
				      (json_int_t)a->epoch, "error", "", "workers", workers));
	if (!a->unlinked)
		json_object_set_new(json_object_get(o, "dataplane"), "counters",
				    json_pack("{s:I, s:I, s:I, s:I, s:I}", "smtp_sessions",
					      (json_int_t)a->n, "tap_flows", (json_int_t)a->n,
					      "smtp_reply_2xx", (json_int_t)(2 * a->n), "drops",
					      (json_int_t)(a->n / 10), "rx_bytes",
					      (json_int_t)(1000 * a->n)));
	json_object_set_new(
		o, "counters",
		json_pack("{s:I, s:I}", "rcpts", (json_int_t)a->n, "drops", (json_int_t)0));
	json_object_set_new(o, "routes", routes);
	json_object_set_new(o, "hosts", hosts);
	json_object_set_new(o, "breakers", breakers);
	json_object_set_new(
		o, "rules",
		json_pack("{s:f, s:i, s:o}", "over_s", 5.0, "total", 3, "rules", rules));
	return o;
}

static json_t *view_of(const struct at *was, const struct at *is)
{
	json_t *a = was ? answer(was) : NULL, *b = answer(is), *v = top_view(a, b);

	json_decref(a);
	json_decref(b);
	assert_non_null(v);
	return v;
}

static const json_t *get(const json_t *v, const char *path)
{
	char copy[80], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *name = strtok_r(copy, ".", &save); name; name = strtok_r(NULL, ".", &save))
		v = json_is_array(v) ? json_array_get(v, (size_t)atoi(name))
				     : json_object_get(v, name);
	return v;
}

static void is(const json_t *v, const char *path, double want)
{
	const json_t *m = get(v, path);
	double have = json_number_value(m);

	if (!json_is_number(m) || have < want - 1e-9 || have > want + 1e-9)
		fail_msg("%s: %f, not %f", path, have, want);
}

static void is_null(const json_t *v, const char *path)
{
	if (!json_is_null(get(v, path)))
		fail_msg("%s is not null", path);
}

/* ---- rates ---- */

static const struct at before = {
	.us = 5000000, .run = 1, .epoch = 9, .n = 1000, .workers = 2, .routes = 2, .rules = 3};
static const struct at after = {
	.us = 7000000, .run = 1, .epoch = 9, .n = 1400, .workers = 2, .routes = 2, .rules = 3};

static void rates(void **state)
{
	json_t *v = view_of(&before, &after);

	(void)state;
	assert_string_equal(json_string_value(get(v, "schema")), TOP_SCHEMA);
	is(v, "interval_s", 2);
	is(v, "rates.sessions", 400); /* of both kinds */
	is(v, "rates.replies_2xx", 400);
	is(v, "rates.rx_bytes", 200000);
	is(v, "rates.drops", 20);
	is(v, "rates.recipients", 200);
	is(v, "rates.control_drops", 0);
	is_null(v, "rates.tx_bytes"); /* a counter that the answer lacks */
	is(v, "workers.0.busy", 0.25);
	is(v, "workers.1.rx_packets", 400);
	is(v, "workers.0.messages", 400);
	is(v, "workers.0.arena", 0.25);
	is(v, "workers.0.records", 0.5);
	is(v, "workers.0.submit_ring", 0.5);
	is(v, "routes.0.messages", 800);
	is(v, "routes.0.failing", 0.25);
	is(v, "routes.0.hosts.0.messages", 800);
	assert_int_equal(json_array_size(get(v, "routes.0.hosts")), 1);
	assert_string_equal(json_string_value(get(v, "routes.0.breaker")), "open");
	is_null(v, "routes.1.breaker");
	is(v, "rules.2.hits", 4);
	is(v, "rules.0.us", 200);
	json_decref(v);
}

/* Nothing is made up where there is no difference to be had. */
static void resets(void **state)
{
	struct at other = before, less = before, restarted = before, down = before, still = before;
	json_t *v;

	(void)state;
	v = view_of(NULL, &after);
	is_null(v, "interval_s");
	is_null(v, "rates.sessions");
	is_null(v, "workers.0.busy");
	is_null(v, "routes.0.messages");
	is_null(v, "routes.0.failing");
	is(v, "workers.0.sessions_now", 100);
	json_decref(v);
	/* The dataplane is another: of control's own there are rates. */
	other.epoch = 8;
	v = view_of(&other, &after);
	is_null(v, "rates.sessions");
	is_null(v, "rates.drops");
	is_null(v, "workers.1.rx_packets");
	is(v, "rates.recipients", 200);
	is(v, "routes.0.messages", 800);
	json_decref(v);
	/* A counter went back. */
	less.n = 2000;
	v = view_of(&less, &after);
	is_null(v, "rates.sessions");
	is_null(v, "rates.recipients");
	is_null(v, "workers.0.busy");
	is_null(v, "routes.0.messages");
	json_decref(v);
	/* Control was started again, and its clock goes on. */
	restarted.run = 0;
	v = view_of(&restarted, &after);
	is_null(v, "interval_s");
	is_null(v, "rates.recipients");
	is_null(v, "rates.sessions");
	json_decref(v);
	down.unlinked = true;
	v = view_of(&down, &after);
	is_null(v, "rates.sessions");
	is(v, "rates.recipients", 200);
	json_decref(v);
	v = view_of(&after, &down);
	is_null(v, "rates.sessions");
	json_decref(v);
	/* Twice the same moment. */
	still.us = after.us;
	v = view_of(&still, &after);
	is_null(v, "interval_s");
	is_null(v, "rates.recipients");
	json_decref(v);
	/* Fewer of everything than before, and more. */
	other = after;
	other.workers = other.routes = 4;
	v = view_of(&before, &other);
	is(v, "workers.1.busy", 0.25);
	is_null(v, "workers.3.busy");
	is_null(v, "routes.3.messages");
	json_decref(v);
}

/* Of another version, or none at all. */
static void odd_answers(void **state)
{
	static const char *const odd[] = {
		"{}", "[]", "{\"dataplane\":7,\"rules\":[],\"routes\":{},\"hosts\":null}",
		"{\"dataplane\":{\"linked\":true,\"workers\":[7,{}]},\"routes\":[7,{}],\"hosts\":[{"
		"}],"
		"\"rules\":{\"over_s\":-1,\"rules\":[null,{}]}}"};
	struct top_state s = {.clock = "00:00:00", .order = {.only = -1}};
	struct top_frame f = {.columns = 80, .rows = 24};

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		json_t *a = json_loads(odd[i], 0, NULL), *b = answer(&after), *v;

		assert_non_null(a);
		for (int k = 0; k < 3; k++) {
			v = k == 0 ? top_view(a, b) : k == 1 ? top_view(b, a) : top_view(a, a);
			assert_non_null(v);
			s.view = v;
			top_frame_make(&f, &s);
			assert_true(f.n > 0 && f.n <= 24);
			json_decref(v);
		}
		json_decref(a);
		json_decref(b);
	}
	top_frame_free(&f);
}

/* ---- screens ---- */

static bool has(const struct top_frame *f, const char *text)
{
	for (size_t i = 0; i < f->n; i++)
		if (strstr(f->line[i].text, text))
			return true;
	return false;
}

static void must_have(const struct top_frame *f, const char *text)
{
	if (has(f, text))
		return;
	for (size_t i = 0; i < f->n; i++)
		fprintf(stderr, "|%s\n", f->line[i].text);
	fail_msg("%ux%u lacks \"%s\"", f->columns, f->rows, text);
}

static void sizes(void **state)
{
	static const unsigned int columns[] = {1,  2,   19,  20,  33,  40,  60,  79,
					       80, 100, 132, 200, 300, 400, 401, 5000},
				  rows[] = {1, 2, 3, 5, 6, 9, 10, 24, 25, 50, 200};
	struct at many = after;
	struct top_state s = {.clock = "12:34:56", .keys = true, .order = {.only = -1}};
	struct top_frame f = {0};
	json_t *v;

	(void)state;
	many.workers = 32;
	many.routes = 7;
	many.rules = 20;
	v = view_of(&many, &many);
	s.view = v;
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
			for (int paused = 0; paused < 2; paused++) {
				f.columns = columns[i];
				f.rows = rows[k];
				s.paused = paused;
				s.problem = paused ? "control does not answer" : NULL;
				top_frame_make(&f, &s);
				assert_true(f.n >= 1 && f.n <= rows[k]);
				for (size_t n = 0; n < f.n; n++) {
					const char *t = f.line[n].text;

					assert_true(strlen(t) <= columns[i]);
					for (; *t; t++) /* strangers' words: no escape, no octet
							   above 126 */
						assert_true(*t >= 0x20 && *t < 0x7f);
				}
			}
	json_decref(v);
	top_frame_free(&f);
}

static void small_and_large(void **state)
{
	struct top_state s = {.clock = "12:34:56", .keys = true, .order = {.only = -1}};
	struct top_frame f = {.columns = 20, .rows = 5};
	json_t *v;

	(void)state;
	v = view_of(&before, &after);
	s.view = v;
	top_frame_make(&f, &s);
	assert_int_equal(f.n, 5);
	must_have(&f, "READY");
	must_have(&f, "now: sessions 12");
	must_have(&f, "WORKER");
	f.columns = 80;
	f.rows = 24;
	top_frame_make(&f, &s);
	assert_int_equal(f.n, 24);
	must_have(&f, "12:34:56");
	must_have(&f, "sessions 400/s");
	must_have(&f, "4xx -/s");
	must_have(&f, "25.0%");
	must_have(&f, "route-1");
	must_have(&f, "  mx.example.com:25");
	must_have(&f, "shedding");
	must_have(&f, "open");
	must_have(&f, "RULE_2");
	must_have(&f, "q quit");
	assert_false(has(&f, "LAST ERROR"));
	f.columns = 400;
	top_frame_make(&f, &s);
	must_have(&f, "LAST ERROR");
	must_have(&f, "refused ?[2J by ??? them");
	must_have(&f, "1.2/90");
	must_have(&f, "1.5/250");
	json_decref(v);
	top_frame_free(&f);
}

/* Each section has its share, and says how much of it there is no room for. */
static void more_than_fits(void **state)
{
	struct at many = after;
	struct top_state s = {.clock = "12:34:56", .keys = true, .order = {.only = -1}};
	struct top_frame f = {.columns = 80, .rows = 24};
	json_t *v;

	(void)state;
	many.workers = 32;
	many.routes = 7;
	many.rules = 20;
	v = view_of(&many, &many);
	s.view = v;
	top_frame_make(&f, &s);
	assert_int_equal(f.n, 24);
	must_have(&f, "WORKER");
	must_have(&f, "ROUTE");
	must_have(&f, "RULE");
	must_have(&f, " more");
	s.order.only = TOP_WORKERS;
	f.rows = 60;
	top_frame_make(&f, &s);
	must_have(&f, "31 ");
	assert_false(has(&f, "ROUTE"));
	/* As much as there is. */
	s.order.only = -1;
	s.keys = false;
	f.rows = 0;
	top_frame_make(&f, &s);
	assert_true(f.n > 32 + 14 + 20);
	assert_false(has(&f, " more"));
	json_decref(v);
	top_frame_free(&f);
}

static void states(void **state)
{
	struct top_state s = {.clock = "12:34:56", .order = {.only = -1}};
	struct top_frame f = {.columns = 100, .rows = 30};
	json_t *v = view_of(&before, &after), *alerts;

	(void)state;
	top_frame_make(&f, &s);
	must_have(&f, "NO ANSWER");
	s.view = v;
	top_frame_make(&f, &s);
	must_have(&f, "READY  mx.example.net  up 1h 1m  configuration 4  Postern 1.2.3");
	assert_int_equal(f.line[0].style, TOP_BAR);
	assert_false(has(&f, "ALERT"));
	s.paused = true;
	s.problem = "control does not answer at /run/x: Connection refused; tried again";
	top_frame_make(&f, &s);
	must_have(&f, "OLD: READY  PAUSED");
	must_have(&f, "Connection refused");
	must_have(&f, "route-0"); /* what was known stays */
	assert_int_equal(f.line[0].style, TOP_ALARM);
	s.problem = NULL;
	json_object_set_new(v, "draining", json_true());
	top_frame_make(&f, &s);
	must_have(&f, "DRAINED");
	json_object_set_new(v, "ready", json_false());
	json_object_set_new(v, "draining", json_false());
	top_frame_make(&f, &s);
	must_have(&f, "NOT READY");
	json_object_set_new(v, "linked", json_false());
	top_frame_make(&f, &s);
	must_have(&f, "NO DATAPLANE");
	alerts = json_pack("{s:i, s:f, s:s}", "n", 3, "ago_s", 65.0, "text", "route office: no");
	json_object_set_new(v, "alerts", alerts);
	json_object_set_new(v, "error", json_string("no such port"));
	json_object_set_new(v, "reload",
			    json_pack("{s:s, s:f}", "stage", "compiling", "seconds", 3.0));
	top_frame_make(&f, &s);
	must_have(&f, "ALERT 1m 5s ago (3 in all): route office: no");
	must_have(&f, "refused the configuration: no such port");
	must_have(&f, "reload: compiling, 3 s");
	json_object_set_new(alerts, "ago_s", json_real(7200));
	top_frame_make(&f, &s);
	assert_false(has(&f, "ALERT"));
	json_decref(v);
	top_frame_free(&f);
}

/* The first cell of a section's first row. */
static const char *first(const json_t *v, enum top_section s, const struct top_order *o)
{
	static char text[TOP_COLUMNS + 1];
	struct top_layout l;
	struct top_table t;

	top_table_make(&t, s, v, o);
	assert_true(t.n > 0);
	top_table_plan(&t, 80, &l);
	top_table_row(&t, &l, 0, text);
	top_table_free(&t);
	text[strcspn(text, " ")] = '\0';
	return text;
}

static void orders(void **state)
{
	json_t *v = view_of(&before, &after);
	struct top_order o = {.only = -1};

	(void)state;
	assert_string_equal(first(v, TOP_WORKERS, &o), "0");
	assert_string_equal(first(v, TOP_ROUTES, &o), "route-0");
	assert_string_equal(first(v, TOP_RULES, &o), "RULE_2"); /* hits */
	assert_true(top_order_named(&o, "packets"));
	assert_true(top_order_named(&o, "latency"));
	assert_true(top_order_named(&o, "cost"));
	assert_false(top_order_named(&o, "size"));
	assert_string_equal(first(v, TOP_WORKERS, &o), "1");
	assert_string_equal(first(v, TOP_ROUTES, &o), "route-1");
	assert_string_equal(first(v, TOP_RULES, &o), "RULE_0");
	assert_true(top_order_named(&o, "sessions"));
	assert_string_equal(first(v, TOP_WORKERS, &o), "0");
	/* Round and round. */
	for (int s = 0; s < TOP_SECTIONS; s++) {
		const char *name = top_order_name(&o, (enum top_section)s);

		for (int i = 0; i < 10; i++) {
			top_order_next(&o, (enum top_section)s);
			assert_non_null(
				strstr(top_order_names(), top_order_name(&o, (enum top_section)s)));
			(void)first(v, (enum top_section)s, &o);
		}
		assert_string_equal(top_order_name(&o, (enum top_section)s),
				    name); /* 5 or 2 of them */
	}
	json_decref(v);
}

static void numbers(void **state)
{
	static const struct {
		double v;
		const char *text;
	} of[] = {{-1, "-"},        {0, "0"},          {0.04, "0.0"},       {0.5, "0.5"},
		  {4, "4"},         {9.94, "9.9"},     {9.96, "10"},        {99999, "99999"},
		  {100000, "100k"}, {1234567, "1.2M"}, {999999999, "1.0G"}, {1e30, "many"}};
	char buf[16];

	(void)state;
	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		assert_string_equal(top_short(of[i].v, buf), of[i].text);
		assert_true(strlen(buf) <= 6);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates),           cmocka_unit_test(resets),
		cmocka_unit_test(odd_answers),     cmocka_unit_test(sizes),
		cmocka_unit_test(small_and_large), cmocka_unit_test(more_than_fits), cmocka_unit_test(states),
		cmocka_unit_test(orders),          cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
