/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What charset_tables.py makes at build time. Code points of the BMP; 0: no character. */

#include <stddef.h>
#include <stdint.h>

enum charset_kind {
	CHARSET_K_LENIENT, /* no label, or one that nobody knows: UTF-8 where it is, else 1252 */
	CHARSET_K_ASCII,   /* the same, but above 127 is wrong */
	CHARSET_K_UTF8,
	CHARSET_K_SINGLE,
	CHARSET_K_UTF7,
	CHARSET_K_UTF16,
	CHARSET_K_UTF16BE,
	CHARSET_K_GB18030,
	CHARSET_K_BIG5,
	CHARSET_K_SJIS,
	CHARSET_K_EUCJP,
	CHARSET_K_ISO2022JP,
	CHARSET_K_EUCKR,
};

struct charset_label {
	const char *name; /* letters and digits only, lower case; the table is sorted */
	uint8_t kind;     /* enum charset_kind */
	uint8_t index;    /* of those in charset_single */
};

struct charset_range {
	uint16_t first; /* four octets counted through from 81 30 81 30 */
	uint16_t cp;    /* of the first; 0: none of the run has one */
};

extern const struct charset_label charset_label[];
extern const size_t charset_label_n;
extern const uint8_t charset_windows1252;
extern const uint16_t charset_single[];          /* 128 a charset: of 80 to FF */
extern const uint16_t charset_gbk[126 * 190];    /* lead 81-FE, trail 40-7E 80-FE */
extern const uint16_t charset_big5[126 * 157];   /* lead 81-FE, trail 40-7E A1-FE */
extern const uint16_t charset_jis0208[120 * 94]; /* rows; of 95 to 120 Shift_JIS only */
extern const uint16_t charset_jis0212[94 * 94];
extern const uint16_t charset_euckr[126 * 190]; /* lead 81-FE, trail 41-FE */
extern const struct charset_range charset_gb18030[];
extern const size_t charset_gb18030_n;
