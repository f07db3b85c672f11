/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Sockets and TLS. A connection whose reply is delayed is not read from until it left. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sink.h"

static int epfd = -1;
static SSL_CTX *ctx;
/* Connections with delayed replies: delays differ by stage, so it is searched. */
static struct sink_conn *due;
static struct sink_conn *all;

uint64_t sink_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

int conn_epoll(void)
{
	if (epfd < 0)
		epfd = epoll_create1(EPOLL_CLOEXEC);
	if (epfd < 0)
		die("epoll");
	return epfd;
}

SSL_CTX *conn_tls(void)
{
	if (!options.cert)
		return NULL;
	ctx = SSL_CTX_new(TLS_server_method());
	if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, options.cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, options.key, SSL_FILETYPE_PEM) != 1) {
		ERR_print_errors_fp(stderr);
		exit(1);
	}
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"sink", 4);
	return ctx;
}

int conn_listen(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};

	if (inet_pton(AF_INET, options.address, &a.sin_addr) != 1) {
		fprintf(stderr, "sink: %s is no IPv4 address\n", options.address);
		exit(2);
	}
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 1024) ||
	    epoll_ctl(conn_epoll(), EPOLL_CTL_ADD, fd, &ev))
		die("listen");
	return fd;
}

static void undue(struct sink_conn *c)
{
	if (!c->due_ns)
		return;
	c->due_ns = 0;
	if (c->prev_due)
		c->prev_due->next_due = c->next_due;
	else
		due = c->next_due;
	if (c->next_due)
		c->next_due->prev_due = c->prev_due;
	c->next_due = c->prev_due = NULL;
}

static void gone(struct sink_conn *c)
{
	if (c->state != SINK_COMMAND || c->mail)
		books.aborted++;
	undue(c);
	if (c->prev)
		c->prev->next = c->next;
	else
		all = c->next;
	if (c->next)
		c->next->prev = c->prev;
	SSL_free(c->ssl);
	EVP_MD_CTX_free(c->digest);
	close(c->fd);
	free(c);
}

void conn_put(struct sink_conn *c, const char *text, unsigned int delay_ms)
{
	size_t n = strlen(text);

	if (n > SINK_OUT - c->n_out) { /* a client that pipelines and never reads */
		c->closing = true;
		return;
	}
	memcpy(c->out + c->n_out, text, n);
	c->n_out += n;
	if (!delay_ms)
		return;
	undue(c);
	c->due_ns = sink_now_ns() + (uint64_t)delay_ms * 1000000u;
	c->next_due = due;
	if (due)
		due->prev_due = c;
	due = c;
}

void conn_start_tls(struct sink_conn *c)
{
	c->handshake = true;
}

static void watch(struct sink_conn *c, bool out)
{
	struct epoll_event ev = {.events = EPOLLIN | (out ? EPOLLOUT : 0u), .data.ptr = c};

	if (c->due_ns)
		ev.events &= ~(uint32_t)EPOLLIN;
	epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &ev);
}

/* > 0 octets, 0 not now, < 0 over. */
static ssize_t tls_result(struct sink_conn *c, int rc)
{
	int e;

	if (rc > 0)
		return rc;
	e = SSL_get_error(c->ssl, rc);
	ERR_clear_error();
	c->want_write = e == SSL_ERROR_WANT_WRITE;
	return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static ssize_t put(struct sink_conn *c)
{
	ssize_t n;

	if (c->ssl)
		return tls_result(c, SSL_write(c->ssl, c->out, (int)c->n_out));
	n = send(c->fd, c->out, c->n_out, MSG_NOSIGNAL);
	return n >= 0 ? n : errno == EAGAIN ? 0 : -1;
}

static ssize_t get(struct sink_conn *c)
{
	ssize_t n;

	if (c->ssl)
		return tls_result(c, SSL_read(c->ssl, c->in + c->n_in, (int)(SINK_IN - c->n_in)));
	n = read(c->fd, c->in + c->n_in, SINK_IN - c->n_in);
	return n > 0 ? n : n < 0 && errno == EAGAIN ? 0 : -1;
}

/* False: the connection is over. */
static bool flush(struct sink_conn *c)
{
	while (c->n_out && !c->due_ns) {
		ssize_t n = put(c);

		if (n < 0)
			return false;
		if (!n)
			break;
		memmove(c->out, c->out + n, c->n_out - (size_t)n);
		c->n_out -= (size_t)n;
	}
	return !(c->closing && !c->n_out);
}

static bool shake(struct sink_conn *c)
{
	ssize_t rc;

	if (!c->ssl) {
		if (c->n_out) /* the 220 goes out in clear */
			return true;
		c->ssl = SSL_new(ctx);
		if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1)
			return false;
	}
	rc = tls_result(c, SSL_accept(c->ssl));
	if (rc > 0) {
		c->handshake = false;
		books.tls++;
		books.tls_resumed += (uint64_t)SSL_session_reused(c->ssl);
	}
	return rc >= 0;
}

/* Reads, answers and writes for as long as there is something to do. False: over. */
static bool turn(struct sink_conn *c)
{
	for (;;) {
		ssize_t n;

		if (!flush(c))
			return false;
		if (c->handshake && !shake(c))
			return false;
		if (c->handshake)
			return true;
		if (c->due_ns)
			return true;
		n = get(c);
		if (n <= 0)
			return n == 0;
		c->n_in += (size_t)n;
		smtp_feed(c);
		if (c->n_in == SINK_IN) /* a command line of this length */
			return false;
	}
}

void conn_event(struct sink_conn *c, uint32_t events)
{
	bool out;

	if ((events & (EPOLLERR | EPOLLHUP)) || !turn(c)) {
		gone(c);
		return;
	}
	out = (c->n_out && !c->due_ns) || c->want_write;
	c->want_write = false;
	watch(c, out);
}

void conn_accept(int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
		struct epoll_event ev = {.events = EPOLLIN};
		struct sink_conn *c;

		if (fd < 0)
			return;
		c = malloc(sizeof(*c));
		if (!c)
			die("memory");
		memset(c, 0, offsetof(struct sink_conn, in));
		c->fd = fd;
		c->next = all;
		if (all)
			all->prev = c;
		all = c;
		c->serial = ++books.connections;
		ev.data.ptr = c;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev))
			die("epoll");
		smtp_greet(c);
		conn_event(c, 0);
	}
}

void conn_end(void)
{
	while (all)
		gone(all);
	SSL_CTX_free(ctx);
}

int conn_due(void)
{
	uint64_t now = sink_now_ns(), first = UINT64_MAX;

	for (struct sink_conn *c = due, *next; c; c = next) {
		next = c->next_due;
		if (c->due_ns > now) {
			first = c->due_ns < first ? c->due_ns : first;
			continue;
		}
		undue(c);
		conn_event(c, 0);
	}
	return first == UINT64_MAX ? -1 : (int)((first - now) / 1000000u) + 1;
}
