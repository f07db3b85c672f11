/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Lines of rule files → definitions and settings, kept in their order. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_internal.h"
#include "postern/limits.h"

#define ISSUE RULES_ISSUE

bool rules_grow(struct rules *r, void *array, size_t n, size_t *cap, size_t size)
{
	void *old, *p;
	size_t want = *cap ? *cap * 2 : 16;

	if (n < *cap)
		return true;
	memcpy(&old, array, sizeof(old));
	p = reallocarray(old, want, size);
	if (!p) {
		r->oom = true;
		return false;
	}
	memcpy(array, &p, sizeof(p));
	*cap = want;
	return true;
}

char *rules_dup(struct rules *r, struct str s)
{
	char *p = malloc(s.n + 1);

	if (!p) {
		r->oom = true;
		return NULL;
	}
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

struct str rules_word(struct str *rest)
{
	struct str w = *rest;
	size_t n = 0;

	while (n < w.n && !ascii_is_wsp(w.p[n]))
		n++;
	w = str_cut(*rest, n);
	*rest = str_trim(str_skip(*rest, n));
	return w;
}

bool rules_name(struct rules_reader *rd, struct str w, char name[])
{
	bool ok = w.n && w.n <= LIMIT_RULES_NAME && !ascii_is_digit(w.p[0]);

	for (size_t i = 0; i < w.n; i++)
		ok &= ascii_is_alnum(w.p[i]) || w.p[i] == '_';
	if (!ok) {
		ISSUE(rd, RULES_ERROR, "", "expected the name of a rule (letters, digits, _; at most "
		      "%d), found \"%.*s\"", LIMIT_RULES_NAME, (int)(w.n > 40 ? 40 : w.n), w.p);
		return false;
	}
	memcpy(name, w.p, w.n);
	name[w.n] = '\0';
	return true;
}

/* ---- conditions ------------------------------------------------------------------------- */

static bool active(const struct rules_reader *rd)
{
	for (size_t i = 0; i < rd->depth; i++)
		if (!rd->condition[i].active)
			return false;
	return true;
}

static void open_block(struct rules_reader *rd, bool plugin, struct str rest)
{
	bool outer = active(rd);
	const char *why = "";
	struct condition *c;
	int v;

	if (rd->depth == LIMIT_RULES_NESTING) {
		ISSUE(rd, RULES_ERROR, "", "blocks are nested deeper than %d", LIMIT_RULES_NESTING);
		return;
	}
	c = &rd->condition[rd->depth++];
	v = plugin ? rules_plugin(rules_word(&(struct str){rest.p, rest.n}))
		   : rules_condition(rest, &why);
	*c = (struct condition){.line = rd->line, .active = v == 1, .unknown = v < 0};
	if (!outer || v == 1)
		return;
	if (plugin)
		ISSUE(rd, RULES_NOTE, "", "block skipped: plugin %.*s is not here",
		      (int)(rest.n > 80 ? 80 : rest.n), rest.p);
	else
		ISSUE(rd, RULES_NOTE, "", "block skipped: %s: %.*s",
		      v < 0 ? why : "the condition is false", (int)(rest.n > 120 ? 120 : rest.n), rest.p);
}

/* True if the line was of a block's frame. */
static bool frame(struct rules_reader *rd, struct str key, struct str rest)
{
	struct condition *c = rd->depth ? &rd->condition[rd->depth - 1] : NULL;

	if (str_ieq(key, STR("ifplugin")) || str_ieq(key, STR("if"))) {
		open_block(rd, key.n > 2, rest);
		return true;
	}
	/* `if(version > 3)` without a blank */
	if (str_istarts(key, STR("if("))) {
		open_block(rd, false, str_make(key.p + 2, (size_t)(rest.p + rest.n - key.p) - 2));
		return true;
	}
	if (str_ieq(key, STR("else"))) {
		if (!c || c->seen_else) {
			ISSUE(rd, RULES_ERROR, "", "else without if");
			return true;
		}
		c->seen_else = true;
		c->active = !c->active && !c->unknown;
		return true;
	}
	if (str_ieq(key, STR("endif"))) {
		if (!c)
			ISSUE(rd, RULES_ERROR, "", "endif without if");
		else
			rd->depth--;
		return true;
	}
	return false;
}

/* ---- lines ------------------------------------------------------------------------------ */

/* A setting is named once, however often it stands there. */
static void note_setting(struct rules_reader *rd, struct str key)
{
	char **slot;

	for (size_t i = 0; i < rd->n_noted; i++)
		if (str_ieq(key, str_c(rd->noted[i])))
			return;
	if (!rules_grow(rd->r, &rd->noted, rd->n_noted, &rd->cap_noted, sizeof(*rd->noted)))
		return;
	slot = &rd->noted[rd->n_noted];
	*slot = rules_dup(rd->r, str_cut(key, 60));
	rd->n_noted += *slot != NULL;
	ISSUE(rd, RULES_NOTE, "", "the setting \"%.*s\" has no meaning here; further lines of it are "
	      "not named", (int)(key.n > 60 ? 60 : key.n), key.p);
}

static void directive(struct rules_reader *rd, struct str key, struct str rest)
{
	if (!rules_line_define(rd, key, rest) && !rules_line_set(rd, key, rest))
		note_setting(rd, key);
}

/* As SpamAssassin does it: # begins a comment anywhere unless a backslash stands before it, and
 * "\#" is "#" afterwards, inside a pattern as well. */
static struct str without_comment(struct str raw, uint8_t *buf)
{
	size_t n = 0;

	for (size_t i = 0; i < raw.n; i++) {
		if (raw.p[i] == '#' && (i == 0 || raw.p[i - 1] != '\\'))
			break;
		if (raw.p[i] == '#')
			n--;
		buf[n++] = raw.p[i];
	}
	return str_trim(str_make(buf, n));
}

static void one_line(struct rules_reader *rd, struct str raw)
{
	uint8_t buf[LIMIT_RULES_LINE];
	struct str line, key;

	if (raw.n > sizeof(buf)) {
		ISSUE(rd, RULES_ERROR, "", "line of more than %u octets", LIMIT_RULES_LINE);
		return;
	}
	line = without_comment(raw, buf);
	if (!line.n)
		return;
	for (size_t i = 0; i < line.n; i++)
		if ((line.p[i] < 0x20 && line.p[i] != '\t') || line.p[i] == 0x7f) {
			if (active(rd))
				ISSUE(rd, RULES_ERROR, "", "control character 0x%02x in a line", line.p[i]);
			return;
		}
	key = rules_word(&line);
	if (frame(rd, key, line) || !active(rd))
		return;
	directive(rd, key, line);
}

void rules_read_text(struct rules_reader *rd, const char *name, struct str text)
{
	rd->file = name;
	rd->line = 0;
	rd->depth = 0;
	if (!rd->condition)
		rd->condition = calloc(LIMIT_RULES_NESTING, sizeof(*rd->condition));
	if (!rd->condition) {
		rd->r->oom = true;
		return;
	}
	if (text.n > LIMIT_RULES_FILE) {
		ISSUE(rd, RULES_ERROR, "", "file of more than %u octets", LIMIT_RULES_FILE);
		return;
	}
	while (text.n && !rd->r->oom) {
		size_t end = str_find(text, '\n');

		rd->line++;
		one_line(rd, str_cut(text, end));
		text = str_skip(text, end + 1);
	}
	if (rd->depth) {
		rd->line = rd->condition[rd->depth - 1].line;
		ISSUE(rd, RULES_ERROR, "", "block without its endif");
	}
}

static void setting_free(struct setting *s)
{
	free(s->name);
	free(s->text);
	free(s->file);
}

void rules_reader_free(struct rules_reader *rd)
{
	for (size_t i = 0; i < rd->n_defs; i++) {
		free(rd->def[i].name);
		free(rd->def[i].src.file);
		free(rd->def[i].src.pattern);
		free(rd->def[i].src.unset);
	}
	for (size_t i = 0; i < rd->n_settings; i++)
		setting_free(&rd->setting[i]);
	for (size_t i = 0; i < rd->n_noted; i++)
		free(rd->noted[i]);
	free(rd->noted);
	free(rd->def);
	free(rd->setting);
	free(rd->condition);
}
