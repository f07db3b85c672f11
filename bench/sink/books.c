/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* One line a message: when, on which connection, its Message-ID, how large, what it was answered.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sink.h"

struct sink_books books;
static FILE *file;

void books_open(void)
{
	if (!options.books)
		return;
	file = fopen(options.books, "w");
	if (!file) {
		perror(options.books);
		exit(1);
	}
	setvbuf(file, NULL, _IOFBF, 1 << 20);
}

bool books_close(void)
{
	bool bad = file && ferror(file);

	if (file && fclose(file))
		bad = true;
	if (bad)
		fprintf(stderr, "sink: %s: it could not all be written\n", options.books);
	return !bad;
}

/* A line of the header is over. */
static void head_line(struct sink_conn *c)
{
	struct sink_message *m = &c->m;
	const char *field = options.id_field ? options.id_field : "Message-ID";
	size_t n = m->n_head, at = strlen(field) + 1;

	m->n_head = 0;
	if (n && m->head[n - 1] == '\r')
		n--;
	if (!n) {
		m->in_header = false;
		return;
	}
	for (unsigned int i = 0; i < options.n_look; i++)
		if (memmem(m->head, n, options.look[i], strlen(options.look[i])))
			m->found |= 1u << i;
	if (m->id[0] || n <= at || m->head[at - 1] != ':' ||
	    strncasecmp(m->head, field, at - 1) != 0)
		return;
	while (at < n && (m->head[at] == ' ' || m->head[at] == '\t'))
		at++;
	for (size_t i = 0; at < n && i + 1 < sizeof(m->id); at++)
		if (m->head[at] > ' ' && m->head[at] != '"' && m->head[at] != '\\')
			m->id[i++] = m->head[at];
	if (options.id_field)
		digest_begin(c);
}

void books_octets(struct sink_conn *c, const char *p, size_t n)
{
	struct sink_message *m = &c->m;
	size_t digested = m->digesting ? 0 : n; /* octets before the digest begins */

	if (!m->octets)
		m->begin_ns = sink_now_ns();
	m->octets += n;
	for (size_t i = 0; m->in_header && i < n; i++) {
		if (p[i] == '\n') {
			head_line(c);
			if (m->digesting && digested == n)
				digested = i + 1;
		} else if (m->n_head < sizeof(m->head)) {
			m->head[m->n_head++] = p[i];
		}
	}
	if (m->digesting)
		digest_octets(c, p + digested, n - digested);
}

void books_message(struct sink_conn *c, unsigned int code)
{
	uint64_t now = sink_now_ns();
	char digest[SINK_DIGEST];

	if (code / 100 == 2) {
		books.messages++;
		books.octets += c->m.octets;
	} else {
		books.refused++;
	}
	if (!file)
		return;
	digest_end(c, digest);
	fprintf(file,
		"{\"t_ns\": %" PRIu64 ", \"connection\": %" PRIu64 ", \"message\": %lu, "
		"\"id\": \"%s\", \"octets\": %" PRIu64 ", \"took_us\": %" PRIu64
		", \"found\": %u, \"reply\": %u, \"sha256\": \"%s\"}\n",
		now, c->serial, c->messages, c->m.id, c->m.octets, (now - c->m.begin_ns) / 1000,
		c->m.found, code, digest);
}

void books_report(void)
{
	if (file)
		fflush(file);
	printf("{\"connections\": %" PRIu64 ", \"tls\": %" PRIu64 ", \"tls_resumed\": %" PRIu64
	       ", \"messages\": %" PRIu64 ", \"octets\": %" PRIu64 ", \"refused\": %" PRIu64
	       ", \"aborted\": %" PRIu64 ", \"commands\": %" PRIu64 "}\n",
	       books.connections, books.tls, books.tls_resumed, books.messages, books.octets,
	       books.refused, books.aborted, books.commands);
	fflush(stdout);
}
