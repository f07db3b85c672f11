/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* An event loop of control against the dataplane's side of the rings. */

#include "control/handoff/test_pair.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int setup(void **state)
{
	struct pair_fix *f = pair_open();

	pair_run(f); /* the first look: it sleeps now */
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	pair_close(*state);
	return 0;
}

static struct handoff_ring *submit_ring(struct pair_fix *f)
{
	return (struct handoff_ring *)((uint8_t *)f->dp_epoch->head + HANDOFF_RING_PAIR(0, 0, 1));
}

static bool asleep(struct pair_fix *f)
{
	return atomic_load(&f->dp_epoch->head->loop[0].sleeping) == 1;
}

static void push(struct pair_fix *f, uint32_t question)
{
	struct handoff_desc d = {.kind = DESC_CONNECT, .session = 5, .question = question};

	assert_int_equal(dp_rings_push(f->rings, 0, &d), 0);
}

static void test_descs(void **state)
{
	struct pair_fix *f = *state;
	struct ctl_fill fill;

	assert_true(asleep(f));
	for (uint32_t i = 0; i < 10; i++)
		push(f, i);
	pair_run(f);
	assert_int_equal(f->n_desc, 0); /* nobody rang */
	assert_true(ctl_loop_fill(f->loop, 0, &fill));
	assert_int_equal(fill.submit, 10);
	dp_rings_flush(f->rings);
	assert_false(asleep(f));
	pair_run(f);
	assert_int_equal(f->n_desc, 10);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(f->desc[i].question, i);
	assert_true(asleep(f));
	assert_int_equal(f->w->counters[CNT_handoff_doorbell], 1);
}

/* More than one burst: it comes back by itself, without another doorbell, and over the wrap. */
static void test_many_descs(void **state)
{
	struct pair_fix *f = *state;
	uint32_t sent = 0;

	for (int round = 0; round < 2; round++) {
		struct handoff_desc d = {.kind = DESC_SESSION_END};

		for (;;) {
			d.question = sent;
			if (dp_rings_push(f->rings, 0, &d))
				break;
			sent++;
		}
		dp_rings_flush(f->rings);
		for (int i = 0; i < 100 && f->n_desc < sent; i++)
			pair_run(f);
		assert_int_equal(f->n_desc, sent);
	}
	assert_int_equal(sent, 2 * HANDOFF_RING_SLOTS);
	for (uint32_t i = 0; i < sent; i++)
		assert_int_equal(f->desc[i].question, i);
	assert_true(asleep(f));
}

static void test_invalid_descs(void **state)
{
	struct pair_fix *f = *state;
	struct handoff_desc d[] = {
		{.kind = 0},
		{.kind = DESC_SESSION_END + 1},
		{.kind = DESC_RCPT, .msg = {.record = 0, .record_gen = 2}},
		{.kind = DESC_SUBMIT, .msg = {.record = f->epoch->n_records, .record_gen = 1}},
		{.kind = DESC_CANCEL, .msg = {.record = UINT32_MAX, .record_gen = 1}},
		{.kind = DESC_RCPT, .msg = {.record_gen = 1, .rcpt = HANDOFF_MAX_RCPTS}},
	};
	const unsigned int n = sizeof(d) / sizeof(d[0]);

	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(dp_rings_push(f->rings, 0, &d[i]), 0);
	push(f, 7);
	/* One that claims to come from another worker. */
	((struct handoff_desc *)submit_ring(f)->slot[n])->worker = 1;
	push(f, 8);
	dp_rings_flush(f->rings);
	pair_run(f);
	assert_int_equal(f->counters[CTL_desc_invalid], n + 1);
	assert_int_equal(f->n_desc, 1);
	assert_int_equal(f->desc[0].question, 8);
}

static void test_head_that_cannot_be(void **state)
{
	struct pair_fix *f = *state;

	atomic_store(&submit_ring(f)->ctl.head, HANDOFF_RING_SLOTS + 1);
	assert_int_equal(write(f->dp_epoch->bell[0], "", 1), 1);
	pair_run(f);
	assert_int_equal(f->n_desc, 0);
	assert_int_equal(f->counters[CTL_desc_invalid], 1);
	pair_run(f);
	assert_int_equal(f->counters[CTL_desc_invalid], 1);
}

