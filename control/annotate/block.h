/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* The fields that we write, and the check that what was written is well-formed. */

#include "control/annotate/annotate.h"

/* The whole block; *out is owned by the caller. 0, -ENOMEM, -EINVAL. */
int block_write(const struct annotate_input *in, char **out, size_t *len);

/* Is this a run of complete header fields: printable ASCII (utf8: or UTF-8 beyond it), each with a
 * name, lines <= 998 octets, no line of white space alone? */
bool block_is_well_formed(const char *block, size_t len, bool utf8);
