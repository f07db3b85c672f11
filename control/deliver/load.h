/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * How much of a route may be under way at once. A transaction takes a ticket at its first RCPT, before
 * anything is asked of the next hop, and keeps it until its message is answered or it is over without
 * one. Past the bound there is no ticket, and the sender hears so before it sends any content.
 *
 * The bound is as high as configuration lets it be while the next hop keeps up, and is found anew each
 * second otherwise:
 *
 *   nobody answers   of LIMIT_LOAD_FAILED transactions in a row: halved, down to LIMIT_LOAD_LEAST, which
 *                    then find out when somebody does again
 *   a queue stands   whoever waited least for a connection within this second waited longer than `wait`
 *                    (a burst drains, a standing queue does not), or nothing ended for so long: a quarter
 *                    less, down to what the connections carry
 *   it is slow       a stage takes `factor` times what is usual: down to what Little's law lets wait no
 *                    longer than `wait`, in the measure in which it is slow
 *   none of these    a quarter more
 *
 * In memory it is bound by what is left to others: on each worker a route may hold share : (100 - share)
 * of what is free. One that takes all it can comes to `share` percent; if there are k such, none comes to
 * more than another, and something is always free.
 *
 * No clock, no I/O, no allocation. Times are microseconds of any clock that does not go back.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "control/config/config.h"
#include "control/deliver/histogram.h"
#include "postern/handoff.h"

struct load;

/* Zero is none. It stands where its owner put it, until load_leave() or load_fini(). */
struct load_ticket {
	struct load *load;
	TAILQ_ENTRY(load_ticket) link;
	uint64_t since_us;           /* taken */
	uint32_t chunks;             /* of memory, of its worker; before its content came: expected */
	uint16_t worker;
	bool submitted;              /* its message is with us */
	bool stale;                  /* it is not, for so long that it does not count against the bound */
};
TAILQ_HEAD(load_tickets, load_ticket);

/* A worker's part of the arena. */
struct load_room {
	uint32_t worker;             /* below HANDOFF_MAX_WORKERS */
	uint32_t chunks_free, records_free;
	bool shared;                 /* other routes need memory, too */
};

enum load_stage {
	LOAD_CONNECT,                /* connect to the end of EHLO and TLS */
	LOAD_RCPT,                   /* MAIL to the reply to the last RCPT */
	LOAD_DOT,                    /* dot or BDAT LAST to its reply */
	LOAD_STAGES,
};

enum load_state { LOAD_OK, LOAD_SLOW, LOAD_SHEDDING };
/* Why it is not well; the worst of what holds. */
enum load_cause { LOAD_NONE, LOAD_LATENCY, LOAD_QUEUE, LOAD_SILENT, LOAD_MEMORY };

struct load_rules {
	struct config_overload config;
	unsigned int connections;    /* max-connections of the route */
};

struct load {
	struct load_tickets open, held; /* without a message that counts, by age; all others */
	unsigned int outstanding;    /* tickets but the stale ones */
	uint32_t records[HANDOFF_MAX_WORKERS], chunks[HANDOFF_MAX_WORKERS]; /* of all tickets */
	double bound;
	double mean_chunks;          /* of a message */
	double service_us;           /* a connection is busy with one */
	struct load_latency {
		struct histogram_window seen;
		struct histogram fresh; /* since it was last looked at */
		double usual_us, current_us; /* medians; 0: not known */
	} stage[LOAD_STAGES];
	struct histogram_window waited, whole; /* messages: for a connection; in deliver, all in all */

	/* within this second */
	uint64_t turned_us;          /* it began; 0: never */
	uint64_t least_wait_us[2];   /* of callouts, messages; UINT64_MAX: none got a connection */
	unsigned int peak, refused;

	uint64_t ended_us;           /* last end of one, or begin of the first */
	unsigned int failed;         /* in a row */
	unsigned int good, quiet;    /* seconds in a row in which all was well, nobody was refused */
	enum load_state state;
	enum load_cause cause;
	uint64_t shedding_us;        /* since */
	uint64_t opened, refused_bound, refused_memory; /* in all */
};

void load_init(struct load *l);
/* Tickets that are still out become none. */
void load_fini(struct load *l);

enum load_answer { LOAD_ADMITTED, LOAD_OVER_BOUND, LOAD_OVER_MEMORY };
/* May a transaction begin? declared: octets by SIZE, 0: not said. The ticket must be none. */
enum load_answer load_admit(struct load *l, const struct load_rules *rules, uint64_t now_us,
			    const struct load_room *room, uint64_t declared, struct load_ticket *t);
/* The message of `from` is here, of `size` octets, and is `to`'s from now on. `from` may be none: it is
 * counted all the same. */
void load_submit(struct load *l, uint64_t now_us, uint32_t worker, uint64_t size,
		 struct load_ticket *from, struct load_ticket *to);
void load_leave(struct load_ticket *t); /* none: nothing */

/* What happened. */
void load_waited(struct load *l, uint64_t now_us, bool callout, uint64_t us);
void load_stage_took(struct load *l, enum load_stage stage, uint64_t now_us, uint64_t us);
/* failed: nobody answered, or the next hop said that it is not well. us: a message had a connection so
 * long, 0: it had none, or it was a callout. */
void load_ended(struct load *l, uint64_t now_us, bool failed, uint64_t us);
/* A message is through with deliver. */
void load_done(struct load *l, uint64_t now_us, uint64_t us);

/* To be called about once a second while load_busy(); oldest_us: how long whoever waits longest for a
 * connection has waited, 0: nobody. */
void load_turn(struct load *l, const struct load_rules *rules, uint64_t now_us, uint64_t oldest_us);
/* Can time alone change something? */
bool load_busy(const struct load *l, const struct load_rules *rules);
/* It has been shedding for so long that who insists is sent away. */
bool load_lasts(const struct load *l, uint64_t now_us);

struct load_view {
	enum load_state state;
	enum load_cause cause;
	unsigned int outstanding, bound;
	uint64_t held;               /* octets of the arena, all workers */
	uint64_t wait_us[2], whole_us[2], stage_us[LOAD_STAGES][2]; /* p50, p99 of the last minute */
	uint64_t usual_us[LOAD_STAGES];
	uint64_t state_us;           /* shedding for so long */
	uint64_t opened, refused_bound, refused_memory;
};
void load_look(const struct load *l, const struct load_rules *rules, uint64_t now_us, struct load_view *v);
const char *load_state_name(enum load_state s);
const char *load_cause_name(enum load_cause c);
const char *load_stage_name(enum load_stage s);
