/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "bench/smtpload/test_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#define SERVER_RTO_MS 250u

struct load load;
struct peer peer[SESSIONS];
struct frame *queue;
uint32_t head, tail;
struct server server;

static bool lost(void)
{
	server.random_state = server.random_state * 1664525u + 1013904223u;
	return (server.random_state >> 8) % 100 < server.loss;
}

/* ---- the generator's way out ---------------------------------------------------------------- */

bool wire_tcp(struct sess *s, uint8_t flags, uint32_t seq, uint32_t from, uint32_t n)
{
	struct frame *f = &queue[tail % QUEUE];

	assert_true(n <= 1460);
	assert_true(tail - head < QUEUE);
	if (lost())
		return true;
	*f = (struct frame){.index = sess_index(s),
			    .seg = {.seq = seq, .ack = s->rcv_nxt, .flags = flags, .len = n}};
	assert_true(from + n <= smtp_unit_len(s) || n == 0);
	if (n)
		smtp_copy(s, f->data, from, n);
	tail++;
	return true;
}

/* ---- TCP ------------------------------------------------------------------------------------ */

static bool shaking(const struct peer *p)
{
	return p->ssl && !SSL_in_before(p->ssl);
}

static void to_client(uint32_t i, uint8_t flags, uint32_t seq, const uint8_t *p, uint32_t n)
{
	struct seg g = {.seq = seq,
			.ack = peer[i].rcv_nxt - (server.ack_behind && shaking(&peer[i])),
			.flags = flags,
			.wnd = server.window,
			.data = p,
			.len = n,
			.has_mss = true,
			.mss = (uint16_t)server.mss};

	if (!lost())
		tcp_input(&load.sess[i], &g);
}

static void transmit(uint32_t i)
{
	struct peer *p = &peer[i];
	static uint8_t copy[SERVER_OUT];
	uint32_t n = p->n_out;
	bool fin = p->fin_sent;

	memcpy(copy, p->out, n);
	p->sent_ms = load.now_ms;
	to_client(i, TH_ACK | (fin ? TH_FIN : 0), p->una, copy, n);
}

static void put(struct peer *p, const void *octets, size_t n)
{
	assert_true(p->n_out + n <= sizeof(p->out));
	memcpy(p->out + p->n_out, octets, n);
	p->n_out += (uint32_t)n;
}

/* What OpenSSL wants to send. */
static void put_records(struct peer *p)
{
	char *records;
	long n = BIO_get_mem_data(SSL_get_wbio(p->ssl), &records);

	put(p, records, (size_t)n);
	(void)BIO_reset(SSL_get_wbio(p->ssl));
}

static void say(struct peer *p, const char *text)
{
	if (!p->secured) {
		put(p, text, strlen(text));
		return;
	}
	assert_int_equal(SSL_write(p->ssl, text, (int)strlen(text)), (int)strlen(text));
	put_records(p);
}

static void over(struct peer *p)
{
	unsigned int count = p->mails;

	SSL_free(p->ssl);
	*p = (struct peer){.mails = count};
}

/* ---- SMTP ----------------------------------------------------------------------------------- */

/* RFC 5321 4.5.2, with the final dot. */
static uint32_t unstuff(uint8_t *p, uint32_t n)
{
	uint32_t k = 0;

	for (uint32_t i = 0; i < n - 3; i++)
		if (p[i] != '.' || (i && p[i - 1] != '\n'))
			p[k++] = p[i];
		else if (p[i + 1] == '.')
			p[k++] = p[++i];
	return k;
}

/* Whole, with a serial of its own, and the octets that the message of this serial has. */
static void message_came(struct peer *p, bool stuffed)
{
	uint32_t n = stuffed ? unstuff(p->mail, p->n_mail) : p->n_mail, serial;
	/* "Message-ID: <SSSSSSSS.RRRRRRRR@h>", if it is not of a file. */
	uint32_t front = load.opt.corpus ? 0 : 35, behind = front + CONTENT_ID_LINE;
	const struct content *c;
	uint8_t digest[32];
	char id[32];

	snprintf(id, sizeof(id), "X-Load-Id: %08x.", contents.run);
	assert_true(n > behind);
	assert_memory_equal(p->mail + front, id, 20);
	assert_memory_equal(p->mail + behind - 2, "\r\n", 2);
	memcpy(id, p->mail + front + 20, 8);
	id[8] = 0;
	if (front) {
		assert_memory_equal(p->mail, "Message-ID: <", 13);
		assert_memory_equal(p->mail + 13, id, 8);
	}
	serial = (uint32_t)strtoul(id, NULL, 16);
	assert_true(serial < load.message_serial && serial < MESSAGES_MAX);
	c = &contents.of[content_pick(serial)];
	assert_int_equal(n, c->octets);
	EVP_Digest(p->mail + behind, n - behind, digest, NULL, EVP_sha256(), NULL);
	assert_memory_equal(digest, c->sha256, sizeof(digest));
	server.got[serial]++;
	p->mails++;
	p->n_mail = 0;
}

