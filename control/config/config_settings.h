/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What a configuration says, key by key, as text: for telling what is in force and what a file would
 * change. Values are canonical, so that "1min" and "60s" are the same; a list is a JSON array. Of what
 * must not be shown (KEY_SECRET) only a digest is here.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/config/config.h"
#include "control/config/keys.h"

struct config_setting {
	const char *key;       /* "route.office.port"; a name with dots in quotes */
	const char *value;     /* of a secret: a digest, hexadecimal */
	const struct config_info *info; /* NULL: no key that is known here */
	bool has_default;      /* without it the default of `info` holds, and nothing else */
};

/* Immutable once it is made; sorted by key. */
struct config_settings {
	unsigned int refs;
	struct config_setting *setting;
	size_t n;
	struct config_settings_mem *mem;
};

/* What the file says; of a struct config that no file made NULL. Borrowed. */
const struct config_settings *config_settings(const struct config *c);
struct config_settings *config_settings_ref(const struct config_settings *s);
void config_settings_unref(struct config_settings *s);

/* Of a file, its syntax and the names of its keys checked only: no file that it names is opened. 0;
 * errors as of config_load(). */
int config_settings_load(const char *path, struct config_settings **out, struct config_error *err,
			 size_t cap, size_t *n_errors);

/* Those that a running control has from its start; then with what is from `c` once more in place of
 * that key. NULL: out of memory. */
struct config_settings *config_settings_of_start(const struct config_settings *s);
struct config_settings *config_settings_with(const struct config_settings *s,
					     const struct config_settings *from, const char *key);
/* In force: those of the start where a change needs a restart, else those of now. NULL: out of memory. */
struct config_settings *config_settings_in_force(const struct config_settings *start,
						 const struct config_settings *now);

/* The digests of secrets keyed anew, so that they say nothing to who has not the same. NULL: memory. */
#define CONFIG_SALT 32
struct config_settings *config_settings_salted(const struct config_settings *s,
					       const uint8_t salt[CONFIG_SALT]);

/* From elsewhere, in any order: new, each one, done. */
struct config_settings *config_settings_new(size_t cap);
bool config_settings_add(struct config_settings *s, const char *key, const char *value); /* false: memory, full */
void config_settings_sort(struct config_settings *s);

/* One key on which two differ. from, to NULL: not there, and no default that could be said. */
struct config_change {
	const char *key, *from, *to;
	bool from_set, to_set;  /* else it is the default */
	bool secret, restart;
};
typedef void config_change_fn(void *arg, const struct config_change *change);
/* By key; how many. */
size_t config_settings_diff(const struct config_settings *from, const struct config_settings *to,
			    config_change_fn *each, void *arg);

/* Is it that word of the table? Of "route.office.port" the key `port` of section "route". NULL: none.
 * *section as in config_key_find(). */
const struct config_info *config_setting_info(const char *key, const struct config_section_info **section);
