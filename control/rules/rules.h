/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Rule files (SpamAssassin's language, docs/rules.md) → a set: rules, what the dataplane shall look
 * for in each view and header selector, and what is left to control. Judging a message is
 * rules_judge(): matches of the dataplane, confirmed and completed over the same texts, then the
 * meta rules, then scores.
 *
 * A line that cannot be read is an error, by file and line, and the set is then refused as a whole. A
 * rule that is well formed and needs what is not here (eval tests, the DNS) is left out and reported.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/mail/mail.h"
#include "dataplane/content/content.h"
#include "postern/handoff.h"

enum rules_severity { RULES_NOTE, RULES_UNSUPPORTED, RULES_ERROR };

struct rules_issue {
	enum rules_severity severity;
	char *file;
	unsigned int line;
	char *rule;            /* name or "" */
	char *reason;
};

enum rule_action {
	RULE_SCORE, RULE_TAG, RULE_QUARANTINE, RULE_DISCARD, RULE_DEFER, RULE_REJECT
};

enum rule_kind {
	RULE_HEADER, RULE_MIMEHEADER, RULE_BODY, RULE_RAWBODY, RULE_URI, RULE_FULL, RULE_META,
	RULE_EVAL,             /* code of SpamAssassin's, and tests in the DNS: not run */
	RULE_KINDS
};
const char *rule_kind_name(enum rule_kind k); /* "header" ... "eval" */

/* How a rule is decided. */
enum rule_tier {
	RULE_NATIVE,           /* a match in the dataplane is a hit */
	RULE_CONFIRMED,        /* a match in the dataplane is looked at again by PCRE2 */
	RULE_GATED,            /* the dataplane looks for literals, control for the pattern */
	RULE_AUTOMATON,        /* ... for what every match begins with or holds, as an automaton */
	RULE_CONTROL,          /* control alone, on every message */
	RULE_COMPUTED,         /* meta rules, exists: no pattern */
	RULE_OFF,              /* score 0: not looked at */
	RULE_NOT_SUPPORTED,
	RULE_TIERS
};
const char *rule_tier_name(enum rule_tier t); /* "native" "confirmed" "gated" ... "unsupported" */

/* Texts that control alone can make, beside those of dataplane/content/content.h. */
enum rules_told {
	RULES_RELAYS_TRUSTED, RULES_RELAYS_UNTRUSTED, RULES_RELAYS_INTERNAL, RULES_RELAYS_EXTERNAL,
	RULES_ALL_TRUSTED, RULES_ALL_UNTRUSTED, RULES_ALL_INTERNAL, RULES_ALL_EXTERNAL,
	RULES_ENVELOPE_FROM,
	RULES_TOLD
};
/* A slot is one of content.h, or one of the above. */
#define RULES_SLOT_TOLD 0x8000u
#define RULES_SLOT_NONE 0xffffu

struct rule {
	char *name;
	char *describe;        /* "" if none */
	enum rule_kind kind;
	enum rule_tier tier;
	uint16_t slot;         /* where it looks; RULES_SLOT_NONE: nowhere */
	uint32_t id;           /* pattern id in the slot's database */
	double score;          /* default 1; 0.01 for names in T_, 0 for names in __; nice: negative */
	enum rule_action action;
	bool multiple;         /* tflags multiple */
	bool prefilter;        /* Hyperscan has it as an approximation */
	bool negated;          /* !~ */
	bool exists;           /* exists: */
	bool partial;          /* a meta rule over rules that are not supported, which count as 0 */
	/* of patterns: */
	unsigned int n_literals; /* of the gate */
	double gate;           /* expected openings in 10,000 octets of mail */
	double gb_s;           /* Hyperscan alone on the sample; 0: not measured */
	const char *why;       /* static text: of the tier, or "" */
};

struct rules_options {
	unsigned int score_set; /* 0..3 of four scores; 1: network tests, no Bayes: what there is here */
	const char *cache;     /* directory of compiled databases; NULL: none */
	const void *kept;      /* of rules_keep() for the same files: nothing is compiled */
	size_t kept_len;
	bool kept_stays;       /* it outlives the set: databases are not copied out of it */
	bool explain;          /* measure every pattern, also where it decides nothing */
	void (*progress)(void *arg, const char *what, size_t done, size_t all);
	void *arg;
};
#define RULES_DEFAULT ((struct rules_options){.score_set = 1})

struct rules;

/* 0 and *out (also when some rules are unsupported); -EINVAL when there is an error: *out is then
 * a set that holds issues only. -ENOMEM: *out NULL. n_files 0 is a valid, empty set. -ESTALE, with
 * an error as issue: opt->kept is of other rules, or damaged. */
int rules_load(const char *const *file, size_t n_files, struct rules **out);
int rules_load_with(const char *const *file, size_t n_files, const struct rules_options *opt,
		    struct rules **out);
/* All that compiling found out, for rules_load_with() of the same files in another process of this
 * program; the caller's. What it costs there is reading the files: PCRE2 compiles a pattern when it is
 * looked at first. 0, or -ENOMEM. */
int rules_keep(const struct rules *r, void **out, size_t *len);
/* Compiles patterns that no message needed yet, from rule *at on, for about us microseconds; 0: all. True: none
 * is left. Without it a message waits for those that it is the first to need: 100 ms for Debian's. */
bool rules_warm(const struct rules *r, size_t *at, unsigned int us);
/* From memory: tests, fuzzing. */
int rules_parse(const char *name, const void *text, size_t len, struct rules **out);
void rules_free(struct rules *r);

size_t rules_count(const struct rules *r);     /* that are in force */
size_t rules_total(const struct rules *r);     /* with those that are off or not supported */
const struct rule *rules_at(const struct rules *r, size_t i); /* of all */
/* NULL: none of that name. */
const struct rule *rules_find(const struct rules *r, const char *name);
size_t rules_issues(const struct rules *r, const struct rules_issue **issue);
/* File and line of its definition, and its pattern or expression as written. */
const char *rules_place(const struct rules *r, const struct rule *rule, unsigned int *line);
const char *rules_text(const struct rules *r, const struct rule *rule);
/* The rules that a meta rule's expression names, each once, without unknown ones: the i-th of them, NULL: no
 * more. */
const struct rule *rules_meta_over(const struct rules *r, const struct rule *rule, size_t i);
/* SHA-256 over what was compiled: generation key. */
const uint8_t *rules_digest(const struct rules *r);

/* ---- for the dataplane ----------------------------------------------------------------------- */

/* What must be made of a message for this set; valid as long as the set is. */
const struct content_plan *rules_plan(const struct rules *r);
/* Views that rules look at, in the dataplane or in control alone: 1 << enum handoff_view. */
uint32_t rules_views(const struct rules *r);
/* "body", "header From:addr", "X-Spam-Relays-External"; buf >= 200. */
const char *rules_slot_name(const struct rules *r, uint16_t slot, char *buf, size_t cap);
/* What goes into it of one slot (rules_database.h), NULL if nothing does; the set's. */
const void *rules_blob(const struct rules *r, uint16_t slot, size_t *len);
/* All databases and selectors as one file (dataplane/scan/bundle.h), the caller's; NULL if there is
 * nothing to look for. present: views (1 << enum handoff_view) of which the dataplane is to say
 * whether there are any. hash: SHA-256 of parts in the attachment view. 0 or -ENOMEM. */
int rules_pack(const struct rules *r, uint32_t present, bool hash, void **out, size_t *len);

/* ---- judging a message: by one thread at a time, for patterns are compiled when they are needed - */

struct rule_hit {
	const struct rule *rule;
	unsigned int count;    /* of multiple rules; value of a meta rule, at least 1 */
	double score;          /* what it adds */
	struct str text;       /* what hit, in the slot's text; n 0: not known (native, see
				* `where`), or no pattern */
};

struct rules_stats;
struct rules_source {
	/* 1 and *text, the whole text of a slot; 0: there is none (no such field); -errno. What it
	 * gave stays until rules_judge() is done. */
	int (*text)(void *ctx, uint16_t slot, struct str *text);
	/* Is there a text? 1, 0, -errno. NULL: text() is asked, which is dearer. */
	int (*has)(void *ctx, uint16_t slot);
	void *ctx;
	/* What control knows of tests that are code in SpamAssassin: SPF_PASS, DKIM_VALID, ... */
	const struct rules_fact { const char *name; unsigned int value; } *fact;
	size_t n_facts;
	bool parts;            /* hits of rules in __ as well, which are parts of meta rules */
	struct rules_stats *stats; /* of the set (rules_stats.h); NULL: nothing is counted by rule */
	bool where;            /* what hit of native rules as well: costs their texts and a match each */
};

struct rules_judged {
	unsigned int unknown;  /* matches of no rule */
	unsigned int partial;  /* slots whose text the dataplane looked at in part */
	unsigned int limited;  /* patterns that ran into a limit of PCRE2, or into LIMIT_RULES_MS */
	unsigned int cut;      /* hits that found no room; those with an action are the last to go */
	unsigned int gates;    /* rules whose gate was open */
	unsigned int evaluated; /* patterns that PCRE2 was asked about */
	uint64_t pattern_ns, text_ns; /* by the clock: in PCRE2; in rules_source.text() */
	unsigned int texts;    /* slots whose text was asked for */
	unsigned int failed;   /* slots whose text could not be had: their rules, and meta rules over
				* these, do not hit */
};

/*
 * `flags`: of the record; where matches were cut or the scan was partial, every rule is evaluated in
 * full. Where src is NULL only native rules are decided. Number of hits (at most cap), -ENOMEM.
 */
long rules_judge(const struct rules *r, const struct handoff_match *match, size_t n_matches,
		 uint32_t flags, const struct rules_source *src, struct rule_hit *hit, size_t cap,
		 struct rules_judged *out);
/* Every pattern in full, gates and all left aside: what rules_judge() must agree with. */
long rules_judge_in_full(const struct rules *r, const struct rules_source *src,
			 struct rule_hit *hit, size_t cap, struct rules_judged *out);
