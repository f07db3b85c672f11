/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What is told of a session, and that nothing is made for nobody. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/loop.h"
#include "control/watch/watch.h"
#include "control/watched.h"

static struct {
	struct loop l;
	struct session s;
	bool wanted;
	char *told; /* the last event */
	unsigned int n;
} t;

bool watch_wants_session(const struct watch *w, const struct ip_addr *peer)
{
	(void)w;
	assert_ptr_equal(peer, &t.s.peer);
	return t.wanted;
}

static void take(json_t *event)
{
	assert_true(t.wanted);
	free(t.told);
	t.told = json_dumps(event, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(3));
	t.n++;
	json_decref(event);
}

void watch_session(struct watch *w, const struct ip_addr *peer, json_t *event)
{
	(void)w;
	assert_ptr_equal(peer, &t.s.peer);
	take(event);
}

void watch_all_sessions(struct watch *w, json_t *event)
{
	(void)w;
	take(event);
}

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	t.wanted = true;
	t.l.watch = (struct watch *)&t;
	t.s = (struct session){
		.loop = &t.l, .worker = 1, .slot = 2, .generation = 3, .peer_port = 4242};
	assert_true(ip_parse(STR("192.0.2.1"), &t.s.peer));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(t.told);
	return 0;
}

#define WHO "\"peer\":\"192.0.2.1\",\"peer_port\":4242"

static void opened(void **state)
{
	struct ctl_reply yes = {.code = 220}, no = {421, 4, 7, 1, STR("too\xff many")};

	(void)state;
	no.enh_class = 4;
	watched_opened(&t.l, &t.s, &yes);
	assert_string_equal(t.told, "{\"accepted\":true,\"event\":\"opened\"," WHO
				    ",\"session\":\"1-2-3\",\"via\":\"\"}");
	t.s.via = VIA_PROXY;
	watched_opened(&t.l, &t.s, &no);
	assert_string_equal(t.told, "{\"accepted\":false,\"event\":\"opened\"," WHO
				    ",\"reply\":\"421 4.7.1 too? many\","
				    "\"session\":\"1-2-3\",\"via\":\"proxy\"}");
}

/* Once, at the first recipient. */
static void greeted(void **state)
{
	struct ctl_rcpt_question asked = {.helo = STR("mail\x1b.example.net"),
					  .tls_version = 0x0304};

	(void)state;
	watched_greeted(&t.l, &t.s, &asked);
	assert_string_equal(t.told,
			    "{\"event\":\"greeted\",\"helo\":\"mail\\u001B.example.net\"," WHO
			    ",\"session\":\"1-2-3\",\"tls\":\"TLSv1.3\"}");
	watched_greeted(&t.l, &t.s, &asked);
	assert_int_equal(t.n, 1);
	assert_true(t.s.tls);
	t.s.greeted = false;
	asked.tls_version = 0;
	watched_greeted(&t.l, &t.s, &asked);
	assert_non_null(strstr(t.told, "\"tls\":null"));
	assert_false(t.s.tls);
}

static void closed(void **state)
{
	struct handoff_desc d = {.kind = DESC_SESSION_END};

	(void)state;
	t.s.connected_ns = UINT64_MAX; /* a clock that was set back */
	t.s.rcpts_refused = 5;
	watched_closed(&t.l, &t.s, &d);
	assert_string_equal(t.told,
			    "{\"errors\":0,\"event\":\"closed\",\"messages\":0," WHO
			    ",\"rcpts_refused\":5,"
			    "\"seconds\":0.0,\"session\":\"1-2-3\",\"tls\":null,\"why\":[]}");
	t.s.greeted = t.s.tls = true;
	d.end.messages = 3;
	d.end.errors = 2;
	d.end.flags = END_F_EARLY_TALKER | END_F_SLOW | END_F_PRESSURE | 1u << 31;
	watched_closed(&t.l, &t.s, &d);
	assert_string_equal(t.told, "{\"errors\":2,\"event\":\"closed\",\"messages\":3," WHO
				    ",\"rcpts_refused\":5,"
				    "\"seconds\":0.0,\"session\":\"1-2-3\",\"tls\":true,"
				    "\"why\":[\"early-talker\",\"slow\",\"pressure\"]}");
}

static void lost(void **state)
{
	(void)state;
	watched_lost(&t.l);
	assert_int_equal(t.n, 0); /* there was none */
	t.l.n_sessions = 7;
	watched_lost(&t.l);
	assert_string_equal(t.told, "{\"event\":\"lost\",\"sessions\":7}");
}

static void nobody(void **state)
{
	struct ctl_rcpt_question asked = {.tls_version = 0x0303};
	struct handoff_desc d = {.kind = DESC_SESSION_END};
	struct ctl_reply yes = {.code = 220};

	(void)state;
	t.wanted = false;
	watched_opened(&t.l, &t.s, &yes);
	watched_greeted(&t.l, &t.s, &asked);
	watched_closed(&t.l, &t.s, &d);
	assert_int_equal(t.n, 0);
	assert_true(t.s.greeted && t.s.tls); /* for who comes before it goes */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(opened, set_up, tear_down),
		cmocka_unit_test_setup_teardown(greeted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(closed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lost, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nobody, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
