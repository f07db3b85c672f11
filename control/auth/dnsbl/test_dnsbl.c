/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "control/auth/dnsbl/dnsbl.h"
#include "control/dns/dns_zone.h"
#include "postern/limits.h"

#define ZEROS "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0"
#define V6 "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"

static const char zone[] =
	"$ORIGIN bl.example.\n"
	"2.0.0.127 A 127.0.0.2\n"
	"2.0.0.127 A 127.0.0.10\n"
	"2.0.0.0.0.0.f.7.f.f.f.f." ZEROS " A 127.0.0.2\n"
	"9.100.51.198 A 127.0.0.4\n"
	"9.100.51.198 A 127.0.0.11\n"
	"10.100.51.198 A 127.255.255.254\n"
	"11.100.51.198 A 127.0.0.1\n"
	"12.100.51.198 A 127.0.0.2\n"
	"12.100.51.198 A 127.255.255.252\n"
	V6 " A 127.0.0.3\n"
	/* the domain has gone to somebody who answers anything */
	"*.parked.example. A 203.0.113.7\n"
	/* a list that closes */
	"*.world.example. A 127.0.0.2\n"
	/* no test entry */
	"9.100.51.198.bare.example. A 127.0.0.2\n"
	V6 ".bare.example. A 127.0.0.2\n"
	/* test entry of IPv4 only; answers TXT only */
	V6 ".four.example. A 127.0.0.2\n"
	"2.0.0.127.four.example. A 127.0.0.2\n"
	"9.100.51.198.text.example. TXT \"listed\"\n"
	"9.100.51.198.mute.example. A 127.0.0.2\n";

static struct event_base *base;
static struct dns *dns;

struct got {
	struct dnsbl_verdict v[LIMIT_DNSBLS];
	size_t n;
	unsigned int calls;
};

static void done(void *arg, const struct dnsbl_verdict *v, size_t n)
{
	struct got *g = arg;

	memcpy(g->v, v, n * sizeof(*v));
	g->n = n;
	g->calls++;
	event_base_loopbreak(base);
}

static struct dnsbl_verdict one(const struct dnsbl_list *l, const char *ip)
{
	struct ip_addr a;
	struct got g = {0};
	struct dnsbl_check *c;

	assert_true(ip_parse(str_c(ip), &a));
	c = dnsbl_check(dns, base, l, 1, &a, 200, done, &g);
	assert_non_null(c);
	assert_int_equal(g.calls, 0);
	event_base_dispatch(base);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(g.calls, 1);
	assert_int_equal(g.n, 1);
	dnsbl_free(c);
	return g.v[0];
}

