/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The life of a peer: UP -> (EOF, protocol fault, broken ring, no heartbeat) LOST -> (process exit
 * seen by pidfd) GONE -> (no worker reads the epoch any more) DOWN.
 *
 * Nothing of an epoch is reclaimed before the process is gone: it may be writing a message to a
 * next hop from our memory, and that message may be acknowledged there.
 */

#include "dataplane/handoff/link_internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 100         /* while there is somebody to watch */
#define STALL_STEP_MS 250u  /* of our own absence that counts against control at most */
#define KILL_RETRY_MS 1000u

uint64_t dp_link_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void dp_link_note(struct dp_link *l, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (!l->opts.ops.on_note)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	l->opts.ops.on_note(l->opts.arg, text);
}

/* ---- packets ------------------------------------------------------------------------------- */

static size_t take_fds(struct msghdr *m, int *fds)
{
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < k; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (n < LINK_MAX_FDS)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
	return n;
}

ssize_t dp_link_recv(int fd, uint8_t *buf, size_t cap, int *fds, size_t *n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * LINK_MAX_FDS)];
	} c;
	struct iovec iov = {buf, cap};
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = c.buf,
		.msg_controllen = sizeof(c.buf),
	};
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*n_fds = 0;
	if (n < 0)
		return -errno;
	*n_fds = take_fds(&m, fds);
	return m.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -EMSGSIZE : n;
}

