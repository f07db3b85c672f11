/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/annotate/conflicts.h"

/*
 * Which optional fields may be added: those that no signature wants to be absent. Signatures that
 * could not be judged for want of a key count as well: the next hop may have it.
 */

static bool may_pass(enum dkim_result r)
{
	return r == DKIM_PASS || r == DKIM_TEMPERROR || r == DKIM_POLICY;
}

/* RFC 6376 5.4.2: named more often than it is there, the field is signed as absent. What is removed
 * does not stand against one more: that signature has been voided already. */
static bool wants_absent(const struct headers *h, const uint8_t *drop,
			 const struct dkim_signature *sig, struct str name)
{
	size_t wanted = 0, there = 0;

	for (size_t i = 0; i < sig->n_signed; i++)
		wanted += str_ieq(sig->signed_names[i], name);
	if (wanted == 0)
		return false;
	for (size_t i = headers_find(h, name, 0); i < h->n; i = headers_find(h, name, i + 1))
		there += i != sig->field && !drop[i];
	return wanted > there;
}

bool annotate_may_add(const struct headers *h, const uint8_t *drop,
		      const struct annotate_signatures *sigs, struct str name)
{
	for (size_t i = 0; sigs->dkim && i < sigs->dkim->n; i++)
		if (may_pass(sigs->dkim->sig[i].result) &&
		    wants_absent(h, drop, &sigs->dkim->sig[i], name))
			return false;
	for (size_t i = 0; sigs->arc && i < sigs->arc->n; i++)
		if (may_pass(sigs->arc->set[i].message.result) &&
		    wants_absent(h, drop, &sigs->arc->set[i].message, name))
			return false;
	return true;
}
