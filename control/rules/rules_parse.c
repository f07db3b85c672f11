/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Lines of rule files → definitions and settings, kept in their order. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_internal.h"
#include "postern/limits.h"

#define ISSUE(rd, severity, rule, ...)                                                             \
	rules_issue_add((rd)->r, severity, (rd)->file, (rd)->line, rule, __VA_ARGS__)

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

/* First word of *rest, which loses it and the white space behind. */
static struct str split(struct str *rest)
{
	struct str w = *rest;
	size_t n = 0;

	while (n < w.n && !ascii_is_wsp(w.p[n]))
		n++;
	w = str_cut(*rest, n);
	*rest = str_trim(str_skip(*rest, n));
	return w;
}

static bool rule_name(struct rules_reader *rd, struct str w, char name[LIMIT_RULES_NAME + 1])
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

static void define(struct rules_reader *rd, const char *name, bool supported,
		   const struct rule_source *src)
{
	struct rules_def *d;

	if (!rules_grow(rd->r, &rd->def, rd->n_defs, &rd->cap_defs, sizeof(*d))) {
		free(src->pattern);
		return;
	}
	d = &rd->def[rd->n_defs++];
	*d = (struct rules_def){.supported = supported, .src = *src};
	d->name = rules_dup(rd->r, str_c(name));
	d->src.file = rules_dup(rd->r, str_c(rd->file));
	d->src.line = rd->line;
}

static struct setting *set(struct rules_reader *rd, enum setting_kind kind, const char *name,
			   struct str text)
{
	struct setting *s;

	if (!rules_grow(rd->r, &rd->setting, rd->n_settings, &rd->cap_settings, sizeof(*s)))
		return NULL;
	s = &rd->setting[rd->n_settings++];
	*s = (struct setting){.kind = kind, .line = rd->line};
	s->name = rules_dup(rd->r, str_c(name));
	s->text = rules_dup(rd->r, text);
	s->file = rules_dup(rd->r, str_c(rd->file));
	return s;
}

static void line_full(struct rules_reader *rd, const char *name, struct str rest)
{
	struct rule_source src = {0};
	const char *why;

	if (str_istarts(rest, STR("eval:"))) {
		ISSUE(rd, RULES_UNSUPPORTED, name, "eval tests are code of SpamAssassin's plugins");
		define(rd, name, false, &src);
	} else if (!rules_regex(rd->r, rest, &src, &why)) {
		ISSUE(rd, RULES_ERROR, name, "%s", why);
		define(rd, name, false, &src);
	} else {
		define(rd, name, true, &src);
	}
}

/* [+-]digits[.digits]; strtod() would take hex, inf and what the locale says. */
static bool read_score(struct str w, double *out)
{
	double v = 0, scale = 1;
	bool minus = w.n && w.p[0] == '-', dot = false, digits = false;

	for (size_t i = w.n && (w.p[0] == '-' || w.p[0] == '+') ? 1 : 0; i < w.n; i++) {
		if (w.p[i] == '.' && !dot) {
			dot = true;
			continue;
		}
		if (!ascii_is_digit(w.p[i]) || i > 20)
			return false;
		digits = true;
		if (dot)
			v += (w.p[i] - '0') * (scale /= 10);
		else
			v = v * 10 + (w.p[i] - '0');
	}
	*out = minus ? -v : v;
	return digits && v <= LIMIT_RULES_SCORE;
}

/* One score for all, or four: with and without network tests and Bayes. Ours is the second set:
 * network tests, no Bayes. */
static void line_score(struct rules_reader *rd, const char *name, struct str rest)
{
	double score[4];
	size_t n = 0;
	struct setting *s;

	if (rest.n && rest.p[0] == '(') {
		ISSUE(rd, RULES_UNSUPPORTED, name, "relative scores in brackets");
		return;
	}
	while (rest.n && n < 4) {
		struct str w = split(&rest);

		if (!read_score(w, &score[n++])) {
			ISSUE(rd, RULES_ERROR, name, "\"%.*s\" is no score (a number, at most %d)",
			      (int)(w.n > 40 ? 40 : w.n), w.p, LIMIT_RULES_SCORE);
			return;
		}
	}
	if (rest.n || (n != 1 && n != 4)) {
		ISSUE(rd, RULES_ERROR, name, "expected 1 or 4 scores");
		return;
	}
	s = set(rd, SET_SCORE, name, STR(""));
	if (s)
		s->score = score[n == 4 ? 1 : 0];
}

