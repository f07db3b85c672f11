/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>
#include <string.h>

#include "control/sts/sts_policy.h"
#include "postern/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever was fetched: a policy has all that it needs, its patterns lie within it, and what they name
 * they allow. The same octets as a record: an id of letters and digits, or none. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_rr rr[2] = {{data, size / 2}, {data + size / 2, size - size / 2}};
	const char *why = NULL, *at;
	struct sts_policy *p = sts_policy_parse(str_make(data, size), &why);
	char id[STS_ID];

	if (sts_record_id(rr, 2, id) && (strlen(id) == 0 || strlen(id) >= STS_ID))
		abort();
	if (!p) {
		if (!why || !*why)
			abort();
		return 0;
	}
	if (p->max_age > LIMIT_STS_MAX_AGE_S || p->n_mx > LIMIT_STS_MX ||
	    (!p->n_mx && p->mode != STS_NONE))
		abort();
	at = p->mx;
	for (size_t i = 0; i < p->n_mx; i++, at += strlen(at) + 1) {
		char host[400];

		strcpy(host, at);
		if (host[0] == '*')
			host[0] = 'h';
		if (!sts_policy_allows(p, str_c(host)))
			abort();
	}
	sts_policy_unref(p);
	return 0;
}
