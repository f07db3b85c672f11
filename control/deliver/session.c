/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The dialogue on one connection. MAIL and the RCPTs go out as one group where PIPELINING was offered
 * (RFC 2920), content (content.c) only after every RCPT reply. Whatever ends a transaction ends it in
 * exactly one call of xact_ended() or xact_stale(), after the connection has been put away.
 */

#include <stdio.h>
#include <string.h>

#include "control/deliver/internal.h"

static const enum stage state_stage[CONN_STATES] = {
	[CONN_RESOLVE] = STAGE_CONNECT, [CONN_CONNECT] = STAGE_CONNECT, [CONN_BANNER] = STAGE_BANNER,
	[CONN_EHLO] = STAGE_EHLO, [CONN_HELO] = STAGE_EHLO, [CONN_STARTTLS] = STAGE_TLS,
	[CONN_TLS] = STAGE_TLS, [CONN_XCLIENT] = STAGE_EHLO, [CONN_XFORWARD] = STAGE_EHLO,
	[CONN_MAIL] = STAGE_MAIL,
	[CONN_RCPT] = STAGE_RCPT, [CONN_DATA] = STAGE_DATA, [CONN_BODY] = STAGE_BODY,
	[CONN_DOT] = STAGE_DOT,
};

enum stage session_stage(const struct conn *c)
{
	return state_stage[c->state];
}

unsigned int session_command_ms(const struct conn *c)
{
	unsigned int ms = c->d->tuning.command_ms;

	if (ms)
		return ms;
	return c->x ? c->x->route->command_timeout_s * 1000u : 10000u;
}

static void note_error(struct conn *c, enum stage stage, const char *what)
{
	if (c->host)
		snprintf(c->host->last_error, sizeof(c->host->last_error), "%s: %.120s",
			 stage_name(stage), what);
}

/* It was TLS that failed: true if the same address is tried in clear. */
static bool tls_failure(struct conn *c, struct ending *e)
{
	if (e->kind == END_TLS)
		e->stage = STAGE_TLS;
	if (e->stage != STAGE_TLS)
		return false;
	if (e->kind == END_TIMEOUT)
		tls_why(c, "no answer in time");
	else if (c->state == CONN_STARTTLS && c->fault == TLS_FAULT_NONE)
		tls_why(c, e->kind == END_LOST ? "connection lost at STARTTLS"
					       : "no valid reply to STARTTLS");
	tls_failed(c);
	return tls_falls_back(c);
}

void session_failed(struct conn *c, enum ending_kind kind)
{
	struct xact *x = c->x;
	struct ending e = {.kind = kind, .stage = session_stage(c), .fault = c->fault};
	bool stale, clear, abort = body_open(c);

	if (!x) {
		conn_close(c, false);
		return;
	}
	/* RFC 2920 3.2 and common practice: the other side may close what is idle at any time. */
	stale = c->reused && !x->mail_answered && kind == END_LOST;
	switch (kind) {
	case END_CONNECT:
		deliver_count(c->d, CTL_nexthop_connect_failed);
		break;
	case END_LOST:
		deliver_count(c->d, CTL_nexthop_reset);
		note_error(c, e.stage, "connection lost");
		break;
	case END_TIMEOUT:
		deliver_count(c->d, CTL_nexthop_timeout);
		note_error(c, e.stage, "no answer in time");
		break;
	case END_GARBAGE:
		deliver_count(c->d, CTL_nexthop_garbage);
		note_error(c, e.stage, "no valid SMTP reply");
		break;
	default:
		break;
	}
	if (x->dot_written)
		deliver_count(c->d, CTL_nexthop_in_doubt);
	clear = tls_failure(c, &e);
	x->tls = c->facts;
	c->x = NULL;
	conn_close(c, abort);
	if (clear)
		xact_clear(x);
	else if (stale)
		xact_stale(x, &e);
	else
		xact_ended(x, &e);
}

/* Out of a transaction that the other side still has open: RSET, then idle (RFC 5321 4.1.1.5). */
static void put_away(struct conn *c, bool reset)
{
	c->x = NULL;
	c->transactions++;
	if (!reset) {
		conn_rest(c);
		return;
	}
	c->state = CONN_RSET;
	conn_deadline(c, session_command_ms(c));
	if (conn_queue(c, "RSET\r\n")) {
		conn_close(c, false);
		return;
	}
	conn_flush(c);
}

static void limit_messages(struct conn *c, unsigned int max)
{
	if (max && c->transactions >= max && (c->state == CONN_IDLE || c->state == CONN_RSET))
		conn_quit(c);
}

