/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What one verdict record must look like, whatever the state of session or message. */

#include "dataplane/handoff/internal.h"

#include <errno.h>

static bool code_fits(const struct handoff_verdict *v)
{
	unsigned int class = v->code / 100;

	switch (v->kind) {
	case VERDICT_CONNECT:
		/* RFC 5321 4.3.2: the greeting is 220, 4yz or 5yz (554). */
		return v->code == 220 || (class >= 4 && class <= 5);
	case VERDICT_RCPT:
	case VERDICT_MESSAGE:
		return class == 2 || class == 4 || class == 5;
	default: /* these carry no reply */
		return true;
	}
}

/* RFC 3463 2: class.subject.detail, up to three digits; RFC 2034 4: the classes must agree. */
static bool enhanced_fits(const struct handoff_verdict *v)
{
	if (v->enh_class == 0)
		return true;
	return v->enh_class == v->code / 100 && v->enh_subject <= 999 && v->enh_detail <= 999;
}

static unsigned int flags_of(const struct handoff_verdict *v)
{
	if (v->kind == VERDICT_CONNECT && v->code == 220)
		return VF_GOOD;
	return v->kind == VERDICT_MESSAGE ? VF_RELEASE : 0;
}

static bool route_fits(const struct handoff_verdict *v)
{
	if (v->kind != VERDICT_RCPT || v->code / 100 != 2 || !v->route)
		return !v->route && !v->route_share;
	return v->route < HANDOFF_MAX_ROUTES && v->route_share >= 1 && v->route_share <= 100;
}

static bool printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] > 0x7e)
			return false;
	return true;
}

int dp_verdict_parse(const uint8_t *slots, uint32_t n_slots, uint32_t n_sessions,
		     uint32_t n_records, struct dp_verdict *out)
{
	struct handoff_verdict *v = &out->head;

	if (n_slots < 1 || n_slots > HANDOFF_VERDICT_SLOTS)
		return -EINVAL;
	memcpy(v, slots, sizeof(*v));
	if (v->kind < VERDICT_CONNECT || v->kind > VERDICT_CLOSE || v->slots != n_slots)
		return -EINVAL;
	if (v->flags & ~flags_of(v))
		return -EINVAL;
	if (v->text_len > n_slots * HANDOFF_SLOT - offsetof(struct handoff_verdict, text))
		return -EINVAL;
	if (v->session >= n_sessions || !code_fits(v) || !enhanced_fits(v) || !route_fits(v))
		return -EINVAL;
	if ((v->kind == VERDICT_MESSAGE || v->kind == VERDICT_RELEASE) &&
	    (v->record >= n_records || v->record_gen % 2 == 0))
		return -EINVAL;
	out->text = str_make(slots + offsetof(struct handoff_verdict, text), v->text_len);
	return printable(out->text) ? 0 : -EINVAL;
}
