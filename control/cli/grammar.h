/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The one grammar of posternctl: a table of commands, and what is made of it. Dispatch, errors,
 * help, usage, the manual page, completion of the shell and of bash and zsh all read this table and
 * no other. It knows nothing of daemons, terminals or files.
 *
 * A command line is the words of a command, then options and arguments in any order. Words may be
 * cut short where no other command is meant, but not those of a command that changes something:
 * what `d` means may change with the next version.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct cli;

enum grammar_kind {
	GRAMMAR_FLAG,   /* of an option: it has no value */
	GRAMMAR_CHOICE, /* one of `words` */
	GRAMMAR_TEXT,   /* nothing is known of it; numbers, times, domains, patterns */
	GRAMMAR_FILE,
	GRAMMAR_MESSAGE, /* a trace id, or a file */
	GRAMMAR_TRACE,   /* a trace id */
	GRAMMAR_ADDRESS, /* of a peer or a mailbox */
	GRAMMAR_ROUTE,
	GRAMMAR_RULE,
	GRAMMAR_HELD,    /* a message in the quarantine */
	GRAMMAR_KEY,     /* of the configuration */
	GRAMMAR_COMMAND, /* the words of a command */
};

struct grammar_value {
	enum grammar_kind kind;
	const char *name;         /* as usage has it: "FILE|-"; NULL: the words themselves */
	const char *const *words; /* of a choice, NULL at the end */
};

struct grammar_option {
	const char *name; /* with its dashes */
	struct grammar_value value;
	const char *help; /* a few words, without a full stop */
	bool many, needed;
};

struct grammar_argument {
	struct grammar_value value;
	const char *help; /* what it is, as in "which HELP?" */
	bool many, needed;
};

enum {
	GRAMMAR_CHANGES = 1, /* its words and options are written out */
	GRAMMAR_SHELL = 2,   /* in the shell only */
	GRAMMAR_OUTSIDE = 4, /* not in the shell and not in a batch */
	GRAMMAR_RAW = 8,     /* what begins with - is an argument as well */
	GRAMMAR_DASHES = 16, /* `run` reads options, and knows "--" in front of arguments */
};

struct grammar_command {
	const char *words; /* "show status" */
	const char *help;  /* a line */
	const char *text;  /* what the manual says, in scdoc's marks; NULL: see the one before */
	const struct grammar_option *option;
	const struct grammar_argument *argument; /* only the last one may be `many` */
	size_t n_options, n_arguments;
	unsigned int flags;
	/* NULL: the daemon is asked; a member of the request bears the name of each option (without
	 * dashes; a flag is true) and of each argument's `request`. */
	int (*run)(const struct cli *cli, int argc, char **argv);
	int skip;            /* argv begins behind so many of the words */
	const char *request; /* the member for the argument, where the daemon is asked */
};

/* Words that begin more than one command. */
struct grammar_group {
	const char *word, *help;
	const char *otherwise; /* the command that the word alone means; NULL: none */
};

extern const struct grammar_command grammar_daemon[], grammar_files[];
extern const size_t n_grammar_daemon, n_grammar_files;
extern const struct grammar_group grammar_groups[];
extern const size_t n_grammar_groups;

/* All of them; NULL behind the last. */
const struct grammar_command *grammar_at(size_t i);
const struct grammar_command *grammar_named(const char *words);
const struct grammar_group *grammar_group(const char *word);
/* In the shell and in batches, or outside of them. */
bool grammar_is_here(const struct grammar_command *c, bool shell);

/* ---- a command line ---- */

#define GRAMMAR_WORDS 64 /* octets of a command's words */
#define GRAMMAR_WHY   512

struct grammar_item {
	const struct grammar_option *option; /* one of both */
	const struct grammar_argument *argument;
	char *value; /* NULL: of a flag */
};

struct grammar_call {
	const struct grammar_command *command;
	int argc;
	char **argv; /* whole words and names; every value behind its option. If an argument could be
		      * taken for an option: all options first, and behind them "--" if `run` knows it */
	struct grammar_item *item;
	size_t n_items;
};

/* 0; -EINVAL: `why` says which word is wrong; -ENOMEM. The strings of argv are borrowed. shell: the
 * commands of the shell count and those outside of it do not. */
int grammar_parse(struct grammar_call *call, int argc, char **argv, bool shell,
		  char why[GRAMMAR_WHY]);
void grammar_call_free(struct grammar_call *call);

/* What may stand anywhere before "--". */
struct grammar_globals {
	bool json;
	const char *socket; /* NULL: not said */
	bool open;          /* the last word is --socket: its value is missing */
};
/* Takes them out of argv, which has room for the NULL at its end; the new argc. */
int grammar_globals(struct grammar_globals *g, int argc, char **argv);

/* How far the words of a command go. */
struct grammar_place {
	char words[GRAMMAR_WORDS];             /* written out */
	int used;                              /* of argv */
	bool cut;                              /* one of them was cut short */
	const struct grammar_command *command; /* that may stand here; NULL: a word is missing */
};
/* 0, or -EINVAL and `why` says which word is wrong; a missing one is no error. */
int grammar_find(struct grammar_place *p, int argc, char *const *argv, bool shell,
		 char why[GRAMMAR_WHY]);

/* The words that may stand behind `prefix` ("" or "show"), in the order of the table, each once;
 * help of each. How many there are, as many as `cap` are written. */
struct grammar_word {
	char text[32];
	const char *help;
};
size_t grammar_children(const char *prefix, bool shell, struct grammar_word *word, size_t cap);

/* ---- what may come next ---- */

#define GRAMMAR_NEXT 128

struct grammar_candidate {
	char text[64];
	const char *help;
};

struct grammar_next {
	struct grammar_candidate c[GRAMMAR_NEXT]; /* begin with what was typed */
	size_t n;
	const struct grammar_value *value;     /* NULL: none; its words are looked up elsewhere */
	const char *what;                      /* of the value, in words */
	const struct grammar_command *command; /* NULL: words of it are missing */
	bool complete;                         /* the command may end here */
	char words[GRAMMAR_WORDS];             /* of the command, as far as it goes */
	char why[GRAMMAR_WHY];                 /* "": what stands before it is sound */
};

/* argv: whole words before the one that is being typed, with those that may stand anywhere. */
void grammar_next(struct grammar_next *next, int argc, char *const *argv, const char *typed,
		  bool shell);

/* ---- in words ---- */

/* "show drops [--all]"; scdoc: with its marks. */
void grammar_synopsis(FILE *f, const struct grammar_command *c, bool scdoc);
void grammar_usage(FILE *f);
/* Help of one command: synopsis, text, options. */
void grammar_help(FILE *f, const struct grammar_command *c, unsigned int width);
/* The commands that begin with these words, a line each. */
void grammar_list(FILE *f, const char *words, bool shell);
/* The section COMMANDS of the manual page. */
void grammar_manual(FILE *f);

/* The member of `words` nearest to what was typed; NULL: nothing is near. */
const char *grammar_nearest(const char *typed, const char *const *words, size_t n);
