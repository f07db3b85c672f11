/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What we tell a next hop of a client, whatever the client's HELO holds, our own server reads as that
 * client: the XCLIENT line in 512 octets, the PROXY header with its sum. */

#include <stdlib.h>
#include <string.h>

#include "control/deliver/internal.h"
#include "dataplane/smtp/proxy.h"
#include "dataplane/smtp/smtp_xclient.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())
#define OFFERED (IDENTITY_NAME | IDENTITY_ADDR | IDENTITY_PORT | IDENTITY_PROTO | IDENTITY_HELO | \
		 IDENTITY_DESTADDR | IDENTITY_DESTPORT)

static struct str take(struct str *s, size_t n)
{
	struct str part = str_cut(*s, n);

	*s = str_skip(*s, n);
	return part;
}

static struct str text(struct str *s)
{
	struct str n = take(s, 1);

	return take(s, n.n ? (size_t)n.p[0] * 2 : 0);
}

static void check_proxy(const struct deliver_client *c)
{
	uint8_t out[IDENTITY_PROXY_MAX];
	struct proxy_header h;
	size_t n = identity_proxy(c, out);

	MUST(proxy_parse(out, n, &h) == (long)n);
	MUST(h.version == 2 && !h.local && h.src_port == c->port && h.dst_port == c->local_port);
	MUST(!memcmp(h.src, c->ip.a, 16) && !memcmp(h.dst, c->local.a, 16));
	MUST((h.ssl.n > 0) == (c->tls_version > 0));
	n = identity_proxy(NULL, out);
	MUST(proxy_parse(out, n, &h) == (long)n && h.local);
}

static void check_xclient(const struct deliver_client *c)
{
	char line[IDENTITY_LINE];
	struct smtp_xclient x;

	identity_xclient(c, OFFERED, line);
	MUST(strlen("XFORWARD") + strlen(line) + 2 <= LIMIT_COMMAND_LINE);
	if (!smtp_xclient_parse(str_c(line + 1), &x))
		abort();
	MUST(x.has_addr && x.addr_known && !memcmp(x.addr, c->ip.a, 16));
	MUST(x.has_port && x.port == c->port);
	MUST(x.has_dest == (c->local_port > 0));
	if (x.helo_len)
		MUST(x.helo_len == c->helo.n && !memcmp(x.helo, c->helo.p, c->helo.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_make(data, size), head = take(&rest, 40);
	struct deliver_client c = {0};
	uint8_t h[40] = {0};

	if (head.n)
		memcpy(h, head.p, head.n);
	memcpy(c.ip.a, h, 16);
	memcpy(c.local.a, h + 16, 16);
	if (h[32] & 1)
		memcpy(c.ip.a, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
	if (h[32] & 2)
		memcpy(c.local.a, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
	c.port = (uint16_t)(h[33] << 8 | h[34]);
	c.local_port = (uint16_t)(h[35] << 8 | h[36]);
	c.esmtp = h[37] & 1;
	c.tls_version = h[37] & 2 ? 0x0304 : 0;
	c.helo = text(&rest);
	c.name = text(&rest);
	c.tls_cipher = text(&rest);
	c.tls_client = text(&rest);
	check_proxy(&c);
	check_xclient(&c);
	return 0;
}
