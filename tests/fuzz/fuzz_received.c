/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "control/origin/origin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is taken has an address and words without white space; a walk over it ends. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t scratch[8192];
	struct ip_range net;
	struct origin_relay relay = {.name = "r", .range = &net, .n_ranges = 1};
	struct origin_relays relays = {&relay, 1};
	struct mail_envelope env = {.helo = STR("h"), .smtputf8 = size & 1};
	struct iovec iov = {(void *)(uintptr_t)data, size};
	struct mail_bytes c = {&iov, 1, size};
	struct headers h;
	struct origin o;
	struct received r;
	const char *why;

	if (received_parse_strict(str_make(data, size), scratch, sizeof(scratch), &r, &why) == 0) {
		if (!r.has_ip || r.helo.n == 0 || r.by.n == 0 || r.date.n == 0)
			abort();
		for (size_t i = 0; i < r.helo.n; i++)
			if (!ascii_is_vchar(r.helo.p[i]) || r.helo.p[i] == '(')
				abort();
	} else if (!why || !why[0]) {
		abort();
	}
	if (!ip_range_parse(STR("192.0.2.0/24"), &net) || !ip_parse(STR("192.0.2.1"), &env.peer))
		abort();
	if (headers_parse(&h, &c) || origin_walk(&relays, &env, &h, false, &o))
		abort();
	if (o.n_hops == 0 || o.n_hops > ORIGIN_MAX_HOPS)
		abort();
	origin_free(&o);
	headers_free(&h);
	return 0;
}
