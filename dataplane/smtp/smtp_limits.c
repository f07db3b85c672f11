/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_internal.h"

/*
 * One deadline a session. Waiting for a command or an answer it is a point in time; in DATA it is
 * the first of: no octet came, DATA as a whole took too long, the average rate fell too low.
 *
 * The answers carry no time, so what they arm starts from the latest time known and is "soft":
 * when it passes, it is armed once more from the time that smtp_timeout() tells.
 */

void smtp_arm(struct smtp_session *s, uint32_t seconds)
{
	s->deadline = s->server->now + (uint64_t)seconds * 1000;
	s->soft_deadline = false;
}

void smtp_arm_command(struct smtp_session *s)
{
	uint32_t t = smtp_conf(s)->command_timeout_s;

	/* RFC 5321 3.1 lets a refused client say QUIT; it need not be given five minutes for it. */
	if (s->refused && t > LIMIT_REFUSED_QUIT_S)
		t = LIMIT_REFUSED_QUIT_S;
	smtp_arm(s, t);
}

/* When the average since the start of DATA reaches the minimum, if nothing more comes. */
static uint64_t rate_deadline(const struct smtp_session *s)
{
	uint64_t held = s->held_total, bought, start = LIMIT_MIN_RATE_GRACE_S * 1000u;

	/* While the owner has no room the client cannot send: it is not to be blamed. */
	if (!s->min_rate || s->held_since)
		return SMTP_NO_DEADLINE;
	bought = s->data_octets > UINT64_MAX / 1000 ? UINT64_MAX / 2
						     : s->data_octets * 1000 / s->min_rate;
	return s->data_start + held + (bought > start ? bought : start);
}

void smtp_arm_data(struct smtp_session *s)
{
	uint64_t progress = s->data_progress + (uint64_t)s->data_timeout_s * 1000;
	uint64_t rate = rate_deadline(s), t = s->data_end_by;

	if (progress < t)
		t = progress;
	if (rate < t)
		t = rate;
	s->deadline = t;
	s->soft_deadline = false;
}

void smtp_data_moved(struct smtp_session *s, size_t n, bool held)
{
	uint64_t now = s->server->now;

	if (s->held_since) {
		s->held_total += now - s->held_since;
		s->held_since = 0;
	}
	if (held)
		s->held_since = now ? now : 1;
	if (n) {
		s->data_octets += n;
		s->data_progress = now;
	}
	smtp_arm_data(s);
}

uint64_t smtp_deadline(const struct smtp_session *s)
{
	return s->deadline;
}

static void data_timeout(struct smtp_session *s, uint64_t now)
{
	if (now >= rate_deadline(s)) {
		smtp_count(s, CNT_smtp_slow);
		smtp_say_close(s, SAY_SLOW);
		return;
	}
	smtp_count(s, CNT_smtp_timeout);
	smtp_say_close(s, SAY_TIMEOUT);
}

void smtp_timeout(struct smtp_session *s, uint64_t now_ms)
{
	if (now_ms > s->server->now)
		s->server->now = now_ms;
	if (s->deadline == SMTP_NO_DEADLINE || now_ms < s->deadline)
		return;
	switch (s->phase) {
	case SMTP_PHASE_CONNECT:
	case SMTP_PHASE_RCPT_ASKED:
		smtp_count(s, CNT_smtp_timeout);
		smtp_control_lost(s);
		break;
	case SMTP_PHASE_SUBMITTED:
		/* RFC 5321 4.5.3.2.6: the client will not wait any longer either. */
		smtp_count(s, CNT_smtp_verdict_timeout);
		smtp_count(s, CNT_smtp_reply_4xx);
		smtp_say(s, SAY_NO_VERDICT);
		smtp_command_done(s);
		break;
	case SMTP_PHASE_COMMAND:
		if (s->soft_deadline) {
			smtp_arm_command(s);
			break;
		}
		smtp_count(s, CNT_smtp_timeout);
		smtp_say_close(s, SAY_TIMEOUT);
		break;
	case SMTP_PHASE_DATA:
		data_timeout(s, now_ms);
		break;
	default:
		break;
	}
}
