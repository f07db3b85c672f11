/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Finds the command in a line, and reads its options and arguments by the table. */

#include "control/cli/grammar.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/cli.h"
#include "control/config/keys.h"

#define CHILDREN 64 /* words behind one word; test_grammar counts them */

const struct grammar_command *grammar_at(size_t i)
{
	if (i < n_grammar_daemon)
		return &grammar_daemon[i];
	i -= n_grammar_daemon;
	return i < n_grammar_files ? &grammar_files[i] : NULL;
}

const struct grammar_command *grammar_named(const char *words)
{
	const struct grammar_command *c;

	for (size_t i = 0; (c = grammar_at(i)); i++)
		if (!strcmp(c->words, words))
			return c;
	return NULL;
}

const struct grammar_group *grammar_group(const char *word)
{
	for (size_t i = 0; i < n_grammar_groups; i++)
		if (!strcmp(grammar_groups[i].word, word))
			return &grammar_groups[i];
	return NULL;
}

bool grammar_is_here(const struct grammar_command *c, bool shell)
{
	return !(c->flags & (shell ? GRAMMAR_OUTSIDE : GRAMMAR_SHELL));
}

/* The word of c behind prefix; NULL: it has none. */
static const char *word_behind(const struct grammar_command *c, const char *prefix, size_t *n)
{
	size_t len = strlen(prefix);
	const char *p = c->words;

	if (len) {
		if (strncmp(p, prefix, len) != 0 || p[len] != ' ')
			return NULL;
		p += len + 1;
	}
	*n = strcspn(p, " ");
	return p;
}

size_t grammar_children(const char *prefix, bool shell, struct grammar_word *word, size_t cap)
{
	const struct grammar_command *c;
	size_t n = 0, len;

	for (size_t i = 0; (c = grammar_at(i)); i++) {
		const char *p = word_behind(c, prefix, &len);
		const struct grammar_group *g;
		size_t k = 0;

		if (!p || !grammar_is_here(c, shell))
			continue;
		while (k < n && k < cap &&
		       (strncmp(word[k].text, p, len) != 0 || word[k].text[len]))
			k++;
		if (k < n)
			continue;
		if (n < cap) {
			snprintf(word[n].text, sizeof(word[n].text), "%.*s", (int)len, p);
			g = *prefix ? NULL : grammar_group(word[n].text);
			word[n].help = g ? g->help : c->help;
		}
		n++;
	}
	return n < cap ? n : cap;
}

/* ---- errors ---- */

const char *grammar_nearest(const char *typed, const char *const *words, size_t n)
{
	size_t len = strlen(typed) - strspn(typed, "-");
	/* Half of it wrong: another word was meant. */
	unsigned int best_d =
		(len + 1) / 2 < CONFIG_NEAR ? (unsigned int)(len + 1) / 2 + 1 : CONFIG_NEAR + 1;
	const char *best = NULL;

	for (size_t i = 0; i < n; i++) {
		unsigned int d = config_word_distance(typed, words[i], best_d);

		if (d < best_d && d < strlen(words[i])) {
			best_d = d;
			best = words[i];
		}
	}
	return best;
}

