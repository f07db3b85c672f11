/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/config/config_tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "postern/limits.h"

#define BLOCK_SIZE 4096u

struct config_block {
	struct config_block *next;
	size_t used, size;
	_Alignas(16) uint8_t data[];
};

void *config_alloc(struct config_mem *m, size_t n)
{
	struct config_block *b = m->block;
	void *p;

	if (n > SIZE_MAX / 2)
		goto fail;
	n = (n + 15) & ~(size_t)15;
	if (!b || b->size - b->used < n) {
		size_t size = n > BLOCK_SIZE ? n : BLOCK_SIZE;

		b = malloc(sizeof(*b) + size);
		if (!b)
			goto fail;
		b->next = m->block;
		b->used = 0;
		b->size = size;
		m->block = b;
	}
	p = b->data + b->used;
	b->used += n;
	return memset(p, 0, n);
fail:
	m->failed = true;
	return NULL;
}

char *config_dup(struct config_mem *m, struct str s)
{
	char *p = config_alloc(m, s.n + 1);

	if (p && s.n)
		memcpy(p, s.p, s.n);
	return p;
}

void config_mem_free(struct config_mem *m)
{
	while (m->block) {
		struct config_block *next = m->block->next;

		OPENSSL_cleanse(m->block->data, m->block->used); /* private keys lie here */
		free(m->block);
		m->block = next;
	}
}

/* "listener.public.address": an element of an array has the key of its array. */
static void node_path(const struct config_node *n, const char *key, char *out, size_t cap)
{
	const char *part[LIMIT_CONFIG_DEPTH + 4];
	size_t n_parts = 0, at = 0;

	out[0] = '\0';
	if (key)
		part[n_parts++] = key;
	for (; n && n_parts < sizeof(part) / sizeof(part[0]); n = n->parent)
		if (n->key)
			part[n_parts++] = n->key;
	while (n_parts-- && at < cap) {
		int k = snprintf(out + at, cap - at, "%s%s", at ? "." : "", part[n_parts]);

		at += k > 0 ? (size_t)k : 0;
	}
}

static void fail_at(struct config_ctx *c, const char *file, unsigned int line, const char *path,
		    const char *fmt, va_list ap)
{
	struct config_error *e;

	if (c->n_errors++ >= c->cap)
		return;
	e = &c->err[c->n_errors - 1];
	snprintf(e->file, sizeof(e->file), "%s", file);
	e->line = line;
	snprintf(e->key, sizeof(e->key), "%s", path);
	vsnprintf(e->reason, sizeof(e->reason), fmt, ap);
	/* What files say, and their names, are shown to a terminal. */
	for (char *p = e->file; *p; p++)
		if ((uint8_t)*p < 0x20 || *p == 0x7f)
			*p = '?';
	for (char *p = e->reason; *p; p++)
		if ((uint8_t)*p < 0x20 || *p == 0x7f)
			*p = '?';
	for (char *p = e->key; *p; p++)
		if ((uint8_t)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

void config_fail(struct config_ctx *c, const struct config_node *at, const char *key,
		 const char *fmt, ...)
{
	char path[sizeof(((struct config_error *)0)->key)];
	va_list ap;

	node_path(at, key, path, sizeof(path));
	va_start(ap, fmt);
	fail_at(c, at && at->source ? at->source->name : c->file, at ? at->line : 0, path, fmt, ap);
	va_end(ap);
}

void config_fail_line(struct config_ctx *c, unsigned int line, const char *key, const char *fmt,
		      ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail_at(c, c->file, line, key, fmt, ap);
	va_end(ap);
}

const struct config_node *config_child(const struct config_node *section, const char *key)
{
	for (const struct config_node *n = section->first; n; n = n->next)
		if (n->key && strcmp(n->key, key) == 0)
			return n;
	return NULL;
}

const char *config_kind_name(const struct config_node *n)
{
	switch (n->kind) {
	case NODE_SECTION:
		return "a section";
	case NODE_ARRAY:
		return "an array";
	case NODE_STRING:
		return "a string";
	case NODE_NUMBER:
		return n->unit == UNIT_TIME ? "a time" : n->unit == UNIT_SIZE ? "a size" : "a number";
	default:
		return "a boolean";
	}
}
