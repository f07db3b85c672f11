/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "control/auth/dkim/body.h"

#define SLICE (1u << 20) /* octets of body hashed in one turn of the loop */

static void turn_again(struct body_run *r)
{
	static const struct timeval now = {0, 0};

	event_add(r->turn, &now);
}

/* Hashes one slice. True when the body is through. */
static bool slice(struct body_run *r)
{
	size_t left = SLICE;

	while (r->piece < r->content.n_iov && left) {
		const struct iovec *v = &r->content.iov[r->piece];
		size_t n = v->iov_len - r->piece_off;

		if (n > left)
			n = left;
		if (n)
			canon_pass_update(&r->pass, (const uint8_t *)v->iov_base + r->piece_off, n);
		left -= n;
		r->piece_off += n;
		if (r->piece_off == v->iov_len) {
			r->piece++;
			r->piece_off = 0;
		}
	}
	return r->piece == r->content.n_iov;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct body_run *r = arg;

	(void)fd;
	(void)what;
	if (r->pass.n && !slice(r)) {
		turn_again(r);
		return;
	}
	canon_pass_end(&r->pass);
	r->done = true;
	for (size_t i = 0; i < BODY_RUN_MEMBERS; i++)
		if (r->member[i])
			event_active(r->member[i], 0, 0);
}

struct body_run *body_run_new(struct event_base *base, const struct headers *headers,
			      const struct mail_bytes *content)
{
	struct body_run *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->refs = 1;
	r->content = *content;
	canon_pass_init(&r->pass);
	r->turn = evtimer_new(base, on_turn, r);
	if (!r->turn) {
		free(r);
		return NULL;
	}
	r->piece_off = headers->body_off;
	while (r->piece < content->n_iov && r->piece_off >= content->iov[r->piece].iov_len)
		r->piece_off -= content->iov[r->piece++].iov_len;
	if (r->piece == content->n_iov)
		r->piece_off = 0;
	turn_again(r);
	return r;
}

int body_run_join(struct body_run *r, struct event *ev)
{
	for (size_t i = 0; i < BODY_RUN_MEMBERS; i++) {
		if (r->member[i])
			continue;
		r->member[i] = ev;
		r->refs++;
		return 0;
	}
	return -ENOSPC;
}

void body_run_leave(struct body_run *r, struct event *ev)
{
	for (size_t i = 0; i < BODY_RUN_MEMBERS; i++)
		if (r->member[i] == ev)
			r->member[i] = NULL;
	body_run_unref(r);
}

void body_run_unref(struct body_run *r)
{
	if (!r || --r->refs)
		return;
	event_free(r->turn);
	canon_pass_free(&r->pass);
	free(r);
}
