/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Records: splits, back-pressure, close, storms, connections that go at any moment. */

#include "dataplane/tls/test_tls_util.h"

static struct harness *h;
static struct pem *ec;
static struct tls_context *ctx;
static struct tls_tickets *tickets;
static struct server s;
static struct client k;
static SSL_CTX *cc;

static int setup_group(void **state)
{
	const struct pem *all[1];

	(void)state;
	all[0] = ec = pem_make(KEY_EC, "mx.example.com", "DNS:mx.example.com", 30, NULL);
	tickets = tls_tickets_new(1);
	ctx = context_of(tickets, 1, all);
	h = harness_new(2, 1024);
	return 0;
}

static int teardown_group(void **state)
{
	(void)state;
	harness_free(h);
	tls_context_unref(ctx);
	tls_tickets_free(tickets);
	pem_free(ec);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	cc = client_ctx();
	memset(h->counters, 0, sizeof(h->counters));
	return 0;
}

static int teardown(void **state)
{
	struct tls_usage u;

	(void)state;
	server_free(&s);
	client_free(&k);
	SSL_CTX_free(cc);
	harness_settle(h);
	tls_get_usage(h->w, &u);
	assert_int_equal(u.conns, 0);
	return 0;
}

static void begin(int version)
{
	SSL_CTX_set_max_proto_version(cc, version);
	server_init(&s, h, ctx);
	client_init(&k, cc, "mx.example.com");
}

static void begin_open(int version)
{
	begin(version);
	handshake(h, &s, &k);
	assert_int_equal(s.established, 1);
}

static void end(void)
{
	server_free(&s);
	client_free(&k);
}

static void pattern(uint8_t *p, size_t n)
{
	uint32_t x = 12345;

	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = (uint8_t)(x >> 24);
	}
}

/* Every octet of handshake, data and close comes alone; and in pieces of some sizes. */
static void test_chunks(void **state)
{
	static const size_t chunk[] = {1, 2, 3, 5, 7, 64, 1448, SIZE_MAX};
	static uint8_t data[40000];

	(void)state;
	pattern(data, sizeof(data));
	for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++)
		for (unsigned int i = 0; i < sizeof(chunk) / sizeof(chunk[0]); i++) {
			begin(v);
			s.echo = true;
			pump(h, &s, &k, chunk[i]);
			assert_int_equal(s.established, 1);
			client_write(&k, "EHLO a\r\n", 8);
			client_write(&k, data, sizeof(data));
			pump(h, &s, &k, chunk[i]);
			assert_int_equal(s.got.n, sizeof(data) + 8);
			assert_memory_equal(s.got.p + 8, data, sizeof(data));
			assert_int_equal(k.got.n, sizeof(data) + 8);
			assert_memory_equal(k.got.p + 8, data, sizeof(data));
			SSL_shutdown(k.ssl);
			pump(h, &s, &k, chunk[i]);
			assert_int_equal(s.eof, 1);
			assert_int_equal(s.failed, 0);
			end();
		}
}

/* Each split of the client's first flight and of a record in two, on fresh connections. */
static void test_split_at_each_octet(void **state)
{
	size_t n_hello;

	(void)state;
	begin(TLS1_3_VERSION);
	SSL_do_handshake(k.ssl);
	n_hello = (size_t)BIO_pending(SSL_get_wbio(k.ssl));
	end();
	assert_in_range(n_hello, 100, 1000);
	for (size_t at = 1; at < n_hello; at++) {
		begin(TLS1_3_VERSION);
		SSL_do_handshake(k.ssl);
		pump(h, &s, &k, at);
		client_write(&k, "NOOP\r\n", 6);
		pump(h, &s, &k, at);
		assert_int_equal(s.established, 1);
		assert_int_equal(s.got.n, 6);
		/* A client that dribbles must not cost the pool more than one that does not. */
		assert_true(h->counters[CNT_tls_pool_steps] <= 3 * at);
		end();
	}
}

