/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The JSON contract: origin{ip,helo,ptr,via,status,path[],corroboration[]},
 * spf{result,identity,domain},
 * dkim[{result,domain,selector,algorithm,reason}], arc{result,reason,oldest_pass,chain[]},
 * dmarc{result,policy,override{type,comment,lifted},...},
 * dnsbl[{name,zone,kind,result,answer,reason}], access{result,list,what,by,skips[]},
 * matches[{rule,view,score}], score, action, cause,
 * reason, headers[], signatures_broken, signatures_voided{}, reverified, findings[{code,name,text}],
 * not_evaluated[] of what was watched with octets missing.
 * Members may be added, none is taken away.
 */

#include <stdio.h>

#include "control/judge/judge_internal.h"

static void text(struct json_out *o, const char *name, const char *s)
{
	json_out_string(o, name, s);
}

static void hop_out(struct json_out *o, const struct origin_hop *h)
{
	char ip[64];

	json_out_open(o, NULL);
	text(o, "ip", ip_format(&h->ip, ip, sizeof(ip)));
	text(o, "helo", h->helo);
	text(o, "rdns", h->rdns);
	text(o, "by", h->by);
	text(o, "with", h->with);
	text(o, "id", h->id);
	text(o, "date", h->date);
	json_out_bool(o, "listed", h->relay != NULL);
	json_out_string_or_null(o, "relay", h->relay);
	json_out_int(o, "header", (int)h->field);
	text(o, "note", h->note);
	/* A HELO that cannot be shown as it is. */
	if (h->helo_raw[0])
		text(o, "helo_raw", h->helo_raw);
	json_out_close(o);
}

static void corroboration_out(struct json_out *o, const struct origin_corroboration *c)
{
	char ip[64];

	json_out_open(o, NULL);
	text(o, "header", c->header);
	text(o, "relay", c->relay);
	json_out_int(o, "field", (int)c->field);
	json_out_int(o, "copies", (int)c->copies);
	json_out_string_or_null(o, "ip", c->has_ip ? ip_format(&c->ip, ip, sizeof(ip)) : NULL);
	if (c->has_ip)
		json_out_bool(o, "agrees", c->agrees);
	else
		json_out_null(o, "agrees");
	json_out_close(o);
}

static void origin_out(struct json_out *o, const struct judgement *r)
{
	const struct origin *v = &r->origin;
	char ip[64];

	json_out_open(o, "origin");
	text(o, "ip", ip_format(&v->ip, ip, sizeof(ip)));
	text(o, "helo", v->helo);
	text(o, "ptr", r->origin_ptr.name);
	text(o, "via", v->via[0] ? v->via : "direct");
	text(o, "status", origin_status_name(v->status));
	text(o, "reason", v->reason);
	json_out_bool(o, "unproven", v->unproven);
	json_out_array(o, "path");
	for (size_t i = 0; i < v->n_hops; i++)
		hop_out(o, &v->hop[i]);
	json_out_end(o);
	json_out_array(o, "corroboration");
	for (size_t i = 0; i < v->n_corroboration; i++)
		corroboration_out(o, &v->corroboration[i]);
	json_out_end(o);
	if (v->chain != CHAIN_NONE) {
		json_out_open(o, "chain");
		text(o, "result", chain_status_name(v->chain));
		json_out_string_or_null(o, "key", v->chain_key[0] ? v->chain_key : NULL);
		json_out_close(o);
	}
	if (v->srs.kind != SRS_NONE) {
		json_out_open(o, "mail_from_original");
		text(o, "form", srs_kind_name(v->srs.kind));
		text(o, "address", v->srs.original);
		json_out_close(o);
	}
	json_out_close(o);
}

static void spf_out(struct json_out *o, const char *name, const struct spf_verdict *v)
{
	json_out_open(o, name);
	text(o, "result", spf_result_name(v->result));
	text(o, "identity", v->identity == SPF_ID_HELO ? "helo" : "mailfrom");
	text(o, "domain", v->domain);
	text(o, "mechanism", v->mechanism);
	text(o, "reason", v->reason);
	json_out_close(o);
}

