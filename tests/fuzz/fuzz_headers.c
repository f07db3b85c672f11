/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "control/mail/mail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The index covers the block without a gap, however the content is cut. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t cut = size ? data[0] % (size + 1) : 0;
	struct iovec one = {(void *)(uintptr_t)data, size};
	struct iovec two[2] = {{(void *)(uintptr_t)data, cut},
			       {(void *)(uintptr_t)(data + cut), size - cut}};
	struct mail_bytes whole = {&one, 1, size}, parts = {two, 2, size};
	struct headers a, b;
	uint8_t out[256];
	size_t at = 0;

	if (headers_parse(&a, &whole) || headers_parse(&b, &parts))
		abort();
	if (a.n != b.n || a.size != b.size || a.body_off != b.body_off || a.flags != b.flags)
		abort();
	if (a.n && memcmp(a.field, b.field, a.n * sizeof(*a.field)) != 0)
		abort();
	for (size_t i = 0; i < a.n; i++) {
		struct str value = header_value(&a, i), name = header_name(&a, i);

		if (a.field[i].off != at || (name.n && headers_find(&a, name, i) != i))
			abort();
		at += a.field[i].len;
		if (value.p < a.block || value.p + value.n > a.block + a.size)
			abort();
		(void)header_unfold(value, out, sizeof(out));
		(void)mailbox_domain(value);
		(void)domain_is_valid(value);
	}
	if (at > a.size || a.body_off > size)
		abort();
	headers_free(&a);
	headers_free(&b);
	return 0;
}
