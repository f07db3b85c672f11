/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * For tests and fuzzing only: an owner of one session that keeps what it was told, answers by the
 * recipient's name, and aborts when the machine breaks a rule of smtp.h.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/smtp/smtp.h"
#include "dataplane/smtp/smtp_reply.h"
#include "postern/limits.h"
#include "postern/stats.h"
#include "postern/utf8.h"

enum fake_question { FAKE_NONE, FAKE_CONNECT, FAKE_RCPT, FAKE_MESSAGE };

struct fake {
	uint8_t face;        /* whose name: as in handoff_inline.name */
	bool face_clear;     /* no STARTTLS in it */
	struct smtp_server *server;
	struct smtp_config *config;
	struct smtp_session *s;
	uint64_t counters[POSTERN_DP_COUNTER_COUNT];
	uint64_t now;
	enum fake_question asked; /* RCPT: n_open of them */
	bool down, no_record, no_arena, no_room, no_rcpt, send_full;
	bool txn, in_data, closed;
	bool trace;                /* messages have a trace id */
	enum smtp_close how;
	size_t room, room_step;    /* room_step: how much data_room() says; 0: plenty */
	struct smtp_client real;   /* the TCP peer */
	struct smtp_client client; /* as named, while via is not NONE */
	unsigned int connects;     /* questions */
	bool no_tls;
	unsigned int tls_starts;
	unsigned int first_open, n_open; /* in rcpt[], modulo its size */
	char helo[256];
	char from[512];
	uint64_t declared;
	uint8_t body, proto;
	bool utf8;
	unsigned int txns, ends, messages, rcpts;
	struct smtp_data_facts facts;
	void (*submitted)(const struct fake *f); /* may be NULL: looks at content and facts */
	size_t out_n, content_n, held_n;
	char out[1 << 16];
	uint8_t content[1 << 16];  /* of the message in hand or last submitted */
	uint8_t held[1 << 16];     /* octets that were not consumed yet */
	char rcpt[LIMIT_RCPT_OPEN][LIMIT_PATH + 1];
};

#define FAKE_MUST(x)                                                                               \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static inline int fake_send(void *owner, const void *p, size_t n)
{
	struct fake *f = owner;

	FAKE_MUST(!f->closed);
	/* RFC 5321 4.5.3.1.5; EHLO is several lines in one call. */
	FAKE_MUST(n > 0 && n <= 2 * LIMIT_REPLY_LINE && ((const char *)p)[n - 1] == '\n');
	if (f->send_full)
		return -ENOBUFS;
	if (f->out_n + n > sizeof(f->out))
		f->out_n = 0;
	memcpy(f->out + f->out_n, p, n);
	f->out_n += n;
	return 0;
}

static inline int fake_ask_connect(void *owner)
{
	struct fake *f = owner;

	FAKE_MUST(f->asked == FAKE_NONE);
	if (f->down)
		return -EAGAIN;
	f->asked = FAKE_CONNECT;
	f->connects++;
	return 0;
}

static inline int fake_ask_rcpt(void *owner, struct str mailbox)
{
	struct fake *f = owner;
	char *to;

	FAKE_MUST((f->asked == FAKE_NONE || f->asked == FAKE_RCPT) && f->txn && !f->in_data);
	FAKE_MUST(mailbox.n > 0 && mailbox.n <= LIMIT_PATH);
	FAKE_MUST(f->utf8 || utf8_is_ascii(mailbox));
	if (f->down)
		return -EAGAIN;
	if (f->no_rcpt)
		return -ENOSPC;
	if (f->asked == FAKE_NONE)
		f->n_open = 0;
	/* Not more than could be answered 250. */
	FAKE_MUST(f->n_open < LIMIT_RCPT_OPEN);
	FAKE_MUST(!f->config || f->rcpts + f->n_open < f->config->c.max_rcpt);
	to = f->rcpt[(f->first_open + f->n_open++) % LIMIT_RCPT_OPEN];
	memcpy(to, mailbox.p, mailbox.n);
	to[mailbox.n] = '\0';
	f->asked = FAKE_RCPT;
	return 0;
}

