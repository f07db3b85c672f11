/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What a bench hands over and how it is printed. Everything is in TSC cycles per unit of work. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <rte_cycles.h>

#define MICRO_REPS 31  /* most repetitions of one bench */
#define MICRO_PARTS 6
#define MICRO_ROWS 128

/* One line of the table: all of it, and the parts it is made of, once for each repetition. */
struct micro_row {
	char group[32], name[64];
	const char *unit;          /* what is counted: segment, SYN, connection, call */
	double total[MICRO_REPS];
	unsigned int reps;
	unsigned int n_parts;
	const char *part[MICRO_PARTS];
	double of_part[MICRO_PARTS][MICRO_REPS];
	double octets;             /* of payload in a unit; 0: no rate is printed */
	double sent;               /* packets sent for a unit; below 0: not applicable */
	double aim;                /* cycles; 0: none */
	double yardstick[MICRO_REPS];
};

struct micro_options {
	unsigned int reps;
	uint32_t flows_max;
	const char *only;          /* part of a group's name; NULL: all */
	const char *json;          /* file; NULL: none */
	const char *commit;
};

extern struct micro_options micro;

/* The next row; exits when the table is full, which is a mistake in this program. */
struct micro_row *micro_row(const char *group, const char *unit, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void micro_print_machine(void);
void micro_print_rows(void);
void micro_print_disturbance(void);
int micro_write_json(const char *path);
/* Says why and ends the program: a bench that half ran is worth nothing. */
_Noreturn void micro_die(const char *what);

static inline void micro_must(bool ok, const char *what)
{
	if (!ok)
		micro_die(what);
}

/* What rte_rdtsc() costs; it is taken off each interval. */
extern uint64_t micro_rdtsc_cost;
void micro_calibrate(void);

/*
 * One repetition is done. A fixed piece of work is timed beside it: where that takes longer than
 * elsewhere in the run, the other hardware thread of the core was busy or the clock was lower, and
 * the row says so.
 */
void micro_done(struct micro_row *row, unsigned int rep);

static inline uint64_t micro_since(uint64_t from)
{
	uint64_t d = rte_rdtsc() - from;

	return d > micro_rdtsc_cost ? d - micro_rdtsc_cost : 0;
}

/* xorshift64*: the order of flows and the addresses of sources. */
static inline uint64_t micro_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

/* The groups. */
void bench_pieces(void);   /* pieces.c: hash, checksum, table, timers */
void bench_segments(void); /* segments.c: received segments of established flows */
void bench_syn(void);      /* syn.c: SYN floods */
void bench_content(void); /* content.c: views of messages */
void bench_session(void);  /* session.c: whole connections with SMTP */
