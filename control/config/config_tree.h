/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Private to control/config: the text of a configuration file as a tree that knows the line of
 * every value. Syntax only; what a key means is the business of config_check.c.
 *
 * The syntax is the plain part of the "universal configuration language": sections, named sections,
 * arrays, strings, numbers with k/m/g, kb/mb/gb and time suffixes, booleans, # and nested C
 * comments, and .include "FILE", behind which the text of that file might as well stand. Other macros,
 * variables, heredocs and implicit arrays (the same key twice) are errors: a configuration says each
 * thing once.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/config/config.h"
#include "postern/str.h"

/* Memory that is freed as a whole. `failed` sticks: callers look at it once, at the end. */
struct config_block;
struct config_mem {
	struct config_block *block;
	bool failed;
};
void *config_alloc(struct config_mem *m, size_t n); /* zeroed; NULL when failed */
char *config_dup(struct config_mem *m, struct str s);
void config_mem_free(struct config_mem *m);

enum config_kind { NODE_SECTION, NODE_ARRAY, NODE_STRING, NODE_NUMBER, NODE_BOOL };
enum config_unit { UNIT_NONE, UNIT_SIZE, UNIT_TIME };

/* A file of the configuration. */
struct config_source {
	const char *name;
	bool readable;                  /* others may read or write it */
	const struct config_source *by; /* includes it; NULL: nobody does */
};

struct config_node {
	enum config_kind kind;
	enum config_unit unit;
	const struct config_source *source; /* NULL: no file says it */
	unsigned int line;
	bool named;               /* NODE_SECTION that holds the named sections `key "name" { }` */
	char *key;                /* NULL: element of an array, or the root */
	char *text;               /* STRING: value; NUMBER, BOOL: as written */
	double number;            /* NUMBER, without suffix applied: octets, seconds, or as is */
	bool boolean;
	struct config_node *parent, *next, *first, *last;
	size_t n;                 /* children */
};

/* A file that an .include names; name and text are malloc'ed. */
struct config_text {
	char *name, *text;
	size_t len;
	bool readable;
};
/* Private keys may stand in them. */
void config_texts_free(struct config_text *t, size_t n);

/* The files that a pattern names, in order, none of more than `max` octets. 0 and *out, *n, also of
 * none; -ENOMEM; -EINVAL: `why` says why not. */
#define CONFIG_WHY 256
typedef int config_find(void *arg, const char *pattern, size_t max, struct config_text **out, size_t *n,
			char why[CONFIG_WHY]);
config_find config_find_files; /* config_files.c: on the disk; arg NULL */
/* One file, LIMIT_CONFIG_FILE octets at most. 0 or -errno; *t is empty then. */
int config_text_read(const char *path, struct config_text *t);

struct config_ctx {
	const char *file;         /* of errors without a node */
	const struct config_source *source; /* the first one */
	config_find *find;        /* NULL: nothing can be included */
	void *find_arg;
	struct config_mem mem;    /* of the tree */
	struct config_error *err;
	size_t cap, n_errors;
};

/* Records an error at `at` (its line, its path, then ".key" if given). `at` NULL: of the file. */
void config_fail(struct config_ctx *c, const struct config_node *at, const char *key,
		 const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void config_fail_line(struct config_ctx *c, unsigned int line, const char *key, const char *fmt,
		      ...) __attribute__((format(printf, 4, 5)));

/* The root section; NULL when the text has no sense any more (the error is recorded). */
struct config_node *config_syntax(struct config_ctx *c, struct str text);
const struct config_node *config_child(const struct config_node *section, const char *key);
const char *config_kind_name(const struct config_node *n);

/* config.c: as config_parse(), with files that others give. */
int config_parse_found(const char *name, const void *text, size_t len, config_find *find, void *arg,
		       struct config **out, struct config_error *err, size_t cap, size_t *n_errors);

/* config_check.c: fills `out` (defaults included) from the tree; strings go to `mem`. */
void config_arc_free(struct config_arc *arc); /* config_arc.c: the keys of OpenSSL */
void config_lists_free(struct config *c);     /* config_lists.c */
void config_check(struct config_ctx *c, const struct config_node *root, struct config_mem *mem,
		  struct config *out);
