/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/rules/sieve_made.h"

#include <pthread.h>

#include "control/rules/mailtext.h"

#define SAMPLE (16u * 1024)
#define SMALL 1500u
#define TEXTS 2u

static uint8_t sample[TEXTS][SAMPLE];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make(void)
{
	mailtext_body(21, sample[0], SAMPLE);
	mailtext_rawbody(22, sample[1], SAMPLE);
}

size_t sieve_places(const struct sieve *s)
{
	size_t n = 0;

	pthread_once(&once, make);
	for (unsigned int t = 0; t < TEXTS; t++)
		for (size_t i = 0; (i = sieve_next(s, sample[t], SMALL, i, SMALL)) < SMALL; i++)
			n++;
	return n;
}

void sieve_settle(struct sieve *s)
{
	pthread_once(&once, make);
	for (unsigned int t = 0; t < TEXTS && s->len; t++) {
		size_t left = (size_t)(SAMPLE * SIEVE_PASSES);

		for (size_t i = 0; left && (i = sieve_next(s, sample[t], SAMPLE, i, SAMPLE)) < SAMPLE; i++)
			left--;
		if (!left)
			s->len = 0;
	}
}
