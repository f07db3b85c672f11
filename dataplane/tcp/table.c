/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Flow table: open addressing over buckets of one cache line. An entry lives in its home bucket or,
 * when that is full, in the next one with room; every full bucket it went past counts it in
 * `passed`, and a search goes on only while `passed` is not zero. Taking an entry out therefore
 * needs no tombstone. Two thirds full at most, so chains stay short; the hash is keyed.
 */

#include "dataplane/tcp/internal.h"

#include <string.h>

uint32_t tcp_local_hash(struct tcp_stack *s, const uint8_t local[16])
{
	if (!s->last_local_valid || memcmp(s->last_local, local, 16)) {
		memcpy(s->last_local, local, 16);
		s->last_local_hash = (uint32_t)siphash13(s->env.secret, local, 16);
		s->last_local_valid = true;
	}
	return s->last_local_hash;
}

uint64_t tcp_hash_parts(struct tcp_stack *s, const uint8_t remote[16], uint16_t remote_port,
			uint16_t local_port, uint32_t local_hash)
{
	uint8_t b[24];

	memcpy(b, remote, 16);
	memcpy(b + 16, &remote_port, 2);
	memcpy(b + 18, &local_port, 2);
	memcpy(b + 20, &local_hash, 4);
	return siphash13(s->env.secret, b, sizeof(b));
}

uint64_t tcp_hash(struct tcp_stack *s, const struct tcp_tuple *t)
{
	return tcp_hash_parts(s, t->remote, t->remote_port, t->local_port,
			      tcp_local_hash(s, t->local));
}

static bool same_tuple(const struct tcp_tuple *a, const struct tcp_tuple *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static bool matches(struct tcp_stack *s, uint32_t ref, const struct tcp_tuple *t)
{
	uint32_t i = TCP_REF_INDEX(ref);
	const struct tcp_tw *w;

	switch (TCP_REF_KIND(ref)) {
	case KIND_CONN:
		return same_tuple(&conn_at(s, i)->tuple, t);
	case KIND_MINI:
		return same_tuple(&mini_at(s, i)->tuple, t);
	case KIND_TW:
		w = tw_at(s, i);
		return w->remote_port == t->remote_port && w->local_port == t->local_port &&
		       !memcmp(w->remote, t->remote, 16) &&
		       w->local_hash == tcp_local_hash(s, t->local);
	default:
		return false;
	}
}

static uint16_t tag_of(uint64_t hash)
{
	return (uint16_t)(hash >> 48);
}

uint32_t tcp_table_find(struct tcp_stack *s, const struct tcp_tuple *t, uint64_t hash)
{
	uint32_t b = (uint32_t)hash & s->bucket_mask;
	uint16_t tag = tag_of(hash);

	for (;; b = (b + 1) & s->bucket_mask) {
		const struct tcp_bucket *k = &s->bucket[b];

		for (unsigned int i = 0; i < TCP_BUCKET; i++)
			if (k->tag[i] == tag && k->ref[i] && matches(s, k->ref[i], t))
				return k->ref[i];
		if (!k->passed)
			return 0;
	}
}

void tcp_table_prefetch(const struct tcp_stack *s, uint64_t hash)
{
	const struct tcp_bucket *k = &s->bucket[hash & s->bucket_mask];
	uint16_t tag = tag_of(hash);

	for (unsigned int i = 0; i < TCP_BUCKET; i++) {
		uint32_t at = TCP_REF_INDEX(k->ref[i]);

		if (k->tag[i] != tag || !k->ref[i])
			continue;
		switch (TCP_REF_KIND(k->ref[i])) {
		case KIND_CONN: {
			const uint8_t *c = (const uint8_t *)conn_at(s, at);

			for (unsigned int line = 0; line < sizeof(struct tcp_conn); line += 64)
				__builtin_prefetch(c + line);
			break;
		}
		case KIND_MINI: __builtin_prefetch(mini_at(s, at)); break;
		case KIND_TW: __builtin_prefetch(tw_at(s, at)); break;
		default: break;
		}
	}
}

/* The table has room for all pools together, so the loop ends. */
void tcp_table_add(struct tcp_stack *s, uint64_t hash, uint32_t ref)
{
	uint32_t b = (uint32_t)hash & s->bucket_mask;

	for (;; b = (b + 1) & s->bucket_mask) {
		struct tcp_bucket *k = &s->bucket[b];

		for (unsigned int i = 0; i < TCP_BUCKET; i++) {
			if (k->ref[i])
				continue;
			k->ref[i] = ref;
			k->tag[i] = tag_of(hash);
			return;
		}
		k->passed++;
	}
}

static uint32_t *slot_of(struct tcp_stack *s, uint64_t hash, uint32_t ref, uint32_t *bucket)
{
	uint32_t b = (uint32_t)hash & s->bucket_mask;

	for (;; b = (b + 1) & s->bucket_mask) {
		struct tcp_bucket *k = &s->bucket[b];

		for (unsigned int i = 0; i < TCP_BUCKET; i++) {
			if (k->ref[i] != ref)
				continue;
			*bucket = b;
			return &k->ref[i];
		}
		if (!k->passed)
			return NULL;
	}
}

void tcp_table_del(struct tcp_stack *s, uint64_t hash, uint32_t ref)
{
	uint32_t at, b = (uint32_t)hash & s->bucket_mask;
	uint32_t *slot = slot_of(s, hash, ref, &at);

	if (!slot)
		return;
	*slot = 0;
	for (; b != at; b = (b + 1) & s->bucket_mask)
		s->bucket[b].passed--;
}

/* The same flow in another pool: mini-TCB to TCB, TCB to TIME_WAIT. */
void tcp_table_swap(struct tcp_stack *s, uint64_t hash, uint32_t ref, uint32_t new_ref)
{
	uint32_t at;
	uint32_t *slot = slot_of(s, hash, ref, &at);

	if (slot)
		*slot = new_ref;
}
