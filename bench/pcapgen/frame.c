/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Frames: Ethernet, up to two tags, IPv4 or IPv6, fragments, TCP. */

#include <string.h>

#include "bench/pcapgen/pcapgen.h"

#define PROTO_TCP    6
#define PROTO_FRAG   44 /* RFC 8200 4.5 */
#define WINDOW       64000u
#define LOW_TTL      2
#define PIECES_MAX   8u
#define FRAG_OVERLAP 8u /* octets that two fragments have both */
#define PACKET_MAX   (64u << 10)

struct piece {
	uint32_t from, n;
	bool more;
};

/* RFC 1071, on words as they lie; the sum of swapped words is the swapped sum. */
uint64_t frame_sum(const uint8_t *p, uint32_t n, uint64_t sum)
{
	uint32_t i, word;

	for (i = 0; i + 4 <= n; i += 4) {
		memcpy(&word, p + i, 4);
		sum += word;
	}
	if (i < n) {
		word = 0;
		memcpy(&word, p + i, n - i);
		sum += word;
	}
	return sum;
}

/* In network order, to be stored as it is. */
uint16_t frame_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint32_t link_length(const struct flow *f)
{
	return 14u + 4u * f->tags;
}

static uint8_t mac[2][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};

void frame_server_mac(const uint8_t address[6])
{
	memcpy(mac[S2C], address, 6);
}

static uint8_t *put_link(uint8_t *p, const struct flow *f, enum direction dir)
{
	memcpy(p, mac[!dir], 6);
	memcpy(p + 6, mac[dir], 6);
	p += 12;
	for (uint32_t i = 0; i < f->tags; i++) {
		put16(p, f->tags == 2 && i == 0 ? 0x88a8 : 0x8100);
		put16(p + 2, f->vlan[i]);
		p += 4;
	}
	put16(p, f->v6 ? 0x86dd : 0x0800);
	return p + 2;
}

static uint8_t *put_ip(uint8_t *p, const struct session *s, const struct pkt *k,
		       const struct piece *frag, uint32_t n)
{
	const struct flow *f = &s->flow;
	uint8_t ttl = k->how & HOW_LOW_TTL ? LOW_TTL : f->ttl[k->dir];
	uint16_t sum;

	if (f->v6) {
		put32(p, 6u << 28);
		put16(p + 4, n + (frag ? 8 : 0));
		p[6] = frag ? PROTO_FRAG : PROTO_TCP;
		p[7] = ttl;
		memcpy(p + 8, f->address[k->dir], 16);
		memcpy(p + 24, f->address[!k->dir], 16);
		p += 40;
		if (frag) {
			put16(p, PROTO_TCP << 8);
			put16(p + 2, frag->from | frag->more);
			put32(p + 4, (uint32_t)s->number << 16 | k->id);
			p += 8;
		}
		return p;
	}
	put16(p, 0x4500);
	put16(p + 2, n + 20);
	put16(p + 4, k->id);
	put16(p + 6, frag ? (uint32_t)frag->more << 13 | frag->from / 8 : 1u << 14);
	put32(p + 8, (uint32_t)ttl << 24 | PROTO_TCP << 16);
	memcpy(p + 12, f->address[k->dir], 4);
	memcpy(p + 16, f->address[!k->dir], 4);
	sum = frame_fold(frame_sum(p, 20, 0));
	memcpy(p + 10, &sum, 2);
	if (k->how & HOW_BAD_IP)
		p[10] ^= 0x5a;
	return p + 20;
}

static uint32_t ip_length(const struct flow *f, bool frag)
{
	return f->v6 ? frag ? 48 : 40 : 20;
}

static uint8_t *timestamps(uint8_t *o, const struct pkt *k)
{
	put16(o, 8 << 8 | 10);
	put32(o + 2, k->tsval);
	put32(o + 6, k->flags & TH_ACK ? k->tsecr : 0);
	return o + 10;
}