/* The application takes k octets an upcall: nothing is lost, nothing is read meanwhile. */
static void test_back_pressure(void **state)
{
	static const size_t take[] = {1, 3, 1000, 16383};
	static uint8_t data[60000];

	(void)state;
	pattern(data, sizeof(data));
	for (unsigned int i = 0; i < sizeof(take) / sizeof(take[0]); i++) {
		size_t left;

		begin_open(i & 1 ? TLS1_2_VERSION : TLS1_3_VERSION);
		s.take = 0;
		client_write(&k, data, sizeof(data));
		handshake(h, &s, &k);
		assert_int_equal(s.plain_calls, 1);
		assert_true(tls_waiting(s.c));
		left = k.up.n - k.up.off;
		assert_true(left > sizeof(data) - 2 * 16384);
		assert_int_equal(tls_input(s.c, k.up.p + k.up.off, left), 0);
		tls_resume(s.c); /* still takes nothing */
		assert_int_equal(s.plain_calls, 2);
		s.take = take[i];
		for (int turns = 0; s.got.n < sizeof(data) && turns < 70000; turns++) {
			tls_resume(s.c);
			if (!tls_waiting(s.c))
				handshake(h, &s, &k);
		}
		assert_int_equal(s.got.n, sizeof(data));
		assert_memory_equal(s.got.p, data, sizeof(data));
		assert_false(tls_waiting(s.c));
		end();
	}
}

/* TLS 1.3: the first command may come with the client's last flight. */
static void test_data_behind_finished(void **state)
{
	static uint8_t data[90000];

	(void)state;
	pattern(data, sizeof(data));
	begin(TLS1_3_VERSION);
	s.take = 100;
	SSL_do_handshake(k.ssl);
	pump(h, &s, &k, SIZE_MAX);
	end();
	begin(TLS1_3_VERSION);
	/* By hand: the client's Finished and all data in one input. */
	SSL_do_handshake(k.ssl);
	{
		uint8_t hello[4096];
		int n = BIO_read(SSL_get_wbio(k.ssl), hello, sizeof(hello));

		assert_int_equal(tls_input(s.c, hello, (size_t)n), n);
		harness_settle(h);
		BIO_write(SSL_get_rbio(k.ssl), s.wire.p, (int)s.wire.n);
		s.wire.off = s.wire.n;
	}
	assert_int_equal(SSL_do_handshake(k.ssl), 1);
	k.done = true;
	client_write(&k, data, sizeof(data));
	pump(h, &s, &k, SIZE_MAX);
	assert_int_equal(s.established, 1);
	assert_true(s.ready >= 1);
	assert_int_equal(s.got.n, sizeof(data));
	assert_memory_equal(s.got.p, data, sizeof(data));
}

static void test_close(void **state)
{
	(void)state;
	for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
		begin_open(v);
		assert_int_equal(tls_send(s.c, "221 2.0.0 bye\r\n", 15), 0);
		tls_close(s.c);
		tls_close(s.c);
		assert_int_equal(tls_send(s.c, "x", 1), -EPIPE);
		/* Half-closed: what the client still says arrives. */
		client_write(&k, "QUIT\r\n", 6);
		handshake(h, &s, &k);
		assert_int_equal(s.got.n, 6);
		assert_true(k.closed);
		assert_int_equal(k.got.n, 15);
		SSL_shutdown(k.ssl);
		handshake(h, &s, &k);
		assert_int_equal(s.eof, 1);
		assert_int_equal(s.failed, 0);
		assert_int_equal(tls_input(s.c, (const uint8_t *)"junk", 4), 4);
		end();

		begin_open(v);
		SSL_shutdown(k.ssl);
		handshake(h, &s, &k);
		assert_int_equal(s.eof, 1);
		assert_int_equal(tls_send(s.c, "421 x\r\n", 7), 0); /* RFC 8446 6.1 */
		tls_close(s.c);
		assert_int_equal(s.failed, 0);
		end();
	}
}

static void test_tampered(void **state)
{
	(void)state;
	for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
		begin_open(v);
		client_write(&k, "RSET\r\n", 6);
		k.up.p[k.up.n - 1] ^= 1;
		handshake(h, &s, &k);
		assert_int_equal(s.got.n, 0);
		assert_int_equal(s.failed, 1);
		assert_int_equal(s.why, TLS_FAIL_PROTOCOL);
		assert_int_equal(k.alert, SSL_AD_BAD_RECORD_MAC);
		assert_int_equal(tls_send(s.c, "x", 1), -EPIPE);
		end();
	}
}

