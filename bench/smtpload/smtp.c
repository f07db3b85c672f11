/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The dialogue: one command at a time, or (--pipeline) the envelope at once, and with --bdat the
 * content behind it in the same breath. */

#include <stdio.h>
#include <stdlib.h>

#include "bench/smtpload/content.h"
#include "bench/smtpload/load.h"

#define REOPEN_MS    200u
#define FAILURES_MAX 5

static uint8_t needed; /* what EHLO must offer to a session that sends */
static uint32_t *sent; /* messages of the connection, by session; NULL without --per-session */
static bool told_missing;

int smtp_start(void)
{
	reply_start();
	needed = (uint8_t)((load.opt.bdat ? M_CHUNKING : 0) | (load.opt.corpus ? M_8BITMIME : 0) |
			   (load.opt.pipeline ? M_PIPELINING : 0));
	if (load.opt.per_session) {
		sent = calloc(load.n_sess ? load.n_sess : 1, sizeof(*sent));
		if (!sent) {
			fputs("smtpload: no memory for --per-session\n", stderr);
			return -1;
		}
	}
	return unit_start();
}

void smtp_stop(void)
{
	free(sent);
	sent = NULL;
	unit_stop();
}

static const struct content *content_of(const struct sess *s)
{
	return &contents.of[s->content];
}

void smtp_say(struct sess *s, enum phase phase)
{
	s->phase = (uint8_t)phase;
	if (s->more & M_TLS && !tls_seal(s)) {
		tcp_abort(s);
		return;
	}
	tcp_say(s, phase);
}

/* ---- the way of a session ------------------------------------------------------------------- */

static bool in_message(const struct sess *s)
{
	return s->phase >= P_MAIL && s->phase <= P_PAUSE;
}

static void opened_or_given_up(struct sess *s)
{
	if (s->flags & F_OPENING)
		load.opening--;
	s->flags &= (uint8_t)~F_OPENING;
}

static void session_up(struct sess *s)
{
	load.up++;
	load.up_tls += (s->more & M_TLS) != 0;
	s->flags |= F_UP;
	s->failures = 0;
	if (sent)
		sent[sess_index(s)] = 0;
	opened_or_given_up(s);
	smtp_say(s, P_IDLE);
	smtp_ready(s);
}

void smtp_ready(struct sess *s)
{
	if (s->tcp != T_OPEN || s->phase != P_IDLE)
		return;
	if (sent && sent[sess_index(s)] == load.opt.per_session) {
		smtp_say(s, P_QUIT);
		return;
	}
	if (load.running && !load.ending && !is_idle(s) && !think_not(s, &load.opt.think))
		return;
	smtp_next(s);
}

/* A command or a chunk of the message under way, now or when the session has thought. */
static void go_on(struct sess *s, enum phase phase)
{
	if (load.opt.think_command.kind != THINK_NOT) {
		smtp_say(s, P_PAUSE);
		s->next = (uint8_t)phase;
		if (!think_not(s, &load.opt.think_command))
			return;
	}
	smtp_say(s, phase);
}

void smtp_thought(struct sess *s)
{
	if (s->tcp != T_OPEN)
		return;
	if (s->phase == P_IDLE)
		smtp_next(s);
	else if (s->phase == P_PAUSE)
		smtp_say(s, s->next);
}

void smtp_next(struct sess *s)
{
	if (s->tcp != T_OPEN || s->phase != P_IDLE)
		return;
	if (load.ending) {
		smtp_say(s, P_QUIT);
		return;
	}
	if (!load.running || is_idle(s) || sess_index(s) - load.opt.idle >= load.run_active ||
	    (load.run_messages && load.messages_begun >= load.run_messages))
		return;
	if (!pace_take(s, &s->since_us))
		return;
	if (sent)
		sent[sess_index(s)]++;
	load.messages_begun++;
	s->message = load.message_serial++;
	s->content = content_pick(s->message);
	s->chunk = 0;
	smtp_say(s, P_MAIL);
}

static void message_done(struct sess *s)
{
	load.messages_done++;
	if (load.opt.books)
		books_message(s, s->code);
	if (s->code / 100 == 2) {
		load.f.accepted++;
		load.f.octets += content_of(s)->octets;
		hist_add(&load.f.transaction, load.now_us - s->since_us);
		hist_add(&load.f.reply, load.now_us - s->said_us);
	} else {
		load.f.refused[s->code]++;
	}
}

void smtp_connected(struct sess *s)
{
	s->column = 0;
	load.f.opened++;
}

static void refused(struct sess *s)
{
	load.f.refused[s->code]++;
	s->flags |= F_REFUSED;
	smtp_say(s, P_QUIT);
}

/* The reply ends the session; what is behind it on the way would not be understood. */
static void give_up(struct sess *s)
{
	unsigned int class = s->code / 100;

	if (in_message(s) && (class == 4 || class == 5)) {
		message_done(s);
		s->phase = P_IDLE;
	} else if (!in_message(s)) {
		load.f.refused[s->code]++;
	}
	tcp_abort(s);
}

static void banner(struct sess *s)
{
	if (s->code != 220) {
		refused(s);
		return;
	}
	hist_add(&load.f.connect, load.now_us - s->since_us);
	if (is_churn(s))
		smtp_say(s, P_QUIT);
	else if (!load.opt.ehlo && is_idle(s))
		session_up(s);
	else
		smtp_say(s, P_EHLO);
}

