/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdio.h>
#include <stdlib.h>

#include "control/origin/origin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t secret[32] = {1, 2, 3}, body[CHAIN_DIGEST] = {4};
static const struct chain_key key = {"site", secret, sizeof(secret), 600};
static const struct chain_key *const keys[] = {&key};

static void read_it(const uint8_t *text, size_t n, struct chain_claim *claim)
{
	struct iovec iov = {(void *)(uintptr_t)text, n};
	struct mail_bytes c = {&iov, 1, n};
	struct headers h;

	if (headers_parse(&h, &c))
		abort();
	chain_read(keys, 1, STR("X-Postern"), &h, STR("a@example.com"), body, 1700000000, claim);
	if (claim->status == CHAIN_NONE || claim->status > CHAIN_ERROR)
		abort();
	headers_free(&h);
}

/* Any message is read. And what is written about any HELO over any header is read back. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char line[] = "Received: x\r\n";
	struct chain_facts facts = {.time = 1700000000, .via = "direct"};
	struct chain_message m = {.mail_from = STR("a@example.com")};
	struct iovec iov = {(void *)(uintptr_t)data, size};
	struct mail_bytes c = {&iov, 1, size};
	struct chain_claim claim;
	char field[CHAIN_FIELD];
	struct headers h;
	uint8_t *text;
	size_t n;

	read_it(data, size, &claim);
	memcpy(m.body, body, sizeof(body));
	if (!ip_parse(STR("2001:db8::1"), &facts.ip) || headers_parse(&h, &c))
		abort();
	for (size_t i = 0; i < size && i + 1 < sizeof(facts.helo); i++)
		facts.helo[i] = ascii_is_vchar(data[i]) ? (char)data[i] : '~';
	/* A first line that is folded belongs to the field above it: such a message is refused. */
	if (h.flags & (HEADERS_F_TOO_LARGE | HEADERS_F_FIRST_FOLDED)) {
		headers_free(&h);
		return 0;
	}
	if (chain_header_digest(&h, 0, NULL, m.header) ||
	    chain_write(&key, STR("X-Postern"), &facts, &m, field))
		abort();
	headers_free(&h);
	n = strlen(field);
	text = malloc(n + sizeof(line) - 1 + size);
	if (!text)
		abort();
	memcpy(text, field, n);
	memcpy(text + n, line, sizeof(line) - 1);
	if (size)
		memcpy(text + n + sizeof(line) - 1, data, size);
	read_it(text, n + sizeof(line) - 1 + size, &claim);
	/* The longer block may go over the limits of the index. */
	if (claim.status != CHAIN_VERIFIED && size < 200000)
		abort();
	if (claim.status == CHAIN_VERIFIED && strcmp(claim.facts.helo, facts.helo))
		abort();
	free(text);
	return 0;
}
