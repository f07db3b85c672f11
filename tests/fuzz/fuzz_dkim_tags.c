/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "control/auth/dkim/tags.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Tag list, signature field, key record, and the key against a signature. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t digest[CANON_DIGEST];
	const struct dkim_options opt = {.now = 1700000000};
	static struct dkim_params p;
	static struct dkim_tags tags;
	static struct dkim_key key;
	struct dkim_signature sig = {0};
	struct str text = str_make(data, size);
	const char *why = NULL;
	char reason[160];
	uint32_t bits = 0;
	int rc;

	if (dkim_tags_parse(text, &tags, &why) == 0) {
		for (size_t i = 0; i < tags.n; i++)
			if (tags.tag[i].name.n == 0 || tags.tag[i].value.n > tags.tag[i].raw.n)
				abort();
	} else if (!why) {
		abort();
	}
	rc = dkim_signature_parse(text, DKIM_FIELD_SIGNATURE, &opt, &p, &sig);
	if (rc && !sig.reason[0])
		abort();
	if (rc == 0 && (sig.n_signed == 0 || p.signature_len == 0 || !sig.domain[0]))
		abort();
	free(sig.signed_names);
	if (dkim_key_parse(text, &key, &why) == 0) {
		p = (struct dkim_params){.key_type = key.type, .signature_len = 64};
		rc = dkim_key_verify(&key, &p, digest, &bits, reason, sizeof(reason)) != DKIM_PASS;
		dkim_key_close(&key);
		if (rc && !reason[0])
			abort();
	}
	return 0;
}
