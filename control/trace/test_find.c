/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Whatever is asked for together, the index finds what looking at each record finds, page by page: by each way,
 * whether it is given up in the middle or not, and also where an older version left indexes out.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* Few enough that no way but the best comes to its end in the first rounds. */
#define STEPS_FIRST 400
#define STEPS_LOOK  20
#include "control/trace/index_find.c"

#define RECORDS 2000
#define BASE	1767225600000LL /* 2026-01-01 */
#define ASKED	400

/* Each a number below; what it looks like say the texts. The first of each is far more common than the last. */
struct one {
	int64_t ms;
	unsigned int from, rcpt, origin, outcome, route, rule;
};
enum { SENDERS = 40, RCPTS = 60, ORIGINS = 50, ROUTES = 5, RULES = 6 };

static struct one all[RECORDS];
static struct trace_index *x;
static char err[256];
static uint32_t seed = 7;

static unsigned int rnd(unsigned int n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static unsigned int skewed(unsigned int n)
{
	unsigned int a = rnd(n), b = rnd(n), c = rnd(n);

	return a < b ? (a < c ? a : c) : (b < c ? b : c);
}

static void line_of(const struct one *r, unsigned int i, char *out, size_t cap)
{
	time_t t = (time_t)(r->ms / 1000);
	char day[32];

	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", gmtime(&t));
	snprintf(out, cap, "{\"trace_id\":\"%u\",\"message_id\":\"<%u@example.net>\",\"time\":\"%s.%03dZ\","
		 "\"mail_from\":\"s%u@d%u.example\",\"rcpt\":\"R%u@example.com\",\"origin\":\"192.0.%u.7\","
		 "\"outcome\":\"%s\",\"route\":\"route%u\",\"judged\":{\"matches\":[{\"rule\":\"R%u\"},"
		 "{\"rule\":\"ALL\"}]}}", i, i / 2, day, (int)(r->ms % 1000), r->from, r->from % 7, r->rcpt, r->origin,
		 trace_outcome_name((enum trace_outcome)r->outcome), r->route, r->rule);
}

static int setup(void **state)
{
	char line[1024];
	struct row r;

	(void)state;
	if (trace_index_open(&x, ":memory:", 64 << 20, err, sizeof(err)) || trace_index_begin(x))
		return -1;
	for (unsigned int i = 0; i < RECORDS; i++) {
		all[i] = (struct one){.ms = BASE + i / 3, .from = skewed(SENDERS), .rcpt = skewed(RCPTS),
				      .origin = skewed(ORIGINS), .outcome = skewed(TRACE_OUTCOMES),
				      .route = skewed(ROUTES), .rule = skewed(RULES)};
		/* One sender has mail of the beginning only. */
		if (i > 200 && all[i].from == 1)
			all[i].from = 2;
		line_of(&all[i], i, line, sizeof(line));
		if (!row_read(&r, line, strlen(line)) || trace_index_put(x, &r, 1, 0, 1))
			return -1;
	}
	return trace_index_commit(x);
}

static int teardown(void **state)
{
	(void)state;
	trace_index_close(x);
	return 0;
}

struct asked {
	struct trace_search q;
	int from, domain, rcpt, outcome, route, rule, origin, net; /* -1: any */
	char text[8][64];
};

/* Sometimes what nobody has. */
static int one_of(unsigned int n)
{
	return (int)rnd(n + n / 8 + 1);
}

static const char *word(char *out, const char *format, int v)
{
	snprintf(out, 64, "%s%d", format, v);
	return out;
}

static void ask(struct asked *a)
{
	*a = (struct asked){.from = -1, .domain = -1, .rcpt = -1, .outcome = -1, .route = -1, .rule = -1,
			    .origin = -1, .net = -1, .q.limit = 1 + rnd(40)};
	if (!rnd(4)) {
		a->from = one_of(SENDERS);
		snprintf(a->text[0], 64, "S%d@D%d.example", a->from, a->from % 7);
		a->q.mail_from = a->text[0];
	} else if (!rnd(4)) {
		a->domain = one_of(7);
		snprintf(a->text[0], 64, "@d%d.example", a->domain);
		a->q.mail_from = a->text[0];
	}
	if (!rnd(4)) {
		a->rcpt = one_of(RCPTS);
		snprintf(a->text[1], 64, "r%d@example.com", a->rcpt);
		a->q.rcpt = a->text[1];
	} else if (!rnd(4)) {
		a->q.rcpt = "@example.com";
	}
	if (!rnd(3)) {
		a->outcome = (int)rnd(TRACE_OUTCOMES);
		a->q.outcome = trace_outcome_name((enum trace_outcome)a->outcome);
	}
	if (!rnd(3)) {
		a->route = one_of(ROUTES);
		a->q.route = word(a->text[2], "route", a->route);
	}
	if (!rnd(3)) {
		a->rule = one_of(RULES);
		a->q.rule = word(a->text[3], "R", a->rule);
	} else if (!rnd(4)) {
		a->q.rule = "ALL";
	}
	if (!rnd(4)) {
		a->net = rnd(2) ? 16 : 21 + (int)rnd(4);
		a->origin = a->net == 16 ? 0 : one_of(ORIGINS);
		snprintf(a->text[4], 64, "192.0.%d.0/%d", a->origin & -(1 << (24 - a->net)), a->net);
		a->q.origin = a->text[4];
	} else if (!rnd(4)) {
		a->origin = one_of(ORIGINS);
		a->q.origin = a->text[4];
		snprintf(a->text[4], 64, "192.0.%d.7", a->origin);
	}
	if (!rnd(3))
		a->q.since_ms = BASE + rnd(RECORDS / 3);
	if (!rnd(3))
		a->q.until_ms = BASE + rnd(RECORDS / 3);
}

static bool fits(const struct asked *a, const struct one *r)
{
	int shift = a->net > 0 ? 24 - a->net : 0;

	return (a->from < 0 || r->from == (unsigned int)a->from) &&
	       (a->domain < 0 || r->from % 7 == (unsigned int)a->domain) &&
	       (a->rcpt < 0 || r->rcpt == (unsigned int)a->rcpt) &&
	       (a->outcome < 0 || r->outcome == (unsigned int)a->outcome) &&
	       (a->route < 0 || r->route == (unsigned int)a->route) &&
	       (a->rule < 0 || r->rule == (unsigned int)a->rule) &&
	       (a->origin < 0 || r->origin >> shift == (unsigned int)a->origin >> shift) &&
	       (!a->q.since_ms || r->ms >= a->q.since_ms) && (!a->q.until_ms || r->ms < a->q.until_ms);
}

/* All pages, or the first few. */
static void compare(const struct asked *a)
{
	struct trace_search q = a->q;
	unsigned int i = RECORDS;
	json_t *page, *v;
	int64_t next;
	size_t k;

	for (int pages = 0; pages < 6; pages++) {
		assert_int_equal(trace_index_search(x, &q, &page, &next, err, sizeof(err)), 0);
		assert_true(json_array_size(page) <= q.limit);
		json_array_foreach(page, k, v) {
			while (i-- && !fits(a, &all[i]))
				;
			assert_true(i < RECORDS);
			assert_int_equal(atoi(json_string_value(json_object_get(v, "trace_id"))), i);
		}
		json_decref(page);
		if (!next)
			break;
		q.before = next;
	}
	if (next)
		return;
	while (i-- && !fits(a, &all[i]))
		;
	assert_int_equal(i, UINT32_MAX); /* nothing was left out */
}

static void finds_all(void **state)
{
	struct asked a;

	(void)state;
	for (int i = 0; i < ASKED; i++) {
		ask(&a);
		compare(&a);
	}
}

static bool at_once(void *asked)
{
	++*(int *)asked;
	return true;
}

/* What an older version's database does not have is not needed, and is made, unless control ends. */
static void without_indexes(void **state)
{
	static const char *const later[] = {"by_route", "by_way"};
	struct asked a;
	int stopped = 0;

	(void)state;
	assert_int_equal(sqlite3_exec(x->db, "DROP INDEX by_route; DROP INDEX by_way; DROP INDEX by_outcome", NULL, NULL,
				      NULL), SQLITE_OK);
	for (int i = 0; i < ASKED / 3; i++) {
		ask(&a);
		compare(&a);
	}
	for (size_t i = 0; i < 2; i++)
		assert_false(trace_index_has(x, later[i]));
	assert_int_equal(trace_index_complete(x, at_once, &stopped), -EINTR);
	assert_true(stopped > 0 && !trace_index_has(x, later[1]));
	assert_int_equal(trace_index_complete(x, NULL, NULL), 0);
	assert_int_equal(trace_index_complete(x, NULL, NULL), 0);
	for (size_t i = 0; i < 2; i++)
		assert_true(trace_index_has(x, later[i]));
}

/* The steps are counted, and what uses them up says so. */
static void gives_up(void **state)
{
	struct index_find f = {.n_terms = 1, .term[0] = {.text = "origin >= x'00'", .index = "by_origin", .unordered = true}};
	int64_t id[4];
	size_t n;

	(void)state;
	assert_int_equal(go(x, &f, 0, STEPS_FIRST, id, 4, &n), SQLITE_INTERRUPT);
	assert_int_equal(go(x, &f, 0, 0, id, 4, &n), SQLITE_DONE);
	assert_int_equal(n, 4);
	assert_int_equal(go(x, &f, BY_NUMBER, STEPS_FIRST, id, 4, &n), SQLITE_DONE);
	assert_int_equal(trace_index_find(x, &f, id, 4, &n), SQLITE_DONE);
	assert_int_equal(n, 4);
	assert_true(id[0] > id[1] && id[1] > id[2] && id[2] > id[3]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(finds_all), cmocka_unit_test(gives_up),
					   cmocka_unit_test(without_indexes)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
