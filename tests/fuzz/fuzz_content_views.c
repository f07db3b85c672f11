/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Views of a message: in runs as the first octet says and in one, the same runs are given; the body
 * view is UTF-8 with its white space folded.
 */

#include <stdlib.h>
#include <string.h>

#include "dataplane/content/content.h"
#include "postern/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const struct content_selector selector[] = {
	{CONTENT_FIELD, CONTENT_DECODED, CONTENT_PICK_ALL, STR("subject")},
	{CONTENT_FIELD, CONTENT_ADDR, CONTENT_PICK_FIRST, STR("from")},
	{CONTENT_FIELD, CONTENT_NAME, CONTENT_PICK_LAST, STR("from")},
	{CONTENT_FIELD, CONTENT_NAME_RAW, CONTENT_PICK_ALL, STR("from")},
	{CONTENT_ALL, CONTENT_DECODED, CONTENT_PICK_ALL, STR_NONE},
	{CONTENT_ALL, CONTENT_RAW, CONTENT_PICK_ALL, STR_NONE},
	{CONTENT_TOCC, CONTENT_DECODED, CONTENT_PICK_ALL, STR_NONE},
	{CONTENT_MESSAGEID, CONTENT_RAW, CONTENT_PICK_ALL, STR_NONE},
	{CONTENT_MIMEFIELD, CONTENT_DECODED, CONTENT_PICK_ALL, STR("content-type")},
};
#define SLOTS (VIEW_COUNT + sizeof(selector) / sizeof(selector[0]))
static const struct content_plan plan = {
	.views = 1u << VIEW_BODY | 1u << VIEW_RAWBODY | 1u << VIEW_URI | 1u << VIEW_ATTACHMENT,
	.selector = selector,
	.n_selectors = SLOTS - VIEW_COUNT,
	.hash = true,
};

struct slot {
	uint8_t *p;
	size_t n, room;
	unsigned int runs;
	bool open, over;
};

static void on_run(void *ctx, unsigned int slot, const uint8_t *p, size_t n, unsigned int flags)
{
	struct slot *s = (struct slot *)ctx + slot;

	if (slot >= SLOTS || n > CONTENT_RUN || s->over ||
	    s->open == !!(flags & CONTENT_RUN_FIRST) || (!n && !(flags & CONTENT_RUN_LAST)))
		abort();
	s->open = true;
	s->over = flags & CONTENT_RUN_LAST;
	s->runs++;
	if (n > s->room - s->n) {
		s->room = 2 * (s->n + n);
		s->p = realloc(s->p, s->room);
		if (!s->p)
			abort();
	}
	if (n)
		memcpy(s->p + s->n, p, n);
	s->n += n;
}

static uint32_t run(void *mem, const uint8_t *p, size_t n, size_t step, struct slot *slots)
{
	const struct content_sink sink = {on_run, slots};
	struct content *c = mem;

	content_begin(c, &plan, &sink);
	for (size_t i = 0; i < n; i += step) {
		/* An exact-size copy, so that ASan sees a read past the end. */
		size_t k = step < n - i ? step : n - i;
		uint8_t *copy = malloc(k);

		if (!copy)
			abort();
		memcpy(copy, p + i, k);
		content_feed(c, copy, k);
		free(copy);
	}
	content_end(c);
	return content_marks(c);
}

static void check_body(const struct slot *s)
{
	size_t at = 0;

	/* The Subject is as it stands in its words. */
	while (at < s->n && s->p[at] != '\n')
		at++;
	if (!s->over || at == s->n || s->p[s->n - 1] != '\n')
		abort();
	for (size_t i = at, len; i < s->n; i += len) {
		struct str t = str_make(s->p, s->n);

		if (utf8_at(t, i, &len) < 0 || s->p[i] == '\r' || s->p[i] == '\t' || s->p[i] == 0 ||
		    (s->p[i] == ' ' && s->p[i - 1] == ' '))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct content *c;
	struct slot whole[SLOTS] = {0}, cut[SLOTS] = {0};

	if (!c) {
		void *mem = aligned_alloc(64, content_size());

		if (!mem)
			abort();
		memset(mem, 0xa5, content_size());
		c = content_init(mem);
	}
	if (n < 2)
		return 0;
	if (run(c, p + 1, n - 1, n, whole) != run(c, p + 1, n - 1, 1u + p[0] % 67u, cut))
		abort();
	check_body(&whole[VIEW_BODY]);
	for (unsigned int i = 0; i < SLOTS; i++) {
		if (whole[i].n != cut[i].n || whole[i].runs != cut[i].runs ||
		    whole[i].open != whole[i].over ||
		    (whole[i].n && memcmp(whole[i].p, cut[i].p, cut[i].n) != 0))
			abort();
		free(whole[i].p);
		free(cut[i].p);
	}
	return 0;
}
