/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Records, chunks, admission of DATA, pinned messages. */

#include "dataplane/handoff/internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint8_t junk[HANDOFF_CHUNK];

static int setup(void **state)
{
	struct dp_arena_opts o = {.n_workers = 1, .slice_mb = 8, .hugetlb = DP_HUGETLB_NEVER};
	struct dp_arena *a;
	char err[160];

	if (dp_arena_new(&o, &a, err, sizeof(err)))
		return -1;
	*state = a;
	for (size_t i = 0; i < sizeof(junk); i++)
		junk[i] = (uint8_t)(i * 7);
	return 0;
}

static int teardown(void **state)
{
	dp_arena_free(*state);
	return 0;
}

static void test_record_generation(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	struct dp_msg m = {0};
	struct handoff_record *rec;
	uint32_t gen;

	assert_int_equal(dp_msg_open(w, &m), 0);
	assert_int_equal(dp_msg_open(w, &m), -EINVAL);
	rec = dp_msg_record(w, &m);
	gen = dp_msg_generation(w, &m);
	assert_int_equal(gen % 2, 1);
	assert_int_equal(atomic_load(&rec->generation), gen);
	rec->size = 99;
	rec->n_rcpts = 3;
	assert_ptr_equal(dp_record_last(w, m.record, gen), rec);
	assert_null(dp_record_last(w, m.record, gen - 1));
	assert_null(dp_record_last(w, m.record, gen + 2));
	assert_null(dp_record_last(w, w->n_records, gen));
	dp_msg_free(w, &m);
	assert_int_equal(atomic_load(&rec->generation), gen + 1);
	assert_ptr_equal(dp_record_last(w, 0, gen), rec); /* as it was left */
	assert_null(dp_record_last(w, 0, gen + 1));
	assert_int_equal(dp_msg_open(w, &m), 0);
	assert_ptr_equal(dp_msg_record(w, &m), rec);
	assert_int_equal(dp_msg_generation(w, &m), gen + 2);
	assert_null(dp_record_last(w, m.record, gen));
	assert_int_equal(rec->size, 0);
	assert_int_equal(rec->n_rcpts, 0);
	dp_msg_free(w, &m);
	dp_msg_free(w, &m);
}

static void test_text(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	struct dp_msg m = {0};
	struct handoff_record *rec;
	struct handoff_ref ref;
	struct str rest;

	assert_int_equal(dp_msg_open(w, &m), 0);
	rec = dp_msg_record(w, &m);
	assert_int_equal(dp_msg_text(w, &m, STR("mail.example.org"), &ref), 0);
	assert_int_equal(ref.off, 0);
	assert_int_equal(dp_msg_add_rcpt(w, &m, STR("a@example.org")), 0);
	assert_int_equal(dp_msg_add_rcpt(w, &m, STR("b@example.org")), 1);
	assert_memory_equal(rec->text + rec->rcpt[1].addr.off, "b@example.org", 13);
	assert_int_equal(rec->rcpt[1].addr.len, 13);
	assert_int_equal(dp_msg_text(w, &m, str_make(junk, sizeof(rec->text)), &ref), -ENOSPC);
	rest = str_make(junk, sizeof(rec->text) - rec->text_len);
	assert_int_equal(dp_msg_text(w, &m, rest, &ref), 0);
	assert_int_equal(rec->text_len, sizeof(rec->text));
	assert_int_equal(dp_msg_add_rcpt(w, &m, STR("c")), -ENOSPC);
	dp_msg_free(w, &m);
	assert_int_equal(dp_msg_open(w, &m), 0);
	for (unsigned int i = 0; i < HANDOFF_MAX_RCPTS; i++)
		assert_int_equal(dp_msg_add_rcpt(w, &m, STR("c")), i);
	assert_int_equal(dp_msg_add_rcpt(w, &m, STR("c")), -ENOSPC);
	dp_msg_free(w, &m);
}

