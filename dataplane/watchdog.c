/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/watchdog.h"

#include "postern/notify.h"
#include "postern/stats.h"

void watchdog_start(struct watchdog *w, uint64_t now_s)
{
	*w = (struct watchdog){.wanted = notify_watched(), .next_s = now_s + 1};
}

bool watchdog_feed(struct watchdog *w, uint64_t *const counters[], unsigned int n_workers,
		   uint64_t now_s)
{
	bool turn = true;

	if (!w->wanted || now_s < w->next_s)
		return false;
	w->next_s = now_s + 1;
	for (unsigned int i = 0; i < n_workers; i++) {
		uint64_t n = __atomic_load_n(&counters[i][CNT_loop_turns], __ATOMIC_RELAXED);

		turn &= n != w->turns[i];
		w->turns[i] = n;
	}
	return turn && !notify_send("WATCHDOG=1");
}
