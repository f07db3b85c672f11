/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `explain TRACE-ID`: everything that is known of one message, in the order in which it happened. */

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "control/cli/trace.h"

bool trace_is_id(const char *text)
{
	/* Crockford's base 32, as the dataplane and refused.c make them. */
	return strlen(text) == 16 && strspn(text, "0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz") == 16;
}

static const char *s(const json_t *o, const char *member)
{
	return show_text(o, member);
}

static double f(const json_t *o, const char *member)
{
	return json_number_value(json_object_get(o, member));
}

/* A line "word     text", if there is a text. */
static void line(const char *word, const json_t *o, const char *member)
{
	if (*s(o, member))
		printf("%-10s %s\n", word, s(o, member));
}

static void came(const json_t *r)
{
	const json_t *tls = json_object_get(r, "tls"), *via = json_object_get(r, "via");

	printf("came       %s from %s, HELO %s", s(r, "time"), s(r, "peer"), *s(r, "helo") ? s(r, "helo") : "none");
	if (via)
		printf(", named by %s (%s)", s(via, "address"), s(via, "how"));
	if (*s(r, "local"))
		printf(", to %s", s(r, "local"));
	printf(tls ? ", %s %s\n" : ", in clear text\n", s(tls, "version"), s(tls, "cipher"));
	printf("message    from <%s>, %.0f octets, Message-ID %s\n", s(r, "mail_from"), f(r, "size"),
	       *s(r, "message_id") ? s(r, "message_id") : "none");
	line("subject", r, "subject");
}

static void origin(const json_t *r, const json_t *judged)
{
	const json_t *o = json_object_get(judged, "origin"), *h, *c;
	size_t i;

	if (!*s(r, "origin"))
		return;
	printf("sender     %s%s%s%s%s\n", s(r, "origin"), *s(o, "status") ? ", " : "", s(o, "status"),
	       *s(o, "reason") ? ": " : "", s(o, "reason"));
	json_array_foreach(json_object_get(o, "path"), i, h)
		printf("  hop %-4zu %s, HELO %s%s%s\n", i, s(h, "ip"), *s(h, "helo") ? s(h, "helo") : "none",
		       *s(h, "note") ? ": " : "", s(h, "note"));
	json_array_foreach(json_object_get(o, "corroboration"), i, c)
		if (json_is_false(json_object_get(c, "agrees")))
			printf("  against  %s of relay %s says %s\n", s(c, "header"), s(c, "relay"), s(c, "ip"));
}

static void authentication(const json_t *r, const json_t *judged)
{
	const json_t *spf = json_object_get(judged, "spf"), *arc = json_object_get(judged, "arc"), *v;
	const json_t *dmarc = json_object_get(judged, "dmarc");
	size_t i;

	if (!judged) {
		/* Of the index alone. */
		if (*s(r, "spf"))
			printf("checks     spf %s, dkim %s, dmarc %s, arc %s\n", s(r, "spf"),
			       *s(r, "dkim") ? s(r, "dkim") : "none", s(r, "dmarc"), s(r, "arc"));
		return;
	}
	printf("spf        %s (%s %s)\n", s(spf, "result"), s(spf, "identity"), s(spf, "domain"));
	json_array_foreach(json_object_get(judged, "dkim"), i, v)
		printf("dkim       %s (d=%s s=%s)%s%s\n", s(v, "result"), s(v, "domain"), s(v, "selector"),
		       *s(v, "reason") ? ": " : "", s(v, "reason"));
	printf("arc        %s%s%s\n", s(arc, "result"), *s(arc, "reason") ? ": " : "", s(arc, "reason"));
	printf("dmarc      %s%s%s\n", s(dmarc, "result"), *s(dmarc, "policy") ? ", p=" : "", s(dmarc, "policy"));
	v = json_object_get(dmarc, "override");
	if (json_is_true(json_object_get(v, "lifted")))
		printf("           lifted: %s (%s)\n", s(v, "type"), s(v, "comment"));
	json_array_foreach(json_object_get(judged, "dnsbl"), i, v)
		if (!strcmp(s(v, "result"), "listed"))
			printf("listed     in %s (%s)\n", s(v, "name"), s(v, "answer"));
}

