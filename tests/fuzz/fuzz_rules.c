/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A rule file is a set or an error with a place; its matches are looked up within bounds. */

#include <errno.h>
#include <stdlib.h>

#include "control/rules/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct handoff_match match[2] = {{.rule = 0, .slot = VIEW_FULL, .count = 1},
					 {.rule = 0xffffffffu, .slot = 200, .count = 1}};
	struct rule_hit hit[4];
	struct iovec iov = {(void *)data, size};
	struct mail_bytes content = {&iov, 1, size};
	const struct rules_issue *issue;
	struct rules *r = NULL;
	unsigned int unknown = 0;
	int rc;

	if (size > 2048)
		size = 2048;
	rc = rules_parse("fuzz", data, size, &r);
	if (rc == -EINVAL && (!r || !rules_issues(r, &issue)))
		abort();
	if (!rc && rules_hits(r, match, 2, &content, hit, 4, &unknown) > 4)
		abort();
	rules_free(r);
	return 0;
}
