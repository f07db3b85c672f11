/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The loop of one core. No log, no lock, no allocation; the only calls into the kernel are doorbells
 * of a sleeping control and the idle back-off, where it is switched on. */

#include <poll.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_pause.h>

#include "dataplane/tap_session.h"
#include "dataplane/tap_worker.h"
#include "dataplane/worker.h"
#include "postern/limits.h"

#define TICK_US 1000
#define ROOM_US 500
#define SWEEP_US 15000
#define VERDICT_BURST 64
#define IDLE_TURNS 64       /* turns without work before the back-off sleeps */
/* Shares of the block pool at which tcp/ is told of memory pressure. */
#define PRESSURE_WINDOWS(n) ((n) - (n) / 4)
#define PRESSURE_SYN(n) ((n) - (n) / 16)

uint64_t worker_realtime_ns(const struct worker *w)
{
	return w->now_us * 1000 + w->realtime_offset_ns;
}

/* xorshift128+; for trace ids, seeded from the kernel at start. */
uint32_t worker_random(struct worker *w)
{
	uint64_t x = w->rng[0];
	const uint64_t y = w->rng[1];

	w->rng[0] = y;
	x ^= x << 23;
	w->rng[1] = x ^ y ^ (x >> 17) ^ (y >> 26);
	return (uint32_t)((w->rng[1] + y) >> 32);
}

static uint64_t tsc_to_us(const struct worker *w, uint64_t tsc)
{
	uint64_t s = tsc / w->opt.tsc_hz;

	return s * 1000000 + (tsc - s * w->opt.tsc_hz) * 1000000 / w->opt.tsc_hz;
}

static void set_clock(struct worker *w)
{
	w->now_us = tsc_to_us(w, rte_rdtsc());
	w->now_ms = w->now_us / 1000;
}

/* clock_gettime() is in the vDSO: no call into the kernel. */
static void set_realtime(struct worker *w)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	w->realtime_offset_ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec -
				w->now_us * 1000;
}

static void pick_up_generation(struct worker *w)
{
	struct generation *g = atomic_load_explicit(w->published, memory_order_acquire);

	unsigned int done = 0;

	while (done + 1 < w->n_used && !w->used[done].scanning)
		done++;
	w->n_used -= done;
	memmove(w->used, w->used + done, w->n_used * sizeof(w->used[0]));
	if (g != w->current && w->n_used < HANDOFF_MAX_GENERATIONS) {
		net_set_addresses(w->net, g->config.listener, g->config.n_listeners);
		net_set_inline(w->net, &g->config);
		dp_worker_set_share(w->arena,
				    g->config.arena_share ? g->config.arena_share : DEFAULT_ARENA_SHARE,
				    g->config.max_message, g->config.arena_share_mode);
		if (w->tap)
			tap_worker_set_config(w->tap, &g->config);
		smtp_server_set_config(w->smtp, g->worker[w->opt.index].smtp);
		w->used[w->n_used].generation = g;
		w->used[w->n_used++].scanning = 0;
		w->current = g;
	}
	if (!w->n_used)
		return;
	w->counters[CNT_generations_behind] = g->serial - w->used[0].generation->serial;
	atomic_store_explicit(&w->oldest, w->used[0].generation->serial, memory_order_release);
}

static void follow_epoch(struct worker *w)
{
	switch (dp_rings_epoch(w->rings)) {
	case DP_EPOCH_UP:
		w->epoch++;
		w->up = true;
		break;
	case DP_EPOCH_LOST:
		w->up = false;
		outbox_clear(w);
		break;
	case DP_EPOCH_GONE:
		w->up = false;
		outbox_clear(w);
		dp_worker_reclaim(w->arena);
		break;
	case DP_EPOCH_NONE:
		break;
	}
}