/* Returns the octets of options, a multiple of four. */
static uint32_t put_options(uint8_t *o, const struct session *s, const struct pkt *k)
{
	const struct flow *f = &s->flow;
	uint8_t *begin = o;

	if (k->how & HOW_OPTIONS) {
		put32(o, 2u << 24 | 4u << 16 | f->mss[k->dir]);
		put16(o + 4, 4 << 8 | 2);
		o += 6;
		if (f->timestamps) {
			o = timestamps(o, k);
		} else {
			put16(o, 0x0101);
			o += 2;
		}
		if (f->wscale) {
			put32(o, 1u << 24 | 3u << 16 | 3u << 8 | f->scale[k->dir]);
			o += 4;
		}
		return (uint32_t)(o - begin);
	}
	if (f->timestamps) {
		put16(o, 0x0101);
		o = timestamps(o + 2, k);
	}
	if (k->sack[0] != k->sack[1]) {
		put32(o, 0x01010000u | 5 << 8 | 10);
		put32(o + 4, k->sack[0] + f->isn[!k->dir]);
		put32(o + 8, k->sack[1] + f->isn[!k->dir]);
		o += 12;
	}
	return (uint32_t)(o - begin);
}

static uint32_t tcp_length(const struct session *s, const struct pkt *k)
{
	uint8_t unused[64];

	return 20 + put_options(unused, s, k) + k->n;
}

static void put_tcp(uint8_t *p, const struct session *s, const struct pkt *k, uint32_t n)
{
	const struct flow *f = &s->flow;
	uint32_t options = put_options(p + 20, s, k), width = f->v6 ? 16 : 4;
	uint32_t window = k->flags & TH_SYN || !f->wscale ? WINDOW : WINDOW >> f->scale[k->dir];
	uint8_t pseudo[4] = {0, PROTO_TCP, (uint8_t)(n >> 8), (uint8_t)n};
	uint64_t sum = frame_sum(pseudo, 4, 0);
	uint16_t check;

	put16(p, f->port[k->dir]);
	put16(p + 2, f->port[!k->dir]);
	put32(p + 4, k->seq + f->isn[k->dir]);
	put32(p + 8, k->flags & TH_ACK ? k->ack + f->isn[!k->dir] : 0);
	put16(p + 12, (20 + options) << 10 | k->flags);
	put16(p + 14, window);
	put32(p + 16, 0);
	if (k->n)
		memcpy(p + 20 + options, s->stream[k->source].p + k->data, k->n);
	sum = frame_sum(f->address[C2S], width, sum);
	sum = frame_sum(f->address[S2C], width, sum);
	check = frame_fold(frame_sum(p, n, sum));
	memcpy(p + 16, &check, 2);
	if (k->how & HOW_BAD_TCP || (k->how & HOW_BAD_IP && f->v6))
		p[16] ^= 0x5a;
}

/* Where n octets are cut: at multiples of eight (RFC 791), and in which order the pieces are sent.
 */
static uint32_t cut(struct rng *r, const struct pkt *k, uint32_t n, struct piece *piece)
{
	uint32_t units = n / 8, at = 0, count = 0;
	uint32_t wanted = (uint32_t)rng_between(r, 2, PIECES_MAX);
	bool over = k->how & HOW_FRAG_OVER;

	if (wanted > units)
		wanted = units;
	while (count + 1 < wanted) {
		uint32_t left = units - at / 8 - (wanted - count - 1);
		uint32_t len =
			8 * (uint32_t)rng_between(
				    r, 1, left < units / wanted + 1 ? left : units / wanted + 1);

		/* An overlapping piece begins in the one before. */
		piece[count] = (struct piece){at, len, true};
		if (over && count) {
			piece[count].from -= FRAG_OVERLAP;
			piece[count].n += FRAG_OVERLAP;
		}
		at += len;
		count++;
	}
	piece[count++] = (struct piece){at, n - at, false};
	if (over && count == 2) {
		piece[1].from -= FRAG_OVERLAP;
		piece[1].n += FRAG_OVERLAP;
	}
	switch (rng_below(r, 3)) {
	case 0:
		break;
	case 1:
		for (uint32_t i = 0; i < count / 2; i++) {
			struct piece t = piece[i];

			piece[i] = piece[count - 1 - i];
			piece[count - 1 - i] = t;
		}
		break;
	default:
		for (uint32_t i = count - 1; i; i--) {
			uint32_t j = (uint32_t)rng_below(r, i + 1);
			struct piece t = piece[i];

			piece[i] = piece[j];
			piece[j] = t;
		}
	}
	return count;
}

