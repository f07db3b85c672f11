/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/config/keys.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "control/config/keys_all.h"

const struct config_section_info *const config_sections[] = {
	&section_top,         &section_dataplane,    &section_listener,
	&section_inline,      &section_inline_server, &section_exceptions,
	&section_exceptions_gateway, &section_exceptions_inline, &section_exceptions_tap, &section_route,
	&section_route_hosts, &section_route_policy, &section_relay,    &section_relay_tenant,
	&section_trust,       &section_chain,        &section_tls,      &section_tls_certificate,
	&section_arc,         &section_arc_key,      &section_dns,      &section_rules,
	&section_policy,      &section_dnsbl,        &section_list,     &section_attachment,
	&section_quarantine,  &section_tap,         &section_sources,      &section_limits,   &section_texts,
	&section_trace,       &section_metrics,      &section_api,          &section_spf,
};
const size_t n_config_sections = sizeof(config_sections) / sizeof(config_sections[0]);

const struct config_section_info *config_section_info(const char *path)
{
	for (size_t i = 0; i < n_config_sections; i++)
		if (!strcmp(config_sections[i]->path, path))
			return config_sections[i];
	return NULL;
}

bool config_key_is_of(const struct config_section_info *s, const struct config_info *k)
{
	return !(k->flags & KEY_WHOLE_ONLY) || strncmp(s->path, "route.", 6) != 0;
}

const struct config_info *config_key_info(const struct config_section_info *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->key[i].name, name))
			return config_key_is_of(s, &s->key[i]) ? &s->key[i] : NULL;
	return NULL;
}

const struct config_info *config_key_find(const char *path, const struct config_section_info **s)
{
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; i < n_config_sections; i++) {
		const char *own = config_sections[i]->path;
		size_t n = strlen(own);

		if (dot ? n != (size_t)(dot - path) || strncmp(own, path, n) != 0 : n != 0)
			continue;
		*s = config_sections[i];
		return config_key_info(*s, dot ? dot + 1 : path);
	}
	return NULL;
}

/* ---- names nearby --------------------------------------------------------------------------- */

unsigned int config_word_distance(const char *a, const char *b, unsigned int limit)
{
	size_t n = strlen(a), m = strlen(b);
	unsigned int row[64];

	if (m >= 64 || n >= 64 || (n > m ? n - m : m - n) > limit)
		return limit + 1;
	for (size_t j = 0; j <= m; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned int diagonal = row[0];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned int d = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < d)
				d = row[j] + 1;
			if (row[j - 1] + 1 < d)
				d = row[j - 1] + 1;
			row[j] = d;
		}
	}
	return row[m];
}

static const struct config_info *nearest(const struct config_section_info *s, const char *name,
					 unsigned int *best_d)
{
	const struct config_info *best = NULL;

	for (size_t i = 0; i < s->n; i++) {
		unsigned int d = config_word_distance(name, s->key[i].name, *best_d);

		if (d < *best_d && d < strlen(s->key[i].name) && config_key_is_of(s, &s->key[i])) {
			*best_d = d;
			best = &s->key[i];
		}
	}
	return best;
}

const struct config_info *config_key_nearest(const struct config_section_info *s, const char *name,
					     unsigned int limit)
{
	unsigned int d = limit + 1;

	return nearest(s, name, &d);
}

const struct config_info *config_key_nearest_of_all(const char *name, unsigned int limit,
						    const struct config_section_info **s)
{
	const struct config_info *best = NULL;
	unsigned int d = limit + 1;

	for (size_t i = 0; i < n_config_sections; i++) {
		const struct config_info *k = NULL;

		/* It has no key that `policy` has not. */
		if (config_sections[i] != &section_route_policy)
			k = nearest(config_sections[i], name, &d);
		if (k) {
			best = k;
			*s = config_sections[i];
		}
	}
	return best;
}

/* ---- in words ------------------------------------------------------------------------------- */

const char *config_key_path(const struct config_section_info *s, const struct config_info *k,
			    char *out, size_t cap)
{
	snprintf(out, cap, "%s%s%s", s->path, s->path[0] ? "." : "", k->name);
	return out;
}

struct unit {
	double factor;
	const char *suffix;
};

