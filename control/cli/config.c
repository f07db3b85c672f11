/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `posternctl config check|diff`: is a file good, and what would it change? */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/cli/cli.h"
#include "control/config/config_settings.h"
#include "control/rules/rules.h"
#include "control/snapshot.h"

#define DEFAULT_FILE "/etc/postern/postern.conf"

/* ---- check ---------------------------------------------------------------------------------- */

static void print_errors(FILE *f, const struct config_error *err, size_t n, size_t cap)
{
	for (size_t i = 0; i < n && i < cap; i++) {
		const struct config_error *e = &err[i];

		fprintf(f, "%s:", show_plain(e->file));
		if (e->line)
			fprintf(f, "%u:", e->line);
		fprintf(f, " %s%s%s\n", show_plain(e->key), e->key[0] ? ": " : "", show_plain(e->reason));
	}
	if (n > cap)
		fprintf(f, "and %zu more\n", n - cap);
}

static json_t *errors_json(const struct config_error *err, size_t n, size_t cap)
{
	json_t *errors = json_array();

	for (size_t i = 0; i < n && i < cap; i++)
		json_array_append_new(errors, json_pack("{s:s, s:i, s:s, s:s}", "file", show_plain(err[i].file),
			"line", (int)err[i].line, "key", show_plain(err[i].key), "reason",
			show_plain(err[i].reason)));
	return errors;
}

/* From an address that the kernel does not have it connects to nobody. */
static void warn_of_sources(const struct config *c, json_t *a)
{
	char text[400], ip[64];

	for (size_t i = 0; i < c->n_routes; i++)
		for (int v = 0; v < 2; v++) {
			const struct config_route *r = &c->route[i];
			const struct config_listener *l =
				r->has_source[v] ? config_listener_of(c, &r->source[v]) : NULL;

			if (!l)
				continue;
			snprintf(text, sizeof(text), "route.%s: its source address %s is one of listener \"%s\", which the "
				 "dataplane has and the kernel has not: no next hop is reached from it", r->name,
				 ip_format(&r->source[v], ip, sizeof(ip)), l->name);
			json_array_append_new(a, json_string(text));
		}
}

/* What is taken, and should be known. */
static json_t *warnings(const struct config *c)
{
	json_t *a = json_array();
	char text[400];

	if (c)
		warn_of_sources(c, a);
	for (size_t i = 0; c && i < c->n_inlines; i++) {
		const struct config_inline *s = &c->inlined[i];

		if (s->mode != INLINE_TERMINATE || s->tls)
			continue;
		snprintf(text, sizeof(text), "inline.server.%s: STARTTLS is not offered: senders that demand "
			 "it of %s (MTA-STS, DANE) do not deliver", s->name, config_inline_hostname(c, s));
		json_array_append_new(a, json_string(text));
	}
	return a;
}

static void print_warnings(const char *path, const json_t *warned)
{
	const json_t *w;
	size_t i;

	json_array_foreach(warned, i, w)
		printf("%s: warning: %s\n", show_plain(path), json_string_value(w));
}

int cmd_config_check(const struct cli *cli, int argc, char **argv)
{
	const char *path = argc ? argv[0] : DEFAULT_FILE;
	struct snapshot_report r;
	struct snapshot *s = NULL;
	int rc = snapshot_load(path, 1, &s, &r);
	json_t *warned = warnings(rc ? NULL : s->config);

	if (cli->json) {
		json_t *o = json_pack("{s:s, s:b, s:o, s:I, s:O, s:I, s:I}", "schema", "config-check/1", "ok", !rc, "errors",
				      errors_json(r.error, r.n_errors, SNAPSHOT_ERRORS), "errors_total",
				      (json_int_t)r.n_errors, "warnings", warned, "rules",
				      (json_int_t)(s ? rules_count(s->rules) : 0), "rules_unsupported",
				      (json_int_t)r.unsupported);
		print_json(o);
		json_decref(o);
	} else if (rc) {
		print_errors(stdout, r.error, r.n_errors, SNAPSHOT_ERRORS);
	} else {
		print_warnings(path, warned);
		printf("%s: ok: %zu route(s), %zu listener(s), %zu rule(s), %zu not supported\n", show_plain(path),
		       s->config->n_routes, s->config->n_listeners, rules_count(s->rules), r.unsupported);
	}
	json_decref(warned);
	snapshot_unref(s);
	return rc ? CLI_FINDING : CLI_OK;
}

