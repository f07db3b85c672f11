/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What becomes of a packet. docs/inline.md has the table that this is. */

#include "dataplane/inline/inline_priv.h"

#include <string.h>

#include "dataplane/tcp/siphash.h"
#include "postern/limits.h"

/* Counters of a cause stand in the order of enum handoff_cause. */
#define BY_CAUSE(first, cause) ((enum postern_counter)((first) + (int)(cause)))
_Static_assert(CNT_inline_pass_malformed - CNT_inline_pass_control_down == CAUSE_MALFORMED, "pass");
_Static_assert(CNT_inline_drop_malformed - CNT_inline_drop_control_down == CAUSE_MALFORMED, "drop");

/* Old stacks take a SYN for one whatever stands beside it; our TCP does not. */
static bool is_syn(const struct inline_packet *p)
{
	return (p->flags & (TH_SYN | TH_ACK | TH_RST)) == TH_SYN;
}

/* To a flow whose packets pass; NULL: no room for an entry, which is as if its begin was not
 * seen. */
static void remember(struct inline_worker *w, const struct inline_packet *p, enum inline_kind kind)
{
	struct inline_flow *f = inline_put(w, p->tuple, kind);

	if (!f)
		return;
	if (is_syn(p))
		f->flags |= FLOW_F_BEGUN;
	inline_touch(w, f, p->flags, p->way == INLINE_FROM_SERVER);
}

/* A new flow of a server that is terminated, or one whose begin was not seen. */
static enum inline_verdict exception(struct inline_worker *w, const struct inline_packet *p,
				     enum handoff_cause cause)
{
	switch (w->action[cause]) {
	case ACT_DROP_FLOW:
		inline_count(w, BY_CAUSE(CNT_inline_drop_control_down, cause));
		remember(w, p, FLOW_DROP);
		return INLINE_DROP;
	case ACT_PASS_FLOW:
		inline_count(w, BY_CAUSE(CNT_inline_pass_control_down, cause));
		remember(w, p, FLOW_WATCH);
		return INLINE_WATCH;
	case ACT_BYPASS:
		inline_count(w, BY_CAUSE(CNT_inline_pass_control_down, cause));
		remember(w, p, FLOW_PASS);
		return INLINE_PASS;
	case ACT_REJECT:
		/* Without control smtp/ answers 451 or 421 by itself; without memory nobody can. */
		if (cause == CAUSE_CONTROL_DOWN) {
			inline_count(w, CNT_inline_reject_control_down);
			return INLINE_OURS;
		}
		inline_count(w, CNT_inline_reject);
		return INLINE_REFUSE;
	default:
		return cause == CAUSE_MIDSTREAM ? INLINE_PASS : INLINE_OURS;
	}
}

/* No SYN, and no entry. */
static enum inline_verdict midstream(struct inline_worker *w, const struct inline_packet *p)
{
	if (p->flags & (TH_RST | TH_SYN)) {
		inline_count(w, CNT_inline_pass_midstream);
		return INLINE_PASS;
	}
	if (p->server->mode == INLINE_TERMINATE)
		return exception(w, p, CAUSE_MIDSTREAM);
	/* A dry run holds nothing up. */
	inline_count(w, CNT_inline_pass_midstream);
	remember(w, p, w->action[CAUSE_MIDSTREAM] == ACT_PASS_FLOW ? FLOW_WATCH : FLOW_PASS);
	return w->action[CAUSE_MIDSTREAM] == ACT_PASS_FLOW ? INLINE_WATCH : INLINE_PASS;
}

static enum inline_verdict begin(struct inline_worker *w, const struct inline_packet *p)
{
	if (p->server->mode == INLINE_OBSERVE) {
		remember(w, p, FLOW_WATCH);
		return INLINE_WATCH;
	}
	if (!w->control)
		return exception(w, p, CAUSE_CONTROL_DOWN);
	if (!w->memory)
		return exception(w, p, CAUSE_NO_MEMORY);
	return INLINE_OURS;
}

