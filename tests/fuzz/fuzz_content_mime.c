/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Structure of a message: in runs as the first octet says and in one, the same is told. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/content/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct told {
	uint8_t *p;
	size_t n, room;
	unsigned int depth;
	bool open;
};

static void put(struct told *t, const void *p, size_t n)
{
	if (t->room - t->n < n) {
		t->room = (t->n + n) * 2;
		t->p = realloc(t->p, t->room);
		if (!t->p)
			abort();
	}
	if (n)
		memcpy(t->p + t->n, p, n);
	t->n += n;
}

static void put_str(struct told *t, struct str s)
{
	put(t, &s.n, sizeof(s.n));
	put(t, s.p, s.n);
}

static void field(void *ctx, const struct mime_field *f)
{
	if (!f->name.n || (((struct told *)ctx)->depth && f->top))
		abort();
	put_str(ctx, f->name);
	put_str(ctx, f->value);
}

static void header(void *ctx)
{
	((struct told *)ctx)->depth = 1;
	put(ctx, "|", 1);
}

static size_t part(void *ctx, const struct mime_part *p)
{
	struct told *t = ctx;

	if (t->open || p->depth > LIMIT_MIME_NESTING || p->index >= LIMIT_MIME_PARTS)
		abort();
	t->open = p->kind < MIME_MULTIPART;
	put(t, &p->kind, 1);
	put(t, &p->depth, 1);
	put_str(t, p->type);
	put_str(t, p->charset);
	put_str(t, p->name);
	return p->index % 5 == 4 ? p->index : SIZE_MAX;
}

static void data(void *ctx, const uint8_t *p, size_t n)
{
	if (!((struct told *)ctx)->open || !n)
		abort();
	put(ctx, p, n);
}

static void end(void *ctx, uint64_t encoded)
{
	if (!((struct told *)ctx)->open)
		abort();
	((struct told *)ctx)->open = false;
	put(ctx, &encoded, sizeof(encoded));
}

static uint32_t run(const uint8_t *p, size_t n, size_t step, struct told *t)
{
	const struct mime_sink sink = {field, header, part, data, end, t};
	struct mime *m = malloc(sizeof(*m));
	uint32_t marks;

	if (!m)
		abort();
	memset(m, 0xa5, sizeof(*m));
	mime_begin(m, &sink);
	for (size_t i = 0; i < n; i += step) {
		/* An exact-size copy, so that ASan sees a read past the end. */
		size_t k = step < n - i ? step : n - i;
		uint8_t *copy = malloc(k);

		if (!copy)
			abort();
		memcpy(copy, p + i, k);
		mime_feed(m, copy, k);
		free(copy);
	}
	mime_end(m);
	if (!t->depth || t->open)
		abort();
	marks = m->marks;
	free(m);
	return marks;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct told whole = {.n = 0}, cut = {.n = 0};

	if (n < 2)
		return 0;
	if (run(p + 1, n - 1, n, &whole) != run(p + 1, n - 1, 1u + p[0], &cut))
		abort();
	if (whole.n != cut.n || memcmp(whole.p, cut.p, cut.n) != 0)
		abort();
	free(whole.p);
	free(cut.p);
	return 0;
}
