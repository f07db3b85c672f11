/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Where a transaction goes: MX records, weights, families; and the limits of a route. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "control/deliver/fake_hop.h"

#define TEXT "Subject: test\r\n\r\nbody\r\n"

static struct lab l;
static struct hop *hop[4];       /* 127.0.0.1 to .4, of one port */
static struct { unsigned int n; char route[64], text[160]; } told;

static void on_alert(void *arg, const struct deliver_alert *a)
{
	(void)arg;
	told.n++;
	snprintf(told.route, sizeof(told.route), "%s", a->route);
	snprintf(told.text, sizeof(told.text), "%s", a->text ? a->text : "");
}

static struct config_listener listener;
static struct ip_net own_address;

static int setup(void **state)
{
	(void)state;
	memset(&told, 0, sizeof(told));
	lab_init(&l);
	hop[0] = hop_new(l.base);
	for (int i = 1; i < 4; i++) {
		char ip[24];

		snprintf(ip, sizeof(ip), "127.0.0.%d", i + 1);
		hop[i] = hop_new_at(l.base, ip, hop[0]->port);
	}
	l.route.mx = true;
	l.route.port = hop[0]->port;
	assert_true(ip_parse(STR("127.0.0.99"), &own_address.addr));
	own_address.prefix = 128;
	listener = (struct config_listener){.address = &own_address, .n_addresses = 1};
	l.config.listener = &listener;
	l.config.n_listeners = 1;
	deliver_on_alert(l.d, on_alert, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		hop_free(hop[i]);
	lab_fini(&l);
	return 0;
}

static struct deliver_result deliver(void)
{
	struct sent s;

	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	assert_int_equal(s.calls, 1);
	return s.result;
}

static struct deliver_reply question(const char *to)
{
	struct asked a = {0};

	assert_non_null(ask(&l, &a, "sender@example.org", to));
	lab_run(&l, &a.done);
	return a.reply;
}

/* mx<i>.example.net is hop[i - 1]. */
static void name_hosts(void)
{
	char name[40], ip[24];

	for (int i = 1; i <= 4; i++) {
		snprintf(name, sizeof(name), "mx%d.example.net", i);
		snprintf(ip, sizeof(ip), "127.0.0.%d", i);
		fake_dns_add(name, DNS_A, DNS_OK, ip);
	}
	fake_dns_add("us.example.net", DNS_A, DNS_OK, "127.0.0.99");
}

static void mx(const char *text)
{
	fake_dns_add("example.com", DNS_MX, DNS_OK, text);
}

/* ---- MX records, a row a case ------------------------------------------------------------------ */

#define OK DELIVER_DELIVERED
#define NO DELIVER_REJECTED
#define LATER DELIVER_DEFERRED

static const struct mx_case {
	const char *name;
	const char *mx[4];               /* of example.com */
	enum dns_status status;          /* without records */
	uint16_t code;
	unsigned int subject, detail;
	enum deliver_outcome outcome;
	int at;                          /* which hop has it; -1: none */
	const char *alert;
} mx_cases[] = {
	{"one", {"10 mx1.example.net"}, 0, 250, 0, 0, OK, 0, NULL},
	{"best first", {"20 mx1.example.net", "10 mx2.example.net", "30 mx3.example.net"}, 0, 250, 0, 0,
	 OK, 1, NULL},
	{"none: the domain itself", {NULL}, DNS_NODATA, 250, 0, 0, OK, 2, NULL},
	{"null MX", {"0 ."}, 0, 556, 1, 10, NO, -1, NULL},
	{"null MX of another preference", {"10 ."}, 0, 556, 1, 10, NO, -1, NULL},
	{"null MX beside others", {"0 .", "10 mx2.example.net"}, 0, 250, 0, 0, OK, 1, NULL},
	{"no such domain", {NULL}, DNS_NXDOMAIN, 451, 4, 4, LATER, -1, "does not exist"},
	{"DNS is silent", {NULL}, DNS_TEMPFAIL, 451, 4, 3, LATER, -1, NULL},
	{"DNS is forged", {NULL}, DNS_BOGUS, 451, 4, 3, LATER, -1, NULL},
	{"ourselves by name", {"10 Relay.Example.ORG"}, 0, 451, 4, 6, LATER, -1, "lead back here"},
	{"ourselves by address", {"10 us.example.net"}, 0, 451, 4, 6, LATER, -1, "lead back here"},
	{"better than ourselves", {"10 relay.example.org", "5 mx3.example.net"}, 0, 250, 0, 0, OK, 2,
	 NULL},
	{"equal to ourselves", {"10 relay.example.org", "10 mx1.example.net"}, 0, 451, 4, 6, LATER, -1,
	 "lead back here"},
	{"worse than ourselves", {"10 us.example.net", "20 mx1.example.net"}, 0, 451, 4, 6, LATER, -1,
	 "lead back here"},
	{"named twice, once worse", {"10 us.example.net", "5 mx1.example.net", "20 mx1.example.net"}, 0,
	 250, 0, 0, OK, 0, NULL},
	{"no host names", {"10 bad name.example.net"}, 0, 451, 4, 4, LATER, -1, "name no host"},
	{"a name without address, then one", {"10 nothing.example.net", "20 mx4.example.net"}, 0, 250, 0,
	 0, OK, 3, NULL},
};

static void mx_table(void **state)
{
	for (size_t i = 0; i < sizeof(mx_cases) / sizeof(mx_cases[0]); i++) {
		const struct mx_case *c = &mx_cases[i];
		struct deliver_result r;
		struct deliver_reply q;

		setup(state);
		name_hosts();
		fake_dns_add("nothing.example.net", DNS_TXT, DNS_OK, "192.0.2.1");
		if (c->status == DNS_NODATA)
			fake_dns_add("example.com", DNS_A, DNS_OK, "127.0.0.3");
		else if (c->status)
			fake_dns_add("example.com", DNS_MX, c->status, NULL);
		for (int k = 0; k < 4 && c->mx[k]; k++)
			mx(c->mx[k]);
		r = deliver();
		if (r.reply.code != c->code || r.outcome != c->outcome ||
		    (c->code != 250 &&
		     (r.reply.enh_subject != c->subject || r.reply.enh_detail != c->detail)))
			fail_msg("%s: %u %u.%u.%u %s", c->name, r.reply.code, r.reply.enh_class,
				 r.reply.enh_subject, r.reply.enh_detail, r.reply.text);
		for (int k = 0; k < 4; k++)
			if (hop[k]->messages != (c->at == k ? 1u : 0u))
				fail_msg("%s: hop %d has %u", c->name, k, hop[k]->messages);
		if (told.n != (c->alert ? 1u : 0u) || (c->alert && !strstr(told.text, c->alert)))
			fail_msg("%s: alert \"%s\"", c->name, told.text);
		/* RCPT hears the same, but for a silent DNS, of which it says what it always says. */
		q = question("user0@example.com");
		if (q.code != (c->code == 250 ? 250 : c->code))
			fail_msg("%s: at RCPT %u %s", c->name, q.code, q.text);
		teardown(state);
	}
}

/* A CNAME behind an MX is against RFC 5321 5.1 and tolerated: the resolver follows it. What counts is
 * the address, also for ourselves. */
static void this_machine_is_ourselves(void **state)
{
	struct deliver_result r;

	(void)state;
	name_hosts();
	mx("10 mx1.example.net");
	mx("5 mx2.example.net");
	deliver_tuning(l.d)->local_is_own = true; /* all of 127.0.0.0/8 is here */
	r = deliver();
	assert_int_equal(r.reply.code, 451);
	assert_int_equal(r.reply.enh_detail, 6);
	assert_int_equal(l.counters[CTL_route_mx_self], 1);
	assert_int_equal(told.n, 1);
	assert_string_equal(told.route, "office");
	/* Told once a minute, counted always. */
	deliver();
	assert_int_equal(l.counters[CTL_route_mx_self], 2);
	assert_int_equal(told.n, 1);
}

static void egress_is_ourselves(void **state)
{
	(void)state;
	name_hosts();
	mx("10 mx1.example.net");
	assert_true(ip_parse(STR("127.0.0.1"), &l.route.source[0]));
	l.route.has_source[0] = true;
	assert_int_equal(deliver().reply.enh_detail, 6);
}

static void equals_share(void **state)
{
	(void)state;
	name_hosts();
	for (int i = 1; i <= 4; i++) {
		char text[40];

		snprintf(text, sizeof(text), "%d mx%d.example.net", i == 4 ? 20 : 10, i);
		mx(text);
	}
	for (int i = 0; i < 90; i++)
		assert_int_equal(deliver().outcome, OK);
	/* 30 each on average; 9 or fewer has a chance below 1 in 10^6. */
	for (int i = 0; i < 3; i++)
		assert_in_range(hop[i]->messages, 10, 60);
	assert_int_equal(hop[3]->messages, 0);
}

static void a_dead_host_is_passed_over(void **state)
{
	(void)state;
	name_hosts();
	mx("10 mx1.example.net");
	mx("20 mx2.example.net");
	hop_close_listener(hop[0]);
	assert_int_equal(deliver().outcome, OK);
	assert_int_equal(hop[1]->messages, 1);
}

/* Recipients whose domains have MX records of their own cannot share a transaction. */
static void ways_are_not_mixed(void **state)
{
	struct sent s;
	struct deliver_request req = sent_request(&l, &s, TEXT, 2);

	(void)state;
	name_hosts();
	mx("10 mx1.example.net");
	s.to[1] = STR("user@example.net");
	sent_go(&l, &s, &req);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.reply.code, 451);
	assert_int_equal(s.result.reply.enh_detail, 3);
	assert_int_equal(hop[0]->accepted, 0);
	/* By the records of one name they can. */
	l.route.mx_domain = (char *)(uintptr_t)"example.com";
	req = sent_request(&l, &s, TEXT, 2);
	s.to[1] = STR("user@example.net");
	sent_go(&l, &s, &req);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.outcome, OK);
	assert_int_equal(hop[0]->messages, 1);
}

