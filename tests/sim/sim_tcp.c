/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * sim_tcp [--seed N] [--connections N] [--verbose]: batches of seeds N, N + 1, … until so many
 * connections were made. A batch depends on nothing but its seed.
 */

#include "tests/sim/sim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BURST_MAX    64
#define TICK_US      10000u
#define BATCH_MAX_US (7200ull * 1000000)

static uint64_t outcomes[OUT_VANISHED + 1], reasons[TCP_CLOSED_ABORTED + 1],
	total[POSTERN_DP_COUNTER_COUNT];
static uint64_t connections, segments, virtual_us, tainted;

static struct sim_flow *flow_of(struct sim *s, const struct tcp_tuple *t)
{
	uint32_t i = t->remote_port - 1024u;

	if (i >= s->n_flows || memcmp(t, &s->flow[i].tuple, sizeof(*t)))
		abort();
	return &s->flow[i];
}

static int on_output(void *ctx, const struct tcp_tuple *tuple, const struct tcp_path *path,
		     const uint8_t *header, size_t header_len, const struct tcp_view *payload,
		     unsigned int n_views)
{
	struct sim *s = ctx;
	struct sim_flow *f = flow_of(s, tuple);
	struct sim_packet *p;
	uint32_t len = 0, at = 0;

	if (path->b[0] != (uint8_t)f->index || path->b[1] != 0xaa)
		sim_fail(f, "a reply without the path of its connection");
	for (unsigned int i = 0; i < n_views; i++)
		len += payload[i].n;
	sim_check_output(f, header, header_len, len);
	s->to_client++;
	if (sim_chance(&s->rng, s->output_drop)) {
		sim_note(f, '!', header, len);
		return -ENOBUFS;
	}
	p = malloc(sizeof(*p) + len);
	if (!p)
		abort();
	p->header_len = (uint16_t)header_len;
	p->len = len;
	memcpy(p->header, header, header_len);
	for (unsigned int i = 0; i < n_views; i++) {
		memcpy(p->data + at, payload[i].p, payload[i].n);
		at += payload[i].n;
	}
	sim_link_send(f, p, false);
	return 0;
}

static bool on_listening(void *ctx, const struct tcp_tuple *t)
{
	(void)ctx;
	return t->local_port == 25;
}

static uint16_t on_mss(void *ctx, const struct tcp_tuple *t, const struct tcp_path *path)
{
	(void)path;
	return flow_of(ctx, t)->par.path_mss;
}

/* One burst. Header and payload lie in memory of their own, and are gone when it is over. */
struct burst {
	unsigned int n;
	struct sim_packet *packet[BURST_MAX];
	struct tcp_segment seg[BURST_MAX];
	struct tcp_path path[BURST_MAX];
	struct tcp_view view[BURST_MAX][4];
	void *memory[BURST_MAX];
};

static void load(struct sim *s, struct burst *b, unsigned int i)
{
	const struct sim_packet *p = b->packet[i];
	uint8_t *m = malloc(p->header_len + p->len);
	struct tcp_view *v = b->view[i];
	uint32_t at = 0;
	uint16_t n = 0;

	if (!m)
		abort();
	memcpy(m, p->header, p->header_len);
	memcpy(m + p->header_len, p->data, p->len);
	b->memory[i] = m;
	b->path[i] = (struct tcp_path){{(uint8_t)p->flow, 0xaa}};
	while (at < p->len) {
		uint32_t k = n == 3 || sim_chance(&s->rng, 8000)
				     ? p->len - at
				     : sim_range(&s->rng, 0, p->len - at);

		v[n++] = (struct tcp_view){m + p->header_len + at, k};
		at += k;
	}
	b->seg[i] = (struct tcp_segment){
		.tuple = &s->flow[p->flow].tuple,
		.path = &b->path[i],
		.header = m,
		.header_len = p->header_len,
		.n_views = n,
		.view = v,
		.payload_len = p->len,
		.ttl = 57,
	};
}

static void run_burst(struct sim *s, struct burst *b)
{
	uint32_t how = sim_range(&s->rng, 0, 3);

	for (unsigned int i = 0; i < b->n; i++) {
		load(s, b, i);
		s->to_server++;
	}
	if (how == 0) {
		for (unsigned int i = 0; i < b->n; i++)
			sim_check_delivered(&s->flow[b->packet[i]->flow], b->packet[i]);
		tcp_input_burst(s->stack, b->seg, b->n);
	} else {
		for (unsigned int i = 0; i < b->n; i++) {
			sim_check_delivered(&s->flow[b->packet[i]->flow], b->packet[i]);
			tcp_input(s->stack, &b->seg[i]);
			if (how == 1)
				tcp_burst_end(s->stack);
		}
	}
	for (unsigned int i = 0; i < b->n; i++) {
		free(b->memory[i]);
		free(b->packet[i]);
	}
	b->n = 0;
	tcp_burst_end(s->stack);
}

