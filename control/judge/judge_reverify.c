/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/annotate/conflicts.h"
#include "control/auth/dkim/body.h"
#include "control/judge/judge_reverify.h"

/* The message as one of the two verifiers sees it. */
struct view {
	struct mail_bytes bytes;
	struct iovec *iov;
	struct headers headers;
	size_t ours; /* fields of our block in it */
};

struct reverify {
	struct reverify_request req;
	reverify_callback *cb;
	void *arg;
	/* A set of our own on top would have to verify before the older ones are looked at, by a
	 * key that nobody may have published yet: ARC is verified without it. */
	struct view whole, unsealed;
	struct headers block; /* ours alone */
	struct dkim_check *dkim;
	struct arc_check *arc;
	const struct dkim_results *dkim_now;
	const struct arc_results *arc_now;
	struct event *turn;
	struct reverify_result result;
};

static bool make_view(struct view *v, const struct annotate_output *out, size_t skip, size_t ours)
{
	v->iov = calloc(out->n_iov, sizeof(*v->iov));
	if (!v->iov)
		return false;
	memcpy(v->iov, out->iov, out->n_iov * sizeof(*v->iov));
	v->iov[0].iov_base = (uint8_t *)v->iov[0].iov_base + skip;
	v->iov[0].iov_len -= skip;
	v->bytes = (struct mail_bytes){v->iov, out->n_iov, out->size - skip};
	v->ours = ours;
	return headers_parse_outgoing(&v->headers, &v->bytes) == 0;
}

/* Where field i of the original is in the view; headers.n: nowhere. */
static size_t field_in(const struct reverify *v, const struct view *view, size_t i)
{
	size_t at = view->ours;

	if (i >= v->req.headers->n || v->req.drop[i])
		return view->headers.n;
	for (size_t k = 0; k < i; k++)
		at += !v->req.drop[k];
	return at;
}

static bool same_field(const struct reverify *v, const struct view *view, size_t i)
{
	const struct headers *h = v->req.headers;
	size_t at = field_in(v, view, i);

	return at < view->headers.n && view->headers.field[at].len == h->field[i].len &&
	       !memcmp(view->headers.block + view->headers.field[at].off,
		       h->block + h->field[i].off, h->field[i].len);
}

/* ---- what a signature covers, compared without a key ---------------------------------------- */

struct walk {
	const struct mail_bytes *m;
	size_t i, off;
};

static void walk_to(struct walk *w, size_t off)
{
	while (w->i < w->m->n_iov && off >= w->m->iov[w->i].iov_len)
		off -= w->m->iov[w->i++].iov_len;
	w->off = off;
}

static bool same_body(const struct mail_bytes *a, size_t a_off, const struct mail_bytes *b,
		      size_t b_off)
{
	struct walk x = {a, 0, 0}, y = {b, 0, 0};
	size_t left = a->size - a_off;

	if (left != b->size - b_off)
		return false;
	walk_to(&x, a_off);
	walk_to(&y, b_off);
	while (left) {
		const struct iovec *p, *q;
		size_t n = left;

		if (x.i >= a->n_iov || y.i >= b->n_iov)
			return false;
		p = &a->iov[x.i];
		q = &b->iov[y.i];
		n = p->iov_len - x.off < n ? p->iov_len - x.off : n;
		n = q->iov_len - y.off < n ? q->iov_len - y.off : n;
		if (memcmp((uint8_t *)p->iov_base + x.off, (uint8_t *)q->iov_base + y.off, n))
			return false;
		left -= n;
		walk_to(&x, x.off + n);
		walk_to(&y, y.off + n);
	}
	return true;
}

/* As simple canonicalization takes it, which forgives nothing. */
static bool same_signed(const struct reverify *v, const struct view *view,
			const struct dkim_signature *s)
{
	uint8_t was[CANON_DIGEST], is[CANON_DIGEST];
	size_t at = field_in(v, view, s->field);

	return at < view->headers.n &&
	       !canon_headers(v->req.headers, s->signed_names, s->n_signed, s->field, STR_NONE,
			      CANON_SIMPLE, was) &&
	       !canon_headers(&view->headers, s->signed_names, s->n_signed, at, STR_NONE,
			      CANON_SIMPLE, is) &&
	       !memcmp(was, is, sizeof(was)) &&
	       same_body(v->req.content, v->req.headers->body_off, &view->bytes,
			 view->headers.body_off);
}

static bool same_sealed(const struct reverify *v, size_t k)
{
	const struct arc_results *arc = v->req.sigs.arc;

	for (size_t i = 0; i <= k; i++)
		if (!same_field(v, &v->unsealed, arc->set[i].aar) ||
		    !same_field(v, &v->unsealed, arc->set[i].ams) ||
		    !same_field(v, &v->unsealed, arc->set[i].seal))
			return false;
	return true;
}

/* ---- comparison ----------------------------------------------------------------------------- */

/* Does it still pass? Counts it as looked at. */
static bool passes(struct reverify *v, const struct dkim_signature *is)
{
	v->result.checked++;
	return is && is->result == DKIM_PASS;
}

