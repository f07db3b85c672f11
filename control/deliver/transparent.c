/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A connection that comes from the client's own address (IP_TRANSPARENT), for a server in a cable that
 * has no other way to learn it. The port is free choice: the client's is in use, between it and us.
 * That the server's segments find their way back here, to a machine that has no such address, is done
 * by the dataplane and by the kernel's routes (docs/inline.md).
 *
 * What is wrong here is wrong for every mail of the route and the operator's to put right: ALERT.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "control/deliver/address.h"
#include "control/deliver/internal.h"

static int failed(struct conn *c, const char *what)
{
	int error = errno;
	char text[200];

	snprintf(text, sizeof(text), "the client's address cannot be kept: %s: %s%s", what, strerror(error),
		 error == EPERM ? " (postern-control needs CAP_NET_RAW)" : "");
	deliver_count(c->d, CTL_nexthop_no_transparent);
	xact_route_alert(c->x, text);
	return -error;
}

static int set_options(struct conn *c, bool v4)
{
	const struct config_route *r = c->x->route;
	int one = 1;

	if (setsockopt(c->fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, &one,
		       sizeof(one)))
		return failed(c, v4 ? "IP_TRANSPARENT" : "IPV6_TRANSPARENT");
	/* Else bind() takes a port that no other connection from this address has, whoever it is to. */
	if (setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)))
		return failed(c, "IP_BIND_ADDRESS_NO_PORT");
	if (r->transparent_interface &&
	    setsockopt(c->fd, SOL_SOCKET, SO_BINDTODEVICE, r->transparent_interface,
		       (socklen_t)strlen(r->transparent_interface)))
		return failed(c, r->transparent_interface);
	if (r->transparent_mark &&
	    setsockopt(c->fd, SOL_SOCKET, SO_MARK, &r->transparent_mark, sizeof(r->transparent_mark)))
		return failed(c, "SO_MARK");
	return 0;
}

int transparent_bind(struct conn *c)
{
	const struct ip_addr *from = &c->x->client->connected;
	bool v4 = ip_is_v4(from);
	struct sockaddr_storage ss;
	socklen_t n = address_to_sockaddr(from, 0, &ss);
	int rc;

	/* One packet has both addresses; a client without one was never seen. */
	if (v4 != ip_is_v4(&c->addr.ip)) {
		errno = EAFNOSUPPORT;
		return failed(c, "client and server are of different families");
	}
	rc = set_options(c, v4);
	if (rc)
		return rc;
	if (bind(c->fd, (struct sockaddr *)&ss, n))
		return failed(c, "bind");
	c->transparent = true;
	deliver_count(c->d, CTL_nexthop_transparent);
	return 0;
}
