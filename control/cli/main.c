/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/cli/cli.h"
#include "control/cli/trace.h"

static const char usage_text[] =
	"usage: posternctl [--socket PATH] [--json] COMMAND\n"
	"  show status|workers|ports|sessions|routes|stats\n"
	"                                           what runs, and its counters\n"
	"  show drops [--all]                       what was refused or dropped, and why\n"
	"  show sources [ADDRESS]                   the worst and the busiest prefixes, or one\n"
	"  show rules [--top cost|hits|opened] [--limit N] [NAME-GLOB]\n"
	"                                           what each rule did and cost in control\n"
	"  sources forgive ADDRESS                  forget its failures\n"
	"  breaker show                             routes whose refusals are watched\n"
	"  breaker ack ROUTE [--learn]              pass its 5xx on again; --learn: they are normal\n"
	"  top [--interval S] [--sort COLUMN,...] [--once]\n"
	"                                           rates, workers, routes and rules, live\n"
	"  watch [sessions|messages|all] [--peer IP|NET] [--domain D] [--rule NAME] [--trace-id ID]\n"
	"        [--route NAME] [--outcome WORD] [--limit N]\n"
	"                                           sessions and messages as they happen\n"
	"  trace [--trace-id ID] [--message-id ID] [--from ADDR] [--rcpt ADDR] [--origin IP]\n"
	"        [--outcome WORD] [--rule NAME] [--route NAME] [--since TIME] [--until TIME]\n"
	"        [--limit N] [--before N] [--long] [--csv] [--fields google|microsoft|postern]\n"
	"        [--database FILE [--log FILE]] [--config FILE]\n"
	"                                           what became of messages (ADDR: or @domain)\n"
	"  trace shares [--since TIME]              verdicts by route, listener and egress address\n"
	"  trace status                             where log and index are, and how far it is\n"
	"  trace reindex                            the index anew, out of the log\n"
	"  quarantine list [--rcpt ADDR] [--from ADDR] [--limit N]\n"
	"  quarantine show|delete ID                what is held back\n"
	"  quarantine release ID [ADDR]...          to its next hop after all\n"
	"  drain | undrain                          421 to new connections, or no more\n"
	"  show config                              what is in force, key by key\n"
	"  config help [KEY]...                     every key: type, bounds, default, meaning\n"
	"  config check [FILE]                      errors with file, line and key\n"
	"  config diff [FILE]                       what FILE would change, and what needs a restart\n"
	"  config reload                            take the configuration over, or say why not\n"
	"  rules check [--explain] [--cache DIRECTORY] [--score-set N] FILE...\n"
	"                                           what is wrong or not supported, and the plan\n"
	"  rules test [--rules FILE]... [--config FILE] [--cache DIRECTORY] [--score-set N]\n"
	"       [--parts] [--ip IP] [--helo NAME] [--from ADDR] FILE|-...\n"
	"                                           what hits in message files, and where\n"
	"  rules compile --output FILE [--all-views] --config FILE|FILE...\n"
	"                                           for a bench: what control would push\n"
	"  keys [list] [--config FILE] [--now EPOCH] the keys that seal, and their DNS records\n"
	"  keys check [--config FILE] [--dns-zone FILE]... [--now EPOCH]\n"
	"                                           whether DNS has those records\n"
	"  keys generate [--type rsa|ed25519] [--bits N] --domain NAME --selector NAME FILE\n"
	"                                           a new key, and the record to publish\n"
	"  scan [--config FILE] [--ip IP] [--helo NAME] [--from ADDR] [--rcpt ADDR]...\n"
	"       [--dns-zone FILE]... [--now EPOCH] [--output FILE] FILE|-\n"
	"                                           judge a message file; no daemon needed\n"
	"  simulate exchange|gmail|spamassassin|rspamd|first-received|last-public\n"
	"       [--gateway IP]... [--skip LIST] [--no-detect] [--mail-from ADDR] [--helo NAME]\n"
	"       [--dns-zone FILE]... [--now EPOCH] FILE|-\n"
	"                                           whom the other side would take for the sender\n"
	"  explain [--gateway IP]... [--skip LIST] [--mail-from ADDR] [--dns-zone FILE]...\n"
	"       [--now EPOCH] FILE|-\n"
	"                                           which hop hid the sender, what broke signatures\n"
	"  explain TRACE-ID                         all that is known of a message\n"
	"  replay [--ports LIST] [--midstream] [--ignore-checksums] [--anomalies]\n"
	"       [--max-sessions N] [--dataplane PATH] FILE.pcap...\n"
	"                                           the mail that a capture shows; no daemon needed\n"
	"  doctor exchange|google ROUTE [--config FILE] [--egress ADDRESS]... [--users ADDR]...\n"
	"       [--connectors FILE] [--dns-zone FILE]... [--now EPOCH]\n"
	"                                           is our side fit, and what is to be set over there\n"
	"  doctor exchange|google ROUTE --verify FILE|-... [--config FILE] [--egress ADDRESS]...\n"
	"                                           did a message that arrived there fare as it should\n"
	"exit codes: 0 ok, 1 finding, 2 usage, 3 daemon unreachable\n";

static int usage(const char *why)
{
	if (why)
		fprintf(stderr, "posternctl: %s\n", why);
	fputs(usage_text, stderr);
	return CLI_USAGE;
}

/* Takes --socket and --json out of argv, wherever they stand. */
static int global_options(struct cli *cli, int argc, char **argv)
{
	int n = 0;

	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			cli->json = true;
		else if (!strcmp(argv[i], "--socket") && i + 1 < argc)
			cli->socket = argv[++i];
		else if (!strncmp(argv[i], "--socket=", 9))
			cli->socket = argv[i] + 9;
		else
			argv[n++] = argv[i];
	}
	argv[n] = NULL;
	return n;
}

