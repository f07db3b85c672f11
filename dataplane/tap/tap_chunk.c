/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * BDAT (RFC 3030), and what follows one that was refused.
 *
 * RFC 3030 2: a server swallows the octets of a chunk that it refuses. Some read them as commands,
 * and a client that knows that hides a session in a chunk without end. So what follows a refusal is
 * read both ways at once: as commands, while the octets that would be swallowed are counted. What
 * the server says next decides. A word of it before they have passed says that it reads commands.
 * If they pass in silence they were swallowed, and what was read out of them is void; unless it
 * holds commands that would count, for then nobody can tell, and nothing is whole from there on.
 * The first octets of a chunk are kept for that, as its refusal may come behind them.
 */

#include <string.h>

#include "dataplane/smtp/smtp_command.h"
#include "dataplane/tap/tap_smtp_internal.h"

static void chunk_end(struct tap_smtp_session *s)
{
	struct tap_message *m = tap_message_of(s);

	s->mode = TAP_MODE_LINE;
	if (!s->chunk_last)
		return;
	smtp_data_finish_bdat(&s->data);
	tap_content_odd(s);
	if (m && s->one_way)
		tap_message_over(s, s->slot);
	else
		tap_message_end(s);
}

void tap_bdat(struct tap_smtp_session *s, uint64_t size, bool last)
{
	struct tap_message *m = tap_message_of(s);

	if (!m) {
		m = tap_message_new(s); /* its MAIL is missing, or was refused */
		if (m)
			tap_message_unsure(m);
	}
	if (!m || !m->has_content)
		smtp_data_init_passive(&s->data, true);
	tap_message_begin(s, true);
	tap_ask(s, last ? TAP_ASKED_LAST : TAP_ASKED_CHUNK, UINT16_MAX);
	s->chunk = size;
	s->chunk_last = last;
	s->chunk_seen = 0;
	if (!s->rereading)
		s->kept = 0;
	s->mode = TAP_MODE_CHUNK;
	if (!s->chunk)
		chunk_end(s);
}

/* Digits, and behind them nothing or LAST. Others than RFC 3030 2 has them are for servers to read,
 * each as it likes. */
static bool chunk_size(struct str arg, uint64_t *size, bool *last)
{
	size_t n = 0;

	*size = 0;
	for (; n < arg.n && ascii_is_digit(arg.p[n]); n++) {
		if (*size > UINT32_MAX)
			return false;
		*size = *size * 10 + (uint64_t)(arg.p[n] - '0');
	}
	if (!n || (n < arg.n && !ascii_is_wsp(arg.p[n])))
		return false;
	arg = str_trim(str_skip(arg, n));
	*last = str_ieq(arg, STR("LAST"));
	return !arg.n || *last;
}

bool tap_bdat_odd(struct tap_smtp_session *s, struct str line)
{
	uint64_t size;
	bool last;

	if (!smtp_meant_bdat(line))
		return false;
	tap_smtp_odd(s, TAP_bad_bdat);
	line = str_trim(str_skip(str_trim(line), 4));
	if (chunk_size(line, &size, &last)) {
		tap_bdat(s, size, last);
		tap_stray(s);
		return true;
	}
	/* How many octets follow only the server knows. */
	tap_ask(s, TAP_ASKED_OTHER, UINT16_MAX);
	tap_stray(s);
	s->mode = TAP_MODE_RESYNC;
	return true;
}

static void keep(struct tap_smtp_session *s, const uint8_t *p, size_t n)
{
	size_t room = sizeof(s->text) - s->kept;

	if (s->rereading || s->kept != s->chunk_seen)
		return;
	n = n < room ? n : room;
	memcpy(s->text + s->kept, p, n);
	s->kept = (uint16_t)(s->kept + n);
}

size_t tap_chunk_take(struct tap_smtp_session *s, const uint8_t *p, size_t n)
{
	size_t k = n < s->chunk ? n : (size_t)s->chunk;

	if (s->chunk_seen < sizeof(s->text))
		keep(s, p, k);
	smtp_data_feed(&s->data, p, k, SIZE_MAX, tap_sink, s);
	s->chunk -= k;
	s->chunk_seen += k;
	if (!s->chunk)
		chunk_end(s);
	return k;
}

void tap_chunk_gap(struct tap_smtp_session *s, uint64_t n)
{
	uint64_t in = n < s->chunk ? n : s->chunk;

	tap_message_gap(s, in);
	s->chunk -= in;
	s->chunk_seen += in;
	s->kept = 0;
	s->data.state = SMTP_DATA_TEXT;
	if (!s->chunk)
		chunk_end(s);
	if (n > in) {
		tap_message_gap(s, n - in);
		tap_resync(s);
	}
}

void tap_chunk_refused(struct tap_smtp_session *s)
{
	struct tap_message *m = tap_message_of(s);
	bool whole = s->kept == s->chunk_seen && !s->rereading;

	if (s->mode == TAP_MODE_CHUNK) {
		if (m && m->whole == TAP_WHOLE)
			m->whole = TAP_NOT_WHOLE_ABORTED;
	} else if (s->mode != TAP_MODE_LINE || s->line_n || !whole || !s->kept) {
		return;
	}
	s->swallow = s->chunk + (whole ? s->kept : 0);
	s->chunk = 0;
	s->mode = TAP_MODE_LINE;
	s->line_n = 0;
	s->line_over = false;
	s->undecided = true;
	s->serious = s->mild = false;
	s->unkept = !whole;
	if (!whole || !s->kept)
		return;
	s->rereading = true; /* by tap_smtp.c */
	s->again = 0;
}

void tap_chunk_spoken(struct tap_smtp_session *s)
{
	if (!s->swallow) {
		tap_chunk_passed(s);
		return;
	}
	s->undecided = false;
	if (s->unkept) {
		/* Commands, and those at its begin were taken for text. */
		tap_resync(s);
	} else if (s->wait || s->rereading) {
		/* More was sent already, and perhaps that is what the server speaks of. */
		s->doubt = true;
		tap_stray(s);
	}
}

void tap_chunk_passed(struct tap_smtp_session *s)
{
	s->undecided = false;
	if (s->serious) {
		tap_contradiction(s);
		s->chunk = 0;
		if (!s->wait)
			s->mode = TAP_MODE_RESYNC;
	} else {
		s->mode = TAP_MODE_LINE;
		s->unread = s->asked;
	}
	s->line_n = 0;
	s->line_over = false;
}

void tap_chunk_unread(struct tap_smtp_session *s, unsigned int code)
{
	/* Text gets 500 or 502 from who reads it as commands, and certainly nothing kind. */
	bool of_text = code == 500 || code == 502 || s->asked <= s->unread;

	s->doubt |= !of_text && (s->mild || code / 100 == 5);
	while (!of_text && s->unread && s->asked) {
		tap_pop(s);
		s->unread--;
	}
	s->unread = 0;
}

void tap_chunk_swallow(struct tap_smtp_session *s)
{
	s->undecided = false;
	s->wait = 0;
	s->wait_gap = 0;
	tap_pairing_begin(s);
	if (s->serious)
		tap_message_abort(s);
	s->line_n = 0;
	s->line_over = false;
	s->chunk = s->swallow;
	s->chunk_seen = s->swallow + 1; /* nothing of it is kept */
	s->chunk_last = false;
	s->mode = s->chunk ? TAP_MODE_CHUNK : TAP_MODE_RESYNC;
	tap_stray(s);
}
