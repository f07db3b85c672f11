/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/cli/capture.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ETHERNET   1u
#define MAX_PACKET 262144u            /* libpcap's, of Ethernet: more is damage */
#define MAX_BLOCK  (16u * 1024 * 1024) /* libpcap's */

/* pcapng 4: block types. */
#define SECTION   0x0a0d0d0au
#define INTERFACE 1u
#define PACKET    2u /* obsolete, and still written */
#define SIMPLE    3u
#define ENHANCED  6u

enum step { MAGIC, FILE_HEAD, RECORD, BLOCK, BLOCK_MORE };

void capture_init(struct capture *c)
{
	*c = (struct capture){.need = 4, .step = MAGIC};
}

static bool fault(struct capture *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool fault(struct capture *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->fault, sizeof(c->fault), fmt, ap);
	va_end(ap);
	return false;
}

static uint32_t number(const struct capture *c, size_t off)
{
	const uint8_t *p = c->head + off;

	if (c->swapped)
		return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static bool next(struct capture *c, enum step step, uint32_t need)
{
	c->step = (uint8_t)step;
	c->need = need;
	c->have = 0;
	return true;
}

static bool link_type(struct capture *c, uint32_t type)
{
	if (type == ETHERNET)
		return true;
	return fault(c, "link type %u: only Ethernet (1) is read; captures of the device \"any\" and of "
		     "tunnel interfaces have others", type);
}

static bool packet(struct capture *c, uint32_t captured, uint32_t original)
{
	if (captured > MAX_PACKET)
		return fault(c, "damaged at octet %llu: a packet of %u octets",
			     (unsigned long long)c->at, captured);
	c->packets++;
	c->cut += captured < original;
	c->last = captured < original ? 2 : 1;
	return true;
}

static bool take_magic(struct capture *c)
{
	static const struct {
		uint8_t n, magic[4];
		const char *name;
	} packed[] = {{2, {0x1f, 0x8b}, "gzip -d"},
		      {3, {'B', 'Z', 'h'}, "bzip2 -d"},
		      {4, {0xfd, '7', 'z', 'X'}, "xz -d"},
		      {4, {0x28, 0xb5, 0x2f, 0xfd}, "zstd -d"},
		      {4, {0x04, 0x22, 0x4d, 0x18}, "lz4 -d"}};
	uint32_t m = number(c, 0);

	for (size_t i = 0; i < sizeof(packed) / sizeof(packed[0]); i++)
		if (!memcmp(c->head, packed[i].magic, packed[i].n))
			return fault(c, "it is compressed: unpack it first (%s)", packed[i].name);
	if (m == SECTION) { /* the same in both orders */
		c->is_capture = true;
		c->step = BLOCK;
		c->need = 12;
		return true;
	}
	c->swapped = m != 0xa1b2c3d4 && m != 0xa1b23c4d;
	m = number(c, 0);
	if (m != 0xa1b2c3d4 && m != 0xa1b23c4d)
		return fault(c, "no capture: neither pcap nor pcapng");
	c->is_capture = true;
	c->step = FILE_HEAD;
	c->need = 24;
	return true;
}

/* 4.1: its second word says how long it is only once the third has said in which order. */
static bool take_block(struct capture *c)
{
	uint32_t type, len;

	if (number(c, 0) == SECTION) {
		if (c->have < 12) {
			c->need = 12;
			return true;
		}
		c->swapped = c->head[8] == 0x1a;
		if (number(c, 8) != 0x1a2b3c4d)
			return fault(c, "damaged at octet %llu: a section without its byte order",
				     (unsigned long long)c->at);
	}
	type = number(c, 0);
	len = number(c, 4);
	if (len < 12 || len % 4 || len > MAX_BLOCK)
		return fault(c, "damaged at octet %llu: a block of %u octets", (unsigned long long)c->at,
			     len);
	if ((type == ENHANCED || type == PACKET) && len < 32)
		return fault(c, "damaged at octet %llu: a packet block of %u octets",
			     (unsigned long long)c->at, len);
	if (type == ENHANCED || type == PACKET)
		c->need = 28;
	else if (type == INTERFACE || type == SIMPLE)
		c->need = 12;
	c->step = BLOCK_MORE;
	return true;
}

static bool take_more(struct capture *c)
{
	uint32_t type = number(c, 0), len = number(c, 4);
	uint32_t captured = 0, original = 0;

	c->last = 0;
	if (type == INTERFACE) {
		/* Two octets, and two that are reserved. */
		if (!link_type(c, c->swapped ? number(c, 8) >> 16 : number(c, 8) & 0xffff))
			return false;
	} else if (type == ENHANCED || type == PACKET) {
		captured = number(c, 20);
		original = number(c, 24);
		if (captured > len - 32)
			captured = UINT32_MAX;
	} else if (type == SIMPLE) {
		/* Of the snap length the interface knows; what was cut is not counted. */
		captured = original = len - 16 < MAX_PACKET ? len - 16 : UINT32_MAX;
		if (len < 16)
			captured = UINT32_MAX;
	}
	if ((type == ENHANCED || type == PACKET || type == SIMPLE) && !packet(c, captured, original))
		return false;
	c->skip = len - c->have;
	return next(c, BLOCK, 8);
}

static bool take(struct capture *c)
{
	uint32_t captured;

	switch ((enum step)c->step) {
	case MAGIC: return take_magic(c);
	case FILE_HEAD:
		/* The upper bits say how long a frame check sequence is. */
		return link_type(c, number(c, 20) & 0xffff) && next(c, RECORD, 16);
	case RECORD:
		captured = number(c, 8);
		if (!packet(c, captured, number(c, 12)))
			return false;
		c->skip = captured;
		return next(c, RECORD, 16);
	case BLOCK: return take_block(c);
	case BLOCK_MORE: return take_more(c);
	}
	return false;
}

bool capture_feed(struct capture *c, const uint8_t *p, size_t n)
{
	size_t k;

	while (!c->fault[0]) {
		if (c->skip) {
			k = c->skip < n ? (size_t)c->skip : n;
			c->skip -= k;
		} else {
			k = c->need - c->have < n ? c->need - c->have : n;
			if (k)
				memcpy(c->head + c->have, p, k);
			c->have += (uint32_t)k;
		}
		c->at += k;
		p += k;
		n -= k;
		if (!c->skip && c->have == c->need && c->need) {
			if (!take(c))
				break;
			continue;
		}
		if (!n)
			break;
	}
	return !c->fault[0];
}

void capture_end(struct capture *c)
{
	bool between = !c->skip && !c->have && (c->step == RECORD || c->step == BLOCK);

	if (c->fault[0] || between)
		return;
	if (!c->is_capture) {
		fault(c, "no capture: %s", c->at ? "too short" : "empty");
		return;
	}
	/* The last one was counted by its header. */
	if (c->skip && c->last) {
		c->packets--;
		c->cut -= c->last == 2;
	}
	fault(c, "it is cut off at octet %llu, behind %llu packets", (unsigned long long)c->at,
	      (unsigned long long)c->packets);
}
