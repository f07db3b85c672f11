/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/config/config_settings_tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "control/config/config_value.h"
#include "postern/limits.h"
#include "postern/utf8.h"

/* Text that grows; of a secret it is wiped. */
struct text {
	char *p;
	size_t n, cap;
	bool failed;
};

static void put(struct text *t, const char *s, size_t n)
{
	if (t->n + n + 1 > t->cap && !t->failed) {
		size_t cap = 2 * (t->n + n) + 256;
		char *p = malloc(cap);

		if (p && t->n)
			memcpy(p, t->p, t->n);
		if (t->p)
			OPENSSL_cleanse(t->p, t->n);
		free(t->p);
		t->p = p;
		t->cap = p ? cap : 0;
		t->failed = !p;
	}
	if (t->failed)
		return;
	if (n)
		memcpy(t->p + t->n, s, n);
	t->n += n;
	t->p[t->n] = '\0';
}

static void put_c(struct text *t, const char *s)
{
	put(t, s, strlen(s));
}

/* What is no UTF-8 as \\xNN: whatever reads this reads text. */
static void put_utf8(struct text *t, struct str s, const char *backslash)
{
	char escape[8];

	for (size_t i = 0, n; i < s.n; i += n) {
		if (utf8_at(s, i, &n) >= 0) {
			put(t, (const char *)s.p + i, n);
			continue;
		}
		put_c(t, backslash);
		snprintf(escape, sizeof(escape), "x%02x", s.p[i]);
		put_c(t, escape);
	}
}

static void forget(struct text *t)
{
	if (t->p)
		OPENSSL_cleanse(t->p, t->n);
	free(t->p);
}

/* RFC 8259 7. */
static void put_quoted(struct text *t, const char *s)
{
	char escape[8];

	put_c(t, "\"");
	while (*s) {
		size_t n = 0;

		while ((uint8_t)s[n] >= 0x20 && s[n] != '"' && s[n] != '\\')
			n++;
		put_utf8(t, str_make(s, n), "\\\\");
		s += n;
		if (!*s)
			break;
		snprintf(escape, sizeof(escape), *s == '"' || *s == '\\' ? "\\%c" : "\\u%04x", *s);
		put_c(t, escape);
		s++;
	}
	put_c(t, "\"");
}

static void put_scalar(struct text *t, const struct config_node *n, const struct config_info *info)
{
	enum key_type type = info->type;
	char number[64];

	if (n->kind == NODE_NUMBER && type <= KEY_NUMBER)
		put_c(t, config_number_text(type, n->number, number, sizeof(number)));
	else if (n->kind == NODE_BOOL && (type == KEY_BOOL || type == KEY_OTHER))
		put_c(t, n->boolean ? "yes" : "no");
	else
		put_utf8(t, str_c(n->text), "\\");
}

/* An element of a list, or a member of a section in one. */
static void put_value(struct text *t, const struct config_node *n)
{
	if (n->kind != NODE_SECTION && n->kind != NODE_ARRAY) {
		put_quoted(t, n->text);
		return;
	}
	put_c(t, n->kind == NODE_ARRAY ? "[" : "{");
	for (const struct config_node *e = n->first; e; e = e->next) {
		if (e != n->first)
			put_c(t, ",");
		if (n->kind == NODE_SECTION) {
			put_quoted(t, e->key);
			put_c(t, ":");
		}
		put_value(t, e);
	}
	put_c(t, n->kind == NODE_ARRAY ? "]" : "}");
}

/* A secret as its SHA-256: what is kept in memory for ever does not hold it. */
static bool digest(struct text *t)
{
	uint8_t md[EVP_MAX_MD_SIZE];
	char hex[2 * EVP_MAX_MD_SIZE + 1];
	unsigned int n = 0;

	if (t->failed || !EVP_Digest(t->p, t->n, md, &n, EVP_sha256(), NULL))
		return false;
	for (unsigned int i = 0; i < n; i++)
		snprintf(hex + 2 * i, 3, "%02x", md[i]);
	OPENSSL_cleanse(t->p, t->n);
	t->n = 0;
	put(t, hex, 2 * (size_t)n);
	return !t->failed;
}

