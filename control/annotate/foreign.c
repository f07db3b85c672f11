/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/annotate/annotate.h"
#include "control/annotate/lines.h"

/*
 * Fields by which the servers of one mail system tell each other what they trust: a verdict to skip
 * the filter, "this came from inside". A connector that takes our mail as its own gateway's may
 * believe them, so that a stranger who writes them would borrow its trust.
 */

const struct str annotate_foreign_names[ANNOTATE_FOREIGN_NAMES] = {
	/* Exchange keeps its own verdicts in the first; the second becomes the first behind a
	 * connector of the organisation. */
	STR("X-MS-Exchange-Organization-"),
	STR("X-MS-Exchange-CrossPremises-"),
	STR("X-Forefront-"),
};

struct look {
	const struct str *more;
	size_t n_more;
	struct str name; /* of the line that was found */
};

static bool line_is_foreign(struct str line, struct str rest, void *arg)
{
	struct look *l = arg;

	(void)rest;
	l->name = line_name(line);
	for (size_t i = 0; i < ANNOTATE_FOREIGN_NAMES; i++)
		if (str_istarts(l->name, annotate_foreign_names[i]))
			return true;
	for (size_t i = 0; i < l->n_more; i++)
		if (l->more[i].n && str_istarts(l->name, l->more[i]))
			return true;
	return false;
}

size_t annotate_find_foreign(const struct headers *h, const struct str *more, size_t n_more,
			     struct str *found)
{
	struct look l = {more, n_more, STR_NONE};
	size_t n = 0;

	for (size_t i = 0; i < h->n; i++) {
		bool is = lines_any(h, i, line_is_foreign, &l);

		found[i] = is ? l.name : STR_NONE;
		n += is;
	}
	return n;
}
