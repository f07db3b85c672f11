/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/mail/mail.h"
#include "control/metrics/metrics.h"

#define CONNECTIONS 16u
#define TIMEOUT_S 10u
#define MEMORY (16u * 1024)  /* of a connection: a request has no body */

struct metrics {
	struct MHD_Daemon *daemon;
	char *path;                      /* of a UNIX socket, to be removed */
	struct metrics_snapshot *filling; /* the loop's */

	pthread_mutex_t lock;            /* of what follows */
	struct metrics_snapshot *published;
	bool any;
};

/* ---- what a client takes ------------------------------------------------------------------------ */

/* RFC 9110 12.4.2: q of the parameters behind a media range; 1 without one. */
static double quality(struct str params)
{
	while (params.n) {
		size_t end = str_find(params, ';');
		struct str p = str_trim(str_cut(params, end));
		char text[8] = "";

		if (p.n >= 2 && (p.p[0] == 'q' || p.p[0] == 'Q') && p.p[1] == '=') {
			p = str_skip(p, 2);
			memcpy(text, p.p, p.n < sizeof(text) - 1 ? p.n : sizeof(text) - 1);
			return strtod(text, NULL);
		}
		params = str_skip(params, end + 1);
	}
	return 1;
}

bool metrics_wants_openmetrics(const char *accept)
{
	struct str rest = str_c(accept);
	double open = 0, text = 0;

	while (rest.n) {
		size_t end = str_find(rest, ',');
		struct str range = str_cut(rest, end), type;
		size_t semicolon = str_find(range, ';');
		double q = quality(str_skip(range, semicolon + 1));

		type = str_trim(str_cut(range, semicolon));
		if (str_ieq(type, STR("application/openmetrics-text")) && q > open)
			open = q;
		else if (str_ieq(type, STR("text/plain")) && q > text)
			text = q;
		rest = str_skip(rest, end + 1);
	}
	return open > 0 && open >= text;
}

/* ---- requests ----------------------------------------------------------------------------------- */

static enum MHD_Result answer(struct MHD_Connection *c, unsigned int status, const char *type, char *text,
			      size_t len, enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(len, text, mode);
	enum MHD_Result rc;

	if (!r) {
		if (mode == MHD_RESPMEM_MUST_FREE)
			free(text);
		return MHD_NO;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	rc = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return rc;
}

static enum MHD_Result plain(struct MHD_Connection *c, unsigned int status, const char *text)
{
	return answer(c, status, "text/plain; charset=utf-8", (char *)(uintptr_t)text, strlen(text),
		      MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result scrape(struct metrics *m, struct MHD_Connection *c)
{
	bool open = metrics_wants_openmetrics(MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Accept"));
	struct metrics_snapshot *copy = malloc(sizeof(*copy));
	size_t len = 0;
	char *text = NULL;
	bool any;
	int rc = copy ? 0 : -ENOMEM;

	if (!rc) {
		pthread_mutex_lock(&m->lock);
		any = m->any;
		if (any)
			memcpy(copy, m->published, sizeof(*copy));
		pthread_mutex_unlock(&m->lock);
		if (!any) {
			free(copy);
			return plain(c, MHD_HTTP_SERVICE_UNAVAILABLE, "no numbers yet\n");
		}
		rc = metrics_render(copy, open, &text, &len);
	}
	free(copy);
	if (rc)
		return plain(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
	return answer(c, MHD_HTTP_OK, open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
					   : "text/plain; version=0.0.4; charset=utf-8", text, len,
		      MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url, const char *method,
				  const char *version, const char *upload, size_t *upload_size, void **state)
{
	(void)version;
	(void)upload;
	/* Called once for the header, and again when the body, which is thrown away, has come. */
	if (!*state) {
		*state = arg;
		return MHD_YES;
	}
	if (*upload_size) {
		*upload_size = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD))
		return plain(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET or HEAD\n");
	if (!strcmp(url, "/metrics"))
		return scrape(arg, c);
	return plain(c, MHD_HTTP_NOT_FOUND, "there is /metrics\n");
}

/* What a client sends that is no HTTP is its own business. */
static void quiet(void *arg, const char *fmt, va_list ap)
{
	(void)arg;
	(void)fmt;
	(void)ap;
}

/* ---- sockets ------------------------------------------------------------------------------------ */

static int listen_unix(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct stat st;
	int fd;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* A socket that nobody listens on is what a dead process left; nothing else is removed. */
	if (!lstat(path, &st) && S_ISSOCK(st.st_mode)) {
		int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bool dead = probe >= 0 && connect(probe, (struct sockaddr *)&sa, sizeof(sa)) &&
			    errno == ECONNREFUSED;

		if (probe >= 0)
			close(probe);
		if (dead)
			(void)unlink(path);
	}
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) || chmod(path, 0660) || listen(fd, 64)) {
		int e = errno;

		close(fd);
		return -e;
	}
	return fd;
}

static int listen_tcp(struct str where)
{
	size_t colon = where.n;
	struct sockaddr_storage ss = {0};
	struct sockaddr_in *v4 = (void *)&ss;
	struct sockaddr_in6 *v6 = (void *)&ss;
	struct ip_addr ip;
	struct str host;
	socklen_t len;
	uint16_t port;
	int fd, on = 1;

	while (colon && where.p[colon - 1] != ':')
		colon--;
	host = str_cut(where, colon ? colon - 1 : 0);
	if (host.n > 2 && host.p[0] == '[')
		host = str_cut(str_skip(host, 1), host.n - 2);
	if (!ip_parse(host, &ip))
		return -EINVAL;
	port = (uint16_t)strtoul((const char *)where.p + colon, NULL, 10);
	if (ip_is_v4(&ip)) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, ip.a + 12, 4);
		len = sizeof(*v4);
	} else {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		memcpy(&v6->sin6_addr, ip.a, 16);
		len = sizeof(*v6);
	}
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&ss, len) || listen(fd, 64)) {
		int e = errno;

		close(fd);
		return -e;
	}
	return fd;
}

