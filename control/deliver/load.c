/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/deliver/load.h"

#include "postern/limits.h"

#define SECOND UINT64_C(1000000)
#define SPAN (30 * SECOND)   /* latencies shown are those of the last one to two of these */
#define NO_WAIT UINT64_MAX
#define FRESH_SAMPLES 5      /* fewer say nothing of how things are */
#define FLOOR_US (SECOND / 2) /* what is faster than this is not slow, whatever is usual */
/* How fast what is usual follows: downwards at once, upwards with time constants of minutes, for a next
 * hop that became slower for good, and longer while it counts as slow. */
#define USUAL_UP 300.0
#define USUAL_UP_SLOW 3600.0

void load_init(struct load *l)
{
	memset(l, 0, sizeof(*l));
	TAILQ_INIT(&l->open);
	TAILQ_INIT(&l->held);
	l->least_wait_us[0] = l->least_wait_us[1] = NO_WAIT;
	l->bound = -1; /* no rules were seen yet */
	l->mean_chunks = 1;
}

void load_fini(struct load *l)
{
	struct load_ticket *t;

	while ((t = TAILQ_FIRST(&l->open)) || (t = TAILQ_FIRST(&l->held)))
		load_leave(t);
}

/* ---- the bound ------------------------------------------------------------------------------- */

static double highest(const struct load_rules *rules)
{
	return rules->config.max_outstanding ? rules->config.max_outstanding : LIMIT_ONWARD_WAITING;
}

static double lowest(const struct load_rules *rules)
{
	return rules->connections > LIMIT_LOAD_LEAST ? rules->connections : LIMIT_LOAD_LEAST;
}

/* A reload may have changed the rules. */
static double bound(const struct load *l, const struct load_rules *rules)
{
	double most = highest(rules);

	return l->bound < 0 || l->bound > most ? most : l->bound;
}

/* What the connections carry, and what waits for them no longer than it may (Little's law). */
static double little(const struct load *l, const struct load_rules *rules)
{
	double service = l->service_us > 1000 ? l->service_us : 1000;

	return lowest(rules) * (1 + (double)rules->config.wait_s * SECOND / service);
}

/* ---- tickets ----------------------------------------------------------------------------------- */

static uint32_t chunks_of(uint64_t size)
{
	uint64_t n = (size + HANDOFF_CHUNK - 1) / HANDOFF_CHUNK;

	return n < 1 ? 1 : n > HANDOFF_MAX_CHUNKS ? HANDOFF_MAX_CHUNKS : (uint32_t)n;
}

/* SIZE is a promise that costs nothing: no more is kept for it than for four messages as they come. */
static uint32_t expected(const struct load *l, uint64_t declared)
{
	uint32_t n = chunks_of(declared), most = (uint32_t)(4 * l->mean_chunks);

	return n < most ? n : most;
}

static void take(struct load *l, struct load_ticket *t, uint64_t now_us, uint32_t worker, uint32_t chunks,
		 bool submitted)
{
	*t = (struct load_ticket){.load = l, .since_us = now_us, .chunks = chunks,
				  .worker = (uint16_t)worker, .submitted = submitted};
	if (!l->outstanding)
		l->ended_us = now_us;
	l->outstanding++;
	if (l->outstanding > l->peak)
		l->peak = l->outstanding;
	l->records[worker]++;
	l->chunks[worker] += chunks;
	if (submitted)
		TAILQ_INSERT_TAIL(&l->held, t, link);
	else
		TAILQ_INSERT_TAIL(&l->open, t, link);
}

void load_leave(struct load_ticket *t)
{
	struct load *l = t->load;

	if (!l)
		return;
	if (t->submitted || t->stale)
		TAILQ_REMOVE(&l->held, t, link);
	else
		TAILQ_REMOVE(&l->open, t, link);
	if (!t->stale)
		l->outstanding--;
	l->records[t->worker]--;
	l->chunks[t->worker] -= t->chunks;
	*t = (struct load_ticket){0};
}

/* Who was let in and sends nothing does not keep others out. */
static void let_go(struct load *l, uint64_t now_us)
{
	struct load_ticket *t;

	while ((t = TAILQ_FIRST(&l->open)) && now_us - t->since_us > LIMIT_LOAD_OPEN_S * SECOND) {
		TAILQ_REMOVE(&l->open, t, link);
		TAILQ_INSERT_TAIL(&l->held, t, link);
		t->stale = true;
		l->outstanding--;
	}
}

static bool fits(const struct load *l, const struct load_rules *rules, const struct load_room *room,
		 uint32_t chunks)
{
	uint64_t share = rules->config.arena_share, rest = 100 - share;
	uint32_t has = l->records[room->worker];

	/* Whoever has nothing gets what there is, and that is the dataplane's to say. */
	if (!room->shared || !has || share >= 100)
		return true;
	return (l->chunks[room->worker] + (uint64_t)chunks) * rest <= share * room->chunks_free &&
	       (has + UINT64_C(1)) * rest <= share * room->records_free;
}