static int ask(const struct cli *cli, const char *command, json_t *request)
{
	int code = CLI_OK;
	json_t *answer;

	json_object_set_new(request, "command", json_string(command));
	answer = client_ask(cli, request, &code);
	if (!answer)
		return code;
	if (!strcmp(command, "show config"))
		config_hide(answer);
	if (cli->json)
		print_json(answer);
	else
		show_answer(command, answer);
	if (!strcmp(command, "show status") && !json_is_true(json_object_get(answer, "ready")))
		code = CLI_FINDING;
	if (json_is_false(json_object_get(answer, "ok")))
		code = CLI_FINDING;
	json_decref(answer);
	return code;
}

static bool is(int argc, char **argv, const char *a, const char *b)
{
	return argc >= 1 && !strcmp(argv[0], a) && (!b || (argc >= 2 && !strcmp(argv[1], b)));
}

static int sources(const struct cli *cli, const char *command, const char *address)
{
	json_t *req = json_object();

	if (address)
		json_object_set_new(req, "address", json_string(address));
	return ask(cli, command, req);
}

/* "show", or "ack ROUTE [--learn]". */
static int breaker(const struct cli *cli, int argc, char **argv)
{
	bool learn = argc == 3 && !strcmp(argv[2], "--learn");
	json_t *req;

	if (is(argc, argv, "show", NULL) && argc == 1)
		return ask(cli, "breaker show", json_object());
	if (!is(argc, argv, "ack", NULL) || argc < 2 || argc > 3 || (argc == 3 && !learn))
		return usage("breaker show, or breaker ack ROUTE [--learn]");
	req = json_pack("{s:s, s:b}", "route", argv[1], "learn", learn);
	return ask(cli, "breaker ack", req);
}

static int show(const struct cli *cli, int argc, char **argv)
{
	static const char *const what[] = {"status", "workers", "ports", "sessions", "routes", "stats", "drops", "config"};
	json_t *req = json_object();
	char command[32];

	if (argc == 2 && !strcmp(argv[1], "--all") && !strcmp(argv[0], "drops"))
		json_object_set_new(req, "all", json_true());
	else if (argc != 1) {
		json_decref(req);
		return usage("show status, workers, ports, sessions, sources, routes, rules, config, stats or drops");
	}
	for (size_t i = 0; i < sizeof(what) / sizeof(what[0]); i++)
		if (!strcmp(argv[0], what[i])) {
			snprintf(command, sizeof(command), "show %s", what[i]);
			return ask(cli, command, req);
		}
	json_decref(req);
	return usage("show status, workers, ports, sessions, sources, routes, rules, config, stats or drops");
}

/* A trace id among the arguments that is no file of that name. */
static bool names_trace(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (trace_is_id(argv[i]) && access(argv[i], F_OK))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	struct cli cli = {.socket = "/run/postern/control.sock"};
	int n = global_options(&cli, argc - 1, argv + 1);
	char **a = argv + 1;

	if (!n)
		return usage("no command");
	if (is(n, a, "--help", NULL) || is(n, a, "help", NULL)) {
		fputs(usage_text, stdout);
		return CLI_OK;
	}
	if (is(n, a, "show", "sources") && n <= 3)
		return sources(&cli, "show sources", n == 3 ? a[2] : NULL);
	if (is(n, a, "show", "rules"))
		return cmd_show_rules(&cli, n - 2, a + 2);
	if (is(n, a, "show", NULL))
		return show(&cli, n - 1, a + 1);
	if (is(n, a, "breaker", NULL))
		return breaker(&cli, n - 1, a + 1);
	if (is(n, a, "sources", "forgive") && n == 3)
		return sources(&cli, "sources forgive", a[2]);
	if (is(n, a, "top", NULL))
		return cmd_top(&cli, n, a);
	if (is(n, a, "watch", NULL))
		return cmd_watch(&cli, n, a);
	if (is(n, a, "trace", NULL))
		return cmd_trace(&cli, n, a);
	if ((is(n, a, "drain", NULL) || is(n, a, "undrain", NULL)) && n == 1)
		return ask(&cli, a[0], json_object());
	if (is(n, a, "config", "check") && n <= 3)
		return cmd_config_check(&cli, n - 2, a + 2);
	if (is(n, a, "config", "diff") && n <= 3)
		return cmd_config_diff(&cli, n - 2, a + 2);
	if (is(n, a, "config", "help"))
		return cmd_config_help(&cli, n - 2, a + 2);
	if (is(n, a, "config", "reload") && n == 2)
		return ask(&cli, "config reload", json_object());
	if (is(n, a, "rules", "check"))
		return cmd_rules_check(&cli, n - 1, a + 1);
	if (is(n, a, "rules", "test"))
		return cmd_rules_test(&cli, n - 1, a + 1);
	if (is(n, a, "rules", "compile"))
		return cmd_rules_compile(&cli, n - 1, a + 1);
	if (is(n, a, "quarantine", NULL))
		return cmd_quarantine(&cli, n - 1, a + 1);
	if (is(n, a, "keys", NULL))
		return cmd_keys(&cli, n, a);
	if (is(n, a, "scan", NULL))
		return cmd_scan(&cli, n, a);
	if (is(n, a, "simulate", NULL))
		return cmd_simulate(&cli, n, a);
	if (is(n, a, "explain", NULL) && names_trace(n, a))
		return cmd_explain_trace(&cli, n, a);
	if (is(n, a, "explain", NULL))
		return cmd_explain(&cli, n, a);
	if (is(n, a, "replay", NULL))
		return cmd_replay(&cli, n, a);
	if (is(n, a, "doctor", NULL))
		return cmd_doctor(&cli, n, a);
	return usage("unknown command");
}