static void test_content(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	struct dp_msg m = {0};
	size_t total = 0, n;

	assert_int_equal(dp_msg_open(w, &m), 0);
	assert_int_equal(dp_msg_room(w, &m), 0);
	assert_int_equal(dp_msg_append(w, &m, junk, 1), -ENOBUFS);
	assert_int_equal(dp_msg_data_begin(w, &m, w->max_message + 1, 0), -EFBIG);
	assert_int_equal(dp_msg_data_begin(w, &m, w->max_message, 0), 0);
	for (unsigned int i = 0; i < 1000; i++) {
		assert_int_equal(dp_msg_append(w, &m, junk + i, 211), 0);
		total += 211;
	}
	assert_int_equal(m.held, total / HANDOFF_CHUNK + 1);
	dp_msg_data_end(w, &m);
	assert_int_equal(dp_msg_record(w, &m)->size, total);
	assert_int_equal(dp_msg_record(w, &m)->n_chunks, m.held);
	for (size_t at = 0; at < total; at++) {
		const uint8_t *c = dp_msg_chunk(w, &m, (uint32_t)(at / HANDOFF_CHUNK), &n);

		assert_true(at % HANDOFF_CHUNK < n);
		assert_int_equal(c[at % HANDOFF_CHUNK], junk[at / 211 + at % 211]);
	}
	assert_null(dp_msg_chunk(w, &m, m.held, &n));
	dp_msg_free(w, &m);
	assert_int_equal(w->n_free_chunk, w->n_chunks);
	assert_int_equal(w->reserved, 0);
}

/* A message of the maximum size and the CRLF that may be added to it fits, and not an octet beyond
 * the chunks of it. */
static void test_maximum(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	struct dp_msg m = {0};
	uint64_t left = w->max_message + 2;

	assert_int_equal(dp_msg_open(w, &m), 0);
	assert_int_equal(dp_msg_data_begin(w, &m, 0, 0), 0);
	while (left) {
		size_t k = left < 5000 ? (size_t)left : 5000;

		assert_true(dp_msg_room(w, &m) >= k);
		assert_int_equal(dp_msg_append(w, &m, junk, k), 0);
		left -= k;
	}
	assert_true(m.held <= HANDOFF_MAX_CHUNKS);
	assert_int_equal(m.held, w->floor);
	assert_int_equal(dp_msg_room(w, &m), (size_t)w->floor * HANDOFF_CHUNK - m.size);
	dp_msg_free(w, &m);
}

static void fill(struct dp_worker *w, struct dp_msg *m, size_t n)
{
	while (n) {
		size_t k = n < sizeof(junk) ? n : sizeof(junk);

		assert_int_equal(dp_msg_append(w, m, junk, k), 0);
		n -= k;
	}
}

static void test_floor(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	struct dp_msg m[64] = {0}, early = {0}, late = {0};
	struct dp_usage u;
	unsigned int n = 0;
	uint64_t closed = w->counters[CNT_arena_window_closed];

	assert_int_equal(dp_msg_open(w, &early), 0);
	/* Everybody takes three chunks until nobody new is let in. */
	while (n < 63 && dp_msg_open(w, &m[n]) == 0 && dp_msg_data_begin(w, &m[n], 0, n) == 0) {
		n++;
		if (dp_msg_room(w, &m[n - 1]) < 3 * HANDOFF_CHUNK)
			break;
		fill(w, &m[n - 1], 3 * HANDOFF_CHUNK);
	}
	assert_true(n > 3 && n < 63);
	fill(w, &m[n - 1], dp_msg_room(w, &m[n - 1])); /* the rest, to the last octet */
	assert_int_equal(w->n_free_chunk - w->reserved, w->floor);
	/* Nobody begins now, whether MAIL was before or not. */
	assert_int_equal(dp_msg_open(w, &late), -ENOMEM);
	assert_int_equal(dp_msg_data_begin(w, &early, 1, n), -ENOMEM);
	dp_msg_free(w, &early);
	dp_worker_usage(w, &u);
	assert_true(u.low);
	assert_true(u.chunks - u.chunks_used >= u.chunks_floor);
	assert_int_equal(u.data_flows, n);
	/* Only the oldest gets room now. */
	assert_int_equal(dp_msg_room(w, &m[1]), 0);
	assert_int_equal(dp_msg_room(w, &m[1]), 0);
	assert_int_equal(w->counters[CNT_arena_window_closed], closed + 1);
	assert_int_equal(dp_msg_room(w, &m[0]), (size_t)(w->floor - 3) * HANDOFF_CHUNK);
	/* Who held most for least is cut first; here the one that began first. */
	assert_ptr_equal(dp_worker_victim(w, 100000), &m[0]);
	fill(w, &m[0], (size_t)w->max_message - 3 * HANDOFF_CHUNK);
	dp_msg_data_end(w, &m[0]);
	dp_msg_submitted(w, &m[0], 0);
	assert_false(m[0].open);
	/* Its chunks are with control: the next one waits for them. */
	assert_true(dp_msg_room(w, &m[1]) < w->max_message - 3 * HANDOFF_CHUNK);
	assert_int_equal(dp_worker_reclaim(w), 1);
	assert_true(dp_msg_room(w, &m[1]) >= w->max_message - 3 * HANDOFF_CHUNK);
	for (unsigned int i = 0; i <= n; i++)
		dp_msg_free(w, &m[i]);
	dp_worker_usage(w, &u);
	assert_int_equal(u.chunks_used + u.chunks_reserved + u.records_used + u.data_flows, 0);
}

