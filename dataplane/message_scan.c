/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/message_scan.h"

#include "dataplane/worker.h"

void message_trace_id_new(struct worker *w, uint64_t now_ns, uint8_t id[16])
{
	static const char digit[33] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint64_t t = now_ns / 1000000;
	uint64_t r = (uint64_t)worker_random(w) << 32 | worker_random(w);

	for (int i = 7; i >= 0; i--, t >>= 5, r >>= 5) {
		id[i] = (uint8_t)digit[t & 31];
		id[8 + i] = (uint8_t)digit[r & 31];
	}
}

/* How many messages a generation scans: it may go when there are none. */
static uint32_t *scans_of(struct worker *w, const struct generation *g)
{
	unsigned int i = w->n_used - 1;

	while (i && w->used[i].generation != g)
		i--;
	return &w->used[i].scanning;
}

static struct scan_worker *scanner(const struct worker *w, const struct message_scan *s)
{
	return s->generation->worker[w->opt.index].scan;
}

static struct scan_views *views(const struct worker *w, const struct message_scan *s)
{
	return s->generation->worker[w->opt.index].views;
}

static struct scan_target target(struct handoff_record *rec)
{
	return (struct scan_target){rec->match, &rec->n_matches, HANDOFF_MAX_MATCHES};
}

void message_scan_begin(struct worker *w, struct message_scan *s, struct dp_msg *msg)
{
	struct generation *g = w->current;

	content_header_end_init(&s->header);
	s->generation = g;
	s->scans = g && g->scan;
	if (g)
		++*scans_of(w, g);
	/* Set even without rules. */
	dp_msg_record(w->arena, msg)->scan_generation = g ? (uint32_t)g->config.generation : 0;
}

/* What is only watched leaves states to messages that somebody waits for: of these and the free ones
 * it has its share. */
static bool may_be_large(const struct worker *w, const struct message_scan *s,
			 const struct dp_msg *msg)
{
	uint64_t left = scan_views_left(views(w, s)), share = msg->route_share;

	return !msg->passive || share >= 100 ||
	       w->large_observed * (100 - share) < left * share;
}

static bool open_large(struct worker *w, struct message_scan *s, struct dp_msg *msg)
{
	const struct scan_target to = target(dp_msg_record(w->arena, msg));

	if (may_be_large(w, s, msg)) {
		s->large = scan_views_open(views(w, s), scanner(w, s), &to);
		s->observed = s->large && msg->passive;
		w->large_observed += s->observed;
	} else {
		worker_count(w, CNT_scan_no_stream);
	}
	return s->large;
}

/* It is closed or aborted. */
static void forget_large(struct worker *w, struct message_scan *s)
{
	w->large_observed -= s->observed;
	s->observed = false;
	s->large = NULL;
}

void message_scan_drop(struct worker *w, struct message_scan *s)
{
	if (s->large)
		scan_large_abort(s->large);
	forget_large(w, s);
	if (s->generation)
		--*scans_of(w, s->generation);
	s->scans = false;
	s->generation = NULL;
}

/* Scans every chunk that is full, or at the end of data all that is left. */
static void scan_chunks(struct worker *w, struct message_scan *s, struct dp_msg *msg, bool last)
{
	const uint8_t *p;
	size_t n;

	if (!s->large && !open_large(w, s, msg)) {
		s->outcome.flags |= RECORD_F_SCAN_PARTIAL;
		s->scans = false;
		return;
	}
	while ((p = dp_msg_chunk(w->arena, msg, s->scanned, &n)) && n) {
		if (n < HANDOFF_CHUNK && !last)
			break;
		scan_large_run(s->large, p, n);
		s->scanned++;
	}
}

void message_scan_feed(struct worker *w, struct message_scan *s, struct dp_msg *msg,
		       const uint8_t *p, size_t n)
{
	uint64_t chunks = (msg->size - n) / HANDOFF_CHUNK;

	content_header_end_feed(&s->header, p, n);
	/* A message of up to one chunk is one run in block mode at its end. */
	if (s->scans && msg->size > HANDOFF_CHUNK &&
	    (msg->size / HANDOFF_CHUNK != chunks || !s->large))
		scan_chunks(w, s, msg, false);
}

void message_scan_finish(struct worker *w, struct message_scan *s, struct dp_msg *msg)
{
	struct handoff_record *rec = dp_msg_record(w->arena, msg);

	if (s->scans && msg->size <= HANDOFF_CHUNK) {
		const struct scan_target to = target(rec);
		size_t n = 0;
		const uint8_t *p = dp_msg_chunk(w->arena, msg, 0, &n);

		s->outcome = scan_views_block(views(w, s), scanner(w, s), p, p ? n : 0, &to);
	} else if (s->scans) {
		scan_chunks(w, s, msg, true);
		if (s->large)
			s->outcome = scan_large_close(s->large);
		forget_large(w, s);
	}
	rec->content_marks = s->outcome.marks;
	rec->header_size = (uint32_t)s->header.size;
	rec->flags |= s->outcome.flags;
	message_scan_drop(w, s);
}
