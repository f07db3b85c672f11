/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Whose segment is it, where others have theirs on the same wire? */

#include "dataplane/tcp/internal.h"

bool tcp_has(struct tcp_stack *s, const struct tcp_tuple *tuple)
{
	return tcp_table_find(s, tuple, tcp_hash(s, tuple)) != 0;
}

bool tcp_claims(struct tcp_stack *s, const struct tcp_segment *seg)
{
	uint64_t hash = tcp_hash(s, seg->tuple);
	struct tcp_in in = {.seg = seg};
	struct tcp_open o;

	if (tcp_table_find(s, seg->tuple, hash))
		return true;
	if (!tcp_cookie_active(s) || seg->header_len < 20)
		return false;
	in.seq = get32(seg->header + 4);
	in.ack = get32(seg->header + 8);
	in.flags = seg->header[13] & 0x3f;
	return !(in.flags & (TH_SYN | TH_RST)) && tcp_cookie_check(s, &in, hash, &o);
}

void tcp_refuse(struct tcp_stack *s, const struct tcp_segment *seg)
{
	struct tcp_in in;

	if (tcp_parse(s, seg, &in))
		tcp_reply_rst(s, &in);
}
