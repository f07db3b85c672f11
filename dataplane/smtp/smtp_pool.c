/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Memory that a session has for a while only: the beginning of a command line whose end has not
 * come, a name that is longer than names are, the state of content. A session between two commands
 * holds nothing of it, so a million of them cost what struct smtp_session costs.
 */

bool smtp_pool_new(struct smtp_pool *p, uint32_t count, size_t size)
{
	*p = (struct smtp_pool){.size = (uint32_t)size, .count = count, .free_list = SMTP_NONE};
	p->mem = calloc(count, size);
	return p->mem != NULL;
}

size_t smtp_pool_bytes(uint32_t count, size_t size)
{
	return count * size;
}

uint32_t smtp_pool_get(struct smtp_pool *p)
{
	uint32_t i = p->free_list;

	if (i != SMTP_NONE)
		memcpy(&p->free_list, smtp_pool_at(p, i), sizeof(p->free_list));
	else if (p->fresh < p->count)
		i = p->fresh++;
	return i;
}

void smtp_pool_put(struct smtp_pool *p, uint32_t i)
{
	memcpy(smtp_pool_at(p, i), &p->free_list, sizeof(p->free_list));
	p->free_list = i;
}

static struct smtp_line *line_at(const struct smtp_pool *p, uint32_t i)
{
	return smtp_pool_at(p, i);
}

/* From a short buffer, or from none, to a long one. */
static int grow(struct smtp_session *s)
{
	struct smtp_server *v = s->server;
	struct smtp_line *to;
	uint32_t i = smtp_pool_get(&v->long_line);

	if (i == SMTP_NONE)
		return -ENOBUFS;
	to = line_at(&v->long_line, i);
	to->len = 0;
	if (s->line != SMTP_NONE) {
		const struct smtp_line *from = line_at(&v->line, s->line);

		memcpy(to->b, from->b, from->len);
		to->len = from->len;
		smtp_pool_put(&v->line, s->line);
		s->line = SMTP_NONE;
	}
	s->long_line = i;
	return 0;
}

/* The buffer of the partial line; there is one. */
static struct smtp_line *partial(const struct smtp_session *s)
{
	return s->line != SMTP_NONE ? line_at(&s->server->line, s->line)
				    : line_at(&s->server->long_line, s->long_line);
}

int smtp_line_add(struct smtp_session *s, const uint8_t *p, size_t n)
{
	struct smtp_server *v = s->server;
	size_t have = smtp_line_get(s).n;
	struct smtp_line *line;
	int rc;

	if (n > LIMIT_COMMAND_EXT - have)
		return -E2BIG;
	if (s->long_line == SMTP_NONE && have + n > SMTP_SHORT_LINE) {
		rc = grow(s);
		if (rc)
			return rc;
	} else if (!smtp_has_line(s)) {
		s->line = smtp_pool_get(&v->line);
		if (s->line == SMTP_NONE)
			return -ENOBUFS;
		line_at(&v->line, s->line)->len = 0;
	}
	line = partial(s);
	memcpy(line->b + line->len, p, n);
	line->len += (uint32_t)n;
	return 0;
}

struct str smtp_line_get(const struct smtp_session *s)
{
	return smtp_has_line(s) ? str_make(partial(s)->b, partial(s)->len) : STR_NONE;
}

void smtp_line_cut(struct smtp_session *s, size_t n)
{
	partial(s)->len -= (uint32_t)n;
}

void smtp_line_put(struct smtp_session *s)
{
	if (s->line != SMTP_NONE)
		smtp_pool_put(&s->server->line, s->line);
	if (s->long_line != SMTP_NONE)
		smtp_pool_put(&s->server->long_line, s->long_line);
	s->line = s->long_line = SMTP_NONE;
}

bool smtp_name_set(struct smtp_session *s, struct str name)
{
	struct smtp_pool *pool = &s->server->line;

	if (name.n <= sizeof(s->helo)) {
		smtp_name_put(s);
		memcpy(s->helo, name.p, name.n);
	} else {
		if (s->name == SMTP_NONE)
			s->name = smtp_pool_get(pool);
		if (s->name == SMTP_NONE)
			return false;
		memcpy(line_at(pool, s->name)->b, name.p, name.n);
	}
	s->helo_len = (uint8_t)name.n;
	return true;
}

struct str smtp_name_get(const struct smtp_session *s)
{
	return str_make(s->name != SMTP_NONE ? line_at(&s->server->line, s->name)->b : s->helo,
			s->helo_len);
}

void smtp_name_put(struct smtp_session *s)
{
	if (s->name != SMTP_NONE)
		smtp_pool_put(&s->server->line, s->name);
	s->name = SMTP_NONE;
	s->helo_len = 0;
}

bool smtp_content_get(struct smtp_session *s)
{
	uint32_t i = smtp_pool_get(&s->server->content);

	if (i == SMTP_NONE)
		return false;
	s->content = smtp_pool_at(&s->server->content, i);
	return true;
}

void smtp_content_put(struct smtp_session *s)
{
	struct smtp_pool *pool = &s->server->content;

	if (!s->content)
		return;
	smtp_pool_put(pool, (uint32_t)(((uint8_t *)s->content - pool->mem) / pool->size));
	s->content = NULL;
}
