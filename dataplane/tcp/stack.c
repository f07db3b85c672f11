/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/tcp/internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};

bool tcp_is_v4(const struct tcp_tuple *t)
{
	return !memcmp(t->local, v4_prefix, sizeof(v4_prefix));
}

static size_t round64(size_t n)
{
	return (n + 63) & ~(size_t)63;
}

/* Touched here, so that no page is missing later; in large pages where the system has them, because
 * a look-up among a million flows misses the TLB before it misses the cache. */
static void *get_memory(size_t n)
{
	size_t size = round64(n ? n : 1), huge = 2u << 20;
	void *p = aligned_alloc(size < huge ? 64 : huge, size < huge ? size : (size + huge - 1) & ~(huge - 1));

	if (!p)
		return NULL;
	if (size >= huge)
		(void)madvise(p, size, MADV_HUGEPAGE);
	memset(p, 0, size);
	return p;
}

static bool pool_new(struct tcp_pool *p, uint32_t count, uint32_t size, uint32_t link_at)
{
	*p = (struct tcp_pool){.size = size, .count = count, .free_list = TCP_NONE,
			       .link_at = link_at};
	p->mem = get_memory((size_t)count * size);
	return p->mem;
}

uint32_t tcp_pool_get(struct tcp_pool *p)
{
	uint32_t i = p->free_list;

	if (i != TCP_NONE)
		memcpy(&p->free_list, p->mem + (size_t)i * p->size + p->link_at, 4);
	else if (p->fresh < p->count)
		i = p->fresh++;
	else
		return TCP_NONE;
	p->used++;
	return i;
}

void tcp_pool_put(struct tcp_pool *p, uint32_t i)
{
	memcpy(p->mem + (size_t)i * p->size + p->link_at, &p->free_list, 4);
	p->free_list = i;
	p->used--;
}

/* Buckets so that all pools together fill two thirds of the slots at most. */
static uint32_t bucket_count(const struct tcp_options *o)
{
	uint64_t entries = (uint64_t)o->max_conns + o->max_half_open + o->max_time_wait;
	uint64_t want = entries * 3 / 2 / TCP_BUCKET + 1;
	uint64_t n = 16;

	while (n < want)
		n *= 2;
	return (uint32_t)n;
}

/* Few connections repair a flight of several segments at the same time. */
static uint32_t board_count(const struct tcp_options *o)
{
	return o->boards ? o->boards : max_u32(64, o->max_conns / 64);
}

size_t tcp_stack_bytes(const struct tcp_options *o)
{
	return round64(sizeof(struct tcp_stack)) +
	       (size_t)bucket_count(o) * sizeof(struct tcp_bucket) +
	       round64((size_t)o->max_conns * sizeof(struct tcp_conn)) +
	       round64((size_t)o->max_half_open * sizeof(struct tcp_mini)) +
	       round64((size_t)o->max_half_open * sizeof(struct tcp_path)) +
	       round64((size_t)o->max_time_wait * sizeof(struct tcp_tw)) +
	       round64((size_t)board_count(o) * sizeof(struct tcp_board)) +
	       (size_t)o->blocks * sizeof(struct tcp_block) +
	       (size_t)o->tx_blocks * sizeof(struct tcp_tx_block) +
	       round64(TCP_WHEEL * sizeof(uint32_t));
}

static bool options_good(const struct tcp_options *o)
{
	const uint32_t limit = 1u << 28; /* an index has 30 bits beside its kind */

	return o->max_conns && o->max_conns < limit && o->max_half_open < limit &&
	       o->max_time_wait < limit && o->blocks < limit && o->tx_blocks < limit &&
	       o->boards < limit;
}

