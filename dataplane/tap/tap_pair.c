/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Which reply is whose, and how sure that is.
 *
 * Replies come in the order of the commands (RFC 5321 4.3.1, RFC 2920 3.2) and are counted off.
 * Once a gap took some of either they can not be: then only replies that stand for one command are
 * believed (354, 334, 221). Counting begins anew at MAIL and EHLO. That all before is answered
 * there is sure if the gap took one reply at most and each command since waited for the one before;
 * else it is `doubt`, and a message is whole only if its own DATA got a 354 when its turn came:
 * with one reply more or less in the count it would not.
 *
 * `stray` is worse: the line that was taken for a command may have been text of a chunk or of
 * content that a gap hid. A 354 that is the first reply behind a DATA, with every command before
 * having waited for its reply, is for that DATA or for one in the gap; either way content ends at
 * the end of data that follows, and with the reply to that nothing is outstanding. Until then no
 * message is whole. A client that does not wait for replies stays in this state.
 */

#include "dataplane/tap/tap_smtp_internal.h"

static struct tap_question *question(struct tap_smtp_session *s, uint16_t i)
{
	return &s->question[(s->first + i) % LIMIT_TAP_PIPELINE];
}

void tap_ask(struct tap_smtp_session *s, enum tap_asked what, uint16_t rcpt)
{
	if (s->one_way)
		return;
	if (s->asked == LIMIT_TAP_PIPELINE) {
		tap_pairing_lost(s);
		tap_pairing_begin(s);
		s->pairing_lost = true;
	}
	if (s->stray && !s->undecided) {
		if (!s->excused) {
			s->pipelined |= s->out != 0;
			s->out++;
		}
		s->excused = false;
	}
	if (s->pairing_lost)
		s->lost_asked++;
	*question(s, s->asked++) = (struct tap_question){(uint8_t)what, s->slot, rcpt};
}

struct tap_question tap_pop(struct tap_smtp_session *s)
{
	struct tap_question q = *question(s, 0);

	s->first = (uint16_t)((s->first + 1) % LIMIT_TAP_PIPELINE);
	s->asked--;
	return q;
}

/* One that nobody knows the answer to. */
static void give_up_question(struct tap_smtp_session *s)
{
	struct tap_question q = tap_pop(s);

	if (q.slot != TAP_NO_MESSAGE && s->message[q.slot] && s->message[q.slot]->ended)
		tap_message_over(s, q.slot);
}

bool tap_pop_until(struct tap_smtp_session *s, enum tap_asked what, struct tap_question *q)
{
	uint16_t i = 0;

	while (i < s->asked && question(s, i)->what != what)
		i++;
	if (i == s->asked)
		return false;
	/* Those before it are answered, and nobody knows how. */
	for (; i; i--)
		give_up_question(s);
	*q = tap_pop(s);
	s->pairing_lost = s->lost_behind = false;
	return true;
}

void tap_pairing_lost(struct tap_smtp_session *s)
{
	if (s->pairing_lost)
		return;
	s->pairing_lost = true;
	s->trust = false;
	s->lost_asked = s->asked;
	s->lost_replies = 0;
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
	while (s->asked)
		give_up_question(s);
	s->pairing_lost = s->lost_behind = false;
	s->unread = 0;
}

void tap_pairing_guess(struct tap_smtp_session *s)
{
	/* All have their reply, or all but the one that the gap took. */
	bool waited = s->lost_replies == s->lost_asked || s->lost_replies + 1 == s->lost_asked;

	if (!s->trust || !waited)
		s->doubt = true;
	else if (s->stray && s->proof && !s->pipelined)
		s->stray = s->doubt = s->proof =
			false; /* as tap_sure(), whose reply is in the gap */
	tap_pairing_begin(s);
}

void tap_server_gap(struct tap_smtp_session *s)
{
	bool trust = s->asked <= 1 && !s->lost_behind && !s->undecided &&
		     (s->stray ? s->proof && !s->pipelined : !s->doubt);

	/* The begin of a line that has no end; what comes is the end of one. */
	s->reply_n = 0;
	s->reply_over = false;
	s->reply_skip = true;
	if (s->undecided)
		tap_chunk_swallow(s);
	/* It took that reply, or the next one. */
	if (!s->out)
		s->excused = s->stray;
	else if (s->out == 1)
		s->out = 0;
	if (s->pairing_lost) {
		s->trust &= s->lost_asked <= 1 && !s->lost_replies; /* one reply in two gaps */
		return;
	}
	tap_pairing_lost(s);
	s->trust = trust;
}

void tap_stray(struct tap_smtp_session *s)
{
	for (uint8_t i = 0; i < LIMIT_TAP_OPEN_MESSAGES; i++)
		if (s->message[i] && !s->message[i]->ended)
			tap_message_unsure(s->message[i]);
	if (s->one_way) {
		s->stray = true;
		return;
	}
	if (!s->stray) {
		s->pipelined = false;
		s->out = s->asked;
	}
	s->stray = true;
	s->clean = s->proof = false;
}

void tap_contradiction(struct tap_smtp_session *s)
{
	tap_pairing_lost(s);
	s->trust = false;
	tap_stray(s);
}

void tap_sure(struct tap_smtp_session *s)
{
	if (!s->stray || !s->proof || s->pipelined || s->asked)
		return;
	s->stray = s->doubt = s->proof = false;
}
