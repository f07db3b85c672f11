/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The one table of configuration keys: type, unit, default, bounds and meaning of each. The reader
 * takes types, bounds, words and defaults from here and knows no key that is not here; `posternctl
 * config help`, docs/configuration.md and the keys of postern.conf(5) are made of it.
 *
 * A new key: an entry in the keys_*.c of its section, and the field that it goes to in the bindings
 * of its section (config_*.c). The test config_keys demands both, and that docs/configuration.md is
 * made anew (`ninja docs-update`).
 *
 * Texts are plain English, in which `word` is what stands in a file. Their lines are filled where
 * they are printed; "\n" begins a paragraph.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum key_type {
	KEY_COUNT,  /* a whole number */
	KEY_SIZE,   /* octets */
	KEY_TIME,   /* whole seconds */
	KEY_MILLIS, /* the same, down to milliseconds */
	KEY_NUMBER, /* with a fraction */
	KEY_BOOL,
	KEY_CHOICE,  /* one of `words` */
	KEY_STRING,  /* of that `form` */
	KEY_DOMAIN,  /* fully qualified */
	KEY_PATH,    /* absolute, of a file; of a directory where `form` says so */
	KEY_SOCKET,  /* absolute, LIMIT_SOCKET_PATH octets */
	KEY_LIST,    /* of min to max strings of that `form` */
	KEY_OTHER,   /* `form` says it all */
	KEY_SECTION, /* { } */
	KEY_NAMED,   /* "NAME" { }, as often as wanted; with a `form`: "NAME" = that */
};

#define KEY_RESTART    (1u << 0) /* a running control does not take a change over */
#define KEY_SECRET     (1u << 1) /* is never shown */
#define KEY_PRESET (1u << 2)     /* other keys change its default */
#define KEY_WHOLE_ONLY (1u << 3) /* of `policy`, and not of that of a route */

struct config_info {
	const char *name;
	enum key_type type;
	unsigned int flags; /* KEY_* */
	double min, max;    /* of a number: octets, seconds or as is; of a list: entries */
	bool has_number;
	double number;         /* default, if has_number */
	const char *def;       /* default, as it would be written; NULL: none, or number */
	const char *otherwise; /* in words what holds without the key; NULL: nothing of the kind */
	const char *needed;    /* must be there: what would stand there */
	const char *const *words; /* the value is the index; "": is none of this key */
	const char *unit;         /* of a COUNT or NUMBER: "percent" */
	const char *form;         /* grammar of what has no type of its own */
	const char *text;
};

/* Entries begin with one of these; .text and what else there is follow. */
#define KEY_NUMERIC(type_, name_, min_, max_, default_)                                            \
	.name = name_, .type = type_, .min = min_, .max = max_, .has_number = true,                \
	.number = default_
#define COUNT(name_, min_, max_, default_)  KEY_NUMERIC(KEY_COUNT, name_, min_, max_, default_)
#define SIZE(name_, min_, max_, default_)   KEY_NUMERIC(KEY_SIZE, name_, min_, max_, default_)
#define TIME(name_, min_, max_, default_)   KEY_NUMERIC(KEY_TIME, name_, min_, max_, default_)
#define NUMBER(name_, min_, max_, default_) KEY_NUMERIC(KEY_NUMBER, name_, min_, max_, default_)
#define BOOL(name_, default_)               .name = name_, .type = KEY_BOOL, .def = default_
#define CHOICE(name_, words_, default_)                                                            \
	.name = name_, .type = KEY_CHOICE, .words = words_, .def = default_
#define LIST(name_, min_, max_, form_)                                                             \
	.name = name_, .type = KEY_LIST, .min = min_, .max = max_, .form = form_
#define OF(type_, name_) .name = name_, .type = KEY_##type_

/* By enum handoff_action, of which no key of the exceptions section has all. */
extern const char *const config_actions[];

struct config_section_info {
	const char *path; /* "", "limits", "route", "route.policy" */
	const struct config_info *key;
	size_t n;
	const char *about;  /* before its keys; NULL: nothing */
	const char *behind; /* what belongs to several of them */
};

/* Top level first, in the order of the manual. */
extern const struct config_section_info *const config_sections[];
extern const size_t n_config_sections;

const struct config_section_info *config_section_info(const char *path);
/* Of this section; NULL: it has no such key. */
const struct config_info *config_key_info(const struct config_section_info *s, const char *name);
/* "limits.max-message", "route.port"; names of named sections left out. *s: its section. */
const struct config_info *config_key_find(const char *path, const struct config_section_info **s);
bool config_key_is_of(const struct config_section_info *s, const struct config_info *k);
#define CONFIG_NEAR 3 /* typing errors; what is further away is another word */
/* The key of that section whose name is nearest to what was typed, at most so far away; NULL: none
 * is. */
const struct config_info *config_key_nearest(const struct config_section_info *s, const char *name,
					     unsigned int limit);
/* The same over all sections. *s: its section. */
const struct config_info *config_key_nearest_of_all(const char *name, unsigned int limit,
						    const struct config_section_info **s);
/* How far two words are from each other; limit + 1 where it is more than `limit`. */
unsigned int config_word_distance(const char *a, const char *b, unsigned int limit);

/* "route.port"; out is returned. */
const char *config_key_path(const struct config_section_info *s, const struct config_info *k,
			    char *out, size_t cap);
/* A number of this key as a file would say it, "50mb", "30min". out is returned. */
const char *config_number_text(enum key_type type, double v, char *out, size_t cap);
/* "one of `a`, `b`"; "time, `1s` to `1h`"; "list of 1 to 64: ADDRESS". out is returned. */
const char *config_type_text(const struct config_info *k, char *out, size_t cap);
/* The default of the key, "`25`", or in words; "" if it has none. out is returned. */
const char *config_default_text(const struct config_info *k, char *out, size_t cap);

/* keys_text.c: all of them, or those of one section, written out. */
enum config_markup { MARKUP_PLAIN, MARKUP_MARKDOWN, MARKUP_SCDOC };
/* One key in all detail, lines of up to `width` columns (MARKUP_PLAIN). */
void config_print_key(FILE *f, enum config_markup m, const struct config_section_info *s,
		      const struct config_info *k, unsigned int width);
void config_print_section(FILE *f, enum config_markup m, const struct config_section_info *s,
			  unsigned int width);
/* A text of this table: words, filled, behind an indent. */
void config_print_text(FILE *f, enum config_markup m, const char *text, unsigned int indent,
		       unsigned int width);
