/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The helper: a process forked at start, before threads, that does nothing but fork workers (and
 * kill and reap them) when control asks. Control gets each worker's socket by SCM_RIGHTS.
 */

#include <sys/types.h>

/* Forks the helper. 0 or -errno; *fd: its socket (SOCK_SEQPACKET, non-blocking); closing it ends
 * the helper and all its workers. */
int spf_spawner_start(pid_t *pid, int *fd);
int spf_spawner_want(int fd);
int spf_spawner_kill(int fd, pid_t worker);
/* Next event: 1 and a worker with its socket; 0 and errno-like *error if a fork failed;
 * -EAGAIN nothing; -EPIPE the helper is gone. */
int spf_spawner_next(int fd, pid_t *worker, int *worker_fd, int *error);
