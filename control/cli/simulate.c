/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `posternctl simulate`: whom the other side would take for the sender, with its setting and
 * without, and what SPF and DMARC say then. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/message.h"

/* One side of the comparison. */
struct side {
	struct walker_view view;
	struct spf_verdict spf;
	struct dmarc_verdict dmarc;
	bool judged; /* there was an address to judge */
};

struct simulation {
	struct look look;
	enum walker_kind kind;
	struct side with, without;
};

static void run_side(struct simulation *s, bool on, struct side *side)
{
	struct look *l = &s->look;
	struct walker_setting set = {.kind = s->kind,
				     .on = on,
				     .listed = l->range,
				     .n_listed = l->n_ranges,
				     .keep_private = l->no_detect,
				     .skip_last = s->kind == WALKER_EXCHANGE &&
						  l->n_ranges == l->n_gateways};

	walker_run(&set, &l->start, &l->headers, &side->view);
	if (!side->view.n_hops)
		return;
	side->spf = *look_spf(l, &side->view.ip, side->view.helo);
	side->dmarc = *look_dmarc(l, &side->spf);
	side->judged = true;
}

/* Of the author domain that decided; NULL: there is none. */
static const struct dmarc_author *author(const struct side *side)
{
	const struct dmarc_verdict *d = &side->dmarc;

	return side->judged && d->decisive < d->n ? &d->author[d->decisive] : NULL;
}

/* The policy's name; "none" also where there is no policy. */
static const char *policy(const struct side *side)
{
	const struct dmarc_author *a = author(side);

	return dmarc_policy_name(a && a->walk.has_policy ? a->walk.policy : DMARC_POLICY_NONE);
}

