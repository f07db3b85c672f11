/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What a source has done, against the limits. */

#include "control/admission/admission.h"

#include <math.h>
#include <string.h>

#include "control/admission/internal.h"

#define BIT(l) (1u << (l))

const char *admission_limit_name(enum admission_limit l)
{
	static const char *const name[] = {
		[ADMISSION_FAILURES] = "failures", [ADMISSION_UNKNOWN] = "unknown-recipients",
		[ADMISSION_SESSIONS] = "sessions", [ADMISSION_RATE] = "connection-rate"};

	return name[l];
}

const char *admission_failure_name(enum admission_failure f)
{
	static const char *const name[] = {
		[FAILURE_RCPT] = "recipients", [FAILURE_PROTOCOL] = "protocol",
		[FAILURE_EARLY] = "early", [FAILURE_FOREIGN] = "foreign", [FAILURE_SLOW] = "slow",
		[FAILURE_TLS] = "tls", [FAILURE_REJECTED] = "rejected"};

	return name[f];
}

/* ---- one source -------------------------------------------------------------------------------- */

static float limit_max(const struct source *e, const struct admission_rules *r,
		       enum admission_limit l)
{
	float max = (float)r->limit[l].max;

	return e->kind == SOURCE_WIDE ? max * LIMIT_SOURCE_WIDE : max;
}

/* What is accepted pays for failures: it is their share that tells, else who sends most is the worst. */
static float budget(const struct source *e, const struct admission_rules *r, enum admission_limit l)
{
	float share = l == ADMISSION_UNKNOWN ? LIMIT_SOURCE_UNKNOWN_SHARE : LIMIT_SOURCE_FAILURE_SHARE;

	return limit_max(e, r, l) + e->accepted / share;
}

float source_failures(const struct source *e, enum admission_limit l)
{
	float sum = 0;

	if (l == ADMISSION_UNKNOWN)
		return e->failure[FAILURE_RCPT];
	for (size_t i = 0; i < FAILURE_KINDS; i++)
		if (i != FAILURE_RCPT)
			sum += e->failure[i];
	return sum;
}

/* Passed once, a budget stays passed until half of it is free again: else whoever has used it up would
 * have one more try whenever one has faded. */
static void set_over(struct source *e, const struct admission_rules *r)
{
	for (unsigned int l = ADMISSION_FAILURES; l <= ADMISSION_UNKNOWN; l++) {
		float is = source_failures(e, l), max = budget(e, r, l);

		if (r->limit[l].mode == ADMISSION_OFF || is <= max / 2)
			e->over &= (uint8_t)~BIT(l);
		else if (is > max)
			e->over |= (uint8_t)BIT(l);
	}
}

void source_touch(struct source *e, const struct admission_rules *r, uint32_t now)
{
	uint32_t half = r->half_life_s ? r->half_life_s : 1;
	float dt = now > e->faded_s ? (float)(now - e->faded_s) : 0, keep;

	if (dt > 0) {
		keep = exp2f(-dt / (float)half);
		for (size_t i = 0; i < FAILURE_KINDS; i++)
			e->failure[i] *= keep;
		e->accepted *= keep;
		e->standing *= exp2f(-dt / LIMIT_SOURCE_STANDING_S);
		e->spent -= dt * limit_max(e, r, ADMISSION_RATE) / 60;
		if (e->spent < 0)
			e->spent = 0;
		e->faded_s = now;
	}
	set_over(e, r);
}

bool source_good(const struct source *e, const struct admission_rules *r)
{
	if (e->standing < LIMIT_SOURCE_GOOD || e->over)
		return false;
	for (unsigned int l = ADMISSION_FAILURES; l <= ADMISSION_UNKNOWN; l++)
		if (r->limit[l].mode != ADMISSION_OFF && source_failures(e, l) > budget(e, r, l) / 2)
			return false;
	return true;
}

/* ---- verdicts ----------------------------------------------------------------------------------- */

static uint32_t whole(float v)
{
	return v < 4e9f ? (uint32_t)ceilf(v) : UINT32_MAX;
}

static void name_source(const struct source *e, struct admission_verdict *v)
{
	memcpy(v->source.addr.a, e->addr, sizeof(e->addr));
	v->source.prefix = (uint8_t)source_prefix(e);
}