static void ladder(struct sim *s)
{
	tcp_set_pressure(s->stack, s->n_live ? (int)sim_range(&s->rng, 0, 2) : 0);
	if (sim_chance(&s->rng, 1000))
		sim_app_evict(&s->flow[sim_range(&s->rng, 0, s->n_flows - 1)]);
	if (s->n_live)
		sim_push(s, &(struct sim_event){.at = s->now + sim_range(&s->rng, 10000, 800000),
						.kind = EV_LADDER});
}

/* RFC 6191: the same four-tuple again, at once; the server's end lies in TIME_WAIT if it closed
 * first. */
static void second_life(struct sim *s, struct sim_flow *f)
{
	if (f->reborn || !f->par.again || f->tainted || f->c.outcome != OUT_FINISHED ||
	    f->app.closes != 1 || s->profile != PROFILE_NORMAL)
		return;
	sim_check_flow_end(f);
	outcomes[f->c.outcome]++;
	reasons[f->app.reason]++;
	connections++;
	f->par.iss += f->c.max + sim_range(&s->rng, 300000, 3000000);
	f->key += 7919;
	f->c = (struct sim_client){0};
	f->app = (struct sim_app){0};
	f->chk = (struct sim_check){0};
	f->reborn = true;
	f->done = false;
	s->n_live++;
	sim_client_start(f);
}

static void event(struct sim *s, const struct sim_event *e, struct burst *b)
{
	struct sim_flow *f = &s->flow[e->flow];

	switch (e->kind) {
	case EV_TO_SERVER:
		b->packet[b->n++] = e->packet;
		if (b->n == BURST_MAX)
			run_burst(s, b);
		break;
	case EV_TO_CLIENT:
		sim_client_input(f, e->packet);
		free(e->packet);
		break;
	case EV_CLIENT:
		sim_client_timer(f);
		break;
	case EV_APP:
		sim_app_timer(f);
		break;
	case EV_ICMP:
		sim_check_icmp(f, e->arg, e->arg2);
		break;
	case EV_LADDER:
		ladder(s);
		break;
	}
	if (f->done && (e->kind == EV_TO_CLIENT || e->kind == EV_CLIENT))
		second_life(s, f);
}

static void hung(struct sim *s)
{
	for (uint32_t i = 0; i < s->n_flows; i++)
		if (!s->flow[i].done || s->flow[i].app.conn)
			sim_fail(&s->flow[i], "does not come to an end");
	fprintf(stderr, "FAIL seed %" PRIu64 ": the stack does not become empty\n", s->seed);
	exit(1);
}

/* One turn of the worker's loop; false: nothing is left to happen. */
static bool turn(struct sim *s, struct burst *b)
{
	struct tcp_usage u;
	struct sim_event e;
	uint64_t next = SIM_NEVER, until;

	tcp_get_usage(s->stack, &u);
	if (u.conns || u.half_open)
		next = s->now +
		       (s->n_live > 8 ? TICK_US : 2 * TICK_US); /* few left: a lazy worker */
	else if (u.time_wait)
		next = s->now + 1000000;
	if (s->n_heap && s->heap[0].at < next)
		next = s->heap[0].at;
	if (next == SIM_NEVER)
		return false;
	if (next > s->now)
		s->now = next;
	tcp_advance(s->stack, s->now);
	/* What has arrived while the worker was busy with the last turn. */
	until = s->now + (sim_chance(&s->rng, 1000) ? sim_range(&s->rng, 0, 3000) : 50);
	while (sim_pop(s, until, &e)) {
		if (e.at > s->now)
			s->now = e.at;
		event(s, &e, b);
	}
	run_burst(s, b);
	if (s->now - s->start > BATCH_MAX_US)
		hung(s);
	return true;
}

static void batch_end(struct sim *s)
{
	struct tcp_usage u;
	bool bad = false;

	tcp_get_usage(s->stack, &u);
	for (uint32_t i = 0; i < s->n_flows; i++) {
		const struct sim_flow *f = &s->flow[i];

		sim_check_flow_end(&s->flow[i]);
		outcomes[f->c.outcome]++;
		if (f->app.closes)
			reasons[f->app.reason]++;
		tainted += f->tainted;
		bad |= f->tainted;
	}
	if (u.conns || u.half_open || u.time_wait || u.blocks_used || u.tx_blocks_used)
		sim_fail(&s->flow[0],
			 "left over: %u conns, %u half open, %u time wait, %u and %u blocks",
			 u.conns, u.half_open, u.time_wait, u.blocks_used, u.tx_blocks_used);
	if (!bad && s->counters[CNT_tcp_overlap_diff])
		sim_fail(&s->flow[0],
			 "an overlap that differs, from clients that have but one stream");
	for (unsigned int i = 0; i < POSTERN_DP_COUNTER_COUNT; i++)
		total[i] += s->counters[i];
	connections += s->n_flows;
	segments += s->to_server + s->to_client;
	virtual_us += s->now - s->start;
	if (s->verbose)
		printf("seed %" PRIu64 ": profile %d, %u connections, %" PRIu64 " + %" PRIu64
		       " segments, %.1f s\n",
		       s->seed, s->profile, s->n_flows, s->to_server, s->to_client,
		       (double)(s->now - s->start) / 1e6);
}

