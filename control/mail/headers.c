/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <stdlib.h>

#include "control/mail/mail.h"
#include "postern/limits.h"

/*
 * Lines end at CRLF, as everywhere in SMTP (RFC 5321 2.3.8). Content that came by BDAT may hold
 * bare LF; there a bare LF is no line end either, but a mark on its field: whoever reads it
 * otherwise is told by HEADER_F_BARE.
 */

/* Finds the end of the header block by one pass over the pieces. *size is the block without the
 * empty line, *body the offset behind it. */
static void find_end(const struct mail_bytes *content, size_t limit, size_t *size, size_t *body,
		     uint32_t *flags)
{
	/* Octets of CRLF CRLF seen; the start of the content counts as the end of a line. */
	unsigned int seen = 2;
	size_t pos = 0;

	for (size_t i = 0; i < content->n_iov; i++) {
		const uint8_t *p = content->iov[i].iov_base;

		for (size_t k = 0; k < content->iov[i].iov_len; k++, pos++) {
			uint8_t c = p[k];

			if (pos == limit) {
				*size = pos;
				*body = pos;
				*flags |= HEADERS_F_TOO_LARGE;
				return;
			}
			if (c == '\r')
				seen = seen == 2 ? 3 : 1;
			else if (c == '\n' && seen == 1)
				seen = 2;
			else if (c == '\n' && seen == 3) {
				*size = pos - 1;
				*body = pos + 1;
				return;
			} else
				seen = 0;
		}
	}
	*size = pos;
	*body = pos;
	*flags |= HEADERS_F_NO_END;
}

static int take_block(struct headers *h, const struct mail_bytes *content)
{
	size_t at = 0;

	if (h->size == 0)
		return 0;
	for (size_t i = 0; i < content->n_iov; i++) {
		if (content->iov[i].iov_len == 0)
			continue;
		if (content->iov[i].iov_len >= h->size) {
			h->block = content->iov[i].iov_base;
			return 0;
		}
		break;
	}
	h->owned = calloc(1, h->size);
	if (!h->owned)
		return -ENOMEM;
	for (size_t i = 0; i < content->n_iov && at < h->size; i++) {
		size_t n = content->iov[i].iov_len;

		if (n > h->size - at)
			n = h->size - at;
		if (n)
			memcpy(h->owned + at, content->iov[i].iov_base, n);
		at += n;
	}
	h->block = h->owned;
	return 0;
}

/* RFC 5322 3.6.8: ftext is any printable but the colon. */
static bool is_ftext(uint8_t c)
{
	return c > 0x20 && c < 0x7f && c != ':';
}

static void field_make(struct headers *h, struct header_field *f, size_t off, size_t len)
{
	const uint8_t *p = h->block + off;
	size_t name = 0, colon;

	*f = (struct header_field){
		.off = (uint32_t)off, .len = (uint32_t)len, .value_off = (uint32_t)off};
	while (name < len && is_ftext(p[name]))
		name++;
	colon = name;
	while (colon < len && ascii_is_wsp(p[colon]))
		colon++;
	if (name == 0 || name > UINT16_MAX || colon == len || p[colon] != ':') {
		f->flags |= HEADER_F_MALFORMED;
	} else {
		f->name_len = (uint16_t)name;
		f->value_off = (uint32_t)(off + colon + 1);
		if (colon > name)
			f->flags |= HEADER_F_SPACE_COLON;
	}
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '\0')
			f->flags |= HEADER_F_NUL;
		else if (p[i] & 0x80)
			f->flags |= HEADER_F_8BIT;
		else if (p[i] == '\n' && (i == 0 || p[i - 1] != '\r'))
			f->flags |= HEADER_F_BARE;
		else if (p[i] == '\r' && (i + 1 == len || p[i + 1] != '\n'))
			f->flags |= HEADER_F_BARE;
	}
	h->flags |= f->flags;
}

