/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The link: connect, HELLO, WELCOME, then acks and port lists until EOF; then all over again. */

#include "control/handoff/internal.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKOFF_MIN_MS 100u
#define BACKOFF_MAX_MS 1000u
#define PACKET (LINK_TEXT + 1024u)

_Static_assert(sizeof(struct link_msg) + LINK_TEXT <= PACKET, "packet");

struct ctl_link {
	struct ctl_link_opts opts;
	struct sockaddr_un addr;
	int fd;
	struct event *readable, *retry;
	uint32_t backoff_ms;
	struct ctl_epoch *epoch; /* NULL: not welcomed (yet) */
};

static void again_later(struct ctl_link *l)
{
	const struct timeval tv = {l->backoff_ms / 1000, (l->backoff_ms % 1000) * 1000};

	evtimer_add(l->retry, &tv);
	l->backoff_ms = l->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : l->backoff_ms * 2;
}

static void hang_up(struct ctl_link *l)
{
	if (l->readable)
		event_free(l->readable);
	l->readable = NULL;
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

/* Not welcomed: says why and tries again. */
static void give_up(struct ctl_link *l, int error, const char *text)
{
	hang_up(l);
	again_later(l);
	if (l->opts.ops.on_refused)
		l->opts.ops.on_refused(l->opts.arg, error, text);
}

static void down(struct ctl_link *l)
{
	struct ctl_epoch *e = l->epoch;

	hang_up(l);
	l->epoch = NULL;
	ctl_epoch_kill(e);
	l->backoff_ms = BACKOFF_MIN_MS;
	again_later(l);
	if (l->opts.ops.on_down)
		l->opts.ops.on_down(l->opts.arg, e);
	ctl_epoch_unref(e);
}

/* ---- packets ------------------------------------------------------------------------------- */

static size_t take_fds(struct msghdr *m, int *fd)
{
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < k; i++) {
			int one;

			memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof(one));
			if (n < CTL_WELCOME_FDS)
				fd[n++] = one;
			else
				close(one);
		}
	}
	return n;
}

static ssize_t receive(int fd, uint8_t *buf, size_t cap, int *fds, size_t *n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * CTL_WELCOME_FDS)];
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

/* Text behind the head, if the packet is whole. */
static bool text_of(const uint8_t *p, size_t n, const struct link_msg *head, struct str *text)
{
	if (head->text_len > LINK_TEXT || n != sizeof(*head) + head->text_len)
		return false;
	*text = str_make(p + sizeof(*head), head->text_len);
	return true;
}

static void welcomed(struct ctl_link *l, const uint8_t *p, size_t n, const int *fds, size_t n_fds)
{
	struct link_welcome w = {0};
	const char *why = "welcome of wrong size";
	int rc;

	memcpy(&w, p, n < sizeof(w) ? n : sizeof(w));
	if (n != sizeof(w)) {
		for (size_t i = 0; i < n_fds; i++)
			close(fds[i]);
		give_up(l, EPROTO, why);
		return;
	}
	rc = ctl_epoch_new(&w, l->opts.n_loops, fds, n_fds, &l->epoch, &why);
	if (rc) {
		give_up(l, -rc, why);
		return;
	}
	l->backoff_ms = BACKOFF_MIN_MS;
	if (l->opts.ops.on_up)
		l->opts.ops.on_up(l->opts.arg, l->epoch);
}

static void greeting(struct ctl_link *l, const uint8_t *p, size_t n, const int *fds, size_t n_fds)
{
	struct link_msg head = {0};
	char text[LINK_TEXT + 1] = "the answer to hello is no packet of this protocol";
	int error = EPROTO;
	struct str s;

	memcpy(&head, p, n < sizeof(head) ? n : sizeof(head));
	if (head.type == LINK_WELCOME) {
		welcomed(l, p, n, fds, n_fds);
		return;
	}
	for (size_t i = 0; i < n_fds; i++)
		close(fds[i]);
	if (head.type == LINK_REFUSED && text_of(p, n, &head, &s)) {
		error = head.error > 0 ? head.error : EPROTO;
		snprintf(text, sizeof(text), "%.*s", STR_FMT(s));
	}
	give_up(l, error, text);
}

static void reply(struct ctl_link *l, const uint8_t *p, size_t n)
{
	struct link_msg head = {0};
	struct str s;

	memcpy(&head, p, n < sizeof(head) ? n : sizeof(head));
	if (!text_of(p, n, &head, &s))
		return;
	if (head.type == LINK_PUSH_ACK && l->opts.ops.on_push_ack)
		l->opts.ops.on_push_ack(l->opts.arg, head.generation, head.error, s);
	else if (head.type == LINK_PORTS_REPLY && l->opts.ops.on_ports)
		l->opts.ops.on_ports(l->opts.arg, s);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct ctl_link *l = arg;
	uint8_t buf[PACKET];
	int fds[CTL_WELCOME_FDS];
	size_t n_fds;
	ssize_t n = receive(fd, buf, sizeof(buf), fds, &n_fds);

	(void)what;
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n > 0 && !l->epoch) {
		greeting(l, buf, (size_t)n, fds, n_fds);
		return;
	}
	for (size_t i = 0; i < n_fds; i++)
		close(fds[i]);
	if (n > 0)
		reply(l, buf, (size_t)n);
	else if (n == -EMSGSIZE && l->epoch)
		return; /* a packet of no type that we know; the next one may be */
	else if (l->epoch)
		down(l);
	else
		give_up(l, n == 0 ? ECONNRESET : (int)-n, "the dataplane hung up");
}

