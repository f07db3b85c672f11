/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * MTA-STS as it is written (RFC 8461 3): the TXT record that says there is a policy, and the policy.
 * Pure functions over octets from strangers; fetching and keeping is the business of sts.h.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/dns/dns.h"
#include "postern/str.h"

enum sts_mode { STS_NONE, STS_TESTING, STS_ENFORCE };
const char *sts_mode_name(enum sts_mode m);

#define STS_ID 33 /* RFC 8461 3.1: 1 to 32 letters and digits, and a NUL */

struct sts_policy {
	unsigned int refs;
	enum sts_mode mode;
	uint32_t max_age;  /* seconds, at most LIMIT_STS_MAX_AGE_S */
	size_t n_mx;
	char mx[];         /* n_mx patterns in lower case, each with its NUL: "mx.example.net", "*.example.net" */
};

struct sts_policy *sts_policy_ref(struct sts_policy *p);
void sts_policy_unref(struct sts_policy *p);

/* The policy in a file as it was fetched; NULL: why (static text) says what is wrong with it. */
struct sts_policy *sts_policy_parse(struct str text, const char **why);
/* May mail for its domain go to this host? RFC 8461 4.1: "*." stands for exactly one label. */
bool sts_policy_allows(const struct sts_policy *p, struct str host);
/* RFC 8461 3.1: the id of the one record that is for us. False: there is none, or more than one, or
 * it does not say it. */
bool sts_record_id(const struct dns_rr *rr, size_t n, char id[STS_ID]);
