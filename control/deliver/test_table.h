/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * docs/smtp.md, executed. test_table_doc.c reads its tables, test_table_stage.c sets the scene that a
 * row speaks of, test_table.c runs it and compares.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/deliver/fake_hop.h"
#include "control/sts/fake_https.h"

#define ROWS_MAX 400
#define ROW_CELL 160
#define NAME "mx.example.net"
#define NAME2 "mx2.example.net"
#define SHORT_MS 250

/* Tables, in the order of the document. */
enum section {
	AT_CONNECT, AT_BANNER, AT_EHLO, AT_HELO, AT_STARTTLS, IN_HANDSHAKE, BY_RECORDS, AT_MAIL,
	AT_RCPT, AT_RCPT_OF_SEVERAL, AT_DATA, IN_CONTENT, AFTER_DOT, AFTER_LAST, NOT_SENT,
	SECTIONS,
};

/* Kinds of events, of which a table must have some. */
enum {
	KIND_2XX = 1 << 0, KIND_3XX = 1 << 1, KIND_4XX = 1 << 2, KIND_5XX = 1 << 3, KIND_421 = 1 << 4,
	KIND_RESET = 1 << 5, KIND_CLOSE = 1 << 6, KIND_HANG = 1 << 7, KIND_GARBAGE = 1 << 8,
	KIND_OVERLONG = 1 << 9, KIND_MULTI = 1 << 10, KIND_OTHER = 1 << 11,
};

struct row {
	unsigned int line;
	enum section section;
	/* next hop */
	char event[ROW_CELL];        /* a word, or the reply with CRLF between its lines */
	bool is_reply;
	unsigned int kind;
	/* with */
	size_t n_rcpts;
	bool one_by_one, bdat;
	char tls[16];                /* "" none */
	/* client hears */
	unsigned int code, cls, subject, detail;
	bool its, alert;
	int elsewhere;               /* -1: there can be none */
	/* kept */
	unsigned int kept;           /* code; 0: nothing */
	unsigned int kept_s, kept_all_s; /* 0: once; nobody else hears it */
	enum deliver_outcome outcome;
	char counted[ROW_CELL];      /* names, with or without their "nexthop_" */
};

/* Fails the test, with file and line, where something is not understood or missing. */
size_t rows_read(const char *path, struct row *rows);
void row_fail(const struct row *r, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));

struct run {
	const struct row *row;
	struct lab l;
	struct hop *h, *other;       /* other: the address that is tried elsewhere; NULL: none */
	struct fake_https *web;
	struct sent s;
	struct deliver_request req;
	unsigned int alerts;
	int fd, fill[4];             /* a full backlog */
	bool no_listener;            /* what the row speaks of happens before any next hop */
	char says[2048];             /* the reply with what is not to be passed on in it */
};

#define TELL "zebra"                 /* a word of the next hop's */
int stage_setup(void **state);
int stage_teardown(void **state);
/* Everything but the start. */
void stage_set(struct run *u, const struct row *r, bool with_other);
void stage_end(struct run *u);
const char *stage_of(const struct row *r);
