/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The dialogue, one command at a time, or (--pipeline) the envelope at once. Texts are the same for
 * all sessions and are made at start; only eight hexadecimal digits of the Message-ID differ,
 * written where the text is copied.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/smtpload/load.h"

#define REOPEN_MS       200u
#define FAILURES_MAX    5
#define DIGITS          8u
#define TEXT_MAX        (64u << 20) /* octets of --text, as of the largest message */
#define LINE_MAX_OCTETS 900u        /* RFC 5321 4.5.3.1.6 allows 998 */

static struct {
	uint8_t *p;
	uint32_t n;
} unit[P_QUIT + 1];
static uint32_t digits_at; /* in the body */

/* ---- texts ---------------------------------------------------------------------------------- */

static int set(enum phase p, const char *a, const char *b, const char *c)
{
	size_t n = strlen(a) + strlen(b) + strlen(c);

	unit[p].p = malloc(n + 1);
	if (!unit[p].p)
		return -1;
	snprintf((char *)unit[p].p, n + 1, "%s%s%s", a, b, c);
	unit[p].n = (uint32_t)n;
	return 0;
}

/* Words without a meaning, always the same, in lines of 72 and a few. */
static void fill(uint8_t *p, uint32_t n)
{
	uint32_t column = 0, x = 0x2545f491;

	for (uint32_t i = 0; i + 2 < n; i++) {
		if (column >= 72 && n - i > 5) {
			p[i++] = '\r';
			p[i] = '\n';
			column = 0;
			continue;
		}
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		p[i] = (uint8_t)(column && x % 6 == 0 ? ' ' : "etaoinshrdlucmfw"[x >> 28]);
		column++;
	}
	p[n - 2] = '\r';
	p[n - 1] = '\n';
}

/* The same of the lines of a file, over and over; whatever is in it, the result is mail of ASCII.
 */
static void fill_of(uint8_t *p, uint32_t n, const uint8_t *text, size_t len)
{
	uint32_t column = 0;
	size_t at = 0;

	for (uint32_t i = 0; i + 2 < n; i++) {
		uint8_t c = text[at++ % len];

		if ((c == '\n' || column >= LINE_MAX_OCTETS) && n - i > 5) {
			p[i++] = '\r';
			p[i] = '\n';
			column = 0;
			continue;
		}
		if (c < ' ' || c > '~' || (!column && c == '.'))
			c = ' ';
		p[i] = c;
		column++;
	}
	p[n - 2] = '\r';
	p[n - 1] = '\n';
}

static int fill_body(uint8_t *p, uint32_t n)
{
	uint8_t *text = NULL;
	size_t len = 0;
	FILE *f;

	if (!load.opt.text) {
		fill(p, n);
		return 0;
	}
	f = fopen(load.opt.text, "re");
	if (f)
		text = malloc(TEXT_MAX);
	if (text)
		len = fread(text, 1, TEXT_MAX, f);
	if (len)
		fill_of(p, n, text, len);
	free(text);
	if (f)
		fclose(f);
	return len ? 0 : -1;
}

static int make_body(uint32_t size)
{
	char head[1024], date[64];
	time_t now = time(NULL);
	uint32_t n;

	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", gmtime(&now));
	n = (uint32_t)snprintf(head, sizeof(head),
			       "From: <%s>\r\nTo: <%s>\r\nDate: %s\r\nSubject: load\r\n"
			       "Message-ID: <%08x.%08x@%s>\r\nMIME-Version: 1.0\r\n"
			       "Content-Type: text/plain; charset=us-ascii\r\n\r\n",
			       load.opt.from, load.opt.rcpt, date, 0u, (unsigned int)now,
			       load.opt.helo);
	if (n >= sizeof(head))
		return -1;
	digits_at = (uint32_t)(strstr(head, "Message-ID: <") - head) + 13;
	if (size < n + 80)
		size = n + 80;
	load.opt.size = size;
	unit[P_BODY].n = size + 3;
	unit[P_BODY].p = malloc(unit[P_BODY].n);
	if (!unit[P_BODY].p)
		return -1;
	memcpy(unit[P_BODY].p, head, n);
	if (fill_body(unit[P_BODY].p + n, size - n))
		return -1;
	memcpy(unit[P_BODY].p + size, ".\r\n", 3);
	return 0;
}

/* Pipelined, all three phases are of one unit: their replies come one by one. */
static int set_envelope(void)
{
	char all[1024];
	int n = snprintf(all, sizeof(all), "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n",
			 load.opt.from, load.opt.rcpt);

	if (n < 0 || (size_t)n >= sizeof(all))
		return -1;
	if (load.opt.pipeline)
		return set(P_MAIL, all, "", "") || set(P_RCPT, all, "", "") ||
		       set(P_DATA, all, "", "");
	return set(P_MAIL, "MAIL FROM:<", load.opt.from, ">\r\n") ||
	       set(P_RCPT, "RCPT TO:<", load.opt.rcpt, ">\r\n") || set(P_DATA, "DATA\r\n", "", "");
}

int smtp_start(void)
{
	return set(P_EHLO, "EHLO ", load.opt.helo, "\r\n") || set(P_NOOP, "NOOP\r\n", "", "") ||
	       set(P_RSET, "RSET\r\n", "", "") || set(P_QUIT, "QUIT\r\n", "", "") ||
	       set_envelope() || make_body(load.opt.size);
}

