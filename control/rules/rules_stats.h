/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What each rule of a set did. Counts lie beside the set, which is not written to; a rule that
 * stands in the next set by the same name and as the same kind goes on with the counts that it has,
 * and messages that are still judged by the old set count there as well. Of one thread: the counts
 * of all sets of a loop are that loop's.
 *
 * What is spent is known of control alone: the dataplane looks for all patterns of a view at once.
 */

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "control/rules/rules.h"
#include "postern/clock.h"

struct rule_counts {
	uint64_t hits;         /* messages on which it hit, also if its name hides it (`__`) */
	uint64_t opened;       /* messages of which the dataplane told that control must look */
	uint64_t evaluated;    /* messages over which PCRE2 was asked about its pattern */
	uint64_t matched;      /* of these, the pattern matched: a hit, or none for `!~` */
	uint64_t limited;      /* of these, PCRE2 met a limit, or the message's time was up */
	uint64_t ns;           /* that PCRE2 took, by the clock; making the text is not in it */
};

struct rules_stats;

/* Counts for `r`, which must outlive them; those of `before` (NULL: none) go on. NULL: no memory. */
struct rules_stats *rules_stats_new(const struct rules *r, const struct rules_stats *before);
void rules_stats_free(struct rules_stats *s);
/* Of rule i of rules_at(); NULL without counts. */
struct rule_counts *rules_stats_of(const struct rules_stats *s, size_t i);

static inline uint64_t rules_clock_ns(void)
{
	return clock_mono_ns();
}
