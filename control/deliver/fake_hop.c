/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>

#include "control/deliver/fake_hop.h"

#define HOLD_MS 60

struct hop_session {
	TAILQ_ENTRY(hop_session) link;
	struct hop *hop;
	struct bufferevent *bev;
	struct event held;
	bool holding, body, hung, tls;
	bool garble;              /* what comes next is answered with no TLS */
	bool proxied;
	unsigned int ehlos;
	bool late;                /* a recipient of the transaction is refused at its dot */
	bool chunk, last;         /* BDAT: octets are awaited; these are the last */
	size_t chunk_left;
	unsigned int rcpts, mails, messages;
	struct evbuffer *pending; /* replies held back */
	struct evbuffer *content;
};

static void session_end(struct hop_session *s, bool reset)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	if (reset)
		setsockopt(bufferevent_getfd(s->bev), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	event_del(&s->held);
	TAILQ_REMOVE(&s->hop->sessions, s, link);
	s->hop->open--;
	bufferevent_free(s->bev);
	evbuffer_free(s->pending);
	evbuffer_free(s->content);
	free(s);
}

/* False: the session is over or says nothing more. */
static bool say(struct hop_session *s, const char *text, const char *normal)
{
	struct evbuffer *out = bufferevent_get_output(s->bev);

	if (!text)
		text = normal;
	if (!strcmp(text, HOP_HANG)) {
		s->hung = true;
		return false;
	}
	if (!strcmp(text, HOP_RESET) || !strcmp(text, HOP_CLOSE)) {
		session_end(s, !strcmp(text, HOP_RESET));
		return false;
	}
	if (!strcmp(text, HOP_LONG)) {
		for (int i = 0; i < 700; i++)
			evbuffer_add_printf(out, "%s", i ? "xxxxxxxx" : "250 ");
		return true;
	}
	if (!strcmp(text, HOP_MANY)) {
		for (int i = 0; i < 200; i++)
			evbuffer_add_printf(out, "250-line %d\r\n", i);
		text = "250 end";
	}
	evbuffer_add_printf(s->holding ? s->pending : out, "%s\r\n", text);
	return true;
}

static void on_held(evutil_socket_t fd, short what, void *arg)
{
	struct hop_session *s = arg;

	(void)fd;
	(void)what;
	s->holding = false;
	bufferevent_write_buffer(s->bev, s->pending);
}

static void hold(struct hop_session *s, unsigned int ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	s->holding = true;
	evtimer_add(&s->held, &tv);
}

static bool is(const char *line, const char *word)
{
	return !strncasecmp(line, word, strlen(word));
}

static void on_readable(struct bufferevent *bev, void *arg);
static void on_event(struct bufferevent *bev, short what, void *arg);

