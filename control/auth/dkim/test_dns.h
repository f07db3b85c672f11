/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* A table in place of the resolver, behind the functions of dns.h that DKIM calls. */

#include "control/dns/dns.h"

struct event_base;

struct dns *test_dns_new(struct event_base *base);
void test_dns_free(struct dns *d);
/* Several texts of one name are several records. A text is cut into strings of 255 octets. */
void test_dns_txt(struct dns *d, const char *name, const char *text);
void test_dns_status(struct dns *d, const char *name, enum dns_status status);
/* No answer ever comes for the name. */
void test_dns_silent(struct dns *d, const char *name);
/* Lines "name<TAB>text", or "name<TAB>!nxdomain", "!tempfail", "!nodata". */
bool test_dns_load(struct dns *d, const char *path);
unsigned int test_dns_open(const struct dns *d);
