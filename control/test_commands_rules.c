/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `show rules`: which rules are listed, in which order, and what is said to a request that is
 * wrong. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/loop.h"

struct api_request {
	char code[32]; /* of the error; "ok": answered well; "": not answered */
	char text[200];
	json_t *answer;
};

static struct {
	struct loop l;
	struct snapshot active;
} t;

void api_reply(struct api_request *req, json_t *answer)
{
	assert_string_equal(req->code, "");
	assert_non_null(answer);
	strcpy(req->code, "ok");
	req->answer = answer;
}

void api_error(struct api_request *req, const char *code, const char *fmt, ...)
{
	va_list ap;

	assert_string_equal(req->code, "");
	snprintf(req->code, sizeof(req->code), "%s", code);
	va_start(ap, fmt);
	vsnprintf(req->text, sizeof(req->text), fmt, ap);
	va_end(ap);
}

static struct rule_counts *of(const char *name)
{
	const struct rule *rule = rules_find(t.active.rules, name);

	assert_non_null(rule);
	return rules_stats_of(t.active.rules_stats, (size_t)(rule - rules_at(t.active.rules, 0)));
}

static int set_up(void **state)
{
	static const char rules[] =
		"body A_ONE /one/\nscore A_ONE 2.5\nbody A_TWO /two/\nbody B_ONE /three/\nbody OFF "
		"/x/\nscore OFF 0\n"
		"body SPF_PASS eval:check_for_spf_pass()\nbody NO_CODE eval:nothing()\n";

	(void)state;
	memset(&t, 0, sizeof(t));
	t.active.generation = 5;
	assert_int_equal(rules_parse("t.cf", rules, sizeof(rules) - 1, &t.active.rules), 0);
	t.active.rules_stats = rules_stats_new(t.active.rules, NULL);
	t.l.active = &t.active;
	*of("A_ONE") = (struct rule_counts){
		.hits = 1, .opened = 9, .evaluated = 9, .matched = 1, .limited = 2, .ns = 50};
	*of("A_TWO") = (struct rule_counts){
		.hits = 8, .opened = 8, .evaluated = 8, .matched = 8, .ns = 70};
	*of("SPF_PASS") = (struct rule_counts){.hits = 8};
	t.l.counters[CTL_rule_messages] = 30;
	t.l.counters[CTL_rule_messages_open] = 10;
	t.l.counters[CTL_rule_messages_in_full] = 1;
	t.l.counters[CTL_rule_evaluated] = 17;
	t.l.counters[CTL_rule_ns] = 200;
	t.l.counters[CTL_rule_pattern_ns] = 120;
	t.l.counters[CTL_rule_text_ns] = 40;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rules_stats_free(t.active.rules_stats);
	rules_free(t.active.rules);
	return 0;
}

/* The names that are listed, with a space behind each. */
static const char *names(const char *request)
{
	static char out[200];
	struct api_request req = {0};
	json_t *body = json_loads(request, 0, NULL);
	const json_t *v;
	size_t i;

	assert_non_null(body);
	commands_show_rules(&t.l, &req, body);
	json_decref(body);
	if (strcmp(req.code, "ok") != 0)
		fail_msg("%s: %s", request, req.text);
	out[0] = '\0';
	json_array_foreach(json_object_get(req.answer, "rules"), i, v)
	{
		strcat(out, json_string_value(json_object_get(v, "name")));
		strcat(out, " ");
	}
	json_decref(req.answer);
	return out;
}

static void which_and_in_which_order(void **state)
{
	(void)state;
	assert_string_equal(names("{}"), "A_ONE A_TWO B_ONE SPF_PASS ");
	/* Rules that have nothing of it are not the top of it. */
	assert_string_equal(names("{\"top\": \"cost\"}"), "A_TWO A_ONE ");
	assert_string_equal(names("{\"top\": \"hits\"}"), "A_TWO SPF_PASS A_ONE ");
	assert_string_equal(names("{\"top\": \"opened\"}"), "A_ONE A_TWO ");
	assert_string_equal(names("{\"top\": \"hits\", \"limit\": 1}"), "A_TWO ");
	assert_string_equal(names("{\"limit\": 20000, \"name\": \"?_one\"}"), "A_ONE B_ONE ");
	assert_string_equal(names("{\"name\": \"*TWO*\"}"), "A_TWO ");
	assert_string_equal(names("{\"name\": \"**\"}"), "A_ONE A_TWO B_ONE SPF_PASS ");
	assert_string_equal(names("{\"name\": \"A\"}"), "");
	assert_string_equal(names("{\"name\": \"OFF\"}"), "");
}

