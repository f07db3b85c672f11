/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What a tap saw of a session, to control: messages go into the arena while their content comes,
 * are scanned as those of the gateway are, and are submitted with RECORD_F_OBSERVED when their
 * reply was seen. Nobody waits for them, and so they wait for nothing: where arena or ring are
 * full, or control is not there, a message is counted by cause, and told as unjudged if a record
 * can be had.
 */

#include <stdint.h>

#include "dataplane/handoff/handoff_dp.h"
#include "dataplane/tap/tap.h"

struct worker;
struct tap_sessions; /* of one worker */

struct tap_session_options {
	struct worker *worker;
	uint32_t sessions;      /* followed at once */
	uint8_t share;          /* percent of the arena; 100: all but one maximum message */
	bool capture;           /* times are CLOCK_REALTIME, in microseconds; else worker.now_us */
	const uint64_t *now_us; /* of the packet at hand */
	/* handoff_record.listener of a flow; NULL: HANDOFF_LISTENER_TAP. */
	uint16_t (*listener)(void *ctx, const struct tcp_tuple *tuple);
	void *listener_ctx;
};

/* NULL: no memory. */
struct tap_sessions *tap_sessions_new(const struct tap_session_options *opt);
void tap_sessions_free(struct tap_sessions *all);
/* Whether connections are followed whose begin was not seen: of tap ports, and of those that pass a
 * cable. Neither at first. */
void tap_sessions_midstream(struct tap_sessions *all, bool tap, bool cable);
/* For tap_env; its ctx is the struct tap_sessions. */
extern const struct tap_app tap_session_app;
/* Now and then: gives up messages whose content takes too long, so that they hold neither memory nor
 * an old configuration. */
void tap_sessions_expire(struct tap_sessions *all);
/* A verdict that names the session that all of these share: is it one of ours? */
bool tap_session_verdict(const struct dp_verdict *v);
