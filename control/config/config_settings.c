/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/config/config_settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "control/config/config_settings_tree.h"
#include "postern/limits.h"

struct config_settings_mem {
	struct config_mem mem;
	size_t cap;
};

/* ---- made and given up ---------------------------------------------------------------------- */

struct config_settings *config_settings_new(size_t cap)
{
	struct config_settings *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->refs = 1;
	s->mem = calloc(1, sizeof(*s->mem));
	if (s->mem)
		s->setting = calloc(cap + 1, sizeof(*s->setting));
	if (!s->setting) {
		config_settings_unref(s);
		return NULL;
	}
	s->mem->cap = cap;
	return s;
}

struct config_settings *config_settings_ref(const struct config_settings *s)
{
	/* Only its count changes. */
	struct config_settings *mine = (struct config_settings *)(uintptr_t)s;

	if (mine)
		mine->refs++;
	return mine;
}

void config_settings_unref(struct config_settings *s)
{
	if (!s || --s->refs)
		return;
	if (s->mem)
		config_mem_free(&s->mem->mem);
	free(s->mem);
	free(s->setting);
	free(s);
}

/* ---- keys ----------------------------------------------------------------------------------- */

/* The next part of a path, without its quotes. */
static struct str part(const char **p)
{
	const char *from = *p;
	size_t n;

	if (*from == '"') {
		n = strcspn(++from, "\"");
		*p = from + n + (from[n] != '\0');
	} else {
		n = strcspn(from, ".");
		*p = from + n;
	}
	if (**p == '.')
		++*p;
	return str_make(from, n);
}

const struct config_info *config_setting_info(const char *key, const struct config_section_info **section)
{
	const struct config_info *info = NULL;
	char path[200] = "";

	while (*key) {
		struct str word = part(&key);
		size_t n = strlen(path);

		if (n + word.n + 2 > sizeof(path))
			return NULL;
		snprintf(path + n, sizeof(path) - n, "%s%.*s", n ? "." : "", STR_FMT(word));
		info = config_key_find(path, section);
		if (!info)
			return NULL;
		if (info->type == KEY_NAMED && *key)
			part(&key);
	}
	return info;
}

/* Where another key of the file, or a section above, says what holds without this one, that is not the
 * default. */
static bool default_holds(const struct config_section_info *s, const struct config_info *info)
{
	return (info->has_number || info->def) && !(info->flags & KEY_PRESET) && strcmp(s->path, "route.policy");
}

bool config_settings_add(struct config_settings *s, const char *key, const char *value)
{
	const struct config_section_info *section = NULL;
	struct config_setting *x = &s->setting[s->n];

	if (s->n == s->mem->cap)
		return false;
	x->key = config_dup(&s->mem->mem, str_c(key));
	x->value = config_dup(&s->mem->mem, str_c(value));
	x->info = config_setting_info(key, &section);
	x->has_default = x->info && default_holds(section, x->info);
	s->n += !s->mem->mem.failed;
	return !s->mem->mem.failed;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct config_setting *)a)->key, ((const struct config_setting *)b)->key);
}

void config_settings_sort(struct config_settings *s)
{
	qsort(s->setting, s->n, sizeof(*s->setting), by_key);
}

static bool is_secret(const struct config_setting *x)
{
	return x->info && x->info->flags & KEY_SECRET;
}

static bool is_restart(const struct config_setting *x)
{
	return x->info && x->info->flags & KEY_RESTART;
}

/* ---- from one another ----------------------------------------------------------------------- */

/* All of `s` that are chosen, into `out`; false: memory. */
static bool take(struct config_settings *out, const struct config_settings *s,
		 bool (*chosen)(const struct config_setting *x, const char *key), const char *key)
{
	for (size_t i = 0; i < s->n; i++)
		if (chosen(&s->setting[i], key) &&
		    !config_settings_add(out, s->setting[i].key, s->setting[i].value))
			return false;
	return true;
}

static bool of_start(const struct config_setting *x, const char *key)
{
	(void)key;
	return is_restart(x);
}

static bool of_now(const struct config_setting *x, const char *key)
{
	(void)key;
	return !is_restart(x);
}

static bool this_key(const struct config_setting *x, const char *key)
{
	return !strcmp(x->key, key);
}

static bool other_key(const struct config_setting *x, const char *key)
{
	return strcmp(x->key, key) != 0;
}

