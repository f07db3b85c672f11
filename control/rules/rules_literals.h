/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

#include "control/rules/rules_internal.h"

/* slot->literals (dataplane/scan/literals.h) of the slot's gated rules; NULL: there are none. Rules
 * that find no room come to control. Errors: r->oom. */
void rules_literals_build(struct rules *r, struct rules_slot *slot);
