/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Segments of established flows, from the ring to the application's callback. */

#include <stdlib.h>
#include <string.h>

#include "bench/micro/lab.h"
#include "bench/micro/micro.h"
#include "dataplane/tcp/internal.h"

#define MIN_SEGMENTS 65536  /* of one repetition */
#define MAX_SEGMENTS 262144
#define ARENA_CHUNK 16384
#define ARENA_CHUNKS 2048   /* 32 MiB: a copy leaves the caches as real mail does */

static uint64_t octets;     /* handed up */
static uint8_t *arena;
static size_t arena_at;
static uint32_t *order;     /* flows in random order */
static uint32_t n_flows, at_flow;

static void *accepted(void *ctx, struct tcp_conn *conn, const struct tcp_tuple *tuple)
{
	(void)ctx;
	(void)tuple;
	tcp_set_window(conn, LIMIT_TCP_WINDOW_MAX); /* as in DATA */
	return conn;
}

static size_t count(void *app, const struct tcp_view *view, unsigned int n)
{
	size_t all = 0;

	(void)app;
	for (unsigned int i = 0; i < n; i++)
		all += view[i].n;
	octets += all;
	return all;
}

static size_t copy(void *app, const struct tcp_view *view, unsigned int n)
{
	size_t all = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (arena_at % ARENA_CHUNK + view[i].n > ARENA_CHUNK)
			arena_at += ARENA_CHUNK - arena_at % ARENA_CHUNK;
		if (arena_at >= (size_t)ARENA_CHUNK * ARENA_CHUNKS)
			arena_at = 0;
		memcpy(arena + arena_at, view[i].p, view[i].n);
		arena_at += view[i].n;
		all += view[i].n;
	}
	(void)app;
	octets += all;
	return all;
}

static void nothing(void *app)
{
	(void)app;
}

static void acked(void *app, uint32_t unacked)
{
	(void)app;
	(void)unacked;
}

static void closed(void *app, enum tcp_close_reason reason)
{
	(void)app;
	(void)reason;
}

static const struct tcp_app counting = {accepted, count, nothing, acked, closed};
static const struct tcp_app copying = {accepted, copy, nothing, acked, closed};

static void up(uint32_t flows, const struct tcp_app *app)
{
	struct tcp_options opt = {.max_conns = flows, .max_half_open = 2 * LAB_BATCH,
				  .max_time_wait = 16, .blocks = 4 * LAB_BATCH, .tx_blocks = 16,
				  .window_idle = 16384};
	uint64_t state = 1442695040888963407ull;

	lab_up(&opt, app);
	lab_connect(flows);
	n_flows = flows;
	at_flow = 0;
	for (uint32_t i = 0; i < flows; i++)
		order[i] = i;
	for (uint32_t i = flows; i > 1; i--) {
		uint32_t k = (uint32_t)(micro_random(&state) % i), was = order[i - 1];

		order[i - 1] = order[k];
		order[k] = was;
	}
}

static uint32_t next_flow(void)
{
	if (at_flow == n_flows)
		at_flow = 0;
	return order[at_flow++];
}

enum kind { IN_ORDER, ONCE_MORE, REORDERED, ACK_ONLY };

static void make(enum kind kind, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t f = next_flow();

		switch (kind) {
		case IN_ORDER:
			lab_make_data(f, 0);
			lab.flow[f].seq += LAB_PAYLOAD;
			break;
		case ONCE_MORE: /* all of it was received before */
			lab_make_data(f, (uint32_t)-LAB_PAYLOAD);
			break;
		case REORDERED: /* the second of two comes first */
			lab_make_data(f, LAB_PAYLOAD);
			lab_make_data(f, 0);
			lab.flow[f].seq += 2 * LAB_PAYLOAD;
			i++;
			break;
		case ACK_ONLY:
			lab_make(f, 0, 0x10, NULL, 0);
			break;
		}
	}
}

static uint32_t per_repetition(void)
{
	uint32_t n = n_flows < MIN_SEGMENTS ? MIN_SEGMENTS : n_flows;

	n = n > MAX_SEGMENTS ? MAX_SEGMENTS : n;
	return n - n % LAB_BATCH;
}

/* One repetition before the first is not counted: it warms caches and predictors. */
static void measure(struct micro_row *row, enum kind kind)
{
	uint32_t n = per_repetition();

	for (unsigned int rep = 0; rep <= micro.reps; rep++) {
		struct lab_cost c = {0};

		for (uint32_t done = 0; done < n; done += LAB_BATCH) {
			make(kind, LAB_BATCH);
			lab_run(&c);
		}
		if (rep)
			lab_row(row, rep - 1, &c, n);
	}
}

static void segments(const char *group, const char *what, enum kind kind, bool all_go_up)
{
	struct micro_row *row = micro_row(group, "segment", "%s, %u flows", what, n_flows);
	uint64_t before = octets;
	uint64_t want = (uint64_t)per_repetition() * (micro.reps + 1) * LAB_PAYLOAD;

	measure(row, kind);
	if (kind == IN_ORDER)
		row->octets = LAB_PAYLOAD;
	micro_must(!all_go_up || octets - before == want, "not every octet went up");
}

static void raw(const char *group)
{
	struct micro_row *row = micro_row(group, "segment", "ring PMD, free: nothing of ours");
	uint32_t n = per_repetition();

	for (unsigned int rep = 0; rep <= micro.reps; rep++) {
		uint64_t cycles = 0;

		for (uint32_t done = 0; done < n; done += LAB_BATCH) {
			make(ONCE_MORE, LAB_BATCH);
			cycles += lab_run_raw();
		}
		if (!rep)
			continue;
		row->total[rep - 1] = (double)cycles / n;
		micro_done(row, rep - 1);
	}
}

/* Every TCB says dead: TCP parses, hashes, looks up, sees it, and is done. */
static void set_state(uint8_t state)
{
	for (uint32_t i = 0; i < n_flows; i++)
		conn_at(lab.tcp, i)->state = state;
}

static void stages(uint32_t flows)
{
	const char *group = "received segments by stage";

	up(flows, &counting);
	raw(group);
	lab_set_tcp(NULL);
	segments(group, "+ parse, NIC's checksum", ONCE_MORE, false);
	lab_set_tcp(lab.tcp);
	set_state(ST_DEAD);
	segments(group, "+ hash, look-up", ONCE_MORE, false);
	set_state(ST_ESTABLISHED);
	segments(group, "+ TCP, application counts", IN_ORDER, true);
	lab_down();
	up(flows, &copying);
	segments(group, "+ application copies", IN_ORDER, true);
	lab.checksum = LAB_SUM_SOFTWARE;
	segments(group, "+ checksum in software", IN_ORDER, true);
	lab_down();
}

static void others(uint32_t flows)
{
	const char *group = "other segments";

	up(flows, &counting);
	segments(group, "pure ACK", ACK_ONLY, false);
	segments(group, "duplicate", ONCE_MORE, false);
	segments(group, "out of order and gap fill", REORDERED, true);
	lab_down();
}

void bench_segments(void)
{
	static const uint32_t flows[] = {1, 1000, 100000, 1000000};

	arena = malloc((size_t)ARENA_CHUNK * ARENA_CHUNKS);
	order = malloc(LAB_FLOWS_MAX * sizeof(*order));
	micro_must(arena && order, "no memory");
	memset(arena, 1, (size_t)ARENA_CHUNK * ARENA_CHUNKS);
	for (unsigned int i = 0; i < sizeof(flows) / sizeof(flows[0]); i++)
		if (flows[i] <= micro.flows_max)
			stages(flows[i]);
	others(1000);
	free(arena);
	free(order);
}