static void cancelled_while_dns_is_asked(void **state)
{
	struct asked a = {0};
	struct sent s;

	(void)state;
	name_hosts();
	mx("10 mx1.example.net");
	sent_start(&l, &s, TEXT, 1);
	deliver_cancel(s.job);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.outcome, DELIVER_ABORTED);
	deliver_verify_cancel(ask(&l, &a, "sender@example.org", "user@example.com"));
	lab_spin(&l, 20);
	assert_false(a.done);
	assert_int_equal(hop[0]->accepted, 0);
	/* And freed while it is. */
	sent_start(&l, &s, TEXT, 1);
	lab_spin(&l, 2);
}

/* What DNS named once and does not name any more is not kept without bound. */
static void hosts_are_forgotten(void **state)
{
	struct deliver_host_status st[LIMIT_MX_HOSTS + 8];

	(void)state;
	l.route.connect_timeout_s = 1;
	for (unsigned int i = 0; i < LIMIT_MX_HOSTS + 40; i++) {
		char text[64];

		fake_dns.n_records = 0;
		name_hosts();
		snprintf(text, sizeof(text), "10 h%u.example.net", i);
		mx(text);
		fake_dns_add(text + 3, DNS_A, DNS_NXDOMAIN, NULL);
		assert_int_equal(deliver().reply.code, 451);
	}
	assert_in_range(deliver_status(l.d, st, LIMIT_MX_HOSTS + 8), 1, LIMIT_MX_HOSTS);
	/* An hour later only what is named now is left. */
	deliver_tuning(l.d)->skew_s += LIMIT_MX_HOST_S;
	fake_dns.n_records = 0;
	name_hosts();
	mx("10 mx1.example.net");
	assert_int_equal(deliver().outcome, OK);
	assert_int_equal(deliver_status(l.d, st, LIMIT_MX_HOSTS + 8), 1);
}

