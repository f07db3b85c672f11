/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Lines that define a rule. */

#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_internal.h"
#include "postern/limits.h"

static const char evals[] = "eval tests are code of SpamAssassin's plugins";
static const char network[] = "tests in the DNS are not rules here: policy { dnsbl } asks lists";

static void define(struct rules_reader *rd, const char *name, struct rules_def def)
{
	struct rules_def *d;

	if (!rules_grow(rd->r, &rd->def, rd->n_defs, &rd->cap_defs, sizeof(*d))) {
		free(def.src.pattern);
		free(def.src.unset);
		return;
	}
	d = &rd->def[rd->n_defs++];
	*d = def;
	d->name = rules_dup(rd->r, str_c(name));
	d->src.file = rules_dup(rd->r, str_c(rd->file));
	d->src.line = rd->line;
}

static void refuse(struct rules_reader *rd, const char *name, enum rule_kind kind, const char *why)
{
	RULES_ISSUE(rd, RULES_UNSUPPORTED, name, "%s", why);
	define(rd, name, (struct rules_def){.kind = kind, .slot = RULES_SLOT_NONE, .why = why});
}

/* "%{NAME}" in a pattern is what another rule captured. */
static bool captures(const char *pattern)
{
	const char *p = strstr(pattern, "%{");

	return p && p[2] >= 'A' && p[2] <= 'Z' && strchr(p, '}');
}

static void pattern(struct rules_reader *rd, const char *name, struct rules_def def, struct str rest,
		    struct str *behind)
{
	const char *why = "";

	if (!rules_regex(rd->r, rest, &def.src, behind, &why)) {
		RULES_ISSUE(rd, RULES_ERROR, name, "%s", why);
		free(def.src.unset);
		return;
	}
	if (def.src.pattern && captures(def.src.pattern)) {
		free(def.src.pattern);
		free(def.src.unset);
		refuse(rd, name, def.kind, "it uses what another rule captured");
		return;
	}
	def.supported = true;
	define(rd, name, def);
}

static void line_view(struct rules_reader *rd, const char *name, struct str rest, enum rule_kind kind)
{
	static const uint16_t view[RULE_KINDS] = {[RULE_BODY] = VIEW_BODY, [RULE_RAWBODY] = VIEW_RAWBODY,
						  [RULE_URI] = VIEW_URI, [RULE_FULL] = VIEW_FULL};

	if (str_istarts(rest, STR("eval:")))
		refuse(rd, name, RULE_EVAL, evals);
	else
		pattern(rd, name, (struct rules_def){.kind = kind, .slot = view[kind]}, rest, NULL);
}

static bool unset_text(struct rules_reader *rd, struct rules_def *def, struct str behind)
{
	if (!behind.n)
		return true;
	if (behind.p[behind.n - 1] != ']')
		return false;
	behind = str_trim(str_skip(str_cut(behind, behind.n - 1), sizeof("[if-unset:") - 1));
	def->src.has_default = true;
	def->src.unset = rules_dup(rd->r, behind);
	return true;
}

static void exists(struct rules_reader *rd, const char *name, struct rules_def def, struct str field)
{
	const char *why = "";

	if (!rules_selector(rd->r, field, false, &def.slot, &why)) {
		refuse(rd, name, RULE_HEADER, why);
		return;
	}
	def.exists = def.supported = true;
	def.src.pattern = rules_dup(rd->r, field);
	define(rd, name, def);
}

/* NAME [!]exists:Field, or NAME Field =~ /.../ [if-unset: TEXT] */
static void line_header(struct rules_reader *rd, const char *name, struct str rest, enum rule_kind kind)
{
	struct rules_def def = {.kind = kind};
	struct str field = rules_word(&rest), op, behind = STR_NONE;
	const char *why = "";

	if (str_istarts(field, STR("eval:"))) {
		refuse(rd, name, RULE_EVAL, evals);
		return;
	}
	def.negated = field.n && field.p[0] == '!';
	if (str_istarts(str_skip(field, def.negated), STR("exists:"))) {
		exists(rd, name, def, str_skip(field, def.negated + sizeof("exists:") - 1));
		return;
	}
	op = rules_word(&rest);
	if (!str_eq(op, STR("=~")) && !str_eq(op, STR("!~"))) {
		RULES_ISSUE(rd, RULES_ERROR, name, "expected Field =~ /.../, Field !~ /.../ or exists:Field");
		return;
	}
	def.negated = op.p[0] == '!';
	if (!rules_selector(rd->r, field, kind == RULE_MIMEHEADER, &def.slot, &why)) {
		refuse(rd, name, kind, why);
		return;
	}
	/* The pattern's end is known only with the pattern: read twice. */
	if (!rules_regex(rd->r, rest, &def.src, &behind, &why)) {
		RULES_ISSUE(rd, RULES_ERROR, name, "%s", why);
		return;
	}
	free(def.src.pattern);
	def.src = (struct rule_source){0};
	if (!unset_text(rd, &def, behind)) {
		RULES_ISSUE(rd, RULES_ERROR, name, "expected [if-unset: TEXT] behind the pattern");
		return;
	}
	pattern(rd, name, def, rest, &behind);
}

static void line_meta(struct rules_reader *rd, const char *name, struct str rest)
{
	struct rules_def def = {.kind = RULE_META, .supported = true, .slot = RULES_SLOT_NONE};

	if (!rest.n) {
		RULES_ISSUE(rd, RULES_ERROR, name, "expected an expression");
		return;
	}
	def.src.pattern = rules_dup(rd->r, rest);
	define(rd, name, def);
}

bool rules_line_define(struct rules_reader *rd, struct str key, struct str rest)
{
	static const struct { const char *key; enum rule_kind kind; } kinds[] = {
		{"header", RULE_HEADER}, {"mimeheader", RULE_MIMEHEADER}, {"body", RULE_BODY},
		{"rawbody", RULE_RAWBODY}, {"uri", RULE_URI}, {"full", RULE_FULL}, {"meta", RULE_META},
		{"askdns", RULE_EVAL}, {"urirhsbl", RULE_EVAL}, {"urirhssub", RULE_EVAL},
		{"uridnsbl", RULE_EVAL}, {"uridnssub", RULE_EVAL}, {"urinsrhsbl", RULE_EVAL},
		{"urinsrhssub", RULE_EVAL}, {"urifullnsrhsbl", RULE_EVAL},
		{"urifullnsrhssub", RULE_EVAL}, {"rbl", RULE_EVAL}, {"uri_detail", RULE_URI}};
	char name[LIMIT_RULES_NAME + 1];
	size_t k = 0;

	while (k < sizeof(kinds) / sizeof(kinds[0]) && !str_ieq(key, str_c(kinds[k].key)))
		k++;
	if (k == sizeof(kinds) / sizeof(kinds[0]))
		return false;
	if (!rules_name(rd, rules_word(&rest), name))
		return true;
	if (str_ieq(key, STR("uri_detail")))
		refuse(rd, name, RULE_URI, "uri_detail rules are not supported");
	else if (kinds[k].kind == RULE_EVAL)
		refuse(rd, name, RULE_EVAL, network);
	else if (kinds[k].kind == RULE_META)
		line_meta(rd, name, rest);
	else if (kinds[k].kind == RULE_HEADER || kinds[k].kind == RULE_MIMEHEADER)
		line_header(rd, name, rest, kinds[k].kind);
	else
		line_view(rd, name, rest, kinds[k].kind);
	return true;
}
