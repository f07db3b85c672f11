/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A worker that answers itself: every question once and in order, every message given back. */

#include "dataplane/handoff/internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SESSIONS 100u

struct fix {
	struct dp_arena *arena;
	struct dp_answer *answer;
	struct dp_worker *w[2];
	struct dp_rings *r[2];
	unsigned int n;
	uint32_t next;                /* question that is to be answered */
	struct handoff_verdict last;
	char text[HANDOFF_MAX_TEXT + 1];
};

static int setup(void **state)
{
	struct dp_arena_opts o = {.n_workers = 2, .slice_mb = 8, .hugetlb = DP_HUGETLB_NEVER};
	struct fix *f = calloc(1, sizeof(*f));
	char err[160];

	assert_int_equal(dp_arena_new(&o, &f->arena, err, sizeof(err)), 0);
	assert_int_equal(dp_answer_new(2, &f->answer), 0);
	for (uint32_t i = 0; i < 2; i++) {
		f->w[i] = dp_arena_worker(f->arena, i);
		assert_int_equal(dp_answer_rings(f->answer, f->w[i], SESSIONS, &f->r[i]), 0);
		assert_int_equal(dp_rings_epoch(f->r[i]), DP_EPOCH_UP);
		assert_int_equal(dp_rings_epoch(f->r[i]), DP_EPOCH_NONE);
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	dp_rings_free(f->r[0]);
	dp_rings_free(f->r[1]);
	dp_answer_free(f->answer);
	dp_arena_free(f->arena);
	free(f);
	return 0;
}

static bool on_verdict(void *arg, const struct dp_verdict *v)
{
	struct fix *f = arg;

	f->n++;
	f->last = v->head;
	memcpy(f->text, v->text.p, v->text.n);
	f->text[v->text.n] = '\0';
	assert_int_equal(v->head.question, f->next);
	f->next++;
	return true;
}

static void ask(struct fix *f, unsigned int i, uint8_t kind, uint32_t question)
{
	struct handoff_desc d = {.kind = kind, .session = 3, .generation = 9, .question = question};

	assert_int_equal(dp_rings_push(f->r[i], 0, &d), 0);
}

static void questions(void **state)
{
	struct fix *f = *state;

	f->next = 1;
	ask(f, 0, DESC_CONNECT, 1);
	assert_int_equal(dp_rings_poll(f->r[0], 64, on_verdict, f), 0);
	assert_int_equal(dp_answer_turn(f->answer, f->w[1]), 0); /* another's */
	assert_int_equal(dp_answer_turn(f->answer, f->w[0]), 1);
	assert_int_equal(dp_rings_poll(f->r[1], 64, on_verdict, f), 0);
	assert_int_equal(dp_rings_poll(f->r[0], 64, on_verdict, f), 1);
	assert_int_equal(f->last.kind, VERDICT_CONNECT);
	assert_int_equal(f->last.code, 220);
	assert_int_equal(f->last.session, 3);
	assert_int_equal(f->last.generation, 9);
	ask(f, 0, DESC_RCPT, 2);
	ask(f, 0, DESC_RCPT, 3);
	ask(f, 0, DESC_TXN_END, 3);
	ask(f, 0, DESC_CANCEL, 3);
	ask(f, 0, DESC_REPLY_ACKED, 3);
	ask(f, 0, DESC_SESSION_END, 3);
	assert_int_equal(dp_answer_turn(f->answer, f->w[0]), 6);
	assert_int_equal(dp_answer_turn(f->answer, f->w[0]), 0);
	assert_int_equal(dp_rings_poll(f->r[0], 64, on_verdict, f), 2);
	assert_int_equal(f->last.kind, VERDICT_RCPT);
	assert_int_equal(f->last.code, 250);
	assert_string_equal(f->text, "ok");
	assert_int_equal(dp_worker_counters(f->w[0])[CNT_handoff_invalid], 0);
}

static void one_message(struct fix *f, bool observed)
{
	struct handoff_desc d = {.kind = DESC_SUBMIT, .session = 3, .generation = 9,
				 .question = f->next};
	struct dp_msg m = {0};
	struct handoff_record *rec;
	struct dp_usage u;

	assert_int_equal(dp_msg_open(f->w[0], &m), 0);
	rec = dp_msg_record(f->w[0], &m);
	rec->session = 3;
	rec->session_gen = 9;
	rec->flags = observed ? RECORD_F_OBSERVED : 0;
	assert_int_equal(dp_msg_data_begin(f->w[0], &m, 0, 1), 0);
	assert_int_equal(dp_msg_append(f->w[0], &m, "mail", 4), 0);
	dp_msg_data_end(f->w[0], &m);
	d.msg.record = m.record;
	d.msg.record_gen = dp_msg_generation(f->w[0], &m);
	assert_int_equal(dp_rings_push(f->r[0], 0, &d), 0);
	dp_msg_submitted(f->w[0], &m, 0);
	dp_worker_usage(f->w[0], &u);
	assert_int_equal(u.records_control, 1);
	assert_int_equal(u.chunks_control, 1);
	assert_int_equal(dp_answer_turn(f->answer, f->w[0]), 1);
	assert_int_equal(dp_rings_poll(f->r[0], 64, on_verdict, f), 1);
	dp_worker_usage(f->w[0], &u);
	assert_int_equal(u.records_used, 0);
	assert_int_equal(u.chunks_used, 0);
	assert_int_equal(u.records_control, 0);
}

static void messages(void **state)
{
	struct fix *f = *state;

	for (unsigned int i = 0; i < 3 * HANDOFF_RING_SLOTS; i++) {
		one_message(f, i % 2);
		assert_int_equal(f->last.kind, i % 2 ? VERDICT_RELEASE : VERDICT_MESSAGE);
		if (i % 2)
			continue;
		assert_int_equal(f->last.code, 250);
		assert_int_equal(f->last.enh_class, 2);
		assert_string_equal(f->text, "thrown away");
	}
	assert_int_equal(dp_worker_counters(f->w[0])[CNT_handoff_stale], 0);
	assert_int_equal(dp_worker_counters(f->w[0])[CNT_handoff_invalid], 0);
}

/* Nobody polls: questions wait, in both rings and behind them; then all are answered. */
static void full(void **state)
{
	struct fix *f = *state;
	struct handoff_desc d = {.kind = DESC_CONNECT, .session = 3, .generation = 9};
	uint32_t asked = 0;

	for (unsigned int round = 0; round < 5; round++) {
		while (!dp_rings_push(f->r[0], 0, &d)) {
			d.question = ++asked;
		}
		assert_int_equal(dp_rings_push(f->r[0], 0, &d), -EAGAIN);
		dp_answer_turn(f->answer, f->w[0]);
		if (round)
			assert_int_equal(dp_rings_push(f->r[0], 0, &d), -EAGAIN);
	}
	assert_int_equal(asked, 2 * HANDOFF_RING_SLOTS);
	while (f->n < asked) {
		unsigned int n = dp_rings_poll(f->r[0], 64, on_verdict, f);

		assert_int_equal(n, 64);
		dp_answer_turn(f->answer, f->w[0]);
	}
	assert_int_equal(dp_rings_poll(f->r[0], 64, on_verdict, f), 0);
	assert_int_equal(dp_rings_push(f->r[0], 0, &d), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(questions, setup, teardown),
		cmocka_unit_test_setup_teardown(messages, setup, teardown),
		cmocka_unit_test_setup_teardown(full, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
