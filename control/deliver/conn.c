/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/deliver/address.h"
#include "control/deliver/internal.h"

#define QUIT_WAIT_MS 2000
#define NOTSENT_LOWAT (128 * 1024)

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	if (c->state == CONN_IDLE)
		conn_quit(c);
	else
		session_failed(c, c->state == CONN_CONNECT ? END_CONNECT : END_TIMEOUT);
}

struct conn *conn_new(struct host *h)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->d = h->pool->d;
	c->host = h;
	c->fd = -1;
	c->state = CONN_RESOLVE;
	evtimer_assign(&c->timer, c->d->base, on_timer, c);
	TAILQ_INSERT_TAIL(&h->busy, c, link);
	return c;
}

void conn_deadline(struct conn *c, unsigned int ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};

	evtimer_add(&c->timer, &tv);
}

ssize_t conn_recv(struct conn *c, void *buf, size_t n)
{
	return c->tls ? tls_recv(c, buf, n) : recv(c->fd, buf, n, 0);
}

ssize_t conn_send(struct conn *c, const void *p, size_t n, bool more)
{
	return c->tls ? tls_send(c, p, n) : send(c->fd, p, n, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
}

ssize_t conn_sendv(struct conn *c, const struct iovec *v, size_t n, bool more)
{
	struct msghdr mh = {.msg_iov = (struct iovec *)(uintptr_t)v, .msg_iovlen = n};

	return c->tls ? tls_sendv(c, v, n) : sendmsg(c->fd, &mh, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
}

static void read_failed(struct conn *c, ssize_t n)
{
	if (n < 0 && (errno == EAGAIN || errno == EINTR) && !c->broken)
		return;
	if (n < 0 && c->fault != TLS_FAULT_NONE && !c->greeted) {
		c->state = CONN_TLS; /* what was said behind the handshake speaks of it */
		session_failed(c, END_TLS);
		return;
	}
	session_failed(c, END_LOST);
}

/* The 220 to STARTTLS was read. RFC 3207 5: what was sent behind it, in clear, must never pass for
 * something said under TLS. */
static void start_tls(struct conn *c, bool more)
{
	uint8_t b;

	if (!more && recv(c->fd, &b, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
		conn_handshake(c);
		return;
	}
	c->fault = TLS_FAULT_INJECTED;
	tls_why(c, "octets in clear behind the reply to STARTTLS");
	session_failed(c, END_TLS);
}

static void feed(struct conn *c, const uint8_t *p, size_t n)
{
	size_t at = 0, used;

	while (at < n && c->state != CONN_DEAD) {
		enum reply_status st = reply_feed(&c->parser, p + at, n - at, &used);

		at += used;
		if (st == REPLY_MORE)
			return;
		if (st == REPLY_GARBAGE) {
			session_failed(c, END_GARBAGE);
			return;
		}
		session_reply(c);
		reply_reset(&c->parser);
		if (c->state == CONN_TLS) {
			start_tls(c, at < n);
			return;
		}
	}
}

/* Not before all that came was read: a reply too many is found, and no event is waited for to write what
 * the socket has room for. */
static void send_content(struct conn *c)
{
	if (c->state != CONN_BODY || !c->ready)
		return;
	c->ready = false;
	conn_flush(c);
	if (c->state == CONN_BODY && !c->out_n)
		body_writable(c);
}

static void on_read(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	uint8_t buf[4096];
	ssize_t n;

	(void)fd;
	(void)what;
	if (c->state == CONN_TLS) {
		conn_handshake(c);
		return;
	}
	/* What is decrypted already raises no event. */
	do {
		n = conn_recv(c, buf, sizeof(buf));
		if (n <= 0) {
			read_failed(c, n);
			return;
		}
		feed(c, buf, (size_t)n);
	} while (c->state != CONN_DEAD && tls_pending(c));
	send_content(c);
}

void conn_handshake(struct conn *c)
{
	if (!c->tls && tls_begin(c)) {
		session_failed(c, END_TLS);
		return;
	}
	switch (tls_handshake(c)) {
	case TLS_DONE:
		event_del(&c->wr);
		session_secured(c);
		return;
	case TLS_WANT_READ:
		event_del(&c->wr);
		return;
	case TLS_WANT_WRITE:
		conn_want_write(c);
		return;
	case TLS_GARBAGE:
		session_failed(c, END_GARBAGE);
		return;
	case TLS_FAILED:
		session_failed(c, END_TLS);
		return;
	default:
		session_failed(c, END_LOST);
	}
}

/* What the other side sees, unless somebody translates addresses in between. */
static void note_own_address(struct conn *c)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct ip_addr ip;

	if (c->transparent || getsockname(c->fd, (struct sockaddr *)&ss, &len))
		return; /* the client's: no reply that names it speaks of us */
	address_from_sockaddr(&ss, &ip);
	ip_format(&ip, c->own_text, sizeof(c->own_text));
}

static void on_write(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	if (c->state == CONN_TLS) {
		conn_handshake(c);
		return;
	}
	if (tls_read_again(c)) {
		on_read(fd, what, c);
		if (c->state == CONN_DEAD)
			return;
	}
	if (c->state == CONN_CONNECT) {
		int err = 0;
		socklen_t len = sizeof(err);

		event_del(&c->wr);
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) || err) {
			snprintf(c->host->last_error, sizeof(c->host->last_error), "connect: %s",
				 strerror(err));
			session_failed(c, END_CONNECT);
			return;
		}
		event_add(&c->rd, NULL);
		note_own_address(c);
		session_connected(c);
		return;
	}
	conn_flush(c);
	if (c->state != CONN_DEAD && c->out_n == 0)
		body_writable(c);
}

