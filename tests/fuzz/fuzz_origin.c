/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "control/origin/origin.h"
#include "postern/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_srs(const struct srs *s, struct str mail_from)
{
	struct str original = str_c(s->original);

	if ((s->kind == SRS_NONE) != (original.n == 0))
		abort();
	if (!original.n)
		return;
	/* Nothing that was not in MAIL FROM, and nothing that a terminal or a log trips over. */
	if (original.n > mail_from.n || !domain_is_valid(mailbox_domain(original)))
		abort();
	for (size_t i = 0; i < original.n; i++)
		if (!ascii_is_vchar(original.p[i]) && !(original.p[i] & 0x80))
			abort();
}

static void check(const struct origin *o)
{
	if (o->n_hops == 0 || o->n_hops > ORIGIN_MAX_HOPS ||
	    o->n_corroboration > ORIGIN_MAX_CORROBORATION)
		abort();
	for (size_t i = 0; i < o->n_hops; i++)
		if (!o->hop[i].note[0] || (o->hop[i].helo[0] && o->hop[i].helo_raw[0]))
			abort();
	if (o->status != ORIGIN_VIA && (o->n_corroboration || o->srs.kind != SRS_NONE))
		abort();
	for (size_t i = 0; i < o->n_corroboration; i++)
		if (o->corroboration[i].agrees && !o->corroboration[i].has_ip)
			abort();
}

/* The first line is MAIL FROM, the rest a message of a relay that has everything. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const by[] = {"example.net"}, *const value[] = {"tenant.example"},
			  *const vendor[] = {"X-Vendor-IP", "X-Originating-IP"};
	struct str all = str_make(data, size), mail_from = str_cut(all, str_find(all, '\n'));
	struct str text = str_skip(all, mail_from.n + 1);
	struct ip_range range[2];
	struct origin_relay relay[2] = {
		{.name = "r", .range = &range[0], .n_ranges = 1, .by = by, .n_by = 1,
		 .corroborate = vendor, .n_corroborate = 2},
		{.name = "t", .range = &range[1], .n_ranges = 1, .hops = 2, .tenant_header = "X-OriginatorOrg",
		 .tenant_value = value, .n_tenant_values = 1, .unproven_direct = size & 2,
		 .corroborate = vendor, .n_corroborate = 1},
	};
	struct origin_relays relays = {relay, 2};
	struct mail_envelope env = {.helo = mail_from, .mail_from = mail_from, .smtputf8 = size & 1};
	struct iovec iov = {(void *)(uintptr_t)text.p, text.n};
	struct mail_bytes c = {&iov, 1, text.n};
	struct headers h;
	struct origin o;
	struct srs srs;

	if (!ip_range_parse(STR("192.0.2.0/24"), &range[0]) ||
	    !ip_range_parse(STR("198.51.100.1-198.51.100.9"), &range[1]) ||
	    !ip_parse(size & 4 ? STR("192.0.2.1") : STR("198.51.100.1"), &env.peer))
		abort();
	srs_decode(mail_from, &srs);
	check_srs(&srs, mail_from);
	if (headers_parse(&h, &c) || origin_walk(&relays, &env, &h, false, &o))
		abort();
	check(&o);
	check_srs(&o.srs, mail_from);
	origin_free(&o);
	headers_free(&h);
	return 0;
}
