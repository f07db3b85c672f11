/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * list and attachment sections: what of a message's content is looked up in files of others, and what
 * may be attached. What is found counts as a rule: "list.NAME", "attachment.NAME".
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/config/config_value.h"
#include "dataplane/content/attach.h"
#include "postern/limits.h"


static void read_text(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		      void *field)
{
	const char *text;

	(void)k;
	if (!config_reply_text(r, n, 200))
		return;
	text = config_dup(r->mem, str_c(n->text));
	memcpy(field, &text, sizeof(text));
}

/* "list", "bad" → "list.bad" */
static const char *finding_name(struct config_reader *r, const char *kind, const char *name)
{
	char text[200];

	snprintf(text, sizeof(text), "%s.%s", kind, name);
	return config_dup(r->mem, str_c(text));
}

static struct list *load(struct config_reader *r, const struct config_node *at, enum list_kind kind)
{
	const char *path = at->text, *main_file = r->c->file;
	struct list_error err;
	struct list *l;
	int rc = list_load(path, kind, &l, &err);

	if (rc == -EINVAL) {
		r->c->file = path;
		config_fail_line(r->c, err.line, "", "%s", err.reason);
		r->c->file = main_file;
	} else if (rc == -ENOMEM) {
		r->mem->failed = true;
	} else if (rc == -EFBIG) {
		config_fail(r->c, at, NULL, "%s is no regular file, or too large", path);
	} else if (rc) {
		config_fail(r->c, at, NULL, "%s: %s", path, strerror(-rc));
	}
	return l;
}

/* ---- list --------------------------------------------------------------------------------------- */


#define LIST_FIELD(member) CONFIG_FIELD(struct config_list, member)

static const struct config_key list_keys[] = {
	{"kind", NULL, LIST_FIELD(kind)},
	{"file", NULL, LIST_FIELD(file)},
	{"match", NULL, LIST_FIELD(below)},
	{"score", NULL, LIST_FIELD(finding.score)},
	{"action", NULL, LIST_FIELD(finding.action)},
	{"describe", read_text, LIST_FIELD(finding.describe)},
};

const struct config_binding config_of_list = CONFIG_BINDING("list", list_keys);

/* Files are opened when everything is known to be well formed: r->c has no error of this section. */
static void read_list(struct config_reader *r, const struct config_node *n)
{
	struct config_list *l = &r->out->list[r->out->n_lists];
	size_t before = r->c->n_errors;

	*l = (struct config_list){0};
	config_read_defaults(r, &config_of_list, l);
	config_read_section(r, n, &config_of_list, l);
	l->finding.name = finding_name(r, "list", n->key);
	if (l->kind != LIST_DOMAIN && config_child(n, "match"))
		config_fail(r->c, n, "match", "is of lists of domains");
	if (r->c->n_errors != before || r->mem->failed)
		return;
	l->list = load(r, config_child(n, "file"), (enum list_kind)l->kind);
	if (l->list)
		r->out->n_lists++;
}

void read_lists(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		void *field)
{
	(void)k;
	(void)field;
	if (n->n > LIMIT_LISTS) {
		config_fail(r->c, n, NULL, "more than %d lists", LIMIT_LISTS);
		return;
	}
	r->out->list = config_alloc(r->mem, n->n * sizeof(*r->out->list));
	for (const struct config_node *e = n->first; e && r->out->list; e = e->next)
		if (config_is_section(r, e) && config_section_name(r, e))
			read_list(r, e);
}

/* ---- attachment ---------------------------------------------------------------------------------- */

struct words {
	const char *const *word;
	size_t n;
};

static void read_words(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		       void *field)
{
	struct words *w = field;
	const char **word;
	size_t i = 0;

	if (!config_list(r, n, k))
		return;
	word = config_alloc(r->mem, n->n * sizeof(*word));
	for (const struct config_node *e = n->first; e && word; e = e->next) {
		if (!e->text[0])
			config_fail(r->c, e, NULL, "is empty");
		word[i++] = config_dup(r->mem, str_c(e->text));
	}
	w->word = word;
	w->n = word ? i : 0;
}

/* "exe", not ".exe" and not "*.exe": one spelling for one thing. */
static void read_extensions(struct config_reader *r, const struct config_node *n,
			    const struct config_key *k, void *field)
{
	read_words(r, n, k, field);
	for (const struct config_node *e = n->first; e; e = e->next)
		if (e->text && strpbrk(e->text, ".*?/"))
			config_fail(r->c, e, NULL, "\"%.80s\": an extension has no dot in front and no "
				    "wildcard; see names", e->text);
}

