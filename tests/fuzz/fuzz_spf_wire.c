/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "control/auth/spf/spf_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a worker may send control, and control a worker. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct spf_wire_request request;
	struct spf_wire_response response;
	struct spf_key key;
	char alias[SPF_ALIAS_MAX + 1];
	size_t n = size < SPF_ALIAS_MAX ? size : SPF_ALIAS_MAX;

	if (spf_wire_get_response(&response, data, size) == 0 &&
	    response.n_missing > SPF_WIRE_MISSING)
		abort();
	if (spf_wire_get_request(&request, data, size) == 0)
		for (size_t i = 0; i < request.n_answers; i++)
			if (request.answer[i].count > SPF_WIRE_ADDRESSES)
				abort();
	if (n)
		memcpy(alias, data, n);
	alias[n] = '\0';
	if (spf_key_parse(alias, &key))
		spf_key_alias(key, alias);
	return 0;
}
