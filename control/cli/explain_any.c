/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `posternctl explain`: is it a trace id or a message file, and is what was said about it of that? */

#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "control/cli/cli.h"
#include "control/cli/trace.h"

enum { OF_FILE = 'f', OF_TRACE = 't' };

static const struct option opts[] = {
	{"gateway", 1, 0, OF_FILE},  {"skip", 1, 0, OF_FILE}, {"mail-from", 1, 0, OF_FILE},
	{"from", 1, 0, OF_FILE},     {"helo", 1, 0, OF_FILE}, {"dns-zone", 1, 0, OF_FILE},
	{"now", 1, 0, OF_FILE},      {"log", 1, 0, OF_TRACE}, {"database", 1, 0, OF_TRACE},
	{"config", 1, 0, OF_TRACE},  {0}};

int cmd_explain_any(const struct cli *cli, int argc, char **argv)
{
	const char *of_file = NULL, *of_trace = NULL, *what, *other;
	bool trace;
	int o, at;

	optind = 0;
	while ((o = getopt_long(argc, argv, "", opts, &at)) != -1) {
		if (o == '?')
			return CLI_USAGE;
		*(o == OF_FILE ? &of_file : &of_trace) = opts[at].name;
	}
	what = argv[optind]; /* the grammar sees to it that there is one */
	trace = trace_is_id(what) && access(what, F_OK);
	other = trace ? of_file : of_trace;
	if (other) {
		fprintf(stderr, "posternctl explain: --%s is of %s, and %s is %s\n", other,
			trace ? "message files" : "trace ids", show_plain(what),
			trace ? "a trace id" : "none");
		return CLI_USAGE;
	}
	return trace ? cmd_explain_trace(cli, argc, argv) : cmd_explain(cli, argc, argv);
}
