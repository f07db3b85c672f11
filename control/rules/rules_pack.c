/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A set for the dataplane: dataplane/scan/scan_set.h. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_internal.h"
#include "dataplane/scan/scan_set.h"

static size_t aligned(size_t n)
{
	return (n + 63) & ~(size_t)63;
}

int rules_pack(const struct rules *r, void **out, size_t *len)
{
	struct scan_set_head head = {.magic = SCAN_SET_MAGIC, .n_selectors = r->n_selectors,
				     .views = r->plan.views};
	size_t names, size, at;
	struct scan_set_selector *selector;
	struct scan_set_slot *slot;
	uint8_t *p;

	for (size_t i = 0; i < r->n_slots; i++)
		head.n_slots += r->slot[i].blob != NULL;
	names = sizeof(head) + head.n_slots * sizeof(*slot) + head.n_selectors * sizeof(*selector);
	size = names;
	for (unsigned int i = 0; i < r->n_selectors; i++)
		size += r->selector[i].name.n;
	at = size = aligned(size);
	for (size_t i = 0; i < r->n_slots; i++)
		size += r->slot[i].blob ? aligned(r->slot[i].blob_len) : 0;
	p = aligned_alloc(64, size);
	if (!p)
		return -ENOMEM;
	memset(p, 0, size);
	head.size = size;
	memcpy(head.rules_sha256, r->digest, sizeof(head.rules_sha256));
	memcpy(p, &head, sizeof(head));
	slot = (struct scan_set_slot *)(p + sizeof(head));
	selector = (struct scan_set_selector *)(slot + head.n_slots);
	for (size_t i = 0; i < r->n_slots; i++) {
		const struct rules_slot *s = &r->slot[i];

		if (!s->blob)
			continue;
		*slot++ = (struct scan_set_slot){.slot = s->number, .off = at, .len = s->blob_len};
		memcpy(p + at, s->blob, s->blob_len);
		at += aligned(s->blob_len);
	}
	for (unsigned int i = 0; i < r->n_selectors; i++) {
		const struct content_selector *s = &r->selector[i];

		selector[i] = (struct scan_set_selector){s->source, s->form, s->pick, (uint8_t)s->name.n,
							 (uint32_t)names};
		if (s->name.n)
			memcpy(p + names, s->name.p, s->name.n);
		names += s->name.n;
	}
	*out = p;
	*len = size;
	return 0;
}
