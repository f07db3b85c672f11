/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* One transaction, and the entry of its message. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/pcapgen/pcapgen.h"

#define CHUNKS_MAX 6u

static struct buf mail; /* the content being sent */

struct transaction {
	char from[64];
	uint32_t sender, rcpt, n_rcpt, accepted;
	bool bdat, binary;
	uint8_t odd;
};

static uint32_t keep_text(struct session *s, const char *text)
{
	uint32_t at = s->text.n;

	buf_add(&s->text, text, (uint32_t)strlen(text) + 1);
	return at;
}

static uint32_t pick_size(struct rng *r, const struct gen_options *o)
{
	uint64_t total = 0, at, low, high, doublings = 0;
	uint32_t i = 0;

	for (uint32_t k = 0; k < o->n_sizes; k++)
		total += o->size[k].weight;
	for (at = rng_below(r, total); at >= o->size[i].weight; i++)
		at -= o->size[i].weight;
	low = o->size[i].low;
	while (low << (doublings + 1) <= o->size[i].high)
		doublings++;
	/* Each doubling is as likely as the others. */
	low <<= rng_below(r, doublings + 1);
	high = low * 2 - 1 < o->size[i].high ? low * 2 - 1 : o->size[i].high;
	return (uint32_t)rng_between(r, low, high);
}

static void rset(struct session *s)
{
	talk_say(s, C2S, "RSET\r\n");
	talk_say(s, S2C, "250 2.0.0 Ok\r\n");
	talk_wait(s);
}

/* False: the server took none, or the client gave it up. */
static bool refused_mail(struct session *s, const struct transaction *t)
{
	talk_say(s, C2S, "MAIL FROM:<%s>\r\n", t->from);
	talk_say(s, S2C, "450 4.7.1 Try later\r\n");
	if (s->pipelining) {
		talk_say(s, C2S, "RCPT TO:<never@example.com>\r\nDATA\r\n");
		talk_say(s, S2C, "503 5.5.1 MAIL first\r\n503 5.5.1 MAIL first\r\n");
	}
	talk_turns(s);
	return false;
}

static bool envelope(struct session *s, const struct gen_options *o, struct transaction *t)
{
	uint64_t n = rng_below(&s->rng, 3) ? 1 : rng_between(&s->rng, 1, o->rcpts_max);
	const char *body = t->binary               ? " BODY=BINARYMIME"
			   : rng_below(&s->rng, 2) ? ""
						   : " BODY=8BITMIME";
	bool seen = s->sees != SEE_CLIENT; /* an observer of the client cannot know of refusals */

	if (!rng_hit(&s->rng, o->with[F_NULL_SENDER]))
		snprintf(t->from, sizeof(t->from), "s%llu.m%u@example.net",
			 (unsigned long long)s->number, s->transactions);
	s->transactions++;
	if (seen && rng_hit(&s->rng, o->with[F_REFUSED_MAIL]))
		return refused_mail(s, t);
	t->sender = keep_text(s, t->from);
	talk_say(s, C2S, rng_below(&s->rng, 8) ? "MAIL FROM:<%s>%s\r\n" : "mail from:<%s>%s\r\n",
		 t->from, s->esmtp ? body : "");
	talk_say(s, S2C, "250 2.1.0 Ok\r\n");
	talk_wait(s);
	t->rcpt = s->n_rcpt;
	for (uint64_t i = 0; i < n; i++) {
		bool refused = seen && rng_hit(&s->rng, o->with[F_REFUSED_RCPT]);
		char address[64];

		snprintf(address, sizeof(address), "r%u.s%llu@example.com", (unsigned int)i,
			 (unsigned long long)s->number);
		talk_say(s, C2S, "RCPT TO:<%s>\r\n", address);
		talk_say(s, S2C, refused ? "550 5.1.1 Unknown\r\n" : "250 2.1.5 Ok\r\n");
		talk_wait(s);
		s->rcpt = gen_grow(s->rcpt, s->n_rcpt, &s->cap_rcpt, sizeof(*s->rcpt));
		s->rcpt[s->n_rcpt++] = (struct rcpt){keep_text(s, address), !refused};
		t->n_rcpt++;
		t->accepted += !refused;
	}
	return true;
}

static struct message *new_message(struct session *s, const struct transaction *t)
{
	struct message *m;
	uint32_t begin = s->n_msg ? s->msg[s->n_msg - 1].past : 0;

