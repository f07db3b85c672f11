/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `posternctl config help`: the table of keys, for those who write a file. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/cli.h"
#include "control/cli/terminal.h"
#include "control/config/keys.h"

#define TYPE_MAX 512

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

static json_t *key_json(const struct config_section_info *s, const struct config_info *k)
{
	static const char *const type[] = {
		[KEY_COUNT] = "number", [KEY_SIZE] = "size", [KEY_TIME] = "time", [KEY_MILLIS] = "time",
		[KEY_NUMBER] = "number", [KEY_BOOL] = "boolean", [KEY_CHOICE] = "choice",
		[KEY_STRING] = "string", [KEY_DOMAIN] = "domain", [KEY_PATH] = "path", [KEY_SOCKET] = "path",
		[KEY_LIST] = "list", [KEY_OTHER] = "other", [KEY_SECTION] = "section", [KEY_NAMED] = "named"};
	static const char *const unit[] = {[KEY_SIZE] = "octets", [KEY_TIME] = "seconds",
					   [KEY_MILLIS] = "seconds", [KEY_NAMED] = NULL};
	bool bounded = k->type <= KEY_NUMBER || k->type == KEY_LIST;
	char path[200], def[200], number[48];
	json_t *words = json_array();

	for (size_t i = 0; k->words && k->words[i]; i++)
		if (k->words[i][0])
			json_array_append_new(words, json_string(k->words[i]));
	if (k->has_number)
		snprintf(def, sizeof(def), "%s", config_number_text(k->type, k->number, number, sizeof(number)));
	else
		snprintf(def, sizeof(def), "%s", k->def ? k->def : "");
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:s}", "key",
			 config_key_path(s, k, path, sizeof(path)), "type", type[k->type], "unit",
			 text_or_null(k->unit ? k->unit : unit[k->type]), "default", text_or_null(def),
			 "default_text", text_or_null(k->otherwise), "min", bounded ? json_real(k->min) : json_null(),
			 "max", bounded ? json_real(k->max) : json_null(), "words", words, "form",
			 text_or_null(k->form), "required", k->needed != NULL, "restart",
			 (k->flags & KEY_RESTART) != 0, "secret", (k->flags & KEY_SECRET) != 0, "text", k->text);
}

/* A line a key. */
static void overview(const struct config_section_info *s)
{
	char path[200], def[200];

	for (size_t i = 0; i < s->n; i++) {
		const struct config_info *k = &s->key[i];

		if (k->type == KEY_SECTION || (k->type == KEY_NAMED && !k->form) || !config_key_is_of(s, k))
			continue;
		config_default_text(k, def, sizeof(def));
		/* Marks of code are for printed pages. */
		for (char *from = def, *to = def; (*to = *from); from++)
			to += *from != '`';
		printf("%-40s %s\n", config_key_path(s, k, path, sizeof(path)), k->needed ? "(required)" : def);
	}
}

static void print_found(const struct cli *cli, json_t *list, const struct config_section_info *s,
			const struct config_info *k)
{
	if (cli->json) {
		json_array_append_new(list, key_json(s, k));
		return;
	}
	config_print_key(stdout, MARKUP_PLAIN, s, k, terminal_text_columns());
	putchar('\n');
}

static void print_section(const struct cli *cli, json_t *list, const struct config_section_info *s)
{
	if (!cli->json)
		config_print_section(stdout, MARKUP_PLAIN, s, terminal_text_columns());
	for (size_t i = 0; i < s->n && cli->json; i++)
		if (config_key_is_of(s, &s->key[i]))
			json_array_append_new(list, key_json(s, &s->key[i]));
}

/* A section, a key by its whole path, or every key of that name. */
static bool help_on(const struct cli *cli, json_t *list, const char *word)
{
	const struct config_section_info *s = config_section_info(word);
	const struct config_info *k;
	bool found = false;

	if (s && *word) {
		print_section(cli, list, s);
		return true;
	}
	k = config_key_find(word, &s);
	if (k && strchr(word, '.')) {
		print_found(cli, list, s, k);
		return true;
	}
	for (size_t i = 0; i < n_config_sections && !strchr(word, '.'); i++) {
		/* Said once, under `policy`. */
		k = strcmp(config_sections[i]->path, "route.policy") ? config_key_info(config_sections[i], word) : NULL;
		if (k)
			print_found(cli, list, config_sections[i], k);
		found |= k != NULL;
	}
	return found;
}

static void unknown(const char *word)
{
	const char *last = strrchr(word, '.');
	const struct config_section_info *s = NULL;
	const struct config_info *near = config_key_nearest_of_all(last ? last + 1 : word, CONFIG_NEAR, &s);
	char path[200];

	fprintf(stderr, "posternctl config help: there is no key \"%s\"", show_plain(word));
	if (near)
		fprintf(stderr, "; did you mean %s?", config_key_path(s, near, path, sizeof(path)));
	fputc('\n', stderr);
}

int cmd_config_help(const struct cli *cli, int argc, char **argv)
{
	json_t *list = json_array(), *o;
	int code = CLI_OK;

	for (int i = 0; i < argc; i++)
		if (!help_on(cli, list, argv[i])) {
			unknown(argv[i]);
			code = CLI_USAGE;
		}
	for (size_t i = 0; i < n_config_sections && !argc; i++) {
		if (!strcmp(config_sections[i]->path, "route.policy"))
			continue;
		if (cli->json)
			print_section(cli, list, config_sections[i]);
		else
			overview(config_sections[i]);
	}
	if (!argc && !cli->json)
		puts("\nconfig help SECTION or KEY says more of each.");
	if (cli->json && code == CLI_OK) {
		o = json_pack("{s:s, s:O}", "schema", "config-keys/1", "keys", list);
		print_json(o);
		json_decref(o);
	}
	json_decref(list);
	return code;
}
