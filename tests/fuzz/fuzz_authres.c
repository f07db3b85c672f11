/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "control/auth/authres/authres.h"
#include "postern/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever is written stays one field of printable ASCII, or of UTF-8 where that is allowed, and is recognised as ours. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str id = STR("mx.example.net"), text = str_make(data, size);
	static char buf[16384];
	struct authres_writer w;
	size_t line = 0;
	long n;

	(void)authres_claims(text, id);
	(void)authres_claims(id, text);
	authres_begin(&w, buf, sizeof(buf), id);
	w.utf8 = size & 1;
	authres_result(&w, "spf", "pass", str_cut(text, size / 3));
	authres_property(&w, "smtp", "mailfrom", text);
	authres_comment(&w, str_skip(text, size / 2));
	n = authres_end(&w);
	if (n < 0)
		return 0;
	for (long i = 0; i < n; i++) {
		uint8_t c = (uint8_t)buf[i];
		size_t len = c & 0x80 ? utf8_non_ascii(str_make(buf, (size_t)n), (size_t)i) : 0;

		if (len && w.utf8) {
			i += (long)len - 1;
			line += len;
			continue;
		}

		line = c == '\n' ? 0 : line + 1;
		if (line > 999 || (c == '\n' && i + 1 < n && buf[i + 1] != '\t'))
			abort();
		if (!ascii_is_vchar(c) && !ascii_is_wsp_crlf(c))
			abort();
	}
	if (!authres_claims(str_skip(str_make(buf, (size_t)n), 23), id))
		abort();
	return 0;
}
