/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Which hosts take mail for a domain: MX records (RFC 5321 5.1), the domain itself where it has none,
 * nobody behind a null MX (RFC 7505). Ourselves, by name or by address, and whatever is of equal or
 * worse preference are dropped, else mail would go round. What the hosts are called may be an alias;
 * the resolver follows it.
 */

#include <stdint.h>

#include "control/config/config.h"
#include "control/dns/dns.h"
#include "postern/limits.h"

enum mx_status {
	MX_FOUND,
	MX_NULL,      /* the domain takes no mail */
	MX_SELF,      /* nothing is left but ourselves */
	MX_NOWHERE,   /* no such domain */
	MX_FAILED,    /* DNS does not say */
};

struct mx_result {
	enum mx_status status;
	bool secure;  /* DNSSEC: that these are the hosts, or that there are no MX records */
	size_t n;
	struct {
		char name[LIMIT_DNS_NAME + 1]; /* lower case */
		uint16_t preference;
	} host[LIMIT_CONFIG_HOSTS];        /* by preference; of more, the best */
};

struct mx_query;
typedef void mx_callback(void *arg, const struct mx_result *result);

/* `config`, whose hostname, listeners and source addresses are ours, stays valid until the callback;
 * local: so are all addresses of this machine. The callback frees the query. NULL: -ENOMEM. */
struct mx_query *mx_resolve(struct dns *dns, const struct config *config, bool local,
			    struct str domain, mx_callback *cb, void *arg);
void mx_cancel(struct mx_query *q);
