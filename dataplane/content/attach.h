/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What a part is, whatever it says it is: its size, the type its octets speak of, its SHA-256, and
 * the names in its directory if it is a zip archive. Fed with the octets behind transfer decoding,
 * at any split; nothing is unpacked and nothing is allocated. Knows nothing of MIME.
 *
 * Zip: names come from local headers and from the central directory, since a reader may go by
 * either, and an archive can be made whose two differ. No length in an archive is believed, for a
 * false one would hide what it passes over: every place that has a signature is looked at. So the
 * names in an archive that is stored in another one, or hangs behind a program, are found as well.
 */

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/content/keyed.h"
#include "postern/str.h"

/* By what the octets begin with, or for a few have at a fixed place. */
#define CONTENT_TYPES(X) \
	X(empty) X(unknown) X(text) X(html) X(xml) X(rtf) X(pdf) X(ps) X(script) X(lnk) X(url) \
	X(exe) X(elf) X(macho) X(class) X(wasm) X(chm) X(ole) X(onenote) X(tnef) X(swf) \
	X(zip) X(ooxml) X(jar) X(rar) X(sevenzip) X(gzip) X(bzip2) X(xz) X(zstd) X(cab) X(ace) X(arj) \
	X(lzh) X(tar) X(iso) X(vhd) X(udf) X(png) X(jpeg) X(gif) X(bmp) X(tiff) X(webp) X(ico) \
	X(mp3) X(mp4) X(ogg) X(riff) X(email) X(calendar) X(vcard) X(pgp) X(pkcs7)

enum content_type {
#define X(name) CONTENT_TYPE_##name,
	CONTENT_TYPES(X)
#undef X
	CONTENT_TYPE_COUNT
};

#define ATTACH_HEAD 512       /* octets that are kept to look at */
#define ATTACH_NAME 256       /* of a member, longer ones are cut */
#define ATTACH_ENTRY (46 + ATTACH_NAME) /* a header of the central directory, and its name */
#define ATTACH_ENTRIES 4096   /* headers looked at, of one part */
#define ATTACH_MEMBERS 256    /* that are told, of one part */
#define ATTACH_SHA256_STATE 128

/* Facts of a member */
#define ATTACH_MEMBER_ENCRYPTED (1u << 0)
#define ATTACH_MEMBER_CUT (1u << 1)       /* the name is longer */
#define ATTACH_MEMBER_CENTRAL (1u << 2)   /* from the central directory */

struct content_attach {
	uint64_t size;
	bool hash;
	uint16_t n_head;
	uint8_t head[ATTACH_HEAD];
	uint8_t iso[5];                   /* octets 32769 to 32773 */
	_Alignas(16) uint8_t sha[ATTACH_SHA256_STATE];
	/* zip: the last octets, in which a header may have begun */
	uint16_t n_tail;
	uint8_t tail[ATTACH_ENTRY - 1];
	uint32_t n_members, n_entries;
	uint32_t most;                    /* members that are told */
	struct keyed key;
	uint64_t seen[ATTACH_MEMBERS];    /* hashes of names told */
	bool office, java;                /* members that only these have */
	bool broken;
	void (*member)(void *ctx, struct str name, uint32_t flags);
	void *ctx;
};

/* Once for each: it asks the kernel for random octets (keyed.h). */
void content_attach_init(struct content_attach *a);
/* member: may be NULL. The name is as it stands in the archive: any octets. most: members that are
 * told, ATTACH_MEMBERS or less. */
void content_attach_begin(struct content_attach *a, bool hash, uint32_t most,
			  void (*member)(void *ctx, struct str name, uint32_t flags), void *ctx);
void content_attach_feed(struct content_attach *a, const uint8_t *p, size_t n);
/* No more octets. sha256: 32 octets, set if `hash`; may be NULL. */
enum content_type content_attach_end(struct content_attach *a, uint8_t *sha256);
/* An archive in which something is not as it should be, or with more members than were told. */
bool content_attach_broken(const struct content_attach *a);
const char *content_type_name(enum content_type t);