/* ---- life --------------------------------------------------------------------------------------- */

struct metrics *metrics_new(const char *where, char *err, size_t err_len)
{
	struct metrics *m = calloc(1, sizeof(*m));
	const char *path = !strncmp(where, "unix:", 5) ? where + 5 : NULL;
	int fd = -ENOMEM;

	if (!m)
		goto fail;
	pthread_mutex_init(&m->lock, NULL);
	m->filling = calloc(1, sizeof(*m->filling));
	m->published = calloc(1, sizeof(*m->published));
	m->path = path ? strdup(path) : NULL;
	if (!m->filling || !m->published || (path && !m->path))
		goto fail;
	fd = path ? listen_unix(path) : listen_tcp(str_c(where));
	if (fd < 0) {
		free(m->path); /* not ours */
		m->path = NULL;
		goto fail;
	}
	m->daemon = MHD_start_daemon(MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ERROR_LOG, 0, NULL,
				     NULL, on_request, m, MHD_OPTION_EXTERNAL_LOGGER, quiet, NULL,
				     MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
				     MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_S,
				     MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY, MHD_OPTION_END);
	if (m->daemon)
		return m;
	close(fd);
	fd = -EIO;
fail:
	snprintf(err, err_len, "%.200s: %s", where, strerror(-fd));
	metrics_free(m);
	return NULL;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	if (m->daemon)
		MHD_stop_daemon(m->daemon); /* and closes the socket */
	if (m->path)
		(void)unlink(m->path);
	pthread_mutex_destroy(&m->lock);
	free(m->path);
	free(m->filling);
	free(m->published);
	free(m);
}

struct metrics_snapshot *metrics_fill(struct metrics *m)
{
	return m->filling;
}

void metrics_publish(struct metrics *m)
{
	struct metrics_snapshot *was;

	if (pthread_mutex_trylock(&m->lock))
		return;
	was = m->published;
	m->published = m->filling;
	m->any = true;
	m->filling = was;
	pthread_mutex_unlock(&m->lock);
}
