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
#define SMTP_NONE UINT32_MAX /* no session, no buffer */
#define SMTP_BYE_MAX 160

/* The deadline wheel: slots of 1,024 ms, 35 minutes in all; later deadlines come round again. */
#define SMTP_TICK_SHIFT 10
#define SMTP_WHEEL 2048u
#define SMTP_NO_SLOT UINT16_MAX

/* Elements of one size, all taken at start; those never used are handed out last. */
struct smtp_pool {
	uint8_t *mem;
	uint32_t size, count;
	uint32_t fresh;     /* from here on never used: not touched yet */
	uint32_t free_list; /* linked through the first four octets */
};

/* An incomplete command line, or a name too long for the session. Two sizes: nearly every line is
 * short, and who sends 256 octets without an end has to find a long one. */
struct smtp_line {
	uint32_t len;
	uint8_t b[];
};
#define SMTP_SHORT_LINE 256u
_Static_assert(SMTP_SHORT_LINE >= LIMIT_DOMAIN, "a HELO name fits a short buffer");

/* Limits of DATA that were passed and only observed: each is told of once. */
enum { SMTP_SEEN_RATE = 1, SMTP_SEEN_LARGE = 2, SMTP_SEEN_TOTAL = 4 };

/* What is needed from DATA or the first BDAT to the end of content. */
struct smtp_content {
	uint64_t start;    /* ms */
	uint64_t end_by;   /* ms: DATA as a whole */
	uint64_t progress; /* ms: octets came last */
	uint64_t octets;   /* on the wire */
	uint64_t held_since; /* ms: the owner has no room since; 0: it has */
	uint64_t held_total; /* ms of DATA that the client could not use */
	struct smtp_data data;
	/* Octets of the window of time that is under way, and of the one before: smtp_rate.c. */
	uint64_t window[2];
	uint32_t window_index;
	uint32_t min_rate; /* of this DATA, as is all below; 0: any */
	uint32_t min_rate_large;
	uint32_t timeout_s;
	uint8_t min_rate_mode, min_rate_large_mode, data_total_mode;
	uint8_t seen;      /* SMTP_SEEN_* */
	bool told;         /* the refusal of the content was acted upon */
	bool has_trace;
	uint8_t trace[SMTP_TRACE_ID]; /* kept: the record may be given back before the reply */
	/* BDAT */
	bool bdat;
	bool begun;        /* data_begin() */
	bool last;         /* of the chunk in hand */
	bool blame;        /* the refusal is an error of the session, not told yet */
	bool counted;      /* a look-alike was */
	uint8_t say;       /* enum smtp_say: refused, this and each chunk to come; SAY_NONE: not */
	uint32_t block_timeout_s; /* within a chunk */
	uint64_t chunk;    /* octets announced */
	uint64_t left;     /* of them to come */
};

/*
 * All that an idle session keeps: two cache lines. What belongs to a partial line or to content
 * lives in pools, for as long as there is one.
 */
struct smtp_session {
	struct smtp_server *server;
	void *owner;
	struct smtp_content *content; /* in DATA, and between the chunks of BDAT */
	const uint8_t *bye;     /* of a 421 to come; the caller's, as long as the server lives */
	uint64_t deadline;
	uint32_t timer_next, timer_prev; /* in the wheel; free sessions by timer_next */
	uint32_t line, long_line; /* buffers of a partial line, one at most; SMTP_NONE */
	uint32_t name;          /* buffer of a HELO name too long for helo[] */
	uint32_t transactions;
	uint32_t rcpt_asked : 10; /* of this transaction, all that were ever asked */
	uint32_t rcpt_accepted : 10;
	uint32_t rcpt_open : 7; /* asked, not answered yet; 0 in all phases but RCPT_ASKED */
	uint32_t messages;      /* submitted */
	uint16_t errors;        /* saturating */
	uint16_t timer_slot;    /* SMTP_NO_SLOT: not in the wheel */
	uint8_t idle_commands;  /* since the last message */
	uint8_t bye_len;
	uint8_t helo_len;
	uint8_t phase;          /* enum smtp_phase */
	uint8_t proto;          /* enum handoff_proto */
	uint8_t end;            /* END_F_* so far */
	bool open : 1;          /* the slot is in use */
	bool helo_seen : 1;
	bool spoke : 1;         /* a command was understood: no binary protocol any more */
	bool skip_line : 1;     /* rest of an over-long line */
	bool txn : 1;           /* MAIL was accepted */
	bool utf8 : 1;          /* which said SMTPUTF8 */
	bool txn_held : 1;      /* txn_begin() without txn_end() or submit() */
	bool unjudged : 1;      /* control did not answer CONNECT: no transaction */
	bool refused : 1;       /* control refused at CONNECT: only QUIT */
	bool bye_wanted : 1;
	bool eof : 1;
	bool soft_deadline : 1; /* set by an answer, whose caller gave no time */
	bool early : 1;         /* RECORD_F_EARLY_TALKER */
	bool tls : 1;           /* STARTTLS was done */
	uint8_t helo[44];       /* nearly every name; longer ones lie in a buffer */
};

