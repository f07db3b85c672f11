/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Shapes of the two kinds of ring entries: descriptors checked, verdicts built. No state. */

#include "control/handoff/internal.h"

#include <errno.h>

bool ctl_desc_fits(const struct handoff_desc *d, uint32_t worker, uint32_t n_records)
{
	if (d->kind < DESC_CONNECT || d->kind > DESC_SESSION_END || d->worker != worker)
		return false;
	switch (d->kind) {
	case DESC_RCPT:
	case DESC_SUBMIT:
	case DESC_CANCEL:
		/* Even: a free record. */
		return d->msg.record < n_records && d->msg.record_gen % 2 == 1 &&
		       d->msg.rcpt < HANDOFF_MAX_RCPTS;
	default:
		return true;
	}
}

static int set_reply(struct handoff_verdict *v, const struct ctl_reply *r)
{
	unsigned int class = r->code / 100;

	/* RFC 5321 4.2: 2yz, 4yz, 5yz; 3yz and 1yz are no answer to any of our questions. */
	if (class != 2 && class != 4 && class != 5)
		return -EINVAL;
	/* RFC 5321 4.3.2: a greeting is 220 or a refusal. */
	if (v->kind == VERDICT_CONNECT && class == 2 && r->code != 220)
		return -EINVAL;
	/* RFC 2034 4: the classes must agree; RFC 3463 2: up to three digits. */
	if (r->enh_class && (r->enh_class != class || r->enh_subject > 999 || r->enh_detail > 999))
		return -EINVAL;
	v->code = r->code;
	v->enh_class = r->enh_class;
	v->enh_subject = r->enh_class ? r->enh_subject : 0;
	v->enh_detail = r->enh_class ? r->enh_detail : 0;
	if (v->kind == VERDICT_RCPT && class == 2 && r->route && r->route < HANDOFF_MAX_ROUTES) {
		v->route = r->route;
		v->route_share = r->route_share >= 1 && r->route_share <= 100 ? r->route_share : 100;
	}
	v->text_len = (uint16_t)(r->text.n > HANDOFF_MAX_TEXT ? HANDOFF_MAX_TEXT : r->text.n);
	return 0;
}

int ctl_verdict_build(uint8_t *slots, uint8_t kind, uint16_t flags, const struct handoff_desc *d,
		      const struct ctl_reply *r)
{
	const size_t off = offsetof(struct handoff_verdict, text);
	struct handoff_verdict v = {
		.kind = kind,
		.flags = flags,
		.session = d->session,
		.generation = d->generation,
		.question = d->question,
	};
	int rc = r ? set_reply(&v, r) : 0;
	size_t end;

	if (rc)
		return rc;
	if (kind == VERDICT_MESSAGE || kind == VERDICT_RELEASE) {
		v.record = d->msg.record;
		v.record_gen = d->msg.record_gen;
	}
	end = off + v.text_len;
	v.slots = (uint8_t)((end + HANDOFF_SLOT - 1) / HANDOFF_SLOT);
	memset(slots, 0, (size_t)v.slots * HANDOFF_SLOT);
	memcpy(slots, &v, off);
	for (size_t i = 0; i < v.text_len; i++) {
		uint8_t c = r->text.p[i];

		slots[off + i] = c >= 0x20 && c <= 0x7e ? c : '?';
	}
	return v.slots;
}

static int put(struct ctl_loop *l, uint8_t kind, uint16_t flags, const struct handoff_desc *d,
	       const struct ctl_reply *r)
{
	uint8_t slots[HANDOFF_VERDICT_SLOTS * HANDOFF_SLOT];
	int n = ctl_verdict_build(slots, kind, flags, d, r);

	return n < 0 ? n : ctl_loop_put(l, d->worker, slots, (uint32_t)n);
}

int ctl_verdict_connect(struct ctl_loop *l, const struct handoff_desc *d, const struct ctl_reply *r,
			bool good)
{
	return put(l, VERDICT_CONNECT, good && r->code == 220 ? VF_GOOD : 0, d, r);
}

int ctl_verdict_rcpt(struct ctl_loop *l, const struct handoff_desc *d, const struct ctl_reply *r)
{
	return put(l, VERDICT_RCPT, 0, d, r);
}

int ctl_verdict_message(struct ctl_loop *l, const struct handoff_desc *d, const struct ctl_reply *r,
			bool release)
{
	return put(l, VERDICT_MESSAGE, release ? VF_RELEASE : 0, d, r);
}

int ctl_verdict_release(struct ctl_loop *l, const struct handoff_desc *d)
{
	return put(l, VERDICT_RELEASE, 0, d, NULL);
}

int ctl_verdict_close(struct ctl_loop *l, const struct handoff_desc *d)
{
	return put(l, VERDICT_CLOSE, 0, d, NULL);
}