static int wrong(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int wrong(char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, GRAMMAR_WHY, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static void add(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(char *why, const char *fmt, ...)
{
	size_t n = strlen(why);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why + n, GRAMMAR_WHY - n, fmt, ap);
	va_end(ap);
}

/* "a, b or c" */
static void add_list(char *why, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		add(why, "%s%s", !i ? "" : i + 1 < n ? ", " : " or ", words[i]);
}

static void add_nearest(char *why, const char *typed, const char *const *words, size_t n)
{
	const char *near = grammar_nearest(typed, words, n);

	if (near)
		add(why, "; did you mean %s?", near);
}

/* ---- words ---- */

static int no_such_word(const struct grammar_place *p, const char *typed, const char *const *words,
			size_t n, char *why)
{
	if (!*p->words)
		wrong(why, "there is no command \"%.64s\"", show_plain(typed));
	else
		wrong(why, "%s: there is no \"%.64s\"", p->words, show_plain(typed));
	if (grammar_nearest(typed, words, n)) {
		add_nearest(why, typed, words, n);
	} else if (*p->words) {
		add(why, "; there is ");
		add_list(why, words, n);
	}
	return -EINVAL;
}

/* How many of the children typed may mean; *at: the last of them. */
static size_t matches(const struct grammar_word *child, size_t n, const char *typed, size_t *at)
{
	size_t found = 0;

	for (size_t i = 0; i < n && *typed; i++) {
		if (!strcmp(child[i].text, typed)) {
			*at = i;
			return 1;
		}
		if (!strncmp(child[i].text, typed, strlen(typed))) {
			*at = i;
			found++;
		}
	}
	return found;
}

static int ambiguous(const struct grammar_place *p, const struct grammar_word *child, size_t n,
		     const char *typed, char *why)
{
	const char *may[CHILDREN];
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (!strncmp(child[i].text, typed, strlen(typed)))
			may[k++] = child[i].text;
	wrong(why, "%s%s\"%.64s\" may be ", p->words, *p->words ? ": " : "", show_plain(typed));
	add_list(why, may, k);
	return -EINVAL;
}

/* What stands at the words so far, and what the word alone means. */
static const struct grammar_command *standing(const struct grammar_place *p)
{
	const struct grammar_command *c = grammar_named(p->words);
	const struct grammar_group *g = c ? NULL : grammar_group(p->words);

	return g && g->otherwise ? grammar_named(g->otherwise) : c;
}

int grammar_find(struct grammar_place *p, int argc, char *const *argv, bool shell,
		 char why[GRAMMAR_WHY])
{
	struct grammar_word child[CHILDREN];
	const char *words[CHILDREN];
	size_t n, at = 0, found;

	*p = (struct grammar_place){.used = 0};
	*why = '\0';
	for (;;) {
		const char *typed = p->used < argc ? argv[p->used] : NULL;

		p->command = standing(p);
		n = grammar_children(p->words, shell, child, CHILDREN);
		if (!typed || !n || typed[0] == '-')
			return 0;
		found = matches(child, n, typed, &at);
		if (found == 1) {
			size_t len = strlen(p->words);

			p->cut |= strcmp(child[at].text, typed) != 0;
			snprintf(p->words + len, sizeof(p->words) - len, "%s%s", len ? " " : "",
				 child[at].text);
			p->used++;
			continue;
		}
		for (size_t i = 0; i < n; i++)
			words[i] = child[i].text;
		if (p->command && p->command->n_arguments)
			return 0;
		return found ? ambiguous(p, child, n, typed, why)
			     : no_such_word(p, typed, words, n, why);
	}
}

/* typed: what stands in its place; NULL: nothing. */
static int word_missing(const struct grammar_place *p, const char *typed, bool shell, char *why)
{
	struct grammar_word child[CHILDREN];
	const char *words[CHILDREN];
	size_t n = grammar_children(p->words, shell, child, CHILDREN);

	for (size_t i = 0; i < n; i++)
		words[i] = child[i].text;
	if (typed && typed[0] == '-')
		return wrong(why, "\"%.64s\": options stand behind the words of a command",
			     show_plain(typed));
	wrong(why, *p->words ? "%s what? " : "%swhich command? ", p->words);
	add_list(why, words, n);
	return -EINVAL;
}

/* ---- options and arguments ---- */

struct reading {
	struct grammar_call *call;
	const struct grammar_command *c;
	size_t argument; /* which is next */
	bool dashes;     /* "--" was there */
	char *why;
};

static size_t count_words(const char *const *words)
{
	size_t n = 0;

	while (words[n])
		n++;
	return n;
}

static int check_choice(struct reading *r, const char *what, const struct grammar_value *v,
			const char *typed)
{
	size_t n;

	if (v->kind != GRAMMAR_CHOICE)
		return 0;
	n = count_words(v->words);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v->words[i], typed))
			return 0;
	wrong(r->why, "%s: %s: ", r->c->words, what);
	add_list(r->why, v->words, n);
	add(r->why, ", not \"%.64s\"", show_plain(typed));
	add_nearest(r->why, typed, v->words, n);
	return -EINVAL;
}

