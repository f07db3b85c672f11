/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_internal.h"

#include <string.h>

void smtp_end_txn(struct smtp_session *s)
{
	if (s->txn_held)
		s->server->ops.txn_end(s->owner);
	s->txn = false;
	s->txn_held = false;
	s->rcpt_asked = 0;
	s->rcpt_accepted = 0;
	s->rcpt_open = 0;
}

void smtp_close(struct smtp_session *s, enum smtp_close how)
{
	if (s->phase == SMTP_PHASE_CLOSING)
		return;
	s->phase = SMTP_PHASE_CLOSING;
	s->deadline = SMTP_NO_DEADLINE;
	smtp_end_txn(s);
	smtp_content_put(s);
	smtp_line_put(s);
	s->server->ops.close(s->owner, how);
}

void smtp_say_raw(struct smtp_session *s, const void *p, size_t n)
{
	if (s->phase == SMTP_PHASE_CLOSING)
		return;
	/* A reply that cannot be queued would leave client and server at different places. */
	if (s->server->ops.send(s->owner, p, n) != 0)
		smtp_close(s, SMTP_CLOSE_ABORT);
}

const struct smtp_face *smtp_face(const struct smtp_session *s, bool *tls)
{
	const struct smtp_config *k = s->server->config;
	bool offered = true;
	uint8_t name = 0;

	if (s->server->ops.face)
		s->server->ops.face(s->owner, &name, &offered);
	/* One that a reload has taken away has our own name. */
	if (name >= k->n_faces)
		name = 0;
	*tls = offered && k->face[name].ehlo_tls_len;
	return &k->face[name];
}

/* The trace id of the message that a reply is about: in DATA, or with control. */
static const uint8_t *trace_of(struct smtp_session *s, uint8_t id[SMTP_TRACE_ID])
{
	if (s->content)
		return s->content->has_trace ? s->content->trace : NULL;
	if (s->phase == SMTP_PHASE_SUBMITTED && s->server->ops.trace_id &&
	    s->server->ops.trace_id(s->owner, id))
		return id;
	return NULL;
}

void smtp_say(struct smtp_session *s, enum smtp_say say)
{
	const struct smtp_config *c = s->server->config;
	uint8_t line[LIMIT_REPLY_LINE], id[SMTP_TRACE_ID];
	struct str plain = smtp_say_line(say);

	if (say == SAY_HELP && c->help_len)
		plain = str_make(c->help, c->help_len);
	if (smtp_say_code(say) >= 400)
		plain = str_make(line, smtp_say_format(line, say, c->contact, trace_of(s, id)));
	smtp_say_raw(s, plain.p, plain.n);
}

void smtp_say_close(struct smtp_session *s, enum smtp_say say)
{
	smtp_say(s, say);
	smtp_close(s, SMTP_CLOSE_AFTER_REPLY);
}

unsigned int smtp_say_reply(struct smtp_session *s, const struct smtp_reply *r,
			    const uint8_t *trace_id)
{
	uint8_t line[LIMIT_REPLY_LINE];
	unsigned int class = r->code / 100u;

	/* 354, 1xx or nonsense must not come from outside: the order of commands hangs on it. */
	if (class != 2 && class != 4 && class != 5) {
		smtp_say(s, SAY_BAD_VERDICT);
		return smtp_say_code(SAY_BAD_VERDICT);
	}
	smtp_say_raw(s, line, smtp_reply_format(line, r, false, trace_id));
	return r->code;
}

void smtp_say_bye(struct smtp_session *s)
{
	const struct str contact = s->server->config->contact;
	uint8_t line[LIMIT_REPLY_LINE], text[SMTP_BYE_MAX + 2 + SMTP_CONTACT_MAX];
	struct smtp_reply r = {421, 4, 3, 2, str_make(text, s->bye_len)};

	memcpy(text, s->bye, s->bye_len);
	if (contact.n) {
		memcpy(text + r.text.n, "; ", 2);
		memcpy(text + r.text.n + 2, contact.p, contact.n);
		r.text.n += 2 + contact.n;
	}
	smtp_say_raw(s, line, smtp_reply_format(line, &r, false, NULL));
}

bool smtp_error(struct smtp_session *s, enum postern_counter why)
{
	const struct handoff_config *c = smtp_conf(s);
	uint32_t max = c->max_errors;

	smtp_count(s, why);
	if (s->errors < UINT16_MAX)
		s->errors++;
	if (!max || s->errors < max || c->max_errors_mode == MODE_OFF)
		return true;
	if (c->max_errors_mode == MODE_OBSERVE) {
		if (s->errors == max)
			smtp_count(s, CNT_smtp_errors_observed);
		return true;
	}
	smtp_count(s, CNT_smtp_too_many_errors);
	smtp_ending(s, END_F_ERRORS);
	smtp_say_close(s, SAY_ERRORS);
	return false;
}

void smtp_blame(struct smtp_session *s, enum smtp_say say, enum postern_counter why)
{
	if (smtp_error(s, why))
		smtp_say(s, say);
}

void smtp_say_down(struct smtp_session *s)
{
	smtp_count(s, CNT_smtp_control_down);
	if (smtp_conf(s)->down_action == DOWN_421)
		smtp_say_close(s, SAY_CONTROL_DOWN_BYE);
	else
		smtp_say(s, SAY_CONTROL_DOWN);
}
