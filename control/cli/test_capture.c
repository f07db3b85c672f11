/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Captures of all kinds, whole, cut off at each octet and fed in pieces of each size. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/cli/capture.h"

static uint8_t file[4096];
static size_t len;
static bool big;

static void put(uint32_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		file[len++] = (uint8_t)(v >> 8 * (big ? n - 1 - i : i));
}

static void put_octets(size_t n)
{
	for (size_t i = 0; i < n; i++)
		file[len++] = (uint8_t)(0x40 + i % 50);
}

static void begin(bool big_endian)
{
	len = 0;
	big = big_endian;
}

static void pcap_head(uint32_t magic, uint32_t link)
{
	put(magic, 4);
	put(2, 2);
	put(4, 2);
	put(0, 4);
	put(0, 4);
	put(65535, 4);
	put(link, 4);
}

static void pcap_packet(uint32_t captured, uint32_t original)
{
	put(1, 4);
	put(2, 4);
	put(captured, 4);
	put(original, 4);
	put_octets(captured);
}

static void block(uint32_t type, uint32_t body)
{
	put(type, 4);
	put(body + 12, 4);
}

static void section(void)
{
	block(0x0a0d0d0a, 16);
	put(0x1a2b3c4d, 4);
	put(1, 2);
	put(0, 2);
	put(UINT32_MAX, 4);
	put(UINT32_MAX, 4);
	put(28, 4);
}

static void interface(uint32_t link)
{
	block(1, 8);
	put(link, 2);
	put(0, 2);
	put(0, 4);
	put(20, 4);
}

static void enhanced(uint32_t captured, uint32_t original)
{
	uint32_t padded = (captured + 3) / 4 * 4;

	block(6, 20 + padded);
	put(0, 4);
	put(0, 4);
	put(0, 4);
	put(captured, 4);
	put(original, 4);
	put_octets(padded);
	put(32 + padded, 4);
}

static void other(uint32_t type, uint32_t body)
{
	block(type, body);
	put_octets(body);
	put(body + 12, 4);
}

static struct capture walk(size_t n, size_t piece)
{
	struct capture c;

	capture_init(&c);
	for (size_t at = 0; at < n; at += piece)
		if (!capture_feed(&c, file + at, n - at < piece ? n - at : piece))
			break;
	capture_end(&c);
	return c;
}

/* ends[]: where a file may end without being cut. */
static void whole_and_cut(uint64_t packets, uint64_t cut, const size_t *ends, size_t n_ends)
{
	for (size_t piece = 1; piece <= len; piece++) {
		struct capture c = walk(len, piece);

		assert_string_equal(c.fault, "");
		assert_true(c.is_capture);
		assert_int_equal(c.packets, packets);
		assert_int_equal(c.cut, cut);
	}
	for (size_t n = 0; n < len; n++) {
		struct capture c = walk(n, 7);
		bool may_end = false;

		for (size_t i = 0; i < n_ends; i++)
			may_end |= ends[i] == n;
		assert_int_equal(c.fault[0] == '\0', may_end);
		assert_true(c.packets <= packets);
	}
}

static void pcap(void **state)
{
	static const uint32_t magic[] = {0xa1b2c3d4, 0xa1b23c4d};

	(void)state;
	for (int order = 0; order < 2; order++) {
		for (size_t m = 0; m < 2; m++) {
			size_t ends[3];

			begin(order);
			pcap_head(magic[m], 0x50000001); /* with a frame check sequence */
			ends[0] = len;
			pcap_packet(60, 60);
			ends[1] = len;
			pcap_packet(64, 1514);
			ends[2] = len;
			pcap_packet(0, 0);
			whole_and_cut(3, 1, ends, 3);
		}
	}
}

static void pcapng(void **state)
{
	size_t ends[8], n;

	(void)state;
	for (int order = 0; order < 2; order++) {
		n = 0;
		begin(order);
		section();
		ends[n++] = len;
		interface(1);
		ends[n++] = len;
		enhanced(61, 61);
		ends[n++] = len;
		other(5, 16); /* statistics */
		ends[n++] = len;
		other(3, 64); /* simple packet */
		ends[n++] = len;
		big = !big; /* a section of its own order */
		section();
		ends[n++] = len;
		interface(1);
		ends[n++] = len;
		enhanced(60, 9000);
		whole_and_cut(3, 1, ends, n);
	}
}

/* A packet that is cut off is not one of those that are counted. */
static void cut_packet(void **state)
{
	struct capture c;

	(void)state;
	begin(false);
	pcap_head(0xa1b2c3d4, 1);
	pcap_packet(60, 60);
	pcap_packet(60, 60);
	c = walk(len - 1, 5);
	assert_int_equal(c.packets, 1);
	assert_string_equal(c.fault, "it is cut off at octet 175, behind 1 packets");
	begin(false);
	pcap_head(0xa1b2c3d4, 1);
	pcap_packet(60, 61);
	c = walk(len - 1, 5);
	assert_int_equal(c.packets, 0);
	assert_int_equal(c.cut, 0);
	begin(false);
	section();
	interface(1);
	enhanced(60, 60);
	other(5, 16);
	c = walk(len - 1, 5);
	assert_int_equal(c.packets, 1);
	c = walk(len - 29, 5);
	assert_int_equal(c.packets, 0);
}

static void refused(const char *why)
{
	struct capture c = walk(len, len ? len : 1);

	if (!strstr(c.fault, why))
		fail_msg("\"%s\" is not in \"%s\"", why, c.fault);
}

static void bad(void **state)
{
	static const char *const packed[] = {"\x1f\x8b\x08\x00", "BZh9", "\xfd" "7zX", "\x28\xb5\x2f\xfd",
		"\x04\x22\x4d\x18"};

	(void)state;
	len = 0;
	refused("empty");
	memcpy(file, "\xd4\xc3", len = 2);
	refused("too short");
	memcpy(file, "From: a@example.org\r\n", len = 21);
	refused("neither pcap nor pcapng");
	for (size_t i = 0; i < 5; i++) {
		memcpy(file, packed[i], len = 4);
		refused("compressed");
	}
	begin(true);
	pcap_head(0xa1b2c3d4, 113);
	refused("link type 113");
	begin(true);
	section();
	interface(101);
	refused("link type 101");
	begin(false);
	pcap_head(0xa1b2c3d4, 1);
	put(0, 4);
	put(0, 4);
	put(262145, 4);
	put(262145, 4);
	refused("damaged at octet 40: a packet of 262145");
	begin(false);
	section();
	put(6, 4);
	put(30, 4);
	put_octets(40);
	refused("a block of 30");
	begin(false);
	section();
	put(6, 4);
	put(28, 4);
	put_octets(40);
	refused("a packet block of 28");
	begin(false);
	section();
	enhanced(60, 60);
	file[28 + 20] = 61; /* captured, of what the block has not */
	refused("damaged");
	begin(false);
	section();
	file[8] = 0;
	refused("without its byte order");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pcap),
		cmocka_unit_test(pcapng),
		cmocka_unit_test(cut_packet),
		cmocka_unit_test(bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
