/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * received-suite FILE.json: real servers' Received lines through the lenient reader: ip, by, helo
 * and rdns must be as the suite says. POSTERN_CONFORMANCE names another directory of data. Exit 77
 * without data.
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/origin/received_lenient.h"

#define LINES 145

static bool same(json_t *want, const char *key, struct str got)
{
	struct str s = str_c(json_string_value(json_object_get(want, key)));

	/* RFC 1034 3.1: the root's dot is no part of the name. */
	if (s.n && s.p[s.n - 1] == '.')
		s.n--;
	if (got.n && got.p[got.n - 1] == '.')
		got.n--;
	return str_ieq(s, got);
}

static bool is_right(json_t *v)
{
	const char *text = json_string_value(json_object_get(v, "received")), *why;
	json_t *want = json_object_get(v, "expect");
	struct received r;
	uint8_t scratch[8192];
	struct ip_addr ip;
	char buf[46];
	int rc = received_parse_lenient(str_c(text), scratch, sizeof(scratch), &r, &why);

	if (!json_is_object(want)) {
		if (rc)
			return true;
		printf("FAILED: a hop where there is none: %s\n", text);
		return false;
	}
	if (!rc && ip_parse(str_c(json_string_value(json_object_get(want, "ip"))), &ip) &&
	    !memcmp(&ip, &r.ip, sizeof(ip)) && same(want, "by", r.by) &&
	    same(want, "helo", r.helo) && same(want, "rdns", r.rdns))
		return true;
	printf("FAILED: %s\n  got ip %s helo \"%.*s\" rdns \"%.*s\" by \"%.*s\" %s\n", text,
	       rc ? "-" : ip_format(&r.ip, buf, sizeof(buf)), STR_FMT(r.helo), STR_FMT(r.rdns),
	       STR_FMT(r.by), why);
	return false;
}

int main(int argc, char **argv)
{
	const char *dir = getenv("POSTERN_CONFORMANCE");
	size_t i, right = 0, lines;
	char path[4096];
	json_t *all, *v;

	if (argc != 2)
		return 2;
	if (dir)
		snprintf(path, sizeof(path), "%s/received/received-headers.json", dir);
	else
		snprintf(path, sizeof(path), "%s", argv[1]);
	all = json_load_file(path, 0, NULL);
	if (!all) {
		printf("no suite at %s\n", path);
		return 77;
	}
	json_array_foreach(all, i, v) right += is_right(v);
	lines = json_array_size(all);
	json_decref(all);
	printf("%zu of %zu right\n", right, lines);
	return lines == LINES && right == lines ? 0 : 1;
}