static enum inline_verdict known(struct inline_worker *w, struct inline_flow *f,
				 const struct inline_packet *p)
{
	inline_touch(w, f, p->flags, p->way == INLINE_FROM_SERVER);
	if (w->bypass)
		return INLINE_PASS;
	if (f->kind == FLOW_DROP) {
		inline_count(w, CNT_inline_drop_flow);
		return INLINE_DROP;
	}
	return f->kind == FLOW_WATCH ? INLINE_WATCH : INLINE_PASS;
}

/*
 * Does a SYN begin a new flow in place of this entry? Sent again it belongs to the flow that the
 * first one opened. But who sends an ACK of no flow and then a SYN must not be let by for that: an
 * entry of a flow whose begin was not seen holds for that flow alone.
 */
static bool begins_anew(const struct inline_flow *f, const struct inline_packet *p)
{
	if ((f->flags & FLOW_F_CLOSED) == FLOW_F_CLOSED)
		return true;
	return f->kind != FLOW_DROP && !(f->flags & FLOW_F_BEGUN) &&
	       p->server->mode == INLINE_TERMINATE;
}

static bool own(const struct inline_worker *w, const uint8_t address[16]);

static enum inline_verdict to_server(struct inline_worker *w, struct inline_packet *p)
{
	bool syn = is_syn(p);
	struct inline_flow *f;

	if (p->ours)
		return INLINE_OURS;
	if (own(w, p->tuple->remote)) {
		inline_count(w, CNT_inline_pass_own);
		return INLINE_PASS;
	}
	if (w->bypass || p->server->mode == INLINE_BYPASS) {
		inline_count(w, CNT_inline_pass_bypass);
		return INLINE_PASS;
	}
	f = inline_find(w, p->tuple);
	if (f && f->kind == FLOW_KERNEL) {
		/* The kernel's segments come out of the exception port: these are a stranger's, and would
		 * reach the server within the kernel's connection. */
		if (!syn && (f->flags & FLOW_F_CLOSED) != FLOW_F_CLOSED) {
			inline_count(w, CNT_inline_drop_midstream);
			return INLINE_DROP;
		}
		f = NULL;
	}
	if (f && !(syn && begins_anew(f, p)))
		return known(w, f, p);
	return syn ? begin(w, p) : midstream(w, p);
}

static enum inline_verdict from_server(struct inline_worker *w, struct inline_packet *p)
{
	struct inline_flow *f = inline_find(w, p->tuple);

	if (f && f->kind == FLOW_KERNEL) {
		inline_touch(w, f, p->flags, true);
		memcpy(p->mac, f->mac, sizeof(p->mac));
		inline_count(w, CNT_inline_kernel_in);
		return INLINE_KERNEL;
	}
	if (p->ours) {
		inline_count(w, CNT_inline_drop_server);
		return INLINE_DROP;
	}
	return f ? known(w, f, p) : INLINE_PASS;
}

static enum inline_verdict kernel_out(struct inline_worker *w, struct inline_packet *p)
{
	struct inline_flow *f = inline_find(w, p->tuple);

	if (!f || f->kind != FLOW_KERNEL || (p->flags & (TH_SYN | TH_ACK)) == TH_SYN)
		f = inline_put(w, p->tuple, FLOW_KERNEL);
	if (f) {
		inline_touch(w, f, p->flags, false);
		memcpy(f->mac, p->mac, sizeof(f->mac));
	}
	inline_count(w, CNT_inline_kernel_out);
	return INLINE_PASS;
}

enum inline_verdict inline_tcp(struct inline_worker *w, struct inline_packet *p)
{
	switch (p->way) {
	case INLINE_TO_SERVER: return to_server(w, p);
	case INLINE_FROM_SERVER: return from_server(w, p);
	default: return kernel_out(w, p);
	}
}

bool inline_kernel_flow(struct inline_worker *w, const struct tcp_tuple *tuple, uint8_t mac[6])
{
	const struct inline_flow *f = inline_find(w, tuple);

	if (!f || f->kind != FLOW_KERNEL)
		return false;
	memcpy(mac, f->mac, 6);
	return true;
}

