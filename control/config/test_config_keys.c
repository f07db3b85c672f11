/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The table of keys and the reader: each key of one is a key of the other; types, bounds, words and
 * defaults are those of the table. Every key is reached, by a good value, a bad one and a typing
 * error. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config/config_value.h"

#define HOSTNAME "hostname = \"mx.example.net\"\n"
#define LISTENER "listener \"a\" { port = 0; address = [\"192.0.2.25/24\"] }\n"
#define ROUTE    "route \"b\" { domains = [\"example.com\"]; hosts = [\"198.51.100.1\"] }\n"
#define WHOLE    HOSTNAME LISTENER ROUTE
#define N_ERRORS 64

static struct config_error err[N_ERRORS];
static size_t n_err;

static const char *path_of(const struct config_section_info *s, const struct config_info *k)
{
	static char path[160];

	return config_key_path(s, k, path, sizeof(path));
}

/* ---- both have the same keys ---------------------------------------------------------------- */

static const struct config_key *bound(const struct config_binding *b, const char *name)
{
	for (size_t i = 0; i < b->n; i++)
		if (!strcmp(b->key[i].name, name))
			return &b->key[i];
	return NULL;
}

static const struct config_binding *binding_of(const char *path)
{
	for (size_t i = 0; i < n_config_bindings; i++)
		if (!strcmp(config_bindings[i]->path, path))
			return config_bindings[i];
	return NULL;
}

static void table_and_bindings(void **state)
{
	(void)state;
	assert_int_equal(n_config_sections, n_config_bindings);
	for (size_t i = 0; i < n_config_sections; i++) {
		const struct config_section_info *s = config_sections[i];
		const struct config_binding *b = binding_of(s->path);

		if (!b)
			fail_msg("nothing reads section \"%s\"", s->path);
		for (size_t k = 0; k < s->n; k++)
			if (!bound(b, s->key[k].name))
				fail_msg("nothing reads %s", path_of(s, &s->key[k]));
		for (size_t k = 0; k < b->n; k++) {
			const struct config_section_info *of =
				!strcmp(s->path, "route.policy") ? config_section_info("policy")
								 : s;

			if (!config_key_info(of, b->key[k].name))
				fail_msg("%s.%s is not in the table", s->path, b->key[k].name);
		}
	}
}

static void entries_are_whole(void **state)
{
	char type[512], def[200];

	(void)state;
	for (size_t i = 0; i < n_config_sections; i++)
		for (size_t k = 0; k < config_sections[i]->n; k++) {
			const struct config_section_info *s = config_sections[i], *found;
			const struct config_info *info = &s->key[k];
			bool custom = bound(binding_of(s->path), info->name)->read != NULL;

			if (!info->text || !info->text[0])
				fail_msg("%s: no text", path_of(s, info));
			assert_int_equal(strlen(info->text), strcspn(info->text, "\t*"));
			assert_true(strlen(config_type_text(info, type, sizeof(type))) <
				    sizeof(type) - 1);
			assert_true(strlen(config_default_text(info, def, sizeof(def))) <
				    sizeof(def) - 1);
			if (info->needed && def[0])
				fail_msg("%s: required, and has a default", path_of(s, info));
			if (!custom && info->type > KEY_BOOL && info->type != KEY_CHOICE &&
			    info->type != KEY_DOMAIN && info->type != KEY_PATH &&
			    info->type != KEY_SOCKET)
				fail_msg("%s: no reader goes with its type", path_of(s, info));
			/* A number without a default is required, or says in words what holds. */
			if (info->type <= KEY_CHOICE && !info->needed && !def[0])
				fail_msg("%s: no default", path_of(s, info));
			if ((info->type == KEY_COUNT || info->type == KEY_NUMBER) && !info->unit)
				fail_msg("%s: a number of what?", path_of(s, info));
			if ((info->type == KEY_LIST || info->type == KEY_STRING ||
			     info->type == KEY_OTHER) &&
			    !info->form)
				fail_msg("%s: of what form?", path_of(s, info));
			if (info->type == KEY_LIST && info->max < 1)
				fail_msg("%s: a list of none", path_of(s, info));
			for (size_t j = 0; j < k; j++)
				assert_string_not_equal(info->name, s->key[j].name);
			if (config_key_is_of(s, info)) {
				assert_ptr_equal(config_key_find(path_of(s, info), &found), info);
				assert_ptr_equal(found, s);
			}
		}
}

/* ---- files with one key --------------------------------------------------------------------- */