static void start_tls(struct peer *p)
{
	say(p, server.starttls_reply);
	if (server.starttls_reply[0] != '2')
		return;
	p->ssl = SSL_new(server.tls);
	assert_non_null(p->ssl);
	SSL_set_bio(p->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_accept_state(p->ssl);
}

static void bdat(struct peer *p)
{
	char *end;

	p->chunk = (uint32_t)strtoul(p->line + 5, &end, 10);
	p->last = !strcmp(end, " LAST\r\n");
	p->in_chunk = true;
	assert_true(p->last || !strcmp(end, "\r\n"));
	assert_true(p->chunk > 0);
}

static void command(uint32_t i)
{
	struct peer *p = &peer[i];

	server.commands++;
	if (!strcmp(p->line, "EHLO h\r\n"))
		say(p, server.ehlo);
	else if (!strcmp(p->line, "DATA\r\n"))
		say(p, server.data_reply);
	else if (!strncmp(p->line, "RCPT", 4))
		say(p, server.rcpt_reply);
	else if (!strcmp(p->line, "QUIT\r\n"))
		say(p, "221 bye\r\n");
	else if (!strcmp(p->line, "STARTTLS\r\n"))
		start_tls(p);
	else if (!strncmp(p->line, "BDAT ", 5))
		bdat(p);
	else
		say(p, "250 ok\r\n");
	if (!strcmp(p->line, "RSET\r\n"))
		p->n_mail = 0;
	p->in_data = !strcmp(p->line, "DATA\r\n") && server.data_reply[0] == '3';
	p->fin_sent = !strcmp(p->line, "QUIT\r\n");
	p->n_line = 0;
}

static void chunk_came(struct peer *p)
{
	p->in_chunk = false;
	server.chunks++;
	if (!p->last) {
		say(p, server.chunk_reply);
		return;
	}
	message_came(p, false);
	say(p, server.final_reply);
}

static void octet(uint32_t i, uint8_t c)
{
	struct peer *p = &peer[i];

	if (p->in_data || p->in_chunk) {
		assert_true(p->n_mail < SERVER_MAIL);
		p->mail[p->n_mail++] = c;
		if (p->in_chunk && !--p->chunk) {
			chunk_came(p);
		} else if (p->in_data && p->n_mail >= 5 &&
			   !memcmp(p->mail + p->n_mail - 5, "\r\n.\r\n", 5)) {
			p->in_data = false;
			message_came(p, true);
			say(p, server.final_reply);
		}
		return;
	}
	assert_true(p->n_line < sizeof(p->line) - 1);
	p->line[p->n_line++] = (char)c;
	p->line[p->n_line] = 0;
	if (c == '\n')
		command(i);
}

static void records(uint32_t i, const uint8_t *data, uint32_t n)
{
	struct peer *p = &peer[i];
	uint8_t text[4096];
	int got;

	assert_int_equal(BIO_write(SSL_get_rbio(p->ssl), data, (int)n), (int)n);
	if (!p->secured && SSL_accept(p->ssl) == 1) {
		p->secured = true;
		server.secured++;
	}
	put_records(p);
	while (p->secured && (got = SSL_read(p->ssl, text, sizeof(text))) > 0)
		for (int k = 0; k < got; k++)
			octet(i, text[k]);
}

static void take(uint32_t i, const uint8_t *data, uint32_t n)
{
	if (peer[i].ssl) {
		records(i, data, n);
		return;
	}
	for (uint32_t k = 0; k < n; k++)
		octet(i, data[k]);
}

/* ---- segments ------------------------------------------------------------------------------- */

static void syn_came(uint32_t i, const struct seg *g)
{
	struct peer *p = &peer[i];

	/* The same SYN again is answered again; another one is another connection. */
	if (p->rcv_nxt != g->seq + 1) {
		over(p);
		p->rcv_nxt = g->seq + 1;
		p->una = 7000;
		server.connections++;
	}
	to_client(i, TH_SYN | TH_ACK, 6999, NULL, 0);
}

static void acked(struct peer *p, uint32_t ack)
{
	uint32_t n = ack - p->una;

	if (!n || n > p->n_out)
		return;
	memmove(p->out, p->out + n, p->n_out - n);
	p->n_out -= n;
	p->una += n;
}

static void from_client(const struct frame *f)
{
	uint32_t i = f->index, skip;
	struct peer *p = &peer[i];
	const struct seg *g = &f->seg;

	if (g->flags & TH_SYN) {
		syn_came(i, g);
		return;
	}
	if (g->flags & TH_RST || p->rcv_nxt == 0) {
		p->rcv_nxt = 0;
		return;
	}
	if (!p->up) {
		p->up = true;
		say(p, "220 hello\r\n");
	}
	acked(p, g->ack);
	skip = p->rcv_nxt - g->seq;
	if (skip < g->len) {
		if (server.reset_in_data && (p->in_data || p->in_chunk)) {
			to_client(i, TH_RST | TH_ACK, p->una + p->n_out, NULL, 0);
			over(p);
			return;
		}
		p->rcv_nxt = g->seq + g->len;
		take(i, f->data + skip, g->len - skip);
	}
	if (g->flags & TH_FIN && g->seq + g->len == p->rcv_nxt) {
		p->rcv_nxt++;
		to_client(i, TH_ACK, g->ack, NULL, 0);
		over(p);
		return;
	}
	if (p->n_out || g->len || g->seq != p->rcv_nxt)
		transmit(i);
}

void one_ms(void)
{
	uint32_t end = tail; /* a millisecond from here to there */

	load.now_us += 1000;
	load.now_ms++;
	while (head != end) {
		from_client(&queue[head % QUEUE]);
		head++;
	}
	timer_run();
	(void)think_turn();
	for (uint32_t i = 0; i < SESSIONS; i++)
		if (peer[i].rcv_nxt && (peer[i].n_out || peer[i].fin_sent) &&
		    load.now_ms - peer[i].sent_ms >= SERVER_RTO_MS)
			transmit(i);
}

/* ---- a test --------------------------------------------------------------------------------- */

int server_setup(void **state)
{
	(void)state;
	memset(&load, 0, sizeof(load));
	memset(peer, 0, sizeof(peer));
	load.opt = (struct load_options){.active = SESSIONS,
					 .ehlo = true,
					 .rto_ms = 300,
					 .size = {{.octets = 10000, .weight = 1}},
					 .n_sizes = 1,
					 .seed = 1,
					 .to_port = 25,
					 .from = "a@example.net",
					 .rcpt = "b@example.com",
					 .helo = "h"};
	load.n_sess = load.sources = SESSIONS;
	load.blocks = 1;
	load.incarnations = LOAD_PORTS;
	load.now_us = 5000000;
	load.now_ms = 5000;
	load.sess = calloc(SESSIONS, sizeof(*load.sess));
	queue = calloc(QUEUE, sizeof(*queue));
	head = tail = 0;
	server = (struct server){.window = 16384,
				 .mss = 1460,
				 .random_state = 1,
				 .ehlo = "250-server\r\n250-SIZE\r\n250 PIPELINING\r\n",
				 .final_reply = "250 taken\r\n",
				 .rcpt_reply = "250 ok\r\n",
				 .chunk_reply = "250 chunk\r\n",
				 .data_reply = "354 go on\r\n",
				 .starttls_reply = "220 go\r\n"};
	assert_non_null(load.sess);
	assert_non_null(queue);
	timer_start();
	return 0;
}

int server_teardown(void **state)
{
	(void)state;
	(void)books_close();
	tls_stop();
	think_stop();
	smtp_stop();
	pace_stop();
	for (uint32_t i = 0; i < SESSIONS; i++)
		over(&peer[i]);
	SSL_CTX_free(server.tls);
	server.tls = NULL;
	free(load.sess);
	free(queue);
	return 0;
}

void server_tls(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	assert_non_null(key);
	assert_non_null(cert);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	assert_int_equal(X509_set_pubkey(cert, key), 1);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	server.tls = SSL_CTX_new(TLS_server_method());
	assert_non_null(server.tls);
	assert_int_equal(SSL_CTX_use_certificate(server.tls, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(server.tls, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
	server.ehlo = "250-server\r\n250-starttls\r\n250-CHUNKING\r\n250 PIPELINING\r\n";
}

bool send_messages(uint32_t n, uint32_t limit_ms)
{
	assert_int_equal(smtp_start(), 0);
	assert_int_equal(tls_start(), 0);
	assert_int_equal(think_start(), 0);
	assert_int_equal(books_open(), 0);
	load.running = true;
	load.run_active = SESSIONS;
	load.run_messages = n;
	for (uint32_t i = 0; i < SESSIONS; i++)
		tcp_open(&load.sess[i]);
	for (uint32_t t = 0; t < limit_ms && load.messages_done < n; t++)
		one_ms();
	return load.messages_done == n;
}

unsigned int mails(void)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < SESSIONS; i++)
		n += peer[i].mails;
	return n;
}

bool end_sessions(void)
{
	load.ending = true;
	for (uint32_t i = 0; i < SESSIONS; i++)
		smtp_next(&load.sess[i]);
	for (uint32_t t = 0; t < 100; t++)
		one_ms();
	for (uint32_t i = 0; i < SESSIONS; i++)
		if (load.sess[i].tcp != T_CLOSED)
			return false;
	return load.up == 0;
}
