/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Sessions under TLS: what stands between tcp/ and smtp/. OpenSSL is the client, over memory; the pool
 * has no threads, so that a handshake goes on when the worker's turn polls it.
 */

#include "dataplane/test_session.h"
#include "dataplane/tls/test_tls_util.h"

#define MAX_TLS 2

static struct {
	struct pem *pem;
	struct tls_pool *pool;
	SSL_CTX *ctx;
} tls;

struct peer {
	struct tcp_conn *c;
	SSL *ssl;
	BIO *in, *out;
	char got[8192];
	size_t got_n;
};

static void tls_up(void)
{
	up(16);
	tls.pem = pem_make(KEY_EC, "mx.example.net", "DNS:mx.example.net", 30, NULL);
	tls.pool = tls_pool_new(0, 1);
	assert_non_null(tls.pool);
	t.w.opt.max_tls = MAX_TLS;
	free(t.w.stls);
	t.w.stls = calloc(MAX_TLS, sizeof(*t.w.stls));
	assert_non_null(t.w.stls);
	t.w.tls = tls_worker_new(tls.pool, 0, MAX_TLS, &session_tls_ops, t.counters);
	assert_non_null(t.w.tls);
	t.generation->tls = context_of(NULL, 1, (const struct pem *const *)&tls.pem);
	smtp_config_offer_tls(t.generation->worker[0].smtp);
	tls.ctx = client_ctx();
}

static void tls_down(void)
{
	struct tls_context *ctx = t.generation->tls;
	struct tls_usage u;

	for (unsigned int i = 0; i < N_CONNS; i++)
		if (t.conn[i].app)
			gone(&t.conn[i], TCP_CLOSED_RESET);
	while (session_tls_poll(&t.w))
		;
	tls_get_usage(t.w.tls, &u);
	assert_int_equal(u.conns, 0);
	tls_worker_free(t.w.tls);
	tls_pool_free(tls.pool);
	t.w.tls = NULL;
	down();
	tls_context_unref(ctx);
	pem_free(tls.pem);
	SSL_CTX_free(tls.ctx);
}

/* Octets to the session, `chunk` at a time; what it did not take stays with the connection. */
static void deliver(struct tcp_conn *c, const uint8_t *p, size_t n, size_t chunk)
{
	for (size_t at = 0; at < n && c->app; at += chunk) {
		size_t k = n - at < chunk ? n - at : chunk;

		assert_true(c->in_n + k <= sizeof(c->in));
		memcpy(c->in + c->in_n, p + at, k);
		c->in_n += k;
		tcp_resume(c);
		session_tls_poll(&t.w);
	}
}

/* Carries octets both ways until nothing moves. */
static void pump_peer(struct peer *k, size_t chunk)
{
	uint8_t buf[16384];
	bool moved = true;

	while (moved) {
		int n;

		moved = session_tls_poll(&t.w) > 0;
		if (k->c->out_n) {
			BIO_write(k->in, k->c->out, (int)k->c->out_n);
			k->c->out_n = 0;
			moved = true;
		}
		if (!SSL_is_init_finished(k->ssl))
			SSL_do_handshake(k->ssl);
		if (SSL_is_init_finished(k->ssl) &&
		    (n = SSL_read(k->ssl, k->got + k->got_n, (int)(sizeof(k->got) - k->got_n - 1))) > 0) {
			k->got_n += (size_t)n;
			moved = true;
		}
		ERR_clear_error();
		n = BIO_read(k->out, buf, sizeof(buf));
		if (n > 0) {
			deliver(k->c, buf, (size_t)n, chunk);
			moved = true;
		}
	}
}

static void peer_init(struct peer *k, struct tcp_conn *c)
{
	*k = (struct peer){.c = c, .ssl = SSL_new(tls.ctx), .in = BIO_new(BIO_s_mem()),
			   .out = BIO_new(BIO_s_mem())};
	assert_non_null(k->ssl);
	SSL_set_bio(k->ssl, k->in, k->out);
	SSL_set_connect_state(k->ssl);
	SSL_set_tlsext_host_name(k->ssl, "mx.example.net");
}

