/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Keys of chained instances: the chain section, and where relays and routes name one. */

#include <string.h>

#include "control/config/config_value.h"
#include "postern/limits.h"

struct chain_read {
	struct chain_key *key;
	bool given;
};

/* Hexadecimal digits, white space anywhere. Octets, or 0 and an error at n. */
static size_t secret(struct config_reader *r, const struct config_node *n, struct str text,
		     uint8_t out[LIMIT_CHAIN_KEY_MAX])
{
	size_t digits = 0;
	bool same = true;

	for (size_t i = 0; i < text.n; i++) {
		int v = ascii_hex(text.p[i]);

		if (ascii_is_wsp_crlf(text.p[i]))
			continue;
		if (v < 0 || digits == 2 * LIMIT_CHAIN_KEY_MAX) {
			digits = 1;
			break;
		}
		out[digits / 2] = (uint8_t)(digits % 2 ? out[digits / 2] << 4 | v : v);
		digits++;
	}
	if (digits % 2 || digits < 2 * LIMIT_CHAIN_KEY_MIN) {
		config_fail(r->c, n, NULL, "expected a key of %d to %d octets as hexadecimal digits (openssl "
			    "rand -hex 32)", LIMIT_CHAIN_KEY_MIN, LIMIT_CHAIN_KEY_MAX);
		return 0;
	}
	for (size_t i = 1; i < digits / 2; i++)
		same &= out[i] == out[0];
	if (same) {
		config_fail(r->c, n, NULL, "a key whose octets are all the same is none");
		return 0;
	}
	return digits / 2;
}

static void take_key(struct config_reader *r, const struct config_node *n, struct str text,
		     struct chain_read *c)
{
	uint8_t *p = text.n ? config_alloc(r->mem, LIMIT_CHAIN_KEY_MAX) : NULL;

	if (c->given)
		config_fail(r->c, n, NULL, "key and key-file exclude each other");
	c->given = true;
	if (!p)
		return;
	c->key->n = secret(r, n, text, p);
	c->key->secret = p;
}

static void read_key(struct config_reader *r, const struct config_node *n,
		     const struct config_key *k, void *field)
{
	(void)k;
	/* Digits alone look like a number. */
	take_key(r, n, n->kind == NODE_STRING || n->kind == NODE_NUMBER ? str_c(n->text) : STR(" "),
		 field);
}

static void read_key_file(struct config_reader *r, const struct config_node *n,
			  const struct config_key *k, void *field)
{
	(void)k;
	take_key(r, n, config_file(r, n, true), field);
}

static void read_max_age(struct config_reader *r, const struct config_node *n,
			 const struct config_key *k, void *field)
{
	struct chain_read *c = field;

	read_seconds(r, n, k, &c->key->max_age_s);
}

static const struct config_key chain_keys[] = {
	{"key", read_key, 0, 0},
	{"key-file", read_key_file, 0, 0},
	{"max-age", read_max_age, 0, sizeof(unsigned int)},
};

const struct config_binding config_of_chain = CONFIG_BINDING("chain", chain_keys);

void read_chains(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		 void *field)
{
	struct config *c = field;

	(void)k;
	if (n->n > LIMIT_CHAIN_KEYS) {
		config_fail(r->c, n, NULL, "more than %d keys", LIMIT_CHAIN_KEYS);
		return;
	}
	c->chain = config_alloc(r->mem, n->n * sizeof(*c->chain));
	for (const struct config_node *e = n->first; e && c->chain; e = e->next) {
		struct chain_read read = {.key = &c->chain[c->n_chains]};

		if (!config_is_section(r, e) || !config_section_name(r, e))
			continue;
		c->n_chains++;
		*read.key = (struct chain_key){.name = config_dup(r->mem, str_c(e->key))};
		config_read_defaults(r, &config_of_chain, &read);
		config_read_section(r, e, &config_of_chain, &read);
		if (!read.given)
			config_fail(r->c, e, "key", "missing: the key, as key or key-file");
	}
}

void read_chain_names(struct config_reader *r, const struct config_node *n,
		      const struct config_key *k, void *field)
{
	size_t count;

	(void)k;
	(void)field;
	config_string_or_list(r, n, LIMIT_CHAIN_KEYS, &count);
}

static const struct chain_key *find(struct config_reader *r, const struct config_node *n)
{
	const struct config *c = r->out;

	for (size_t i = 0; i < c->n_chains; i++)
		if (!strcmp(c->chain[i].name, n->text))
			return &c->chain[i];
	config_fail(r->c, n, NULL, "there is no chain \"%.*s\"", LIMIT_CONFIG_NAME, n->text);
	return NULL;
}

static const struct config_node *names(const struct config_node *root, const char *section,
				       const char *name)
{
	const struct config_node *n = config_child(root, section);

	n = n ? config_child(n, name) : NULL;
	return n ? config_child(n, "chain") : NULL;
}

void config_check_chains(struct config_reader *r, const struct config_node *root)
{
	struct origin_relay *relay = (struct origin_relay *)(uintptr_t)r->out->relays.relay;

	for (size_t i = 0; i < r->out->relays.n; i++, relay++) {
		const struct config_node *n = names(root, "relay", relay->name), *e;
		const struct chain_key **list;
		size_t count;

		e = n ? config_string_or_list(r, n, LIMIT_CHAIN_KEYS, &count) : NULL;
		relay->chain = list = e ? config_alloc(r->mem, count * sizeof(*list)) : NULL;
		for (; e && list && count--; e = e->next)
			if ((list[relay->n_chains] = find(r, e)))
				relay->n_chains++;
	}
	for (size_t i = 0; i < r->out->n_routes; i++) {
		const struct config_node *n = names(root, "route", r->out->route[i].name);

		if (n && n->kind != NODE_STRING)
			config_fail(r->c, n, NULL, "expected the name of one chain: one key signs");
		else if (n)
			r->out->route[i].chain = find(r, n);
	}
}