static void settle(struct reverify *v, const char *what, const struct dkim_signature *was,
		   const struct dkim_signature *is, enum annotate_fate fate, bool same)
{
	struct reverify_result *r = &v->result;

	if (fate != FATE_KEPT) {
		/* FATE_BROKEN has been counted by whoever foretold it. */
		r->voided++;
		return;
	}
	if (same) {
		/* Not looked at: the chain ended at something that was foretold. */
		r->unsettled += is && is->result != DKIM_NONE;
		return;
	}
	r->broken++;
	if (!r->text[0])
		snprintf(r->text, sizeof(r->text), "%s d=%.80s s=%.60s: %s", what, was->domain,
			 was->selector, is && is->reason[0] ? is->reason : "not verified");
}

static void compare_dkim(struct reverify *v)
{
	const struct dkim_results *was = v->req.sigs.dkim, *is = v->dkim_now;

	for (size_t i = 0; was && i < was->n; i++) {
		const struct dkim_signature *s = &was->sig[i], *now = NULL;
		size_t at = field_in(v, &v->whole, s->field);

		if (s->result != DKIM_PASS)
			continue;
		for (size_t k = 0; is && k < is->n; k++)
			if (is->sig[k].field == at)
				now = &is->sig[k];
		if (!passes(v, now))
			settle(v, "DKIM-Signature", s, now,
			       annotate_fate_of(&v->block, v->req.headers, v->req.drop, s),
			       same_signed(v, &v->whole, s));
	}
}

static void compare_arc(struct reverify *v)
{
	const struct arc_results *was = v->req.sigs.arc, *is = v->arc_now;

	for (size_t i = 0; was && i < was->n; i++) {
		const struct arc_set *s = &was->set[i], *now = is && i < is->n ? &is->set[i] : NULL;

		if (s->message.result == DKIM_PASS && !passes(v, now ? &now->message : NULL))
			settle(v, "ARC-Message-Signature", &s->message, now ? &now->message : NULL,
			       annotate_fate_of(&v->block, v->req.headers, v->req.drop,
						&s->message),
			       same_signed(v, &v->unsealed, &s->message));
		if (s->sealed.result == DKIM_PASS && !passes(v, now ? &now->sealed : NULL))
			settle(v, "ARC-Seal", &s->sealed, now ? &now->sealed : NULL,
			       annotate_fate_of_seal(v->req.headers, v->req.drop, was, i),
			       same_sealed(v, i));
	}
}

/* ---- the run -------------------------------------------------------------------------------- */

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct reverify *v = arg;

	(void)fd;
	(void)what;
	if ((v->dkim && !v->dkim_now) || (v->arc && !v->arc_now))
		return;
	compare_dkim(v);
	compare_arc(v);
	v->result.done = true;
	v->cb(v->arg, &v->result); /* may free v */
}

static void on_dkim(void *arg, const struct dkim_results *r)
{
	struct reverify *v = arg;

	v->dkim_now = r;
	event_active(v->turn, 0, 0);
}

static void on_arc(void *arg, const struct arc_results *r)
{
	struct reverify *v = arg;

	v->arc_now = r;
	event_active(v->turn, 0, 0);
}

/* Octets and number of the ARC fields on top of our block. */
static size_t own_seal(const struct headers *block, size_t *n)
{
	for (*n = 0; *n < block->n && str_istarts(header_name(block, *n), STR("ARC-"));)
		++*n;
	return *n < block->n ? block->field[*n].off : block->size;
}

static bool verify_again(struct reverify *v)
{
	struct dkim_options opt = {.now = v->req.now};
	const struct reverify_request *q = &v->req;

	if (q->sigs.dkim && q->sigs.dkim->n) {
		v->dkim = dkim_verify(q->dns, q->base, &v->whole.headers, &v->whole.bytes, &opt,
				      on_dkim, v);
		if (!v->dkim)
			return false;
	}
	if (q->sigs.arc && q->sigs.arc->n) {
		v->arc = arc_verify(q->dns, q->base, &v->unsealed.headers, &v->unsealed.bytes, &opt,
				    on_arc, v);
		if (!v->arc)
			return false;
	}
	if (!v->dkim && !v->arc)
		event_active(v->turn, 0, 0);
	return true;
}

struct reverify *reverify_start(const struct reverify_request *req, reverify_callback *cb,
				void *arg)
{
	struct iovec iov = {req->out->block, req->out->block_len};
	struct mail_bytes block = {&iov, 1, req->out->block_len};
	struct reverify *v = calloc(1, sizeof(*v));
	size_t skip, n;

	if (!v)
		return NULL;
	v->req = *req;
	v->cb = cb;
	v->arg = arg;
	v->turn = event_new(req->base, -1, 0, on_turn, v);
	if (!v->turn || headers_parse(&v->block, &block))
		goto fail;
	skip = own_seal(&v->block, &n);
	if (!make_view(&v->whole, req->out, 0, v->block.n) ||
	    (req->sigs.arc && req->sigs.arc->n &&
	     !make_view(&v->unsealed, req->out, skip, v->block.n - n)) ||
	    !verify_again(v))
		goto fail;
	return v;
fail:
	reverify_free(v);
	return NULL;
}

void reverify_free(struct reverify *v)
{
	if (!v)
		return;
	dkim_check_free(v->dkim);
	arc_check_free(v->arc);
	if (v->turn)
		event_free(v->turn);
	headers_free(&v->whole.headers);
	headers_free(&v->unsealed.headers);
	headers_free(&v->block);
	free(v->whole.iov);
	free(v->unsealed.iov);
	free(v);
}
