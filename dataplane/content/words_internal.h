/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Between words.c, words_param.c and words_mailbox.c. */

#include <stddef.h>
#include <stdint.h>

#include "dataplane/content/hex.h"
#include "dataplane/content/steps.h"
#include "dataplane/content/words.h"

/* A result on its way, gathered so that one call takes many octets. */
struct words_emit {
	words_out out;
	void *ctx;
	uint32_t marks;
	size_t n;
	uint8_t buf[256];
};

void words_put(struct words_emit *e, const uint8_t *p, size_t n);
void words_flush(struct words_emit *e);
/* A words_out whose ctx is a words_emit: CR and LF become SP. */
void words_put_converted(void *e, const uint8_t *p, size_t n);
/* Text that is no encoded-word: unfolded, and made UTF-8 if it is not. */
void words_put_text(struct words_emit *e, struct str s);
/* words_decode() into e; nothing is trimmed. */
void words_decode_into(struct words_emit *e, struct str s, const struct words_charset *cs);

/* Behind the comment (RFC 5322 3.2.2) that begins at s.p[i]; 0 if it has no end. */
size_t words_comment(struct str s, size_t i);
/* Behind the quoted string that begins at s.p[i]; 0 if it has no end. */
size_t words_quoted(struct str s, size_t i);
