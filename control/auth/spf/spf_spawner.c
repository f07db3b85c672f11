/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/auth/spf/spf_spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "control/auth/spf/spf_sandbox.h"
#include "control/auth/spf/spf_worker.h"

#define CHILDREN_MAX 32
#define NOBODY       65534
/* Between two helpers, doubled while they die young. */
#define RESTART_MIN_MS 20
#define RESTART_MAX_MS 1000
#define YOUNG_S        10

struct message {
	char op; /* 'S' spawn, 'K' kill; back: 'W' worker, 'F' failed, 'R' new helper */
	pid_t pid;
	int error;
};

static pid_t child[CHILDREN_MAX];

static _Noreturn void worker(int fd, pid_t helper)
{
	/* Started by root, the helper still is: no business of libspf2's. */
	if (geteuid() == 0 && (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY)))
		_exit(1);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != helper)
		_exit(1);
	prctl(PR_SET_NAME, "postern-spf", 0, 0, 0);
	/* Not 0 to 2: what a library says in its distress is no answer. */
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		_exit(1);
	spf_close_others(fd);
	spf_worker_main(fd);
}

static void reply(int ctl, const struct message *m, int pass)
{
	struct iovec iov = {(void *)(uintptr_t)m, sizeof(*m)};
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(sizeof(int))];
	} u;
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (pass >= 0) {
		struct cmsghdr *c;

		memset(&u, 0, sizeof(u));
		msg.msg_control = u.b;
		msg.msg_controllen = sizeof(u.b);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pass, sizeof(int));
	}
	/* Control is gone or stuck: the worker's socket closes with us, and so it ends. */
	(void)sendmsg(ctl, &msg, MSG_NOSIGNAL);
}

static void spawn(int ctl)
{
	struct message m = {.op = 'F', .error = EAGAIN};
	pid_t self = getpid();
	int sv[2] = {-1, -1}, size = 512 * 1024;
	size_t i = 0;

	while (i < CHILDREN_MAX && child[i])
		i++;
	if (i == CHILDREN_MAX || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0) {
		reply(ctl, &m, -1);
		return;
	}
	/* One request must fit the socket whole. */
	setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	m.pid = fork();
	if (m.pid == 0)
		worker(sv[1], self);
	if (m.pid < 0) {
		m.error = errno;
		reply(ctl, &m, -1);
	} else {
		child[i] = m.pid;
		m.op = 'W';
		m.error = 0;
		reply(ctl, &m, sv[0]);
	}
	close(sv[0]);
	close(sv[1]);
}

static void reap(void)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (size_t i = 0; i < CHILDREN_MAX; i++)
			if (child[i] == pid)
				child[i] = 0;
}

/* Only a child that is not reaped yet is killed: its id cannot have passed to another process. */
static void end_worker(pid_t pid)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (child[i] && child[i] == pid)
			kill(pid, SIGKILL);
}

/* Handlers that our parent installed are no use in its children. */
static void set_signals(void)
{
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* a terminal's ^C is control's business; we follow its end */
	signal(SIGTERM, SIG_IGN);
}

static _Noreturn void helper(int ctl)
{
	struct pollfd p[2] = {{.fd = ctl, .events = POLLIN}, {.events = POLLIN}};
	struct signalfd_siginfo si;
	struct message m;
	sigset_t set;

	prctl(PR_SET_NAME, "postern-spfmain", 0, 0, 0);
	setpgid(0, 0); /* with the workers: the keeper ends them by it */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_SETMASK, &set, NULL);
	p[1].fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	for (;;) {
		ssize_t n;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents) {
			while (read(p[1].fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
				;
			reap();
		}
		if (!p[0].revents)
			continue;
		n = recv(ctl, &m, sizeof(m), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (n != (ssize_t)sizeof(m))
			continue;
		if (m.op == 'S')
			spawn(ctl);
		else if (m.op == 'K')
			end_worker(m.pid);
	}
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (child[i])
			kill(child[i], SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	_exit(0);
}

static void pause_ms(unsigned int ms)
{
	struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

/* Waits for the helper's end and sees to it that none of its workers outlives it; those that are
 * orphans of older ones are reaped by the way. True: it ended by itself, for control is gone. */
static bool helper_ended(pid_t pid)
{
	int status = -1;
	siginfo_t si;

	do {
		while (waitid(P_ALL, 0, &si, WEXITED | WNOWAIT) < 0)
			if (errno != EINTR)
				return false;
		/* Not reaped yet, its number is still that of its group. */
		if (si.si_pid == pid)
			kill(-pid, SIGKILL);
		while (waitpid(si.si_pid, &status, 0) < 0 && errno == EINTR)
			;
	} while (si.si_pid != pid);
	return WIFEXITED(status);
}

static _Noreturn void keeper(int ctl)
{
	static const struct message restarted = {.op = 'R'};
	unsigned int ms = RESTART_MIN_MS;

	prctl(PR_SET_NAME, "postern-spfkeep", 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* a dead helper's workers are ours to reap */
	spf_close_others(ctl);
	set_signals();
	for (;;) {
		time_t born = time(NULL);
		pid_t pid = fork();

		if (pid == 0)
			helper(ctl);
		if (pid > 0 && helper_ended(pid)) {
			while (waitpid(-1, NULL, 0) > 0)
				;
			_exit(0);
		}
		ms = time(NULL) - born >= YOUNG_S ? RESTART_MIN_MS : ms;
		pause_ms(ms);
		ms = ms * 2 > RESTART_MAX_MS ? RESTART_MAX_MS : ms * 2;
		reply(ctl, &restarted, -1);
	}
}

int spf_spawner_start(pid_t *pid, int *fd)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) < 0)
		return -errno;
	*pid = fork();
	if (*pid < 0) {
		int rc = -errno;

		close(sv[0]);
		close(sv[1]);
		return rc;
	}
	if (*pid == 0)
		keeper(sv[1]);
	close(sv[1]);
	*fd = sv[0];
	return 0;
}

static int order(int fd, const struct message *m)
{
	return send(fd, m, sizeof(*m), MSG_NOSIGNAL) == (ssize_t)sizeof(*m) ? 0 : -errno;
}

int spf_spawner_want(int fd)
{
	struct message m = {.op = 'S'};

	return order(fd, &m);
}

int spf_spawner_kill(int fd, pid_t worker_pid)
{
	struct message m = {.op = 'K', .pid = worker_pid};

	return order(fd, &m);
}

int spf_spawner_next(int fd, pid_t *worker_pid, int *worker_fd, int *error)
{
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(sizeof(int))];
	} u;
	struct message m;
	struct iovec iov = {&m, sizeof(m)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = u.b,
			     .msg_controllen = sizeof(u.b)};
	struct cmsghdr *c;
	ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -EAGAIN : -EPIPE;
	if (n != (ssize_t)sizeof(m))
		return -EPIPE;
	if (m.op == 'R')
		return 2;
	c = CMSG_FIRSTHDR(&msg);
	if (m.op != 'W' || !c || c->cmsg_type != SCM_RIGHTS) {
		*error = m.error;
		return 0;
	}
	memcpy(worker_fd, CMSG_DATA(c), sizeof(int));
	*worker_pid = m.pid;
	return 1;
}
