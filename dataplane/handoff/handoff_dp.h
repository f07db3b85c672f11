/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The dataplane's side of the handoff: the message arena, admission of DATA, rings and the link.
 *
 * Threads: one main thread runs struct dp_link; each worker thread owns its struct dp_worker (arena
 * slice) and its struct dp_rings. The two meet in the epoch only: the link publishes it, a worker
 * picks it up in dp_rings_epoch(). Nothing of a worker locks, allocates or (except a doorbell for a
 * sleeping loop) enters the kernel. This folder knows no packet, TCP or SMTP.
 *
 * Life of a message in a worker:
 *   dp_msg_open (MAIL: record) -> dp_msg_data_begin (DATA) -> dp_msg_append ... ->
 *   dp_msg_data_end -> DESC_SUBMIT pushed, dp_msg_submitted (control owns record and chunks)
 *   -> verdict with VF_RELEASE or RELEASE: dp_rings_poll() frees them behind the callback.
 *   Before dp_msg_submitted(), dp_msg_free() takes everything back at any time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "postern/handoff.h"
#include "postern/stats.h"
#include "postern/str.h"

/* ---- arena --------------------------------------------------------------------------------- */

enum dp_hugetlb { DP_HUGETLB_TRY, DP_HUGETLB_NEVER, DP_HUGETLB_MUST };

struct dp_arena_opts {
	uint32_t n_workers;      /* 1..HANDOFF_MAX_WORKERS */
	uint32_t slice_mb;       /* MiB per worker, 8..65536 */
	uint32_t n_records;      /* per worker; 0: a quarter of the slice */
	uint32_t pinned_percent; /* budget of messages pinned after CANCEL, of the chunks; 0: 25 */
	enum dp_hugetlb hugetlb;
	bool prefault;           /* touch all pages now (after bind) */
	/* Called per slice before the first touch, to bind it to a NUMA node. May be NULL. */
	int (*bind)(void *arg, uint32_t worker, void *p, size_t n);
	void *bind_arg;
	uint64_t now_ns;         /* CLOCK_REALTIME: goes to handoff_counters.epoch; 0: read here */
};

struct dp_arena;
struct dp_worker;

/* 0, -EINVAL, -ENOMEM or what memfd, mmap, sealing said. `err` (>= 160 octets) says what failed. */
int dp_arena_new(const struct dp_arena_opts *opts, struct dp_arena **out, char *err, size_t cap);
/* No worker and no link may use it any more. */
void dp_arena_free(struct dp_arena *a);

struct dp_arena_info {
	int arena_fd, counters_fd; /* sealed; borrowed */
	size_t arena_size, slice_size, counters_size;
	uint32_t n_workers, n_records, n_chunks; /* the latter two per worker */
	uint64_t max_message;    /* octets; slice / 8, and within HANDOFF_MAX_CHUNKS */
	bool hugetlb;
};
void dp_arena_info(const struct dp_arena *a, struct dp_arena_info *info);
void *dp_arena_slice(const struct dp_arena *a, uint32_t worker);
struct dp_worker *dp_arena_worker(struct dp_arena *a, uint32_t worker);

/* The worker's counters, indexed by enum postern_counter. Written by that worker only. */
uint64_t *dp_worker_counters(struct dp_worker *w);

/* ---- messages: records, chunks, admission -------------------------------------------------- */

#define DP_NO_RECORD UINT32_MAX

/* Embedded in the caller's session, zeroed at first. Fields are read-only for the caller. */
struct dp_msg {
	TAILQ_ENTRY(dp_msg) age;  /* while in DATA: oldest first */
	uint64_t size;            /* octets of content so far */
	uint64_t begun_ms;        /* of data_begin; less the time it was made to wait */
	uint64_t waits_ms;        /* is made to wait since; 0: it is not */
	uint32_t record;          /* index in the slice; valid while `open` */
	uint32_t held;            /* chunks */
	uint32_t reserved;        /* chunks promised and not taken yet */
	bool open;
	bool in_data;
	bool held_back;           /* had no room when last asked, for want of chunks */
	bool good;                /* of a source of good standing */
	bool observed;            /* over the share of its source, and it was said */
	bool passive;             /* dp_msg_observe() */
	uint8_t route_share;      /* percent; see dp_msg_set_route() */
};

