/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A header field as a lenient reader behind us may see it: lines that end at a bare CR, LF or NUL,
 * names with odd octets around them. Whatever such a reader could take for a field of some name
 * must be found under that name.
 */

#include "control/mail/mail.h"

/* `line` is not empty and ends before CR, LF or NUL; `rest` is it and all that follows in the
 * field. */
typedef bool line_test(struct str line, struct str rest, void *arg);

/* Does a line of field i pass the test? Lines behind the first are looked at only where there are
 * octets at which a lenient reader ends a line: a folded line of a clean field is part of its
 * value. Each octet is read once. */
bool lines_any(const struct headers *h, size_t i, line_test *test, void *arg);

/* What stands before the colon (all of it without one), less what is not visible ASCII at both
 * ends. */
struct str line_name(struct str line);