static void line_action(struct rules_reader *rd, const char *name, struct str rest)
{
	static const struct { const char *word; enum rule_action action; } words[] = {
		{"tag", RULE_TAG}, {"quarantine", RULE_QUARANTINE}, {"discard", RULE_DISCARD},
		{"defer", RULE_DEFER}, {"reject", RULE_REJECT},
	};
	struct setting *s;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!str_ieq(rest, str_c(words[i].word)))
			continue;
		s = set(rd, SET_ACTION, name, STR(""));
		if (s)
			s->action = words[i].action;
		return;
	}
	ISSUE(rd, RULES_ERROR, name,
	      "expected action reject, defer, discard, quarantine or tag, found \"%.*s\"",
	      (int)(rest.n > 40 ? 40 : rest.n), rest.p);
}

static void line_tflags(struct rules_reader *rd, const char *name, struct str rest)
{
	/* Known, but about what we have not: Bayes, mass checks, networks, meta rules. */
	static const char *const ignored[] = {"net", "nice", "learn", "userconf", "noautolearn",
		"publish", "nopublish", "autolearn_force", "nosubject", "domains_only", "ips_only",
		"a", "nolog"};
	struct str all = rest;

	while (rest.n) {
		struct str w = split(&rest);
		bool known = str_ieq(w, STR("multiple")) || str_istarts(w, STR("maxhits="));

		for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]) && !known; i++)
			known = str_ieq(w, str_c(ignored[i]));
		if (!known)
			ISSUE(rd, RULES_NOTE, name, "unknown flag \"%.*s\" has no effect",
			      (int)(w.n > 40 ? 40 : w.n), w.p);
	}
	set(rd, SET_TFLAGS, name, all);
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
	int v = 0;

	if (rd->depth == LIMIT_RULES_NESTING) {
		ISSUE(rd, RULES_ERROR, "", "blocks are nested deeper than %d", LIMIT_RULES_NESTING);
		return;
	}
	c = &rd->condition[rd->depth++];
	if (!plugin)
		v = rules_condition(rest, &why);
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

static bool unsupported_kind(struct str key)
{
	static const char *const kinds[] = {"header", "body", "rawbody", "uri", "meta", "mimeheader",
		"uri_detail", "askdns", "urirhsbl", "urirhssub", "uridnsbl", "uridnssub", "urinsrhsbl",
		"urinsrhssub", "urifullnsrhsbl", "urifullnsrhssub", "rbl"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (str_ieq(key, str_c(kinds[i])))
			return true;
	return false;
}

static void directive(struct rules_reader *rd, struct str key, struct str rest)
{
	static const struct {
		const char *key;
		void (*line)(struct rules_reader *, const char *, struct str);
	} known[] = {{"full", line_full}, {"score", line_score}, {"tflags", line_tflags},
		     {"action", line_action}};
	bool kind = unsupported_kind(key);
	char name[LIMIT_RULES_NAME + 1];

	if (kind) {
		if (!rule_name(rd, split(&rest), name))
			return;
		ISSUE(rd, RULES_UNSUPPORTED, name, "%.*s rules are not supported", STR_FMT(key));
		define(rd, name, false, &(struct rule_source){0});
		return;
	}
	if (str_ieq(key, STR("describe"))) {
		if (rule_name(rd, split(&rest), name))
			set(rd, SET_DESCRIBE, name, rest);
		return;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!str_ieq(key, str_c(known[i].key)))
			continue;
		if (rule_name(rd, split(&rest), name))
			known[i].line(rd, name, rest);
		return;
	}
	if (str_ieq(key, STR("lang"))) {
		if (!rd->lang_noted)
			ISSUE(rd, RULES_NOTE, "", "lines of other languages (lang) are left out");
		rd->lang_noted = true;
		return;
	}
	ISSUE(rd, RULES_UNSUPPORTED, "", "the setting \"%.*s\" is not known here",
	      (int)(key.n > 60 ? 60 : key.n), key.p);
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
	key = split(&line);
	if (frame(rd, key, line) || !active(rd))
		return;
	directive(rd, key, line);
}

void rules_read_text(struct rules_reader *rd, const char *name, struct str text)
{
	rd->file = name;
	rd->line = 0;
	rd->depth = 0;
	rd->lang_noted = false;
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
	}
	for (size_t i = 0; i < rd->n_settings; i++)
		setting_free(&rd->setting[i]);
	free(rd->def);
	free(rd->setting);
	free(rd->condition);
}
