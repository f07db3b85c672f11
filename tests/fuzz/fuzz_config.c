/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Any text is a configuration or has at least one error with a reason. */

#include <errno.h>
#include <stdlib.h>

#include "control/config/config.h"

/* What is taken in a server's name goes to that server, which learns or sees the client. */
static bool cable_is_sound(const struct config *c)
{
	const struct handoff_config *d = &c->dataplane;

	if (d->n_inlines > HANDOFF_MAX_INLINE || d->n_inline_own > HANDOFF_MAX_INLINE_OWN ||
	    d->n_inline_names > HANDOFF_MAX_INLINE_NAMES)
		return false;
	for (size_t i = 0; i < c->n_inlines; i++) {
		const struct config_route *r = c->inlined[i].route;

		if ((c->inlined[i].mode == INLINE_TERMINATE) != (r != NULL))
			return false;
		if (r && (!r->dialled || !(r->xclient || r->proxy || r->transparent)))
			return false;
	}
	for (uint32_t i = 0; i < d->n_inlines; i++)
		if (!config_is_inline(d->inlined[i].id) || d->inlined[i].name > d->n_inline_names)
			return false;
	for (int mode = 0; mode < PORT_MODE_COUNT; mode++)
		for (int cause = 0; cause < CAUSE_COUNT; cause++)
			if (d->exception[mode][cause] >= ACT_COUNT)
				return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config_error err[4];
	struct config *c = NULL;
	size_t n = 0;
	int rc = config_parse("fuzz", data, size, 1, &c, err, 4, &n);

	if (rc && rc != -ENOMEM && (!n || !err[0].reason[0]))
		abort();
	if (!rc && (!c || !(c->n_listeners || c->n_inlines) || !c->n_routes ||
		    c->dataplane.n_listeners > HANDOFF_MAX_LISTENERS || !cable_is_sound(c)))
		abort();
	config_unref(c);
	return 0;
}
