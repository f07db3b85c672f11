/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_internal.h"

#include <errno.h>
#include <string.h>

static void blame_sequence(struct smtp_session *s, enum smtp_say say)
{
	smtp_blame(s, say, CNT_smtp_bad_sequence);
}

/*
 * Commands that lead to nothing are free up to a number between two messages, then each is an
 * error. False: it was one too many.
 */
bool smtp_idle_budget(struct smtp_session *s)
{
	const struct handoff_config *c = smtp_conf(s);

	if (c->max_idle_mode == MODE_OFF)
		return true;
	if (s->idle_commands <= c->max_idle && ++s->idle_commands > c->max_idle &&
	    c->max_idle_mode == MODE_OBSERVE)
		smtp_count(s, CNT_smtp_idle_observed);
	return s->idle_commands <= c->max_idle || c->max_idle_mode == MODE_OBSERVE ||
	       smtp_error(s, CNT_smtp_idle_command);
}

static void do_helo(struct smtp_session *s, const struct smtp_command *cmd)
{
	bool tls;
	const struct smtp_face *c = smtp_face(s, &tls);

	/* RFC 5321 4.1.4: EHLO clears what RSET clears; HELO is no different. */
	smtp_end_txn(s);
	if (!smtp_name_set(s, cmd->arg)) {
		smtp_count(s, CNT_smtp_no_line_buffer);
		smtp_ending(s, END_F_PRESSURE);
		smtp_say_close(s, SAY_NO_LINE);
		return;
	}
	s->helo_seen = true;
	/* RFC 3848: no keyword for HELO under TLS. */
	s->proto = cmd->verb != VERB_EHLO ? PROTO_SMTP : s->tls ? PROTO_ESMTPS : PROTO_ESMTP;
	if (cmd->verb == VERB_EHLO && tls && !s->tls)
		smtp_say_ehlo(s, c->ehlo_tls, c->ehlo_tls_len);
	else if (cmd->verb == VERB_EHLO)
		smtp_say_ehlo(s, c->ehlo, c->ehlo_len);
	else
		smtp_say_raw(s, c->helo, c->helo_len);
}

/* RFC 3848, RFC 6531 4.3. Without EHLO TLS has no word of its own. */
static enum handoff_proto txn_proto(bool esmtp, bool tls, bool utf8)
{
	if (utf8)
		return tls ? PROTO_UTF8SMTPS : PROTO_UTF8SMTP;
	if (!esmtp)
		return PROTO_SMTP;
	return tls ? PROTO_ESMTPS : PROTO_ESMTP;
}

/* MAIL in order. Refusals leave no transaction, and are bounded like other idle commands. */
static void begin_txn(struct smtp_session *s, const struct smtp_mail *mail)
{
	uint8_t proto = txn_proto(s->proto != PROTO_SMTP, s->tls, mail->smtputf8);

	/* RFC 1870 6.1 */
	if (mail->size > smtp_conf(s)->max_message) {
		smtp_count(s, CNT_smtp_size_declared);
		if (smtp_idle_budget(s))
			smtp_say(s, SAY_SIZE_DECLARED);
		return;
	}
	switch (s->unjudged ? -EAGAIN
			    : s->server->ops.txn_begin(s->owner, smtp_name_get(s), proto, mail)) {
	case 0:
		s->transactions++;
		s->utf8 = mail->smtputf8;
		s->txn = true;
		s->txn_held = true;
		smtp_say(s, SAY_SENDER_OK);
		break;
	case -ENOMEM:
		smtp_count(s, CNT_smtp_no_arena);
		if (smtp_idle_budget(s))
			smtp_say(s, SAY_NO_STORAGE);
		break;
	default:
		if (smtp_idle_budget(s))
			smtp_say_down(s);
		break;
	}
}

static void do_mail(struct smtp_session *s, const struct smtp_command *cmd)
{
	uint32_t max = smtp_conf(s)->max_transactions;

	if (!s->helo_seen) {
		blame_sequence(s, SAY_NEED_HELO);
	} else if (s->txn) {
		/* RFC 5321 4.1.4: no MAIL within a transaction. */
		blame_sequence(s, SAY_NESTED_MAIL);
	} else if (max && s->transactions >= max) {
		smtp_count(s, CNT_smtp_too_many_transactions);
		smtp_say_close(s, SAY_TRANSACTIONS);
	} else {
		begin_txn(s, &cmd->mail);
	}
}

/* A recipient that this transaction may have: RFC 6531 3.4. */
static bool rcpt_fits(const struct smtp_session *s, const struct smtp_command *cmd)
{
	return !cmd->rcpt_utf8 || s->utf8;
}