static struct config_settings *finish(struct config_settings *out, bool ok)
{
	if (ok)
		config_settings_sort(out);
	else
		config_settings_unref(out);
	return ok ? out : NULL;
}

struct config_settings *config_settings_of_start(const struct config_settings *s)
{
	struct config_settings *out = config_settings_new(s->n);

	return out ? finish(out, take(out, s, of_start, NULL)) : NULL;
}

struct config_settings *config_settings_with(const struct config_settings *s,
					     const struct config_settings *from, const char *key)
{
	struct config_settings *out = config_settings_new(s->n + 1);

	return out ? finish(out, take(out, s, other_key, key) && take(out, from, this_key, key)) : NULL;
}

struct config_settings *config_settings_in_force(const struct config_settings *start,
						 const struct config_settings *now)
{
	struct config_settings *out = config_settings_new(start->n + now->n);

	return out ? finish(out, take(out, start, of_start, NULL) && take(out, now, of_now, NULL)) : NULL;
}

static bool hmac(const uint8_t salt[CONFIG_SALT], const char *text, char out[65])
{
	uint8_t md[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	if (!HMAC(EVP_sha256(), salt, CONFIG_SALT, (const uint8_t *)text, strlen(text), md, &n) || n != 32)
		return false;
	for (unsigned int i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", md[i]);
	return true;
}

struct config_settings *config_settings_salted(const struct config_settings *s,
					       const uint8_t salt[CONFIG_SALT])
{
	struct config_settings *out = config_settings_new(s->n);
	bool ok = out != NULL;
	char digest[65];

	for (size_t i = 0; i < s->n && ok; i++) {
		const struct config_setting *x = &s->setting[i];

		ok = !is_secret(x) || hmac(salt, x->value, digest);
		ok = ok && config_settings_add(out, x->key, is_secret(x) ? digest : x->value);
	}
	return out ? finish(out, ok) : NULL;
}

/* ---- what differs --------------------------------------------------------------------------- */

/* Has the named section that the key stands in anything there? */
static bool section_is_in(const struct config_settings *s, const char *key)
{
	size_t low = 0, high = s->n, n = 0;
	const char *p = key;

	/* "route.office." of "route.office.port": up to the name, if there is one. */
	for (size_t parts = 0; *p && parts < 2; parts++)
		part(&p);
	n = (size_t)(p - key);
	while (low < high) {
		size_t mid = (low + high) / 2;

		if (strncmp(s->setting[mid].key, key, n) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < s->n && !strncmp(s->setting[low].key, key, n);
}

/* What holds in `other`, which does not say it. */
static const char *without(const struct config_setting *x, const struct config_settings *other, char *buf,
			   size_t cap)
{
	const char *dot = strchr(x->key, '.');
	const struct config_section_info *s;
	const struct config_info *top;
	char first[80];

	if (!x->has_default)
		return NULL;
	if (dot) {
		snprintf(first, sizeof(first), "%.*s", (int)(dot - x->key), x->key);
		top = config_key_find(first, &s);
		/* Of a section that is not there nothing holds. */
		if (top && top->type == KEY_NAMED && !section_is_in(other, x->key))
			return NULL;
	}
	if (x->info->has_number)
		return config_number_text(x->info->type, x->info->number, buf, cap);
	return x->info->def;
}

static bool same(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

size_t config_settings_diff(const struct config_settings *from, const struct config_settings *to,
			    config_change_fn *each, void *arg)
{
	size_t i = 0, k = 0, n = 0;
	char buf[64];

	while (i < from->n || k < to->n) {
		const struct config_setting *a = i < from->n ? &from->setting[i] : NULL;
		const struct config_setting *b = k < to->n ? &to->setting[k] : NULL;
		int order = !a ? 1 : !b ? -1 : strcmp(a->key, b->key);
		const struct config_setting *x = order <= 0 ? a : b;
		struct config_change c = {.key = x->key, .from_set = order <= 0, .to_set = order >= 0,
					  .secret = is_secret(x), .restart = is_restart(x)};

		c.from = c.from_set ? a->value : c.secret ? NULL : without(x, from, buf, sizeof(buf));
		c.to = c.to_set ? b->value : c.secret ? NULL : without(x, to, buf, sizeof(buf));
		i += c.from_set;
		k += c.to_set;
		if (same(c.from, c.to))
			continue;
		n++;
		if (each)
			each(arg, &c);
	}
	return n;
}
