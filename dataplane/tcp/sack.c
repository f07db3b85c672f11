/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What the peer says it holds of our octets: the scoreboard of RFC 6675, for flights of more than a
 * segment (TLS certificates, long EHLO replies). A scoreboard comes from its own small pool with the
 * first SACK block and goes back when everything is acknowledged. Without one, and when a range
 * finds no place, NewReno does the work: SACK is advice (RFC 2018 8), forgetting it is safe.
 */

#include "dataplane/tcp/internal.h"

#include <string.h>

#define DUP_THRESH 3u /* RFC 6675 2 */

static struct tcp_board *board_of(const struct tcp_conn *c)
{
	return c->board == TCP_NONE ? NULL : tcp_pool_at(&c->stack->board, c->board);
}

void tcp_sack_drop(struct tcp_conn *c)
{
	if (c->board == TCP_NONE)
		return;
	tcp_pool_put(&c->stack->board, c->board);
	c->board = TCP_NONE;
}

static struct tcp_board *board_new(struct tcp_conn *c)
{
	struct tcp_board *b;

	c->board = tcp_pool_get(&c->stack->board);
	if (c->board == TCP_NONE) {
		COUNT(c->stack, tcp_sack_board_empty);
		return NULL;
	}
	b = board_of(c);
	memset(b, 0, sizeof(*b));
	return b;
}

static void take_out(struct tcp_board *b, unsigned int i)
{
	b->n--;
	memmove(b->range + i, b->range + i + 1, (b->n - i) * sizeof(b->range[0]));
}

/* What is acknowledged needs no range. */
static void trim(struct tcp_board *b, uint32_t una)
{
	while (b->n && seq_le(b->range[0].end, una))
		take_out(b, 0);
	if (b->n && seq_lt(b->range[0].start, una))
		b->range[0].start = una;
}

/* True: at least one octet of it was not known before. */
static bool merge(struct tcp_board *b, uint32_t start, uint32_t end)
{
	unsigned int i = 0, k;

	while (i < b->n && seq_lt(b->range[i].end, start))
		i++;
	if (i < b->n && seq_le(b->range[i].start, start) && seq_ge(b->range[i].end, end))
		return false;
	for (k = i; k < b->n && seq_le(b->range[k].start, end); k++) {
		if (seq_lt(b->range[k].start, start))
			start = b->range[k].start;
		if (seq_gt(b->range[k].end, end))
			end = b->range[k].end;
	}
	if (k == i) {
		if (b->n == TCP_BOARD_RANGES) {
			if (i == b->n) /* the highest waits: holes are mended from below */
				return false;
			b->n--;
		}
		memmove(b->range + i + 1, b->range + i, (b->n - i) * sizeof(b->range[0]));
		b->n++;
	} else {
		memmove(b->range + i + 1, b->range + k, (b->n - k) * sizeof(b->range[0]));
		b->n = (uint8_t)(b->n - (k - i) + 1);
	}
	b->range[i] = (struct tcp_range){start, end};
	return true;
}

/*
 * Update() of RFC 6675 4, after SND.UNA moved. A block that is not within what is outstanding says
 * nothing of it: it is a D-SACK (RFC 2883 5), old, or false.
 */
enum tcp_sack_news tcp_sack_update(struct tcp_conn *c, const struct tcp_in *in)
{
	struct tcp_board *b = board_of(c);
	bool news = false;

	if (c->snd_una == c->snd_max) {
		tcp_sack_drop(c);
		return SACK_NOTHING;
	}
	if (b)
		trim(b, c->snd_una);
	if (!(c->flags & CF_SACK))
		return SACK_NOTHING;
	for (unsigned int i = 0; i < in->n_sack; i++) {
		uint32_t start = get32(in->sack + 8 * i), end = get32(in->sack + 8 * i + 4);

		if (!seq_lt(start, end) || !seq_gt(start, c->snd_una) || seq_gt(end, c->snd_max))
			continue;
		if (!b)
			b = board_new(c);
		if (!b)
			return SACK_NO_BOARD;
		news |= merge(b, start, end);
	}
	return news ? SACK_NEWS : SACK_NOTHING;
}

