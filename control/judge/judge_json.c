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

#include "control/judge/judge_internal.h"

/* Bytes from outside are not always UTF-8; JSON strings are. What is not becomes '?'. */
static json_t *text(struct str s)
{
	/* A NUL in a string is JSON that most readers refuse. */
	json_t *v = s.n && memchr(s.p, '\0', s.n) ? NULL : json_stringn((const char *)s.p, s.n);
	char *copy;

	if (v || !s.n)
		return v ? v : json_string("");
	copy = malloc(s.n);
	if (!copy)
		return json_string("");
	for (size_t i = 0; i < s.n; i++)
		copy[i] = ascii_is_vchar(s.p[i]) || s.p[i] == ' ' ? (char)s.p[i] : '?';
	v = json_stringn(copy, s.n);
	free(copy);
	return v ? v : json_string("");
}

static json_t *ctext(const char *s)
{
	return text(str_c(s));
}

static json_t *hop_json(const struct origin_hop *h)
{
	char ip[64];
	json_t *o = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:i, s:o}", "ip",
		ip_format(&h->ip, ip, sizeof(ip)), "helo", ctext(h->helo), "rdns", ctext(h->rdns), "by",
		ctext(h->by), "with", ctext(h->with), "id", ctext(h->id), "date", ctext(h->date),
		"listed", h->relay != NULL, "relay", h->relay ? ctext(h->relay) : json_null(), "header",
		(int)h->field, "note", ctext(h->note));

	/* A HELO that cannot be shown as it is. */
	if (h->helo_raw[0])
		json_object_set_new(o, "helo_raw", ctext(h->helo_raw));
	return o;
}

static json_t *corroboration_json(const struct origin *o)
{
	json_t *a = json_array();
	char ip[64];

	for (size_t i = 0; i < o->n_corroboration; i++) {
		const struct origin_corroboration *c = &o->corroboration[i];

		json_array_append_new(a, json_pack("{s:s, s:s, s:i, s:i, s:s?, s:o}", "header", c->header,
			"relay", c->relay, "field", (int)c->field, "copies", (int)c->copies, "ip",
			c->has_ip ? ip_format(&c->ip, ip, sizeof(ip)) : NULL, "agrees",
			c->has_ip ? json_boolean(c->agrees) : json_null()));
	}
	return a;
}

static json_t *origin_json(const struct judgement *r)
{
	const struct origin *o = &r->origin;
	json_t *path = json_array(), *v;
	char ip[64];

	for (size_t i = 0; i < o->n_hops; i++)
		json_array_append_new(path, hop_json(&o->hop[i]));
	v = json_pack("{s:s, s:o, s:s, s:o, s:s, s:o, s:b, s:o, s:o}", "ip",
		      ip_format(&o->ip, ip, sizeof(ip)), "helo", ctext(o->helo), "ptr",
		      r->origin_ptr.name, "via", o->via[0] ? ctext(o->via) : json_string("direct"),
		      "status", origin_status_name(o->status), "reason", ctext(o->reason), "unproven",
		      (int)o->unproven, "path", path, "corroboration", corroboration_json(o));
	if (o->chain != CHAIN_NONE)
		json_object_set_new(v, "chain", json_pack("{s:s, s:s?}", "result",
			chain_status_name(o->chain), "key", o->chain_key[0] ? o->chain_key : NULL));
	if (o->srs.kind != SRS_NONE)
		json_object_set_new(v, "mail_from_original", json_pack("{s:s, s:o}", "form",
			srs_kind_name(o->srs.kind), "address", ctext(o->srs.original)));
	return v;
}

static json_t *spf_json(const struct spf_verdict *v)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:o}", "result", spf_result_name(v->result), "identity",
			 v->identity == SPF_ID_HELO ? "helo" : "mailfrom", "domain", ctext(v->domain),
			 "mechanism", ctext(v->mechanism), "reason", ctext(v->reason));
}

static json_t *dkim_json(const struct dkim_results *d)
{
	json_t *a = json_array();

	for (size_t i = 0; d && i < d->n; i++) {
		const struct dkim_signature *s = &d->sig[i];

		json_array_append_new(a, json_pack("{s:s, s:o, s:o, s:o, s:o, s:i, s:b, s:b}", "result",
			dkim_result_name(s->result), "domain", ctext(s->domain), "selector",
			ctext(s->selector), "algorithm", ctext(s->algorithm), "reason",
			ctext(s->reason), "key_bits", (int)s->key_bits, "testing", (int)s->testing,
			"partial", (int)s->partial));
	}
	return a;
}

static json_t *seal_json(const struct judge_seal *s)
{
	if (s->status != JUDGE_SEALED)
		return json_null();
	return json_pack("{s:s, s:s, s:i, s:s}", "domain", s->domain, "selector", s->selector,
			 "instance", (int)s->instance, "cv", arc_result_name(s->cv));
}