static void test_verdicts(void **state)
{
	struct pair_fix *f = *state;
	struct handoff_desc d = {.kind = DESC_CONNECT, .session = 5, .generation = 9,
				 .question = 3};
	struct ctl_reply r = {.code = 550, .enh_class = 5, .enh_subject = 7, .enh_detail = 1,
			      .text = STR("not\r\nfor \xc3\xa9 you")};
	static uint8_t big[5000];

	assert_int_equal(ctl_verdict_rcpt(f->loop, &d, &r), 0);
	assert_int_equal(pair_poll(f), 1);
	assert_int_equal(f->verdict.kind, VERDICT_RCPT);
	assert_int_equal(f->verdict.session, 5);
	assert_int_equal(f->verdict.generation, 9);
	assert_int_equal(f->verdict.question, 3);
	assert_int_equal(f->verdict.code, 550);
	assert_int_equal(f->verdict.enh_subject, 7);
	assert_string_equal(f->text, "not??for ?? you");
	memset(big, 'x', sizeof(big));
	r.text = str_make(big, sizeof(big));
	assert_int_equal(ctl_verdict_connect(f->loop, &d, &r, true), 0);
	assert_int_equal(pair_poll(f), 1);
	assert_int_equal(f->verdict.flags, 0); /* who is refused is not good */
	assert_int_equal(f->verdict.slots, HANDOFF_VERDICT_SLOTS);
	assert_int_equal(strlen(f->text), HANDOFF_MAX_TEXT);
	r = (struct ctl_reply){.code = 220};
	assert_int_equal(ctl_verdict_connect(f->loop, &d, &r, true), 0);
	assert_int_equal(pair_poll(f), 1);
	assert_int_equal(f->verdict.flags, VF_GOOD);
	r.enh_class = 5;
	r.code = 250;
	assert_int_equal(ctl_verdict_connect(f->loop, &d, &r, true), -EINVAL);
	r.code = 354;
	assert_int_equal(ctl_verdict_rcpt(f->loop, &d, &r), -EINVAL);
	r.code = 250; /* with class 5 */
	assert_int_equal(ctl_verdict_rcpt(f->loop, &d, &r), -EINVAL);
	r.enh_class = 2;
	r.enh_detail = 1000;
	assert_int_equal(ctl_verdict_rcpt(f->loop, &d, &r), -EINVAL);
	r.enh_class = 0;
	assert_int_equal(ctl_verdict_rcpt(f->loop, &d, &r), 0);
	d.worker = 1;
	assert_int_equal(ctl_verdict_rcpt(f->loop, &d, &r), -EINVAL);
	d.worker = 0;
	assert_int_equal(ctl_verdict_close(f->loop, &d), 0);
	assert_int_equal(pair_poll(f), 2);
	assert_int_equal(f->verdict.kind, VERDICT_CLOSE);
	assert_int_equal(f->w->counters[CNT_handoff_invalid], 0);
}

static void test_message_verdict(void **state)
{
	struct pair_fix *f = *state;
	struct ctl_reply r = {.code = 250, .text = STR("ok")};
	struct dp_msg m = {0};
	struct handoff_desc d;

	pair_message(f, &m, 100, 'm');
	d = pair_submit(f, &m);
	assert_int_equal(ctl_verdict_message(f->loop, &d, &r, false), 0);
	pair_poll(f);
	assert_true(dp_record_with_control(f->w, d.msg.record, d.msg.record_gen));
	assert_int_equal(ctl_verdict_release(f->loop, &d), 0);
	pair_poll(f);
	assert_false(dp_record_with_control(f->w, d.msg.record, d.msg.record_gen));
	pair_message(f, &m, 100, 'm');
	d = pair_submit(f, &m);
	assert_int_equal(ctl_verdict_message(f->loop, &d, &r, true), 0);
	pair_poll(f);
	assert_false(dp_record_with_control(f->w, d.msg.record, d.msg.record_gen));
	assert_int_equal(f->n_verdicts, 3);
	assert_int_equal(f->w->n_free_chunk, f->w->n_chunks);
}

static bool in_order(void *arg, const struct dp_verdict *v)
{
	uint32_t *next = arg;

	assert_int_equal(v->head.question, *next);
	assert_int_equal(v->text.n, *next % 100);
	(*next)++;
	return true;
}

