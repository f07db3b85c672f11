/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <string.h>

#include "dataplane/tap/tap_smtp_internal.h"
#include "postern/handoff.h"

#define TLS_HANDSHAKE 0x16 /* RFC 8446 5.1 */
#define TLS_MAJOR 0x03

void tap_smtp_odd(struct tap_smtp_session *s, enum tap_anomaly what)
{
	tap_smtp_count(s, tap_anomaly_counter(what));
	tap_smtp_anomaly(s, what);
}

void tap_smtp_anomaly(struct tap_smtp_session *s, enum tap_anomaly what)
{
	s->since |= 1ull << what;
	s->pool->ops->anomaly(s->owner, what);
}

/* ---- content ---- */

static void sink(void *ctx, const uint8_t *p, size_t n)
{
	struct tap_smtp_session *s = ctx;
	struct tap_message *m = tap_message_of(s);

	if (!m || !n)
		return;
	m->size += n;
	s->pool->ops->content(s->owner, m, p, n);
}

static void content_odd(struct tap_smtp_session *s)
{
	const struct smtp_data *d = &s->data;

	tap_message_flags(s);
	if (d->bare_lf || d->flags & RECORD_F_BARE_LF)
		tap_smtp_odd(s, TAP_bare_lf);
	if (d->flags & RECORD_F_BARE_CR)
		tap_smtp_odd(s, TAP_bare_cr);
	if (d->flags & RECORD_F_NUL)
		tap_smtp_odd(s, TAP_nul);
	if (d->lookalike)
		tap_smtp_odd(s, TAP_lookalike);
}

/* The server has its say on what is in hand, unless it had it before the end. */
static void content_end(struct tap_smtp_session *s)
{
	struct tap_message *m = tap_message_of(s);

	content_odd(s);
	s->mode = TAP_MODE_LINE;
	if (m && (s->one_way || m->reply_code)) {
		tap_message_over(s, s->slot);
		return;
	}
	tap_ask(s, TAP_ASKED_END, UINT16_MAX);
	tap_message_end(s);
}

static size_t take_content(struct tap_smtp_session *s, const uint8_t *p, size_t n)
{
	size_t k = smtp_data_feed(&s->data, p, n, SIZE_MAX, sink, s);

	if (s->data.state == SMTP_DATA_END)
		content_end(s);
	return k;
}

void tap_chunk_end(struct tap_smtp_session *s)
{
	struct tap_message *m = tap_message_of(s);

	s->mode = TAP_MODE_LINE;
	if (!s->chunk_last)
		return;
	smtp_data_finish_bdat(&s->data);
	content_odd(s);
	if (m && s->one_way)
		tap_message_over(s, s->slot);
	else
		tap_message_end(s);
}

static size_t take_chunk(struct tap_smtp_session *s, const uint8_t *p, size_t n)
{
	size_t k = n < s->chunk ? n : (size_t)s->chunk;

	smtp_data_feed(&s->data, p, k, SIZE_MAX, sink, s);
	s->chunk -= k;
	if (!s->chunk)
		tap_chunk_end(s);
	return k;
}

/* ---- lines ---- */

/* Up to and with an LF into line[]. *whole: it is there. */
static size_t take_line(struct tap_smtp_session *s, const uint8_t *p, size_t n, bool *whole)
{
	const uint8_t *lf = memchr(p, '\n', n);
	size_t k = lf ? (size_t)(lf - p) + 1 : n, room = sizeof(s->line) - s->line_n;

	*whole = lf != NULL;
	if (k > room)
		s->line_over = true;
	memcpy(s->line + s->line_n, p, k < room ? k : room);
	s->line_n = (uint16_t)(s->line_n + (k < room ? k : room));
	return k;
}

static struct str line_of(struct tap_smtp_session *s, bool *bare)
{
	struct str line = str_make(s->line, s->line_n);

