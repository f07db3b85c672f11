/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <stdio.h>

#include "control/auth/dmarc/dmarc.h"

const char *dmarc_result_name(enum dmarc_result r)
{
	static const char *const name[] = {
		[DMARC_PASS] = "pass",           [DMARC_NONE] = "none",
		[DMARC_PERMERROR] = "permerror", [DMARC_TEMPERROR] = "temperror",
		[DMARC_FAIL] = "fail",
	};

	return name[r];
}

const char *dmarc_tag_name(enum dmarc_tag t)
{
	static const char *const name[] = {"p", "sp", "np"};

	return name[t];
}

void dmarc_verdict_temperror(struct dmarc_verdict *v, const char *reason)
{
	*v = (struct dmarc_verdict){.result = DMARC_TEMPERROR};
	snprintf(v->reason, sizeof(v->reason), "%s", reason);
}
