/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Both sources behind dns.h: records in memory, and libunbound against a small name server that is
 * a thread of this test. */

#include <arpa/inet.h>
#include <event2/event.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/dns/dns_zone.h"

static const char zone_text[] = "$ORIGIN example.com.\n"
				"@ SOA ns hostmaster 1 7200 3600 1209600 600\n"
				"@ MX 10 mail\n"
				"@ MX 20 mail2\n"
				"mail A 192.0.2.25\n"
				"mail AAAA 2001:db8::25\n"
				"txt TXT hello \" world\"\n"
				"alias CNAME txt\n"
				"sp\\032ace A 192.0.2.7\n"
				"10.2.0.192.in-addr.arpa. PTR other.example.com.\n"
				"10.2.0.192.in-addr.arpa. PTR good.example.com.\n"
				"11.2.0.192.in-addr.arpa. PTR other.example.com.\n"
				"12.2.0.192.in-addr.arpa. PTR broken.example.com.\n"
				"13.2.0.192.in-addr.arpa. PTR bad\\064name.example.com.\n"
				"other A 192.0.2.99\n"
				"good A 192.0.2.98\n"
				"good A 192.0.2.10\n";

struct server {
	int fd;
	uint16_t port;
	pthread_t thread;
	struct dns_zone *zone;
	atomic_uint asked;
	atomic_bool stop;
};

struct fixture {
	struct event_base *base;
	struct dns *dns;
	struct server server;
	unsigned int calls;
	enum dns_status status;
	size_t n;
	uint32_t ttl;
	uint8_t data[512];
	size_t len;
	char reason[128];
	struct ptr_result ptr;
};

static struct dns_zone *make_zone(void)
{
	struct dns_zone *z = dns_zone_new();
	struct dns_wire_name w;
	char err[256] = "";

