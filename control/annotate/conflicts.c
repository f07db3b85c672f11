/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/annotate/conflicts.h"

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

static enum annotate_fate removal(uint8_t drop)
{
	return drop == DROP_FORGED    ? FATE_FORGED
	       : drop == DROP_FOREIGN ? FATE_FOREIGN
	       : drop == DROP_NO      ? FATE_KEPT
				      : FATE_BROKEN;
}

static enum annotate_fate name_fate(const struct headers *ours, const struct headers *h,
				    const uint8_t *drop, const struct dkim_signature *sig,
				    size_t first)
{
	struct str name = sig->signed_names[first];
	size_t wanted = count_signed(sig, first), there, chosen = 0;
	enum annotate_fate worst = FATE_KEPT;

	/* RFC 8617 4.1.2: an AMS may have empty names in h=, which choose nothing. */
	if (wanted == 0 || name.n == 0)
		return FATE_KEPT;
	there = count_named(h, name, sig->field);
	for (size_t i = h->n; i > 0 && chosen < wanted; i--) {
		if (i - 1 == sig->field || !str_ieq(header_name(h, i - 1), name))
			continue;
		chosen++;
		if (removal(drop[i - 1]) > worst)
			worst = removal(drop[i - 1]);
	}
	if (worst == FATE_KEPT && wanted > there && count_named(ours, name, SIZE_MAX) > 0)
		return FATE_OVERSIGNED;
	return worst;
}

enum annotate_fate annotate_fate_of(const struct headers *ours, const struct headers *h,
				    const uint8_t *drop, const struct dkim_signature *sig)
{
	enum annotate_fate worst = FATE_KEPT;

	if (sig->field >= h->n)
		return FATE_BROKEN;
	/* It was in a field that looked like ours to some reader; with it the signature is gone. */
	if (drop[sig->field])
		return removal(drop[sig->field]);
	for (size_t i = 0; i < sig->n_signed; i++) {
		enum annotate_fate f = name_fate(ours, h, drop, sig, i);

		if (f > worst)
			worst = f;
	}
	return worst;
}

enum annotate_fate annotate_fate_of_seal(const struct headers *h, const uint8_t *drop,
					 const struct arc_results *arc, size_t k)
{
	enum annotate_fate worst = FATE_KEPT;

	for (size_t i = 0; i <= k && i < arc->n; i++) {
		const size_t field[] = {arc->set[i].aar, arc->set[i].ams, arc->set[i].seal};

		for (size_t f = 0; f < 3; f++)
			if (field[f] < h->n && removal(drop[field[f]]) > worst)
				worst = removal(drop[field[f]]);
	}
	return worst;
}

static void count(struct annotate_conflicts *res, enum annotate_fate fate)
{
	switch (fate) {
	case FATE_OVERSIGNED:
		res->oversigned_trace++;
		break;
	case FATE_FOREIGN:
		res->foreign_trust++;
		break;
	case FATE_FORGED:
		res->forged_own_header++;
		break;
	case FATE_BROKEN:
		res->broken++;
		break;
	case FATE_KEPT:
		break;
	}
}

void annotate_conflicts(const struct annotate_output *out, const struct headers *h,
			const uint8_t *drop, const struct annotate_signatures *sigs,
			struct annotate_conflicts *res)
{
	struct iovec iov = {out->block, out->block_len};
	struct mail_bytes content = {&iov, 1, out->block_len};
	const struct arc_results *arc = sigs->arc;
	struct headers ours;
	bool unread;

	*res = (struct annotate_conflicts){0};
	/* A block of ours that does not read as fields breaks all of them. */
	unread = headers_parse(&ours, &content) || (ours.flags & ~HEADERS_F_NO_END);
	for (size_t i = 0; sigs->dkim && i < sigs->dkim->n; i++) {
		const struct dkim_signature *s = &sigs->dkim->sig[i];

		if (s->result == DKIM_PASS)
			count(res, unread ? FATE_BROKEN : annotate_fate_of(&ours, h, drop, s));
	}
	for (size_t i = 0; arc && i < arc->n; i++) {
		const struct arc_set *s = &arc->set[i];

		if (s->message.result == DKIM_PASS)
			count(res,
			      unread ? FATE_BROKEN : annotate_fate_of(&ours, h, drop, &s->message));
		if (s->sealed.result == DKIM_PASS)
			count(res, unread ? FATE_BROKEN : annotate_fate_of_seal(h, drop, arc, i));
	}
	headers_free(&ours);
}