/* ---- connect ------------------------------------------------------------------------------- */

static int say_hello(struct ctl_link *l)
{
	struct link_hello h = {
		.head.type = LINK_HELLO,
		.magic = HANDOFF_MAGIC,
		.version = HANDOFF_VERSION,
		.layout_hash = handoff_layout_hash(POSTERN_DP_COUNTER_COUNT),
		.n_loops = l->opts.n_loops,
		.pid = (uint32_t)getpid(),
	};

	/* EPIPE: it refused at once and closed; its reason can still be read. */
	if (send(l->fd, &h, sizeof(h), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EPIPE)
		return -errno;
	l->readable = event_new(l->opts.base, l->fd, EV_READ | EV_PERSIST, on_readable, l);
	return l->readable && event_add(l->readable, NULL) == 0 ? 0 : -ENOMEM;
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct ctl_link *l = arg;
	int rc = 0;

	(void)fd;
	(void)what;
	l->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* A UNIX socket connects at once or not at all (EAGAIN: backlog full). */
	if (l->fd < 0 || connect(l->fd, (struct sockaddr *)&l->addr, sizeof(l->addr)) < 0)
		rc = -errno;
	if (rc == 0)
		rc = say_hello(l);
	if (rc)
		give_up(l, -rc, strerror(-rc));
}

int ctl_link_connect(const struct ctl_link_opts *opts, struct ctl_link **out)
{
	const struct timeval now = {0, 0};
	size_t n = opts->path ? strlen(opts->path) : 0;
	struct ctl_link *l;

	if (!n || n >= sizeof(l->addr.sun_path) || opts->n_loops < 1 ||
	    opts->n_loops > HANDOFF_MAX_LOOPS)
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->opts = *opts;
	l->opts.path = l->addr.sun_path;
	l->addr.sun_family = AF_UNIX;
	memcpy(l->addr.sun_path, opts->path, n);
	l->fd = -1;
	l->backoff_ms = BACKOFF_MIN_MS;
	l->retry = evtimer_new(opts->base, on_retry, l);
	if (!l->retry || evtimer_add(l->retry, &now) < 0) {
		ctl_link_free(l);
		return -ENOMEM;
	}
	*out = l;
	return 0;
}

void ctl_link_free(struct ctl_link *l)
{
	if (!l)
		return;
	hang_up(l);
	if (l->retry)
		event_free(l->retry);
	if (l->epoch) {
		ctl_epoch_kill(l->epoch);
		ctl_epoch_unref(l->epoch);
	}
	free(l);
}

struct ctl_epoch *ctl_link_epoch(const struct ctl_link *l)
{
	return l->epoch;
}

/* ---- requests ------------------------------------------------------------------------------ */

static int send_head(struct ctl_link *l, uint32_t type, uint32_t arg)
{
	struct link_msg m = {.type = type, .arg = arg};

	if (!l->epoch)
		return -ENOTCONN;
	return send(l->fd, &m, sizeof(m), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int ctl_link_drain(struct ctl_link *l, bool drain)
{
	return send_head(l, LINK_DRAIN, drain);
}

int ctl_link_ports(struct ctl_link *l)
{
	return send_head(l, LINK_PORTS, 0);
}

static int send_push(struct ctl_link *l, const struct link_push *p, const int *fd)
{
	struct iovec iov = {(void *)(uintptr_t)p, sizeof(*p)};
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * 16)];
	} c = {0};
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = c.buf,
		.msg_controllen = CMSG_SPACE(sizeof(int) * p->n_fds),
	};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int) * p->n_fds);
	memcpy(CMSG_DATA(h), fd, sizeof(int) * p->n_fds);
	return sendmsg(l->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* file: a memfd, which it takes, or -errno. */
static int add_file(struct link_push *p, int *fd, uint8_t kind, int file, size_t n)
{
	if (file < 0)
		return file;
	fd[p->n_fds] = file;
	p->fd[p->n_fds].kind = kind;
	p->fd[p->n_fds++].size = n;
	return 0;
}

static int dup_of(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return copy < 0 ? -errno : copy;
}

int ctl_link_rules(const void *rules, size_t len)
{
	return ctl_memfd("postern-rules", rules, len);
}

int ctl_link_push(struct ctl_link *l, uint64_t generation, const struct handoff_config *config,
		  const void *tls, size_t tls_len, int rules, size_t rules_len)
{
	struct link_push p = {.head = {.type = LINK_PUSH, .generation = generation}};
	struct handoff_config c = *config;
	int fd[3], rc;

	if (!l->epoch)
		return -ENOTCONN;
	if (!generation)
		return -EINVAL;
	c.magic = HANDOFF_MAGIC;
	c.size = sizeof(c);
	c.generation = generation;
	rc = add_file(&p, fd, PUSH_CONFIG, ctl_memfd("postern-config", &c, sizeof(c)), sizeof(c));
	if (rc == 0 && tls)
		rc = add_file(&p, fd, PUSH_TLS, ctl_memfd("postern-tls", tls, tls_len), tls_len);
	if (rc == 0 && rules >= 0)
		rc = add_file(&p, fd, PUSH_RULES, dup_of(rules), rules_len);
	if (rc == 0)
		rc = send_push(l, &p, fd);
	for (uint32_t i = 0; i < p.n_fds; i++)
		close(fd[i]);
	return rc;
}