/* One packet that names no flow for certain. */
static enum inline_verdict single(struct inline_worker *w, enum handoff_cause cause)
{
	bool pass = w->bypass || w->action[cause] == ACT_BYPASS || w->action[cause] == ACT_PASS_FLOW;

	inline_count(w, pass ? BY_CAUSE(CNT_inline_pass_control_down, cause)
			     : BY_CAUSE(CNT_inline_drop_control_down, cause));
	return pass ? INLINE_PASS : INLINE_DROP;
}

enum inline_verdict inline_malformed(struct inline_worker *w)
{
	return single(w, CAUSE_MALFORMED);
}

/* ---- fragments ------------------------------------------------------------------------------ */

static uint64_t datagram(const struct inline_worker *w, const struct inline_fragment *f)
{
	uint8_t b[36];

	memcpy(b, f->source, 16);
	memcpy(b + 16, f->destination, 16);
	memcpy(b + 32, &f->id, 4);
	return siphash13(w->key, b, sizeof(b)) | 1;
}

bool inline_maybe_tcp(uint8_t proto)
{
	/* The others: hop-by-hop and destination options, routing and fragment headers. */
	return proto == 6 || proto == 0 || proto == 43 || proto == 44 || proto == 60;
}

static enum inline_verdict first_fragment(struct inline_worker *w, const struct inline_fragment *f)
{
	const struct handoff_inline *s;

	/* RFC 1858 3: a first fragment that ends within the TCP header hides what it is. */
	if (!f->ports)
		return single(w, CAUSE_MALFORMED);
	s = inline_server(w, f->destination, (uint16_t)(f->ports[2] << 8 | f->ports[3]));
	if (!s || s->mode != INLINE_TERMINATE || own(w, f->source))
		return INLINE_PASS;
	if (w->action[CAUSE_FRAGMENT] == ACT_IGNORE && !w->bypass)
		return INLINE_OURS;
	return single(w, CAUSE_FRAGMENT);
}

enum inline_verdict inline_fragment(struct inline_worker *w, const struct inline_fragment *f)
{
	struct inline_decided *d;
	uint64_t key;

	if (!inline_maybe_tcp(f->proto) || !inline_address(w, f->destination))
		return INLINE_PASS;
	key = datagram(w, f);
	d = &w->fragment[(key >> 32) & (INLINE_FRAGMENTS - 1)];
	if (f->first) {
		*d = (struct inline_decided){.key = key, .seen_s = w->now_s,
					     .verdict = (uint8_t)first_fragment(w, f)};
		return (enum inline_verdict)d->verdict;
	}
	if (d->key == key && w->now_s - d->seen_s < LIMIT_INLINE_FRAGMENT_S)
		return (enum inline_verdict)d->verdict;
	/* The first is behind it, or does not come: it waits where datagrams are put together. */
	return w->action[CAUSE_FRAGMENT] == ACT_IGNORE && !w->bypass ? INLINE_OURS
								     : single(w, CAUSE_FRAGMENT);
}

/* ---- configuration -------------------------------------------------------------------------- */

static bool within(const uint8_t address[16], const uint8_t net[16], uint8_t prefix)
{
	unsigned int whole = prefix / 8, bits = prefix % 8;

	return memcmp(address, net, whole) == 0 &&
	       (!bits || !((address[whole] ^ net[whole]) >> (8 - bits)));
}

static bool own(const struct inline_worker *w, const uint8_t address[16])
{
	for (uint32_t i = 0; i < w->n_own; i++)
		if (within(address, w->own[i].address, w->own[i].prefix_len))
			return true;
	return false;
}

static void mark_port(struct inline_worker *w, uint16_t port)
{
	w->port[port / 64] |= 1ull << port % 64;
}

static bool named(const struct handoff_config *c, const struct handoff_inline *s)
{
	for (uint32_t i = 0; i < c->n_inlines; i++)
		if (c->inlined[i].tcp_port == s->tcp_port && c->inlined[i].prefix_len == s->prefix_len &&
		    memcmp(c->inlined[i].address, s->address, sizeof(s->address)) == 0)
			return true;
	return false;
}

