/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Files that configuration names, of one entry a line: "#" to the end of a line is a comment where
 * it begins the line or stands behind white space. And sets of texts, kept as keyed 128-bit hashes:
 * a million are 32 MB whatever their length, and nobody can choose texts that meet in one place.
 */

#include <stdbool.h>

#include "control/config/config_value.h"

/* The whole file, to be freed by config_list_free(); p NULL and an error at `at` otherwise. */
struct str config_list_read(struct config_reader *r, const struct config_node *at, const char *path,
			    size_t max);
void config_list_free(struct str text);
size_t config_list_count(struct str text); /* its lines, the empty ones too */

/* What is wrong with an entry; NULL: taken. */
typedef const char *config_list_take(void *arg, struct str entry);
/* Errors name `path` and the line; after 20 of them the rest is not looked at. False: there is one.
 */
bool config_list_lines(struct config_reader *r, const char *path, struct str text,
		       config_list_take *take, void *arg);

struct siphash128;
struct config_set {
	uint8_t secret[16];
	size_t n, max, slots;    /* slots: a power of two, at most 3/4 of them used */
	struct siphash128 *slot; /* all zero: free; in r->mem */
};
/* Room for `room` of them, at most `max`. False: no memory, or an error at `at`. */
bool config_set_make(struct config_reader *r, const struct config_node *at, struct config_set *s,
		     size_t room, size_t max);
/* False: there are `max` already. What is in it is no second one. */
bool config_set_add(struct config_set *s, const uint8_t *key, size_t n);
bool config_set_has(const struct config_set *s, const uint8_t *key, size_t n);

#define CONFIG_MAILBOX_KEY (512 + MAIL_ALABEL + 1) /* LIMIT_ONWARD_PATH */
/* "local@domain" as it is compared: the domain as A-labels, the local part without its quotes (RFC
 * 5321 4.1.2) and, unless `exact`, without the case of ASCII letters. 0: no mailbox. */
size_t config_mailbox_key(struct str local, struct str domain, bool exact,
			  uint8_t out[CONFIG_MAILBOX_KEY]);
/* What a list may not have as one; NULL: its octets are those of an address. */
const char *config_mailbox_problem(struct str entry);
