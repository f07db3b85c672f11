/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "control/auth/spf/spf_macro.h"
#include "control/auth/spf/spf_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expand(struct str s, const struct ip_addr *ip)
{
	struct spf_macro_context c = {.ip = ip,
				      .local = STR("a-b+c"),
				      .domain = STR("mail.example.com"),
				      .current = STR("example.com"),
				      .helo = STR("[192.0.2.1]"),
				      .validated = "mx.example.com"};
	uint8_t out[4096];
	long n = spf_macro_domain(s, &c, out, 254);

	if (n > 253)
		abort();
	spf_macro_expand(s, &c, true, out, sizeof(out));
}

/* A record: what is accepted must be expandable and writable for libspf2, in printable ASCII. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ip_addr ip[] = {
		{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1}},
		{{0x20, 1, 0xd, 0xb8, [15] = 1}},
	};
	static struct spf_wire_request request, copy;
	static uint8_t text[SPF_WIRE_MAX], wire[SPF_WIRE_MAX];
	struct spf_tree tree = {.n = 0};
	const struct spf_node *nd;
	uint8_t *own = malloc(size + 1);

	if (!own)
		return 0;
	if (size)
		memcpy(own, data, size);
	nd = spf_tree_add(&tree, 0, SPF_TERM_ROOT, SPF_NODE_OK, "example.com", own, size);
	for (size_t k = 0; nd->state == SPF_NODE_OK && k < 2; k++) {
		struct spf_buf b = {text, 0, sizeof(text), false};
		long n;

		for (size_t i = 0; i < nd->rec.n_terms; i++) {
			struct spf_key at = {SPF_KEY_MARK, 0, (uint16_t)i, 0};

			expand(nd->rec.term[i].domain, &ip[k]);
			spf_tree_matched(&tree, at, &ip[k]);
		}
		expand(nd->rec.redirect, &ip[k]);
		request.n_records = request.n_answers = 0;
		if (spf_tree_encode(&tree, &ip[k], &b, &request))
			continue;
		for (size_t i = 0; i < b.n; i++)
			if (text[i] != ' ' && !ascii_is_vchar(text[i]))
				abort();
		n = spf_wire_put_request(&request, wire, sizeof(wire));
		if (n > 0 && spf_wire_get_request(&copy, wire, (size_t)n))
			abort();
	}
	spf_tree_free(&tree);
	return 0;
}
