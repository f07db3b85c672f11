/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <stdlib.h>

#include "control/annotate/annotate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first octets are HELO, PTR and recipient, the rest is the content. The proof holds, no field
 * of a stranger is left, and our own Received line reads back with the peer's address. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t k = size < 48 ? size / 2 : 24;
	struct str text = str_make(data, k), rcpt = text;
	struct mail_envelope env = {.helo = text, .rcpt = &rcpt, .n_rcpts = 1, .proto = PROTO_ESMTP,
				    .trace_id = "T", .smtputf8 = size & 1, .tls_version = 0x0304,
				    .tls_cipher = STR("TLS_AES_128_GCM_SHA256")};
	struct origin origin = {.status = ORIGIN_VIA, .via = "r"};
	struct annotate_input in = {.gateway = "mx.example.net", .prefix = "X-Postern", .env = &env,
				    .origin = &origin, .action = "accept", .exchange = size & 2};
	struct iovec iov = {(void *)(uintptr_t)(data + k), size - k};
	struct mail_bytes c = {&iov, 1, size - k};
	static const struct str prefix = STR("X-Postern");
	static const struct annotate_own own = {STR("mx.example.net"), &prefix, 1};
	struct mail_range range[32];
	struct annotate_output out;
	struct str *found;
	struct headers h, ours;
	static uint8_t scratch[4096];
	struct received r;
	const char *why;
	char ptr[64];
	uint8_t *drop;
	long n;
	int rc;

	memcpy(ptr, data, k);
	ptr[k] = '\0';
	in.ptr = in.origin_ptr = ptr;
	memcpy(origin.helo, ptr, sizeof(ptr));
	if (!ip_parse(STR("2001:db8::1"), &env.peer) || headers_parse(&h, &c))
		abort();
	origin.ip = env.peer;
	drop = calloc(h.n + 1, sizeof(*drop));
	found = calloc(h.n + 1, sizeof(*found));
	if (!drop || !found)
		abort();
	annotate_mark_forged(&h, &own, drop);
	annotate_find_foreign(&h, &prefix, 1, found);
	for (size_t i = 0; i < h.n; i++)
		if (!drop[i] && found[i].n)
			drop[i] = DROP_FOREIGN;
	n = annotate_ranges(&h, drop, range, 32);
	if (n < 0)
		goto out;
	rc = annotate_make(&in, &c, range, (size_t)n, &out);
	if (rc == -EINVAL && (h.flags & HEADERS_F_FIRST_FOLDED))
		goto out;
	if (rc || annotate_prove(&out, &c, range, (size_t)n))
		abort();
	iov = (struct iovec){out.block, out.block_len};
	c.size = out.block_len;
	if (headers_parse(&ours, &c) || ours.n != 5 ||
	    received_parse_strict(header_value(&ours, 4), scratch, sizeof(scratch), &r, &why) ||
	    memcmp(&r.ip, &env.peer, sizeof(r.ip)) != 0)
		abort();
	headers_free(&ours);
	/* Behind us nobody finds one. */
	if (!(h.flags & HEADERS_F_TOO_LARGE)) {
		c = (struct mail_bytes){out.iov + 1, out.n_iov - 1, out.size - out.block_len};
		if (headers_parse(&ours, &c) || annotate_find_foreign(&ours, &prefix, 1, found))
			abort();
		headers_free(&ours);
	}
	annotate_free(&out);
out:
	headers_free(&h);
	free(drop);
	free(found);
	return 0;
}
