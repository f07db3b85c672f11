/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Both sides of an epoch in one process, without the socket. For tests only. */

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "control/handoff/internal.h"
#include "dataplane/handoff/internal.h"

#define PAIR_SESSIONS 100u

struct pair_fix {
	struct dp_arena *arena;
	struct dp_worker *w;
	struct dp_meet meet;
	struct dp_epoch *dp_epoch;
	struct dp_rings *rings;
	struct event_base *base;
	struct ctl_epoch *epoch;
	struct ctl_loop *loop;
	uint64_t counters[POSTERN_CTL_COUNTER_COUNT];
	/* descriptors that came */
	struct handoff_desc desc[8192];
	unsigned int n_desc;
	/* verdicts that came */
	struct handoff_verdict verdict;
	char text[HANDOFF_MAX_TEXT + 1];
	unsigned int n_verdicts;
};

static inline void pair_welcome(struct pair_fix *f, struct link_welcome *w, int *fd)
{
	struct dp_arena_info i;
	uint32_t n = 3;

	dp_arena_info(f->arena, &i);
	*w = (struct link_welcome){
		.head.type = LINK_WELCOME, .magic = HANDOFF_MAGIC, .version = HANDOFF_VERSION,
		.layout_hash = handoff_layout_hash(POSTERN_DP_COUNTER_COUNT),
		.epoch = f->dp_epoch->id, .n_workers = 1, .n_loops = f->dp_epoch->n_loops,
		.arena_size = i.arena_size, .slice_size = i.slice_size, .n_records = i.n_records,
		.n_chunks = i.n_chunks, .rings_size = f->dp_epoch->size,
		.counters_size = i.counters_size, .max_message = i.max_message,
	};
	fd[0] = dup(i.arena_fd);
	fd[1] = dup(i.counters_fd);
	fd[2] = dup(f->dp_epoch->rings_fd);
	for (uint32_t l = 0; l < w->n_loops; l++)
		fd[n++] = dup(f->dp_epoch->bell_read[l]);
	fd[n] = dup(f->meet.wake_ctl[0]);
}

static inline void pair_desc(void *arg, struct ctl_loop *loop, const struct handoff_desc *d)
{
	struct pair_fix *f = arg;

	(void)loop;
	if (f->n_desc < 8192)
		f->desc[f->n_desc] = *d;
	f->n_desc++;
}

static inline bool pair_verdict(void *arg, const struct dp_verdict *v)
{
	struct pair_fix *f = arg;

	f->verdict = v->head;
	memcpy(f->text, v->text.p, v->text.n);
	f->text[v->text.n] = '\0';
	f->n_verdicts++;
	return true;
}

static inline struct pair_fix *pair_open(void)
{
	struct dp_arena_opts o = {.n_workers = 1, .slice_mb = 8, .hugetlb = DP_HUGETLB_NEVER};
	struct pair_fix *f = calloc(1, sizeof(*f));
	struct link_welcome w;
	const char *why;
	int fd[5], rc;
	char err[160];

	if (!f || dp_arena_new(&o, &f->arena, err, sizeof(err)))
		abort();
	f->w = dp_arena_worker(f->arena, 0);
	rc = dp_meet_open(&f->meet, 1);
	rc |= dp_epoch_new(1, 1, 1, &f->dp_epoch);
	rc |= dp_rings_new_at(&f->meet, f->w, PAIR_SESSIONS, &f->rings);
	if (rc)
		abort();
	atomic_store(&f->meet.current, f->dp_epoch);
	if (dp_rings_epoch(f->rings) != DP_EPOCH_UP)
		abort();
	f->base = event_base_new();
	pair_welcome(f, &w, fd);
	if (ctl_epoch_new(&w, 1, fd, 5, &f->epoch, &why) ||
	    ctl_loop_new(f->epoch, 0, f->base, f->counters, pair_desc, f, &f->loop))
		abort();
	return f;
}

static inline void pair_close(struct pair_fix *f)
{
	ctl_loop_free(f->loop);
	ctl_epoch_unref(f->epoch);
	event_base_free(f->base);
	dp_rings_free(f->rings);
	dp_epoch_free(f->dp_epoch);
	dp_meet_close(&f->meet);
	dp_arena_free(f->arena);
	free(f);
}

static inline void pair_run(struct pair_fix *f)
{
	event_base_loop(f->base, EVLOOP_NONBLOCK);
}

static inline unsigned int pair_poll(struct pair_fix *f)
{
	return dp_rings_poll(f->rings, 1000000, pair_verdict, f);
}

/* A message of n octets of `c`, as a worker leaves it before SUBMIT. */
static inline void pair_message(struct pair_fix *f, struct dp_msg *m, size_t n, uint8_t c)
{
	struct handoff_record *rec;
	uint8_t buf[4096];
	int rc = dp_msg_open(f->w, m);

	memset(buf, c, sizeof(buf));
	rec = dp_msg_record(f->w, m);
	if (rc || !rec)
		abort();
	rec->session = 5;
	rec->session_gen = 9;
	memcpy(rec->trace_id, "0123456789ABCDEF", 16);
	rec->proto = PROTO_ESMTPS;
	rec->body = BODY_8BITMIME;
	rec->tls_version = 0x0304;
	rec->peer[15] = 7;
	rec->data_done_ns = 12345;
	rec->srtt_us = 4711;
	rc |= dp_msg_text(f->w, m, STR("client.example.net"), &rec->helo);
	rc |= dp_msg_text(f->w, m, STR("from@example.net"), &rec->mail_from);
	rc |= dp_msg_text(f->w, m, STR("TLS_AES_256_GCM_SHA384"), &rec->tls_cipher);
	if (rc || dp_msg_add_rcpt(f->w, m, STR("one@example.org")) != 0 ||
	    dp_msg_add_rcpt(f->w, m, STR("two@example.org")) != 1 ||
	    dp_msg_add_rcpt(f->w, m, STR("three@example.org")) != 2)
		abort();
	rec->rcpt[0].accepted = rec->rcpt[2].accepted = 1;
	if (dp_msg_data_begin(f->w, m, n, 0))
		abort();
	while (n) {
		size_t k = n < sizeof(buf) ? n : sizeof(buf);

		if (dp_msg_append(f->w, m, buf, k))
			abort();
		n -= k;
	}
	rec->match[0] = (struct handoff_match){.rule = 42, .slot = VIEW_BODY, .count = 1, .end = 3};
	rec->n_matches = 1;
	dp_msg_data_end(f->w, m);
}

static inline struct handoff_desc pair_submit(struct pair_fix *f, struct dp_msg *m)
{
	struct handoff_desc d = {
		.kind = DESC_SUBMIT, .session = 5, .generation = 9, .question = 3,
		.msg = {.record = m->record, .record_gen = dp_msg_generation(f->w, m),
			.size = m->size},
	};

	if (dp_rings_push(f->rings, 0, &d))
		abort();
	dp_msg_submitted(f->w, m, 0);
	dp_rings_flush(f->rings);
	return d;
}
