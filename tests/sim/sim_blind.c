/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * sim_blind [--seed N] [--segments N]: an attacker off the path, who knows the four-tuple and
 * guesses sequence numbers (RFC 5961, CVE-2016-5696). What each guess may do is predicted from its
 * numbers by the RFCs' rules; the stack must have done that and nothing else.
 */

#include "dataplane/tcp/internal.h"
#include "dataplane/tcp/test_tcp_peer.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define PER_MS      1 /* guesses a millisecond of virtual time */
#define PEER_WINDOW 65535u

enum where { W_IDLE, W_DATA, W_FIN_WAIT_2, W_TIME_WAIT, W_SYN_RCVD, W_COUNT };
static const char *const where_name[] = {"idle", "data under way", "FIN_WAIT_2", "TIME_WAIT",
					 "SYN_RCVD"};
enum kind { K_RST, K_SYN, K_SYN_ACK, K_FIN, K_DATA, K_ACK, K_COUNT };
static const uint8_t kind_flags[] = {
	PEER_RST, PEER_SYN, PEER_SYN | PEER_ACK, PEER_FIN | PEER_ACK, PEER_ACK | PEER_PSH,
	PEER_ACK};

/* What the true peer knows, kept without a look at the stack's memory. */
struct truth {
	enum where where;
	bool ts, wide;
	uint32_t irs, iss, rcv_nxt, edge, una, max, ts_recent;
};

struct guess {
	enum kind kind;
	uint32_t seq, ack, len, tsval;
	bool has_ts;
};

struct view {
	struct tcp_usage use;
	size_t got;
	bool eof, closed;
	uint32_t unacked;
	uint8_t state;
	uint32_t rcv_nxt, snd_una, snd_max, snd_wnd, held, ts_recent, fin;
	uint16_t ooo;
};

enum expect { NOTHING, EFFECT, EITHER };

static struct peer *p;
static struct truth t;
static struct sim_rng rng;
static uint64_t seed = 1, uniform_rst, uniform_hits, allowed[K_COUNT], tried[K_COUNT], rebuilt;
static uint64_t second, challenges, limited, answers, budget_min = UINT64_MAX, budget_max, budgets;
static bool whole_second;

_Noreturn static void __attribute__((format(printf, 2, 3)))
fail(const struct guess *g, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "FAIL seed %" PRIu64 " in %s%s%s: ", seed, where_name[t.where],
		t.ts ? " ts" : "", t.wide ? " wide" : "");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nRCV.NXT %u edge +%u SND.UNA %u SND.NXT +%u ts %u\n", t.rcv_nxt,
		t.edge - t.rcv_nxt, t.una, t.max - t.una, t.ts_recent);
	if (g)
		fprintf(stderr, "flags %02x seq RCV.NXT%+d ack SND.UNA%+d len %u ts %d %+d\n",
			kind_flags[g->kind], (int32_t)(g->seq - t.rcv_nxt),
			(int32_t)(g->ack - t.una), g->len, g->has_ts,
			(int32_t)(g->tsval - t.ts_recent));
	exit(1);
}

/* Reads what the stack sent, as the true peer would. */
static unsigned int read_wire(void)
{
	unsigned int n = p->n_out;

	for (unsigned int i = 0; i < n; i++) {
		const struct peer_segment *s = &p->out[i];

		if (s->flags & (PEER_RST | PEER_SYN))
			continue;
		if ((int32_t)(s->ack + s->wnd - t.edge) > 0)
			t.edge = s->ack + s->wnd;
		if ((int32_t)(s->seq + s->len + !!(s->flags & PEER_FIN) - t.max) > 0)
			t.max = s->seq + s->len + !!(s->flags & PEER_FIN);
	}
	peer_clear(p);
	return n;
}

static void inject(uint32_t seq, uint32_t ack, uint8_t flags, uint32_t len, bool has_ts,
		   uint32_t tsval)
{
	static const uint8_t data[64] = "spoofed";
	uint8_t opt[12] = {1, 1, 8, 10};

	peer_put32(opt + 4, tsval);
	peer_inject(p, seq, ack, flags, PEER_WINDOW, data, len, opt, has_ts ? sizeof(opt) : 0);
	tcp_burst_end(p->stack);
}

static void truly(uint32_t seq, uint32_t ack, uint8_t flags, uint32_t len)
{
	inject(seq, ack, flags, len, t.ts, t.ts_recent);
	read_wire();
}

