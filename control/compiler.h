/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Rules are compiled in a process of their own: it takes seconds, and a pattern can be written so
 * that it takes minutes or gigabytes. A helper is forked at start, before threads and secrets; it does
 * nothing but fork a compiler for each set, with limits of CPU time, memory and time, and tell how it
 * ended. The compiler hands over rules_keep() in a memfd, and what it has to say in a
 * snapshot_report. One set at a time.
 */

#include <sys/types.h>

#include "control/snapshot.h"

struct event_base;
struct compiler;

/* Forks the helper, which becomes `user` (NULL: nobody else) and shuts itself in. *fd: its socket;
 * closing it ends the helper and its compiler. 0 or -errno. */
int compiler_start(const char *user, int *fd);

/* Takes the socket. NULL: out of memory. */
struct compiler *compiler_new(struct event_base *base, int fd);
void compiler_free(struct compiler *c);

/* rc 0: s->rules are there. Else the report says why; `s` is as compiler_run() got it. */
typedef void compiler_done(void *arg, struct snapshot *s, int rc, const struct snapshot_report *report);
/* Compiles the rules of s->config, a reference that is lent until the callback. 0; -EBUSY; -EPIPE:
 * the helper is gone; -errno. */
int compiler_run(struct compiler *c, struct snapshot *s, compiler_done *done, void *arg);
/* The same, waiting: at start. */
int compiler_run_and_wait(int fd, struct snapshot *s, struct snapshot_report *report);

/* ---- between control and helper, private to compiler*.c ---------------------------------------- */

/* With it, by SCM_RIGHTS: a memfd of cache and files, each with its NUL; a memfd for the result. */
struct compiler_request {
	uint32_t n_files, score_set, cpu_s;
	uint64_t memory;
};

struct compiler_ended {
	int status;            /* waitpid() */
	int error;             /* errno of a fork that failed */
	bool late;             /* it was killed at the end of its time */
};

/* The result; behind it kept_len octets of rules_keep(). */
#define COMPILER_MAGIC 0x50524353u /* "PRCS" */
struct compiler_result {
	uint32_t magic;
	int rc;
	uint64_t kept_len;
	struct snapshot_report report;
} __attribute__((aligned(64))); /* databases behind it are */

_Noreturn void compiler_helper(int fd, const char *user);
/* In the compiler: 0 once there is a result. */
int compiler_compile(const struct compiler_request *req, int in, int out);
