/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What is sent: messages that are made once, at start, in the form in which they go out. Those of
 * --size are made here, those of --corpus are read by corpus.c. Each begins with a field that has
 * the id of the message, behind a Message-ID with the same digits if it is made here:
 *
 *     X-Load-Id: RRRRRRRR.SSSSSSSS
 *
 * R the run, S the serial of the message. A relay that puts its own fields in front leaves this one
 * and what is behind it as they are: so a next hop can say which message came, and whether it came
 * whole (the SHA-256 is of what is behind this line).
 */

#include <stdbool.h>
#include <stdint.h>

#define CONTENT_DIGITS    8u
#define CONTENT_NONE      UINT32_MAX
#define CONTENT_ID_LINE   30u          /* octets, CRLF too */
#define CONTENT_MAX       (64u << 20)  /* octets of a message */
#define CONTENT_ALL_MAX   (4ull << 30) /* octets of all */
#define CONTENT_CHUNKS    UINT16_MAX
#define CONTENT_CHUNK_MIN 512u /* so that no digits lie across two chunks */
#define CONTENT_COUNT_MAX (1u << 20)

struct content {
	uint8_t *p; /* as DATA or BDAT takes it; before pipelined chunks the envelope */
	uint32_t n;
	uint32_t octets;             /* of the message itself, with what is put in front of it */
	uint32_t at[2];              /* where the serial is put in; CONTENT_NONE: only once */
	uint32_t digits_end;         /* none at or behind it */
	uint32_t n_chunks;           /* BDAT; 0: DATA */
	uint32_t *chunk_end;         /* in p; a chunk has its command in front */
	uint32_t mail_end, envelope; /* in p: MAIL, MAIL and RCPT; 0 if they are not in it */
	uint8_t sha256[32];
	char *file;   /* of --corpus, without the directory */
	double until; /* weights of this one and of all before it */
};

struct contents {
	struct content *of;
	uint32_t n;
	double weight;
	uint64_t octets;
	bool even;    /* all weigh the same */
	uint32_t run; /* first half of the ids */
};

extern struct contents contents;

/* All messages; envelope: what goes before pipelined BDAT, its MAIL `mail_end` octets of it, or
 * NULL. 0, or -1 after saying on stderr what is wrong. */
int content_start(const char *envelope, uint32_t mail_end);
void content_stop(void);
/* The message with this serial, the same for the same --seed. */
uint32_t content_pick(uint32_t serial);
/* n octets from `from` on of message `serial`, whose content is c. */
void content_copy(const struct content *c, uint32_t serial, uint8_t *to, uint32_t from, uint32_t n);

/* Takes over `raw` (malloc) in all cases: n octets in lines that end in CRLF, header first. front:
 * a Message-ID with zeros in place of the serial, or "". file: NULL, or a copy is kept. 0, or -1
 * without memory or room. */
int content_add(uint8_t *raw, uint32_t n, double weight, const char *front, const char *file);

/* corpus.c: all messages of --corpus. 0, or -1 after saying on stderr what is wrong. */
int corpus_read(const char *directory);

/* Why a file is no message. Made right on the way: line ends. */
enum corpus_fault {
	CORPUS_OK,
	CORPUS_EMPTY,
	CORPUS_NUL,
	CORPUS_LONG_LINE,
	CORPUS_NO_HEADER,
	CORPUS_HEADER,
	CORPUS_TOO_LARGE
};

/* The n octets of a file as a message: out has room for 2 * n + 2. *line: where it is wrong. */
enum corpus_fault corpus_normalise(const uint8_t *p, uint32_t n, uint8_t *out, uint32_t *out_n,
				   uint32_t *line);
const char *corpus_why(enum corpus_fault fault);
