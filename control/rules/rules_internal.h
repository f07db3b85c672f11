/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Private to control/rules. The way of a set:
 *
 *   rules_parse.c    frames (if, endif) and lines         rules_lines.c     definitions
 *   rules_syntax.c   regular expressions, conditions      rules_settings.c  score, tflags, ...
 *   rules_selector.c names of headers → slots             rules_replace.c   replace_tag
 *   rules_finish.c   definitions and settings → rules     rules_meta.c      meta expressions
 *   rules_plan.c     which tier a pattern is in           rules_measure.c   what it costs
 *   rules_automaton.c gates without literals              rules_literals.c  gates with them
 *   rules_database.c  blobs
 *   rules_compile.c  PCRE2, slots                         rules_cache.c     databases kept
 *   rules_judge.c    matches → hits                       rules_match.c     one pattern, one text
 *   rules_decide.c   one rule of them                     rules_value.c     meta rules' values
 *   rules_keep.c     what compiling found out, handed over
 *   rules_stats.c    what each rule did
 */

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/rules/regex/regex.h"
#include "control/rules/rules.h"
#include "postern/str.h"

/* What one rule is made of, beside its public part. */
struct rule_source {
	char *file;
	unsigned int line;
	char *pattern;           /* as written between the delimiters; a meta rule's expression */
	char *expanded;          /* with tags replaced; NULL: as written */
	bool caseless, multiline, dotall, extended;
	bool empty;              /* matches nothing at all as well */
	bool has_default;        /* [if-unset: ...] */
	char *unset;             /* its text */
	uint32_t max_hits;       /* of a multiple rule; 0: any number */
	bool absent_match;       /* matches what a header that is not there stands for */
	bool no_subject;         /* tflags nosubject: not in the body view's first line */
	pcre2_code *code;        /* rules_code(); NULL: not compiled yet */
	bool wide;               /* holds a character that no octet is */
	bool analysed;           /* the next three are filled in */
	bool large;              /* a tree of many nodes: Hyperscan would take minutes */
	struct regex_lines lines;
	struct regex_literals gate;
	struct meta_step *step;  /* of meta rules */
	size_t n_steps;
};

static inline const char *rule_pattern(const struct rule_source *s)
{
	return s->expanded ? s->expanded : s->pattern;
}

enum setting_kind { SET_SCORE, SET_DESCRIBE, SET_TFLAGS, SET_ACTION, SET_REPLACE };

struct setting {
	enum setting_kind kind;
	char *name, *text, *file;
	unsigned int line;
	double score;
	bool relative;           /* score (n) */
	enum rule_action action;
};

struct rules_def {
	char *name;
	enum rule_kind kind;
	bool supported;
	bool negated, exists;
	uint16_t slot;
	const char *why;         /* not supported: static text */
	struct rule_source src;
};

/* replace_tag and its kin */
enum rules_tag_kind { TAG_TAG, TAG_INTER, TAG_PRE, TAG_POST };
struct rules_tag {
	enum rules_tag_kind kind;
	char *name, *text;
};

/* What is looked for in one slot. */
struct rules_slot {
	uint16_t number;         /* of content.h, or RULES_SLOT_TOLD + enum rules_told */
	bool lines;              /* patterns are meant for each line apart */
	bool line_feed;          /* ... with its line feed */
	uint32_t *rule;          /* pattern id → index in rules->rule */
	size_t n;
	void *automaton;         /* automaton.h */
	size_t automaton_len;
	void *literals;          /* literals.h */
	size_t literals_len;
	void *blob;              /* 64-byte aligned; of the dataplane's slots */
	size_t blob_len;
	bool borrowed;           /* the blob: of opt.kept */
};

struct rules {
	struct rules_options opt;
	struct rule *rule;
	struct rule_source *src; /* beside rule */
	size_t n;
	uint32_t *by_name;       /* indices of rule, by name */
	uint32_t *order;         /* of meta rules: those that others need come first */
	size_t n_order;
	struct rules_tag *tag;
	size_t n_tags, cap_tags;
	struct rules_issue *issue;
	size_t n_issues, cap_issues, lost_issues;
	bool error, oom;
	uint8_t digest[32];
	uint8_t key[32];         /* SHA-256 of all that compiling depends on */
	char *kept_text;         /* rule->why of a set that was restored */
	struct content_plan plan;
	struct content_selector selector[CONTENT_MAX_SELECTORS];
	char *selector_name[CONTENT_MAX_SELECTORS];
	unsigned int n_selectors;
	struct rules_slot *slot; /* those with rules */
	size_t n_slots;
};

#define MAX_REASON 400

void rules_issue_add(struct rules *r, enum rules_severity severity, const char *file,
		     unsigned int line, const char *rule, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));

/* The state of reading, over all files of a set. */
struct rules_reader {
	struct rules *r;
	struct rules_def *def;
	size_t n_defs, cap_defs;
	struct setting *setting;
	size_t n_settings, cap_settings;
	char **noted;            /* settings of no meaning that were noted already */
	size_t n_noted, cap_noted;
	/* of the file */
	const char *file;
	unsigned int line;
	size_t depth;
	struct condition {
		unsigned int line;
		bool active;     /* its lines count, if those around it do */
		bool seen_else;
		bool unknown;    /* the condition cannot be told: neither branch counts */
	} *condition;            /* LIMIT_RULES_NESTING of them */
};

#define RULES_ISSUE(rd, severity, rule, ...)                                                       \
	rules_issue_add((rd)->r, severity, (rd)->file, (rd)->line, rule, __VA_ARGS__)

