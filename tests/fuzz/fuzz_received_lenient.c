/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "control/origin/received_lenient.h"
#include "control/origin/walkers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct str s, const uint8_t *p, size_t cap)
{
	return s.n == 0 || (s.p >= p && s.p + s.n <= p + cap);
}

/* A walk ends within its bounds, whatever stands in the header and in the list. */
static void walks(struct str text)
{
	static struct walker_view v;
	struct ip_range range;
	struct walker_setting set = {.on = true, .listed = &range};
	struct walker_start start = {.has_peer = text.n & 1, .peer_helo = text};
	struct iovec iov = {(void *)(uintptr_t)text.p, text.n};
	struct mail_bytes c = {&iov, 1, text.n};
	struct headers h;

	set.n_listed = ip_range_parse(str_cut(text, str_find(text, '\n')), &range);
	if (set.n_listed &&
	    (!ip_in_range(&range.first, &range) || !ip_in_range(&range.last, &range)))
		abort();
	if (headers_parse(&h, &c))
		abort();
	for (unsigned int k = 0; k <= WALKER_LAST_PUBLIC; k++) {
		set.kind = (enum walker_kind)k;
		set.skip_last = text.n & 2;
		walker_run(&set, &start, &h, &v);
		if (v.n_hops > ORIGIN_MAX_HOPS || v.field >= (long)h.n || (v.found && !v.n_hops))
			abort();
	}
	headers_free(&h);
}

/* Two readers of one line: whatever the strict one takes, the lenient one reads alike, or says that
 * it is no line of a mail server. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t strict_text[8192], text[8192];
	struct received strict, r;
	const char *why, *strict_why;
	int rc;

	walks(str_make(data, size));
	rc = received_parse_lenient(str_make(data, size), text, sizeof(text), &r, &why);

	if (!inside(r.helo, text, sizeof(text)) || !inside(r.rdns, text, sizeof(text)) ||
	    !inside(r.by, text, sizeof(text)) || !inside(r.id, text, sizeof(text)) ||
	    !inside(r.with, text, sizeof(text)) || !inside(r.for_addr, text, sizeof(text)))
		abort();
	if ((rc == 0) != (why[0] == '\0') || (rc == 0 && !r.has_ip))
		abort();
	if (received_parse_strict(str_make(data, size), strict_text, sizeof(strict_text), &strict,
				  &strict_why))
		return 0;
	if (rc && !str_eq(str_c(why), STR("fetched from a mailbox")) &&
	    !str_eq(str_c(why), STR("a scanner on the same machine")))
		abort();
	if (rc == 0 && (memcmp(&r.ip, &strict.ip, sizeof(r.ip)) || !str_eq(r.by, strict.by) ||
			(r.helo.n && !str_eq(r.helo, strict.helo))))
		abort();
	return 0;
}
