/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What control gives up once its files and sockets are open: the root user (if `user` is given), all
 * capabilities, new privileges by exec, and the system calls that a mail program never makes
 * (exec, ptrace, mount, modules, keys, bpf, namespaces).
 */

#include <stddef.h>

/* 0 or -errno with a text in err. */
int sandbox_enter(const char *user, char *err, size_t err_len);
