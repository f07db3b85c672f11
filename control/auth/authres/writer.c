/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <stdio.h>

#include "control/auth/authres/authres.h"
#include "control/auth/authres/lex.h"
#include "postern/utf8.h"

#define MAX_LINE 998 /* RFC 5322 2.1.1, without CRLF */

static void put(struct authres_writer *w, uint8_t c)
{
	/* One octet stays for the final NUL. */
	if (w->len + 1 >= w->cap) {
		w->failed = true;
		return;
	}
	w->buf[w->len++] = (char)c;
}

static void put_text(struct authres_writer *w, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		put(w, s.p[i]);
}

static void put_escaped(struct authres_writer *w, struct str s, const char *special)
{
	for (size_t i = 0, n; i < s.n; i += n) {
		uint8_t c = s.p[i] >= 0x20 && s.p[i] < 0x7f ? s.p[i] : '?';

		n = w->utf8 && (s.p[i] & 0x80) ? utf8_non_ascii(s, i) : 0;
		if (n) {
			put_text(w, str_make(s.p + i, n));
			continue;
		}
		n = 1;
		if (strchr(special, c))
			put(w, '\\');
		put(w, c);
	}
}

static void put_quoted(struct authres_writer *w, struct str s)
{
	put(w, '"');
	put_escaped(w, s, "\"\\");
	put(w, '"');
}

/* Something has been written at `start`, a space in front of it. If the line is too long with it,
 * the space becomes a fold. What is longer than a line by itself cannot be written. */
static void settle(struct authres_writer *w, size_t start)
{
	size_t line = w->len;

	if (w->failed)
		return;
	while (line > 0 && w->buf[line - 1] != '\n')
		line--;
	if (w->len - line <= MAX_LINE)
		return;
	if (w->len - start + 1 > MAX_LINE) {
		w->failed = true;
		return;
	}
	put(w, ' ');
	put(w, ' ');
	if (w->failed)
		return;
	memmove(w->buf + start + 2, w->buf + start, w->len - 2 - start);
	memcpy(w->buf + start - 1, "\r\n\t", 3);
}

/* An apostrophe is a plain letter here; some readers take it for a quote. */
static bool needs_no_quotes(const struct authres_writer *w, struct str s)
{
	return str_find(s, '\'') == s.n &&
	       (authres_is_token(s, false) || authres_is_address(s, w->utf8));
}

void authres_begin(struct authres_writer *w, char *buf, size_t cap, struct str authserv_id)
{
	*w = (struct authres_writer){.buf = buf, .cap = cap};
	put_text(w, STR("Authentication-Results: "));
	if (authres_is_token(authserv_id, false))
		put_text(w, authserv_id);
	else
		put_quoted(w, authserv_id);
	if (w->len > MAX_LINE - 1)
		w->failed = true;
}

void authres_result(struct authres_writer *w, const char *method, const char *result,
		    struct str reason)
{
	size_t start;

	if (!authres_is_keyword(str_c(method)) || !authres_is_keyword(str_c(result))) {
		w->failed = true;
		return;
	}
	put_text(w, STR(";\r\n\t"));
	put_text(w, str_c(method));
	put(w, '=');
	put_text(w, str_c(result));
	w->n_results++;
	if (reason.n == 0)
		return;
	put(w, ' ');
	start = w->len;
	put_text(w, STR("reason="));
	put_quoted(w, reason);
	settle(w, start);
}

void authres_property(struct authres_writer *w, const char *ptype, const char *property,
		      struct str value)
{
	size_t start;

	if (value.n == 0)
		return;
	if (w->n_results == 0 || !authres_is_keyword(str_c(ptype)) ||
	    !authres_is_keyword(str_c(property))) {
		w->failed = true;
		return;
	}
	put(w, ' ');
	start = w->len;
	put_text(w, str_c(ptype));
	put(w, '.');
	put_text(w, str_c(property));
	put(w, '=');
	if (needs_no_quotes(w, value))
		put_text(w, value);
	else
		put_quoted(w, value);
	settle(w, start);
}

void authres_comment(struct authres_writer *w, struct str text)
{
	size_t start;

	if (text.n == 0)
		return;
	if (w->n_results == 0) {
		w->failed = true;
		return;
	}
	put(w, ' ');
	start = w->len;
	put(w, '(');
	put_escaped(w, text, "()\\");
	put(w, ')');
	settle(w, start);
}

long authres_end(struct authres_writer *w)
{
	if (w->n_results == 0)
		put_text(w, STR("; none"));
	put_text(w, STR("\r\n"));
	if (w->failed)
		return -ENOSPC;
	w->buf[w->len] = '\0';
	return (long)w->len;
}
