/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Recipients of one transaction that are open at once: the order of verdicts, the one route, how
 * many run at a time, what ends them, and that nothing of it is left behind.
 */

#include "control/test_session.h"

/* Recipient `i` of a transaction, whose question has the number 10 + i. Names that begin with o go
 * to another route, those with x nowhere. */
static void rcpt_of(uint32_t transaction, uint32_t i, const char *rcpt)
{
	const struct handoff_desc d = {.kind = DESC_RCPT, .session = 7, .generation = 1,
				       .question = 10 + i, .msg.rcpt = i,
				       .msg.transaction = transaction};

	assert_true(i < N_CALLOUTS);
	t.rcpt[i] = rcpt;
	session_desc(&t.l, &d);
}

static void rcpt(uint32_t i, const char *name)
{
	rcpt_of(1, i, name);
}

/* The callout for this recipient; NULL: none runs. */
static struct deliver_question *callout(const char *name)
{
	for (unsigned int i = 0; i < t.n_callouts; i++)
		if (t.callout[i].cb && !strcmp(t.callout[i].rcpt, name))
			return &t.callout[i];
	return NULL;
}

/* Verdicts since the last time. */
static void hear(const char *text)
{
	assert_string_equal(t.said, text);
	t.said[0] = '\0';
}

static void over(void)
{
	session_end_all(&t.l);
	load_leave(&t.message.load); /* nobody answered it */
	assert_int_equal(t.load[0].outstanding + t.load[1].outstanding, 0);
	assert_int_equal(t.active.refs, 1);
	assert_int_equal(t.running, 0);
}

static unsigned int nth_left(unsigned int done, unsigned int pick)
{
	unsigned int n = 0;

	for (;; n++)
		if (!(done & 1u << n) && !pick--)
			return n;
}

/* Every order in which five callouts may end: verdicts in the order of asking. */
static void test_verdict_order(void **state)
{
	static const char *const name[] = {"a0", "a1", "a2", "a3", "a4"};

	(void)state;
	for (unsigned int i = 0; i < 5 * 4 * 3 * 2; i++) {
		unsigned int done = 0, k = i;

		up();
		for (uint32_t n = 0; n < 5; n++)
			rcpt(n, name[n]);
		assert_int_equal(t.running, 5);
		for (unsigned int left = 5; left; k /= left, left--) {
			unsigned int n = nth_left(done, k % left);
			char want[64] = "";

			done |= 1u << n;
			verified_as(callout(name[n]), n % 2 ? 550 : 250);
			for (n = 0; n < 5 && done & 1u << n; n++)
				snprintf(want + strlen(want), sizeof(want) - strlen(want), "%u:%u ",
					 10 + n, n % 2 ? 550 : 250);
			assert_string_equal(t.said, want);
		}
		assert_int_equal(t.l.counters[CTL_rcpts], 5);
		assert_int_equal(t.active.refs, 2);
		over();
	}
}

/* A server in a cable takes whom it takes, of whatever domain; one that a reload took off the list none. */
static void test_cable(void **state)
{
	(void)state;
	up();
	t.rcpt_listener = HANDOFF_LISTENER_INLINE + 3;
	t.rcpt_port = 25;
	rcpt(0, "x0"); /* nobody's on a gateway */
	assert_int_equal(t.running, 1);
	assert_int_equal(t.client.local_port, 25);
	assert_int_equal(t.client.connected.a[15], 99);
	verified_as(callout("x0"), 554);
	hear("10:554 ");
	t.rcpt_port = 26;
	rcpt(1, "a1");
	assert_int_equal(t.running, 0);
	hear("11:451 ");
	assert_int_equal(t.l.counters[CTL_inline_unlisted], 1);
	assert_int_equal(t.l.counters[CTL_relay_denied], 0);
	over();
}

/* One transaction, one route: that of the first accepted, and never at the cost of the first. */
static void test_route(void **state)
{
	(void)state;
	up();
	rcpt(0, "a0");
	rcpt(1, "o1");
	rcpt(2, "a2");
	rcpt(3, "x3"); /* goes nowhere: needs no route */
	assert_int_equal(t.running, 1);
	hear("");
	verified_as(callout("a0"), 250);
	assert_int_equal(t.running, 1);
	hear("10:250 11:452 ");
	verified_as(callout("a2"), 450);
	hear("12:450 13:550 ");
	rcpt(4, "o4");
	hear("14:452 ");
	assert_int_equal(t.l.counters[CTL_rcpt_other_route], 2);
	over();
	/* The first is refused: the other route is asked, and the first one's is the other then. */
	up();
	rcpt(0, "a0");
	rcpt(1, "o1");
	rcpt(2, "o2");
	rcpt(3, "a3");
	verified_as(callout("a0"), 550);
	hear("10:550 ");
	assert_int_equal(t.running, 2);
	assert_null(callout("a3"));
	verified_as(callout("o2"), 250);
	hear("");
	assert_null(callout("a3"));
	verified_as(callout("o1"), 450);
	hear("11:450 12:250 13:452 ");
	over();
	/* All are refused: each is asked in the end. */
	up();
	rcpt(0, "a0");
	rcpt(1, "o1");
	rcpt(2, "a2");
	verified_as(callout("a0"), 550);
	assert_null(callout("a2"));
	verified_as(callout("o1"), 550);
	verified_as(callout("a2"), 250);
	hear("10:550 11:550 12:250 ");
	assert_int_equal(t.l.counters[CTL_rcpt_other_route], 0);
	over();
	/* One cannot even be asked: the next one's turn all the same. */
	up();
	t.no_callout = true;
	rcpt(0, "a0");
	hear("10:451 ");
	t.no_callout = false;
	rcpt(1, "a1");
	rcpt(2, "o2");
	t.no_callout = true;
	verified_as(callout("a1"), 550);
	hear("11:550 12:451 ");
	t.no_callout = false;
	rcpt(3, "a3");
	t.bad_record = -EINVAL;
	rcpt(4, "a4");
	t.bad_record = 0;
	verified_as(callout("a3"), 250);
	hear("13:250 14:451 ");
	over();
}

