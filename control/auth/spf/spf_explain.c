/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/auth/spf/spf_check.h"

#include <errno.h>
#include <stdlib.h>

/*
 * RFC 7208 6.2. Whatever goes wrong here, the fail stands without an explanation. exp= counts
 * neither as a lookup nor as a void one, and comes from the record that gave the result: through
 * redirects, never from an include.
 */

#define EXPLAIN_MAX 2048 /* of the TXT record; the text is cut to the verdict's size */

static const struct spf_node *final_node(const struct spf_check *c)
{
	size_t at = 0, next;

	/* A redirect's record is there only if evaluation came to it. */
	while (c->tree.node[at].rec.redirect.n &&
	       (next = spf_tree_child(&c->tree, (uint16_t)at, SPF_TERM_REDIRECT)) != SPF_NODES_MAX)
		at = next;
	return &c->tree.node[at];
}

static void text_done(void *arg, const struct dns_answer *a)
{
	struct spf_check *c = arg;
	long n = -1;

	c->explain_query = NULL;
	if (a->status == DNS_TEMPFAIL || a->status == DNS_BOGUS)
		c->unsure = true;
	else if (a->ttl < c->ttl)
		c->ttl = a->ttl;
	/* Exactly one record, or none is used. */
	if (a->status == DNS_OK && a->n == 1) {
		c->explain_text = malloc(EXPLAIN_MAX);
		if (c->explain_text)
			n = dns_txt(&a->rr[0], c->explain_text, EXPLAIN_MAX);
	}
	if (n < 0) {
		spf_finish(c, SPF_FAIL, "");
		return;
	}
	c->explain_len = (size_t)n;
	spf_explain(c);
}

static void expand_text(struct spf_check *c, const struct spf_node *nd)
{
	struct str text = str_make(c->explain_text, c->explain_len);
	struct spf_macro_context m;
	uint8_t out[4 * EXPLAIN_MAX];
	size_t o = 0;
	long n;

	/* What it says then is of this message only: sender, HELO, receiver, time. */
	if (spf_macro_uses(text, "slohprt"))
		c->unsure = true;
	spf_context(c, nd->domain, &m);
	n = spf_macro_expand(text, &m, true, out, sizeof(out));
	if (n == -EAGAIN && spf_reverse_start(c) == 0)
		return;
	/* It goes into replies and headers: what a macro brought in must be printable as well. */
	for (long i = 0; i < n && o + 1 < sizeof(c->verdict.explanation); i++)
		c->verdict.explanation[o++] =
			(char)(out[i] == ' ' || ascii_is_vchar(out[i]) ? out[i] : '?');
	c->verdict.explanation[o] = '\0';
	spf_finish(c, SPF_FAIL, "");
}

void spf_explain(struct spf_check *c)
{
	const struct spf_node *nd = final_node(c);
	struct spf_macro_context m;
	uint8_t name[256];
	long n;

	c->explaining = true;
	if (c->explain_text) {
		expand_text(c, nd);
		return;
	}
	if (nd->rec.exp.n == 0) {
		spf_finish(c, SPF_FAIL, "");
		return;
	}
	spf_context(c, nd->domain, &m);
	n = spf_macro_domain(nd->rec.exp, &m, name, sizeof(name));
	if (n == -EAGAIN && spf_reverse_start(c) == 0)
		return;
	if (n > 0)
		c->explain_query =
			dns_resolve(c->jail->dns, str_make(name, (size_t)n), DNS_TXT, text_done, c);
	if (!c->explain_query)
		spf_finish(c, SPF_FAIL, "");
}
