/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * `posternctl completion ...`. The scripts hold no words: they ask the program that is being
 * completed, so that what they offer is what that program takes, with names that only control
 * knows.
 */

#include <stdio.h>
#include <string.h>

#include "control/cli/complete.h"

static const char bash_text[] =
	"# bash completion for posternctl, made by `posternctl completion bash`\n"
	"_posternctl()\n"
	"{\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} line\n"
	"\tCOMPREPLY=()\n"
	"\twhile IFS= read -r line; do\n"
	"\t\tif [[ $line == :files ]]; then\n"
	"\t\t\tcompopt -o filenames 2>/dev/null\n"
	"\t\t\tmapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"${cur#=}\")\n"
	"\t\telse\n"
	"\t\t\tprintf -v line %q \"${line%%$'\\t'*}\"\n"
	"\t\t\tCOMPREPLY+=(\"$line\")\n"
	"\t\tfi\n"
	"\tdone < <(\"${COMP_WORDS[0]}\" completion words -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" "
	"2>/dev/null)\n"
	"}\n"
	"complete -F _posternctl posternctl\n";

static const char zsh_text[] =
	"#compdef posternctl\n"
	"# zsh completion for posternctl, made by `posternctl completion zsh`\n"
	"_posternctl()\n"
	"{\n"
	"\tlocal -a found\n"
	"\tlocal line files\n"
	"\tfor line in ${(f)\"$(\"$words[1]\" completion words -- \"${(@)words[2,CURRENT]}\" "
	"2>/dev/null)\"}; do\n"
	"\t\tif [[ $line == :files ]]; then\n"
	"\t\t\tfiles=1\n"
	"\t\telse\n"
	"\t\t\tfound+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\")\n"
	"\t\tfi\n"
	"\tdone\n"
	"\t(( $#found )) && _describe -V posternctl found\n"
	"\t[[ -n $files ]] && _files\n"
	"}\n"
	"_posternctl \"$@\"\n";

int cmd_completion_bash(const struct cli *cli, int argc, char **argv)
{
	(void)cli;
	(void)argc;
	(void)argv;
	fputs(bash_text, stdout);
	return CLI_OK;
}

int cmd_completion_zsh(const struct cli *cli, int argc, char **argv)
{
	(void)cli;
	(void)argc;
	(void)argv;
	fputs(zsh_text, stdout);
	return CLI_OK;
}

/* bash parts --name=value in three. */
static int join_equals(int argc, char **argv)
{
	int n = 0;

	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], "=") != 0 || !n || strncmp(argv[n - 1], "--", 2) != 0)
			argv[n++] = argv[i];
		else if (i + 1 == argc)
			argv[n++] = argv[i] + 1; /* its value has not begun */
	return n;
}

int cmd_completion_words(const struct cli *outer, int argc, char **argv)
{
	struct cli cli = *outer;
	static struct complete_list list;
	static struct grammar_next next;
	struct grammar_globals g;
	const char *typed;

	argc = join_equals(argc, argv);
	if (!argc)
		return CLI_OK;
	typed = argv[argc - 1];
	grammar_next(&next, argc - 1, argv, typed, false);
	grammar_globals(&g, argc - 1, argv);
	if (g.socket) /* the one that the line itself names */
		cli.socket = g.socket;
	for (size_t i = 0; i < next.n; i++)
		/* Options only where they are asked for. */
		if (typed[0] == '-' || next.c[i].text[0] != '-')
			printf("%s\t%s\n", next.c[i].text, next.c[i].help ? next.c[i].help : "");
	if (!next.value)
		return CLI_OK;
	complete_value(&cli, next.value->kind, typed, false, &list);
	for (size_t i = 0; i < list.n; i++)
		printf("%s\t\n", list.word[i]);
	complete_free(&list);
	if (complete_is_file(next.value->kind))
		puts(":files");
	return CLI_OK;
}