/* `l` is passed: barred, observed, or nothing. The first that is enforced gives the reason. */
static void passed(struct source *e, const struct admission_rules *r, enum admission_limit l, float is,
		   float max, struct admission_verdict *v)
{
	bool first = !v->barred && !v->observed, enforced = r->limit[l].mode == ADMISSION_ENFORCE;

	if (v->barred || r->limit[l].mode == ADMISSION_OFF)
		return;
	e->hit[l]++;
	v->barred = enforced;
	if (!enforced)
		v->observed |= (uint8_t)BIT(l);
	if (first || enforced) {
		v->by = l;
		v->is = whole(is);
		v->max = whole(max);
	}
}

static void passed_failures(struct source *e, const struct admission_rules *r, uint8_t over,
			    struct admission_verdict *v)
{
	for (unsigned int l = ADMISSION_FAILURES; l <= ADMISSION_UNKNOWN; l++)
		if (over & BIT(l))
			passed(e, r, l, source_failures(e, l), budget(e, r, l), v);
}

static void tell(struct source *e, uint32_t now, struct admission_verdict *v)
{
	if (!v->barred && !v->observed)
		return;
	name_source(e, v);
	v->tell = !e->told_s || now - e->told_s >= LIMIT_ALERT_S;
	if (v->tell)
		e->told_s = now;
}

void admission_connect(struct admission *a, const struct admission_rules *r,
		       const struct ip_addr *ip, uint64_t now_ms, struct admission_ref *ref,
		       struct admission_verdict *v)
{
	uint32_t now = table_seconds(now_ms);
	struct source *e;
	float sessions, rate;

	*v = (struct admission_verdict){0};
	*ref = (struct admission_ref){0};
	table_sweep(a, r, now);
	e = table_get(a, r, ip, now);
	passed_failures(e, r, e->over, v);
	v->good = source_good(e, r);
	if (!v->good) {
		sessions = limit_max(e, r, ADMISSION_SESSIONS);
		rate = limit_max(e, r, ADMISSION_RATE);
		if ((float)e->open + 1 > sessions)
			passed(e, r, ADMISSION_SESSIONS, (float)e->open + 1, sessions, v);
		if (e->spent + 1 > rate)
			passed(e, r, ADMISSION_RATE, e->spent + 1, rate, v);
	}
	tell(e, now, v);
	if (v->barred)
		return; /* and not counted: who comes again as he is told to is not punished for it */
	e->open++;
	e->connects++;
	/* More than can be passed is not kept, or an observed flood would be remembered for hours. */
	e->spent = fminf(e->spent + 1, limit_max(e, r, ADMISSION_RATE) + 1);
	*ref = (struct admission_ref){(uint32_t)(e - a->table), e->serial};
}

void admission_leave(struct admission *a, struct admission_ref *ref)
{
	struct source *e = ref->serial ? &a->table[ref->at] : NULL;

	if (e && e->serial == ref->serial && e->open)
		e->open--;
	*ref = (struct admission_ref){0};
}

void admission_leave_all(struct admission *a)
{
	for (size_t i = 0; i < (size_t)a->buckets * 2 * LIMIT_SOURCE_WAYS; i++)
		if (a->table[i].open)
			a->table[i].open = 0;
}

void admission_check(struct admission *a, const struct admission_rules *r, const struct ip_addr *ip,
		     uint64_t now_ms, struct admission_verdict *v)
{
	uint32_t now = table_seconds(now_ms);
	struct source *e = table_find(a, r, ip, now);

	*v = (struct admission_verdict){0};
	if (!e || !e->over)
		return;
	passed_failures(e, r, e->over, v);
	tell(e, now, v);
}

void admission_fail(struct admission *a, const struct admission_rules *r, const struct ip_addr *ip,
		    enum admission_failure kind, uint32_t n, uint64_t now_ms,
		    struct admission_verdict *v)
{
	uint32_t now = table_seconds(now_ms);
	struct source *e = table_get(a, r, ip, now);
	uint8_t was = e->over, over;

	e->failure[kind] += (float)n;
	set_over(e, r);
	if (!v)
		return;
	*v = (struct admission_verdict){0};
	/* What was passed before has been told to whoever asked. */
	over = e->over;
	for (unsigned int l = ADMISSION_FAILURES; l <= ADMISSION_UNKNOWN; l++)
		if (was & BIT(l) && r->limit[l].mode == ADMISSION_OBSERVE)
			over &= (uint8_t)~BIT(l);
	passed_failures(e, r, over, v);
	tell(e, now, v);
}

void admission_accept(struct admission *a, const struct admission_rules *r, const struct ip_addr *ip,
		      uint64_t now_ms)
{
	struct source *e = table_get(a, r, ip, table_seconds(now_ms));

	e->accepted += 1;
	e->standing += 1;
	set_over(e, r);
}
