/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A reply is the same however its octets are cut; the first octet of the input says where. */

#include <stdlib.h>
#include <string.h>

#include "control/deliver/reply.h"

static enum reply_status feed(struct reply_parser *p, const uint8_t *data, size_t n, size_t cut, size_t *used)
{
	enum reply_status s;
	size_t first;

	memset(p, 0, sizeof(*p));
	reply_reset(p);
	s = reply_feed(p, data, cut, used);
	first = *used;
	if (s != REPLY_MORE)
		return s;
	if (first != cut)
		abort();
	s = reply_feed(p, data + cut, n - cut, used);
	*used += first;
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reply_parser whole, cut;
	size_t used_whole, used_cut, at;
	enum reply_status a, b;
	struct ehlo e = {0};

	if (!size)
		return 0;
	at = data[0];
	data++;
	size--;
	a = feed(&whole, data, size, size, &used_whole);
	b = feed(&cut, data, size, at < size ? at : size, &used_cut);
	if (a != b || used_whole > size)
		abort();
	if (a == REPLY_DONE && (used_whole != used_cut || whole.code != cut.code || whole.code < 200 ||
				whole.code > 599 || whole.text_len != cut.text_len ||
				whole.text_len > REPLY_TEXT || memcmp(whole.text, cut.text, whole.text_len) != 0))
		abort();
	ehlo_first(&e, str_make(data, size));
	if (strnlen(e.name, sizeof(e.name)) >= sizeof(e.name))
		abort();
	ehlo_line(&e, str_make(data, size));
	return 0;
}