static void starttls(struct peer *k, unsigned int i, size_t chunk)
{
	struct tcp_conn *c = established(i);

	say(c, "STARTTLS\r\n");
	hear(c, "220 2.0.0 Ready to start TLS\r\n");
	peer_init(k, c);
	pump_peer(k, chunk);
	assert_true(SSL_is_init_finished(k->ssl));
}

static void tell(struct peer *k, const char *text, size_t chunk)
{
	assert_int_equal(SSL_write(k->ssl, text, (int)strlen(text)), (int)strlen(text));
	pump_peer(k, chunk);
}

static void heard(struct peer *k, const char *begin)
{
	k->got[k->got_n] = '\0';
	if (strncmp(k->got, begin, strlen(begin)) != 0 || (!*begin && k->got_n))
		fail_msg("heard: %s\nwanted: %s", k->got, begin);
	k->got_n = 0;
}

/* The whole of it, however the ciphertext is cut. */
static void test_message_tls(void **state)
{
	static const size_t chunks[] = {4096, 1, 7};

	(void)state;
	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		const struct handoff_record *rec;
		struct handoff_desc d;
		struct peer k;

		tls_up();
		starttls(&k, 0, chunks[i]);
		tell(&k, "EHLO client.example.org\r\nMAIL FROM:<a@example.org>\r\n", chunks[i]);
		heard(&k, "250-mx.example.net\r\n250-PIPELINING");
		rec = dp_msg_record(t.w.arena, &k.c->app->txn->msg);
		assert_int_equal(rec->proto, PROTO_ESMTPS);
		assert_int_equal(rec->tls_version, 0x0304);
		assert_memory_equal(rec->text + rec->tls_cipher.off, "TLS_", 4);
		assert_int_equal(rec->tls_sni.len, strlen("mx.example.net"));
		assert_int_equal(rec->tls_flags, 0);
		tell(&k, "RCPT TO:<b@example.com>\r\nDATA\r\n", chunks[i]);
		assert_true(answer(last(DESC_RCPT), 250));
		tell(&k, "Subject: x\r\n\r\ntext\r\n.\r\n", chunks[i]);
		heard(&k, "250 ");
		d = *last(DESC_SUBMIT);
		assert_int_equal(d.msg.size, strlen("Subject: x\r\n\r\ntext\r\n"));
		k.c->unacked = 0;
		assert_true(answer(&d, 250));
		/* What is acknowledged is ciphertext: less than all of it is not the reply. */
		session_tcp_app.acked(k.c->app, 1);
		assert_int_equal(k.c->app->n_replies, 1);
		acked(k.c);
		assert_int_equal(last(DESC_REPLY_ACKED)->question, d.question);
		pump_peer(&k, chunks[i]);
		heard(&k, "250 2.0.0 as asked id=");
		tell(&k, "QUIT\r\n", chunks[i]);
		heard(&k, "221 2.0.0");
		assert_true(k.c->closing);
		assert_int_equal(SSL_get_shutdown(k.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
		SSL_free(k.ssl);
		tls_down();
	}
}

/* Clear text behind STARTTLS, in the same octets and in the next view of the same segment. */
static void test_injection_tls(void **state)
{
	static const char line[] = "STARTTLS\r\n", more[] = "RSET\r\n";
	const struct tcp_view v[] = {{(const uint8_t *)line, sizeof(line) - 1},
				     {(const uint8_t *)more, sizeof(more) - 1}};
	struct tcp_conn *c;

	(void)state;
	tls_up();
	c = established(0);
	say(c, "STARTTLS\r\nRSET\r\n");
	hear(c, "554 5.5.0 ");
	assert_true(c->closing);
	c = established(1);
	session_tcp_app.data(c->app, v, 2);
	assert_null(c->app); /* reset: the 220 was queued */
	assert_int_equal(t.counters[CNT_smtp_tls_injected], 2);
	/* In a later segment, in clear: no TLS, and the end. */
	c = established(2);
	say(c, "STARTTLS\r\n");
	c->out_n = 0;
	say(c, "RSET\r\nQUIT\r\n");
	session_tls_poll(&t.w);
	assert_true(c->out_n == 0 || c->out[0] == 21); /* nothing, or an alert (RFC 8446 5.1) */
	assert_true(c->closing);
	assert_int_equal(t.counters[CNT_tls_failed_protocol], 1);
	tls_down();
}

/* The client's FIN is in while plain text waits behind a question: it is heard before the end is. */
static void test_eof_behind_question(void **state)
{
	struct peer k;

	(void)state;
	tls_up();
	starttls(&k, 0, 4096);
	tell(&k, "EHLO c\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nNOOP\r\nQUIT\r\n", 4096);
	k.got_n = 0;
	session_tcp_app.eof(k.c->app);
	assert_false(k.c->closing);
	assert_true(answer(last(DESC_RCPT), 250));
	pump_peer(&k, 4096);
	heard(&k, "250 2.0.0 as asked\r\n250 2.0.0 Ok\r\n221 2.0.0");
	assert_true(k.c->closing);
	SSL_free(k.ssl);
	tls_down();
}

/* None left: 454, the session goes on in clear, and what is given back is used again. */
static void test_full(void **state)
{
	struct tcp_conn *c;
	struct peer k[MAX_TLS];

	(void)state;
	tls_up();
	for (unsigned int i = 0; i < MAX_TLS; i++)
		starttls(&k[i], i, 4096);
	c = established(5);
	say(c, "STARTTLS\r\nNOOP\r\n");
	hear(c, "554 5.5.0 "); /* pipelined all the same */
	c = established(6);
	say(c, "STARTTLS\r\n");
	hear(c, "454 4.7.0 ");
	say(c, "NOOP\r\n");
	hear(c, "250 2.0.0");
	assert_int_equal(t.counters[CNT_tls_full], 1);
	for (unsigned int i = 0; i < MAX_TLS; i++) {
		gone(k[i].c, TCP_CLOSED_RESET);
		SSL_free(k[i].ssl);
	}
	starttls(&k[0], 7, 4096);
	SSL_free(k[0].ssl);
	tls_down();
}

/* Gone at each octet of the handshake, with the pool at work or not. */
static void test_gone_in_handshake(void **state)
{
	uint8_t hello[2048];
	struct peer k;
	int n;

	(void)state;
	tls_up();
	for (int cut = 1; cut < 40; cut++) {
		struct tcp_conn *c = established(0);

		say(c, "STARTTLS\r\n");
		c->out_n = 0;
		peer_init(&k, c);
		SSL_do_handshake(k.ssl);
		n = BIO_read(k.out, hello, sizeof(hello));
		assert_true(n > 100);
		n = n * cut / 39;
		memcpy(c->in, hello, (size_t)n);
		c->in_n = (size_t)n;
		tcp_resume(c); /* with all of it the pool has it now */
		gone(c, TCP_CLOSED_RESET);
		SSL_free(k.ssl);
		while (session_tls_poll(&t.w))
			;
	}
	assert_int_equal(t.counters[CNT_tls_abandoned], 39);
	/* The deadline of the handshake. */
	say(established(0), "STARTTLS\r\n");
	t.w.now_ms += 62 * 1000;
	while (session_sweep(&t.w))
		;
	assert_null(t.conn[0].app);
	assert_int_equal(t.counters[CNT_smtp_tls_timeout], 1);
	tls_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message_tls),
		cmocka_unit_test(test_injection_tls),
		cmocka_unit_test(test_eof_behind_question),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_gone_in_handshake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
