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

#define LONG_TIME_S 60
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

	evbuffer_add_printf(out, "220 2.0.0 go ahead\r\n%s", k->injected ? k->injected : "");
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
	if (is(line, "STARTTLS") && k->starttls)
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
	if (k->chunk_apart) {
		SSL *ssl = bufferevent_openssl_get_ssl(s->bev);
		static const char first[] = "250 2.0.0 octets received\r\n";
		int one = 1;

		setsockopt(bufferevent_getfd(s->bev), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		assert_int_equal(SSL_write(ssl, first, sizeof(first) - 1), sizeof(first) - 1);
		assert_true(SSL_write(ssl, k->chunk_apart, (int)strlen(k->chunk_apart)) > 0);
		return true;
	}
	return say(s, k->chunk, "250 2.0.0 octets received");
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

	assert_non_null(h);
	h->base = base;
	TAILQ_INIT(&h->sessions);
	h->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
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

/* configuration: counted here, so that a lost reference is a failed test */
struct config *config_ref(struct config *c)
{
	c->refs++;
	return c;
}

void config_unref(struct config *c)
{
	if (c)
		c->refs--;
}

/* resolver */
struct fake_dns fake_dns;

struct dns_query {
	struct event *ev;
	uint16_t type;
	char name[256];
	dns_callback *cb;
	void *arg;
};

/* "a.b" to wire form; octets. */
static size_t wire_name(const char *name, uint8_t *out)
{
	size_t n = 0;

	while (*name && strcmp(name, ".")) {
		size_t label = strcspn(name, ".");

		out[n++] = (uint8_t)label;
		memcpy(out + n, name, label);
		n += label;
		name += label + (name[label] == '.');
	}
	out[n++] = 0;
	return n;
}

void fake_dns_add(const char *name, uint16_t type, enum dns_status status, const char *text)
{
	struct fake_record *r = &fake_dns.record[fake_dns.n_records++];
	struct ip_addr ip;
	char *end;

	assert_true(fake_dns.n_records <= FAKE_RECORDS);
	*r = (struct fake_record){.type = type, .status = status};
	snprintf(r->name, sizeof(r->name), "%s", name);
	if (!text)
		return;
	if (type == DNS_MX) {
		unsigned long preference = strtoul(text, &end, 10);

		r->data[0] = (uint8_t)(preference >> 8);
		r->data[1] = (uint8_t)preference;
		r->len = 2 + wire_name(end + 1, r->data + 2);
		return;
	}
	if (!ip_parse(str_c(text), &ip)) {
		assert_int_equal(type, DNS_TXT);
		r->len = strlen(text) + 1;
		r->data[0] = (uint8_t)strlen(text);
		memcpy(r->data + 1, text, strlen(text));
		return;
	}
	r->len = type == DNS_A ? 4 : 16;
	memcpy(r->data, ip.a + 16 - r->len, r->len);
}

static void on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct dns_query *q = arg;
	struct dns_rr rr[FAKE_RECORDS];
	bool v6 = q->type == DNS_AAAA, listed = false;
	struct dns_answer a = {.status = DNS_NODATA, .rr = rr, .reason = "test",
			       .alias = fake_dns.alias ? fake_dns.alias : ""};

	(void)fd;
	(void)what;
	a.secure = q->type == DNS_MX	 ? fake_dns.mx_secure
		   : q->type == DNS_TLSA ? fake_dns.tlsa_secure
		   : v6			 ? fake_dns.aaaa_secure
					 : fake_dns.a_secure;
	for (size_t i = 0; i < fake_dns.n_records; i++) {
		const struct fake_record *r = &fake_dns.record[i];

		if (strcasecmp(r->name, q->name))
			continue;
		listed = true;
		if (r->type != q->type)
			continue;
		a.status = r->status;
		if (r->len)
			rr[a.n++] = (struct dns_rr){r->data, r->len};
	}
	if (!listed && q->type == DNS_TLSA && fake_dns.tlsa_at &&
	    !strstr(q->name, fake_dns.tlsa_at)) {
		a.status = DNS_NXDOMAIN;
	} else if (!listed && q->type == DNS_TLSA) {
		a.status = fake_dns.tlsa;
		a.n = fake_dns.n_tlsa;
		for (size_t i = 0; i < a.n; i++)
			rr[i] = (struct dns_rr){fake_dns.tlsa_data[i], fake_dns.tlsa_len[i]};
	} else if (!listed && (v6 || q->type == DNS_A)) {
		a.status = v6 ? fake_dns.aaaa : fake_dns.a;
		a.n = v6 ? fake_dns.n_aaaa : fake_dns.n_a;
		for (size_t i = 0; i < a.n; i++)
			rr[i] = v6 ? (struct dns_rr){fake_dns.aaaa_data[i], 16}
				   : (struct dns_rr){fake_dns.a_data[i], 4};
	}
	q->cb(q->arg, &a);
	event_free(q->ev);
	free(q);
}

struct dns_query *dns_resolve(struct dns *d, struct str name, uint16_t type, dns_callback *cb,
			      void *arg)
{
	struct dns_query *q = calloc(1, sizeof(*q));
	struct timeval soon = {.tv_usec = type == DNS_A ? 2000 : 1000};

	if (type == DNS_TLSA)
		snprintf(fake_dns.tlsa_name, sizeof(fake_dns.tlsa_name), "%.*s", STR_FMT(name));
	assert_non_null(q);
	fake_dns.asked++;
	q->type = type;
	snprintf(q->name, sizeof(q->name), "%.*s", STR_FMT(name));
	q->cb = cb;
	q->arg = arg;
	q->ev = evtimer_new((struct event_base *)d, on_answer, q);
	event_add(q->ev, &soon);
	return q;
}