/* MAIL. -ENOMEM: no record, arena at its floor, or pinned budget exceeded (452 4.3.1). The record
 * is odd in generation afterwards and zeroed up to rcpt[]. */
int dp_msg_open(struct dp_worker *w, struct dp_msg *m);
struct handoff_record *dp_msg_record(struct dp_worker *w, const struct dp_msg *m);
/* record_gen for descriptors. */
uint32_t dp_msg_generation(const struct dp_worker *w, const struct dp_msg *m);
/* Appends octets to the record's text. -ENOSPC: the text is full. */
int dp_msg_text(struct dp_worker *w, struct dp_msg *m, struct str s, struct handoff_ref *ref);
/* Appends a recipient, not accepted yet; its index, or -ENOSPC. */
int dp_msg_add_rcpt(struct dp_worker *w, struct dp_msg *m, struct str addr);
/* Whose message it is, before data_begin: a key that the source cannot choose (a keyed hash), not 0.
 * Messages without a source have no share. good: see dp_worker_set_share(). */
void dp_msg_set_source(struct dp_worker *w, struct dp_msg *m, uint64_t key, bool good);
/* Its route, before data_begin; 0: none. Of that and what is free, messages of this route may have
 * `share` percent, those with control included: past it none begins, and those in DATA get no more
 * room, but for the oldest of all. */
void dp_msg_set_route(struct dp_worker *w, struct dp_msg *m, uint16_t route, uint8_t share);
/* DATA or the first BDAT: reserves min(declared, 64 KiB), at least one chunk, and joins the age
 * list. declared 0: unknown. -ENOMEM: 452 4.3.1; -EDQUOT: the same, its source or route has its share;
 * -EFBIG: declared over max_message. */
int dp_msg_data_begin(struct dp_worker *w, struct dp_msg *m, uint64_t declared, uint64_t now_ms);
/* Octets that dp_msg_append() takes for sure if it is called next. 0: hold the flow. The oldest
 * flow may use everything that is free, others only what leaves one maximum message free. */
size_t dp_msg_room(struct dp_worker *w, struct dp_msg *m);
/* The flow of m is held for want of room, or goes on. */
void dp_msg_wait(struct dp_msg *m, bool on, uint64_t now_ms);
/* Copies into the arena. -ENOBUFS and nothing copied if n > dp_msg_room(). */
int dp_msg_append(struct dp_worker *w, struct dp_msg *m, const void *p, size_t n);
/*
 * In place of open and data_begin, for a message that was only watched and never waits: it is not in
 * the list by age, nothing is promised to it, and it takes a chunk only where one maximum message is
 * left free, so that no flow that somebody waits for is held up for good. share: percent, as of
 * dp_msg_set_route(), of all such messages, of chunks and of records. -ENOMEM: they have that many
 * records; an eighth is left to others in any case.
 */
int dp_msg_observe(struct dp_worker *w, struct dp_msg *m, uint8_t share);
/* Would it take n (not 0) more, one after another? */
bool dp_may_observe(const struct dp_worker *w, uint8_t share, uint32_t n);
/* Content that lies in chunk i; *n octets. NULL past the end. For scanning in place. */
const uint8_t *dp_msg_chunk(struct dp_worker *w, const struct dp_msg *m, uint32_t i, size_t *n);
/* End of data: leaves the age list, gives the rest of the reservation back, writes size and
 * n_chunks of the record. */
void dp_msg_data_end(struct dp_worker *w, struct dp_msg *m);
/* The SUBMIT was pushed to `loop`: control owns it. m is closed and may be reused. */
void dp_msg_submitted(struct dp_worker *w, struct dp_msg *m, uint32_t loop);
/* Gives back everything of a message that control does not own. No-op when not open. */
void dp_msg_free(struct dp_worker *w, struct dp_msg *m);

/* Deadline or client gone: sets client_gone and accounts the message as pinned; the caller pushes
 * DESC_CANCEL. -ESTALE if control does not own (record, generation). Idempotent. */
int dp_record_cancel(struct dp_worker *w, uint32_t record, uint32_t generation);
/* True while control owns exactly this use of the record. */
bool dp_record_with_control(const struct dp_worker *w, uint32_t record, uint32_t generation);
/* The record of this use, also when it was given back and nobody has it since; else NULL. */
const struct handoff_record *dp_record_last(const struct dp_worker *w, uint32_t record,
					    uint32_t generation);
