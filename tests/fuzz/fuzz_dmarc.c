/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "control/auth/dmarc/from.h"
#include "control/auth/dmarc/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct from_authors *a)
{
	if ((a->status == FROM_OK || a->status == FROM_ROUTED) != (a->n > 0) ||
	    (a->status == FROM_OK) != !a->reason[0] ||
	    a->n > LIMIT_DMARC_AUTHORS || a->n > a->n_addresses)
		abort();
	for (size_t i = 0; i < a->n; i++)
		if (!domain_is_valid(str_c(a->domain[i])))
			abort();
}

/* A From field, a header block, a policy record: what is taken is fit to be looked up. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_make(data, size);
	struct iovec iov = {(void *)(uintptr_t)data, size};
	struct mail_bytes content = {&iov, 1, size};
	static struct from_authors a;
	static struct dmarc_record r;
	struct headers h;

	from_parse(text, &a);
	check(&a);
	if (headers_parse(&h, &content))
		abort();
	from_find(&h, &a);
	check(&a);
	if (a.status == FROM_OK && headers_find(&h, STR("From"), 0) == h.n)
		abort();
	headers_free(&h);
	if (dmarc_record_parse(text, &r) != dmarc_record_is(text))
		abort();
	if (dmarc_record_is(text) && ((!r.has_sp && r.sp != r.p) || (!r.has_np && r.np != r.sp)))
		abort();
	return 0;
}
