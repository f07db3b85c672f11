/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The table in words: usage, help, and the commands of the manual page. */

#include <stdlib.h>
#include <string.h>

#include "control/cli/grammar.h"
#include "postern/ascii.h"

#define USAGE_WIDTH  100
#define USAGE_COLUMN 43 /* where it says what a command is for */
#define OPTION_WIDTH 28
#define PIECE        256

/* ---- a synopsis, piece by piece ---- */

static void value_name(const struct grammar_value *v, char *out, size_t cap)
{
	size_t n = 0;

	if (v->name || v->kind != GRAMMAR_CHOICE) {
		snprintf(out, cap, "%s", v->name ? v->name : "");
		return;
	}
	for (size_t i = 0; v->words[i] && n < cap; i++)
		n += (size_t)snprintf(out + n, cap - n, "%s%s", i ? "|" : "", v->words[i]);
}

/* The i-th piece behind the words; false: there are no more. */
static bool piece(const struct grammar_command *c, size_t i, char *out, size_t cap)
{
	char value[PIECE / 2];

	if (i < c->n_options) {
		const struct grammar_option *o = &c->option[i];

		value_name(&o->value, value, sizeof(value));
		snprintf(out, cap, "%s%s%s%s%s%s", o->needed ? "" : "[", o->name, *value ? " " : "",
			 value, o->needed ? "" : "]", o->many ? "..." : "");
		return true;
	}
	i -= c->n_options;
	if (i < c->n_arguments) {
		const struct grammar_argument *a = &c->argument[i];

		value_name(&a->value, value, sizeof(value));
		snprintf(out, cap, "%s%s%s%s", a->needed ? "" : "[", value, a->needed ? "" : "]",
			 a->many ? "..." : "");
		return true;
	}
	return false;
}

void grammar_synopsis(FILE *f, const struct grammar_command *c, bool scdoc)
{
	char text[PIECE];

	fprintf(f, scdoc ? "*%s*" : "%s", c->words);
	for (size_t i = 0; piece(c, i, text, sizeof(text)); i++) {
		fputc(' ', f);
		for (const char *p = text; *p; p++)
			fprintf(f, scdoc && strchr("*_\\", *p) ? "\\%c" : "%c", *p);
	}
}

/* The same on lines of their own; returns how long the last one is. */
static size_t print_pieces(FILE *f, const struct grammar_command *c, size_t indent, size_t width)
{
	size_t at = (size_t)fprintf(f, "%*s%s", (int)indent, "", c->words);
	char text[PIECE];

	for (size_t i = 0; piece(c, i, text, sizeof(text)); i++) {
		if (at + 1 + strlen(text) > width) {
			fputc('\n', f);
			at = (size_t)fprintf(f, "%*s", (int)indent + 4, "");
		}
		at += (size_t)fprintf(f, " %s", text);
	}
	return at;
}

static void print_line(FILE *f, const struct grammar_command *c)
{
	size_t at = print_pieces(f, c, 2, USAGE_WIDTH);

	if (at + 1 > USAGE_COLUMN) {
		fputc('\n', f);
		at = 0;
	}
	fprintf(f, "%*s%s\n", (int)(USAGE_COLUMN - at), "", c->help);
}

void grammar_usage(FILE *f)
{
	const struct grammar_command *c;

	fputs("usage: posternctl [--socket PATH] [--json] COMMAND\n"
	      "       posternctl [--socket PATH] [--json] [--keep-going] -f FILE|-\n",
	      f);
	for (size_t i = 0; (c = grammar_at(i)); i++)
		if (grammar_is_here(c, false))
			print_line(f, c);
	fputs("Without a command, at a terminal: the shell. Words may be cut short (show w), but "
	      "not those of what\n"
	      "changes something. exit codes: 0 ok, 1 finding, 2 usage, 3 daemon unreachable\n",
	      f);
}

void grammar_list(FILE *f, const char *words, bool shell)
{
	const struct grammar_command *c;
	size_t len = strlen(words);

	for (size_t i = 0; (c = grammar_at(i)); i++)
		if (grammar_is_here(c, shell) &&
		    (!len || (!strncmp(c->words, words, len) && strchr(" ", c->words[len]))))
			fprintf(f, "  %-22s %s\n", c->words, c->help);
}

