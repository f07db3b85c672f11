/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The only file here that knows the stack's inside: the state's name, and what an empty one is. */

#include "dataplane/tcp/internal.h"
#include "tests/script/script.h"

const char *probe_state(const struct world *w, const struct tcp_tuple *t)
{
	static const char *const name[] = {
		[ST_ESTABLISHED] = "ESTABLISHED", [ST_CLOSE_WAIT] = "CLOSE_WAIT",
		[ST_FIN_WAIT_1] = "FIN_WAIT_1",   [ST_FIN_WAIT_2] = "FIN_WAIT_2",
		[ST_CLOSING] = "CLOSING",         [ST_LAST_ACK] = "LAST_ACK",
		[ST_FREE] = "FREE",               [ST_DEAD] = "DEAD",
	};
	struct tcp_stack *s = w->stack;
	uint32_t ref = tcp_table_find(s, t, tcp_hash(s, t));

	switch (TCP_REF_KIND(ref)) {
	case KIND_CONN:
		return name[conn_at(s, TCP_REF_INDEX(ref))->state];
	case KIND_MINI:
		return "SYN_RCVD";
	case KIND_TW:
		return "TIME_WAIT";
	default:
		return t->local_port == w->listen_port ? "LISTEN" : "CLOSED";
	}
}

/* Octets or a FIN that wait or are under way need a timer, or nothing would ever move again. */
const char *probe_timers(const struct tcp_stack *s)
{
	for (uint32_t i = 0; i < s->conn.fresh; i++) {
		const struct tcp_conn *c = conn_at(s, i);
		bool fin = c->state == ST_FIN_WAIT_1 || c->state == ST_CLOSING ||
			   c->state == ST_LAST_ACK;

		if (c->state == ST_FREE || c->state == ST_DEAD)
			continue;
		if ((c->tx_bytes || fin || c->snd_una != c->snd_max) && !(c->flags & CF_T_RTX))
			return "something is to be sent or acknowledged, and no timer runs";
		if (c->flags & (CF_T_RTX | CF_T_DELACK | CF_T_LIFE) && !(c->flags & CF_IN_WHEEL))
			return "a timer runs, but hangs nowhere";
	}
	return NULL;
}

const char *probe_empty(const struct tcp_stack *s)
{
	if (s->conn.used || s->conns_live)
		return "TCBs are left";
	if (s->mini.used)
		return "mini-TCBs are left";
	if (s->tw.used)
		return "TIME_WAIT entries are left";
	if (s->rx.used || s->ooo_used)
		return "receive blocks are left";
	if (s->tx.used)
		return "transmit blocks are left";
	if (s->board.used)
		return "scoreboards are left";
	for (uint32_t b = 0; b <= s->bucket_mask; b++) {
		if (s->bucket[b].passed)
			return "the flow table still counts entries that went past a bucket";
		for (unsigned int i = 0; i < TCP_BUCKET; i++)
			if (s->bucket[b].ref[i])
				return "the flow table still has an entry";
	}
	for (unsigned int i = 0; i < TCP_WHEEL; i++)
		if (s->wheel[i] != TCP_NONE)
			return "a timer is still hung up";
	return NULL;
}
