/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* The link's insides: shared by link.c (life of a peer) and link_hello.c (how one becomes peer). */

#include <sys/un.h>

#include "dataplane/handoff/internal.h"

struct dp_peer {
	int fd;                  /* -1: closed */
	int pidfd;               /* -1: none */
	uint32_t n_loops;
	uint64_t lost_ms;        /* when the socket was closed */
	uint64_t next_kill_ms;   /* UINT64_MAX: SIGKILL was delivered */
	uint64_t beat[HANDOFF_MAX_LOOPS];
	uint32_t stall_ms[HANDOFF_MAX_LOOPS];
};

struct dp_link {
	struct dp_link_opts opts;
	struct sockaddr_un addr;
	struct dp_arena *arena;
	struct dp_meet meet;
	int listen_fd;
	/* Accepted, its HELLO not seen yet. One at a time. */
	struct {
		int fd, pidfd;
		uint64_t deadline_ms;
	} pending;
	struct dp_peer peer;
	struct dp_epoch *epoch;
	enum dp_link_state state;
	uint64_t last_id, last_ms;
	struct dp_link_stats stats;
};

#define LINK_PACKET 8192u /* larger than any packet of the contract */
#define LINK_MAX_FDS 17u

_Static_assert(sizeof(struct link_push) <= LINK_PACKET, "packet");

uint64_t dp_link_now_ms(void);
__attribute__((format(printf, 2, 3))) void dp_link_note(struct dp_link *l, const char *fmt, ...);

/* One packet; fds beyond the packet's use are the caller's to close. Octets, 0 at EOF, -errno
 * (-EAGAIN; -EMSGSIZE: cut). */
ssize_t dp_link_recv(int fd, uint8_t *buf, size_t cap, int *fds, size_t *n_fds);
/* head and text in one packet. 0 or -errno. */
int dp_link_send_text(int fd, uint32_t type, uint64_t generation, int error, const char *text,
		      size_t n);

/* link_hello.c: a connection waits at the listening socket; the pending one is readable or late. */
void dp_link_accept(struct dp_link *l);
void dp_link_hello(struct dp_link *l);
void dp_link_drop_pending(struct dp_link *l);
/* link.c: fd and pidfd of the pending connection become the peer of a new epoch. */
int dp_link_promote(struct dp_link *l, uint32_t n_loops);
