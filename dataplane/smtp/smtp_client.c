/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Who speaks here: the trust list, the PROXY header in front of a session, XCLIENT within it. */

#include <errno.h>
#include <string.h>

#include "dataplane/smtp/proxy.h"
#include "dataplane/smtp/smtp_internal.h"
#include "dataplane/smtp/smtp_xclient.h"

static bool in_net(const uint8_t a[16], const struct handoff_trust *t)
{
	unsigned int whole = t->prefix_len / 8, bits = t->prefix_len % 8;

	if (t->prefix_len > 128 || memcmp(a, t->address, whole) != 0)
		return false;
	return !bits || ((a[whole] ^ t->address[whole]) >> (8 - bits)) == 0;
}

unsigned int smtp_trust(const struct handoff_config *c, const uint8_t peer[16])
{
	unsigned int flags = 0;

	for (uint32_t i = 0; i < c->n_trusts && i < HANDOFF_MAX_TRUSTS; i++)
		if (in_net(peer, &c->trust[i]))
			flags |= c->trust[i].flags;
	return flags;
}

/* What the TCP peer of this session may do. */
static unsigned int trust(const struct smtp_session *s)
{
	const struct smtp_ops *ops = &s->server->ops;
	struct smtp_client real;

	if (!smtp_conf(s)->n_trusts || !ops->tcp_peer)
		return 0;
	ops->tcp_peer(s->owner, &real);
	return smtp_trust(smtp_conf(s), real.peer);
}

void smtp_ask_connect(struct smtp_session *s)
{
	const struct handoff_config *c = smtp_conf(s);

	s->phase = SMTP_PHASE_CONNECT;
	smtp_arm(s, c->command_timeout_s < c->verdict_timeout_s ? c->command_timeout_s
								: c->verdict_timeout_s);
	if (s->server->ops.ask_connect(s->owner) != 0)
		smtp_control_lost(s);
}

/* ---- PROXY ----------------------------------------------------------------------------------- */

bool smtp_proxy_begin(struct smtp_session *s)
{
	if (!(trust(s) & TRUST_PROXY))
		return false;
	s->phase = SMTP_PHASE_PROXY;
	smtp_arm(s, LIMIT_PROXY_S);
	return true;
}

static void take_header(struct smtp_session *s, const struct proxy_header *h)
{
	struct smtp_client c = {.via = VIA_PROXY};
	bool cut;

	smtp_count(s, CNT_proxy_headers);
	if (!h->local) {
		memcpy(c.peer, h->src, 16);
		memcpy(c.local, h->dst, 16);
		c.peer_port = h->src_port;
		c.local_port = h->dst_port;
		c.tlv_len = (uint16_t)proxy_tlvs_keep(h->tlvs, c.tlv, sizeof(c.tlv), &cut);
		c.tlv_cut = cut;
		if (cut)
			smtp_count(s, CNT_proxy_tlv_cut);
		s->server->ops.set_client(s->owner, &c);
	}
	smtp_line_put(s);
	smtp_ask_connect(s);
}

/* Nothing is said to who does not speak the protocol that was agreed on: it is not SMTP yet. */
static void refuse_header(struct smtp_session *s, enum postern_counter why)
{
	smtp_count(s, why);
	smtp_close(s, SMTP_CLOSE_ABORT);
}

/* Octets of the header are put aside until it is whole, and not one more. */
static size_t put_aside(struct smtp_session *s, const uint8_t *p, size_t n)
{
	struct proxy_header h;
	size_t used = 0;
	long len = -EAGAIN;

	while (used < n && len == -EAGAIN) {
		struct str have = smtp_line_get(s);
		size_t more = have.n ? proxy_more(have.p, have.n) : 1;

		more = more < n - used ? more : n - used;
		if (smtp_line_add(s, p + used, more)) {
			smtp_ending(s, END_F_PRESSURE);
			refuse_header(s, CNT_smtp_no_line_buffer);
			return n;
		}
		used += more;
		have = smtp_line_get(s);
		len = proxy_parse(have.p, have.n, &h);
	}
	if (len > 0)
		take_header(s, &h);
	else if (len != -EAGAIN)
		refuse_header(s, CNT_proxy_bad);
	return used;
}

