/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What is looked for in one slot → blob. */

#include "control/rules/rules_internal.h"

/* The blob of a slot; none if nothing of it is for the dataplane. Rules that Hyperscan will not have
 * after all come to control. */
void rules_database(struct rules *r, struct rules_slot *slot);
/* Flags for the rule as it stands in the database. */
unsigned int rules_hs_flags(const struct rules *r, size_t i, const struct rules_slot *slot);
/* "(?x)pattern"; the caller's. NULL: no memory. */
char *rules_hs_text(const struct rule_source *s);
/* A literal as a pattern. */
char *rules_hs_literal(const struct regex_literal *l);