static void dkim_out(struct json_out *o, const struct dkim_results *d)
{
	json_out_array(o, "dkim");
	for (size_t i = 0; d && i < d->n; i++) {
		const struct dkim_signature *s = &d->sig[i];

		json_out_open(o, NULL);
		text(o, "result", dkim_result_name(s->result));
		text(o, "domain", s->domain);
		text(o, "selector", s->selector);
		text(o, "algorithm", s->algorithm);
		text(o, "reason", s->reason);
		json_out_int(o, "key_bits", (int)s->key_bits);
		json_out_bool(o, "testing", s->testing);
		json_out_bool(o, "partial", s->partial);
		json_out_close(o);
	}
	json_out_end(o);
}

static void seal_out(struct json_out *o, const struct judge_seal *s)
{
	if (s->status != JUDGE_SEALED) {
		json_out_null(o, "sealed");
		return;
	}
	json_out_open(o, "sealed");
	text(o, "domain", s->domain);
	text(o, "selector", s->selector);
	json_out_int(o, "instance", (int)s->instance);
	text(o, "cv", arc_result_name(s->cv));
	json_out_close(o);
}

static void arc_out(struct json_out *o, const struct judgement *r)
{
	const struct arc_results *arc = r->arc;

	json_out_open(o, "arc");
	text(o, "result", arc_result_name(arc->result));
	text(o, "reason", arc->reason);
	json_out_array(o, "chain");
	for (size_t i = 0; i < arc->n; i++) {
		const struct dkim_signature *s = &arc->set[i].sealed;

		json_out_open(o, NULL);
		json_out_int(o, "instance", (int)i + 1);
		text(o, "domain", s->domain);
		text(o, "selector", s->selector);
		text(o, "result", dkim_result_name(s->result));
		json_out_close(o);
	}
	json_out_end(o);
	if (arc->result == ARC_PASS)
		json_out_int(o, "oldest_pass", arc->oldest_pass);
	seal_out(o, &r->seal);
	if (r->seal.reason)
		text(o, "unsealed", r->seal.reason);
	json_out_close(o);
}

static void evaluation_out(struct json_out *o, const char *name, const struct dmarc_evaluation *e)
{
	json_out_open(o, name);
	text(o, "result", dmarc_result_name(e->result));
	text(o, "disposition", dmarc_policy_name(e->disposition));
	json_out_string_or_null(o, "policy", e->has_policy ? dmarc_policy_name(e->policy) : NULL);
	json_out_string_or_null(o, "policy_tag", e->has_policy ? dmarc_tag_name(e->tag) : NULL);
	text(o, "policy_domain", e->policy_domain);
	text(o, "org", e->org);
	json_out_bool(o, "spf_aligned", e->spf_aligned);
	json_out_array(o, "dkim_aligned");
	for (int i = 0; i < 32; i++)
		if (e->dkim_aligned & 1u << i)
			json_out_int(o, NULL, i);
	json_out_end(o);
	text(o, "reason", e->reason);
	json_out_close(o);
}

static void published_out(struct json_out *o, const struct dmarc_record *p)
{
	char psd[2] = {p->psd, '\0'};

	json_out_open(o, "published");
	text(o, "p", dmarc_policy_name(p->p));
	text(o, "sp", dmarc_policy_name(p->sp));
	text(o, "np", dmarc_policy_name(p->np));
	json_out_bool(o, "testing", p->testing);
	text(o, "psd", psd);
	text(o, "adkim", p->adkim_strict ? "s" : "r");
	text(o, "aspf", p->aspf_strict ? "s" : "r");
	text(o, "rua", p->rua);
	text(o, "ruf", p->ruf);
	text(o, "fo", p->fo);
	json_out_close(o);
}