size_t smtp_proxy_input(struct smtp_session *s, const uint8_t *p, size_t n)
{
	struct proxy_header h;
	long len;

	if (smtp_has_line(s))
		return put_aside(s, p, n);
	len = proxy_parse(p, n, &h);
	if (len > 0) {
		take_header(s, &h);
		return (size_t)len;
	}
	if (len == -EAGAIN)
		return put_aside(s, p, n);
	refuse_header(s, CNT_proxy_bad);
	return n;
}

void smtp_proxy_timeout(struct smtp_session *s)
{
	smtp_ending(s, END_F_TIMEOUT);
	refuse_header(s, CNT_proxy_timeout);
}

/* ---- XCLIENT --------------------------------------------------------------------------------- */

void smtp_say_ehlo(struct smtp_session *s, const uint8_t *text, size_t n)
{
	static const char offer[] = "250 " SMTP_XCLIENT_OFFER "\r\n";
	uint8_t out[sizeof(((struct smtp_face *)0)->ehlo) + sizeof(offer)];
	size_t last = n;

	if (n > sizeof(out) - sizeof(offer) || !(trust(s) & TRUST_XCLIENT)) {
		smtp_say_raw(s, text, n);
		return;
	}
	memcpy(out, text, n);
	/* What was the last line is not any more. */
	for (last = n - 2; last && out[last - 1] != '\n'; last--)
		;
	out[last + 3] = '-';
	memcpy(out + n, offer, sizeof(offer) - 1);
	smtp_say_raw(s, out, n + sizeof(offer) - 1);
}

/* The address that is judged: as named, else as named before; the peer's own if there is none. */
static void name_client(struct smtp_session *s, const struct smtp_xclient *x)
{
	const struct smtp_ops *ops = &s->server->ops;
	struct smtp_client c, real;

	ops->tcp_peer(s->owner, &real);
	ops->client(s->owner, &c);
	if (x->has_addr) {
		memcpy(c.peer, x->addr_known ? x->addr : real.peer, 16);
		c.peer_port = x->addr_known ? 0 : real.peer_port; /* the port of another address */
	}
	if (x->has_port)
		c.peer_port = x->port;
	if (x->has_dest)
		memcpy(c.local, x->dest_known ? x->dest : real.local, 16);
	if (x->has_dest_port)
		c.local_port = x->dest_port;
	c.via = VIA_XCLIENT;
	ops->set_client(s->owner, &c);
}

/* As after a connect: what the client before did is not this one's. */
static bool begin_anew(struct smtp_session *s, const struct smtp_xclient *x)
{
	smtp_name_put(s);
	s->helo_seen = s->unjudged = s->early = false;
	s->errors = 0;
	s->transactions = s->messages = 0;
	s->end = 0;
	s->proto = x->has_proto ? x->proto : PROTO_SMTP;
	if (s->tls && s->proto == PROTO_ESMTP)
		s->proto = PROTO_ESMTPS;
	if (!x->helo_len)
		return true;
	s->helo_seen = smtp_name_set(s, str_make(x->helo, x->helo_len));
	return s->helo_seen;
}

void smtp_do_xclient(struct smtp_session *s, struct str arg)
{
	struct smtp_xclient x;

	if (!(trust(s) & TRUST_XCLIENT)) {
		smtp_blame(s, SAY_XCLIENT_DENIED, CNT_xclient_denied);
	} else if (s->txn) {
		smtp_blame(s, SAY_XCLIENT_TXN, CNT_smtp_bad_sequence);
	} else if (!smtp_xclient_parse(arg, &x)) {
		smtp_blame(s, SAY_XCLIENT_BAD, CNT_smtp_bad_command);
	} else if (!begin_anew(s, &x)) {
		smtp_count(s, CNT_smtp_no_line_buffer);
		smtp_ending(s, END_F_PRESSURE);
		smtp_say_close(s, SAY_NO_LINE);
	} else {
		smtp_count(s, CNT_xclient);
		name_client(s, &x);
		smtp_ask_connect(s);
	}
}
