/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/sts/sts_fetch.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "postern/limits.h"

struct sts_fetch {
	TAILQ_ENTRY(sts_fetch) link;
	struct sts_fetcher *f;
	CURL *curl;
	struct curl_slist *resolve;
	uint8_t *body;
	size_t n, cap;
	bool large;
	char error[CURL_ERROR_SIZE];
	sts_fetch_callback *cb;
	void *arg;
};

/* One of libcurl's sockets. */
struct watch {
	TAILQ_ENTRY(watch) link;
	struct event ev;
	bool added;
};

struct sts_fetcher {
	struct event_base *base;
	const struct sts_options *opt;
	CURLM *multi;
	struct event timer;
	TAILQ_HEAD(, sts_fetch) fetches;
	TAILQ_HEAD(, watch) watches;
	bool *gone; /* set when freed inside a callback */
};

/* ---- libcurl on the event loop ---------------------------------------------------------------- */

static void fetch_free(struct sts_fetch *x)
{
	TAILQ_REMOVE(&x->f->fetches, x, link);
	curl_multi_remove_handle(x->f->multi, x->curl);
	curl_easy_cleanup(x->curl);
	curl_slist_free_all(x->resolve);
	free(x->body);
	free(x);
}

/* RFC 8461 3.3: 200 alone is success, and the type is text/plain, with whatever parameters. */
static const char *judge(struct sts_fetch *x, CURLcode rc, char *buf, size_t cap)
{
	const char *type = NULL;
	long code = 0;
	size_t n;

	if (x->large)
		return "larger than any policy";
	if (rc != CURLE_OK) {
		snprintf(buf, cap, "%s", x->error[0] ? x->error : curl_easy_strerror(rc));
		return buf;
	}
	curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &code);
	if (code != 200) {
		snprintf(buf, cap, "HTTP status %ld", code);
		return buf;
	}
	curl_easy_getinfo(x->curl, CURLINFO_CONTENT_TYPE, &type);
	n = type ? strcspn(type, "; \t") : 0;
	if (n != 10 || strncasecmp(type, "text/plain", n)) {
		snprintf(buf, cap, "content type %.40s", type ? type : "missing");
		return buf;
	}
	return NULL;
}

/* Out of libcurl's own callbacks: here a fetch may be freed. */
static void look_for_ends(struct sts_fetcher *f)
{
	bool gone = false, *outer = f->gone;
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(f->multi, &left))) {
		struct sts_fetch *x;
		char buf[CURL_ERROR_SIZE];
		const char *error;
		sts_fetch_callback *cb;
		void *arg;
		uint8_t *body;
		size_t n;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&x);
		error = judge(x, m->data.result, buf, sizeof(buf));
		cb = x->cb;
		arg = x->arg;
		body = x->body;
		n = x->n;
		x->body = NULL;
		fetch_free(x);
		f->gone = &gone;
		cb(arg, error ? STR_NONE : str_make(body, n), error);
		free(body);
		if (gone) {
			if (outer)
				*outer = true;
			return;
		}
		f->gone = outer;
	}
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct sts_fetcher *f = arg;
	int mask = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
	int running;

	curl_multi_socket_action(f->multi, fd, mask, &running);
	look_for_ends(f);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct sts_fetcher *f = arg;
	int running;

	(void)fd;
	(void)what;
	curl_multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	look_for_ends(f);
}

static int want_socket(CURL *curl, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct sts_fetcher *f = arg;
	struct watch *w = socket_arg;
	short events = EV_PERSIST;

	(void)curl;
	if (what == CURL_POLL_REMOVE) {
		if (w) {
			event_del(&w->ev);
			TAILQ_REMOVE(&f->watches, w, link);
			free(w);
		}
		return 0;
	}
	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w)
			return -1;
		TAILQ_INSERT_TAIL(&f->watches, w, link);
		curl_multi_assign(f->multi, fd, w);
	}
	if (w->added)
		event_del(&w->ev);
	events |= what & CURL_POLL_IN ? EV_READ : 0;
	events |= what & CURL_POLL_OUT ? EV_WRITE : 0;
	event_assign(&w->ev, f->base, fd, events, on_socket, f);
	event_add(&w->ev, NULL);
	w->added = true;
	return 0;
}

static int want_timer(CURLM *multi, long ms, void *arg)
{
	struct sts_fetcher *f = arg;
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};

	(void)multi;
	if (ms < 0)
		evtimer_del(&f->timer);
	else
		evtimer_add(&f->timer, &tv);
	return 0;
}

struct sts_fetcher *sts_fetcher_new(struct event_base *base, const struct sts_options *opt)
{
	struct sts_fetcher *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	TAILQ_INIT(&f->fetches);
	TAILQ_INIT(&f->watches);
	f->base = base;
	f->opt = opt;
	evtimer_assign(&f->timer, base, on_timer, f);
	if (!curl_global_init(CURL_GLOBAL_DEFAULT))
		f->multi = curl_multi_init();
	if (!f->multi) {
		free(f);
		return NULL;
	}
	curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
	curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
	/* A policy a day: nothing is gained by connections that are kept. */
	curl_multi_setopt(f->multi, CURLMOPT_MAXCONNECTS, 1L);
	return f;
}

