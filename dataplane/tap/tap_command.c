/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/smtp/smtp_command.h"
#include "dataplane/smtp/smtp_path.h"
#include "dataplane/tap/tap_smtp_internal.h"
#include "postern/handoff.h"

bool tap_is_command(struct str line)
{
	struct smtp_command c;

	smtp_command_parse(line, &c);
	switch (c.verb) {
	case VERB_HELO:
	case VERB_EHLO:
	case VERB_RSET:
	case VERB_QUIT:
	case VERB_STARTTLS:
	case VERB_BDAT:
		return !c.fault;
	case VERB_MAIL:
	case VERB_RCPT:
		/* Parameters that we do not offer others do. */
		return !c.fault || c.fault == SAY_UNKNOWN_PARAM || c.fault == SAY_BAD_PARAM;
	default:
		/* DATA, NOOP and HELP are words as well. */
		return false;
	}
}

/*
 * The mailbox of MAIL and RCPT as smtp/ reads it; what is malformed is told as it was said, up to
 * where its path would end: the server that is watched may take it.
 */
static struct str mailbox(struct str line, enum smtp_path_kind kind)
{
	struct str arg = str_trim(str_skip(line, str_find(line, ':') + 1));
	struct smtp_path path;
	size_t end;

	if (arg.n && arg.p[0] == '<' && smtp_path_parse(arg, kind, &path) == SMTP_PATH_OK)
		return path.mailbox;
	if (arg.n && arg.p[0] == '<') {
		arg = str_skip(arg, 1);
		end = str_find(arg, '>');
	} else {
		end = str_find(arg, ' ');
	}
	return str_cut(arg, end);
}

static void set_sender(struct tap_message *m, struct str line, const struct smtp_mail *mail)
{
	struct str from = mailbox(line, SMTP_PATH_REVERSE);
	uint16_t off = 0;

	tap_message_text(m, from, &off);
	m->mail_from = str_make(m->text + off, from.n);
	m->body = mail->body;
	if (mail->smtputf8)
		m->flags |= RECORD_F_SMTPUTF8;
}

static void do_mail(struct tap_smtp_session *s, struct str line, const struct smtp_mail *mail)
{
	struct tap_message *m;
	uint8_t old = s->slot;
	/* Octets of the client's were lost before: what lay between the two MAILs is not known. */
	bool doubtful = s->gapped && old != TAP_NO_MESSAGE;

	if (s->pairing_lost || s->lost_behind || s->one_way || doubtful ||
	    (old != TAP_NO_MESSAGE && s->message[old]->has_content)) {
		/* The one in hand: its end or its refusal was not seen, or it will have none. */
		if (s->pairing_lost)
			tap_pairing_begin(s);
		tap_message_abort(s);
		old = TAP_NO_MESSAGE;
	}
	m = tap_message_new(s);
	if (m)
		set_sender(m, line, mail);
	if (m && doubtful)
		m->whole = TAP_NOT_WHOLE_GAP;
	tap_ask(s, TAP_ASKED_MAIL, UINT16_MAX);
	if (old == TAP_NO_MESSAGE)
		return;
	/* RFC 5321 4.1.4: refused with 503. Its reply says whether it took the place of the first.
	 */
	tap_smtp_odd(s, TAP_nested_mail);
	s->slot = s->message[old] ? old : TAP_NO_MESSAGE;
}

static void do_rcpt(struct tap_smtp_session *s, struct str line)
{
	struct tap_message *m = tap_message_of(s);
	uint16_t at = UINT16_MAX, off;

	if (!m && (s->pairing_lost || s->lost_behind)) {
		m = tap_message_new(s); /* its MAIL is missing */
		if (m)
			m->whole = TAP_NOT_WHOLE_GAP;
	}
	if (m) {
		struct str rcpt = mailbox(line, SMTP_PATH_FORWARD);

		if (m->n_rcpts < LIMIT_TAP_RCPTS && tap_message_text(m, rcpt, &off)) {
			at = (uint16_t)m->n_rcpts++;
			m->rcpt[at] = (struct tap_rcpt){.off = off, .n = (uint16_t)rcpt.n};
		} else {
			m->rcpts_cut++;
			tap_smtp_odd(s, TAP_cut);
		}
	}
	tap_ask(s, TAP_ASKED_RCPT, at);
}

