/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Messages that are not over, by trace id: does the one that has just come say of itself that it is one
 * which we are giving to a next hop right now? Ids are made by our own dataplane at random, so that an
 * unkeyed hash does; who copies one into a message of his own has that message refused and no other.
 */

#include "control/message.h"

static struct message_bucket *bucket(struct loop *l, struct str id)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < id.n; i++)
		h = (h ^ id.p[i]) * 16777619u;
	return &l->under_way[h % LOOP_BUCKETS];
}

void under_way_add(struct message *m)
{
	LIST_INSERT_HEAD(bucket(m->loop, str_c(m->sub->envelope.trace_id)), m, by_id);
}

void under_way_remove(struct message *m)
{
	LIST_REMOVE(m, by_id);
}

/* Octet by octet, as a gateway hands a recipient on: who writes it anew has had it in hand. */
static bool has(const struct mail_envelope *e, struct str rcpt)
{
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (str_eq(e->rcpt[i], rcpt))
			return true;
	return false;
}

bool under_way_elsewhere(void *arg, struct str trace_id)
{
	const struct message *m = arg, *other;
	const struct mail_envelope *e = &m->sub->envelope;

	LIST_FOREACH(other, bucket(m->loop, trace_id), by_id)
		if (other != m && str_eq(str_c(other->sub->envelope.trace_id), trace_id))
			break;
	if (!other)
		return false;
	/* With one that is new among them it is not the same once more: the others would be told so
	 * at its expense. */
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (!has(&other->sub->envelope, e->rcpt[i]))
			return false;
	return true;
}
