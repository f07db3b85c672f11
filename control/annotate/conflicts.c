/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/annotate/block.h"

/*
 * RFC 6376 5.4.2 chooses fields from the bottom up. A signature keeps its choice if, for each name
 * of h=, none of the chosen fields is removed and no field of ours is chosen in addition.
 */

static size_t count_named(const struct headers *h, struct str name, size_t except)
{
	size_t n = 0;

	for (size_t i = headers_find(h, name, 0); i < h->n; i = headers_find(h, name, i + 1))
		n += i != except;
	return n;
}

/* How often h= names it; only asked at its first mention. */
static size_t count_signed(const struct dkim_signature *sig, size_t first)
{
	size_t n = 0;

	for (size_t i = 0; i < sig->n_signed; i++) {
		bool same = str_ieq(sig->signed_names[i], sig->signed_names[first]);

		if (same && i < first)
			return 0;
		n += same;
	}
	return n;
}

enum fate { KEPT, OVERSIGNED, FORGED, BROKEN };

static enum fate name_fate(const struct headers *ours, const struct headers *h, const bool *drop,
			   const struct dkim_signature *sig, size_t first)
{
	struct str name = sig->signed_names[first];
	size_t wanted = count_signed(sig, first), there, chosen = 0;

	if (wanted == 0)
		return KEPT;
	there = count_named(h, name, sig->field);
	for (size_t i = h->n; i > 0 && chosen < wanted; i--) {
		if (i - 1 == sig->field || !str_ieq(header_name(h, i - 1), name))
			continue;
		chosen++;
		if (drop[i - 1])
			return FORGED;
	}
	if (wanted > there && count_named(ours, name, SIZE_MAX) > 0)
		return OVERSIGNED;
	return KEPT;
}

static enum fate signature_fate(const struct headers *ours, const struct headers *h,
				const bool *drop, const struct dkim_signature *sig)
{
	enum fate worst = KEPT;

	/* The signature itself must stay where it is. */
	if (sig->field >= h->n || drop[sig->field])
		return BROKEN;
	for (size_t i = 0; i < sig->n_signed; i++) {
		enum fate f = name_fate(ours, h, drop, sig, i);

		if (f > worst)
			worst = f;
	}
	return worst;
}

void annotate_conflicts(const struct annotate_output *out, const struct headers *h,
			const bool *drop, const struct dkim_results *sigs,
			struct annotate_conflicts *res)
{
	struct iovec iov = {out->block, out->block_len};
	struct mail_bytes content = {&iov, 1, out->block_len};
	struct headers ours;

	*res = (struct annotate_conflicts){0};
	if (headers_parse(&ours, &content) || (ours.flags & ~HEADERS_F_NO_END)) {
		/* A block of ours that does not read as fields breaks all of them. */
		for (size_t i = 0; i < sigs->n; i++)
			res->broken += sigs->sig[i].result == DKIM_PASS;
		headers_free(&ours);
		return;
	}
	for (size_t i = 0; i < sigs->n; i++) {
		if (sigs->sig[i].result != DKIM_PASS)
			continue;
		switch (signature_fate(&ours, h, drop, &sigs->sig[i])) {
		case OVERSIGNED:
			res->oversigned_trace++;
			break;
		case FORGED:
			res->forged_own_header++;
			break;
		case BROKEN:
			res->broken++;
			break;
		case KEPT:
			break;
		}
	}
	headers_free(&ours);
}
