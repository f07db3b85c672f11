/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "control/dns/dns_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A reply to "a.example", for each type; what is accepted must be readable to its end. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t types[] = {DNS_A,   DNS_AAAA, DNS_MX,  DNS_TXT,
					 DNS_PTR, DNS_SOA,  DNS_TLSA};
	static uint8_t out[65536];
	struct dns_wire_name name;
	char text[256];

	if (dns_wire_from_text(STR("a.example"), &name))
		abort();
	for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
		struct dns_parsed a;

		dns_parsed_init(&a);
		dns_packet_parse(&a, data, size, &name, types[t]);
		if (a.n > DNS_MAX_RRS || ((a.status == DNS_OK) != (a.n > 0)))
			abort();
		for (size_t i = 0; i < a.n; i++) {
			const struct dns_rr *rr = &a.rr[i];

			if (!dns_rdata_valid(types[t], rr->data, rr->len))
				abort();
			dns_txt(rr, out, sizeof(out));
			dns_name(rr, types[t] == DNS_MX ? 2 : 0, text, sizeof(text));
		}
		dns_parsed_free(&a);
	}
	return 0;
}
