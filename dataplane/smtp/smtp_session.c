/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_internal.h"

#include <errno.h>
#include <string.h>

/*
 * The machine. Phases and what leads out of them:
 *
 *   PROXY         the header of a trusted balancer is awaited        -> CONNECT, CLOSING
 *   CONNECT       asked; the banner goes out with the answer         -> COMMAND, CLOSING
 *   COMMAND       lines are taken and answered                       -> all below
 *   RCPT_ASKED    recipients are open; only more of them are taken   -> COMMAND, CLOSING
 *   DATA          content; the end of data submits or refuses it     -> SUBMITTED, COMMAND, CLOSING
 *                 BDAT: one chunk, taken or swallowed; behind each but the last COMMAND, in which
 *                 `content` is kept while the message is not at its end
 *   SUBMITTED     nothing is taken until the message is answered     -> COMMAND, CLOSING
 *   TLS           the owner's handshake; nothing is taken          -> COMMAND, CLOSING
 *   CLOSING       everything is taken and forgotten
 *
 * Whoever answers late, twice or in the wrong phase is not heard. Which RCPT an answer belongs to
 * the owner knows by the serial of its question: it hands in the answer to the oldest one that is
 * open, and no other, so that replies are in the order of the commands (RFC 2920 3.2).
 *
 * For the same reason no line that we would answer ourselves is taken while recipients are open. It
 * stays with the caller, but for a beginning that was copied aside before its end came: then that
 * stays, and the line is looked at again once all are answered.
 */

/* The client's turn: after every complete command. */
void smtp_command_done(struct smtp_session *s)
{
	if (s->phase == SMTP_PHASE_CLOSING)
		return;
	/* Within a transaction it is there between two chunks only, and stays. */
	if (!s->txn)
		smtp_content_put(s);
	s->phase = SMTP_PHASE_COMMAND;
	if (s->content)
		smtp_arm_chunks(s);
	else
		smtp_arm_command(s);
	if (s->bye_wanted && smtp_phase(s) == SMTP_PHASE_COMMAND) {
		smtp_say_bye(s);
		smtp_close(s, SMTP_CLOSE_AFTER_REPLY);
	} else if (s->eof) {
		smtp_close(s, SMTP_CLOSE_AFTER_REPLY);
	}
}

void smtp_cut_foreign(struct smtp_session *s, enum smtp_say say)
{
	smtp_count(s, CNT_smtp_non_smtp);
	smtp_ending(s, END_F_FOREIGN);
	if (say)
		smtp_say_close(s, say);
	else
		smtp_close(s, SMTP_CLOSE_ABORT);
}

bool smtp_foreign(struct smtp_session *s, struct str line)
{
	if (smtp_foreign_line(line) || (!s->spoke && smtp_foreign_first(line))) {
		smtp_cut_foreign(s, SAY_FOREIGN);
		return true;
	}
	if (s->spoke || !smtp_foreign_binary(line))
		return false;
	smtp_cut_foreign(s, SAY_NONE);
	return true;
}

/* A complete line with its LF. RFC 5321 2.3.8: what ends in a bare LF is no command. */
static void take_line(struct smtp_session *s, struct str line)
{
	smtp_count(s, CNT_smtp_commands);
	if (s->skip_line) {
		s->skip_line = false;
		smtp_blame(s, SAY_LINE_TOO_LONG, CNT_smtp_line_too_long);
	} else if (line.n < 2 || line.p[line.n - 2] != '\r') {
		if (smtp_meant_bdat(line))
			smtp_bdat_bad(s);
		else if (!smtp_foreign(s, str_cut(line, line.n - 1)))
			smtp_blame(s, SAY_LINE_END, CNT_smtp_bad_command);
	} else {
		smtp_do_command(s, str_cut(line, line.n - 2));
	}
	if (s->phase == SMTP_PHASE_COMMAND)
		smtp_command_done(s);
}

/* Of a line that is too long to be kept: what was, and p[0..n) behind it. */
static bool begins_bdat(const struct smtp_session *s, const uint8_t *p, size_t n)
{
	struct str have = smtp_line_get(s);
	uint8_t head[16];
	size_t k;

	for (k = 0; k < sizeof(head) && k < have.n + n; k++)
		head[k] = k < have.n ? have.p[k] : p[k - have.n];
	return smtp_meant_bdat(str_make(head, k));
}

/* A line that is not complete, or whose beginning was kept; n octets of it, `ends` with its LF. */
static void keep_line(struct smtp_session *s, const uint8_t *p, size_t n, bool ends)
{
	int rc = smtp_line_add(s, p, n);

	if (rc == -ENOBUFS) {
		smtp_count(s, CNT_smtp_no_line_buffer);
		smtp_ending(s, END_F_PRESSURE);
		smtp_say_close(s, SAY_NO_LINE);
		return;
	}
	if (rc) {
		if (begins_bdat(s, p, n)) {
			smtp_bdat_bad(s);
			return;
		}
		smtp_line_put(s);
		s->skip_line = true;
	}
	if (!ends)
		return;
	take_line(s, s->skip_line ? STR_NONE : smtp_line_get(s));
	smtp_line_put(s);
}

