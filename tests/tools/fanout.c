/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Preloaded into the dataplane by tests: the af_packet driver asks the kernel to spread packets by
 * a hash of the flow, after putting IPv4 fragments together. FANOUT_MODE (lb, rnd, hash) replaces
 * that: lb deals the packets of one flow to the queues in turn, as no NIC would, and fragments stay
 * fragments.
 */

#include <linux/if_packet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	const char *mode = getenv("FANOUT_MODE");
	uint32_t v;

	if (level == SOL_PACKET && name == PACKET_FANOUT && len == sizeof(v) && mode) {
		memcpy(&v, value, sizeof(v));
		v &= 0xffff;
		if (strcmp(mode, "lb") == 0)
			v |= PACKET_FANOUT_LB << 16;
		else if (strcmp(mode, "rnd") == 0)
			v |= PACKET_FANOUT_RND << 16;
		value = &v;
	}
	return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}
