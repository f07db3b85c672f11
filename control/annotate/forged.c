/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>

#include "control/annotate/annotate.h"
#include "control/annotate/lines.h"
#include "control/auth/authres/authres.h"

/*
 * A field is forged if any reader behind us could take it for ours. Lenient readers end lines at a
 * bare CR or LF and take names with odd octets, so that every line inside a field is looked at.
 */

static bool name_is_ours(struct str name, const struct annotate_own *own)
{
	for (size_t i = 0; i < own->n_prefixes; i++) {
		struct str prefix = own->prefix[i];

		if (prefix.n && str_istarts(name, prefix) &&
		    (name.n == prefix.n || name.p[prefix.n] == '-'))
			return true;
	}
	return false;
}

static bool line_is_forged(struct str line, struct str rest, void *arg)
{
	static const struct str results[] = {STR("Authentication-Results"),
					     STR("ARC-Authentication-Results")};
	const struct annotate_own *own = arg;
	struct str name = line_name(line);

	if (name_is_ours(name, own))
		return true;
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		struct str behind = str_skip(name, results[i].n);

		if (!str_istarts(name, results[i]))
			continue;
		/* "Authentication-Results-X" is another name; one with junk behind it is not. */
		if (behind.n && (ascii_is_alnum(behind.p[0]) || behind.p[0] == '-'))
			continue;
		if (authres_claims(str_skip(rest, str_find(rest, ':') + 1), own->authserv_id))
			return true;
	}
	return false;
}

size_t annotate_mark_forged(const struct headers *h, const struct annotate_own *own, uint8_t *drop)
{
	struct annotate_own copy = *own;
	size_t n = 0;

	for (size_t i = 0; i < h->n; i++) {
		drop[i] = lines_any(h, i, line_is_forged, &copy) ? DROP_FORGED : DROP_NO;
		n += drop[i] != DROP_NO;
	}
	return n;
}

long annotate_ranges(const struct headers *h, const uint8_t *drop, struct mail_range *range,
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
