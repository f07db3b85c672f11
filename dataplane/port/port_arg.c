/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/port/port.h"

/* A decimal port id at *p, moved behind it. */
static int take_id(const char **p, uint16_t *id)
{
	unsigned int v = 0, digits = 0;

	for (; **p >= '0' && **p <= '9'; (*p)++, digits++)
		if (digits < 5)
			v = v * 10 + (unsigned int)(**p - '0');
	if (!digits || digits > 5 || v >= UINT16_MAX)
		return -EINVAL;
	*id = (uint16_t)v;
	return 0;
}

static const struct {
	const char *name;
	enum port_role role;
} paired[] = {{"inline:", PORT_INLINE}, {"exception:", PORT_EXCEPTION}};

int port_parse_arg(const char *text, struct port_arg *out, char *err, size_t err_len)
{
	const char *p = text;

	memset(out, 0, sizeof(*out));
	if (take_id(&p, &out->port_id) || *p++ != '=') {
		snprintf(err, err_len, "--port %.64s: expected N=ROLE, N an ethdev port id",
			 text);
		return -EINVAL;
	}
	if (strcmp(p, "gateway") == 0) {
		out->role = PORT_GATEWAY;
		return 0;
	}
	if (strcmp(p, "tap") == 0) {
		out->role = PORT_TAP;
		return 0;
	}
	for (size_t i = 0; i < sizeof(paired) / sizeof(paired[0]); i++) {
		size_t n = strlen(paired[i].name);

		if (strncmp(p, paired[i].name, n) != 0)
			continue;
		p += n;
		out->role = paired[i].role;
		if (take_id(&p, &out->peer) == 0 && !*p && out->peer != out->port_id)
			return 0;
		snprintf(err, err_len, "--port %.64s: expected N=%sM, M another ethdev port id", text,
			 paired[i].name);
		return -EINVAL;
	}
	snprintf(err, err_len,
		 "--port %.64s: unknown role; expected gateway, tap, inline:M or exception:M", text);
	return -EINVAL;
}
