/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_internal.h"

/*
 * How fast content must come: min_rate on average since the start of DATA, so that a burst pays for a
 * pause; and for who already holds much of the arena min_rate_large over the last minute.
 *
 * The last minute is taken from two counts: octets of this window of time, and of the window before
 * weighted by how much of it still lies within a minute. So the deadline can be told in advance, and
 * octets that arrive cost an addition.
 *
 * Both run on the client's time: while the owner has no room it stands still, for a client that
 * cannot send is not to be blamed.
 */

#define WINDOW_MS (LIMIT_RATE_WINDOW_S * 1000u)

/* Time in which the client could send. */
static uint64_t client_time(const struct smtp_content *k, uint64_t now)
{
	return now - k->start - k->held_total;
}

void smtp_rate_add(struct smtp_content *k, uint64_t now, size_t n)
{
	uint32_t index = (uint32_t)(client_time(k, now) / WINDOW_MS);

	if (index != k->window_index) {
		k->window[1] = index == k->window_index + 1 ? k->window[0] : 0;
		k->window[0] = 0;
		k->window_index = index;
	}
	k->window[0] += n;
}

uint64_t smtp_rate_deadline(const struct smtp_content *k)
{
	uint64_t bought, start = LIMIT_MIN_RATE_GRACE_S * 1000u;

	if (!k->min_rate || k->held_since)
		return SMTP_NO_DEADLINE;
	bought = k->octets > UINT64_MAX / 1000 ? UINT64_MAX / 2 : k->octets * 1000 / k->min_rate;
	return k->start + k->held_total + (bought > start ? bought : start);
}

uint64_t smtp_rate_large_deadline(const struct smtp_content *k)
{
	const uint64_t need = (uint64_t)k->min_rate_large * LIMIT_RATE_WINDOW_S;
	uint64_t index = k->window_index, before = k->window[1], now = k->window[0], left;

	/* What is only swallowed holds nothing. */
	if (!need || k->held_since || k->octets < LIMIT_RATE_LARGE || k->told)
		return SMTP_NO_DEADLINE;
	/* Not within this window: in the first there is no minute yet, else it has enough by itself. */
	if (!index || now >= need) {
		index++;
		before = now;
		now = 0;
	}
	/* Enough while before * left / WINDOW_MS + now >= need. */
	left = before ? (need - now) * WINDOW_MS / before : WINDOW_MS;
	if (left > WINDOW_MS)
		left = WINDOW_MS;
	return k->start + k->held_total + index * WINDOW_MS + (WINDOW_MS - left);
}
