/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/cli.h"
#include "control/cli/findings.h"
#include "postern/ascii.h"

static const char *const level_name[] = {[FINDINGS_OK] = "ok",
					 [FINDINGS_WARNING] = "warning",
					 [FINDINGS_FAIL] = "FAIL",
					 [FINDINGS_UNKNOWN] = "unknown"};

/* Parts of it come from messages, certificates and the DNS. */
static void __attribute__((format(printf, 2, 0))) write_text(char *out, const char *fmt, va_list ap)
{
	vsnprintf(out, FINDINGS_TEXT, fmt, ap);
	for (char *p = out; *p; p++)
		if (!ascii_is_vchar((uint8_t)*p) && *p != ' ')
			*p = '?';
}

void findings_add(struct findings *f, const char *code, enum findings_level level, const char *fmt,
		  ...)
{
	struct check *c;
	va_list ap;

	if (f->n == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 32;
		struct check *more = realloc(f->check, cap * sizeof(*more));

		if (!more) {
			f->failed = true;
			return;
		}
		f->check = more;
		f->cap = cap;
	}
	c = &f->check[f->n++];
	c->code = code;
	c->level = level;
	c->advice[0] = '\0';
	va_start(ap, fmt);
	write_text(c->text, fmt, ap);
	va_end(ap);
}

void findings_advise(struct findings *f, const char *fmt, ...)
{
	va_list ap;

	if (!f->n)
		return;
	va_start(ap, fmt);
	write_text(f->check[f->n - 1].advice, fmt, ap);
	va_end(ap);
}

bool findings_has(const struct findings *f, const char *code, enum findings_level least)
{
	for (size_t i = 0; i < f->n; i++)
		if (!strcmp(f->check[i].code, code) && f->check[i].level >= least)
			return true;
	return false;
}

int findings_exit(const struct findings *f)
{
	bool unknown = f->failed;

	for (size_t i = 0; i < f->n; i++) {
		if (f->check[i].level == FINDINGS_WARNING || f->check[i].level == FINDINGS_FAIL)
			return CLI_FINDING;
		unknown |= f->check[i].level == FINDINGS_UNKNOWN;
	}
	return unknown ? CLI_UNREACHABLE : CLI_OK;
}

json_t *findings_json(const struct findings *f)
{
	json_t *a = json_array();

	for (size_t i = 0; i < f->n; i++) {
		const struct check *c = &f->check[i];

		json_array_append_new(a, json_pack("{s:s, s:s, s:s, s:s}", "code", c->code, "level",
						   level_name[c->level], "text", c->text, "advice",
						   c->advice));
	}
	return a;
}

/* Words of the text in lines of 96 columns, behind as much space as there is before the first. */
static void print_wrapped(int indent, const char *text)
{
	int column = indent;

	while (*text) {
		int n = (int)strcspn(text, " ");

		if (column > indent && column + 1 + n > 96)
			column = printf("\n%*s", indent, "") - 1;
		else if (column > indent)
			column += printf(" ");
		column += printf("%.*s", n, text);
		text += n;
		text += strspn(text, " ");
	}
	puts("");
}

void findings_print(const struct findings *f)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct check *c = &f->check[i];

		printf("%-8s %-18s ", level_name[c->level], c->code);
		print_wrapped(28, c->text);
		if (c->advice[0]) {
			printf("%*s", 28, "do: ");
			print_wrapped(28, c->advice);
		}
	}
	if (f->failed)
		puts("unknown  memory             out of memory: more was found than is shown");
}

void findings_free(struct findings *f)
{
	free(f->check);
	f->check = NULL;
	f->n = f->cap = 0;
}
