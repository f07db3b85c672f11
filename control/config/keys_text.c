/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The table of keys, written out for a terminal, as Markdown and for scdoc. */

#include <string.h>

#include "control/config/keys.h"

#define LONGEST 512 /* a type with its words or its form */

static void put(FILE *f, enum config_markup m, char c)
{
	/* scdoc(5): these begin markup wherever they stand. */
	if (m == MARKUP_SCDOC && strchr("*_\\", c))
		fputc('\\', f);
	/* `code` is taken care of by whoever prints it; elsewhere these would begin markup. */
	if (m == MARKUP_MARKDOWN && strchr("*_<|\\", c))
		fputc('\\', f);
	fputc(c, f);
}

/* A word without white space. *code: a `code` is open, also behind it. Columns it takes. */
static unsigned int put_word(FILE *f, enum config_markup m, const char *word, size_t n, bool *code)
{
	unsigned int columns = 0;

	for (size_t i = 0; i < n; i++) {
		if (word[i] == '`') {
			*code = !*code;
			if (m != MARKUP_PLAIN)
				fputc(m == MARKUP_SCDOC ? '*' : '`', f);
			columns += m != MARKUP_PLAIN;
			continue;
		}
		if (m == MARKUP_MARKDOWN && *code)
			fputc(word[i], f);
		else
			put(f, m, word[i]);
		columns++;
	}
	return columns;
}

static unsigned int columns_of(enum config_markup m, const char *word, size_t n)
{
	unsigned int columns = 0;

	for (size_t i = 0; i < n; i++)
		columns += word[i] != '`' || m != MARKUP_PLAIN;
	return columns;
}

static void begin(FILE *f, enum config_markup m, unsigned int indent)
{
	if (m == MARKUP_SCDOC)
		fputs(indent ? "\t" : "", f);
	else
		fprintf(f, "%*s", (int)indent, "");
}

void config_print_text(FILE *f, enum config_markup m, const char *text, unsigned int indent,
		       unsigned int width)
{
	unsigned int column = indent;
	bool code = false;

	begin(f, m, indent);
	while (*text) {
		size_t n = strcspn(text, " \n");
		unsigned int w = columns_of(m, text, n);

		if (column > indent && column + 1 + w > width) {
			fputc('\n', f);
			begin(f, m, indent);
			column = indent;
		} else if (column > indent) {
			fputc(' ', f);
			column++;
		}
		column += put_word(f, m, text, n, &code);
		text += n;
		if (*text == '\n') {
			fputs("\n\n", f);
			begin(f, m, indent);
			column = indent;
		}
		text += *text != '\0';
	}
	fputc('\n', f);
}

/* "Required. Time, 1s to 1h. Default: 30s. A change needs a restart." */
static void facts(const struct config_info *k, char *out, size_t cap)
{
	char type[LONGEST], def[160];

	config_type_text(k, type, sizeof(type));
	config_default_text(k, def, sizeof(def));
	if (type[0] >= 'a' && type[0] <= 'z')
		type[0] = (char)(type[0] - 'a' + 'A');
	snprintf(out, cap, "%s%s%s%s%s%s", k->needed ? "Required. " : "", type, ".",
		 def[0] ? " Default: " : "", def, def[0] ? "." : "");
	if (k->flags & KEY_RESTART)
		strncat(out, " A change needs a restart of control.", cap - strlen(out) - 1);
	if (k->flags & KEY_SECRET)
		strncat(out, " Never shown.", cap - strlen(out) - 1);
}

void config_print_key(FILE *f, enum config_markup m, const struct config_section_info *s,
		      const struct config_info *k, unsigned int width)
{
	char path[160], about[LONGEST + 320];

	facts(k, about, sizeof(about));
	if (m == MARKUP_PLAIN) {
		fprintf(f, "%s\n", config_key_path(s, k, path, sizeof(path)));
		config_print_text(f, m, about, 4, width);
		config_print_text(f, m, k->text, 4, width);
		return;
	}
	if (m == MARKUP_MARKDOWN) {
		fprintf(f, "- **`%s`**\n", k->name);
		config_print_text(f, m, about, 2, width);
		config_print_text(f, m, k->text, 2, width);
		return;
	}
	fprintf(f, "*%s*\n", k->name);
	config_print_text(f, m, about, 1, width);
	config_print_text(f, m, k->text, 1, width);
	fputc('\n', f);
}

/* How the section is written: `route "NAME" { policy { ... } }` is shown as "route "NAME", policy".
 */
static void heading(FILE *f, const char *path)
{
	char part[160], sub[160] = "";
	const struct config_section_info *s;
	const struct config_info *k;
	size_t n = 0;

	if (!path[0]) {
		fputs("Top level", f);
		return;
	}
	for (const char *p = path; *p; p += n + (p[n] == '.')) {
		n = strcspn(p, ".");
		snprintf(sub, sizeof(sub), "%.*s", (int)(p - path + (long)n), path);
		snprintf(part, sizeof(part), "%.*s", (int)n, p);
		k = config_key_find(sub, &s);
		fprintf(f, "%s%s%s", p == path ? "" : ", ", part,
			k && k->type == KEY_NAMED ? " \"NAME\"" : "");
	}
}

void config_print_section(FILE *f, enum config_markup m, const struct config_section_info *s,
			  unsigned int width)
{
	fputs(m == MARKUP_MARKDOWN ? "## " : m == MARKUP_SCDOC ? "# " : "", f);
	heading(f, s->path);
	fputs("\n\n", f);
	if (s->about) {
		config_print_text(f, m, s->about, 0, width);
		fputc('\n', f);
	}
	for (size_t i = 0; i < s->n; i++) {
		/* Said once, under `policy`. */
		if (!strcmp(s->path, "route.policy"))
			break;
		config_print_key(f, m, s, &s->key[i], width);
		if (m == MARKUP_PLAIN)
			fputc('\n', f);
	}
	if (m == MARKUP_MARKDOWN && strcmp(s->path, "route.policy"))
		fputc('\n', f);
	if (s->behind) {
		config_print_text(f, m, s->behind, 0, width);
		fputc('\n', f);
	}
}
