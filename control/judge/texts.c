/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/judge/texts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "postern/limits.h"

struct text {
	uint8_t *p;
	size_t n, cap;
	bool there, cut;
};

struct texts {
	const struct content_plan *plan;
	const struct mail_bytes *content;
	struct text *text;       /* by slot */
	unsigned int n;
	bool made, full_made, oom;
};

int texts_new(const struct content_plan *plan, const struct mail_bytes *content, struct texts **out)
{
	struct texts *t = calloc(1, sizeof(*t));

	*out = NULL;
	if (!t)
		return -ENOMEM;
	t->plan = plan;
	t->content = content;
	t->n = CONTENT_SLOT_SELECTOR + plan->n_selectors;
	t->text = calloc(t->n, sizeof(*t->text));
	if (!t->text) {
		free(t);
		return -ENOMEM;
	}
	*out = t;
	return 0;
}

void texts_free(struct texts *t)
{
	if (!t)
		return;
	for (unsigned int i = 0; i < t->n; i++)
		free(t->text[i].p);
	free(t->text);
	free(t);
}

static void append(struct texts *t, struct text *x, const uint8_t *p, size_t n)
{
	/* Lists and attachments are looked up in all there is of these two: content/ bounds it. */
	size_t most = x == &t->text[VIEW_URI] || x == &t->text[VIEW_ATTACHMENT] ? SIZE_MAX
									       : LIMIT_RULES_TEXT;

	x->there = true;
	if (n > most - x->n) {
		n = most - x->n;
		x->cut = true;
	}
	if (n > x->cap - x->n) {
		size_t cap = x->n + n > 2 * x->cap ? x->n + n : 2 * x->cap;
		uint8_t *q = realloc(x->p, cap);

		if (!q) {
			t->oom = true;
			return;
		}
		x->p = q;
		x->cap = cap;
	}
	if (n)
		memcpy(x->p + x->n, p, n);
	x->n += n;
}

static void on_run(void *ctx, unsigned int slot, const uint8_t *p, size_t n, unsigned int flags)
{
	struct texts *t = ctx;

	(void)flags;
	if (slot < t->n && !t->oom)
		append(t, &t->text[slot], p, n);
}

static int make(struct texts *t)
{
	const struct content_sink sink = {.run = on_run, .ctx = t};
	void *memory = aligned_alloc(64, (content_size() + 63) & ~(size_t)63);
	struct content *c;

	if (!memory)
		return -ENOMEM;
	c = content_init(memory);
	content_begin(c, t->plan, &sink);
	for (size_t i = 0; i < t->content->n_iov; i++)
		content_feed(c, t->content->iov[i].iov_base, t->content->iov[i].iov_len);
	content_end(c);
	free(memory);
	t->made = true;
	return t->oom ? -ENOMEM : 0;
}

static int make_full(struct texts *t)
{
	struct text *x = &t->text[VIEW_FULL];

	for (size_t i = 0; i < t->content->n_iov && !x->cut && !t->oom; i++)
		append(t, x, t->content->iov[i].iov_base, t->content->iov[i].iov_len);
	x->there = true;
	t->full_made = true;
	return t->oom ? -ENOMEM : 0;
}

int texts_get(struct texts *t, unsigned int slot, struct str *text)
{
	int rc = 0;

	if (slot >= t->n || (slot < VIEW_COUNT && !(t->plan->views & 1u << slot)))
		return -EINVAL;
	if (slot == VIEW_FULL && !t->full_made)
		rc = make_full(t);
	else if (slot != VIEW_FULL && !t->made)
		rc = make(t);
	if (rc || t->oom)
		return rc ? rc : -ENOMEM;
	*text = str_make(t->text[slot].p ? t->text[slot].p : (const uint8_t *)"", t->text[slot].n);
	return t->text[slot].there;
}

bool texts_cut(const struct texts *t)
{
	for (unsigned int i = 0; i < t->n; i++)
		if (t->text[i].cut)
			return true;
	return false;
}
