/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* A jail with a zone in memory, for tests that ask it questions. */

#include "control/auth/spf/spf_jail.h"

struct spf_lab {
	struct event_base *base;
	struct dns_zone *zone; /* of dns */
	struct dns *dns;
	struct spf_jail *jail;
	unsigned int calls;
	struct spf_verdict v; /* the last one */
};

/* `zone`: RFC 1035 text. Ends the process with a message if anything is wrong. */
void spf_lab_open(struct spf_lab *l, const char *zone, const struct spf_options *opt);
void spf_lab_close(struct spf_lab *l);
/* From now on questions for the name time out, but for types that the zone has there. */
void spf_lab_timeout(struct spf_lab *l, const char *name);
/* from == NULL: the HELO identity is asked for. */
struct spf_check *spf_lab_ask(struct spf_lab *l, const char *ip, const char *helo,
			      const char *from);
/* Runs the loop until there were n calls in all. */
void spf_lab_wait(struct spf_lab *l, unsigned int n);
/* Asks with HELO mail.example.com, waits, returns the result; l->v is the verdict. */
enum spf_result spf_lab_check(struct spf_lab *l, const char *ip, const char *from);
