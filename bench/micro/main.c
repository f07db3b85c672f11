/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Level A: what the parts of the dataplane cost on one core, without a NIC. See bench/README.md.
 *
 *     micro [--reps N] [--flows MAX] [--only GROUP] [--json FILE] [--commit ID]
 */

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/micro/lab.h"
#include "bench/micro/micro.h"

struct micro_options micro = {.reps = 7, .flows_max = 1000000, .commit = "unknown"};

static const struct {
	const char *name;
	void (*run)(void);
} group[] = {
	{"pieces", bench_pieces},
	{"segments", bench_segments},
	{"syn", bench_syn},
	{"session", bench_session},
	{"content", bench_content},
};

static _Noreturn void usage(void)
{
	fputs("usage: micro [--reps N] [--flows MAX] [--only pieces|segments|syn|session|content]\n"
	      "             [--json FILE] [--commit ID]\n", stderr);
	exit(2);
}

static uint32_t number(const char *text, uint32_t most)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*end || !v || v > most)
		usage();
	return (uint32_t)v;
}

static void options(int argc, char **argv)
{
	static const struct option list[] = {
		{"reps", required_argument, NULL, 'r'},  {"flows", required_argument, NULL, 'f'},
		{"only", required_argument, NULL, 'o'},  {"json", required_argument, NULL, 'j'},
		{"commit", required_argument, NULL, 'c'}, {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", list, NULL)) != -1) {
		switch (c) {
		case 'r':
			micro.reps = number(optarg, MICRO_REPS);
			break;
		case 'f':
			micro.flows_max = number(optarg, LAB_FLOWS_MAX);
			break;
		case 'o':
			micro.only = optarg;
			break;
		case 'j':
			micro.json = optarg;
			break;
		case 'c':
			micro.commit = optarg;
			break;
		default:
			usage();
		}
	}
	if (optind != argc)
		usage();
}

int main(int argc, char **argv)
{
	bool any = false;

	options(argc, argv);
	/* Where others compute as well: the TSC runs on while we do not. Refused without root. */
	(void)setpriority(PRIO_PROCESS, 0, -20);
	lab_start(argv[0]);
	micro_calibrate();
	micro_print_machine();
	fflush(stdout);
	for (unsigned int i = 0; i < sizeof(group) / sizeof(group[0]); i++) {
		if (micro.only && strcmp(micro.only, group[i].name) != 0)
			continue;
		group[i].run();
		any = true;
	}
	if (!any)
		usage();
	micro_print_rows();
	micro_print_disturbance();
	if (micro.json && micro_write_json(micro.json))
		micro_die("cannot write the JSON file");
	return 0;
}
