/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Octets that loops look at, counted where a test asks for it: the proof that time is linear does
 * not depend on a clock. */

#include <stdint.h>

#ifdef CONTENT_COUNT_STEPS
extern uint64_t content_steps;
#define CONTENT_STEP(n) (content_steps += (uint64_t)(n))
#else
#define CONTENT_STEP(n) ((void)(n))
#endif