/* IsLost() of RFC 6675 4 for the octets before range `from`. */
static bool lost(const struct tcp_conn *c, const struct tcp_board *b, unsigned int from)
{
	uint32_t bytes = 0;

	if (b->n - from >= DUP_THRESH)
		return true;
	for (unsigned int i = from; i < b->n; i++)
		bytes += b->range[i].end - b->range[i].start;
	return bytes > (DUP_THRESH - 1) * c->mss;
}

bool tcp_sack_first_lost(const struct tcp_conn *c)
{
	const struct tcp_board *b = board_of(c);

	return b && b->n && lost(c, b, 0);
}

/* The hole before range i; the last one (i == n) ends where what was sent ends. */
static struct tcp_range hole(const struct tcp_conn *c, const struct tcp_board *b, unsigned int i)
{
	return (struct tcp_range){i ? b->range[i - 1].end : c->snd_una,
				  i < b->n ? b->range[i].start : c->snd_max};
}

/* SetPipe() of RFC 6675 4: octets that are believed to be under way. */
uint32_t tcp_sack_pipe(const struct tcp_conn *c)
{
	const struct tcp_board *b = board_of(c);
	uint32_t pipe = 0;

	if (!b)
		return c->snd_max - c->snd_una;
	for (unsigned int i = 0; i <= b->n; i++) {
		struct tcp_range h = hole(c, b, i);

		if (!lost(c, b, i))
			pipe += h.end - h.start;
		if (seq_gt(b->high_rxt, h.start))
			pipe += (seq_lt(b->high_rxt, h.end) ? b->high_rxt : h.end) - h.start;
	}
	return pipe;
}

void tcp_sack_begin(struct tcp_conn *c)
{
	struct tcp_board *b = board_of(c);

	if (!b)
		return;
	c->flags |= CF_SACK_RECOVERY;
	b->high_rxt = c->snd_una;
	b->rescued = false;
}

void tcp_sack_sent_again(struct tcp_conn *c, uint32_t end)
{
	struct tcp_board *b = board_of(c);

	if (b && seq_gt(end, b->high_rxt))
		b->high_rxt = end;
}

/*
 * NextSeg() of RFC 6675 4 without rule 2 (new data), which the caller tries between the two calls:
 * first with `sure` (rule 1: lost), then without (rules 3 and 4).
 */
bool tcp_sack_next(struct tcp_conn *c, bool sure, uint32_t room, struct tcp_range *out)
{
	struct tcp_board *b = board_of(c);
	struct tcp_range h;

	if (!b || !b->n)
		return false;
	for (unsigned int i = 0; i < b->n; i++) {
		h = hole(c, b, i);
		if (seq_gt(b->high_rxt, h.start))
			h.start = b->high_rxt;
		if (!seq_lt(h.start, h.end) || (sure && !lost(c, b, i)))
			continue;
		*out = (struct tcp_range){h.start, h.start + min_u32(room, h.end - h.start)};
		b->high_rxt = out->end;
		return true;
	}
	h = hole(c, b, b->n);
	if (sure || b->rescued || !seq_lt(h.start, h.end))
		return false;
	b->rescued = true; /* rule 4: once, and HighRxt stays */
	if (h.end - h.start > room)
		h.start = h.end - room;
	*out = h;
	return true;
}

/* After a time-out: octets at seq that the peer holds need not go again. */
uint32_t tcp_sack_skip(const struct tcp_conn *c, uint32_t seq, uint32_t *gap)
{
	const struct tcp_board *b = board_of(c);

	*gap = UINT32_MAX;
	for (unsigned int i = 0; b && i < b->n; i++) {
		if (seq_ge(seq, b->range[i].end))
			continue;
		if (seq_ge(seq, b->range[i].start)) {
			seq = b->range[i].end;
			continue;
		}
		*gap = b->range[i].start - seq;
		break;
	}
	return seq;
}
