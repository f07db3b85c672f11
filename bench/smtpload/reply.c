/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Replies, octet by octet as they come: nothing of them is kept but the code, what EHLO offers, and
 * for the books the beginning of the text. Whatever a server sends, no more than that is held.
 */

#include <string.h>

#include "bench/smtpload/load.h"

#define WORD_SEED  2166136261u /* FNV-1a */
#define WORD_PRIME 16777619u

static const struct {
	const char *keyword;
	uint8_t offer;
} offers[] = {
	{"CHUNKING", M_CHUNKING},     /* RFC 3030 */
	{"STARTTLS", M_STARTTLS},     /* RFC 3207 */
	{"8BITMIME", M_8BITMIME},     /* RFC 6152 */
	{"PIPELINING", M_PIPELINING}, /* RFC 2920 */
};

#define OFFERS (sizeof(offers) / sizeof(offers[0]))

static uint32_t word[OFFERS]; /* hashes of the keywords */

void reply_start(void)
{
	for (unsigned int i = 0; i < OFFERS; i++) {
		word[i] = WORD_SEED;
		for (const char *c = offers[i].keyword; *c; c++)
			word[i] = (word[i] ^ (uint8_t)*c) * WORD_PRIME;
	}
}

const char *reply_offer(uint8_t what)
{
	for (unsigned int i = 0; i < OFFERS; i++)
		if (offers[i].offer & what)
			return offers[i].keyword;
	return "";
}

/* An octet of the keyword of a line of EHLO: a hash of it is kept, no text. */
static void keyword(struct sess *s, uint8_t c)
{
	if (c != ' ' && c != '\r' && c != '\n') {
		if (c >= 'a' && c <= 'z')
			c = (uint8_t)(c - 32);
		if (s->content)
			s->content = (s->content ^ c) * WORD_PRIME;
		return;
	}
	for (unsigned int i = 0; i < OFFERS && s->content; i++)
		if (s->content == word[i])
			s->more |= offers[i].offer;
	s->content = 0; /* the rest of the line is of no interest */
}

/* The code and what is behind it; returns the octets that are done. */
static uint32_t code_or_text(struct sess *s, const uint8_t *p, uint32_t n)
{
	uint8_t c = p[0];

	if (s->column == 4) {
		const uint8_t *lf;
		uint32_t m;

		if (s->phase == P_EHLO) {
			keyword(s, c);
			return 1;
		}
		lf = memchr(p, '\n', n);
		m = lf ? (uint32_t)(lf - p) : n;
		if (load.opt.books)
			books_text(s, p, m);
		return m;
	}
	if (!s->column && load.opt.books && !s->code)
		books_reply(s);
	if (s->column < 3)
		s->code = (uint16_t)((s->column ? s->code * 10 : 0) +
				     (c >= '0' && c <= '9' ? c - '0' : 0));
	else if (c == '-')
		s->flags |= F_CONT;
	s->column++;
	if (s->column == 4 && s->phase == P_EHLO)
		s->content = WORD_SEED;
	return 1;
}

/* A whole reply; false: nothing of what is behind it is to be read. */
static bool line_end(struct sess *s, bool more)
{
	bool last = !(s->flags & F_CONT), clear = !(s->more & M_TLS);

	if (s->phase == P_EHLO && s->column == 4)
		keyword(s, '\n');
	s->column = 0;
	s->flags &= (uint8_t)~F_CONT;
	if (!last)
		return true;
	smtp_reply(s);
	if (s->tcp != T_OPEN)
		return false;
	s->code = 0;
	if (!clear || !(s->more & M_TLS))
		return true;
	/* RFC 3207 4.2: what came in clear behind the reply is not the server's, or it is broken.
	 */
	if (more) {
		load.f.tls_failed++;
		tcp_abort(s);
	}
	return false;
}

void reply_text(struct sess *s, const uint8_t *p, uint32_t n)
{
	uint32_t i = 0;

	while (i < n && s->tcp == T_OPEN) {
		if (p[i] != '\n') {
			i += code_or_text(s, p + i, n - i);
			continue;
		}
		i++;
		if (!line_end(s, i < n))
			return;
	}
}

void smtp_input(struct sess *s, const uint8_t *p, uint32_t n)
{
	if (s->more & M_TLS)
		tls_input(s, p, n);
	else
		reply_text(s, p, n);
}