static void run_batch(uint64_t seed, bool verbose)
{
	struct sim s = {.seed = seed, .verbose = verbose};
	struct tcp_env env = {.ctx = &s,
			      .output = on_output,
			      .listening = on_listening,
			      .mss = on_mss,
			      .app = &sim_app_calls,
			      .counters = s.counters};
	static struct burst b;

	sim_draw_batch(&s);
	s.now = s.start;
	for (unsigned int i = 0; i < sizeof(env.secret); i++)
		env.secret[i] = (uint8_t)sim_rand(&s.rng);
	s.stack = tcp_stack_new(&s.opt, &env, s.now);
	s.flow = calloc(s.n_flows, sizeof(*s.flow));
	if (!s.stack || !s.flow)
		abort();
	s.n_live = s.n_flows;
	for (uint32_t i = 0; i < s.n_flows; i++) {
		s.flow[i].sim = &s;
		s.flow[i].index = i;
		sim_draw_flow(&s, &s.flow[i]);
		sim_push(&s, &(struct sim_event){.at = s.start + s.flow[i].par.start_us,
						 .flow = i,
						 .kind = EV_CLIENT});
	}
	if (s.profile == PROFILE_PRESSURE)
		sim_push(&s, &(struct sim_event){.at = s.start + 5000, .kind = EV_LADDER});
	while (turn(&s, &b))
		;
	batch_end(&s);
	tcp_stack_free(s.stack);
	free(s.flow);
	free(s.heap);
}

/* A run that never came to a place has tested nothing there. */
static int coverage(void)
{
	static const struct {
		enum postern_counter cnt;
		const char *name;
	} want[] = {
#define WANT(n) {CNT_##n, #n}
		WANT(tcp_cookie_accepted),
		WANT(tcp_conn_drop_pool),
		WANT(tcp_drop_out_of_window),
		WANT(tcp_drop_ooo_budget),
		WANT(tcp_drop_held_pool),
		WANT(tcp_drop_surplus),
		WANT(tcp_evicted),
		WANT(tcp_ooo),
		WANT(tcp_duplicate),
		WANT(tcp_fast_retransmit),
		WANT(tcp_rto),
		WANT(tcp_persist),
		WANT(tcp_zero_window_rx),
		WANT(tcp_timeout),
		WANT(tcp_time_wait),
		WANT(tcp_time_wait_recycled),
		WANT(tcp_rst_rx),
		WANT(tcp_rst_tx),
		WANT(tcp_data_on_syn),
		WANT(tcp_urgent),
		WANT(tcp_pmtu_lowered),
		WANT(tcp_icmp_ignored),
		WANT(tcp_tx_block_empty),
		WANT(tcp_challenge_ack),
		WANT(tcp_syn_drop_pressure),
		WANT(tcp_drop_paws),
		WANT(tcp_time_wait_reuse),
#undef WANT
	};
	int bad = 0;

	for (unsigned int i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		printf("  %-24s %" PRIu64 "\n", want[i].name, total[want[i].cnt]);
		if (!total[want[i].cnt]) {
			fprintf(stderr, "FAIL: %s never happened\n", want[i].name);
			bad = 1;
		}
	}
	return bad;
}

int main(int argc, char **argv)
{
	uint64_t seed = 1, want = 10000;
	bool verbose = false, whole = true;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--verbose")) {
			verbose = true;
		} else if (!strcmp(argv[i], "--seed") && i + 1 < argc) {
			seed = strtoull(argv[++i], NULL, 10);
		} else if (!strcmp(argv[i], "--connections") && i + 1 < argc) {
			want = strtoull(argv[++i], NULL, 10);
		} else {
			fprintf(stderr,
				"usage: sim_tcp [--seed N] [--connections N] [--verbose]\n");
			return 2;
		}
	}
	whole = want >= 10000;
	setvbuf(stdout, NULL, _IOLBF, 0);
	sim_wire_init();
	for (; connections < want; seed++)
		run_batch(seed, verbose);
	printf("%" PRIu64 " connections, %" PRIu64 " segments, %.0f s of virtual time, %" PRIu64
	       " tainted\n",
	       connections, segments, (double)virtual_us / 1e6, tainted);
	printf("clients: finished %" PRIu64 ", reset %" PRIu64 ", gave up %" PRIu64
	       ", aborted %" PRIu64 ", vanished %" PRIu64 "\n",
	       outcomes[OUT_FINISHED], outcomes[OUT_RESET], outcomes[OUT_GAVE_UP],
	       outcomes[OUT_ABORTED], outcomes[OUT_VANISHED]);
	printf("server: normal %" PRIu64 ", reset %" PRIu64 ", timeout %" PRIu64
	       ", evicted %" PRIu64 ", aborted %" PRIu64 "\n",
	       reasons[TCP_CLOSED_NORMAL], reasons[TCP_CLOSED_RESET], reasons[TCP_CLOSED_TIMEOUT],
	       reasons[TCP_CLOSED_EVICTED], reasons[TCP_CLOSED_ABORTED]);
	return whole ? coverage() : 0;
}
