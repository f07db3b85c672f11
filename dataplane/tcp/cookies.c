/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * SYN cookies (RFC 4987 3.6). Our ISN carries: five bits of a counter of 64 s, three bits of an MSS
 * index, 24 bits of a keyed hash over tuple, peer's ISN, counter and index. When the SYN had
 * timestamps, the low six bits of our TSval carry what else it offered: window scale (15: none),
 * SACK (bit 4). Without timestamps those options are not used.
 */

#include "dataplane/tcp/internal.h"

#include <string.h>

static const uint16_t cookie_mss[8] = {LIMIT_TCP_MSS_MIN, 536, 1024, 1220, 1360, 1400, 1440, 1460};

#define COOKIE_SACK 0x10u
#define COOKIE_BITS 0x3fu

static uint32_t counter(const struct tcp_stack *s)
{
	return (uint32_t)(s->now_us / 64000000);
}

/* `hash`: the table's keyed hash of the tuple, which stands for it. */
static uint32_t cookie_hash(const struct tcp_stack *s, uint64_t hash, uint32_t irs, uint32_t count,
			    uint32_t index)
{
	uint64_t b[2] = {hash, (uint64_t)irs << 32 | count << 3 | index};

	return (uint32_t)(siphash24(s->env.secret + 16, b, sizeof(b)) >> 8) & 0xffffff;
}

bool tcp_cookie_active(const struct tcp_stack *s)
{
	return s->cookie_any && (uint32_t)(s->now_us / 1000000) - s->cookie_s <= 128;
}

void tcp_cookie_send(struct tcp_stack *s, struct tcp_in *in, uint64_t hash)
{
	const struct tcp_tuple *t = in->seg->tuple;
	uint32_t mss = in->has_mss ? in->mss : tcp_default_mss(t);
	uint32_t index = 7, count = counter(s), clock = 0, ts = 0;
	uint8_t opt[40];
	struct tcp_in syn = *in;
	struct tcp_bare b = {
		.tuple = t, .path = in->seg->path, .ack = in->seq + 1, .flags = TH_SYN | TH_ACK,
		.opt = opt, .wnd = (uint16_t)min_u32(s->opt.window_idle, 65535),
	};

	while (index && cookie_mss[index] > mss)
		index--;
	b.seq = (count & 31) << 27 | index << 24 | cookie_hash(s, hash, in->seq, count, index);
	syn.has_ts &= !s->opt.no_timestamps;
	syn.has_sack_ok &= !s->opt.no_sack && syn.has_ts;
	syn.has_wscale &= syn.has_ts;
	if (syn.has_ts) {
		clock = tcp_ts_now(s, tcp_ts_offset(s, hash));
		ts = (clock & ~COOKIE_BITS) | (syn.has_sack_ok ? COOKIE_SACK : 0) |
		     (syn.has_wscale ? syn.wscale : TCP_NO_WSCALE);
		/* Not ahead of our clock: later segments must not look older (RFC 7323 5.3). */
		if (seq_gt(ts, clock))
			ts -= COOKIE_BITS + 1;
	}
	b.opt_len = tcp_options_syn(opt, s->env.mss(s->env.ctx, t, in->seg->path), &syn, ts);
	s->cookie_any = true;
	s->cookie_s = (uint32_t)(s->now_us / 1000000);
	COUNT(s, tcp_cookie_sent);
	tcp_send_bare(s, &b);
}

bool tcp_cookie_check(struct tcp_stack *s, const struct tcp_in *in, uint64_t hash,
		      struct tcp_open *o)
{
	const struct tcp_tuple *t = in->seg->tuple;
	uint32_t iss = in->ack - 1, irs = in->seq - 1, count = counter(s);
	uint32_t index = iss >> 24 & 7, age = (count - (iss >> 27)) & 31, bits;

	if (!(in->flags & TH_ACK) || age > 1 ||
	    (iss & 0xffffff) != cookie_hash(s, hash, irs, count - age, index))
		return false;
	*o = (struct tcp_open){.tuple = t, .path = in->seg->path, .irs = irs, .iss = iss,
			       .mss = cookie_mss[index], .wscale = TCP_NO_WSCALE,
			       .ttl = in->seg->ttl, .cookie = true,
			       .ts_offset = tcp_ts_offset(s, hash)};
	if (in->has_ts && !s->opt.no_timestamps) {
		bits = in->tsecr & COOKIE_BITS;
		o->ts = true;
		o->ts_recent = in->tsval;
		o->sack = bits & COOKIE_SACK;
		o->wscale = bits & 15;
	}
	return true;
}
