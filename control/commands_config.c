/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `show config`: what is in force, key by key; and which keys of a new configuration wait for a
 * restart. */

#include "control/commands_config.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "control/config/config_settings.h"
#include "control/loop.h"

void settings_start(struct loop *l, const struct config *c)
{
	const struct config_settings *s = config_settings(c);

	l->start_settings = s ? config_settings_of_start(s) : NULL;
}

void settings_opened(struct loop *l, const struct config *c, const char *key)
{
	struct config_settings *s =
		l->start_settings ? config_settings_with(l->start_settings, config_settings(c), key) : NULL;

	if (!s)
		return;
	config_settings_unref(l->start_settings);
	l->start_settings = s;
}

#define LATE "greylist-file" /* opened when a policy wants it first, and not before */

static bool waits(const struct loop *l, const char *key)
{
	return strcmp(key, LATE) != 0 || l->greylist;
}

struct restarts {
	const struct loop *l;
	json_t *keys;
};

static void add_restart(void *arg, const struct config_change *c)
{
	struct restarts *r = arg;

	if (c->restart && waits(r->l, c->key))
		json_array_append_new(r->keys, json_string(c->key));
}

json_t *settings_restarts(const struct loop *l, const struct config *c)
{
	struct restarts r = {l, json_array()};

	if (l->start_settings && config_settings(c))
		config_settings_diff(l->start_settings, config_settings(c), add_restart, &r);
	return r.keys;
}

/* ---- show config -------------------------------------------------------------------------------- */

static void hex(const uint8_t *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", p[i]);
}

static json_t *settings_json(const struct config_settings *s)
{
	json_t *a = json_array();

	for (size_t i = 0; i < s->n; i++) {
		const struct config_setting *x = &s->setting[i];
		bool secret = x->info && x->info->flags & KEY_SECRET;

		json_array_append_new(a, json_pack("{s:s, s:s}", "key", x->key, secret ? "digest" : "value",
						   x->value));
	}
	return a;
}

void commands_show_config(void *arg, struct api_request *req, const json_t *body)
{
	const struct loop *l = arg;
	const struct config *c = l->active->config;
	struct config_settings *start = l->start_settings, *in_force = NULL, *salted = NULL;
	char salt_text[2 * CONFIG_SALT + 1];
	uint8_t salt[CONFIG_SALT];

	(void)body;
	if (getrandom(salt, sizeof(salt), 0) != (ssize_t)sizeof(salt)) {
		api_error(req, "failed", "no random octets");
		return;
	}
	if (start)
		start = waits(l, LATE) ? config_settings_ref(start)
				       : config_settings_with(start, config_settings(c), LATE);
	if (start)
		in_force = config_settings_in_force(start, config_settings(c));
	if (in_force)
		salted = config_settings_salted(in_force, salt);
	hex(salt, sizeof(salt), salt_text);
	if (salted)
		api_reply(req, json_pack("{s:s, s:s, s:I, s:s, s:o, s:o, s:o}", "schema", "config/1", "file", c->path,
			"generation", (json_int_t)l->active->generation, "salt", salt_text, "settings",
			settings_json(salted), "restart", settings_restarts(l, c), "not_open",
			waits(l, LATE) ? json_array() : json_pack("[s]", LATE)));
	else
		api_error(req, "failed", "out of memory");
	config_settings_unref(salted);
	config_settings_unref(in_force);
	config_settings_unref(start);
}
