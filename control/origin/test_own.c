/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Which Received fields make a loop, and which are a forward. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "control/origin/origin.h"
#include "postern/limits.h"

#define BY(name, to) "Received: from a.example.org (unknown [203.0.113.7])\r\n\tby " name \
	" (Postern) with ESMTP id 0123456789ABCDEF" to ";\r\n\tFri, 27 Nov 2026 10:00:00 +0000\r\n"
#define US BY("mx.example.net", "")
#define US_FOR(who) BY("MX.Example.NET", "\r\n\tfor <" who ">")
#define OTHER BY("mx.example.com", "")
/* received-format = exchange */
#define US_SHORT "Received: from a.example.org (203.0.113.7) by mx.example.net (Postern)\r\n" \
	"\twith ESMTPS id 0123456789ABCDEF\r\n" \
	"\t(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384);\r\n\tFri, 27 Nov 2026 10:00:00 +0000\r\n"
#define FORGED "Received: by mx.example.net\r\n"

static const char *in_hand_id; /* NULL: nothing is in hand */
static unsigned int in_hand_asked;

static bool in_hand(void *arg, struct str id)
{
	assert_ptr_equal(arg, &in_hand_id);
	in_hand_asked++;
	return in_hand_id && str_eq(id, str_c(in_hand_id));
}

static bool shared; /* is our name another's too? */

static bool was_here;

static bool loops(const char *fields)
{
	static char text[64 * 1024];
	struct iovec iov = {text, 0};
	struct mail_bytes content = {&iov, 1, 0};
	struct headers h;
	bool is;

	content.size = iov.iov_len = (size_t)snprintf(text, sizeof(text), "%sSubject: a\r\n\r\nb\r\n", fields);
	assert_int_equal(headers_parse(&h, &content), 0);
	in_hand_asked = 0;
	was_here = origin_was_at(&h, STR("mx.example.net"));
	is = origin_is_loop(&h, STR("mx.example.net"), shared, in_hand, &in_hand_id);
	/* With a whole message of such fields nobody makes us look up more than one. */
	assert_in_range(in_hand_asked, 0, shared ? LIMIT_RECEIVED_HOPS : 1);
	if (!in_hand_id)
		assert_int_equal(is, origin_is_loop(&h, STR("mx.example.net"), shared, NULL, NULL));
	headers_free(&h);
	return is;
}

/* Seen once, and we still wait for the next hop that we gave it to. */
static void still_in_hand(void **state)
{
	(void)state;
	in_hand_id = "0123456789ABCDEF";
	assert_true(loops(US));
	assert_true(loops(OTHER US OTHER));
	assert_true(loops(US_SHORT));
	assert_false(loops(OTHER));        /* an id of somebody else's */
	assert_false(loops(FORGED));
	assert_int_equal(in_hand_asked, 0);
	in_hand_id = "FEDCBA9876543210";   /* another message is */
	assert_false(loops(OTHER US OTHER));
	assert_int_equal(in_hand_asked, 1);
	assert_true(loops(US US));
	assert_int_equal(in_hand_asked, 1);
	in_hand_id = NULL;
}

static void rows(void **state)
{
	(void)state;
	assert_false(loops(""));
	assert_false(loops(OTHER OTHER OTHER));
	/* Once: a mailbox here forwards to another one here, or a cloud sends mail out and takes it in. */
	assert_false(loops(US OTHER));
	assert_false(loops(OTHER US_FOR("user@example.com")));
	/* Twice is a loop, for whomever. */
	assert_true(loops(US OTHER US));
	assert_true(loops(US_SHORT US_SHORT));
	assert_true(loops(OTHER US_FOR("x@example.com") OTHER US_FOR("y@example.com")));
	/* What is not written as we write it was not written by us. */
	assert_false(loops(FORGED FORGED FORGED));
	assert_false(loops(BY("amx.example.net", "") BY("mx.example.net.example", "")));
}

/* The name of a server in a cable, which writes it as well: only what we wait for counts. */
static void a_name_of_two(void **state)
{
	(void)state;
	shared = true;
	assert_false(loops(US OTHER US));
	assert_true(was_here);
	assert_false(loops(OTHER US));
	assert_true(was_here);
	assert_false(loops(OTHER FORGED));
	assert_false(was_here);
	assert_false(loops(US US US));
	in_hand_id = "0123456789ABCDEF";
	assert_true(loops(OTHER US OTHER));
	shared = false;
	in_hand_id = NULL;
}

static void hops(void **state)
{
	static char text[64 * 1024];
	size_t n = 0;

	(void)state;
	for (unsigned int i = 0; i < LIMIT_RECEIVED_HOPS; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", OTHER);
	assert_false(loops(text));
	snprintf(text + n, sizeof(text) - n, "%s", FORGED);
	assert_true(loops(text));
}

/* Two nodes that send to each other: it ends when it comes back to the first. If that one knows nothing
 * of it any more (another instance of the same name, a restart) each takes it twice. */
static unsigned int nodes_end_at(bool forgotten)
{
	static char text[4096], more[8192];
	struct iovec iov = {text, 0};
	struct mail_bytes content = {&iov, 1, 0};
	unsigned int hop;

	in_hand_id = forgotten ? NULL : "0123456789ABCDEF";
	snprintf(text, sizeof(text), "Subject: a\r\n\r\nb\r\n");
	for (hop = 1; hop < 10; hop++) {
		const char *own = hop % 2 ? "one.example.net" : "two.example.net";
		struct headers h;
		bool is;

		content.size = iov.iov_len = strlen(text);
		assert_int_equal(headers_parse(&h, &content), 0);
		is = origin_is_loop(&h, str_c(own), false, in_hand, &in_hand_id);
		headers_free(&h);
		if (is)
			break;
		snprintf(more, sizeof(more), "Received: from a.example.org (unknown [203.0.113.7])\r\n"
			 "\tby %s (Postern) with ESMTP id 0123456789ABCDEF\r\n\tfor <user@example.com>;\r\n"
			 "\tFri, 27 Nov 2026 10:00:00 +0000\r\n%s", own, text);
		memcpy(text, more, sizeof(text));
	}
	in_hand_id = NULL;
	return hop;
}

static void two_nodes(void **state)
{
	(void)state;
	assert_int_equal(nodes_end_at(false), 3);
	assert_int_equal(nodes_end_at(true), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(rows), cmocka_unit_test(hops),
					   cmocka_unit_test(still_in_hand), cmocka_unit_test(a_name_of_two),
					   cmocka_unit_test(two_nodes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
