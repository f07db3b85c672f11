/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What control gives up once its files and sockets are open: the root user (if `user` is given), all
 * capabilities, new privileges by exec, and the system calls that a mail program never makes
 * (exec, ptrace, mount, modules, keys, bpf, namespaces, raw and packet sockets).
 *
 * One capability stays where a route is transparent: CAP_NET_RAW, by which a socket may come from
 * another's address (ip(7), IP_TRANSPARENT). What else it is good for, raw sockets, the filter denies.
 */

#include <stdbool.h>
#include <stddef.h>

/* transparent: CAP_NET_RAW is kept; -EPERM if it is not there. 0 or -errno with a text in err. */
int sandbox_enter(const char *user, bool transparent, char *err, size_t err_len);