/* The key in its section; *path: as an error would name it. */
static void write_key(const char *section, const char *key, const char *value, char *out,
		      size_t cap, char *path, size_t path_cap)
{
	static const char *const whole[] = {HOSTNAME, LISTENER, ROUTE};
	char part[64], sub[160], open[400] = "", close[64] = "";
	const struct config_section_info *s;
	const struct config_info *info;
	size_t n = 0;

	path[0] = '\0';
	for (const char *p = section; *p; p += n + (p[n] == '.')) {
		bool named, array;

		n = strcspn(p, ".");
		snprintf(part, sizeof(part), "%.*s", (int)n, p);
		snprintf(sub, sizeof(sub), "%.*s", (int)(p + n - section), section);
		info = config_key_find(sub, &s);
		assert_non_null(info);
		named = info->type == KEY_NAMED;
		array = info->type == KEY_OTHER;
		snprintf(open + strlen(open), sizeof(open) - strlen(open),
			 array ? "%s = [ {" : "%s%s {", part, named ? " \"x\"" : "");
		memmove(close + 1 + array, close, strlen(close) + 1);
		memcpy(close, "}]", 1u + array);
		snprintf(path + strlen(path), path_cap - strlen(path), "%s%s.", part,
			 named ? ".x" : "");
	}
	snprintf(path + strlen(path), path_cap - strlen(path), "%s", key);
	out[0] = '\0';
	/* What else a file needs, but for the key itself. */
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
		if (section[0] || strncmp(whole[i], key, strlen(key)) != 0)
			strcat(out, whole[i]);
	snprintf(out + strlen(out), cap - strlen(out), "%s\n%s%s\n%s\n", open, key, value, close);
}

static void parse(const char *text)
{
	struct config *c = NULL;

	memset(err, 0, sizeof(err));
	config_parse("test.conf", text, strlen(text), 1, &c, err, N_ERRORS, &n_err);
	config_unref(c);
}

/* The first error at that path that has `part` in its reason; NULL: there is none. */
static const struct config_error *error_at(const char *path, const char *part)
{
	for (size_t i = 0; i < n_err && i < N_ERRORS; i++)
		if (!strcmp(err[i].key, path) && strstr(err[i].reason, part))
			return &err[i];
	return NULL;
}

static bool try(const struct config_section_info *s, const char *key, const char *value,
		const char *part)
{
	char text[4096], path[200];

	write_key(s->path, key, value, text, sizeof(text), path, sizeof(path));
	parse(text);
	return error_at(path, part) != NULL;
}

static void typing_errors(void **state)
{
	char typo[80], part[120];

	(void)state;
	for (size_t i = 0; i < n_config_sections; i++)
		for (size_t k = 0; k < config_sections[i]->n; k++) {
			const struct config_section_info *s = config_sections[i];
			const char *name = s->key[k].name;

			if (!config_key_is_of(s, &s->key[k]))
				continue;
			snprintf(typo, sizeof(typo), "%sx", name);
			snprintf(part, sizeof(part), "unknown key; did you mean \"%s\"?", name);
			if (!try(s, typo, " = 1", part))
				fail_msg("%s: %s: %s", path_of(s, &s->key[k]), err[0].key,
					 err[0].reason);
		}
}

static void bad_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_config_sections; i++)
		for (size_t k = 0; k < config_sections[i]->n; k++) {
			const struct config_section_info *s = config_sections[i];
			const struct config_info *info = &s->key[k];

			/* Nothing takes a list of an empty list. */
			if (config_key_is_of(s, info) &&
			    !try(s, info->name, " = [[]]",
				 info->type == KEY_NAMED ? "needs a name" : "expected"))
				fail_msg("%s takes anything", path_of(s, info));
			if (config_key_is_of(s, info) && error_at(path_of(s, info), "unknown"))
				fail_msg("%s is not known", path_of(s, info));
		}
}

/* Is the value of a kind and within bounds that the key takes? It may be wrong beside others. */
static bool taken(const struct config_section_info *s, const struct config_info *info,
		  const char *value)
{
	char text[160];

	snprintf(text, sizeof(text), " = %s", value);
	return !try(s, info->name, text, "expected") && !try(s, info->name, text, "unknown");
}