static void submit(struct dp_worker *w, size_t n, uint32_t *record, uint32_t *gen)
{
	struct dp_msg m = {0};

	assert_int_equal(dp_msg_open(w, &m), 0);
	assert_int_equal(dp_msg_data_begin(w, &m, 0, 0), 0);
	fill(w, &m, n);
	dp_msg_data_end(w, &m);
	*record = m.record;
	*gen = dp_msg_generation(w, &m);
	dp_msg_submitted(w, &m, 1);
}

static void test_pinned(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	uint32_t record[64], gen[64];
	struct dp_msg m = {0};
	struct dp_usage u;
	unsigned int n = 0;

	while (w->chunks_pinned <= w->pinned_budget) {
		submit(w, 3 * HANDOFF_CHUNK, &record[n], &gen[n]);
		assert_true(dp_record_with_control(w, record[n], gen[n]));
		assert_false(dp_record_with_control(w, record[n], gen[n] - 2));
		assert_int_equal(dp_record_cancel(w, record[n], gen[n] + 2), -ESTALE);
		assert_int_equal(dp_record_cancel(w, record[n], gen[n]), 0);
		assert_int_equal(dp_record_cancel(w, record[n], gen[n]), 0);
		assert_int_equal(atomic_load(&w->record[record[n]].client_gone), 1);
		n++;
		dp_worker_usage(w, &u);
		assert_int_equal(u.chunks_pinned, 3 * n);
		assert_int_equal(u.records_pinned, n);
	}
	/* Over its budget nobody new is let in, though there is room. */
	assert_int_equal(dp_msg_open(w, &m), -ENOMEM);
	/* It never comes back by itself. */
	assert_true(dp_record_with_control(w, record[0], gen[0]));
	dp_record_return(w, record[0]);
	assert_false(dp_record_with_control(w, record[0], gen[0]));
	assert_int_equal(dp_record_cancel(w, record[0], gen[0]), -ESTALE);
	dp_record_return(w, record[0]); /* twice does nothing */
	assert_int_equal(dp_msg_open(w, &m), 0);
	assert_int_equal(dp_worker_reclaim(w), n - 1);
	assert_true(m.open); /* what control never had stays */
	dp_msg_free(w, &m);
	dp_worker_usage(w, &u);
	assert_int_equal(u.chunks_pinned + u.chunks_control + u.records_pinned, 0);
	assert_int_equal(u.chunks_used + u.records_used, 0);
}

static void test_double_free(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	uint32_t c = dp_chunk_alloc(w), r = dp_record_alloc(w);

	dp_chunk_free(w, c);
	dp_chunk_free(w, c);
	dp_chunk_free(w, UINT32_MAX);
	assert_int_equal(w->n_free_chunk, w->n_chunks);
	dp_record_free(w, r);
	dp_record_free(w, r);
	dp_record_free(w, UINT32_MAX);
	assert_int_equal(w->n_free_record, w->n_records);
}

/* ---- property: whatever the flows do, the oldest can complete and nothing is given twice --- */

#define FLOWS 24
#define HELD 64

struct model {
	struct dp_msg m[FLOWS];
	uint64_t want[FLOWS];
	struct { uint32_t record, gen; } control[HELD];
	unsigned int n_control;
	uint32_t seed, completed;
};

static uint32_t rnd(struct model *s, uint32_t n)
{
	s->seed = s->seed * 1664525u + 1013904223u;
	return (s->seed >> 8) % n;
}

static void check_invariants(struct dp_worker *w, struct model *s)
{
	uint32_t held = 0, reserved = 0, oldest = 0;
	struct dp_msg *first = TAILQ_FIRST(&w->age);

	for (unsigned int i = 0; i < FLOWS; i++) {
		held += s->m[i].held;
		reserved += s->m[i].reserved;
	}
	if (first)
		oldest = first->held + first->reserved;
	assert_int_equal(w->reserved, reserved);
	assert_int_equal(w->n_chunks - w->n_free_chunk, held + w->chunks_control);
	assert_true(w->n_free_chunk >= w->reserved);
	assert_true(w->n_free_chunk - w->reserved + w->chunks_control + oldest >= w->floor);
}

