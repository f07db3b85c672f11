/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/json/test_json_tree.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "control/json/json_in.h"

static json_t *tree(struct json_in *in);

static json_t *members(struct json_in *in)
{
	json_t *o = json_object();
	struct str name;

	while (json_in_member(in, &name)) {
		char *key = strndup((const char *)name.p, name.n);
		json_t *v = tree(in);

		json_object_set_new(o, key, v ? v : json_null());
		free(key);
	}
	return o;
}

static json_t *elements(struct json_in *in)
{
	json_t *a = json_array();

	while (json_in_element(in)) {
		json_t *v = tree(in);

		json_array_append_new(a, v ? v : json_null());
	}
	return a;
}

/* By each kind in turn: what is not of it is passed over, so each looks at a copy of the place. */
static json_t *tree(struct json_in *in)
{
	struct json_in at = *in;
	struct str s;
	bool whole;
	int64_t i;
	double d;
	char first;

	while (at.p < at.end && strchr(" \t\r\n", *at.p))
		at.p++;
	first = at.p < at.end ? *at.p : '\0';
	if (first == '{')
		return json_in_object(in) ? members(in) : NULL;
	if (first == '[')
		return json_in_array(in) ? elements(in) : NULL;
	if (first == '"')
		return json_in_text(in, &s) ? json_stringn((const char *)s.p, s.n) : NULL;
	if (first == '-' || (first >= '0' && first <= '9'))
		return !json_in_number(in, &whole, &i, &d) ? NULL : whole ? json_integer(i) : json_real(d);
	json_in_skip(in);
	return first == 't' ? json_true() : first == 'f' ? json_false() : json_null();
}

bool json_tree_agrees(const char *text, size_t n)
{
	json_t *want = json_loadb(text, n, JSON_DECODE_ANY, NULL), *have;
	char *copy = malloc(n + 1);
	struct json_in in;
	bool ok, agrees;

	if (!copy)
		abort();
	memcpy(copy, text, n);
	json_in_init(&in, copy, n);
	have = tree(&in);
	ok = json_in_done(&in);
	agrees = ok == (want != NULL) && (!ok || json_equal(want, have));
	memcpy(copy, text, n);
	json_in_init(&in, copy, n);
	json_in_skip(&in);
	agrees &= json_in_done(&in) == ok;
	json_decref(want);
	json_decref(have);
	free(copy);
	return agrees;
}
