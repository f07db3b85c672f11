/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Snapshots: made from a file or from memory, counted, given up. */

#include "control/config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "control/config/config_tree.h"
#include "postern/limits.h"

struct domain_entry {
	const char *domain;
	const struct config_route *route;
};

struct config_private {
	struct config_mem mem;
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

static int parse(const char *name, const void *text, size_t len, bool readable, uint64_t generation,
		 struct config **out, struct config_error *err, size_t cap, size_t *n_errors)
{
	struct config_ctx ctx = {
		.file = name, .err = err, .cap = err ? cap : 0, .readable = readable};
	struct config *c = config_new(name, generation);
	struct config_node *root;
	int rc = -EINVAL;

	*out = NULL;
	*n_errors = 0;
	if (!c)
		return -ENOMEM;
	if (len > LIMIT_CONFIG_FILE) {
		config_fail_line(&ctx, 0, "", "file of more than %u octets", LIMIT_CONFIG_FILE);
		goto out;
	}
	root = config_syntax(&ctx, str_make(text, len));
	if (root)
		config_check(&ctx, root, &c->priv->mem, c);
	if (!ctx.n_errors)
		make_index(c);
	if (ctx.mem.failed || c->priv->mem.failed)
		rc = -ENOMEM;
	else if (!ctx.n_errors && root)
		rc = 0;
out:
	*n_errors = ctx.n_errors;
	config_mem_free(&ctx.mem);
	if (rc)
		config_unref(c);
	else
		*out = c;
	return rc;
}

int config_parse(const char *name, const void *text, size_t len, uint64_t generation,
		 struct config **out, struct config_error *err, size_t cap, size_t *n_errors)
{
	return parse(name, text, len, false, generation, out, err, cap, n_errors);
}

/* The whole file, or an error number. *readable: others may read or write it. */
static int read_file(const char *path, char **text, size_t *len, bool *readable)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc = 0;
	struct stat st;
	size_t n = 0;

	*text = NULL;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st)) {
		rc = -errno;
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		rc = S_ISDIR(st.st_mode) ? -EISDIR : -ENXIO;
		goto out;
	}
	*readable = st.st_mode & (S_IRWXO | S_IWGRP);
	*text = malloc(LIMIT_CONFIG_FILE + 1);
	if (!*text) {
		rc = -ENOMEM;
		goto out;
	}
	while (n <= LIMIT_CONFIG_FILE) {
		ssize_t k = read(fd, *text + n, LIMIT_CONFIG_FILE + 1 - n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			rc = -errno;
		if (k <= 0)
			break;
		n += (size_t)k;
	}
	*len = n;
out:
	close(fd);
	return rc;
}

int config_load(const char *path, uint64_t generation, struct config **out,
		struct config_error *err, size_t cap, size_t *n_errors)
{
	char *text = NULL;
	bool readable = false;
	size_t len = 0;
	int rc = read_file(path, &text, &len, &readable);

	if (rc) {
		struct config_ctx ctx = {.file = path, .err = err, .cap = err ? cap : 0};

		*out = NULL;
		if (rc != -ENOMEM)
			config_fail_line(&ctx, 0, "", "cannot be read: %s", strerror(-rc));
		*n_errors = ctx.n_errors;
	} else {
		rc = parse(path, text, len, readable, generation, out, err, cap, n_errors);
	}
	if (text)
		OPENSSL_cleanse(text, len); /* it may hold private keys */
	free(text);
	return rc;
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
	config_mem_free(&c->priv->mem);
	free(c->priv);
	free(c);
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

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_list(const char *const *a, size_t n_a, const char *const *b, size_t n_b)
{
	if (n_a != n_b)
		return false;
	for (size_t i = 0; i < n_a; i++)
		if (!same_text(a[i], b[i]))
			return false;
	return true;
}

static bool same_dns(const struct dns_options *a, const struct dns_options *b)
{
	if (a->timeout_ms != b->timeout_ms || a->n_stubs != b->n_stubs ||
	    !same_text(a->trust_anchor_file, b->trust_anchor_file) ||
	    !same_list(a->forwarder, a->n_forwarders, b->forwarder, b->n_forwarders) ||
	    !same_list(a->zone_file, a->n_zone_files, b->zone_file, b->n_zone_files))
		return false;
	for (size_t i = 0; i < a->n_stubs; i++)
		if (!same_text(a->stub[i].zone, b->stub[i].zone) ||
		    !same_text(a->stub[i].addr, b->stub[i].addr))
			return false;
	return true;
}

unsigned int config_restart_needed(const struct config *running, const struct config *next)
{
	unsigned int bits = 0;

	if (strcmp(running->dataplane_socket, next->dataplane_socket) ||
	    strcmp(running->api_socket, next->api_socket))
		bits |= CONFIG_RESTART_SOCKETS;
	if (running->loops != next->loops)
		bits |= CONFIG_RESTART_LOOPS;
	if (!same_dns(&running->dns, &next->dns))
		bits |= CONFIG_RESTART_DNS;
	if (running->spf_workers != next->spf_workers)
		bits |= CONFIG_RESTART_SPF;
	if (strcmp(running->trace_file, next->trace_file))
		bits |= CONFIG_RESTART_TRACE;
	if (strcmp(running->quarantine.directory ? running->quarantine.directory : "",
		   next->quarantine.directory ? next->quarantine.directory : ""))
		bits |= CONFIG_RESTART_QUARANTINE;
	/* By default it goes with the socket. */
	if (!(bits & CONFIG_RESTART_SOCKETS) && strcmp(running->indoubt_file, next->indoubt_file))
		bits |= CONFIG_RESTART_INDOUBT;
	if (!(bits & CONFIG_RESTART_SOCKETS) &&
	    strcmp(running->state_directory, next->state_directory))
		bits |= CONFIG_RESTART_STATE;
	if (!(bits & CONFIG_RESTART_SOCKETS) && strcmp(running->greylist_file, next->greylist_file))
		bits |= CONFIG_RESTART_GREYLIST;
	if (config_wants_transparent(next) && !config_wants_transparent(running))
		bits |= CONFIG_RESTART_TRANSPARENT;
	return bits;
}
