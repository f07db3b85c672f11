/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The scan of a message while its content comes in, and the end of its header: the same for a
 * client of the gateway and for a session that is only watched. Up to one chunk it is one run in
 * block mode at the end; a larger one streams chunk by chunk.
 */

#include "dataplane/content/header_end.h"
#include "dataplane/generation.h"
#include "dataplane/handoff/handoff_dp.h"
#include "dataplane/scan/scan_views.h"

struct worker;

struct message_scan {
	struct content_header_end header;
	struct generation *generation; /* that scans this message; counted in worker.used */
	bool scans;                    /* it has rules */
	struct scan_large *large;      /* a message over one chunk */
	bool observed;                 /* it is counted in worker.large_observed */
	uint32_t scanned;              /* chunks given to it */
	struct scan_outcome outcome;
};

/* With the current generation, which is noted in the record. *s is zeroed. */
void message_scan_begin(struct worker *w, struct message_scan *s, struct dp_msg *msg);
/* p[0..n) was appended to the message. */
void message_scan_feed(struct worker *w, struct message_scan *s, struct dp_msg *msg,
		       const uint8_t *p, size_t n);
/* All of it is there: matches, marks, flags and the header's size go into the record. */
void message_scan_finish(struct worker *w, struct message_scan *s, struct dp_msg *msg);
/* It is given up. No-op behind finish. */
void message_scan_drop(struct worker *w, struct message_scan *s);

/* 16 octets: 8 of time (ms, 40 bits), 8 random; the base is without I, L, O and U. */
void message_trace_id_new(struct worker *w, uint64_t now_ns, uint8_t id[16]);