/* Twenty, unless told otherwise. */
static void a_top_of_many(void **state)
{
	static char text[4000];
	struct api_request req = {0}, all = {0};
	json_t *body = json_pack("{s:s}", "top", "hits"), *none = json_object();

	(void)state;
	tear_down(NULL);
	for (int i = 0; i < 50; i++)
		sprintf(text + strlen(text), "header R%02d exists:X-R%d\n", i, i);
	assert_int_equal(rules_parse("t.cf", text, strlen(text), &t.active.rules), 0);
	t.active.rules_stats = rules_stats_new(t.active.rules, NULL);
	for (size_t i = 0; i < 50; i++)
		rules_stats_of(t.active.rules_stats, i)->hits = 1 + i;
	commands_show_rules(&t.l, &req, body);
	assert_int_equal(json_array_size(json_object_get(req.answer, "rules")),
			 DEFAULT_RULES_SHOWN);
	assert_string_equal(
		json_string_value(json_object_get(
			json_array_get(json_object_get(req.answer, "rules"), 0), "name")),
		rules_at(t.active.rules, 49)->name);
	assert_int_equal(json_integer_value(json_object_get(req.answer, "selected")), 50);
	commands_show_rules(&t.l, &all, none);
	assert_int_equal(json_array_size(json_object_get(all.answer, "rules")), 50);
	json_decref(req.answer);
	json_decref(all.answer);
	json_decref(body);
	json_decref(none);
}

static void what_is_told(void **state)
{
	struct api_request req = {0};
	json_t *body = json_pack("{s:s}", "name", "A_ONE"), *want, *rule;

	(void)state;
	commands_show_rules(&t.l, &req, body);
	rule = json_array_get(json_object_get(req.answer, "rules"), 0);
	want = json_loads("{\"generation\": 5, \"in_force\": 3, \"never_hit\": 1, \"selected\": 1, "
			  "\"totals\": "
			  "{\"messages\": 30, \"messages_open\": 10, \"messages_in_full\": 1, "
			  "\"evaluated\": 17, "
			  "\"ns\": 200, \"pattern_ns\": 120, \"text_ns\": 40}}",
			  0, NULL);
	json_object_set_new(
		want, "rules",
		json_pack("[{s:s, s:s, s:s, s:f, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f}]",
			  "name", "A_ONE", "kind", "body", "tier",
			  rule_tier_name(rules_find(t.active.rules, "A_ONE")->tier), "score", 2.5,
			  "hits", 1, "opened", 9, "evaluated", 9, "matched", 1, "limited", 2, "ns",
			  50, "literals", (int)rules_find(t.active.rules, "A_ONE")->n_literals,
			  "gate_per_10k", rules_find(t.active.rules, "A_ONE")->gate, "gb_s",
			  rules_find(t.active.rules, "A_ONE")->gb_s));
	assert_non_null(rule);
	assert_true(json_equal(req.answer, want));
	json_decref(want);
	json_decref(req.answer);
	json_decref(body);
}

static void requests_that_are_wrong(void **state)
{
	static const struct {
		const char *request, *why;
	} bad[] = {
		{"{\"top\": \"size\"}", "top: cost, hits or opened, not \"size\""},
		{"{\"top\": \"\"}", "top: cost, hits or opened"},
		{"{\"top\": \"hits\\u0000\"}", "top: cost, hits or opened"},
		{"{\"top\": 1}", "no string"},
		{"{\"top\": null}", "no string"},
		{"{\"limit\": 0}", "limit: a number from 1 to 20000"},
		{"{\"limit\": -1}", "limit: a number from 1 to 20000"},
		{"{\"limit\": 20001}", "limit: a number from 1 to 20000"},
		{"{\"limit\": 9223372036854775807}", "limit: a number from 1 to 20000"},
		{"{\"limit\": 1.5}", "limit: a number from 1 to 20000"},
		{"{\"limit\": \"7\"}", "limit: a number from 1 to 20000"},
		{"{\"limit\": []}", "limit: a number from 1 to 20000"},
		{"{\"name\": \"\"}", "name: 1 to 128 letters"},
		{"{\"name\": \"A[\"}", "name: 1 to 128 letters"},
		{"{\"name\": \"A\\u0000\"}", "name: 1 to 128 letters"},
		{"{\"name\": \"\xc3\xa4\"}", "name: 1 to 128 letters"},
		{"{\"name\": {}}", "name: 1 to 128 letters"},
		{"{\"name\": "
		 "\"*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*"
		 "a*a*a*a*a"
		 "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a\"}",
		 "name: 1 to 128 letters"},
		{"{\"top\": \"hits\", \"limit\": 0, \"name\": \"[\"}", "limit: "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct api_request req = {0};
		json_t *body = json_loads(bad[i].request, JSON_ALLOW_NUL, NULL);

		assert_non_null(body);
		commands_show_rules(&t.l, &req, body);
		json_decref(body);
		if (strcmp(req.code, "bad-request") != 0 || !strstr(req.text, bad[i].why))
			fail_msg("%s: %s: %s", bad[i].request, req.code, req.text);
	}
}

static void no_memory_for_counts(void **state)
{
	struct api_request req = {0};
	json_t *body = json_object();

	(void)state;
	rules_stats_free(t.active.rules_stats);
	t.active.rules_stats = NULL;
	commands_show_rules(&t.l, &req, body);
	assert_string_equal(req.code, "failed");
	assert_non_null(strstr(req.text, "next reload"));
	json_decref(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(which_and_in_which_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_top_of_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(requests_that_are_wrong, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_memory_for_counts, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
