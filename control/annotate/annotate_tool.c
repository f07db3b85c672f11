/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Writes FILE to standard output as it would leave: `annotate_tool FILE`. For tests with other
 * people's verifiers. Prints on standard error how many ranges were removed. */

#include <stdio.h>
#include <stdlib.h>

#include "control/annotate/annotate.h"

int main(int argc, char **argv)
{
	struct mail_envelope env = {.proto = PROTO_ESMTP,
				    .helo = STR("h.example"),
				    .trace_id = "T0",
				    .time_ns = 1700000000ull * 1000000000};
	struct origin origin = {.status = ORIGIN_DIRECT};
	struct annotate_input in = {.gateway = "mx.example.net", .prefix = "X-Postern", .env = &env,
		.origin = &origin, .action = "accept", .score = 1.5,
		.authres = "Authentication-Results: mx.example.net; none\r\n"};
	static const struct str prefix = STR("X-Postern");
	static const struct annotate_own own = {STR("mx.example.net"), &prefix, 1};
	struct mail_range range[64];
	struct annotate_output out;
	struct iovec iov;
	struct mail_bytes c = {&iov, 1, 0};
	struct headers h;
	static char data[8 << 20];
	uint8_t *drop;
	FILE *f;
	long n;

	f = argc == 2 ? fopen(argv[1], "rb") : NULL;
	if (!f)
		return 2;
	c.size = fread(data, 1, sizeof(data), f);
	fclose(f);
	iov = (struct iovec){data, c.size};
	if (!ip_parse(STR("192.0.2.1"), &env.peer) || headers_parse(&h, &c))
		return 2;
	origin.ip = env.peer;
	drop = calloc(h.n + 1, sizeof(*drop));
	if (!drop)
		return 2;
	annotate_mark_forged(&h, &own, drop);
	n = annotate_ranges(&h, drop, range, 64);
	if (n < 0 || annotate_make(&in, &c, range, (size_t)n, &out) ||
	    annotate_prove(&out, &c, range, (size_t)n))
		return 1;
	for (size_t i = 0; i < out.n_iov; i++)
		fwrite(out.iov[i].iov_base, 1, out.iov[i].iov_len, stdout);
	fprintf(stderr, "%ld\n", n);
	annotate_free(&out);
	headers_free(&h);
	free(drop);
	return 0;
}
