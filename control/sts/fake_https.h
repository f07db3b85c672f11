/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* For tests: an HTTPS server on loopback that gives one answer to everything. */

#include <event2/event.h>

#include "control/deliver/fake_tls.h"

struct evconnlistener;
struct bufferevent;

struct fake_https {
	struct event_base *base;
	struct evconnlistener *listener;
	SSL_CTX *ctx;
	uint16_t port;
	const char *says;        /* status line, header and content; NULL: nothing at all */
	unsigned int requests;
	char request[2048];      /* last one */
	struct bufferevent *open[64];
	size_t n_open;
};

struct fake_https *fake_https_new(struct event_base *base, const struct fake_cert *cert,
				  const char *says);
void fake_https_free(struct fake_https *l);
