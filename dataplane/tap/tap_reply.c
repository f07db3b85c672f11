/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What the server says: lines of replies, and what each does to its command. Which command that is,
 * tap_pair.c knows.
 */

#include <string.h>

#include "dataplane/tap/tap_smtp_internal.h"

/* Octets of an end of data and of the shortest command with content: ".", "DATA", each with CRLF.
 */
#define END_AND_MORE 9

void tap_content_begin(struct tap_smtp_session *s, enum tap_mode mode)
{
	struct tap_message *m = tap_message_of(s);

	s->wait = 0;
	s->mode = (uint8_t)mode;
	s->line_n = 0;
	if (mode == TAP_MODE_PEEK)
		return;
	if (!m) {
		/* 354 without a DATA that we saw: its envelope is missing. */
		m = tap_message_new(s);
		if (m)
			m->whole = TAP_NOT_WHOLE_GAP;
	}
	s->tail_gap = 0;
	smtp_data_init_passive(&s->data, false);
	tap_message_begin(s, false);
	s->content_gap = s->wait_gap != 0;
	if (s->wait_gap)
		tap_message_gap(s, s->wait_gap);
	s->wait_gap = 0;
}

/* DATA without a reply. Whoever sends content was told to, if it is content. */
static void assume_data(struct tap_smtp_session *s)
{
	if (!s->one_way) {
		bool sure;

		tap_pairing_guess(s);
		sure = !s->doubt;
		if (!sure)
			tap_stray(s);
	}
	tap_content_begin(s, s->wait_gap ? TAP_MODE_CONTENT : TAP_MODE_PEEK);
}

/* A MAIL inside of a transaction: refused, as RFC 5321 4.1.4 has it. */
static void assume_nested(struct tap_smtp_session *s)
{
	if (s->nested != TAP_NO_MESSAGE && s->message[s->nested] && s->nested != s->slot)
		tap_message_over(s, s->nested);
	s->nested = TAP_NO_MESSAGE;
	if (tap_message_of(s))
		tap_message_unsure(tap_message_of(s));
}

void tap_assume(struct tap_smtp_session *s)
{
	uint8_t wait = s->wait;

	s->wait = 0;
	switch (wait) {
	case TAP_ASKED_DATA:
		assume_data(s);
		break;
	case TAP_ASKED_MAIL:
		assume_nested(s);
		break;
	case TAP_ASKED_AUTH:
		s->mode = TAP_MODE_RESYNC;
		if (!s->one_way)
			tap_stray(s);
		break;
	case TAP_ASKED_STARTTLS:
		s->mode = TAP_MODE_TLS; /* the first octet tells */
		s->tls_assumed = true;
		break;
	default:
		break;
	}
}

/* The reply has come; what was said behind the command is not all there. */
static void go_on(struct tap_smtp_session *s)
{
	s->wait = 0;
	if (s->wait_gap) {
		tap_message_gap(s, s->wait_gap);
		tap_resync(s);
	}
	s->wait_gap = 0;
}

static void reply_to_message(struct tap_smtp_session *s, struct tap_message *m, unsigned int code)
{
	m->reply_code = (uint16_t)code;
	m->reply_n = s->reply_n;
	memcpy(m->reply, s->reply, s->reply_n);
}

static void reply_to_rcpt(struct tap_smtp_session *s, const struct tap_question *q,
			  unsigned int code)
{
	bool taken = code / 100 == 2;

	if (!taken)
		tap_smtp_count(s, CNT_tap_rcpt_refused);
	/* The message may be over by now: given up for the room. */
	if (q->slot == TAP_NO_MESSAGE || q->rcpt == UINT16_MAX || !s->message[q->slot] ||
	    q->rcpt >= s->message[q->slot]->n_rcpts)
		return;
	s->message[q->slot]->rcpt[q->rcpt].code = (uint16_t)code;
	s->message[q->slot]->rcpt[q->rcpt].state = taken ? TAP_RCPT_TAKEN : TAP_RCPT_REFUSED;
}

/* counted: it came when its turn was. */
static void reply_to_data(struct tap_smtp_session *s, unsigned int code, bool counted)
{
	struct tap_message *m = tap_message_of(s);

	if (code == 354) {
		s->proof = s->clean && !s->pipelined;
		if (counted && m)
			m->unproven = false;
		s->doubt = false; /* all before it is answered */
		tap_content_begin(s, TAP_MODE_CONTENT);
		return;
	}
	if (code / 100 < 4) {
		tap_contradiction(s); /* no server says that to DATA */
		return;
	}
	if (s->doubt) {
		/* It may be the refusal of something else. The client shows. */
		tap_pairing_lost(s);
		return;
	}
	/* Not told as a message: it never was one. */
	go_on(s);
	tap_smtp_count(s, CNT_tap_data_refused);
}

