/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What an operator should see of a message although nobody may ever complain about it. */

#include <stdio.h>

#include "control/judge/judge_internal.h"

static void add(json_t *list, const char *code, const char *name, const char *text)
{
	/* Names and texts are printable ASCII by now. */
	json_array_append_new(
		list, json_pack("{s:s, s:s, s:s}", "code", code, "name", name, "text", text));
}

json_t *judge_findings(const struct judgement *r)
{
	static const char *const done[] = {
		[FOREIGN_STRIP] = "removed: a stranger must not borrow the next hop's trust",
		[FOREIGN_REJECT] = "the message is refused for it",
		[FOREIGN_KEEP] = "kept by foreign-trust",
	};
	json_t *list = json_array();

	for (size_t i = 0; i < r->foreign.n_names; i++)
		add(list, "foreign-trust-header", r->foreign.name[i], done[r->foreign.action]);
	if (r->spf_field_left_out)
		add(list, "optional-field-left-out", "Received-SPF", "a signature wants it absent");
	if (r->conflicts.broken || r->reverify.broken)
		add(list, "signature-broken", "",
		    r->reverify.text[0] ? r->reverify.text : "foretold from h=");
	return list;
}

json_t *judge_reverified(const struct judgement *r)
{
	const struct reverify_result *v = &r->reverify;

	if (!v->done)
		return json_null();
	return json_pack("{s:i, s:i, s:i, s:i}", "checked", (int)v->checked, "voided",
			 (int)v->voided, "broken", (int)v->broken, "unsettled", (int)v->unsettled);
}
