/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "control/dns/dns_zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A master file, and then the questions its own names make. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const name[] = {"example.com", "a.b.example.com", "x.wild.example.com",
					   ""};
	static const uint16_t type[] = {DNS_A, DNS_TXT, DNS_MX, DNS_CNAME, DNS_SOA};
	struct dns_zone *z = dns_zone_new();
	char err[256], text[256];

	if (!z)
		return 0;
	dns_zone_parse(z, data, size, "fuzz", err, sizeof(err));
	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		for (size_t t = 0; t < sizeof(type) / sizeof(type[0]); t++) {
			struct dns_wire_name w;
			struct dns_parsed a;

			if (dns_wire_from_text(str_c(name[i]), &w))
				abort();
			dns_parsed_init(&a);
			dns_zone_lookup(z, &w, type[t], &a);
			for (size_t k = 0; k < a.n; k++) {
				if (!dns_rdata_valid(type[t], a.rr[k].data, a.rr[k].len))
					abort();
				if (type[t] == DNS_MX)
					dns_name(&a.rr[k], 2, text, sizeof(text));
			}
			dns_parsed_free(&a);
		}
	}
	dns_zone_free(z);
	return 0;
}
