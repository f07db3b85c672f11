/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/auth/spf/spf_wire.h"

#include <errno.h>
#include <stdio.h>

#define MAGIC_REQUEST  0x73706601u
#define MAGIC_RESPONSE 0x73706602u

bool spf_key_eq(struct spf_key a, struct spf_key b)
{
	return a.kind == b.kind && a.node == b.node && a.term == b.term && a.index == b.index;
}

void spf_key_alias(struct spf_key k, char *out)
{
	snprintf(out, SPF_ALIAS_MAX, "%c%u-%u-%u.invalid", k.kind, k.node, k.term, k.index);
}

static bool number(const char **s, char end, uint16_t *out)
{
	unsigned int v = 0;
	const char *p = *s;

	if (!ascii_is_digit((uint8_t)*p))
		return false;
	for (; ascii_is_digit((uint8_t)*p); p++) {
		v = v * 10 + (unsigned int)(*p - '0');
		if (v > UINT16_MAX)
			return false;
	}
	if (*p != end)
		return false;
	*s = p + 1;
	*out = (uint16_t)v;
	return true;
}

static bool kind_valid(uint8_t k)
{
	return k && memchr("mdrctxph", k, 8);
}

bool spf_key_parse(const char *alias, struct spf_key *out)
{
	if (!kind_valid((uint8_t)alias[0]))
		return false;
	out->kind = (uint8_t)alias[0];
	alias++;
	return number(&alias, '-', &out->node) && number(&alias, '-', &out->term) &&
	       number(&alias, '.', &out->index);
}

void spf_put(struct spf_buf *b, const void *p, size_t n)
{
	if (b->bad || n > b->cap - b->n) {
		b->bad = true;
		return;
	}
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

void spf_put_u8(struct spf_buf *b, unsigned int v)
{
	uint8_t c = (uint8_t)v;

	spf_put(b, &c, 1);
}

void spf_put_u16(struct spf_buf *b, unsigned int v)
{
	uint8_t c[2] = {(uint8_t)(v >> 8), (uint8_t)v};

	spf_put(b, c, 2);
}

void spf_put_u32(struct spf_buf *b, uint32_t v)
{
	spf_put_u16(b, v >> 16);
	spf_put_u16(b, v & 0xffff);
}

static void put_key(struct spf_buf *b, struct spf_key k)
{
	spf_put_u8(b, k.kind);
	spf_put_u16(b, k.node);
	spf_put_u16(b, k.term);
	spf_put_u16(b, k.index);
}

struct reader {
	const uint8_t *p;
	size_t n;
	bool bad;
};

static const uint8_t *take(struct reader *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->bad || n > r->n) {
		r->bad = true;
		return NULL;
	}
	r->p += n;
	r->n -= n;
	return p;
}

static uint8_t get_u8(struct reader *r)
{
	const uint8_t *p = take(r, 1);

	return p ? p[0] : 0;
}