/* Only on DP_EPOCH_GONE: frees whatever control owned. Returns how many records. */
uint32_t dp_worker_reclaim(struct dp_worker *w);

/*
 * What one source may have of the slice, messages with control included: `percent` of it, and at
 * least one message of max_message. At its share a source begins no further message; while half of
 * the slice is taken its messages in DATA get no more room, but for the one that began first. Sources
 * of good standing are bound by it only while what is free is short. mode: enum handoff_mode.
 */
void dp_worker_set_share(struct dp_worker *w, unsigned int percent, uint64_t max_message,
			 uint8_t mode);

/*
 * The DATA flow to be cut first when others need room: of those that are slow or whose source is over
 * its share, the one with most octets held for its rate; of good sources only if there is no other.
 * What began first is cut only if it is slow: so something always completes. NULL: nobody deserves it.
 * Looks at the LIMIT_EVICT_LOOK oldest: who is slow becomes old.
 */
struct dp_msg *dp_worker_victim(struct dp_worker *w, uint64_t now_ms);

struct dp_usage {
	uint32_t records, records_used, records_control, records_pinned;
	uint32_t chunks, chunks_used, chunks_reserved, chunks_control, chunks_pinned;
	uint32_t chunks_floor;   /* one maximum message */
	uint32_t pinned_budget;  /* chunks */
	uint32_t data_flows;
	uint32_t sources;        /* that have a record */
	bool low;                /* only the oldest DATA flow gets room now */
};
void dp_worker_usage(const struct dp_worker *w, struct dp_usage *u);

/* The plain allocators below it. UINT32_MAX: empty. */
uint32_t dp_record_alloc(struct dp_worker *w);
void dp_record_free(struct dp_worker *w, uint32_t record);
uint32_t dp_chunk_alloc(struct dp_worker *w);
void dp_chunk_free(struct dp_worker *w, uint32_t chunk);

/* ---- link (main thread) -------------------------------------------------------------------- */

struct dp_link;

struct dp_push {
	uint64_t generation;
	const struct handoff_config *config; /* private copy, validated */
	const struct handoff_tls *tls; /* checked: refs lie within tls->size octets; NULL: no STARTTLS */
	/* A struct scan_bundle, as it came: read-only, sealed against writing, page aligned. NULL: none. */
	const void *rules;
	size_t rules_len;
};

/* All run in dp_link_poll(). Pointers are valid during the call only. Any may be NULL. */
struct dp_link_ops {
	void (*on_epoch_start)(void *arg, uint64_t epoch, uint32_t n_loops);
	/* The peer process is gone and every worker has let go of the epoch. */
	void (*on_epoch_end)(void *arg, uint64_t epoch);
	/* 0, or a positive errno and text: the old generation stays. NULL: all are refused. */
	int (*on_push)(void *arg, const struct dp_push *push, char *text, size_t cap);
	void (*on_drain)(void *arg, bool drain);
	/* JSON text; returns its length (<= cap). */
	size_t (*on_ports)(void *arg, char *buf, size_t cap);
	/* For the log: one line without LF. */
	void (*on_note)(void *arg, const char *text);
};

struct dp_link_opts {
	const char *path;        /* of the socket; at most 107 octets; a stale socket is replaced */
	int group;               /* gid of the socket file, mode 0660; -1: unchanged */
	int allow_uid;           /* besides root and our own uid; -1: nobody else */
	int allow_gid;           /* primary group of the peer; -1: no group */
	uint32_t heartbeat_ms;   /* 0: 2000 */
	uint32_t grace_ms;       /* between socket EOF and SIGKILL; 0: 1000 */
	uint64_t max_rules;      /* octets of a pushed rule set; 0: 1 GiB */
	/* SIGKILL by pidfd where the caller has a stronger means; NULL: pidfd_send_signal here. */
	int (*kill)(void *arg, int pidfd);
	void *arg;               /* of kill and of ops */
	struct dp_link_ops ops;
};

/* 0, -EADDRINUSE (somebody listens there), -errno. */
int dp_link_new(const struct dp_link_opts *opts, struct dp_arena *arena, struct dp_link **out);
/* Workers must have stopped. Does not kill a live control; it sees EOF. */
void dp_link_free(struct dp_link *l);
/*
 * Waits up to timeout_ms (less while a control is there) and does what is due. To be called again
 * and again by one thread, at least every 100 ms: heartbeats are watched here. 0 or -errno.
 */