static json_t *arc_json(const struct judgement *r)
{
	const struct arc_results *arc = r->arc;
	json_t *o = json_pack("{s:s, s:o}", "result", arc_result_name(arc->result), "reason",
			      ctext(arc->reason)), *chain = json_array();

	for (size_t i = 0; i < arc->n; i++) {
		const struct dkim_signature *s = &arc->set[i].sealed;

		json_array_append_new(chain, json_pack("{s:i, s:o, s:o, s:s}", "instance", (int)i + 1,
			"domain", ctext(s->domain), "selector", ctext(s->selector), "result",
			dkim_result_name(s->result)));
	}
	json_object_set_new(o, "chain", chain);
	if (arc->result == ARC_PASS)
		json_object_set_new(o, "oldest_pass", json_integer(arc->oldest_pass));
	json_object_set_new(o, "sealed", seal_json(&r->seal));
	if (r->seal.reason)
		json_object_set_new(o, "unsealed", json_string(r->seal.reason));
	return o;
}

static json_t *evaluation_json(const struct dmarc_evaluation *e)
{
	json_t *a = json_array();

	for (int i = 0; i < 32; i++)
		if (e->dkim_aligned & 1u << i)
			json_array_append_new(a, json_integer(i));
	/* s?: NULL is null */
	return json_pack("{s:s, s:s, s:s?, s:s?, s:o, s:o, s:b, s:o, s:o}",
			 "result", dmarc_result_name(e->result),
			 "disposition", dmarc_policy_name(e->disposition),
			 "policy", e->has_policy ? dmarc_policy_name(e->policy) : NULL,
			 "policy_tag", e->has_policy ? dmarc_tag_name(e->tag) : NULL,
			 "policy_domain", ctext(e->policy_domain), "org", ctext(e->org),
			 "spf_aligned", (int)e->spf_aligned, "dkim_aligned", a,
			 "reason", ctext(e->reason));
}

static json_t *published_json(const struct dmarc_record *p)
{
	char psd[2] = {p->psd, '\0'};

	return json_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:o, s:o, s:o}", "p",
			 dmarc_policy_name(p->p), "sp", dmarc_policy_name(p->sp), "np",
			 dmarc_policy_name(p->np), "testing", (int)p->testing, "psd", psd, "adkim",
			 p->adkim_strict ? "s" : "r", "aspf", p->aspf_strict ? "s" : "r", "rua",
			 ctext(p->rua), "ruf", ctext(p->ruf), "fo", ctext(p->fo));
}

static json_t *override_json(const struct policy_verdict *p)
{
	if (!p->override)
		return json_null();
	return json_pack("{s:s, s:o, s:b}", "type", policy_override_name(p->override), "comment",
			 ctext(p->comment), "lifted", (int)p->lifted);
}

/* What an aggregate report (RFC 9990) is made of, by author domain. */
static json_t *dmarc_json(const struct judgement *r)
{
	const struct dmarc_verdict *d = &r->dmarc;
	json_t *authors = json_array();
	const char *policy = "none";

	for (size_t i = 0; i < d->n; i++) {
		const struct dmarc_author *a = &d->author[i];

		if (i == d->decisive && a->walk.has_policy)
			policy = dmarc_policy_name(a->walk.policy);
		json_array_append_new(authors, json_pack("{s:o, s:o, s:o, s:o}", "domain",
			ctext(a->domain), "treewalk", evaluation_json(&a->walk), "psl",
			evaluation_json(&a->psl), "published", a->walk.has_policy ?
			published_json(&a->record) : json_null()));
	}
	return json_pack("{s:s, s:s, s:s, s:s?, s:s, s:o, s:b, s:o, s:o}",
			 "result", r->dmarc_judged ? dmarc_result_name(d->result) : "none",
			 "policy", policy, "disposition", dmarc_policy_name(d->disposition),
			 "domain", d->decisive < d->n ? d->author[d->decisive].domain : NULL,
			 "from", from_status_name(d->from), "reason", ctext(d->reason),
			 "psl_differs", (int)d->psl_differs, "authors", authors, "override",
			 override_json(&r->policy));
}

static json_t *dnsbl_json(const struct judgement *r)
{
	const struct dnsbl_list *list = r->policy_config->dnsbl;
	json_t *a = json_array();

	for (size_t i = 0; i < r->n_dnsbls; i++) {
		const struct dnsbl_verdict *v = &r->dnsbl[i];
		json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:o}", "name", list[i].name, "zone",
				      list[i].zone, "kind", list[i].allow ? "allow" : "block",
				      "result", dnsbl_result_name(v->result), "reason",
				      ctext(v->reason));

		if (v->answer[0])
			json_object_set_new(o, "answer", json_sprintf("%u.%u.%u.%u", v->answer[0],
				v->answer[1], v->answer[2], v->answer[3]));
		json_array_append_new(a, o);
	}
	return a;
}