static uint16_t get_u16(struct reader *r)
{
	const uint8_t *p = take(r, 2);

	return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

static uint32_t get_u32(struct reader *r)
{
	uint32_t hi = get_u16(r);

	return hi << 16 | get_u16(r);
}

static struct spf_key get_key(struct reader *r)
{
	struct spf_key k;

	k.kind = get_u8(r);
	k.node = get_u16(r);
	k.term = get_u16(r);
	k.index = get_u16(r);
	if (!kind_valid(k.kind))
		r->bad = true;
	return k;
}

long spf_wire_put_request(const struct spf_wire_request *q, uint8_t *out, size_t cap)
{
	struct spf_buf b = {out, 0, cap, false};

	spf_put_u32(&b, MAGIC_REQUEST);
	spf_put_u32(&b, q->seq);
	spf_put_u8(&b, q->v6);
	spf_put(&b, q->ip, 16);
	spf_put_u16(&b, (unsigned int)q->n_records);
	for (size_t i = 0; i < q->n_records; i++) {
		put_key(&b, q->record[i].key);
		spf_put_u8(&b, q->record[i].status);
		spf_put_u32(&b, (uint32_t)q->record[i].text.n);
		spf_put(&b, q->record[i].text.p, q->record[i].text.n);
	}
	spf_put_u16(&b, (unsigned int)q->n_answers);
	for (size_t i = 0; i < q->n_answers; i++) {
		const struct spf_wire_answer *a = &q->answer[i];

		put_key(&b, a->key);
		spf_put_u8(&b, a->status);
		spf_put_u8(&b, a->width);
		spf_put_u16(&b, a->count);
		spf_put(&b, a->data, (size_t)a->count * a->width);
	}
	return b.bad ? -EMSGSIZE : (long)b.n;
}

int spf_wire_get_request(struct spf_wire_request *q, const uint8_t *p, size_t n)
{
	struct reader r = {p, n, false};
	const uint8_t *ip;

	if (get_u32(&r) != MAGIC_REQUEST)
		return -EBADMSG;
	q->seq = get_u32(&r);
	q->v6 = get_u8(&r) != 0;
	ip = take(&r, 16);
	if (!ip)
		return -EBADMSG;
	memcpy(q->ip, ip, 16);
	q->n_records = get_u16(&r);
	if (q->n_records > SPF_WIRE_RECORDS)
		return -EBADMSG;
	for (size_t i = 0; i < q->n_records; i++) {
		struct spf_wire_record *rec = &q->record[i];

		rec->key = get_key(&r);
		rec->status = get_u8(&r);
		rec->text.n = get_u32(&r);
		rec->text.p = take(&r, rec->text.n);
		if (r.bad || (rec->text.n && memchr(rec->text.p, 0, rec->text.n)))
			return -EBADMSG;
	}
	q->n_answers = get_u16(&r);
	if (r.bad || q->n_answers > SPF_WIRE_ANSWERS)
		return -EBADMSG;
	for (size_t i = 0; i < q->n_answers; i++) {
		struct spf_wire_answer *a = &q->answer[i];

		a->key = get_key(&r);
		a->status = get_u8(&r);
		a->width = get_u8(&r);
		a->count = get_u16(&r);
		if (a->count > SPF_WIRE_ADDRESSES)
			return -EBADMSG;
		if (a->width != 0 && a->width != 1 && a->width != 4 && a->width != 16)
			return -EBADMSG;
		a->data = take(&r, (size_t)a->count * a->width);
		if (r.bad)
			return -EBADMSG;
	}
	return r.n == 0 ? 0 : -EBADMSG;
}

long spf_wire_put_response(const struct spf_wire_response *q, uint8_t *out, size_t cap)
{
	struct spf_buf b = {out, 0, cap, false};

	spf_put_u32(&b, MAGIC_RESPONSE);
	spf_put_u32(&b, q->seq);
	spf_put_u8(&b, q->outcome);
	spf_put_u8(&b, q->result);
	spf_put_u8(&b, q->lookups);
	spf_put_u8(&b, q->voids);
	spf_put_u8(&b, q->last);
	put_key(&b, q->at);
	spf_put_u8(&b, (unsigned int)q->n_missing);
	for (size_t i = 0; i < q->n_missing; i++)
		put_key(&b, q->missing[i]);
	return b.bad ? -EMSGSIZE : (long)b.n;
}

int spf_wire_get_response(struct spf_wire_response *q, const uint8_t *p, size_t n)
{
	struct reader r = {p, n, false};

	if (get_u32(&r) != MAGIC_RESPONSE)
		return -EBADMSG;
	q->seq = get_u32(&r);
	q->outcome = get_u8(&r);
	q->result = get_u8(&r);
	q->lookups = get_u8(&r);
	q->voids = get_u8(&r);
	q->last = get_u8(&r) != 0;
	q->at = get_key(&r);
	q->n_missing = get_u8(&r);
	if (q->n_missing > SPF_WIRE_MISSING || q->outcome > SPF_OUT_INTERNAL)
		return -EBADMSG;
	for (size_t i = 0; i < q->n_missing; i++)
		q->missing[i] = get_key(&r);
	return r.bad || r.n ? -EBADMSG : 0;
}