struct tcp_stack *tcp_stack_new(const struct tcp_options *opt, const struct tcp_env *env,
				uint64_t now_us)
{
	struct tcp_stack *s;

	if (!options_good(opt))
		return NULL;
	s = get_memory(sizeof(*s));
	if (!s)
		return NULL;
	s->env = *env;
	s->opt = *opt;
	s->cnt = env->counters;
	if (!s->opt.window_idle)
		s->opt.window_idle = 16 * 1024;
	s->opt.window_idle = min_u32(s->opt.window_idle, LIMIT_TCP_WINDOW_MAX);
	if (!s->opt.time_wait_ms)
		s->opt.time_wait_ms = 60000;
	s->now_us = now_us;
	s->now = (uint32_t)(now_us / 1000);
	s->tick = (uint32_t)(now_us / 1000 / TCP_TICK_MS);
	s->budget_s = UINT32_MAX;
	s->dirty = s->dead = TCP_NONE;
	s->tw_list = (struct tcp_list){TCP_NONE, TCP_NONE};
	for (unsigned int i = 0; i <= TCP_SYN_LEVELS; i++)
		s->syn_level[i] = (struct tcp_list){TCP_NONE, TCP_NONE};
	s->bucket_mask = bucket_count(opt) - 1;
	s->bucket = get_memory((size_t)bucket_count(opt) * sizeof(*s->bucket));
	s->mini_path = get_memory((size_t)opt->max_half_open * sizeof(*s->mini_path));
	s->wheel = get_memory(TCP_WHEEL * sizeof(*s->wheel));
	if (!s->bucket || !s->mini_path || !s->wheel ||
	    !pool_new(&s->conn, opt->max_conns, sizeof(struct tcp_conn),
		      offsetof(struct tcp_conn, next)) ||
	    !pool_new(&s->mini, opt->max_half_open, sizeof(struct tcp_mini),
		      offsetof(struct tcp_mini, next)) ||
	    !pool_new(&s->tw, opt->max_time_wait, sizeof(struct tcp_tw),
		      offsetof(struct tcp_tw, next)) ||
	    !pool_new(&s->board, board_count(opt), sizeof(struct tcp_board), 0) ||
	    !pool_new(&s->rx, opt->blocks, sizeof(struct tcp_block), 0) ||
	    !pool_new(&s->tx, opt->tx_blocks, sizeof(struct tcp_tx_block), 0)) {
		tcp_stack_free(s);
		return NULL;
	}
	for (unsigned int i = 0; i < TCP_WHEEL; i++)
		s->wheel[i] = TCP_NONE;
	return s;
}

void tcp_stack_free(struct tcp_stack *s)
{
	if (!s)
		return;
	free(s->bucket);
	free(s->mini_path);
	free(s->wheel);
	free(s->conn.mem);
	free(s->mini.mem);
	free(s->tw.mem);
	free(s->board.mem);
	free(s->rx.mem);
	free(s->tx.mem);
	free(s);
}

void tcp_mark_dirty(struct tcp_conn *c)
{
	struct tcp_stack *s = c->stack;

	if (c->flags & CF_DIRTY || c->state == ST_DEAD)
		return;
	c->flags |= CF_DIRTY;
	c->next = s->dirty;
	s->dirty = conn_index(c);
}

/* Dead TCBs go back to the pool: nobody who could still look at them is on the stack. */
void tcp_reap(struct tcp_stack *s)
{
	while (s->dead != TCP_NONE) {
		uint32_t i = s->dead;
		struct tcp_conn *c = conn_at(s, i);

		s->dead = c->next;
		c->state = ST_FREE;
		tcp_pool_put(&s->conn, i);
	}
}

void tcp_burst_end(struct tcp_stack *s)
{
	while (s->dirty != TCP_NONE) {
		uint32_t i = s->dirty;
		struct tcp_conn *c = conn_at(s, i);

		s->dirty = c->next;
		c->flags &= ~CF_DIRTY;
		if (c->state == ST_DEAD) { /* died while it was on this list */
			c->next = s->dead;
			s->dead = i;
			continue;
		}
		tcp_flush(c);
	}
	tcp_reap(s);
}

bool tcp_advance(struct tcp_stack *s, uint64_t now_us)
{
	bool more;

	if (now_us < s->now_us)
		return false;
	s->now_us = now_us;
	s->now = (uint32_t)(now_us / 1000);
	more = tcp_timers_run(s);
	more |= tcp_mini_timers(s);
	more |= tcp_tw_timers(s);
	s->cnt[CNT_conns_now] = s->conns_live;
	s->cnt[CNT_time_wait_now] = s->tw.used;
	tcp_burst_end(s);
	return more;
}

uint64_t tcp_random(struct tcp_stack *s)
{
	uint64_t b[2] = {++s->random_counter, s->now_us};

	return siphash24(s->env.secret + 16, b, sizeof(b));
}

void tcp_set_pressure(struct tcp_stack *s, int level)
{
	s->pressure = level;
}

void tcp_get_usage(const struct tcp_stack *s, struct tcp_usage *out)
{
	*out = (struct tcp_usage){
		.conns = s->conns_live,
		.half_open = s->mini.used,
		.time_wait = s->tw.used,
		.blocks_used = s->rx.used,
		.tx_blocks_used = s->tx.used,
	};
}
