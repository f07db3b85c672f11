/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/tcp/internal.h"

#include <errno.h>
#include <string.h>

#define OPT_EOL       0
#define OPT_NOP       1
#define OPT_MSS       2
#define OPT_WSCALE    3
#define OPT_SACK_OK   4
#define OPT_SACK      5
#define OPT_TIMESTAMP 8
#define OPT_MD5       19
#define OPT_AO        29
#define OPT_MPTCP     30
#define OPT_TFO       34
#define OPT_EXPERIMENT 254

static int option(struct tcp_in *in, const uint8_t *o, uint8_t len)
{
	bool syn = in->flags & TH_SYN;

	switch (o[0]) {
	case OPT_MSS:
		if (len != 4)
			return -EINVAL;
		if (syn) { /* RFC 9293 3.2: only in a SYN */
			in->has_mss = true;
			in->mss = get16(o + 2);
		}
		return 0;
	case OPT_WSCALE:
		if (len != 3)
			return -EINVAL;
		if (syn) {
			in->has_wscale = true;
			/* RFC 7323 2.3: over 14 counts as 14. */
			in->wscale = o[2] > 14 ? 14 : o[2];
		}
		return 0;
	case OPT_SACK_OK:
		if (len != 2)
			return -EINVAL;
		in->has_sack_ok |= syn;
		return 0;
	case OPT_TIMESTAMP:
		if (len != 10)
			return -EINVAL;
		in->has_ts = true;
		in->tsval = get32(o + 2);
		in->tsecr = get32(o + 6);
		return 0;
	case OPT_SACK:
		if (len < 10 || (len - 2) % 8)
			return -EINVAL;
		in->sack = o + 2;
		in->n_sack = (uint8_t)((len - 2) / 8);
		return 0;
	case OPT_MD5:
	case OPT_AO:
	case OPT_MPTCP:
	case OPT_TFO:
	case OPT_EXPERIMENT:
		in->refused_option = true;
		return 0;
	default:
		return 0; /* RFC 9293 3.1: an unknown option with a length is skipped */
	}
}

int tcp_options_parse(struct tcp_in *in)
{
	const uint8_t *p = in->opt;
	uint32_t n = in->opt_len;

	/* RFC 7323 appendix A: what nearly every segment of an established connection carries. */
	if (n == TCP_OPT_TS && get32(p) == (OPT_NOP << 24 | OPT_NOP << 16 | OPT_TIMESTAMP << 8 | 10)) {
		in->has_ts = true;
		in->tsval = get32(p + 4);
		in->tsecr = get32(p + 8);
		return 0;
	}
	while (n) {
		uint8_t len;
		int err;

		if (p[0] == OPT_EOL)
			return 0;
		if (p[0] == OPT_NOP) {
			p++;
			n--;
			continue;
		}
		/* RFC 9293 3.1 (MUST-7): a length that cannot be must not crash us. */
		if (n < 2 || p[1] < 2 || p[1] > n)
			return -EINVAL;
		len = p[1];
		err = option(in, p, len);
		if (err)
			return err;
		p += len;
		n -= len;
	}
	return 0;
}

void tcp_put_ts(uint8_t p[TCP_OPT_TS], uint32_t val, uint32_t ecr)
{
	p[0] = OPT_NOP;
	p[1] = OPT_NOP;
	p[2] = OPT_TIMESTAMP;
	p[3] = 10;
	put32(p + 4, val);
	put32(p + 8, ecr);
}

/* Options of a SYN-ACK: only what the SYN offered (RFC 7323 2.2, 3.2; RFC 2018 2). */
size_t tcp_options_syn(uint8_t *p, uint16_t mss, const struct tcp_in *syn, uint32_t tsval)
{
	uint8_t *q = p;

	q[0] = OPT_MSS;
	q[1] = 4;
	put16(q + 2, mss);
	q += 4;
	if (syn->has_wscale) {
		q[0] = OPT_NOP;
		q[1] = OPT_WSCALE;
		q[2] = 3;
		q[3] = TCP_WSCALE;
		q += 4;
	}
	if (syn->has_sack_ok) {
		q[0] = OPT_NOP;
		q[1] = OPT_NOP;
		q[2] = OPT_SACK_OK;
		q[3] = 2;
		q += 4;
	}
	if (syn->has_ts) {
		tcp_put_ts(q, tsval, syn->tsval);
		q += TCP_OPT_TS;
	}
	return (size_t)(q - p);
}

static unsigned int sack_max(const struct tcp_conn *c)
{
	return c->flags & CF_TS ? 3 : 4; /* 40 octets of options less 12, at 8 each and 4 */
}

static unsigned int sack_blocks(const struct tcp_conn *c, uint32_t (*range)[2])
{
	unsigned int n = 0;

	if (!(c->flags & CF_SACK))
		return 0;
	if (c->flags & CF_DSACK) { /* RFC 2883 4: the duplicate comes first */
		range[0][0] = c->dsack_start;
		range[0][1] = c->dsack_end;
		n = 1;
	}
	return n + tcp_ooo_ranges(c, range + n, sack_max(c) - n);
}

size_t tcp_options_len(const struct tcp_conn *c)
{
	uint32_t range[4][2];
	unsigned int n = sack_blocks(c, range);

	return (c->flags & CF_TS ? 12u : 0u) + (n ? 4u + 8u * n : 0u);
}

/* RFC 7323 3.2, 4.3: TSval is our clock, TSecr is TS.Recent. */
size_t tcp_options_put(struct tcp_conn *c, uint8_t *p)
{
	uint32_t range[4][2];
	unsigned int n = sack_blocks(c, range);
	uint8_t *q = p;

	if (c->flags & CF_TS) {
		tcp_put_ts(q, tcp_ts_now(c->stack, c->ts_offset), c->ts_recent);
		q += TCP_OPT_TS;
	}
	if (n) {
		q[0] = OPT_NOP;
		q[1] = OPT_NOP;
		q[2] = OPT_SACK;
		q[3] = (uint8_t)(2 + 8 * n);
		q += 4;
		for (unsigned int i = 0; i < n; i++, q += 8) {
			put32(q, range[i][0]);
			put32(q + 4, range[i][1]);
		}
	}
	c->flags &= ~CF_DSACK; /* RFC 2883 4: a duplicate is reported once */
	return (size_t)(q - p);
}
