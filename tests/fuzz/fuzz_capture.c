/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A capture as a whole and in two pieces, cut where the first octet says: the same is found. */

#include <stdlib.h>
#include <string.h>

#include "control/cli/capture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct capture whole, pieces;
	size_t first;

	if (!size)
		return 0;
	first = data[0] < size - 1 ? data[0] : size - 1;
	data++;
	size--;
	capture_init(&whole);
	capture_feed(&whole, data, size);
	capture_end(&whole);
	capture_init(&pieces);
	if (capture_feed(&pieces, data, first))
		capture_feed(&pieces, data + first, size - first);
	capture_end(&pieces);
	if (whole.packets != pieces.packets || whole.cut != pieces.cut ||
	    strcmp(whole.fault, pieces.fault) != 0 || whole.packets > size / 12 ||
	    whole.cut > whole.packets)
		abort();
	return 0;
}
