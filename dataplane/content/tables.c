/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/tables.h"

#include <string.h>

#include "entities_table.h"
#include "idna_table.h"
#include "tlds_table.h"

#define SLOTS (sizeof(entity_slot) / sizeof(entity_slot[0]))

/* As in gen_tables.py. */
static size_t hash_name(struct str name)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < name.n; i++)
		h = (h ^ name.p[i]) * 16777619u;
	return (h ^ (h >> 15)) % SLOTS;
}

/* The index of the name, or -1. The tables are at most a third full. */
static int find(struct str name, const uint16_t *slot, const uint16_t *offset, const char *text)
{
	for (size_t at = hash_name(name); slot[at]; at = (at + 1) % SLOTS) {
		unsigned int i = slot[at] - 1u;

		if (str_eq(name, str_make(text + offset[i], (size_t)offset[i + 1] - offset[i])))
			return (int)i;
	}
	return -1;
}

struct str tables_entity(struct str name)
{
	int i = name.n > TABLES_ENTITY_NAME ? -1
					    : find(name, entity_slot, entity_offset, entity_text);

	return i < 0 ? STR_NONE : str_make(entity_value[i] + 1, entity_value[i][0]);
}

bool tables_is_tld(struct str label)
{
	return label.n <= 63 && find(label, tld_slot, tld_offset, tld_text) >= 0;
}

size_t tables_idna(uint32_t cp, uint32_t out[4])
{
	size_t lo = 0, hi = sizeof(idna_map) / sizeof(idna_map[0]), n = 0;

	out[0] = cp < 0x80 ? ascii_lower((uint8_t)cp) : cp;
	if (cp < 0x80)
		return 1;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (idna_map[mid][0] < cp)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == sizeof(idna_map) / sizeof(idna_map[0]) || idna_map[lo][0] != cp)
		return 1;
	if (!(idna_map[lo][1] & 0x80000000u)) {
		out[0] = idna_map[lo][1];
		return 1;
	}
	/* Seven bits each, from the left; none is NUL. */
	for (int shift = 21; shift >= 0; shift -= 7)
		if ((idna_map[lo][1] >> shift) & 0x7f)
			out[n++] = (idna_map[lo][1] >> shift) & 0x7f;
	return n;
}
