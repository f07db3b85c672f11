/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Who vouches for a message whose author does not align any more. Only what is authenticated
 * counts: a signature or MAIL FROM of a configured forwarder, or a chain of configured sealers. A
 * field that anybody can write (List-Id, Precedence, X-...) never does.
 *
 * A chain is worth what its newest sealers are: from the top down while they are configured ones.
 * The oldest of these was the first trusted host to see the message, so that what it found is
 * evidence; what stands below it is hearsay. Its AAR was sealed by all that came later.
 */

#include <stdlib.h>

#include "control/auth/authres/authres_parse.h"
#include "control/auth/dmarc/names.h"
#include "control/auth/dmarc/psl.h"
#include "control/policy/internal.h"

bool policy_full_pass(const struct dkim_signature *s)
{
	return s->result == DKIM_PASS && !s->partial && !s->testing;
}

bool policy_same_org(const char *a, const char *b)
{
	return !strcmp(a, b) || !strcmp(dmarc_psl_org(a), dmarc_psl_org(b));
}

static bool listed(const struct config_domains *list, struct str domain)
{
	char a[MAIL_ALABEL];

	return list->n && mail_alabel(domain, a) && config_domain_listed(list, a);
}

/* ---- forwarders ----------------------------------------------------------------------------- */

static bool by_forwarder(const struct policy_input *in, char *comment, size_t cap)
{
	const struct config_domains *list = &in->config->trusted_forwarders;

	for (size_t i = 0; in->dkim && i < in->dkim->n; i++) {
		const struct dkim_signature *s = &in->dkim->sig[i];

		if (policy_full_pass(s) && listed(list, str_c(s->domain))) {
			policy_say(comment, cap, "dkim=pass header.d=%s", s->domain);
			return true;
		}
	}
	if (!in->spf || in->spf->result != SPF_PASS || in->spf->identity != SPF_ID_MAILFROM ||
	    !listed(list, str_c(in->spf->domain)))
		return false;
	policy_say(comment, cap, "spf=pass smtp.mailfrom=%s", in->spf->domain);
	return true;
}

/* ---- sealers -------------------------------------------------------------------------------- */

static bool signs_from(const struct dkim_signature *s)
{
	for (size_t i = 0; i < s->n_signed; i++)
		if (str_ieq(s->signed_names[i], STR("from")))
			return true;
	return false;
}

/* Microsoft asks for the same: d= of the seal and of the AMS are both the trusted one. */
static bool set_is_trusted(const struct config_domains *list, const struct arc_set *s)
{
	char seal[MAIL_ALABEL], message[MAIL_ALABEL];

	return s->sealed.result == DKIM_PASS && !s->sealed.testing &&
	       mail_alabel(str_c(s->sealed.domain), seal) &&
	       mail_alabel(str_c(s->message.domain), message) && !strcmp(seal, message) &&
	       config_domain_listed(list, seal);
}

/* The instance whose AAR counts; 0: none. */
size_t policy_first_trusted(const struct policy_input *in)
{
	const struct config_domains *list = &in->config->trusted_sealers;
	const struct arc_results *a = in->arc;
	size_t i;

	if (!list->n || !a || a->result != ARC_PASS || a->ended || !a->n)
		return 0;
	/* The message as it is must be the one that the newest sealer let go: the whole body, and
	 * the author that it is judged by. The older AMS may have broken since. */
	if (!policy_full_pass(&a->set[a->n - 1].message) || !signs_from(&a->set[a->n - 1].message))
		return 0;
	for (i = a->n; i > 0 && set_is_trusted(list, &a->set[i - 1]); i--)
		;
	return i < a->n ? i + 1 : 0;
}

/* By what is known without a question: the author's domain, its organizational domain, or one below
 * that the public suffix list puts there as well. */
