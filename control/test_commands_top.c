/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `show top`: which rules are the dearest and the most hit of late, and that without a dataplane it
 * says so. */

#include "control/commands_top.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

struct api_request {
	json_t *answer;
};

static struct {
	struct loop l;
	struct snapshot active, next;
	struct config config;
} t;

/* ---- the neighbours ---- */

void api_reply(struct api_request *req, json_t *answer)
{
	assert_null(req->answer);
	req->answer = answer;
}

struct ctl_epoch *ctl_link_epoch(const struct ctl_link *l)
{
	return (struct ctl_epoch *)(uintptr_t)l; /* the tests' own: NULL is none */
}

uint32_t ctl_epoch_workers(const struct ctl_epoch *e)
{
	assert_non_null(e);
	return 2;
}

uint64_t ctl_epoch_id(const struct ctl_epoch *e)
{
	(void)e;
	return 77;
}

uint64_t ctl_epoch_counter(const struct ctl_epoch *e, uint32_t worker, enum postern_counter c)
{
	(void)e;
	return c == CNT_rx_packets ? 100 + worker : c == CNT_rx_drop_short ? 3 : 0;
}

bool ctl_epoch_room(const struct ctl_epoch *e, uint32_t worker, struct ctl_room *out)
{
	(void)e;
	*out = (struct ctl_room){.records = 5, .chunks = 6};
	return worker == 0;
}

bool ctl_loop_fill(const struct ctl_loop *l, uint32_t worker, struct ctl_fill *out)
{
	(void)l;
	(void)worker;
	*out = (struct ctl_fill){HANDOFF_RING_SLOTS / 2, HANDOFF_RING_SLOTS};
	return true;
}

json_t *reload_status(const struct reload *r)
{
	(void)r;
	return json_pack("{s:s}", "stage", "idle");
}

json_t *commands_routes(const struct loop *l)
{
	(void)l;
	return json_array();
}

json_t *commands_breakers(const struct loop *l)
{
	(void)l;
	return json_array();
}

json_t *commands_hosts(const struct loop *l)
{
	(void)l;
	return json_array();
}

/* ---- the tests ---- */

static void rules_of(struct snapshot *s, const char *text, uint64_t generation,
		     const struct rules_stats *before)
{
	s->generation = generation;
	assert_int_equal(rules_parse("t.cf", text, strlen(text), &s->rules), 0);
	s->rules_stats = rules_stats_new(s->rules, before);
}

static int set_up(void **state)
{
	static char host[] = "mx.example.net";
	char text[2000];
	size_t n = 0;

	(void)state;
	memset(&t, 0, sizeof(t));
	for (int i = 0; i < LIMIT_TOP_RULES + 5; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "body R_%02d /word%d/\n", i, i);
	rules_of(&t.active, text, 5, NULL);
	t.config.hostname = host;
	t.active.config = &t.config;
	t.l.active = &t.active;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	commands_top_free(&t.l);
	rules_stats_free(t.active.rules_stats);
	rules_free(t.active.rules);
	rules_stats_free(t.next.rules_stats);
	rules_free(t.next.rules);
	return 0;
}

static struct rule_counts *of(const struct snapshot *s, const char *name)
{
	const struct rule *rule = rules_find(s->rules, name);

	assert_non_null(rule);
	return rules_stats_of(s->rules_stats, (size_t)(rule - rules_at(s->rules, 0)));
}

static const char *name_of(const struct snapshot *s, const struct top_rule *r)
{
	return rules_at(s->rules, r->at)->name;
}