void smtp_stop(void)
{
	for (unsigned int i = 0; i <= P_QUIT; i++) {
		free(unit[i].p);
		unit[i].p = NULL;
		unit[i].n = 0;
	}
}

uint32_t smtp_unit_len(const struct sess *s)
{
	return unit[s->phase].n;
}

void smtp_copy(const struct sess *s, uint8_t *to, uint32_t from, uint32_t n)
{
	char digits[DIGITS + 1];

	memcpy(to, unit[s->phase].p + from, n);
	if (s->phase != P_BODY || from > digits_at + DIGITS || from + n < digits_at)
		return;
	snprintf(digits, sizeof(digits), "%08x", s->message);
	for (uint32_t i = 0; i < DIGITS; i++)
		if (digits_at + i >= from && digits_at + i < from + n)
			to[digits_at + i - from] = (uint8_t)digits[i];
}

/* ---- the way of a session ------------------------------------------------------------------- */

static void opened_or_given_up(struct sess *s)
{
	if (s->flags & F_OPENING)
		load.opening--;
	s->flags &= (uint8_t)~F_OPENING;
}

static void session_up(struct sess *s)
{
	tcp_say(s, P_IDLE);
	load.up++;
	s->flags |= F_UP;
	s->failures = 0;
	opened_or_given_up(s);
	smtp_next(s);
}

void smtp_next(struct sess *s)
{
	if (s->tcp != T_OPEN || s->phase != P_IDLE)
		return;
	if (load.ending) {
		tcp_say(s, P_QUIT);
		return;
	}
	if (!load.running || is_idle(s) || sess_index(s) - load.opt.idle >= load.run_active ||
	    (load.run_messages && load.messages_begun >= load.run_messages))
		return;
	if (!pace_take(s, &s->since_us))
		return;
	load.messages_begun++;
	s->message = load.message_serial++;
	tcp_say(s, P_MAIL);
}

static void message_done(struct sess *s)
{
	load.messages_done++;
	if (s->code == 250) {
		load.f.accepted++;
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
	tcp_say(s, P_QUIT);
}

static void banner(struct sess *s)
{
	if (s->code != 220) {
		refused(s);
		return;
	}
	hist_add(&load.f.connect, load.now_us - s->since_us);
	if (is_churn(s))
		tcp_say(s, P_QUIT);
	else if (!load.opt.ehlo && is_idle(s))
		session_up(s);
	else
		tcp_say(s, P_EHLO);
}

/* MAIL, RCPT, DATA: on to the next, or the message is refused. */
static void envelope(struct sess *s)
{
	unsigned int want = s->phase == P_DATA ? 3 : 2;

	if (s->code / 100 == want) {
		if (load.opt.pipeline && s->phase != P_DATA)
			s->phase++;
		else
			tcp_say(s, s->phase + 1);
		return;
	}
	if (load.opt.pipeline) { /* what was said behind it will be answered, too */
		load.f.refused[s->code]++;
		tcp_abort(s);
		return;
	}
	message_done(s);
	tcp_say(s, P_RSET);
}

static void reply(struct sess *s)
{
	bool ok = s->code / 100 == 2;

	/* A reply to what is not all said: 421, or a refusal in the middle of the text. */
	if (s->snd_una != s->unit_seq + unit[s->phase].n ||
	    (s->code == 421 && s->phase != P_BANNER)) {
		load.f.refused[s->code]++;
		tcp_abort(s);
		return;
	}
	switch (s->phase) {
	case P_BANNER:
		banner(s);
		break;
	case P_EHLO:
		ok ? session_up(s) : refused(s);
		break;
	case P_NOOP:
		load.f.probes_ok += ok;
		tcp_say(s, P_IDLE);
		break;
	case P_MAIL:
	case P_RCPT:
	case P_DATA:
		envelope(s);
		break;
	case P_BODY:
		message_done(s);
		/* fall through */
	case P_RSET:
		tcp_say(s, P_IDLE);
		smtp_next(s);
		break;
	case P_QUIT: /* the FIN follows */
		break;
	default: /* nothing was asked */
		refused(s);
	}
}

void smtp_input(struct sess *s, const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n && s->tcp == T_OPEN; i++) {
		uint8_t c = p[i];

		if (c == '\n') {
			bool last = !(s->flags & F_CONT);

			s->column = 0;
			s->flags &= (uint8_t)~F_CONT;
			if (last)
				reply(s);
			if (last)
				s->code = 0;
			continue;
		}
		if (s->column < 3)
			s->code = (uint16_t)((s->column ? s->code * 10 : 0) +
					     (c >= '0' && c <= '9' ? c - '0' : 0));
		else if (s->column == 3 && c == '-')
			s->flags |= F_CONT;
		if (s->column < 4)
			s->column++;
	}
}

/* ---- ends ----------------------------------------------------------------------------------- */

void smtp_gone(struct sess *s, bool wanted)
{
	bool was_up = s->flags & F_UP;

	if (s->flags & F_REFUSED)
		wanted = false;
	if (s->phase >= P_MAIL && s->phase <= P_BODY) {
		load.messages_done++;
		load.f.refused[0]++;
	}
	s->phase = P_NONE;
	s->flags &= (uint8_t)~F_UP;
	load.up -= was_up;
	if (wanted && is_churn(s)) {
		load.f.churned++;
		s->failures = 0;
		smtp_reopen(s);
		return;
	}
	if (load.ending)
		return;
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