static void reply_to_starttls(struct tap_smtp_session *s, unsigned int code)
{
	if (code != 220) {
		if (s->wait == TAP_ASKED_STARTTLS)
			go_on(s);
		return;
	}
	s->wait = 0;
	/* RFC 3207 4.2: nothing that was said before counts any more. */
	tap_message_abort(s);
	s->mode = TAP_MODE_TLS;
	tap_smtp_count(s, CNT_tap_encrypted);
	s->pool->ops->encrypted(s->owner);
}

static void reply_to_mail(struct tap_smtp_session *s, const struct tap_question *q,
			  unsigned int code)
{
	struct tap_message *m = q->slot == TAP_NO_MESSAGE ? NULL : s->message[q->slot];

	/* What waits was asked last: the reply of a MAIL before it is not its. */
	if (s->wait == TAP_ASKED_MAIL && !s->asked) {
		s->nested = TAP_NO_MESSAGE;
		if (code / 100 == 2) {
			/* A second MAIL that the server took in place of the first. */
			tap_message_abort(s);
			s->slot = m ? q->slot : TAP_NO_MESSAGE;
		} else if (m) {
			tap_message_over(s, q->slot);
		}
		go_on(s);
		return;
	}
	if (m && !m->ended && !m->has_content && code / 100 != 2)
		tap_message_over(s, q->slot);
}

static void reply_to_auth(struct tap_smtp_session *s, unsigned int code)
{
	if (code != 334) {
		if (s->wait == TAP_ASKED_AUTH)
			go_on(s);
		return;
	}
	/* A gap took the response, or its begin; what follows has its reply. */
	s->wait = 0;
	s->mode = TAP_MODE_OPAQUE;
	if (s->wait_gap)
		go_on(s);
}

/* The last that was said is a chunk, and this is what it got. */
static void reply_to_chunk(struct tap_smtp_session *s, const struct tap_question *q,
			   unsigned int code)
{
	struct tap_message *m = q->slot == TAP_NO_MESSAGE ? NULL : s->message[q->slot];
	bool last = !s->asked;

	if (q->what == TAP_ASKED_LAST && m && m->ended) {
		/* RFC 3030 2: the refusal of a chunk is that of the message. */
		if (!m->reply_code || m->reply_code / 100 == 2)
			reply_to_message(s, m, code);
		tap_message_over(s, q->slot);
	} else if (m && code / 100 != 2 && !m->reply_code) {
		reply_to_message(s, m, code);
	}
	if (last && (s->mode == TAP_MODE_CHUNK || code / 100 != 2))
		tap_chunk_refused(s);
}

static void reply_to(struct tap_smtp_session *s, const struct tap_question *q, unsigned int code,
		     bool counted)
{
	struct tap_message *m = q->slot == TAP_NO_MESSAGE ? NULL : s->message[q->slot];

	switch (q->what) {
	case TAP_ASKED_MAIL:
		reply_to_mail(s, q, code);
		break;
	case TAP_ASKED_RCPT:
		reply_to_rcpt(s, q, code);
		break;
	case TAP_ASKED_DATA:
		reply_to_data(s, code, counted);
		break;
	case TAP_ASKED_END:
		if (m) {
			if (!m->reply_code || m->reply_code / 100 == 2)
				reply_to_message(s, m, code);
			tap_message_over(s, q->slot);
		}
		tap_sure(s);
		break;
	case TAP_ASKED_LAST:
	case TAP_ASKED_CHUNK:
		reply_to_chunk(s, q, code);
		break;
	case TAP_ASKED_AUTH:
		reply_to_auth(s, code);
		break;
	case TAP_ASKED_STARTTLS:
		reply_to_starttls(s, code);
		break;
	default:
		break;
	}
}

/* Content is under way, and the server has spoken. */
static void early_reply(struct tap_smtp_session *s, unsigned int code)
{
	struct tap_message *m = tap_message_of(s);

	if (m && s->content_gap) {
		/* The gap took the end of data; and what stood behind it, if it is large enough for
		 * that. Without an octet since nothing but the end was in it. */
		bool end_alone = s->tail_gap && s->tail_gap < END_AND_MORE;

		reply_to_message(s, m, code);
		tap_message_over(s, s->slot);
		s->mode = TAP_MODE_RESYNC;
		s->line_n = 0;
		s->doubt = true;
		if (end_alone)
			s->mode = TAP_MODE_LINE;
		else
			tap_stray(s);
		return;
	}
	if (code / 100 == 2 && s->data.lookalike) {
		tap_smtp_odd(s, TAP_disputed_end);
		if (m) {
			reply_to_message(s, m, code);
			tap_message_over(s, s->slot);
		}
		s->mode = TAP_MODE_RESYNC;
		s->line_n = 0;
		tap_contradiction(s);
		return;
	}
	tap_smtp_odd(s, TAP_early_reply);
	if (m && !m->reply_code)
		reply_to_message(s, m, code);
}

