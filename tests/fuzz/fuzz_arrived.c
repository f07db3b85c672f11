/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "control/cli/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void plain(const char *s, size_t cap)
{
	size_t n = strnlen(s, cap);

	if (n == cap)
		abort();
	for (size_t i = 0; i < n; i++)
		if (!ascii_is_vchar((uint8_t)s[i]) && s[i] != ' ')
			abort();
}

/* What the places of things say must hold whatever the message says. */
static void read_side(const struct headers *h, const struct arrived_names *names)
{
	struct arrived *a = malloc(sizeof(*a));

	if (!a)
		abort();
	arrived_read(h, names, a);
	if (a->entry < -1 || a->entry >= (long)a->hops.n_hops ||
	    (a->ours >= 0 && (a->entry < 0 || a->ours <= a->entry)) ||
	    a->ours >= (long)a->hops.n_hops)
		abort();
	if (a->own && (a->ours < 0 || a->own->field >= a->hops.hop[a->ours].field ||
		       a->own->field <= a->hops.hop[a->entry].field))
		abort();
	if (a->entry < 0 && (a->host || a->host_spf || a->host_arc))
		abort();
	if (a->ours < 0 && (a->record.has_ip || a->record.verdict[0]))
		abort();
	if (a->original.has_ip && a->original.copies != 1)
		abort();
	plain(a->original.helo, sizeof(a->original.helo));
	plain(a->report.helo, sizeof(a->report.helo));
	plain(a->report.cat, sizeof(a->report.cat));
	plain(a->record.helo, sizeof(a->record.helo));
	plain(a->record.verdict, sizeof(a->record.verdict));
	plain(a->mail_from, sizeof(a->mail_from));
	free(a);
}

/* A message out of a mailbox as doctor --verify reads it: either cloud, with the egress known or
 * not. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char domain[] = "example.com", *domains[] = {domain};
	struct iovec iov = {(void *)(uintptr_t)data, size};
	struct mail_bytes content = {&iov, 1, size};
	struct ip_range egress;
	struct headers h;

	if (headers_parse(&h, &content) || !ip_range_parse(STR("198.51.100.7"), &egress))
		abort();
	for (unsigned int i = 0; i < 4; i++) {
		struct verify v = {.names = {i & 1 ? ARRIVED_GMAIL : ARRIVED_EXCHANGE,
					     "gw.example.net", "gw.example.net", "X-Postern"},
				   .egress = &egress,
				   .n_egress = i / 2,
				   .domain = domains,
				   .n_domains = 1,
				   .sealing = true};
		struct verify_result r = {0};
		json_t *json;

		read_side(&h, &v.names);
		if (verify_message(&v, &h, &r))
			abort();
		/* Whatever came in, what goes out is text: else there is no JSON of it. */
		json = findings_json(&r.findings);
		if (json_array_size(json) != r.findings.n || !r.findings.n)
			abort();
		for (size_t k = 0; k < r.findings.n; k++) {
			plain(r.findings.check[k].text, FINDINGS_TEXT);
			plain(r.findings.check[k].advice, FINDINGS_TEXT);
		}
		json_decref(json);
		findings_free(&r.findings);
	}
	headers_free(&h);
	return 0;
}
