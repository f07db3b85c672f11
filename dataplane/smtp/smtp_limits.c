/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_internal.h"

/*
 * One deadline a session. Waiting for a command or an answer it is a point in time; in DATA it is
 * the first of: no octet came, DATA as a whole took too long, the average rate fell too low.
 *
 * The answers carry no time, so what they arm starts from the latest time known and is "soft":
 * when it passes, it is armed once more from the time that smtp_timeout() tells.
 *
 * Who calls smtp_timeout() took the session off the wheel; where it does nothing (too early), the
 * session is hung up again.
 */

void smtp_arm(struct smtp_session *s, uint32_t seconds)
{
	s->deadline = s->server->now + (uint64_t)seconds * 1000;
	s->soft_deadline = false;
	smtp_wheel_hang(s);
}

void smtp_arm_command(struct smtp_session *s)
{
	uint32_t t = smtp_conf(s)->command_timeout_s;

	/* RFC 5321 3.1 lets a refused client say QUIT; it need not be given five minutes for it. */
	if (s->refused && t > LIMIT_REFUSED_QUIT_S)
		t = LIMIT_REFUSED_QUIT_S;
	smtp_arm(s, t);
}

/* From the first of the open questions, and again with every answer. */
void smtp_arm_rcpt(struct smtp_session *s)
{
	const struct handoff_config *c = smtp_conf(s);

	smtp_arm(s, c->command_timeout_s < c->verdict_timeout_s ? c->command_timeout_s
								: c->verdict_timeout_s);
}

/* When the average since the start of DATA reaches the minimum, if nothing more comes. */
static uint64_t rate_deadline(const struct smtp_session *s)
{
	const struct smtp_content *k = s->content;
	uint64_t bought, start = LIMIT_MIN_RATE_GRACE_S * 1000u;

	/* While the owner has no room the client cannot send: it is not to be blamed. */
	if (!k->min_rate || k->held_since)
		return SMTP_NO_DEADLINE;
	bought = k->octets > UINT64_MAX / 1000 ? UINT64_MAX / 2 : k->octets * 1000 / k->min_rate;
	return k->start + k->held_total + (bought > start ? bought : start);
}

void smtp_arm_data(struct smtp_session *s)
{
	const struct smtp_content *k = s->content;
	uint64_t progress = k->progress + (uint64_t)k->timeout_s * 1000;
	uint64_t rate = rate_deadline(s), t = k->end_by;

	if (progress < t)
		t = progress;
	if (rate < t)
		t = rate;
	s->deadline = t;
	s->soft_deadline = false;
	smtp_wheel_hang(s);
}

void smtp_data_moved(struct smtp_session *s, size_t n, bool held)
{
	struct smtp_content *k = s->content;
	uint64_t now = s->server->now;

	if (k->held_since) {
		k->held_total += now - k->held_since;
		k->held_since = 0;
	}
	if (held)
		k->held_since = now ? now : 1;
	if (n) {
		k->octets += n;
		k->progress = now;
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
	if (s->deadline == SMTP_NO_DEADLINE || now_ms < s->deadline) {
		smtp_wheel_hang(s);
		return;
	}
	switch (s->phase) {
	case SMTP_PHASE_PROXY:
		smtp_proxy_timeout(s);
		break;
	case SMTP_PHASE_TLS:
		smtp_tls_timeout(s);
		break;
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
		if (s->content) { /* between two chunks */
			data_timeout(s, now_ms);
			break;
		}
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