const char *config_number_text(enum key_type type, double v, char *out, size_t cap)
{
	static const struct unit sizes[] =
		{{1e9, "g"},     {1e6, "m"}, {1073741824.0, "gb"}, {1048576.0, "mb"}, {1e3, "k"},
		 {1024.0, "kb"}, {1, ""}},
				 times[] = {{86400, "d"},
					    {3600, "h"},
					    {60, "min"},
					    {1, "s"},
					    {1e-3, "ms"}};
	bool size = type == KEY_SIZE, time = type == KEY_TIME || type == KEY_MILLIS;
	const struct unit *u = size ? sizes : times;

	if (v == 0 || (!size && !time)) {
		snprintf(out, cap, "%.15g", v);
		return out;
	}
	/* Into whole ones; what is no whole number of the smallest unit stands as it is. */
	for (size_t n = size ? 7 : 5; n > 1 && fabs(v / u->factor - round(v / u->factor)) > 1e-9;
	     n--)
		u++;
	snprintf(out, cap, "%.15g%s", time && u->factor < 1 ? round(v * 1e3) : v / u->factor,
		 u->suffix);
	return out;
}

static int add(char *out, size_t cap, size_t *at, const char *a, const char *b, const char *c)
{
	int n = *at < cap ? snprintf(out + *at, cap - *at, "%s%s%s", a, b, c) : 0;

	*at += n > 0 ? (size_t)n : 0;
	return n;
}

static void bounds(const struct config_info *k, char *out, size_t cap, size_t *at)
{
	char low[40], high[40];

	config_number_text(k->type, k->min, low, sizeof(low));
	config_number_text(k->type, k->max, high, sizeof(high));
	add(out, cap, at, ", `", low, "`");
	add(out, cap, at, " to `", high, "`");
}

const char *config_type_text(const struct config_info *k, char *out, size_t cap)
{
	static const char *const name[] = {[KEY_COUNT] = "number",
					   [KEY_SIZE] = "size",
					   [KEY_TIME] = "time",
					   [KEY_MILLIS] = "time",
					   [KEY_NUMBER] = "number, also with a fraction",
					   [KEY_BOOL] = "`yes` or `no`",
					   [KEY_CHOICE] = "one of ",
					   [KEY_STRING] = "string",
					   [KEY_DOMAIN] = "host or domain name",
					   [KEY_PATH] = "absolute path",
					   [KEY_SOCKET] = "absolute path",
					   [KEY_LIST] = "list",
					   [KEY_OTHER] = "",
					   [KEY_SECTION] = "section { ... }",
					   [KEY_NAMED] = "sections, each with a name: "};
	char text[48];
	size_t at = 0;

	out[0] = '\0';
	add(out, cap, &at, name[k->type], "", "");
	switch (k->type) {
	case KEY_COUNT:
	case KEY_NUMBER:
		if (k->unit)
			add(out, cap, &at, " (", k->unit, ")");
		bounds(k, out, cap, &at);
		break;
	case KEY_SIZE:
		add(out, cap, &at, " (octets)", "", "");
		bounds(k, out, cap, &at);
		break;
	case KEY_TIME:
	case KEY_MILLIS:
		bounds(k, out, cap, &at);
		break;
	case KEY_CHOICE:
		for (size_t i = 0, n = 0; k->words[i]; i++)
			if (k->words[i][0] &&
			    add(out, cap, &at, n++ ? ", `" : "`", k->words[i], "`") < 0)
				break;
		break;
	case KEY_LIST:
		snprintf(text, sizeof(text), " of %s%.0f", k->min > 0 ? "1 to " : "up to ", k->max);
		add(out, cap, &at, text, ": ", k->form);
		break;
	case KEY_NAMED:
		add(out, cap, &at, k->name, k->form ? " \"NAME\" = " : " \"NAME\" { ... }",
		    k->form ? k->form : "");
		break;
	case KEY_OTHER:
		add(out, cap, &at, k->form, "", "");
		break;
	default:
		if (k->form)
			add(out, cap, &at,
			    k->type == KEY_PATH && strncmp(k->form, "or ", 3) ? " of " : ", ",
			    k->form, "");
	}
	return out;
}

const char *config_default_text(const struct config_info *k, char *out, size_t cap)
{
	char number[40];

	out[0] = '\0';
	if (k->has_number)
		snprintf(out, cap, "`%s`",
			 config_number_text(k->type, k->number, number, sizeof(number)));
	else if (k->def)
		snprintf(out, cap, "`%s`", k->def);
	else if (k->otherwise)
		snprintf(out, cap, "%s", k->otherwise);
	return out;
}