	s->msg = gen_grow(s->msg, s->n_msg, &s->cap_msg, sizeof(*s->msg));
	m = &s->msg[s->n_msg++];
	*m = (struct message){.begin = begin,
			      .content = s->stream[C2S].n,
			      .sender = t->sender,
			      .rcpt = t->rcpt,
			      .n_rcpt = t->n_rcpt,
			      .extent = s->n_extent,
			      .bdat = t->bdat,
			      .complete = true,
			      .whole = true,
			      .odd = t->odd,
			      .size = mail.n};
	mail_sha256(mail.p, mail.n, m->sha256);
	return m;
}

static void add_extent(struct session *s, struct message *m, uint32_t from, uint32_t to)
{
	s->extent = gen_grow(s->extent, s->n_extent, &s->cap_extent, sizeof(*s->extent));
	s->extent[s->n_extent++] = (struct extent){from, to};
	m->n_extent++;
}

static void final_reply(struct session *s, struct message *m, uint16_t code)
{
	if (code == 250)
		talk_say(s, S2C, "250 2.0.0 Ok: queued as %llX%03X\r\n",
			 (unsigned long long)s->number, s->transactions);
	else
		talk_say(s, S2C, "%u %u.7.1 Not taken\r\n", code, code / 100);
	m->reply = code;
	m->reply_end = s->stream[S2C].n;
}

/* The message's last turn: its reply may be one the capture misses. */
static void final_turn(struct session *s, const struct gen_options *o, struct message *m)
{
	uint32_t from = s->said[S2C];

	if (s->pipelining && rng_below(&s->rng, 2))
		return;
	talk_turns(s);
	/* With pipelining other replies would be in that turn. */
	if (m->complete && m->expect == EXPECT_EXACT && !s->pipelining && s->sees == SEE_BOTH &&
	    rng_hit(&s->rng, o->plant[A_LOST_REPLY])) {
		m->reply = 0;
		plant_note(s, A_LOST_REPLY, S2C, from, s->stream[S2C].n - from);
	}
}

/* The client falls silent within the content, behind what was said already. */
static void abort_here(struct session *s, struct message *m)
{
	uint32_t low = m->content > s->said[C2S] ? m->content : s->said[C2S];

	s->stream[C2S].n = (uint32_t)rng_between(&s->rng, low + 1, m->end - (m->bdat ? 1 : 3));
	s->stream[S2C].n = s->said[S2C];
	truth_cut_content(s, m, s->stream[C2S].n, s->close == CLOSE_RST ? LACK_RST : LACK_FIN);
	talk_turns(s);
}

static uint16_t refusal(struct session *s)
{
	static const uint16_t code[] = {550, 554, 451, 552};

	return code[rng_below(&s->rng, 4)];
}

static bool data(struct session *s, const struct gen_options *o, struct transaction *t, bool abort)
{
	struct message *m;
	bool refused = rng_hit(&s->rng, o->with[F_REFUSED_MESSAGE]);

	talk_say(s, C2S, "DATA\r\n");
	if ((!t->accepted && rng_below(&s->rng, 2)) ||
	    (s->sees != SEE_CLIENT && rng_hit(&s->rng, o->with[F_REFUSED_DATA]))) {
		talk_say(s, S2C,
			 t->accepted ? "451 4.3.0 Not now\r\n" : "554 5.5.1 For nobody\r\n");
		talk_turns(s);
		rset(s);
		return true;
	}
	talk_say(s, S2C, "354 Go ahead\r\n");
	talk_turns(s);
	if (!t->accepted)
		mail.n = 0; /* RFC 2920 3.1: a client that was told so sends the dot alone */
	m = new_message(s, t);
	mail_stuff(&s->stream[C2S], mail.p, mail.n);
	m->past = s->stream[C2S].n;
	m->end = m->past - 3;
	if (m->end >= m->content + 2)
		add_extent(s, m, m->content, m->end - 2);
	if (abort && mail.n > 16) {
		abort_here(s, m);
		return false;
	}
	if (!t->accepted)
		m->expect = EXPECT_OPTIONAL;
	final_reply(s, m, !t->accepted ? 554 : refused ? refusal(s) : 250);
	final_turn(s, o, m);
	return true;
}

/* The message is none: given up, or a chunk was refused. */
static void none(struct message *m, enum lack lack)
{
	m->complete = false;
	m->expect = EXPECT_OPTIONAL;
	m->lack = lack;
}

