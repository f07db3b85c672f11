/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "control/mail/proxy_tlv.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void within(struct str v, const uint8_t *p, size_t n)
{
	if (v.p && (v.p < p || v.p + v.n > p + n))
		abort();
}

/* Every text lies within; what is malformed stays so whatever follows. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct proxy_facts f, g;
	bool ok = proxy_tlv_parse(str_make(p, n), &f);

	within(f.authority, p, n);
	within(f.alpn, p, n);
	within(f.unique_id, p, n);
	within(f.ssl_version, p, n);
	within(f.ssl_cn, p, n);
	within(f.ssl_cipher, p, n);
	if (f.ssl_verified && !f.ssl)
		abort();
	for (size_t k = 0; ok && k < n; k++)
		if (proxy_tlv_parse(str_make(p, k), &g) && g.authority.p &&
		    !str_eq(f.authority, g.authority))
			abort();
	return 0;
}
