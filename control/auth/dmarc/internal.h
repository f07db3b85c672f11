/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

#include "control/auth/dmarc/dmarc.h"
#include "control/auth/dmarc/names.h"

/* A domain that SPF or DKIM speak for, or could not speak for just now. */
struct dmarc_id {
	char domain[MAIL_ALABEL];
	bool spf;              /* else DKIM */
	bool failed;           /* temperror */
	uint32_t bit;          /* of dkim_aligned */
};

struct dmarc_ids {
	struct dmarc_id id[LIMIT_DKIM_SIGNATURES + 1];
	size_t n;
};

/* One author domain, by tree walk or (psl) by public suffix list. DMARC_WAITING: names are being
 * asked for, call again. *record: what was published, if out->has_policy. */
enum dmarc_wait dmarc_evaluate(struct dmarc_names *names, const struct dmarc_ids *ids,
			       const char *author, bool psl, struct dmarc_evaluation *out,
			       struct dmarc_record *record);
