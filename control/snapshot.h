/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Configuration and the rules that belong to it, as one thing with one generation number. A message
 * is judged by the snapshot whose rules scanned it. */

#include <stddef.h>
#include <stdint.h>

#include "control/config/config.h"
#include "control/rules/rules.h"
#include "control/rules/rules_stats.h"

#define SNAPSHOT_ERRORS 32

struct snapshot {
	unsigned int refs;
	uint64_t generation;
	struct config *config;
	struct rules *rules;
	struct rules_stats *rules_stats; /* of the rules, from loop_activate() on; NULL: no memory */
	void *mapped;          /* what the rules borrow from, or NULL */
	size_t mapped_len;
};

/* What a load said; errors of the configuration and issues of the rules in one list. */
struct snapshot_report {
	struct config_error error[SNAPSHOT_ERRORS];
	size_t n_errors;       /* all of them; at most SNAPSHOT_ERRORS are listed */
	size_t unsupported;    /* rules that were left out */
};

/* 0; -EINVAL or -errno with a report that is not empty. */
int snapshot_load(const char *path, uint64_t generation, struct snapshot **out,
		  struct snapshot_report *report);
/* In two steps: the configuration; then its rules, compiled here or taken from
 * opt->kept. After an error the snapshot is the caller's still. */
int snapshot_begin(const char *path, uint64_t generation, struct snapshot **out,
		   struct snapshot_report *report);
int snapshot_rules(struct snapshot *s, const struct rules_options *opt, struct snapshot_report *report);
struct rules_options snapshot_rules_options(const struct config *c);
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s);
