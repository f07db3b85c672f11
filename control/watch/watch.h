/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Those who watch mail and sessions as they happen, on the operator's socket. An event is a line of
 * JSON. Filters are asked before anything is written, so who looks for one message costs little
 * more than nobody. What a watcher does not read waits in memory, at most LIMIT_WATCH_QUEUE octets
 * of it; what comes while there is no room is counted and told once there is, in place of the lines
 * that are missing. The loop never waits for a watcher. docs/json.md has the events.
 *
 * It knows records of the trace, and of sessions what it is told; it knows no loop and no
 * dataplane.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/mail/mail.h"

struct api_request;
struct watch;

/* counters: CTL_watch_*. NULL: out of memory. */
struct watch *watch_new(uint64_t *counters);
/* After api_free(): nobody watches any more. NULL is none. */
void watch_free(struct watch *w);

/* The command `watch`: answers with a first line, or with an error. */
void watch_request(struct watch *w, struct api_request *req, const json_t *body);

/* A trace_listener; arg: struct watch. */
void watch_record(void *arg, const char *line, size_t n);

/* Does anybody want sessions of this peer? Before an event of one is made. */
bool watch_wants_session(const struct watch *w, const struct ip_addr *peer);
/* An event of it; takes the reference. What it lacks of schema and time is added. */
void watch_session(struct watch *w, const struct ip_addr *peer, json_t *event);
/* One that is of no session alone: whoever watches sessions. */
void watch_all_sessions(struct watch *w, json_t *event);