void session_end_with(struct conn *c, enum ending_kind kind, const struct deliver_reply *r)
{
	struct xact *x = c->x;
	struct ending e = {.kind = kind, .stage = session_stage(c)};
	unsigned int max = x->route->messages_per_connection, told = c->ehlo.mail_max;
	bool stale = false, open = body_open(c);

	if (r)
		e.reply = *r;
	x->tls = c->facts;
	if (kind == END_REPLY) {
		note_error(c, e.stage, r->text);
		/* Some say "421 timeout" only when they are spoken to again. */
		stale = c->reused && r->code == 421 &&
			(e.stage == STAGE_MAIL || e.stage == STAGE_EHLO);
	}
	if ((r && r->code == 421) || e.stage < STAGE_MAIL || open) {
		c->x = NULL;
		if (open || (r && r->code == 421))
			conn_close(c, open);
		else
			conn_quit(c);
	} else if (c->spent) {
		c->x = NULL;
		conn_quit(c);
	} else {
		put_away(c, kind != END_DELIVERED);
		/* RFC 9422 3.1: MAILMAX counts MAIL commands, whatever became of them. */
		limit_messages(c, told && (!max || told < max) ? told : max);
	}
	if (stale)
		xact_stale(x, &e);
	else
		xact_ended(x, &e);
}

void session_retire(struct conn *c)
{
	struct xact *x = c->x;
	struct ending e = {.kind = END_LOST, .stage = session_stage(c)};

	c->x = NULL;
	conn_quit(c);
	xact_stale(x, &e);
}

void session_send(struct conn *c, int err)
{
	if (err) {
		session_failed(c, END_LOST);
		return;
	}
	conn_deadline(c, session_command_ms(c));
	conn_flush(c);
}

void session_connected(struct conn *c)
{
	deliver_count(c->d, CTL_nexthop_connects);
	c->host->avoid_until_ms = 0;
	c->born_us = deliver_now_us();
	reply_reset(&c->parser);
	c->state = CONN_BANNER;
	session_send(c, identity_connected(c));
}

static void on_ehlo_line(void *arg, unsigned int index, struct str text)
{
	if (index)
		ehlo_line(arg, text);
	else
		ehlo_first(arg, text);
}

static void say_ehlo(struct conn *c)
{
	c->state = CONN_EHLO;
	c->parser.on_line = on_ehlo_line;
	c->parser.arg = &c->ehlo;
	session_send(c, conn_queue(c, "EHLO %.*s\r\n", STR_FMT(identity_helo(c))));
}

void session_greet(struct conn *c)
{
	memset(&c->ehlo, 0, sizeof(c->ehlo));
	say_ehlo(c);
}

static void on_banner(struct conn *c, const struct deliver_reply *r)
{
	if (r->code / 100 == 3) {
		session_failed(c, END_GARBAGE);
		return;
	}
	if (r->code / 100 != 2) {
		session_end_with(c, END_REPLY, r);
		return;
	}
	say_ehlo(c);
}

/* EHLO or HELO was answered with 2xx. */
static void greeted(struct conn *c)
{
	c->greeted = c->tls;
	switch (tls_next(c, c->ehlo.caps & EHLO_STARTTLS)) {
	case TLS_STEP_START:
		c->state = CONN_STARTTLS;
		session_send(c, conn_queue(c, "STARTTLS\r\n"));
		return;
	case TLS_STEP_REFUSE:
		session_failed(c, END_TLS);
		return;
	default:
		c->host->caps = c->ehlo.caps;
		c->host->size = c->ehlo.size;
		c->host->rcpt_max = c->ehlo.rcpt_max;
		c->host->domain_max = c->ehlo.domain_max;
		c->host->greeted = true;
		if (c->asked_us)
			overload_stage(c, LOAD_CONNECT, c->asked_us);
		c->asked_us = 0;
		session_begin(c);
	}
}

static void on_starttls(struct conn *c, const struct deliver_reply *r)
{
	switch (r->code / 100) {
	case 2:
		/* conn.c goes on when it has looked for what may stand behind the reply. */
		c->state = CONN_TLS;
		conn_deadline(c, session_command_ms(c));
		return;
	case 3:
		session_failed(c, END_GARBAGE);
		return;
	default:
		break;
	}
	tls_why(c, "STARTTLS refused: %u %.100s", r->code, r->text);
	/* RFC 3207 4: who refuses stays where it was, in clear. */
	if (r->code != 421 && tls_falls_back(c)) {
		c->level = TLS_POLICY_NONE;
		greeted(c);
		return;
	}
	c->fault = r->code / 100 == 5 ? TLS_FAULT_REFUSED : TLS_FAULT_DECLINED;
	session_failed(c, END_TLS);
}

void session_secured(struct conn *c)
{
	/* RFC 3207 4.2: what was said in clear is forgotten. */
	reply_reset(&c->parser);
	session_greet(c);
}

