/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A next hop for benches: takes every message as fast as one core can and keeps books, so that what
 * a generator sent and what arrived can be compared message by message. One thread, epoll. Nothing
 * of control/ or dataplane/ is in it: what both got wrong in the same way, no bench would show.
 *
 *   main.c   arguments, loop, what is asked on standard input
 *   conn.c   sockets and TLS: octets in, octets out, replies that wait for their time
 *   smtp.c   commands and content
 *   books.c  what arrived
 *   digest.c and whether it came whole
 */

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SINK_IN (256u * 1024)
#define SINK_OUT (16u * 1024)
#define SINK_ID 128
#define SINK_LINE 512 /* of a header line, what is looked at */
#define SINK_LOOKS 8
#define SINK_DIGEST 65 /* hexadecimal, and NUL */

enum sink_stage { STAGE_CONNECT, STAGE_MAIL, STAGE_RCPT, STAGE_DATA, STAGE_DOT, STAGE_COUNT };

struct sink_options {
	const char *address;
	int port;
	const char *cert, *key; /* NULL: no STARTTLS */
	const char *books;      /* file; NULL: none */
	const char *id_field;   /* has the id, and content behind it is digested; NULL: Message-ID */
	const char *look[SINK_LOOKS]; /* words; the books say which of them a header has */
	unsigned int n_look;
	bool pipelining, chunking;
	uint64_t size;                      /* announced; 0: not at all */
	unsigned int delay_ms[STAGE_COUNT]; /* before the reply of the stage */
	unsigned int refuse[STAGE_COUNT];   /* code; 0: never */
	unsigned int share[STAGE_COUNT];    /* of 1000 */
	unsigned long max_messages;         /* a connection, then 421; 0: any number */
};

struct sink_books {
	uint64_t connections, tls, tls_resumed, messages, octets, refused, aborted, commands;
};

extern struct sink_options options;
extern struct sink_books books;

enum sink_stuffing { STUFF_TEXT, STUFF_LINE, STUFF_DOT, STUFF_CR };

/* A message under way. */
struct sink_message {
	char id[SINK_ID];    /* of its Message-ID field, or "" */
	char head[SINK_LINE]; /* start of the line under way, while the header lasts */
	unsigned int found;  /* bit i: look[i] is in a line of the header */
	size_t n_head;
	bool in_header, digesting;
	enum sink_stuffing stuffing; /* of the content, where the digest is */
	uint64_t octets;     /* as they came, dots and all */
	uint64_t begin_ns;   /* first octet of content */
};

enum sink_state { SINK_COMMAND, SINK_CONTENT, SINK_CHUNK };

struct sink_conn {
	int fd;
	uint64_t serial;
	SSL *ssl;
	bool handshake, want_write, closing;
	enum sink_state state;
	bool mail;
	unsigned int rcpts;
	bool last;              /* of the chunk under way */
	uint64_t chunk;         /* octets that are missing of it */
	unsigned int dot;       /* of CRLF . CRLF: octets seen */
	unsigned long messages;
	struct sink_message m;
	EVP_MD_CTX *digest;     /* NULL until there is something to digest */
	size_t n_in, n_out;
	uint64_t due_ns;        /* output waits until then; 0: it does not */
	struct sink_conn *next_due, *prev_due;
	struct sink_conn *next, *prev; /* of all */
	char in[SINK_IN];
	char out[SINK_OUT];
};

uint64_t sink_now_ns(void);

/* conn.c */
int conn_listen(void);                 /* exits on failure */
int conn_epoll(void);
SSL_CTX *conn_tls(void);
void conn_accept(int listener);
void conn_event(struct sink_conn *c, uint32_t events);
/* A reply; it leaves when the input is used up, or `delay_ms` later. */
void conn_put(struct sink_conn *c, const char *text, unsigned int delay_ms);
void conn_start_tls(struct sink_conn *c);
/* Milliseconds until the next delayed reply is due, -1: none. Sends those that are. */
int conn_due(void);
/* Closes all there are. */
void conn_end(void);

/* smtp.c: uses up what it can of c->in. */
void smtp_greet(struct sink_conn *c);
void smtp_feed(struct sink_conn *c);

/* books.c */
void books_open(void);
/* False: not all could be written. */
bool books_close(void);
void books_octets(struct sink_conn *c, const char *p, size_t n);
void books_message(struct sink_conn *c, unsigned int code);
void books_report(void);

/* digest.c */
/* From the next octet of the content on. */
void digest_begin(struct sink_conn *c);
/* Octets of content as they came. */
void digest_octets(struct sink_conn *c, const char *p, size_t n);
/* Hexadecimal; "" if there is none. */
void digest_end(struct sink_conn *c, char text[SINK_DIGEST]);
