/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/scan/scan_set.h"

#include <stdbool.h>

#include "dataplane/scan/scan.h"

static bool outside(uint64_t off, uint64_t n, uint64_t len)
{
	return off > len || n > len - off;
}

const char *scan_set_open(const void *file, size_t len, struct scan_set *out)
{
	const struct scan_set_head *h = file;
	uint64_t tables;

	if (len < sizeof(*h) || h->magic != SCAN_SET_MAGIC || h->size != len)
		return "set: bad head";
	if (h->n_selectors > SCAN_SET_SELECTORS || h->n_slots > SCAN_SLOTS || h->views >> VIEW_COUNT)
		return "set: bad sizes";
	tables = sizeof(*h) + h->n_slots * sizeof(struct scan_set_slot) +
		 h->n_selectors * sizeof(struct scan_set_selector);
	if (tables > len)
		return "set: tables out of bounds";
	out->head = h;
	out->slot = (const struct scan_set_slot *)(h + 1);
	out->selector = (const struct scan_set_selector *)(out->slot + h->n_slots);
	for (uint32_t i = 0; i < h->n_slots; i++) {
		const struct scan_set_slot *s = &out->slot[i];

		if (s->slot >= VIEW_COUNT + h->n_selectors)
			return "set: a slot without its selector";
		if (s->off % 64 || s->off < tables || outside(s->off, s->len, len))
			return "set: a database out of bounds";
	}
	for (uint32_t i = 0; i < h->n_selectors; i++)
		if (out->selector[i].name_off < tables ||
		    outside(out->selector[i].name_off, out->selector[i].name_len, len))
			return "set: a name out of bounds";
	return NULL;
}
