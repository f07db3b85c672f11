/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `posternctl rules compile`: the file that control would push, for benches of the dataplane alone. */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/cli.h"
#include "control/cli/offline.h"
#include "control/judge/judge.h"
#include "control/rules/rules.h"
#include "dataplane/scan/bundle.h"

#define VIEWS_SCANNED (1u << VIEW_HEADER | 1u << VIEW_BODY | 1u << VIEW_RAWBODY | 1u << VIEW_FULL | \
		       1u << VIEW_URI | 1u << VIEW_ATTACHMENT)

struct bundle {
	struct offline offline;
	const char *config, *output;
	uint32_t views; /* that are made although no rule looks at them */
	bool hash;
};

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "posternctl rules compile: %s: %s\n", what, why);
	return CLI_USAGE;
}

static int options(struct bundle *b, int argc, char **argv)
{
	static const struct option opts[] = {{"config", 1, 0, 'c'}, {"output", 1, 0, 'o'},
		{"all-views", 0, 0, 'a'}, {0}};
	int o;

	optind = 1;
	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (o) {
		case 'c': b->config = optarg; break;
		case 'o': b->output = optarg; break;
		case 'a': b->views = VIEWS_SCANNED; break;
		default: return CLI_USAGE;
		}
	}
	if (!b->output)
		return complain("--output", "which file is to be written?");
	if (!b->config == (optind == argc))
		return complain("arguments", "either rule files or --config");
	return CLI_OK;
}

static int load(struct bundle *b, char **file, int n_files)
{
	struct rules_options opt = RULES_DEFAULT;
	const struct rules_issue *issue;
	size_t n;
	int rc;

	if (b->config) {
		rc = offline_load(&b->offline, b->config, true);
		if (!rc) {
			b->views |= judge_content_views(b->offline.config);
			b->hash = config_wants_hashes(b->offline.config);
		}
		return rc;
	}
	rc = rules_load_with((const char *const *)file, (size_t)n_files, &opt, &b->offline.rules);
	if (!b->offline.rules)
		return complain("rules", "out of memory");
	if (!rc)
		return CLI_OK;
	n = rules_issues(b->offline.rules, &issue);
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "%s:%u: %s: %s\n", issue[i].file, issue[i].line, issue[i].rule,
			issue[i].reason);
	return complain("rules", "not compiled");
}

/* Whole, or not at all: what a dataplane maps is trusted code. */
static int write_file(const char *path, const void *p, size_t n)
{
	char part[4096];
	FILE *f;

	if ((size_t)snprintf(part, sizeof(part), "%s.part", path) >= sizeof(part))
		return complain(path, "too long a name");
	f = fopen(part, "wbe");
	if (!f)
		return complain(part, strerror(errno));
	fwrite(p, 1, n, f);
	if (ferror(f) | fclose(f) || rename(part, path)) {
		complain(path, strerror(errno));
		remove(part);
		return CLI_USAGE;
	}
	return CLI_OK;
}

static void report(const struct bundle *b, const struct cli *cli, const void *p, size_t n)
{
	struct scan_bundle head;
	char sum[2 * sizeof(head.rules_sha256) + 1];

	memcpy(&head, p, sizeof(head));
	for (size_t i = 0; i < sizeof(head.rules_sha256); i++)
		snprintf(sum + 2 * i, 3, "%02x", head.rules_sha256[i]);
	if (cli->json) {
		json_t *o = json_pack("{s:s, s:b, s:I, s:I, s:I, s:s, s:s}", "schema", "postern.rules-compile.1", "ok", 1, "octets", (json_int_t)n,
				      "rules", (json_int_t)rules_count(b->offline.rules), "texts",
				      (json_int_t)head.n_slots, "rules_sha256", sum, "hyperscan",
				      head.hs_version);

		print_json(o);
		json_decref(o);
		return;
	}
	printf("%s: %zu octets, %zu rule(s), %u text(s), rules SHA-256 %s, Hyperscan %s\n", b->output, n,
	       rules_count(b->offline.rules), head.n_slots, sum, head.hs_version);
}

int cmd_rules_compile(const struct cli *cli, int argc, char **argv)
{
	struct bundle *b = calloc(1, sizeof(*b));
	void *p = NULL;
	size_t n = 0;
	int rc;

	if (!b)
		return complain("start", "out of memory");
	b->offline.who = "rules compile";
	rc = options(b, argc, argv);
	if (!rc)
		rc = load(b, argv + optind, argc - optind);
	if (!rc && rules_pack(b->offline.rules, b->views, b->hash, &p, &n))
		rc = complain("rules", "out of memory");
	if (!rc && !p)
		rc = complain("rules", "none of them is for the dataplane");
	if (!rc)
		rc = write_file(b->output, p, n);
	if (!rc)
		report(b, cli, p, n);
	free(p);
	offline_close(&b->offline);
	free(b);
	return rc;
}
