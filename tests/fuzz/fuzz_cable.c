/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Frames through what decides about a cable. The first octet says what is configured; then frames:
 * two octets of length, one of circumstances. No segment that a stack would take for a SYN to a
 * server that is terminated may pass while nothing is wrong, however it is packed.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/inline/inline.h"
#include "dataplane/net/net_look.h"
#include "postern/stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t counter[POSTERN_DP_COUNTER_COUNT];

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void configure(struct inline_worker *w, uint8_t how)
{
	static struct handoff_config c;

	memset(&c, 0, sizeof(c));
	c.n_inlines = 3;
	for (unsigned int i = 0; i < 3; i++) {
		c.inlined[i] = (struct handoff_inline){.tcp_port = 25, .prefix_len = 128,
						       .id = (uint16_t)(HANDOFF_LISTENER_INLINE + i)};
		net_map4(c.inlined[i].address, (const uint8_t[]){192, 0, 2, (uint8_t)(1 + i)});
	}
	memcpy(c.inlined[1].address, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	c.inlined[2].mode = INLINE_OBSERVE;
	c.inlined[0].prefix_len = how & 1 ? 120 : 128;
	for (unsigned int i = 0; i < CAUSE_COUNT; i++)
		c.exception[PORT_MODE_INLINE][i] = how & 2 ? (uint8_t)((how >> 2) % ACT_COUNT) : ACT_DEFAULT;
	inline_set_config(w, &c);
}

/* `odd`: bits 0: TCP has it; 1: from the exception port; 2: no control; 3: no memory. */
static void tcp(struct inline_worker *w, const uint8_t *p, const struct net_head *h, uint8_t odd, bool wanted,
		bool usual)
{
	struct tcp_tuple back = {.local_port = h->tuple.remote_port, .remote_port = h->tuple.local_port};
	const struct handoff_inline *to = inline_server(w, h->tuple.local, h->tuple.local_port);
	struct inline_packet k = {.tuple = &h->tuple, .server = to, .flags = p[h->l4 + 13], .ours = odd & 1};
	enum inline_verdict v;

	memcpy(back.local, h->tuple.remote, 16);
	memcpy(back.remote, h->tuple.local, 16);
	k.way = odd & 2 ? INLINE_KERNEL_OUT : INLINE_TO_SERVER;
	if (!to && !(odd & 2)) {
		k.tuple = &back;
		k.server = inline_server(w, back.local, back.local_port);
		k.way = INLINE_FROM_SERVER;
	}
	if (!k.server)
		return;
	require(wanted || h->dst_mac[0] & 1);
	v = inline_tcp(w, &k);
	require(v <= INLINE_DROP);
	require(v != INLINE_OURS || k.way == INLINE_TO_SERVER);
	require(v != INLINE_KERNEL || k.way == INLINE_FROM_SERVER);
	if (k.way == INLINE_TO_SERVER && odd & 1)
		require(v == INLINE_OURS);
	if (usual && k.way == INLINE_TO_SERVER && to->mode == INLINE_TERMINATE && (k.flags & 0x16) == 2 &&
	    !(odd & 12))
		require(v == INLINE_OURS);
}

static void one(struct inline_worker *w, const uint8_t *frame, size_t size, uint8_t odd, bool usual)
{
	uint32_t n = (uint32_t)(size < NET_HEAD ? size : NET_HEAD);
	uint8_t *p = malloc(n ? n : 1); /* so that a read past it is seen */
	struct net_head h;
	bool wanted;

	if (!p)
		return;
	memcpy(p, frame, n);
	inline_set_state(w, !(odd & 4), !(odd & 8));
	wanted = net_look_wanted(w, p, n);
	if (!net_parse(p, n, size, true, &h)) {
		(void)net_look_dubious(w, p, n, &h);
		(void)inline_malformed(w);
	} else if (h.kind == NET_KIND_TCP) {
		tcp(w, p, &h, odd, wanted, usual);
	} else if (h.kind == NET_KIND_FRAGMENT) {
		struct inline_fragment f = {.source = h.tuple.remote, .destination = h.tuple.local,
					    .id = h.fragment_id, .proto = h.fragment_proto,
					    .first = h.fragment_off == 0};
		enum inline_verdict v;

		if (f.first && f.proto == NET_PROTO_TCP && h.end - h.l4 >= NET_TCP)
			f.ports = p + h.l4;
		v = inline_fragment(w, &f);
		require(v == INLINE_PASS || v == INLINE_OURS || v == INLINE_DROP);
		/* A whole header in sight, to a server: it does not pass. */
		if (usual && f.ports && inline_address(w, f.destination) && net_be16(f.ports + 2) == 25) {
			const struct handoff_inline *s = inline_server(w, f.destination, 25);

			require(wanted || h.dst_mac[0] & 1);
			require(!s || s->mode != INLINE_TERMINATE || v == INLINE_OURS);
		}
	}
	free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct inline_options opt = {.flows = 64, .key = "0123456789abcde", .counters = counter};
	struct inline_worker *w = inline_new(&opt);
	size_t at = 1;
	uint32_t now = 1;

	if (!w || !size) {
		inline_free(w);
		return 0;
	}
	configure(w, data[0]);
	inline_set_clock(w, now);
	for (unsigned int i = 0; i < 64 && at + 3 <= size; i++) {
		size_t n = (size_t)data[at] << 8 | data[at + 1];
		uint8_t odd = data[at + 2];
		bool again = odd & 2; /* what the kernel's flows change is the kernel's */

		at += 3;
		if (n > size - at)
			n = size - at;
		/* Flows that were opened while something was wrong go on as they began. */
		one(w, data + at, n, odd, !(data[0] & 2) && i == 0 && !again);
		at += n;
		now += odd >> 4 == 15 ? 8000 : odd >> 4;
		inline_set_clock(w, now);
	}
	inline_free(w);
	return 0;
}
