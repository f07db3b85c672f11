/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <string.h>

#include "dataplane/tap/tap_internal.h"

static struct tap_piece *piece_get(struct tap *t)
{
	struct tap_piece *p = t->free_piece;

	if (!p)
		return NULL;
	t->free_piece = p->next;
	t->n_pieces++;
	*p = (struct tap_piece){0};
	return p;
}

static struct tap_block *block_get(struct tap *t)
{
	struct tap_block *b = t->free_block;

	if (b) {
		t->free_block = b->next;
		t->n_blocks++;
	}
	return b;
}

void tap_piece_free(struct tap *t, struct tap_piece *p)
{
	if (p->owner) {
		t->env.drop(p->owner);
	} else if (p->block) {
		p->block->next = t->free_block;
		t->free_block = p->block;
		t->n_blocks--;
	}
	p->next = t->free_piece;
	t->free_piece = p;
	t->n_pieces--;
}

/* A piece of v[off..), at most n octets. */
static struct tap_piece *piece_of(struct tap *t, const struct tap_view *v, uint32_t off, uint32_t n)
{
	struct tap_piece *p = piece_get(t);

	if (!p)
		return NULL;
	p->n = v->n - off < n ? v->n - off : n;
	if (!v->owner || p->n <= TAP_BLOCK)
		p->block = block_get(t);
	if (p->block) {
		if (p->n > TAP_BLOCK)
			p->n = TAP_BLOCK;
		memcpy(p->block->data, v->p + off, p->n);
		p->p = p->block->data;
		return p;
	}
	if (!v->owner) {
		tap_piece_free(t, p);
		return NULL;
	}
	p->owner = v->owner;
	p->p = v->p + off;
	t->env.hold(v->owner);
	return p;
}

/* A few octets are not worth the buffers that they lie in: all n at off into one block. */
static struct tap_piece *piece_small(struct tap *t, const struct tap_in *in, uint32_t off,
				     uint32_t n)
{
	const struct tap_segment *seg = in->seg;
	struct tap_piece *p = t->free_block ? piece_get(t) : NULL;

	if (!p)
		return NULL;
	p->block = block_get(t);
	p->p = p->block->data;
	p->seq = in->seq + off;
	p->ack = in->ack;
	for (unsigned int i = 0; i < seg->n_views && p->n < n; i++) {
		const struct tap_view *v = &seg->view[i];
		uint32_t k;

		if (off >= v->n) {
			off -= v->n;
			continue;
		}
		k = v->n - off < n - p->n ? v->n - off : n - p->n;
		memcpy(p->block->data + p->n, v->p + off, k);
		p->n += k;
		off = 0;
	}
	return p;
}

struct tap_piece *tap_piece_take(struct tap *t, const struct tap_in *in, uint32_t off, uint32_t n,
				 struct tap_piece **last, uint16_t *count)
{
	const struct tap_segment *seg = in->seg;
	struct tap_piece *first = NULL, **at = &first;
	uint32_t seq = in->seq + off;

	*count = 0;
	*last = n <= TAP_BLOCK ? piece_small(t, in, off, n) : NULL;
	if (*last) {
		*count = 1;
		return *last;
	}
	for (unsigned int i = 0; i < seg->n_views && n;) {
		const struct tap_view *v = &seg->view[i];
		struct tap_piece *p;

		if (off >= v->n) {
			off -= v->n;
			i++;
			continue;
		}
		p = piece_of(t, v, off, n);
		if (!p)
			goto fail;
		p->seq = seq;
		p->ack = in->ack;
		*at = p;
		at = &p->next;
		*last = p;
		(*count)++;
		seq += p->n;
		off += p->n;
		n -= p->n;
	}
	return first;
fail:
	while (first) {
		struct tap_piece *p = first;

		first = p->next;
		tap_piece_free(t, p);
	}
	return NULL;
}

struct tap_piece *tap_piece_gap(struct tap *t, uint32_t seq, uint32_t n, enum tap_cause cause)
{
	struct tap_piece *p = piece_get(t);

	if (p) {
		p->seq = seq;
		p->n = n;
		p->cause = (uint8_t)cause;
	}
	return p;
}

bool tap_piece_differs(const struct tap_in *in, const struct tap_piece *p, uint32_t seq,
		       uint32_t end)
{
	const struct tap_segment *seg = in->seg;
	uint32_t off;

	if (seq_lt(seq, p->seq))
		seq = p->seq;
	if (seq_gt(end, p->seq + p->n))
		end = p->seq + p->n;
	if (!p->p || seq_ge(seq, end))
		return false;
	off = seq - in->seq;
	for (unsigned int i = 0; i < seg->n_views && seq != end; i++) {
		const struct tap_view *v = &seg->view[i];
		uint32_t k;

		if (off >= v->n) {
			off -= v->n;
			continue;
		}
		k = v->n - off < end - seq ? v->n - off : end - seq;
		if (memcmp(v->p + off, p->p + (seq - p->seq), k) != 0)
			return true;
		seq += k;
		off = 0;
	}
	return false;
}

static void list_free(struct tap *t, struct tap_piece *p)
{
	while (p) {
		struct tap_piece *next = p->next;

		tap_piece_free(t, p);
		p = next;
	}
}

void tap_dir_free(struct tap *t, struct tap_dir *d)
{
	for (const struct tap_piece *p = d->held; p; p = p->next)
		if (p->p)
			TAP_ADD(t, tap_unacked_lost, p->n);
	for (const struct tap_piece *p = d->ooo; p; p = p->next)
		TAP_ADD(t, tap_unacked_lost, p->n);
	list_free(t, d->held);
	list_free(t, d->ooo);
	d->held = d->held_tail = d->ooo = NULL;
	d->held_octets = d->held_n = d->ooo_n = 0;
}