void dns_cancel(struct dns_query *q)
{
	fake_dns.cancelled++;
	event_free(q->ev);
	free(q);
}

void lab_init(struct lab *l)
{
	memset(l, 0, sizeof(*l));
	memset(&fake_dns, 0, sizeof(fake_dns));
	l->base = event_base_new();
	assert_non_null(l->base);
	l->config.refs = 1;
	l->config.hostname = (char *)(uintptr_t)"relay.example.org";
	l->config.route = &l->route;
	l->config.n_routes = 1;
	l->route.name = (char *)(uintptr_t)"office";
	l->route.host = l->host;
	l->route.verify = VERIFY_CALLOUT;
	l->route.max_connections = 20;
	l->route.messages_per_connection = 100;
	l->route.idle_timeout_s = 30;
	l->route.connect_timeout_s = 20;
	l->route.command_timeout_s = 20;
	l->route.queue_timeout_s = 60;
	l->route.port = 25;
	l->route.trust_rcpt = true;
	l->d = deliver_new(l->base, (struct dns *)l->base, l->counters);
	assert_non_null(l->d);
	deliver_tuning(l->d)->local_is_own = false; /* all of it is on this machine */
}

void lab_add(struct lab *l, const char *ip, uint16_t port)
{
	struct config_host *h = &l->host[l->route.n_hosts++];

	h->name = (char *)(uintptr_t)ip;
	h->is_ip = true;
	h->port = port;
	h->priority = (uint16_t)l->route.n_hosts;
	h->weight = 1;
	assert_true(ip_parse(str_c(ip), &h->ip));
}

void lab_add_name(struct lab *l, const char *name, uint16_t port)
{
	struct config_host *h = &l->host[l->route.n_hosts++];

	h->name = (char *)(uintptr_t)name;
	h->port = port;
	h->priority = (uint16_t)l->route.n_hosts;
	h->weight = 1;
}

void lab_fini(struct lab *l)
{
	deliver_free(l->d);
	assert_int_equal(l->config.refs, 1);
	event_base_free(l->base);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

void lab_run(struct lab *l, const bool *flag)
{
	struct timeval tv = {.tv_sec = LONG_TIME_S};
	bool late = false;
	struct event *ev = evtimer_new(l->base, on_late, &late);

	event_add(ev, &tv);
	while (!*flag && !late)
		event_base_loop(l->base, EVLOOP_ONCE);
	event_free(ev);
	assert_false(late);
}

void lab_spin(struct lab *l, unsigned int ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
	bool over = false;
	struct event *ev = evtimer_new(l->base, on_late, &over);

	event_add(ev, &tv);
	while (!over)
		event_base_loop(l->base, EVLOOP_ONCE);
	event_free(ev);
}

void sent_callback(void *arg, const struct deliver_result *r)
{
	struct sent *s = arg;

	s->done = true;
	s->calls++;
	s->result = *r;
	for (size_t i = 0; i < 8 && s->to[i].n; i++)
		s->rcpt[i] = r->rcpt[i];
	s->result.rcpt = s->rcpt;
	s->job = NULL;
}

bool sent_wanted(void *arg)
{
	struct sent *s = arg;

	s->asked++;
	return s->wanted;
}

struct deliver_request sent_request(struct lab *l, struct sent *s, const char *text, size_t n_rcpts)
{
	static const char *const to[] = {"user0@example.com", "user1@example.com",
					 "user2@example.com", "user3@example.com"};
	struct deliver_request req = {
		.config = &l->config, .route = &l->route, .mail_from = STR("sender@example.org"),
		.rcpt = s->to, .n_rcpts = n_rcpts, .iov = s->iov, .n_iov = 2, .size = strlen(text),
		.client = l->client, .trace_id = "0123456789abcdef", .wanted = sent_wanted,
	};
	size_t half = strlen(text) / 2;

	memset(s, 0, sizeof(*s));
	s->wanted = true;
	for (size_t i = 0; i < n_rcpts; i++)
		s->to[i] = str_c(to[i]);
	s->iov[0] = (struct iovec){(void *)(uintptr_t)text, half};
	s->iov[1] = (struct iovec){(void *)(uintptr_t)(text + half), strlen(text) - half};
	return req;
}

void sent_go(struct lab *l, struct sent *s, const struct deliver_request *req)
{
	s->job = deliver_start(l->d, req, sent_callback, s);
	assert_non_null(s->job);
	assert_int_equal(s->calls, 0); /* never inside the call */
}

void sent_start(struct lab *l, struct sent *s, const char *text, size_t n_rcpts)
{
	struct deliver_request req = sent_request(l, s, text, n_rcpts);

	sent_go(l, s, &req);
}

void asked_callback(void *arg, const struct deliver_reply *r)
{
	struct asked *a = arg;

	a->done = true;
	a->reply = *r;
}

static struct deliver_question *ask_any(struct lab *l, struct asked *a, const char *from,
					const char *rcpt, bool utf8)
{
	const struct deliver_ask ask = {
		.config = &l->config, .route = &l->route, .mail_from = str_c(from),
		.rcpt = str_c(rcpt), .smtputf8 = utf8, .declared_size = l->declared_size,
		.client = l->client,
	};
	struct deliver_question *q;

	memset(a, 0, sizeof(*a));
	q = deliver_verify(l->d, &ask, asked_callback, a);
	assert_non_null(q);
	assert_false(a->done);
	return q;
}

struct deliver_question *ask(struct lab *l, struct asked *a, const char *from, const char *rcpt)
{
	return ask_any(l, a, from, rcpt, false);
}

struct deliver_question *ask_utf8(struct lab *l, struct asked *a, const char *from, const char *rcpt)
{
	return ask_any(l, a, from, rcpt, true);
}
