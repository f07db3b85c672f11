/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_internal.h"

/*
 * One deadline a session. Waiting for a command or an answer it is a point in time; in DATA it is
 * the first of: no octet came, DATA as a whole took too long, a rate fell too low (smtp_rate.c). What
 * is only observed is told of once in a DATA, and no deadline any more.
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

void smtp_content_begin(struct smtp_session *s)
{
	const struct handoff_config *c = smtp_conf(s);

	*s->content = (struct smtp_content){
		.start = s->server->now,
		.progress = s->server->now,
		.end_by = s->server->now + (uint64_t)c->data_total_timeout_s * 1000,
		.min_rate = c->min_rate,
		.min_rate_mode = c->min_rate_mode,
		.min_rate_large = c->min_rate_large,
		.min_rate_large_mode = c->min_rate_large_mode,
		.data_total_mode = c->data_total_mode,
		.timeout_s = c->data_timeout_s,
	};
	/* Chunks may come without a transaction. */
	s->content->has_trace = s->txn_held && s->server->ops.trace_id &&
				s->server->ops.trace_id(s->owner, s->content->trace);
}

/* When a limit is passed that holds in this mode and was not seen to be passed yet. */
static uint64_t unless(const struct smtp_content *k, uint8_t mode, uint8_t seen, uint64_t deadline)
{
	return mode == MODE_OFF || k->seen & seen ? SMTP_NO_DEADLINE : deadline;
}

/* While the owner has no room no time passes for the client; it has a limit of its own for that. */
static uint64_t progress_deadline(const struct smtp_content *k)
{
	return k->held_since ? SMTP_NO_DEADLINE : k->progress + (uint64_t)k->timeout_s * 1000;
}

static uint64_t total_deadline(const struct smtp_content *k)
{
	return unless(k, k->data_total_mode, SMTP_SEEN_TOTAL,
		      k->held_since ? SMTP_NO_DEADLINE : k->end_by + k->held_total);
}

static uint64_t slow_deadline(const struct smtp_content *k)
{
	return unless(k, k->min_rate_mode, SMTP_SEEN_RATE, smtp_rate_deadline(k));
}

static uint64_t slow_large_deadline(const struct smtp_content *k)
{
	return unless(k, k->min_rate_large_mode, SMTP_SEEN_LARGE, smtp_rate_large_deadline(k));
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void smtp_arm_data(struct smtp_session *s)
{
	const struct smtp_content *k = s->content;
	uint64_t rate = sooner(slow_deadline(k), slow_large_deadline(k));

	s->deadline = sooner(rate, sooner(total_deadline(k), progress_deadline(k)));
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
		smtp_rate_add(k, now, n);
		k->octets += n;
		k->progress = now;
	}
	smtp_arm_data(s);
}

uint64_t smtp_deadline(const struct smtp_session *s)
{
	return s->deadline;
}

/* True: the limit that was passed is to be acted upon. */
static bool passed(struct smtp_session *s, uint8_t mode, uint8_t seen, enum postern_counter observed)
{
	if (mode == MODE_ENFORCE)
		return true;
	s->content->seen |= seen;
	smtp_count(s, observed);
	return false;
}

static void data_timeout(struct smtp_session *s, uint64_t now)
{
	const struct smtp_content *k = s->content;

	if (now >= slow_deadline(k) &&
	    passed(s, k->min_rate_mode, SMTP_SEEN_RATE, CNT_smtp_slow_observed)) {
		smtp_count(s, CNT_smtp_slow);
		smtp_ending(s, END_F_SLOW);
		smtp_say_close(s, SAY_SLOW);
	} else if (now >= slow_large_deadline(k) &&
		   passed(s, k->min_rate_large_mode, SMTP_SEEN_LARGE, CNT_smtp_slow_observed)) {
		smtp_count(s, CNT_smtp_slow_large);
		smtp_ending(s, END_F_SLOW);
		smtp_say_close(s, SAY_SLOW);
	} else if (now >= progress_deadline(k) ||
		   (now >= total_deadline(k) &&
		    passed(s, k->data_total_mode, SMTP_SEEN_TOTAL, CNT_smtp_data_total_observed))) {
		smtp_count(s, CNT_smtp_timeout);
		smtp_ending(s, END_F_TIMEOUT);
		smtp_say_close(s, SAY_TIMEOUT);
	} else {
		smtp_arm_data(s);
	}
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
		smtp_ending(s, END_F_TIMEOUT);
		smtp_say_close(s, SAY_TIMEOUT);
		break;
	case SMTP_PHASE_DATA:
		data_timeout(s, now_ms);
		break;
	default:
		break;
	}
}
