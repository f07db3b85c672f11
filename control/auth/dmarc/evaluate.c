/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <stdio.h>

#include "control/auth/dmarc/internal.h"
#include "control/auth/dmarc/psl.h"

/* What discovery came to; the strings are parts of the author domain. */
struct found {
	const struct dmarc_record *record;
	const char *at;  /* where the record is */
	const char *org; /* NULL: not known just now */
	bool failed;     /* no record, for a temporary failure */
};

/* RFC 9989 4.10.1: the author domain's own record, else the organizational domain's, else that of
 * the public suffix above it. */
static enum dmarc_wait find_by_walk(struct dmarc_names *names, const char *author, struct found *f)
{
	struct dmarc_walk w;

	if (dmarc_walk(names, author, &w) == DMARC_WAITING)
		return DMARC_WAITING;
	*f = (struct found){.org = w.failed ? NULL : w.org, .failed = w.failed && !w.exact};
	if (w.exact) {
		f->record = w.exact;
		f->at = author;
	} else if (!w.failed && w.org_record) {
		f->record = w.org_record;
		f->at = w.org;
	} else if (!w.failed) {
		f->record = w.psd_record;
		f->at = w.psd;
	}
	return DMARC_READY;
}

/* RFC 7489 6.6.3: at the author domain; at the organizational domain if nothing is there. */
static enum dmarc_wait find_by_psl(struct dmarc_names *names, const char *author, struct found *f)
{
	const char *org = dmarc_psl_org(author), *const at[2] = {author, org};
	const struct dmarc_name *e;

	*f = (struct found){.org = org};
	for (size_t i = 0; i < (org == author ? 1u : 2u); i++) {
		if (dmarc_name_get(names, at[i], true, &e) == DMARC_WAITING)
			return DMARC_WAITING;
		f->failed = dmarc_name_failed(e);
		f->record = dmarc_name_record(e);
		f->at = at[i];
		if (f->failed || e->n_records)
			break;
	}
	return DMARC_READY;
}

/* Which of the published policies applies. */
static enum dmarc_wait choose_policy(struct dmarc_names *names, const char *author,
				     const struct found *f, struct dmarc_evaluation *out)
{
	const struct dmarc_record *r = f->record;
	const struct dmarc_name *e;
	bool missing;

	out->tag = DMARC_TAG_P;
	out->policy = r->p;
	if (f->at == author)
		return DMARC_READY;
	/* RFC 9989 4.7, np: NXDOMAIN of any type says that there is no such name (RFC 8020); TXT
	 * has been asked for by SPF, as a rule. A name that cannot be asked after may exist. */
	if (dmarc_name_get(names, author, false, &e) == DMARC_WAITING)
		return DMARC_WAITING;
	missing = e && e->status == DNS_NXDOMAIN;
	out->policy = missing ? r->np : r->sp;
	if (missing && r->has_np)
		out->tag = DMARC_TAG_NP;
	else if (r->has_sp)
		out->tag = DMARC_TAG_SP;
	return DMARC_READY;
}

enum alignment { APART, ALIGNED, UNKNOWN, WAITING };

/* RFC 9989 4.4: the same domain, or under relaxed alignment the same organizational domain. */
static enum alignment align(struct dmarc_names *names, const struct dmarc_id *id,
			    const char *author, const struct found *f, bool psl)
{
	bool strict = id->spf ? f->record->aspf_strict : f->record->adkim_strict;
	struct dmarc_walk w;

	if (!strcmp(id->domain, author))
		return ALIGNED;
	if (strict)
		return APART;
	if (psl)
		return strcmp(dmarc_psl_org(id->domain), f->org) ? APART : ALIGNED;
	/* Without the author's organizational domain the list says if they could be related. */
	if (!f->org)
		return strcmp(dmarc_psl_org(id->domain), dmarc_psl_org(author)) ? APART : UNKNOWN;
	/* An organizational domain is always above its domain: others need no walk. */
	if (!dmarc_below(id->domain, f->org))
		return APART;
	if (dmarc_walk(names, id->domain, &w) == DMARC_WAITING)
		return WAITING;
	if (w.failed)
		return UNKNOWN;
	return strcmp(w.org, f->org) ? APART : ALIGNED;
}

static enum dmarc_wait align_all(struct dmarc_names *names, const struct dmarc_ids *ids,
				 const char *author, const struct found *f, bool psl,
				 struct dmarc_evaluation *out)
{
	bool waiting = false, unknown = false;

	for (size_t i = 0; i < ids->n; i++) {
		const struct dmarc_id *id = &ids->id[i];
		enum alignment a = align(names, id, author, f, psl);

		waiting |= a == WAITING;
		unknown |= a == UNKNOWN || (a == ALIGNED && id->failed);
		if (a != ALIGNED || id->failed)
			continue;
		if (id->spf)
			out->spf_aligned = true;
		else
			out->dkim_aligned |= id->bit;
	}
	if (waiting)
		return DMARC_WAITING;
	if (out->spf_aligned || out->dkim_aligned)
		out->result = DMARC_PASS;
	else
		out->result = unknown ? DMARC_TEMPERROR : DMARC_FAIL;
	return DMARC_READY;
}

static void ask_for(struct dmarc_evaluation *out, const struct dmarc_record *r)
{
	if (out->result == DMARC_TEMPERROR)
		snprintf(out->reason, sizeof(out->reason),
			 "an aligned identifier could not be checked just now");
	if (out->result != DMARC_FAIL)
		return;
	snprintf(out->reason, sizeof(out->reason), "no aligned SPF or DKIM pass");
	out->disposition = out->policy;
	/* RFC 9989 4.7: t=y asks for one level less. */
	if (r->testing && out->disposition != DMARC_POLICY_NONE)
		out->disposition--;
}

enum dmarc_wait dmarc_evaluate(struct dmarc_names *names, const struct dmarc_ids *ids,
			       const char *author, bool psl, struct dmarc_evaluation *out,
			       struct dmarc_record *record)
{
	struct found f;
	enum dmarc_wait w = psl ? find_by_psl(names, author, &f) : find_by_walk(names, author, &f);

	*out = (struct dmarc_evaluation){.result = DMARC_NONE};
	if (w == DMARC_WAITING)
		return w;
	if (f.org)
		snprintf(out->org, sizeof(out->org), "%s", f.org);
	if (f.failed) {
		out->result = DMARC_TEMPERROR;
		snprintf(out->reason, sizeof(out->reason),
			 "DNS failure while looking for a policy");
		return DMARC_READY;
	}
	if (!f.record || !f.record->has_p) {
		snprintf(out->reason, sizeof(out->reason), "%s",
			 f.record ? "policy record without a valid p= or rua="
				  : "no policy record");
		return DMARC_READY;
	}
	out->has_policy = true;
	snprintf(out->policy_domain, sizeof(out->policy_domain), "%s", f.at);
	*record = *f.record;
	w = choose_policy(names, author, &f, out);
	/* Both, so that their questions go out together. */
	if (align_all(names, ids, author, &f, psl, out) == DMARC_WAITING || w == DMARC_WAITING)
		return DMARC_WAITING;
	ask_for(out, f.record);
	return DMARC_READY;
}
