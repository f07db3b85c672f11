/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/explain.h"

struct finding *explain_add(struct explanation *e, const char *code, long field, const char *fmt,
			    ...)
{
	struct finding *f;
	va_list ap;

	if (e->n == EXPLAIN_FINDINGS)
		return NULL;
	f = &e->finding[e->n++];
	*f = (struct finding){.code = code, .field = field};
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	return f;
}

/* ---- output --------------------------------------------------------------------------------- */

static json_t *hops_json(const struct explanation *e)
{
	json_t *a = json_array();
	char ip[64];

	for (size_t i = 0; i < e->hops.n_hops; i++) {
		const struct walker_hop *h = &e->hops.hop[i];

		json_array_append_new(
			a, json_pack("{s:s?, s:s, s:s, s:s, s:i, s:b, s:b, s:s}", "ip",
				     h->has_ip ? ip_format(&h->ip, ip, sizeof(ip)) : NULL, "helo",
				     h->helo, "ptr", h->rdns, "by", h->by, "header", (int)h->field,
				     "taken", (long)i == e->border, "sender", (long)i == e->sender,
				     "note", h->note));
	}
	return a;
}

static void steps_json(json_t *list, const struct undo_part *part)
{
	for (size_t i = 0; i < part->n; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:o}", "what", part->step[i].what, "text",
						look_text(str_c(part->step[i].text))));
}

/* null: it was not tried. */
static json_t *undo_json(const struct undo *u)
{
	json_t *steps;

	if (!u)
		return json_null();
	steps = json_array();
	steps_json(steps, &u->header);
	steps_json(steps, &u->body);
	return json_pack("{s:b, s:b, s:b, s:o}", "header_whole", (int)u->header.whole, "body_whole",
			 (int)u->body.whole, "complete",
			 (int)((u->header.whole || u->header.n) && (u->body.whole || u->body.n)),
			 "steps", steps);
}

static json_t *explain_json(const struct explanation *e)
{
	const struct dkim_results *r = e->look.dkim;
	json_t *dkim = json_array(), *list = json_array();

	for (size_t i = 0; r && i < r->n; i++)
		json_array_append_new(dkim,
				      json_pack("{s:s, s:o, s:o, s:o, s:s, s:o}", "result",
						dkim_result_name(r->sig[i].result), "domain",
						look_text(str_c(r->sig[i].domain)), "selector",
						look_text(str_c(r->sig[i].selector)), "reason",
						look_text(str_c(r->sig[i].reason)), "broken_by",
						explain_dkim_kind(e, i), "undo",
						undo_json(explain_undo(e, i))));
	for (size_t i = 0; i < e->n; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:i, s:o, s:o}", "code", e->finding[i].code,
						"header", (int)e->finding[i].field, "text",
						look_text(str_c(e->finding[i].text)), "advice",
						look_text(str_c(e->finding[i].advice))));
	return json_pack("{s:s?, s:o, s:o, s:i, s:o, s:o}", "stamp", e->stamp, "path", hops_json(e),
			 "told", told_json(&e->told), "host",
			 e->host ? (int)(e->host - e->told.told) : -1, "dkim", dkim, "findings",
			 list);
}

/* Words of the text in lines of 96 columns, behind `head` and then behind as much space. */
static void print_wrapped(const char *head, const char *text)
{
	int indent = (int)strlen(head), column = printf("%s", head);

	while (*text) {
		int n = (int)strcspn(text, " ");

		if (column > indent && column + 1 + n > 96)
			column = printf("\n%*s", indent, "") - 1;
		else if (column > indent)
			column += printf(" ");
		column += printf("%.*s", n, text);
		text += n;
		text += strspn(text, " ");
	}
	puts("");
}

static void print_human(const struct explanation *e)
{
	const struct dkim_results *r = e->look.dkim;
	char ip[64], text[1024];

	for (size_t i = 0; i < e->hops.n_hops; i++) {
		const struct walker_hop *h = &e->hops.hop[i];

		printf("hop      %s  helo %s  by %s%s%s%s%s\n",
		       h->has_ip ? ip_format(&h->ip, ip, sizeof(ip)) : "-",
		       h->helo[0] ? h->helo : "-", h->by[0] ? h->by : "-", h->note[0] ? "  " : "",
		       h->note, (long)i == e->border ? "  <- taken by the mailbox" : "",
		       (long)i == e->sender ? "  <- sender" : "");
	}
	for (size_t i = 0; i < e->told.n; i++) {
		const struct told *t = &e->told.told[i];

		printf("told     %s  %s%s\n", t->by[0] ? t->by : t->name,
		       told_text(t, text, sizeof(text)),
		       t == e->host ? "  <- the mailbox host" : "");
	}
	for (size_t i = 0; r && i < r->n; i++) {
		const struct dkim_signature *s = &r->sig[i];
		const char *kind = explain_dkim_kind(e, i);

		printf("dkim     %s  d=%s s=%s  %s%s%s%s\n", dkim_result_name(s->result), s->domain,
		       s->selector, s->reason, kind[0] ? "  (" : "", kind, kind[0] ? ")" : "");
	}
	for (size_t i = 0; i < e->n; i++) {
		printf("\nfinding  %s\n", e->finding[i].code);
		print_wrapped("  what   ", e->finding[i].text);
		if (e->finding[i].advice[0])
			print_wrapped("  do     ", e->finding[i].advice);
	}
	if (!e->n)
		puts("nothing found");
}

int cmd_explain(const struct cli *cli, int argc, char **argv)
{
	struct explanation *e = calloc(1, sizeof(*e));
	int rc;

	if (!e)
		return CLI_USAGE;
	e->look.who = "explain";
	rc = look_open(&e->look, argc, argv);
	if (rc)
		goto out;
	explain_path(e);
	explain_dkim(e);
	explain_arc(e);
	if (cli->json) {
		json_t *o = explain_json(e);

		json_object_set_new(o, "schema", json_string("postern.explain.1"));
		print_json(o);
		json_decref(o);
	} else {
		print_human(e);
	}
	rc = e->n ? CLI_FINDING : CLI_OK;
out:
	look_close(&e->look);
	free(e);
	return rc;
}