/* RFC 8446 4.6.3: answered with one of ours at most; a storm ends the connection. */
static void test_key_update(void **state)
{
	(void)state;
	begin_open(TLS1_3_VERSION);
	s.echo = true;
	for (int i = 0; i < 10 * LIMIT_TLS_BARREN; i++) {
		assert_int_equal(SSL_key_update(k.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		client_write(&k, "a", 1);
	}
	handshake(h, &s, &k);
	assert_int_equal(s.got.n, 10 * LIMIT_TLS_BARREN);
	assert_int_equal(k.got.n, 10 * LIMIT_TLS_BARREN);
	for (int i = 0; i < LIMIT_TLS_BARREN + 2; i++) {
		SSL_key_update(k.ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
		SSL_do_handshake(k.ssl);
	}
	handshake(h, &s, &k);
	assert_int_equal(s.failed, 1);
	assert_int_equal(s.why, TLS_FAIL_PROTOCOL);
	assert_int_equal(h->counters[CNT_tls_barren], 1);
}

static void test_no_room(void **state)
{
	(void)state;
	/* For the handshake. */
	begin(TLS1_3_VERSION);
	s.room = 100;
	handshake(h, &s, &k);
	assert_int_equal(s.failed, 1);
	assert_int_equal(s.why, TLS_FAIL_MEMORY);
	assert_int_equal(s.established, 0);
	end();
	/* For data: the caller hears it by the return value. */
	begin_open(TLS1_3_VERSION);
	s.room = 10;
	assert_int_equal(tls_send(s.c, "250 2.0.0 Ok\r\n", 14), -ENOBUFS);
	assert_int_equal(tls_send(s.c, "x", 1), -EPIPE);
	tls_close(s.c);
	assert_int_equal(s.failed, 0);
	end();
	/* For the alert that goes with a bad record. */
	begin_open(TLS1_3_VERSION);
	s.room = 0;
	client_write(&k, "RSET\r\n", 6);
	k.up.p[k.up.n - 1] ^= 1;
	handshake(h, &s, &k);
	assert_int_equal(s.failed, 1);
	assert_int_equal(h->counters[CNT_tls_failed_memory], 3);
}

static void test_free_in_upcall(void **state)
{
	(void)state;
	begin_open(TLS1_3_VERSION);
	client_write(&k, "one", 3);
	client_write(&k, "two", 3);
	s.free_in_plain = true;
	handshake(h, &s, &k);
	assert_null(s.c);
	assert_int_equal(s.got.n, 3);
	end();
	begin_open(TLS1_2_VERSION);
	client_write(&k, "one", 3);
	s.close_in_plain = true;
	handshake(h, &s, &k);
	assert_int_equal(s.got.n, 3);
	assert_true(k.closed);
}

/* At each point of a handshake, with the pool or not. */
static void test_freed_during_handshake(void **state)
{
	struct tls_usage u;

	(void)state;
	for (int i = 0; i < 40; i++) {
		uint8_t hello[4096];
		int n;

		begin(TLS1_3_VERSION);
		SSL_do_handshake(k.ssl);
		n = BIO_read(SSL_get_wbio(k.ssl), hello, sizeof(hello));
		if (i % 4 == 0)
			n /= 2;
		assert_int_equal(tls_input(s.c, hello, (size_t)n), n);
		assert_int_equal(tls_waiting(s.c), i % 4 != 0);
		if (i % 4 == 2)
			harness_settle(h);
		tls_free(s.c);
		s.c = NULL;
		assert_int_equal(s.established + s.failed, 0);
		if (i % 4 == 3)
			harness_settle(h);
		assert_int_equal(s.established + s.failed, 0);
		end();
	}
	harness_settle(h);
	tls_get_usage(h->w, &u);
	assert_int_equal(u.conns, 0);
	assert_int_equal(h->counters[CNT_tls_abandoned], 40);
}

static void test_full(void **state)
{
	static struct tls_conn *c[1024];

	(void)state;
	for (int i = 0; i < 1024; i++)
		assert_non_null(c[i] = tls_open(h->w, ctx, &s));
	assert_null(tls_open(h->w, ctx, &s));
	assert_int_equal(h->counters[CNT_tls_full], 1);
	for (int i = 0; i < 1024; i++)
		tls_free(c[i]);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_chunks), T(test_split_at_each_octet), T(test_back_pressure),
		T(test_data_behind_finished), T(test_close), T(test_tampered), T(test_key_update),
		T(test_no_room), T(test_free_in_upcall), T(test_freed_during_handshake),
		T(test_full),
	};

	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
