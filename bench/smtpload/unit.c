/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What is said in which phase. Commands are the same for all sessions and are made at start,
 * messages by content.c. A unit is what is said before a reply is waited for.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/smtpload/content.h"
#include "bench/smtpload/load.h"

static struct {
	uint8_t *p;
	uint32_t n;
	bool content; /* what is said is the message of the session */
} unit[P_QUIT + 1];

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

/* Pipelined, MAIL, RCPT and DATA, or MAIL, RCPT and all of BDAT, are of one unit: their replies
 * come one by one. */
static int set_envelope(char *all, size_t size)
{
	/* RFC 6152 3: allowed for what has no such octets, too. */
	const char *body = load.opt.corpus ? " BODY=8BITMIME" : "";
	int n = snprintf(all, size, "MAIL FROM:<%s>%s\r\nRCPT TO:<%s>\r\n%s", load.opt.from, body,
			 load.opt.rcpt, load.opt.bdat ? "" : "DATA\r\n");

	if (n < 0 || (size_t)n >= size)
		return -1;
	unit[P_BODY].content = true;
	if (load.opt.pipeline && load.opt.bdat) {
		unit[P_MAIL].content = unit[P_RCPT].content = true;
		return 0;
	}
	if (load.opt.pipeline)
		return set(P_MAIL, all, "", "") || set(P_RCPT, all, "", "") ||
		       set(P_DATA, all, "", "");
	return set(P_MAIL, "MAIL FROM:<", load.opt.from,
		   body[0] ? "> BODY=8BITMIME\r\n" : ">\r\n") ||
	       set(P_RCPT, "RCPT TO:<", load.opt.rcpt, ">\r\n") || set(P_DATA, "DATA\r\n", "", "");
}

int unit_start(void)
{
	char envelope[1024];
	bool in_front = load.opt.pipeline && load.opt.bdat;

	if (set(P_EHLO, "EHLO ", load.opt.helo, "\r\n") || set(P_NOOP, "NOOP\r\n", "", "") ||
	    set(P_RSET, "RSET\r\n", "", "") || set(P_QUIT, "QUIT\r\n", "", "") ||
	    set(P_STARTTLS, "STARTTLS\r\n", "", "") || set_envelope(envelope, sizeof(envelope))) {
		fputs("smtpload: no memory for the commands, or the addresses are too long\n",
		      stderr);
		return -1;
	}
	return content_start(in_front ? envelope : NULL,
			     (uint32_t)(strchr(envelope, '\n') - envelope) + 1);
}

void unit_stop(void)
{
	for (unsigned int i = 0; i <= P_QUIT; i++) {
		free(unit[i].p);
		unit[i].p = NULL;
		unit[i].n = 0;
		unit[i].content = false;
	}
	content_stop();
}

/* Where in its text the unit of a message begins: chunks that wait for replies are one each. */
static uint32_t begin_of(const struct sess *s, const struct content *c)
{
	return c->n_chunks && !load.opt.pipeline && s->chunk ? c->chunk_end[s->chunk - 1] : 0;
}

uint32_t unit_len(const struct sess *s)
{
	const struct content *c;

	if (!unit[s->phase].content)
		return unit[s->phase].n;
	c = &contents.of[s->content];
	if (!c->n_chunks || load.opt.pipeline)
		return c->n;
	return c->chunk_end[s->chunk] - begin_of(s, c);
}

void unit_copy(const struct sess *s, uint8_t *to, uint32_t from, uint32_t n)
{
	if (unit[s->phase].content) {
		const struct content *c = &contents.of[s->content];

		content_copy(c, s->message, to, begin_of(s, c) + from, n);
	} else {
		memcpy(to, unit[s->phase].p + from, n);
	}
}

uint32_t smtp_unit_len(const struct sess *s)
{
	return s->more & M_TLS ? tls_unit_len(s) : unit_len(s);
}

void smtp_copy(const struct sess *s, uint8_t *to, uint32_t from, uint32_t n)
{
	if (s->more & M_TLS)
		tls_copy(s, to, from, n);
	else
		unit_copy(s, to, from, n);
}

/* The octets of the unit that must have been acknowledged before it can be answered. Of what lies
 * in records only the end is known; pipelined chunks are answered before it. */
uint32_t unit_said_by(const struct sess *s)
{
	const struct content *c;

	if (!unit[s->phase].content || !load.opt.pipeline)
		return smtp_unit_len(s);
	c = &contents.of[s->content];
	if (!c->n_chunks)
		return smtp_unit_len(s);
	if (s->more & M_TLS)
		return s->phase == P_BODY && s->chunk + 1u == c->n_chunks ? tls_unit_len(s) : 0;
	return s->phase == P_MAIL   ? c->mail_end
	       : s->phase == P_RCPT ? c->envelope
				    : c->chunk_end[s->chunk];
}
