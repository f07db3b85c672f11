/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Is a file a capture that the dataplane can read, and how many packets are in it? pcap and
 * pcapng, either octet order. The dataplane's driver ends without a word where a file is cut off or damaged;
 * this walk says where. Source: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct capture {
	uint64_t packets;  /* whole ones */
	uint64_t cut;      /* of them, shorter than they were on the wire */
	uint64_t at;       /* offset of what is being read */
	bool is_capture;   /* what came so far */
	char fault[160];   /* why it is none, or where it is damaged; "": it is not */
	/* of capture.c */
	uint8_t head[28];
	uint32_t have, need;
	uint64_t skip;
	uint8_t step;
	uint8_t last; /* 1: a packet; 2: one that was cut; 0: another block */
	bool swapped;
};

void capture_init(struct capture *c);
/* Octets in order, in pieces of any size. False: c->fault is set, the rest need not be fed. */
bool capture_feed(struct capture *c, const uint8_t *p, size_t n);
/* End of the file: sets c->fault if it ends within something. */
void capture_end(struct capture *c);
