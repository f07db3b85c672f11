/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <event2/event.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "control/deliver/internal.h"
#include "postern/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The documents of the state directory, behind their checksum. Whatever is taken can be saved and taken
 * again with the same result. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char name[] = "office";
	struct config_route route = {.name = name, .breaker = {.on = true, .jump = 60, .samples = 50,
							       .window_s = 600}};
	struct config c = {.route = &route, .n_routes = 1};
	json_t *j = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL), *again;
	struct deliver_breaker_status st = {0};
	struct event_base *base;
	struct deliver *d;
	struct sts *s;
	int n, open;

	if (!j)
		return 0;
	base = event_base_new();
	d = deliver_new(base, NULL, NULL);
	s = sts_new(base, NULL, NULL);
	if (!base || !d || !s)
		abort();
	open = deliver_breakers_load(d, &c, j, 1700000000);
	if (deliver_breakers(d, &c, &st, 1) && !(st.base >= 0 && st.base <= 1 && isfinite(st.limit)))
		abort();
	again = deliver_breakers_save(d, 1700000000);
	if (open >= 0 && deliver_breakers_load(d, &c, again, 1700000000) != open)
		abort();
	json_decref(again);
	n = sts_load(s, j, 1700000000);
	again = sts_save(s, 1700000000);
	sts_free(s);
	s = sts_new(base, NULL, NULL);
	if (!s || (n >= 0 && sts_load(s, again, 1700000000) != n))
		abort();
	json_decref(again);
	json_decref(j);
	sts_free(s);
	deliver_free(d);
	event_base_free(base);
	return 0;
}