static void override_out(struct json_out *o, const struct policy_verdict *p)
{
	if (!p->override) {
		json_out_null(o, "override");
		return;
	}
	json_out_open(o, "override");
	text(o, "type", policy_override_name(p->override));
	text(o, "comment", p->comment);
	json_out_bool(o, "lifted", p->lifted);
	json_out_close(o);
}

/* What an aggregate report (RFC 9990) is made of, by author domain. */
static void authors_out(struct json_out *o, const struct dmarc_verdict *d)
{
	json_out_array(o, "authors");
	for (size_t i = 0; i < d->n; i++) {
		const struct dmarc_author *a = &d->author[i];

		json_out_open(o, NULL);
		text(o, "domain", a->domain);
		evaluation_out(o, "treewalk", &a->walk);
		evaluation_out(o, "psl", &a->psl);
		if (a->walk.has_policy)
			published_out(o, &a->record);
		else
			json_out_null(o, "published");
		json_out_close(o);
	}
	json_out_end(o);
}

static void dmarc_out(struct json_out *o, const struct judgement *r)
{
	const struct dmarc_verdict *d = &r->dmarc;
	const struct dmarc_author *decisive = d->decisive < d->n ? &d->author[d->decisive] : NULL;

	json_out_open(o, "dmarc");
	text(o, "result", r->dmarc_judged ? dmarc_result_name(d->result) : "none");
	text(o, "policy", decisive && decisive->walk.has_policy ? dmarc_policy_name(decisive->walk.policy) : "none");
	text(o, "disposition", dmarc_policy_name(d->disposition));
	json_out_string_or_null(o, "domain", decisive ? decisive->domain : NULL);
	text(o, "from", from_status_name(d->from));
	text(o, "reason", d->reason);
	json_out_bool(o, "psl_differs", d->psl_differs);
	authors_out(o, d);
	override_out(o, &r->policy);
	json_out_close(o);
}

static void dnsbl_out(struct json_out *o, const struct judgement *r)
{
	const struct dnsbl_list *list = r->policy_config->dnsbl;

	json_out_array(o, "dnsbl");
	for (size_t i = 0; i < r->n_dnsbls; i++) {
		const struct dnsbl_verdict *v = &r->dnsbl[i];
		char answer[16];

		json_out_open(o, NULL);
		text(o, "name", list[i].name);
		text(o, "zone", list[i].zone);
		text(o, "kind", list[i].allow ? "allow" : "block");
		text(o, "result", dnsbl_result_name(v->result));
		text(o, "reason", v->reason);
		snprintf(answer, sizeof(answer), "%u.%u.%u.%u", v->answer[0], v->answer[1], v->answer[2],
			 v->answer[3]);
		if (v->answer[0])
			text(o, "answer", answer);
		json_out_close(o);
	}
	json_out_end(o);
}

/* What the lists of policy say; null: nothing. */
static void access_out(struct json_out *o, const struct judgement *r)
{
	static const char *const word[] = {CONFIG_SKIP_WORDS};
	const struct policy_access *a = &r->policy.access;

	if (a->listed == POLICY_UNLISTED) {
		json_out_null(o, "access");
		return;
	}
	json_out_open(o, "access");
	text(o, "result", a->listed == POLICY_ALLOWED ? "allowed" : "denied");
	text(o, "list", a->list);
	text(o, "what", a->what);
	text(o, "by", a->by);
	json_out_array(o, "skips");
	for (unsigned int i = 0; a->listed == POLICY_ALLOWED && i < sizeof(word) / sizeof(word[0]); i++)
		if (r->policy_config->access.skips & 1u << i)
			text(o, NULL, word[i]);
	json_out_end(o);
	json_out_close(o);
}

/* Of a section list or attachment, and not of a rule file. */
static bool is_found(const struct judgement *r, const struct rule *rule)
{
	for (size_t i = 0; i < r->n_found; i++)
		if (rule == &r->found[i].rule)
			return true;
	return false;
}

