/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * MTA-STS policies of domains (RFC 8461), kept as long as they say. A policy in use goes on being used
 * when its record or its file cannot be had any more: that is what an attacker would arrange. Where
 * there is none yet, and none can be fetched, mail goes as if there were none; another attempt is made
 * after LIMIT_STS_RETRY_S.
 *
 * Everything runs on one event loop. No callback runs inside the call that started it.
 */

#include <jansson.h>

#include "control/dns/dns.h"
#include "control/sts/sts_policy.h"

struct event_base;
struct sts;
struct sts_query;

struct sts_options {
	const char *ca_file;    /* NULL: the system's */
	uint16_t port;          /* 0: 443; another for tests */
	unsigned int fetch_ms;  /* 0: LIMIT_STS_FETCH_S */
	uint64_t skew_s;        /* added to the clock */
};

/* What was found: valid in the callback, the policy longer with a reference. */
struct sts_result {
	struct sts_policy *policy; /* NULL: there is none to keep */
	const char *error;         /* why not, where the domain says that there is one; else NULL */
};

struct sts *sts_new(struct event_base *base, struct dns *dns, uint64_t *counters);
void sts_free(struct sts *s);
struct sts_options *sts_options(struct sts *s);
/* domain: A-labels. NULL: out of memory. */
typedef void sts_callback(void *arg, const struct sts_result *result);
struct sts_query *sts_lookup(struct sts *s, struct str domain, sts_callback *cb, void *arg);
void sts_cancel(struct sts_query *q);
size_t sts_count(const struct sts *s);

/* RFC 8461 3.3, 10.2: a policy is in force for its max_age, and a restart is no reason to forget it. A
 * document with those that are valid, used last first, up to LIMIT_STS_KEPT octets; real_s:
 * CLOCK_REALTIME. NULL: out of memory. */
json_t *sts_save(const struct sts *s, uint64_t real_s);
/* Before the first lookup. How many were taken; -EBADMSG: it is no such document; what stands before
 * the place that is wrong is taken. */
int sts_load(struct sts *s, const json_t *j, uint64_t real_s);
/* Grows with each policy that is fetched. */
uint64_t sts_changes(const struct sts *s);