static void read_contents(struct config_reader *r, const struct config_node *n,
			  const struct config_key *k, void *field)
{
	read_words(r, n, k, field);
	for (const struct config_node *e = n->first; e; e = e->next) {
		bool known = false;

		for (int t = 0; e->text && t < CONTENT_TYPE_COUNT && !known; t++)
			known = strcmp(e->text, content_type_name((enum content_type)t)) == 0;
		if (e->text && !known)
			config_fail(r->c, e, NULL, "\"%.80s\" is no type that is known by its octets: "
				    "postern.conf(5) lists them", e->text);
	}
}

struct attachment_entry {
	struct words extensions, names, contents, types;
	const char *hashes;
	struct attachment_rule rule;
	struct config_finding finding;
};

#define ATT_FIELD(member) CONFIG_FIELD(struct attachment_entry, member)

static const struct config_key attachment_keys[] = {
	{"extensions", read_extensions, ATT_FIELD(extensions)},
	{"names", read_words, ATT_FIELD(names)},
	{"contents", read_contents, ATT_FIELD(contents)},
	{"types", read_words, ATT_FIELD(types)},
	{"hashes", NULL, ATT_FIELD(hashes)},
	{"double-extension", NULL, ATT_FIELD(rule.double_extension)},
	{"disguised", NULL, ATT_FIELD(rule.disguised)},
	{"mismatch", NULL, ATT_FIELD(rule.mismatch)},
	{"encrypted", NULL, ATT_FIELD(rule.encrypted)},
	{"broken", NULL, ATT_FIELD(rule.broken)},
	{"members", NULL, ATT_FIELD(rule.members)},
	{"score", NULL, ATT_FIELD(finding.score)},
	{"action", NULL, ATT_FIELD(finding.action)},
	{"describe", read_text, ATT_FIELD(finding.describe)},
};

const struct config_binding config_of_attachment = CONFIG_BINDING("attachment", attachment_keys);

static bool says_something(const struct attachment_entry *e)
{
	return e->extensions.n || e->names.n || e->contents.n || e->types.n || e->hashes ||
	       e->rule.double_extension || e->rule.disguised || e->rule.mismatch || e->rule.encrypted ||
	       e->rule.broken;
}

static void read_attachment(struct config_reader *r, const struct config_node *n)
{
	struct config_attachment *a = &r->out->attachment[r->out->n_attachments];
	struct attachment_entry e = {0};
	size_t before = r->c->n_errors;

	config_read_defaults(r, &config_of_attachment, &e);
	config_read_section(r, n, &config_of_attachment, &e);
	if (r->c->n_errors == before && !says_something(&e))
		config_fail(r->c, n, NULL, "says nothing about attachments");
	if (r->c->n_errors != before || r->mem->failed)
		return;
	*a = (struct config_attachment){.rule = e.rule, .finding = e.finding};
	a->finding.name = finding_name(r, "attachment", n->key);
	a->rule.name = a->finding.name;
	a->rule.extension = e.extensions.word;
	a->rule.n_extensions = e.extensions.n;
	a->rule.glob = e.names.word;
	a->rule.n_globs = e.names.n;
	a->rule.is = e.contents.word;
	a->rule.n_is = e.contents.n;
	a->rule.type = e.types.word;
	a->rule.n_types = e.types.n;
	if (e.hashes) {
		a->hashes = load(r, config_child(n, "hashes"), LIST_SHA256);
		a->rule.hashes = a->hashes;
		if (!a->hashes)
			return;
	}
	r->out->n_attachments++;
}

void read_attachments(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		      void *field)
{
	(void)k;
	(void)field;
	if (n->n > LIMIT_ATTACHMENT_RULES) {
		config_fail(r->c, n, NULL, "more than %d sections", LIMIT_ATTACHMENT_RULES);
		return;
	}
	r->out->attachment = config_alloc(r->mem, n->n * sizeof(*r->out->attachment));
	for (const struct config_node *e = n->first; e && r->out->attachment; e = e->next)
		if (config_is_section(r, e) && config_section_name(r, e))
			read_attachment(r, e);
}

void config_lists_free(struct config *c)
{
	for (size_t i = 0; i < c->n_lists; i++)
		list_free(c->list[i].list);
	for (size_t i = 0; i < c->n_attachments; i++)
		list_free(c->attachment[i].hashes);
	c->n_lists = c->n_attachments = 0;
}

bool config_wants_hashes(const struct config *c)
{
	for (size_t i = 0; i < c->n_lists; i++)
		if (c->list[i].kind == LIST_SHA256)
			return true;
	for (size_t i = 0; i < c->n_attachments; i++)
		if (c->attachment[i].hashes)
			return true;
	return false;
}
