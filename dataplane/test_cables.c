/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What is said of a configuration that the ports do not fit. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/cables.h"
#include "postern/stats.h"

static char said[256];
static unsigned int times;

static __attribute__((format(printf, 1, 2))) void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said, sizeof(said), fmt, ap);
	va_end(ap);
	times++;
}

static void check(void **state)
{
	/* Two ends of a cable, and the kernel's. */
	static const struct port_info port[] = {{.id = 0, .role = PORT_INLINE, .peer = 1},
						{.id = 1, .role = PORT_INLINE, .peer = 0},
						{.id = 2, .role = PORT_EXCEPTION, .peer = 1}};
	static const struct port_info gateway = {.role = PORT_GATEWAY};
	static struct handoff_config config;
	uint64_t counters[POSTERN_DP_COUNTER_COUNT] = {0};
	struct cables c;

	(void)state;
	cables_init(&c, &gateway, 1, counters, note);
	cables_check(&c, &config);
	assert_int_equal(times, 0);
	config.n_inlines = 2;
	cables_check(&c, &config);
	assert_int_equal(times, 1);
	assert_non_null(strstr(said, "inline:M"));
	cables_init(&c, port, 2, counters, note);
	cables_check(&c, &config);
	assert_int_equal(times, 1);
	config.inlined[1].flags = INLINE_F_TRANSPARENT;
	cables_check(&c, &config);
	assert_int_equal(times, 2);
	assert_non_null(strstr(said, "exception:M"));
	cables_init(&c, port, 3, counters, note);
	cables_check(&c, &config);
	assert_int_equal(times, 2);
	/* Observed: no onward connection is made. */
	cables_init(&c, port, 2, counters, note);
	config.inlined[1].mode = INLINE_OBSERVE;
	cables_check(&c, &config);
	assert_int_equal(times, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(check)};

	return cmocka_run_group_tests_name("cables", tests, NULL, NULL);
}