/* A reply while they can not be counted off. */
static void unsure_reply(struct tap_smtp_session *s, unsigned int code)
{
	enum tap_asked what = code == 354   ? TAP_ASKED_DATA
			      : code == 334 ? TAP_ASKED_AUTH
			      : code == 221 ? TAP_ASKED_QUIT
					    : TAP_ASKED_OTHER;
	struct tap_question q;

	s->lost_replies++;
	if (what != TAP_ASKED_OTHER && tap_pop_until(s, what, &q)) {
		reply_to(s, &q, code, false);
		return;
	}
	if (code == 354) {
		/* The DATA was in the gap: what comes is content all the same. */
		tap_pairing_begin(s);
		tap_message_gap(s, 0);
		s->proof = !s->pipelined;
		tap_content_begin(s, TAP_MODE_CONTENT);
		s->content_gap = true; /* and its end, perhaps */
		return;
	}
	if (s->wait == TAP_ASKED_STARTTLS && tap_pop_until(s, TAP_ASKED_STARTTLS, &q)) {
		reply_to(s, &q, code, false);
		return;
	}
	/* If one command waits, a refusal came of it, or of one before. Then the client shows. */
	if (!s->wait && s->mode == TAP_MODE_CONTENT)
		early_reply(s, code);
	else if (s->mode == TAP_MODE_CHUNK && !s->asked)
		tap_resync(s);
}

/* With nothing asked. */
static void unasked_reply(struct tap_smtp_session *s, unsigned int code)
{
	if (s->mode == TAP_MODE_CONTENT) {
		early_reply(s, code);
		return;
	}
	if (code == 421) /* RFC 5321 3.8: at any time */
		return;
	if (s->mode == TAP_MODE_CHUNK) {
		/* Who swallows a chunk is silent until it is over. */
		tap_smtp_odd(s, TAP_early_reply);
		tap_resync(s);
	} else {
		tap_smtp_odd(s, TAP_unpaired_reply);
		s->doubt = true;
	}
	if (code == 354) {
		tap_contradiction(s);
		unsure_reply(s, code);
	}
}

static void reply(struct tap_smtp_session *s, unsigned int code)
{
	struct tap_question q;

	if (s->undecided && code != 421)
		tap_chunk_spoken(s);
	if (s->unread)
		tap_chunk_unread(s, code);
	if (s->out)
		s->out--;
	if (code != 354)
		s->clean = false;
	if (s->pairing_lost) {
		unsure_reply(s, code);
		return;
	}
	if (!s->asked) {
		unasked_reply(s, code);
		return;
	}
	if (code == 354 && s->question[s->first].what != TAP_ASKED_DATA) {
		tap_contradiction(s);
		unsure_reply(s, code);
		return;
	}
	q = tap_pop(s);
	if (s->lost_behind && !--s->sure)
		tap_pairing_lost(s);
	reply_to(s, &q, code, true);
}

/* A line of the server, without its end. */
static void reply_line(struct tap_smtp_session *s)
{
	const uint8_t *p = s->reply;
	unsigned int code;

	/* RFC 5321 4.2: Reply-code and SP or "-", or the code alone. */
	if (s->reply_n < 3 || p[0] < '2' || p[0] > '5' || !ascii_is_digit(p[1]) ||
	    !ascii_is_digit(p[2]) || (s->reply_n > 3 && p[3] != ' ' && p[3] != '-')) {
		if (!s->reply_skip) /* the end of a line whose begin is missing */
			tap_smtp_odd(s, TAP_bad_reply);
		return;
	}
	if (s->reply_n > 3 && p[3] == '-')
		return;
	code = (unsigned int)(p[0] - '0') * 100 + (unsigned int)(p[1] - '0') * 10 +
	       (unsigned int)(p[2] - '0');
	reply(s, code);
}

void tap_server_data(struct tap_smtp_session *s, const uint8_t *p, size_t n)
{
	if (s->one_way) {
		s->one_way = false;
		s->pairing_lost = true;
	}
	s->server_seen = true;
	while (n && s->mode != TAP_MODE_TLS) {
		const uint8_t *lf = memchr(p, '\n', n);
		size_t k = lf ? (size_t)(lf - p) + 1 : n;
		size_t room = sizeof(s->reply) - s->reply_n;

		if (k > room) {
			s->reply_over = true;
			memcpy(s->reply + s->reply_n, p, room);
			s->reply_n = sizeof(s->reply);
		} else {
			memcpy(s->reply + s->reply_n, p, k);
			s->reply_n = (uint16_t)(s->reply_n + k);
		}
		p += k;
		n -= k;
		if (!lf)
			return;
		if (s->reply_over)
			tap_smtp_odd(s, TAP_long_line);
		while (s->reply_n &&
		       (s->reply[s->reply_n - 1] == '\n' || s->reply[s->reply_n - 1] == '\r'))
			s->reply_n--;
		reply_line(s);
		tap_reread(s, 0);
		s->reply_n = 0;
		s->reply_over = s->reply_skip = false;
	}
}