static size_t input_command(struct smtp_session *s, const uint8_t *p, size_t n)
{
	const uint8_t *lf = memchr(p, '\n', n);
	size_t len = lf ? (size_t)(lf - p) + 1 : n;

	s->server->behind = n - len;
	/* A TLS record or some other binary protocol; here the server speaks first, in clear. */
	if (!s->spoke && !smtp_has_line(s) && !s->skip_line && smtp_foreign_octet(p[0])) {
		smtp_cut_foreign(s, SAY_NONE);
		return n;
	}
	if (s->skip_line) {
		if (lf)
			take_line(s, STR_NONE);
	} else if (lf && !smtp_has_line(s) && len <= LIMIT_COMMAND_EXT) {
		take_line(s, str_make(p, len));
	} else {
		keep_line(s, p, len, lf != NULL);
	}
	return len;
}

/* While recipients are open: one more, or part of a line, or nothing. */
static size_t input_rcpt(struct smtp_session *s, const uint8_t *p, size_t n)
{
	const uint8_t *lf = memchr(p, '\n', n);
	size_t len = lf ? (size_t)(lf - p) + 1 : n;
	bool kept = smtp_has_line(s), taken = false;
	struct str line = str_make(p, len);

	/* Over-long, or no buffer left: that is for later to say. */
	if (!lf)
		return smtp_line_add(s, p, n) ? 0 : n;
	if (kept ? smtp_line_add(s, p, len) != 0 : len > LIMIT_COMMAND_EXT)
		return 0;
	if (kept)
		line = smtp_line_get(s);
	if (line.n >= 2 && line.p[line.n - 2] == '\r')
		taken = smtp_do_next_rcpt(s, str_cut(line, line.n - 2));
	if (kept && taken)
		smtp_line_put(s);
	else if (kept)
		smtp_line_cut(s, len);
	if (!taken)
		return 0;
	smtp_count(s, CNT_smtp_commands);
	return len;
}

size_t smtp_input(struct smtp_session *s, const uint8_t *p, size_t n, uint64_t now_ms)
{
	size_t used = 0, k;

	if (now_ms > s->server->now)
		s->server->now = now_ms;
	while (used < n) {
		switch (s->phase) {
		case SMTP_PHASE_CLOSING:
			return n;
		case SMTP_PHASE_COMMAND:
			k = input_command(s, p + used, n - used);
			break;
		case SMTP_PHASE_RCPT_ASKED:
			k = input_rcpt(s, p + used, n - used);
			break;
		case SMTP_PHASE_DATA:
			k = smtp_do_data(s, p + used, n - used);
			break;
		case SMTP_PHASE_PROXY:
			k = smtp_proxy_input(s, p + used, n - used);
			break;
		case SMTP_PHASE_CONNECT:
			/* RFC 5321 4.3.1: the client waits for the greeting; XCLIENT may be pipelined. */
			if (!s->early && !s->spoke)
				smtp_count(s, CNT_smtp_early_talker);
			s->early |= !s->spoke;
			return used;
		default:
			return used;
		}
		if (!k)
			break;
		used += k;
	}
	return used;
}

bool smtp_waiting(const struct smtp_session *s)
{
	switch (s->phase) {
	case SMTP_PHASE_CONNECT:
	case SMTP_PHASE_RCPT_ASKED:
	case SMTP_PHASE_SUBMITTED:
	case SMTP_PHASE_TLS:
		return true;
	case SMTP_PHASE_DATA:
		return s->content->held_since && !smtp_data_refused(&s->content->data) &&
		       s->server->ops.data_room(s->owner) == 0;
	default:
		return false;
	}
}

void smtp_eof(struct smtp_session *s)
{
	s->eof = true;
	/* With a question open the answer still goes out: the client may have closed only half. */
	if (s->phase == SMTP_PHASE_COMMAND || s->phase == SMTP_PHASE_DATA ||
	    s->phase == SMTP_PHASE_PROXY || s->phase == SMTP_PHASE_TLS)
		smtp_close(s, SMTP_CLOSE_AFTER_REPLY);
}

void *smtp_owner(const struct smtp_session *s)
{
	return s->owner;
}

enum smtp_phase smtp_phase(const struct smtp_session *s)
{
	/* A message that comes in chunks is under way also between them. */
	if (s->phase == SMTP_PHASE_COMMAND && s->content && !s->content->say)
		return SMTP_PHASE_DATA;
	return s->phase;
}

uint32_t smtp_session_flags(const struct smtp_session *s)
{
	return s->early ? RECORD_F_EARLY_TALKER : 0;
}

void smtp_session_end(const struct smtp_session *s, struct smtp_end *out)
{
	*out = (struct smtp_end){
		.flags = s->end | (s->early ? END_F_EARLY_TALKER : 0),
		.errors = s->errors,
		.messages = s->messages,
	};
}

void smtp_session_note(struct smtp_session *s, uint32_t end_flag)
{
	smtp_ending(s, end_flag);
}
