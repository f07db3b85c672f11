/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What the files of inline/ share with each other, and nobody else. */

#include "dataplane/inline/inline.h"
#include "postern/stats.h"

#define TH_FIN 0x01
#define TH_SYN 0x02
#define TH_RST 0x04
#define TH_ACK 0x10

#define INLINE_FRAGMENTS 256 /* datagrams whose first fragment is remembered; a power of two */

enum inline_kind {
	FLOW_FREE,
	FLOW_PASS,
	FLOW_WATCH,
	FLOW_DROP,
	FLOW_KERNEL, /* begun at the exception port */
};

#define FLOW_F_FIN_CLIENT 1u
#define FLOW_F_FIN_SERVER 2u
#define FLOW_F_CLOSED (FLOW_F_FIN_CLIENT | FLOW_F_FIN_SERVER)
#define FLOW_F_BEGUN 4u /* its SYN was seen, and let by */

struct inline_flow {
	struct tcp_tuple tuple;
	uint8_t kind;      /* enum inline_kind */
	uint8_t flags;     /* FLOW_F_* */
	uint8_t mac[6];    /* FLOW_KERNEL */
	uint32_t seen_s;
};
_Static_assert(sizeof(struct inline_flow) == 48, "a set of flows is three cache lines");

struct inline_decided {
	uint64_t key;      /* 0: none */
	uint32_t seen_s;
	uint8_t verdict;   /* enum inline_verdict */
};

struct inline_worker {
	uint64_t *counters;
	uint8_t key[16];
	uint32_t now_s;
	bool control, memory;

	/* of the configuration */
	bool bypass;
	uint32_t n_servers, n_own;
	uint8_t action[CAUSE_COUNT];              /* enum handoff_action, never ACT_DEFAULT */
	/* Those named, by length of prefix, longest first; behind them those of former configurations,
	 * with INLINE_BYPASS: the newest, as far as there is room. */
	struct handoff_inline server[2 * HANDOFF_MAX_INLINE];
	struct handoff_inline former[2 * HANDOFF_MAX_INLINE]; /* while `server` is made anew */
	struct handoff_inline_own own[HANDOFF_MAX_INLINE_OWN];
	uint64_t port[65536 / 64];                /* bits: some server has it */

	struct inline_decided fragment[INLINE_FRAGMENTS];
	uint32_t mask;     /* of sets */
	struct inline_flow *flow; /* (mask + 1) * INLINE_WAYS */
};

static inline void inline_count(struct inline_worker *w, enum postern_counter c)
{
	w->counters[c]++;
}

/* inline_flow.c */
struct inline_flow *inline_find(struct inline_worker *w, const struct tcp_tuple *tuple);
/* A new entry, in place of the one of its tuple or of the one that is missed least. NULL: the
 * tuple is the kernel's, or its set is full of what cannot be given up (counted). */
struct inline_flow *inline_put(struct inline_worker *w, const struct tcp_tuple *tuple,
			       enum inline_kind kind);
/* What a segment does to its entry: RST ends it, a FIN of both sides shortens its time. */
void inline_touch(struct inline_worker *w, struct inline_flow *f, uint8_t flags, bool from_server);
