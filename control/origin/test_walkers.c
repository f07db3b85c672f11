/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/origin/walkers.h"

#define DATE "; Tue, 14 Nov 2023 22:13:20 +0000\r\n"

static struct ip_range listed[8];
static struct walker_view view;

static struct ip_addr ip(const char *text)
{
	struct ip_addr a;

	assert_true(ip_parse(str_c(text), &a));
	return a;
}

static size_t list(const char *text)
{
	struct str s = str_c(text);
	size_t n = 0;

	while (s.n) {
		size_t comma = str_find(s, ',');

		assert_true(n < 8 && ip_range_parse(str_cut(s, comma), &listed[n]));
		n++;
		s = str_skip(s, comma + 1);
	}
	return n;
}

static void walk(struct walker_setting set, const char *peer, const char *skip, const char *message)
{
	struct iovec iov = {(void *)(uintptr_t)message, strlen(message)};
	struct mail_bytes c = {&iov, 1, strlen(message)};
	struct walker_start start = {.has_peer = peer != NULL, .peer_helo = STR("gw.example.net")};
	struct headers h;

	if (peer)
		start.peer = ip(peer);
	set.on = true;
	set.listed = listed;
	set.n_listed = list(skip);
	assert_int_equal(headers_parse(&h, &c), 0);
	walker_run(&set, &start, &h, &view);
	headers_free(&h);
}

static void arrives(const char *address, const char *helo, bool found)
{
	char buf[46];

	assert_string_equal(ip_format(&view.ip, buf, sizeof(buf)), address);
	assert_string_equal(view.helo, helo);
	assert_int_equal(view.found, found);
}

/* Lines as the clouds got them, with what they stamped: the addresses are replaced. */
static void real_samples(void **state)
{
	const struct walker_setting exchange = {.kind = WALKER_EXCHANGE};

	(void)state;
	/* X-MS-Exchange-SkipListedInternetSender: ip=[192.0.2.223];domain=User */
	walk(exchange, "198.51.100.7", "198.51.100.7",
	     "Received: from User (192.0.2.223) by MRL-EXH-02.example.net\r\n (10.0.1.2) with "
	     "Microsoft "
	     "SMTP Server id 15.1.2" DATE);
	arrives("192.0.2.223", "User", true);
	/* ip=[192.0.2.3];domain=GVAP278CU002.outbound.protection.example.com */
	walk(exchange, "198.51.100.7", "198.51.100.0/24",
	     "Received: from GVAP278CU002.outbound.protection.example.com (mail-gv.example.com "
	     "[192.0.2.3])\r\n\tby gw.example.net (Postfix) with ESMTPS id 4X" DATE);
	arrives("192.0.2.3", "GVAP278CU002.outbound.protection.example.com", true);
	/* ip=[2001:db8:800:257::18];domain=VI0PR08MB11200.eurprd08.prod.example.com */
	walk(exchange, "198.51.100.7", "198.51.100.1-198.51.100.9",
	     "Received: from VI0PR08MB11200.eurprd08.prod.example.com (2001:db8:800:257::18)\r\n "
	     "by "
	     "DB9.eurprd08.prod.example.net (2001:db8:10::7) with Microsoft SMTP Server\r\n "
	     "(version=TLS1_2, cipher=X) id 15.20.7" DATE);
	arrives("2001:db8:800:257::18", "VI0PR08MB11200.eurprd08.prod.example.com", true);
}

static const char chain[] = "X-Other: 1\r\n"
			    "Received: from relay.example.org (relay.example.org [192.0.2.10]) by "
			    "gw.example.net (Postern) with "
			    "ESMTPS id 1" DATE "Received: from inner (unknown [10.1.2.3]) by "
					       "relay.example.org (Postfix) with ESMTP id 2" DATE
			    "Received: by inner with a queue of its own" DATE
			    "Received: from mail.example.com (ptr.example.com [203.0.113.5]) by "
			    "inner (Postfix) with ESMTPA "
			    "id 3" DATE "Received: from forged.example (x.example [203.0.113.99]) "
					"by y.example (Postfix) with ESMTP id 4" DATE;