/* ---- diff ----------------------------------------------------------------------------------- */

struct diff {
	const struct cli *cli;
	json_t *changes;
	const json_t *not_open; /* keys that need no restart yet */
	size_t n, restarts;
};

static const char *shown(const char *value, bool set, bool secret)
{
	static char buf[2][1100];
	static unsigned int next;
	char *out = buf[next++ % 2];

	if (secret)
		return value ? "(not shown)" : "(not set)";
	if (!value)
		return "(not set)";
	snprintf(out, sizeof(buf[0]), "%s%s", *value ? show_plain(value) : "\"\"", set ? "" : " (default)");
	return out;
}

static bool is_in(const json_t *list, const json_t *v)
{
	const json_t *e;
	size_t i;

	json_array_foreach(list, i, e)
		if (json_equal(e, v))
			return true;
	return false;
}

static void print_entries(char sign, const json_t *list, const json_t *other)
{
	const json_t *e;
	char *text;
	size_t i;

	json_array_foreach(list, i, e) {
		if (is_in(other, e))
			continue;
		text = json_is_string(e) ? NULL : json_dumps(e, JSON_COMPACT);
		printf("    %c %s\n", sign, show_plain(text ? text : json_string_value(e)));
		free(text);
	}
}

/* Of two lists what is in one only; false: they are no lists, or differ in their order alone. */
static bool print_lists(const struct config_change *c)
{
	json_t *from = c->from ? json_loads(c->from, 0, NULL) : json_array(),
	       *to = c->to ? json_loads(c->to, 0, NULL) : json_array();
	bool lists = json_is_array(from) && json_is_array(to) && (c->from || c->to);
	bool told = false;
	const json_t *e;
	size_t i;

	if (lists) {
		json_array_foreach(from, i, e)
			told |= !is_in(to, e);
		json_array_foreach(to, i, e)
			told |= !is_in(from, e);
	}
	if (told) {
		printf("%s:%s\n", show_plain(c->key), c->restart ? " (restart)" : "");
		print_entries('-', from, to);
		print_entries('+', to, from);
	}
	json_decref(from);
	json_decref(to);
	return told;
}

static void on_change(void *arg, const struct config_change *change)
{
	struct config_change copy = *change, *c = &copy;
	struct diff *d = arg;
	const json_t *e;
	size_t i;

	json_array_foreach(d->not_open, i, e)
		c->restart &= !json_is_string(e) || strcmp(json_string_value(e), c->key) != 0;
	d->n++;
	d->restarts += c->restart;
	if (d->cli->json) {
		json_array_append_new(d->changes, json_pack("{s:s, s:s?, s:s?, s:b, s:b, s:b, s:b}", "key", c->key,
			"from", c->secret ? NULL : c->from, "to", c->secret ? NULL : c->to, "from_set", c->from_set,
			"to_set", c->to_set, "secret", c->secret, "restart", c->restart));
		return;
	}
	if (!c->secret && print_lists(c))
		return;
	if (c->secret && c->from && c->to)
		printf("%s: changed (not shown)%s\n", show_plain(c->key), c->restart ? " (restart)" : "");
	else
		printf("%s: %s -> %s%s\n", show_plain(c->key), shown(c->from, c->from_set, c->secret),
		       shown(c->to, c->to_set, c->secret), c->restart ? " (restart)" : "");
}

