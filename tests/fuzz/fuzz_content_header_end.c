/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* End of the header block, in runs as the first octet says, against the whole. */

#include <stdlib.h>
#include <string.h>

#include "dataplane/content/header_end.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct content_header_end h;
	uint64_t want = 0;
	size_t step;

	if (n < 1)
		return 0;
	step = 1u + p[0] % 61u;
	p++;
	n--;
	for (size_t i = 0; i + 2 <= n && !want; i++)
		if (memcmp(p + i, "\r\n", 2) == 0 &&
		    (i == 0 || (i >= 2 && memcmp(p + i - 2, "\r\n", 2) == 0)))
			want = i + 2;
	content_header_end_init(&h);
	for (size_t i = 0; i < n; i += step)
		content_header_end_feed(&h, p + i, step < n - i ? step : n - i);
	if (h.size != want)
		abort();
	return 0;
}
