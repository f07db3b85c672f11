/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>

#include "control/sts/fake_https.h"

static void on_request(struct bufferevent *bev, void *arg)
{
	struct fake_https *l = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t n = evbuffer_get_length(in);

	if (n >= sizeof(l->request))
		n = sizeof(l->request) - 1;
	evbuffer_copyout(in, l->request, n);
	l->request[n] = '\0';
	if (!strstr(l->request, "\r\n\r\n") || !l->says)
		return;
	evbuffer_drain(in, n);
	l->requests++;
	bufferevent_write(bev, l->says, strlen(l->says));
}

static void on_drained(struct bufferevent *bev, void *arg)
{
	struct fake_https *l = arg;

	/* What has no length ends with the connection. */
	if (l->requests && evbuffer_get_length(bufferevent_get_output(bev)) == 0)
		SSL_shutdown(bufferevent_openssl_get_ssl(bev));
	if (l->requests)
		shutdown(bufferevent_getfd(bev), SHUT_WR);
}

static void on_accept(struct evconnlistener *ln, evutil_socket_t fd, struct sockaddr *sa, int len,
		      void *arg)
{
	struct fake_https *l = arg;
	struct bufferevent *bev = bufferevent_openssl_socket_new(
		l->base, fd, SSL_new(l->ctx), BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);

	(void)ln;
	(void)sa;
	(void)len;
	assert_true(l->n_open < sizeof(l->open) / sizeof(l->open[0]));
	l->open[l->n_open++] = bev;
	bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	bufferevent_setcb(bev, on_request, on_drained, NULL, l);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

struct fake_https *fake_https_new(struct event_base *base, const struct fake_cert *cert,
				  const char *says)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	struct fake_https *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	l->base = base;
	l->ctx = fake_server(cert, NULL);
	l->says = says;
	l->listener = evconnlistener_new_bind(base, on_accept, l, LEV_OPT_CLOSE_ON_FREE, 16,
					      (struct sockaddr *)&in, sizeof(in));
	assert_non_null(l->listener);
	getsockname(evconnlistener_get_fd(l->listener), (struct sockaddr *)&in, &len);
	l->port = ntohs(in.sin_port);
	return l;
}

void fake_https_free(struct fake_https *l)
{
	for (size_t i = 0; i < l->n_open; i++)
		bufferevent_free(l->open[i]);
	evconnlistener_free(l->listener);
	SSL_CTX_free(l->ctx);
	free(l);
}