static void data_under_way(void)
{
	static const uint8_t reply[5000];

	if (tcp_send(p->conn, reply, sizeof(reply)))
		fail(NULL, "tcp_send");
	tcp_burst_end(p->stack);
	read_wire();
	truly(t.rcv_nxt, t.una, PEER_ACK, 40);
	t.rcv_nxt += 40;
	truly(t.rcv_nxt + 1000, t.una, PEER_ACK, 50); /* a gap before it */
}

static void close_first(void)
{
	tcp_close(p->conn);
	tcp_burst_end(p->stack);
	read_wire();
	t.una = t.max;
	truly(t.rcv_nxt, t.una, PEER_ACK, 0);
	if (t.where != W_TIME_WAIT)
		return;
	truly(t.rcv_nxt, t.una, PEER_FIN | PEER_ACK, 0);
	t.rcv_nxt++;
}

static void build(enum where where, bool ts, bool wide)
{
	if (p->stack)
		tcp_stack_free(p->stack);
	peer_new(p);
	whole_second = false;
	rebuilt++;
	t = (struct truth){.where = where,
			   .ts = ts,
			   .wide = wide,
			   .irs = (uint32_t)sim_rand(&rng),
			   .ts_recent = (uint32_t)sim_rand(&rng)};
	inject(t.irs, 0, PEER_SYN, 0, ts, t.ts_recent);
	if (p->n_out != 1 || p->out[0].flags != (PEER_SYN | PEER_ACK))
		fail(NULL, "no SYN-ACK");
	t.iss = p->out[0].seq;
	t.una = t.max = t.iss + 1;
	t.rcv_nxt = t.irs + 1;
	t.edge = t.rcv_nxt + p->out[0].wnd;
	peer_clear(p);
	if (where == W_SYN_RCVD)
		return;
	truly(t.rcv_nxt, t.una, PEER_ACK, 0);
	if (!p->conn)
		fail(NULL, "no connection");
	if (wide) {
		tcp_set_window(p->conn, 65535);
		tcp_burst_end(p->stack);
		read_wire();
	}
	if (where == W_DATA)
		data_under_way();
	else if (where != W_IDLE)
		close_first();
	if (t.edge - t.rcv_nxt < 16000 || (p->conn && t.una != p->conn->snd_una))
		fail(NULL, "the scene is not as planned");
}

static void look(struct view *v)
{
	const struct tcp_conn *c = p->conn;

	memset(v, 0, sizeof(*v));
	tcp_get_usage(p->stack, &v->use);
	v->got = p->n_got;
	v->eof = p->eof;
	v->closed = p->closed;
	if (!c)
		return;
	v->unacked = tcp_unacked(c);
	v->state = c->state;
	v->rcv_nxt = c->rcv_nxt;
	v->snd_una = c->snd_una;
	v->snd_max = c->snd_max;
	v->snd_wnd = c->snd_wnd;
	v->held = c->held_bytes;
	v->ts_recent = c->ts_recent;
	v->fin = c->flags & (CF_FIN_RCVD | CF_FIN_SEEN | CF_EOF_DONE | CF_FIN_QUEUED);
	v->ooo = c->ooo_blocks;
}

/* RFC 9293 3.10.7.4, first. */
static bool acceptable(const struct guess *g)
{
	uint32_t len = g->len + (g->kind == K_FIN), wnd = t.edge - t.rcv_nxt;

	return g->seq - t.rcv_nxt < wnd || (len && g->seq + len - 1 - t.rcv_nxt < wnd);
}

static bool old_ts(const struct guess *g)
{
	return t.ts && g->has_ts && g->kind != K_RST && (int32_t)(g->tsval - t.ts_recent) < 0;
}

static enum expect in_time_wait(const struct guess *g)
{
	/* RFC 6191 2, RFC 9293 3.10.7.4: a newer SYN may open it again; RFC 1337: nothing else. */
	if (g->kind != K_SYN)
		return NOTHING;
	if (t.ts && g->has_ts && g->tsval != t.ts_recent)
		return (int32_t)(g->tsval - t.ts_recent) > 0 ? EFFECT : NOTHING;
	return (int32_t)(g->seq - t.rcv_nxt) > 0 ? EFFECT : NOTHING;
}

static enum expect in_syn_rcvd(const struct guess *g)
{
	if (g->kind == K_RST)
		return g->seq == t.rcv_nxt ? EFFECT : NOTHING;
	if (g->kind == K_SYN || g->kind == K_SYN_ACK || old_ts(g) || !acceptable(g) ||
	    g->ack != t.una)
		return NOTHING;
	return g->seq - t.rcv_nxt < t.edge - t.rcv_nxt ? EFFECT : EITHER;
}