static int open_socket(struct conn *c)
{
	const struct host *h = c->host;
	struct sockaddr_storage ss;
	socklen_t len = address_to_sockaddr(&c->addr.ip, c->addr.port, &ss);
	int family = ip_is_v4(&c->addr.ip) ? 0 : 1;
	int one = 1, low = NOTSENT_LOWAT, sndbuf = c->d->tuning.sndbuf;

	c->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	/* Commands go out as whole groups. What the kernel holds unsent is kept small: it cannot be
	 * taken back when the client goes away. Both are wishes; failing costs only that. */
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, sizeof(low));
	if (sndbuf)
		setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
	if (c->x->route->transparent) {
		int rc = transparent_bind(c);

		if (rc)
			return rc;
	} else if (h->has_source[family]) {
		struct sockaddr_storage from;
		socklen_t n = address_to_sockaddr(&h->source[family], 0, &from);

		if (bind(c->fd, (struct sockaddr *)&from, n))
			return -errno;
	}
	if (connect(c->fd, (struct sockaddr *)&ss, len) && errno != EINPROGRESS)
		return -errno;
	return 0;
}

void conn_connect(struct conn *c, const struct address *a)
{
	const struct config_route *r = c->x->route;
	unsigned int ms = c->d->tuning.connect_ms;
	int err;

	c->addr = *a;
	ip_format(&a->ip, c->ip_text, sizeof(c->ip_text));
	snprintf(c->x->last_host, sizeof(c->x->last_host), "%s [%s]:%u", c->host->name, c->ip_text,
		 a->port);
	c->x->last_own[0] = '\0';
	c->state = CONN_CONNECT;
	c->asked_us = deliver_now_us();
	err = open_socket(c);
	if (err) {
		snprintf(c->host->last_error, sizeof(c->host->last_error), "connect: %s",
			 strerror(-err));
		session_failed(c, END_CONNECT);
		return;
	}
	event_assign(&c->rd, c->d->base, c->fd, EV_READ | EV_PERSIST, on_read, c);
	event_assign(&c->wr, c->d->base, c->fd, EV_WRITE | EV_PERSIST, on_write, c);
	c->events = true;
	event_add(&c->wr, NULL);
	conn_deadline(c, ms ? ms : r->connect_timeout_s * 1000u);
}

