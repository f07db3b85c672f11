/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The wire and the order of events. */

#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at != b->at ? a->at < b->at : a->serial < b->serial;
}

void sim_push(struct sim *s, const struct sim_event *e)
{
	size_t i = s->n_heap++;

	if (i == s->heap_room) {
		s->heap_room = s->heap_room ? s->heap_room * 2 : 1024;
		s->heap = realloc(s->heap, s->heap_room * sizeof(*s->heap));
		if (!s->heap)
			abort();
	}
	s->heap[i] = *e;
	s->heap[i].serial = s->serial++;
	while (i) {
		size_t up = (i - 1) / 2;
		struct sim_event t = s->heap[i];

		if (!before(&t, &s->heap[up]))
			break;
		s->heap[i] = s->heap[up];
		s->heap[up] = t;
		i = up;
	}
}

bool sim_pop(struct sim *s, uint64_t until, struct sim_event *e)
{
	size_t i = 0;
	struct sim_event last;

	if (!s->n_heap || s->heap[0].at > until)
		return false;
	*e = s->heap[0];
	last = s->heap[--s->n_heap];
	for (;;) {
		size_t k = 2 * i + 1;

		if (k >= s->n_heap)
			break;
		if (k + 1 < s->n_heap && before(&s->heap[k + 1], &s->heap[k]))
			k++;
		if (!before(&s->heap[k], &last))
			break;
		s->heap[i] = s->heap[k];
		i = k;
	}
	s->heap[i] = last;
	return true;
}

void sim_note(struct sim_flow *f, char what, const uint8_t *h, uint32_t len)
{
	struct sim_note *n = &f->note[f->notes++ % SIM_HISTORY];

	*n = (struct sim_note){.at = f->sim->now,
			       .seq = sim_get32(h + 4),
			       .ack = sim_get32(h + 8),
			       .len = len,
			       .wnd = sim_get16(h + 14),
			       .flags = h[13],
			       .what = what};
}

/* A header field that only a bad peer would send; the checksum is right. */
static void spoil(struct sim_rng *r, struct sim_packet *p)
{
	switch (sim_range(r, 0, 6)) {
	case 0:
		p->header[4 + sim_range(r, 0, 3)] ^= (uint8_t)(1u << sim_range(r, 0, 7));
		break;
	case 1:
		p->header[8 + sim_range(r, 0, 3)] ^= (uint8_t)(1u << sim_range(r, 0, 7));
		break;
	case 2:
		p->header[12] ^= (uint8_t)(16u << sim_range(r, 0, 3));
		break;
	case 3:
		p->header[13] ^= (uint8_t)(1u << sim_range(r, 0, 7));
		break;
	case 4:
		p->header[14 + sim_range(r, 0, 1)] ^= (uint8_t)(1u << sim_range(r, 0, 7));
		break;
	case 5:
		if (p->header_len > 20)
			p->header[sim_range(r, 20, p->header_len - 1u)] = (uint8_t)sim_rand(r);
		break;
	default:
		if (p->len)
			p->data[sim_range(r, 0, p->len - 1)] ^= 0x55;
	}
	p->tainted = true;
}

static void carry(struct sim_flow *f, struct sim_packet *p, bool to_server)
{
	struct sim *s = f->sim;
	const struct sim_params *par = &f->par;
	uint64_t delay = par->delay_us;

	if (par->jitter_us)
		delay += sim_range(&s->rng, 0, par->jitter_us);
	if (sim_chance(&s->rng, par->reorder))
		delay += sim_range(&s->rng, 1, 3 * par->delay_us + 20000);
	sim_push(s, &(struct sim_event){.at = s->now + delay,
					.packet = p,
					.flow = f->index,
					.kind = to_server ? EV_TO_SERVER : EV_TO_CLIENT});
}

/* Takes the packet over. */
void sim_link_send(struct sim_flow *f, struct sim_packet *p, bool to_server)
{
	struct sim *s = f->sim;
	const struct sim_params *par = &f->par;

	p->flow = f->index;
	p->tainted = false;
	/* Corrupted: most often the checksum finds it. */
	if (sim_chance(&s->rng, par->loss) || sim_chance(&s->rng, par->corrupt)) {
		sim_note(f, '!', p->header, p->len);
		free(p);
		return;
	}
	if (sim_chance(&s->rng, par->dup)) {
		struct sim_packet *again = malloc(sizeof(*p) + p->len);

		if (!again)
			abort();
		memcpy(again, p, sizeof(*p) + p->len);
		carry(f, again, to_server);
	}
	if (to_server && par->taint && sim_chance(&s->rng, par->taint))
		spoil(&s->rng, p);
	carry(f, p, to_server);
}

/* A router's fragmentation-needed about a segment of the stack; sometimes a forged one. */
void sim_link_icmp(struct sim_flow *f, uint32_t seq)
{
	static const uint32_t mtus[] = {0,    1,    68,   296,  576,  1006,
					1280, 1400, 1480, 1500, 9000, UINT32_MAX};
	struct sim *s = f->sim;
	uint32_t mtu = mtus[sim_range(&s->rng, 0, sizeof(mtus) / sizeof(mtus[0]) - 1)];

	if (sim_chance(&s->rng, 3000))
		seq = (uint32_t)sim_rand(&s->rng);
	sim_push(s, &(struct sim_event){.at = s->now + f->par.delay_us,
					.flow = f->index,
					.arg = seq,
					.arg2 = mtu,
					.kind = EV_ICMP});
}