static void numbers(void **state)
{
	char low[64], high[64], def[64];

	(void)state;
	for (size_t i = 0; i < n_config_sections; i++)
		for (size_t k = 0; k < config_sections[i]->n; k++) {
			const struct config_section_info *s = config_sections[i];
			const struct config_info *info = &s->key[k];
			double step = info->type == KEY_MILLIS   ? 0.001
				      : info->type == KEY_NUMBER ? 0.5
								 : 1;

			if (info->type > KEY_NUMBER || !config_key_is_of(s, info))
				continue;
			config_number_text(info->type, info->min, low, sizeof(low));
			config_number_text(info->type, info->max, high, sizeof(high));
			if (!taken(s, info, low) || !taken(s, info, high))
				fail_msg("%s does not take %s or %s", path_of(s, info), low, high);
			if (info->has_number &&
			    !taken(s, info,
				   config_number_text(info->type, info->number, def, sizeof(def))))
				fail_msg("%s does not take its default", path_of(s, info));
			if (info->has_number)
				assert_true(info->number >= info->min && info->number <= info->max);
			snprintf(low, sizeof(low), " = %.17g", info->min - step);
			snprintf(high, sizeof(high), " = %.17g", info->max + step);
			if (!strcmp(info->name, "loops"))
				continue;
			if (!try(s, info->name, low, "out of bounds") ||
			    !try(s, info->name, high, "out of bounds"))
				fail_msg("%s takes what is out of bounds", path_of(s, info));
		}
}

static void words(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_config_sections; i++)
		for (size_t k = 0; k < config_sections[i]->n; k++) {
			const struct config_section_info *s = config_sections[i];
			const struct config_info *info = &s->key[k];
			bool found = info->type != KEY_CHOICE;

			for (size_t w = 0; info->type == KEY_CHOICE && info->words[w]; w++) {
				found |= !strcmp(info->words[w], info->def);
				if (info->words[w][0] && config_key_is_of(s, info) &&
				    !taken(s, info, info->words[w]))
					fail_msg("%s does not take %s", path_of(s, info),
						 info->words[w]);
			}
			if (!found)
				fail_msg("%s: its default is no word of it", path_of(s, info));
			if (info->type == KEY_BOOL && config_key_is_of(s, info))
				assert_true(taken(s, info, "yes") && taken(s, info, "no"));
			if (info->type == KEY_BOOL && info->def)
				assert_true(!strcmp(info->def, "yes") || !strcmp(info->def, "no"));
			if (info->type == KEY_DOMAIN)
				assert_true(taken(s, info, "\"name.example.net\""));
		}
}

/* ---- in words ------------------------------------------------------------------------------- */

static void numbers_as_text(void **state)
{
	static const struct {
		enum key_type type;
		double v;
		const char *text;
	} t[] = {
		{KEY_TIME, 0, "0"},
		{KEY_TIME, 30, "30s"},
		{KEY_TIME, 60, "1min"},
		{KEY_TIME, 90, "90s"},
		{KEY_TIME, 7200, "2h"},
		{KEY_TIME, 86400, "1d"},
		{KEY_TIME, 90000, "25h"},
		{KEY_MILLIS, 0.1, "100ms"},
		{KEY_MILLIS, 1.5, "1500ms"},
		{KEY_MILLIS, 10, "10s"},
		{KEY_SIZE, 500, "500"},
		{KEY_SIZE, 10000, "10k"},
		{KEY_SIZE, 65536, "64kb"},
		{KEY_SIZE, 52428800, "50mb"},
		{KEY_SIZE, 1073741824, "1gb"},
		{KEY_SIZE, 1e9, "1g"},
		{KEY_SIZE, 1e15, "1000000g"},
		{KEY_SIZE, 65537, "65537"},
		{KEY_COUNT, 1000000, "1000000"},
		{KEY_NUMBER, 0.001, "0.001"},
		{KEY_NUMBER, -10000, "-10000"},
	};
	char out[40];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_string_equal(config_number_text(t[i].type, t[i].v, out, sizeof(out)),
				    t[i].text);
}

static void hints(void **state)
{
	const struct config_section_info *s;

	(void)state;
	/* A key that stands elsewhere is said where. */
	parse(WHOLE "max-message = 5mb\n");
	assert_non_null(
		error_at("max-message", "unknown key here; did you mean \"route.max-message\"?"));
	parse(WHOLE "greylist-delay = 5s\n");
	assert_non_null(error_at("greylist-delay", "did you mean \"policy.greylist-delay\"?"));
	assert_string_equal(config_key_nearest_of_all("tag-scor", CONFIG_NEAR, &s)->name,
			    "tag-score");
	assert_null(config_key_nearest_of_all("frobnicate", CONFIG_NEAR, &s));
	assert_int_equal(config_word_distance("kitten", "sitting", 3), 3);
	assert_int_equal(config_word_distance("a", "abcdef", 3), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_and_bindings),
		cmocka_unit_test(entries_are_whole),
		cmocka_unit_test(typing_errors),
		cmocka_unit_test(bad_values),
		cmocka_unit_test(numbers),
		cmocka_unit_test(words),
		cmocka_unit_test(numbers_as_text),
		cmocka_unit_test(hints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
