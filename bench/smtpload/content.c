/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "bench/smtpload/content.h"
#include "bench/smtpload/load.h"

#define TEXT_MAX          (64u << 20) /* octets of --text, as of the largest message */
#define LINE_MAX_OCTETS   900u        /* RFC 5321 4.5.3.1.6 allows 998 */
#define COMMAND_MAX       32u         /* "BDAT 4294967295 LAST" */
#define MESSAGE_ID_DIGITS 13u         /* behind "Message-ID: <" */

struct contents contents;

static const char *before; /* the envelope of pipelined BDAT */
static uint32_t before_mail;
static uint32_t room; /* in contents.of */

/* ---- one message, as it goes out ------------------------------------------------------------ */

/* RFC 5321 4.5.2, and the final dot. */
static int frame_data(struct content *c, const uint8_t *p, uint32_t n)
{
	uint32_t dots = 0;

	for (uint32_t i = 0; i < n; i++)
		dots += p[i] == '.' && (!i || p[i - 1] == '\n');
	c->p = malloc((size_t)n + dots + 3);
	if (!c->p)
		return -1;
	for (uint32_t i = 0; i < n; i++) {
		if (p[i] == '.' && (!i || p[i - 1] == '\n'))
			c->p[c->n++] = '.';
		c->p[c->n++] = p[i];
	}
	memcpy(c->p + c->n, ".\r\n", 3);
	c->n += 3;
	return 0;
}

/* RFC 3030 2: BDAT and its octets, as they are, chunk by chunk. */
static int frame_bdat(struct content *c, const uint8_t *p, uint32_t n)
{
	uint32_t chunk = load.opt.chunk && load.opt.chunk < n ? load.opt.chunk : n;
	uint32_t count = n / chunk + (n % chunk != 0);
	size_t head = before ? strlen(before) : 0;

	if (count > CONTENT_CHUNKS)
		return -1;
	c->p = malloc(head + (size_t)n + (size_t)count * COMMAND_MAX);
	c->chunk_end = malloc(count * sizeof(*c->chunk_end));
	if (!c->p || !c->chunk_end)
		return -1;
	if (head)
		memcpy(c->p, before, head);
	c->n = c->envelope = (uint32_t)head;
	c->mail_end = head ? before_mail : 0;
	for (uint32_t at = 0; at < n; at += chunk) {
		uint32_t m = n - at < chunk ? n - at : chunk;

		c->n += (uint32_t)snprintf((char *)c->p + c->n, COMMAND_MAX, "BDAT %u%s\r\n", m,
					   at + m == n ? " LAST" : "");
		if (!at)
			for (unsigned int i = 0; i < 2; i++)
				c->at[i] += c->at[i] == CONTENT_NONE ? 0 : c->n;
		memcpy(c->p + c->n, p + at, m);
		c->n += m;
		c->chunk_end[c->n_chunks++] = c->n;
	}
	return 0;
}

static int make_room(void)
{
	uint32_t more = room ? 2 * room : 64;
	struct content *p;

	if (contents.n < room)
		return 0;
	if (contents.n >= CONTENT_COUNT_MAX)
		return -1;
	p = realloc(contents.of, more * sizeof(*p));
	if (!p)
		return -1;
	contents.of = p;
	room = more;
	return 0;
}

int content_add(uint8_t *raw, uint32_t n, double weight, const char *front, const char *file)
{
	uint32_t head = (uint32_t)strlen(front) + CONTENT_ID_LINE;
	struct content c = {
		.octets = n + head,
		.at = {head - CONTENT_DIGITS - 2, *front ? MESSAGE_ID_DIGITS : CONTENT_NONE},
	};
	uint8_t *whole = malloc((size_t)n + head + 1);
	int rc = -1;

	if (!whole || contents.octets + c.octets > CONTENT_ALL_MAX || make_room())
		goto out;
	snprintf((char *)whole, head + 1, "%sX-Load-Id: %08x.%08x\r\n", front, contents.run, 0u);
	memcpy(whole + head, raw, n);
	if (EVP_Digest(raw, n, c.sha256, NULL, EVP_sha256(), NULL) != 1)
		goto out;
	if (load.opt.bdat ? frame_bdat(&c, whole, c.octets) : frame_data(&c, whole, c.octets))
		goto out;
	c.digits_end = c.at[0] + CONTENT_DIGITS;
	if (file && !(c.file = strdup(file)))
		goto out;
	contents.even = !contents.n || (contents.even && weight == contents.of[0].until);
	contents.weight += weight;
	contents.octets += c.octets;
	c.until = contents.weight;
	contents.of[contents.n++] = c;
	rc = 0;
out:
	if (rc) {
		free(c.p);
		free(c.chunk_end);
	}
	free(whole);
	free(raw);
	return rc;
}

