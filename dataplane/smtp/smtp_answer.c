/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_internal.h"

#include <string.h>

/* After an answer: the time is not known, see smtp_limits.c. */
static void answered(struct smtp_session *s)
{
	smtp_command_done(s);
	s->soft_deadline = true;
}

static void greet(struct smtp_session *s, struct str extra)
{
	bool tls;
	const struct smtp_face *c = smtp_face(s, &tls);
	uint8_t line[LIMIT_REPLY_LINE];
	size_t n = c->banner_len;

	memcpy(line, c->banner, n);
	extra = str_cut(str_trim(extra), sizeof(line) - n - 3);
	if (extra.n)
		line[n++] = ' ';
	for (size_t i = 0; i < extra.n && n < sizeof(line) - 2; i++)
		line[n++] = extra.p[i] == ' ' || ascii_is_vchar(extra.p[i]) ? extra.p[i] : '?';
	line[n++] = '\r';
	line[n++] = '\n';
	smtp_say_raw(s, line, n);
}

/* RFC 5321 4.3.1: the client waits for the greeting. Who does not looks like a program that speaks
 * whatever it hears. True: it was refused in place of the greeting. */
static bool refuse_early(struct smtp_session *s)
{
	if (!s->early || smtp_conf(s)->early != EARLY_REFUSE)
		return false;
	smtp_count(s, CNT_smtp_early_refused);
	smtp_say_close(s, SAY_EARLY);
	return true;
}

void smtp_answer_connect(struct smtp_session *s, const struct smtp_reply *r)
{
	uint8_t line[LIMIT_REPLY_LINE];
	unsigned int class = r->code / 100u;

	if (s->phase != SMTP_PHASE_CONNECT)
		return;
	if (r->code == 220) {
		if (s->bye_wanted) {
			answered(s);
			return;
		}
		if (!refuse_early(s))
			greet(s, r->text);
	} else if (class != 4 && class != 5) {
		/* RFC 5321 4.3.2: a greeting is 220, 554 or 421. */
		smtp_say_close(s, SAY_CONTROL_DOWN_BYE);
	} else {
		smtp_count(s, CNT_smtp_refused_connect);
		s->refused = true;
		smtp_say_raw(s, line, smtp_reply_format(line, r, true, NULL));
		if (class == 4)
			smtp_close(s, SMTP_CLOSE_AFTER_REPLY);
	}
	answered(s);
}

void smtp_answer_rcpt(struct smtp_session *s, const struct smtp_reply *r)
{
	uint8_t id[SMTP_TRACE_ID];
	unsigned int code;
	bool known;

	if (s->phase != SMTP_PHASE_RCPT_ASKED)
		return;
	s->rcpt_open--;
	/* Under it control has a record of the refusal. */
	known = r->code >= 400 && s->server->ops.trace_id && s->server->ops.trace_id(s->owner, id);
	code = smtp_say_reply(s, r, known ? id : NULL);
	if (code / 100 == 2)
		s->rcpt_accepted++;
	else
		smtp_count(s, CNT_smtp_refused_rcpt);
	/* RFC 5321 3.8: with 421 goes the connection, and with it the questions that are open. */
	if (code == 421)
		smtp_close(s, SMTP_CLOSE_AFTER_REPLY);
	if (s->rcpt_open)
		smtp_arm_rcpt(s);
	else
		answered(s);
}

void smtp_answer_message(struct smtp_session *s, const struct smtp_reply *r,
			 const uint8_t *trace_id)
{
	unsigned int code;

	if (s->phase != SMTP_PHASE_SUBMITTED)
		return;
	code = smtp_say_reply(s, r, trace_id);
	smtp_count(s, code / 100 == 2   ? CNT_smtp_reply_2xx
		      : code / 100 == 4 ? CNT_smtp_reply_4xx
					: CNT_smtp_reply_5xx);
	if (code == 421)
		smtp_close(s, SMTP_CLOSE_AFTER_REPLY);
	answered(s);
}

/*
 * Nobody said whether this peer may speak. With DOWN_451 it gets its banner, so that connections
 * stay, and 451 at every MAIL: also later, when control is back, for nobody has judged it.
 */
static void connect_lost(struct smtp_session *s)
{
	if (smtp_conf(s)->down_action == DOWN_421) {
		smtp_say_down(s);
		return;
	}
	smtp_count(s, CNT_smtp_control_down);
	s->unjudged = true;
	if (!s->bye_wanted && !refuse_early(s))
		greet(s, STR_NONE);
	answered(s);
}

static void rcpts_lost(struct smtp_session *s)
{
	/* A reply that cannot be sent closes, and nothing is open any more. */
	while (s->rcpt_open) {
		s->rcpt_open--;
		smtp_count(s, CNT_smtp_control_down);
		smtp_say(s, SAY_CONTROL_DOWN);
	}
	answered(s);
}

void smtp_control_lost(struct smtp_session *s)
{
	switch (s->phase) {
	case SMTP_PHASE_CONNECT:
		connect_lost(s);
		break;
	case SMTP_PHASE_RCPT_ASKED:
		rcpts_lost(s);
		break;
	case SMTP_PHASE_SUBMITTED:
		smtp_count(s, CNT_smtp_reply_4xx);
		smtp_count(s, CNT_smtp_control_down);
		smtp_say(s, SAY_CONTROL_DOWN);
		answered(s);
		break;
	default:
		break;
	}
}

static void set_bye(struct smtp_session *s, struct str text)
{
	text = str_cut(str_trim(text), SMTP_BYE_MAX);
	s->bye = text.p;
	s->bye_len = (uint8_t)text.n;
	s->bye_wanted = true;
}

void smtp_shutdown(struct smtp_session *s, struct str text)
{
	if (s->phase == SMTP_PHASE_CLOSING)
		return;
	set_bye(s, text);
	if (smtp_phase(s) == SMTP_PHASE_COMMAND)
		smtp_command_done(s);
}

void smtp_evict(struct smtp_session *s, struct str text)
{
	if (s->phase == SMTP_PHASE_CLOSING)
		return;
	smtp_ending(s, END_F_PRESSURE);
	smtp_shutdown(s, text);
	/* RFC 5321 3.8: 421 may come at any time; the client sees it once it looks. */
	if (smtp_phase(s) == SMTP_PHASE_DATA) {
		smtp_content_put(s);
		smtp_command_done(s);
	} else if (s->phase == SMTP_PHASE_TLS) { /* there is no way to say it */
		smtp_close(s, SMTP_CLOSE_ABORT);
	}
}
