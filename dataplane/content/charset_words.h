/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* charset.h in the form that words.h asks for. */

#include "dataplane/content/charset.h"
#include "dataplane/content/words.h"

/* c: room for one conversion, the caller's; of c->bad nothing is known after another has begun, so
 * `bad` (not NULL) is set where octets could not be converted. */
struct charset_words {
	struct charset c;
	bool *bad;
};

struct words_charset charset_words(struct charset_words *w);