void sts_fetcher_free(struct sts_fetcher *f)
{
	struct sts_fetch *x;
	struct watch *w;

	if (!f)
		return;
	if (f->gone)
		*f->gone = true;
	while ((x = TAILQ_FIRST(&f->fetches)))
		fetch_free(x);
	curl_multi_cleanup(f->multi);
	while ((w = TAILQ_FIRST(&f->watches))) {
		event_del(&w->ev);
		TAILQ_REMOVE(&f->watches, w, link);
		free(w);
	}
	evtimer_del(&f->timer);
	free(f);
	curl_global_cleanup();
}

/* ---- one fetch -------------------------------------------------------------------------------- */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct sts_fetch *x = arg;
	size_t len = size * n;

	if (len > LIMIT_STS_POLICY - x->n) {
		x->large = true;
		return 0; /* ends the transfer */
	}
	if (x->n + len > x->cap) {
		size_t cap = 2 * (x->n + len) < LIMIT_STS_POLICY ? 2 * (x->n + len) : LIMIT_STS_POLICY;
		uint8_t *body = realloc(x->body, cap);

		if (!body)
			return 0;
		x->body = body;
		x->cap = cap;
	}
	memcpy(x->body + x->n, p, len);
	x->n += len;
	return len;
}

/* "+mta-sts.example.com:443:192.0.2.1,[2001:db8::1]"; the plus: not for ever. */
static struct curl_slist *resolution(const char *host, unsigned int port,
				     const struct ip_addr *address, size_t n)
{
	char text[1024], ip[64];
	size_t at = (size_t)snprintf(text, sizeof(text), "+%s:%u:", host, port);

	for (size_t i = 0; i < n && at + sizeof(ip) + 4 < sizeof(text); i++) {
		bool v4 = ip_is_v4(&address[i]);

		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s%s%s", i ? "," : "",
				       v4 ? "" : "[", ip_format(&address[i], ip, sizeof(ip)),
				       v4 ? "" : "]");
	}
	return curl_slist_append(NULL, text);
}

static bool set_up(struct sts_fetch *x, const char *url)
{
	const struct sts_options *opt = x->f->opt;
	CURL *c = x->curl;
	CURLcode rc = CURLE_OK;

#define SET(option, value) (rc = rc ? rc : curl_easy_setopt(c, option, value))
	SET(CURLOPT_URL, url);
	SET(CURLOPT_PROTOCOLS_STR, "https");
	SET(CURLOPT_RESOLVE, x->resolve);
	SET(CURLOPT_FOLLOWLOCATION, 0L); /* RFC 8461 3.3: a redirect is a failure */
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (opt->ca_file)
		SET(CURLOPT_CAINFO, opt->ca_file);
	if (opt->ca_file)
		SET(CURLOPT_CAPATH, NULL);
	SET(CURLOPT_TIMEOUT_MS, opt->fetch_ms ? (long)opt->fetch_ms : LIMIT_STS_FETCH_S * 1000L);
	SET(CURLOPT_MAXFILESIZE, (long)LIMIT_STS_POLICY);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_FRESH_CONNECT, 1L);
	SET(CURLOPT_FORBID_REUSE, 1L);
	SET(CURLOPT_DNS_CACHE_TIMEOUT, (long)LIMIT_STS_FETCH_S);
	SET(CURLOPT_USERAGENT, "postern");
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, x);
	SET(CURLOPT_ERRORBUFFER, x->error);
	SET(CURLOPT_PRIVATE, x);
#undef SET
	return rc == CURLE_OK;
}

struct sts_fetch *sts_fetch_start(struct sts_fetcher *f, const char *domain,
				  const struct ip_addr *address, size_t n, sts_fetch_callback *cb,
				  void *arg)
{
	struct sts_fetch *x = calloc(1, sizeof(*x));
	unsigned int port = f->opt->port ? f->opt->port : 443;
	char host[300], url[400];

	if (!x)
		return NULL;
	x->f = f;
	x->cb = cb;
	x->arg = arg;
	snprintf(host, sizeof(host), "mta-sts.%s", domain);
	if (f->opt->port)
		snprintf(url, sizeof(url), "https://%s:%u/.well-known/mta-sts.txt", host, port);
	else
		snprintf(url, sizeof(url), "https://%s/.well-known/mta-sts.txt", host);
	x->resolve = resolution(host, port, address, n);
	x->curl = curl_easy_init();
	TAILQ_INSERT_TAIL(&f->fetches, x, link);
	if (!x->resolve || !x->curl || !set_up(x, url) ||
	    curl_multi_add_handle(f->multi, x->curl) != CURLM_OK) {
		fetch_free(x);
		return NULL;
	}
	return x;
}

void sts_fetch_cancel(struct sts_fetch *x)
{
	fetch_free(x);
}
