/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* postern-dataplane --tap-dump: tap ports to JSON lines on standard output (docs/tap.md). */

#include "dataplane/args.h"

/* Behind rte_eal_init(). Returns the exit status. */
int tap_dump(const struct args *args);
