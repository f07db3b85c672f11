/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>

#include "control/handoff/test_pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sink;

static void read_all(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == 0 || s.p[i] == '\r' || s.p[i] == '\n')
			abort();
		sink = s.p[i];
	}
}

static void take(void *dst, size_t n, const uint8_t **p, size_t *left)
{
	size_t k = n < *left ? n : *left;

	memcpy(dst, *p, k);
	*p += k;
	*left -= k;
}

/* Parts of a record in this order: the fixed part behind generation and client_gone, 8 recipients,
 * 16 chunk indices, 4 matches, text. What the input does not reach is as it was. */
static void fill(struct handoff_record *rec, const uint8_t *p, size_t left)
{
	const size_t from = offsetof(struct handoff_record, session);

	take((uint8_t *)rec + from, offsetof(struct handoff_record, rcpt) - from, &p, &left);
	take(rec->rcpt, 8 * sizeof(rec->rcpt[0]), &p, &left);
	take(rec->chunk, 16 * sizeof(rec->chunk[0]), &p, &left);
	take(rec->match, 4 * sizeof(rec->match[0]), &p, &left);
	take(rec->text, sizeof(rec->text), &p, &left);
}

static void read_submission(const struct ctl_submission *s)
{
	size_t total = 0;

	read_all(s->envelope.helo);
	read_all(s->envelope.mail_from);
	read_all(s->envelope.tls_cipher);
	read_all(s->envelope.observed.reply);
	if ((!s->envelope.n_rcpts && !(s->envelope.flags & RECORD_F_OBSERVED)) || strlen(s->envelope.trace_id) != 16)
		abort();
	for (size_t i = 0; i < s->envelope.n_rcpts; i++)
		read_all(s->envelope.rcpt[i]);
	for (size_t i = 0; i < s->n_matches; i++)
		if (s->match[i].slot >= HANDOFF_SLOTS)
			abort();
	for (size_t i = 0; i < s->content.n_iov; i++) {
		const uint8_t *c = s->content.iov[i].iov_base;

		sink = c[0];
		sink = c[s->content.iov[i].iov_len - 1];
		total += s->content.iov[i].iov_len;
	}
	if (total != s->content.size || s->header_size > total)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pair_fix *f;
	static struct handoff_record clean;
	struct ctl_rcpt_question q;
	struct ctl_submission *s;
	struct handoff_record *rec;
	struct handoff_desc d;
	struct dp_msg m = {0};
	int rc;

	if (!f) {
		f = pair_open();
		pair_message(f, &m, 5, 'm');
		memcpy(&clean, dp_msg_record(f->w, &m), sizeof(clean));
		dp_msg_free(f->w, &m);
	}
	if (dp_msg_open(f->w, &m))
		abort();
	rec = dp_msg_record(f->w, &m);
	memcpy(&rec->session, &clean.session,
	       sizeof(clean) - offsetof(struct handoff_record, session));
	fill(rec, data, size);
	d = (struct handoff_desc){
		.kind = DESC_SUBMIT,
		.flags = rec->flags & RECORD_F_OBSERVED ? DESC_F_OBSERVED : 0,
		.session = rec->session, .generation = rec->session_gen,
		.msg = {.record = m.record, .record_gen = dp_msg_generation(f->w, &m),
			.size = rec->size},
	};
	rc = ctl_submission_new(f->loop, &d, &s);
	if (rc == 0) {
		read_submission(s);
		if (!ctl_submission_current(s))
			abort();
		ctl_submission_free(s);
	} else if (rc != -EINVAL) {
		abort();
	}
	d.kind = DESC_RCPT;
	for (d.msg.rcpt = 0; d.msg.rcpt < 8; d.msg.rcpt++) {
		if (ctl_rcpt_question(f->loop, &d, &q))
			continue;
		read_all(q.mail_from);
		read_all(q.rcpt);
		read_all(q.helo);
	}
	dp_msg_free(f->w, &m);
	return 0;
}
