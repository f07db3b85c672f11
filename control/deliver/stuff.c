/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/deliver/stuff.h"

#include <string.h>

void stuff_init(struct stuff *s, const struct iovec *iov, size_t n_iov, bool raw)
{
	memset(s, 0, sizeof(*s));
	s->in = iov;
	s->n_in = n_iov;
	s->raw = raw;
	s->tail_done = raw;
	s->left = raw ? stuff_count(iov, n_iov) : 0;
	s->left -= s->left > 0;
	s->state = STUFF_LINE_START;
}

static void emit(struct stuff *s, const uint8_t *p, size_t n)
{
	if (n)
		s->out[s->out_n++] = (struct iovec){.iov_base = (void *)(uintptr_t)p, .iov_len = n};
}

/* Only CRLF ends a line: a bare LF or CR goes out as content and makes no line (RFC 5321 2.3.8). */
static void step(struct stuff *s, uint8_t c)
{
	if (c == '\r')
		s->state = STUFF_AFTER_CR;
	else if (c == '\n' && s->state == STUFF_AFTER_CR)
		s->state = STUFF_LINE_START;
	else
		s->state = STUFF_IN_LINE;
}

/* Makes one piece out of the current input piece: up to its end, or to the next dot at the start of a
 * line. Returns octets described. */
static size_t piece(struct stuff *s)
{
	const uint8_t *base = s->in[s->at].iov_base;
	size_t len = s->in[s->at].iov_len, from = s->off, i = s->off;

	if (len - from > STUFF_BATCH)
		len = from + STUFF_BATCH;
	if (s->raw) {
		if (len - from > s->left)
			len = from + s->left;
		s->left -= len - from;
		i = len;
	}
	while (i < len) {
		if (s->state == STUFF_LINE_START && base[i] == '.' && !s->doubled) {
			/* This piece ends with the dot; the next starts with it again. */
			s->doubled = true;
			emit(s, base + from, i + 1 - from);
			s->off = i;
			return i + 1 - from;
		}
		s->doubled = false;
		if (s->state == STUFF_IN_LINE) {
			const uint8_t *cr = memchr(base + i, '\r', len - i);

			if (!cr) {
				i = len;
				break;
			}
			i = (size_t)(cr - base);
		}
		step(s, base[i++]);
	}
	emit(s, base + from, i - from);
	s->off = i;
	return i - from;
}

const struct iovec *stuff_next(struct stuff *s, size_t *n)
{
	size_t batch = 0;

	if (s->out_at < s->out_n) {
		*n = s->out_n - s->out_at;
		return s->out + s->out_at;
	}
	s->out_at = s->out_n = 0;
	while (s->at < s->n_in && s->out_n < STUFF_IOV && batch < STUFF_BATCH && (!s->raw || s->left)) {
		if (s->off == s->in[s->at].iov_len) {
			s->at++;
			s->off = 0;
			continue;
		}
		batch += piece(s);
	}
	if (s->at == s->n_in && s->out_n < STUFF_IOV && !s->tail_done) {
		s->tail_done = true;
		/* The dot must stand on a line of its own (RFC 5321 4.1.1.4). */
		s->tail_added = s->state != STUFF_LINE_START;
		if (s->tail_added)
			emit(s, (const uint8_t *)"\r\n", 2);
	}
	*n = s->out_n;
	return s->out;
}

bool stuff_is_last(const struct stuff *s)
{
	return s->raw ? !s->left : s->at == s->n_in && s->tail_done;
}

void stuff_taken(struct stuff *s, size_t n)
{
	while (n && s->out_at < s->out_n) {
		struct iovec *v = &s->out[s->out_at];

		if (n < v->iov_len) {
			v->iov_base = (uint8_t *)v->iov_base + n;
			v->iov_len -= n;
			return;
		}
		n -= v->iov_len;
		s->out_at++;
	}
}

size_t stuff_count(const struct iovec *iov, size_t n_iov)
{
	size_t total = 0;

	for (size_t i = 0; i < n_iov; i++)
		total += iov[i].iov_len;
	return total;
}

const uint8_t *stuff_last(const struct iovec *iov, size_t n_iov)
{
	while (n_iov && !iov[n_iov - 1].iov_len)
		n_iov--;
	return n_iov ? (const uint8_t *)iov[n_iov - 1].iov_base + iov[n_iov - 1].iov_len - 1 : NULL;
}

bool stuff_cr_beside(const struct iovec *iov, size_t n_iov)
{
	/* RFC 5321 4.1.1.4: the CRLF of the command is the one before the first octet. */
	uint8_t last = '\n';
	bool open = false, beside = false; /* a CR was the last octet; what stands before it counts */

	for (size_t v = 0; v < n_iov; v++) {
		const uint8_t *p = iov[v].iov_base, *cr;
		size_t n = iov[v].iov_len;

		if (!n)
			continue;
		if (open && p[0] != '\n' && (beside || p[0] == '.'))
			return true;
		open = false;
		for (size_t i = 0; i < n; i = (size_t)(cr - p) + 1) {
			uint8_t before;

			cr = memchr(p + i, '\r', n - i);
			if (!cr)
				break;
			before = cr == p ? last : cr[-1];

			beside = before == '.' || before == '\n';
			open = cr + 1 == p + n;
			if (!open && cr[1] != '\n' && (beside || cr[1] == '.'))
				return true;
		}
		last = p[n - 1];
	}
	/* At the very end a CRLF is added behind it, which leaves it bare. */
	return open && beside;
}
