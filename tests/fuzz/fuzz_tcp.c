/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Arbitrary sequences of segments, application calls and clock steps against one stack. Each step is
 * eight octets: what, flags, sequence and acknowledgement as small differences from what would be
 * right (so that most segments come near the window), length and window. peer_closed() aborts when it
 * is called twice, peer_output() when a segment cannot be; the rest is the sanitizers' to find.
 */

#include "dataplane/tcp/test_tcp_peer.h"

static uint8_t payload[2048];

static void step(struct peer *p, const uint8_t *b, uint32_t *snd, uint32_t *rcv)
{
	static const int32_t off[8] = {0, 0, 0, 1, -1, 700, -700, 60000};
	uint32_t len = b[5] % 8 ? b[5] * 5u : 0;
	uint32_t seq = *snd + (uint32_t)off[b[2] & 7], ack = *rcv + (uint32_t)off[b[3] & 7];

	switch (b[0] % 10) {
	case 0: peer_advance(p, b[1]); break;
	case 1: tcp_burst_end(p->stack); break;
	case 2:
		if (p->conn)
			(void)tcp_send(p->conn, payload, b[1] * 8u);
		break;
	case 3:
		if (p->conn)
			tcp_close(p->conn);
		break;
	case 4:
		p->take = b[1] & 1 ? SIZE_MAX : b[1];
		if (p->conn)
			tcp_resume(p->conn);
		break;
	case 5:
		if (p->conn && b[1] < 20)
			tcp_abort(p->conn);
		break;
	case 6: tcp_set_pressure(p->stack, b[1] % 3); break;
	default:
		peer_inject(p, seq, ack, b[1] & 0x3f, (uint16_t)(b[6] << 8 | b[7]), payload, len, b + 1,
			    b[4] & 1 ? 4 : 0);
		if (seq == *snd)
			*snd += len + (b[1] & PEER_SYN ? 1 : 0);
	}
	for (unsigned int i = 0; i < p->n_out; i++)
		if (p->out[i].flags & PEER_SYN)
			*rcv = p->out[i].seq + 1;
		else if (p->out[i].len && p->out[i].seq == *rcv)
			*rcv += p->out[i].len;
	peer_clear(p);
	if (p->n_got > PEER_DATA / 2)
		p->n_got = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct peer p;
	uint32_t snd = 1000, rcv = 0;

	if (size > 8 * 512)
		size = 8 * 512;
	peer_new(&p);
	peer_inject(&p, snd, 0, PEER_SYN, 65535, "", 0, NULL, 0);
	snd++;
	rcv = p.n_out ? p.out[0].seq + 1 : 0;
	peer_clear(&p);
	peer_inject(&p, snd, rcv, PEER_ACK, 65535, "", 0, NULL, 0);
	for (size_t i = 0; i + 8 <= size; i += 8)
		step(&p, data + i, &snd, &rcv);
	tcp_burst_end(p.stack);
	tcp_stack_free(p.stack);
	return 0;
}
