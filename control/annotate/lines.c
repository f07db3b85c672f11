/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/annotate/lines.h"

struct str line_name(struct str line)
{
	struct str name = str_cut(line, str_find(line, ':'));

	/* Spaces, controls, NBSP or a byte order mark: readers differ in what they trim. */
	while (name.n && !ascii_is_vchar(name.p[0]))
		name = str_skip(name, 1);
	while (name.n && !ascii_is_vchar(name.p[name.n - 1]))
		name.n--;
	return name;
}

static bool ends_line(uint8_t c)
{
	return c == '\r' || c == '\n' || c == '\0';
}

bool lines_any(const struct headers *h, size_t i, line_test *test, void *arg)
{
	const struct header_field *f = &h->field[i];
	struct str rest = str_make(h->block + f->off, f->len);

	while (rest.n) {
		size_t n = 0;

		while (n < rest.n && !ends_line(rest.p[n]))
			n++;
		if (n && test(str_cut(rest, n), rest, arg))
			return true;
		if (!(f->flags & (HEADER_F_BARE | HEADER_F_NUL)))
			return false;
		rest = str_skip(rest, n + 1);
	}
	return false;
}
