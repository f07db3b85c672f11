/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Control's side of the handoff: link to the dataplane, rings of each event loop, and a message as
 * the record shows it. It knows no policy and no delivery.
 *
 * Threads: a struct ctl_link lives on one event base; each struct ctl_loop on its own (or the
 * same). A struct ctl_epoch (arena, counters, rings of one connection) is counted by references,
 * so that a delivery may go on reading the arena after the dataplane is gone.
 *
 * The dataplane takes a closed link for a dead control and kills a process that lives on: the
 * socket is closed by ctl_link_free() only, right before the process ends.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "control/mail/mail.h"
#include "postern/handoff.h"
#include "postern/stats.h"
#include "postern/str.h"

struct event_base;
struct ctl_link;
struct ctl_epoch;
struct ctl_loop;

/* ---- link ---------------------------------------------------------------------------------- */

/* All run on the link's event base. Any may be NULL. */
struct ctl_link_ops {
	/* Connected. For each loop i < n_loops the owner calls ctl_loop_new() on the thread of that
	 * loop; heartbeats count from now: every loop must beat within 2 s. The link keeps its own
	 * reference until after on_down. */
	void (*on_up)(void *arg, struct ctl_epoch *e);
	/* The dataplane is gone. ctl_loop_free() on each loop's thread. It reconnects by itself. */
	void (*on_down)(void *arg, struct ctl_epoch *e);
	/* Not connected: why (errno as a positive number) and text; it goes on trying. */
	void (*on_refused)(void *arg, int error, const char *text);
	void (*on_push_ack)(void *arg, uint64_t generation, int error, struct str text);
	void (*on_ports)(void *arg, struct str json);
};

struct ctl_link_opts {
	const char *path;        /* of the dataplane's socket */
	uint32_t n_loops;        /* 1..HANDOFF_MAX_LOOPS */
	struct event_base *base;
	void *arg;
	struct ctl_link_ops ops;
};

/* Starts to connect at once and again with a back-off of 100 ms to 1 s. 0 or -errno. */
int ctl_link_connect(const struct ctl_link_opts *opts, struct ctl_link **out);
/* No callback is made. */
void ctl_link_free(struct ctl_link *l);
/* NULL while down; borrowed. */
struct ctl_epoch *ctl_link_epoch(const struct ctl_link *l);

/* For any thread: a sealed memfd with a copy of a struct scan_bundle, which is some 20 MB of Debian's rules;
 * -errno. */
int ctl_link_rules(const void *rules, size_t len);
/* Copies into sealed memfds and sends them; `tls`: a struct handoff_tls of tls_len octets, or NULL;
 * `rules`: of ctl_link_rules(), the caller's still, or -1.
 * 0: an ack will come (or on_down). -ENOTCONN, -EINVAL, -EAGAIN: the socket is full, or -errno.
 * config->magic, size and generation are filled in here. */
int ctl_link_push(struct ctl_link *l, uint64_t generation, const struct handoff_config *config,
		  const void *tls, size_t tls_len, int rules, size_t rules_len);
int ctl_link_drain(struct ctl_link *l, bool drain);
/* Answered by on_ports. */
int ctl_link_ports(struct ctl_link *l);

/* ---- epoch --------------------------------------------------------------------------------- */

struct ctl_epoch *ctl_epoch_ref(struct ctl_epoch *e);
void ctl_epoch_unref(struct ctl_epoch *e);
/* False as soon as the link has seen the dataplane go. From any thread. */
bool ctl_epoch_alive(const struct ctl_epoch *e);
uint64_t ctl_epoch_id(const struct ctl_epoch *e);
uint32_t ctl_epoch_workers(const struct ctl_epoch *e);
uint64_t ctl_epoch_max_message(const struct ctl_epoch *e);
/* What is free of a worker's part of the arena, as its counters say. False: they are not to be read. */
struct ctl_room {
	uint32_t records, chunks;
};
bool ctl_epoch_room(const struct ctl_epoch *e, uint32_t worker, struct ctl_room *out);
/* Counters of a worker, or NULL (out of range, or not the layout of this build). Values are
 * written by the dataplane while they are read: ctl_epoch_counter() loads one. */
const struct handoff_counters *ctl_epoch_counters(const struct ctl_epoch *e, uint32_t worker);
uint64_t ctl_epoch_counter(const struct ctl_epoch *e, uint32_t worker, enum postern_counter c);

/* ---- rings of one loop --------------------------------------------------------------------- */

/* A descriptor, private copy: kind, worker, record index and record_gen are in range.
 * Descriptors of one session come in order and all on one loop. */
typedef void ctl_desc_callback(void *arg, struct ctl_loop *loop, const struct handoff_desc *d);

/* On the thread of `base`. `counters`: control's block (POSTERN_CTL_COUNTERS) of that thread.
 * Takes a reference of the epoch; starts heartbeat and reading. 0 or -errno. */
int ctl_loop_new(struct ctl_epoch *e, uint32_t index, struct event_base *base, uint64_t *counters,
		 ctl_desc_callback *cb, void *arg, struct ctl_loop **out);
