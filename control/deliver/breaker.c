/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/deliver/breaker.h"

#include <math.h>
#include <string.h>

#include "postern/limits.h"

/* Before anything is known of a route: a share that mail with a normal part of guesses has. */
#define BASE_PRIOR 0.3

static double base(const struct breaker *b, const struct config_breaker *rules)
{
	double prior = rules->samples;

	return (b->base_refused + BASE_PRIOR * prior) / (b->base_n + prior);
}

static struct breaker_count sum(const struct breaker *b)
{
	struct breaker_count s = {0};

	for (unsigned int i = 0; i < BREAKER_BUCKETS; i++) {
		s.taken += b->bucket[i].taken;
		s.refused += b->bucket[i].refused;
		s.known_taken += b->bucket[i].known_taken;
		s.known_refused += b->bucket[i].known_refused;
	}
	return s;
}

void breaker_look(const struct breaker *b, const struct config_breaker *rules, struct breaker_view *v)
{
	struct breaker_count s = sum(b);
	double jump = rules->jump / 100.0;

	v->samples = s.taken + s.refused;
	v->known_samples = s.known_taken + s.known_refused;
	v->share = v->samples ? (double)s.refused / v->samples : 0;
	v->known_share = v->known_samples ? (double)s.known_refused / v->known_samples : 0;
	v->base = base(b, rules);
	v->limit = v->base + jump * (1 - v->base);
}

/* What leaves the window becomes part of the base, but for the time in which the breaker was open. */
static void turn(struct breaker *b, const struct config_breaker *rules, uint64_t now_s)
{
	uint64_t width = rules->window_s / BREAKER_BUCKETS, n;

	if (!width)
		width = 1;
	if (!b->begun_s || now_s < b->begun_s) {
		b->begun_s = now_s;
		return;
	}
	n = (now_s - b->begun_s) / width;
	if (!n)
		return;
	b->begun_s += n * width;
	memset(b->source, 0, sizeof(b->source));
	for (uint64_t i = 0; i < n && i < BREAKER_BUCKETS; i++) {
		struct breaker_count *old;

		b->at = (b->at + 1) % BREAKER_BUCKETS;
		old = &b->bucket[b->at];
		if (!b->open) {
			b->base_n += old->taken + old->refused;
			b->base_refused += old->refused;
		}
		*old = (struct breaker_count){0};
	}
	if (!b->open) {
		double fade = exp2(-(double)(n * width) / LIMIT_BREAKER_HALF_LIFE_S);

		b->base_n *= fade;
		b->base_refused *= fade;
	}
}

static bool far_past(const struct breaker *b, const struct config_breaker *rules, bool *by_known)
{
	uint32_t known_samples = rules->samples / LIMIT_BREAKER_KNOWN_SHARE;
	struct breaker_view v;

	breaker_look(b, rules, &v);
	if (known_samples < LIMIT_BREAKER_KNOWN_MIN)
		known_samples = LIMIT_BREAKER_KNOWN_MIN;
	*by_known = b->known_streak >= known_samples ||
		    (v.known_samples >= known_samples && v.known_share * 100 >= rules->jump);
	return *by_known || (v.samples >= rules->samples && v.share >= v.limit);
}

bool breaker_note(struct breaker *b, const struct config_breaker *rules, uint64_t now_s, bool refused,
		  bool known, uint64_t source)
{
	struct breaker_count *c;
	uint8_t *cell = &b->source[source % BREAKER_SOURCES];

	if (!rules->on)
		return false;
	turn(b, rules, now_s);
	c = &b->bucket[b->at];
	if (refused && !known) {
		if (*cell == LIMIT_BREAKER_OF_SOURCE)
			return false;
		++*cell;
	}
	c->taken += !refused;
	c->refused += refused;
	c->known_taken += known && !refused;
	c->known_refused += known && refused;
	b->known_streak = refused ? b->known_streak + known : 0;
	if (b->open || !refused || !far_past(b, rules, &b->by_known))
		return false;
	b->open = true;
	b->opened++;
	b->opened_s = now_s;
	b->suspect_from_s = now_s > rules->window_s ? now_s - rules->window_s : 0;
	b->suspect_to_s = UINT64_MAX;
	return true;
}

bool breaker_ack(struct breaker *b, const struct config_breaker *rules, uint64_t now_s, bool learn)
{
	struct breaker_count s;

	if (!b->open)
		return false;
	turn(b, rules, now_s);
	s = sum(b);
	b->open = false;
	b->suspect_to_s = now_s;
	if (learn) {
		double n = s.taken + s.refused, weight = 20.0 * rules->samples;

		b->suspect_from_s = b->suspect_to_s = 0;
		b->base_n = n > 0 ? weight : 0;
		b->base_refused = n > 0 ? weight * s.refused / n : 0;
	}
	b->known_streak = 0;
	memset(b->bucket, 0, sizeof(b->bucket));
	memset(b->source, 0, sizeof(b->source));
	return true;
}

void breaker_restore(struct breaker *b, bool open, uint64_t opened_s)
{
	b->open = open;
	b->opened_s = opened_s;
	/* Nothing was remembered before the start. */
	b->suspect_from_s = 0;
	b->suspect_to_s = open ? UINT64_MAX : 0;
}

bool breaker_suspect(const struct breaker *b, uint64_t made_s)
{
	return b->opened && made_s >= b->suspect_from_s && made_s < b->suspect_to_s;
}
