/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Finds the end of the header block (RFC 5322 2.1: the empty line) in content that comes in runs.
 * Knows nothing of fields. Only CRLF ends a line here, as in smtp_data.h.
 */

#include <stddef.h>
#include <stdint.h>

struct content_header_end {
	uint64_t size;  /* octets up to and with the empty line; 0: not found (yet) */
	uint64_t seen;  /* octets fed */
	uint8_t state;  /* of CRLF CRLF: octets matched so far */
};

/* The message begins at a line start: an empty first line is an empty header block of 2 octets. */
void content_header_end_init(struct content_header_end *h);

/* The next run. Cheap once the end is known. Returns h->size. */
uint64_t content_header_end_feed(struct content_header_end *h, const uint8_t *p, size_t n);