static void set_pressure(struct worker *w)
{
	struct tcp_usage u;
	struct dp_usage a;

	tcp_get_usage(w->tcp, &u);
	dp_worker_usage(w->arena, &a);
	/* Without a session left a SYN is better not answered: the client asks again in a second. */
	tcp_set_pressure(w->tcp, u.blocks_used > PRESSURE_SYN(w->opt.tcp_blocks) ||
					 w->sessions_now == w->opt.max_sessions		    ? 2
				 : u.blocks_used > PRESSURE_WINDOWS(w->opt.tcp_blocks) || a.low ? 1
										    : 0);
	w->room = u.blocks_used <= PRESSURE_SYN(w->opt.tcp_blocks) &&
		  w->sessions_now < w->opt.max_sessions && w->outbox_len <= w->outbox_cap / 2 &&
		  u.tx_blocks_used < w->opt.tcp_tx_blocks - w->opt.tcp_tx_blocks / 4;
	w->counters[CNT_sessions_now] = w->sessions_now;
	w->counters[CNT_draining] = atomic_load_explicit(w->drain, memory_order_relaxed);
	w->counters[CNT_conns_now] = u.conns;
	w->counters[CNT_time_wait_now] = u.time_wait;
	w->counters[CNT_arena_chunks_used] = a.chunks_used;
	w->counters[CNT_arena_records_used] = a.records_used;
}

static void timers(struct worker *w)
{
	if (w->now_us >= w->next_room_us && !TAILQ_EMPTY(&w->held)) {
		w->next_room_us = w->now_us + ROOM_US;
		session_room(w);
	}
	if (w->now_us >= w->next_tick_us) {
		w->next_tick_us = w->now_us + TICK_US;
		if (tcp_advance(w->tcp, w->now_us))
			w->next_tick_us = w->now_us; /* the rest in the next turn, when this has left */
		net_tick(w->net, w->now_us);
		if (w->tap)
			tap_worker_advance(w->tap);
		pick_up_generation(w);
	}
	if (w->now_us >= w->next_sweep_us) {
		w->next_sweep_us = w->now_us + SWEEP_US;
		set_realtime(w);
		set_pressure(w);
		if (session_sweep(w))
			w->next_sweep_us = w->now_us; /* more are due: the next turn goes on */
		session_make_room(w);
	}
}

static void idle(struct worker *w)
{
	struct pollfd p = {.fd = dp_rings_fd(w->rings), .events = POLLIN};
	struct timespec t = {.tv_nsec = (long)w->opt.idle_sleep_us * 1000};

	if (!w->opt.idle_sleep_us || ++w->idle_turns < IDLE_TURNS) {
		rte_pause();
		return;
	}
	if (!dp_rings_sleep_begin(w->rings))
		return;
	ppoll(&p, 1, &t, NULL);
	dp_rings_sleep_end(w->rings);
	worker_count(w, CNT_idle_sleeps);
}

/* Behind the slots of sessions lies one that all that is watched shares. */
static bool verdict(void *arg, const struct dp_verdict *v)
{
	const struct worker *w = arg;

	return v->head.session == w->opt.max_sessions ? tap_session_verdict(v)
						      : session_verdict(arg, v);
}

static unsigned int turn(struct worker *w)
{
	unsigned int work = 0;

	set_clock(w);
	net_set_inline_state(w->net, w->up && w->current, w->room);
	for (unsigned int i = 0; i < w->n_queues; i++)
		work += net_rx(w->net, w->queue[i].port, w->queue[i].queue);
	if (w->tap)
		work += tap_worker_poll(w->tap);
	work += net_steer_poll(w->net);
	/* Verdicts first, then what became of control: a verdict that is in the ring counts. */
	work += dp_rings_poll(w->rings, VERDICT_BURST, verdict, w);
	follow_epoch(w);
	work += session_tls_poll(w);
	session_control_lost(w);
	if (w->outbox_len)
		outbox_drain(w);
	session_ask_waiting(w);
	timers(w);
	tcp_burst_end(w->tcp);
	work += net_tx_flush(w->net);
	dp_rings_flush(w->rings);
	if (w->answer)
		work += dp_answer_turn(w->answer, w->arena);
	return work;
}

int worker_run(void *arg)
{
	struct worker *w = arg;
	uint64_t last = rte_rdtsc();

	set_clock(w);
	set_realtime(w);
	while (!atomic_load_explicit(w->stop, memory_order_relaxed)) {
		unsigned int work = turn(w);
		uint64_t now = rte_rdtsc();

		w->counters[CNT_loop_turns]++;
		if (work) {
			w->counters[CNT_busy_cycles] += now - last;
			w->idle_turns = 0;
		} else {
			idle(w);
			now = rte_rdtsc();
		}
		w->counters[CNT_total_cycles] += now - last;
		last = now;
	}
	return 0;
}