/* Verdicts that still wait for room go with it. Not from within the callback. */
void ctl_loop_free(struct ctl_loop *l);
struct ctl_epoch *ctl_loop_epoch(const struct ctl_loop *l);
/* Verdicts that wait in memory because a ring is full. */
size_t ctl_loop_queued(const struct ctl_loop *l);
/* How full a worker's rings are: of HANDOFF_RING_SLOTS each. False: there is no such worker, or its rings
 * are broken. */
struct ctl_fill {
	uint32_t submit, verdict;
};
bool ctl_loop_fill(const struct ctl_loop *l, uint32_t worker, struct ctl_fill *out);

struct ctl_reply {
	uint16_t code;        /* 2xx, 4xx, 5xx; CONNECT: 220 accepts */
	uint8_t enh_class;    /* 0: no enhanced code */
	uint16_t enh_subject, enh_detail;
	struct str text;      /* cut at HANDOFF_MAX_TEXT; unprintable octets become '?' */
	/* RCPT, 2xx: whose share of the arena the message counts against, and what that is; 0: nobody's */
	uint16_t route;       /* below HANDOFF_MAX_ROUTES */
	uint8_t route_share;  /* percent of what is free and its own, 1..100 */
};

/* Answers quote the descriptor they answer. 0, -EINVAL (a code that cannot be), -ENOMEM. A full
 * ring is no error: the verdict waits in memory, in order. */
/* good: a source of good standing, which the dataplane spares while it can. */
int ctl_verdict_connect(struct ctl_loop *l, const struct handoff_desc *d, const struct ctl_reply *r,
			bool good);
int ctl_verdict_rcpt(struct ctl_loop *l, const struct handoff_desc *d, const struct ctl_reply *r);
/* d: the DESC_SUBMIT. release: record and chunks go back with it; nothing of the message may be
 * read any more, else ctl_verdict_release() must follow. */
int ctl_verdict_message(struct ctl_loop *l, const struct handoff_desc *d, const struct ctl_reply *r,
			bool release);
/* d: the DESC_SUBMIT. No reply is due any more (answer to CANCEL), or it was given before. */
int ctl_verdict_release(struct ctl_loop *l, const struct handoff_desc *d);
/* d: any descriptor of the session. Ends it with 421 as soon as it is idle. */
int ctl_verdict_close(struct ctl_loop *l, const struct handoff_desc *d);

/* ---- a message ----------------------------------------------------------------------------- */

struct ctl_submission {
	struct ctl_epoch *epoch;      /* referenced */
	struct handoff_desc desc;     /* the DESC_SUBMIT */
	struct mail_envelope envelope;/* owned copies; accepted recipients only */
	struct mail_bytes content;    /* iovecs into the arena */
	const struct handoff_match *match; /* owned copy */
	size_t n_matches;
	uint32_t header_size;         /* as the dataplane saw it; 0: no empty line */
	uint32_t scan_generation;
	uint32_t transaction;
	uint64_t connected_ns;
	void *owned;                  /* what the pointers above point into */
};

/*
 * Copies the record of a DESC_SUBMIT after checking each offset and length, and lists its chunks.
 * -EINVAL: the record does not hold together; -ESTALE: it is of another use; -ENOMEM. On failure
 * the caller still owes the dataplane a verdict with release. Counted in desc_invalid, desc_stale.
 */
int ctl_submission_new(struct ctl_loop *l, const struct handoff_desc *d,
		       struct ctl_submission **out);
/* Frees the copy; gives nothing back to the dataplane. */
void ctl_submission_free(struct ctl_submission *s);
/* Right before the final dot: is the record still this message, does the client still wait, and is
 * the dataplane there? From any thread. */
bool ctl_submission_current(const struct ctl_submission *s);

/* DESC_RCPT: reverse-path and the recipient asked for. Owned copies in buf. */
struct ctl_rcpt_question {
	struct str mail_from;         /* n == 0: null reverse-path */
	struct str rcpt;
	struct str helo;
	uint8_t proto, body;          /* enum handoff_proto, handoff_body */
	bool smtputf8;
	uint64_t declared_size;
	uint32_t n_rcpts;             /* in the transaction so far, this one included */
	uint16_t tls_version;
	uint16_t listener, local_port;
	uint8_t peer[16], local[16];
	uint8_t connected[16];        /* the TCP peer: `peer`, unless that was named by another */
	char trace_id[17];            /* empty: not given yet */
	uint8_t buf[3 * 2048];
};
/* 0, -EINVAL, -ESTALE (the transaction is over: no answer is due). Counted as above. */
int ctl_rcpt_question(struct ctl_loop *l, const struct handoff_desc *d,
		      struct ctl_rcpt_question *q);

/* The parser below both, for tests and fuzzing: `rec` is any memory of HANDOFF_RECORD octets,
 * `chunks` the base of n_chunks chunks. Fills *s (zeroed) except epoch and desc. 0, -EINVAL,
 * -ENOMEM. */
int ctl_record_parse(const struct handoff_record *rec, const uint8_t *chunks, uint32_t n_chunks,
		     struct ctl_submission *s);
void ctl_record_release(struct ctl_submission *s);