static void do_rcpt(struct smtp_session *s, const struct smtp_command *cmd)
{
	const struct handoff_config *c = smtp_conf(s);
	int ret;

	if (!s->txn) {
		blame_sequence(s, SAY_NEED_MAIL);
		return;
	}
	/* RFC 3030 2: the recipients are settled by the first chunk. */
	if (s->content) {
		blame_sequence(s, SAY_CHUNKS);
		return;
	}
	if (!rcpt_fits(s, cmd)) {
		smtp_blame(s, SAY_NOT_ASCII, CNT_smtp_bad_command);
		return;
	}
	/* RFC 5321 4.5.3.1.10: 452 for the surplus; what was accepted stays accepted. */
	if (s->rcpt_accepted >= c->max_rcpt || s->rcpt_asked >= HANDOFF_MAX_RCPTS) {
		smtp_count(s, CNT_smtp_rcpt_limit);
		smtp_say(s, SAY_RCPT_LIMIT);
		return;
	}
	ret = s->server->ops.ask_rcpt(s->owner, cmd->rcpt);
	if (ret == -ENOMEM || ret == -ENOSPC) {
		smtp_count(s, CNT_smtp_rcpt_limit);
		smtp_say(s, SAY_RCPT_LIMIT);
	} else if (ret) {
		smtp_say_down(s);
	} else {
		s->rcpt_asked++;
		s->rcpt_open = 1;
		s->phase = SMTP_PHASE_RCPT_ASKED;
		smtp_arm_rcpt(s);
	}
}

/*
 * Whatever would be answered by the machine itself has to wait for the answers in front of it; so it
 * is left alone here, and met again when none is open. That goes for the surplus too: no more are
 * asked than could be accepted, so it is known only then which of them are too many.
 */
bool smtp_do_next_rcpt(struct smtp_session *s, struct str line)
{
	uint32_t places = s->rcpt_accepted + s->rcpt_open;
	struct smtp_command cmd;

	if (s->bye_wanted || s->rcpt_open >= LIMIT_RCPT_OPEN || places >= smtp_conf(s)->max_rcpt ||
	    s->rcpt_asked >= HANDOFF_MAX_RCPTS)
		return false;
	smtp_command_parse(line, &cmd);
	if (cmd.verb != VERB_RCPT || cmd.fault || !rcpt_fits(s, &cmd) ||
	    s->server->ops.ask_rcpt(s->owner, cmd.rcpt) != 0)
		return false;
	s->rcpt_asked++;
	s->rcpt_open++;
	return true;
}

static void do_data(struct smtp_session *s)
{
	const struct handoff_config *c = smtp_conf(s);

	if (!s->txn) {
		blame_sequence(s, SAY_NEED_MAIL);
		return;
	}
	/* RFC 3030 2: DATA and BDAT do not mix within a transaction. */
	if (s->content) {
		blame_sequence(s, SAY_CHUNKS);
		return;
	}
	/* RFC 5321 3.3: 554 if no RCPT was accepted. RFC 2920 3.1 has clients live with either. */
	if (!s->rcpt_accepted) {
		blame_sequence(s, SAY_NO_RCPT);
		return;
	}
	if (!smtp_content_get(s)) {
		smtp_count(s, CNT_smtp_no_content);
		smtp_end_txn(s);
		smtp_say(s, SAY_NO_STORAGE);
		return;
	}
	if (s->server->ops.data_begin(s->owner) != 0) {
		smtp_count(s, CNT_smtp_no_arena);
		smtp_content_put(s);
		smtp_end_txn(s);
		smtp_say(s, SAY_NO_STORAGE);
		return;
	}
	smtp_content_begin(s);
	smtp_data_init(&s->content->data, c->max_message, c->max_line, c->refuse_bare_cr);
	s->phase = SMTP_PHASE_DATA;
	smtp_arm_data(s);
	smtp_say_raw(s, SMTP_START_DATA.p, SMTP_START_DATA.n);
}

static void do_fault(struct smtp_session *s, const struct smtp_command *cmd, struct str line)
{
	switch (cmd->fault) {
	case SAY_FOREIGN:
		smtp_cut_foreign(s, SAY_FOREIGN);
		break;
	case SAY_LINE_TOO_LONG:
		smtp_blame(s, cmd->fault, CNT_smtp_line_too_long);
		break;
	default:
		if (!smtp_foreign(s, line))
			smtp_blame(s, cmd->fault, CNT_smtp_bad_command);
		break;
	}
}

static bool is_idle(enum smtp_verb verb)
{
	return verb == VERB_HELO || verb == VERB_EHLO || verb == VERB_RSET || verb == VERB_NOOP ||
	       verb == VERB_VRFY || verb == VERB_HELP || verb == VERB_XCLIENT ||
	       verb == VERB_STARTTLS;
}

/* False: the line is answered. */
static bool to_be_done(struct smtp_session *s, struct str line, const struct smtp_command *cmd)
{
	if (cmd->fault && smtp_meant_bdat(line)) {
		smtp_bdat_bad(s);
		return false;
	}
	/* RFC 5321 3.1: after a 5xx greeting everything but QUIT is 503; BDAT behind its chunk. */
	if (s->refused && cmd->verb != VERB_QUIT && cmd->verb != VERB_FOREIGN &&
	    cmd->verb != VERB_BDAT) {
		blame_sequence(s, SAY_REFUSED);
		return false;
	}
	if (cmd->fault) {
		do_fault(s, cmd, line);
		return false;
	}
	return !is_idle(cmd->verb) || smtp_idle_budget(s);
}