static void do_bdat(struct tap_smtp_session *s, const struct smtp_command *c)
{
	struct tap_message *m = tap_message_of(s);

	if (c->fault) {
		/* How many octets follow only the server knows. */
		tap_smtp_odd(s, TAP_bad_bdat);
		tap_ask(s, TAP_ASKED_OTHER, UINT16_MAX);
		s->mode = TAP_MODE_RESYNC;
		return;
	}
	if (!m || !m->has_content)
		smtp_data_init_passive(&s->data, true);
	tap_message_begin(s, true);
	tap_ask(s, c->last ? TAP_ASKED_LAST : TAP_ASKED_CHUNK, UINT16_MAX);
	s->chunk = c->chunk;
	s->chunk_last = c->last;
	s->mode = TAP_MODE_CHUNK;
	if (!s->chunk)
		tap_chunk_end(s);
}

static void ask_and_wait(struct tap_smtp_session *s, enum tap_asked what)
{
	tap_ask(s, what, UINT16_MAX);
	s->wait = (uint8_t)what;
	s->wait_gap = 0;
	s->told_early = false;
}

void tap_auth_line(struct tap_smtp_session *s)
{
	ask_and_wait(s, TAP_ASKED_AUTH);
}

static void set_helo(struct tap_smtp_session *s, const struct smtp_command *c)
{
	s->esmtp = c->verb == VERB_EHLO;
	s->helo_n = c->arg.n <= sizeof(s->helo) ? (uint16_t)c->arg.n : 0;
	if (s->helo_n)
		memcpy(s->helo, c->arg.p, s->helo_n);
}

struct str tap_smtp_helo(const struct tap_smtp_session *s)
{
	return str_make(s->helo, s->helo_n);
}

bool tap_smtp_esmtp(const struct tap_smtp_session *s)
{
	return s->esmtp;
}

/* The words that smtp/ does not offer, and that have an exchange of their own. */
static bool is_auth(struct str line)
{
	return str_istarts(line, STR("AUTH ")) || str_ieq(line, STR("AUTH"));
}

void tap_command(struct tap_smtp_session *s, struct str line)
{
	struct smtp_command c;

	smtp_command_parse(line, &c);
	switch (c.verb) {
	case VERB_HELO:
	case VERB_EHLO:
		if (s->pairing_lost)
			tap_pairing_begin(s);
		tap_message_abort(s); /* RFC 5321 4.1.4: as RSET */
		set_helo(s, &c);
		tap_ask(s, TAP_ASKED_HELO, UINT16_MAX);
		break;
	case VERB_MAIL:
		do_mail(s, line, &c.mail);
		break;
	case VERB_RCPT:
		do_rcpt(s, line);
		break;
	case VERB_DATA:
		ask_and_wait(s, TAP_ASKED_DATA);
		break;
	case VERB_BDAT:
		do_bdat(s, &c);
		break;
	case VERB_RSET:
		tap_message_abort(s);
		tap_ask(s, TAP_ASKED_OTHER, UINT16_MAX);
		break;
	case VERB_QUIT:
		tap_ask(s, TAP_ASKED_QUIT, UINT16_MAX);
		break;
	case VERB_STARTTLS:
		ask_and_wait(s, TAP_ASKED_STARTTLS);
		break;
	default:
		if (is_auth(line))
			ask_and_wait(s, TAP_ASKED_AUTH);
		else
			tap_ask(s, TAP_ASKED_OTHER, UINT16_MAX);
		break;
	}
}