_Static_assert(sizeof(struct smtp_session) <= 128, "an idle session is two cache lines");
_Static_assert(SAY_COUNT <= UINT8_MAX, "say");
_Static_assert(LIMIT_DOMAIN <= UINT8_MAX, "helo_len");
_Static_assert(END_F_PRESSURE <= UINT8_MAX, "end");
_Static_assert(SMTP_BYE_MAX <= UINT8_MAX, "bye_len");
_Static_assert(LIMIT_IDLE_COMMANDS_MAX < UINT8_MAX, "idle_commands");
_Static_assert(HANDOFF_MAX_RCPTS < 1u << 10, "rcpt_asked");
_Static_assert(LIMIT_RCPT_OPEN < 1u << 7, "rcpt_open");

struct smtp_server {
	struct smtp_ops ops;
	uint64_t *counters;
	const struct smtp_config *config;
	uint64_t now; /* ms, the latest that any call told */
	size_t behind; /* octets in hand behind the command that is being executed */
	uint32_t max_sessions;
	uint32_t fresh; /* sessions from here on were never used */
	uint32_t free;  /* list by timer_next */
	struct smtp_session *session;
	struct smtp_pool line, long_line, content;
	uint32_t armed; /* sessions in the wheel */
	uint64_t tick;  /* whose slot is looked at now */
	uint32_t wheel[SMTP_WHEEL];
};

static inline void smtp_count(struct smtp_session *s, enum postern_counter c)
{
	s->server->counters[c]++;
}

static inline const struct handoff_config *smtp_conf(const struct smtp_session *s)
{
	return &s->server->config->c;
}

/* The session ends, and it shows this. */
static inline void smtp_ending(struct smtp_session *s, uint32_t flag)
{
	s->end |= (uint8_t)flag;
}

static inline bool smtp_has_line(const struct smtp_session *s)
{
	return s->line != SMTP_NONE || s->long_line != SMTP_NONE;
}

/* smtp_pool.c */
bool smtp_pool_new(struct smtp_pool *p, uint32_t count, size_t size);
size_t smtp_pool_bytes(uint32_t count, size_t size);
uint32_t smtp_pool_get(struct smtp_pool *p); /* SMTP_NONE: none left */
void smtp_pool_put(struct smtp_pool *p, uint32_t i);
static inline void *smtp_pool_at(const struct smtp_pool *p, uint32_t i)
{
	return p->mem + (size_t)i * p->size;
}

/* Appends to the partial line. -E2BIG: longer than any command; -ENOBUFS: no buffer left. */
int smtp_line_add(struct smtp_session *s, const uint8_t *p, size_t n);
struct str smtp_line_get(const struct smtp_session *s);
/* Forgets the last n octets of it. */
void smtp_line_cut(struct smtp_session *s, size_t n);
void smtp_line_put(struct smtp_session *s);
/* The client's name; false: no buffer left for one of this length. */
bool smtp_name_set(struct smtp_session *s, struct str name);
struct str smtp_name_get(const struct smtp_session *s);
void smtp_name_put(struct smtp_session *s);
bool smtp_content_get(struct smtp_session *s);
void smtp_content_put(struct smtp_session *s);