static uint32_t write_fragments(const struct session *s, const struct pkt *k, uint32_t n)
{
	static uint8_t whole[PACKET_MAX];
	struct rng r = rng_of(s->number, (uint64_t)k->id << 32 | k->seq);
	struct piece piece[PIECES_MAX + 1];
	uint32_t count, link = link_length(&s->flow), ip = ip_length(&s->flow, true), first = 0;
	bool differ = k->how & HOW_FRAG_OVER && k->id & 1;

	put_tcp(whole, s, k, n);
	count = cut(&r, k, n, piece);
	if (k->how & HOW_FRAG_LOST)
		first = 1;
	for (uint32_t i = first; i < count; i++) {
		uint8_t *p = pcap_frame(k->time, link + ip + piece[i].n);

		p = put_link(p, &s->flow, k->dir);
		p = put_ip(p, s, k, &piece[i], piece[i].n);
		memcpy(p, whole + piece[i].from, piece[i].n);
		/*
		 * Half of them differ where they overlap, in one bit of all: two could leave the
		 * checksum as it was, and then nobody could tell which octets are the sender's.
		 */
		if (differ && piece[i].from) {
			p[0] ^= 1;
			differ = false;
		}
	}
	return count - first;
}

uint32_t frame_write(const struct session *s, const struct pkt *k)
{
	uint32_t n = tcp_length(s, k);
	uint32_t link = link_length(&s->flow), ip = ip_length(&s->flow, false);
	uint8_t *p;

	if (k->how & (HOW_FRAGMENTS | HOW_FRAG_OVER | HOW_FRAG_LOST))
		return write_fragments(s, k, n);
	p = pcap_frame(k->time, link + ip + n);
	p = put_link(p, &s->flow, k->dir);
	p = put_ip(p, s, k, NULL, n);
	put_tcp(p, s, k, n);
	return 1;
}

void frame_syn(const struct gen_options *o, struct rng *r, uint64_t time)
{
	static struct session s;
	struct flow *f = &s.flow;
	struct pkt k = {.time = time, .flags = TH_SYN, .how = HOW_OPTIONS, .dir = C2S};

	/* One by one: initialisers are in no order. */
	*f = (struct flow){.wscale = true, .mss = {1460, 1460}, .scale = {7, 7}};
	f->v6 = rng_hit(r, o->with[F_IPV6]);
	f->timestamps = rng_below(r, 4) != 0;
	f->ttl[C2S] = (uint8_t)rng_between(r, 30, 128);
	f->port[C2S] = (uint16_t)rng_between(r, 1024, 65535);
	f->port[S2C] = (uint16_t)o->port;
	f->isn[C2S] = (uint32_t)rng_next(r);
	k.tsval = (uint32_t)rng_next(r);
	k.id = (uint16_t)rng_next(r);
	/* Not an address of a session: those are 10.0.0.0/10 and 2001:db8:c::/64. */
	if (f->v6) {
		put32(f->address[C2S], 0x20010db8);
		put32(f->address[C2S] + 4, 0x000f0000);
		put32(f->address[C2S] + 8, (uint32_t)rng_next(r));
		put32(f->address[C2S] + 12, (uint32_t)rng_next(r));
		memcpy(f->address[S2C], o->server[1], 16);
	} else {
		put32(f->address[C2S], 0x0a800000u + (uint32_t)rng_below(r, 1 << 23));
		memcpy(f->address[S2C], o->server[0], 4);
	}
	frame_write(&s, &k);
}
