/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Headers read the way RFC 9293 3.1 draws them; the octets of a stream; sets of ranges. */

#include "tests/sim/sim.h"

#include <string.h>

#define TABLE 65536

/* Twice the period, so that a run of octets is contiguous. */
static uint8_t table[2 * TABLE];

void sim_wire_init(void)
{
	struct sim_rng r = {42};

	for (unsigned int i = 0; i < TABLE; i++)
		table[i] = table[i + TABLE] = (uint8_t)sim_rand(&r);
}

/* The period is 65,521, so that no power of two is one. */
static const uint8_t *run(uint32_t key, uint32_t off, size_t *n)
{
	uint32_t at = (uint32_t)(((uint64_t)key + off) % 65521);

	if (*n > 65521 - at)
		*n = 65521 - at;
	return table + at;
}

uint8_t sim_octet(uint32_t key, uint32_t off)
{
	size_t one = 1;

	return *run(key, off, &one);
}

bool sim_same(uint32_t key, uint32_t off, const uint8_t *p, size_t n)
{
	while (n) {
		size_t k = n;
		const uint8_t *want = run(key, off, &k);

		if (memcmp(p, want, k))
			return false;
		p += k;
		off += (uint32_t)k;
		n -= k;
	}
	return true;
}

void sim_fill(uint32_t key, uint32_t off, uint8_t *p, size_t n)
{
	while (n) {
		size_t k = n;
		const uint8_t *from = run(key, off, &k);

		memcpy(p, from, k);
		p += k;
		off += (uint32_t)k;
		n -= k;
	}
}

static bool option(struct sim_seg *out, const uint8_t *o, uint8_t len)
{
	switch (o[0]) {
	case 2:
		out->has_mss = true;
		out->mss = sim_get16(o + 2);
		return len == 4;
	case 3:
		out->wscale = o[2];
		return len == 3 && o[2] <= 14;
	case 4:
		out->sack_ok = true;
		return len == 2;
	case 5:
		if (len < 10 || len > 34 || (len - 2) % 8)
			return false;
		for (uint8_t at = 2; at < len; at = (uint8_t)(at + 8)) {
			out->sack[out->n_sack][0] = sim_get32(o + at);
			out->sack[out->n_sack++][1] = sim_get32(o + at + 4);
		}
		return true;
	case 8:
		out->has_ts = true;
		out->tsval = sim_get32(o + 2);
		out->tsecr = sim_get32(o + 6);
		return len == 10;
	default:
		return false; /* the stack has no reason to send another */
	}
}

bool sim_parse(const uint8_t *h, size_t len, struct sim_seg *out)
{
	size_t end, at = 20;

	memset(out, 0, sizeof(*out));
	out->wscale = SIM_NO_WSCALE;
	if (len < 20)
		return false;
	end = (size_t)(h[12] >> 4) * 4;
	if (end != len)
		return false;
	out->seq = sim_get32(h + 4);
	out->ack = sim_get32(h + 8);
	out->flags = h[13];
	out->wnd = sim_get16(h + 14);
	while (at < end) {
		if (h[at] == 0)
			return true;
		if (h[at] == 1) {
			at++;
			continue;
		}
		if (end - at < 2 || h[at + 1] < 2 || h[at + 1] > end - at || out->n_sack > 3 ||
		    !option(out, h + at, h[at + 1]))
			return false;
		at += h[at + 1];
	}
	return true;
}

/* False in effect when there is no room for another range: the octets are as if they never came. */
void sim_range_add(struct sim_ranges *r, uint32_t from, uint32_t to)
{
	unsigned int i = 0, j;

	while (i < r->n && r->r[i].to < from)
		i++;
	for (j = i; j < r->n && r->r[j].from <= to; j++) {
		from = sim_min(from, r->r[j].from);
		to = sim_max(to, r->r[j].to);
	}
	if (i == j) {
		if (r->n == SIM_RANGES)
			return;
		memmove(r->r + i + 1, r->r + i, (r->n - i) * sizeof(r->r[0]));
		r->n++;
	} else {
		memmove(r->r + i + 1, r->r + j, (r->n - j) * sizeof(r->r[0]));
		r->n -= j - i - 1;
	}
	r->r[i] = (struct sim_range){from, to};
}

bool sim_range_has(const struct sim_ranges *r, uint32_t at, uint32_t *end)
{
	for (unsigned int i = 0; i < r->n; i++)
		if (at >= r->r[i].from && at < r->r[i].to) {
			*end = r->r[i].to;
			return true;
		}
	return false;
}