/* A dataplane that does not read: nothing is lost, nothing overtakes. */
static void test_full_ring_queues(void **state)
{
	struct pair_fix *f = *state;
	struct handoff_desc d = {.kind = DESC_RCPT, .session = 5};
	uint8_t text[100];
	struct ctl_fill fill;
	uint32_t n, next = 0;

	memset(text, 't', sizeof(text));
	for (n = 0; n < 8000; n++) {
		struct ctl_reply r = {.code = 250, .text = str_make(text, n % 100)};

		d.question = n;
		assert_int_equal(ctl_verdict_rcpt(f->loop, &d, &r), 0);
	}
	assert_true(ctl_loop_queued(f->loop) > 3000);
	assert_true(ctl_loop_fill(f->loop, 0, &fill));
	assert_true(fill.verdict > HANDOFF_RING_SLOTS - HANDOFF_VERDICT_SLOTS && fill.verdict <= HANDOFF_RING_SLOTS);
	assert_int_equal(fill.submit, 0);
	for (int i = 0; i < 10000 && next < n; i++) {
		dp_rings_poll(f->rings, 500, in_order, &next);
		event_base_loop(f->base, EVLOOP_ONCE);
	}
	assert_int_equal(next, n);
	assert_int_equal(ctl_loop_queued(f->loop), 0);
	assert_true(ctl_loop_fill(f->loop, 0, &fill));
	assert_int_equal(fill.verdict, 0);
	assert_false(ctl_loop_fill(f->loop, 1, &fill)); /* there is no such worker */
	assert_int_equal(f->w->counters[CNT_handoff_invalid], 0);
	/* What is still queued at the end goes with the loop. */
	for (n = 0; n < HANDOFF_RING_SLOTS + 5; n++) {
		struct ctl_reply r = {.code = 250};

		assert_int_equal(ctl_verdict_rcpt(f->loop, &d, &r), 0);
	}
	assert_int_equal(ctl_loop_queued(f->loop), 5);
}

static void test_tail_that_cannot_be(void **state)
{
	struct pair_fix *f = *state;
	struct handoff_desc d = {.kind = DESC_RCPT, .session = 5};
	struct ctl_reply r = {.code = 250};
	struct ctl_fill fill;

	for (unsigned int i = 0; i < HANDOFF_RING_SLOTS; i++)
		ctl_verdict_rcpt(f->loop, &d, &r);
	atomic_store(&(submit_ring(f) + 1)->ctl.tail, HANDOFF_RING_SLOTS + 9);
	assert_int_equal(ctl_verdict_rcpt(f->loop, &d, &r), 0);
	assert_int_equal(f->counters[CTL_desc_invalid], 1);
	assert_int_equal(ctl_loop_queued(f->loop), 1);
	assert_false(ctl_loop_fill(f->loop, 0, &fill));
}

static void test_wakes_worker(void **state)
{
	struct pair_fix *f = *state;
	struct pollfd p = {.fd = dp_rings_fd(f->rings), .events = POLLIN};
	struct handoff_desc d = {.kind = DESC_RCPT, .session = 5};
	struct ctl_reply r = {.code = 250};

	ctl_verdict_rcpt(f->loop, &d, &r);
	assert_int_equal(poll(&p, 1, 0), 0); /* it does not sleep */
	pair_poll(f);
	assert_true(dp_rings_sleep_begin(f->rings));
	ctl_verdict_rcpt(f->loop, &d, &r);
	assert_int_equal(poll(&p, 1, 0), 1);
	ctl_verdict_rcpt(f->loop, &d, &r);
	dp_rings_sleep_end(f->rings);
	assert_int_equal(poll(&p, 1, 0), 0); /* it rang once */
	assert_int_equal(pair_poll(f), 2);
}

static void test_heartbeat(void **state)
{
	struct pair_fix *f = *state;
	_Atomic uint64_t *beat = &f->dp_epoch->head->loop[0].heartbeat;
	uint64_t first = atomic_load(beat);

	assert_true(first > 0); /* the first one at once */
	for (int i = 0; i < 100 && atomic_load(beat) < first + 2; i++)
		event_base_loop(f->base, EVLOOP_ONCE);
	assert_true(atomic_load(beat) >= first + 2);
}

static void test_bell_closed(void **state)
{
	struct pair_fix *f = *state;

	close(f->dp_epoch->bell[0]);
	f->dp_epoch->bell[0] = -1;
	for (int i = 0; i < 3; i++)
		pair_run(f);
	assert_int_equal(f->n_desc, 0);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_descs), T(test_many_descs), T(test_invalid_descs),
		T(test_head_that_cannot_be), T(test_verdicts), T(test_message_verdict),
		T(test_full_ring_queues), T(test_tail_that_cannot_be), T(test_wakes_worker),
		T(test_heartbeat), T(test_bell_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
