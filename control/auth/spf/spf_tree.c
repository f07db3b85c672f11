/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/auth/spf/spf_tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * libspf2 keeps at most 511 octets of compiled mechanisms a record and silently drops what goes
 * beyond. A longer record is written in pieces, each redirecting to the next. The costs below are
 * upper bounds; the worker refuses a piece that did not come out whole.
 */
#define PIECE_MAX      500
#define COST_ALIAS     (16 + SPF_ALIAS_COST)
#define SPF_ALIAS_COST 26 /* strlen("t15-65535-0.invalid") and to spare */
#define COST_IP4       12
#define COST_IP6       24
#define COST_TAIL      (2 * COST_ALIAS)

void spf_tree_free(struct spf_tree *t)
{
	for (size_t i = 0; i < t->n; i++) {
		spf_record_free(&t->node[i].rec);
		free(t->node[i].text);
	}
	t->n = 0;
}

static void describe(struct spf_node *nd, const char *domain, const char *why, struct str where)
{
	size_t o = (size_t)snprintf(nd->reason, sizeof(nd->reason), "%.100s: %s: ", domain, why);

	for (; where.n && o + 1 < sizeof(nd->reason); where = str_skip(where, 1))
		nd->reason[o++] = ascii_is_vchar(where.p[0]) ? (char)where.p[0] : '?';
	nd->reason[o] = '\0';
}

struct spf_node *spf_tree_add(struct spf_tree *t, uint16_t parent, uint16_t term,
			      enum spf_node_state state, const char *domain, uint8_t *text,
			      size_t len)
{
	struct spf_node *nd = &t->node[t->n];
	const char *why = "";
	struct str where;
	int rc;

	if (t->n == SPF_NODES_MAX) {
		free(text);
		return NULL;
	}
	memset(nd, 0, sizeof(*nd));
	nd->parent = parent;
	nd->term = term;
	nd->state = state;
	nd->text = text;
	nd->len = len;
	memcpy(nd->domain, domain, strnlen(domain, sizeof(nd->domain) - 1));
	t->n++;
	if (state != SPF_NODE_OK)
		return nd;
	rc = spf_record_parse(&nd->rec, str_make(text, len), &why, &where);
	if (rc == -ENOMEM) {
		nd->state = SPF_NODE_TEMPFAIL;
		snprintf(nd->reason, sizeof(nd->reason), "out of memory");
	} else if (rc) {
		nd->state = SPF_NODE_INVALID;
		describe(nd, domain, why, where);
	}
	return nd;
}

size_t spf_tree_child(const struct spf_tree *t, uint16_t parent, uint16_t term)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->node[i].parent == parent && t->node[i].term == term)
			return i;
	return SPF_NODES_MAX;
}

bool spf_term_any(const struct spf_term *t, const struct ip_addr *ip)
{
	return (ip_is_v4(ip) ? t->prefix4 : t->prefix6) == 0;
}

static void put_text(struct spf_buf *b, const char *s)
{
	spf_put(b, s, strlen(s));
}

static void put_alias(struct spf_buf *b, uint8_t kind, size_t node, size_t term)
{
	char alias[SPF_ALIAS_MAX];

	spf_key_alias((struct spf_key){kind, (uint16_t)node, (uint16_t)term, 0}, alias);
	put_text(b, alias);
}

static void put_mark(struct spf_buf *b, size_t node, size_t term, bool looks_up)
{
	put_text(b, " ?exists:");
	put_alias(b, looks_up ? SPF_KEY_MARK_DNS : SPF_KEY_MARK, node, term);
}

/* Only the length for the client's family, and only where it says something. */
static void put_prefix(struct spf_buf *b, const struct spf_term *t, bool v4)
{
	unsigned int len = v4 ? t->prefix4 : t->prefix6;
	char s[8];

	if (len == 0 || len == (v4 ? 32 : 128))
		return;
	snprintf(s, sizeof(s), v4 ? "/%u" : "//%u", len);
	put_text(b, s);
}

static void put_address(struct spf_buf *b, const struct spf_term *t, const struct ip_addr *ip)
{
	bool v4 = t->mech == SPF_MECH_IP4;
	unsigned int len = v4 ? t->prefix4 : t->prefix6;
	const uint8_t *a = t->addr;
	char s[80];

	/* "/0" as above: the client's own address, if it is of this family. */
	if (len == 0 && ip_is_v4(ip) == v4)
		a = v4 ? ip->a + 12 : ip->a;
	if (v4)
		snprintf(s, sizeof(s), "ip4:%u.%u.%u.%u", a[0], a[1], a[2], a[3]);
	else
		snprintf(s, sizeof(s), "ip6:%x:%x:%x:%x:%x:%x:%x:%x", a[0] << 8 | a[1],
			 a[2] << 8 | a[3], a[4] << 8 | a[5], a[6] << 8 | a[7], a[8] << 8 | a[9],
			 a[10] << 8 | a[11], a[12] << 8 | a[13], a[14] << 8 | a[15]);
	put_text(b, s);
	if (len && len != (v4 ? 32 : 128)) {
		snprintf(s, sizeof(s), "/%u", len);
		put_text(b, s);
	}
}

static bool plain(const struct spf_term *t)
{
	return !spf_mech_looks_up(t->mech);
}

/* ip4 of an IPv6 client and the other way round can never match (RFC 7208 5.6). */
static bool idle(const struct spf_term *t, const struct ip_addr *ip)
{
	return (t->mech == SPF_MECH_IP4 && !ip_is_v4(ip)) ||
	       (t->mech == SPF_MECH_IP6 && ip_is_v4(ip));
}

