/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* A moment as RFC 3339 has it, in UTC: "2026-01-31T12:00:00Z". */

#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define RFC3339 40 /* octets of either, whatever year it is */

/* Both return out, which is "?" if no calendar has it. */
static inline const char *rfc3339(time_t seconds, char out[RFC3339])
{
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || !strftime(out, RFC3339, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(out, RFC3339, "?");
	return out;
}

/* With milliseconds: "2026-01-31T12:00:00.000Z". */
static inline const char *rfc3339_ms(uint64_t ms, char out[RFC3339])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	size_t n;

	if (!gmtime_r(&seconds, &tm) || !(n = strftime(out, RFC3339 - 5, "%Y-%m-%dT%H:%M:%S", &tm)))
		snprintf(out, RFC3339, "?");
	else
		snprintf(out + n, RFC3339 - n, ".%03uZ", (unsigned int)(ms % 1000));
	return out;
}