static void each_kind(void **state)
{
	static const struct {
		struct walker_setting set;
		const char *peer, *skip, *ip, *helo;
		long field;
		bool found;
	} t[] = {
		{{.kind = WALKER_EXCHANGE},
		 "198.51.100.7",
		 "198.51.100.7,192.0.2.10",
		 "203.0.113.5",
		 "mail.example.com",
		 4,
		 true},
		/* The relay is not listed: it becomes the sender. */
		{{.kind = WALKER_EXCHANGE},
		 "198.51.100.7",
		 "198.51.100.7",
		 "192.0.2.10",
		 "relay.example.org",
		 1,
		 true},
		{{.kind = WALKER_EXCHANGE, .skip_last = true},
		 "198.51.100.7",
		 "",
		 "192.0.2.10",
		 "relay.example.org",
		 1,
		 true},
		/* Everything is listed: the other side is left with who connected. */
		{{.kind = WALKER_EXCHANGE},
		 "198.51.100.7",
		 "0.0.0.0/0",
		 "198.51.100.7",
		 "gw.example.net",
		 -1,
		 false},
		/* The gateway itself is not listed. */
		{{.kind = WALKER_GMAIL},
		 "198.51.100.7",
		 "192.0.2.10",
		 "198.51.100.7",
		 "gw.example.net",
		 -1,
		 true},
		{{.kind = WALKER_GMAIL},
		 "198.51.100.7",
		 "198.51.100.7,192.0.2.10",
		 "203.0.113.5",
		 "mail.example.com",
		 4,
		 true},
		{{.kind = WALKER_GMAIL, .keep_private = true},
		 "198.51.100.7",
		 "198.51.100.7,192.0.2.10",
		 "10.1.2.3",
		 "inner",
		 2,
		 true},
		{{.kind = WALKER_SPAMASSASSIN},
		 "198.51.100.7",
		 "198.51.100.7,192.0.2.10,10.0.0.0/8",
		 "203.0.113.99",
		 "forged.example",
		 5,
		 true},
		{{.kind = WALKER_SPAMASSASSIN},
		 "198.51.100.7",
		 "198.51.100.7,192.0.2.10",
		 "10.1.2.3",
		 "inner",
		 2,
		 true},
		{{.kind = WALKER_SPAMASSASSIN},
		 "127.0.0.1",
		 "198.51.100.7",
		 "192.0.2.10",
		 "relay.example.org",
		 1,
		 true},
		/* Its HELO is the reverse name. */
		{{.kind = WALKER_RSPAMD},
		 "198.51.100.7",
		 "198.51.100.7,192.0.2.10,10.1.2.3",
		 "203.0.113.5",
		 "ptr.example.com",
		 4,
		 true},
		{{.kind = WALKER_RSPAMD},
		 "198.51.100.7",
		 "198.51.100.7,192.0.2.10",
		 "10.1.2.3",
		 "inner",
		 2,
		 true},
		{{.kind = WALKER_FIRST_RECEIVED},
		 "198.51.100.7",
		 "",
		 "192.0.2.10",
		 "relay.example.org",
		 1,
		 true},
		{{.kind = WALKER_LAST_PUBLIC},
		 "198.51.100.7",
		 "",
		 "203.0.113.99",
		 "forged.example",
		 5,
		 true},
		{{.kind = WALKER_EXCHANGE},
		 NULL,
		 "192.0.2.10",
		 "203.0.113.5",
		 "mail.example.com",
		 4,
		 true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char buf[46];

		walk(t[i].set, t[i].peer, t[i].skip, chain);
		if (strcmp(ip_format(&view.ip, buf, sizeof(buf)), t[i].ip) != 0 ||
		    strcmp(view.helo, t[i].helo) != 0 || view.field != t[i].field ||
		    view.found != t[i].found)
			fail_msg("case %zu: %s %s field %ld", i, buf, view.helo, view.field);
		assert_true(view.n_hops > 0 &&
			    (t[i].set.kind >= WALKER_FIRST_RECEIVED || view.hop[0].note[0]));
	}
}

static void hops_are_listed(void **state)
{
	struct iovec iov = {(void *)(uintptr_t)chain, sizeof(chain) - 1};
	struct mail_bytes c = {&iov, 1, sizeof(chain) - 1};
	struct headers h;

	(void)state;
	assert_int_equal(headers_parse(&h, &c), 0);
	walker_hops(&(struct walker_start){0}, &h, &view);
	assert_int_equal(view.n_hops, 5);
	assert_false(view.hop[2].has_ip);
	assert_non_null(strstr(view.hop[2].note, "no from"));
	assert_true(view.hop[3].authenticated && !view.hop[4].authenticated);
	walker_hops(&(struct walker_start){.field = 4}, &h, &view);
	assert_int_equal(view.n_hops, 2);
	headers_free(&h);
	/* No line at all. */
	iov.iov_len = c.size = 12;
	assert_int_equal(headers_parse(&h, &c), 0);
	walker_run(&(struct walker_setting){.kind = WALKER_EXCHANGE, .on = true},
		   &(struct walker_start){0}, &h, &view);
	assert_true(!view.found && view.n_hops == 0);
	headers_free(&h);
}

static void ranges(void **state)
{
	static const struct {
		const char *range, *in, *out;
	} t[] = {
		{"192.0.2.1", "192.0.2.1", "192.0.2.2"},
		{"192.0.2.4-192.0.2.6", "192.0.2.6", "192.0.2.7"},
		{"192.0.2.0/25", "192.0.2.127", "192.0.2.128"},
		{"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"},
		{"2001:db8::1 - 2001:db8::9", "2001:db8::9", "2001:db8::a"},
	};
	static const char *const bad[] = {"",    "192.0.2.9-192.0.2.1", "192.0.2.1-2001:db8::1",
					  "a-b", "192.0.2.0/33",        "192.0.2.1-"};
	struct ip_range r;
	struct ip_addr in, out;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_true(ip_range_parse(str_c(t[i].range), &r));
		in = ip(t[i].in);
		out = ip(t[i].out);
		assert_true(ip_in_range(&in, &r) && !ip_in_range(&out, &r));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(ip_range_parse(str_c(bad[i]), &r));
}

static void names(void **state)
{
	enum walker_kind kind;

	(void)state;
	for (unsigned int i = 0; i <= WALKER_LAST_PUBLIC; i++) {
		assert_true(walker_kind_parse(str_c(walker_kind_name((enum walker_kind)i)), &kind));
		assert_int_equal(kind, i);
	}
	assert_false(walker_kind_parse(STR("Exchange"), &kind));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_samples),    cmocka_unit_test(each_kind),
		cmocka_unit_test(hops_are_listed), cmocka_unit_test(ranges),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
