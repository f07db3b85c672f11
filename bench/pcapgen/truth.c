/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What a right observer of the capture can know of a session's messages, and what it cannot. */

#include "bench/pcapgen/pcapgen.h"

bool truth_in_content(const struct session *s, uint32_t from, uint32_t n)
{
	for (uint32_t i = 0; i < s->n_extent; i++)
		if (from >= s->extent[i].from && from + n <= s->extent[i].to)
			return true;
	return false;
}

static bool in_message(const struct session *s, const struct message *m, uint32_t from, uint32_t n)
{
	for (uint32_t i = m->extent; i < m->extent + m->n_extent; i++)
		if (from >= s->extent[i].from && from + n <= s->extent[i].to)
			return true;
	return false;
}

/* In a pipelining session replies that are under way come behind the gap: to what, is a guess. */
static void commands_lost(struct session *s)
{
	for (uint32_t i = 0; s->pipelining && i < s->n_msg; i++)
		s->msg[i].reply_maybe = true;
}

/*
 * Can an observer that lost its way before this message find it again behind it? With pipelining
 * nothing says which reply is whose; BDAT has no end of data, and content without CRLF at its end
 * no next line.
 */
static bool resumes_behind(const struct session *s, uint32_t k)
{
	return !s->pipelining && !s->msg[k].bdat && !s->msg[k].odd;
}

void truth_gap(struct session *s, uint32_t from, uint32_t n)
{
	if (!truth_in_content(s, from, n))
		commands_lost(s);
	for (uint32_t i = 0; i < s->n_msg; i++) {
		struct message *m = &s->msg[i];

		if (from >= m->past || from + n <= m->begin)
			continue;
		if (in_message(s, m, from, n)) {
			m->missing += n;
			m->complete = m->whole = false;
			if (m->lack == LACK_NONE)
				m->lack = LACK_GAP;
			continue;
		}
		/*
		 * A command or an end of data is gone. The observer may take what follows for
		 * content, or content for commands, to the end of the next message; it must not
		 * call that complete.
		 */
		if (from + n > m->content) {
			m->complete = m->whole = false;
			m->lack = LACK_GAP;
		}
		for (uint32_t k = i; k < s->n_msg && (k < i + 2 || !resumes_behind(s, k - 1)); k++)
			s->msg[k].expect = EXPECT_OPTIONAL;
	}
}

static uint32_t unstuffed(const uint8_t *p, uint32_t n)
{
	uint32_t size = n;

	for (uint32_t i = 0; i < n; i++)
		size -= p[i] == '.' && (i == 0 || (i >= 2 && p[i - 2] == '\r' && p[i - 1] == '\n'));
	return size;
}

void truth_cut_content(struct session *s, struct message *m, uint32_t cut, enum lack lack)
{
	uint32_t seen = 0;

	for (uint32_t i = m->extent; i < m->extent + m->n_extent; i++) {
		struct extent *e = &s->extent[i];

		e->from = e->from < cut ? e->from : cut;
		e->to = e->to < cut ? e->to : cut;
		seen += e->to - e->from;
	}
	m->size = m->bdat ? seen : unstuffed(s->stream[FROM_C2S].p + m->content, cut - m->content);
	m->end = m->past = cut;
	m->complete = m->whole = false;
	m->lack = lack;
	m->reply = 0;
	m->reply_end = 0;
}

void truth_cut_end(struct session *s, uint32_t client, uint32_t server)
{
	for (uint32_t i = 0; i < s->n_msg; i++) {
		struct message *m = &s->msg[i];

		if (m->content > client) {
			s->n_msg = i;
			return;
		}
		if (m->past <= client && m->reply_end <= server)
			continue;
		/* With BDAT in one group the replies to RCPT are behind the content as well. */
		if (s->pipelining && m->bdat)
			m->expect = EXPECT_OPTIONAL;
		if (m->past <= client) {
			m->reply = 0;
			continue;
		}
		if (m->content == client) /* it has begun, and nothing of it is there */
			m->expect = EXPECT_OPTIONAL;
		truth_cut_content(s, m, client < m->end ? client : m->end, LACK_END);
	}
}

void truth_doubt(struct session *s, uint32_t client, uint32_t server)
{
	for (uint32_t i = 0; i < s->n_msg; i++)
		if (s->msg[i].past > client || s->msg[i].reply_end > server)
			s->msg[i].expect = EXPECT_OPTIONAL;
}

void truth_ambiguous(struct session *s, uint32_t from, uint32_t n)
{
	for (uint32_t i = 0; i < s->n_msg; i++)
		if (in_message(s, &s->msg[i], from, n))
			s->msg[i].ambiguous = true;
}
