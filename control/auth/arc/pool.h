/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Sealing beside the event loop: two RSA signatures are most of a millisecond, which nobody else on
 * the loop should wait. A few threads run arc_seal(), the results come back through an eventfd.
 */

#include "control/auth/arc/arc.h"

struct event_base;
struct arc_pool;
struct arc_job;

/* n: of arc_seal(). From the event loop, never from inside a call. */
typedef void arc_job_callback(void *arg, long n);

/* NULL: err (>= 256 octets) says why. */
struct arc_pool *arc_pool_new(struct event_base *base, unsigned int threads, char *err,
			      size_t err_len);
/* No job may be open. */
void arc_pool_free(struct arc_pool *p);

/* Whatever the arguments point to, and buf, is the job's until its callback or arc_job_cancel():
 * nobody may change it. NULL: LIMIT_ARC_QUEUE jobs are open, or no memory; then the caller seals by
 * himself. */
struct arc_job *arc_pool_seal(struct arc_pool *p, const struct arc_seal_request *req,
			      const struct mail_bytes *content, const struct arc_results *chain,
			      char *buf, size_t cap, arc_job_callback *cb, void *arg);
/* Before its callback. Nothing is read any more when it returns: one that runs is waited for, which
 * takes as long as a seal at most. */
void arc_job_cancel(struct arc_job *j);
