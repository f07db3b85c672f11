/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Names of members and types, in runs as the first octet says, against the whole. */

#include <stdlib.h>
#include <string.h>

#include "dataplane/content/attach.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct told {
	uint64_t hash;
	unsigned int n;
};

static void on_member(void *ctx, struct str name, uint32_t flags)
{
	struct told *t = ctx;

	if (!name.n || name.n > ATTACH_NAME)
		abort();
	t->n++;
	t->hash = t->hash * 31 + flags;
	for (size_t i = 0; i < name.n; i++)
		t->hash = t->hash * 1099511628211u + name.p[i];
}

static enum content_type judge(const uint8_t *p, size_t n, size_t step, struct told *t,
			       uint8_t sha256[32], bool *broken)
{
	static struct content_attach a;
	enum content_type type;

	memset(t, 0, sizeof(*t));
	content_attach_init(&a);
	content_attach_begin(&a, true, ATTACH_MEMBERS, on_member, t);
	for (size_t i = 0; i < n; i += step)
		content_attach_feed(&a, p + i, step < n - i ? step : n - i);
	type = content_attach_end(&a, sha256);
	*broken = content_attach_broken(&a);
	if (a.size != n || t->n > ATTACH_MEMBERS)
		abort();
	return type;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint8_t sha[2][32];
	struct told t[2];
	bool broken[2];

	if (n < 2)
		return 0;
	if (judge(p + 1, n - 1, n, &t[0], sha[0], &broken[0]) !=
		    judge(p + 1, n - 1, 1u + p[0], &t[1], sha[1], &broken[1]) ||
	    memcmp(sha[0], sha[1], 32) != 0 || t[0].hash != t[1].hash || t[0].n != t[1].n ||
	    broken[0] != broken[1])
		abort();
	return 0;
}
