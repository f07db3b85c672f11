/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/cli/dispatch.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/cli/grammar.h"
#include "control/cli/request.h"
#include "control/cli/terminal.h"

int dispatch_globals(struct cli *cli, int argc, char **argv)
{
	struct grammar_globals g;
	int n = grammar_globals(&g, argc, argv);

	cli->json |= g.json;
	if (g.socket)
		cli->socket = g.socket;
	if (g.open)
		fputs("posternctl: --socket without its value, a path\n", stderr);
	return g.open ? -1 : n;
}

int dispatch_flush(int code)
{
	int error = fflush(stdout) ? errno : 0;

	if (!error && !ferror(stdout))
		return code;
	fprintf(stderr, "posternctl: standard output: %s\n",
		error ? strerror(error) : "not all of it could be written");
	return code == CLI_OK ? CLI_FINDING : code;
}

/* ---- what the daemon is asked ---- */

static int ask(const struct cli *cli, const struct grammar_call *call)
{
	const char *command = call->command->words;
	json_t *request = json_pack("{s:s}", "command", command), *answer;
	int code = CLI_OK;

	for (size_t i = 0; i < call->n_items; i++) {
		const struct grammar_item *item = &call->item[i];
		const char *member = item->option ? item->option->name + 2 : call->command->request;

		if (json_object_set_new(request, member,
					item->value ? request_string(command, item->value)
						    : json_true())) {
			json_decref(request);
			return CLI_USAGE;
		}
	}
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

/* ---- help ---- */

int cmd_help(const struct cli *cli, int argc, char **argv)
{
	struct grammar_place p;
	char why[GRAMMAR_WHY];

	if (!argc && cli->shell)
		grammar_list(stdout, "", true);
	else if (!argc)
		grammar_usage(stdout);
	if (!argc)
		return CLI_OK;
	if (!grammar_find(&p, argc, argv, cli->shell, why) && p.used < argc)
		snprintf(why, sizeof(why), "help %s: \"%.64s\" is no word of a command", p.words,
			 show_plain(argv[p.used]));
	if (*why) {
		fprintf(stderr, "posternctl: %s\n", why);
		return CLI_USAGE;
	}
	if (p.command)
		grammar_help(stdout, p.command, terminal_text_columns());
	if (!grammar_named(p.words))
		grammar_list(stdout, p.words, cli->shell);
	return CLI_OK;
}

/* "COMMAND --help" */
static bool asks_help(int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--help"))
			return true;
	return false;
}

static int help_of(const struct cli *cli, int argc, char **argv)
{
	struct grammar_place p;
	char why[GRAMMAR_WHY];

	if (grammar_find(&p, argc, argv, cli->shell, why)) {
		fprintf(stderr, "posternctl: %s\n", why);
		return CLI_USAGE;
	}
	return cmd_help(cli, p.used, argv);
}

/* ---- running ---- */

int dispatch(const struct cli *cli, int argc, char **argv)
{
	struct grammar_call call;
	char why[GRAMMAR_WHY];
	int code;

	if (asks_help(argc, argv))
		return help_of(cli, argc, argv);
	if (grammar_parse(&call, argc, argv, cli->shell, why)) {
		fprintf(stderr, "posternctl: %s\n", why);
		return CLI_USAGE;
	}
	if (call.command->flags & GRAMMAR_SHELL)
		code = CLI_OK; /* dispatch_ends() was asked before */
	else if (call.command->run)
		code = call.command->run(cli, call.argc, call.argv);
	else
		code = ask(cli, &call);
	grammar_call_free(&call);
	return code;
}

bool dispatch_ends(const struct cli *cli, int argc, char **argv)
{
	char **copy = calloc((size_t)argc + 1, sizeof(*copy)), why[GRAMMAR_WHY];
	struct grammar_globals g;
	struct grammar_call call;
	bool ends = false;
	int n;

	if (!copy)
		return false;
	memcpy(copy, argv, (size_t)argc * sizeof(*copy));
	n = grammar_globals(&g, argc, copy);
	if (!g.open && n && !asks_help(n, copy) &&
	    !grammar_parse(&call, n, copy, cli->shell, why)) {
		ends = call.command->flags & GRAMMAR_SHELL;
		grammar_call_free(&call);
	}
	free(copy);
	return ends;
}

/* What the shell handles; what was ignored before us stays so. */
static void as_ever(int sig)
{
	if (signal(sig, SIG_DFL) == SIG_IGN)
		signal(sig, SIG_IGN);
}

_Noreturn static void child(const struct cli *outer, int argc, char **argv, bool quiet)
{
	struct cli cli = *outer;
	int code, n, null;

	signal(SIGINT, SIG_DFL);
	signal(SIGQUIT, SIG_DFL);
	signal(SIGWINCH, SIG_DFL);
	as_ever(SIGTERM);
	as_ever(SIGHUP);
	setlocale(LC_CTYPE,
		  "C"); /* the shell reads the terminal's characters; commands know UTF-8 */
	null = quiet ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
	if (quiet && (null < 0 || dup2(null, STDIN_FILENO) < 0)) {
		perror("posternctl: /dev/null");
		_exit(CLI_USAGE);
	}
	n = dispatch_globals(&cli, argc, argv);
	code = n < 0 ? CLI_USAGE : dispatch(&cli, n, argv);
	exit(dispatch_flush(code));
}

int dispatch_apart(const struct cli *cli, int argc, char **argv, bool quiet)
{
	void (*interrupt)(int), (*quit)(int);
	int status = 0;
	pid_t pid;

	fflush(NULL);
	/* ^C reaches both of us, and ends the command only. */
	interrupt = signal(SIGINT, SIG_IGN);
	quit = signal(SIGQUIT, SIG_IGN);
	pid = fork();
	if (!pid)
		child(cli, argc, argv, quiet);
	if (pid < 0)
		perror("posternctl: fork");
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	signal(SIGINT, interrupt);
	signal(SIGQUIT, quit);
	if (pid < 0)
		return CLI_UNREACHABLE;
	if (WIFSIGNALED(status)) {
		if (WTERMSIG(status) != SIGINT)
			fprintf(stderr, "posternctl: the command was ended by signal %d\n",
				WTERMSIG(status));
		return 128 + WTERMSIG(status);
	}
	return WEXITSTATUS(status);
}
