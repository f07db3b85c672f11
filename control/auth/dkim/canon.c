/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "control/auth/dkim/canon.h"
#include "control/hash/sha256.h"

/* ---- body --------------------------------------------------------------------------------- */

static void hashes_take(struct canon_pass *p, const struct canon_body *b, const uint8_t *data,
			size_t n)
{
	for (size_t i = 0; i < p->n; i++) {
		struct canon_hash *h = &p->hash[i];
		size_t k = n;

		if (h->canon != b->canon || h->taken == h->limit)
			continue;
		if (k > h->limit - h->taken)
			k = (size_t)(h->limit - h->taken);
		if (EVP_DigestUpdate(h->md, data, k) != 1)
			p->failed = true;
		h->taken += k;
	}
}

static void stage_flush(struct canon_pass *p, struct canon_body *b)
{
	if (b->n_stage)
		hashes_take(p, b, b->stage, b->n_stage);
	b->n_stage = 0;
}

static void emit(struct canon_pass *p, struct canon_body *b, const uint8_t *data, size_t n)
{
	b->total += n;
	if (n > CANON_STAGE - b->n_stage)
		stage_flush(p, b);
	if (n > CANON_STAGE / 2) {
		stage_flush(p, b);
		hashes_take(p, b, data, n);
		return;
	}
	memcpy(b->stage + b->n_stage, data, n);
	b->n_stage += n;
}

/* An octet that stays: what was held back in front of it stays as well. */
static void emit_data(struct canon_pass *p, struct canon_body *b, const uint8_t *data, size_t n)
{
	for (; b->crlf; b->crlf--)
		emit(p, b, (const uint8_t *)"\r\n", 2);
	if (b->wsp) {
		b->wsp = false;
		emit(p, b, (const uint8_t *)" ", 1);
	}
	b->any = true;
	emit(p, b, data, n);
}

/*
 * Octets from `i` on that come out as they are, lines and all: from one that is neither white space
 * nor CR to where something may have to go. A CRLF, and a single space in relaxed, is within only if the
 * octet behind it is here and stays.
 */
static size_t simple_run(const uint8_t *data, size_t i, size_t n)
{
	for (;;) {
		i += str_find(str_make(data + i, n - i), '\r');
		if (i + 2 >= n || data[i + 1] != '\n' || data[i + 2] == '\r')
			return i;
		i += 3;
	}
}

/* Octets over the space are never changed; those up to it are looked at one by one. */
static size_t plain_run(const uint8_t *data, size_t i, size_t n)
{
#ifdef __SSE2__
	const __m128i space = _mm_set1_epi8(' ');

	for (; i + 17 <= n; i += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(data + i));
		__m128i next = _mm_loadu_si128((const __m128i *)(const void *)(data + i + 1));
		__m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, space), v);
		__m128i low_next = _mm_cmpeq_epi8(_mm_min_epu8(next, space), next);
		/* a space whose next octet is none of them */
		__m128i fine = _mm_andnot_si128(low_next, _mm_cmpeq_epi8(v, space));
		unsigned int stop = (unsigned int)_mm_movemask_epi8(_mm_andnot_si128(fine, low));

		if (stop)
			return i + (unsigned int)__builtin_ctz(stop);
	}
#endif
	while (i < n && (data[i] > ' ' || (data[i] == ' ' && i + 1 < n && data[i + 1] > ' ')))
		i++;
	return i;
}

static size_t relaxed_run(const uint8_t *data, size_t i, size_t n)
{
	for (;;) {
		i = plain_run(data, i, n);
		if (i == n || data[i] == ' ' || data[i] == '\t')
			return i;
		if (data[i] != '\r') { /* some other control character */
			i++;
			continue;
		}
		if (i + 2 >= n || data[i + 1] != '\n' || data[i + 2] == '\r' ||
		    ascii_is_wsp(data[i + 2]))
			return i;
		i += 2;
	}
}

