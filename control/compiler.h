/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Rules are compiled in a process of their own: it takes seconds, and a pattern can be written so
 * that it takes minutes or gigabytes. A helper is forked at start, before threads and secrets, for
 * control itself has both and could not exec anything; it does nothing but fork a compiler for each
 * set, with limits of CPU time, memory and time, and tell how it ended. The compiler hands over
 * rules_keep() in a memfd, and what it has to say in a snapshot_report. One set at a time.
 *
 *   control ── keeper ── helper ── compiler
 *
 * The keeper forks the helper anew when somebody kills it; where the keeper is killed, the helper
 * takes its place and forks another. Only who kills both at once leaves control without.
 */

#include <sys/types.h>

#include "control/snapshot.h"

struct event_base;
struct compiler;

enum compiler_how {
	COMPILER_ENDED,        /* by itself or by a signal: status */
	COMPILER_LATE,         /* killed at the end of its time */
	COMPILER_NOT_STARTED,  /* error: of fork() */
	COMPILER_HELPER_DIED,  /* killed, and is back */
	COMPILER_SILENT,       /* the helper does not answer: stopped? */
	COMPILER_GONE,         /* helper and keeper are no more */
};

#define COMPILER_GONE_TEXT \
	"the processes that fork compilers of rules are gone; they come back with a restart"

struct compiler_ended {
	uint32_t serial;       /* of the request; 0: of none */
	uint32_t how;          /* enum compiler_how */
	int status;            /* waitpid() */
	int error;
};

/* Forks keeper and helper, which become `user` (NULL: nobody else) and shut themselves in. *fd: their
 * socket; closing it ends them and the compiler. 0 or -errno. */
int compiler_start(const char *user, int *fd);

/* Takes the socket. NULL: out of memory. */
struct compiler *compiler_new(struct event_base *base, int fd);
void compiler_free(struct compiler *c);

/* result: memfd of the compiler's, now the callback's. */
typedef void compiler_done(void *arg, int result, const struct compiler_ended *end);
/* Compiles the rules of `config`, which is read before this returns. 0; -EBUSY; -EPIPE: the helper is
 * gone; -errno. */
int compiler_run(struct compiler *c, const struct config *config, compiler_done *done, void *arg);
/* How far it is; false: nothing is known. what: "patterns", "databases". */
bool compiler_progress(const struct compiler *c, char what[24], uint32_t *done, uint32_t *all);
bool compiler_is_gone(const struct compiler *c);
uint64_t compiler_deaths(const struct compiler *c); /* of helpers and keepers */

/* For any thread: the rules of s->config out of the result, which it closes, patterns compiled for PCRE2
 * and all. 0; else the report says why. */
int compiler_take(struct snapshot *s, int result, const struct compiler_ended *end,
		  struct snapshot_report *report);
/* All of it, waiting: at start. */
int compiler_run_and_wait(int fd, struct snapshot *s, struct snapshot_report *report);

/* ---- between control and helper, private to compiler*.c ---------------------------------------- */

/* With it, by SCM_RIGHTS: a memfd of cache and files, each with its NUL; a memfd for the result. */
struct compiler_request {
	uint32_t serial, n_files, score_set, cpu_s;
	uint64_t memory, cache_size;
};

/* Until there is a result, this is at its begin. */
#define COMPILER_PROGRESS 0x50524350u /* "PRCP" */
struct compiler_progress {
	uint32_t magic, done, all;
	char what[24];
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
