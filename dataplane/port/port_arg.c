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
	if (strcmp(p, "tap") == 0)
		out->role = PORT_TAP;
	else if (strncmp(p, "inline:", 7) == 0)
		out->role = PORT_INLINE;
	if (out->role == PORT_INLINE) {
		p += 7;
		if (take_id(&p, &out->peer) || *p || out->peer == out->port_id) {
			snprintf(err, err_len,
				 "--port %.64s: expected N=inline:M, M another ethdev port id",
				 text);
			return -EINVAL;
		}
	}
	if (out->role == PORT_INLINE) {
		snprintf(err, err_len,
			 "--port %.64s: the role inline is not built yet; use gateway or tap", text);
		return -ENOTSUP;
	}
	if (out->role == PORT_TAP)
		return 0;
	snprintf(err, err_len, "--port %.64s: unknown role; expected gateway or tap", text);
	return -EINVAL;
}