static enum expect predict(const struct guess *g)
{
	if (t.where == W_TIME_WAIT)
		return in_time_wait(g);
	if (t.where == W_SYN_RCVD)
		return in_syn_rcvd(g);
	if (g->kind == K_SYN || g->kind == K_SYN_ACK || old_ts(g) || !acceptable(g))
		return NOTHING; /* RFC 5961 4, RFC 7323 5.3 */
	if (g->kind == K_RST)
		return g->seq == t.rcv_nxt ? EFFECT : NOTHING; /* RFC 5961 3 */
	/* RFC 5961 5.2: SND.UNA - MAX.SND.WND =< SEG.ACK =< SND.NXT */
	if (g->ack - (t.una - PEER_WINDOW) > t.max - t.una + PEER_WINDOW)
		return NOTHING;
	if (t.ts && !g->has_ts)
		return EITHER; /* RFC 7323 3.2: should be dropped */
	if ((int32_t)(g->ack - t.una) > 0)
		return EFFECT;
	if (!g->len && g->kind != K_FIN)
		return EITHER; /* a window update, or not even that */
	if (t.where == W_IDLE)
		return EFFECT;
	return EITHER; /* after close out-of-order octets are not kept; the gap may be known */
}

static void draw(struct guess *g, bool *uniform)
{
	uint32_t how = sim_range(&rng, 0, 999), wnd = t.edge - t.rcv_nxt;

	g->kind = (enum kind)sim_range(&rng, 0, K_COUNT - 1);
	g->seq = (uint32_t)sim_rand(&rng);
	g->ack = (uint32_t)sim_rand(&rng);
	g->len = g->kind == K_DATA || (g->kind == K_FIN && sim_chance(&rng, 5000))
			 ? sim_range(&rng, 1, 64)
			 : 0;
	g->has_ts = sim_chance(&rng, 5000);
	g->tsval = (uint32_t)sim_rand(&rng);
	*uniform = how < 600;
	if (how < 600)
		return;
	if (how < 700) { /* in the window, a hair beside RCV.NXT or anywhere */
		g->kind = K_RST;
		g->seq = t.rcv_nxt + (sim_chance(&rng, 3000) ? 1 : sim_range(&rng, 1, wnd - 1));
	} else if (how < 800) {
		g->kind = sim_chance(&rng, 5000) ? K_SYN : K_SYN_ACK;
		g->seq = t.rcv_nxt + sim_range(&rng, 0, wnd - 1);
	} else if (how < 997) { /* the window is known, the acknowledgement is not */
		if (g->kind < K_FIN)
			g->kind = K_DATA;
		if (g->kind == K_DATA && !g->len)
			g->len = 40;
		g->seq = t.rcv_nxt + sim_range(&rng, 0, wnd - 1);
		do
			g->ack = (uint32_t)sim_rand(&rng);
		while (g->ack - (t.una - PEER_WINDOW) <= t.max - t.una + PEER_WINDOW);
	} else if (how < 999) { /* around the limits of the rules */
		static const int32_t beside[] = {-2, -1, 0, 1, 2};
		const uint32_t seqs[] = {t.rcv_nxt, t.edge, t.rcv_nxt - 64, t.rcv_nxt + wnd / 2};
		const uint32_t acks[] = {t.una, t.max, t.una - PEER_WINDOW, t.una - 1000};

		g->seq = seqs[sim_range(&rng, 0, 3)] + (uint32_t)beside[sim_range(&rng, 0, 4)];
		g->ack = acks[sim_range(&rng, 0, 3)] + (uint32_t)beside[sim_range(&rng, 0, 4)];
		g->tsval = t.ts_recent + (uint32_t)beside[sim_range(&rng, 0, 4)];
	} else { /* some are right by luck */
		g->seq = t.rcv_nxt - 200000 + sim_range(&rng, 0, 400000);
		g->ack = t.una - 100000 + sim_range(&rng, 0, 200000);
	}
}

