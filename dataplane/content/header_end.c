/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/header_end.h"

#include <string.h>

/* States: octets of CR LF CR LF behind us. 2 is a line start, and where a message begins. */
enum { IN_LINE, CR, LINE_START, CR_AT_START };

void content_header_end_init(struct content_header_end *h)
{
	*h = (struct content_header_end){.state = LINE_START};
}

static uint8_t next_state(uint8_t state, uint8_t c)
{
	if (c == '\r')
		return state == LINE_START ? CR_AT_START : CR;
	if (c == '\n' && state == CR)
		return LINE_START;
	return IN_LINE;
}

uint64_t content_header_end_feed(struct content_header_end *h, const uint8_t *p, size_t n)
{
	uint64_t base = h->seen;
	size_t i = 0;

	h->seen += n;
	while (!h->size && i < n) {
		if (h->state == IN_LINE) {
			const uint8_t *cr = memchr(p + i, '\r', n - i);

			if (!cr)
				break;
			i = (size_t)(cr - p);
		}
		if (h->state == CR_AT_START && p[i] == '\n')
			h->size = base + i + 1;
		h->state = next_state(h->state, p[i]);
		i++;
	}
	return h->size;
}
