/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>

#include "control/annotate/annotate.h"
#include "control/auth/authres/authres.h"

/*
 * A field is forged if any reader behind us could take it for ours. Lenient readers end lines at a
 * bare CR or LF and take names with odd octets, so that every line inside a field is looked at.
 */

static bool name_is_ours(struct str name, struct str prefix)
{
	return prefix.n && str_istarts(name, prefix) &&
	       (name.n == prefix.n || name.p[prefix.n] == '-');
}

/* One line and all that follows it in the field. */
static bool line_is_forged(struct str line, struct str authserv_id, struct str prefix)
{
	static const struct str results[] = {STR("Authentication-Results"),
					     STR("ARC-Authentication-Results")};
	size_t colon = str_find(line, ':');
	struct str name = str_trim(str_cut(line, colon));

	if (name_is_ours(name, prefix))
		return true;
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		struct str behind = str_skip(name, results[i].n);

		if (!str_istarts(name, results[i]))
			continue;
		/* "Authentication-Results-X" is another name; one with junk behind it is not. */
		if (behind.n && (ascii_is_alnum(behind.p[0]) || behind.p[0] == '-'))
			continue;
		if (authres_claims(str_skip(line, colon + 1), authserv_id))
			return true;
	}
	return false;
}

static bool is_forged(const struct headers *h, size_t i, struct str authserv_id, struct str prefix)
{
	const struct header_field *f = &h->field[i];
	struct str all = str_make(h->block + f->off, f->len), line;

	if (line_is_forged(all, authserv_id, prefix))
		return true;
	if (!(f->flags & (HEADER_F_BARE | HEADER_F_NUL)))
		return false;
	for (size_t k = 0; k + 1 < all.n; k++) {
		if (all.p[k] != '\r' && all.p[k] != '\n' && all.p[k] != '\0')
			continue;
		line = str_skip(all, k + 1);
		if (line_is_forged(line, authserv_id, prefix))
			return true;
	}
	return false;
}

long annotate_find_forged(const struct headers *h, struct str authserv_id, struct str prefix,
			  struct mail_range *range, size_t cap, bool *drop)
{
	for (size_t i = 0; i < h->n; i++)
		drop[i] = is_forged(h, i, authserv_id, prefix);
	return annotate_ranges(h, drop, range, cap);
}

long annotate_ranges(const struct headers *h, const bool *drop, struct mail_range *range,
		     size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n; i++) {
		const struct header_field *f = &h->field[i];

		if (!drop[i])
			continue;
		if (n && range[n - 1].off + range[n - 1].len == f->off) {
			range[n - 1].len += f->len;
			continue;
		}
		if (n == cap)
			return -ENOSPC;
		range[n++] = (struct mail_range){f->off, f->len};
	}
	return (long)n;
}