	if (dns_zone_parse(z, (const uint8_t *)zone_text, sizeof(zone_text) - 1, "z", err,
			   sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(dns_wire_from_text(STR("broken.example.com"), &w), 0);
	assert_int_equal(dns_zone_add_timeout(z, &w), 0);
	return z;
}

static void put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static size_t put_rr(uint8_t *p, unsigned int owner, uint16_t type, const uint8_t *data, size_t n)
{
	put16(p, 0xc000 | owner);
	put16(p + 2, type);
	put16(p + 4, 1);
	put16(p + 6, 0);
	put16(p + 8, 120);
	put16(p + 10, (unsigned int)n);
	memcpy(p + 12, data, n);
	return 12 + n;
}

/* Writes the reply over the question's tail; 0: no reply. Names "drop" and "fail" do as they say.
 */
static size_t answer(struct server *s, uint8_t *p, size_t n)
{
	static const uint8_t soa[22] = {0, 0, [21] = 60};
	struct dns_wire_name name;
	struct dns_parsed a;
	long len = dns_wire_length(p + 12, n - 12);
	uint16_t type;

	if (len < 0 || n < 12 + (size_t)len + 4)
		return 0;
	name.len = (uint8_t)len;
	memcpy(name.b, p + 12, (size_t)len);
	dns_wire_lower(&name);
	type = (uint16_t)(p[12 + len] << 8 | p[13 + len]);
	if (!memcmp(name.b, "\4drop", 5))
		return 0;
	dns_parsed_init(&a);
	if (dns_zone_lookup(s->zone, &name, type, &a))
		return 0;
	n = 12 + (size_t)len + 4;
	p[2] = 0x85;
	p[3] = 0x80;
	memset(p + 6, 0, 6);
	if (!memcmp(name.b, "\4fail", 5)) {
		p[3] |= 2;
	} else if (a.status == DNS_OK) {
		put16(p + 6, (unsigned int)a.n);
		for (size_t i = 0; i < a.n; i++)
			n += put_rr(p + n, 12, type, a.rr[i].data, a.rr[i].len);
	} else {
		p[3] |= a.status == DNS_NXDOMAIN ? 3 : 0;
		put16(p + 8, 1);
		n += put_rr(p + n, 12, DNS_SOA, soa, sizeof(soa));
	}
	dns_parsed_free(&a);
	return n;
}

static void *serve(void *arg)
{
	struct server *s = arg;
	uint8_t p[4096];

	while (!atomic_load(&s->stop)) {
		struct pollfd pfd = {.fd = s->fd, .events = POLLIN};
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		ssize_t n;
		size_t m;

		if (poll(&pfd, 1, 20) <= 0)
			continue;
		n = recvfrom(s->fd, p, 1024, 0, (struct sockaddr *)&from, &len);
		if (n < 17)
			continue;
		atomic_fetch_add(&s->asked, 1);
		m = answer(s, p, (size_t)n);
		if (m)
			sendto(s->fd, p, m, 0, (struct sockaddr *)&from, len);
	}
	return NULL;
}

static int setup_memory(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->base = event_base_new();
	f->dns = dns_new_memory(f->base, make_zone(), 0);
	*state = f;
	return f->dns ? 0 : -1;
}

static int setup_unbound(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	char addr[64], err[256] = "";
	const char *fwd[] = {addr};
	struct dns_options opt = {.forwarder = fwd, .n_forwarders = 1, .timeout_ms = 400};

	*state = f;
	f->base = event_base_new();
	f->server.zone = make_zone();
	f->server.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(f->server.fd, (struct sockaddr *)&sin, sizeof(sin)) ||
	    getsockname(f->server.fd, (struct sockaddr *)&sin, &len))
		return -1;
	f->server.port = ntohs(sin.sin_port);
	if (pthread_create(&f->server.thread, NULL, serve, &f->server))
		return -1;
	snprintf(addr, sizeof(addr), "127.0.0.1@%u", f->server.port);
	f->dns = dns_new(f->base, &opt, err, sizeof(err));
	if (!f->dns)
		fprintf(stderr, "%s\n", err);
	return f->dns ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	dns_free(f->dns);
	if (f->server.zone) {
		atomic_store(&f->server.stop, true);
		pthread_join(f->server.thread, NULL);
		close(f->server.fd);
		dns_zone_free(f->server.zone);
	}
	event_base_free(f->base);
	free(f);
	return 0;
}

static void on_answer(void *arg, const struct dns_answer *a)
{
	struct fixture *f = arg;

	f->calls++;
	f->status = a->status;
	f->n = a->n;
	f->ttl = a->ttl;
	f->len = 0;
	if (a->n && a->rr[0].len <= sizeof(f->data)) {
		memcpy(f->data, a->rr[0].data, a->rr[0].len);
		f->len = a->rr[0].len;
	}
	snprintf(f->reason, sizeof(f->reason), "%s", a->reason ? a->reason : "(null)");
}

static void wait_calls(struct fixture *f, unsigned int n)
{
	while (f->calls < n)
		assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
}

static void expect(struct fixture *f, const char *name, uint16_t type, enum dns_status status,
		   size_t n)
{
	unsigned int before = f->calls;

	assert_non_null(dns_resolve(f->dns, str_c(name), type, on_answer, f));
	assert_int_equal(f->calls, before); /* never from inside */
	wait_calls(f, before + 1);
	if (f->status != status || f->n != n)
		fail_msg("%s %u: status %d (%s), %zu records", name, type, f->status, f->reason,
			 f->n);
}

static void test_answers(void **state)
{
	struct fixture *f = *state;

	expect(f, "example.com", DNS_MX, DNS_OK, 2);
	assert_true(f->ttl > 0);
	expect(f, "mail.example.com.", DNS_A, DNS_OK, 1);
	assert_int_equal(f->len, 4);
	assert_memory_equal(f->data, "\xc0\x00\x02\x19", 4);
	expect(f, "mail.example.com", DNS_AAAA, DNS_OK, 1);
	expect(f, "alias.example.com", DNS_TXT, DNS_OK, 1);
	assert_memory_equal(f->data, "\5hello\6 world", 13);
	expect(f, "sp ace.example.com", DNS_A, DNS_OK, 1);
	expect(f, "mail.example.com", DNS_TXT, DNS_NODATA, 0);
	expect(f, "nope.example.com", DNS_A, DNS_NXDOMAIN, 0);
	expect(f, "a..example.com", DNS_A, DNS_NXDOMAIN, 0);
	expect(f, "a\\.example.com", DNS_A, DNS_NXDOMAIN, 0);
}

static void test_server_fails(void **state)
{
	struct fixture *f = *state;

	expect(f, "fail.example.com", DNS_A, DNS_TEMPFAIL, 0);
	assert_non_null(strstr(f->reason, "SERVFAIL"));
	expect(f, "mail.example.com", DNS_A, DNS_OK, 1);
}

static void test_timeout(void **state)
{
	struct fixture *f = *state;

	expect(f, "drop.example.com", DNS_A, DNS_TEMPFAIL, 0);
	assert_string_equal(f->reason, "timed out");
	assert_true(atomic_load(&f->server.asked) > 0);
	/* libunbound goes on asking; what it finds has no taker any more. */
}

static void test_no_packet_for_bad_name(void **state)
{
	struct fixture *f = *state;

	expect(f, "a..example.com", DNS_A, DNS_NXDOMAIN, 0);
	assert_int_equal(atomic_load(&f->server.asked), 0);
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;
	struct dns_query *q[3];

	for (int i = 0; i < 3; i++)
		q[i] = dns_resolve(f->dns, STR("mail.example.com"), DNS_A, on_answer, f);
	dns_cancel(q[0]);
	dns_cancel(q[2]);
	dns_cancel(NULL);
	expect(f, "alias.example.com", DNS_TXT, DNS_OK, 1);
	wait_calls(f, 2);
	assert_int_equal(f->calls, 2);
	/* Open when all of it goes. */
	assert_non_null(dns_resolve(f->dns, STR("drop.example.com"), DNS_A, on_answer, f));
}

static void on_ptr(void *arg, const struct ptr_result *r)
{
	struct fixture *f = arg;

	f->calls++;
	f->ptr = *r;
}

static int reverse(struct fixture *f, const char *ip)
{
	unsigned int before = f->calls;
	struct ip_addr a;

	assert_true(ip_parse(str_c(ip), &a));
	assert_non_null(ptr_resolve(f->dns, &a, on_ptr, f));
	assert_int_equal(f->calls, before);
	wait_calls(f, before + 1);
	return f->ptr.status;
}

static void test_ptr(void **state)
{
	struct fixture *f = *state;
	struct ip_addr a;

	assert_int_equal(reverse(f, "192.0.2.10"), PTR_OK);
	assert_string_equal(f->ptr.name, "good.example.com");
	assert_int_equal(reverse(f, "192.0.2.11"), PTR_MISMATCH);
	assert_string_equal(f->ptr.name, "");
	assert_int_equal(reverse(f, "192.0.2.12"), PTR_TEMPFAIL);
	assert_int_equal(reverse(f, "192.0.2.13"), PTR_MISMATCH); /* no host name */
	assert_int_equal(reverse(f, "192.0.2.14"), PTR_NONE);
	assert_int_equal(reverse(f, "2001:db8::1"), PTR_NONE);
	assert_true(ip_parse(STR("192.0.2.10"), &a));
	ptr_cancel(ptr_resolve(f->dns, &a, on_ptr, f));
	{ /* half-way: the names are being asked */
		struct ptr_query *q = ptr_resolve(f->dns, &a, on_ptr, f);
		unsigned int before = f->calls;

		assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
		if (f->calls == before)
			ptr_cancel(q);
	}
}

static void test_options(void **state)
{
	struct event_base *base = event_base_new();
	const char *bad[] = {"nonsense"};
	struct dns_options opt = {.forwarder = bad, .n_forwarders = 1};
	char err[256] = "";

	(void)state;
	assert_null(dns_new(base, &opt, err, sizeof(err)));
	assert_non_null(strstr(err, "forwarder nonsense"));
	opt = (struct dns_options){.zone_file = (const char *[]){"/nonexistent/zone"},
				   .n_zone_files = 1};
	assert_null(dns_new(base, &opt, err, sizeof(err)));
	assert_non_null(strstr(err, "/nonexistent/zone"));
	opt = (struct dns_options){.trust_anchor_file = "/nonexistent/key"};
	assert_null(dns_new(base, &opt, err, sizeof(err)));
	assert_non_null(strstr(err, "/nonexistent/key"));
	event_base_free(base);
}

/* A stub zone on loopback, with no forwarder for anything else. */
static void test_stub(void **state)
{
	struct fixture *f = *state;
	char addr[64], err[256] = "";
	struct dns_stub stub = {"example.com", addr};
	struct dns_options opt = {.stub = &stub, .n_stubs = 1, .timeout_ms = 2000};
	struct dns *own = f->dns;

	snprintf(addr, sizeof(addr), "127.0.0.1@%u", f->server.port);
	f->dns = dns_new(f->base, &opt, err, sizeof(err));
	assert_non_null(f->dns);
	expect(f, "mail.example.com", DNS_A, DNS_OK, 1);
	dns_free(f->dns);
	f->dns = own;
}

#define M(name)                                                                                    \
	{                                                                                          \
#name "_memory", name, setup_memory, teardown, NULL                                \
	}
#define U(name)                                                                                    \
	{                                                                                          \
#name "_unbound", name, setup_unbound, teardown, NULL                              \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		M(test_answers),
		U(test_answers),
		U(test_server_fails),
		U(test_timeout),
		U(test_no_packet_for_bad_name),
		M(test_cancel),
		U(test_cancel),
		M(test_ptr),
		U(test_stub),
		cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