void rules_read_text(struct rules_reader *rd, const char *name, struct str text);
void rules_reader_free(struct rules_reader *rd);
/* Grows an array by doubling; false: out of memory, which sticks in r->oom. */
bool rules_grow(struct rules *r, void *array, size_t n, size_t *cap, size_t size);
char *rules_dup(struct rules *r, struct str s);
/* First word of *rest, which loses it and the white space behind. */
struct str rules_word(struct str *rest);
/* A rule's name, or an error is noted. */
bool rules_name(struct rules_reader *rd, struct str w, char name[]);

/* A line that defines a rule or sets something; false: no such setting is known. */
bool rules_line_define(struct rules_reader *rd, struct str key, struct str rest);
bool rules_line_set(struct rules_reader *rd, struct str key, struct str rest);

/* 1, 0, or -1 when it cannot be told; *why then. */
int rules_condition(struct str expr, const char **why);
/* Is this plugin's part of the language known here? */
bool rules_plugin(struct str name);
/* "/re/flags" or "m{re}flags" → src. False and *why (static text) when it is none. *rest, if it is
 * not NULL, gets what stands behind; else nothing may. */
bool rules_regex(struct rules *r, struct str text, struct rule_source *src, struct str *rest,
		 const char **why);
/* "From:addr" → slot. False and *why: no such thing is made. */
bool rules_selector(struct rules *r, struct str text, bool mime, uint16_t *slot, const char **why);
/* Replaces the tags of src->pattern. False and *why (static text): it grew too large. */
bool rules_replace(struct rules *r, struct rule_source *src, const char **why);
/* The same pattern with its long tags as calls of groups: PCRE2 takes no more than 64 KiB of code.
 * The caller's; NULL: it cannot be written so. */
char *rules_replace_by_calls(struct rules *r, const struct rule_source *src);

/* Definitions and settings → rules. */
void rules_finish(struct rules_reader *rd);

/* ---- meta rules ---- */

enum meta_op {
	META_NUMBER, META_RULE, META_NOT, META_MINUS, META_ADD, META_SUBTRACT, META_MULTIPLY,
	META_DIVIDE, META_LESS, META_MORE, META_LESS_EQUAL, META_MORE_EQUAL, META_EQUAL,
	META_NOT_EQUAL, META_AND, META_OR,
};
struct meta_step {
	enum meta_op op;
	uint32_t rule;           /* META_RULE: index; UINT32_MAX: unknown, counts as 0 */
	double number;
};
/* Expressions → steps, order; errors are noted. */
void rules_meta_compile(struct rules *r);
#define META_STACK 64       /* values of one expression at a time */
/* Values in [lo, hi]. */
struct rules_span {
	double lo, hi;
};
#define RULES_SPAN_ANY ((struct rules_span){-1e9, 1e9})
static inline bool rules_span_known(struct rules_span s)
{
	return s.lo >= s.hi && s.lo <= s.hi;
}
/* span[] by rule index. */
struct rules_span rules_meta_span(const struct rule_source *src, const struct rules_span *span);

/* ---- patterns ---- */

/* PCRE2 codes, analysis, tiers, databases. */
void rules_compile(struct rules *r);
/* The code of rule i, compiled now if it was not; NULL: no memory. */
const pcre2_code *rules_code(const struct rules *r, size_t i);
/* Slots, patterns' ids in them; the content plan, once there are blobs. */
void rules_make_slots(struct rules *r);
void rules_make_plan(struct rules *r);
bool rules_has_pattern(const struct rule *rule);
/* Leaves out a rule whose pattern asks for what no octet is. */
void rules_leave_out_wide(struct rules *r, size_t i);
/* rules_keep.c. r->key, before anything is compiled. */
void rules_make_key(struct rules *r);
/* 0, -ENOMEM, -ESTALE: of other rules; -EBADMSG; the set is as it was. */
int rules_restore(struct rules *r, const void *kept, size_t len);
/* Tree of the pattern: lines and gate; leaves src->analysed false where it is not understood. */
void rules_analyse(struct rules *r, size_t i);
unsigned int rules_regex_flags(const struct rule_source *s);
void rules_choose(struct rules *r);
/* What control needs for the rule on a sample of such text, in nanoseconds an octet; -1: no memory.
 * *often: matches an octet, as far as they count. */
double rules_measure_control(const struct rules *r, size_t i, const struct rules_slot *slot, double *often);
/* Octets a second of Hyperscan alone, in units of 1e9; 0: cannot be told; -1: no memory. */
double rules_measure(const char *pattern, unsigned int hs_flags, const struct rules_slot *slot);

/* One rule on one text. Matches (0 to max), -1: it ran into a limit; *where is the first. */
struct rules_matcher;
struct rules_matcher *rules_matcher_new(void);
/* Of a matcher that is used longer than for one message: its time (LIMIT_RULES_MS) begins anew. */
void rules_matcher_begin(struct rules_matcher *m);
void rules_matcher_free(struct rules_matcher *m);
long rules_match(struct rules_matcher *m, const struct rule_source *src, const struct rules_slot *slot,
		 struct str text, uint32_t max, struct str *where);
/* Matches of rule i that count. */
uint32_t rules_most(const struct rules *r, size_t i);
/* The same in the lines that places (offsets of octets in them) lie in; place[] gets sorted. */
long rules_match_places(struct rules_matcher *m, const struct rule_source *src,
			const struct rules_slot *slot, struct str text, uint64_t *place, size_t n,
			uint32_t max, struct str *where);
const struct rules_slot *rules_slot_at(const struct rules *r, uint16_t number);