	*bare = true;
	if (line.n && line.p[line.n - 1] == '\n')
		line.n--;
	if (line.n && line.p[line.n - 1] == '\r') {
		line.n--;
		*bare = false;
	}
	return line;
}

static void command_line(struct tap_smtp_session *s)
{
	bool bare, over = s->line_over, first = !s->client_seen;
	struct str line = line_of(s, &bare);

	s->line_n = 0;
	s->line_over = false;
	s->client_seen = true;
	if (over) {
		tap_smtp_odd(s, TAP_long_line);
		if (s->mode == TAP_MODE_LINE)
			tap_ask(s, TAP_ASKED_OTHER, UINT16_MAX);
		return;
	}
	if (s->mode == TAP_MODE_RESYNC && !tap_is_command(line))
		return;
	/* Before the client of a balancer: no command, no reply. */
	if (first && str_istarts(line, STR("PROXY ")))
		return;
	if (first && !s->server_seen && !s->one_way && !s->pairing_lost)
		tap_smtp_odd(s, TAP_early_talk);
	if (bare)
		tap_smtp_odd(s, TAP_bare_lf_command);
	s->mode = TAP_MODE_LINE;
	tap_command(s, line);
}

void tap_peek_end(struct tap_smtp_session *s)
{
	size_t n = s->line_n;

	tap_content_begin(s, TAP_MODE_CONTENT);
	if (n)
		take_content(s, s->line, n);
}

/* The first line behind a DATA whose reply was not seen. */
static size_t take_peek(struct tap_smtp_session *s, const uint8_t *p, size_t n)
{
	const uint8_t *lf = memchr(p, '\n', n);
	size_t k = lf ? (size_t)(lf - p) + 1 : n;
	bool bare;

	if (k > sizeof(s->line) - s->line_n) {
		tap_peek_end(s);
		return 0;
	}
	memcpy(s->line + s->line_n, p, k);
	s->line_n = (uint16_t)(s->line_n + k);
	if (!lf)
		return k;
	if (tap_is_command(line_of(s, &bare))) {
		s->mode = TAP_MODE_LINE; /* DATA was refused */
		command_line(s);
	} else {
		tap_peek_end(s);
	}
	return k;
}

/* ---- TLS ---- */

static void to_tls(struct tap_smtp_session *s)
{
	tap_message_abort(s);
	s->mode = TAP_MODE_TLS;
	s->tls_begun = true;
	s->tls_assumed = false;
	tap_smtp_count(s, CNT_tap_encrypted);
	s->pool->ops->encrypted(s->owner);
}

static size_t take_tls(struct tap_smtp_session *s, const uint8_t *p, size_t n)
{
	if (s->tls_assumed) {
		if (p[0] == TLS_HANDSHAKE) {
			to_tls(s);
			return n;
		}
		s->tls_assumed = false;
		s->mode = TAP_MODE_LINE; /* it was refused */
		return 0;
	}
	/* CVE-2011-0411: sent in clear, to be taken for what came under TLS. */
	if (!s->tls_begun && p[0] != TLS_HANDSHAKE)
		tap_smtp_odd(s, TAP_starttls_injection);
	s->tls_begun = true;
	return n;
}

/* ---- the client ---- */

/* True: go on without the reply. */
static bool without_reply(struct tap_smtp_session *s, unsigned int how)
{
	if (s->one_way || s->pairing_lost || how & TAP_F_FORCED) {
		tap_assume(s);
		return true;
	}
	if (!s->told_early)
		tap_smtp_odd(s, s->wait == TAP_ASKED_STARTTLS ? TAP_starttls_injection
							      : TAP_early_data);
	s->told_early = true;
	return false;
}

