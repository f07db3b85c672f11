/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Content on its way to the next hop.
 *
 *   DATA   354, content with its dots doubled, ".", reply
 *   BDAT   "BDAT n", n octets as they are, reply, "BDAT 0 LAST", reply
 *
 * BDAT (RFC 3030) is taken wherever it is offered: no dots to look for, no CRLF to add, no octet that
 * the next hop could read as an end, and as many round trips as DATA. One chunk holds everything, and
 * LAST is a command of its own, so that it is to BDAT what the dot is to DATA: before its first octet
 * the message can be taken back, and is asked for; from then on the reply alone decides.
 */

#include <errno.h>
#include <string.h>

#include "control/deliver/internal.h"

static bool chunking(const struct conn *c)
{
	return (c->ehlo.caps & EHLO_CHUNKING) && !c->x->route->no_chunking;
}

bool body_unsendable(const struct conn *c)
{
	const struct deliver_request *req = c->x->req;

	if (chunking(c))
		return false;
	return req->bare_lf || (req->bare_cr && stuff_cr_beside(req->iov, req->n_iov));
}

bool body_open(const struct conn *c)
{
	return c->state == CONN_BODY || c->state == CONN_CHUNK || c->state == CONN_LAST;
}

static void start_body(struct conn *c)
{
	struct xact *x = c->x;

	c->state = CONN_BODY;
	c->dot_at = 0;
	x->body_us = deliver_now_us();
	stuff_init(&x->body, x->req->iov, x->req->n_iov, x->bdat);
	conn_deadline(c, c->d->tuning.progress_ms);
	conn_want_write(c);
}

void body_begin(struct conn *c)
{
	struct xact *x = c->x;
	size_t total = 0;

	x->bdat = chunking(c);
	if (!x->bdat) {
		c->state = CONN_DATA;
		session_send(c, conn_queue(c, "DATA\r\n"));
		return;
	}
	/* Counted here: a wrong number would make commands of content. */
	for (size_t i = 0; i < x->req->n_iov; i++)
		total += x->req->iov[i].iov_len;
	if (conn_queue(c, "BDAT %zu\r\n", total)) {
		session_failed(c, END_LOST);
		return;
	}
	start_body(c);
}

void body_on_data(struct conn *c, const struct deliver_reply *r)
{
	if (r->code / 100 == 2)
		session_failed(c, END_GARBAGE);
	else if (r->code / 100 == 3)
		start_body(c);
	else
		session_end_with(c, END_REPLY, r);
}

/* Nothing was asked: 4xx and 5xx are taken as the answer to the message, without its dot. */
void body_on_body(struct conn *c, const struct deliver_reply *r)
{
	if (r->code / 100 == 4 || r->code / 100 == 5)
		session_end_with(c, END_REPLY, r);
	else
		session_failed(c, END_GARBAGE);
}

void body_on_chunk(struct conn *c, const struct deliver_reply *r)
{
	/* RFC 3030 2: a refused chunk ends the transaction. Whether its octets were read as such is not
	 * known then: the connection is not used again. */
	if (r->code / 100 != 2) {
		body_on_body(c, r);
		return;
	}
	/* Not at once: another reply that came with this one must not pass for that to LAST. */
	c->state = CONN_LAST;
	conn_deadline(c, c->d->tuning.progress_ms);
	conn_want_write(c);
}

void body_on_dot(struct conn *c, const struct deliver_reply *r)
{
	overload_stage(c, LOAD_DOT, c->x->asked_us);
	if (r->code / 100 == 3)
		session_failed(c, END_GARBAGE);
	else
		session_end_with(c, r->code / 100 == 2 ? END_DELIVERED : END_REPLY, r);
}

static void give_up(struct conn *c)
{
	struct xact *x = c->x;
	struct ending e = {.kind = END_ABORTED, .stage = session_stage(c)};

	c->x = NULL;
	conn_close(c, true);
	xact_ended(x, &e);
}

static void send_dot(struct conn *c)
{
	struct xact *x = c->x;
	struct str dot = x->bdat ? STR("BDAT 0 LAST\r\n") : STR(".\r\n");
	ssize_t n;

	/* Asked again each time until an octet of the dot is out: from then on it is. */
	if (!c->dot_at &&
	    (x->cancelled || (x->req->wanted && !x->req->wanted(x->wanted_arg)))) {
		give_up(c);
		return;
	}
	n = conn_send(c, dot.p + c->dot_at, dot.n - c->dot_at, false);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			conn_write_failed(c);
		return;
	}
	c->dot_at += (size_t)n;
	x->dot_written = true;
	if (c->dot_at < dot.n)
		return;
	c->state = CONN_DOT;
	x->asked_us = deliver_now_us();
	event_del(&c->wr);
	/* RFC 5321 4.5.3.2.6: ten minutes, for a reply lost here is a message sent twice. */
	conn_deadline(c, c->d->tuning.final_ms);
}

/* The socket has taken the whole content. */
static void body_done(struct conn *c)
{
	if (!c->x->bdat) {
		send_dot(c);
		return;
	}
	c->state = CONN_CHUNK;
	event_del(&c->wr);
	/* RFC 5321 4.5.3.2.5: much of it may still be in the socket. */
	conn_deadline(c, c->d->tuning.chunk_ms);
}

void body_writable(struct conn *c)
{
	struct xact *x = c->x;

	/* What is here to be read was not asked for, and is looked at first. */
	if (c->state == CONN_LAST && (c->dot_at || conn_alive(c)))
		send_dot(c);
	if (c->state != CONN_BODY)
		return;
	for (int turn = 0; turn < (c->tls ? 16 : 4); turn++) {
		size_t n;
		const struct iovec *v = stuff_next(&x->body, &n);
		ssize_t sent;

		if (!n) {
			body_done(c);
			return;
		}
		sent = conn_sendv(c, v, n);
		if (sent < 0) {
			if (errno != EAGAIN && errno != EINTR)
				conn_write_failed(c);
			return;
		}
		if (!x->first_byte_us)
			x->first_byte_us = deliver_now_us() - x->start_us;
		stuff_taken(&x->body, (size_t)sent);
		conn_deadline(c, c->d->tuning.progress_ms);
	}
}
