/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `posternctl simulate`: whom the other side would take for the sender, with its setting and
 * without. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/message.h"

/* One side of the comparison. */
struct side {
	struct walker_view view;
	struct spf_verdict spf;
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
	if (side->view.n_hops)
		side->spf = *look_spf(l, &side->view.ip, side->view.helo);
}

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

/* DMARC is not judged for the other side yet and says "none". */
static json_t *side_json(const struct side *side)
{
	const struct walker_view *v = &side->view;
	char ip[64];

	return json_pack("{s:b, s:s?, s:s, s:i, s:{s:s, s:o, s:s}, s:{s:s, s:s}, s:o}", "found",
			 v->found, "ip", v->n_hops ? ip_format(&v->ip, ip, sizeof(ip)) : NULL,
			 "helo", v->helo, "header", (int)v->field, "spf", "result",
			 spf_result_name(side->spf.result), "domain",
			 look_text(str_c(side->spf.domain)), "reason", side->spf.reason, "dmarc",
			 "result", "none", "policy", "none", "path", hops_json(v));
}

static void print_side(const char *name, const struct side *side)
{
	const struct walker_view *v = &side->view;
	char ip[64];

	if (!v->n_hops) {
		printf("%-8s no Received field and no --gateway: nothing to go by\n", name);
		return;
	}
	printf("%-8s %s  helo %s%s\n", name, ip_format(&v->ip, ip, sizeof(ip)),
	       v->helo[0] ? v->helo : "-",
	       v->found ? "" : "  (every hop was skipped: who connected stands)");
	for (size_t i = 0; i < v->n_hops; i++) {
		const struct walker_hop *h = &v->hop[i];

		printf("  %-6ld %s  helo %s  by %s  %s\n", h->field,
		       h->has_ip ? ip_format(&h->ip, ip, sizeof(ip)) : "-",
		       h->helo[0] ? h->helo : "-", h->by[0] ? h->by : "-", h->note);
	}
	printf("  spf    %s  %s  %s\n", spf_result_name(side->spf.result), side->spf.domain,
	       side->spf.reason);
}

int cmd_simulate(const struct cli *cli, int argc, char **argv)
{
	struct simulation *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return CLI_USAGE;
	s->look.who = "simulate";
	if (argc < 2 || !walker_kind_parse(str_c(argv[1]), &s->kind)) {
		fputs("posternctl simulate: exchange, gmail, spamassassin, rspamd, first-received "
		      "or "
		      "last-public\n",
		      stderr);
		free(s);
		return CLI_USAGE;
	}
	rc = look_open(&s->look, argc - 1, argv + 1);
	if (rc)
		goto out;
	run_side(s, true, &s->with);
	run_side(s, false, &s->without);
	if (cli->json) {
		json_t *o = json_pack("{s:s, s:o, s:o}", "side", walker_kind_name(s->kind), "with",
				      side_json(&s->with), "without", side_json(&s->without));

		print_json(o);
		json_decref(o);
	} else {
		print_side("with", &s->with);
		print_side("without", &s->without);
	}
	rc = s->with.view.found ? CLI_OK : CLI_FINDING;
out:
	look_close(&s->look);
	free(s);
	return rc;
}