static void on_ehlo(struct conn *c, const struct deliver_reply *r)
{
	c->parser.on_line = NULL;
	if (r->code / 100 == 2) {
		greeted(c);
		return;
	}
	memset(&c->ehlo, 0, sizeof(c->ehlo));
	c->host->caps = 0;
	/* RFC 5321 3.2: a server without extensions does not know the word. */
	if (r->code == 500 || r->code == 501 || r->code == 502 || r->code == 504) {
		c->state = CONN_HELO;
		session_send(c, conn_queue(c, "HELO %.*s\r\n", STR_FMT(identity_helo(c))));
		return;
	}
	if (r->code / 100 == 3)
		session_failed(c, END_GARBAGE);
	else
		session_end_with(c, END_REPLY, r);
}

static void on_helo(struct conn *c, const struct deliver_reply *r)
{
	if (r->code / 100 == 2)
		greeted(c);
	else if (r->code / 100 == 3)
		session_failed(c, END_GARBAGE);
	else
		session_end_with(c, END_REPLY, r);
}

/* What this next hop cannot take is said without asking it. */
static bool unsendable(struct conn *c)
{
	struct xact *x = c->x;
	const struct deliver_request *req = x->req;
	struct ending e = {.kind = END_LOCAL, .stage = STAGE_MAIL};

	if (x->utf8 && !(c->ehlo.caps & EHLO_SMTPUTF8))
		verdict_own(&e.reply, 553, 6, 7, "internationalized mail is not supported there",
			    x->trace_id);
	else if (req && req->has_8bit && !(c->ehlo.caps & EHLO_8BITMIME) && !x->route->pass_8bit)
		verdict_own(&e.reply, 554, 6, 3, "8-bit content is not supported there",
			    x->trace_id);
	else if (req && body_unsendable(c))
		verdict_own(&e.reply, 550, 6, 11, "bare line feeds cannot be handed on there",
			    x->trace_id);
	else if (req && c->ehlo.size && req->size > c->ehlo.size)
		verdict_own(&e.reply, 552, 3, 4, "message is too big for the mail service",
			    x->trace_id);
	else if (c->ehlo.rcpt_max && x->n_rcpts > c->ehlo.rcpt_max)
		/* RFC 9422 3.2. Not known when they were accepted; the retry hears it at RCPT. */
		verdict_own(&e.reply, 451, 5, 3, "too many recipients for the mail service, send fewer",
			    x->trace_id);
	else if (c->ehlo.domain_max && x->n_rcpts > c->ehlo.domain_max &&
		 truth_domains(x) > c->ehlo.domain_max)
		verdict_own(&e.reply, 451, 5, 3, "too many domains for the mail service, send fewer",
			    x->trace_id);
	else
		return false;
	deliver_count(c->d, CTL_nexthop_unsendable);
	c->x = NULL;
	conn_rest(c);
	xact_ended(x, &e);
	return true;
}

static int queue_rcpt(struct conn *c, size_t i)
{
	return conn_queue(c, "RCPT TO:<%.*s>\r\n", STR_FMT(c->x->rcpt[i]));
}

void session_begin(struct conn *c)
{
	struct xact *x = c->x;
	const struct deliver_request *req = x->req;
	char size[32] = "";
	int err;

	x->mail_answered = false;
	x->tls = c->facts;
	/* The connection was made for another domain: what was looked up for that one is not said. */
	if (strcmp(c->domain, x->domain))
		snprintf(x->tls.why, sizeof(x->tls.why), "%s", x->sts_why);
	x->rcpt_at = 0;
	for (size_t i = 0; i < x->n_rcpts; i++)
		memset(&x->rcpt_result[i], 0, sizeof(x->rcpt_result[i]));
	snprintf(x->last_host, sizeof(x->last_host), "%s [%s]:%u", c->host->name, c->ip_text,
		 c->addr.port);
	snprintf(x->last_own, sizeof(x->last_own), "%s", c->own_text);
	if (unsendable(c) || identity_begin(c))
		return;
	c->forwarded = false;
	if (req && (c->ehlo.caps & EHLO_SIZE))
		snprintf(size, sizeof(size), " SIZE=%zu", req->size);
	c->state = CONN_MAIL;
	x->asked_us = deliver_now_us();
	err = conn_queue(c, "MAIL FROM:<%.*s>%s%s%s\r\n", STR_FMT(x->mail_from), size,
			 req && (c->ehlo.caps & EHLO_8BITMIME) &&
					 (req->has_8bit || req->body == BODY_8BITMIME)
				 ? " BODY=8BITMIME" : "",
			 x->utf8 ? " SMTPUTF8" : "");
	if (c->ehlo.caps & EHLO_PIPELINING)
		for (size_t i = 0; i < x->n_rcpts && !err; i++)
			err = queue_rcpt(c, i);
	session_send(c, err);
}

