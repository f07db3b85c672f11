/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Answers that are tables, as wide as the terminal. Each takes the whole answer but show_hosts(). */

#include <jansson.h>
#include <stddef.h>

void show_workers(const json_t *a);
void show_ports(const json_t *a);
void show_sessions(const json_t *a);
void show_routes(const json_t *a);
void show_breakers(const json_t *a);
void show_sources(const json_t *a);
/* Of `show stats` and `show drops`. */
void show_stats(const json_t *a);
/* Of `show status`: nothing if there are none. */
void show_hosts(const json_t *hosts);

/* "2d 3h", "4h 5m", "6m 7s", "8.9s" */
void show_duration(double seconds, char *buf, size_t cap);
