/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Shared by the files of the passive parser and nobody else:
 *
 *   tap_smtp.c     what the client says: lines, content, gaps
 *   tap_command.c  a command line and what it begins
 *   tap_chunk.c    BDAT: chunks, and what is read behind one that was refused
 *   tap_reply.c    what the server says
 *   tap_pair.c     which reply is whose, and how sure that is
 *   tap_message.c  pools, life of a message
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
	uint64_t tail_gap; /* octets missing in content, with nothing behind them yet */
	bool content_gap;  /* octets are missing in it, perhaps with its end */
	/* How sure it is (tap_pair.c). */
	bool stray;      /* where the client's commands begin was guessed: no message is whole */
	bool pipelined;  /* since then: a command did not wait for the reply before */
	bool excused;    /* but a gap took that reply */
	bool clean;      /* no reply came since DATA was said */
	bool proof;      /* the content in hand was told by a reply that can be no other's */
	bool doubt;      /* replies are counted off from a point that was not proved */
	bool trust;      /* pairing was lost to a gap that took one reply at most */
	uint16_t out;    /* since stray: commands without a reply */
	uint16_t unread; /* of question[]: the first so many were read out of a refused chunk */
	uint32_t lost_asked, lost_replies; /* since pairing was lost */
	/* BDAT (tap_chunk.c). */
	uint64_t chunk;      /* octets of it that are left */
	uint64_t chunk_seen; /* octets of it that came */
	uint64_t swallow;    /* octets that the server may swallow, or read as commands */
	uint16_t kept;       /* of text[]: the first octets of the chunk */
	uint16_t again;      /* so many of them were read as commands */
	bool chunk_last;
	bool undecided; /* what a refused chunk is */
	bool serious;   /* its text holds commands that would count */
	bool mild;      /* or some that do nothing */
	bool unkept;    /* the begin of its text is gone */
	bool rereading; /* text[again..kept) waits */
	uint8_t nested; /* the message of a MAIL that waits; TAP_NO_MESSAGE */
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
	uint8_t text[LIMIT_COMMAND_EXT]; /* the begin of a chunk */
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
void tap_sink(void *session, const uint8_t *p, size_t n);
/* What was kept of a refused chunk, as far as no reply is awaited; how: TAP_F_. */
void tap_reread(struct tap_smtp_session *s, unsigned int how);
void tap_content_odd(struct tap_smtp_session *s);
/* The next line that is a command goes on. */
void tap_resync(struct tap_smtp_session *s);
/* Octets of the client as mode says; a prefix. */
size_t tap_take(struct tap_smtp_session *s, const uint8_t *p, size_t n);
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
/* It is not known to be what it looks like. */
void tap_message_unsure(struct tap_message *m);
/* Copied into its text; false: no room. */
bool tap_message_text(struct tap_message *m, struct str text, uint16_t *off);

/* tap_command.c */
void tap_command(struct tap_smtp_session *s, struct str line);
/* A response of an AUTH exchange was sent. */
void tap_auth_line(struct tap_smtp_session *s);
/* Any line that a server would take for a command: MAIL, RSET, EHLO and so on. */
bool tap_is_command(struct str line);

/* tap_chunk.c */
void tap_bdat(struct tap_smtp_session *s, uint64_t size, bool last);
/* BDAT that is malformed; false: it is none. */
bool tap_bdat_odd(struct tap_smtp_session *s, struct str line);
size_t tap_chunk_take(struct tap_smtp_session *s, const uint8_t *p, size_t n);
void tap_chunk_gap(struct tap_smtp_session *s, uint64_t n);
/* Its reply came, a refusal or too early. */
void tap_chunk_refused(struct tap_smtp_session *s);
/* While undecided: the server speaks; the octets that may be swallowed have passed; it can not be
 * found out: swallowed, as RFC 3030 has it. */
void tap_chunk_spoken(struct tap_smtp_session *s);
void tap_chunk_unread(struct tap_smtp_session *s, unsigned int code);
void tap_chunk_passed(struct tap_smtp_session *s);
void tap_chunk_swallow(struct tap_smtp_session *s);

/* tap_reply.c */
void tap_server_data(struct tap_smtp_session *s, const uint8_t *p, size_t n);
/* What `wait` waits for did not come and is assumed. */
void tap_assume(struct tap_smtp_session *s);
/* The reply to DATA was 354. */
void tap_content_begin(struct tap_smtp_session *s, enum tap_mode mode);

/* tap_pair.c */
void tap_ask(struct tap_smtp_session *s, enum tap_asked what, uint16_t rcpt);
void tap_server_gap(struct tap_smtp_session *s);
/* Replies can not be told to commands any more, until something shows where both are. */
void tap_pairing_lost(struct tap_smtp_session *s);
/* The same, but for commands that were said already: some that follow are missing. */
void tap_pairing_lost_behind(struct tap_smtp_session *s);
/* All that was asked before is answered, or never will be. */
void tap_pairing_begin(struct tap_smtp_session *s);
/* The same where that is only likely; messages from here on have to be proved. */
void tap_pairing_guess(struct tap_smtp_session *s);
/* Takes the first question. */
struct tap_question tap_pop(struct tap_smtp_session *s);
/* Takes all up to and with the first of this kind; false: there is none. */
bool tap_pop_until(struct tap_smtp_session *s, enum tap_asked what, struct tap_question *q);
/* Where commands begin was guessed: nothing is whole until tap_sure(). */
void tap_stray(struct tap_smtp_session *s);
/* A reply that does not fit: what was counted off is void. */
void tap_contradiction(struct tap_smtp_session *s);
/* The reply to an end of data came: the place where both sides are sure to be, if it is proved. */
void tap_sure(struct tap_smtp_session *s);