static void recent(void **state)
{
	struct top top = {0};

	(void)state;
	t.l.top = NULL;
	of(&t.active, "R_03")->hits = 100;
	of(&t.active, "R_04")->hits = 50;
	of(&t.active, "R_04")->ns = 10;
	/* The first time: since the start, which is said. */
	look_through(&top, &t.active, 1000000);
	assert_true(top.over_s == 0);
	assert_int_equal(top.n_hits, 2);
	assert_int_equal(top.n_cost, 1);
	assert_string_equal(name_of(&t.active, &top.by_hits[0]), "R_03");
	assert_int_equal(top.by_hits[0].hits, 100);
	/* Then what was done meanwhile, and nothing of what was not. */
	of(&t.active, "R_04")->hits += 7;
	of(&t.active, "R_05")->hits += 8;
	of(&t.active, "R_05")->ns += 3;
	look_through(&top, &t.active, 6500000);
	assert_true(top.over_s > 5.49 && top.over_s < 5.51);
	assert_int_equal(top.n_hits, 2);
	assert_string_equal(name_of(&t.active, &top.by_hits[0]), "R_05");
	assert_string_equal(name_of(&t.active, &top.by_hits[1]), "R_04");
	assert_int_equal(top.by_hits[1].hits, 7);
	assert_int_equal(top.n_cost, 1);
	assert_int_equal(top.by_cost[0].ns, 3);
	/* A minute without anybody who asked: it begins anew. */
	look_through(&top, &t.active, 6500000 + FORGET_S * 1000000ull);
	assert_true(top.over_s == 0);
	assert_int_equal(top.n_hits, 3);
	/* Another set of rules: as the first time. */
	rules_of(&t.next, "body R_05 /word5/\nbody NEW /new/\n", 6, t.active.rules_stats);
	of(&t.next, "NEW")->hits = 1;
	look_through(&top, &t.next, 68000000);
	assert_true(top.over_s == 0);
	assert_int_equal(top.n_hits, 2);
	assert_string_equal(name_of(&t.next, &top.by_hits[0]), "R_05");
	free(top.sample);
}

/* The largest of more than there is room for, in order. */
static void the_largest(void **state)
{
	struct top top = {0};
	char name[16];

	(void)state;
	for (int i = 0; i < LIMIT_TOP_RULES + 5; i++) {
		snprintf(name, sizeof(name), "R_%02d", i);
		of(&t.active, name)->hits = (uint64_t)(1 + i * 7 % (LIMIT_TOP_RULES + 5));
	}
	look_through(&top, &t.active, 1);
	assert_int_equal(top.n_hits, LIMIT_TOP_RULES);
	for (size_t i = 0; i < top.n_hits; i++)
		assert_int_equal(top.by_hits[i].hits, LIMIT_TOP_RULES + 5 - i);
	free(top.sample);
}

static void answers(void **state)
{
	struct api_request req = {0};
	const json_t *dp, *w;

	(void)state;
	of(&t.active, "R_03")->hits = 2;
	of(&t.active, "R_03")->ns = 9;
	t.l.counters[CTL_relay_denied] = 4;
	strcpy(t.l.alerts.text, "bad \xff octet");
	commands_show_top(&t.l, &req, NULL);
	dp = json_object_get(req.answer, "dataplane");
	assert_true(json_is_false(json_object_get(dp, "linked")));
	assert_null(json_object_get(dp, "counters"));
	assert_int_equal(json_integer_value(
				 json_object_get(json_object_get(req.answer, "counters"), "drops")),
			 4);
	assert_non_null(json_object_get(json_object_get(req.answer, "alerts"), "text"));
	/* A rule that is both is told once. */
	assert_int_equal(
		json_array_size(json_object_get(json_object_get(req.answer, "rules"), "rules")), 1);
	json_decref(req.answer);
	req.answer = NULL;
	t.l.link = (struct ctl_link *)&t;
	t.l.rings = (struct ctl_loop *)&t;
	commands_show_top(&t.l, &req, NULL);
	dp = json_object_get(req.answer, "dataplane");
	assert_int_equal(json_integer_value(json_object_get(dp, "epoch")), 77);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(dp, "counters"), "rx_packets")),
		201);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(dp, "counters"), "drops")), 6);
	w = json_array_get(json_object_get(dp, "workers"), 0);
	assert_int_equal(json_integer_value(json_object_get(w, "arena_chunks_free")), 6);
	assert_true(json_real_value(json_object_get(w, "submit_ring")) == 0.5);
	/* What cannot be told is not there. */
	w = json_array_get(json_object_get(dp, "workers"), 1);
	assert_null(json_object_get(w, "arena_chunks_free"));
	json_decref(req.answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(recent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_largest, set_up, tear_down),
		cmocka_unit_test_setup_teardown(answers, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
