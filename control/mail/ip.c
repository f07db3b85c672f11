/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <arpa/inet.h>
#include <stdio.h>

#include "control/mail/mail.h"

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool ip_is_v4(const struct ip_addr *a)
{
	return memcmp(a->a, v4_mapped, sizeof(v4_mapped)) == 0;
}

const char *ip_format(const struct ip_addr *a, char *buf, size_t cap)
{
	const char *text;

	if (ip_is_v4(a))
		text = inet_ntop(AF_INET, a->a + 12, buf, (socklen_t)cap);
	else
		text = inet_ntop(AF_INET6, a->a, buf, (socklen_t)cap);
	if (!text && cap)
		buf[0] = '\0';
	return buf;
}

bool ip_parse(struct str s, struct ip_addr *out)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t v4[4];

	if (s.n == 0 || s.n >= sizeof(text))
		return false;
	/* inet_pton reads up to a NUL; one inside would hide the rest. */
	if (memchr(s.p, '\0', s.n))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (inet_pton(AF_INET, text, v4) == 1) {
		memcpy(out->a, v4_mapped, sizeof(v4_mapped));
		memcpy(out->a + 12, v4, sizeof(v4));
		return true;
	}
	return inet_pton(AF_INET6, text, out->a) == 1;
}

bool ip_net_parse(struct str s, struct ip_net *out)
{
	size_t slash = str_find(s, '/');
	struct str len = str_skip(s, slash + 1);
	unsigned int prefix = 0, max;
	bool v4;

	if (!ip_parse(str_cut(s, slash), &out->addr))
		return false;
	/* "::ffff:192.0.2.0/120" is written in the 128-bit form, so its length is one as well. */
	v4 = ip_is_v4(&out->addr) && str_find(str_cut(s, slash), ':') == slash;
	max = v4 ? 32 : 128;
	if (slash == s.n) {
		out->prefix = 128;
		return true;
	}
	if (len.n == 0 || len.n > 3 || (len.n > 1 && len.p[0] == '0'))
		return false;
	for (size_t i = 0; i < len.n; i++) {
		if (!ascii_is_digit(len.p[i]))
			return false;
		prefix = prefix * 10 + (unsigned int)(len.p[i] - '0');
	}
	if (prefix > max)
		return false;
	out->prefix = (uint8_t)(v4 ? prefix + 96 : prefix);
	return true;
}

static bool prefix_equal(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	unsigned int whole = bits / 8, rest = bits % 8;
	uint8_t mask = (uint8_t)(0xff00u >> rest);

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) & mask) == 0;
}

bool ip_in_net(const struct ip_addr *a, const struct ip_net *net)
{
	if (net->prefix > 128)
		return false;
	/* A short IPv6 prefix ("::/0") speaks of IPv6 only, though our form of IPv4 lies inside. */
	if (net->prefix < 96 && ip_is_v4(a))
		return false;
	return prefix_equal(a->a, net->addr.a, net->prefix);
}

bool ip_range_parse(struct str s, struct ip_range *out)
{
	size_t dash = str_find(s, '-');
	struct ip_net net;

	if (dash < s.n)
		return ip_parse(str_trim(str_cut(s, dash)), &out->first) &&
		       ip_parse(str_trim(str_skip(s, dash + 1)), &out->last) &&
		       ip_is_v4(&out->first) == ip_is_v4(&out->last) &&
		       memcmp(&out->first, &out->last, sizeof(out->first)) <= 0;
	if (!ip_net_parse(s, &net))
		return false;
	out->first = out->last = net.addr;
	for (unsigned int i = net.prefix; i < 128; i++) {
		out->first.a[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
		out->last.a[i / 8] |= (uint8_t)(0x80u >> i % 8);
	}
	return true;
}

bool ip_in_range(const struct ip_addr *ip, const struct ip_range *range)
{
	return ip_is_v4(ip) == ip_is_v4(&range->first) &&
	       memcmp(ip, &range->first, sizeof(*ip)) >= 0 &&
	       memcmp(ip, &range->last, sizeof(*ip)) <= 0;
}

bool ip_ranges_meet(const struct ip_range *a, const struct ip_range *b)
{
	return ip_is_v4(&a->first) == ip_is_v4(&b->first) &&
	       memcmp(&a->first, &b->last, sizeof(a->first)) <= 0 &&
	       memcmp(&b->first, &a->last, sizeof(a->first)) <= 0;
}

bool ip_is_private(const struct ip_addr *a)
{
	static const struct { uint8_t a[16]; uint8_t bits; } block[] = {
		{{[10] = 0xff, 0xff, 0}, 104},             /* RFC 1122 3.2.1.3: this network */
		{{[10] = 0xff, 0xff, 10}, 104},            /* RFC 1918 */
		{{[10] = 0xff, 0xff, 172, 16}, 108},       /* RFC 1918 */
		{{[10] = 0xff, 0xff, 192, 168}, 112},      /* RFC 1918 */
		{{[10] = 0xff, 0xff, 100, 64}, 106},       /* RFC 6598 */
		{{[10] = 0xff, 0xff, 169, 254}, 112},      /* RFC 3927 */
		{{[10] = 0xff, 0xff, 127}, 104},           /* RFC 1122: loopback */
		{{[15] = 0}, 128},                         /* RFC 4291 2.5.2: unspecified */
		{{[15] = 1}, 128},                         /* RFC 4291 2.5.3: loopback */
		{{0xfc}, 7},                               /* RFC 4193: ULA */
		{{0xfe, 0x80}, 10},                        /* RFC 4291: link-local */
		{{0xfe, 0xc0}, 10},                        /* RFC 3879: site-local */
	};

	for (size_t i = 0; i < sizeof(block) / sizeof(block[0]); i++)
		if (prefix_equal(a->a, block[i].a, block[i].bits))
			return true;
	return false;
}
