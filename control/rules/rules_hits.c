/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* rules_judge() where nobody makes views: `full` is the content, of the rest there is nothing. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_internal.h"

struct full {
	const struct mail_bytes *content;
	uint8_t *copy;           /* in one piece, if it is not */
};

static int full_text(void *ctx, uint16_t slot, struct str *text)
{
	struct full *f = ctx;
	const struct mail_bytes *m = f->content;
	size_t at = 0, n = 0;

	if (slot != VIEW_FULL)
		return -ENOTSUP;
	if (!m)
		return -ENOENT;
	for (size_t i = 0; i < m->n_iov; i++)
		n += m->iov[i].iov_len;
	if (m->n_iov == 1) {
		*text = str_make(m->iov[0].iov_base, n);
		return 1;
	}
	f->copy = malloc(n + 1);
	if (!f->copy)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_iov; i++) {
		if (m->iov[i].iov_len)
			memcpy(f->copy + at, m->iov[i].iov_base, m->iov[i].iov_len);
		at += m->iov[i].iov_len;
	}
	*text = str_make(f->copy, n);
	return 1;
}

static int not_known(void *ctx, uint16_t slot)
{
	(void)ctx;
	(void)slot;
	return -ENOTSUP;
}

long rules_hits(const struct rules *r, const struct handoff_match *match, size_t n_matches,
		const struct mail_bytes *content, struct rule_hit *hit, size_t cap, unsigned int *unknown)
{
	struct full f = {.content = content};
	struct rules_source src = {.text = full_text, .has = not_known, .ctx = &f};
	struct rules_judged judged;
	long n = rules_judge(r, match, n_matches, 0, &src, hit, cap, &judged);

	*unknown = judged.unknown;
	/* What they point to is given up here. */
	for (long i = 0; i < n; i++)
		hit[i].text = STR_NONE;
	free(f.copy);
	return n;
}
