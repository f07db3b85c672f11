/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Content on its way to the next hop.
 *
 *   DATA   354, content with its dots doubled, ".", reply
 *   BDAT   "BDAT n LAST", n octets as they are, reply
 *
 * BDAT (RFC 3030) is taken wherever it is offered: no dots to look for, no CRLF to add, no octet that
 * the next hop could read as an end, and a round trip less than DATA. One chunk holds everything, and its
 * last octet is to BDAT what the dot is to DATA: the next hop has no whole message without it. Before it
 * (or the first octet of the dot) the message can be taken back, and is asked for; from then on the reply
 * alone decides.
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
	return c->state == CONN_BODY;
}

static void start_body(struct conn *c)
{
	struct xact *x = c->x;

	c->state = CONN_BODY;
	c->dot_at = 0;
	x->body_us = deliver_now_us();
	stuff_init(&x->body, x->req->iov, x->req->n_iov, x->bdat);
	conn_deadline(c, c->d->tuning.progress_ms);
	c->ready = true;
}

void body_begin(struct conn *c)
{
	struct xact *x = c->x;
	size_t total;

	x->bdat = chunking(c);
	if (!x->bdat) {
		c->state = CONN_DATA;
		session_send(c, conn_queue(c, "DATA\r\n"));
		return;
	}
	/* Counted here: a wrong number would make commands of content. */
	total = stuff_count(x->req->iov, x->req->n_iov);
	if (total && conn_queue(c, "BDAT %zu LAST\r\n", total)) {
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

void body_on_dot(struct conn *c, const struct deliver_reply *r)
{
	overload_stage(c, LOAD_DOT, c->x->asked_us);
	/* RFC 3030 2: the octets of a refused chunk are read as such. Who does not know the command, or takes
	 * it for out of place, may have taken them for commands. */
	c->spent = c->x->bdat && r->code / 10 == 50;
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

/* What makes the message whole for the next hop. */
static struct str final_octets(const struct xact *x)
{
	const uint8_t *last;

	if (!x->bdat)
		return STR(".\r\n");
	last = stuff_last(x->req->iov, x->req->n_iov);
	return last ? (struct str){last, 1} : STR("BDAT 0 LAST\r\n");
}

/* Asked again each time until an octet of the dot is out: from then on it is. */
static bool still_wanted(const struct conn *c)
{
	const struct xact *x = c->x;

	return !x->cancelled && (!x->req->wanted || x->req->wanted(x->wanted_arg));
}

/* May an octet of the dot go out? A reply that is here already was not asked for, and must not pass for that to
 * the message: it is read first. */
static bool may_finish(struct conn *c)
{
	if (c->dot_at)
		return true;
	if (!still_wanted(c)) {
		give_up(c);
		return false;
	}
	if (conn_alive(c))
		return true;
	conn_want_write(c);
	return false;
}

static void not_sent(struct conn *c)
{
	if (errno != EAGAIN && errno != EINTR)
		conn_write_failed(c);
	else
		conn_want_write(c);
}

/* n octets of the dot went out. */
static void dot_sent(struct conn *c, size_t n)
{
	struct xact *x = c->x;

	c->dot_at += n;
	x->dot_written = true;
	if (c->dot_at < final_octets(x).n) {
		conn_want_write(c);
		return;
	}
	c->state = CONN_DOT;
	x->asked_us = deliver_now_us();
	event_del(&c->wr);
	/* RFC 5321 4.5.3.2.6: ten minutes, for a reply lost here is a message sent twice. */
	conn_deadline(c, c->d->tuning.final_ms);
}

static void send_dot(struct conn *c)
{
	struct str dot = final_octets(c->x);
	ssize_t n;

	if (!may_finish(c))
		return;
	n = conn_send(c, dot.p + c->dot_at, dot.n - c->dot_at, false);
	if (n < 0)
		not_sent(c);
	else
		dot_sent(c, (size_t)n);
}

/* Pieces of the content, and with the last of them the dot: mostly all of a message is one call and goes
 * out at once. False: there is nothing more to be done now. */
static bool send_pieces(struct conn *c, const struct iovec *v, size_t n)
{
	struct xact *x = c->x;
	struct iovec all[STUFF_IOV + 1];
	bool last = stuff_is_last(&x->body);
	size_t left = stuff_count(v, n);
	ssize_t sent;

	if (last) {
		struct str dot = final_octets(x);

		if (!may_finish(c))
			return false;
		memcpy(all, v, n * sizeof(*v));
		all[n++] = (struct iovec){.iov_base = (void *)(uintptr_t)dot.p, .iov_len = dot.n};
	}
	sent = conn_sendv(c, last ? all : v, n, !last);
	if (sent < 0) {
		not_sent(c);
		return false;
	}
	if (!x->first_byte_us)
		x->first_byte_us = deliver_now_us() - x->start_us;
	conn_deadline(c, c->d->tuning.progress_ms);
	stuff_taken(&x->body, (size_t)sent < left ? (size_t)sent : left);
	if ((size_t)sent > left)
		dot_sent(c, (size_t)sent - left);
	return c->state == CONN_BODY && !c->dot_at;
}

void body_writable(struct conn *c)
{
	struct xact *x = c->x;

	if (c->state != CONN_BODY)
		return;
	for (int turn = 0; turn < (c->tls ? 16 : 4); turn++) {
		size_t n;
		const struct iovec *v = stuff_next(&x->body, &n);

		if (!n) {
			send_dot(c);
			return;
		}
		if (!send_pieces(c, v, n))
			return;
	}
	conn_want_write(c);
}
