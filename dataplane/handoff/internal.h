/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What the files of this folder and their tests share; nobody else includes it. */

#include "dataplane/handoff/handoff_dp.h"

/* Who has a record now. */
enum dp_owner { DP_FREE, DP_WORKER, DP_CONTROL, DP_PINNED };

struct dp_use {
	uint32_t generation;
	uint32_t source;         /* whose message it is: index in dp_worker.source, DP_NO_SOURCE */
	uint32_t n_chunks;       /* of a record that control has */
	uint16_t route;          /* index in dp_worker.route_chunks; 0: none */
	uint8_t owner;           /* enum dp_owner */
	uint8_t loop;            /* that has it */
};

#define DP_NO_SOURCE UINT32_MAX
#define DP_ROUTE_OBSERVED HANDOFF_MAX_ROUTES /* of all that was only watched: route.c has no other */

/* One that has a part of the arena: source.c. */
struct dp_source {
	uint64_t key;
	const struct dp_msg *first; /* the one of its messages in DATA that always goes on */
	uint32_t next;           /* in its bucket, or free */
	uint32_t records;        /* that are its */
	uint32_t chunks;         /* held or promised, those with control included */
};

TAILQ_HEAD(dp_age, dp_msg);

struct dp_worker {
	struct handoff_record *record;
	uint8_t *chunk;
	uint64_t *counters;
	struct dp_use *use;
	uint32_t *free_record;   /* stacks: the last one freed is the warmest */
	uint32_t *free_chunk;
	uint8_t *chunk_used;
	uint32_t n_free_record, n_free_chunk;
	uint32_t n_records, n_chunks;
	uint32_t reserved;       /* chunks promised to DATA flows */
	uint32_t floor;          /* chunks of one maximum message */
	uint32_t pinned_budget;
	uint32_t records_control, records_pinned, chunks_control, chunks_pinned;
	uint32_t records_observed; /* of what was only watched, those with control included */
	uint32_t data_flows;
	uint32_t index;
	uint64_t max_message;
	struct dp_age age;
	struct dp_source *source; /* one a record at most: there is always a place */
	uint32_t *source_bucket;
	uint32_t source_mask, free_source, n_sources;
	uint32_t share;          /* chunks of one source */
	uint8_t share_mode;      /* enum handoff_mode */
	uint32_t route_chunks[HANDOFF_MAX_ROUTES + 1]; /* held or promised, those with control included */
};

struct dp_arena {
	int arena_fd, counters_fd;
	uint8_t *map, *counters;
	size_t size, slice, counters_size;
	uint32_t n_workers, n_records, n_chunks;
	uint64_t max_message;
	bool hugetlb;
	struct dp_worker *worker;
};

/* The counter block has a single writer, but others read it. */
static inline void dp_count(uint64_t *counters, enum postern_counter c, uint64_t n)
{
	__atomic_store_n(&counters[c], counters[c] + n, __ATOMIC_RELAXED);
}

static inline void dp_gauge(uint64_t *counters, enum postern_counter c, uint64_t v)
{
	__atomic_store_n(&counters[c], v, __ATOMIC_RELAXED);
}

/* memfd with sealing allowed; -errno. */
int dp_memfd(const char *name, unsigned int extra_flags);
/* Frees a record that control owned, with its chunks. */
void dp_record_return(struct dp_worker *w, uint32_t record);

/* source.c */
int dp_source_init(struct dp_worker *w);
/* The record is nobody's any more. */
void dp_source_leave(struct dp_worker *w, struct dp_use *use);
static inline struct dp_source *dp_source_of(struct dp_worker *w, uint32_t record)
{
	return w->use[record].source == DP_NO_SOURCE ? NULL : &w->source[w->use[record].source];
}
/* May m begin DATA? */
bool dp_source_may_begin(struct dp_worker *w, struct dp_msg *m, uint32_t unclaimed);
/* Chunks that m may still take, for all that its source has; UINT32_MAX: as many as it likes. */
uint32_t dp_source_left(struct dp_worker *w, struct dp_msg *m, uint32_t unclaimed);
/* route.c: the same for its route. Of no route: as many as it likes. */
uint32_t dp_route_left(const struct dp_worker *w, const struct dp_msg *m, uint32_t unclaimed);
bool dp_route_may_begin(struct dp_worker *w, const struct dp_msg *m, uint32_t unclaimed);
bool dp_source_over(const struct dp_worker *w, const struct dp_msg *m);

/* ---- epoch --------------------------------------------------------------------------------- */

enum dp_epoch_state { DP_EPOCH_LIVE, DP_EPOCH_S_LOST, DP_EPOCH_S_GONE };

struct dp_epoch {
	uint64_t id;
	_Atomic uint32_t state;      /* link: enum dp_epoch_state */
	_Atomic uint32_t broken;     /* workers: a ring index or framing cannot be */
	int rings_fd;
	struct rings_head *head;
	size_t size;
	uint32_t n_workers, n_loops;
	int bell[HANDOFF_MAX_LOOPS];      /* write ends; ours alone */
	int bell_read[HANDOFF_MAX_LOOPS]; /* go to control */
};

int dp_epoch_new(uint64_t id, uint32_t n_workers, uint32_t n_loops, struct dp_epoch **out);
void dp_epoch_free(struct dp_epoch *e);

/*
 * Where link and workers meet. A worker announces in `hazard` which epoch it reads and looks at
 * `current` once more; the link unmaps an epoch only when it is not current and in no hazard.
 */
struct dp_meet {
	_Atomic(struct dp_epoch *) current;
	_Atomic(struct dp_epoch *) hazard[HANDOFF_MAX_WORKERS];
	uint32_t n_workers;
	int wake_read[HANDOFF_MAX_WORKERS];  /* the worker's */
	int wake_ctl[HANDOFF_MAX_WORKERS];   /* write end that control gets */
	int wake_link[HANDOFF_MAX_WORKERS];  /* write end with flags of its own, ours alone */
};

int dp_meet_open(struct dp_meet *m, uint32_t n_workers);
void dp_meet_close(struct dp_meet *m);
void dp_meet_wake(struct dp_meet *m);
bool dp_meet_in_use(struct dp_meet *m, const struct dp_epoch *e);
struct dp_meet *dp_link_meet(struct dp_link *l);

int dp_rings_new_at(struct dp_meet *meet, struct dp_worker *w, uint32_t n_sessions,
		    struct dp_rings **out);

/* ---- verdicts ------------------------------------------------------------------------------ */

/* slots: n_slots * HANDOFF_SLOT octets of private memory, n_slots as the first slot says. Checks
 * all that needs no state. -EINVAL. out->text points into `slots`. */
int dp_verdict_parse(const uint8_t *slots, uint32_t n_slots, uint32_t n_sessions,
		     uint32_t n_records, struct dp_verdict *out);

/* ---- pushes -------------------------------------------------------------------------------- */

/* One PUSH as it came: packet of n octets and its fds (borrowed). 0 or positive errno and text. */
int dp_push_take(const struct dp_link_opts *opts, uint64_t max_message, const uint8_t *packet,
		 size_t n, const int *fd, size_t n_fd, char *text, size_t cap);
/* `size` octets are mapped at t. */
int dp_tls_check(const struct handoff_tls *t, size_t size, char *text, size_t cap);
/* Fields of a pushed configuration. */
int dp_config_check(const struct handoff_config *c, uint64_t max_message, char *text, size_t cap);