/* So many callouts of one transaction at once; so many questions. */
static void test_bounds(void **state)
{
	static char name[N_CALLOUTS][8];
	char *p;

	(void)state;
	up();
	for (uint32_t i = 0; i < LIMIT_RCPT_OPEN; i++) {
		snprintf(name[i], sizeof(name[i]), "a%u", i);
		rcpt(i, name[i]);
	}
	assert_int_equal(t.running, LIMIT_RCPT_CALLOUTS);
	verified_as(callout("a3"), 250);
	assert_int_equal(t.running, LIMIT_RCPT_CALLOUTS);
	assert_non_null(callout("a8"));
	assert_null(callout("a9"));
	hear("");
	/* One more than can be: nothing hangs, and the order holds. */
	rcpt(LIMIT_RCPT_OPEN, "a");
	p = strstr(t.said, "13:250 ");
	assert_non_null(p);
	assert_int_equal(strncmp(t.said, "10:451 11:451 12:451 ", 21), 0);
	assert_non_null(strstr(p, "73:451 74:451 "));
	assert_int_equal(t.running, 0);
	t.said[0] = '\0';
	rcpt(LIMIT_RCPT_OPEN + 1, "a");
	verified_as(callout("a"), 250);
	hear("75:250 ");
	over();
}

/* What ends the questions that are open. */
static void test_dropped(void **state)
{
	(void)state;
	for (unsigned int how = 0; how < 6; how++) {
		up();
		rcpt(0, "a0");
		rcpt(1, "a1");
		rcpt(2, "o2");
		verified_as(callout("a1"), 250);
		assert_int_equal(t.running, 1);
		assert_int_equal(t.active.refs, 4);
		hear("");
		switch (how) {
		case 0: send_desc(DESC_TXN_END, 0, 7, 13); break;
		case 1: send_desc(DESC_SESSION_END, 0, 7, 13); break;
		case 2: session_end_all(&t.l); break;
		case 3: send_desc(DESC_SUBMIT, 0, 7, 13); break;
		case 4: /* the next transaction, whose TXN_END was lost */
			rcpt_of(2, 3, "o3");
			assert_int_equal(t.cancelled, 1);
			verified_as(callout("o3"), 250);
			hear("13:250 ");
			break;
		default: /* the dataplane did not wait any longer: 451, and the serial has a gap */
			rcpt(4, "o4");
			assert_int_equal(t.cancelled, 1);
			verified_as(callout("o4"), 250);
			hear("14:250 ");
			break;
		}
		hear("");
		assert_int_equal(t.cancelled, 1);
		assert_int_equal(t.running, 0);
		assert_int_equal(t.active.refs, how < 4 ? 1 : 2);
		over();
	}
}

/* A reload while recipients are open: each by the configuration that it was asked under, the
 * transaction by that of the first accepted. */
static void test_reload(void **state)
{
	struct config config = {0};
	struct snapshot next = {.config = &config, .refs = 1};

	(void)state;
	up();
	rcpt(0, "a0");
	rcpt(1, "o1");
	t.l.active = &next;
	rcpt(2, "a2");
	assert_int_equal(t.active.refs, 3);
	assert_int_equal(next.refs, 2);
	verified_as(callout("a0"), 550);
	assert_ptr_equal(callout("o1")->config, &t.config);
	verified_as(callout("o1"), 450);
	assert_ptr_equal(callout("a2")->config, &config);
	assert_int_equal(t.active.refs, 1);
	verified_as(callout("a2"), 250);
	hear("10:550 11:450 12:250 ");
	assert_ptr_equal(first()->work->snapshot, &next);
	t.l.active = &t.active;
	rcpt(3, "a3"); /* the same route by name, of the older snapshot */
	verified_as(callout("a3"), 250);
	assert_ptr_equal(first()->work->snapshot, &next);
	assert_int_equal(next.refs, 2);
	over();
	assert_int_equal(next.refs, 1);
}

