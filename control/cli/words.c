/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/cli/words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* That no line has: it would draw on a terminal, or end a string. */
static bool is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

static int fault(char *why, int rc, const char *text, size_t at)
{
	snprintf(why, WORDS_WHY, "column %zu: %s", at + 1, text);
	return rc;
}

/* Reads one word that begins at *at; *out grows. */
static int read_word(struct words *w, const char *line, size_t n, size_t *at, char **out, char *why)
{
	size_t i = *at, opened = 0;
	char quote = 0, *to = *out;

	w->word[w->n++] = to;
	w->word[w->n] = NULL;
	w->begin = *at;
	for (; i < n && (quote || !is_blank(line[i])); i++) {
		char c = line[i];

		if (is_control(c) ||
		    (c == '\\' && quote != '\'' && i + 1 < n && is_control(line[i + 1]))) {
			*to = '\0';
			return fault(why, -EILSEQ, "a control character", i + !is_control(c));
		}
		if (quote ? c == quote : c == '\'' || c == '"') {
			quote = quote ? 0 : c;
			opened = i;
		} else if (c == '\\' && quote != '\'') {
			if (i + 1 == n) {
				w->quote = '\\';
				*to = '\0';
				*at = n;
				return fault(why, -EINVAL, "nothing behind the backslash", i);
			}
			if (quote && line[i + 1] != '"' && line[i + 1] != '\\')
				*to++ = c;
			else
				*to++ = line[++i];
		} else {
			*to++ = c;
		}
	}
	*to++ = '\0';
	*out = to;
	*at = i;
	w->quote = quote;
	return quote ? fault(why, -EINVAL,
			     quote == '"' ? "\" without its end" : "' without its end", opened)
		     : 0;
}

int words_split(struct words *w, const char *line, size_t n, char why[WORDS_WHY])
{
	size_t i = 0;
	char *out;
	int rc = 0;

	*w = (struct words){.begin = n};
	*why = '\0';
	/* A word takes its octets and a NUL, for which there is the blank in front of it, or this
	 * one more. */
	w->text = out = malloc(n + 2);
	if (!w->text)
		return fault(why, -ENOMEM, "out of memory", 0);
	while (!rc && !w->open) {
		while (i < n && is_blank(line[i]))
			i++;
		w->comment = i < n && line[i] == '#';
		if (i == n || w->comment)
			break; /* the last word, if there was one, was followed by a blank */
		if (w->n == LIMIT_CLI_WORDS)
			return fault(why, -E2BIG, "too many words", i);
		rc = read_word(w, line, n, &i, &out, why);
		w->open = i == n;
	}
	if (!w->open)
		w->begin = n;
	return rc;
}

void words_free(struct words *w)
{
	free(w->text);
	*w = (struct words){.n = 0};
}

size_t words_quote(const char *word, char *out, size_t cap)
{
	bool plain = *word && *word != '#' && !strpbrk(word, " \t'\"\\");
	size_t n = 0;

	if (!plain && n < cap)
		out[n++] = '\'';
	for (const char *p = word; *p; p++) {
		/* A ' ends what it stands in: '\'' */
		const char *piece = *p == '\'' ? "'\\''" : (char[]){*p, '\0'};
		size_t len = strlen(piece);

		if (n + len >= cap)
			return 0;
		memcpy(out + n, piece, len);
		n += len;
	}
	if (!plain && n < cap)
		out[n++] = '\'';
	if (n >= cap)
		return 0;
	out[n] = '\0';
	return n;
}
