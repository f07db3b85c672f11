/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* One line a message: when, on which connection, its Message-ID, how large, what it was answered. */

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

void books_close(void)
{
	if (file && fclose(file))
		perror(options.books);
}

/* A line of the header is over. */
static void head_line(struct sink_message *m)
{
	static const char field[] = "message-id:";
	size_t n = m->n_head, at = sizeof(field) - 1;

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
	if (m->id[0] || n <= at || strncasecmp(m->head, field, at) != 0)
		return;
	while (at < n && (m->head[at] == ' ' || m->head[at] == '\t'))
		at++;
	for (size_t i = 0; at < n && i + 1 < sizeof(m->id); at++)
		if (m->head[at] > ' ' && m->head[at] != '"' && m->head[at] != '\\')
			m->id[i++] = m->head[at];
}

void books_octets(struct sink_message *m, const char *p, size_t n)
{
	if (!m->octets)
		m->begin_ns = sink_now_ns();
	m->octets += n;
	for (size_t i = 0; m->in_header && i < n; i++) {
		if (p[i] == '\n')
			head_line(m);
		else if (m->n_head < sizeof(m->head))
			m->head[m->n_head++] = p[i];
	}
}

void books_message(const struct sink_conn *c, unsigned int code)
{
	uint64_t now = sink_now_ns();

	if (code / 100 == 2) {
		books.messages++;
		books.octets += c->m.octets;
	} else {
		books.refused++;
	}
	if (file)
		fprintf(file,
			"{\"t_ns\": %" PRIu64 ", \"connection\": %" PRIu64 ", \"message\": %lu, "
			"\"id\": \"%s\", \"octets\": %" PRIu64 ", \"took_us\": %" PRIu64
			", \"found\": %u, \"reply\": %u}\n",
			now, c->serial, c->messages, c->m.id, c->m.octets,
			(now - c->m.begin_ns) / 1000, c->m.found, code);
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