/* The option that typed (up to its =) means; NULL: why says so. */
static const struct grammar_option *find_option(struct reading *r, const char *typed, size_t len)
{
	const struct grammar_option *found = NULL;
	const char *names[CHILDREN];
	size_t n = 0, all = 0;
	char name[64];

	snprintf(name, sizeof(name), "%.*s", (int)len, typed);
	for (size_t i = 0; i < r->c->n_options && all < CHILDREN; i++) {
		const struct grammar_option *o = &r->c->option[i];

		if (!strcmp(o->name, name))
			return o;
		if (len > 2 && len < sizeof(name) && !strncmp(o->name, name, len)) {
			found = o;
			n++;
		}
		names[all++] = o->name;
	}
	if (n == 1 && !(r->c->flags & GRAMMAR_CHANGES))
		return found;
	wrong(r->why, "%s: unknown option \"%.64s\"", r->c->words, show_plain(name));
	if (n > 1) {
		wrong(r->why, "%s: option \"%.64s\" may be ", r->c->words, show_plain(name));
		for (size_t i = 0, k = 0; i < all; i++)
			if (!strncmp(names[i], name, len))
				add(r->why, "%s%s", !k++ ? "" : k < n ? ", " : " or ", names[i]);
	} else if (n == 1) {
		add(r->why, "; of a command that changes something it is written out: %s",
		    found->name);
	} else if (grammar_nearest(name, names, all)) {
		add_nearest(r->why, name, names, all);
	} else if (all) {
		add(r->why, "; there is ");
		add_list(r->why, names, all);
	}
	return NULL;
}

static void put(struct reading *r, struct grammar_item item)
{
	struct grammar_call *call = r->call;

	call->item[call->n_items++] = item;
	if (item.option)
		call->argv[call->argc++] =
			(char *)item.option->name; /* getopt moves it and leaves it whole */
	if (item.value)
		call->argv[call->argc++] = item.value;
}

/* argv[*i] is an option. */
static int read_option(struct reading *r, int argc, char **argv, int *i)
{
	char *typed = argv[*i], *equals = strchr(typed, '='), *value = NULL;
	size_t len = equals ? (size_t)(equals - typed) : strlen(typed);
	const struct grammar_option *o = find_option(r, typed, len);

	if (!o)
		return -EINVAL;
	if (o->value.kind == GRAMMAR_FLAG) {
		if (equals)
			return wrong(r->why, "%s: %s has no value", r->c->words, o->name);
	} else if (equals) {
		value = equals + 1;
	} else {
		if (*i + 1 >= argc)
			return wrong(r->why, "%s: %s without its value, %s", r->c->words, o->name,
				     o->help);
		value = argv[++*i];
	}
	if (value && check_choice(r, o->name, &o->value, value))
		return -EINVAL;
	put(r, (struct grammar_item){.option = o, .value = value});
	return 0;
}

static int read_argument(struct reading *r, char *typed)
{
	const struct grammar_command *c = r->c;
	const struct grammar_argument *a;

	if (r->argument >= c->n_arguments) {
		wrong(r->why, "%s: \"%.64s\" is one too many", c->words, show_plain(typed));
		if (!c->n_arguments)
			add(r->why, ", it takes no argument");
		return -EINVAL;
	}
	a = &c->argument[r->argument];
	if (check_choice(r, "expected", &a->value, typed))
		return -EINVAL;
	put(r, (struct grammar_item){.argument = a, .value = typed});
	r->argument += !a->many;
	return 0;
}