static void matches_out(struct json_out *o, const struct judgement *r)
{
	json_out_array(o, "matches");
	for (size_t i = 0; i < r->n_hits; i++) {
		const struct rule_hit *h = &r->hit[i];
		bool found = is_found(r, h->rule);

		json_out_open(o, NULL);
		text(o, "rule", h->rule->name);
		text(o, "view", !found ? rule_kind_name(h->rule->kind) : h->rule->slot == VIEW_URI ? "uri" : "attachment");
		json_out_real(o, "score", h->score);
		text(o, "describe", h->rule->describe);
		if (found)
			json_out_text(o, "why", h->text);
		json_out_close(o);
	}
	json_out_end(o);
}

/* Our block, one string a field, unfolded as it stands but for the last CRLF. */
static void headers_out(struct json_out *o, const struct annotate_output *out)
{
	struct str rest = str_make(out->block, out->block_len);

	json_out_array(o, "headers");
	while (rest.n) {
		size_t end = 0;

		do {
			size_t nl = str_find(str_skip(rest, end), '\n');

			end += nl < rest.n - end ? nl + 1 : nl;
		} while (end < rest.n && ascii_is_wsp(rest.p[end]));
		json_out_text(o, NULL, str_trim(str_cut(rest, end)));
		rest = str_skip(rest, end);
	}
	json_out_end(o);
}

/* Of a dry run: what it spared the client. */
static void would_out(struct json_out *o, const struct policy_verdict *v)
{
	char reply[600];

	json_out_open(o, "would");
	text(o, "action", policy_action_name(v->would));
	if (v->would >= POLICY_DEFER) {
		snprintf(reply, sizeof(reply), "%u %u.%u.%u %s", v->code, v->enh_class, v->enh_subject,
			 v->enh_detail, v->text);
		text(o, "reply", reply);
	}
	json_out_close(o);
}

static void signatures_out(struct json_out *o, const struct judgement *r)
{
	json_out_int(o, "headers_removed", (int64_t)r->n_forged);
	json_out_int(o, "signatures_broken", r->conflicts.broken + r->reverify.broken);
	json_out_open(o, "signatures_voided");
	json_out_int(o, "oversigned_trace", (int)r->conflicts.oversigned_trace);
	json_out_int(o, "forged_own_header", (int)r->conflicts.forged_own_header);
	json_out_int(o, "foreign_trust", (int)r->conflicts.foreign_trust);
	json_out_close(o);
	judge_reverified(o, r);
}

void judge_record(const struct judge *j, struct json_out *o)
{
	const struct judgement *r = &j->result;

	origin_out(o, r);
	spf_out(o, "spf", &r->spf);
	spf_out(o, "spf_helo", &r->spf_helo);
	dkim_out(o, r->dkim);
	arc_out(o, r);
	dmarc_out(o, r);
	dnsbl_out(o, r);
	access_out(o, r);
	matches_out(o, r);
	json_out_real(o, "score", r->policy.score);
	text(o, "action", policy_action_name(r->policy.action));
	if (r->policy.would != r->policy.action)
		would_out(o, &r->policy);
	text(o, "cause", policy_cause_name(r->policy.cause));
	text(o, "reason", r->policy.reason);
	signatures_out(o, r);
	judge_findings(o, r);
	if (j->req.incomplete) {
		json_out_array(o, "not_evaluated");
		text(o, NULL, "dkim");
		text(o, NULL, "arc");
		text(o, NULL, "dmarc");
		json_out_end(o);
	}
	if (r->error)
		text(o, "error", r->error_text);
}

json_t *judge_json(const struct judge *j)
{
	struct json_out o = {0};
	json_t *v = NULL;

	json_out_open(&o, NULL);
	judge_record(j, &o);
	headers_out(&o, &j->result.out);
	json_out_close(&o);
	if (!o.failed)
		v = json_loadb(o.p, o.n, 0, NULL);
	json_out_free(&o);
	return v;
}
