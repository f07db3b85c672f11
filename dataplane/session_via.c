/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The clients that trusted peers named, by the session's slot. One place a slot, which is touched
 * only if somebody is named there: behind a balancer that is every session, without one none.
 */

#include <string.h>

#include "dataplane/tcp/siphash.h"
#include "dataplane/worker.h"

void session_tcp_peer(const struct session *s, struct smtp_client *out)
{
	struct tcp_tuple t;

	tcp_get_tuple(s->conn, &t);
	*out = (struct smtp_client){.peer_port = t.remote_port, .local_port = t.local_port};
	memcpy(out->peer, t.remote, 16);
	memcpy(out->local, t.local, 16);
}

void session_client(const struct session *s, struct smtp_client *out)
{
	if (s->named)
		*out = s->worker->via[session_slot(s)];
	else
		session_tcp_peer(s, out);
}

uint64_t session_source(const struct session *s)
{
	static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
	uint8_t prefix[16] = {0};
	struct smtp_client c;
	uint64_t key;

	session_client(s, &c);
	memcpy(prefix, c.peer, memcmp(c.peer, mapped, sizeof(mapped)) == 0 ? 16 : 8);
	key = siphash13(s->worker->source_key, prefix, sizeof(prefix));
	return key ? key : 1;
}

uint16_t session_listener(const struct session *s, const struct tcp_tuple *t)
{
	int id = net_listener_id(s->worker->net, t);

	/* A reload took it off the list, or has it no longer terminated: the session is still one
	 * of there. Control looks servers up by their address. */
	return id >= 0 ? (uint16_t)id : s->listener;
}

void session_op_face(void *owner, uint8_t *name, bool *tls)
{
	const struct session *s = owner;
	const struct handoff_inline *server;
	struct tcp_tuple t;

	tcp_get_tuple(s->conn, &t);
	server = net_inline(s->worker->net, &t);
	*name = server ? server->name : 0;
	/* In the name of a server that is not terminated any more there is no certificate to look for. */
	*tls = server ? server->flags & INLINE_F_TLS : !(s->listener & HANDOFF_LISTENER_INLINE);
}

void session_op_tcp_peer(void *owner, struct smtp_client *out)
{
	session_tcp_peer(owner, out);
}

void session_op_client(void *owner, struct smtp_client *out)
{
	session_client(owner, out);
}

void session_op_set_client(void *owner, const struct smtp_client *c)
{
	struct session *s = owner;

	s->worker->via[session_slot(s)] = *c;
	s->named = true;
}
