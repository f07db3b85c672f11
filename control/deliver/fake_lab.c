/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What stands around a next hop: a configuration by hand, a resolver, the questions of a user. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "control/deliver/fake_hop.h"

#define LONG_TIME_S 60

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
		   : q->type == DNS_CNAME ? fake_dns.cname_secure
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
		a.secure = !fake_dns.tlsa_else_insecure;
	} else if (!listed && q->type == DNS_CNAME) {
		a.status = fake_dns.cname;
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
