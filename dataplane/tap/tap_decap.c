/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/tap/tap_decap.h"

#include "dataplane/net/net_parse.h"

enum { GRE_CHECKSUM = 0x8000, GRE_ROUTING = 0x4000, GRE_KEY = 0x2000, GRE_SEQUENCE = 0x1000 };
enum {
	TYPE_TEB = 0x6558,
	TYPE_ERSPAN = 0x88be,
	TYPE_ERSPAN3 = 0x22eb,
	TYPE_IP4 = 0x0800,
	TYPE_IP6 = 0x86dd
};

#define VXLAN_PORT       4789 /* RFC 7348 8 */
#define VXLAN_PORT_LINUX 8472 /* what the kernel takes when it is not told */
#define VXLAN_I          0x08

static bool decap_gre(const uint8_t *p, size_t n, struct tap_inner *out)
{
	uint16_t flags, type;
	size_t off = 4;

	if (n < off)
		return false;
	flags = net_be16(p);
	type = net_be16(p + 2);
	/* RFC 2784 2.3, 2.3.1: version 0, and no routing. */
	if (flags & 7 || flags & GRE_ROUTING)
		return false;
	off += (flags & GRE_CHECKSUM ? 4u : 0u) + (flags & GRE_KEY ? 4u : 0u) +
	       (flags & GRE_SEQUENCE ? 4u : 0u);
	out->type = 0;
	switch (type) {
	case TYPE_TEB:
		break;
	case TYPE_ERSPAN:
		/* Type I has no header of its own, and is known by having no sequence number. */
		off += flags & GRE_SEQUENCE ? 8 : 0;
		break;
	case TYPE_ERSPAN3:
		if (n < off + 12)
			return false;
		/* The last bit says that a subheader of the platform follows. */
		off += p[off + 11] & 1 ? 20 : 12;
		break;
	case TYPE_IP4:
	case TYPE_IP6:
		out->type = type;
		break;
	default:
		return false;
	}
	out->off = (uint16_t)off;
	return off < n;
}

static bool decap_vxlan(const uint8_t *p, size_t n, struct tap_inner *out)
{
	uint16_t port;

	if (n <= 16)
		return false;
	port = net_be16(p + 2);
	if ((port != VXLAN_PORT && port != VXLAN_PORT_LINUX) || !(p[8] & VXLAN_I))
		return false;
	*out = (struct tap_inner){.off = 16};
	return true;
}

bool tap_decap(const uint8_t *p, size_t n, uint8_t proto, struct tap_inner *out)
{
	return proto == NET_PROTO_GRE ? decap_gre(p, n, out)
				      : proto == NET_PROTO_UDP && decap_vxlan(p, n, out);
}
