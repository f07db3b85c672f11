/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Flows by their canonical tuple: the same hash from both sides. Chained slots, twice as many as
 * flows, keyed hash. Lists by last segment, each with its time to live; memory for a new flow comes
 * from the oldest of the list that can be missed best. So do sessions of the application: packets
 * that open no connection, and connections that are said to be over, hold none against others.
 */

#include <stdlib.h>
#include <string.h>

#include "dataplane/tap/tap_internal.h"
#include "dataplane/tcp/siphash.h"

static const char *const anomaly_names[] = {
#define TAP_NAME(name) #name,
	TAP_ANOMALIES(TAP_NAME)};
static const char *const cause_names[] = {TAP_CAUSES(TAP_NAME)};
static const uint16_t anomaly_counter[] = {
#define TAP_CNT(name) CNT_tap_##name,
	TAP_ANOMALIES(TAP_CNT)};

const char *tap_anomaly_name(enum tap_anomaly a)
{
	return (unsigned int)a < TAP_ANOMALY_COUNT ? anomaly_names[a] : "?";
}

const char *tap_cause_name(enum tap_cause c)
{
	return (unsigned int)c < TAP_CAUSE_COUNT ? cause_names[c] : "?";
}

enum postern_counter tap_anomaly_counter(enum tap_anomaly a)
{
	return anomaly_counter[a];
}

bool tap_is_port(const struct tap *t, uint16_t port)
{
	for (unsigned int i = 0; i < t->opt.n_ports; i++)
		if (t->opt.port[i] == port)
			return true;
	return false;
}

/* The lower end first, so that both directions give the same octets. */
static uint64_t hash_of(const struct tap *t, const struct tcp_tuple *tuple)
{
	uint8_t b[36];
	int order = memcmp(tuple->local, tuple->remote, 16);
	bool swap = order > 0 || (order == 0 && tuple->local_port > tuple->remote_port);

	memcpy(b, swap ? tuple->remote : tuple->local, 16);
	memcpy(b + 16, swap ? tuple->local : tuple->remote, 16);
	memcpy(b + 32, swap ? &tuple->remote_port : &tuple->local_port, 2);
	memcpy(b + 34, swap ? &tuple->local_port : &tuple->remote_port, 2);
	return siphash13(t->env.secret, b, sizeof(b));
}

static void reverse(struct tcp_tuple *out, const struct tcp_tuple *in)
{
	memcpy(out->local, in->remote, 16);
	memcpy(out->remote, in->local, 16);
	out->local_port = in->remote_port;
	out->remote_port = in->local_port;
}

struct tap_flow *tap_find(struct tap *t, const struct tcp_tuple *tuple, enum tap_side *side)
{
	uint64_t hash = hash_of(t, tuple);
	struct tcp_tuple other;

	reverse(&other, tuple);
	for (struct tap_flow *f = t->slot[hash & t->slot_mask]; f; f = f->chain) {
		if (f->hash != hash)
			continue;
		*side = TAP_CLIENT;
		if (memcmp(&f->tuple, tuple, sizeof(*tuple)) == 0)
			return f;
		*side = TAP_SERVER;
		if (memcmp(&f->tuple, &other, sizeof(other)) == 0)
			return f;
	}
	return NULL;
}

void tap_flow_list(struct tap *t, struct tap_flow *f, enum tap_list list)
{
	if (f->list != TAP_LIST_NONE)
		TAILQ_REMOVE(&t->list[f->list], f, order);
	f->list = (uint8_t)list;
	if (list != TAP_LIST_NONE)
		TAILQ_INSERT_TAIL(&t->list[list], f, order);
}

static bool make_room(struct tap *t)
{
	static const enum tap_list order[] = {TAP_LIST_CLOSED, TAP_LIST_HALF, TAP_LIST_ENDING,
					      TAP_LIST_ONE_SIDE, TAP_LIST_OPEN};

	for (unsigned int i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		struct tap_flow *f = TAILQ_FIRST(&t->list[order[i]]);

		if (!f)
			continue;
		if (order[i] == TAP_LIST_OPEN || order[i] == TAP_LIST_ONE_SIDE)
			TAP_COUNT(t, tap_flow_evicted);
		tap_flow_end(t, f);
		return true;
	}
	return false;
}

struct tap_flow *tap_flow_new(struct tap *t, const struct tcp_tuple *tuple, enum tap_side side)
{
	struct tap_flow *f;
	uint32_t slot;

	if (!t->free_flow && !make_room(t))
		return NULL;
	f = t->free_flow;
	t->free_flow = f->chain;
	memset(f, 0, sizeof(*f));
	f->list = TAP_LIST_NONE;
	f->hash = hash_of(t, tuple);
	if (side == TAP_CLIENT)
		f->tuple = *tuple;
	else
		reverse(&f->tuple, tuple);
	f->dir[0].wscale = f->dir[1].wscale = 14; /* not known: the widest window there may be */
	f->first_us = f->last_us = t->now_us;
	f->segments = 1;
	slot = f->hash & t->slot_mask;
	f->chain = t->slot[slot];
	t->slot[slot] = f;
	tap_flow_list(t, f, TAP_LIST_HALF);
	t->n_flows++;
	TAP_COUNT(t, tap_flows);
	return f;
}

/* A session of the application for f, if none is left and another flow can be missed better. Only one
 * that has a session gives any; and the end of one that has none would want one, for what it holds. */
