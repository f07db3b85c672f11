/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A file of --corpus of bench/smtpload: what is taken of it is a message that DATA can carry, and
 * is the same when it is read again. */

#include <stdlib.h>
#include <string.h>

#include "bench/smtpload/content.h"
#include "bench/smtpload/load.h"

struct load load;

bool wire_tcp(struct sess *s, uint8_t flags, uint32_t seq, uint32_t from, uint32_t n)
{
	(void)s, (void)flags, (void)seq, (void)from, (void)n;
	return true;
}

static void check(const uint8_t *p, uint32_t n)
{
	uint32_t column = 0;

	if (n < 2 || p[n - 1] != '\n')
		abort();
	for (uint32_t i = 0; i < n; i++) {
		if (!p[i] || (p[i] == '\n') != (i && p[i - 1] == '\r'))
			abort();
		column = p[i] == '\n' ? 0 : column + 1;
		if (column > 999) /* with the CR */
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t n, again_n, line, again_line;
	enum corpus_fault fault;
	uint8_t *out, *again;

	if (size > 1 << 20)
		return 0;
	out = malloc(2 * size + 2);
	again = malloc(4 * size + 6);
	if (!out || !again)
		abort();
	fault = corpus_normalise(data, (uint32_t)size, out, &n, &line);
	if (fault == CORPUS_OK) {
		if (n > 2 * size + 2)
			abort();
		check(out, n);
		if (corpus_normalise(out, n, again, &again_n, &again_line) != CORPUS_OK ||
		    again_n != n || again_line != line || memcmp(out, again, n) != 0)
			abort();
	}
	free(out);
	free(again);
	return 0;
}
