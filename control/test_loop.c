/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Which recipients are ours, and what the others hear; what a set of rules takes over from the one before. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/loop.h"

static const char text[] =
	"hostname = mx.example.net\n"
	"listener a { port = 1; address = [\"192.0.2.25/24\"] }\n"
	"route b { domains = [\"example.com\", \"b\xc3\xbc" "cher.example\"], hosts = [\"198.51.100.1\"] }\n";

struct snapshot *snapshot_ref(struct snapshot *s)
{
	s->refs++;
	return s;
}

void snapshot_unref(struct snapshot *s)
{
	if (s)
		s->refs--;
}

static void recipients(void **state)
{
	static const struct {
		const char *mailbox;
		const char *said; /* NULL: ours */
		uint16_t subject;
	} t[] = {
		{"a@example.com", NULL, 0},
		{"Postmaster", NULL, 0},
		{"\xc3\xa4@example.com", NULL, 0},
		{"a@b\xc3\xbc" "cher.example", NULL, 0},
		{"a@B\xc3\x9c" "CHER.example", NULL, 0},
		{"a@xn--bcher-kva.example", NULL, 0},
		{"a@example.org", "Relaying denied", 7},
		{"a@b\xc3\xa4" "cher.example", "Relaying denied", 7},
		{"a@-\xc3\xa4.example", "No valid international domain", 1},
		{"a@\xcc\x81.example", "No valid international domain", 1},
		{"a%b@example.com", "Routing inside the local part is not relayed", 7},
		{"a\xef\xbc\xa0" "b@example.com", "Routing inside the local part is not relayed", 7},
		{"a\xef\xbc\x85" "b@example.com", "Routing inside the local part is not relayed", 7},
		{"a\xef\xb9\xab" "b@example.com", "Routing inside the local part is not relayed", 7},
		{"a@[192.0.2.1]", "Relaying denied: mail to an address literal", 7},
	};
	struct config_error err;
	struct config *c;
	size_t n;

	(void)state;
	assert_int_equal(config_parse("x", text, sizeof(text) - 1, 1, &c, &err, 1, &n), 0);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct str m = str_c(t[i].mailbox);
		enum control_reply problem = loop_mailbox_problem(m);
		const struct config_route *r = problem != CONTROL_REPLY_COUNT ? NULL : loop_route(c, m);
		struct ctl_reply said;

		if (!r != !!t[i].said)
			fail_msg("%s: %d", t[i].mailbox, problem);
		if (r)
			continue;
		said = loop_refusal(m, problem);
		assert_int_equal(said.code, 550);
		assert_int_equal(said.enh_subject, t[i].subject);
		assert_true(str_eq(said.text, str_c(t[i].said)));
	}
	config_unref(c);
}

static void counts_go_on(void **state)
{
	static const char first[] = "body A /one/\nbody B /two/\n", second[] = "body B /2/\nbody C /three/\n";
	struct snapshot a = {.refs = 1, .generation = 1}, b = {.refs = 1, .generation = 2};
	struct rules_stats *of_b;
	struct loop l = {0};

	(void)state;
	assert_int_equal(rules_parse("a", first, sizeof(first) - 1, &a.rules), 0);
	assert_int_equal(rules_parse("b", second, sizeof(second) - 1, &b.rules), 0);
	loop_activate(&l, &a);
	rules_stats_of(a.rules_stats, 0)->hits = 1;
	rules_stats_of(a.rules_stats, 1)->hits = 2;
	loop_activate(&l, &b);
	of_b = b.rules_stats;
	assert_non_null(of_b);
	assert_ptr_equal(rules_stats_of(of_b, 0), rules_stats_of(a.rules_stats, 1));
	assert_int_equal(rules_stats_of(of_b, 1)->hits, 0);
	/* The dataplane came back: the set that is in force is pushed and activated once more. */
	rules_stats_of(of_b, 1)->hits = 7;
	loop_activate(&l, &b);
	assert_ptr_equal(b.rules_stats, of_b);
	assert_int_equal(rules_stats_of(of_b, 1)->hits, 7);
	rules_stats_free(a.rules_stats);
	rules_stats_free(b.rules_stats);
	rules_free(a.rules);
	rules_free(b.rules);
}

/* What a message may name is there, and not longer. */
static void snapshots(void **state)
{
	static struct snapshot s[LOOP_SNAPSHOTS + 3];
	static struct snapshot pending = {.generation = 2000};
	static struct loop l;
	const size_t n = sizeof(s) / sizeof(s[0]);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		s[i] = (struct snapshot){.refs = 1, .generation = 1000 + i};
		loop_activate(&l, &s[i]);
		loop_activate(&l, snapshot_ref(&s[i])); /* pushed again to a new dataplane */
	}
	for (size_t i = 0; i < n; i++) {
		assert_ptr_equal(loop_snapshot(&l, (uint32_t)(1000 + i)), i < 3 ? NULL : &s[i]);
		assert_int_equal(s[i].refs, i < 3 ? 0 : i < n - 1 ? 1 : 2);
	}
	l.pending = &pending;
	assert_ptr_equal(loop_snapshot(&l, 2000), &pending);
	l.pending = NULL;
	assert_null(loop_snapshot(&l, 2000));
	loop_forget(&l, 1000);
	assert_ptr_equal(loop_snapshot(&l, 1003), &s[3]);
	loop_forget(&l, 2);
	for (size_t i = 3; i < n; i++) {
		assert_ptr_equal(loop_snapshot(&l, (uint32_t)(1000 + i)), i + 3 < n ? NULL : &s[i]);
		assert_int_equal(s[i].refs, i + 3 < n ? 0 : i < n - 1 ? 1 : 2);
	}
	loop_forget(&l, 0);
	assert_ptr_equal(loop_snapshot(&l, (uint32_t)(1000 + n - 1)), l.active);
	assert_null(loop_snapshot(&l, (uint32_t)(1000 + n - 2)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(recipients), cmocka_unit_test(counts_go_on),
					   cmocka_unit_test(snapshots)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
