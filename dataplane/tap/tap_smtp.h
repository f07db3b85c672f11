/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * SMTP as a bystander: from what client and server said, in the order in which they saw it
 * (tap_app.data), to messages with their envelope, content and reply. The grammar of command lines
 * and the end of data are those of dataplane/smtp; who decides here is the server that is watched,
 * so that every command waits for its reply, and what a refusal makes void is void here.
 *
 * A gap never makes a message of a tail: behind one, content goes on only where its length was told
 * (BDAT) or up to an end of data, and command lines begin at the next line that is one.
 *
 * No DPDK, no sockets, no allocation after tap_smtp_new().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/tap/tap.h"
#include "postern/limits.h"
#include "postern/str.h"

struct tap_smtp;         /* pools of one worker */
struct tap_smtp_session; /* one flow */

enum tap_rcpt_state { TAP_RCPT_UNKNOWN, TAP_RCPT_TAKEN, TAP_RCPT_REFUSED };

struct tap_rcpt {
	uint16_t off, n; /* in text[] */
	uint16_t code;   /* of the reply; 0: not seen */
	uint8_t state;   /* enum tap_rcpt_state */
};

/* Why a message is not whole; first that happened. */
enum tap_whole { TAP_WHOLE, TAP_NOT_WHOLE_GAP, TAP_NOT_WHOLE_ABORTED };

struct tap_message {
	uint32_t index;       /* in the pool: for what the owner keeps beside it */
	struct str mail_from; /* p == NULL: not seen; n == 0: the null path */
	uint32_t n_rcpts;     /* in rcpt[] */
	uint32_t rcpts_cut;   /* more, that are not told */
	uint64_t size;        /* octets of content given, unstuffed */
	uint64_t gap_octets;  /* missing, if whole says so */
	uint64_t anomalies;   /* mask of enum tap_anomaly */
	uint8_t whole;        /* enum tap_whole */
	uint32_t flags;      /* RECORD_F_* of what was given, and of MAIL */
	uint8_t body;        /* enum handoff_body, as MAIL said */
	bool bdat;
	bool has_content;    /* content began */
	bool one_way;        /* no replies are in the capture */
	uint16_t reply_code; /* 0: not seen */
	uint16_t reply_n;
	uint8_t reply[LIMIT_REPLY_LINE]; /* last line, without its CRLF; any octets */
	struct tap_rcpt rcpt[LIMIT_TAP_RCPTS];
	uint16_t text_n;
	uint8_t text[LIMIT_TAP_ENVELOPE];
	/* of this folder */
	struct tap_message *next;
	bool ended; /* the client has sent all of it */
};

static inline struct str tap_rcpt_of(const struct tap_message *m, uint32_t i)
{
	return str_make(m->text + m->rcpt[i].off, m->rcpt[i].n);
}

struct tap_smtp_ops {
	/* Content begins; then runs of it; then message(), with which m is gone. */
	void (*begin)(void *owner, struct tap_message *m);
	void (*content)(void *owner, struct tap_message *m, const uint8_t *p, size_t n);
	void (*message)(void *owner, struct tap_message *m);
	void (*gap)(void *owner, enum tap_side side, uint32_t octets, enum tap_cause cause);
	void (*anomaly)(void *owner, enum tap_anomaly what);
	/* The rest of the session is TLS. */
	void (*encrypted)(void *owner);
	/* Last call. */
	void (*closed)(void *owner);
};

/* `sessions` at once, and as many messages, with some over for those that wait for a reply. */
struct tap_smtp *tap_smtp_new(uint32_t sessions, const struct tap_smtp_ops *ops,
			      uint64_t *counters);
void tap_smtp_free(struct tap_smtp *s);
uint32_t tap_smtp_messages(const struct tap_smtp *s); /* message.index is below */

/* NULL: no session left (counted). owner: first argument of the calls. */
struct tap_smtp_session *tap_smtp_open(struct tap_smtp *s, const struct tap_flow_info *info,
				       void *owner);
/* What its last HELO or EHLO said; n == 0: none was seen. Borrowed. */
struct str tap_smtp_helo(const struct tap_smtp_session *s);
bool tap_smtp_esmtp(const struct tap_smtp_session *s);
/* Calls of struct tap_app, the same but for the first argument. */
size_t tap_smtp_data(struct tap_smtp_session *s, enum tap_side side, const uint8_t *p, size_t n,
		     unsigned int how);
void tap_smtp_gap(struct tap_smtp_session *s, enum tap_side side, uint32_t octets,
		  enum tap_cause cause);
void tap_smtp_anomaly(struct tap_smtp_session *s, enum tap_anomaly what);
/* Tells of what is open, calls closed(); the session is gone. */
void tap_smtp_close(struct tap_smtp_session *s);