/* ---- help of a command ---- */

/* As scdoc(5) reads it: within a word an underscore is itself, unless it ends what one began. */
static bool is_mark(const char *p, size_t i, size_t n, bool underlined)
{
	if (p[i] != '_')
		return p[i] == '*';
	return !i || !ascii_is_alnum((uint8_t)p[i - 1]) ||
	       (underlined && (i + 1 == n || !ascii_is_alnum((uint8_t)p[i + 1])));
}

/* A paragraph of scdoc without its marks, in lines of that width. */
static void print_paragraph(FILE *f, const char *p, size_t n, size_t width)
{
	bool underlined = false;
	size_t at = 0;

	for (size_t i = 0; i < n;) {
		char word[PIECE];
		size_t len = 0;

		for (; i < n && p[i] != ' ' && len + 1 < sizeof(word); i++) {
			if (p[i] == '\\' && i + 1 < n)
				word[len++] = p[++i];
			else if (!is_mark(p, i, n, underlined))
				word[len++] = p[i];
			else
				underlined ^= p[i] == '_';
		}
		word[len] = '\0';
		while (i < n && p[i] == ' ')
			i++;
		if (at && at + 1 + len > width) {
			fputc('\n', f);
			at = 0;
		}
		at += (size_t)fprintf(f, at ? " %s" : "    %s", word);
	}
	fputc('\n', f);
}

/* From column `indent` on, and below it where there is more. */
static void print_beside(FILE *f, const char *text, size_t indent, size_t width)
{
	size_t at = indent;

	while (*text) {
		size_t n = strcspn(text, " ");

		if (at > indent && at + 1 + n > width)
			at = (size_t)fprintf(f, "\n%*s", (int)indent, "") - 1;
		at += (size_t)fprintf(f, "%s%.*s", at > indent ? " " : "", (int)n, text);
		text += n;
		text += strspn(text, " ");
	}
	fputc('\n', f);
}

/* Commands that are told about together have the text of the first. */
static const char *text_of(const struct grammar_command *c)
{
	const struct grammar_command *o;
	const char *text = c->text;

	for (size_t i = 0; !c->text && (o = grammar_at(i)) && o != c; i++)
		text = o->text ? o->text : text;
	return text ? text : c->help;
}

void grammar_help(FILE *f, const struct grammar_command *c, unsigned int width)
{
	print_pieces(f, c, 0, width);
	fputc('\n', f);
	for (const char *p = text_of(c), *end; *p; p = *end ? end + 1 : end) {
		end = strchrnul(p, '\n');
		print_paragraph(f, p, (size_t)(end - p), width);
	}
	if (c->n_options)
		fputc('\n', f);
	for (size_t i = 0; i < c->n_options; i++) {
		const struct grammar_option *o = &c->option[i];
		char value[PIECE / 2], name[PIECE], help[PIECE];

		value_name(&o->value, value, sizeof(value));
		snprintf(name, sizeof(name), "%s%s%s", o->name, *value ? " " : "", value);
		snprintf(help, sizeof(help), "%s%s", o->help,
			 o->many     ? "; may be repeated"
			 : o->needed ? "; needed"
				     : "");
		if (strlen(name) > OPTION_WIDTH)
			fprintf(f, "    %s\n    %*s ", name, OPTION_WIDTH, "");
		else
			fprintf(f, "    %-*s ", OPTION_WIDTH, name);
		print_beside(f, help, OPTION_WIDTH + 5, width);
	}
	if (c->flags & GRAMMAR_CHANGES)
		fputs("\n    It changes something: its words are written out.\n", f);
}

/* ---- the manual page ---- */

void grammar_manual(FILE *f)
{
	const struct grammar_command *c, *more;

	for (size_t i = 0; (c = grammar_at(i)); i++) {
		if (!c->text)
			continue;
		grammar_synopsis(f, c, true);
		for (size_t k = i + 1; (more = grammar_at(k)) && !more->text; k++) {
			fputs(", ", f);
			grammar_synopsis(f, more, true);
		}
		fputs("\n\t", f);
		for (const char *p = c->text; *p; p++)
			fputs(*p == '\n' ? "\n\n\t" : (char[]){*p, '\0'}, f);
		fputs("\n\n", f);
	}
}
