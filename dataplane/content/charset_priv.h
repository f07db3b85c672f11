/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* One step of a conversion: the character at the front of p[0..n), n > 0. */

#include "dataplane/content/charset.h"

#define CP_NONE 0xfffffffeu /* octets that are no text, such as an escape sequence */
#define CP_BAD  0xffffffffu /* octets that are no character: U+FFFD and a mark */

struct charset_step {
	uint32_t cp;
	unsigned int used; /* octets it takes; 0 with CP_NONE: more are needed (at most 8) */
};

typedef struct charset_step charset_step_fn(struct charset *c, const uint8_t *p, size_t n);

/* charset_multi.c */
charset_step_fn charset_step_gb18030, charset_step_big5, charset_step_sjis, charset_step_eucjp,
	charset_step_euckr, charset_step_iso2022jp;

/* Set of ISO-2022-JP; 0 is ASCII. */
enum { JP_ASCII, JP_ROMAN, JP_KATAKANA, JP_0208, JP_0212 };
