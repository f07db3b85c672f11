/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "impair_ip.h"

#include <string.h>

#define ETHER 14
#define IP4 20
#define IP6 40
#define EXT 8 /* fragment header, RFC 8200 4.5 */
#define TCP 6

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t add(uint32_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

static uint16_t finish(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* 4 or 6, and where payload and datagram end; 0: not IP, or not as it should be. */
static int parse(const uint8_t *f, size_t n, size_t *header, size_t *end)
{
	if (n >= ETHER + IP4 && get16(f + 12) == 0x0800 && f[ETHER] >> 4 == 4) {
		*header = (f[ETHER] & 15u) * 4;
		*end = ETHER + get16(f + ETHER + 2);
		return *header >= IP4 && *end <= n && *end >= ETHER + *header ? 4 : 0;
	}
	if (n >= ETHER + IP6 && get16(f + 12) == 0x86dd) {
		*header = IP6;
		*end = ETHER + IP6 + get16(f + ETHER + 4);
		return *end <= n ? 6 : 0;
	}
	return 0;
}

struct piece {
	size_t off, len; /* of the payload */
	bool more;
	bool spoil;      /* turn the first 8 octets: they lie over the piece before */
};

static void emit_piece(const uint8_t *f, int version, size_t header, uint32_t id, struct piece c,
		       void (*emit)(void *, const uint8_t *, size_t), void *arg)
{
	uint8_t out[65536 + 64], *ip = out + ETHER, *to;

	memcpy(out, f, ETHER + header);
	if (version == 4) {
		to = ip + header;
		put16(ip + 2, header + c.len);
		put16(ip + 4, id & 0xffff);
		put16(ip + 6, (c.more ? 0x2000u : 0) | c.off / 8);
		put16(ip + 10, 0);
		put16(ip + 10, finish(add(0, ip, header)));
	} else {
		to = ip + IP6 + EXT;
		put16(ip + 4, EXT + c.len);
		ip[IP6] = ip[6];
		ip[6] = 44;
		ip[IP6 + 1] = 0;
		put16(ip + IP6 + 2, c.off | (c.more ? 1 : 0));
		put16(ip + IP6 + 4, id >> 16);
		put16(ip + IP6 + 6, id & 0xffff);
	}
	memcpy(to, f + ETHER + header + c.off, c.len);
	for (size_t i = 0; c.spoil && i < 8 && i < c.len; i++)
		to[i] ^= 0xff;
	emit(arg, out, (size_t)(to - out) + c.len);
}

bool ip_fragment(const uint8_t *f, size_t n, size_t mtu, uint32_t id, enum ip_cut how,
		 void (*emit)(void *, const uint8_t *, size_t), void *arg)
{
	size_t header, end, room, total;
	int version = parse(f, n, &header, &end);
	bool first = true;

	if (!version || f[ETHER + (version == 4 ? 9 : 6)] != TCP || end - ETHER <= mtu ||
	    (version == 4 && get16(f + ETHER + 6) & 0x3fff))
		return false;
	room = (mtu - header - (version == 6 ? EXT : 0)) & ~(size_t)7;
	total = end - ETHER - header;
	if (mtu < header + EXT + 16 || room < 16)
		return false;
	for (size_t off = 0; off < total; first = false) {
		struct piece c = {.off = off, .len = total - off};

		if (c.len > room) {
			c.len = room;
			c.more = true;
		}
		off += c.len;
		if (!first && how == IP_CUT_OVERLAP && c.off == room) {
			c.off -= 8;
			c.len += 8;
			c.spoil = true;
		}
		emit_piece(f, version, header, id, c, emit, arg);
	}
	return true;
}

bool ip_too_big(const uint8_t *f, size_t n, size_t mtu)
{
	size_t header, end;
	int version = parse(f, n, &header, &end);

	return version && end - ETHER > mtu && (version == 6 || (f[ETHER + 6] & 0x40));
}

size_t ip_refuse(const uint8_t *f, size_t n, size_t mtu, uint8_t *out, size_t cap)
{
	size_t header, end, quote, len;
	int version = parse(f, n, &header, &end);
	const uint8_t *in = f + ETHER;
	uint8_t *ip = out + ETHER, *icmp;

	if (!version)
		return 0;
	/* RFC 1812 4.3.2.3, RFC 4443 2.4: as much as goes in 576 and 1280 octets. */
	quote = end - ETHER;
	len = version == 4 ? 576 - IP4 - 8 : 1280 - IP6 - 8;
	if (quote > len)
		quote = len;
	len = ETHER + (version == 4 ? IP4 : IP6) + 8 + quote;
	if (len > cap)
		return 0;
	memset(out, 0, len);
	memcpy(out, f + 6, 6);
	memcpy(out + 6, f, 6);
	memcpy(out + 12, f + 12, 2);
	icmp = ip + (version == 4 ? IP4 : IP6);
	memcpy(icmp + 8, in, quote);
	if (version == 4) {
		ip[0] = 0x45;
		put16(ip + 2, IP4 + 8 + quote);
		ip[8] = 64;
		ip[9] = 1;
		memcpy(ip + 12, in + 16, 4);
		memcpy(ip + 16, in + 12, 4);
		put16(ip + 10, finish(add(0, ip, IP4)));
		icmp[0] = 3;
		icmp[1] = 4;
		put16(icmp + 6, mtu);
		put16(icmp + 2, finish(add(0, icmp, 8 + quote)));
		return len;
	}
	ip[0] = 0x60;
	put16(ip + 4, 8 + quote);
	ip[6] = 58;
	ip[7] = 64;
	memcpy(ip + 8, in + 24, 16);
	memcpy(ip + 24, in + 8, 16);
	icmp[0] = 2;
	put16(icmp + 6, mtu);
	put16(icmp + 2, finish(add(add((uint32_t)(8 + quote) + 58, ip + 8, 32), icmp, 8 + quote)));
	return len;
}
