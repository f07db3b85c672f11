/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * End of data against a reading of the rules with all octets at hand. The first octet says how the
 * rest is cut and how much room there is.
 */

#include "dataplane/smtp/smtp_data.h"

#include <stdio.h>
#include <stdlib.h>

#include "dataplane/smtp/smtp_naive.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s\n", #x);                                               \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#define MAX_IN 4096
#define MAX_SIZE 3000
#define MAX_LINE 1100

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct out {
	uint8_t buf[MAX_IN];
	size_t n;
	size_t room;
};

static void sink(void *ctx, const uint8_t *p, size_t n)
{
	struct out *o = ctx;

	MUST(n > 0 && n <= o->room && o->n + n <= sizeof(o->buf));
	memcpy(o->buf + o->n, p, n);
	o->n += n;
	o->room -= n;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct smtp_naive want;
	static struct out o;
	struct smtp_data d;
	size_t used = 0;
	uint32_t step;

	if (n < 1 || n > MAX_IN)
		return 0;
	step = p[0];
	p++;
	n--;
	smtp_naive_run(&want, p, n, MAX_SIZE, MAX_LINE, step & 1);
	smtp_data_init(&d, MAX_SIZE, MAX_LINE, step & 1);
	o.n = 0;
	while (used < n && d.state != SMTP_DATA_END) {
		size_t k = 1 + step % 97, took;

		step = step * 1103515245u + 12345u;
		k = k < n - used ? k : n - used;
		o.room = (step >> 16) % 64;
		took = smtp_data_feed(&d, p + used, k, o.room, sink, &o);
		MUST(took <= k);
		MUST(took > 0 || o.room == 0);
		used += took;
	}
	MUST(want.ended == (d.state == SMTP_DATA_END));
	MUST(!want.ended || want.used == used);
	MUST(want.bare_lf == d.bare_lf && want.bare_cr == d.bare_cr);
	if (d.bare_lf || d.bare_cr)
		return 0;
	MUST(want.too_big == d.too_big && want.line_over == d.line_over);
	if (smtp_data_refused(&d))
		return 0;
	MUST(want.flags == d.flags && want.n == o.n && d.size == o.n);
	MUST(o.n == 0 || memcmp(want.out, o.buf, o.n) == 0);
	return 0;
}
