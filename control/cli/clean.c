/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/cli/message.h"

const char *look_clean(struct str s, char *buf, size_t cap)
{
	size_t n = s.n < cap ? s.n : cap - 1;

	for (size_t i = 0; i < n; i++)
		buf[i] = ascii_is_vchar(s.p[i]) || s.p[i] == ' ' ? (char)s.p[i] : '?';
	buf[n] = '\0';
	return buf;
}

json_t *look_text(struct str s)
{
	char buf[1024];

	return json_string(look_clean(s, buf, sizeof(buf)));
}