/* ---- messages of our own -------------------------------------------------------------------- */

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

static int make(uint32_t size, double weight, const uint8_t *text, size_t len)
{
	char head[1024], date[64], id[400];
	time_t now = time(NULL);
	uint32_t front;
	uint8_t *p;
	int n;

	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", gmtime(&now));
	front = (uint32_t)snprintf(id, sizeof(id), "Message-ID: <%08x.%08x@%s>\r\n", 0u,
				   contents.run, load.opt.helo) +
		CONTENT_ID_LINE;
	n = snprintf(head, sizeof(head),
		     "From: <%s>\r\nTo: <%s>\r\nDate: %s\r\n"
		     "Subject: load\r\nMIME-Version: 1.0\r\n"
		     "Content-Type: text/plain; charset=us-ascii\r\n\r\n",
		     load.opt.from, load.opt.rcpt, date);
	if (n < 0 || (size_t)n >= sizeof(head) || front >= CONTENT_CHUNK_MIN)
		return -1;
	size = size > front ? size - front : 0;
	if (size < (uint32_t)n + 80)
		size = (uint32_t)n + 80;
	p = malloc(size);
	if (!p)
		return -1;
	memcpy(p, head, (size_t)n);
	if (text)
		fill_of(p + n, size - (uint32_t)n, text, len);
	else
		fill(p + n, size - (uint32_t)n);
	return content_add(p, size, weight, id, NULL);
}

/* 0 with *len 0 without --text. */
static int read_text(uint8_t **text, size_t *len)
{
	FILE *f;

	*text = NULL;
	*len = 0;
	if (!load.opt.text)
		return 0;
	f = fopen(load.opt.text, "re");
	*text = f ? malloc(TEXT_MAX) : NULL;
	if (*text)
		*len = fread(*text, 1, TEXT_MAX, f);
	if (f)
		fclose(f);
	if (*len)
		return 0;
	fprintf(stderr, "smtpload: --text %s: it cannot be read, or nothing is in it\n",
		load.opt.text);
	free(*text);
	return -1;
}

static int make_all(void)
{
	uint8_t *text;
	size_t len;
	int rc = read_text(&text, &len);

	if (rc)
		return -1;
	for (unsigned int i = 0; i < load.opt.n_sizes && !rc; i++)
		rc = make(load.opt.size[i].octets, load.opt.size[i].weight, text, len);
	free(text);
	if (rc)
		fprintf(stderr,
			"smtpload: no memory for the messages, the envelope is too long, "
			"or a message has more than %u chunks\n",
			CONTENT_CHUNKS);
	return rc;
}

int content_start(const char *envelope, uint32_t mail_end)
{
	before = envelope;
	before_mail = mail_end;
	/* The same in no two processes of a run: their books may be held against one next hop's. */
	contents.run = (uint32_t)time(NULL) ^ (uint32_t)getpid() << 20;
	return load.opt.corpus ? corpus_read(load.opt.corpus) : make_all();
}

void content_stop(void)
{
	for (uint32_t i = 0; i < contents.n; i++) {
		free(contents.of[i].p);
		free(contents.of[i].chunk_end);
		free(contents.of[i].file);
	}
	free(contents.of);
	contents = (struct contents){0};
	room = 0;
}

/* ---- which, and its octets ------------------------------------------------------------------ */

static uint64_t mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint32_t content_pick(uint32_t serial)
{
	uint32_t low = 0, high = contents.n - 1;
	uint64_t r;
	double at;

	if (!high)
		return 0;
	r = mix(load.opt.seed << 32 ^ serial);
	if (contents.even)
		return (uint32_t)((r >> 32) * contents.n >> 32);
	at = (double)(r >> 11) * 0x1p-53 * contents.weight;
	while (low < high) { /* the first whose `until` is above */
		uint32_t middle = low + (high - low) / 2;

		if (contents.of[middle].until > at)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

void content_copy(const struct content *c, uint32_t serial, uint8_t *to, uint32_t from, uint32_t n)
{
	memcpy(to, c->p + from, n);
	if (from >= c->digits_end)
		return;
	for (unsigned int k = 0; k < 2; k++) {
		uint32_t at = c->at[k];

		for (uint32_t i = 0; at != CONTENT_NONE && i < CONTENT_DIGITS; i++)
			if (at + i >= from && at + i < from + n)
				to[at + i - from] =
					(uint8_t) "0123456789abcdef"[serial >> (28 - 4 * i) & 15];
	}
}
