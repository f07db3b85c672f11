/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Sessions that wait because whoever sits at them does something else: a heap of when each goes on,
 * the first one on top. The wheel of timer.c is for TCP; its slots of 10 ms are too coarse here.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/smtpload/load.h"

#define A_TURN 256u

struct entry {
	uint64_t at_us;
	uint32_t who; /* of the active sessions */
};

static struct entry *heap;
static uint32_t *place, n_heap; /* place: where in the heap, of who is in it */
static uint64_t state;

int think_start(void)
{
	uint32_t n = load.opt.active ? load.opt.active : 1;

	n_heap = 0;
	state = load.opt.seed;
	if (load.opt.think.kind == THINK_NOT && load.opt.think_command.kind == THINK_NOT)
		return 0;
	heap = calloc(n, sizeof(*heap));
	place = calloc(n, sizeof(*place));
	if (heap && place)
		return 0;
	fputs("smtpload: no memory for sessions that think\n", stderr);
	return -1;
}

void think_stop(void)
{
	free(heap);
	free(place);
	heap = NULL;
	place = NULL;
	n_heap = 0;
}

static double even(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	z ^= z >> 31;
	return ((double)(z >> 11) + 1) * 0x1p-53; /* (0, 1] */
}

double think_time(const struct think *how)
{
	switch (how->kind) {
	case THINK_FIXED:
		return how->a;
	case THINK_EVEN:
		return how->a + (how->b - how->a) * even();
	case THINK_EXP:
		return -log(even()) * how->a;
	default:
		return 0;
	}
}

static void put(uint32_t i, struct entry e)
{
	heap[i] = e;
	place[e.who] = i;
}

/* e to where it belongs, on the way up or down from the free place i. */
static void settle(uint32_t i, struct entry e)
{
	while (i && heap[(i - 1) / 2].at_us > e.at_us) {
		put(i, heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child + 1 < n_heap && heap[child + 1].at_us < heap[child].at_us)
			child++;
		if (child >= n_heap || heap[child].at_us >= e.at_us)
			break;
		put(i, heap[child]);
		i = child;
	}
	put(i, e);
}

bool think_not(struct sess *s, const struct think *how)
{
	uint32_t who = sess_index(s) - load.opt.idle;
	struct entry e = {.who = who};

	if (how->kind == THINK_NOT)
		return true;
	e.at_us = load.now_us + (uint64_t)think_time(how);
	if (s->more & M_THINKS) {
		settle(place[who], e);
		return false;
	}
	s->more |= M_THINKS;
	n_heap++;
	settle(n_heap - 1, e);
	return false;
}

void think_off(struct sess *s)
{
	uint32_t i;

	if (!(s->more & M_THINKS))
		return;
	s->more &= (uint8_t)~M_THINKS;
	i = place[sess_index(s) - load.opt.idle];
	n_heap--;
	if (i != n_heap)
		settle(i, heap[n_heap]);
}

unsigned int think_turn(void)
{
	unsigned int work = 0;

	while (n_heap && heap[0].at_us <= load.now_us && work < A_TURN) {
		struct sess *s = &load.sess[load.opt.idle + heap[0].who];

		think_off(s);
		smtp_thought(s);
		work++;
	}
	return work;
}
