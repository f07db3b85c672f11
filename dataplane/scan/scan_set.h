/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * All databases of a push in one file, with the header selectors that their slots mean:
 *
 *   struct scan_set_head
 *   struct scan_set_slot[n_slots]
 *   struct scan_set_selector[n_selectors]
 *   names of fields, without NUL
 *   blobs (struct scan_blob_head), each 64-byte aligned
 *
 * Slot numbers are those of content/content.h. Offsets are from the head. One file and one
 * descriptor however many selectors there are.
 */

#include <stddef.h>
#include <stdint.h>

#define SCAN_SET_MAGIC 0x50535345u /* "PSSE" */
#define SCAN_SET_SELECTORS 512u

struct scan_set_head {
	uint32_t magic;
	uint32_t n_slots;
	uint32_t n_selectors;
	uint32_t views;           /* content_plan.views */
	uint64_t size;
	uint8_t rules_sha256[32];
	uint8_t pad[8];
};

struct scan_set_slot {
	uint16_t slot;
	uint16_t pad[3];
	uint64_t off, len;
};

struct scan_set_selector {
	uint8_t source, form, pick; /* struct content_selector */
	uint8_t name_len;
	uint32_t name_off;
};

struct scan_set {
	const struct scan_set_head *head;
	const struct scan_set_slot *slot;
	const struct scan_set_selector *selector;
};

/* NULL, or what is wrong. Bounds only: a blob is scan_generation_new()'s to check. The memory stays
 * the caller's and must outlive *out; 64-byte aligned. */
const char *scan_set_open(const void *file, size_t len, struct scan_set *out);