int dp_link_poll(struct dp_link *l, int timeout_ms);

enum dp_link_state {
	DP_LINK_DOWN,  /* no control */
	DP_LINK_UP,
	DP_LINK_LOST,  /* its socket is closed or it was killed; the process is not gone yet */
	DP_LINK_GONE,  /* gone; workers have still to let go of the epoch */
};
enum dp_link_state dp_link_state(const struct dp_link *l);

struct dp_link_stats {
	uint64_t epochs, refused, killed, bad_packets, pushes, pushes_refused;
};
void dp_link_stats(const struct dp_link *l, struct dp_link_stats *s);

/* ---- rings (worker thread) ----------------------------------------------------------------- */

struct dp_rings;

/* n_sessions: verdicts must name a smaller session slot. Made before the worker starts. */
int dp_rings_new(struct dp_link *l, struct dp_worker *w, uint32_t n_sessions,
		 struct dp_rings **out);
/* Lets go of the epoch; with the worker stopped, before dp_link_free(). */
void dp_rings_free(struct dp_rings *r);

/*
 * What happened to control, each event once. One load when nothing did: call it every turn.
 * Verdicts that control left in the rings come before LOST and GONE: poll first, then ask.
 *   UP    questions may be asked
 *   LOST  ask nothing any more, answer the clients 451 4.3.2; reclaim nothing yet
 *   GONE  (always behind LOST) the process is dead: dp_worker_reclaim()
 */
enum dp_epoch_event { DP_EPOCH_NONE, DP_EPOCH_UP, DP_EPOCH_LOST, DP_EPOCH_GONE };
enum dp_epoch_event dp_rings_epoch(struct dp_rings *r);
bool dp_rings_up(const struct dp_rings *r);
uint32_t dp_rings_loops(const struct dp_rings *r);

/* The loop with the fewest unanswered questions of this worker. Only while up. */
uint32_t dp_rings_pick(struct dp_rings *r);
/* 0, -EAGAIN: full, try again next turn; -ENOTCONN: not up. `worker` is filled in here. */
int dp_rings_push(struct dp_rings *r, uint32_t loop, const struct handoff_desc *d);
/* Once at the end of a turn: rings the doorbells of loops that sleep and were pushed to. */
void dp_rings_flush(struct dp_rings *r);

struct dp_verdict {
	struct handoff_verdict head; /* private copy, validated; text[] not meaningful */
	uint32_t loop;
	struct str text;             /* printable ASCII; valid during the callback */
};
/*
 * Session slot and record were in range and the record was with control in this use; whether
 * (session, generation, question) still waits is the callback's to check: false counts it stale.
 * Behind the callback, VF_RELEASE and RELEASE free record and chunks: it must not.
 */
typedef bool dp_verdict_callback(void *arg, const struct dp_verdict *v);
/* At most `max` verdicts; how many were consumed, bad ones included. */
unsigned int dp_rings_poll(struct dp_rings *r, unsigned int max, dp_verdict_callback *cb,
			   void *arg);

/* Before blocking on dp_rings_fd(): false, there is work. True: must be ended by sleep_end(). */
bool dp_rings_sleep_begin(struct dp_rings *r);
void dp_rings_sleep_end(struct dp_rings *r);
/* Readable when this worker was woken (verdicts, or a change of the epoch). */
int dp_rings_fd(const struct dp_rings *r);

/* ---- a bench without control (answer.c) ---------------------------------------------------- */

/*
 * Rings whose other end is the worker itself: everybody may speak, each recipient is ours, each
 * message is accepted and given back, observed ones are released. No mail goes anywhere. A verdict
 * comes with the dp_rings_poll() behind the dp_answer_turn() that read the question.
 */
struct dp_answer;

/* 0 or -errno. */
int dp_answer_new(uint32_t n_workers, struct dp_answer **out);
/* Behind dp_rings_free() of all. */
void dp_answer_free(struct dp_answer *a);
/* In place of dp_rings_new(). */
int dp_answer_rings(struct dp_answer *a, struct dp_worker *w, uint32_t n_sessions,
		    struct dp_rings **out);
/* By the worker's thread, at the end of a turn; how many descriptors it read. */
unsigned int dp_answer_turn(struct dp_answer *a, struct dp_worker *w);