static void refuse(struct load *l, uint64_t now_us)
{
	l->refused++;
	l->good = l->quiet = 0;
	if (l->state == LOAD_SHEDDING)
		return;
	l->state = LOAD_SHEDDING;
	l->shedding_us = now_us;
	l->opened++;
}

enum load_answer load_admit(struct load *l, const struct load_rules *rules, uint64_t now_us,
			    const struct load_room *room, uint64_t declared, struct load_ticket *t)
{
	uint32_t chunks = expected(l, declared);

	let_go(l, now_us);
	if (!l->turned_us)
		l->turned_us = now_us;
	if (!rules->config.on) {
		take(l, t, now_us, room->worker, chunks, false);
		return LOAD_ADMITTED;
	}
	if (l->outstanding >= (unsigned int)bound(l, rules)) {
		l->refused_bound++;
		refuse(l, now_us);
		if (l->cause == LOAD_NONE)
			l->cause = LOAD_QUEUE;
		return LOAD_OVER_BOUND;
	}
	if (!fits(l, rules, room, chunks)) {
		l->refused_memory++;
		refuse(l, now_us);
		l->cause = LOAD_MEMORY;
		return LOAD_OVER_MEMORY;
	}
	take(l, t, now_us, room->worker, chunks, false);
	return LOAD_ADMITTED;
}

void load_submit(struct load *l, uint64_t now_us, uint32_t worker, uint64_t size,
		 struct load_ticket *from, struct load_ticket *to)
{
	uint32_t chunks = chunks_of(size);

	/* The route of its recipients was another's by a reload: it is where it is counted. */
	if (from->load)
		l = from->load;
	load_leave(from);
	take(l, to, now_us, worker, chunks, true);
	l->mean_chunks += (chunks - l->mean_chunks) / 16;
}

/* ---- what happened ------------------------------------------------------------------------------- */

void load_waited(struct load *l, uint64_t now_us, bool callout, uint64_t us)
{
	if (us < l->least_wait_us[!callout])
		l->least_wait_us[!callout] = us;
	if (!callout)
		histogram_window_add(&l->waited, now_us, SPAN, us);
}

void load_stage_took(struct load *l, enum load_stage stage, uint64_t now_us, uint64_t us)
{
	histogram_add(&l->stage[stage].fresh, us);
	histogram_window_add(&l->stage[stage].seen, now_us, SPAN, us);
}

void load_ended(struct load *l, uint64_t now_us, bool failed, uint64_t us)
{
	l->ended_us = now_us;
	l->failed = failed ? l->failed + 1 : 0;
	if (us)
		l->service_us += l->service_us > 0 ? ((double)us - l->service_us) / 16 : (double)us;
}

void load_done(struct load *l, uint64_t now_us, uint64_t us)
{
	histogram_window_add(&l->whole, now_us, SPAN, us);
}

/* ---- each second --------------------------------------------------------------------------------- */

static void learn(struct load_latency *s, bool slow, double seconds)
{
	double k = seconds / (slow ? USUAL_UP_SLOW : USUAL_UP);

	if (!s->usual_us)
		s->usual_us = s->current_us;
	else if (s->current_us < s->usual_us)
		s->usual_us += (s->current_us - s->usual_us) / 4;
	else
		s->usual_us += (s->current_us - s->usual_us) * (k < 1 ? k : 1);
}

/* How many times slower than it may be; 1 or less: it is not slow. */
static double slowness(struct load *l, const struct load_rules *rules, double seconds)
{
	double worst = 0;

	for (int i = 0; i < LOAD_STAGES; i++) {
		struct load_latency *s = &l->stage[i];
		double may, is;

		if (s->fresh.n < FRESH_SAMPLES)
			continue;
		s->current_us = (double)histogram_quantile(&s->fresh, 0.5);
		memset(&s->fresh, 0, sizeof(s->fresh));
		may = s->usual_us * rules->config.factor;
		if (may < FLOOR_US)
			may = FLOOR_US;
		is = s->usual_us > 0 ? s->current_us / may : 0;
		learn(s, is > 1, seconds);
		if (is > worst)
			worst = is;
	}
	return worst;
}

static bool queue_stands(const struct load *l, const struct load_rules *rules, uint64_t now_us,
			 uint64_t oldest_us)
{
	uint64_t wait = rules->config.wait_s * SECOND, callout = LIMIT_CALLOUT_S * SECOND / 2;
	uint64_t least = l->least_wait_us[1] != NO_WAIT ? l->least_wait_us[1] : oldest_us;
	/* A single large message may take its time. */
	bool stalled = l->outstanding > rules->connections && now_us - l->ended_us > wait;

	return least > wait || stalled ||
	       (l->least_wait_us[0] != NO_WAIT && l->least_wait_us[0] > (wait < callout ? wait : callout));
}

static double at_least(double a, double b)
{
	return a > b ? a : b;
}