/* smtp_say.c: everything that goes out. */
void smtp_say(struct smtp_session *s, enum smtp_say say);
void smtp_say_raw(struct smtp_session *s, const void *p, size_t n);
/* The 421 that smtp_shutdown() asked for. */
void smtp_say_bye(struct smtp_session *s);
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
/* What this session's host calls itself, and whether it offers STARTTLS. smtp_say.c */
const struct smtp_face *smtp_face(const struct smtp_session *s, bool *tls);
/* 451 4.3.2, or 421 by configuration. */
void smtp_say_down(struct smtp_session *s);

/* smtp_wheel.c: keeps s->deadline where smtp_expired() finds it. */
void smtp_wheel_hang(struct smtp_session *s);
void smtp_wheel_unhang(struct smtp_session *s);

/* smtp_limits.c: deadlines and rates. */
void smtp_arm(struct smtp_session *s, uint32_t seconds);
void smtp_arm_command(struct smtp_session *s);
void smtp_arm_rcpt(struct smtp_session *s);
void smtp_arm_data(struct smtp_session *s);
/* Content begins now, by the limits of the present configuration: one that comes during DATA is not
 * for this message. s->content is there. */
void smtp_content_begin(struct smtp_session *s);
void smtp_data_moved(struct smtp_session *s, size_t n, bool held);

/* smtp_rate.c: how fast the octets of a message must come. */
/* Octets came; before they are counted in k->octets. */
void smtp_rate_add(struct smtp_content *k, uint64_t now, size_t n);
/* ms: when the limit is passed if nothing more comes. */
uint64_t smtp_rate_deadline(const struct smtp_content *k);
uint64_t smtp_rate_large_deadline(const struct smtp_content *k);

/* smtp_client.c: who speaks here. */
unsigned int smtp_trust(const struct handoff_config *c, const uint8_t peer[16]); /* TRUST_* */
void smtp_ask_connect(struct smtp_session *s);
bool smtp_proxy_begin(struct smtp_session *s); /* false: this peer sends no PROXY header */
size_t smtp_proxy_input(struct smtp_session *s, const uint8_t *p, size_t n);
void smtp_proxy_timeout(struct smtp_session *s);
void smtp_do_xclient(struct smtp_session *s, struct str arg);
/* The reply to EHLO, with XCLIENT in it for those who may use it. */
void smtp_say_ehlo(struct smtp_session *s, const uint8_t *text, size_t n);

/* smtp_starttls.c */
void smtp_do_starttls(struct smtp_session *s);
void smtp_tls_timeout(struct smtp_session *s);

/* smtp_session.c */
void smtp_command_done(struct smtp_session *s);
/* A line, without its end, that is no command: true if it is of another protocol, and cut. */
bool smtp_foreign(struct smtp_session *s, struct str line);
/* SAY_NONE: without a word, for it would not be understood. */
void smtp_cut_foreign(struct smtp_session *s, enum smtp_say say);

/* smtp_bdat.c: chunks. */
void smtp_do_bdat(struct smtp_session *s, const struct smtp_command *cmd);
size_t smtp_bdat_input(struct smtp_session *s, const uint8_t *p, size_t n);
/* A BDAT that cannot be read: 501, and the session ends. */
void smtp_bdat_bad(struct smtp_session *s);
/* Instead of smtp_arm_command() between two chunks. */
void smtp_arm_chunks(struct smtp_session *s);

/* smtp_transaction.c: one command, in the order RFC 5321 4.1.4 allows; and the content. */
void smtp_do_command(struct smtp_session *s, struct str line);
/* While recipients are open. False: the line is not one more that can be asked; nothing was done. */
bool smtp_do_next_rcpt(struct smtp_session *s, struct str line);
size_t smtp_do_data(struct smtp_session *s, const uint8_t *p, size_t n);
/* Commands that lead to nothing are bounded; false: one too many, the session is closing. */
bool smtp_idle_budget(struct smtp_session *s);
/* Content goes to the owner; ctx is the session. */
void smtp_to_owner(void *ctx, const uint8_t *p, size_t n);
/* Which refusal it is; the first that holds, so that it does not hang on how octets came. */
enum smtp_say smtp_refusal(const struct smtp_data *d, enum postern_counter *why);
/* At the end of content that is not refused. */
void smtp_submit(struct smtp_session *s);
