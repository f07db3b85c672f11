/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/cli/complete.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "control/config/keys.h"
#include "postern/str.h"
#include "postern/utf8.h"

#define RULES_ASKED 200
#define HELD_ASKED  200
#define TRACE_ASKED 50

/* What would draw on the terminal is nothing to be typed. */
static bool is_plain(const char *text)
{
	struct str t = str_c(text);

	for (size_t i = 0, n; i < t.n; i += n) {
		long cp = utf8_at(t, i, &n);

		if (cp < 0x20 || cp == 0x7f || utf8_is_deceptive(cp))
			return false;
	}
	return t.n > 0;
}

static void add(struct complete_list *list, const char *typed, const char *word)
{
	if (!word || strncmp(word, typed, strlen(typed)) != 0 || list->n == COMPLETE_MAX ||
	    !is_plain(word))
		return;
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->word[i], word))
			return;
	list->word[list->n] = strdup(word);
	list->n += list->word[list->n] != NULL;
}

static void add_members(struct complete_list *list, const char *typed, const json_t *array,
			const char *member)
{
	const json_t *v;
	size_t i;

	json_array_foreach(array, i, v)
		add(list, typed, json_string_value(member ? json_object_get(v, member) : v));
}

static void ask(const struct cli *cli, json_t *request, const char *array, const char *member,
		const char *typed, struct complete_list *list)
{
	json_t *answer = request ? client_quick(cli, request) : NULL;

	add_members(list, typed, json_object_get(answer, array), member);
	json_decref(answer);
}

/* typed may hold what a pattern of names understands: it is no name then, and nothing is found. */
static json_t *rules_request(const char *typed)
{
	char glob[160];

	snprintf(glob, sizeof(glob), "%.150s*", typed);
	return json_pack("{s:s, s:i, s:s}", "command", "show rules", "limit", RULES_ASKED, "name",
			 glob);
}

static void add_keys(const char *typed, struct complete_list *list)
{
	char path[200];

	for (size_t i = 0; i < n_config_sections; i++) {
		const struct config_section_info *s = config_sections[i];

		add(list, typed, s->path);
		for (size_t k = 0; k < s->n; k++)
			if (config_key_is_of(s, &s->key[k]))
				add(list, typed,
				    config_key_path(s, &s->key[k], path, sizeof(path)));
	}
}

static void add_files(const char *typed, struct complete_list *list)
{
	const char *slash = strrchr(typed, '/');
	size_t len = slash ? (size_t)(slash - typed) + 1 : 0;
	char directory[4096], path[4096 + 260];
	const struct dirent *e;
	struct stat st;
	DIR *d;

	if (len >= sizeof(directory))
		return;
	memcpy(directory, typed, len);
	directory[len] = '\0';
	d = opendir(len ? directory : ".");
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.' && typed[len] != '.')
			continue;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s%s", directory, e->d_name);
		if (!stat(path, &st) && S_ISDIR(st.st_mode))
			strcat(path, "/"); /* 260: a name is 255 at most */
		add(list, typed, path);
	}
	if (d)
		closedir(d);
}

bool complete_is_file(enum grammar_kind kind)
{
	return kind == GRAMMAR_FILE || kind == GRAMMAR_MESSAGE;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void complete_value(const struct cli *cli, enum grammar_kind kind, const char *typed,
		    bool with_files, struct complete_list *list)
{
	switch (kind) {
	case GRAMMAR_ROUTE:
		ask(cli, json_pack("{s:s}", "command", "show status"), "routes", NULL, typed, list);
		break;
	case GRAMMAR_RULE:
		ask(cli, rules_request(typed), "rules", "name", typed, list);
		break;
	case GRAMMAR_HELD:
		ask(cli, json_pack("{s:s, s:i}", "command", "quarantine list", "limit", HELD_ASKED),
		    "messages", "id", typed, list);
		break;
	case GRAMMAR_TRACE:
	case GRAMMAR_MESSAGE:
		ask(cli, json_pack("{s:s, s:i}", "command", "trace", "limit", TRACE_ASKED),
		    "records", "trace_id", typed, list);
		break;
	case GRAMMAR_KEY:
		add_keys(typed, list);
		break;
	default:
		break;
	}
	if (with_files && complete_is_file(kind))
		add_files(typed, list);
	qsort(list->word, list->n, sizeof(list->word[0]), by_name);
}

void complete_free(struct complete_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->word[i]);
	list->n = 0;
}
