/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The helper and the compilers that it forks. */

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
#include "postern/limits.h"

/* Mail goes first. */
#define NICE 10

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

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Its end, the end of its time, or the end of control, whatever comes first. */
static void wait_for(pid_t pid, int ctl, int64_t until_ms, struct compiler_ended *end)
{
	/* Not reaped yet, its number is still its own. */
	struct pollfd p[2] = {{.fd = pidfd_open(pid, 0), .events = POLLIN}, {.fd = ctl}};

	if (p[0].fd < 0)
		kill(pid, SIGKILL);
	while (p[0].fd >= 0) {
		int64_t left = until_ms - now_ms();
		int n = left > 0 ? poll(p, 2, left > 60000 ? 60000 : (int)left) : 0;

		if (n < 0 && errno != EINTR)
			break;
		if (n > 0 && p[0].revents)
			break;
		end->late = left <= 0;
		if (end->late || (n > 0 && p[1].revents)) {
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
	struct compiler_ended end = {0};
	int64_t until = now_ms() + (int64_t)req->cpu_s * 1000 * RULES_COMPILE_WALL;
	pid_t self = getpid(), pid = fork();

	if (pid == 0) {
		close(ctl);
		compile(req, fd, self);
	}
	if (pid < 0)
		end.error = errno;
	else
		wait_for(pid, ctl, until, &end);
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

_Noreturn void compiler_helper(int ctl, const char *user)
{
	char err[256];

	prctl(PR_SET_NAME, "postern-rulemain", 0, 0, 0);
	signal(SIGINT, SIG_IGN); /* a terminal's ^C is control's business; we follow its end */
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	umask(0077);
	if (sandbox_enter(user, err, sizeof(err))) {
		fprintf(stderr, "postern-control: compiler of rules: %s\n", err);
		_exit(1);
	}
	for (;;) {
		struct compiler_request req;
		int fd[2], rc = receive(ctl, &req, fd);

		if (rc < 0)
			_exit(0);
		if (!rc)
			continue;
		serve(ctl, &req, fd);
		close(fd[0]);
		close(fd[1]);
	}
}
