/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <stdlib.h>
#include <string.h>

#include "dataplane/tap/tap_smtp_internal.h"
#include "postern/handoff.h"

struct tap_message *tap_message_of(struct tap_smtp_session *s)
{
	return s->slot == TAP_NO_MESSAGE ? NULL : s->message[s->slot];
}

static void to_pool(struct tap_smtp_session *s, uint8_t slot)
{
	struct tap_message *m = s->message[slot];

	m->next = s->pool->free_message;
	s->pool->free_message = m;
	s->message[slot] = NULL;
	if (s->slot == slot)
		s->slot = TAP_NO_MESSAGE;
	for (uint16_t i = 0; i < s->asked; i++) {
		struct tap_question *q = &s->question[(s->first + i) % LIMIT_TAP_PIPELINE];

		if (q->slot == slot)
			q->slot = TAP_NO_MESSAGE;
	}
}

void tap_message_over(struct tap_smtp_session *s, uint8_t slot)
{
	struct tap_message *m = s->message[slot];

	m->anomalies |= s->since;
	if (m->unproven)
		tap_message_unsure(m);
	if (m->has_content) {
		tap_smtp_count(s, CNT_tap_messages);
		if (m->whole != TAP_WHOLE)
			tap_smtp_count(s, CNT_tap_incomplete);
		s->pool->ops->message(s->owner, m);
		s->since = 0;
	}
	to_pool(s, slot);
}

/* A slot; the message that waited longest for its reply goes without. */
static uint8_t free_slot(struct tap_smtp_session *s)
{
	for (uint8_t i = 0; i < LIMIT_TAP_OPEN_MESSAGES; i++)
		if (!s->message[i])
			return i;
	for (uint16_t i = 0; i < s->asked; i++) {
		uint8_t slot = s->question[(s->first + i) % LIMIT_TAP_PIPELINE].slot;

		if (slot != TAP_NO_MESSAGE && s->message[slot] && s->message[slot]->ended) {
			tap_message_over(s, slot);
			return slot;
		}
	}
	return TAP_NO_MESSAGE;
}

struct tap_message *tap_message_new(struct tap_smtp_session *s)
{
	struct tap_message *m = s->pool->free_message;
	uint8_t slot = m ? free_slot(s) : TAP_NO_MESSAGE;

	if (slot == TAP_NO_MESSAGE) {
		tap_smtp_count(s, CNT_tap_no_message);
		return NULL;
	}
	m = s->pool->free_message; /* one may have come back */
	s->pool->free_message = m->next;
	memset(m, 0, offsetof(struct tap_message, reply));
	m->index = (uint32_t)(m - s->pool->message);
	m->text_n = 0;
	m->ended = false;
	m->unproven = s->doubt;
	if (s->stray)
		tap_message_unsure(m);
	m->one_way = s->one_way;
	s->message[slot] = m;
	s->slot = slot;
	return m;
}

void tap_message_end(struct tap_smtp_session *s)
{
	struct tap_message *m = tap_message_of(s);

	if (m)
		m->ended = true;
	s->slot = TAP_NO_MESSAGE;
}

void tap_message_abort(struct tap_smtp_session *s)
{
	struct tap_message *m = tap_message_of(s);

	if (!m)
		return;
	tap_message_flags(s);
	if (m->has_content && m->whole == TAP_WHOLE)
		m->whole = TAP_NOT_WHOLE_ABORTED;
	tap_message_over(s, s->slot);
}

void tap_message_flags(struct tap_smtp_session *s)
{
	struct tap_message *m = tap_message_of(s);

	if (!m || !m->has_content)
		return;
	m->flags |= s->data.flags;
	if (s->data.bare_lf)
		m->flags |= RECORD_F_BARE_LF;
	if (m->bdat)
		m->flags |= RECORD_F_BDAT;
}

