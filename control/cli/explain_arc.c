/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Could ARC have saved the message where DMARC failed it? */

#include <stdio.h>
#include <string.h>

#include "control/cli/explain.h"

/* As the mailbox host said it, else as it comes out for whom the mailbox took. */
static bool dmarc_failed(struct explanation *e)
{
	const struct walker_hop *b;
	struct spf_verdict spf;

	if (e->host && e->host->dmarc[0])
		return !strcmp(e->host->dmarc, "fail");
	if (e->border < 0)
		return false;
	b = &e->hops.hop[e->border];
	spf = *look_spf(&e->look, &b->ip, b->helo);
	return look_dmarc(&e->look, &spf)->result == DMARC_FAIL;
}

static const struct told *of_instance(const struct told_list *list, size_t instance)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->told[i].instance == instance)
			return &list->told[i];
	return NULL;
}

void explain_arc(struct explanation *e)
{
	const struct headers *h = &e->look.headers;
	const struct arc_results *r;
	struct finding *f;

	if (headers_find(h, STR("ARC-Seal"), 0) >= h->n || !dmarc_failed(e))
		return;
	r = look_arc(&e->look);
	if (!r || r->result == ARC_NONE)
		return;
	if (r->result == ARC_FAIL) {
		f = explain_add(e, "arc-broken", -1,
				"DMARC failed, and the ARC chain cannot help: %.200s", r->reason);
		if (f)
			snprintf(f->advice, sizeof(f->advice),
				 "Who changes a sealed message has to seal it again, as the last "
				 "thing it does.");
		return;
	}
	/* The newest sealer that had seen it pass. */
	for (size_t i = r->n; i > 0; i--) {
		const struct told *t = of_instance(&e->told, i);
		const char *sealer = r->set[i - 1].sealed.domain;

		if (!t || strcmp(t->dmarc, "pass") != 0)
			continue;
		f = explain_add(
			e, "arc-sealer", (long)r->set[i - 1].seal,
			"DMARC failed at the mailbox, but %.80s had found that it passes and "
			"sealed that with ARC; the chain is whole",
			sealer);
		if (f)
			snprintf(
				f->advice, sizeof(f->advice),
				"If you trust that sealer, name it. Exchange Online: Set-ArcConfig "
				"-Identity Default -ArcTrustedSealers \"%.80s\". Google Workspace "
				"has no such list.",
				sealer);
		return;
	}
}
