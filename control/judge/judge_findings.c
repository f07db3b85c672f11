/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What an operator should see of a message although nobody may ever complain about it. */

#include <stdio.h>

#include "control/judge/judge_internal.h"

static void add(struct json_out *o, const char *code, const char *name, const char *text)
{
	json_out_open(o, NULL);
	json_out_string(o, "code", code);
	json_out_string(o, "name", name);
	json_out_string(o, "text", text);
	json_out_close(o);
}

void judge_findings(struct json_out *o, const struct judgement *r)
{
	static const char *const done[] = {
		[FOREIGN_STRIP] = "removed: a stranger must not borrow the next hop's trust",
		[FOREIGN_REJECT] = "the message is refused for it",
		[FOREIGN_KEEP] = "kept by foreign-trust",
	};

	json_out_array(o, "findings");
	for (size_t i = 0; i < r->foreign.n_names; i++)
		add(o, "foreign-trust-header", r->foreign.name[i], done[r->foreign.action]);
	if (r->spf_field_left_out)
		add(o, "optional-field-left-out", "Received-SPF", "a signature wants it absent");
	if (r->conflicts.broken || r->reverify.broken)
		add(o, "signature-broken", "",
		    r->reverify.text[0] ? r->reverify.text : "foretold from h=");
	json_out_end(o);
}

void judge_reverified(struct json_out *o, const struct judgement *r)
{
	const struct reverify_result *v = &r->reverify;

	if (!v->done) {
		json_out_null(o, "reverified");
		return;
	}
	json_out_open(o, "reverified");
	json_out_int(o, "checked", (int)v->checked);
	json_out_int(o, "voided", (int)v->voided);
	json_out_int(o, "broken", (int)v->broken);
	json_out_int(o, "unsettled", (int)v->unsettled);
	json_out_close(o);
}
