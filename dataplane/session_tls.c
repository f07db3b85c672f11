/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A session under TLS: tls/ stands between tcp/ and smtp/. Ciphertext that it does not take (the pool
 * is at work, or smtp/ waits) stays with tcp/, charged to the window; plain text that smtp/ does not
 * take stays with tls/, a record at most.
 *
 * tls/ calls from two places. Within session_data() in_upcall is set, and session_data() settles.
 * Otherwise (an answer, room, the pool) each upcall settles before it returns, after which the session
 * may be gone: tls/ knows that its connection was freed, and calls no more.
 */

#include <errno.h>
#include <string.h>

#include "dataplane/worker.h"

#define TLS_BURST 32 /* handshakes taken back in a turn */

static struct session_tls *tls_of(const struct session *s)
{
	return &s->worker->stls[s->tls - 1];
}

static uint32_t take_slot(struct worker *w)
{
	uint32_t i = w->stls_free;

	if (i)
		w->stls_free = w->stls[i - 1].next;
	else if (w->stls_fresh < w->opt.max_tls)
		i = ++w->stls_fresh;
	return i;
}

static void give_slot(struct worker *w, uint32_t i)
{
	w->stls[i - 1] = (struct session_tls){.next = w->stls_free};
	w->stls_free = i;
}

int session_op_start_tls(void *owner)
{
	struct session *s = owner;
	struct worker *w = s->worker;
	struct tls_conn *c;
	uint32_t i;

	i = w->tls && w->current && w->current->tls ? take_slot(w) : 0;
	if (!i) {
		worker_count(w, CNT_tls_full);
		return -ENOMEM;
	}
	c = tls_open(w->tls, w->current->tls, s);
	if (!c) {
		give_slot(w, i);
		return -ENOMEM;
	}
	w->stls[i - 1] = (struct session_tls){.conn = c, .session = s};
	s->tls = i;
	return 0;
}

size_t session_tls_input(struct session *s, const uint8_t *p, size_t n)
{
	return tls_input(tls_of(s)->conn, p, n);
}

int session_tls_send(struct session *s, const void *p, size_t n)
{
	return tls_send(tls_of(s)->conn, p, n);
}

void session_tls_resume(struct session *s)
{
	tls_resume(tls_of(s)->conn);
}

bool session_tls_waiting(const struct session *s)
{
	return tls_waiting(tls_of(s)->conn);
}

void session_tls_close(struct session *s)
{
	if (s->tls)
		tls_close(tls_of(s)->conn);
}

void session_tls_free(struct session *s)
{
	if (!s->tls)
		return;
	tls_free(tls_of(s)->conn);
	give_slot(s->worker, s->tls);
	s->tls = 0;
}

static int put_text(struct worker *w, struct dp_msg *msg, const char *text, struct handoff_ref *out)
{
	return *text ? dp_msg_text(w->arena, msg, str_c(text), out) : 0;
}

int session_tls_record(struct session *s, struct dp_msg *msg, struct handoff_record *rec)
{
	struct worker *w = s->worker;
	const struct tls_facts *f;

	if (!session_tls_open(s))
		return 0;
	f = &tls_of(s)->facts;
	rec->tls_version = f->version;
	rec->tls_flags = (uint8_t)((f->client_certificate ? TLS_F_CLIENT : 0) |
				   (f->client_verified ? TLS_F_VERIFIED : 0) |
				   (f->resumed ? TLS_F_RESUMED : 0));
	memcpy(rec->tls_client_sha256, f->client_sha256, sizeof(rec->tls_client_sha256));
	if (put_text(w, msg, f->cipher_name, &rec->tls_cipher) ||
	    put_text(w, msg, f->sni, &rec->tls_sni) ||
	    put_text(w, msg, f->client_name, &rec->tls_client))
		return -ENOMEM;
	return 0;
}

/* ---- what tls/ tells us ---------------------------------------------------------------------- */

static int on_send(void *owner, const void *p, size_t n)
{
	return session_put_out(owner, p, n);
}

static void on_established(void *owner, const struct tls_facts *f)
{
	struct session *s = owner;
	struct session_tls *t = tls_of(s);

	t->open = true;
	t->facts = *f;
	smtp_tls_established(s->smtp);
	session_settle(s);
}

static size_t on_plain(void *owner, uint8_t *p, size_t n)
{
	struct session *s = owner;
	size_t used;

	if (s->aborting || s->closing)
		return n;
	used = session_input(s, p, n);
	if (s->aborting || s->closing)
		used = n;
	session_settle(s);
	return used;
}

static void on_eof(void *owner)
{
	struct session *s = owner;

	smtp_eof(s->smtp);
	session_settle(s);
}

static void on_failed(void *owner, enum tls_failure why)
{
	struct session *s = owner;

	/* tls/ has counted it; for want of memory it is not the client's fault. */
	smtp_session_note(s->smtp, why == TLS_FAIL_MEMORY ? END_F_PRESSURE : END_F_TLS_FAILED);
	smtp_tls_failed(s->smtp);
	session_settle(s);
}

static void on_ready(void *owner)
{
	struct session *s = owner;

	tcp_resume(s->conn);
}

const struct tls_ops session_tls_ops = {
	.send = on_send,
	.established = on_established,
	.plain = on_plain,
	.eof = on_eof,
	.failed = on_failed,
	.ready = on_ready,
};

unsigned int session_tls_poll(struct worker *w)
{
	return w->tls ? tls_poll(w->tls, TLS_BURST) : 0;
}
