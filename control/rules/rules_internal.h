/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Private to control/rules. The way of a set: rules_parse.c reads lines into definitions and
 * settings, rules_finish.c makes rules of them, rules_compile.c compiles, rules_hits.c judges.
 */

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/rules/rules.h"
#include "postern/str.h"

/* What one rule is made of, beside its public part. */
struct rule_source {
	char *file;
	unsigned int line;
	char *pattern;           /* as written between the delimiters */
	bool caseless, multiline, dotall, extended;
	bool empty;              /* matches nothing at all as well */
	uint32_t max_hits;       /* of a multiple rule; 0: any number */
	pcre2_code *code;
};

enum setting_kind { SET_SCORE, SET_DESCRIBE, SET_TFLAGS, SET_ACTION };

struct setting {
	enum setting_kind kind;
	char *name, *text, *file;
	unsigned int line;
	double score;
	enum rule_action action;
};

struct rules_def {
	char *name;
	bool supported;
	struct rule_source src;
};

struct rules_view {
	uint32_t *rule;          /* pattern id → index in rules->rule */
	size_t n;
	void *blob;              /* 64-byte aligned */
	size_t blob_len;
};

struct rules {
	struct rule *rule;
	struct rule_source *src; /* beside rule */
	size_t n;
	struct rules_issue *issue;
	size_t n_issues, cap_issues, lost_issues;
	bool error, oom;
	uint8_t digest[32];
	struct rules_view view[VIEW_COUNT];
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
	/* of the file */
	const char *file;
	unsigned int line;
	bool lang_noted;
	size_t depth;
	struct condition {
		unsigned int line;
		bool active;     /* its lines count, if those around it do */
		bool seen_else;
		bool unknown;    /* the condition cannot be told: neither branch counts */
	} *condition;            /* LIMIT_RULES_NESTING of them */
};

void rules_read_text(struct rules_reader *rd, const char *name, struct str text);
void rules_reader_free(struct rules_reader *rd);
/* Grows an array by doubling; false: out of memory, which sticks in r->oom. */
bool rules_grow(struct rules *r, void *array, size_t n, size_t *cap, size_t size);
char *rules_dup(struct rules *r, struct str s);

/* 1, 0, or -1 when it cannot be told; *why then. */
int rules_condition(struct str expr, const char **why);
/* "/re/flags" or "m{re}flags" → src. False and *why (static text) when it is none. */
bool rules_regex(struct rules *r, struct str text, struct rule_source *src, const char **why);
/* Definitions and settings → rules. */
void rules_finish(struct rules_reader *rd);
/* PCRE2 and Hyperscan; blobs and digest. */
void rules_compile(struct rules *r);