static void on_mail(struct conn *c, const struct deliver_reply *r)
{
	struct xact *x = c->x;

	x->mail_answered = true;
	x->mail_reply = *r;
	if (r->code / 100 == 3) {
		session_failed(c, END_GARBAGE);
		return;
	}
	if (r->code == 421) {
		session_end_with(c, END_REPLY, r);
		return;
	}
	if (c->ehlo.caps & EHLO_PIPELINING) {
		/* The RCPTs are out already: their replies are read even if they mean nothing. */
		c->state = CONN_RCPT;
		conn_deadline(c, session_command_ms(c));
		return;
	}
	if (r->code / 100 != 2) {
		session_end_with(c, END_REPLY, r);
		return;
	}
	c->state = CONN_RCPT;
	session_send(c, queue_rcpt(c, 0));
}

static void all_rcpts_answered(struct conn *c)
{
	struct xact *x = c->x;

	overload_stage(c, LOAD_RCPT, x->asked_us);
	if (x->mail_reply.code / 100 != 2) {
		struct deliver_reply r = x->mail_reply;

		for (size_t i = 0; i < x->n_rcpts; i++)
			memset(&x->rcpt_result[i], 0, sizeof(x->rcpt_result[i]));
		/* Of MAIL, though the state has moved on. */
		c->state = CONN_MAIL;
		session_end_with(c, END_REPLY, &r);
		return;
	}
	for (size_t i = 0; i < x->n_rcpts; i++)
		if (x->rcpt_result[i].next_hop.code / 100 != 2) {
			note_error(c, STAGE_RCPT, x->rcpt_result[i].next_hop.text);
			session_end_with(c, END_RCPTS, NULL);
			return;
		}
	if (x->probe) {
		session_end_with(c, END_ACCEPTED, NULL);
		return;
	}
	if (x->cancelled) {
		session_end_with(c, END_ABORTED, NULL);
		return;
	}
	body_begin(c);
}

static void on_rcpt(struct conn *c, const struct deliver_reply *r)
{
	struct xact *x = c->x;

	if (r->code / 100 == 3) {
		session_failed(c, END_GARBAGE);
		return;
	}
	x->rcpt_result[x->rcpt_at++].next_hop = *r;
	/* RFC 5321 3.8: after 421 the channel is closed; the other replies will not come. */
	if (r->code == 421) {
		session_end_with(c, END_REPLY, r);
		return;
	}
	conn_deadline(c, session_command_ms(c));
	if (x->rcpt_at == x->n_rcpts)
		all_rcpts_answered(c);
	else if (!(c->ehlo.caps & EHLO_PIPELINING))
		session_send(c, queue_rcpt(c, x->rcpt_at));
}

static void on_rset(struct conn *c, const struct deliver_reply *r)
{
	if (r->code / 100 != 2) {
		conn_close(c, false);
		return;
	}
	conn_rest(c);
}

/* Unasked for in idle, or the answer to QUIT. */
static void on_close(struct conn *c, const struct deliver_reply *r)
{
	(void)r;
	conn_close(c, false);
}

static void (*const on_reply[CONN_STATES])(struct conn *, const struct deliver_reply *) = {
	[CONN_BANNER] = on_banner, /* 2xx: EHLO */
	[CONN_EHLO] = on_ehlo,     /* 2xx: STARTTLS or MAIL; unknown word: HELO */
	[CONN_HELO] = on_helo,     /* 2xx: MAIL */
	[CONN_STARTTLS] = on_starttls, /* 2xx: the handshake, then EHLO */
	[CONN_XCLIENT] = identity_on_xclient,   /* 220: EHLO again */
	[CONN_XFORWARD] = identity_on_xforward, /* whatever: MAIL */
	[CONN_IDLE] = on_close,    /* "421 idle too long" */
	[CONN_MAIL] = on_mail,     /* then RCPT */
	[CONN_RCPT] = on_rcpt,     /* all in and none refused: DATA or BDAT */
	[CONN_DATA] = body_on_data,   /* 354: content */
	[CONN_BODY] = body_on_body,   /* too early: never a success */
	[CONN_DOT] = body_on_dot,     /* 2xx: delivered */
	[CONN_RSET] = on_rset,     /* 2xx: back to the pool */
	[CONN_QUIT] = on_close,    /* 221 */
};

void session_reply(struct conn *c)
{
	struct deliver_reply r;

	verdict_from_parser(&r, &c->parser, c->x ? c->x->route : NULL, c->host ? c->host->name : NULL,
			    c->ip_text, c->own_text);
	r.to_client = identity_is_client(c);
	if (on_reply[c->state])
		on_reply[c->state](c, &r);
}