static void give_back(struct dp_worker *w, struct model *s)
{
	unsigned int k;

	if (!s->n_control)
		return;
	k = rnd(s, s->n_control);
	assert_true(dp_record_with_control(w, s->control[k].record, s->control[k].gen));
	dp_record_return(w, s->control[k].record);
	s->control[k] = s->control[--s->n_control];
}

static void finish(struct dp_worker *w, struct model *s, struct dp_msg *m)
{
	uint32_t k = s->n_control;

	dp_msg_data_end(w, m);
	if (k == HELD) {
		give_back(w, s);
		k = s->n_control;
	}
	s->control[k].record = m->record;
	s->control[k].gen = dp_msg_generation(w, m);
	s->n_control++;
	dp_msg_submitted(w, m, 0);
	s->completed++;
}

static void step(struct dp_worker *w, struct model *s)
{
	unsigned int i = rnd(s, FLOWS);
	struct dp_msg *m = &s->m[i];
	size_t room, n;

	if (!m->open) {
		if (dp_msg_open(w, m))
			give_back(w, s);
		return;
	}
	if (!m->in_data) {
		s->want[i] = rnd(s, 4) ? rnd(s, 3 * HANDOFF_CHUNK)
				       : rnd(s, (uint32_t)w->max_message);
		if (dp_msg_data_begin(w, m, s->want[i], s->completed))
			dp_msg_free(w, m);
		return;
	}
	if (rnd(s, 40) == 0) {
		dp_msg_free(w, m);
		return;
	}
	if (m->size >= s->want[i]) {
		finish(w, s, m);
		return;
	}
	room = dp_msg_room(w, m);
	n = 1 + rnd(s, sizeof(junk) - 1);
	if (n > s->want[i] - m->size)
		n = (size_t)(s->want[i] - m->size);
	assert_int_equal(dp_msg_append(w, m, junk, n), n <= room ? 0 : -ENOBUFS);
	if (n > room && rnd(s, 3) == 0)
		give_back(w, s);
}

static void test_property(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	static struct model s;
	struct dp_msg *m;

	s = (struct model){.seed = 20260131};
	for (unsigned int turn = 0; turn < 30000; turn++) {
		step(w, &s);
		check_invariants(w, &s);
	}
	assert_true(s.completed > 300);
	/* Now nothing new begins and control gives back: each oldest in turn completes. */
	while (s.n_control)
		give_back(w, &s);
	while ((m = TAILQ_FIRST(&w->age))) {
		uint64_t want = s.want[m - s.m];

		while (m->size < want) {
			size_t n = (size_t)(want - m->size);

			assert_true(dp_msg_room(w, m) >= n);
			if (n > sizeof(junk))
				n = sizeof(junk);
			assert_int_equal(dp_msg_append(w, m, junk, n), 0);
		}
		finish(w, &s, m);
		while (s.n_control)
			give_back(w, &s);
	}
	for (unsigned int i = 0; i < FLOWS; i++)
		dp_msg_free(w, &s.m[i]);
	assert_int_equal(w->n_free_chunk, w->n_chunks);
	assert_int_equal(w->n_free_record, w->n_records);
}

