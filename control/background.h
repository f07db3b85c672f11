/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * One piece of work at a time beside the event loop, in a thread of its own at nice 10: reading a
 * configuration with lists of millions, taking over a set of rules. What the work touches is its
 * alone until it is done.
 */

struct background;
struct event_base;

/* NULL: out of memory or descriptors. */
struct background *background_new(struct event_base *base);
/* Waits for work under way; its done() is not called. */
void background_free(struct background *b);

/* work(arg) in the thread, then done(arg) on the loop. 0; -EBUSY; -errno: there is no thread. */
int background_run(struct background *b, void (*work)(void *arg), void (*done)(void *arg), void *arg);