/* What a new configuration has wrong in DNS is told before the first message. */
static void routes_are_checked(void **state)
{
	static char *domains[] = {(char *)(uintptr_t)"self.example", (char *)(uintptr_t)"good.example",
				  (char *)(uintptr_t)".example.net"};

	(void)state;
	name_hosts();
	l.route.domain = domains;
	l.route.n_domains = 3;
	fake_dns_add("self.example", DNS_MX, DNS_OK, "10 us.example.net");
	fake_dns_add("good.example", DNS_MX, DNS_OK, "10 mx1.example.net");
	deliver_check_routes(l.d, &l.config);
	lab_spin(&l, 30);
	assert_int_equal(told.n, 1);
	assert_string_equal(told.route, "office");
	assert_non_null(strstr(told.text, "self.example has MX records that lead back here"));
	assert_int_equal(l.config.refs, 1);
	/* A name for all of them; and the check under way is given up for the next, or with the rest. */
	l.route.mx_domain = (char *)(uintptr_t)"gone.example";
	fake_dns_add("gone.example", DNS_MX, DNS_NXDOMAIN, NULL);
	deliver_check_routes(l.d, &l.config);
	deliver_check_routes(l.d, &l.config);
	lab_spin(&l, 30);
	assert_int_equal(told.n, 2);
	assert_non_null(strstr(told.text, "gone.example does not exist"));
	deliver_check_routes(l.d, &l.config);
	l.route.mx = false;
	assert_int_equal(hop[0]->accepted, 0);
}

