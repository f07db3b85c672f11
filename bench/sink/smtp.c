/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Commands and content: RFC 5321, 2920, 3030, 3207, as far as a next hop that takes everything. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sink.h"

static const char end_of_data[] = "\r\n.\r\n";

/* The code to refuse with at this stage now, or 0. */
static unsigned int refused(enum sink_stage stage)
{
	static uint32_t x = 2463534242u;

	if (!options.refuse[stage])
		return 0;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x % 1000 < options.share[stage] ? options.refuse[stage] : 0;
}

static void answer(struct sink_conn *c, enum sink_stage stage, const char *good)
{
	unsigned int code = refused(stage);
	char text[64];

	if (code)
		snprintf(text, sizeof(text), "%u %u.0.0 as scripted\r\n", code, code / 100);
	conn_put(c, code ? text : good, options.delay_ms[stage]);
}

void smtp_greet(struct sink_conn *c)
{
	answer(c, STAGE_CONNECT, "220 sink ESMTP\r\n");
}

static void begin(struct sink_conn *c)
{
	memset(&c->m, 0, sizeof(c->m));
	c->m.in_header = true;
	c->mail = false;
	c->rcpts = 0;
}

static void ehlo(struct sink_conn *c, bool extended)
{
	char text[512];
	int n = 0;

	begin(c);
	if (!extended) {
		conn_put(c, "250 sink\r\n", 0);
		return;
	}
	n += snprintf(text + n, sizeof(text) - (size_t)n,
		      "250-sink\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n");
	if (options.pipelining)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "250-PIPELINING\r\n");
	if (options.chunking)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "250-CHUNKING\r\n");
	if (options.cert && !c->ssl)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "250-STARTTLS\r\n");
	snprintf(text + n, sizeof(text) - (size_t)n, "250 SIZE %llu\r\n",
		 (unsigned long long)options.size);
	conn_put(c, text, 0);
}

static void rcpt(struct sink_conn *c)
{
	unsigned int code = refused(STAGE_RCPT);
	char text[64];

	if (!c->mail) {
		conn_put(c, "503 5.5.1 MAIL first\r\n", 0);
		return;
	}
	c->rcpts += !code;
	snprintf(text, sizeof(text), "%u %u.1.1 as scripted\r\n", code, code / 100);
	conn_put(c, code ? text : "250 2.1.5 Ok\r\n", options.delay_ms[STAGE_RCPT]);
}

/* A whole message is here. */
static void taken(struct sink_conn *c)
{
	unsigned int code = refused(STAGE_DOT);
	char text[64];

	books_message(c, code ? code : 250);
	c->messages++;
	if (code)
		snprintf(text, sizeof(text), "%u %u.0.0 as scripted\r\n", code, code / 100);
	else
		snprintf(text, sizeof(text), "250 2.0.0 Ok: queued as %llx.%lx\r\n",
			 (unsigned long long)c->serial, c->messages);
	conn_put(c, text, options.delay_ms[STAGE_DOT]);
	begin(c);
	c->state = SINK_COMMAND;
}

static void data(struct sink_conn *c)
{
	unsigned int code = refused(STAGE_DATA);

	if (!c->rcpts) {
		conn_put(c, "503 5.5.1 RCPT first\r\n", 0);
		return;
	}
	answer(c, STAGE_DATA, "354 go on\r\n");
	if (code)
		return;
	c->state = SINK_CONTENT;
	c->dot = 2; /* a dot at the very start is at the start of a line */
}

static void bdat(struct sink_conn *c, const char *arg)
{
	char *end;

	c->chunk = strtoull(arg, &end, 10);
	c->last = strncasecmp(end, " LAST", 5) == 0;
	c->state = SINK_CHUNK;
}

static bool is(const char *line, const char *verb)
{
	return strncasecmp(line, verb, strlen(verb)) == 0;
}

static void mail(struct sink_conn *c)
{
	if (options.max_messages && c->messages >= options.max_messages) {
		conn_put(c, "421 4.7.0 enough for one connection\r\n", 0);
		c->closing = true;
		return;
	}
	begin(c);
	c->mail = true;
	answer(c, STAGE_MAIL, "250 2.1.0 Ok\r\n");
}

static void command(struct sink_conn *c, const char *line)
{
	books.commands++;
	if (is(line, "MAIL")) {
		mail(c);
	} else if (is(line, "RCPT")) {
		rcpt(c);
	} else if (is(line, "DATA")) {
		data(c);
	} else if (is(line, "BDAT ") && options.chunking) {
		bdat(c, line + 5);
	} else if (is(line, "EHLO") || is(line, "HELO")) {
		ehlo(c, line[0] == 'E' || line[0] == 'e');
	} else if (is(line, "STARTTLS") && options.cert && !c->ssl) {
		conn_put(c, "220 2.0.0 go\r\n", 0);
		begin(c);
		conn_start_tls(c);
	} else if (is(line, "RSET") || is(line, "NOOP")) {
		if (line[0] == 'R' || line[0] == 'r')
			begin(c);
		conn_put(c, "250 2.0.0 Ok\r\n", 0);
	} else if (is(line, "QUIT")) {
		conn_put(c, "221 2.0.0 Bye\r\n", 0);
		c->closing = true;
	} else {
		conn_put(c, "500 5.5.2 what?\r\n", 0);
	}
}

/* Octets of p that belong to the content; sets c->dot to 5 when it ends there. */
static size_t content(struct sink_conn *c, const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && c->dot < 5) {
		if (c->dot == 0) {
			const char *cr = memchr(p + i, '\r', n - i);

			if (!cr)
				return n;
			i = (size_t)(cr - p) + 1;
			c->dot = 1;
			continue;
		}
		if (p[i] == end_of_data[c->dot])
			c->dot++;
		else
			c->dot = p[i] == '\r';
		i++;
	}
	return i;
}

void smtp_feed(struct sink_conn *c)
{
	size_t at = 0;

	while (at < c->n_in && !c->closing && !c->handshake) {
		char *p = c->in + at, *lf;
		size_t n = c->n_in - at;

		if (c->state == SINK_CONTENT) {
			n = content(c, p, n);
			books_octets(c, p, n);
			at += n;
			if (c->dot == 5)
				taken(c);
		} else if (c->state == SINK_CHUNK && c->chunk) {
			n = n < c->chunk ? n : (size_t)c->chunk;
			books_octets(c, p, n);
			c->chunk -= n;
			at += n;
		} else if (c->state == SINK_COMMAND) {
			lf = memchr(p, '\n', n);
			if (!lf)
				break;
			*lf = '\0';
			at += (size_t)(lf - p) + 1;
			command(c, p);
		}
		if (c->state == SINK_CHUNK && !c->chunk) {
			c->state = SINK_COMMAND;
			if (!c->rcpts)
				conn_put(c, "503 5.5.1 RCPT first\r\n", 0);
			else if (c->last)
				taken(c);
			else
				conn_put(c, "250 2.0.0 Ok\r\n", 0);
		}
	}
	/* RFC 3207 4.2: what came behind STARTTLS in clear is not for the session in TLS. */
	if (c->handshake)
		at = c->n_in;
	memmove(c->in, c->in + at, c->n_in - at);
	c->n_in -= at;
}