void smtp_do_command(struct smtp_session *s, struct str line)
{
	struct smtp_command cmd;

	smtp_command_parse(line, &cmd);
	if (cmd.verb != VERB_UNKNOWN)
		s->spoke = true;
	if (!to_be_done(s, line, &cmd))
		return;
	switch (cmd.verb) {
	case VERB_HELO:
	case VERB_EHLO:
		do_helo(s, &cmd);
		break;
	case VERB_MAIL:
		do_mail(s, &cmd);
		break;
	case VERB_RCPT:
		do_rcpt(s, &cmd);
		break;
	case VERB_DATA:
		do_data(s);
		break;
	case VERB_BDAT:
		smtp_do_bdat(s, &cmd);
		break;
	case VERB_RSET:
		smtp_end_txn(s);
		smtp_say(s, SAY_OK);
		break;
	case VERB_NOOP:
		smtp_say(s, SAY_OK);
		break;
	case VERB_XCLIENT:
		smtp_do_xclient(s, cmd.arg);
		break;
	case VERB_STARTTLS:
		smtp_do_starttls(s);
		break;
	case VERB_VRFY:
		/* RFC 5321 3.5.3: 252 tells nothing about who exists. */
		smtp_say(s, SAY_VRFY);
		break;
	case VERB_HELP:
		smtp_say(s, SAY_HELP);
		break;
	case VERB_QUIT:
		smtp_say_close(s, SAY_BYE);
		break;
	default:
		break;
	}
}

/* ---- content ------------------------------------------------------------------------------ */

void smtp_to_owner(void *ctx, const uint8_t *p, size_t n)
{
	struct smtp_session *s = ctx;

	s->server->ops.data(s->owner, p, n);
}

enum smtp_say smtp_refusal(const struct smtp_data *d, enum postern_counter *why)
{
	if (d->bare_lf) {
		*why = CNT_smtp_bare_lf;
		return SAY_BARE_LF;
	}
	if (d->bare_cr) {
		*why = CNT_smtp_bare_cr;
		return SAY_BARE_CR;
	}
	if (d->too_big) {
		*why = CNT_smtp_size_exceeded;
		return SAY_SIZE_EXCEEDED;
	}
	*why = CNT_smtp_line_limit;
	return SAY_LONG_LINE;
}

void smtp_submit(struct smtp_session *s)
{
	const struct smtp_data *d = &s->content->data;
	struct smtp_data_facts facts = {.size = d->size,
					.flags = d->flags | smtp_session_flags(s)};

	if (s->server->ops.submit(s->owner, &facts) != 0) {
		smtp_count(s, CNT_smtp_control_down);
		smtp_count(s, CNT_smtp_reply_4xx);
		smtp_end_txn(s);
		smtp_say(s, SAY_CONTROL_DOWN);
		smtp_command_done(s);
		return;
	}
	smtp_content_put(s);
	s->txn_held = false; /* record and chunks are the owner's to follow from here */
	smtp_end_txn(s);
	smtp_count(s, CNT_smtp_messages);
	s->messages++;
	s->server->counters[CNT_smtp_message_bytes] += facts.size;
	s->phase = SMTP_PHASE_SUBMITTED;
	smtp_arm(s, smtp_conf(s)->verdict_timeout_s);
}

static void end_of_data(struct smtp_session *s)
{
	const struct smtp_data *d = &s->content->data;
	enum postern_counter why;
	enum smtp_say say;

	s->idle_commands = 0;
	if (d->lookalike)
		smtp_count(s, CNT_smtp_lookalike);
	if (!smtp_data_refused(d)) {
		smtp_submit(s);
		return;
	}
	say = smtp_refusal(d, &why);
	smtp_count(s, why);
	smtp_count(s, CNT_smtp_reply_5xx);
	smtp_end_txn(s);
	smtp_say(s, say);
	smtp_command_done(s);
}

size_t smtp_do_data(struct smtp_session *s, const uint8_t *p, size_t n)
{
	struct smtp_content *k = s->content;
	size_t room = 0, used;

	if (k->bdat)
		return smtp_bdat_input(s, p, n);
	if (!smtp_data_refused(&k->data))
		room = s->server->ops.data_room(s->owner);
	used = smtp_data_feed(&k->data, p, n, room, smtp_to_owner, s);
	if (smtp_data_refused(&k->data) && !k->told) {
		/* What is only swallowed needs no place in the arena. */
		k->told = true;
		smtp_end_txn(s);
	}
	if (k->data.state == SMTP_DATA_END)
		end_of_data(s);
	else
		smtp_data_moved(s, used, used < n);
	return used;
}