static void body_update(struct canon_pass *p, struct canon_body *b, const uint8_t *data, size_t n)
{
	bool relaxed = b->canon == CANON_RELAXED;
	size_t i = 0;

	while (i < n) {
		uint8_t c = data[i];
		size_t start = i;

		if (b->cr) {
			b->cr = false;
			if (c == '\n') {
				/* RFC 6376 3.4.4 a: white space at the end of a line goes. */
				b->wsp = false;
				b->crlf++;
				i++;
				continue;
			}
			emit_data(p, b, (const uint8_t *)"\r", 1);
		}
		if (c == '\r') {
			b->cr = true;
			i++;
			continue;
		}
		if (relaxed && ascii_is_wsp(c)) {
			b->wsp = true;
			i++;
			continue;
		}
		i = relaxed ? relaxed_run(data, i, n) : simple_run(data, i, n);
		emit_data(p, b, data + start, i - start);
	}
}

static void body_end(struct canon_pass *p, struct canon_body *b)
{
	if (b->cr) {
		b->cr = false;
		emit_data(p, b, (const uint8_t *)"\r", 1);
	}
	/* RFC 6376 3.4.3: an empty body is one CRLF; 3.4.4: it is nothing. */
	if (b->any || b->canon == CANON_SIMPLE)
		emit(p, b, (const uint8_t *)"\r\n", 2);
	stage_flush(p, b);
}

void canon_pass_init(struct canon_pass *p)
{
	memset(p, 0, sizeof(*p));
	p->body[CANON_RELAXED].canon = CANON_RELAXED;
}