static bool aligns(const struct dmarc_author *author, bool strict, struct str domain)
{
	const struct dmarc_evaluation *e = &author->walk;
	char a[MAIL_ALABEL];

	if (!domain.n || !mail_alabel(domain, a))
		return false;
	if (!strcmp(a, author->domain))
		return true;
	if (strict)
		return false;
	return (!e->org[0] || dmarc_below(a, e->org)) && policy_same_org(a, author->domain);
}

static bool result_is(const struct authres_resinfo *r, const char *method, const char *result)
{
	return r->version == 1 && str_ieq(r->method, str_c(method)) &&
	       str_ieq(r->result, str_c(result));
}

static struct str domain_of(struct str mailbox)
{
	struct str domain = mailbox_domain(mailbox);

	return domain.n ? domain : mailbox;
}

/* Was the author, as it stands in From now, authenticated where this was written? */
static bool vouches(const struct authres *a, const struct dmarc_author *author)
{
	const struct dmarc_record *record = &author->record;
	bool strict_dkim = author->walk.has_policy && record->adkim_strict;
	bool strict_spf = author->walk.has_policy && record->aspf_strict;
	bool found = false;

	for (size_t i = 0; i < a->n_results; i++) {
		const struct authres_resinfo *r = &a->results[i];

		if (result_is(r, "dmarc", "pass") || result_is(r, "dmarc", "fail")) {
			char from[MAIL_ALABEL];

			if (!mail_alabel(domain_of(authres_prop(a, r, "header", "from")), from) ||
			    strcmp(from, author->domain))
				continue;
			/* A field that says both says nothing. */
			if (result_is(r, "dmarc", "fail"))
				return false;
			found = true;
		} else if (result_is(r, "dkim", "pass")) {
			found |= aligns(author, strict_dkim, authres_prop(a, r, "header", "d"));
		} else if (result_is(r, "spf", "pass")) {
			found |= aligns(author, strict_spf,
					domain_of(authres_prop(a, r, "smtp", "mailfrom")));
		}
	}
	return found;
}

static bool vouches_for_all(const struct dmarc_verdict *d, struct str aar)
{
	struct authres *a = malloc(sizeof(*a));
	uint8_t *scratch = malloc(aar.n + 1);
	bool ok = a && scratch && !authres_parse(aar, AUTHRES_AS_FOUND, scratch, aar.n, a) &&
		  a->version == 1;

	for (size_t i = 0; ok && i < d->n; i++)
		ok = d->author[i].walk.result == DMARC_PASS || vouches(a, &d->author[i]);
	free(scratch);
	free(a);
	return ok;
}

/* In the form of RFC 8617 7.2.2, the newest first. */
static void name_sealers(const struct arc_results *a, char *comment, size_t cap)
{
	size_t n = 0;

	policy_say(comment, cap, "arc=pass");
	for (size_t i = a->n; i > 0; i--) {
		const struct arc_set *s = &a->set[i - 1];

		n = strlen(comment);
		if (n + strlen(s->sealed.domain) + strlen(s->sealed.selector) + 24 >= cap)
			return;
		policy_say(comment + n, cap - n, " as[%zu].d=%s as[%zu].s=%s", i, s->sealed.domain,
			   i, s->sealed.selector);
	}
}

static bool by_sealer(const struct policy_input *in, char *comment, size_t cap)
{
	const struct dmarc_verdict *d = in->dmarc;
	size_t first = policy_first_trusted(in);

	/* A From that cannot be read is nobody's whom a sealer could have found. */
	if (!first || !d || !d->n || d->from != FROM_OK ||
	    !vouches_for_all(d, in->arc->set[first - 1].results))
		return false;
	name_sealers(in->arc, comment, cap);
	return true;
}

enum policy_lift policy_lift(const struct policy_input *in, char *comment, size_t cap)
{
	comment[0] = '\0';
	if (by_forwarder(in, comment, cap))
		return POLICY_LIFT_FORWARDER;
	return by_sealer(in, comment, cap) ? POLICY_LIFT_SEALER : POLICY_LIFT_NONE;
}