/* Sessions with servers that are not named any more are finished here: a segment of theirs that
 * passed would have the server reset the connection, and a 250 might be lost. */
static void keep_former(struct inline_worker *w, const struct handoff_config *c, uint32_t n_former)
{
	for (uint32_t i = 0; i < n_former && w->n_servers < 2 * HANDOFF_MAX_INLINE; i++) {
		struct handoff_inline *s = &w->server[w->n_servers];

		if (named(c, &w->former[i]))
			continue;
		*s = w->former[i];
		s->mode = INLINE_BYPASS;
		mark_port(w, s->tcp_port);
		w->n_servers++;
	}
}

static void set_servers(struct inline_worker *w, const struct handoff_config *c)
{
	uint32_t n_former = w->n_servers;

	memcpy(w->former, w->server, n_former * sizeof(*w->former));
	memset(w->port, 0, sizeof(w->port));
	w->n_servers = 0;
	for (uint32_t i = 0; i < c->n_inlines; i++) {
		uint32_t at = w->n_servers++;

		for (; at && w->server[at - 1].prefix_len < c->inlined[i].prefix_len; at--)
			w->server[at] = w->server[at - 1];
		w->server[at] = c->inlined[i];
		mark_port(w, c->inlined[i].tcp_port);
	}
	keep_former(w, c, n_former);
}

void inline_set_config(struct inline_worker *w, const struct handoff_config *c)
{
	/* docs/inline.md; control has the same table, for its users. */
	static const uint8_t usual[CAUSE_COUNT] = {
		[CAUSE_CONTROL_DOWN] = ACT_REJECT, [CAUSE_NO_MEMORY] = ACT_REJECT,
		[CAUSE_MIDSTREAM] = ACT_PASS_FLOW, [CAUSE_FRAGMENT] = ACT_IGNORE,
		[CAUSE_MALFORMED] = ACT_IGNORE,    [CAUSE_GAP] = ACT_PASS_FLOW};

	for (unsigned int i = 0; i < CAUSE_COUNT; i++)
		w->action[i] = c->exception[PORT_MODE_INLINE][i] ? c->exception[PORT_MODE_INLINE][i]
								 : usual[i];
	w->bypass = c->bypass;
	w->n_own = c->n_inline_own;
	memcpy(w->own, c->inline_own, sizeof(w->own));
	set_servers(w, c);
	/* What a first fragment decided was by the former one. */
	memset(w->fragment, 0, sizeof(w->fragment));
}

void inline_set_state(struct inline_worker *w, bool control, bool memory)
{
	w->control = control;
	w->memory = memory;
}

bool inline_active(const struct inline_worker *w)
{
	return w->n_servers != 0;
}

bool inline_port(const struct inline_worker *w, uint16_t port)
{
	return w->port[port / 64] >> port % 64 & 1;
}

const struct handoff_inline *inline_server(const struct inline_worker *w, const uint8_t address[16],
					   uint16_t port)
{
	if (!inline_port(w, port))
		return NULL;
	for (uint32_t i = 0; i < w->n_servers; i++)
		if (w->server[i].tcp_port == port &&
		    within(address, w->server[i].address, w->server[i].prefix_len))
			return &w->server[i];
	return NULL;
}

bool inline_address(const struct inline_worker *w, const uint8_t address[16])
{
	for (uint32_t i = 0; i < w->n_servers; i++)
		if (w->server[i].mode == INLINE_TERMINATE &&
		    within(address, w->server[i].address, w->server[i].prefix_len))
			return true;
	return false;
}

const struct handoff_inline *inline_listener(const struct inline_worker *w,
					     const struct tcp_tuple *tuple)
{
	const struct handoff_inline *s = inline_server(w, tuple->local, tuple->local_port);

	return s && s->mode == INLINE_TERMINATE ? s : NULL;
}
