/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "control/auth/arc/chain.h"
#include "control/auth/dkim/tags.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void values(struct str text)
{
	enum arc_result cv = ARC_NONE;
	struct str rest = STR_NONE;
	bool known = false;
	unsigned int i = arc_aar_instance(text, &rest);

	if (i > LIMIT_ARC_SETS || (i && (rest.p < text.p || rest.p + rest.n > text.p + text.n)))
		abort();
	if (arc_tag_instance(text, &cv, &known) > LIMIT_ARC_SETS || (known && cv > ARC_FAIL))
		abort();
}

static void fields(struct str text)
{
	static const enum dkim_field field[] = {DKIM_FIELD_ARC_MESSAGE, DKIM_FIELD_ARC_SEAL};
	const struct dkim_options opt = {.now = 1700000000};
	static struct dkim_params p;

	for (size_t k = 0; k < 2; k++) {
		struct dkim_signature sig = {0};

		if (dkim_signature_parse(text, field[k], &opt, &p, &sig) && !sig.reason[0])
			abort();
		free(sig.signed_names);
	}
}

/* One value; then the input as a message: sets, cv= and what the newest seal covers. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct iovec iov = {(void *)(uintptr_t)data, size};
	struct mail_bytes content = {&iov, 1, size};
	size_t field[3 * LIMIT_ARC_SETS], n;
	uint8_t digest[CANON_DIGEST];
	struct arc_results r;
	struct headers h;

	values(str_make(data, size));
	fields(str_make(data, size));
	if (headers_parse(&h, &content))
		return 0;
	if (arc_chain_read(&h, &r) == 0) {
		if (r.n > LIMIT_ARC_SETS || (r.result == ARC_FAIL) != (r.reason[0] != '\0'))
			abort();
		if (r.result == ARC_PASS) {
			if (!r.n || r.ended)
				abort();
			n = arc_chain_sealed(&r, 1, r.n, field);
			if (n != 3 * r.n - 1 || canon_fields(&h, field, n, r.set[r.n - 1].seal,
							     STR_NONE, CANON_RELAXED, digest))
				abort();
		}
		free(r.set);
	}
	headers_free(&h);
	return 0;
}
