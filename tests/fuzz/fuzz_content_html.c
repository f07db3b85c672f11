/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* HTML, in runs as the first octet says, against the whole; and what the text may never hold. */

#include <stdlib.h>
#include <string.h>

#include "dataplane/content/html.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct result {
	uint8_t *p;
	size_t n, room, links;
};

/* Of links and of where in the text they are there is a sum. */
static struct result whole, runs;

static void append(struct result *r, const uint8_t *p, size_t n)
{
	if (n > r->room - r->n) {
		r->room = 2 * (r->n + n);
		r->p = realloc(r->p, r->room);
		if (!r->p)
			abort();
	}
	memcpy(r->p + r->n, p, n);
	r->n += n;
}

static void on_text(void *ctx, const uint8_t *p, size_t n)
{
	if (n == 0)
		abort();
	append(ctx, p, n);
}

static void on_link(void *ctx, enum html_link kind, struct str url)
{
	struct result *r = ctx;

	if (url.n == 0 || url.n > LIMIT_URI || kind > HTML_LINK_CSS)
		abort();
	r->links = (r->links * 31 + kind) * 31 + r->n;
	for (size_t i = 0; i < url.n; i++)
		r->links = r->links * 31 + url.p[i];
}

static uint32_t render(struct html *h, struct result *r, const uint8_t *p, size_t n, size_t step)
{
	struct html_sink sink = {on_text, on_link, r};

	r->n = r->links = 0;
	html_begin(h, &sink);
	for (size_t i = 0; i < n; i += step)
		html_feed(h, p + i, step < n - i ? step : n - i);
	html_end(h);
	return html_marks(h);
}

static void check_text(const struct result *r)
{
	for (size_t i = 0; i < r->n; i++) {
		uint8_t before = i ? r->p[i - 1] : 'x', c = r->p[i];

		if (c == 0 || (c >= '\t' && c <= '\r' && c != '\n'))
			abort();
		if ((c == ' ' && (before == ' ' || before == '\n')) || (c == '\n' && before == ' '))
			abort();
		if (c == '\n' && i > 1 && before == '\n' && r->p[i - 2] == '\n')
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct html *h;
	uint32_t marks;

	if (!h)
		h = html_init(aligned_alloc(64, (html_size() + 63) / 64 * 64));
	if (n < 1)
		return 0;
	marks = render(h, &whole, p + 1, n - 1, n);
	if (render(h, &runs, p + 1, n - 1, 1u + p[0] % 61u) != marks)
		abort();
	if (runs.n != whole.n || runs.links != whole.links ||
	    (whole.n && memcmp(runs.p, whole.p, whole.n)))
		abort();
	check_text(&whole);
	return 0;
}
