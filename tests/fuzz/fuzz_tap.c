/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Arbitrary segments of a few flows through tracker, passive parser and report. A step is eight
 * octets and a payload: which side and flow, flags, sequence and acknowledgement as differences
 * from what would be right (so that most come near the window), window, and where in the text of a
 * session the payload begins, or that its octets are those of the input.
 *
 * Checked: what is printed are lines of JSON as far as braces and control characters go; octets
 * that are given in one piece never pass what the segments held; all memory that was held is given
 * back.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/tap/tap_report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FLOWS 3

static const char client_text[] = "EHLO a\r\nMAIL FROM:<a@example.org>\r\nRCPT "
				  "TO:<b@example.net>\r\nDATA\r\nSubject: x\r\n\r\n..a\r\n.\r\n"
				  "MAIL FROM:<>\r\nRCPT TO:<c@example.net>\r\nBDAT 5\r\nabcdeBDAT "
				  "3 LAST\r\nfghRSET\r\nAUTH LOGIN\r\nYQ==\r\n"
				  "STARTTLS\r\nBDAT 60\r\nMAIL FROM:<e@example.org>\r\nDATA\r\n"
				  " BDAT 9 LAST\r\nRSET\r\n.\r\nQUIT\r\n";
static const char server_text[] =
	"220 x\r\n250-x\r\n250 y\r\n250 ok\r\n550 no\r\n354 go\r\n250 done\r\n250 ok\r\n250 "
	"ok\r\n250 chunk\r\n250 last\r\n"
	"250 reset\r\n334 YQ==\r\n535 no\r\n454 no\r\n552 no\r\n250 ok\r\n354 go\r\n503 "
	"no\r\n220 tls\r\n421 bye\r\n221 bye\r\n";

struct owner {
	unsigned int refs;
	uint8_t data[512];
};

static unsigned int n_owners;

#define check(holds) ((holds) ? (void)0 : fail(#holds, __LINE__))

static void fail(const char *what, int line)
{
	fprintf(stderr, "fuzz_tap.c:%d: does not hold: %s\n", line, what);
	abort();
}

static void hold(void *o)
{
	((struct owner *)o)->refs++;
}

static void drop(void *o)
{
	struct owner *owner = o;

	check(owner->refs > 0);
	if (!--owner->refs) {
		free(owner);
		n_owners--;
	}
}