static void make_session(struct tap *t, const struct tap_flow *f)
{
	static const enum tap_list order[] = {TAP_LIST_ENDING, TAP_LIST_ONE_SIDE};

	for (unsigned int i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		struct tap_flow *old = TAILQ_FIRST(&t->list[order[i]]), *next;

		for (unsigned int n = 0; old && n < LIMIT_TAP_LOOK && t->env.app->full(t->env.ctx); n++) {
			next = TAILQ_NEXT(old, order);
			if (old != f && old->app) {
				TAP_COUNT(t, tap_flow_evicted);
				tap_flow_end(t, old);
			}
			old = next;
		}
	}
}

void *tap_app_of(struct tap *t, struct tap_flow *f)
{
	struct tap_flow_info info;

	if (f->opened)
		return f->app;
	info = (struct tap_flow_info){.tuple = f->tuple,
				      .time_us = f->first_us,
				      .midstream = f->midstream,
				      .anomalies = f->anomalies};
	if (t->env.app->full)
		make_session(t, f);
	f->opened = true;
	f->app = t->env.app->open(t->env.ctx, &info);
	return f->app;
}

void tap_odd(struct tap *t, struct tap_flow *f, enum tap_anomaly what)
{
	t->env.counters[anomaly_counter[what]]++;
	f->anomalies |= 1ull << what;
	if (f->app)
		t->env.app->anomaly(f->app, what);
	else if (!f->opened && what != TAP_syn_data)
		tap_app_of(t, f);
}

void tap_flow_close(struct tap *t, struct tap_flow *f)
{
	void *app = f->app;

	tap_dir_free(t, &f->dir[0]);
	tap_dir_free(t, &f->dir[1]);
	f->opened = true;
	f->app = NULL;
	if (app)
		t->env.app->closed(app);
	tap_flow_list(t, f, TAP_LIST_CLOSED);
}

void tap_flow_end(struct tap *t, struct tap_flow *f)
{
	struct tap_flow **at = &t->slot[f->hash & t->slot_mask];

	if (f->app || !f->opened)
		tap_pump(t, f, TAP_PUMP_END);
	tap_flow_close(t, f);
	while (*at != f)
		at = &(*at)->chain;
	*at = f->chain;
	tap_flow_list(t, f, TAP_LIST_NONE);
	f->chain = t->free_flow;
	t->free_flow = f;
	t->n_flows--;
}

void tap_expire(struct tap *t, unsigned int most)
{
	static const uint32_t limit_s[] = {[TAP_LIST_HALF] = LIMIT_TAP_HALF_S,
					   [TAP_LIST_OPEN] = LIMIT_TAP_IDLE_S,
					   [TAP_LIST_ONE_SIDE] = LIMIT_TAP_IDLE_S,
					   [TAP_LIST_ENDING] = LIMIT_TAP_IDLE_S,
					   [TAP_LIST_CLOSED] = LIMIT_TAP_LINGER_S};

	for (unsigned int l = 0; l < TAP_LIST_COUNT; l++) {
		for (unsigned int i = 0; i < most; i++) {
			struct tap_flow *f = TAILQ_FIRST(&t->list[l]);

			if (!f || t->now_us - f->last_us < limit_s[l] * 1000000ull)
				break;
			tap_flow_end(t, f);
		}
	}
}

static bool memory(struct tap *t)
{
	uint32_t slots = 16;

	while (slots < 2 * t->opt.flows && slots < 1u << 30)
		slots *= 2;
	t->slot_mask = slots - 1;
	t->slot = calloc(slots, sizeof(struct tap_flow *));
	t->flow = calloc(t->opt.flows, sizeof(*t->flow));
	t->piece = calloc(t->opt.pieces, sizeof(*t->piece));
	t->block = calloc(t->opt.blocks, sizeof(*t->block));
	return t->slot && t->flow && t->piece && t->block;
}

struct tap *tap_new(const struct tap_options *opt, const struct tap_env *env)
{
	struct tap *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->opt = *opt;
	t->env = *env;
	if (!memory(t)) {
		tap_free(t);
		return NULL;
	}
	for (unsigned int l = 0; l < TAP_LIST_COUNT; l++)
		TAILQ_INIT(&t->list[l]);
	for (uint32_t i = opt->flows; i--;) {
		t->flow[i].chain = t->free_flow;
		t->free_flow = &t->flow[i];
	}
	for (uint32_t i = opt->pieces; i--;) {
		t->piece[i].next = t->free_piece;
		t->free_piece = &t->piece[i];
	}
	for (uint32_t i = opt->blocks; i--;) {
		t->block[i].next = t->free_block;
		t->free_block = &t->block[i];
	}
	return t;
}

void tap_free(struct tap *t)
{
	if (!t)
		return;
	for (unsigned int l = 0; t->n_flows && l < TAP_LIST_COUNT; l++) {
		struct tap_flow *f;

		TAILQ_FOREACH (f, &t->list[l], order) {
			tap_dir_free(t, &f->dir[0]);
			tap_dir_free(t, &f->dir[1]);
		}
	}
	free(t->slot);
	free(t->flow);
	free(t->piece);
	free(t->block);
	free(t);
}

void tap_set_ports(struct tap *t, const uint16_t *port, unsigned int n, bool midstream)
{
	t->opt.n_ports = n < TAP_MAX_PORTS ? n : TAP_MAX_PORTS;
	memcpy(t->opt.port, port, t->opt.n_ports * sizeof(*port));
	t->opt.midstream = midstream;
}

void tap_get_usage(const struct tap *t, struct tap_usage *out)
{
	*out = (struct tap_usage){t->n_flows, t->n_pieces, t->n_blocks};
}