/* What becomes of a message in chunks: the chunk that is refused, and the one before the RSET. */
struct fate {
	uint32_t refused, given_up;
};

/* The reply to chunk i. False: the client sends no more of them. */
static bool chunk_reply(struct session *s, const struct transaction *t, const struct fate *f,
			struct message *m, uint32_t i, bool last)
{
	if (i < f->refused) {
		if (last)
			final_reply(s, m, 250);
		else
			talk_say(s, S2C, "250 2.0.0 Ok\r\n");
		return true;
	}
	if (i == f->refused)
		final_reply(s, m, t->accepted ? refusal(s) : 503);
	else
		talk_say(s, S2C, "503 5.5.1 No transaction\r\n");
	if (!last || i > f->refused)
		none(m, LACK_REFUSED);
	else if (!t->accepted)
		m->expect = EXPECT_OPTIONAL;
	m->whole &= s->pipelining || last;
	return s->pipelining;
}

static struct message *chunks(struct session *s, const struct transaction *t, const struct fate *f,
			      uint32_t count)
{
	struct message *m = new_message(s, t);
	uint32_t at = 0;

	for (uint32_t i = 0; i < count; i++) {
		bool last = i + 1 == count;
		uint32_t left = mail.n - at,
			 n = last ? left : (uint32_t)rng_below(&s->rng, left + 1);

		talk_say(s, C2S, last ? "BDAT %u LAST\r\n" : "BDAT %u\r\n", n);
		if (!i)
			m->content = s->stream[C2S].n;
		add_extent(s, m, s->stream[C2S].n, s->stream[C2S].n + n);
		buf_add(&s->stream[C2S], mail.p + at, n);
		at += n;
		m->end = m->past = s->stream[C2S].n;
		if (!chunk_reply(s, t, f, m, i, last))
			break;
		if (!last)
			talk_wait(s);
		if (i == f->given_up && !last) {
			none(m, LACK_RSET);
			m->whole = false;
			break;
		}
	}
	return m;
}

static bool bdat(struct session *s, const struct gen_options *o, struct transaction *t, bool abort)
{
	uint32_t count = (uint32_t)rng_between(&s->rng, 1, CHUNKS_MAX);
	struct fate f = {UINT32_MAX, UINT32_MAX};
	struct message *m;

	if (abort) /* the replies to the envelope are heard */
		talk_turns(s);
	if (!t->accepted)
		f.refused = 0;
	else if (rng_hit(&s->rng, o->with[F_REFUSED_MESSAGE]))
		f.refused = (uint32_t)rng_below(&s->rng, count);
	else if (!abort && rng_hit(&s->rng, o->with[F_RSET] / 2))
		f.given_up = (uint32_t)rng_below(&s->rng, count);
	m = chunks(s, t, &f, count);
	if (abort && m->complete && m->end - m->content > 16) {
		abort_here(s, m);
		return false;
	}
	if (m->lack != LACK_RSET)
		final_turn(s, o, m);
	if (!m->complete || !t->accepted)
		rset(s);
	return true;
}

bool talk_message(struct session *s, const struct gen_options *o, bool abort)
{
	struct transaction t = {.bdat = s->esmtp && rng_hit(&s->rng, o->with[F_BDAT])};
	struct mail_wanted w = {.size = pick_size(&s->rng, o), .number = s->number};
	uint32_t note = UINT32_MAX;

	t.binary = t.bdat && !o->from && rng_hit(&s->rng, o->with[F_BINARY]);
	if (!envelope(s, o, &t))
		return true;
	if (!t.accepted && !s->pipelining) {
		rset(s);
		return true;
	}
	if (!t.bdat && rng_hit(&s->rng, o->with[F_RSET])) {
		rset(s);
		return true;
	}
	w.from = t.from;
	w.to = (const char *)s->text.p + s->rcpt[t.rcpt].address;
	w.binary = t.binary;
	w.lookalike = !t.bdat && !abort && t.accepted && !o->from &&
		      rng_hit(&s->rng, o->plant[A_LOOKALIKE]);
	t.odd = mail_make(&s->rng, &w, &mail);
	if (w.lookalike)
		note = s->n_msg;
	if (t.bdat)
		return bdat(s, o, &t, abort);
	if (!data(s, o, &t, abort))
		return false;
	if (note < s->n_msg)
		plant_note(s, A_LOOKALIKE, C2S, s->msg[note].end - 1, 1);
	return true;
}
