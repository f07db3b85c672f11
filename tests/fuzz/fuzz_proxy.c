/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A PROXY header and an XCLIENT argument. Whatever the split, the same header comes out; once it is
 * refused more octets do not mend it; and proxy_more() never asks beyond its end.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/smtp/proxy.h"
#include "dataplane/smtp/smtp_xclient.h"
#include "postern/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define MUST(x) ((x) ? (void)0 : abort())

static void within(struct str v, const uint8_t *p, size_t n)
{
	MUST(!v.n || (v.p >= p && v.p + v.n <= p + n));
}

/* As much as fits, and what fits is kept whole. */
static void keep(struct str tlvs, size_t cap)
{
	uint8_t out[LIMIT_PROXY_V2], again[LIMIT_PROXY_V2];
	bool cut, all;
	size_t some = proxy_tlvs_keep(tlvs, out, cap, &cut);
	size_t full = proxy_tlvs_keep(tlvs, out, sizeof(out), &all);

	MUST(some <= cap && full <= tlvs.n && !all);
	MUST(cut == (some < full));
	memcpy(again, out, full);
	MUST(proxy_tlvs_keep(str_make(again, full), out, sizeof(out), &cut) == full && !cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct smtp_xclient x;
	struct proxy_header whole, h;
	long rc = proxy_parse(p, n, &whole), part = -EAGAIN;
	size_t at = 0;

	MUST(rc == -EAGAIN || rc == -EBADMSG || (rc > 0 && (size_t)rc <= n));
	while (part == -EAGAIN && at < n) {
		size_t more = at ? proxy_more(p, at) : 1;

		MUST(more > 0);
		if (rc > 0)
			MUST(at + more <= (size_t)rc);
		at += more < n - at ? more : n - at;
		part = proxy_parse(p, at, &h);
	}
	MUST(part == rc);
	if (rc > 0) {
		MUST(memcmp(h.src, whole.src, 16) == 0 && h.local == whole.local);
		within(whole.authority, p, (size_t)rc);
		within(whole.alpn, p, (size_t)rc);
		within(whole.ssl, p, (size_t)rc);
		within(whole.tlvs, p, (size_t)rc);
		keep(whole.tlvs, n % 41);
	}
	if (smtp_xclient_parse(str_make(p, n), &x))
		MUST(x.helo_len <= LIMIT_DOMAIN);
	return 0;
}