/* What the lists of policy say; null: nothing. */
static json_t *access_json(const struct judgement *r)
{
	static const char *const word[] = {CONFIG_SKIP_WORDS};
	const struct policy_access *a = &r->policy.access;
	json_t *skips = json_array();

	if (a->listed == POLICY_UNLISTED) {
		json_decref(skips);
		return json_null();
	}
	for (unsigned int i = 0; a->listed == POLICY_ALLOWED && i < sizeof(word) / sizeof(word[0]); i++)
		if (r->policy_config->access.skips & 1u << i)
			json_array_append_new(skips, json_string(word[i]));
	return json_pack("{s:s, s:s, s:o, s:s, s:o}", "result",
			 a->listed == POLICY_ALLOWED ? "allowed" : "denied", "list", a->list, "what",
			 ctext(a->what), "by", a->by, "skips", skips);
}

/* Of a section list or attachment, and not of a rule file. */
static bool is_found(const struct judgement *r, const struct rule *rule)
{
	for (size_t i = 0; i < r->n_found; i++)
		if (rule == &r->found[i].rule)
			return true;
	return false;
}

static json_t *matches_json(const struct judgement *r)
{
	json_t *a = json_array();

	for (size_t i = 0; i < r->n_hits; i++) {
		const struct rule_hit *h = &r->hit[i];
		json_t *o = json_pack("{s:o, s:s, s:f, s:o}", "rule", ctext(h->rule->name), "view",
				      is_found(r, h->rule) ? h->rule->slot == VIEW_URI ? "uri" : "attachment"
							   : rule_kind_name(h->rule->kind),
				      "score", h->score, "describe", ctext(h->rule->describe));

		if (is_found(r, h->rule))
			json_object_set_new(o, "why", text(h->text));
		json_array_append_new(a, o);
	}
	return a;
}

/* Our block, one string a field, unfolded as it stands but for the last CRLF. */
static json_t *headers_json(const struct annotate_output *out)
{
	struct str rest = str_make(out->block, out->block_len);
	json_t *a = json_array();

	while (rest.n) {
		size_t end = 0;

		do {
			size_t nl = str_find(str_skip(rest, end), '\n');

			end += nl < rest.n - end ? nl + 1 : nl;
		} while (end < rest.n && ascii_is_wsp(rest.p[end]));
		json_array_append_new(a, text(str_trim(str_cut(rest, end))));
		rest = str_skip(rest, end);
	}
	return a;
}

/* Of a dry run: what it spared the client. */
static json_t *would_json(const struct policy_verdict *v)
{
	json_t *o = json_pack("{s:s}", "action", policy_action_name(v->would));

	if (v->would >= POLICY_DEFER)
		json_object_set_new(o, "reply", json_sprintf("%u %u.%u.%u %s", v->code, v->enh_class,
							      v->enh_subject, v->enh_detail, v->text));
	return o;
}

json_t *judge_json(const struct judge *j)
{
	const struct judgement *r = &j->result;
	json_t *o = json_object();

	json_object_set_new(o, "origin", origin_json(r));
	json_object_set_new(o, "spf", spf_json(&r->spf));
	json_object_set_new(o, "spf_helo", spf_json(&r->spf_helo));
	json_object_set_new(o, "dkim", dkim_json(r->dkim));
	json_object_set_new(o, "arc", arc_json(r));
	json_object_set_new(o, "dmarc", dmarc_json(r));
	json_object_set_new(o, "dnsbl", dnsbl_json(r));
	json_object_set_new(o, "access", access_json(r));
	json_object_set_new(o, "matches", matches_json(r));
	json_object_set_new(o, "score", json_real(r->policy.score));
	json_object_set_new(o, "action", json_string(policy_action_name(r->policy.action)));
	if (r->policy.would != r->policy.action)
		json_object_set_new(o, "would", would_json(&r->policy));
	json_object_set_new(o, "cause", json_string(policy_cause_name(r->policy.cause)));
	json_object_set_new(o, "reason", ctext(r->policy.reason));
	json_object_set_new(o, "headers", headers_json(&r->out));
	json_object_set_new(o, "headers_removed", json_integer((json_int_t)r->n_forged));
	json_object_set_new(o, "signatures_broken",
			    json_integer(r->conflicts.broken + r->reverify.broken));
	json_object_set_new(o, "signatures_voided", json_pack("{s:i, s:i, s:i}", "oversigned_trace",
		(int)r->conflicts.oversigned_trace, "forged_own_header",
		(int)r->conflicts.forged_own_header, "foreign_trust", (int)r->conflicts.foreign_trust));
	json_object_set_new(o, "reverified", judge_reverified(r));
	json_object_set_new(o, "findings", judge_findings(r));
	if (j->req.incomplete)
		json_object_set_new(o, "not_evaluated",
				    json_pack("[s, s, s]", "dkim", "arc", "dmarc"));
	if (r->error)
		json_object_set_new(o, "error", ctext(r->error_text));
	return o;
}
