/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What of the configuration is in force: some keys are those of the start until the next one. */

#include <jansson.h>

struct config;
struct loop;

/* At the start: what is said now holds. */
void settings_start(struct loop *l, const struct config *c);
/* What that key names was opened only now. */
void settings_opened(struct loop *l, const struct config *c, const char *key);
/* Keys of `c` that take effect after a restart only. New reference. */
json_t *settings_restarts(const struct loop *l, const struct config *c);
