/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A set for the dataplane: dataplane/scan/bundle.h. */

#include <errno.h>
#include <hs/hs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_database.h"
#include "control/rules/rules_internal.h"
#include "dataplane/scan/bundle.h"

static size_t aligned(size_t n)
{
	return (n + SCAN_BUNDLE_ALIGN - 1) & ~(size_t)(SCAN_BUNDLE_ALIGN - 1);
}

/* The slots' numbers ascend here, whatever order the set has them in. */
struct pack_slot {
	uint32_t number;
	bool present;
	const struct rules_slot *slot; /* NULL: no patterns */
};

static int by_number(const void *a, const void *b)
{
	const struct pack_slot *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static size_t collect(const struct rules *r, uint32_t present, struct pack_slot *out)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_slots; i++)
		if (r->slot[i].blob && !(r->slot[i].number & RULES_SLOT_TOLD))
			out[n++] = (struct pack_slot){
				.number = r->slot[i].number, .slot = &r->slot[i],
				.present = r->slot[i].number < VIEW_COUNT &&
					   present & 1u << r->slot[i].number};
	for (uint32_t v = 0; v < VIEW_COUNT; v++) {
		bool have = false;

		for (size_t i = 0; i < n; i++)
			have |= out[i].number == v;
		if (!have && present & 1u << v)
			out[n++] = (struct pack_slot){.number = v, .present = true};
	}
	qsort(out, n, sizeof(*out), by_number);
	return n;
}

/* What a blob holds, by offsets of the whole file. */
static void place(struct scan_bundle_slot *to, const struct pack_slot *s, uint64_t at)
{
	struct rules_blob_head head;

	*to = (struct scan_bundle_slot){.slot = s->number,
					.flags = s->present ? SCAN_SLOT_PRESENT : 0};
	if (!s->slot)
		return;
	memcpy(&head, s->slot->blob, sizeof(head));
	to->n_patterns = head.n_patterns;
	if (head.block_len) {
		to->block = at + head.block_off;
		to->block_len = head.block_len;
	}
	if (head.stream_len && s->number < VIEW_COUNT) {
		to->stream = at + head.stream_off;
		to->stream_len = head.stream_len;
	}
	if (head.automaton_len) {
		to->automaton = at + head.automaton_off;
		to->automaton_len = head.automaton_len;
	}
	if (head.literals_len) {
		to->literals = at + head.literals_off;
		to->literals_len = head.literals_len;
	}
}

static void put_selectors(const struct rules *r, const struct scan_bundle *head, uint8_t *p, size_t names)
{
	struct scan_bundle_selector *to = (void *)(p + head->selectors);

	for (unsigned int i = 0; i < r->n_selectors; i++) {
		const struct content_selector *s = &r->selector[i];

		to[i] = (struct scan_bundle_selector){s->source, s->form, s->pick, 0, (uint32_t)s->name.n,
						      names};
		if (s->name.n)
			memcpy(p + names, s->name.p, s->name.n);
		names += s->name.n;
	}
}

int rules_pack(const struct rules *r, uint32_t present, bool hash, void **out, size_t *len)
{
	struct scan_bundle head = {.magic = SCAN_BUNDLE_MAGIC, .flags = hash ? SCAN_BUNDLE_HASH : 0,
				   .n_selectors = r->n_selectors};
	struct pack_slot *slot = calloc(r->n_slots + VIEW_COUNT, sizeof(*slot));
	size_t names, at, size;
	uint8_t *p;

	*out = NULL;
	*len = 0;
	if (!slot)
		return -ENOMEM;
	head.n_slots = (uint32_t)collect(r, present, slot);
	if (!head.n_slots) {
		free(slot);
		return 0;
	}
	head.slots = aligned(sizeof(head));
	head.selectors = aligned(head.slots + head.n_slots * sizeof(struct scan_bundle_slot));
	names = aligned(head.selectors + r->n_selectors * sizeof(struct scan_bundle_selector));
	at = names;
	for (unsigned int i = 0; i < r->n_selectors; i++)
		at += r->selector[i].name.n;
	size = at = aligned(at);
	for (size_t i = 0; i < head.n_slots; i++)
		size += slot[i].slot ? aligned(slot[i].slot->blob_len) : 0;
	head.size = size;
	p = aligned_alloc(SCAN_BUNDLE_ALIGN, size);
	if (!p) {
		free(slot);
		return -ENOMEM;
	}
	memset(p, 0, size);
	memcpy(head.rules_sha256, r->digest, sizeof(head.rules_sha256));
	snprintf(head.hs_version, sizeof(head.hs_version), "%s", hs_version());
	memcpy(p, &head, sizeof(head));
	put_selectors(r, &head, p, names);
	for (size_t i = 0; i < head.n_slots; i++) {
		place((struct scan_bundle_slot *)(void *)(p + head.slots) + i, &slot[i], at);
		if (slot[i].slot) {
			memcpy(p + at, slot[i].slot->blob, slot[i].slot->blob_len);
			at += aligned(slot[i].slot->blob_len);
		}
	}
	free(slot);
	*out = p;
	*len = size;
	return 0;
}