static double at_most(double a, double b)
{
	return a < b ? a : b;
}

/* The new bound, and what is the matter. */
static enum load_cause adapt(struct load *l, const struct load_rules *rules, uint64_t now_us,
			     uint64_t oldest_us, double seconds)
{
	double is = bound(l, rules), used = at_most(is, l->peak), slow = slowness(l, rules, seconds);

	if (l->failed >= LIMIT_LOAD_FAILED) {
		l->bound = at_least(LIMIT_LOAD_LEAST, at_most(is, at_least(used, lowest(rules))) / 2);
		return LOAD_SILENT;
	}
	if (queue_stands(l, rules, now_us, oldest_us)) {
		l->bound = at_most(is, at_least(lowest(rules), used * 3 / 4));
		return LOAD_QUEUE;
	}
	if (slow > 1) {
		l->bound = at_most(is, at_least(little(l, rules), used / at_most(slow, 2)));
		return LOAD_LATENCY;
	}
	l->bound = at_most(highest(rules), is + at_least(LIMIT_LOAD_LEAST, is / 4));
	return LOAD_NONE;
}

void load_turn(struct load *l, const struct load_rules *rules, uint64_t now_us, uint64_t oldest_us)
{
	uint64_t since = l->turned_us ? now_us - l->turned_us : SECOND;
	enum load_cause cause;

	let_go(l, now_us);
	cause = adapt(l, rules, now_us, oldest_us, (double)since / SECOND);
	l->quiet = l->refused ? 0 : l->quiet + 1;
	l->good = l->refused || cause != LOAD_NONE ? 0 : l->good + 1;
	if (cause != LOAD_NONE)
		l->cause = cause;
	if (l->good >= LIMIT_LOAD_GOOD) {
		l->state = LOAD_OK;
		l->cause = LOAD_NONE;
	} else if (l->state == LOAD_SHEDDING ? l->quiet >= LIMIT_LOAD_GOOD : cause != LOAD_NONE) {
		l->state = LOAD_SLOW;
	}
	l->turned_us = now_us;
	l->least_wait_us[0] = l->least_wait_us[1] = NO_WAIT;
	l->peak = l->outstanding;
	l->refused = 0;
}

bool load_busy(const struct load *l, const struct load_rules *rules)
{
	if (l->outstanding || l->refused)
		return true;
	if (l->failed >= LIMIT_LOAD_FAILED)
		return l->state == LOAD_SHEDDING;
	return l->state != LOAD_OK || bound(l, rules) < highest(rules);
}

bool load_lasts(const struct load *l, uint64_t now_us)
{
	return l->state == LOAD_SHEDDING && now_us - l->shedding_us >= LIMIT_LOAD_LASTS_S * SECOND;
}

/* ---- what is shown ------------------------------------------------------------------------------- */

static void quantiles(const struct histogram_window *w, uint64_t now_us, uint64_t out[2])
{
	out[0] = histogram_window_quantile(w, now_us, SPAN, 0.5);
	out[1] = histogram_window_quantile(w, now_us, SPAN, 0.99);
}

void load_look(const struct load *l, const struct load_rules *rules, uint64_t now_us, struct load_view *v)
{
	*v = (struct load_view){
		.state = l->state, .cause = l->state == LOAD_OK ? LOAD_NONE : l->cause,
		.outstanding = l->outstanding, .bound = (unsigned int)bound(l, rules),
		.state_us = l->state == LOAD_SHEDDING ? now_us - l->shedding_us : 0,
		.opened = l->opened, .refused_bound = l->refused_bound,
		.refused_memory = l->refused_memory,
	};
	for (size_t i = 0; i < HANDOFF_MAX_WORKERS; i++)
		v->held += (uint64_t)l->records[i] * HANDOFF_RECORD + (uint64_t)l->chunks[i] * HANDOFF_CHUNK;
	quantiles(&l->waited, now_us, v->wait_us);
	quantiles(&l->whole, now_us, v->whole_us);
	for (int i = 0; i < LOAD_STAGES; i++) {
		quantiles(&l->stage[i].seen, now_us, v->stage_us[i]);
		v->usual_us[i] = (uint64_t)l->stage[i].usual_us;
	}
}

const char *load_state_name(enum load_state s)
{
	static const char *const name[] = {
		[LOAD_OK] = "ok", [LOAD_SLOW] = "slow", [LOAD_SHEDDING] = "shedding"};

	return name[s];
}

const char *load_cause_name(enum load_cause c)
{
	static const char *const name[] = {
		[LOAD_NONE] = "", [LOAD_LATENCY] = "latency", [LOAD_QUEUE] = "queue",
		[LOAD_SILENT] = "no answer", [LOAD_MEMORY] = "memory"};

	return name[c];
}

const char *load_stage_name(enum load_stage s)
{
	static const char *const name[] = {
		[LOAD_CONNECT] = "connect", [LOAD_RCPT] = "rcpt", [LOAD_DOT] = "dot"};

	return name[s];
}
