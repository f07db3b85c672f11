/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdio.h>

#include "control/mail/mail.h"

const char *percent_octet(uint8_t c, char buf[4])
{
	bool plain = ascii_is_alnum(c) || (c && strchr("-_.:[]", c));

	snprintf(buf, 4, plain ? "%c" : "%%%02X", c);
	return buf;
}

bool percent_encode(struct str s, char *out, size_t cap)
{
	char octet[4];
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < s.n; i++) {
		size_t len = strlen(percent_octet(s.p[i], octet));

		if (n + len >= cap)
			return false;
		memcpy(out + n, octet, len + 1);
		n += len;
	}
	return true;
}

long percent_decode(struct str s, uint8_t *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		int high, low;

		if (n == cap)
			return -1;
		if (s.p[i] != '%') {
			out[n++] = s.p[i];
			continue;
		}
		high = i + 2 < s.n ? ascii_hex(s.p[i + 1]) : -1;
		low = high >= 0 ? ascii_hex(s.p[i + 2]) : -1;
		if (low < 0)
			return -1;
		out[n++] = (uint8_t)(high << 4 | low);
		i += 2;
	}
	return (long)n;
}
