/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Addresses as the socket calls take them; IPv4 is ::ffff:0:0/96 on our side. */

#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "control/mail/mail.h"

static inline socklen_t address_to_sockaddr(const struct ip_addr *ip, uint16_t port,
					    struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (ip_is_v4(ip)) {
		struct sockaddr_in *in = (struct sockaddr_in *)ss;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, ip->a + 12, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, ip->a, 16);
	return sizeof(*in6);
}

static inline void address_from_sockaddr(const struct sockaddr_storage *ss, struct ip_addr *ip)
{
	*ip = (struct ip_addr){.a = {[10] = 0xff, [11] = 0xff}};
	if (ss->ss_family == AF_INET)
		memcpy(ip->a + 12, &((const struct sockaddr_in *)ss)->sin_addr, 4);
	else
		memcpy(ip->a, &((const struct sockaddr_in6 *)ss)->sin6_addr, 16);
}
