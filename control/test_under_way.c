/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A message that comes back while it is on its way from here, and others that only look like it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "control/message.h"

#define MANY (3 * LOOP_BUCKETS)

struct one {
	struct message m;
	struct ctl_submission sub;
	struct str rcpt[4];
};

static struct loop loop;

static struct message *begin(struct one *o, const char *id, const char *a, const char *b)
{
	memset(o, 0, sizeof(*o));
	o->m.loop = &loop;
	o->m.sub = &o->sub;
	snprintf(o->sub.envelope.trace_id, sizeof(o->sub.envelope.trace_id), "%s", id);
	o->sub.envelope.rcpt = o->rcpt;
	o->rcpt[o->sub.envelope.n_rcpts++] = str_c(a);
	if (b)
		o->rcpt[o->sub.envelope.n_rcpts++] = str_c(b);
	under_way_add(&o->m);
	return &o->m;
}

static bool comes_back(const char *id, const char *a, const char *b)
{
	struct one o;
	struct message *m = begin(&o, "ZZZZZZZZZZZZZZZZ", a, b);
	bool is = under_way_elsewhere(m, str_c(id));

	assert_false(under_way_elsewhere(m, STR("ZZZZZZZZZZZZZZZZ"))); /* itself is not another */
	under_way_remove(m);
	return is;
}

static void rows(void **state)
{
	struct one o;
	struct message *m = begin(&o, "0123456789ABCDEF", "x@example.com", "y@example.com");

	(void)state;
	assert_true(comes_back("0123456789ABCDEF", "x@example.com", NULL));
	assert_true(comes_back("0123456789ABCDEF", "y@example.com", "x@example.com"));
	/* A mailbox forwards to another one here before it answers: that is no loop. */
	assert_false(comes_back("0123456789ABCDEF", "z@example.com", NULL));
	assert_false(comes_back("0123456789ABCDEF", "x@example.com", "z@example.com"));
	assert_false(comes_back("0123456789ABCDEF", "X@example.com", NULL));
	assert_false(comes_back("0123456789ABCDEG", "x@example.com", NULL));
	assert_false(comes_back("", "x@example.com", NULL));
	/* Over: whoever sends it here again has taken it. */
	under_way_remove(m);
	assert_false(comes_back("0123456789ABCDEF", "x@example.com", NULL));
}

static void many(void **state)
{
	static struct one o[MANY];
	char id[17];

	(void)state;
	for (unsigned int i = 0; i < MANY; i++) {
		snprintf(id, sizeof(id), "%016X", i);
		begin(&o[i], id, "x@example.com", NULL);
	}
	for (unsigned int i = 0; i < MANY; i += 2)
		under_way_remove(&o[i].m);
	for (unsigned int i = 0; i < MANY; i++) {
		snprintf(id, sizeof(id), "%016X", i);
		assert_int_equal(comes_back(id, "x@example.com", NULL), i % 2);
	}
	for (unsigned int i = 1; i < MANY; i += 2)
		under_way_remove(&o[i].m);
	for (size_t i = 0; i < LOOP_BUCKETS; i++)
		assert_true(LIST_EMPTY(&loop.under_way[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(rows), cmocka_unit_test(many)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
