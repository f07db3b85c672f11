/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Keeper, helper, and the compilers that it forks. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "control/compiler.h"
#include "control/sandbox.h"
#include "postern/clock.h"
#include "postern/limits.h"

/* Mail goes first. */
#define NICE 10
/* Between two helpers, doubled while they die young. */
#define RESTART_MIN_MS 20
#define RESTART_MAX_MS 1000
#define YOUNG_MS       10000

static int limit(int what, rlim_t soft, rlim_t hard)
{
	struct rlimit r = {soft, hard};

	return setrlimit(what, &r) ? -errno : 0;
}

static int limits(const struct compiler_request *req)
{
	/* SIGXCPU first, which tells this from a SIGKILL of somebody else's. */
	int rc = limit(RLIMIT_CPU, req->cpu_s, req->cpu_s + 5);

#ifndef POSTERN_SANITIZE /* ASan reserves terabytes */
	/* What it writes to; not the libraries that it shares with control. */
	if (!rc)
		rc = limit(RLIMIT_DATA, req->memory, req->memory);
#endif
	return rc ? rc : limit(RLIMIT_CORE, 0, 0);
}

static _Noreturn void compile(const struct compiler_request *req, const int fd[2], pid_t helper)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != helper)
		_exit(1);
	prctl(PR_SET_NAME, "postern-rules", 0, 0, 0);
	signal(SIGTERM, SIG_DFL);
	errno = 0;
	if (nice(NICE) == -1 && errno)
		_exit(1);
	if (limits(req))
		_exit(1);
	_exit(compiler_compile(req, fd[0], fd[1]) ? 1 : 0);
}

/* Its end, the end of its time, or the end of control, whatever comes first. */
static void wait_for(pid_t pid, int ctl, int64_t until_ms, struct compiler_ended *end)
{
	/* Not reaped yet, its number is still its own. */
	struct pollfd p[2] = {{.fd = pidfd_open(pid, 0), .events = POLLIN}, {.fd = ctl}};

	if (p[0].fd < 0)
		kill(pid, SIGKILL);
	while (p[0].fd >= 0) {
		int64_t left = until_ms - (int64_t)clock_mono_ms();
		int n = left > 0 ? poll(p, 2, left > 60000 ? 60000 : (int)left) : 0;

		if (n < 0 && errno != EINTR)
			break;
		if (n > 0 && p[0].revents)
			break;
		if (left <= 0)
			end->how = COMPILER_LATE;
		if (left <= 0 || (n > 0 && p[1].revents & (POLLHUP | POLLERR))) {
			kill(pid, SIGKILL);
			break;
		}
	}
	while (waitpid(pid, &end->status, 0) < 0 && errno == EINTR)
		;
	if (p[0].fd >= 0)
		close(p[0].fd);
}

static void serve(int ctl, const struct compiler_request *req, const int fd[2])
{
	struct compiler_ended end = {.serial = req->serial, .how = COMPILER_ENDED};
	int64_t until = (int64_t)clock_mono_ms() + (int64_t)req->cpu_s * 1000 * RULES_COMPILE_WALL;
	pid_t self = getpid(), pid = fork();

	if (pid == 0) {
		close(ctl);
		compile(req, fd, self);
	}
	if (pid < 0) {
		end.how = COMPILER_NOT_STARTED;
		end.error = errno;
	} else {
		wait_for(pid, ctl, until, &end);
	}
	(void)send(ctl, &end, sizeof(end), MSG_NOSIGNAL);
}

/* 1, 0: no request; -1: control is gone. */
static int receive(int ctl, struct compiler_request *req, int fd[2])
{
	struct iovec iov = {req, sizeof(*req)};
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(2 * sizeof(int))];
	} u;
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.b,
			     .msg_controllen = sizeof(u.b)};
	ssize_t n = recvmsg(ctl, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;

	if (n <= 0)
		return n < 0 && errno == EINTR ? 0 : -1;
	c = CMSG_FIRSTHDR(&msg);
	if (n != (ssize_t)sizeof(*req) || !c || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(2 * sizeof(int)))
		return -1;
	memcpy(fd, CMSG_DATA(c), 2 * sizeof(int));
	return 1;
}

/* Forks compilers until the keeper is gone; does not come back if control is. */
static void helper(int ctl, pid_t keeper)
{
	struct pollfd p[2] = {{.fd = ctl, .events = POLLIN}, {.fd = pidfd_open(keeper, 0), .events = POLLIN}};

	prctl(PR_SET_NAME, "postern-rulemain", 0, 0, 0);
	/* Its number may be another's by now: who is our parent is not in doubt. */
	while (getppid() == keeper) {
		struct compiler_request req;
		int fd[2], rc = 0;

		if (poll(p, p[1].fd < 0 ? 1 : 2, p[1].fd < 0 ? 1000 : -1) > 0 && p[0].revents)
			rc = receive(ctl, &req, fd);
		if (rc < 0)
			_exit(0);
		if (!rc)
			continue;
		serve(ctl, &req, fd);
		close(fd[0]);
		close(fd[1]);
	}
	if (p[1].fd >= 0)
		close(p[1].fd);
}

/* False: it ended by itself, for control is gone. */
static bool was_killed(pid_t pid)
{
	int status = 0;
	pid_t got;

	/* Compilers that a killed helper left, and died of it, are ours to reap. */
	do
		got = waitpid(-1, &status, 0);
	while (got != pid && (got > 0 || errno == EINTR));
	return got == pid && WIFSIGNALED(status);
}

static void pause_ms(unsigned int ms)
{
	struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

static _Noreturn void keeper(int ctl)
{
	static const struct compiler_ended died = {.how = COMPILER_HELPER_DIED};
	unsigned int ms = RESTART_MIN_MS;

	for (;;) {
		int64_t born = (int64_t)clock_mono_ms();
		pid_t self = getpid(), pid;

		prctl(PR_SET_NAME, "postern-rulekeep", 0, 0, 0);
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
		pid = fork();
		if (pid == 0)
			helper(ctl, self); /* comes back: the keeper died, and we are it */
		else if (pid > 0 && !was_killed(pid))
			_exit(0);
		ms = (int64_t)clock_mono_ms() - born >= YOUNG_MS ? RESTART_MIN_MS : ms;
		pause_ms(ms);
		ms = ms * 2 > RESTART_MAX_MS ? RESTART_MAX_MS : ms * 2;
		if (pid >= 0)
			(void)send(ctl, &died, sizeof(died), MSG_NOSIGNAL | MSG_DONTWAIT);
	}
}

_Noreturn void compiler_helper(int ctl, const char *user)
{
	char err[256];

	signal(SIGINT, SIG_IGN); /* a terminal's ^C is control's business; we follow its end */
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	umask(0077);
	if (sandbox_enter(user, false, err, sizeof(err))) {
		fprintf(stderr, "postern-control: compiler of rules: %s\n", err);
		_exit(1);
	}
	keeper(ctl);
}