struct walk {
	struct config_ctx *c;
	struct config_settings *out;
};

static void leaf(struct walk *w, const char *path, const struct config_node *n,
		 const struct config_info *info)
{
	struct text t = {0};
	bool ok;

	put_c(&t, "");
	if (n->kind == NODE_SECTION || n->kind == NODE_ARRAY)
		put_value(&t, n);
	else
		put_scalar(&t, n, info);
	ok = !t.failed && (!(info->flags & KEY_SECRET) || digest(&t));
	if (!ok || !config_settings_add(w->out, path, t.p))
		w->c->mem.failed = true;
	forget(&t);
}

/* parent.key; a name with a dot in quotes. */
static void join(char *out, size_t cap, const char *parent, const char *key, bool name)
{
	const char *quote = name && strchr(key, '.') ? "\"" : "";

	snprintf(out, cap, "%s%s%s%s%s", parent, parent[0] ? "." : "", quote, key, quote);
}

#define PATH_MAX_ (LIMIT_CONFIG_DEPTH * (LIMIT_DNS_NAME + 3))

static void section(struct walk *w, const struct config_node *n, const struct config_section_info *s,
		    const char *path)
{
	char sub[PATH_MAX_], below[PATH_MAX_], schema[160];
	const struct config_section_info *inner;

	if (n->kind != NODE_SECTION || n->named) {
		config_fail(w->c, n, NULL, "expected a section { ... }, found %s", config_kind_name(n));
		return;
	}
	for (const struct config_node *e = n->first; e; e = e->next) {
		const struct config_info *info = config_key_info(s, e->key);

		if (!info) {
			config_unknown_key(w->c, e, s);
			continue;
		}
		join(sub, sizeof(sub), path, e->key, false);
		inner = config_section_info(config_key_path(s, info, schema, sizeof(schema)));
		if (info->type == KEY_SECTION && inner) {
			section(w, e, inner, sub);
			continue;
		}
		if (info->type != KEY_NAMED) {
			leaf(w, sub, e, info);
			continue;
		}
		if (!e->named)
			config_fail(w->c, e, NULL, "needs a name: %s \"name\" ...", info->name);
		for (const struct config_node *x = e->named ? e->first : NULL; x; x = x->next) {
			join(below, sizeof(below), sub, x->key, true);
			if (inner)
				section(w, x, inner, below);
			else
				leaf(w, below, x, info);
		}
	}
}

static size_t count(const struct config_node *n)
{
	size_t all = n->n;

	for (const struct config_node *e = n->first; e; e = e->next)
		if (e->kind == NODE_SECTION)
			all += count(e);
	return all;
}

struct config_settings *config_settings_of_tree(struct config_ctx *c, const struct config_node *root)
{
	struct walk w = {.c = c, .out = config_settings_new(count(root))};

	if (!w.out) {
		c->mem.failed = true;
		return NULL;
	}
	section(&w, root, config_section_info(""), "");
	config_settings_sort(w.out);
	return w.out;
}

int config_settings_load(const char *path, struct config_settings **out, struct config_error *err,
			 size_t cap, size_t *n_errors)
{
	struct config_ctx c = {
		.file = path, .err = err, .cap = err ? cap : 0, .find = config_find_files};
	struct config_source source = {.name = path};
	const struct config_node *root;
	struct config_text t;
	int rc = config_text_read(path, &t);

	*out = NULL;
	if (rc) {
		if (rc != -ENOMEM)
			config_fail_line(&c, 0, "", "cannot be read: %s", strerror(-rc));
	} else if (t.len > LIMIT_CONFIG_FILE) {
		config_fail_line(&c, 0, "", "file of more than %u octets", LIMIT_CONFIG_FILE);
	} else {
		c.source = &source;
		root = config_syntax(&c, str_make(t.text, t.len));
		if (root)
			*out = config_settings_of_tree(&c, root);
	}
	if (!rc)
		rc = c.mem.failed ? -ENOMEM : c.n_errors ? -EINVAL : 0;
	if (rc) {
		config_settings_unref(*out);
		*out = NULL;
	}
	*n_errors = c.n_errors;
	config_mem_free(&c.mem);
	config_texts_free(&t, 1);
	return rc;
}
