/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/deliver/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "control/hash/siphash.h"
#include "postern/limits.h"

struct entry {
	TAILQ_ENTRY(entry) lru;
	struct entry *next;
	struct memory_key key;
	uint64_t made_s, until_s, untold_s;
	bool told;
	uint16_t code, enh_subject, enh_detail;
	uint8_t enh_class;
	uint16_t text_len;
	char text[];
};

struct memory {
	TAILQ_HEAD(memory_lru, entry) lru; /* head: used last */
	size_t cap, n, buckets;
	struct entry **bucket;
};

/* Length, then the octets, so that no two lists of fields run together. */
static size_t add_field(uint8_t *buf, size_t at, struct str s, bool mailbox)
{
	uint8_t alabel[LIMIT_ONWARD_PATH];
	size_t domain;

	/* A U-label and its A-label are one domain (RFC 5890 2.3.2.1). */
	if (mailbox)
		s = mailbox_alabel(s, alabel, sizeof(alabel));
	domain = s.n - (mailbox ? mailbox_domain(s).n : 0);
	buf[at++] = (uint8_t)(s.n >> 8);
	buf[at++] = (uint8_t)s.n;
	s = str_cut(s, LIMIT_ONWARD_PATH);
	/* RFC 5321 2.4: a local part keeps its case, a domain has none. */
	for (size_t i = 0; i < s.n; i++)
		buf[at++] = i >= domain ? ascii_lower(s.p[i]) : s.p[i];
	return at;
}

struct memory_key memory_key(const uint8_t secret[16], const char *route, const struct str *from,
			     struct str rcpt)
{
	uint8_t buf[1 + 3 * (LIMIT_ONWARD_PATH + 2)];
	struct siphash128 h;
	size_t n = 0;

	buf[n++] = from ? 1 : 0;
	n = add_field(buf, n, str_c(route), false);
	n = add_field(buf, n, from ? *from : STR_NONE, true);
	n = add_field(buf, n, rcpt, true);
	h = siphash128(secret, buf, n);
	return (struct memory_key){h.lo, h.hi};
}

struct memory *memory_new(size_t cap)
{
	struct memory *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	TAILQ_INIT(&m->lru);
	m->cap = cap ? cap : 1;
	m->buckets = 64;
	while (m->buckets < m->cap)
		m->buckets *= 2;
	m->bucket = calloc(m->buckets, sizeof(*m->bucket));
	if (!m->bucket) {
		free(m);
		return NULL;
	}
	return m;
}

static struct entry **find(struct memory *m, struct memory_key key)
{
	struct entry **e = &m->bucket[key.lo & (m->buckets - 1)];

	while (*e && ((*e)->key.lo != key.lo || (*e)->key.hi != key.hi))
		e = &(*e)->next;
	return e;
}

static void drop(struct memory *m, struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	TAILQ_REMOVE(&m->lru, e, lru);
	m->n--;
	free(e);
}

void memory_free(struct memory *m)
{
	struct entry *e;

	if (!m)
		return;
	while ((e = TAILQ_FIRST(&m->lru))) {
		TAILQ_REMOVE(&m->lru, e, lru);
		free(e);
	}
	free(m->bucket);
	free(m);
}

int memory_put(struct memory *m, struct memory_key key, uint64_t now_s, uint32_t ttl_s,
	       uint32_t untold_s, const struct deliver_reply *reply)
{
	size_t text = reply ? strnlen(reply->text, sizeof(reply->text) - 1) : 0;
	struct entry *e = malloc(sizeof(*e) + text), **at;

	if (!e)
		return -ENOMEM;
	memset(e, 0, sizeof(*e));
	e->key = key;
	e->made_s = now_s;
	e->until_s = now_s + ttl_s;
	e->untold_s = now_s + untold_s;
	if (reply) {
		e->code = reply->code;
		e->enh_class = reply->enh_class;
		e->enh_subject = reply->enh_subject;
		e->enh_detail = reply->enh_detail;
		e->text_len = (uint16_t)text;
		memcpy(e->text, reply->text, text);
	}
	at = find(m, key);
	if (*at)
		drop(m, at);
	else if (m->n == m->cap)
		drop(m, find(m, TAILQ_LAST(&m->lru, memory_lru)->key));
	at = &m->bucket[key.lo & (m->buckets - 1)];
	e->next = *at;
	*at = e;
	TAILQ_INSERT_HEAD(&m->lru, e, lru);
	m->n++;
	return 0;
}

bool memory_get(struct memory *m, struct memory_key key, uint64_t now_s,
		struct deliver_reply *reply, uint64_t *made_s)
{
	struct entry **at = find(m, key), *e = *at;

	if (!e)
		return false;
	if (now_s >= e->until_s && (e->told || now_s >= e->untold_s)) {
		drop(m, at);
		return false;
	}
	e->told = true;
	TAILQ_REMOVE(&m->lru, e, lru);
	TAILQ_INSERT_HEAD(&m->lru, e, lru);
	if (reply) {
		memset(reply, 0, sizeof(*reply));
		reply->code = e->code;
		reply->enh_class = e->enh_class;
		reply->enh_subject = e->enh_subject;
		reply->enh_detail = e->enh_detail;
		memcpy(reply->text, e->text, e->text_len);
	}
	if (made_s)
		*made_s = e->made_s;
	return true;
}

void memory_drop(struct memory *m, struct memory_key key)
{
	struct entry **at = find(m, key);

	if (*at)
		drop(m, at);
}

size_t memory_count(const struct memory *m)
{
	return m->n;
}