static void put32(uint8_t *p, uint32_t v)
{
	for (unsigned int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

struct side {
	uint32_t isn, nxt;
};

static struct side side[FLOWS][2];

static size_t header(const uint8_t *b, struct side *me, const struct side *other, uint8_t h[60])
{
	static const int32_t off[16] = {0,  0,  0,   0,   0,    0,     0,      1,
					-1, 40, -40, 300, -300, 70000, -70000, 5};
	uint32_t seq = me->nxt + (uint32_t)off[b[2] & 15],
		 ack = other->nxt + (uint32_t)off[b[2] >> 4];
	size_t n = 20;

	memset(h, 0, 60);
	put32(h + 4, seq);
	put32(h + 8, ack);
	h[13] = b[1] & 0xc0 ? 0x10 : b[1] & 0x3f;
	h[14] = b[3];
	h[15] = 255;
	if (b[3] & 1) {
		memcpy(h + 20, (uint8_t[]){1, 1, 8, 10}, 4);
		put32(h + 24, b[3] * 1000u);
		memcpy(h + 32, b, 4);
		n = 36;
	}
	h[12] = (uint8_t)(n / 4 << 4);
	return n;
}

/* A step; returns the octets of input that it took. */
static size_t step(struct tap *t, const uint8_t *b, size_t left, uint64_t *now)
{
	unsigned int f = (b[0] >> 1) % FLOWS, from = b[0] & 1;
	struct side *me = &side[f][from];
	uint8_t h[60];
	struct tcp_tuple tuple = {.local = {[10] = 255, 255, 198, 51, 100, 7},
				  .remote = {[10] = 255, 255, 192, 0, 2, 1}};
	struct owner *owner = calloc(1, sizeof(*owner));
	const char *text = from ? server_text : client_text;
	size_t text_n = from ? sizeof(server_text) - 1 : sizeof(client_text) - 1, n = b[4],
	       used = 8;
	struct tap_view view[3];
	struct tap_segment seg = {
		.tuple = &tuple, .header = h, .view = view, .time_us = *now, .ttl = b[7] | 64};

	check(owner != NULL);
	n_owners++;
	owner->refs = 1;
	tuple.local_port = 25;
	tuple.remote_port = (uint16_t)(1000 + f);
	if (from) {
		struct tcp_tuple r = tuple;

		memcpy(tuple.local, r.remote, 16);
		memcpy(tuple.remote, r.local, 16);
		tuple.local_port = r.remote_port;
		tuple.remote_port = 25;
	}
	seg.header_len = (uint16_t)header(b, me, &side[f][!from], h);
	if (b[5] == 255) {
		n = n < left - used ? n : left - used;
		memcpy(owner->data, b + used, n);
		used += n;
	} else {
		/* As the session goes on: the octets of these numbers. */
		for (size_t i = 0; i < n; i++)
			owner->data[i] =
				(uint8_t)text[(me->nxt - me->isn + b[5] / 64 + i) % text_n];
	}
	view[0] = (struct tap_view){owner->data, (uint32_t)n / 3, owner};
	view[1] = (struct tap_view){owner->data + n / 3, 0, NULL};
	view[2] = (struct tap_view){owner->data + n / 3, (uint32_t)(n - n / 3),
				    b[6] & 1 ? owner : NULL};
	seg.n_views = n ? 3 : 0;
	seg.payload_len = (uint32_t)n;
	seg.bad_checksum = b[6] == 7;
	if (b[6] == 9)
		tap_missed(t, TAP_CAUSE_no_mbuf);
	*now += b[6] > 250 ? 20000000 : b[6] * 100u;
	tap_input(t, &seg);
	if (!(b[2] & 15) && !(h[13] & 4))
		me->nxt += (uint32_t)n + (h[13] & 3 ? 1 : 0);
	drop(owner);
	return used;
}

static void check_json(const char *p, size_t n)
{
	for (size_t i = 0, begin = 0; i < n; i++) {
		if (p[i] != '\n') {
			check((unsigned char)p[i] >= 0x20);
			continue;
		}
		check(i > begin && p[begin] == '{' && p[i - 1] == '}');
		begin = i + 1;
	}
	check(!n || p[n - 1] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint64_t counters[POSTERN_DP_COUNTER_COUNT];
	struct tap_report_options opt = {
		.track = {.flows = 2, .pieces = 40, .blocks = 20, .port = {25}, .n_ports = 1},
		.sessions = 2,
		.hold = hold,
		.drop = drop,
		.counters = counters,
		.secret = "0123456789abcde"};
	uint64_t now = 1000000;
	struct tap_report *r;
	struct tap_usage u;
	char *out = NULL;
	size_t n = 0;

	if (size < 1)
		return 0;
	memset(counters, 0, sizeof(counters));
	for (unsigned int f = 0; f < FLOWS; f++)
		for (unsigned int s = 0; s < 2; s++)
			side[f][s].isn = side[f][s].nxt = f == 1 ? 0xffffff80u : 1000 * (f + s);
	opt.track.midstream = data[0] & 1;
	if (data[0] & 2)
		opt.track.pieces = 2;
	opt.out = open_memstream(&out, &n);
	check(opt.out != NULL);
	r = tap_report_new(&opt);
	check(r != NULL);
	for (size_t at = 1; at + 8 <= size;)
		at += step(tap_report_tap(r), data + at, size - at, &now);
	tap_report_finish(r);
	tap_get_usage(tap_report_tap(r), &u);
	check(!u.flows && !u.pieces && !u.blocks && !n_owners);
	tap_report_free(r);
	fclose(opt.out);
	check_json(out, n);
	free(out);
	return 0;
}
