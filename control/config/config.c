/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Snapshots: made from a file or from memory, counted, given up. */

#include "control/config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/config/config_settings_tree.h"
#include "control/config/config_tree.h"
#include "postern/limits.h"

struct domain_entry {
	const char *domain;
	const struct config_route *route;
};

struct config_private {
	struct config_mem mem;
	struct config_settings *settings;
	struct domain_entry *index; /* sorted */
	size_t n_index;
};

static int by_domain(const void *a, const void *b)
{
	return strcmp(((const struct domain_entry *)a)->domain,
		      ((const struct domain_entry *)b)->domain);
}

static void make_index(struct config *c)
{
	struct config_private *p = c->priv;
	size_t n = 0;

	for (size_t i = 0; i < c->n_routes; i++)
		n += c->route[i].n_domains;
	p->index = config_alloc(&p->mem, n * sizeof(*p->index));
	if (!p->index)
		return;
	for (size_t i = 0; i < c->n_routes; i++)
		for (size_t j = 0; j < c->route[i].n_domains; j++)
			p->index[p->n_index++] =
				(struct domain_entry){c->route[i].domain[j], &c->route[i]};
	qsort(p->index, n, sizeof(*p->index), by_domain);
}

static struct config *config_new(const char *name, uint64_t generation)
{
	struct config *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->refs = 1;
	c->generation = generation;
	c->priv = calloc(1, sizeof(*c->priv));
	if (!c->priv) {
		free(c);
		return NULL;
	}
	c->path = config_dup(&c->priv->mem, str_c(name));
	return c;
}

static int parse(struct config_ctx *ctx, const struct config_text *t, uint64_t generation,
		 struct config **out, size_t *n_errors)
{
	const struct config_source source = {t->name, t->readable, NULL};
	struct config *c = config_new(t->name, generation);
	struct config_node *root;
	int rc = -EINVAL;

	*out = NULL;
	*n_errors = 0;
	if (!c)
		return -ENOMEM;
	ctx->file = t->name;
	ctx->source = &source;
	if (t->len > LIMIT_CONFIG_FILE) {
		config_fail_line(ctx, 0, "", "file of more than %u octets", LIMIT_CONFIG_FILE);
		goto out;
	}
	root = config_syntax(ctx, str_make(t->text, t->len));
	if (root)
		config_check(ctx, root, &c->priv->mem, c);
	if (!ctx->n_errors && root) {
		make_index(c);
		c->priv->settings = config_settings_of_tree(ctx, root);
	}
	if (ctx->mem.failed || c->priv->mem.failed)
		rc = -ENOMEM;
	else if (!ctx->n_errors && root)
		rc = 0;
out:
	*n_errors = ctx->n_errors;
	config_mem_free(&ctx->mem);
	if (rc)
		config_unref(c);
	else
		*out = c;
	return rc;
}

static struct config_text borrowed(const char *name, const void *text, size_t len)
{
	return (struct config_text){(char *)(uintptr_t)name, (char *)(uintptr_t)text, len, false};
}

int config_parse(const char *name, const void *text, size_t len, uint64_t generation,
		 struct config **out, struct config_error *err, size_t cap, size_t *n_errors)
{
	struct config_ctx ctx = {.err = err, .cap = err ? cap : 0};
	const struct config_text t = borrowed(name, text, len);

	return parse(&ctx, &t, generation, out, n_errors);
}

int config_parse_found(const char *name, const void *text, size_t len, config_find *find, void *arg,
		       struct config **out, struct config_error *err, size_t cap, size_t *n_errors)
{
	struct config_ctx ctx = {.err = err, .cap = err ? cap : 0, .find = find, .find_arg = arg};
	const struct config_text t = borrowed(name, text, len);

	return parse(&ctx, &t, 1, out, n_errors);
}

int config_load(const char *path, uint64_t generation, struct config **out,
		struct config_error *err, size_t cap, size_t *n_errors)
{
	struct config_ctx ctx = {
		.file = path, .err = err, .cap = err ? cap : 0, .find = config_find_files};
	struct config_text t;
	int rc = config_text_read(path, &t);

	if (rc) {
		*out = NULL;
		if (rc != -ENOMEM)
			config_fail_line(&ctx, 0, "", "cannot be read: %s", strerror(-rc));
		*n_errors = ctx.n_errors;
		return rc;
	}
	t.name = (char *)(uintptr_t)path;
	rc = parse(&ctx, &t, generation, out, n_errors);
	t.name = NULL;
	config_texts_free(&t, 1);
	return rc;
}

const struct config_settings *config_settings(const struct config *c)
{
	return c->priv ? c->priv->settings : NULL;
}

struct config *config_ref(struct config *c)
{
	c->refs++;
	return c;
}

void config_unref(struct config *c)
{
	if (!c || --c->refs)
		return;
	/* A configuration that was not made here belongs to whoever made it. */
	if (!c->priv)
		return;
	config_arc_free(&c->arc);
	config_lists_free(c);
	config_settings_unref(c->priv->settings);
	config_mem_free(&c->priv->mem);
	free(c->priv);
	free(c);
}

const struct config_listener *config_listener_of(const struct config *c, const struct ip_addr *ip)
{
	for (size_t i = 0; i < c->n_listeners; i++)
		for (size_t k = 0; k < c->listener[i].n_addresses; k++)
			if (!memcmp(&c->listener[i].address[k].addr, ip, sizeof(*ip)))
				return &c->listener[i];
	return NULL;
}

static const struct config_route *find_domain(const struct config *c, const char *name)
{
	struct domain_entry key = {.domain = name};
	const struct domain_entry *e;

	if (c->priv) {
		e = c->priv->n_index ? bsearch(&key, c->priv->index, c->priv->n_index,
						  sizeof(key), by_domain) : NULL;
		return e ? e->route : NULL;
	}
	for (size_t i = 0; i < c->n_routes; i++)
		for (size_t j = 0; j < c->route[i].n_domains; j++)
			if (strcmp(c->route[i].domain[j], name) == 0)
				return &c->route[i];
	return NULL;
}

const struct config_route *config_route_for(const struct config *c, struct str domain)
{
	char name[MAIL_ALABEL];
	const struct config_route *route;

	if (!mail_alabel(domain, name))
		return NULL;
	/* An empty label is no name, and must not find its parent's entry. */
	if (name[0] == '.' || strstr(name, ".."))
		return NULL;
	route = find_domain(c, name);
	/* ".parent" lies in the name itself. */
	for (const char *dot = strchr(name, '.'); dot && !route; dot = strchr(dot + 1, '.'))
		route = find_domain(c, dot);
	return route;
}

bool config_wants_transparent(const struct config *c)
{
	for (size_t i = 0; i < c->n_routes; i++)
		if (c->route[i].transparent)
			return true;
	return false;
}