static bool start_tls(struct hop_session *s)
{
	const struct hop_script *k = &s->hop->script;
	evutil_socket_t fd = bufferevent_getfd(s->bev);
	struct evbuffer *out = evbuffer_new();

	evbuffer_add_printf(out, "%s\r\n%s", k->starttls ? k->starttls : "220 2.0.0 go ahead",
			    k->injected ? k->injected : "");
	assert_true(evbuffer_write(out, fd) > 0);
	evbuffer_free(out);
	if (k->handshake && k->handshake[0] == '!')
		return say(s, k->handshake, NULL);
	if (k->handshake) {
		s->garble = true;
		return true;
	}
	bufferevent_setfd(s->bev, -1);
	bufferevent_free(s->bev);
	s->bev = bufferevent_openssl_socket_new(s->hop->base, fd, SSL_new(k->tls),
						BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	assert_non_null(s->bev);
	bufferevent_openssl_set_allow_dirty_shutdown(s->bev, 1);
	bufferevent_setcb(s->bev, on_readable, NULL, on_event, s);
	bufferevent_enable(s->bev, EV_READ | EV_WRITE);
	return false;
}

static void secured(struct hop_session *s)
{
	SSL *ssl = bufferevent_openssl_get_ssl(s->bev);
	const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	s->tls = true;
	s->hop->secured++;
	s->hop->resumed += (unsigned int)SSL_session_reused(ssl);
	s->hop->client_certs += SSL_get0_peer_certificate(ssl) != NULL;
	snprintf(s->hop->sni, sizeof(s->hop->sni), "%s", sni ? sni : "");
}

static bool command(struct hop_session *s, const char *line)
{
	struct hop *h = s->hop;
	const struct hop_script *k = &h->script;
	size_t at = strlen(h->log);

	snprintf(h->log + at, sizeof(h->log) - at, "%s%s\n", s->tls ? "+" : "", line);
	if (is(line, "STARTTLS") && k->starttls && strncmp(k->starttls, "220", 3) != 0)
		return say(s, k->starttls, NULL);
	if (is(line, "STARTTLS") && k->tls)
		return start_tls(s);
	if (is(line, "EHLO") && s->tls && k->ehlo_tls)
		return say(s, k->ehlo_tls, NULL);
	if (is(line, "EHLO") && !s->tls && !k->ehlo && (k->tls || k->starttls))
		return say(s, NULL, "250-hop.example.net\r\n250-STARTTLS\r\n250 8BITMIME");
	if (is(line, "EHLO"))
		return say(s, s->ehlos++ && k->ehlo_again ? k->ehlo_again : k->ehlo, "250-hop.example.net\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n"
				       "250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES");
	if (is(line, "XCLIENT"))
		return say(s, k->xclient, "220 hop.example.net again");
	if (is(line, "XFORWARD"))
		return say(s, k->xforward, "250 2.0.0 noted");
	if (is(line, "HELO"))
		return say(s, k->helo, "250 hop.example.net");
	if (is(line, "MAIL")) {
		s->rcpts = 0;
		s->late = false;
		if (s->mails++ && k->die_at_second_mail) {
			session_end(s, false);
			return false;
		}
		return say(s, k->mail, "250 2.1.0 sender ok");
	}
	if (is(line, "RCPT")) {
		unsigned int i = s->rcpts++;

		s->late |= k->refuse_late && strstr(line, k->refuse_late);
		if (k->refuse && strstr(line, k->refuse)) {
			/* Behind 421 nothing is answered any more; what comes is read, so that no RST takes
			 * the reply back. */
			say(s, k->refuse_with, NULL);
			s->hung = !strncmp(k->refuse_with, "421", 3);
			return !s->hung;
		}

		if (k->hold_rcpt && !s->holding)
			hold(s, HOLD_MS);
		if (k->apart && !i) {
			SSL *ssl = bufferevent_openssl_get_ssl(s->bev);
			static const char first[] = "250 2.1.5 recipient ok\r\n";
			int one = 1;

			setsockopt(bufferevent_getfd(s->bev), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			assert_int_equal(SSL_write(ssl, first, sizeof(first) - 1), sizeof(first) - 1);
			assert_true(SSL_write(ssl, k->apart, (int)strlen(k->apart)) > 0);
			return true;
		}
		return say(s, k->rcpt[i < 4 ? i : 3], "250 2.1.5 recipient ok");
	}
	if (is(line, "DATA")) {
		if (s->holding)
			h->data_before_replies = true;
		if (k->data && strncmp(k->data, "354", 3))
			return say(s, k->data, NULL);
		s->body = true;
		return say(s, k->data, "354 go ahead");
	}
	if (is(line, "BDAT")) {
		if (s->holding)
			h->data_before_replies = true;
		s->chunk_left = strtoul(line + 5, NULL, 10);
		s->last = strstr(line, " LAST") != NULL;
		s->chunk = true;
		return true;
	}
	if (is(line, "RSET"))
		return say(s, k->rset, "250 2.0.0 reset");
	if (is(line, "QUIT")) {
		h->quits++;
		say(s, NULL, "221 2.0.0 bye");
		return true;
	}
	return say(s, NULL, "502 5.5.1 what?");
}

static void on_drained(struct bufferevent *bev, void *arg)
{
	(void)bev;
	session_end(arg, false);
}

static bool message_end(struct hop_session *s, const char *says)
{
	struct hop *h = s->hop;

	s->body = false;
	h->saw_dot = true;
	if (s->late) {
		evbuffer_drain(s->content, evbuffer_get_length(s->content));
		return say(s, h->script.refuse_with, NULL);
	}
	h->messages++;
	s->messages++;
	free(h->content);
	h->content_n = evbuffer_get_length(s->content);
	h->content = malloc(h->content_n + 1);
	assert_non_null(h->content);
	evbuffer_remove(s->content, h->content, h->content_n);
	if (h->script.dot_after_ms)
		hold(s, h->script.dot_after_ms);
	h->content[h->content_n] = 0;
	if (!say(s, says, "250 2.0.0 queued"))
		return false;
	if (h->script.close_idle_after && s->messages >= h->script.close_idle_after) {
		bufferevent_disable(s->bev, EV_READ);
		bufferevent_setcb(s->bev, NULL, on_drained, on_event, s);
		return false;
	}
	return true;
}

/* Octets of a chunk. False: the session is over, or nothing more is here. */
static bool chunk(struct hop_session *s, struct evbuffer *in)
{
	const struct hop_script *k = &s->hop->script;
	int n = evbuffer_remove_buffer(in, s->content, s->chunk_left);

	assert_true(n >= 0);
	s->chunk_left -= (size_t)n;
	s->hop->raw_body += (size_t)n;
	if (n && k->mid_body && !say(s, k->mid_body, NULL))
		return false;
	if (s->chunk_left)
		return false;
	s->chunk = false;
	if (s->last)
		return message_end(s, k->last ? k->last : k->dot);
	return say(s, NULL, "250 2.0.0 octets received");
}

/* False: not all of the header is here. */
static bool proxy_header(struct hop_session *s, struct evbuffer *in)
{
	struct hop *h = s->hop;
	uint8_t head[16];
	size_t n;

	if (s->proxied || !h->script.proxy)
		return true;
	if (evbuffer_copyout(in, head, sizeof(head)) < (ssize_t)sizeof(head))
		return false;
	n = sizeof(head) + ((size_t)head[14] << 8 | head[15]);
	assert_true(n <= sizeof(h->header));
	if (evbuffer_get_length(in) < n)
		return false;
	h->header_n = n;
	evbuffer_remove(in, h->header, n);
	s->proxied = true;
	return say(s, h->script.banner, "220 hop.example.net ESMTP");
}

static void on_readable(struct bufferevent *bev, void *arg)
{
	struct hop_session *s = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t n;
	char *line;

	if (!proxy_header(s, in))
		return;
	if (s->garble && evbuffer_get_length(in)) {
		s->hung = true;
		bufferevent_write(bev, s->hop->script.handshake, strlen(s->hop->script.handshake));
	}
	while (!s->hung && !(s->chunk && s->hop->script.no_read_body)) {
		bool more = true;

		if (s->chunk) {
			if (!chunk(s, in))
				return;
			continue;
		}
		line = evbuffer_readln(in, &n, EVBUFFER_EOL_CRLF_STRICT);
		if (!line)
			break;
		if (!s->body) {
			more = command(s, line);
		} else if (n == 1 && line[0] == '.') {
			more = message_end(s, s->hop->script.dot);
		} else {
			size_t skip = n && line[0] == '.' ? 1 : 0;

			s->hop->raw_body += n + 2;
			evbuffer_add(s->content, line + skip, n - skip);
			evbuffer_add(s->content, "\r\n", 2);
			if (s->hop->script.mid_body)
				more = say(s, s->hop->script.mid_body, NULL);
		}
		free(line);
		if (!more)
			return;
	}
	if (s->hung)
		evbuffer_drain(in, evbuffer_get_length(in));
	else if ((s->body || s->chunk) && s->hop->script.no_read_body)
		bufferevent_disable(bev, EV_READ);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	if (what & BEV_EVENT_CONNECTED)
		secured(arg);
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		session_end(arg, false);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct hop *h = arg;
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	int c = accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC), small = 4096;
	struct hop_session *s;

	(void)what;
	if (c < 0)
		return;
	if (h->script.no_read_body)
		setsockopt(c, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	s = calloc(1, sizeof(*s));
	assert_non_null(s);
	s->hop = h;
	inet_ntop(AF_INET, &from.sin_addr, h->client, sizeof(h->client));
	s->pending = evbuffer_new();
	s->content = evbuffer_new();
	s->bev = bufferevent_socket_new(h->base, c, BEV_OPT_CLOSE_ON_FREE);
	evtimer_assign(&s->held, h->base, on_held, s);
	bufferevent_setcb(s->bev, on_readable, NULL, on_event, s);
	bufferevent_enable(s->bev, EV_READ | EV_WRITE);
	TAILQ_INSERT_TAIL(&h->sessions, s, link);
	h->accepted++;
	if (++h->open > h->most_open)
		h->most_open = h->open;
	if (!h->script.proxy)
		say(s, h->script.banner, "220 hop.example.net ESMTP");
}

struct hop *hop_new(struct event_base *base)
{
	return hop_new_at(base, "127.0.0.1", 0);
}

struct hop *hop_new_at(struct event_base *base, const char *ip, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(ip),
				 .sin_port = htons(port)};
	socklen_t len = sizeof(in);
	struct hop *h = calloc(1, sizeof(*h));
	int one = 1;

	assert_non_null(h);
	h->base = base;
	TAILQ_INIT(&h->sessions);
	h->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* A port that another test's hop had at this address may still be in TIME_WAIT. */
	assert_int_equal(setsockopt(h->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
	assert_int_equal(bind(h->fd, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(h->fd, 64), 0);
	assert_int_equal(getsockname(h->fd, (struct sockaddr *)&in, &len), 0);
	h->port = ntohs(in.sin_port);
	event_assign(&h->accept, base, h->fd, EV_READ | EV_PERSIST, on_accept, h);
	event_add(&h->accept, NULL);
	return h;
}

void hop_close_listener(struct hop *h)
{
	if (h->fd < 0)
		return;
	event_del(&h->accept);
	close(h->fd);
	h->fd = -1;
}

void hop_close_all(struct hop *h)
{
	struct hop_session *s;

	while ((s = TAILQ_FIRST(&h->sessions)))
		session_end(s, false);
}

void hop_free(struct hop *h)
{
	hop_close_all(h);
	hop_close_listener(h);
	free(h->content);
	free(h);
}

unsigned int hop_count(const struct hop *h, const char *what)
{
	unsigned int n = 0;

	for (const char *p = h->log; *p; p = strchr(p, '\n') + 1)
		n += is(p + (*p == '+' && *what != '+'), what);
	return n;
}