/* ---- hosts --------------------------------------------------------------------------------------- */

static void weights(void **state)
{
	(void)state;
	l.route.mx = false;
	lab_add(&l, "127.0.0.1", hop[0]->port);
	lab_add(&l, "127.0.0.2", hop[0]->port);
	lab_add(&l, "127.0.0.3", hop[0]->port);
	for (int i = 0; i < 3; i++)
		l.host[i].priority = i == 2;
	l.host[1].weight = 4;
	for (int i = 0; i < 100; i++)
		assert_int_equal(deliver().outcome, OK);
	/* 20 and 80 on average; five times the standard deviation of 4. */
	assert_in_range(hop[0]->messages, 1, 40);
	assert_in_range(hop[1]->messages, 60, 99);
	assert_int_equal(hop[2]->messages, 0);
}

static void order_of_the_list(void **state)
{
	(void)state;
	l.route.mx = false;
	lab_add(&l, "127.0.0.3", hop[0]->port);
	lab_add(&l, "127.0.0.1", hop[0]->port);
	for (int i = 0; i < 10; i++)
		deliver();
	assert_int_equal(hop[2]->messages, 10);
}

static void several_addresses_and_families(void **state)
{
	struct deliver_result r;

	(void)state;
	l.route.mx = false;
	lab_add_name(&l, "mx.example.net", hop[0]->port);
	fake_dns_add("mx.example.net", DNS_A, DNS_OK, "127.0.0.1");
	fake_dns_add("mx.example.net", DNS_A, DNS_OK, "127.0.0.2");
	fake_dns_add("mx.example.net", DNS_AAAA, DNS_OK, "2001:db8::1"); /* leads nowhere */
	hop_close_listener(hop[0]);
	assert_int_equal(deliver().outcome, OK);
	assert_int_equal(hop[1]->messages, 1);
	hop_close_all(hop[1]);
	hop_close_listener(hop[1]);
	l.route.connect_timeout_s = 1;
	/* Which is tried last shows what is tried at all. */
	l.route.family = FAMILY_V4;
	r = deliver();
	assert_null(strstr(r.host, "2001:db8"));
	deliver_tuning(l.d)->skew_s += 100;
	l.route.family = FAMILY_V6;
	r = deliver();
	assert_non_null(strstr(r.host, "2001:db8"));
	l.route.family = FAMILY_ANY;
	r = deliver();
	assert_non_null(strstr(r.host, "2001:db8"));
	l.route.family = FAMILY_PREFER_V6;
	r = deliver();
	assert_non_null(strstr(r.host, "127.0.0.2"));
}