static const char *dmarc_name(const struct side *side)
{
	return dmarc_result_name(side->judged ? side->dmarc.result : DMARC_NONE);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static json_t *hops_json(const struct walker_view *v)
{
	json_t *a = json_array();
	char ip[64];

	for (size_t i = 0; i < v->n_hops; i++) {
		const struct walker_hop *h = &v->hop[i];

		json_array_append_new(
			a, json_pack("{s:s?, s:s, s:s, s:s, s:i, s:s}", "ip",
				     h->has_ip ? ip_format(&h->ip, ip, sizeof(ip)) : NULL, "helo",
				     h->helo, "ptr", h->rdns, "by", h->by, "header", (int)h->field,
				     "note", h->note));
	}
	return a;
}

static json_t *dkim_json(const struct dkim_results *r)
{
	json_t *a = json_array();

	for (size_t i = 0; r && i < r->n; i++)
		json_array_append_new(a, json_pack("{s:s, s:o, s:o, s:o}", "result",
						   dkim_result_name(r->sig[i].result), "domain",
						   look_text(str_c(r->sig[i].domain)), "selector",
						   look_text(str_c(r->sig[i].selector)), "reason",
						   look_text(str_c(r->sig[i].reason))));
	return a;
}

static json_t *dmarc_json(const struct side *side)
{
	const struct dmarc_author *a = author(side);
	const struct dmarc_verdict *d = &side->dmarc;
	json_t *dkim = json_array();

	for (int i = 0; a && i < 32; i++)
		if (a->walk.dkim_aligned & 1u << i)
			json_array_append_new(dkim, json_integer(i));
	return json_pack("{s:s, s:s, s:s, s:s?, s:b, s:o, s:o}", "result", dmarc_name(side),
			 "policy", policy(side), "disposition",
			 dmarc_policy_name(side->judged ? d->disposition : DMARC_POLICY_NONE),
			 "domain", a ? a->domain : NULL, "spf_aligned",
			 (int)(a && a->walk.spf_aligned), "dkim_aligned", dkim, "reason",
			 look_text(str_c(side->judged ? d->reason : "")));
}

static json_t *side_json(const struct side *side)
{
	const struct walker_view *v = &side->view;
	char ip[64];

	return json_pack(
		"{s:b, s:s?, s:s, s:i, s:{s:s, s:o, s:o}, s:o, s:o}", "found", v->found, "ip",
		v->n_hops ? ip_format(&v->ip, ip, sizeof(ip)) : NULL, "helo", v->helo, "header",
		(int)v->field, "spf", "result", spf_result_name(side->spf.result), "domain",
		look_text(str_c(side->spf.domain)), "reason", look_text(str_c(side->spf.reason)),
		"dmarc", dmarc_json(side), "path", hops_json(v));
}

static json_t *simulation_json(struct simulation *s)
{
	struct look *l = &s->look;

	return json_pack("{s:s, s:o, s:o, s:o, s:o}", "side", walker_kind_name(s->kind),
			 "mail_from", l->path_source ? look_text(l->reverse_path) : json_null(),
			 "dkim", dkim_json(look_dkim(l)), "with", side_json(&s->with), "without",
			 side_json(&s->without));
}

/* ---- for people ----------------------------------------------------------------------------- */

static void print_short(const char *head, const struct side *side)
{
	const struct dmarc_author *a = author(side);
	char ip[64];

	if (!side->view.n_hops) {
		printf("%s nobody: no Received field and no --gateway\n", head);
		return;
	}
	printf("%s %s: spf %s, dmarc %s", head, ip_format(&side->view.ip, ip, sizeof(ip)),
	       spf_result_name(side->spf.result), dmarc_name(side));
	if (a && a->walk.has_policy)
		printf(" (%s, %s=%s)", a->domain, dmarc_tag_name(a->walk.tag), policy(side));
	puts("");
}

static void print_summary(const struct simulation *s)
{
	const struct walker_view *a = &s->with.view, *b = &s->without.view;
	const char *name = walker_kind_name(s->kind);
	char head[80];

	snprintf(head, sizeof(head), "with its setting %s takes", name);
	print_short(head, &s->with);
	print_short("without it", &s->without);
	if (a->n_hops && !a->found)
		puts("note     every hop was skipped, so who connected stands: the list covers the "
		     "sender too, or the sender's line is missing");
	else if (a->n_hops && b->n_hops && !memcmp(&a->ip, &b->ip, sizeof(a->ip)))
		puts("note     the setting makes no difference for this message");
	if (s->kind == WALKER_GMAIL && s->with.judged && s->with.dmarc.result == DMARC_FAIL)
		puts("note     Gmail is not known to enforce DMARC behind an inbound gateway: the "
		     "gateway has to");
	if (s->kind == WALKER_LAST_PUBLIC && a->found)
		puts("note     any sender can write the lines that this reader believes");
	if (!s->look.path_source)
		puts("note     no Return-Path and no --mail-from: SPF is that of HELO");
}

static void print_message(struct simulation *s)
{
	const struct dkim_results *r = look_dkim(&s->look);
	const struct look *l = &s->look;
	char text[320];

	if (l->path_source)
		printf("\nsender   <%s>  (%s)\n", look_clean(l->reverse_path, text, sizeof(text)),
		       l->path_source);
	else
		puts("\nsender   not known");
	for (size_t i = 0; r && i < r->n; i++)
		printf("dkim     %s  d=%s s=%s  %s\n", dkim_result_name(r->sig[i].result),
		       r->sig[i].domain, r->sig[i].selector, r->sig[i].reason);
}

static void print_dmarc(const struct side *side)
{
	const struct dmarc_author *a = author(side);

	printf("  dmarc  %s", dmarc_name(side));
	if (a)
		printf("  %s", a->domain);
	if (a && a->walk.spf_aligned)
		printf("  spf is aligned");
	if (a && a->walk.dkim_aligned)
		printf("  dkim is aligned");
	printf("%s%s\n", side->dmarc.reason[0] ? "  " : "", side->dmarc.reason);
}

static void print_side(const char *name, const struct side *side)
{
	const struct walker_view *v = &side->view;
	char ip[64], where[24];

	if (!v->n_hops)
		return;
	printf("\n%-8s %s  helo %s\n", name, ip_format(&v->ip, ip, sizeof(ip)),
	       v->helo[0] ? v->helo : "-");
	for (size_t i = 0; i < v->n_hops; i++) {
		const struct walker_hop *h = &v->hop[i];

		snprintf(where, sizeof(where), "field %ld", h->field);
		printf("  %-9s %s  helo %s  by %s  %s\n", h->field < 0 ? "connects" : where,
		       h->has_ip ? ip_format(&h->ip, ip, sizeof(ip)) : "-",
		       h->helo[0] ? h->helo : "-", h->by[0] ? h->by : "-", h->note);
	}
	printf("  spf    %s  %s  %s%s\n", spf_result_name(side->spf.result), side->spf.domain,
	       side->spf.mechanism, side->spf.reason);
	print_dmarc(side);
}

int cmd_simulate(const struct cli *cli, int argc, char **argv)
{
	struct simulation *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return CLI_USAGE;
	s->look.who = "simulate";
	s->look.has_word = true;
	rc = look_open(&s->look, argc, argv);
	if (!rc && !walker_kind_parse(str_c(s->look.word), &s->kind)) {
		fputs("posternctl simulate: exchange, gmail, spamassassin, rspamd, first-received "
		      "or last-public\n",
		      stderr);
		rc = CLI_USAGE;
	}
	if (rc)
		goto out;
	run_side(s, true, &s->with);
	run_side(s, false, &s->without);
	if (cli->json) {
		json_t *o = simulation_json(s);

		json_object_set_new(o, "schema", json_string("postern.simulate.1"));
		print_json(o);
		json_decref(o);
	} else {
		print_summary(s);
		print_message(s);
		print_side("with", &s->with);
		print_side("without", &s->without);
	}
	rc = s->with.view.found ? CLI_OK : CLI_FINDING;
out:
	look_close(&s->look);
	free(s);
	return rc;
}
