/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/auth/spf/test_spf_lab.h"

#include <stdio.h>
#include <stdlib.h>

#include "control/dns/dns_zone.h"

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "spf lab: %s\n", what);
	abort();
}

void spf_lab_open(struct spf_lab *l, const char *zone, const struct spf_options *opt)
{
	char err[256] = "";

	*l = (struct spf_lab){.base = event_base_new(), .zone = dns_zone_new()};
	must(l->base && l->zone, "out of memory");
	must(dns_zone_parse(l->zone, (const uint8_t *)zone, strlen(zone), "zone", err,
			    sizeof(err)) == 0,
	     err);
	l->dns = dns_new_memory(l->base, l->zone, 0);
	l->jail = spf_jail_new(l->base, l->dns, opt, err, sizeof(err));
	must(l->jail != NULL, err);
}

void spf_lab_close(struct spf_lab *l)
{
	spf_jail_free(l->jail);
	dns_free(l->dns);
	event_base_free(l->base);
}

void spf_lab_timeout(struct spf_lab *l, const char *name)
{
	struct dns_wire_name w;

	must(dns_wire_from_text(str_c(name), &w) == 0, "name");
	must(dns_zone_add_timeout(l->zone, &w) == 0, "timeout");
}

static void on_verdict(void *arg, const struct spf_verdict *v)
{
	struct spf_lab *l = arg;

	l->calls++;
	l->v = *v;
}

struct spf_check *spf_lab_ask(struct spf_lab *l, const char *ip, const char *helo,
			      const char *from)
{
	struct spf_request r = {.helo = str_c(helo),
				.identity = from ? SPF_ID_MAILFROM : SPF_ID_HELO,
				.mail_from = from ? str_c(from) : STR_NONE};
	struct spf_check *c;

	must(ip_parse(str_c(ip), &r.ip), "address");
	c = spf_check(l->jail, &r, on_verdict, l);
	must(c != NULL, "check");
	return c;
}

void spf_lab_wait(struct spf_lab *l, unsigned int n)
{
	while (l->calls < n)
		must(event_base_loop(l->base, EVLOOP_ONCE) == 0, "nothing to wait for");
}

enum spf_result spf_lab_check(struct spf_lab *l, const char *ip, const char *from)
{
	unsigned int n = l->calls + 1;

	spf_lab_ask(l, ip, "mail.example.com", from);
	spf_lab_wait(l, n);
	return l->v.result;
}
