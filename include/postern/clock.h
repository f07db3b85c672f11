/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* The time. Both clocks are in the vDSO: no call into the kernel. */

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Since a moment that is the same for every process until the machine stops; it never goes back. */
static inline uint64_t clock_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static inline uint64_t clock_mono_us(void)
{
	return clock_mono_ns() / 1000;
}

static inline uint64_t clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000;
}

static inline uint64_t clock_mono_s(void)
{
	return clock_mono_ns() / 1000000000;
}

/* Since 1970. Somebody may set it, in either direction. */
static inline uint64_t clock_real_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

static inline uint64_t clock_real_ms(void)
{
	return clock_real_ns() / 1000000;
}

static inline uint64_t clock_real_s(void)
{
	return clock_real_ns() / 1000000000;
}

/* Seconds since a real time; 0 if that is 0, which is none, or yet to come. */
static inline double clock_since(uint64_t real_ns)
{
	uint64_t now = clock_real_ns();

	return real_ns && now > real_ns ? (double)(now - real_ns) / 1e9 : 0.0;
}
