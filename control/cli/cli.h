/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* posternctl. Commands that ask the daemon go through client.c; scan and the checks need none. */

#include <jansson.h>
#include <stdbool.h>

enum cli_exit { CLI_OK = 0, CLI_FINDING = 1, CLI_USAGE = 2, CLI_UNREACHABLE = 3 };

struct cli {
	const char *socket;
	bool json;
	bool shell; /* in the shell or a batch */
};

/* client.c: one request, one answer (new reference). NULL: said why on stderr, *exit_code set. */
json_t *client_ask(const struct cli *cli, json_t *request, int *exit_code);
/* Says why control refused, which is its answer's "error". What is wrong with the question itself is
 * CLI_USAGE, as if the grammar had known it; else CLI_FINDING. */
int client_refused(const json_t *problem);
/* show status, or NULL. */
json_t *client_status(const struct cli *cli);
/* The same of any request, at once, and nothing is said of an error. */
json_t *client_try(const struct cli *cli, json_t *request);
bool client_try_is_there(const struct cli *cli);
/* As client_try(), within a second: somebody waits for his Tab. */
json_t *client_quick(const struct cli *cli, json_t *request);

/* show.c: prints the answer to a command as a table. */
void show_answer(const char *command, const json_t *answer);
void print_json(const json_t *v);
/* A member as text for a table; "" if it is no string. Valid until 16 more were asked for. What would
 * draw on the operator's terminal is '?'. */
const char *show_text(const json_t *object, const char *member);

/* Any text, as show_text() has it. */
const char *show_plain(const char *text);

/* "compiling: 1200 of 2570 patterns, 3 s"; false: no reload is under way. reload: of show status. */
bool show_progress(const json_t *reload, char *buf, size_t cap);

/* Commands: argv behind the command's words. They return an enum cli_exit. */
int cmd_scan(const struct cli *cli, int argc, char **argv);
int cmd_replay(const struct cli *cli, int argc, char **argv); /* argv[0]: "replay" */
int cmd_explain(const struct cli *cli, int argc, char **argv);
int cmd_explain_any(const struct cli *cli, int argc, char **argv); /* a file, or a trace id */
int cmd_simulate(const struct cli *cli, int argc, char **argv);
int cmd_doctor(const struct cli *cli, int argc, char **argv);
int cmd_keys(const struct cli *cli, int argc, char **argv); /* argv[0]: "list" and so on */
int cmd_config_check(const struct cli *cli, int argc, char **argv);
int cmd_config_diff(const struct cli *cli, int argc, char **argv);
/* From the answer to `show config` what only `config diff` is to see: a digest that is passed on could
 * be guessed. */
void config_hide(json_t *answer);
int cmd_config_help(const struct cli *cli, int argc, char **argv);
int cmd_quarantine(const struct cli *cli, int argc, char **argv);
int cmd_top(const struct cli *cli, int argc, char **argv);   /* argv[0]: "top" */
int cmd_watch(const struct cli *cli, int argc, char **argv); /* argv[0]: "watch" */
int cmd_trace(const struct cli *cli, int argc, char **argv); /* argv[0]: "trace" */
int cmd_show_rules(const struct cli *cli, int argc, char **argv); /* argv[0]: "rules" */
int cmd_rules_check(const struct cli *cli, int argc, char **argv); /* argv[0]: "check" */
int cmd_rules_test(const struct cli *cli, int argc, char **argv);  /* argv[0]: "test" */
int cmd_rules_compile(const struct cli *cli, int argc, char **argv); /* argv[0]: "compile" */
int cmd_help(const struct cli *cli, int argc, char **argv);
int cmd_shell(const struct cli *cli, int argc, char **argv);
int cmd_completion_bash(const struct cli *cli, int argc, char **argv);
int cmd_completion_zsh(const struct cli *cli, int argc, char **argv);
int cmd_completion_words(const struct cli *cli, int argc, char **argv);
/* The value of --score-set; false: said why on stderr. */
bool cli_score_set(const char *who, const char *text, unsigned int *set);
