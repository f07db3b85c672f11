/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What may stand at a place of a command line: for Tab and `?` of the shell, and for bash and zsh.
 */

#include <stdlib.h>
#include <string.h>

#include "control/cli/grammar.h"

#define GLOBALS 2

static const struct grammar_option globals[GLOBALS] = {
	{.name = "--json", .help = "JSON, for programs"},
	{.name = "--socket", .value = {GRAMMAR_FILE, "PATH", NULL}, .help = "control's socket"},
};

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

/* Takes out what may stand anywhere. true: the value of one of them is what is being typed. */
static bool take_globals(struct grammar_next *next, int *argc, char *const *argv, char **rest,
			 const char *typed)
{
	int n = 0;

	for (int i = 0; i < *argc; i++) {
		const struct grammar_option *o = NULL;
		bool value = strncmp(argv[i], "--socket=", 9) == 0;

		for (int k = 0; k < GLOBALS; k++)
			if (!strcmp(globals[k].name, argv[i]))
				o = &globals[k];
		if (!o && !value) {
			rest[n++] = argv[i];
		} else if (!value && o->value.kind != GRAMMAR_FLAG && i++ + 1 == *argc) {
			offer_value(next, &o->value, o->help, typed);
			return true;
		}
	}
	*argc = n;
	return false;
}

void grammar_next(struct grammar_next *next, int argc, char *const *argv, const char *typed,
		  bool shell)
{
	char **rest = calloc((size_t)argc + 1, sizeof(*rest));
	struct grammar_word child[GRAMMAR_NEXT];
	struct grammar_place p;

	memset(next, 0, sizeof(*next));
	if (!rest || take_globals(next, &argc, argv, rest, typed))
		goto out;
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
	if (!p.used && !argc)
		for (int i = 0; i < GLOBALS; i++)
			offer(next, globals[i].name, globals[i].help, typed);
out:
	free(rest);
}
