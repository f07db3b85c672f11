/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/cli/line.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_MAX_OCTETS (16u * 1024 * 1024)

int line_open(struct line_client *c, const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int rc;

	*c = (struct line_client){.fd = -1};
	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return -errno;
	if (!connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)))
		return 0;
	rc = -errno; /* EAGAIN: it has too many to take */
	line_close(c);
	return rc;
}

void line_close(struct line_client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	free(c->buf);
	*c = (struct line_client){.fd = -1};
}

int line_send(struct line_client *c, const char *text)
{
	struct iovec part[2] = {{(void *)(uintptr_t)text, strlen(text)}, {(char[]){'\n'}, 1}};
	struct msghdr m = {.msg_iov = part, .msg_iovlen = 2};
	ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL);

	if (n < 0)
		return -errno;
	return (size_t)n == part[0].iov_len + 1 ? 0 : -EMSGSIZE;
}

/* 0: there was nothing. */
static int more(struct line_client *c)
{
	ssize_t n;

	if (c->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 1 << 14;
		char *p = cap <= LINE_MAX_OCTETS ? realloc(c->buf, cap) : NULL;

		if (!p)
			return -EMSGSIZE;
		c->buf = p;
		c->cap = cap;
	}
	n = recv(c->fd, c->buf + c->n, c->cap - c->n, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	c->n += (size_t)n;
	return n ? 1 : -ECONNRESET;
}

int line_next(struct line_client *c, char **line)
{
	size_t looked = 0;

	if (c->taken) {
		memmove(c->buf, c->buf + c->taken, c->n - c->taken);
		c->n -= c->taken;
		c->taken = 0;
	}
	for (;;) {
		char *end = c->n > looked ? memchr(c->buf + looked, '\n', c->n - looked) : NULL;
		int rc;

		if (end) {
			*end = '\0';
			*line = c->buf;
			c->taken = (size_t)(end - c->buf) + 1;
			return 1;
		}
		looked = c->n;
		rc = more(c);
		if (rc <= 0)
			return rc;
	}
}
