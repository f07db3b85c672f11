/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Signatures by their own formats' definitions. Order matters only where one is the start of
 * another. Text is looked at last, behind a byte order mark and white space, without case.
 */

#include "dataplane/content/sniff.h"

#include <string.h>

#include "postern/ascii.h"

struct magic {
	uint16_t at;
	uint8_t n;
	const char *octets;
	uint8_t type; /* enum content_type */
};

#define M(at, lit, name) {at, sizeof(lit) - 1, lit, CONTENT_TYPE_##name}

static const struct magic binary[] = {
	M(0, "MZ", exe),
	M(0, "\x7f" "ELF", elf),
	M(0, "\xfe\xed\xfa\xce", macho),
	M(0, "\xfe\xed\xfa\xcf", macho),
	M(0, "\xce\xfa\xed\xfe", macho),
	M(0, "\xcf\xfa\xed\xfe", macho),
	M(0, "\0asm", wasm),
	M(0, "PK\3\4", zip),
	M(0, "PK\5\6", zip),
	M(0, "PK\7\x8" "PK\3\4", zip),
	M(0, "Rar!\x1a\7", rar),
	M(0, "7z\xbc\xaf\x27\x1c", sevenzip),
	M(0, "\x1f\x8b", gzip),
	M(0, "BZh", bzip2),
	M(0, "\xfd" "7zXZ\0", xz),
	M(0, "\x28\xb5\x2f\xfd", zstd),
	M(0, "MSCF\0\0\0\0", cab),
	M(7, "**ACE**", ace),
	M(0, "\x60\xea", arj),
	M(2, "-lh", lzh),
	M(257, "ustar", tar),
	M(0, "vhdxfile", vhd),
	M(0, "conectix", vhd),
	M(0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ole),
	M(0, "\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3", onenote),
	M(0, "\x78\x9f\x3e\x22", tnef),
	M(0, "ITSF", chm),
	M(0, "L\0\0\0\1\x14\2\0", lnk),
	M(0, "FWS", swf),
	M(0, "CWS", swf),
	M(0, "ZWS", swf),
	M(0, "\x89PNG\r\n\x1a\n", png),
	M(0, "\xff\xd8\xff", jpeg),
	M(0, "GIF87a", gif),
	M(0, "GIF89a", gif),
	M(0, "II*\0", tiff),
	M(0, "MM\0*", tiff),
	M(0, "\0\0\1\0", ico),
	M(0, "ID3", mp3),
	M(0, "\xff\xfb", mp3),
	M(0, "\xff\xfe", text), /* UTF-16 */
	M(0, "\xfe\xff", text),
	M(4, "ftyp", mp4),
	M(0, "OggS", ogg),
};

static const struct magic text[] = {
	M(0, "{\\rt", rtf),
	M(0, "%!ps", ps),
	M(0, "#!", script),
	M(0, "<?php", script),
	M(0, "<script", script),
	M(0, "<!doctype html", html),
	M(0, "<html", html),
	M(0, "<head", html),
	M(0, "<body", html),
	M(0, "<?xml", xml),
	M(0, "[internetshortcut]", url),
	M(0, "begin:vcalendar", calendar),
	M(0, "begin:vcard", vcard),
	M(0, "-----begin pgp", pgp),
	M(0, "-----begin pkcs7", pkcs7),
	M(0, "received:", email),
	M(0, "return-path:", email),
	M(0, "mime-version:", email),
};

static bool is(const struct magic *m, const uint8_t *p, size_t n)
{
	return n >= (size_t)m->at + m->n && memcmp(p + m->at, m->octets, m->n) == 0;
}

static bool is_text(const struct magic *m, const uint8_t *p, size_t n)
{
	if (n < m->n)
		return false;
	for (size_t i = 0; i < m->n; i++)
		if (ascii_lower(p[i]) != (uint8_t)m->octets[i])
			return false;
	return true;
}

/* Formats that share their first octets with others, or want a second look. */
static enum content_type look(const uint8_t *p, size_t n)
{
	if (n >= 8 && memcmp(p, "\xca\xfe\xba\xbe", 4) == 0)
		/* A universal binary has a handful of architectures where a class has its version. */
		return p[4] == 0 && p[5] == 0 && p[6] == 0 && p[7] < 40 ? CONTENT_TYPE_macho
									  : CONTENT_TYPE_class;
	if (n >= 12 && memcmp(p, "RIFF", 4) == 0)
		return memcmp(p + 8, "WEBP", 4) == 0 ? CONTENT_TYPE_webp : CONTENT_TYPE_riff;
	/* "BM", its reserved octets 0 */
	if (n >= 10 && memcmp(p, "BM", 2) == 0 && memcmp(p + 6, "\0\0\0\0", 4) == 0)
		return CONTENT_TYPE_bmp;
	/* DER: ContentInfo with the OID of signedData or envelopedData */
	if (n >= 19 && p[0] == 0x30)
		for (size_t i = 2; i + 10 < n && i < 8; i++)
			if (memcmp(p + i, "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07", 10) == 0)
				return CONTENT_TYPE_pkcs7;
	return CONTENT_TYPE_unknown;
}

/* Readers of PDF take what stands before "%PDF-" for granted, up to 1,024 octets. */
static bool is_pdf(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i + 5 <= n; i++) {
		const uint8_t *at = memchr(p + i, '%', n - i - 4);

		if (!at)
			return false;
		i = (size_t)(at - p);
		if (memcmp(at, "%PDF-", 5) == 0)
			return true;
	}
	return false;
}

static bool printable(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] < 0x20 && p[i] != '\t' && p[i] != '\n' && p[i] != '\r' && p[i] != '\f' &&
		    p[i] != 0x1b)
			return false;
	return true;
}

enum content_type sniff_head(const uint8_t *p, size_t n)
{
	enum content_type t;
	size_t at = 0;

	if (!n)
		return CONTENT_TYPE_empty;
	for (size_t i = 0; i < sizeof(binary) / sizeof(binary[0]); i++)
		if (is(&binary[i], p, n))
			return (enum content_type)binary[i].type;
	t = look(p, n);
	if (t != CONTENT_TYPE_unknown)
		return t;
	if (is_pdf(p, n))
		return CONTENT_TYPE_pdf;
	if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
		at = 3;
	while (at < n && (p[at] == ' ' || p[at] == '\t' || p[at] == '\r' || p[at] == '\n'))
		at++;
	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		if (is_text(&text[i], p + at, n - at))
			return (enum content_type)text[i].type;
	return printable(p, n) ? CONTENT_TYPE_text : CONTENT_TYPE_unknown;
}