/* Each second of the attack: how many challenges were answered before it fell silent. */
static void per_second(void)
{
	uint64_t now = p->now_us / 1000000, c = p->counters[CNT_tcp_challenge_ack];

	if (now == second)
		return;
	if (whole_second) {
		uint64_t n = c - challenges;

		if (n >= 2 * LIMIT_TCP_CHALLENGE_PER_S)
			fail(NULL, "%" PRIu64 " challenge ACKs in a second", n);
		if (answers > n + LIMIT_TCP_OOW_PER_S + LIMIT_TCP_RST_PER_S + 20)
			fail(NULL, "%" PRIu64 " answers in a second", answers);
		if (p->counters[CNT_tcp_challenge_limited] > limited) {
			budgets++;
			budget_min = n < budget_min ? n : budget_min;
			budget_max = n > budget_max ? n : budget_max;
			if (n < LIMIT_TCP_CHALLENGE_PER_S)
				fail(NULL, "the budget was %" PRIu64, n);
		}
	}
	second = now;
	challenges = c;
	limited = p->counters[CNT_tcp_challenge_limited];
	answers = 0;
	whole_second = true;
}

static bool attack_once(void)
{
	struct view before, after;
	struct guess g;
	enum expect want;
	bool uniform, changed;

	draw(&g, &uniform);
	tried[g.kind]++;
	uniform_rst += uniform && g.kind == K_RST;
	want = predict(&g);
	if (uniform && g.kind == K_RST && want == EFFECT)
		uniform_hits++;
	look(&before);
	inject(g.seq, g.ack, kind_flags[g.kind], g.len, g.has_ts, g.tsval);
	look(&after);
	changed = memcmp(&before, &after, sizeof(before)) != 0;
	answers += read_wire();
	if (changed && want == NOTHING)
		fail(&g,
		     "a guess that the rules forbid had an effect (state %u -> %u, octets %zu -> "
		     "%zu)",
		     before.state, after.state, before.got, after.got);
	if (!changed && want == EFFECT)
		fail(&g, "a segment that the rules allow had none");
	allowed[g.kind] += want != NOTHING;
	return want != NOTHING;
}

static void attack(enum where where, bool ts, bool wide, uint64_t n)
{
	build(where, ts, wide);
	for (uint64_t i = 0; i < n; i++) {
		if (attack_once() || p->now_us > 40000000)
			build(where, ts, wide);
		if (i % PER_MS == 0) {
			peer_advance(p, 1);
			read_wire();
			per_second();
		}
	}
}

int main(int argc, char **argv)
{
	uint64_t segments = 1000000, total = 0, all = 0;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--seed") && i + 1 < argc) {
			seed = strtoull(argv[++i], NULL, 10);
		} else if (!strcmp(argv[i], "--segments") && i + 1 < argc) {
			segments = strtoull(argv[++i], NULL, 10);
		} else {
			fprintf(stderr, "usage: sim_blind [--seed N] [--segments N]\n");
			return 2;
		}
	}
	rng.s = seed;
	p = calloc(1, sizeof(*p));
	if (!p)
		return 2;
	/* A SYN into TIME_WAIT is right every second time, and builds the scene anew: fewer of
	 * those. */
	for (unsigned int i = 0; i < 4 * W_COUNT; i++)
		attack((enum where)(i % W_COUNT), i / W_COUNT & 1, i / W_COUNT & 2,
		       i % W_COUNT == W_TIME_WAIT ? segments / 100 : segments * 6 / 100);
	for (unsigned int k = 0; k < K_COUNT; k++) {
		total += tried[k];
		all += allowed[k];
		printf("flags %02x: %" PRIu64 " guesses, %" PRIu64 " within the rules\n",
		       kind_flags[k], tried[k], allowed[k]);
	}
	printf("%" PRIu64 " guesses, %" PRIu64 " within the rules, %" PRIu64 " scenes; %" PRIu64
	       " uniform RSTs hit RCV.NXT %" PRIu64 " times, expected %.6f\n",
	       total, all, rebuilt, uniform_rst, uniform_hits, (double)uniform_rst / 4294967296.0);
	printf("challenge ACKs in a second under attack: %" PRIu64 " to %" PRIu64 ", %" PRIu64
	       " seconds\n",
	       budget_min, budget_max, budgets);
	tcp_stack_free(p->stack);
	free(p);
	if (segments < 1000000)
		return 0;
	if (total < segments || !all || !allowed[K_RST] || !allowed[K_DATA]) {
		fprintf(stderr, "FAIL: not enough guesses, or none that was right\n");
		return 1;
	}
	/* 2^-32 each: two hits in 10^5 are a fault of the test or of the stack. */
	if (uniform_hits > 1) {
		fprintf(stderr, "FAIL: %" PRIu64 " of %" PRIu64 " uniform RSTs hit\n", uniform_hits,
			uniform_rst);
		return 1;
	}
	if (budgets < 20 || budget_max - budget_min < 10) {
		fprintf(stderr, "FAIL: the challenge budget can be predicted\n");
		return 1;
	}
	return 0;
}
