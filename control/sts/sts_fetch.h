/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Fetches policies over HTTPS (RFC 8461 3.3): libcurl's multi interface on the event loop. The
 * certificate of the policy host is verified; no redirect, no proxy, no cookie, no content larger than
 * a policy, no other type than text/plain. Addresses come from our resolver: libcurl asks nobody.
 */

#include "control/mail/mail.h"
#include "control/sts/sts.h"

struct sts_fetcher;
struct sts_fetch;

/* error NULL: `body` was fetched; else what failed, one line. */
typedef void sts_fetch_callback(void *arg, struct str body, const char *error);

struct sts_fetcher *sts_fetcher_new(struct event_base *base, const struct sts_options *opt);
/* Ends all that is under way without a callback. */
void sts_fetcher_free(struct sts_fetcher *f);
/* The callback never runs inside the call. NULL: -ENOMEM. */
struct sts_fetch *sts_fetch_start(struct sts_fetcher *f, const char *domain,
				  const struct ip_addr *address, size_t n, sts_fetch_callback *cb,
				  void *arg);
void sts_fetch_cancel(struct sts_fetch *x);
