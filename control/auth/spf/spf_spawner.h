/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Two processes forked at start, before threads and secrets. The helper does nothing but fork
 * workers (and kill and reap them) when control asks; control gets each worker's socket by
 * SCM_RIGHTS. The keeper does nothing but fork the helper, again if it is killed: control could
 * not, it has threads and keys by then. Only if both are gone there are no workers any more.
 */

#include <sys/types.h>

/* Forks the keeper (*pid), which forks the helper. 0 or -errno; *fd: the helper's socket
 * (SOCK_SEQPACKET, non-blocking); closing it ends them and all workers. */
int spf_spawner_start(pid_t *pid, int *fd);
int spf_spawner_want(int fd);
int spf_spawner_kill(int fd, pid_t worker);
/* Next event: 1 and a worker with its socket; 0 and errno-like *error if a fork failed; 2 the
 * helper and its workers died and a new one comes, which may not know what the old one was asked;
 * -EAGAIN nothing; -EPIPE helper and keeper are gone. */
int spf_spawner_next(int fd, pid_t *worker, int *worker_fd, int *error);
