/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <stdlib.h>

#include "control/auth/authres/authres.h"
#include "control/auth/authres/authres_parse.h"
#include "postern/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct authres strict, found;

static bool inside(struct str part, struct str whole, const uint8_t *scratch)
{
	return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n) ||
	       (part.p >= scratch && part.p + part.n <= scratch + whole.n);
}

/* What is read lies where it may, what is strict is read alike by the other grammar, and no field
 * that the reader takes for ours is missed by the search for our id. */
static void read_it(struct str text, struct str id)
{
	uint8_t *scratch = malloc(text.n + 1);
	unsigned int instance;
	int rc;

	if (!scratch)
		abort();
	(void)authres_instance(text, &instance);
	rc = authres_parse(text, AUTHRES_STRICT, scratch, text.n, &strict);
	if (rc == -ENOSPC || (rc == 0) != !strict.error.what || strict.error.at > text.n + 1)
		abort();
	for (unsigned int i = 0; i < strict.n_props; i++)
		if (!inside(strict.props[i].value, text, scratch))
			abort();
	if (!rc && str_ieq(strict.authserv_id, id) && !authres_claims(text, id))
		abort();
	if (authres_parse(text, AUTHRES_AS_FOUND, scratch, text.n, &found) == 0) {
		if (str_ieq(found.authserv_id, id) && !authres_claims(text, id))
			abort();
		if (!rc && (found.liberties || found.n_results != strict.n_results ||
			    found.n_props != strict.n_props))
			abort();
	} else if (!rc) {
		abort();
	}
	free(scratch);
}

/* Whatever is written stays one field of printable ASCII, or of UTF-8 where that is allowed, and is recognised as ours. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str id = STR("mx.example.net"), text = str_make(data, size);
	static uint8_t scratch[16384];
	static char buf[16384];
	struct authres_writer w;
	size_t line = 0;
	long n;

	(void)authres_claims(text, id);
	(void)authres_claims(id, text);
	read_it(text, id);
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
	if (authres_parse(str_make(buf + 23, (size_t)n - 25), AUTHRES_STRICT, scratch,
			  sizeof(scratch), &strict) ||
	    strict.n_results != 1 || strict.n_props != (size > 0))
		abort();
	return 0;
}