static inline int fake_txn_begin(void *owner, struct str helo, uint8_t proto,
				 const struct smtp_mail *mail)
{
	struct fake *f = owner;

	FAKE_MUST(!f->txn && f->asked == FAKE_NONE);
	FAKE_MUST(helo.n > 0 && helo.n <= LIMIT_DOMAIN && mail->reverse_path.n <= LIMIT_PATH);
	if (f->down)
		return -EAGAIN;
	if (f->no_record)
		return -ENOMEM;
	snprintf(f->helo, sizeof(f->helo), "%.*s", STR_FMT(helo));
	snprintf(f->from, sizeof(f->from), "%.*s", STR_FMT(mail->reverse_path));
	f->declared = mail->size;
	f->body = mail->body;
	f->utf8 = mail->smtputf8;
	FAKE_MUST(f->utf8 || utf8_is_ascii(mail->reverse_path));
	f->proto = proto;
	f->rcpts = 0;
	f->txn = true;
	f->txns++;
	return 0;
}

static inline void fake_txn_end(void *owner)
{
	struct fake *f = owner;

	FAKE_MUST(f->txn);
	f->txn = f->in_data = false;
	if (f->asked == FAKE_RCPT) /* nobody waits for the answers */
		f->asked = FAKE_NONE;
	f->ends++;
}

static inline int fake_data_begin(void *owner)
{
	struct fake *f = owner;

	FAKE_MUST(f->txn && !f->in_data && f->rcpts > 0);
	if (f->no_arena)
		return -ENOMEM;
	f->in_data = true;
	f->content_n = 0;
	return 0;
}

static inline size_t fake_data_room(void *owner)
{
	struct fake *f = owner;

	FAKE_MUST(f->in_data);
	f->room = sizeof(f->content) - f->content_n;
	if (f->room_step && f->room_step < f->room)
		f->room = f->room_step;
	if (f->no_room)
		f->room = 0;
	return f->room;
}

static inline void fake_data(void *owner, const uint8_t *p, size_t n)
{
	struct fake *f = owner;

	FAKE_MUST(f->in_data && n > 0 && n <= f->room);
	memcpy(f->content + f->content_n, p, n);
	f->content_n += n;
	f->room -= n;
}

static inline int fake_submit(void *owner, const struct smtp_data_facts *facts)
{
	struct fake *f = owner;

	FAKE_MUST(f->txn && f->in_data && f->asked == FAKE_NONE);
	FAKE_MUST(facts->size == f->content_n);
	if (f->down)
		return -EAGAIN;
	f->facts = *facts;
	if (f->submitted)
		f->submitted(f);
	f->txn = f->in_data = false;
	f->messages++;
	f->asked = FAKE_MESSAGE;
	return 0;
}

static inline bool fake_trace_id(void *owner, uint8_t *id)
{
	struct fake *f = owner;

	if (!f->trace || (!f->txn && f->asked != FAKE_MESSAGE))
		return false;
	memcpy(id, "0123456789ABCDEF", 16);
	return true;
}

static inline void fake_close(void *owner, enum smtp_close how)
{
	struct fake *f = owner;

	FAKE_MUST(!f->closed && !f->txn);
	f->closed = true;
	f->how = how;
}

static inline void fake_tcp_peer(void *owner, struct smtp_client *out)
{
	*out = ((struct fake *)owner)->real;
}

static inline void fake_client(void *owner, struct smtp_client *out)
{
	struct fake *f = owner;

	*out = f->client.via ? f->client : f->real;
}

static inline void fake_set_client(void *owner, const struct smtp_client *c)
{
	struct fake *f = owner;

	FAKE_MUST(!f->txn && f->asked == FAKE_NONE && c->via != VIA_NONE);
	f->client = *c;
}

static inline int fake_start_tls(void *owner)
{
	struct fake *f = owner;

	FAKE_MUST(!f->txn && f->asked == FAKE_NONE);
	if (f->no_tls)
		return -ENOMEM;
	f->tls_starts++;
	return 0;
}

static inline void fake_face(void *owner, uint8_t *name, bool *tls)
{
	const struct fake *f = owner;

	*name = f->face;
	*tls = !f->face_clear;
}

