/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Tracker and passive parser with a report: a JSON line for each message and each anomaly, at the
 * end a summary (docs/tap.md). No DPDK: segments come from --tap-dump, from tests and from a
 * fuzzer.
 */

#include <stdio.h>

#include "dataplane/tap/tap.h"

struct tap_report;

struct tap_report_options {
	struct tap_options track;
	uint32_t sessions;
	void (*hold)(void *owner); /* of tap_env; NULL: views have no owner */
	void (*drop)(void *owner);
	uint64_t *counters;
	uint8_t secret[16];
	FILE *out; /* borrowed; errors of it are the caller's to find */
};

/* NULL: no memory. */
struct tap_report *tap_report_new(const struct tap_report_options *opt);
void tap_report_free(struct tap_report *r);
struct tap *tap_report_tap(struct tap_report *r);
/* End of the capture: all flows end, then the summary. */
void tap_report_finish(struct tap_report *r);
