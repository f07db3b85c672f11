/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Who sent it, told to a next hop that is to judge or to log the client and not us.
 *
 *   XCLIENT    behind EHLO, whenever the client is another than the one named last; the next hop
 *              greets again, and EHLO is said in the client's name, for it overrides HELO=. It must
 *              be offered with ADDR, else the mail would be judged as ours: then nothing is sent
 *   XFORWARD   in front of each MAIL, if it is offered; for the log only, so a refusal means nothing
 *   PROXY      version 2, in front of the banner; such a connection is one client's for good
 *   its own    address, by which a server in a cable knows it (transparent.c): one client's as well
 *
 * As Postfix documents the first two; attributes that the next hop did not announce are left out.
 */

#include <stdio.h>
#include <string.h>

#include "control/deliver/internal.h"
#include "control/hash/siphash.h"
#include "postern/crc32c.h"
#include "postern/proxy_tlv.h"

#define VALUE_MAX 255 /* XFORWARD: decoded octets of a value */

/* ---- commands ------------------------------------------------------------------------------- */

struct line {
	char text[IDENTITY_LINE];
	size_t n;
};

static bool is_plain(uint8_t c)
{
	return ascii_is_vchar(c) && c != '+' && c != '=';
}

/* xtext (RFC 3461 4). False: it does not fit, and nothing of it is there. */
static bool add(struct line *l, const char *attribute, struct str value)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = l->n + strlen(attribute) + 2, need = n;

	for (size_t i = 0; i < value.n && i <= VALUE_MAX; i++)
		need += is_plain(value.p[i]) ? 1 : 3;
	if (value.n > VALUE_MAX || need >= sizeof(l->text))
		return false;
	snprintf(l->text + l->n, sizeof(l->text) - l->n, " %s=", attribute);
	for (size_t i = 0; i < value.n; i++) {
		uint8_t c = value.p[i];

		if (is_plain(c)) {
			l->text[n++] = (char)c;
			continue;
		}
		l->text[n++] = '+';
		l->text[n++] = hex[c >> 4];
		l->text[n++] = hex[c & 15];
	}
	l->text[n] = '\0';
	l->n = n;
	return true;
}

/* One printable word, as HELO should be. Servers answer 501 to others, and the client's mail would wait
 * for ever; what it really said is in our trace. */
static struct str word(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_vchar(s.p[i]))
			return STR_NONE;
	return s;
}

static void attribute(struct line *l, uint32_t offered, uint32_t bit, const char *name,
		      struct str value)
{
	if (!(offered & bit))
		return;
	if (!value.n || !add(l, name, value))
		add(l, name, STR("[UNAVAILABLE]"));
}

static struct str address(const struct ip_addr *ip, char buf[64])
{
	size_t n = 0;

	if (!ip_is_v4(ip))
		n = (size_t)snprintf(buf, 64, "IPV6:");
	ip_format(ip, buf + n, 64 - n);
	return str_c(buf);
}

static struct str port(uint16_t p, char buf[8])
{
	snprintf(buf, 8, "%u", p);
	return p ? str_c(buf) : STR_NONE;
}

/* The order is such that what is worth least is what does not fit any more. */
static void attributes(struct line *l, uint32_t offered, const struct deliver_client *c)
{
	char ip[64], local[64], p[8], lp[8];

	attribute(l, offered, IDENTITY_ADDR, "ADDR", address(&c->ip, ip));
	attribute(l, offered, IDENTITY_PORT, "PORT", port(c->port, p));
	attribute(l, offered, IDENTITY_PROTO, "PROTO", c->esmtp ? STR("ESMTP") : STR("SMTP"));
	if (c->local_port) {
		attribute(l, offered, IDENTITY_DESTADDR, "DESTADDR", address(&c->local, local));
		attribute(l, offered, IDENTITY_DESTPORT, "DESTPORT", port(c->local_port, lp));
	}
	attribute(l, offered, IDENTITY_HELO, "HELO", word(c->helo));
	attribute(l, offered, IDENTITY_NAME, "NAME", word(c->name));
}

bool identity_is_client(const struct conn *c)
{
	return c->x && c->x->route->dialled &&
	       (c->transparent || c->identified || (c->proxied && c->has_client));
}

/* The word of EHLO: the client's own where it is one that no server minds. Who is taken for the client
 * says what it said, a literal too: the server would have heard it. */
struct str identity_helo(const struct conn *c)
{
	struct str own = str_c(c->x->config->hostname), helo;
	bool alone = identity_is_client(c) && !c->identified;

