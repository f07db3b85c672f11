/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Capabilities belong to a thread, and EAL has started some that are not ours. Each thread drops its
 * own in a signal handler, as the C library does for setuid().
 */

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/privileges.h"

#define WAIT_MS 2000

static _Atomic int dropped, failed;

static int drop_own(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct now[2] = {0}, keep[2] = {0};

	if (syscall(SYS_capget, &head, now))
		return -errno;
	keep[0].permitted = keep[0].effective = now[0].permitted & (1u << CAP_KILL);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return syscall(SYS_capset, &head, keep) ? -errno : 0;
}

static void on_signal(int sig)
{
	int saved = errno;

	(void)sig;
	if (drop_own())
		atomic_fetch_add(&failed, 1);
	atomic_fetch_add(&dropped, 1);
	errno = saved;
}

static int signal_others(int sig)
{
	pid_t self = (pid_t)syscall(SYS_gettid);
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	int n = 0;

	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		pid_t tid = (pid_t)atoi(e->d_name);

		if (tid > 0 && tid != self && !syscall(SYS_tgkill, getpid(), tid, sig))
			n++;
	}
	closedir(d);
	return n;
}

int privileges_drop(char *err, size_t err_len)
{
	int sig = SIGRTMAX - 1, n, rc;
	struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, old;

	/* Out of the bounding set first: that needs CAP_SETPCAP, and is of the caller's thread only. */
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (cap != CAP_KILL)
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	sigaction(sig, &act, &old);
	n = signal_others(sig);
	if (n < 0) {
		snprintf(err, err_len, "reading /proc/self/task: %s", strerror(-n));
		return n;
	}
	for (int i = 0; i < WAIT_MS && atomic_load(&dropped) < n; i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	rc = drop_own();
	if (!rc && (atomic_load(&dropped) < n || atomic_load(&failed)))
		rc = -EPERM;
	if (rc)
		snprintf(err, err_len, "%d of %d threads dropped their capabilities, %d failed: %s",
			 atomic_load(&dropped), n, atomic_load(&failed), strerror(-rc));
	sigaction(sig, &old, NULL);
	return rc;
}