/* A source that has used up its budget: 421 in its turn, and nobody is asked for the rest. */
static void test_source(void **state)
{
	(void)state;
	up();
	t.l.sources = sources_new();
	assert_non_null(t.l.sources);
	t.config.sources = (struct admission_rules){
		.limit = {[ADMISSION_UNKNOWN] = {1, ADMISSION_ENFORCE}}, .half_life_s = 3600};
	t.rcpt_peer = 7;
	rcpt(0, "a0");
	rcpt(1, "a1");
	rcpt(2, "a2");
	rcpt(3, "o3");
	verified_as(callout("a1"), 550);
	hear("");
	verified_as(callout("a0"), 550);
	hear("10:550 11:421 ");
	assert_int_equal(t.running, 0);
	assert_int_equal(t.cancelled, 1);
	assert_int_equal(t.active.refs, 1);
	/* In another session of that source, one of a good time is in front. */
	send_desc(DESC_SESSION_END, 0, 7, 0);
	t.rcpt_peer = 8;
	rcpt(0, "a0");
	t.rcpt_peer = 7;
	rcpt(1, "a1");
	assert_int_equal(t.running, 1);
	hear("");
	verified_as(callout("a0"), 250);
	hear("10:250 11:421 ");
	over();
	sources_free(t.l.sources);
}

/* Domains of one route that have MX records of their own are ways of their own. */
static void test_ways_of_a_route(void **state)
{
	(void)state;
	up();
	rcpt(0, "d1-a");
	rcpt(1, "d2-b");
	rcpt(2, "d1-c");
	assert_int_equal(t.running, 1);
	verified_as(callout("d1-a"), 250);
	hear("10:250 11:452 ");
	verified_as(callout("d1-c"), 250);
	hear("12:250 ");
	assert_int_equal(t.l.counters[CTL_rcpt_other_route], 1);
	over();
	up();
	rcpt(0, "d1-a");
	rcpt(1, "d2-b");
	verified_as(callout("d1-a"), 550);
	verified_as(callout("d2-b"), 250);
	hear("10:550 11:250 ");
	over();
}

/* The next hop takes two at once: counted are those that were accepted, in the order of asking. */
static void test_next_hop_takes_few(void **state)
{
	(void)state;
	up();
	t.rcpt_max = 2;
	for (uint32_t n = 0; n < 5; n++) {
		static const char *const name[] = {"a0", "a1", "a2", "a3", "a4"};

		rcpt(n, name[n]);
	}
	verified_as(callout("a4"), 250);
	verified_as(callout("a3"), 250);
	verified_as(callout("a2"), 250);
	verified_as(callout("a1"), 550);
	verified_as(callout("a0"), 250);
	hear("10:250 11:550 12:250 13:452 14:452 ");
	/* The next transaction begins from nothing. */
	rcpt_of(2, 5, "a5");
	verified_as(callout("a5"), 250);
	hear("15:250 ");
	over();
}

/* A route at its bound: told before its next hop is asked, and who insists is sent away in the end. */
static void test_overload(void **state)
{
	struct handoff_desc d = {.kind = DESC_RCPT, .session = 8, .generation = 1, .question = 30,
				 .msg.transaction = 1};

	(void)state;
	up();
	t.rules.config.max_outstanding = 1;
	rcpt(0, "a0");
	rcpt(1, "a1"); /* of the same transaction */
	assert_int_equal(t.running, 2);
	session_desc(&t.l, &d);
	assert_int_equal(t.running, 2);
	hear("30:451 ");
	/* Its other recipients have a route of their own. */
	t.rcpt[2] = "o2";
	d.question = 31;
	d.msg.rcpt = 2;
	session_desc(&t.l, &d);
	verified_as(callout("o2"), 250);
	hear("31:250 ");
	/* All of the first are refused: its ticket is back before it says anything more. */
	verified_as(callout("a0"), 550);
	verified_as(callout("a1"), 550);
	hear("10:550 11:550 ");
	assert_int_equal(t.load[0].outstanding, 0);
	rcpt_of(2, 3, "a3");
	verified_as(callout("a3"), 250);
	hear("13:250 ");
	d = (struct handoff_desc){.kind = DESC_RCPT, .session = 8, .generation = 1, .question = 40,
				  .msg.transaction = 2, .msg.rcpt = 4};
	session_desc(&t.l, &d);
	hear("40:451 ");
	t.lasts = true;
	d.question++;
	session_desc(&t.l, &d);
	hear("41:421 ");
	/* A session that hears it for the first time stays. */
	d.session = 9;
	session_desc(&t.l, &d);
	hear("41:451 ");
	/* The message takes the ticket along, until it is answered. */
	send_desc(DESC_SUBMIT, 0, 7, 14);
	assert_int_equal(t.load[0].outstanding, 1);
	assert_true(t.message.load.submitted);
	d.question++;
	session_desc(&t.l, &d);
	hear("42:421 ");
	message_answered();
	assert_int_equal(t.load[0].outstanding, 0);
	d.question++;
	session_desc(&t.l, &d);
	assert_int_equal(t.running, 1);
	over();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdict_order),
		cmocka_unit_test(test_route),
		cmocka_unit_test(test_cable),
		cmocka_unit_test(test_ways_of_a_route),
		cmocka_unit_test(test_next_hop_takes_few),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_overload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