	if ((!c->identified && !alone) || !c->x->client)
		return own;
	helo = c->x->client->helo;
	if (!helo.n || helo.n > LIMIT_DOMAIN || (alone ? !word(helo).n : !domain_is_valid(helo)))
		return own;
	return helo;
}

static bool same(struct siphash128 a, struct siphash128 b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

void identity_xclient(const struct deliver_client *c, uint32_t offered, char out[IDENTITY_LINE])
{
	struct line l = {.n = 0};

	attributes(&l, offered, c);
	memcpy(out, l.text, sizeof(l.text));
}

/*
 * Clients that the next hop could tell apart have different ones. proxy: by a PROXY header, where EHLO
 * is in our name unless it takes us for the client. route: whose word of EHLO is the client's.
 */
static struct siphash128 key_of(const struct conn *c, const struct config_route *route,
				const struct deliver_client *client, bool proxy)
{
	uint8_t buf[16 + 16 + 16 + 3 + 2 * (1 + VALUE_MAX)] = {0};
	int words = proxy && !route->dialled ? 0 : proxy || route->transparent ? 1 : 2;
	size_t n = 48;

	memcpy(buf, client->ip.a, 16);
	memcpy(buf + 16, client->local.a, 16);
	/* One whose address we take is known by that and by no port. */
	if (route->transparent)
		memcpy(buf + 32, client->connected.a, 16);
	buf[n++] = (uint8_t)(route->transparent ? 0 : client->port >> 8);
	buf[n++] = (uint8_t)(route->transparent ? 0 : client->port);
	buf[n++] = client->esmtp;
	for (int i = 0; i < words; i++) {
		struct str s = str_cut(i ? client->name : client->helo, VALUE_MAX);

		buf[n++] = (uint8_t)s.n;
		if (s.n)
			memcpy(buf + n, s.p, s.n);
		n += s.n;
	}
	return siphash128(c->d->secret, buf, n);
}

static void not_offered(struct conn *c)
{
	struct xact *x = c->x;
	struct ending e = {.kind = END_LOCAL, .stage = STAGE_EHLO};

	deliver_count(c->d, CTL_nexthop_no_xclient);
	xact_route_alert(x, "xclient is on, and its next hop does not offer XCLIENT with ADDR to us");
	verdict_relay(&e.reply, x->trace_id);
	c->x = NULL;
	conn_quit(c);
	xact_ended(x, &e);
}

static bool begin_xclient(struct conn *c)
{
	struct xact *x = c->x;
	char line[IDENTITY_LINE];
	struct siphash128 key;

	if (!x->client && c->identified) {
		session_retire(c);
		return true;
	}
	if (!x->route->xclient || !x->client)
		return false;
	identity_xclient(x->client, c->ehlo.xclient, line);
	/* What the next hop offers to the client that it takes us for may be less. */
	if (!(c->ehlo.xclient & IDENTITY_ADDR)) {
		if (!c->identified)
			not_offered(c);
		else if (same(c->client, key_of(c, x->route, x->client, false)))
			return false;
		else
			session_retire(c);
		return true;
	}
	key = key_of(c, x->route, x->client, false);
	if (c->identified && same(c->client, key))
		return false;
	c->client = key;
	c->state = CONN_XCLIENT;
	session_send(c, conn_queue(c, "XCLIENT%s\r\n", line));
	return true;
}

static bool begin_xforward(struct conn *c)
{
	struct xact *x = c->x;
	struct line l = {.n = 0};
	uint32_t offered = c->ehlo.xforward;

	if (!x->route->xforward || !x->client || c->forwarded || !(offered & IDENTITY_ADDR))
		return false;
	attributes(&l, offered & ~(IDENTITY_DESTADDR | IDENTITY_DESTPORT), x->client);
	attribute(&l, offered, IDENTITY_SOURCE, "SOURCE", STR("REMOTE"));
	if (x->trace_id && x->trace_id[0])
		attribute(&l, offered, IDENTITY_IDENT, "IDENT", str_c(x->trace_id));
	c->state = CONN_XFORWARD;
	session_send(c, conn_queue(c, "XFORWARD%s\r\n", l.text));
	return true;
}

bool identity_begin(struct conn *c)
{
	return begin_xclient(c) || begin_xforward(c);
}

void identity_on_xclient(struct conn *c, const struct deliver_reply *r)
{
	if (r->code / 100 == 3) {
		session_failed(c, END_GARBAGE);
		return;
	}
	if (r->code / 100 != 2) {
		session_end_with(c, END_REPLY, r);
		return;
	}
	/* All is as behind a connect: what EHLO said is forgotten. */
	c->identified = true;
	session_greet(c);
}

void identity_on_xforward(struct conn *c, const struct deliver_reply *r)
{
	if (r->code / 100 == 3) {
		session_failed(c, END_GARBAGE);
	} else if (r->code == 421) {
		session_end_with(c, END_REPLY, r);
	} else {
		c->forwarded = true;
		session_begin(c);
	}
}

/* ---- PROXY, version 2 ------------------------------------------------------------------------- */

#define PROXY_HEAD 16
#define SSL_CLIENT_TLS 0x01
#define SSL_CLIENT_CERT 0x06 /* of this connection, of this session */

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static size_t put_tlv(uint8_t *p, uint8_t type, struct str value)
{
	value = str_cut(value, VALUE_MAX);
	if (!value.n)
		return 0;
	p[0] = type;
	put16(p + 1, value.n);
	memcpy(p + 3, value.p, value.n);
	return 3 + value.n;
}

static size_t put_ssl(uint8_t *p, const struct deliver_client *c)
{
	size_t n = 3 + TLV_SSL_HEAD;

	if (!c->tls_version)
		return 0;
	p[0] = TLV_SSL;
	p[3] = SSL_CLIENT_TLS | (c->tls_client.n ? SSL_CLIENT_CERT : 0);
	memset(p + 4, 0, 4);
	p[7] = !c->tls_client.n; /* 0: a certificate was there and verified */
	n += put_tlv(p + n, TLV_SSL_VERSION, c->tls_version >= 0x0304 ? STR("TLSv1.3") : STR("TLSv1.2"));
	n += put_tlv(p + n, TLV_SSL_CIPHER, c->tls_cipher);
	n += put_tlv(p + n, TLV_SSL_CN, c->tls_client);
	put16(p + 1, n - 3);
	return n;
}

/* Two addresses of one family; IPv4 beside IPv6 goes as ::ffff:0:0/96. */
static size_t put_addresses(uint8_t *head, const struct deliver_client *c)
{
	bool v4 = ip_is_v4(&c->ip) && ip_is_v4(&c->local);
	size_t width = v4 ? 4 : 16, at = PROXY_HEAD;

	head[13] = v4 ? 0x11 : 0x21; /* TCP */
	memcpy(head + at, c->ip.a + 16 - width, width);
	memcpy(head + at + width, c->local.a + 16 - width, width);
	at += 2 * width;
	put16(head + at, c->port);
	put16(head + at + 2, c->local_port);
	return at + 4;
}

size_t identity_proxy(const struct deliver_client *c, uint8_t out[IDENTITY_PROXY_MAX])
{
	static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";
	size_t n = PROXY_HEAD, crc;
	uint32_t sum;

	memcpy(out, signature, sizeof(signature));
	out[12] = c ? 0x21 : 0x20; /* PROXY, or LOCAL: it is us */
	out[13] = 0;
	if (c) {
		n = put_addresses(out, c);
		n += put_ssl(out + n, c);
	}
	crc = n;
	n += put_tlv(out + n, TLV_CRC32C, str_make((const uint8_t *)"\0\0\0\0", 4));
	put16(out + 14, n - PROXY_HEAD);
	sum = crc32c(out, n, crc + 3);
	put16(out + crc + 3, sum >> 16);
	put16(out + crc + 5, sum & 0xffff);
	return n;
}

int identity_connected(struct conn *c)
{
	const struct xact *x = c->x;
	uint8_t header[IDENTITY_PROXY_MAX];

	if (x->route->transparent)
		c->client = key_of(c, x->route, x->client, false);
	if (x->route->proxy != PROXY_V2)
		return 0;
	c->proxied = true;
	c->has_client = x->client != NULL;
	if (x->client)
		c->client = key_of(c, x->route, x->client, true);
	return conn_queue_raw(c, header, identity_proxy(x->client, header));
}

bool identity_fits(const struct conn *c, const struct xact *x)
{
	if (c->proxied != (x->route->proxy == PROXY_V2) || c->transparent != x->route->transparent)
		return false;
	if (c->transparent)
		return x->client && same(c->client, key_of(c, x->route, x->client, false));
	if (!c->proxied)
		return true;
	return c->has_client == (x->client != NULL) &&
	       (!x->client || same(c->client, key_of(c, x->route, x->client, true)));
}
