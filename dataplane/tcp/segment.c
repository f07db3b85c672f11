/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/tcp/internal.h"

#include <string.h>

/* RFC 9293 3.1, and combinations that no TCP sends: they are probes or noise. */
static bool flags_sane(uint8_t f)
{
	if (f & TH_SYN)
		return !(f & (TH_FIN | TH_RST));
	if (f & TH_RST)
		return !(f & TH_FIN);
	return f & TH_ACK;
}

bool tcp_parse(struct tcp_stack *s, const struct tcp_segment *seg, struct tcp_in *in)
{
	const uint8_t *h = seg->header;
	const struct tcp_tuple *t = seg->tuple;
	uint32_t doff;

	COUNT(s, tcp_segments);
	memset(in, 0, sizeof(*in));
	in->seg = seg;
	if (seg->header_len < 20)
		goto bad_header;
	doff = (uint32_t)(h[12] >> 4) * 4;
	if (doff < 20 || doff > seg->header_len)
		goto bad_header;
	if (!t->local_port || !t->remote_port) {
		COUNT(s, tcp_drop_port);
		return false;
	}
	/* RFC 1122 4.2.3.10: a segment from ourselves to ourselves ("land"). */
	if (t->local_port == t->remote_port && !memcmp(t->local, t->remote, 16))
		goto bad_header;
	in->seq = get32(h + 4);
	in->ack = get32(h + 8);
	in->flags = h[13] & 0x3f; /* CWR and ECE: not negotiated, tolerated */
	in->wnd = get16(h + 14);
	in->len = seg->payload_len;
	in->opt = h + 20;
	in->opt_len = doff - 20;
	if (!flags_sane(in->flags)) {
		COUNT(s, tcp_drop_flags);
		return false;
	}
	if (in->opt_len && tcp_options_parse(in))
		goto bad_header;
	return true;
bad_header:
	COUNT(s, tcp_drop_header);
	return false;
}
