/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/auth/spf/spf_sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define MEMORY_LIMIT                                                                               \
	(96ull << 20)  /* a worker needs some 6 MiB; half a megabyte of it per message */
#define CPU_LIMIT_S 30 /* over its life, see the number of runs in spf_worker.c */

void spf_close_others(int fd)
{
	if (fd > 0)
		close_range(0, (unsigned int)fd - 1, 0);
	close_range((unsigned int)fd + 1, ~0u, 0);
}

static int limit(int what, rlim_t n)
{
	struct rlimit r = {n, n};

	return setrlimit(what, &r) < 0 ? -errno : 0;
}

static int limits(void)
{
	int rc = 0;

#ifndef POSTERN_SANITIZE /* ASan reserves terabytes of address space */
	rc = limit(RLIMIT_AS, MEMORY_LIMIT);
#endif
	if (!rc)
		rc = limit(RLIMIT_CPU, CPU_LIMIT_S);
	if (!rc)
		rc = limit(RLIMIT_CORE, 0);
	if (!rc)
		rc = limit(RLIMIT_FSIZE, 0);
	if (!rc)
		rc = limit(RLIMIT_NPROC, 0);
	if (!rc)
		rc = limit(RLIMIT_NOFILE, 0);
	return rc;
}

static int filter(int fd)
{
	static const int plain[] = {
		SCMP_SYS(brk),          SCMP_SYS(munmap),      SCMP_SYS(exit_group),
		SCMP_SYS(rt_sigreturn),
#ifdef POSTERN_SANITIZE /* the run-time library's own housekeeping; still no file, no socket */
		SCMP_SYS(madvise),      SCMP_SYS(futex),       SCMP_SYS(sched_yield),
		SCMP_SYS(gettid),       SCMP_SYS(sigaltstack), SCMP_SYS(clock_gettime),
		SCMP_SYS(getpid),
#endif
	};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc = 0;

	if (!ctx)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]) && !rc; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, plain[i], 0);
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(read), 1,
				      SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)fd));
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(write), 1,
				      SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)fd));
	if (!rc) /* memory of its own only, never executable */
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
				      SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
				      SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
	if (!rc)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	return rc;
}

int spf_sandbox_enter(int fd)
{
	int rc;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	rc = limits();
	return rc ? rc : filter(fd);
}
