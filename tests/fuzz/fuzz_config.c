/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Any text is a configuration or has at least one error with a reason. */

#include <errno.h>
#include <stdlib.h>

#include "control/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config_error err[4];
	struct config *c = NULL;
	size_t n = 0;
	int rc = config_parse("fuzz", data, size, 1, &c, err, 4, &n);

	if (rc && rc != -ENOMEM && (!n || !err[0].reason[0]))
		abort();
	if (!rc && (!c || !c->n_listeners || !c->n_routes || c->dataplane.n_listeners > HANDOFF_MAX_LISTENERS))
		abort();
	config_unref(c);
	return 0;
}