int conn_queue(struct conn *c, const char *fmt, ...)
{
	va_list ap;
	int n;

	for (;;) {
		size_t room = c->out_cap - c->out_n;
		uint8_t *p;

		va_start(ap, fmt);
		n = vsnprintf(c->out ? (char *)c->out + c->out_n : NULL, room, fmt, ap);
		va_end(ap);
		if (n < 0)
			return -EINVAL;
		if ((size_t)n < room) {
			c->out_n += (size_t)n;
			return 0;
		}
		p = realloc(c->out, c->out_n + (size_t)n + 1024);
		if (!p)
			return -ENOMEM;
		c->out = p;
		c->out_cap = c->out_n + (size_t)n + 1024;
	}
}

int conn_queue_raw(struct conn *c, const void *p, size_t n)
{
	if (c->out_cap - c->out_n < n) {
		uint8_t *more = realloc(c->out, c->out_n + n + 1024);

		if (!more)
			return -ENOMEM;
		c->out = more;
		c->out_cap = c->out_n + n + 1024;
	}
	memcpy(c->out + c->out_n, p, n);
	c->out_n += n;
	return 0;
}

void conn_want_write(struct conn *c)
{
	if (!event_pending(&c->wr, EV_WRITE, NULL))
		event_add(&c->wr, NULL);
}

/* A failed write ends nothing by itself: the next hop may have said why before it closed, and that is
 * read first. */
void conn_write_failed(struct conn *c)
{
	c->broken = true;
	c->out_n = c->out_at = 0;
	event_del(&c->wr);
	event_active(&c->rd, EV_READ, 0);
}

void conn_flush(struct conn *c)
{
	while (c->out_at < c->out_n) {
		/* "BDAT n LAST" goes out with the first of its octets. */
		ssize_t n = conn_send(c, c->out + c->out_at, c->out_n - c->out_at,
				      c->state == CONN_BODY);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			conn_want_write(c);
			return;
		}
		if (n < 0) {
			conn_write_failed(c);
			return;
		}
		c->out_at += (size_t)n;
	}
	c->out_n = c->out_at = 0;
	if (c->state != CONN_BODY && !tls_read_again(c))
		event_del(&c->wr);
}

bool conn_is_old(const struct conn *c)
{
	return c->age_us && deliver_now_us() - c->born_us >= c->age_us;
}

void conn_rest(struct conn *c)
{
	uint64_t age = deliver_now_us() - c->born_us;
	unsigned int ms = c->idle_ms ? c->idle_ms : 1;

	if (conn_is_old(c)) {
		conn_quit(c);
		return;
	}
	if (c->age_us && (c->age_us - age) / 1000 < ms)
		ms = (unsigned int)((c->age_us - age) / 1000) + 1;
	conn_deadline(c, ms);
	pool_idle(c);
}

bool conn_alive(struct conn *c)
{
	uint8_t b;

	/* An octet is as bad as the end: nothing was asked (mostly it is "421 idle too long"). */
	if (c->tls) {
		if (tls_quiet(c))
			return true;
		/* Looking took it from the socket, which will not tell of it any more. */
		event_active(&c->rd, EV_READ, 0);
		return false;
	}
	return recv(c->fd, &b, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

void conn_close(struct conn *c, bool abort)
{
	if (c->state == CONN_DEAD)
		return;
	evtimer_del(&c->timer);
	if (c->events) {
		event_del(&c->rd);
		event_del(&c->wr);
		c->events = false;
	}
	tls_end(c, abort);
	if (c->fd >= 0) {
		struct linger now = {.l_onoff = 1, .l_linger = 0};

		if (abort)
			setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(c->fd);
		c->fd = -1;
	}
	if (c->host)
		pool_leave(c);
	else
		TAILQ_REMOVE(&c->d->quitting, c, link);
	pool_left(c);
	c->state = CONN_DEAD;
	TAILQ_INSERT_TAIL(&c->d->dead, c, link);
	deliver_kick(c->d);
}

void conn_quit(struct conn *c)
{
	pool_leave(c);
	c->state = CONN_QUIT;
	TAILQ_INSERT_TAIL(&c->d->quitting, c, link);
	conn_deadline(c, QUIT_WAIT_MS);
	if (conn_queue(c, "QUIT\r\n")) {
		conn_close(c, false);
		return;
	}
	conn_flush(c);
}

void conn_free(struct conn *c)
{
	free(c->out);
	free(c);
}