/* A mark stands in front of each term that looks something up and of each run of plain ones. */
static bool marked(const struct spf_record *r, size_t i)
{
	return !plain(&r->term[i]) || i == 0 || !plain(&r->term[i - 1]);
}

static unsigned int cost(const struct spf_record *r, size_t i, const struct ip_addr *ip)
{
	unsigned int n = marked(r, i) ? COST_ALIAS : 0;

	if (idle(&r->term[i], ip))
		return n;
	switch (r->term[i].mech) {
	case SPF_MECH_ALL:
	case SPF_MECH_IP4:
		return n + COST_IP4;
	case SPF_MECH_IP6:
		return n + COST_IP6;
	default:
		return n + COST_ALIAS;
	}
}

static void put_term(struct spf_buf *b, const struct spf_record *r, size_t node, size_t i,
		     const struct ip_addr *ip)
{
	const struct spf_term *t = &r->term[i];
	char q[3] = {' ', t->qualifier, '\0'};

	if (marked(r, i))
		put_mark(b, node, i, !plain(t));
	if (idle(t, ip))
		return;
	put_text(b, q);
	switch (t->mech) {
	case SPF_MECH_ALL:
		put_text(b, "all");
		return;
	case SPF_MECH_INCLUDE:
		put_text(b, "include:");
		put_alias(b, SPF_KEY_RECORD, node, i);
		return;
	case SPF_MECH_A:
	case SPF_MECH_MX:
		put_text(b, t->mech == SPF_MECH_A ? "a:" : "mx:");
		put_alias(b, SPF_KEY_TARGET, node, i);
		put_prefix(b, t, ip_is_v4(ip));
		return;
	case SPF_MECH_PTR:
	case SPF_MECH_EXISTS:
		put_text(b, t->mech == SPF_MECH_PTR ? "ptr:" : "exists:");
		put_alias(b, SPF_KEY_TARGET, node, i);
		return;
	case SPF_MECH_IP4:
	case SPF_MECH_IP6:
		put_address(b, t, ip);
		return;
	}
}

/* One piece of a record from term `from` on; returns the first term of the next piece, 0 if none.
 */
static size_t put_piece(struct spf_buf *b, const struct spf_node *nd, size_t node, size_t from,
			const struct ip_addr *ip)
{
	const struct spf_record *r = &nd->rec;
	unsigned int size = COST_TAIL;
	size_t i;

	put_text(b, "v=spf1");
	for (i = from; i < r->n_terms; i++) {
		size += cost(r, i, ip);
		if (size > PIECE_MAX) {
			put_text(b, " redirect=");
			put_alias(b, SPF_KEY_MORE, node, i);
			return i;
		}
		put_term(b, r, node, i, ip);
		/* RFC 7208 5.1: what follows "all" is ignored, and so is redirect. */
		if (r->term[i].mech == SPF_MECH_ALL)
			return 0;
	}
	if (r->redirect.n) {
		put_mark(b, node, SPF_TERM_REDIRECT, true);
		put_text(b, " redirect=");
		put_alias(b, SPF_KEY_RECORD, node, SPF_TERM_REDIRECT);
	} else {
		put_mark(b, node, SPF_TERM_END, false);
	}
	return 0;
}

/* Reporting only: libspf2 has matched already. */
static bool covers(const struct spf_term *t, const struct ip_addr *ip)
{
	struct ip_net net = {{{0}}, 0};

	if (t->mech == SPF_MECH_ALL)
		return true;
	if (idle(t, ip))
		return false;
	if (t->mech == SPF_MECH_IP4) {
		net.addr.a[10] = net.addr.a[11] = 0xff;
		memcpy(net.addr.a + 12, t->addr, 4);
		net.prefix = (uint8_t)(96 + t->prefix4);
	} else {
		memcpy(net.addr.a, t->addr, 16);
		net.prefix = t->prefix6;
	}
	return ip_in_net(ip, &net);
}

const struct spf_term *spf_tree_matched(const struct spf_tree *t, struct spf_key at,
					const struct ip_addr *ip)
{
	const struct spf_record *r = &t->node[at.node].rec;

	if (at.node >= t->n || at.term >= r->n_terms)
		return NULL;
	if (at.kind == SPF_KEY_MARK_DNS)
		return &r->term[at.term];
	for (size_t i = at.term; i < r->n_terms && plain(&r->term[i]); i++)
		if (covers(&r->term[i], ip))
			return &r->term[i];
	return NULL;
}

int spf_tree_encode(const struct spf_tree *t, const struct ip_addr *ip, struct spf_buf *b,
		    struct spf_wire_request *q)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct spf_node *nd = &t->node[i];
		struct spf_key key = {SPF_KEY_RECORD, nd->parent, nd->term, 0};
		size_t from = 0;

		do {
			struct spf_wire_record *w = &q->record[q->n_records];
			size_t start = b->n;

			if (q->n_records == SPF_WIRE_RECORDS)
				return -EMSGSIZE;
			w->key = key;
			w->status = nd->state == SPF_NODE_OK ? SPF_ANSWER_OK : SPF_ANSWER_TEMPFAIL;
			from = nd->state == SPF_NODE_OK ? put_piece(b, nd, i, from, ip) : 0;
			if (b->bad)
				return -EMSGSIZE;
			w->text = str_make(b->p + start, b->n - start);
			q->n_records++;
			key = (struct spf_key){SPF_KEY_MORE, (uint16_t)i, (uint16_t)from, 0};
		} while (from);
	}
	return 0;
}
