/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * --books: what was sent and what was answered, an object of JSON a line, so that it can be held
 * against what arrived (bench/audit):
 *
 *     {"run", "seed", "version": 1}
 *     {"content", "octets", "sha256"[, "file"]}    each message that is sent, once
 *     {"id", "content", "session", "tls", "due_ns", "latency_us", "reply_us", "stage", "reply",
 *      "text"}                                     each time that one was
 *     {"end": true, "messages", "accepted"}        without it the books are not whole
 *
 * reply 0: none came, and nobody knows whether the message was taken. reply_us: from the final dot,
 * -1 if it was not sent.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/smtpload/content.h"
#include "bench/smtpload/load.h"

#define BUFFER (1u << 20)
#define TEXT   79u /* octets of a reply that are kept */

struct note {
	uint8_t n;
	char text[TEXT];
};

static FILE *file;
static struct note *note; /* by active session */
static uint64_t lines, accepted;
static int64_t epoch_ns; /* of our clock */

/* A string of JSON; whatever is in it, it is ASCII on one line. */
static void put_string(const char *p, size_t n)
{
	putc('"', file);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c == '"' || c == '\\')
			fprintf(file, "\\%c", c);
		else if (c < ' ' || c > '~')
			fprintf(file, "\\u%04x", c);
		else
			putc(c, file);
	}
	putc('"', file);
}

static void put_contents(void)
{
	fprintf(file, "{\"run\": \"%08x\", \"seed\": %" PRIu64 ", \"version\": 1}\n", contents.run,
		load.opt.seed);
	for (uint32_t i = 0; i < contents.n; i++) {
		const struct content *c = &contents.of[i];

		fprintf(file, "{\"content\": %u, \"octets\": %u, \"sha256\": \"", i, c->octets);
		for (unsigned int k = 0; k < sizeof(c->sha256); k++)
			fprintf(file, "%02x", c->sha256[k]);
		putc('"', file);
		if (c->file) {
			fputs(", \"file\": ", file);
			put_string(c->file, strlen(c->file));
		}
		fputs("}\n", file);
	}
}

int books_open(void)
{
	struct timespec now;

	lines = accepted = 0;
	if (!load.opt.books)
		return 0;
	note = calloc(load.opt.active ? load.opt.active : 1, sizeof(*note));
	file = note ? fopen(load.opt.books, "we") : NULL;
	if (!file) {
		fprintf(stderr, "smtpload: --books %s: %s\n", load.opt.books, strerror(errno));
		return -1;
	}
	setvbuf(file, NULL, _IOFBF, BUFFER);
	clock_gettime(CLOCK_REALTIME, &now);
	epoch_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - (int64_t)load.now_us * 1000;
	put_contents();
	return 0;
}

int books_close(void)
{
	bool bad;

	free(note);
	note = NULL;
	if (!file)
		return 0;
	fprintf(file, "{\"end\": true, \"messages\": %" PRIu64 ", \"accepted\": %" PRIu64 "}\n",
		lines, accepted);
	bad = ferror(file);
	bad |= fclose(file) != 0;
	file = NULL;
	if (bad)
		fprintf(stderr, "smtpload: --books %s: it could not all be written: %s\n",
			load.opt.books, strerror(errno));
	return bad ? -1 : 0;
}

static struct note *note_of(const struct sess *s)
{
	uint32_t i = sess_index(s) - load.opt.idle;

	return note && !is_idle(s) && i < load.opt.active ? &note[i] : NULL;
}

void books_reply(const struct sess *s)
{
	struct note *n = note_of(s);

	if (n)
		n->n = 0;
}

void books_text(const struct sess *s, const uint8_t *p, uint32_t n)
{
	struct note *to = note_of(s);

	for (uint32_t i = 0; to && i < n && to->n < TEXT; i++)
		to->text[to->n++] = (char)(p[i] == '\r' ? ' ' : p[i]);
}

static const char *stage(const struct sess *s)
{
	switch (s->phase) {
	case P_MAIL:
		return "mail";
	case P_RCPT:
		return "rcpt";
	case P_DATA:
		return "data";
	case P_PAUSE:
		return "pause";
	default:
		return "content";
	}
}

void books_message(const struct sess *s, unsigned int code)
{
	struct note *n = note_of(s);
	/* Whether the content's end was said: its time is that of the unit's last octet. */
	bool ended = s->phase == P_BODY && !seq_lt(s->snd_max, s->unit_seq + smtp_unit_len(s));

	if (!n)
		return;
	while (n->n && n->text[n->n - 1] == ' ')
		n->n--;
	lines++;
	accepted += code / 100 == 2;
	fprintf(file,
		"{\"id\": \"%08x.%08x\", \"content\": %u, \"session\": %u, \"tls\": %s, "
		"\"due_ns\": %" PRId64 ", \"latency_us\": %" PRIu64 ", \"reply_us\": %" PRId64
		", \"stage\": \"%s\", \"reply\": %u, \"text\": ",
		contents.run, s->message, s->content, sess_index(s),
		s->more & M_TLS ? "true" : "false", epoch_ns + (int64_t)s->since_us * 1000,
		load.now_us - s->since_us, ended ? (int64_t)(load.now_us - s->said_us) : -1,
		stage(s), code);
	put_string(n->text, code ? n->n : 0);
	fputs("}\n", file);
	n->n = 0;
}
