/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A connection as its worker sees it. Its memory is recycled only when the outermost call into it
 * ends (depth), and not while the pool has it, so that tls_free() may come at any time.
 */

#include "dataplane/tls/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

struct tls_worker *tls_worker_new(struct tls_pool *pool, unsigned int index, uint32_t max_conns,
				  const struct tls_ops *ops, uint64_t *counters)
{
	struct tls_worker *w;

	if (max_conns == 0 || max_conns > 1u << 24) {
		errno = EINVAL;
		return NULL;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->ops = ops;
	w->counters = counters;
	w->n_max = max_conns;
	w->conn = calloc(max_conns, sizeof(*w->conn));
	if (w->conn)
		w->link = tls_link_new(pool, index, max_conns);
	if (!w->link) {
		free(w->conn);
		free(w);
		return NULL;
	}
	for (uint32_t i = max_conns; i-- > 0;) {
		w->conn[i].worker = w;
		w->conn[i].next_free = w->free;
		w->free = &w->conn[i];
	}
	return w;
}

static void destroy(struct tls_conn *c)
{
	struct tls_worker *w = c->worker;

	SSL_free(c->ssl);
	ERR_clear_error();
	tls_buf_clear(&c->in);
	tls_buf_clear(&c->out);
	tls_buf_clear(&c->held);
	OPENSSL_free(c->facts);
	tls_context_unref(c->ctx);
	*c = (struct tls_conn){.worker = w, .next_free = w->free};
	w->free = c;
	w->n_used--;
}

void tls_worker_free(struct tls_worker *w)
{
	const struct timespec nap = {.tv_nsec = 200000};
	struct tls_conn *c;

	if (!w)
		return;
	for (uint32_t i = 0; i < w->n_max; i++)
		if (w->conn[i].state == TLS_S_POOL)
			atomic_store_explicit(&w->conn[i].abandoned, true, memory_order_relaxed);
	/* Not the datapath: what a thread holds right now is waited for, a flight at most. */
	while (w->n_pool && !tls_link_orphaned(w->link)) {
		while ((c = tls_link_get(w->link)))
			w->n_pool--;
		if (w->n_pool)
			nanosleep(&nap, NULL);
	}
	for (uint32_t i = 0; i < w->n_max; i++)
		if (w->conn[i].state != TLS_S_FREE)
			destroy(&w->conn[i]);
	tls_link_unref(w->link);
	free(w->conn);
	free(w);
}

void tls_get_usage(const struct tls_worker *w, struct tls_usage *out)
{
	*out = (struct tls_usage){.conns = w->n_used, .handshakes = w->n_pool};
}

struct tls_conn *tls_open(struct tls_worker *w, struct tls_context *ctx, void *owner)
{
	struct tls_conn *c = w->free;

	if (!c) {
		w->counters[CNT_tls_full]++;
		return NULL;
	}
	w->free = c->next_free;
	w->n_used++;
	*c = (struct tls_conn){.worker = w, .ctx = ctx, .owner = owner, .state = TLS_S_HANDSHAKE};
	atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
	return c;
}

void tls_free(struct tls_conn *c)
{
	if (c->freed)
		return;
	c->freed = true;
	if (c->state == TLS_S_HANDSHAKE || c->state == TLS_S_POOL)
		c->worker->counters[CNT_tls_abandoned]++;
	if (c->state == TLS_S_POOL)
		atomic_store_explicit(&c->abandoned, true, memory_order_relaxed);
	else if (c->depth == 0)
		destroy(c);
}

/* The end of an upcall or of a call into the connection, which may be gone afterwards. */
static void leave(struct tls_conn *c)
{
	if (--c->depth == 0 && c->freed && c->state != TLS_S_POOL)
		destroy(c);
}

static void count_failure(struct tls_conn *c, enum tls_failure why)
{
	static const enum postern_counter counter[] = {
		[TLS_FAIL_VERSION] = CNT_tls_failed_version,
		[TLS_FAIL_CIPHER] = CNT_tls_failed_cipher,
		[TLS_FAIL_ALERT] = CNT_tls_failed_alert,
		[TLS_FAIL_PROTOCOL] = CNT_tls_failed_protocol,
		[TLS_FAIL_MEMORY] = CNT_tls_failed_memory,
		[TLS_FAIL_OVERFLOW] = CNT_tls_failed_overflow,
	};

	c->worker->counters[counter[why]]++;
}

/* To be called with depth held. */
static void fail(struct tls_conn *c, enum tls_failure why)
{
	c->state = TLS_S_OVER;
	if (c->freed)
		return;
	tls_buf_clear(&c->in);
	tls_buf_clear(&c->held);
	/* After our close_notify what the peer still sends is its own affair. */
	if (c->closed)
		return;
	count_failure(c, why);
	c->worker->ops->failed(c->owner, why);
}

/* True if all plain text that was held is taken now. */
static bool offer_held(struct tls_conn *c)
{
	size_t n = tls_buf_left(&c->held), k;

	if (n == 0)
		return true;
	k = c->worker->ops->plain(c->owner, c->held.p + c->held.off, n);
	if (c->freed || c->state != TLS_S_OPEN)
		return false;
	c->held.off += (uint32_t)(k < n ? k : n);
	if (tls_buf_left(&c->held))
		return false;
	tls_buf_clear(&c->held);
	return true;
}

/* False: stop reading. */
static bool offer(struct tls_conn *c, uint8_t *p, size_t n)
{
	size_t k = c->worker->ops->plain(c->owner, p, n);

	if (c->freed || c->state != TLS_S_OPEN)
		return false;
	if (k >= n)
		return true;
	if (!tls_buf_append(&c->held, p + k, n - k))
		fail(c, TLS_FAIL_MEMORY);
	return false;
}

static void read_ended(struct tls_conn *c, int r)
{
	int e = SSL_get_error(c->ssl, r);

	if (e == SSL_ERROR_WANT_READ)
		return;
	if (e == SSL_ERROR_ZERO_RETURN) {
		c->eof = true;
		tls_buf_clear(&c->in);
		c->worker->ops->eof(c->owner);
		return;
	}
	if (c->send_failed) {
		fail(c, TLS_FAIL_MEMORY);
		return;
	}
	if (c->barren > LIMIT_TLS_BARREN)
		c->worker->counters[CNT_tls_barren]++;
	fail(c, tls_failure_of(e));
}

/* ERR_clear_error() walks the whole queue, which costs as much as a small record. */
static void clear_errors(void)
{
	if (ERR_peek_error())
		ERR_clear_error();
}

/* OpenSSL reads record by record, so without octets for it there is nothing to get out of it. */
static bool anything_left(const struct tls_conn *c)
{
	return c->rn || tls_buf_left(&c->in) || SSL_pending(c->ssl);
}

/* Decrypts what there is, until the application does not take it. With depth held. */
static void read_records(struct tls_conn *c)
{
	struct tls_worker *w = c->worker;

	c->reading = true;
	while (offer_held(c) && !c->eof && c->state == TLS_S_OPEN && anything_left(c)) {
		int r;

		clear_errors();
		r = SSL_read(c->ssl, w->plain, (int)sizeof(w->plain));
		if (c->freed)
			break;
		if (r <= 0) {
			read_ended(c, r);
			break;
		}
		c->barren = 0;
		if (!offer(c, w->plain, (size_t)r))
			break;
	}
	c->reading = false;
	if (!c->freed && c->in.p && tls_buf_left(&c->in) == 0)
		tls_buf_clear(&c->in);
}

static void give_to_pool(struct tls_conn *c)
{
	c->state = TLS_S_POOL;
	c->worker->n_pool++;
	c->worker->counters[CNT_tls_pool_steps]++;
	tls_link_put(c->worker->link, c);
}

/* The pool is bothered with whole records only: a client that dribbles costs it nothing. */
static size_t handshake_input(struct tls_conn *c, const uint8_t *p, size_t n)
{
	size_t room = TLS_HANDSHAKE_MAX - c->handshake_bytes;

	if (n > room)
		n = room;
	if (n == 0)
		return 0;
	if (!tls_buf_append(&c->in, p, n)) {
		c->depth++;
		fail(c, TLS_FAIL_MEMORY);
		leave(c);
		return n;
	}
	c->handshake_bytes += (uint32_t)n;
	if (tls_frame_feed(&c->frame, p, n) || c->handshake_bytes == TLS_HANDSHAKE_MAX)
		give_to_pool(c);
	return n;
}

size_t tls_input(struct tls_conn *c, const uint8_t *p, size_t n)
{
	size_t used;

	if (c->state == TLS_S_OVER || c->eof)
		return n;
	if (tls_waiting(c) || c->reading || n == 0)
		return 0;
	if (c->state == TLS_S_HANDSHAKE)
		return handshake_input(c, p, n);
	c->rp = p;
	c->rn = n;
	c->depth++;
	read_records(c);
	used = c->state == TLS_S_OPEN && !c->eof ? n - c->rn : n;
	c->rp = NULL;
	c->rn = 0;
	leave(c);
	return used;
}

bool tls_waiting(const struct tls_conn *c)
{
	if (c->state == TLS_S_POOL)
		return true;
	return c->state == TLS_S_OPEN && !c->eof &&
	       (tls_buf_left(&c->held) || tls_buf_left(&c->in));
}

void tls_resume(struct tls_conn *c)
{
	if (c->state != TLS_S_OPEN || c->reading)
		return;
	c->depth++;
	read_records(c);
	leave(c);
}

int tls_send(struct tls_conn *c, const void *p, size_t n)
{
	size_t done;
	int rc = 0;

	if (c->state != TLS_S_OPEN || c->closed || c->freed)
		return -EPIPE;
	if (n == 0)
		return 0;
	c->depth++;
	clear_errors();
	/* The BIO takes all or fails, so this writes all or fails. */
	if (SSL_write_ex(c->ssl, p, n, &done) != 1) {
		rc = c->send_failed ? -ENOBUFS : -EPROTO;
		c->state = TLS_S_OVER;
		count_failure(c, c->send_failed ? TLS_FAIL_MEMORY : TLS_FAIL_PROTOCOL);
		ERR_clear_error();
	}
	leave(c);
	return rc;
}

void tls_close(struct tls_conn *c)
{
	if (c->closed || c->freed)
		return;
	c->closed = true;
	if (c->state != TLS_S_OPEN)
		return;
	c->depth++;
	ERR_clear_error();
	SSL_shutdown(c->ssl);
	ERR_clear_error();
	leave(c);
}

static bool send_flight(struct tls_conn *c)
{
	size_t n = tls_buf_left(&c->out);

	if (n && c->worker->ops->send(c->owner, c->out.p + c->out.off, n))
		c->send_failed = true;
	tls_buf_clear(&c->out);
	c->spoke = c->spoke || n;
	return !c->send_failed;
}

static void established(struct tls_conn *c)
{
	uint64_t *cnt = c->worker->counters;
	struct tls_facts *f = c->facts;

	c->state = TLS_S_OPEN;
	c->frame = (struct tls_frame){0};
	cnt[CNT_tls_handshakes]++;
	cnt[f->version == TLS1_3_VERSION ? CNT_tls_version_1_3 : CNT_tls_version_1_2]++;
	cnt[CNT_tls_resumed] += f->resumed;
	cnt[CNT_tls_client_verified] += f->client_verified;
	if (tls_buf_left(&c->in) == 0)
		tls_buf_clear(&c->in);
	c->worker->ops->established(c->owner, f);
	OPENSSL_free(c->facts);
	c->facts = NULL;
	if (!c->freed)
		read_records(c);
}

/* The pool is done with a flight. */
static void finish(struct tls_conn *c)
{
	c->state = TLS_S_HANDSHAKE;
	if (c->freed) {
		destroy(c);
		return;
	}
	c->depth++;
	/* tls_close() during the handshake: there is nobody to tell. */
	if (c->closed)
		fail(c, TLS_FAIL_ALERT);
	else if (!send_flight(c))
		fail(c, TLS_FAIL_MEMORY);
	else if (c->freed)
		;
	else if (c->step == TLS_STEP_FAILED)
		fail(c, (enum tls_failure)c->failure);
	else if (c->step == TLS_STEP_DONE)
		established(c);
	if (!c->freed && c->state != TLS_S_OVER && !tls_waiting(c))
		c->worker->ops->ready(c->owner);
	leave(c);
}

unsigned int tls_poll(struct tls_worker *w, unsigned int max)
{
	unsigned int n = 0;
	struct tls_conn *c;

	while (n < max && (c = tls_link_get(w->link))) {
		w->n_pool--;
		n++;
		finish(c);
	}
	return n;
}