/* Octets of the line at off, with its CRLF, or to the end of the block. */
static size_t line_len(const struct headers *h, size_t off)
{
	const uint8_t *start = h->block + off, *q = start, *end = h->block + h->size;

	while ((q = memchr(q, '\n', (size_t)(end - q))) != NULL) {
		if (q > start && q[-1] == '\r')
			return (size_t)(q + 1 - start);
		q++;
	}
	return h->size - off;
}

static size_t field_len(const struct headers *h, size_t off)
{
	size_t len = line_len(h, off);

	while (off + len < h->size && ascii_is_wsp(h->block[off + len]))
		len += line_len(h, off + len);
	return len;
}

static int parse(struct headers *h, const struct mail_bytes *content, size_t max_block,
		 size_t max_fields)
{
	size_t cap = 0, off = 0;
	int rc;

	*h = (struct headers){0};
	find_end(content, max_block, &h->size, &h->body_off, &h->flags);
	rc = take_block(h, content);
	if (rc)
		goto fail;
	if (h->size && ascii_is_wsp(h->block[0]))
		h->flags |= HEADERS_F_FIRST_FOLDED;
	while (off < h->size) {
		size_t len = field_len(h, off);

		if (h->n == max_fields) {
			h->flags |= HEADERS_F_TOO_LARGE;
			break;
		}
		if (len > LIMIT_HEADER_FIELD)
			h->flags |= HEADERS_F_TOO_LARGE;
		if (h->n == cap) {
			struct header_field *more;

			cap = cap ? cap * 2 : 32;
			more = realloc(h->field, cap * sizeof(*more));
			if (!more) {
				rc = -ENOMEM;
				goto fail;
			}
			h->field = more;
		}
		field_make(h, &h->field[h->n++], off, len);
		off += len;
	}
	/* A folded first line belongs to no field, whatever colon it holds. */
	if (h->n && (h->flags & HEADERS_F_FIRST_FOLDED)) {
		h->field[0].name_len = 0;
		h->field[0].value_off = h->field[0].off;
		h->field[0].flags |= HEADER_F_MALFORMED;
		h->flags |= HEADER_F_MALFORMED;
	}
	return 0;
fail:
	headers_free(h);
	return rc;
}

int headers_parse(struct headers *h, const struct mail_bytes *content)
{
	return parse(h, content, LIMIT_HEADER_BLOCK, LIMIT_HEADER_FIELDS);
}

int headers_parse_outgoing(struct headers *h, const struct mail_bytes *content)
{
	return parse(h, content, LIMIT_HEADER_BLOCK + LIMIT_OWN_BLOCK,
		     LIMIT_HEADER_FIELDS + LIMIT_OWN_FIELDS);
}

void headers_free(struct headers *h)
{
	free(h->owned);
	free(h->field);
	*h = (struct headers){0};
}

struct str header_name(const struct headers *h, size_t i)
{
	if (i >= h->n)
		return STR_NONE;
	return str_make(h->block + h->field[i].off, h->field[i].name_len);
}

struct str header_value(const struct headers *h, size_t i)
{
	const struct header_field *f;
	size_t end;

	if (i >= h->n)
		return STR_NONE;
	f = &h->field[i];
	end = (size_t)f->off + f->len;
	if (end - f->value_off >= 2 && h->block[end - 1] == '\n' && h->block[end - 2] == '\r')
		end -= 2;
	return str_make(h->block + f->value_off, end - f->value_off);
}

size_t headers_find(const struct headers *h, struct str name, size_t from)
{
	for (size_t i = from; i < h->n; i++)
		if (h->field[i].name_len && str_ieq(header_name(h, i), name))
			return i;
	return h->n;
}

long header_unfold(struct str value, uint8_t *out, size_t cap)
{
	size_t n = 0;

	value = str_trim(value);
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '\r' && i + 2 < value.n && value.p[i + 1] == '\n' &&
		    ascii_is_wsp(value.p[i + 2])) {
			i++;
			continue;
		}
		if (n == cap)
			return -ENOSPC;
		out[n++] = value.p[i];
	}
	return (long)n;
}