void tap_message_gap(struct tap_smtp_session *s, uint64_t octets)
{
	struct tap_message *m = tap_message_of(s);

	if (!m)
		return;
	m->whole = TAP_NOT_WHOLE_GAP;
	m->gap_octets += octets;
}

void tap_message_unsure(struct tap_message *m)
{
	if (m->whole == TAP_WHOLE)
		m->whole = TAP_NOT_WHOLE_UNSURE;
}

void tap_message_begin(struct tap_smtp_session *s, bool bdat)
{
	struct tap_message *m = tap_message_of(s);

	if (!m || m->has_content)
		return;
	m->has_content = true;
	m->bdat = bdat;
	s->pool->ops->begin(s->owner, m);
}

bool tap_message_text(struct tap_message *m, struct str text, uint16_t *off)
{
	if (text.n > sizeof(m->text) - m->text_n)
		return false;
	*off = m->text_n;
	if (text.n)
		memcpy(m->text + m->text_n, text.p, text.n);
	m->text_n = (uint16_t)(m->text_n + text.n);
	return true;
}

struct tap_smtp *tap_smtp_new(uint32_t sessions, const struct tap_smtp_ops *ops, uint64_t *counters)
{
	struct tap_smtp *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->ops = ops;
	p->counters = counters;
	p->n_messages = sessions + sessions / 4 + LIMIT_TAP_OPEN_MESSAGES;
	p->session = calloc(sessions, sizeof(*p->session));
	p->message = calloc(p->n_messages, sizeof(*p->message));
	if (!p->session || !p->message) {
		tap_smtp_free(p);
		return NULL;
	}
	for (uint32_t i = sessions; i--;) {
		p->session[i].next = p->free_session;
		p->free_session = &p->session[i];
	}
	for (uint32_t i = p->n_messages; i--;) {
		p->message[i].next = p->free_message;
		p->free_message = &p->message[i];
	}
	return p;
}

void tap_smtp_free(struct tap_smtp *p)
{
	if (!p)
		return;
	free(p->session);
	free(p->message);
	free(p);
}

bool tap_smtp_full(const struct tap_smtp *p)
{
	return !p->free_session;
}

uint32_t tap_smtp_messages(const struct tap_smtp *p)
{
	return p->n_messages;
}

struct tap_smtp_session *tap_smtp_open(struct tap_smtp *p, const struct tap_flow_info *info,
				       void *owner)
{
	struct tap_smtp_session *s = p->free_session;

	if (!s) {
		p->counters[CNT_tap_no_session]++;
		return NULL;
	}
	p->free_session = s->next;
	memset(s, 0, offsetof(struct tap_smtp_session, line));
	s->pool = p;
	s->owner = owner;
	s->slot = s->nested = TAP_NO_MESSAGE;
	s->since = info->anomalies;
	if (info->midstream) {
		s->mode = TAP_MODE_RESYNC;
		s->pairing_lost = true;
	} else {
		tap_ask(s, TAP_ASKED_GREETING, UINT16_MAX);
	}
	return s;
}

void tap_smtp_close(struct tap_smtp_session *s)
{
	struct tap_smtp *p = s->pool;

	tap_reread(s, TAP_F_FORCED);
	if (s->mode == TAP_MODE_PEEK)
		tap_peek_end(s);
	/* By the order in which they were sent: those whose reply never came, then the one in hand.
	 */
	for (uint16_t i = 0; i < s->asked; i++) {
		struct tap_question *q = &s->question[(s->first + i) % LIMIT_TAP_PIPELINE];

		if (q->slot != TAP_NO_MESSAGE && s->message[q->slot] && s->message[q->slot]->ended)
			tap_message_over(s, q->slot);
	}
	tap_message_abort(s);
	for (uint8_t i = 0; i < LIMIT_TAP_OPEN_MESSAGES; i++)
		if (s->message[i])
			tap_message_over(s, i);
	p->ops->closed(s->owner);
	s->next = p->free_session;
	p->free_session = s;
}
