/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Private to control/config: a tree → what it says. */

#include "control/config/config_settings.h"
#include "control/config/config_tree.h"

/* An unknown key is an error of c. NULL: out of memory (c->mem.failed). */
struct config_settings *config_settings_of_tree(struct config_ctx *c, const struct config_node *root);
