/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Replies to their commands, in the order of the commands (RFC 5321 4.3.1, RFC 2920 3.2). When a
 * gap took some of either, they can not be counted off any more. Then only replies that stand for
 * one command are believed (354, 334, 221), recipients stay unknown, and counting begins anew where
 * everything before must have been answered: at content, at MAIL and EHLO.
 */

#include <string.h>

#include "dataplane/tap/tap_smtp_internal.h"

void tap_ask(struct tap_smtp_session *s, enum tap_asked what, uint16_t rcpt)
{
	struct tap_question *q;

	if (s->one_way)
		return;
	if (s->asked == LIMIT_TAP_PIPELINE) {
		tap_pairing_lost(s);
		tap_pairing_begin(s);
		s->pairing_lost = true;
	}
	q = &s->question[(s->first + s->asked++) % LIMIT_TAP_PIPELINE];
	*q = (struct tap_question){(uint8_t)what, s->slot, rcpt};
}

void tap_pairing_lost(struct tap_smtp_session *s)
{
	if (s->pairing_lost)
		return;
	s->pairing_lost = true;
	if (!s->lost_behind)
		tap_smtp_odd(s, TAP_pairing_lost);
	s->lost_behind = false;
}

void tap_pairing_lost_behind(struct tap_smtp_session *s)
{
	if (!s->asked || s->pairing_lost) {
		tap_pairing_lost(s);
		return;
	}
	if (s->lost_behind)
		return;
	s->lost_behind = true;
	s->sure = s->asked;
	tap_smtp_odd(s, TAP_pairing_lost);
}

void tap_pairing_begin(struct tap_smtp_session *s)
{
	while (s->asked) {
		struct tap_question *q = &s->question[s->first];
		uint8_t slot = q->slot;

		s->first = (uint16_t)((s->first + 1) % LIMIT_TAP_PIPELINE);
		s->asked--;
		if (slot != TAP_NO_MESSAGE && s->message[slot]->ended)
			tap_message_over(s, slot);
	}
	s->pairing_lost = s->lost_behind = false;
}

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
	smtp_data_init_passive(&s->data, false);
	tap_message_begin(s, false);
	if (s->wait_gap)
		tap_message_gap(s, s->wait_gap);
	s->wait_gap = 0;
}

void tap_assume(struct tap_smtp_session *s)
{
	uint8_t wait = s->wait;

	s->wait = 0;
	switch (wait) {
	case TAP_ASKED_DATA:
		/* Whoever sends content was told to. */
		if (!s->one_way)
			tap_pairing_begin(s);
		tap_content_begin(s, s->wait_gap ? TAP_MODE_CONTENT : TAP_MODE_PEEK);
		break;
	case TAP_ASKED_AUTH:
		s->mode = TAP_MODE_RESYNC;
		break;
	case TAP_ASKED_STARTTLS:
		s->mode = TAP_MODE_TLS; /* the first octet tells */
		s->tls_assumed = true;
		break;
	default:
		break;
	}
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
	if (q->slot == TAP_NO_MESSAGE || q->rcpt == UINT16_MAX)
		return;
	s->message[q->slot]->rcpt[q->rcpt].code = (uint16_t)code;
	s->message[q->slot]->rcpt[q->rcpt].state = taken ? TAP_RCPT_TAKEN : TAP_RCPT_REFUSED;
}

static void reply_to_data(struct tap_smtp_session *s, unsigned int code)
{
	if (code == 354) {
		tap_content_begin(s, TAP_MODE_CONTENT);
		return;
	}
	/* Not told as a message: it never was one. */
	s->wait = 0;
	s->wait_gap = 0;
	tap_smtp_count(s, CNT_tap_data_refused);
}

static void reply_to_starttls(struct tap_smtp_session *s, unsigned int code)
{
	s->wait = 0;
	if (code != 220)
		return;
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
	struct tap_message *hand = tap_message_of(s);

	if (!m || m->ended || m->has_content)
		return;
	if (code / 100 != 2 || (q->slot != s->slot && (!hand || hand->has_content))) {
		tap_message_over(s, q->slot);
	} else if (q->slot != s->slot) {
		/* A second MAIL that the server took in place of the first. */
		tap_message_over(s, s->slot);
		s->slot = q->slot;
	}
}