static void source_addresses(void **state)
{
	(void)state;
	l.route.mx = false;
	lab_add(&l, "127.0.0.1", hop[0]->port);
	assert_true(ip_parse(STR("127.0.0.77"), &l.route.source[0]));
	assert_true(ip_parse(STR("2001:db8::77"), &l.route.source[1]));
	l.route.has_source[0] = l.route.has_source[1] = true;
	assert_int_equal(deliver().outcome, OK);
	assert_string_equal(hop[0]->client, "127.0.0.77");
}

/* ---- limits of a route ---------------------------------------------------------------------------- */

static void one_host(void)
{
	l.route.mx = false;
	lab_add(&l, "127.0.0.1", hop[0]->port);
}

static void an_old_connection_takes_nothing_more(void **state)
{
	(void)state;
	one_host();
	l.route.connection_age_s = 1;
	deliver();
	deliver();
	assert_int_equal(hop[0]->accepted, 1);
	lab_spin(&l, 1100); /* it is not even kept idle any longer */
	assert_int_equal(hop[0]->quits, 1);
	deliver();
	assert_int_equal(hop[0]->accepted, 2);
}

static void an_age_within_a_transaction(void **state)
{
	struct sent s;

	(void)state;
	one_host();
	l.route.connection_age_s = 1;
	hop[0]->script.dot_after_ms = 1200;
	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.outcome, OK); /* what is under way is finished */
	lab_spin(&l, 50);
	assert_int_equal(hop[0]->quits, 1);
}

static void messages_of_a_connection(void **state)
{
	static const char limits[] = "250-hop.example.net\r\n250-PIPELINING\r\n"
				     "250 LIMITS MAILMAX=2 RCPTMAX=3 X=1";

	(void)state;
	one_host();
	l.route.messages_per_connection = 3;
	for (int i = 0; i < 6; i++)
		deliver();
	lab_spin(&l, 20);
	assert_int_equal(hop[0]->accepted, 2);
	assert_int_equal(hop[0]->quits, 2);
	hop[0]->script.ehlo = limits;
	for (int i = 0; i < 4; i++)
		deliver();
	assert_int_equal(hop[0]->accepted, 4);
	l.route.messages_per_connection = 1; /* the smaller counts */
	for (int i = 0; i < 2; i++)
		deliver();
	assert_int_equal(hop[0]->accepted, 6);
}

static void recipients_of_a_transaction(void **state)
{
	struct sent s;

	(void)state;
	one_host();
	hop[0]->script.ehlo = "250-hop.example.net\r\n250 LIMITS RCPTMAX=2";
	sent_start(&l, &s, TEXT, 3);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.reply.code, 451);
	assert_int_equal(s.result.reply.enh_subject, 5);
	assert_int_equal(s.result.reply.enh_detail, 3);
	assert_int_equal(hop_count(hop[0], "MAIL"), 0);
	sent_start(&l, &s, TEXT, 2);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.outcome, OK);
}

