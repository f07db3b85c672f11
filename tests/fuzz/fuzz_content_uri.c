/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* URIs of text, in runs as the first octet says, against the whole; and the same octets as links.
 * No URI is given twice, none is empty, too long, or has a line end. */

#include <stdlib.h>
#include <string.h>

#include "dataplane/content/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct result {
	uint8_t *p; /* URIs, LF behind each */
	size_t n, room, uris;
};

static struct result whole, runs;

static void on_uri(void *ctx, const uint8_t *p, size_t n)
{
	struct result *r = ctx;

	if (n == 0 || n > LIMIT_URI || memchr(p, '\n', n))
		abort();
	for (size_t i = 0, end; i < r->n && r->uris < 200; i = end + 1) {
		end = i + (size_t)((uint8_t *)memchr(r->p + i, '\n', r->n - i) - (r->p + i));
		if (end - i == n && !memcmp(r->p + i, p, n))
			abort();
	}
	if (n + 1 > r->room - r->n) {
		r->room = 2 * (r->n + n + 1);
		r->p = realloc(r->p, r->room);
		if (!r->p)
			abort();
	}
	memcpy(r->p + r->n, p, n);
	r->p[r->n + n] = '\n';
	r->n += n + 1;
	r->uris++;
}

static uint32_t find(struct uri *u, struct result *r, const uint8_t *p, size_t n, size_t step)
{
	static struct uri_sink sink = {.uri = on_uri}; /* links come later */

	sink.ctx = r;
	r->n = r->uris = 0;
	uri_begin(u, &sink);
	for (size_t i = 0; i < n; i += step)
		uri_text(u, p + i, step < n - i ? step : n - i);
	uri_text_end(u);
	if (r->uris > LIMIT_URIS)
		abort();
	return uri_marks(u);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct uri *u;
	uint32_t marks;
	const uint8_t *lf;

	if (!u)
		u = uri_init(aligned_alloc(64, (uri_size() + 63) / 64 * 64));
	if (n < 1)
		return 0;
	marks = find(u, &whole, p + 1, n - 1, n);
	if (find(u, &runs, p + 1, n - 1, 1u + p[0] % 61u) != marks)
		abort();
	if (runs.n != whole.n || (whole.n && memcmp(runs.p, whole.p, whole.n)))
		abort();
	/* A base in the first line, a link in the rest. */
	lf = memchr(p, '\n', n);
	if (lf) {
		uri_part(u);
		uri_link(u, HTML_LINK_BASE, str_make(p + 1, lf > p ? (size_t)(lf - p) - 1 : 0));
		uri_link(u, HTML_LINK_HREF, str_make(lf, n - (size_t)(lf - p)));
	}
	return 0;
}