static size_t take(struct tap_smtp_session *s, const uint8_t *p, size_t n)
{
	bool whole;
	size_t k;

	switch (s->mode) {
	case TAP_MODE_CONTENT:
		return take_content(s, p, n);
	case TAP_MODE_CHUNK:
		return take_chunk(s, p, n);
	case TAP_MODE_PEEK:
		return take_peek(s, p, n);
	case TAP_MODE_TLS:
		return take_tls(s, p, n);
	default:
		break;
	}
	/* RFC 8314: who speaks TLS at once speaks first. One octet of that kind in a dialogue that the
	 * server began in the clear hides nothing. */
	if (!s->client_seen && !s->server_seen && !s->line_n && p[0] == TLS_HANDSHAKE &&
	    (n == 1 || p[1] == TLS_MAJOR)) {
		to_tls(s);
		return n;
	}
	k = take_line(s, p, n, &whole);
	if (!whole)
		return k;
	if (s->mode == TAP_MODE_OPAQUE) {
		/* RFC 4954 4: a response, never looked at. Its reply says what comes. */
		s->line_n = 0;
		s->line_over = false;
		s->mode = TAP_MODE_LINE;
		tap_auth_line(s);
		return k;
	}
	command_line(s);
	return k;
}

static size_t client_data(struct tap_smtp_session *s, const uint8_t *p, size_t n, unsigned int how)
{
	size_t at = 0;

	if (how & TAP_F_ONE_WAY && !s->server_seen && !s->one_way) {
		s->one_way = true;
		s->asked = 0;
	}
	while (at < n) {
		if (s->wait && !without_reply(s, how))
			break;
		at += take(s, p + at, n - at);
	}
	return at;
}

size_t tap_smtp_data(struct tap_smtp_session *s, enum tap_side side, const uint8_t *p, size_t n,
		     unsigned int how)
{
	if (side == TAP_CLIENT)
		return client_data(s, p, n, how);
	if (how & TAP_F_ONE_WAY)
		s->pairing_lost = true; /* replies to what nobody saw */
	else
		tap_server_data(s, p, n);
	return n;
}

/* ---- gaps ---- */

static void resync(struct tap_smtp_session *s)
{
	s->line_n = 0;
	s->line_over = false;
	s->mode = TAP_MODE_RESYNC;
	if (!s->one_way)
		tap_pairing_lost_behind(s);
}

static void gap_in_content(struct tap_smtp_session *s, uint64_t n)
{
	tap_message_gap(s, n);
	if (s->one_way) {
		/* Nothing would tell that the end was in it. */
		content_odd(s);
		if (s->slot != TAP_NO_MESSAGE)
			tap_message_over(s, s->slot);
		resync(s);
		return;
	}
	/* Within some line. */
	s->data.state = SMTP_DATA_TEXT;
	s->data.last = 0;
}

static void gap_in_chunk(struct tap_smtp_session *s, uint64_t n)
{
	uint64_t in = n < s->chunk ? n : s->chunk;

	tap_message_gap(s, in);
	s->chunk -= in;
	s->data.state = SMTP_DATA_TEXT;
	if (!s->chunk)
		tap_chunk_end(s);
	if (n > in) {
		tap_message_gap(s, n - in);
		resync(s);
	}
}

void tap_smtp_gap(struct tap_smtp_session *s, enum tap_side side, uint32_t octets,
		  enum tap_cause cause)
{
	s->pool->ops->gap(s->owner, side, octets, cause);
	if (s->mode == TAP_MODE_TLS && !s->tls_assumed)
		return;
	if (side == TAP_SERVER) {
		tap_server_gap(s);
		return;
	}
	s->gapped = true;
	if (s->wait) {
		s->wait_gap += octets;
		return;
	}
	if (s->mode == TAP_MODE_PEEK)
		tap_peek_end(s);
	if (s->mode == TAP_MODE_CONTENT) {
		gap_in_content(s, octets);
	} else if (s->mode == TAP_MODE_CHUNK) {
		gap_in_chunk(s, octets);
	} else {
		/* Recipients may be missing, or a RSET. */
		tap_message_gap(s, octets);
		resync(s);
	}
}
