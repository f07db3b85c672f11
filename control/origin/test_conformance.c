/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Real MTAs' Received lines: what the strict reader takes, it must read as everybody else does. */

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/origin/origin.h"

static json_t *vectors;

static bool says(json_t *e, const char *key, struct str got)
{
	struct str want = str_c(json_string_value(json_object_get(e, key)));

	if (want.n && want.p[want.n - 1] == '.')
		want.n--;
	/* The other tool's notations: "!192.0.2.1!" for a bracketed HELO, "?...?" for odd ones. */
	if (want.n == 0 || want.p[0] == '!' || want.p[0] == '?')
		return true;
	return str_ieq(want, got);
}

static void never_misread(void **state)
{
	size_t i, taken = 0, hops = 0;
	json_t *v;

	(void)state;
	json_array_foreach(vectors, i, v) {
		const char *text = json_string_value(json_object_get(v, "received"));
		json_t *e = json_object_get(v, "expect");
		struct received r;
		uint8_t scratch[8192];
		const char *why;
		char ip[46];
		struct ip_addr want;

		hops += json_is_object(e);
		if (received_parse_strict(str_c(text), scratch, sizeof(scratch), &r, &why))
			continue;
		taken++;
		if (!json_is_object(e))
			fail_msg("read a hop where there is none: %s", text);
		if (!ip_parse(str_c(json_string_value(json_object_get(e, "ip"))), &want) ||
		    memcmp(&want, &r.ip, sizeof(want)) != 0)
			fail_msg("read ip %s: %s", ip_format(&r.ip, ip, sizeof(ip)), text);
		/* "from NAME (IP)" is Exchange's HELO and qmail's reverse name: we give no name
		 * then. */
		if (!says(e, "by", r.by) || !says(e, "helo", r.helo) ||
		    (r.rdns.n && !says(e, "rdns", r.rdns)))
			fail_msg("read by %.*s, helo %.*s, rdns %.*s: %s", STR_FMT(r.by),
				 STR_FMT(r.helo), STR_FMT(r.rdns), text);
	}
	print_message("%zu of %zu hops taken\n", taken, hops);
	/* Most lines are of products that no relay entry is made for; Postfix's and ours are read.
	 */
	assert_true(taken >= 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(never_misread)};
	const char *dir = getenv("POSTERN_CONFORMANCE"), *root = getenv("POSTERN_SOURCE_ROOT");
	char path[4096];
	int rc;

	if (dir)
		snprintf(path, sizeof(path), "%s/received/received-headers.json", dir);
	else
		snprintf(path, sizeof(path),
			 "%s/../shared/conformance/received/received-headers.json",
			 root ? root : ".");
	vectors = json_load_file(path, 0, NULL);
	if (!vectors)
		return 77;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	json_decref(vectors);
	return rc;
}
