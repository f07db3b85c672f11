/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A capture as a list of segments that a test makes, cuts, reorders and spoils before it plays them
 * into tracker, parser and report. What is printed is kept for comparison.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/tap/tap_report.h"
#include "postern/limits.h"

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10
#define URG 0x20

#define MAX_SEGMENTS 4096

struct seg {
	enum tap_side side;
	uint32_t seq, ack;
	uint8_t flags, ttl;
	uint16_t wnd;
	bool bad_checksum, has_ts;
	uint32_t tsval;
	uint16_t port; /* of the client; 0: 40000 */
	const uint8_t *p;
	uint32_t n;
	uint64_t us; /* 0: 100 us behind the one before */
};

struct capture {
	struct seg seg[MAX_SEGMENTS];
	unsigned int n;
	uint32_t nxt[2]; /* of the two sides */
	bool ts;         /* timestamps in all segments that follow */
	uint32_t tsval;
	uint16_t port;
};

extern struct tap_options track_options;
extern uint64_t counters[POSTERN_DP_COUNTER_COUNT];

/* Isolates a test from the one before. */
int tap_setup(void **state);

/* These append. */
struct seg *add(struct capture *c, enum tap_side side, uint8_t flags, const void *p, size_t n);
void handshake(struct capture *c, uint32_t client_isn, uint32_t server_isn);
void say(struct capture *c, enum tap_side side, const char *text); /* one segment and its ACK */
void talk(struct capture *c, enum tap_side side, const void *p, size_t n); /* without the ACK */
void goodbye(struct capture *c);                                           /* FIN both ways */
/* "C: " and "S: " lines, each its own segment; "\n" in the script is CRLF on the wire. */
void script(struct capture *c, const char *lines);

/* These change. */
void cut(struct capture *c, uint32_t most); /* payloads into segments of at most so many */
void swap(struct capture *c, unsigned int a, unsigned int b);
void insert(struct capture *c, unsigned int at, const struct seg *s);
void take_out(struct capture *c, unsigned int at);
/* The index of the first segment of this side whose payload begins so; fails the test if none does.
 */
unsigned int find(const struct capture *c, enum tap_side side, const char *begin);

/* Plays it; what was printed, without the summary, is valid until the next call. All memory must be
 * given back at the end. */
const char *play(const struct capture *c);
/* The same with payload memory that has an owner, and goes away at the end of each call otherwise.
 */
extern bool with_owner;
/* How many lines hold the text. */
unsigned int lines_with(const char *printed, const char *text);
