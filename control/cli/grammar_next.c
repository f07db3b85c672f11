/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What may stand at a place of a command line: for Tab and `?` of the shell, and for bash and zsh.
 */

#include <stdlib.h>
#include <string.h>

#include "control/cli/grammar.h"

enum { JSON, SOCKET, GLOBALS };

static const struct grammar_option globals[GLOBALS] = {
	[JSON] = {.name = "--json", .help = "JSON, for programs"},
	[SOCKET] = {.name = "--socket",
		    .value = {GRAMMAR_FILE, "PATH", NULL},
		    .help = "control's socket"},
};

/* In place of a command: main.c reads them. */
enum { BATCH, KEEP_GOING, INSTEAD = 4 };
static const struct grammar_option instead[INSTEAD] = {
	[BATCH] = {.name = "-f",
		   .value = {GRAMMAR_FILE, "FILE|-", NULL},
		   .help = "a command a line"},
	[KEEP_GOING] = {.name = "--keep-going", .help = "a batch stops at none that fails"},
	{.name = "--version", .help = "of posternctl"},
	{.name = "--help", .help = "all commands"},
};

int grammar_globals(struct grammar_globals *g, int argc, char **argv)
{
	const size_t len = strlen(globals[SOCKET].name);
	int n = 0, i = 0;

	*g = (struct grammar_globals){.json = false};
	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (!strcmp(argv[i], globals[JSON].name))
			g->json = true;
		else if (strncmp(argv[i], globals[SOCKET].name, len) != 0 ||
			 (argv[i][len] && argv[i][len] != '='))
			argv[n++] = argv[i];
		else if (argv[i][len])
			g->socket = argv[i] + len + 1;
		else if (i + 1 < argc)
			g->socket = argv[++i];
		else
			g->open = true;
	}
	while (i < argc)
		argv[n++] = argv[i++];
	argv[n] = NULL;
	return n;
}

static void offer(struct grammar_next *next, const char *text, const char *help, const char *typed)
{
	size_t n = strlen(text) + 1;

	if (strncmp(text, typed, strlen(typed)) != 0 || next->n == GRAMMAR_NEXT ||
	    n > sizeof(next->c[0].text))
		return;
	memcpy(next->c[next->n].text, text, n);
	next->c[next->n++].help = help;
}

static void offer_value(struct grammar_next *next, const struct grammar_value *v, const char *what,
			const char *typed)
{
	next->value = v;
	next->what = what;
	for (size_t i = 0; v->kind == GRAMMAR_CHOICE && v->words[i]; i++)
		offer(next, v->words[i], NULL, typed);
}

/* The words of a command, as an argument of `help`. */
static void offer_command(struct grammar_next *next, int argc, char *const *argv, const char *typed,
			  bool shell)
{
	struct grammar_word child[GRAMMAR_NEXT];
	struct grammar_place p;
	char why[GRAMMAR_WHY];

	if (grammar_find(&p, argc, argv, shell, why) || p.used != argc)
		return;
	for (size_t i = 0, n = grammar_children(p.words, shell, child, GRAMMAR_NEXT); i < n; i++)
		offer(next, child[i].text, child[i].help, typed);
}

/* The option that typed means, whole or cut short; *value: its value is in the same word. */
static const struct grammar_option *option_of(const struct grammar_option *list, size_t n,
					      const char *typed, bool *value)
{
	size_t len = strcspn(typed, "=");
	const struct grammar_option *found = NULL;
	size_t many = 0;

	*value = typed[len] != '\0';
	for (size_t i = 0; i < n && len > 2; i++) {
		if (strncmp(list[i].name, typed, len) != 0)
			continue;
		if (!list[i].name[len])
			return &list[i];
		found = &list[i];
		many++;
	}
	return many == 1 ? found : NULL;
}

/* What of the command's line has been said. */
struct said {
	const struct grammar_option *open; /* its value is next */
	size_t arguments;                  /* so many of the table's are done */
	int first_argument;                /* in argv, -1: none */
	bool dashes, many;                 /* many: one of the last, of which there may be more */
	bool used[GRAMMAR_NEXT];
};

