/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `expect`: what the application saw, counters, pools, facts. */

#include "tests/script/script.h"

#include <string.h>

static const char *const reason_name[] = {
	[TCP_CLOSED_NORMAL] = "normal",   [TCP_CLOSED_RESET] = "reset",
	[TCP_CLOSED_TIMEOUT] = "timeout", [TCP_CLOSED_EVICTED] = "evicted",
	[TCP_CLOSED_ABORTED] = "aborted",
};

#define COUNTER_NAME(name, kind, help) #name,
static const char *const counter_name[] = {POSTERN_DP_COUNTERS(COUNTER_NAME)};

static void check(struct world *w, const char *what, int64_t v)
{
	struct range r = range(w, what);

	if (!in_range(&r, v))
		fail(w, "%s is %lld", what, (long long)v);
}

static void expect_data(struct world *w, struct peer *p)
{
	const uint8_t *got = p->got.p + p->looked_at;
	size_t n = p->got.n - p->looked_at;

	if (take(w, "none")) {
		if (n)
			fail(w, "the application got %zu octets", n);
		return;
	}
	if (take(w, "len")) {
		check(w, "number of octets the application got", (int64_t)n);
		for (size_t i = 0; i < n; i++)
			if (got[i] != pattern((uint32_t)(p->looked_at + i + 1)))
				fail(w, "octet %zu of the stream is wrong", p->looked_at + i + 1);
	} else {
		const struct token *t = next(w, "text");

		if (!t->quoted)
			fail(w, "expect data wants text, len N or none");
		if (t->n != n || memcmp(t->s, n ? (const char *)got : "", n))
			fail(w, "the application got %zu octets \"%.*s\"", n, (int)n,
			     n ? (const char *)got : "");
	}
	p->looked_at = p->got.n;
}

static void expect_counter(struct world *w, bool delta)
{
	const struct token *t = next(w, "counter");
	uint64_t v;

	for (unsigned int i = 0; i < POSTERN_DP_COUNTER_COUNT; i++) {
		if (strcmp(counter_name[i], t->s))
			continue;
		v = w->counters[i] - (delta ? w->marked[i] : 0);
		w->marked[i] = w->counters[i];
		if (delta && take(w, "new")) {
			if (v == w->last_delta[i])
				fail(w, "%s grew by %llu once more", t->s, (unsigned long long)v);
		} else {
			check(w, t->s, (int64_t)v);
		}
		w->last_delta[i] = v;
		return;
	}
	fail(w, "there is no counter '%s'", t->s);
}

static void expect_usage(struct world *w)
{
	struct tcp_usage u;

	tcp_get_usage(w->stack, &u);
	while (more(w)) {
		if (take(w, "conns"))
			check(w, "conns", u.conns);
		else if (take(w, "half_open"))
			check(w, "half_open", u.half_open);
		else if (take(w, "time_wait"))
			check(w, "time_wait", u.time_wait);
		else if (take(w, "blocks"))
			check(w, "blocks", u.blocks_used);
		else if (take(w, "tx_blocks"))
			check(w, "tx_blocks", u.tx_blocks_used);
		else
			fail(w, "usage has no '%s'", w->line.tok[w->line.at].s);
	}
}

static void expect_fact(struct world *w, struct peer *p)
{
	const char *name = next(w, "fact")->s;
	struct tcp_facts f;

	if (!p->conn)
		fail(w, "%s: there is no connection", p->name);
	tcp_get_facts(p->conn, &f);
#define FACT(field) \
	if (!strcmp(name, #field)) { \
		check(w, name, f.field); \
		return; \
	}
	FACT(srtt_us) FACT(retransmits) FACT(ooo_segments) FACT(overlap_diff) FACT(peer_window)
	FACT(peer_mss) FACT(ttl) FACT(handshake)
#undef FACT
	fail(w, "there is no fact '%s'", name);
}

/* `expect iss B A RANGE`: ISN of B less that of A, modulo 2^32. */
static void expect_difference(struct world *w, bool ts)
{
	struct peer *b = world_peer(w, next(w, "name")->s, false);
	struct peer *a = world_peer(w, next(w, "name")->s, false);

	if (!a || !b || !(ts ? a->knows_ts && b->knows_ts : a->knows_iss && b->knows_iss))
		fail(w, "both connections must have been answered");
	check(w, "difference", ts ? b->ts_base - a->ts_base : b->server_iss - a->server_iss);
}

static void expect_state(struct world *w, const struct peer *p)
{
	const char *want = next(w, "state")->s, *is = probe_state(w, &p->tuple);

	if (strcmp(want, is))
		fail(w, "the state is %s", is);
}

static void expect_closed(struct world *w, const struct peer *p)
{
	const char *want = next(w, "reason")->s;

	if (!p->closed)
		fail(w, "the connection is not closed");
	if (strcmp(want, reason_name[p->reason]))
		fail(w, "closed: %s", reason_name[p->reason]);
}

static void yes(struct world *w, bool good, const char *otherwise)
{
	if (!good)
		fail(w, "%s", otherwise);
}

void expect(struct world *w, struct peer *p)
{
	if (take(w, "data"))
		expect_data(w, p);
	else if (take(w, "eof"))
		yes(w, p->eof, "there was no eof()");
	else if (take(w, "no-eof"))
		yes(w, !p->eof, "there was an eof()");
	else if (take(w, "open"))
		yes(w, p->accepted && !p->closed && p->conn, "the connection is not open");
	else if (take(w, "absent"))
		yes(w, !p->accepted, "accept() was called");
	else if (take(w, "closed"))
		expect_closed(w, p);
	else if (take(w, "unacked"))
		check(w, "unacked", p->conn ? tcp_unacked(p->conn) : 0);
	else if (take(w, "acked"))
		check(w, "acked", p->acked);
	else if (take(w, "counter"))
		expect_counter(w, false);
	else if (take(w, "delta"))
		expect_counter(w, true);
	else if (take(w, "usage"))
		expect_usage(w);
	else if (take(w, "fact"))
		expect_fact(w, p);
	else if (take(w, "state"))
		expect_state(w, p);
	else if (take(w, "iss"))
		expect_difference(w, false);
	else if (take(w, "tsbase"))
		expect_difference(w, true);
	else
		fail(w, "expect what?");
	no_more(w);
}
