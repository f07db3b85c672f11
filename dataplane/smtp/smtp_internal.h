/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What the files of the machine share. Nobody outside dataplane/smtp/ includes this. */

#include "dataplane/smtp/smtp.h"
#include "dataplane/smtp/smtp_command.h"
#include "dataplane/smtp/smtp_data.h"
#include "dataplane/smtp/smtp_reply.h"
#include "postern/stats.h"

#define SMTP_NO_DEADLINE UINT64_MAX
#define SMTP_NO_LINE UINT32_MAX
#define SMTP_BYE_MAX 160

struct smtp_session {
	struct smtp_server *server;
	void *owner;
	struct smtp_session *next_free;

	uint64_t deadline;
	uint64_t data_start;    /* ms */
	uint64_t data_end_by;   /* ms: DATA as a whole */
	uint64_t data_progress; /* ms: octets came last */
	uint64_t data_octets;   /* on the wire */
	uint64_t held_since;    /* ms: the owner has no room since; 0: it has */
	uint64_t held_total;    /* ms of DATA that the client could not use */

	uint32_t line;          /* index of a line buffer, or SMTP_NO_LINE */
	uint32_t line_len;
	uint32_t errors;
	uint32_t transactions;
	uint32_t idle_commands; /* since the last message */
	uint32_t rcpt_asked;    /* of this transaction */
	uint32_t rcpt_accepted;
	uint32_t flags;         /* RECORD_F_* of the session */

	uint8_t phase;          /* enum smtp_phase */
	uint8_t proto;          /* enum handoff_proto */
	uint8_t helo_len;
	uint8_t bye_len;
	bool open;              /* the slot is in use */
	bool helo_seen;
	bool spoke;             /* a command was understood: no binary protocol any more */
	bool skip_line;         /* rest of an over-long line */
	bool txn;               /* MAIL was accepted */
	bool txn_held;          /* txn_begin() without txn_end() or submit() */
	bool data_told;         /* the refusal of the content was acted upon */
	bool unjudged;          /* control did not answer CONNECT: no transaction */
	bool refused;           /* control refused at CONNECT: only QUIT */
	bool bye_wanted;
	bool eof;
	bool soft_deadline;     /* set by an answer, whose caller gave no time */

	struct smtp_data data;
	uint32_t min_rate;      /* of this DATA */
	uint32_t data_timeout_s;
	uint8_t helo[LIMIT_DOMAIN];
	uint8_t bye[SMTP_BYE_MAX];
};

_Static_assert(LIMIT_DOMAIN <= UINT8_MAX, "helo_len");

struct smtp_server {
	struct smtp_ops ops;
	uint64_t *counters;
	const struct smtp_config *config;
	uint64_t now; /* ms, the latest that any call told */
	uint32_t max_sessions;
	uint32_t n_lines;
	uint32_t n_free_lines;
	struct smtp_session *free;
	struct smtp_session *session;
	uint8_t (*line)[LIMIT_COMMAND_EXT];
	uint32_t *free_line; /* stack */
};

static inline void smtp_count(struct smtp_session *s, enum postern_counter c)
{
	s->server->counters[c]++;
}

static inline const struct handoff_config *smtp_conf(const struct smtp_session *s)
{
	return &s->server->config->c;
}

/* smtp_server.c: line buffers. SMTP_NO_LINE: none left. */
uint32_t smtp_line_get(struct smtp_server *v);
void smtp_line_put(struct smtp_session *s);

/* smtp_say.c: everything that goes out. */
void smtp_say(struct smtp_session *s, enum smtp_say say);
void smtp_say_raw(struct smtp_session *s, const void *p, size_t n);
/* An answer of control: outside 2xx, 4xx, 5xx it becomes 451 4.3.0. Returns the code sent. */
unsigned int smtp_say_reply(struct smtp_session *s, const struct smtp_reply *r,
			    const uint8_t *trace_id);
/* Counts against max_errors; false: that was one too many, and the session is closing. */
bool smtp_error(struct smtp_session *s, enum postern_counter why);
/* A refusal of our own that the client is to blame for. */
void smtp_blame(struct smtp_session *s, enum smtp_say say, enum postern_counter why);
void smtp_close(struct smtp_session *s, enum smtp_close how);
void smtp_say_close(struct smtp_session *s, enum smtp_say say);
void smtp_end_txn(struct smtp_session *s);
/* 451 4.3.2, or 421 by configuration. */
void smtp_say_down(struct smtp_session *s);

/* smtp_limits.c: deadlines and rates. */
void smtp_arm(struct smtp_session *s, uint32_t seconds);
void smtp_arm_command(struct smtp_session *s);
void smtp_arm_data(struct smtp_session *s);
void smtp_data_moved(struct smtp_session *s, size_t n, bool held);

/* smtp_session.c */
void smtp_command_done(struct smtp_session *s);

/* smtp_transaction.c: one command, in the order RFC 5321 4.1.4 allows; and the content. */
void smtp_do_command(struct smtp_session *s, struct str line);
size_t smtp_do_data(struct smtp_session *s, const uint8_t *p, size_t n);