static void read_said(struct said *s, const struct grammar_command *c, int argc, char *const *argv)
{
	*s = (struct said){.first_argument = -1};
	for (int i = 0; i < argc; i++) {
		const struct grammar_option *o;
		bool value = false;

		if (s->open) {
			s->open = NULL;
			continue;
		}
		if (!s->dashes && !strcmp(argv[i], "--")) {
			s->dashes = true;
			continue;
		}
		o = s->dashes ? NULL : option_of(c->option, c->n_options, argv[i], &value);
		if (o) {
			if (o - c->option < GRAMMAR_NEXT)
				s->used[o - c->option] = true;
			s->open = value || o->value.kind == GRAMMAR_FLAG ? NULL : o;
		} else if (argv[i][0] != '-' || !argv[i][1] || s->dashes) {
			if (s->first_argument < 0)
				s->first_argument = i;
			s->many = s->arguments < c->n_arguments && c->argument[s->arguments].many;
			s->arguments += !s->many;
		}
	}
}

static void offer_options(struct grammar_next *next, const struct said *s, const char *typed)
{
	const struct grammar_command *c = next->command;

	for (size_t i = 0; i < c->n_options && i < GRAMMAR_NEXT; i++)
		if (!s->used[i] || c->option[i].many)
			offer(next, c->option[i].name, c->option[i].help, typed);
}

/* Behind the words of a command. */
static void next_of_command(struct grammar_next *next, int argc, char *const *argv,
			    const char *typed, bool shell)
{
	const struct grammar_command *c = next->command;
	const struct grammar_argument *a;
	struct said s;
	int first;

	read_said(&s, c, argc, argv);
	next->complete = !s.open;
	if (s.open) {
		offer_value(next, &s.open->value, s.open->help, typed);
		return;
	}
	a = s.arguments < c->n_arguments ? &c->argument[s.arguments] : NULL;
	if (a && a->needed && !s.many)
		next->complete = false;
	first = s.first_argument < 0 ? argc : s.first_argument;
	if (a && a->value.kind == GRAMMAR_COMMAND) {
		next->what = a->help;
		offer_command(next, argc - first, argv + first, typed, shell);
	} else if (a) {
		offer_value(next, &a->value, a->help, typed);
	}
	if (!s.dashes)
		offer_options(next, &s, typed);
}

void grammar_next(struct grammar_next *next, int argc, char *const *argv, const char *typed,
		  bool shell)
{
	char **rest = calloc((size_t)argc + 1, sizeof(*rest));
	struct grammar_word child[GRAMMAR_NEXT];
	struct grammar_globals g;
	struct grammar_place p;

	memset(next, 0, sizeof(*next));
	if (!rest)
		return;
	if (argc)
		memcpy(rest, argv, (size_t)argc * sizeof(*rest));
	argc = grammar_globals(&g, argc, rest);
	if (g.open) {
		offer_value(next, &globals[SOCKET].value, globals[SOCKET].help, typed);
		goto out;
	}
	if (!shell && argc && !strcmp(rest[argc - 1], instead[BATCH].name) &&
	    (argc == 1 || (argc == 2 && !strcmp(rest[0], instead[KEEP_GOING].name)))) {
		offer_value(next, &instead[BATCH].value, instead[BATCH].help, typed);
		goto out;
	}
	if (grammar_find(&p, argc, rest, shell, next->why))
		goto out;
	memcpy(next->words, p.words, sizeof(next->words));
	/* Words only where all before are words. */
	for (size_t i = 0,
		    n = p.used == argc ? grammar_children(p.words, shell, child, GRAMMAR_NEXT) : 0;
	     i < n; i++)
		offer(next, child[i].text, child[i].help, typed);
	next->command = p.command;
	if (next->command)
		next_of_command(next, argc - p.used, rest + p.used, typed, shell);
	if (!argc)
		for (int i = 0; i < GLOBALS; i++)
			offer(next, globals[i].name, globals[i].help, typed);
	if (!argc && !shell)
		for (int i = 0; i < INSTEAD; i++)
			offer(next, instead[i].name, instead[i].help, typed);
	if (argc == 1 && !shell && !strcmp(rest[0], instead[KEEP_GOING].name))
		offer(next, instead[BATCH].name, instead[BATCH].help, typed);
out:
	free(rest);
}