static bool parse_salt(const char *text, uint8_t salt[CONFIG_SALT])
{
	if (!text || strlen(text) != 2 * CONFIG_SALT)
		return false;
	for (size_t i = 0; i < CONFIG_SALT; i++) {
		int high = ascii_hex((uint8_t)text[2 * i]), low = ascii_hex((uint8_t)text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		salt[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

void config_hide(json_t *answer)
{
	json_t *v;
	size_t i;

	json_object_del(answer, "salt");
	json_array_foreach(json_object_get(answer, "settings"), i, v)
		if (json_object_del(v, "digest") == 0)
			json_object_set_new(v, "secret", json_true());
}

/* What the daemon says is in force. NULL: it was not understood. */
static struct config_settings *running(const json_t *answer, uint8_t salt[CONFIG_SALT])
{
	const json_t *list = json_object_get(answer, "settings"), *v;
	struct config_settings *s = config_settings_new(json_array_size(list));
	size_t i;

	if (!s || !json_is_array(list) || !parse_salt(json_string_value(json_object_get(answer, "salt")), salt))
		goto fail;
	json_array_foreach(list, i, v) {
		const char *key = json_string_value(json_object_get(v, "key"));
		const char *value = json_string_value(json_object_get(v, "value"));
		const char *digest = json_string_value(json_object_get(v, "digest"));

		if (!key || (!value && !digest) || !config_settings_add(s, key, value ? value : digest))
			goto fail;
	}
	config_settings_sort(s);
	return s;
fail:
	config_settings_unref(s);
	return NULL;
}

static int compare(const struct cli *cli, const json_t *answer, const char *path,
		   const struct config_settings *file)
{
	uint8_t salt[CONFIG_SALT];
	struct config_settings *now = running(answer, salt);
	struct config_settings *then = now ? config_settings_salted(file, salt) : NULL;
	struct diff d = {.cli = cli, .changes = json_array(),
			 .not_open = json_object_get(answer, "not_open")};

	if (!then) {
		fprintf(stderr, "posternctl config diff: %s\n", now ? "out of memory" : "the answer is not understood");
		config_settings_unref(now);
		json_decref(d.changes);
		return CLI_UNREACHABLE;
	}
	config_settings_diff(now, then, on_change, &d);
	if (cli->json) {
		json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:O, s:b}", "schema", "config-diff/1", "running",
				      show_text(answer, "file"), "file", show_plain(path), "generation",
				      json_integer_value(json_object_get(answer, "generation")), "changes", d.changes,
				      "restart", d.restarts > 0);
		print_json(o);
		json_decref(o);
	} else if (!d.n) {
		printf("%s says what is in force\n", show_plain(path));
	} else {
		printf("%zu key(s) differ", d.n);
		if (d.restarts)
			printf("; %zu of them, (restart), need a restart of control", d.restarts);
		putchar('\n');
	}
	json_decref(d.changes);
	config_settings_unref(then);
	config_settings_unref(now);
	return d.n ? CLI_FINDING : CLI_OK;
}

int cmd_config_diff(const struct cli *cli, int argc, char **argv)
{
	static struct config_error err[SNAPSHOT_ERRORS];
	struct config_settings *file = NULL;
	const char *path;
	json_t *answer;
	int code = CLI_OK, rc;
	size_t n = 0;

	answer = client_ask(cli, json_pack("{s:s}", "command", "show config"), &code);
	if (!answer)
		return code;
	path = argc ? argv[0] : json_string_value(json_object_get(answer, "file"));
	rc = config_settings_load(path ? path : DEFAULT_FILE, &file, err, SNAPSHOT_ERRORS, &n);
	if (rc && n && cli->json) {
		json_t *o = json_pack("{s:s, s:o}", "schema", "config-diff/1", "errors",
				      errors_json(err, n, SNAPSHOT_ERRORS));

		print_json(o);
		json_decref(o);
	} else if (rc && n) {
		print_errors(stdout, err, n, SNAPSHOT_ERRORS);
	} else if (rc) {
		fprintf(stderr, "posternctl config diff: %s\n", strerror(-rc));
	} else {
		code = compare(cli, answer, path ? path : DEFAULT_FILE, file);
	}
	config_settings_unref(file);
	json_decref(answer);
	return rc ? CLI_FINDING : code;
}
