/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What goes into and out of the headers of a message. */

#include <string.h>

#include "control/config/config_value.h"
#include "postern/limits.h"

#define N_OF(t) (sizeof(t) / sizeof((t)[0]))

/* "X-" and letters, digits or hyphens, `max` octets in all. */
static bool is_x_name(const char *s, size_t min, size_t max)
{
	size_t len = strlen(s);

	if (len < min || len > max || !str_istarts(str_c(s), STR("X-")))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!ascii_is_alnum((uint8_t)s[i]) && s[i] != '-')
			return false;
	return true;
}

static bool overlap(struct str a, struct str b)
{
	return str_istarts(a, b) || str_istarts(b, a);
}

void read_prefix(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		 void *field)
{
	/* Fields that begin with our prefix are removed from mail: it must not name others' own. */
	static const char *const foreign[] = {"X-MS-",     "X-Forefront-", "X-Gm-",
					      "X-Google-", "X-Received",   "X-Originating-"};
	char *p;

	(void)k;
	if (!config_string(r, n))
		return;
	if (!is_x_name(n->text, 3, 40) || !ascii_is_alnum((uint8_t)n->text[strlen(n->text) - 1])) {
		config_fail(r->c, n, NULL,
			    "expected X- and letters, digits or hyphens, at most 40 in "
			    "all, found \"%s\"",
			    n->text);
		return;
	}
	for (size_t i = 0; i < N_OF(foreign); i++)
		if (overlap(str_c(n->text), str_c(foreign[i]))) {
			config_fail(r->c, n, NULL,
				    "\"%s\" would cover header fields of others (%s*)", n->text,
				    foreign[i]);
			return;
		}
	p = config_dup(r->mem, str_c(n->text));
	memcpy(field, &p, sizeof(p));
}

void read_switch(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		 void *field)
{
	enum config_switch v;
	bool on = false;

	read_bool(r, n, k, &on);
	v = on ? SWITCH_ON : SWITCH_OFF;
	memcpy(field, &v, sizeof(v));
}

void read_foreign_headers(struct config_reader *r, const struct config_node *n,
			  const struct config_key *k, void *field)
{
	struct config *c = field;

	if (!config_list(r, n, k))
		return;
	c->foreign_trust_header = config_alloc(r->mem, (n->n + 1) * sizeof(struct str));
	for (const struct config_node *e = n->first; e && c->foreign_trust_header; e = e->next) {
		/* What begins so is removed: "X-" alone would be everything. */
		if (!is_x_name(e->text, 5, 64)) {
			config_fail(r->c, e, NULL,
				    "\"%s\": expected how the names begin: X- and letters, "
				    "digits or hyphens, 5 to 64 in all",
				    e->text);
			continue;
		}
		c->foreign_trust_header[c->n_foreign_trust_headers++] =
			str_c(config_dup(r->mem, str_c(e->text)));
	}
}

static void check_prefix(struct config_reader *r, const struct config_node *at, const char *prefix)
{
	const struct config *c = r->out;

	for (size_t i = 0; i < c->n_foreign_trust_headers; i++)
		if (overlap(str_c(prefix), c->foreign_trust_header[i]))
			config_fail(r->c, at, NULL,
				    "\"%s\" and \"%.*s\" of foreign-trust-headers cover "
				    "each other",
				    prefix, STR_FMT(c->foreign_trust_header[i]));
}

void config_check_annotate(struct config_reader *r, const struct config_node *root)
{
	const struct config *c = r->out;
	const struct config_node *routes = config_child(root, "route"),
				 *own = config_child(root, "header-prefix"),
				 *e = routes ? routes->first : NULL;

	check_prefix(r, own ? own : config_child(root, "foreign-trust-headers"), c->header_prefix);
	for (size_t i = 0; i < c->n_routes && e; i++, e = e->next) {
		const struct config_route *route = &c->route[i];

		if (route->header_prefix)
			check_prefix(r, config_child(e, "header-prefix"), route->header_prefix);
		/* Exchange knows no tag. */
		if (route->received_exchange && !route->v6_plain && config_child(e, "v6-literal"))
			config_fail(r->c, config_child(e, "v6-literal"), NULL,
				    "\"tagged\" cannot be "
				    "together with received-format = exchange, which has bare "
				    "addresses");
	}
}

const char *config_header_prefix(const struct config *c, const struct config_route *route)
{
	return route && route->header_prefix ? route->header_prefix : c->header_prefix;
}

bool config_received_spf(const struct config *c, const struct config_route *route)
{
	if (route && route->received_spf != SWITCH_INHERIT)
		return route->received_spf == SWITCH_ON;
	return c->received_spf;
}
