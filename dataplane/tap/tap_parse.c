/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <string.h>

#include "dataplane/tap/tap_internal.h"

#define OPT_EOL       0
#define OPT_NOP       1
#define OPT_WSCALE    3
#define OPT_TIMESTAMP 8

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/*
 * What comes before a malformed option counts: receivers differ in whether they drop the segment,
 * and the ACK of this one tells.
 */
static void options(struct tap_in *in, const uint8_t *p, size_t n)
{
	while (n) {
		if (p[0] == OPT_EOL)
			return;
		if (p[0] == OPT_NOP) {
			p++;
			n--;
			continue;
		}
		if (n < 2 || p[1] < 2 || p[1] > n)
			return;
		if (p[0] == OPT_TIMESTAMP && p[1] == 10) {
			in->has_ts = true;
			in->tsval = get32(p + 2);
		} else if (p[0] == OPT_WSCALE && p[1] == 3 && in->flags & TH_SYN) {
			in->has_wscale = true;
			in->wscale = p[2] > 14 ? 14 : p[2]; /* RFC 7323 2.3 */
		}
		n -= p[1];
		p += p[1];
	}
}

bool tap_parse(struct tap *t, const struct tap_segment *seg, struct tap_in *in)
{
	const uint8_t *h = seg->header;
	uint32_t doff;

	memset(in, 0, sizeof(*in));
	in->seg = seg;
	doff = seg->header_len < 20 ? 0 : (uint32_t)(h[12] >> 4) * 4;
	if (doff < 20 || doff > seg->header_len) {
		TAP_COUNT(t, tcp_drop_header);
		return false;
	}
	in->seq = get32(h + 4);
	in->ack = get32(h + 8);
	in->flags = h[13] & 0x3f;
	in->wnd = get16(h + 14);
	in->len = seg->payload_len;
	options(in, h + 20, doff - 20);
	return true;
}
