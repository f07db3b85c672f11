/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_internal.h"

#include <stdlib.h>
#include <string.h>

/*
 * A line buffer is held only while a command line is incomplete, which is for a round trip at most
 * with an honest client: one for four sessions, never less than 64. Who finds none gets 421.
 */
static uint32_t n_lines(uint32_t max_sessions)
{
	uint32_t n = max_sessions / 4;

	if (n < 64)
		n = 64;
	return n < max_sessions ? n : max_sessions;
}

size_t smtp_server_bytes(uint32_t max_sessions)
{
	return sizeof(struct smtp_server) + (size_t)max_sessions * sizeof(struct smtp_session) +
	       (size_t)n_lines(max_sessions) * (LIMIT_COMMAND_EXT + sizeof(uint32_t));
}

struct smtp_server *smtp_server_new(uint32_t max_sessions, const struct smtp_ops *ops,
				    uint64_t *counters)
{
	struct smtp_server *v = calloc(1, sizeof(*v));

	if (!v || !max_sessions)
		goto fail;
	v->ops = *ops;
	v->counters = counters;
	v->max_sessions = max_sessions;
	v->n_lines = n_lines(max_sessions);
	v->session = calloc(max_sessions, sizeof(*v->session));
	v->line = calloc(v->n_lines, sizeof(*v->line));
	v->free_line = calloc(v->n_lines, sizeof(*v->free_line));
	if (!v->session || !v->line || !v->free_line)
		goto fail;
	for (uint32_t i = max_sessions; i-- > 0;) {
		v->session[i].next_free = v->free;
		v->free = &v->session[i];
	}
	for (uint32_t i = v->n_lines; i-- > 0;)
		v->free_line[v->n_free_lines++] = i;
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
	free(v->line);
	free(v->free_line);
	free(v);
}

void smtp_server_set_config(struct smtp_server *v, const struct smtp_config *c)
{
	v->config = c;
}

uint32_t smtp_line_get(struct smtp_server *v)
{
	return v->n_free_lines ? v->free_line[--v->n_free_lines] : SMTP_NO_LINE;
}

void smtp_line_put(struct smtp_session *s)
{
	struct smtp_server *v = s->server;

	if (s->line != SMTP_NO_LINE)
		v->free_line[v->n_free_lines++] = s->line;
	s->line = SMTP_NO_LINE;
	s->line_len = 0;
}

struct smtp_session *smtp_session_open(struct smtp_server *v, void *owner, uint64_t now_ms)
{
	struct smtp_session *s = v->free;
	const struct handoff_config *c;

	if (!s || !v->config)
		return NULL;
	v->free = s->next_free;
	memset(s, 0, sizeof(*s));
	s->server = v;
	s->owner = owner;
	s->open = true;
	s->line = SMTP_NO_LINE;
	s->phase = SMTP_PHASE_CONNECT;
	if (now_ms > v->now)
		v->now = now_ms;
	smtp_count(s, CNT_smtp_sessions);
	smtp_count(s, CNT_sessions_now);
	c = smtp_conf(s);
	smtp_arm(s, c->command_timeout_s < c->verdict_timeout_s ? c->command_timeout_s
								: c->verdict_timeout_s);
	if (v->ops.ask_connect(owner) != 0)
		smtp_control_lost(s);
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
	s->open = false;
	s->next_free = v->free;
	v->free = s;
	v->counters[CNT_sessions_now]--;
}
