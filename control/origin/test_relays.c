/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/origin/relays.h"

static void hops_as_text(void **state)
{
	static char message[] =
		"Received: from mail.example.org (mail.example.org [198.51.100.7])\r\n"
		"\tby gw.example.net (Postfix) with ESMTPS id ABC123; Fri, 1 Jan 2021 00:00:00 +0000\r\n"
		"Received: from laptop ([203.0.113.9]) by mail.example.org with ESMTPSA id Q9\r\n"
		"\tfor <x@example.com>; Fri, 1 Jan 2021 00:00:00 +0000\r\n"
		"Subject: x\r\n\r\nbody\r\n";
	struct iovec iov = {message, sizeof(message) - 1};
	struct mail_bytes bytes = {&iov, 1, sizeof(message) - 1};
	struct ip_range range;
	struct origin_relay relay = {.name = "gw", .range = &range, .n_ranges = 1, .hops = 1};
	struct origin_relays relays = {&relay, 1};
	struct mail_envelope env = {.helo = STR("gw.example.net"), .mail_from = STR("a]b@example.org")};
	struct headers h = {0};
	struct relays_text t;
	struct origin o;

	(void)state;
	assert_true(ip_range_parse(STR("192.0.2.1"), &range));
	assert_true(ip_parse(STR("192.0.2.1"), &env.peer));
	assert_int_equal(headers_parse(&h, &bytes), 0);
	assert_int_equal(origin_walk(&relays, &env, &h, false, &o), 0);
	assert_int_equal(o.status, ORIGIN_VIA);
	assert_int_equal(relays_make(&o, &env, &h, STR("us.example.com"), STR("gw.example.net"), &t), 0);
	assert_string_equal(t.trusted, "[ ip=192.0.2.1 rdns=gw.example.net helo=gw.example.net "
			    "by=us.example.com ident= envfrom=a_b@example.org intl=1 id= auth= msa=0 ]");
	assert_non_null(strstr(t.untrusted, "[ ip=198.51.100.7 rdns=mail.example.org helo=mail.example.org "
			       "by=gw.example.net ident= envfrom= intl=0 id=ABC123 auth= msa=0 ]"));
	assert_non_null(strstr(t.untrusted, "] [ ip=203.0.113.9 "));
	assert_non_null(strstr(t.untrusted, "auth=ESMTPSA msa=0 ]"));
	relays_free(&t);
	origin_free(&o);
	headers_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(hops_as_text)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