static void missing(struct sess *s, uint8_t what)
{
	load.f.not_offered++;
	if (!told_missing)
		fprintf(stderr, "smtpload: EHLO does not offer %s%s, which the options need\n",
			reply_offer(what), s->more & M_TLS ? " under TLS" : "");
	told_missing = true;
	s->flags |= F_REFUSED;
	smtp_say(s, P_QUIT);
}

/* Before TLS only STARTTLS counts (RFC 3207 4.2: the rest is forgotten). */
static void greeted(struct sess *s)
{
	bool clear = tls_wanted(s) && !(s->more & M_TLS);
	uint8_t lack = (uint8_t)((clear ? M_STARTTLS : is_idle(s) ? 0 : needed) & ~s->more);

	if (s->code / 100 != 2)
		refused(s);
	else if (lack)
		missing(s, lack);
	else if (clear)
		smtp_say(s, P_STARTTLS);
	else
		session_up(s);
}

static void begin_tls(struct sess *s)
{
	if (s->code != 220)
		refused(s);
	else if (tls_begin(s))
		tcp_say(s, P_TLS);
	else
		tcp_abort(s);
}

void smtp_secured(struct sess *s)
{
	s->column = 0;
	s->code = 0;
	s->more &= (uint8_t)~M_OFFERS;
	smtp_say(s, P_EHLO);
}

/* MAIL, RCPT, DATA: on to the next, or the message is refused. */
static void envelope(struct sess *s)
{
	unsigned int want = s->phase == P_DATA ? 3 : 2, class = s->code / 100;
	enum phase next = s->phase == P_RCPT && load.opt.bdat ? P_BODY : (enum phase)(s->phase + 1);

	if (class == want) {
		if (load.opt.pipeline && s->phase != P_DATA)
			s->phase = (uint8_t)next;
		else
			go_on(s, next);
		return;
	}
	/* What was said behind it will be answered, too; or 250 to DATA, which accepts nothing. */
	if (load.opt.pipeline || (class != 4 && class != 5)) {
		give_up(s);
		return;
	}
	message_done(s);
	smtp_say(s, P_RSET);
}

/* A chunk, or the content. */
static void body(struct sess *s)
{
	bool last = !load.opt.bdat || s->chunk + 1u == content_of(s)->n_chunks;

	if (!last && s->code / 100 == 2) {
		s->chunk++;
		if (!load.opt.pipeline)
			go_on(s, P_BODY);
		return;
	}
	if (!last && load.opt.pipeline) {
		give_up(s);
		return;
	}
	message_done(s);
	smtp_say(s, last ? P_IDLE : P_RSET);
	if (last)
		smtp_ready(s);
}

void smtp_reply(struct sess *s)
{
	bool ok = s->code / 100 == 2;

	/* A reply to what is not all said: 421, or a refusal in the middle of the text. */
	if (seq_lt(s->snd_una, s->unit_seq + unit_said_by(s)) ||
	    (s->code == 421 && s->phase != P_BANNER)) {
		give_up(s);
		return;
	}
	switch (s->phase) {
	case P_BANNER:
		banner(s);
		break;
	case P_EHLO:
		greeted(s);
		break;
	case P_STARTTLS:
		begin_tls(s);
		break;
	case P_NOOP:
		load.f.probes_ok += ok;
		smtp_say(s, P_IDLE);
		break;
	case P_MAIL:
	case P_RCPT:
	case P_DATA:
		envelope(s);
		break;
	case P_BODY:
		body(s);
		break;
	case P_PAUSE: /* nothing was asked, and a message is under way */
		give_up(s);
		break;
	case P_RSET:
		smtp_say(s, P_IDLE);
		smtp_ready(s);
		break;
	case P_QUIT: /* the FIN follows */
		break;
	default: /* nothing was asked */
		refused(s);
	}
}

/* ---- ends ----------------------------------------------------------------------------------- */

void smtp_gone(struct sess *s, bool wanted)
{
	bool was_up = s->flags & F_UP, kept = wanted && !(s->flags & F_REFUSED);

	if (in_message(s)) {
		load.messages_done++;
		load.f.refused[0]++;
		if (load.opt.books)
			books_message(s, 0);
	}
	s->phase = P_NONE;
	s->flags &= (uint8_t)~F_UP;
	load.up -= was_up;
	load.up_tls -= was_up && s->more & M_TLS;
	think_off(s);
	tls_end(s);
	s->more = 0;
	if (kept && is_churn(s)) {
		load.f.churned++;
		s->failures = 0;
		smtp_reopen(s);
		return;
	}
	if (load.ending)
		return;
	if (kept && was_up && sent) { /* --per-session */
		load.f.reconnected++;
		smtp_reopen(s);
		return;
	}
	if (was_up) {
		load.f.lost++;
		if (is_idle(s)) /* and stays lost: it is what a bench looks for */
			return;
	} else {
		load.f.open_failed++;
		if (++s->failures >= FAILURES_MAX && !is_churn(s)) {
			opened_or_given_up(s);
			return;
		}
		if (s->failures > FAILURES_MAX)
			s->failures = FAILURES_MAX;
	}
	timer_set(s, REOPEN_MS << s->failures);
}

void smtp_cut(void)
{
	for (uint32_t i = 0; load.opt.books && i < load.n_sess; i++)
		if (in_message(&load.sess[i]))
			books_message(&load.sess[i], 0);
}

/* For `churn` sessions, whether this run has work for them. */
static bool churning(const struct sess *s)
{
	return load.running && sess_index(s) - load.opt.idle - load.opt.active < load.run_churn;
}

void smtp_reopen(struct sess *s)
{
	if (!load.ending && s->tcp == T_CLOSED && (!is_churn(s) || churning(s)))
		tcp_open(s);
}