static void rate(void **state)
{
	struct sent s[12];
	uint64_t from = deliver_now_us(), took;

	(void)state;
	one_host();
	l.route.rate = 10;
	for (int i = 0; i < 12; i++)
		sent_start(&l, &s[i], TEXT, 1);
	for (int i = 0; i < 12; i++)
		lab_run(&l, &s[i].done);
	took = deliver_now_us() - from;
	for (int i = 0; i < 12; i++)
		assert_int_equal(s[i].result.outcome, OK);
	/* Ten at once, the other two a tenth of a second apart. */
	assert_true(took >= 190000);
	/* A callout is no message. */
	assert_int_equal(question("somebody@example.com").code, 250);
}

static void a_rate_does_not_let_wait_for_ever(void **state)
{
	struct sent s[8];
	unsigned int late = 0;

	(void)state;
	one_host();
	l.route.rate = 0.5;
	l.route.queue_timeout_s = 4;
	for (int i = 0; i < 8; i++)
		sent_start(&l, &s[i], TEXT, 1);
	for (int i = 0; i < 8; i++) {
		lab_run(&l, &s[i].done);
		late += s[i].result.reply.code == 451 && s[i].result.reply.enh_subject == 4 &&
			s[i].result.reply.enh_detail == 5;
	}
	/* One at once, one after two seconds, perhaps one after four. */
	assert_in_range(late, 5, 6);
	assert_true(l.counters[CTL_nexthop_queue_full] > 0);
	assert_true(l.counters[CTL_nexthop_queue_timeout] > 0);
}

/* A next hop that hangs: who waits behind it hears so in time. */
static void waiting_ends(void **state)
{
	struct sent a, b;
	uint64_t from = deliver_now_us();

	(void)state;
	one_host();
	l.route.max_connections = 1;
	l.route.queue_timeout_s = 1;
	hop[0]->script.dot = HOP_HANG;
	sent_start(&l, &a, TEXT, 1);
	sent_start(&l, &b, TEXT, 1);
	lab_run(&l, &b.done);
	assert_int_equal(b.result.reply.code, 451);
	assert_int_equal(b.result.reply.enh_detail, 5);
	assert_in_range(deliver_now_us() - from, 900000, 5000000);
	assert_int_equal(l.counters[CTL_nexthop_queue_timeout], 1);
	assert_false(a.done);
}

/* The first host says later, the second breaks off at the same place, the third has no address: the
 * reply of the first went with the second attempt, and the client hears one all the same. */
static void reply_that_went(void **state)
{
	struct sent s;
	struct asked a = {0};

	(void)state;
	l.route.mx = false;
	lab_add(&l, "127.0.0.1", hop[0]->port);
	lab_add(&l, "127.0.0.2", hop[0]->port);
	lab_add_name(&l, "nowhere.example.net", hop[0]->port);
	fake_dns_add("nowhere.example.net", DNS_A, DNS_NXDOMAIN, NULL);
	fake_dns_add("nowhere.example.net", DNS_AAAA, DNS_NXDOMAIN, NULL);
	hop[0]->script.rcpt[0] = "451 4.3.2 not now";
	hop[1]->script.rcpt[0] = HOP_CLOSE;
	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	assert_int_equal(hop[1]->accepted, 1);
	assert_int_equal(s.result.reply.code, 451);
	assert_int_equal(s.result.outcome, DELIVER_DEFERRED);
	ask(&l, &a, "s@example.org", "user0@example.com");
	lab_run(&l, &a.done);
	assert_int_equal(a.reply.code / 100, 4);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reply_that_went, setup, teardown),
		cmocka_unit_test(mx_table), T(this_machine_is_ourselves), T(egress_is_ourselves),
		T(equals_share), T(a_dead_host_is_passed_over), T(ways_are_not_mixed),
		T(cancelled_while_dns_is_asked), T(hosts_are_forgotten), T(routes_are_checked), T(weights),
		T(order_of_the_list), T(several_addresses_and_families), T(source_addresses),
		T(an_old_connection_takes_nothing_more), T(an_age_within_a_transaction),
		T(messages_of_a_connection), T(recipients_of_a_transaction), T(rate),
		T(a_rate_does_not_let_wait_for_ever), T(waiting_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
