/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <stdio.h>
#include <string.h>

#include "control/loop.h"
#include "postern/utf8.h"

struct snapshot *loop_snapshot(struct loop *l, uint32_t scan_generation)
{
	for (size_t i = 0; i < LOOP_SNAPSHOTS; i++)
		if (l->recent[i] && (uint32_t)l->recent[i]->generation == scan_generation)
			return l->recent[i];
	/* The dataplane runs it, and a message that it scanned was faster than its word that it does. */
	if (l->pending && (uint32_t)l->pending->generation == scan_generation)
		return l->pending;
	return NULL;
}

void loop_activate(struct loop *l, struct snapshot *s)
{
	if (!s->rules_stats && s->rules)
		s->rules_stats = rules_stats_new(s->rules, l->active ? l->active->rules_stats : NULL);
	snapshot_unref(l->active);
	l->active = s;
	for (size_t i = 0; i < LOOP_SNAPSHOTS; i++)
		if (l->recent[i] == s)
			return;
	snapshot_unref(l->recent[LOOP_SNAPSHOTS - 1]);
	memmove(l->recent + 1, l->recent, (LOOP_SNAPSHOTS - 1) * sizeof(l->recent[0]));
	l->recent[0] = snapshot_ref(s);
}

void loop_forget(struct loop *l, uint64_t behind)
{
	for (size_t i = behind < LOOP_SNAPSHOTS ? behind + 1 : LOOP_SNAPSHOTS; i < LOOP_SNAPSHOTS; i++) {
		snapshot_unref(l->recent[i]);
		l->recent[i] = NULL;
	}
}

/* Full-width and small forms of % ! @ (U+FF05, FF01, FF20, FE6A, FE57, FE6B): some next hop folds
 * them (NFKC) before it looks. */
static bool folds_to_routing(struct str s, size_t i)
{
	size_t len;
	long cp = utf8_at(s, i, &len);

	return cp == 0xff05 || cp == 0xff01 || cp == 0xff20 || cp == 0xfe6a || cp == 0xfe57 ||
	       cp == 0xfe6b;
}

/* The local part may hide a second address, which some next hop would route by. Whoever asks for
 * that is no sender of ours. RFC 5321 5.1 (appendix F.2 of source routes). */
enum control_reply loop_mailbox_problem(struct str mailbox)
{
	struct str local = mailbox_local(mailbox);
	struct str domain = mailbox_domain(mailbox);

	for (size_t i = 0; i < local.n; i++)
		if (local.p[i] == '%' || local.p[i] == '!' || local.p[i] == '@' ||
		    folds_to_routing(local, i))
			return SAYS_ROUTED_LOCAL;
	if (domain.n && domain.p[0] == '[')
		return SAYS_TO_LITERAL;
	return CONTROL_REPLY_COUNT;
}

const struct config_route *loop_route(const struct config *c, struct str mailbox)
{
	struct str domain = mailbox_domain(mailbox);

	if (domain.n)
		return config_route_for(c, domain);
	/* RFC 5321 4.5.1: <Postmaster> without a domain is always somebody here. */
	for (size_t i = 0; i < c->n_routes && str_ieq(mailbox, STR("postmaster")); i++)
		if (!c->route[i].dialled)
			return &c->route[i];
	return NULL;
}

const struct config_route *loop_route_at(const struct config *c, uint16_t listener,
					 const struct ip_addr *local, uint16_t port, struct str mailbox)
{
	if (!config_is_inline(listener))
		return loop_route(c, mailbox);
	return config_route_at(c, listener, local, port, mailbox_domain(mailbox));
}

void loop_way(const struct config_route *route, struct str mailbox, char out[MAIL_ALABEL])
{
	config_route_way(route, mailbox_domain(mailbox), out);
}

struct ctl_reply loop_refusal(struct str mailbox, enum control_reply problem)
{
	struct str domain = mailbox_domain(mailbox);
	char alabel[MAIL_ALABEL];

	/* RFC 5891 5.4: what is no U-label names no host, ours or anybody's. */
	if (problem != CONTROL_REPLY_COUNT)
		return control_reply(problem);
	if (!utf8_is_ascii(domain) && !mail_alabel(domain, alabel))
		return control_reply(SAYS_NO_DOMAIN);
	return control_reply(SAYS_NOT_OURS);
}