int dp_link_send_text(int fd, uint32_t type, uint64_t generation, int error, const char *text,
		      size_t n)
{
	struct link_msg head = {
		.type = type,
		.generation = generation,
		.error = error,
		.text_len = (uint32_t)(n > LINK_TEXT ? LINK_TEXT : n),
	};
	struct iovec iov[2] = {{&head, sizeof(head)}, {(void *)(uintptr_t)text, head.text_len}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};

	return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* ---- from UP to LOST ----------------------------------------------------------------------- */

static void kill_peer(struct dp_link *l)
{
	uint64_t now = dp_link_now_ms();
	int rc;

	if (now < l->peer.next_kill_ms)
		return;
	if (l->opts.kill)
		rc = l->opts.kill(l->opts.arg, l->peer.pidfd);
	else
		rc = syscall(SYS_pidfd_send_signal, l->peer.pidfd, SIGKILL, NULL, 0) < 0 ? -errno
											 : 0;
	if (rc == 0 || rc == -ESRCH) {
		l->stats.killed += rc == 0;
		l->peer.next_kill_ms = UINT64_MAX;
		return;
	}
	l->peer.next_kill_ms = now + KILL_RETRY_MS;
	dp_link_note(l, "control cannot be killed (%s): what it holds stays pinned",
		     strerror(-rc));
}

/* at_once: it is hung or mad; else it closed its socket and may be about to exit. */
static void lose_peer(struct dp_link *l, bool at_once, const char *why)
{
	if (l->state != DP_LINK_UP)
		return;
	dp_link_note(l, "control lost: %s", why);
	close(l->peer.fd);
	l->peer.fd = -1;
	l->peer.lost_ms = dp_link_now_ms();
	l->state = DP_LINK_LOST;
	atomic_store_explicit(&l->epoch->state, DP_EPOCH_S_LOST, memory_order_release);
	dp_meet_wake(&l->meet);
	if (at_once)
		kill_peer(l);
}

int dp_link_promote(struct dp_link *l, uint32_t n_loops)
{
	l->peer = (struct dp_peer){
		.fd = l->pending.fd,
		.pidfd = l->pending.pidfd,
		.n_loops = n_loops,
	};
	l->pending.fd = l->pending.pidfd = -1;
	l->state = DP_LINK_UP;
	l->last_id = l->epoch->id;
	l->last_ms = dp_link_now_ms();
	l->stats.epochs++;
	if (l->opts.ops.on_epoch_start)
		l->opts.ops.on_epoch_start(l->opts.arg, l->epoch->id, n_loops);
	atomic_store(&l->meet.current, l->epoch);
	dp_meet_wake(&l->meet);
	return 0;
}

static void watch_heartbeats(struct dp_link *l, uint32_t elapsed)
{
	struct dp_peer *p = &l->peer;

	for (uint32_t i = 0; i < p->n_loops; i++) {
		uint64_t beat = atomic_load_explicit(&l->epoch->head->loop[i].heartbeat,
						     memory_order_relaxed);
		char why[64];

		if (beat != p->beat[i]) {
			p->beat[i] = beat;
			p->stall_ms[i] = 0;
			continue;
		}
		p->stall_ms[i] += elapsed;
		if (p->stall_ms[i] < l->opts.heartbeat_ms)
			continue;
		snprintf(why, sizeof(why), "no heartbeat of loop %u", i);
		lose_peer(l, true, why);
		return;
	}
}

/* ---- from LOST to DOWN --------------------------------------------------------------------- */

static void peer_exited(struct dp_link *l)
{
	lose_peer(l, false, "its process ended");
	if (l->state != DP_LINK_LOST)
		return;
	close(l->peer.pidfd);
	l->peer.pidfd = -1;
	l->state = DP_LINK_GONE;
	atomic_store(&l->meet.current, NULL);
	atomic_store(&l->epoch->state, DP_EPOCH_S_GONE);
	dp_meet_wake(&l->meet);
}

static void try_retire(struct dp_link *l)
{
	uint64_t id = l->epoch->id;

	if (dp_meet_in_use(&l->meet, l->epoch))
		return;
	dp_epoch_free(l->epoch);
	l->epoch = NULL;
	l->state = DP_LINK_DOWN;
	if (l->opts.ops.on_epoch_end)
		l->opts.ops.on_epoch_end(l->opts.arg, id);
}

static void tick(struct dp_link *l)
{
	uint64_t now = dp_link_now_ms();
	uint64_t elapsed = now - l->last_ms;

	/* If we were stopped ourselves, so may control have been: that is not its fault. */
	if (elapsed > STALL_STEP_MS)
		elapsed = STALL_STEP_MS;
	l->last_ms = now;
	if (l->state == DP_LINK_UP && atomic_load(&l->epoch->broken))
		lose_peer(l, true, "it wrote garbage into a ring");
	if (l->state == DP_LINK_UP)
		watch_heartbeats(l, (uint32_t)elapsed);
	if (l->state == DP_LINK_LOST && now - l->peer.lost_ms >= l->opts.grace_ms)
		kill_peer(l);
	if (l->state == DP_LINK_GONE)
		try_retire(l);
}

/* ---- requests of the peer ------------------------------------------------------------------ */

static int reply_ports(struct dp_link *l)
{
	char buf[LINK_TEXT];
	size_t n = 0;

	if (l->opts.ops.on_ports)
		n = l->opts.ops.on_ports(l->opts.arg, buf, sizeof(buf));
	return dp_link_send_text(l->peer.fd, LINK_PORTS_REPLY, 0, 0, buf,
				 n > sizeof(buf) ? sizeof(buf) : n);
}

static int take_push(struct dp_link *l, const uint8_t *p, size_t n, const int *fds, size_t n_fds)
{
	struct link_msg head;
	char text[LINK_TEXT] = "";
	int error;

	memcpy(&head, p, sizeof(head));
	error = dp_push_take(&l->opts, l->arena->max_message, p, n, fds, n_fds, text,
			     sizeof(text));
	l->stats.pushes++;
	l->stats.pushes_refused += error != 0;
	return dp_link_send_text(l->peer.fd, LINK_PUSH_ACK, head.generation, error, text,
				 strnlen(text, sizeof(text)));
}

/* -EPROTO: not of this protocol. */
static int take_packet(struct dp_link *l, const uint8_t *p, size_t n, const int *fds, size_t n_fds)
{
	struct link_msg head;

	if (n < sizeof(head))
		return -EPROTO;
	memcpy(&head, p, sizeof(head));
	switch (head.type) {
	case LINK_PUSH:
		return take_push(l, p, n, fds, n_fds);
	case LINK_DRAIN:
		if (n != sizeof(head) || n_fds || head.arg > 1)
			return -EPROTO;
		if (l->opts.ops.on_drain)
			l->opts.ops.on_drain(l->opts.arg, head.arg == 1);
		return 0;
	case LINK_PORTS:
		return n != sizeof(head) || n_fds ? -EPROTO : reply_ports(l);
	default:
		return -EPROTO;
	}
}

static void peer_readable(struct dp_link *l)
{
	uint8_t buf[LINK_PACKET];
	int fds[LINK_MAX_FDS], rc;
	size_t n_fds = 0;
	ssize_t n = dp_link_recv(l->peer.fd, buf, sizeof(buf), fds, &n_fds);

	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n == 0) {
		lose_peer(l, false, "it closed the link");
	} else {
		rc = n < 0 ? (int)n : take_packet(l, buf, (size_t)n, fds, n_fds);
		if (rc) {
			l->stats.bad_packets++;
			lose_peer(l, false, rc == -EPROTO || rc == -EMSGSIZE ?
				  "it broke the protocol of the link" : strerror(-rc));
		}
	}
	for (size_t i = 0; i < n_fds; i++)
		close(fds[i]);
}

