/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_xclient.h"

#include "dataplane/smtp/proxy.h"
#include "postern/ascii.h"

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; /* RFC 3461 4: upper case only */
}

long smtp_xtext(struct str in, uint8_t *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		uint8_t c = in.p[i];

		if (!ascii_is_vchar(c) || c == '=' || n == cap)
			return -1;
		if (c == '+') {
			if (in.n - i < 3 || hex(in.p[i + 1]) < 0 || hex(in.p[i + 2]) < 0)
				return -1;
			c = (uint8_t)(hex(in.p[i + 1]) << 4 | hex(in.p[i + 2]));
			i += 2;
		}
		out[n++] = c;
	}
	return (long)n;
}

static bool no_value(struct str v)
{
	return str_ieq(v, STR("[UNAVAILABLE]")) || str_ieq(v, STR("[TEMPUNAVAIL]"));
}

static bool address(struct str v, bool *known, uint8_t out[16])
{
	*known = !no_value(v);
	if (!*known)
		return true;
	return str_istarts(v, STR("IPV6:")) ? proxy_ip6(str_skip(v, 5), out) : proxy_ip4(v, out);
}

static bool port(struct str v, uint16_t *out)
{
	*out = 0;
	return no_value(v) || proxy_port(v, out);
}

/* A name as in HELO: one word, printable, bounded. */
static bool name(struct str v)
{
	if (!v.n || v.n > LIMIT_DOMAIN)
		return false;
	for (size_t i = 0; i < v.n; i++)
		if (!ascii_is_vchar(v.p[i]))
			return false;
	return true;
}

static bool helo(struct str v, struct smtp_xclient *out)
{
	if (!name(v))
		return false;
	out->helo_len = no_value(v) ? 0 : (uint8_t)v.n;
	for (size_t i = 0; i < out->helo_len; i++)
		out->helo[i] = v.p[i];
	return true;
}

static bool proto(struct str v, struct smtp_xclient *out)
{
	out->proto = str_ieq(v, STR("ESMTP")) ? PROTO_ESMTP : PROTO_SMTP;
	return out->proto == PROTO_ESMTP || str_ieq(v, STR("SMTP"));
}

/* The same attribute twice in a command would leave it to us which one is meant. */
static bool once(bool *seen)
{
	bool first = !*seen;

	*seen = true;
	return first;
}

static bool attribute(struct str key, struct str v, struct smtp_xclient *out)
{
	if (str_ieq(key, STR("ADDR")))
		return once(&out->has_addr) && address(v, &out->addr_known, out->addr);
	if (str_ieq(key, STR("PORT")))
		return once(&out->has_port) && port(v, &out->port);
	if (str_ieq(key, STR("DESTADDR")))
		return once(&out->has_dest) && address(v, &out->dest_known, out->dest);
	if (str_ieq(key, STR("DESTPORT")))
		return once(&out->has_dest_port) && port(v, &out->dest_port);
	if (str_ieq(key, STR("PROTO")))
		return once(&out->has_proto) && proto(v, out);
	if (str_ieq(key, STR("HELO")))
		return once(&out->has_helo) && helo(v, out);
	/* The name is looked up here; who logged in elsewhere means nothing here. */
	return str_ieq(key, STR("NAME")) ? name(v) : str_ieq(key, STR("LOGIN"));
}

bool smtp_xclient_parse(struct str arg, struct smtp_xclient *out)
{
	*out = (struct smtp_xclient){0};
	if (!arg.n)
		return false;
	while (arg.n) {
		struct str word = str_cut(arg, str_find(arg, ' '));
		size_t eq = str_find(word, '=');
		uint8_t value[LIMIT_COMMAND_LINE];
		long n = smtp_xtext(str_skip(word, eq + 1), value, sizeof(value));

		arg = str_skip(arg, word.n);
		while (arg.n && arg.p[0] == ' ')
			arg = str_skip(arg, 1);
		if (eq == word.n || n < 1 ||
		    !attribute(str_cut(word, eq), str_make(value, (size_t)n), out))
			return false;
	}
	return true;
}
