/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Lines that say something about a rule, and the tags that patterns are put together from. */

#include <string.h>

#include "control/rules/rules_internal.h"
#include "postern/limits.h"

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

/* One score for all, or four: without and with network tests, each without and with Bayes. In
 * brackets they are added to what the score was. */
static void line_score(struct rules_reader *rd, const char *name, struct str rest)
{
	double score[4];
	size_t n = 0, brackets = 0;
	struct setting *s;

	while (rest.n && n < 4) {
		struct str w = rules_word(&rest);

		if (w.n > 2 && w.p[0] == '(' && w.p[w.n - 1] == ')') {
			w = str_make(w.p + 1, w.n - 2);
			brackets++;
		}
		if (!read_score(w, &score[n++])) {
			RULES_ISSUE(rd, RULES_ERROR, name, "\"%.*s\" is no score (a number, at most %d)",
				    (int)(w.n > 40 ? 40 : w.n), w.p, LIMIT_RULES_SCORE);
			return;
		}
	}
	if (rest.n || (n != 1 && n != 4)) {
		RULES_ISSUE(rd, RULES_ERROR, name, "expected 1 or 4 scores");
		return;
	}
	if (brackets && brackets != n) {
		RULES_ISSUE(rd, RULES_ERROR, name, "either all scores stand in brackets or none");
		return;
	}
	s = set(rd, SET_SCORE, name, STR(""));
	if (!s)
		return;
	s->score = score[n == 4 ? rd->r->opt.score_set & 3 : 0];
	s->relative = brackets > 0;
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
	RULES_ISSUE(rd, RULES_ERROR, name,
		    "expected action reject, defer, discard, quarantine or tag, found \"%.*s\"",
		    (int)(rest.n > 40 ? 40 : rest.n), rest.p);
}

static void line_tflags(struct rules_reader *rd, const char *name, struct str rest)
{
	/* Known, but about what we have not: Bayes, mass checks, learning, eval tests. */
	static const char *const ignored[] = {"net", "nice", "learn", "userconf", "noautolearn",
		"publish", "nopublish", "autolearn_force", "autolearn_header", "autolearn_body",
		"domains_only", "ips_only", "a", "ns", "nolog", "notrim"};
	struct str all = rest;

	while (rest.n) {
		struct str w = rules_word(&rest);
		bool known = str_ieq(w, STR("multiple")) || str_ieq(w, STR("nosubject")) ||
			     str_istarts(w, STR("maxhits="));

		for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]) && !known; i++)
			known = str_ieq(w, str_c(ignored[i]));
		if (!known)
			RULES_ISSUE(rd, RULES_NOTE, name, "unknown flag \"%.*s\" has no effect",
				    (int)(w.n > 40 ? 40 : w.n), w.p);
	}
	set(rd, SET_TFLAGS, name, all);
}

static void line_describe(struct rules_reader *rd, const char *name, struct str rest)
{
	set(rd, SET_DESCRIBE, name, rest);
}

/* ---- replace_* ---------------------------------------------------------------------------- */

static void tag(struct rules_reader *rd, enum rules_tag_kind kind, struct str rest)
{
	struct str name = rules_word(&rest);
	struct rules *r = rd->r;
	struct rules_tag *t;

	if (!name.n || !rest.n) {
		RULES_ISSUE(rd, RULES_ERROR, "", "expected a tag and what stands for it");
		return;
	}
	if (r->n_tags == LIMIT_RULES_TAGS) {
		RULES_ISSUE(rd, RULES_ERROR, "", "more than %d tags", LIMIT_RULES_TAGS);
		return;
	}
	if (!rules_grow(r, &r->tag, r->n_tags, &r->cap_tags, sizeof(*t)))
		return;
	t = &r->tag[r->n_tags++];
	*t = (struct rules_tag){.kind = kind};
	t->name = rules_dup(r, name);
	t->text = rules_dup(r, rest);
}

static void replace_rules(struct rules_reader *rd, struct str rest)
{
	char name[LIMIT_RULES_NAME + 1];

	while (rest.n)
		if (rules_name(rd, rules_word(&rest), name))
			set(rd, SET_REPLACE, name, STR(""));
}

static bool line_replace(struct rules_reader *rd, struct str key, struct str rest)
{
	static const struct { const char *key; enum rules_tag_kind kind; } tags[] = {
		{"replace_tag", TAG_TAG}, {"replace_inter", TAG_INTER}, {"replace_pre", TAG_PRE},
		{"replace_post", TAG_POST}};

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
		if (str_ieq(key, str_c(tags[i].key))) {
			tag(rd, tags[i].kind, rest);
			return true;
		}
	if (str_ieq(key, STR("replace_rules"))) {
		replace_rules(rd, rest);
		return true;
	}
	/* Other delimiters than < and >: nobody uses them, and half of it would be worse. */
	if (str_ieq(key, STR("replace_start")) || str_ieq(key, STR("replace_end"))) {
		if (!str_eq(rest, str_ieq(key, STR("replace_start")) ? STR("<") : STR(">")))
			RULES_ISSUE(rd, RULES_ERROR, "", "tags are written <TAG> here");
		return true;
	}
	return false;
}

bool rules_line_set(struct rules_reader *rd, struct str key, struct str rest)
{
	static const struct {
		const char *key;
		void (*line)(struct rules_reader *, const char *, struct str);
	} known[] = {{"score", line_score}, {"tflags", line_tflags}, {"action", line_action},
		     {"describe", line_describe}};
	/* They need no remark: tests of the rules themselves, texts in other languages, order. */
	static const char *const silent[] = {"test", "lang", "priority", "reuse", "require_version"};
	char name[LIMIT_RULES_NAME + 1];

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (str_ieq(key, str_c(known[i].key))) {
			if (rules_name(rd, rules_word(&rest), name))
				known[i].line(rd, name, rest);
			return true;
		}
	for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++)
		if (str_ieq(key, str_c(silent[i])))
			return true;
	return line_replace(rd, key, rest);
}
