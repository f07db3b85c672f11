/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Fields that claim the trust of another mail system, on a message of a peer that no relay entry
 * lists. What a listed relay hands over is left alone: it may be the organisation's own server,
 * whose verdicts the next hop is meant to believe.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/judge/judge_internal.h"
#include "postern/stats.h"

static void remember(struct judge_foreign *f, struct str name)
{
	char text[sizeof(f->name[0])];
	size_t n = name.n < sizeof(text) - 1 ? name.n : sizeof(text) - 1;

	for (size_t i = 0; i < n; i++)
		text[i] = ascii_is_vchar(name.p[i]) ? (char)name.p[i] : '?';
	text[n] = '\0';
	for (size_t i = 0; i < f->n_names; i++)
		if (str_ieq(str_c(f->name[i]), str_c(text)))
			return;
	if (f->n_names < JUDGE_FOREIGN_NAMES)
		memcpy(f->name[f->n_names++], text, n + 1);
}

int judge_foreign_find(struct judge *j)
{
	const struct config *c = j->req.config;
	struct judgement *r = &j->result;
	struct judge_foreign *f = &r->foreign;
	const struct headers *h = &r->headers;
	struct str *found;

	if (r->origin.status != ORIGIN_DIRECT)
		return 0;
	found = calloc(h->n + 1, sizeof(*found));
	if (!found)
		return -ENOMEM;
	f->action = j->route ? j->route->foreign_trust : FOREIGN_STRIP;
	annotate_find_foreign(h, c->foreign_trust_header, c->n_foreign_trust_headers, found);
	for (size_t i = 0; i < h->n; i++) {
		if (!found[i].n || r->drop[i])
			continue;
		f->n++;
		remember(f, found[i]);
		if (f->action == FOREIGN_STRIP)
			r->drop[i] = DROP_FOREIGN;
	}
	free(found);
	return 0;
}

void judge_foreign_decide(struct judge *j)
{
	const struct judge_foreign *f = &j->result.foreign;
	struct policy_verdict *p = &j->result.policy;

	if (!f->n || f->action != FOREIGN_REJECT || p->action == POLICY_REJECT)
		return;
	p->action = POLICY_REJECT;
	p->cause = POLICY_BY_FOREIGN_TRUST;
	p->code = 550;
	p->enh_class = 5;
	p->enh_subject = 7;
	p->enh_detail = 1;
	snprintf(p->text, sizeof(p->text),
		 "Message refused: it has header fields that only the "
		 "recipient's own servers may write");
	snprintf(p->reason, sizeof(p->reason), "foreign trust header %s", f->name[0]);
}

void judge_foreign_count(const struct judge *j)
{
	const struct judge_foreign *f = &j->result.foreign;
	uint64_t *c = j->env.counters;

	c[CTL_foreign_trust] += f->n > 0;
	c[CTL_foreign_trust_stripped] += f->action == FOREIGN_STRIP ? f->n : 0;
}