/* What is only watched holds up nobody. */
static void test_observe(void **state)
{
	static struct dp_msg seen[512];
	struct dp_worker *w = dp_arena_worker(*state, 0);
	struct dp_msg m = {0}, gateway = {0};
	uint32_t gen, n = 0;
	struct dp_usage u;

	assert_int_equal(dp_msg_observe(w, &m, 100), 0);
	assert_int_equal(dp_msg_observe(w, &m, 100), -EINVAL);
	while (!dp_msg_append(w, &m, junk, sizeof(junk)) && m.held < w->floor)
		;
	assert_int_equal(m.held, w->floor); /* one maximum message */
	dp_worker_usage(w, &u);
	assert_int_equal(u.data_flows, 0);
	assert_null(dp_worker_victim(w, 1000000));
	dp_msg_free(w, &m);
	dp_worker_usage(w, &u);
	assert_int_equal(u.chunks_used + u.records_used, 0);
	/* Together they leave one maximum message free, and a client can begin. */
	for (; n < 512 && !dp_msg_observe(w, &seen[n], 100); n++)
		while (seen[n].held < w->floor && !dp_msg_append(w, &seen[n], junk, sizeof(junk)))
			;
	assert_int_equal(dp_msg_observe(w, &m, 100), -ENOMEM);
	assert_int_equal(w->n_free_record, w->n_records / 8);
	assert_int_equal(w->n_free_chunk, w->floor);
	assert_int_equal(dp_msg_open(w, &gateway), 0);
	assert_int_equal(dp_msg_data_begin(w, &gateway, 0, 1), 0);
	assert_true(dp_msg_room(w, &gateway) >= w->max_message);
	dp_msg_free(w, &gateway);
	/* With control and back. */
	gen = dp_msg_generation(w, &seen[0]);
	n = seen[0].record;
	dp_msg_data_end(w, &seen[0]);
	dp_msg_submitted(w, &seen[0], 0);
	assert_true(dp_record_with_control(w, n, gen));
	assert_int_equal(dp_worker_reclaim(w), 1);
	for (size_t i = 0; i < 512; i++)
		dp_msg_free(w, &seen[i]);
	dp_worker_usage(w, &u);
	assert_int_equal(u.chunks_used + u.records_used, 0);
	assert_int_equal(w->route_chunks[DP_ROUTE_OBSERVED], 0);
}

/* Half of what is free, and no more, where others have mail in the same arena. */
static void test_observe_share(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	struct dp_msg m[16] = {0};
	uint32_t held = 0;

	for (size_t i = 0; i < 16; i++) {
		assert_int_equal(dp_msg_observe(w, &m[i], 50), 0);
		while (m[i].held < w->floor && !dp_msg_append(w, &m[i], junk, sizeof(junk)))
			;
		held += m[i].held;
	}
	assert_in_range(held, w->n_chunks / 2 - 2, w->n_chunks / 2);
	for (size_t i = 0; i < 16; i++)
		dp_msg_free(w, &m[i]);
	assert_int_equal(w->n_free_chunk, w->n_chunks);
}

/* Records too, with control or not: who sends us mail finds one, however many flows died in DATA. */
static void test_observe_records(void **state)
{
	static struct dp_msg m[4096];
	struct dp_worker *w = dp_arena_worker(*state, 0);
	uint32_t n = 0, half = w->n_records / 2;
	struct dp_msg gateway[2] = {0};

	assert_in_range(half, 4, 4000);
	assert_true(dp_may_observe(w, 50, half));
	assert_false(dp_may_observe(w, 50, half + 2));
	while (!dp_msg_observe(w, &m[n], 50))
		n++;
	assert_in_range(n, half, half + 1);
	assert_false(dp_may_observe(w, 50, 1));
	/* Of what is free at the time. */
	dp_msg_free(w, &m[--n]);
	dp_msg_free(w, &m[--n]);
	assert_int_equal(dp_msg_open(w, &gateway[0]), 0);
	assert_int_equal(dp_msg_open(w, &gateway[1]), 0);
	while (!dp_msg_observe(w, &m[n], 50))
		n++;
	assert_in_range(n, half - 1, half);
	/* With control it counts as before; given back it does not. */
	dp_msg_data_end(w, &m[0]);
	dp_msg_submitted(w, &m[0], 0);
	assert_int_equal(dp_msg_observe(w, &m[0], 50), -ENOMEM);
	assert_int_equal(dp_worker_reclaim(w), 1);
	assert_int_equal(dp_msg_observe(w, &m[0], 50), 0);
	for (uint32_t i = 0; i < n; i++)
		dp_msg_free(w, &m[i]);
	dp_msg_free(w, &gateway[0]);
	dp_msg_free(w, &gateway[1]);
	assert_int_equal(w->records_observed, 0);
	assert_int_equal(w->n_free_record, w->n_records);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_observe, setup, teardown),
		cmocka_unit_test_setup_teardown(test_observe_share, setup, teardown),
		cmocka_unit_test_setup_teardown(test_observe_records, setup, teardown),
		cmocka_unit_test_setup_teardown(test_record_generation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_content, setup, teardown),
		cmocka_unit_test_setup_teardown(test_maximum, setup, teardown),
		cmocka_unit_test_setup_teardown(test_floor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pinned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_double_free, setup, teardown),
		cmocka_unit_test_setup_teardown(test_property, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
