/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A small server for the tests of the generator, over a link that loses segments by a seed. Each
 * message that comes is held against what was made at start; tests turn the knobs.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "bench/smtpload/content.h"
#include "bench/smtpload/load.h"

#define SESSIONS     8u
#define QUEUE        4096u
#define SERVER_MAIL  140000u
#define SERVER_OUT   8192u
#define MESSAGES_MAX 32768u

struct frame {
	uint32_t index;
	struct seg seg;
	uint8_t data[1500];
};

/* The server's side of one connection. */
struct peer {
	bool up, fin_sent, in_data, in_chunk, last;
	uint32_t rcv_nxt, una; /* una: sequence number of out[0] */
	uint8_t out[SERVER_OUT];
	uint32_t n_out, sent_ms;
	char line[512];
	uint32_t n_line;
	uint8_t mail[SERVER_MAIL];
	uint32_t n_mail, chunk;
	unsigned int mails;
	SSL *ssl;
	bool secured;
};

struct server {
	unsigned int loss; /* per cent, both ways */
	uint32_t window, mss, random_state;
	const char *ehlo, *final_reply, *rcpt_reply, *chunk_reply, *starttls_reply, *data_reply;
	unsigned int commands;
	bool reset_in_data,
		ack_behind; /* the last octet before the handshake's flight is not acked */
	unsigned int connections, chunks, secured;
	uint8_t got[MESSAGES_MAX]; /* times that the message with this serial came */
	SSL_CTX *tls;
};

extern struct peer peer[SESSIONS];
extern struct frame *queue;
extern uint32_t head, tail;
extern struct server server;

int server_setup(void **state);
int server_teardown(void **state);
/* A certificate of its own making: STARTTLS is offered. */
void server_tls(void);
void one_ms(void);
/* Sends n messages; true when all was over within the time. */
bool send_messages(uint32_t n, uint32_t limit_ms);
/* Messages that came. */
unsigned int mails(void);
/* QUIT on all sessions; true: they are closed. */
bool end_sessions(void);
