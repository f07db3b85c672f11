/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* How a connection becomes the control: kernel credentials, HELLO, one at a time, WELCOME. */

#include "dataplane/handoff/link_internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define HELLO_MS 2000u

static void refuse(struct dp_link *l, int fd, int error, const char *text)
{
	l->stats.refused++;
	dp_link_send_text(fd, LINK_REFUSED, 0, error, text, strlen(text));
	dp_link_note(l, "control refused: %s", text);
}

static bool allowed(const struct dp_link_opts *o, const struct ucred *c)
{
	if (c->uid == 0 || c->uid == geteuid())
		return true;
	if (o->allow_uid >= 0 && c->uid == (uid_t)o->allow_uid)
		return true;
	return o->allow_gid >= 0 && c->gid == (gid_t)o->allow_gid;
}

static int peer_pidfd(int fd, pid_t pid)
{
	int pidfd = -1;
	socklen_t n = sizeof(pidfd);

	/* Linux 6.5: of the process that connected, even if its number was given away since. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &n) == 0)
		return pidfd;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	return pidfd < 0 ? -errno : pidfd;
}

void dp_link_drop_pending(struct dp_link *l)
{
	if (l->pending.fd >= 0)
		close(l->pending.fd);
	if (l->pending.pidfd >= 0)
		close(l->pending.pidfd);
	l->pending.fd = l->pending.pidfd = -1;
}

void dp_link_accept(struct dp_link *l)
{
	int fd = accept4(l->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred cred;
	socklen_t n = sizeof(cred);
	char text[128];
	int pidfd;

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0 || !allowed(&l->opts, &cred)) {
		snprintf(text, sizeof(text), "uid %ld may not be control", (long)cred.uid);
		refuse(l, fd, EPERM, text);
		goto out;
	}
	if (l->pending.fd >= 0) {
		refuse(l, fd, EBUSY, "another connection is saying hello");
		goto out;
	}
	pidfd = peer_pidfd(fd, cred.pid);
	if (pidfd < 0) {
		snprintf(text, sizeof(text), "no pidfd for process %ld: %s", (long)cred.pid,
			 strerror(-pidfd));
		refuse(l, fd, -pidfd, text);
		goto out;
	}
	l->pending.fd = fd;
	l->pending.pidfd = pidfd;
	l->pending.deadline_ms = dp_link_now_ms() + HELLO_MS;
	return;
out:
	close(fd);
}

/* 0, or a positive errno and why. */
static int check_hello(const uint8_t *p, size_t n, struct link_hello *h, char *text, size_t cap)
{
	uint64_t hash = handoff_layout_hash(POSTERN_DP_COUNTER_COUNT);

	*h = (struct link_hello){0};
	memcpy(h, p, n < sizeof(*h) ? n : sizeof(*h));
	if (n < offsetof(struct link_hello, layout_hash) || h->head.type != LINK_HELLO ||
	    h->magic != HANDOFF_MAGIC) {
		snprintf(text, cap, "the first packet is no hello");
		return EPROTO;
	}
	if (h->version != HANDOFF_VERSION) {
		snprintf(text, cap, "control speaks version %u, the dataplane %u: install the same "
			 "release of both", h->version, HANDOFF_VERSION);
		return EPROTO;
	}
	if (n != sizeof(*h)) {
		snprintf(text, cap, "hello of %zu octets, not %zu", n, sizeof(*h));
		return EPROTO;
	}
	if (h->layout_hash != hash) {
		snprintf(text, cap, "shared memory layout differs (control %016llx, dataplane "
			 "%016llx): install the same build of both",
			 (unsigned long long)h->layout_hash, (unsigned long long)hash);
		return EPROTO;
	}
	if (h->n_loops < 1 || h->n_loops > HANDOFF_MAX_LOOPS) {
		snprintf(text, cap, "%u loops, not 1 to %u", h->n_loops, HANDOFF_MAX_LOOPS);
		return EINVAL;
	}
	return 0;
}

static int send_welcome(struct dp_link *l)
{
	struct dp_epoch *e = l->epoch;
	struct link_welcome w = {
		.head.type = LINK_WELCOME,
		.magic = HANDOFF_MAGIC,
		.version = HANDOFF_VERSION,
		.layout_hash = handoff_layout_hash(POSTERN_DP_COUNTER_COUNT),
		.epoch = e->id,
		.n_workers = e->n_workers,
		.n_loops = e->n_loops,
		.arena_size = l->arena->size,
		.slice_size = l->arena->slice,
		.n_records = l->arena->n_records,
		.n_chunks = l->arena->n_chunks,
		.rings_size = e->size,
		.counters_size = l->arena->counters_size,
		.max_message = l->arena->max_message,
	};
	struct iovec iov = {&w, sizeof(w)};
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * (3 + HANDOFF_MAX_LOOPS + HANDOFF_MAX_WORKERS))];
	} c = {0};
	int fd[3 + HANDOFF_MAX_LOOPS + HANDOFF_MAX_WORKERS];
	size_t n = 0;
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.buf};
	struct cmsghdr *h;

	fd[n++] = l->arena->arena_fd;
	fd[n++] = l->arena->counters_fd;
	fd[n++] = e->rings_fd;
	for (uint32_t i = 0; i < e->n_loops; i++)
		fd[n++] = e->bell_read[i];
	for (uint32_t i = 0; i < e->n_workers; i++)
		fd[n++] = l->meet.wake_ctl[i];
	m.msg_controllen = CMSG_SPACE(n * sizeof(int));
	h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(h), fd, n * sizeof(int));
	return sendmsg(l->pending.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int welcome(struct dp_link *l, uint32_t n_loops)
{
	int rc = dp_epoch_new(l->last_id + 1, l->arena->n_workers, n_loops, &l->epoch);

	if (rc)
		return rc;
	rc = send_welcome(l);
	if (rc) {
		dp_epoch_free(l->epoch);
		l->epoch = NULL;
		return rc;
	}
	return dp_link_promote(l, n_loops);
}

void dp_link_hello(struct dp_link *l)
{
	uint8_t buf[LINK_PACKET];
	struct link_hello h;
	int fds[LINK_MAX_FDS], rc;
	size_t n_fds = 0;
	char text[256];
	ssize_t n = dp_link_recv(l->pending.fd, buf, sizeof(buf), fds, &n_fds);

	for (size_t i = 0; i < n_fds; i++)
		close(fds[i]);
	if (n == -EAGAIN && dp_link_now_ms() < l->pending.deadline_ms)
		return;
	if (n <= 0) {
		refuse(l, l->pending.fd, n == -EAGAIN ? ETIMEDOUT : EPROTO, "no hello");
		goto out;
	}
	rc = check_hello(buf, (size_t)n, &h, text, sizeof(text));
	if (rc == 0 && l->state != DP_LINK_DOWN) {
		snprintf(text, sizeof(text), "%s", l->state == DP_LINK_UP ?
			 "another control is connected" : "the control before is not gone yet");
		rc = EBUSY;
	}
	if (rc) {
		refuse(l, l->pending.fd, rc, text);
		goto out;
	}
	rc = welcome(l, h.n_loops);
	if (rc == 0)
		return;
	snprintf(text, sizeof(text), "no rings: %s", strerror(-rc));
	refuse(l, l->pending.fd, -rc, text);
out:
	dp_link_drop_pending(l);
}
