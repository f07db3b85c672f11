/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_internal.h"

#include <stdlib.h>
#include <string.h>

/*
 * A buffer is held only while a command line is incomplete, which is for a round trip at most with an
 * honest client, or for a long name: one for four sessions, never less than 64, and one in 64 for
 * lines over SMTP_SHORT_LINE. Who finds none gets 421.
 */
static struct smtp_sizes sizes_of(const struct smtp_sizes *want)
{
	struct smtp_sizes z = *want;
	uint32_t n = z.sessions;

	if (!z.lines)
		z.lines = n / 4 > 64 ? n / 4 : 64;
	if (!z.long_lines)
		z.long_lines = n / 64 > 64 ? n / 64 : 64;
	if (!z.contents)
		z.contents = n < 16384 ? n : 16384;
	z.lines = z.lines < n ? z.lines : n;
	z.long_lines = z.long_lines < n ? z.long_lines : n;
	z.contents = z.contents < n ? z.contents : n;
	return z;
}

#define LINE_SIZE (sizeof(struct smtp_line) + SMTP_SHORT_LINE)
#define LONG_LINE_SIZE (sizeof(struct smtp_line) + LIMIT_COMMAND_EXT)

size_t smtp_server_bytes(const struct smtp_sizes *sizes)
{
	struct smtp_sizes z = sizes_of(sizes);

	return sizeof(struct smtp_server) + (size_t)z.sessions * sizeof(struct smtp_session) +
	       smtp_pool_bytes(z.lines, LINE_SIZE) + smtp_pool_bytes(z.long_lines, LONG_LINE_SIZE) +
	       smtp_pool_bytes(z.contents, sizeof(struct smtp_content));
}

struct smtp_server *smtp_server_new(const struct smtp_sizes *sizes, const struct smtp_ops *ops,
				    uint64_t *counters)
{
	struct smtp_sizes z = sizes_of(sizes);
	struct smtp_server *v = calloc(1, sizeof(*v));

	if (!v || !z.sessions)
		goto fail;
	v->ops = *ops;
	v->counters = counters;
	v->max_sessions = z.sessions;
	v->free = SMTP_NONE;
	for (unsigned int i = 0; i < SMTP_WHEEL; i++)
		v->wheel[i] = SMTP_NONE;
	v->session = aligned_alloc(64, ((size_t)z.sessions * sizeof(*v->session) + 63) & ~63ul);
	if (!v->session || !smtp_pool_new(&v->line, z.lines, LINE_SIZE) ||
	    !smtp_pool_new(&v->long_line, z.long_lines, LONG_LINE_SIZE) ||
	    !smtp_pool_new(&v->content, z.contents, sizeof(struct smtp_content)))
		goto fail;
	return v;
fail:
	smtp_server_free(v);
	return NULL;
}

void smtp_server_free(struct smtp_server *v)
{
	if (!v)
		return;
	free(v->session);
	free(v->line.mem);
	free(v->long_line.mem);
	free(v->content.mem);
	free(v);
}

void smtp_server_set_config(struct smtp_server *v, const struct smtp_config *c)
{
	v->config = c;
}

static struct smtp_session *get_session(struct smtp_server *v)
{
	uint32_t i = v->free;

	if (i != SMTP_NONE)
		v->free = v->session[i].timer_next;
	else if (v->fresh < v->max_sessions)
		i = v->fresh++;
	return i != SMTP_NONE ? &v->session[i] : NULL;
}

struct smtp_session *smtp_session_open(struct smtp_server *v, void *owner, uint64_t now_ms)
{
	struct smtp_session *s = v->config ? get_session(v) : NULL;

	if (!s)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->server = v;
	s->owner = owner;
	s->open = true;
	s->line = s->long_line = s->name = SMTP_NONE;
	s->timer_slot = SMTP_NO_SLOT;
	if (now_ms > v->now)
		v->now = now_ms;
	smtp_count(s, CNT_smtp_sessions);
	smtp_count(s, CNT_sessions_now);
	if (!smtp_proxy_begin(s))
		smtp_ask_connect(s);
	return s;
}

void smtp_session_free(struct smtp_session *s)
{
	struct smtp_server *v = s->server;

	if (!s->open)
		return;
	if (s->phase == SMTP_PHASE_SUBMITTED)
		smtp_count(s, CNT_smtp_client_gone);
	smtp_end_txn(s);
	smtp_line_put(s);
	smtp_name_put(s);
	smtp_content_put(s);
	smtp_wheel_unhang(s);
	s->open = false;
	s->timer_next = v->free;
	v->free = (uint32_t)(s - v->session);
	v->counters[CNT_sessions_now]--;
}
