/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What the loop tells metrics: counts of its own, and once a second a snapshot of everything. */

#include "control/metrics/metrics.h"

struct loop;
struct gauges;

struct gauges *gauges_new(const char *listen, char *err, size_t err_len);
void gauges_free(struct gauges *g);
/* g NULL: there are no metrics, and nothing is counted. route NULL: none was found. */
void gauges_recipient(struct gauges *g, const char *route, enum trace_outcome o);
void gauges_message(struct gauges *g, uint64_t us);
void gauges_judged(struct gauges *g, uint64_t us);
void gauges_second(struct loop *l);
