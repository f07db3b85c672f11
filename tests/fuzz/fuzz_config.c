/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Any text is a configuration or has at least one error with a reason. Octets 0x01 part the input into
 * files: the first may include the others, which are called "1", "2" and so on, or "*": all of them. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/config/config_settings_tree.h"

/* What is taken in a server's name goes to that server, which learns or sees the client. */
static bool cable_is_sound(const struct config *c)
{
	const struct handoff_config *d = &c->dataplane;

	if (d->n_inlines > HANDOFF_MAX_INLINE || d->n_inline_own > HANDOFF_MAX_INLINE_OWN ||
	    d->n_inline_names > HANDOFF_MAX_INLINE_NAMES)
		return false;
	for (size_t i = 0; i < c->n_inlines; i++) {
		const struct config_route *r = c->inlined[i].route;

		if ((c->inlined[i].mode == INLINE_TERMINATE) != (r != NULL))
			return false;
		if (r && (!r->dialled || !(r->xclient || r->proxy || r->transparent)))
			return false;
	}
	for (uint32_t i = 0; i < d->n_inlines; i++)
		if (!config_is_inline(d->inlined[i].id) || d->inlined[i].name > d->n_inline_names)
			return false;
	for (int mode = 0; mode < PORT_MODE_COUNT; mode++)
		for (int cause = 0; cause < CAUSE_COUNT; cause++)
			if (d->exception[mode][cause] >= ACT_COUNT)
				return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILES 8

struct files {
	struct str file[FILES];
	size_t n;
};

static int find(void *arg, const char *pattern, size_t max, struct config_text **out, size_t *n,
		char why[CONFIG_WHY])
{
	const struct files *f = arg;

	*out = calloc(FILES, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	for (size_t i = 1; i < f->n; i++) {
		struct config_text *t = &(*out)[*n];

		if (strcmp(pattern, "*") != 0 && (pattern[0] != (char)('0' + i) || pattern[1]))
			continue;
		t->name = strdup((char[]){(char)('0' + i), '\0'});
		t->text = malloc(f->file[i].n + 1);
		if (!t->name || !t->text)
			abort();
		memcpy(t->text, f->file[i].p, f->file[i].n);
		t->len = f->file[i].n;
		++*n;
	}
	if (*n || max == 0)
		return 0;
	free(*out);
	*out = NULL;
	strcpy(why, "no such file");
	return -EINVAL;
}

/* What `config diff` makes of a file that nobody has checked. */
static void settings(struct files *f)
{
	struct config_ctx ctx = {.file = "fuzz", .find = find, .find_arg = f};
	const struct config_source source = {.name = "fuzz"};
	static const uint8_t salt[CONFIG_SALT];
	struct config_settings *s = NULL, *salted;
	const struct config_node *root;

	ctx.source = &source;
	root = config_syntax(&ctx, f->file[0]);
	if (root)
		s = config_settings_of_tree(&ctx, root);
	if (s) {
		if (config_settings_diff(s, s, NULL, NULL) != 0)
			abort();
		salted = config_settings_salted(s, salt);
		if (salted && salted->n != s->n)
			abort();
		config_settings_unref(salted);
	}
	config_settings_unref(s);
	config_mem_free(&ctx.mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config_error err[4];
	struct str rest = str_make(data, size);
	struct files f = {.n = 0};
	struct config *c = NULL;
	size_t n = 0;
	int rc;

	while (f.n < FILES && (rest.n || !f.n)) {
		f.file[f.n] = str_cut(rest, str_find(rest, 0x01));
		rest = str_skip(rest, f.file[f.n++].n + 1);
	}
	rc = config_parse_found("fuzz", f.file[0].p, f.file[0].n, find, &f, &c, err, 4, &n);
	if (rc && rc != -ENOMEM && (!n || !err[0].reason[0] || !err[0].file[0]))
		abort();
	/* Who only watches takes no mail and gives none. */
	if (!rc && (!c || !(c->n_listeners || c->n_inlines || c->dataplane.n_tap_ports) ||
		    (!c->n_routes && (c->n_listeners || c->n_inlines)) ||
		    c->dataplane.n_listeners > HANDOFF_MAX_LISTENERS || !cable_is_sound(c)))
		abort();
	config_unref(c);
	settings(&f);
	return 0;
}