static void table(void **state)
{
	static const struct dnsbl_range four = {{127, 0, 0, 4}, {127, 0, 0, 4}},
					eleven[] = {{{127, 0, 0, 99}, {127, 0, 0, 99}},
						    {{127, 0, 0, 10}, {127, 0, 0, 11}}},
					none = {{127, 0, 1, 0}, {127, 0, 1, 255}},
					wide = {{127, 0, 0, 0}, {127, 255, 255, 255}};
	static const struct {
		struct dnsbl_list list;
		const char *ip;
		enum dnsbl_result want;
		uint8_t answer[4];
		const char *reason;
	} t[] = {
#define LIST(z) {.name = "l", .zone = z}
#define LIST_OF(z, r, k) {.name = "l", .zone = z, .answer = r, .n_answers = k}
		{LIST("bl.example"), "198.51.100.9", DNSBL_LISTED, {127, 0, 0, 4}, ""},
		{LIST("bl.example"), "198.51.100.8", DNSBL_NOT_LISTED, {0}, ""},
		{LIST_OF("bl.example", &four, 1), "198.51.100.9", DNSBL_LISTED, {127, 0, 0, 4}, ""},
		{LIST_OF("bl.example", eleven, 2), "198.51.100.9", DNSBL_LISTED, {127, 0, 0, 11}, ""},
		{LIST_OF("bl.example", &none, 1), "198.51.100.9", DNSBL_NOT_LISTED, {0}, ""},
		/* error codes, alone and beside others, whatever the answers configured */
		{LIST("bl.example"), "198.51.100.10", DNSBL_NO_LIST, {127, 255, 255, 254}, "error code"},
		{LIST("bl.example"), "198.51.100.12", DNSBL_NO_LIST, {127, 255, 255, 252}, "error code"},
		{LIST_OF("bl.example", &wide, 1), "198.51.100.10", DNSBL_NO_LIST,
		 {127, 255, 255, 254}, "error code"},
		{LIST("bl.example"), "198.51.100.11", DNSBL_NOT_LISTED, {0}, ""},
		{LIST("parked.example"), "198.51.100.9", DNSBL_NO_LIST, {203, 0, 113, 7}, "outside"},
		{LIST("world.example"), "198.51.100.9", DNSBL_BROKEN, {127, 0, 0, 2}, "lists 127.0.0.1"},
		{LIST("world.example"), "2001:db8::1", DNSBL_BROKEN, {127, 0, 0, 2}, "lists 127.0.0.1"},
		{LIST("bare.example"), "198.51.100.9", DNSBL_BROKEN, {127, 0, 0, 2}, "is not there"},
		{LIST("bare.example"), "2001:db8::1", DNSBL_BROKEN, {127, 0, 0, 2}, "is not there"},
		{{.name = "l", .zone = "bare.example", .untested = true}, "198.51.100.9", DNSBL_LISTED,
		 {127, 0, 0, 2}, ""},
		{LIST("bl.example"), "2001:db8::1", DNSBL_LISTED, {127, 0, 0, 3}, ""},
		{LIST("bl.example"), "2001:db8::2", DNSBL_NOT_LISTED, {0}, ""},
		{LIST("four.example"), "2001:db8::1", DNSBL_LISTED, {127, 0, 0, 2}, ""},
		{LIST("text.example"), "198.51.100.9", DNSBL_NOT_LISTED, {0}, ""},
		{LIST("late.example"), "198.51.100.9", DNSBL_FAILED, {0}, "DNS timed out"},
		/* the listing comes, the test entries do not */
		{LIST("mute.example"), "198.51.100.9", DNSBL_FAILED, {127, 0, 0, 2}, "test entries"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct dnsbl_verdict v = one(&t[i].list, t[i].ip);

		if (v.result != t[i].want || memcmp(v.answer, t[i].answer, 4) ||
		    !strstr(v.reason, t[i].reason) || (!t[i].reason[0] && v.reason[0]))
			fail_msg("row %zu: %s %u.%u.%u.%u %s", i, dnsbl_result_name(v.result), v.answer[0],
				 v.answer[1], v.answer[2], v.answer[3], v.reason);
	}
}

/* All at once; a slow list takes nothing from the others. */
static void several(void **state)
{
	static const struct dnsbl_list list[] = {LIST("bl.example"), LIST("late.example"),
						 LIST("world.example"), LIST("nowhere.example")};
	static const enum dnsbl_result want[] = {DNSBL_LISTED, DNSBL_FAILED, DNSBL_BROKEN,
						 DNSBL_NOT_LISTED};
	struct ip_addr a;
	struct got g = {0};
	struct dnsbl_check *c;

	(void)state;
	assert_true(ip_parse(STR("198.51.100.9"), &a));
	c = dnsbl_check(dns, base, list, 4, &a, 0, done, &g);
	event_base_dispatch(base);
	assert_int_equal(g.n, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(g.v[i].result, want[i]);
	dnsbl_free(c);
	/* once: what was told is not told again when the budget is over */
	g = (struct got){.n = 0};
	c = dnsbl_check(dns, base, list, 4, &a, 10, done, &g);
	event_base_dispatch(base);
	event_base_loopexit(base, &(struct timeval){.tv_usec = 40000});
	event_base_dispatch(base);
	assert_int_equal(g.calls, 1);
	dnsbl_free(c);
	/* none at all still answers, and not inside the call */
	g = (struct got){.n = 9};
	c = dnsbl_check(dns, base, list, 0, &a, 0, done, &g);
	assert_int_equal(g.calls, 0);
	event_base_dispatch(base);
	assert_int_equal(g.calls, 1);
	assert_int_equal(g.n, 0);
	dnsbl_free(c);
}

/* The budget is ours, not that of a name server that never answers. */
static void out_of_time(void **state)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	static const struct dnsbl_list list[] = {LIST("bl.example"), LIST("other.example")};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(sin);
	char fwd[64], err[256];
	const char *servers[] = {fwd};
	struct dns_options opt = {.forwarder = servers, .n_forwarders = 1};
	struct dns *silent;
	struct dnsbl_check *c;
	struct got g = {0};
	struct ip_addr a;

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	snprintf(fwd, sizeof(fwd), "127.0.0.1@%u", ntohs(sin.sin_port));
	silent = dns_new(base, &opt, err, sizeof(err));
	assert_non_null(silent);
	assert_true(ip_parse(STR("198.51.100.9"), &a));
	c = dnsbl_check(silent, base, list, 2, &a, 50, done, &g);
	event_base_dispatch(base);
	assert_int_equal(g.calls, 1);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(g.v[i].result, DNSBL_FAILED);
		assert_string_equal(g.v[i].reason, "no answer in time");
	}
	dnsbl_free(c);
	dns_free(silent);
	close(fd);
}

/* Given up at every step nothing is left. */
static void given_up(void **state)
{
	static const struct dnsbl_list list[] = {LIST("bl.example"), LIST("mute.example")};
	struct ip_addr a;

	(void)state;
	assert_true(ip_parse(STR("198.51.100.9"), &a));
	for (int turns = 0; turns < 8; turns++) {
		struct got g = {0};
		struct dnsbl_check *c = dnsbl_check(dns, base, list, 2, &a, 0, done, &g);

		for (int k = 0; k < turns; k++)
			event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		dnsbl_free(c);
	}
	assert_int_equal(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
}

static void timeout(struct dns_zone *z, const char *name)
{
	struct dns_wire_name w;

	assert_int_equal(dns_wire_from_text(str_c(name), &w), 0);
	assert_int_equal(dns_zone_add_timeout(z, &w), 0);
}

static int setup(void **state)
{
	struct dns_zone *z = dns_zone_new();
	static char text[sizeof(zone)];
	char err[256] = "";

	(void)state;
	memcpy(text, zone, sizeof(zone));
	if (dns_zone_parse(z, (uint8_t *)text, strlen(text), "test", err, sizeof(err))) {
		fprintf(stderr, "%s\n", err);
		return -1;
	}
	timeout(z, "9.100.51.198.late.example");
	timeout(z, "2.0.0.127.mute.example");
	base = event_base_new();
	dns = dns_new_memory(base, z, 0);
	return dns ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	dns_free(dns);
	event_base_free(base);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(several),
		cmocka_unit_test(out_of_time),
		cmocka_unit_test(given_up),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