static void reply_to(struct tap_smtp_session *s, const struct tap_question *q, unsigned int code)
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
		reply_to_data(s, code);
		break;
	case TAP_ASKED_END:
	case TAP_ASKED_LAST:
		if (m) {
			/* RFC 3030 2: the refusal of a chunk is that of the message. */
			if (!m->reply_code || m->reply_code / 100 == 2)
				reply_to_message(s, m, code);
			tap_message_over(s, q->slot);
		}
		break;
	case TAP_ASKED_CHUNK:
		if (m && code / 100 != 2 && !m->reply_code)
			reply_to_message(s, m, code);
		break;
	case TAP_ASKED_AUTH:
		s->wait = 0;
		if (code == 334)
			s->mode = TAP_MODE_OPAQUE;
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

	if (m && m->whole == TAP_NOT_WHOLE_GAP) {
		/* The gap took the end of data. */
		reply_to_message(s, m, code);
		tap_message_over(s, s->slot);
		s->mode = TAP_MODE_RESYNC;
		s->line_n = 0;
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
		tap_pairing_lost(s);
		return;
	}
	tap_smtp_odd(s, TAP_early_reply);
	if (m && !m->reply_code)
		reply_to_message(s, m, code);
}

static bool pop_until(struct tap_smtp_session *s, enum tap_asked what, struct tap_question *q)
{
	uint16_t i = 0;

	while (i < s->asked && s->question[(s->first + i) % LIMIT_TAP_PIPELINE].what != what)
		i++;
	if (i == s->asked)
		return false;
	*q = s->question[(s->first + i) % LIMIT_TAP_PIPELINE];
	/* Those before it are answered, and nobody knows how. */
	for (; i; i--) {
		uint8_t slot = s->question[s->first].slot;

		s->first = (uint16_t)((s->first + 1) % LIMIT_TAP_PIPELINE);
		s->asked--;
		if (slot != TAP_NO_MESSAGE && s->message[slot]->ended)
			tap_message_over(s, slot);
	}
	s->first = (uint16_t)((s->first + 1) % LIMIT_TAP_PIPELINE);
	s->asked--;
	s->pairing_lost = s->lost_behind = false;
	return true;
}

/* A reply while they can not be counted off. True: dealt with. */
static void unsure_reply(struct tap_smtp_session *s, unsigned int code)
{
	enum tap_asked what = code == 354   ? TAP_ASKED_DATA
			      : code == 334 ? TAP_ASKED_AUTH
			      : code == 221 ? TAP_ASKED_QUIT
					    : TAP_ASKED_OTHER;
	struct tap_question q;

	if (what != TAP_ASKED_OTHER && pop_until(s, what, &q)) {
		reply_to(s, &q, code);
		return;
	}
	if (code == 354) {
		/* The DATA was in the gap: what comes is content all the same. */
		tap_pairing_begin(s);
		tap_message_gap(s, 0);
		tap_content_begin(s, TAP_MODE_CONTENT);
		return;
	}
	if (s->wait == TAP_ASKED_STARTTLS && pop_until(s, TAP_ASKED_STARTTLS, &q)) {
		reply_to(s, &q, code);
		return;
	}
	if (s->wait && code / 100 >= 4) {
		/* One command waits, and a refusal came: of it, or of one before. Then the client
		 * says. */
		return;
	}
	if (s->mode == TAP_MODE_CONTENT)
		early_reply(s, code);
}

static void reply(struct tap_smtp_session *s, unsigned int code)
{
	struct tap_question q;

	if (s->pairing_lost) {
		unsure_reply(s, code);
		return;
	}
	if (!s->asked) {
		if (s->mode == TAP_MODE_CONTENT || s->mode == TAP_MODE_CHUNK)
			early_reply(s, code);
		else if (code != 421) /* RFC 5321 3.8: at any time */
			tap_smtp_odd(s, TAP_unpaired_reply);
		return;
	}
	q = s->question[s->first];
	if (code == 354 && q.what != TAP_ASKED_DATA) {
		tap_pairing_lost(s);
		unsure_reply(s, code);
		return;
	}
	s->first = (uint16_t)((s->first + 1) % LIMIT_TAP_PIPELINE);
	s->asked--;
	if (s->lost_behind && !--s->sure)
		tap_pairing_lost(s);
	reply_to(s, &q, code);
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
		s->reply_n = 0;
		s->reply_over = s->reply_skip = false;
	}
}

void tap_server_gap(struct tap_smtp_session *s)
{
	/* The begin of a line that has no end; what comes is the end of one. */
	s->reply_n = 0;
	s->reply_over = false;
	s->reply_skip = true;
	tap_pairing_lost(s);
}
