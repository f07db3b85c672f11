/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `posternctl show rules`: what each rule did and what it cost, as a table that fits. */

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/cli/cli.h"
#include "control/cli/request.h"
#include "control/cli/show_rules.h"
#include "control/cli/terminal.h"
#include "postern/limits.h"

#define NAME_MIN 12
/* What stands behind the name: one space and the width of each column. */
#define COLUMNS_BEHIND (1 + 9 + 5 * (1 + 6) + 1 + 7)

/* ---- the table ---- */

static double number(const json_t *o, const char *name)
{
	return json_number_value(json_object_get(o, name));
}

/* As it is up to five digits, then with k, M, G, T: --json has it exactly. */
static const char *shortly(double v, char out[16])
{
	static const char unit[] = "kMGTPE";
	size_t u = 0;

	if (v < 99999.5) {
		snprintf(out, 16, "%.0f", v);
		return out;
	}
	for (v /= 1000; v >= 999.5 && u + 2 < sizeof(unit); u++)
		v /= 1000;
	snprintf(out, 16, v < 9.95 ? "%.1f%c" : "%.0f%c", v, unit[u]);
	return out;
}

static const char *mean(double us, double n, char out[16])
{
	if (n <= 0)
		return "-";
	us /= n;
	if (us >= 99.95)
		return shortly(us, out);
	snprintf(out, 16, us < 9.995 ? "%.2f" : "%.1f", us);
	return out;
}

/* Six columns, whatever LIMIT_RULES_SCORE allows. */
static const char *score(double v, char out[16])
{
	double size = v < 0 ? -v : v;

	snprintf(out, 16, "%.*f", size < 99.995 ? 2 : size < 999.95 ? 1 : 0, v);
	return out;
}

static size_t name_width(const json_t *rules, unsigned int columns)
{
	size_t i, width = NAME_MIN;
	const json_t *v;

	json_array_foreach(rules, i, v)
		if (strlen(show_text(v, "name")) > width)
			width = strlen(show_text(v, "name"));
	if (!columns || width + COLUMNS_BEHIND <= columns)
		return width;
	return columns > NAME_MIN + COLUMNS_BEHIND ? columns - COLUMNS_BEHIND : NAME_MIN;
}

static void row(const json_t *v, size_t width)
{
	char t[6][16];
	const char *name = show_text(v, "name");
	double us = number(v, "ns") / 1e3;

	if (strlen(name) > width)
		printf("%.*s~", (int)width - 1, name);
	else
		printf("%-*s", (int)width, name);
	printf(" %-9s %6s %6s %6s %6s %6s %7s\n", show_text(v, "tier"),
	       score(number(v, "score"), t[5]), shortly(number(v, "hits"), t[0]),
	       shortly(number(v, "opened"), t[1]), shortly(number(v, "evaluated"), t[2]),
	       shortly(us, t[3]), mean(us, number(v, "evaluated"), t[4]));
}

static void footer(const json_t *a)
{
	const json_t *t = json_object_get(a, "totals"), *v, *rules = json_object_get(a, "rules");
	double n = number(t, "messages"), us = number(t, "ns") / 1e3;
	char b[4][16];
	size_t i;

	printf("%zu of %.0f rule(s) shown; %.0f in force, %.0f of them never hit\n",
	       json_array_size(rules), number(a, "selected"), number(a, "in_force"),
	       number(a, "never_hit"));
	printf("%.0f message(s) judged, %.1f%% with a gate open, %.0f evaluated in full\n", n,
	       n > 0 ? 100 * number(t, "messages_open") / n : 0.0, number(t, "messages_in_full"));
	printf("control, us a message: %s; in PCRE2 %s, making texts %s\n", mean(us, n, b[0]),
	       mean(number(t, "pattern_ns") / 1e3, n, b[1]),
	       mean(number(t, "text_ns") / 1e3, n, b[2]));
	json_array_foreach(rules, i, v)
		if (number(v, "limited") > 0)
			printf("%s: %s time(s) undecided, PCRE2 met a limit or the time was up\n",
			       show_text(v, "name"), shortly(number(v, "limited"), b[3]));
}

void show_rules_table(const json_t *a, unsigned int columns)
{
	const json_t *rules = json_object_get(a, "rules"), *v;
	size_t width = name_width(rules, columns), i;

	printf("%-*s %-9s %6s %6s %6s %6s %6s %7s\n", (int)width, "RULE", "TIER", "SCORE", "HITS",
	       "OPENED", "EVALS", "US", "US/EVAL");
	json_array_foreach(rules, i, v)
		row(v, width);
	footer(a);
}

/* ---- the question ---- */

static int limit_of(json_t *request, const char *text)
{
	long n = request_number(text, LIMIT_RULES);

	if (n && !json_object_set_new(request, "limit", json_integer(n)))
		return CLI_OK;
	fprintf(stderr, "posternctl show rules: --limit: a number from 1 to %d\n", LIMIT_RULES);
	return CLI_USAGE;
}

static int options(json_t *request, int argc, char **argv)
{
	static const struct option opts[] = {{"top", 1, 0, 't'}, {"limit", 1, 0, 'l'}, {0}};
	int o, rc = CLI_OK;

	optind = 1;
	while (!rc && (o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (o == 'l')
			rc = limit_of(request, optarg);
		else if (o == 't')
			rc = request_text(request, "show rules", "top", optarg);
		else
			rc = CLI_USAGE;
	}
	if (!rc && optind < argc)
		rc = request_text(request, "show rules", "name", argv[optind]);
	return rc;
}

int cmd_show_rules(const struct cli *cli, int argc, char **argv)
{
	json_t *request = json_pack("{s:s}", "command", "show rules"), *answer;
	int code = options(request, argc, argv);

	if (code) {
		json_decref(request);
		return code;
	}
	answer = client_ask(cli, request, &code);
	if (!answer)
		return code;
	if (cli->json)
		print_json(answer);
	else
		show_rules_table(answer, terminal_columns());
	json_decref(answer);
	return CLI_OK;
}
