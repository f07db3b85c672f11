/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Shared by the files of the passive parser and nobody else:
 *
 *   tap_smtp.c   what the client says: lines, content, gaps   tap_reply.c    what the server says
 *   tap_command.c   a command line and what it begins         tap_message.c  pools, life of a
 * message
 */

#include "dataplane/smtp/smtp_data.h"
#include "dataplane/tap/tap_smtp.h"

/* What the client's next octets are. */
enum tap_mode {
	TAP_MODE_LINE,
	TAP_MODE_PEEK, /* content, if this line does not show that DATA was refused */
	TAP_MODE_CONTENT,
	TAP_MODE_CHUNK,  /* of BDAT */
	TAP_MODE_OPAQUE, /* a line of an AUTH exchange */
	TAP_MODE_RESYNC, /* unknown, up to a line that is a command */
	TAP_MODE_TLS,
};

/* What was said and has no reply yet. */
enum tap_asked {
	TAP_ASKED_GREETING,
	TAP_ASKED_HELO,
	TAP_ASKED_MAIL,
	TAP_ASKED_RCPT,
	TAP_ASKED_DATA,
	TAP_ASKED_END,
	TAP_ASKED_CHUNK,
	TAP_ASKED_LAST,
	TAP_ASKED_AUTH,
	TAP_ASKED_STARTTLS,
	TAP_ASKED_QUIT,
	TAP_ASKED_OTHER
};

#define TAP_NO_MESSAGE UINT8_MAX

struct tap_question {
	uint8_t what;  /* enum tap_asked */
	uint8_t slot;  /* of the message; TAP_NO_MESSAGE */
	uint16_t rcpt; /* UINT16_MAX: none */
};

struct tap_smtp_session {
	struct tap_smtp *pool;
	struct tap_smtp_session *next;
	void *owner;
	uint8_t mode; /* enum tap_mode */
	uint8_t wait; /* enum tap_asked whose reply decides what comes; 0: none */
	uint8_t slot; /* of the message in hand; TAP_NO_MESSAGE */
	bool one_way; /* no octet of the server was seen, and none is awaited */
	bool pairing_lost;
	bool lost_behind; /* it will be, when `sure` more questions are answered */
	bool server_seen, client_seen;
	bool line_over, reply_over;
	bool reply_skip;   /* the line of the server may lack its begin */
	bool tls_begun;    /* octets behind STARTTLS were looked at */
	bool tls_assumed;  /* the reply to it was not seen */
	bool told_early;   /* octets that did not wait for the reply of `wait` */
	uint64_t wait_gap; /* octets missing since `wait` */
	bool gapped;       /* octets of the client's are missing, wherever */
	uint64_t chunk;    /* octets of BDAT that are left */
	bool chunk_last;
	uint64_t since; /* anomalies since the last message */
	bool esmtp;     /* the client said EHLO */
	uint16_t helo_n;
	struct smtp_data data;
	struct tap_message *message[LIMIT_TAP_OPEN_MESSAGES];
	uint16_t line_n, reply_n;
	uint16_t first, asked; /* of question[] */
	uint16_t sure;         /* of the asked: were before a gap of the client */
	uint8_t line[LIMIT_COMMAND_EXT];
	uint8_t helo[LIMIT_DNS_NAME + 1];
	uint8_t reply[LIMIT_REPLY_LINE];
	struct tap_question question[LIMIT_TAP_PIPELINE];
};

struct tap_smtp {
	const struct tap_smtp_ops *ops;
	uint64_t *counters;
	struct tap_smtp_session *session, *free_session;
	struct tap_message *message, *free_message;
	uint32_t n_messages;
};

static inline void tap_smtp_count(struct tap_smtp_session *s, enum postern_counter c)
{
	s->pool->counters[c]++;
}

/* Counts it, notes it for the message in hand, tells the owner. */
void tap_smtp_odd(struct tap_smtp_session *s, enum tap_anomaly what);

/* tap_smtp.c */
void tap_chunk_end(struct tap_smtp_session *s);
/* The line that was looked at is content. */
void tap_peek_end(struct tap_smtp_session *s);

/* tap_message.c */
struct tap_message *tap_message_of(struct tap_smtp_session *s);
/* A new one in hand; NULL: none left (counted). */
struct tap_message *tap_message_new(struct tap_smtp_session *s);
/* The client has sent all of what is in hand, or gives it up. Not in hand any more. */
void tap_message_end(struct tap_smtp_session *s);
/* It is over: told if it had content. */
void tap_message_over(struct tap_smtp_session *s, uint8_t slot);
/* What is in hand is given up: RSET, MAIL, the end of the session. */
void tap_message_abort(struct tap_smtp_session *s);
/* Octets that are missing in it. */
void tap_message_gap(struct tap_smtp_session *s, uint64_t octets);
void tap_message_begin(struct tap_smtp_session *s, bool bdat);
/* What its content showed so far. */
void tap_message_flags(struct tap_smtp_session *s);
/* Copied into its text; false: no room. */
bool tap_message_text(struct tap_message *m, struct str text, uint16_t *off);

/* tap_command.c */
void tap_command(struct tap_smtp_session *s, struct str line);
/* A response of an AUTH exchange was sent. */
void tap_auth_line(struct tap_smtp_session *s);
/* Any line that a server would take for a command: MAIL, RSET, EHLO and so on. */
bool tap_is_command(struct str line);

/* tap_reply.c */
void tap_ask(struct tap_smtp_session *s, enum tap_asked what, uint16_t rcpt);
void tap_server_data(struct tap_smtp_session *s, const uint8_t *p, size_t n);
void tap_server_gap(struct tap_smtp_session *s);
/* Replies can not be told to commands any more, until something shows where both are. */
void tap_pairing_lost(struct tap_smtp_session *s);
/* The same, but for commands that were said already: some that follow are missing. */
void tap_pairing_lost_behind(struct tap_smtp_session *s);
/* All that was asked before is answered, or never will be. */
void tap_pairing_begin(struct tap_smtp_session *s);
/* What `wait` waits for did not come and is assumed. */
void tap_assume(struct tap_smtp_session *s);
/* The reply to DATA was 354. */
void tap_content_begin(struct tap_smtp_session *s, enum tap_mode mode);
