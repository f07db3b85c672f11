/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/port/port_mirror.h"

void port_mirror_init(struct port_mirror *m, uint64_t now_ms)
{
	*m = (struct port_mirror){.missed_at = {now_ms + PORT_MIRROR_MS, now_ms + PORT_MIRROR_MS}};
}

void port_mirror_step(struct port_mirror *m, const bool up[2], uint64_t now_ms,
		      enum port_mirror_do todo[2])
{
	todo[0] = todo[1] = MIRROR_NOTHING;
	for (unsigned int i = 0; i < 2; i++) {
		unsigned int other = 1 - i;

		if (m->forced[i])
			continue;
		if (up[i] && m->forced[other]) {
			todo[other] = MIRROR_UP;
			m->forced[other] = false;
			m->missed_at[other] = now_ms + PORT_MIRROR_MS;
		} else if (!up[i] && now_ms >= m->missed_at[i] && !m->forced[other]) {
			todo[other] = MIRROR_DOWN;
			m->forced[other] = true;
		}
	}
}