/* ---- open, poll, close --------------------------------------------------------------------- */

/* A socket file that nobody listens on is left over from a dataplane before us. */
static int remove_stale(const struct sockaddr_un *addr)
{
	struct stat st;
	int fd, rc = 0;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno == EAGAIN)
		rc = -EADDRINUSE;
	close(fd);
	if (rc == 0 && unlink(addr->sun_path) < 0 && errno != ENOENT)
		rc = -errno;
	return rc;
}

static int open_listener(struct dp_link *l)
{
	int rc = remove_stale(&l->addr);
	mode_t mask;

	if (rc)
		return rc;
	l->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->listen_fd < 0)
		return -errno;
	/* Its directory may be one that control writes: nothing is done to a name that may by now be a
	 * link to something else. */
	mask = umask(0117);
	rc = bind(l->listen_fd, (const struct sockaddr *)&l->addr, sizeof(l->addr)) < 0 ? -errno : 0;
	umask(mask);
	if (rc)
		return rc;
	/* Before listen(): until then nobody can connect. */
	if (l->opts.group >= 0 && lchown(l->addr.sun_path, (uid_t)-1, (gid_t)l->opts.group) < 0)
		return -errno;
	return listen(l->listen_fd, 8) < 0 ? -errno : 0;
}

int dp_link_new(const struct dp_link_opts *opts, struct dp_arena *arena, struct dp_link **out)
{
	size_t n = opts->path ? strlen(opts->path) : 0;
	struct dp_link *l;
	int rc;

	if (!n || n >= sizeof(l->addr.sun_path))
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->opts = *opts;
	l->opts.path = l->addr.sun_path;
	l->opts.heartbeat_ms = opts->heartbeat_ms ? opts->heartbeat_ms : 2000;
	l->opts.grace_ms = opts->grace_ms ? opts->grace_ms : 1000;
	l->opts.max_rules = opts->max_rules ? opts->max_rules : (uint64_t)1 << 30;
	l->addr.sun_family = AF_UNIX;
	memcpy(l->addr.sun_path, opts->path, n);
	l->arena = arena;
	l->listen_fd = l->pending.fd = l->pending.pidfd = l->peer.fd = l->peer.pidfd = -1;
	rc = dp_meet_open(&l->meet, arena->n_workers);
	if (rc == 0)
		rc = open_listener(l);
	if (rc) {
		/* Not ours to unlink when somebody else listens there. */
		if (l->listen_fd >= 0)
			close(l->listen_fd);
		dp_meet_close(&l->meet);
		free(l);
		return rc;
	}
	*out = l;
	return 0;
}

void dp_link_free(struct dp_link *l)
{
	if (!l)
		return;
	dp_link_drop_pending(l);
	if (l->peer.fd >= 0)
		close(l->peer.fd);
	if (l->peer.pidfd >= 0)
		close(l->peer.pidfd);
	close(l->listen_fd);
	unlink(l->addr.sun_path);
	dp_epoch_free(l->epoch);
	dp_meet_close(&l->meet);
	free(l);
}

int dp_link_poll(struct dp_link *l, int timeout_ms)
{
	struct pollfd p[4] = {
		{.fd = l->listen_fd, .events = POLLIN},
		{.fd = l->pending.fd, .events = POLLIN},
		{.fd = l->peer.fd, .events = POLLIN},
		{.fd = l->peer.pidfd, .events = POLLIN},
	};

	if ((l->state != DP_LINK_DOWN || l->pending.fd >= 0) &&
	    (timeout_ms < 0 || timeout_ms > POLL_MS))
		timeout_ms = POLL_MS;
	if (l->state == DP_LINK_GONE && timeout_ms > 1) /* workers let go any moment */
		timeout_ms = 1;
	if (poll(p, 4, timeout_ms) < 0 && errno != EINTR)
		return -errno;
	if (p[2].revents)
		peer_readable(l);
	if (p[3].revents)
		peer_exited(l);
	if (p[1].revents || (l->pending.fd >= 0 && dp_link_now_ms() >= l->pending.deadline_ms))
		dp_link_hello(l);
	if (p[0].revents)
		dp_link_accept(l);
	if (l->state != DP_LINK_DOWN)
		tick(l);
	return 0;
}

enum dp_link_state dp_link_state(const struct dp_link *l)
{
	return l->state;
}

void dp_link_stats(const struct dp_link *l, struct dp_link_stats *s)
{
	*s = l->stats;
}

struct dp_meet *dp_link_meet(struct dp_link *l)
{
	return &l->meet;
}
