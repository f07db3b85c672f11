/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <libpsl.h>
#include <pthread.h>

#include "control/auth/dmarc/psl.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static psl_ctx_t *list;

static void load(void)
{
	list = psl_latest(NULL);
}

const char *dmarc_psl_org(const char *domain)
{
	const char *org;

	pthread_once(&once, load);
	org = list ? psl_registrable_domain(list, domain) : NULL;
	return org ? org : domain;
}
