/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Lists of networks, sorted by prefix length, the longest first, and by address within one length. */

#include <stdlib.h>
#include <string.h>

#include "control/admission/admission.h"

static int compare(const void *a, const void *b)
{
	const struct ip_net *x = a, *y = b;

	if (x->prefix != y->prefix)
		return x->prefix > y->prefix ? -1 : 1;
	return memcmp(x->addr.a, y->addr.a, sizeof(x->addr.a));
}

void admission_nets_sort(struct admission_nets *nets)
{
	if (nets->n)
		qsort(nets->net, nets->n, sizeof(*nets->net), compare);
}

static struct ip_net net_of(const struct ip_addr *ip, uint8_t prefix)
{
	struct ip_net net = {.addr = *ip, .prefix = prefix};
	size_t at = prefix / 8;

	if (prefix % 8)
		net.addr.a[at++] &= (uint8_t)(0xff00u >> prefix % 8);
	memset(net.addr.a + at, 0, sizeof(net.addr.a) - at);
	return net;
}

/* Behind the last network whose prefix is not shorter. */
static size_t group_end(const struct admission_nets *nets, size_t from)
{
	uint8_t prefix = nets->net[from].prefix;
	size_t end = nets->n;

	while (from < end) {
		size_t mid = from + (end - from) / 2;

		if (nets->net[mid].prefix == prefix)
			from = mid + 1;
		else
			end = mid;
	}
	return end;
}

int admission_nets_match(const struct admission_nets *nets, const struct ip_addr *ip)
{
	for (size_t at = 0, end; at < nets->n; at = end) {
		uint8_t prefix = nets->net[at].prefix;
		struct ip_net key = net_of(ip, prefix);

		end = group_end(nets, at);
		/* As ip_in_net() has it: a short IPv6 prefix does not speak of IPv4. */
		if (prefix < 96 && ip_is_v4(ip))
			continue;
		if (bsearch(&key, nets->net + at, end - at, sizeof(key), compare))
			return prefix;
	}
	return -1;
}

enum admission_listed admission_listed(const struct admission_nets *deny,
				       const struct admission_nets *allow, const struct ip_addr *ip)
{
	int d = admission_nets_match(deny, ip), a = admission_nets_match(allow, ip);

	if (d < 0 && a < 0)
		return ADMISSION_UNLISTED;
	return d > a ? ADMISSION_DENIED : ADMISSION_ALLOWED;
}