static const struct smtp_ops fake_ops = {
	.start_tls = fake_start_tls,
	.tcp_peer = fake_tcp_peer, .client = fake_client, .set_client = fake_set_client,
	.send = fake_send, .ask_connect = fake_ask_connect, .ask_rcpt = fake_ask_rcpt,
	.txn_begin = fake_txn_begin, .txn_end = fake_txn_end, .data_begin = fake_data_begin,
	.data_room = fake_data_room, .data = fake_data, .submit = fake_submit, .close = fake_close,
	.trace_id = fake_trace_id, .face = fake_face,
};

/* Small limits, so that tests reach them. */
static inline struct handoff_config fake_config(void)
{
	return (struct handoff_config){
		.hostname = "mx.example.net", .max_message = 1000, .max_rcpt = 3, .max_errors = 5,
		.max_transactions = 4, .max_line = 0, .command_timeout_s = 300,
		.data_timeout_s = 180, .data_total_timeout_s = 1800, .verdict_timeout_s = 600,
		.min_rate = 500,
	};
}

/* The oldest open recipient: it is answered by the caller. */
static inline const char *fake_take_rcpt(struct fake *f)
{
	const char *rcpt = f->rcpt[f->first_open];

	f->first_open = (f->first_open + 1) % LIMIT_RCPT_OPEN;
	if (--f->n_open)
		f->asked = FAKE_RCPT;
	return rcpt;
}

/* Answers the oldest open question. */
static inline void fake_answer(struct fake *f)
{
	struct smtp_reply r = {250, 2, 1, 5, STR("Recipient ok")};
	enum fake_question q = f->asked;
	const char *rcpt;

	f->asked = FAKE_NONE;
	if (q == FAKE_CONNECT) {
		r = (struct smtp_reply){220, 0, 0, 0, STR_NONE};
		smtp_answer_connect(f->s, &r);
	} else if (q == FAKE_RCPT) {
		rcpt = fake_take_rcpt(f);
		if (strncmp(rcpt, "no", 2) == 0)
			r = (struct smtp_reply){550, 5, 1, 1, STR("No such user")};
		else if (strncmp(rcpt, "later", 5) == 0)
			r = (struct smtp_reply){450, 4, 2, 1, STR("Later")};
		else if (strncmp(rcpt, "bye", 3) == 0)
			r = (struct smtp_reply){421, 4, 7, 0, STR("Go away")};
		else if (strncmp(rcpt, "odd", 3) == 0)
			r = (struct smtp_reply){354, 0, 0, 0, STR("Trap")};
		f->rcpts += r.code == 250;
		smtp_answer_rcpt(f->s, &r);
	} else if (q == FAKE_MESSAGE) {
		r = (struct smtp_reply){250, 2, 0, 0, STR("Delivered")};
		smtp_answer_message(f->s, &r, (const uint8_t *)"0123456789ABCDEF");
	}
}

static inline void fake_offer(struct fake *f)
{
	size_t used = smtp_input(f->s, f->held, f->held_n, f->now);

	FAKE_MUST(used <= f->held_n);
	memmove(f->held, f->held + used, f->held_n - used);
	f->held_n -= used;
	/* What is left is left for a reason. */
	FAKE_MUST(f->held_n == 0 || smtp_waiting(f->s) || f->room_step);
}

/* Input; what waits for an answer is kept. patient: answers come at once. */
static inline void fake_feed(struct fake *f, const void *p, size_t n, bool answer)
{
	FAKE_MUST(f->held_n + n <= sizeof(f->held));
	memcpy(f->held + f->held_n, p, n);
	f->held_n += n;
	for (;;) {
		size_t before = f->held_n;

		fake_offer(f);
		if (f->asked != FAKE_NONE && answer)
			fake_answer(f);
		else if (f->held_n == before || f->held_n == 0)
			break;
	}
}

static inline bool fake_start(struct fake *f, const struct handoff_config *c)
{
	f->config = smtp_config_new(c);
	f->server = smtp_server_new(&(struct smtp_sizes){.sessions = 4}, &fake_ops, f->counters);
	if (!f->config || !f->server)
		return false;
	smtp_server_set_config(f->server, f->config);
	f->s = smtp_session_open(f->server, f, f->now);
	return f->s != NULL;
}

static inline void fake_stop(struct fake *f)
{
	if (f->s)
		smtp_session_free(f->s);
	FAKE_MUST(!f->txn);
	FAKE_MUST(f->counters[CNT_sessions_now] == 0);
	smtp_server_free(f->server);
	smtp_config_free(f->config);
}