int canon_pass_add(struct canon_pass *p, enum dkim_canon canon, uint64_t limit)
{
	struct canon_hash *h;

	for (size_t i = 0; i < p->n; i++)
		if (p->hash[i].canon == canon && p->hash[i].limit == limit)
			return (int)i;
	if (p->n == CANON_HASHES)
		return -ENOSPC;
	h = &p->hash[p->n];
	*h = (struct canon_hash){.canon = canon, .limit = limit, .md = EVP_MD_CTX_new()};
	if (!h->md)
		return -ENOMEM;
	if (!hash_sha256() || EVP_DigestInit_ex2(h->md, hash_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(h->md);
		return -ENOMEM;
	}
	p->body[canon].used = true;
	return (int)p->n++;
}

void canon_pass_update(struct canon_pass *p, const uint8_t *data, size_t n)
{
	for (size_t i = 0; i < 2; i++)
		if (p->body[i].used)
			body_update(p, &p->body[i], data, n);
}

void canon_pass_end(struct canon_pass *p)
{
	for (size_t i = 0; i < 2; i++)
		if (p->body[i].used)
			body_end(p, &p->body[i]);
	for (size_t i = 0; i < p->n; i++)
		if (EVP_DigestFinal_ex(p->hash[i].md, p->hash[i].digest, NULL) != 1)
			p->failed = true;
}

void canon_pass_free(struct canon_pass *p)
{
	for (size_t i = 0; i < p->n; i++)
		EVP_MD_CTX_free(p->hash[i].md);
	p->n = 0;
}

/* ---- header fields -------------------------------------------------------------------------- */

struct field_sink {
	EVP_MD_CTX *md;
	bool failed;
	size_t n;
	uint8_t stage[CANON_STAGE];
};

static void sink_flush(struct field_sink *s)
{
	if (s->n && EVP_DigestUpdate(s->md, s->stage, s->n) != 1)
		s->failed = true;
	s->n = 0;
}

static void sink_put(struct field_sink *s, uint8_t c)
{
	if (s->n == sizeof(s->stage))
		sink_flush(s);
	s->stage[s->n++] = c;
}

/* RFC 6376 3.4.2: white space runs become one SP, none at either end. `wsp` runs over both parts
 * of a value that has a hole. */
static void relaxed_value(struct field_sink *s, struct str v, bool *wsp, bool *any)
{
	for (size_t i = 0; i < v.n; i++) {
		/* Unfolding takes CRLF away; inside a field it always stands before WSP. */
		if (v.p[i] == '\r' && i + 1 < v.n && v.p[i + 1] == '\n') {
			i++;
			continue;
		}
		if (ascii_is_wsp(v.p[i])) {
			*wsp = true;
			continue;
		}
		if (*wsp && *any)
			sink_put(s, ' ');
		*wsp = false;
		*any = true;
		sink_put(s, v.p[i]);
	}
}

static void put_field(struct field_sink *s, const struct headers *h, size_t i, struct str cut,
		      enum dkim_canon canon)
{
	struct str value = header_value(h, i), name = header_name(h, i), head = value,
		   tail = STR_NONE;
	bool wsp = false, any = false;

	if (cut.p) {
		head.n = (size_t)(cut.p - value.p);
		tail = str_skip(value, head.n + cut.n);
	}
	if (canon == CANON_SIMPLE) {
		const uint8_t *p = h->block + h->field[i].off;

		for (; p < value.p; p++)
			sink_put(s, *p);
		for (size_t k = 0; k < head.n; k++)
			sink_put(s, head.p[k]);
		for (size_t k = 0; k < tail.n; k++)
			sink_put(s, tail.p[k]);
		return;
	}
	for (size_t k = 0; k < name.n; k++)
		sink_put(s, ascii_lower(name.p[k]));
	sink_put(s, ':');
	relaxed_value(s, head, &wsp, &any);
	relaxed_value(s, tail, &wsp, &any);
}

/* Next unused field of that name from the bottom; h->n if there is none. */
static size_t choose(const struct headers *h, struct str name, size_t own, bool *used)
{
	for (size_t i = h->n; i > 0; i--) {
		/* RFC 6376 3.5, h=: the field that is verified is never among them. */
		if (used[i - 1] || i - 1 == own || h->field[i - 1].name_len != name.n)
			continue;
		if (name.n && str_ieq(header_name(h, i - 1), name)) {
			used[i - 1] = true;
			return i - 1;
		}
	}
	return h->n;
}

int canon_fields(const struct headers *h, const size_t *field, size_t n_fields, size_t own,
		 struct str cut, enum dkim_canon canon, uint8_t digest[CANON_DIGEST])
{
	struct field_sink s = {.md = EVP_MD_CTX_new()};
	int rc = -EIO;

	if (!s.md)
		return -ENOMEM;
	if (!hash_sha256() || EVP_DigestInit_ex2(s.md, hash_sha256(), NULL) != 1)
		goto out;
	for (size_t i = 0; i < n_fields; i++) {
		put_field(&s, h, field[i], STR_NONE, canon);
		sink_put(&s, '\r');
		sink_put(&s, '\n');
	}
	put_field(&s, h, own, cut, canon);
	sink_flush(&s);
	if (!s.failed && EVP_DigestFinal_ex(s.md, digest, NULL) == 1)
		rc = 0;
out:
	EVP_MD_CTX_free(s.md);
	return rc;
}

int canon_headers(const struct headers *h, const struct str *names, size_t n_names, size_t own,
		  struct str cut, enum dkim_canon canon, uint8_t digest[CANON_DIGEST])
{
	bool *used = calloc(h->n + 1, sizeof(*used));
	size_t *field = calloc(n_names + 1, sizeof(*field)), n = 0;
	int rc = -ENOMEM;

	if (!used || !field)
		goto out;
	for (size_t i = 0; i < n_names; i++) {
		field[n] = choose(h, names[i], own, used);
		/* RFC 6376 5.4.2: a field that is not there counts as the null string. */
		if (field[n] < h->n)
			n++;
	}
	rc = canon_fields(h, field, n, own, cut, canon, digest);
out:
	free(field);
	free(used);
	return rc;
}
