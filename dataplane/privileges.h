/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What the dataplane gives up once ports and memory are there: all capabilities of all its threads
 * but CAP_KILL (a control that hangs is killed by pidfd), new privileges by exec, core dumps of the
 * arena. Pushed databases are code that runs here, so this happens before the first push.
 */

#include <stddef.h>

/* 0 or -errno with a text in err. Call from the main thread, when no thread is started any more. */
int privileges_drop(char *err, size_t err_len);
