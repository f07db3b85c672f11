/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Whose fault is it when a next hop suddenly refuses nearly everybody? Not the recipients'. The breaker
 * of a route watches what RCPT is answered, and opens when far more is refused than used to be:
 *
 *   of all recipients   share of 5xx in the window >= base + jump * (1 - base): so much of what was
 *                       taken before is refused now; base is the share before the window, fading with
 *                       a half-life of a day
 *   of known ones       the same with base 0, of recipients that the next hop took within a day, or so
 *                       many of them one after the other: a guesser never meets these, so few are
 *                       enough, and a window full of good answers does not hide that they ended
 *
 * One source counts with a few refusals only, so that a guesser alone does not open it. It stays open
 * until an operator says that he has seen it. No clock, no I/O.
 */

#include <stdbool.h>
#include <stdint.h>

#include "control/config/config.h"

#define BREAKER_BUCKETS 10
#define BREAKER_SOURCES 1024

struct breaker {
	struct breaker_count {
		uint32_t taken, refused, known_taken, known_refused;
	} bucket[BREAKER_BUCKETS];
	uint64_t begun_s;            /* of the current bucket; 0: nothing was ever counted */
	unsigned int at;
	double base_n, base_refused; /* before the window, faded */
	uint8_t source[BREAKER_SOURCES]; /* refusals of sources in the current bucket */
	unsigned int known_streak;   /* known ones refused since anybody was taken */
	bool open, by_known;
	uint64_t opened_s, opened;   /* when last; how often */
	uint64_t suspect_from_s, suspect_to_s; /* what was refused then is not believed afterwards */
};

/* One answer to RCPT, 2xx or a 5xx that speaks of the recipient. `known`: it was taken before;
 * `source`: a keyed hash of who sent. True: this opened it. */
bool breaker_note(struct breaker *b, const struct config_breaker *rules, uint64_t now_s, bool refused,
		  bool known, uint64_t source);
/* False: it is not open. learn: so it shall be from now on, the share becomes the base, and what was
 * remembered is right. */
bool breaker_ack(struct breaker *b, const struct config_breaker *rules, uint64_t now_s, bool learn);
/* As it was before a restart; the counts of the window are not known again. */
void breaker_restore(struct breaker *b, bool open, uint64_t opened_s);
/* Was a refusal of that time one of those that opened it? */
bool breaker_suspect(const struct breaker *b, uint64_t made_s);

struct breaker_view {
	double share, base, limit;   /* of all recipients in the window */
	uint32_t samples, known_samples;
	double known_share;
};
void breaker_look(const struct breaker *b, const struct config_breaker *rules, struct breaker_view *v);