static void decision(const json_t *r, const json_t *judged)
{
	const json_t *v, *would = json_object_get(judged, "would");
	size_t i;

	json_array_foreach(json_object_get(judged, "findings"), i, v)
		printf("found      %s: %s\n", s(v, "name"), s(v, "text"));
	json_array_foreach(json_object_get(judged, "matches"), i, v)
		printf("rule       %-30s %6.2f\n", s(v, "rule"), f(v, "score"));
	if (judged)
		printf("decided    %s, score %.2f%s%s%s\n", s(judged, "action"), f(judged, "score"),
		       *s(judged, "reason") ? " (" : "", s(judged, "reason"), *s(judged, "reason") ? ")" : "");
	else if (*s(r, "action"))
		printf("decided    %s, score %.2f%s%s%s\n", s(r, "action"), f(r, "score"),
		       *s(r, "reason") ? " (" : "", s(r, "reason"), *s(r, "reason") ? ")" : "");
	if (json_is_object(would))
		printf("           a dry run spared it: %s\n", s(would, "action"));
}

static void went(const json_t *r)
{
	const json_t *tls = json_object_get(r, "next_hop_tls");

	line("route", r, "route");
	if (*s(r, "next_hop")) {
		printf("next hop   %s%s%s", s(r, "next_hop"), *s(r, "egress") ? " from " : "", s(r, "egress"));
		if (tls)
			printf(", TLS policy %s, %s, verified: %s", s(tls, "policy"),
			       *s(tls, "version") ? s(tls, "version") : "in clear", s(tls, "verified"));
		printf("\n           ended at %s, it said \"%s\"\n", s(r, "stage"), s(r, "next_hop_reply"));
	} else {
		line("stage", r, "stage");
	}
	printf("outcome    %s for <%s>%s%s\n", s(r, "outcome"), s(r, "rcpt"), *s(r, "how") ? ", " : "", s(r, "how"));
	if (*s(r, "reply"))
		printf("answered   \"%s\"\n", s(r, "reply"));
	if (f(r, "us") > 0)
		printf("took       %.1f ms, judging %.1f ms of it\n", f(r, "us") / 1e3, f(r, "judge_us") / 1e3);
}

static void print(const json_t *answer)
{
	const json_t *r, *records = json_object_get(answer, "records");
	size_t i;

	json_array_foreach(records, i, r) {
		const json_t *judged = json_object_get(r, "judged");

		/* Recipients of one message share all but their end. */
		if (!i) {
			came(r);
			origin(r, judged);
			authentication(r, judged);
			decision(r, judged);
			if (json_is_false(json_object_get(r, "detail")))
				puts("           (its line of the log is gone: this is what the index knows)");
		}
		went(r);
	}
	json_array_foreach(json_object_get(answer, "events"), i, r)
		printf("later      %s %s\n", s(r, "time"), s(r, "event"));
}

int cmd_explain_trace(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"database", required_argument, NULL, 'd'}, {"log", required_argument, NULL, 'l'},
		{"config", required_argument, NULL, 'c'}, {NULL, 0, NULL, 0}};
	static char who[] = "posternctl explain";
	struct trace_search q = {.limit = LIMIT_TRACE_SEARCH};
	json_t *found = NULL, *records, *answer, *v;
	struct trace_where where = {0};
	struct trace_source src;
	int64_t next;
	char err[512];
	int o, rc;

	optind = 0;
	argv[0] = who;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == '?')
			return CLI_USAGE;
		*(o == 'd' ? &where.database : o == 'l' ? &where.log : &where.config) = optarg;
	}
	if (optind + 1 != argc) {
		fputs("posternctl explain: one trace id\n", stderr);
		return CLI_USAGE;
	}
	q.trace_id = argv[optind];
	rc = trace_source_open(&src, cli, &where, false);
	if (rc)
		return rc;
	if (trace_index_search(src.index, &q, &found, &next, err, sizeof(err))) {
		fprintf(stderr, "posternctl explain: %s\n", show_plain(err));
		json_decref(found);
		trace_source_close(&src);
		return CLI_UNREACHABLE;
	}
	records = json_array();
	/* As they came: the index has the newest first. */
	for (size_t i = json_array_size(found); i--;) {
		v = json_array_get(found, i);
		json_array_append_new(records, trace_source_detail(&src, json_incref(v)));
	}
	answer = json_pack("{s:s, s:s, s:o, s:o}", "schema", "postern.explain-trace.1", "trace_id", q.trace_id,
			   "records", records, "events", trace_index_events(src.index, q.trace_id));
	rc = json_array_size(records) ? CLI_OK : CLI_FINDING;
	if (cli->json)
		print_json(answer);
	else if (rc)
		fprintf(stderr, "posternctl explain: no record of %s\n", show_plain(q.trace_id));
	else
		print(answer);
	json_decref(answer);
	json_decref(found);
	trace_source_close(&src);
	return rc;
}
