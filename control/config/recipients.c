/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/config/recipients.h"

#include "control/config/list.h"
#include "postern/limits.h"

struct config_recipients {
	bool exact;
	char delimiter;              /* '\0': none */
	struct config_set set;
};

static bool has(const struct config_recipients *l, struct str local, struct str domain)
{
	uint8_t key[CONFIG_MAILBOX_KEY];
	size_t n = config_mailbox_key(local, domain, l->exact, key);

	return n && config_set_has(&l->set, key, n);
}

bool config_recipients_has(const struct config_recipients *l, struct str mailbox)
{
	struct str local = mailbox_local(mailbox), domain = mailbox_domain(mailbox);
	size_t tag = l->delimiter ? str_find(local, (uint8_t)l->delimiter) : local.n;

	/* RFC 5321 4.5.1: every domain has a postmaster. */
	if (str_ieq(local, STR("postmaster")))
		return true;
	return has(l, local, domain) || has(l, STR_NONE, domain) ||
	       (tag && tag < local.n && local.p[0] != '"' && has(l, str_cut(local, tag), domain));
}

size_t config_recipients_count(const struct config_recipients *l)
{
	return l->set.n;
}

static const char *add(void *arg, struct str line)
{
	struct str local = mailbox_local(line), domain = mailbox_domain(line);
	const char *problem = config_mailbox_problem(line);
	struct config_recipients *l = arg;
	uint8_t key[CONFIG_MAILBOX_KEY];
	char alabel[MAIL_ALABEL];

	if (line.n > LIMIT_ONWARD_PATH || !domain.n)
		return "expected an address, or @domain for all of a domain";
	if (problem)
		return problem;
	if (!mail_alabel(domain, alabel) || !domain_is_valid(str_c(alabel)))
		return "no valid domain behind the @";
	return config_set_add(&l->set, key, config_mailbox_key(local, domain, l->exact, key))
		       ? NULL : "more addresses than are possible";
}

struct config_recipients *config_recipients_parse(struct config_reader *r, const struct config_node *at,
						  const char *path, struct str text, bool exact,
						  char delimiter)
{
	struct config_recipients *l = config_alloc(r->mem, sizeof(*l));
	const char *main_file = r->c->file;

	if (!l)
		return NULL;
	l->exact = exact;
	l->delimiter = delimiter;
	if (!config_set_make(r, at, &l->set, config_list_count(text), LIMIT_RECIPIENT_LIST) ||
	    !config_list_lines(r, path, text, add, l))
		return NULL;
	if (l->set.n)
		return l;
	r->c->file = path;
	config_fail_line(r->c, 0, "", "not one address: nobody would be let in");
	r->c->file = main_file;
	return NULL;
}

struct config_recipients *config_recipients_load(struct config_reader *r, const struct config_node *at,
						 const char *path, bool exact, char delimiter)
{
	struct str text = config_list_read(r, at, path, LIMIT_RECIPIENT_FILE);
	struct config_recipients *l = NULL;

	if (text.p)
		l = config_recipients_parse(r, at, path, text, exact, delimiter);
	config_list_free(text);
	return l;
}
