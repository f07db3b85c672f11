/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * SHA-256 of the content behind the line of --id-field, as it was before DATA stuffed its dots
 * (RFC 5321 4.5.2), so that it is the same by DATA and by BDAT. What relays put in front of that
 * line is not in it.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sink.h"

static void update(struct sink_conn *c, const char *p, size_t n)
{
	if (n && EVP_DigestUpdate(c->digest, p, n) != 1) {
		fputs("sink: SHA-256 fails\n", stderr);
		exit(1);
	}
}

void digest_begin(struct sink_conn *c)
{
	if (!c->digest)
		c->digest = EVP_MD_CTX_new();
	if (!c->digest || EVP_DigestInit_ex(c->digest, EVP_sha256(), NULL) != 1) {
		fputs("sink: SHA-256 is not to be had\n", stderr);
		exit(1);
	}
	c->m.digesting = true;
	c->m.stuffing = STUFF_LINE;
}

/* A dot at the start of a line is left out; with CRLF behind it, it is the end, and so are they. */
static size_t stuffed(struct sink_conn *c, const char *p, size_t n)
{
	const char *lf;

	switch (c->m.stuffing) {
	case STUFF_LINE:
		c->m.stuffing = p[0] == '.' ? STUFF_DOT : STUFF_TEXT;
		return p[0] == '.';
	case STUFF_DOT:
		c->m.stuffing = p[0] == '\r' ? STUFF_CR : STUFF_TEXT;
		return p[0] == '\r';
	case STUFF_CR:
		if (p[0] == '\n') {
			c->m.stuffing = STUFF_LINE;
			return 1;
		}
		update(c, "\r", 1);
		c->m.stuffing = STUFF_TEXT;
		return 0;
	case STUFF_TEXT:
		break;
	}
	lf = memchr(p, '\n', n);
	if (lf) {
		n = (size_t)(lf - p) + 1;
		c->m.stuffing = STUFF_LINE;
	}
	update(c, p, n);
	return n;
}

void digest_octets(struct sink_conn *c, const char *p, size_t n)
{
	if (c->state == SINK_CHUNK) {
		update(c, p, n);
		return;
	}
	while (n) {
		size_t done = stuffed(c, p, n);

		p += done;
		n -= done;
	}
}

void digest_end(struct sink_conn *c, char text[SINK_DIGEST])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	text[0] = '\0';
	if (!c->m.digesting || EVP_DigestFinal_ex(c->digest, md, &n) != 1)
		return;
	for (unsigned int i = 0; i < n && 2 * i + 2 < SINK_DIGEST; i++)
		snprintf(text + (size_t)2 * i, 3, "%02x", md[i]);
}