/* What getopt would take for an option. */
static bool is_option(const struct reading *r, const char *typed)
{
	return typed[0] == '-' && typed[1] && !r->dashes && !(r->c->flags & GRAMMAR_RAW);
}

/* Whole words of the command, behind which the function begins to read. */
static void put_words(struct grammar_call *call, char *words, int skip)
{
	char *save = NULL;

	for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
		if (skip-- <= 0)
			call->argv[call->argc++] = w;
}

static int missing(struct reading *r)
{
	const struct grammar_argument *a =
		r->argument < r->c->n_arguments ? &r->c->argument[r->argument] : NULL;

	if (!a || !a->needed)
		return 0;
	for (size_t i = 0; i < r->call->n_items; i++)
		if (r->call->item[i].argument == a)
			return 0;
	return wrong(r->why, "%s: which %s?", r->c->words, a->help);
}

/* Options first: an argument could be taken for one. */
static void put_in_order(struct reading *r, int first)
{
	struct grammar_call *call = r->call;

	call->argc = first;
	for (size_t i = 0; i < call->n_items; i++) {
		const struct grammar_item *o = &call->item[i];

		if (o->option)
			call->argv[call->argc++] = (char *)o->option->name;
		if (o->option && o->value)
			call->argv[call->argc++] = o->value;
	}
	if (r->c->flags & GRAMMAR_DASHES)
		call->argv[call->argc++] = (char *)"--";
	for (size_t i = 0; i < call->n_items; i++)
		if (call->item[i].argument)
			call->argv[call->argc++] = call->item[i].value;
}

static int read_all(struct reading *r, int argc, char **argv)
{
	bool dash_argument = false;
	int rc = 0, first = r->call->argc;

	for (int i = 0; i < argc && !rc; i++) {
		if (!r->dashes && !strcmp(argv[i], "--")) {
			r->dashes = true;
			continue;
		}
		dash_argument |= !is_option(r, argv[i]) && argv[i][0] == '-' && argv[i][1];
		rc = is_option(r, argv[i]) ? read_option(r, argc, argv, &i)
					   : read_argument(r, argv[i]);
	}
	if (!rc)
		rc = missing(r);
	if (!rc && dash_argument && !(r->c->flags & GRAMMAR_RAW))
		put_in_order(r, first);
	r->call->argv[r->call->argc] = NULL;
	return rc;
}

int grammar_parse(struct grammar_call *call, int argc, char **argv, bool shell,
		  char why[GRAMMAR_WHY])
{
	struct reading r = {.call = call, .why = why};
	struct grammar_place p;
	size_t words = sizeof(p.words);
	char *text;
	int rc;

	*call = (struct grammar_call){.argc = 0};
	rc = grammar_find(&p, argc, argv, shell, why);
	if (!rc && !p.command)
		rc = word_missing(&p, p.used < argc ? argv[p.used] : NULL, shell, why);
	if (rc)
		return rc;
	if (p.cut && (p.command->flags & GRAMMAR_CHANGES))
		return wrong(why, "%s changes something: its words are written out",
			     p.command->words);
	/* Every word as a name and a value, the words of the command, "--", NULL. */
	call->argv = calloc((size_t)argc * 2 + GRAMMAR_WORDS, sizeof(*call->argv) + 1);
	call->item = calloc((size_t)argc + 1, sizeof(*call->item));
	if (!call->argv || !call->item) {
		grammar_call_free(call);
		wrong(why, "out of memory");
		return -ENOMEM;
	}
	/* The words stand behind the pointers, for they are written to. */
	text = (char *)(call->argv + (size_t)argc * 2 + GRAMMAR_WORDS);
	snprintf(text, words, "%s", p.command->words);
	call->command = r.c = p.command;
	put_words(call, text, p.command->skip);
	rc = read_all(&r, argc - p.used, argv + p.used);
	if (rc)
		grammar_call_free(call);
	return rc;
}

void grammar_call_free(struct grammar_call *call)
{
	free(call->argv);
	free(call->item);
	*call = (struct grammar_call){.argc = 0};
}
