/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Lists of policy that say whose mail is let in and whose is not: written in the configuration, or
 * in a file with an entry a line. */

#include <stdio.h>
#include <string.h>

#include "control/config/access.h"
#include "postern/limits.h"
#include "postern/utf8.h"

/* ---- where entries come from ---------------------------------------------------------------- */

struct source {
	struct str text; /* of the file; p NULL: the array says them */
	size_t room;
};

/* How many may come; false: an error. */
static bool open_source(struct config_reader *r, const struct config_node *n,
			const struct config_key *k, struct source *s)
{
	char *path = NULL;

	*s = (struct source){.room = n->n};
	if (n->kind == NODE_ARRAY)
		return config_strings(r, n, 0, LIMIT_CONFIG_LIST);
	if (n->kind != NODE_STRING) {
		config_fail(r->c, n, NULL,
			    "expected [\"an array\"] or the path of a file, found %s",
			    config_kind_name(n));
		return false;
	}
	read_path(r, n, k, &path);
	if (!path)
		return false;
	s->text = config_list_read(r, n, path, LIMIT_ACCESS_FILE);
	s->room = s->text.p ? config_list_count(s->text) : 0;
	return s->text.p != NULL;
}

static void take_all(struct config_reader *r, const struct config_node *n, struct source *s,
		     config_list_take *take, void *arg)
{
	if (s->text.p) {
		config_list_lines(r, n->text, s->text, take, arg);
		config_list_free(s->text);
		return;
	}
	for (const struct config_node *e = n->first; e; e = e->next) {
		const char *why = take(arg, str_c(e->text));

		if (why)
			config_fail(r->c, e, NULL, "\"%.80s\": %s", e->text, why);
	}
}

/* ---- addresses ------------------------------------------------------------------------------ */

static const char *net_entry(struct str entry, struct ip_net *out)
{
	size_t at;

	if (!ip_net_parse(entry, out))
		return "expected an address or address/prefix";
	if (out->prefix < 128) {
		at = out->prefix / 8;
		if (out->addr.a[at] & (uint8_t)(0xff >> out->prefix % 8))
			return "bits behind the prefix";
		while (++at < sizeof(out->addr.a))
			if (out->addr.a[at])
				return "bits behind the prefix";
	}
	if (ip_is_v4(&out->addr) && str_find(entry, ':') < entry.n)
		return "IPv4-mapped: write it as an IPv4 address";
	return NULL;
}

const char *config_access_net(void *arg, struct str entry)
{
	struct config_access_nets *nets = arg;
	struct ip_net net;
	const char *why = net_entry(entry, &net);

	if (why)
		return why;
	if (nets->out->n == nets->room)
		return "more networks than are possible";
	nets->out->net[nets->out->n++] = net;
	return NULL;
}

void read_access_nets(struct config_reader *r, const struct config_node *n,
		      const struct config_key *k, void *field)
{
	struct config_access_nets nets = {.out = field};
	struct source s;

	if (!open_source(r, n, k, &s))
		return;
	*nets.out = (struct admission_nets){0};
	nets.room = s.room < LIMIT_ACCESS_LIST ? s.room : LIMIT_ACCESS_LIST;
	nets.out->net = config_alloc(r->mem, (nets.room + 1) * sizeof(*nets.out->net));
	if (!nets.out->net) {
		config_list_free(s.text);
		return;
	}
	take_all(r, n, &s, config_access_net, &nets);
	admission_nets_sort(nets.out);
}

/* ---- domains and senders -------------------------------------------------------------------- */

static const char *const full = "more entries than are possible";

/* "example.com", ".example.com" as lower-case A-labels; NULL: written to out. */
static const char *domain_entry(struct str entry, char out[MAIL_ALABEL + 1])
{
	bool below = entry.n && entry.p[0] == '.';
	char alabel[MAIL_ALABEL];

	if (!mail_alabel(str_skip(entry, below), alabel) || !domain_is_valid(str_c(alabel)))
		return "no valid domain";
	if (!strchr(alabel, '.'))
		return "not fully qualified: expected at least two labels";
	out[0] = '.';
	strcpy(out + below, alabel);
	return NULL;
}

const char *config_access_domain(void *arg, struct str entry)
{
	char name[MAIL_ALABEL + 1];
	const char *why;

	if (str_find(entry, '@') < entry.n)
		return "expected a domain, or .domain for all below one: there is no address in it";
	why = domain_entry(entry, name);
	if (why)
		return why;
	return config_set_add(arg, (const uint8_t *)name, strlen(name)) ? NULL : full;
}

const char *config_access_sender(void *arg, struct str entry)
{
	struct str local = mailbox_local(entry), domain = mailbox_domain(entry);
	const char *why = config_mailbox_problem(entry);
	uint8_t key[CONFIG_MAILBOX_KEY];
	char name[MAIL_ALABEL + 1];
	size_t n;

	if (!domain.n || entry.n > LIMIT_ONWARD_PATH)
		return "expected an address, @domain, or @.domain for all below one";
	if (!why)
		why = domain_entry(domain, name);
	if (!why && name[0] == '.' && local.n)
		why = "all below a domain is @.domain, without a local part";
	if (why)
		return why;
	if (local.n) {
		n = config_mailbox_key(local, domain, false, key);
		return n && config_set_add(arg, key, n) ? NULL : full;
	}
	key[0] = '@';
	n = strlen(name);
	memcpy(key + 1, name, n);
	return config_set_add(arg, key, n + 1) ? NULL : full;
}

static void read_set(struct config_reader *r, const struct config_node *n,
		     const struct config_key *k, void *field, config_list_take *take)
{
	struct config_set *set = config_alloc(r->mem, sizeof(*set));
	struct source s;

	if (!set || !open_source(r, n, k, &s))
		return;
	if (!config_set_make(r, n, set, s.room, LIMIT_ACCESS_LIST)) {
		config_list_free(s.text);
		return;
	}
	take_all(r, n, &s, take, set);
	memcpy(field, &set, sizeof(set));
}

void read_access_domains(struct config_reader *r, const struct config_node *n,
			 const struct config_key *k, void *field)
{
	read_set(r, n, k, field, config_access_domain);
}

void read_access_senders(struct config_reader *r, const struct config_node *n,
			 const struct config_key *k, void *field)
{
	read_set(r, n, k, field, config_access_sender);
}

static bool has(const struct config_set *set, const char *text)
{
	return config_set_has(set, (const uint8_t *)text, strlen(text));
}

bool config_listed_domain(const struct config_set *set, const char *domain)
{
	if (!set || !set->n)
		return false;
	if (has(set, domain))
		return true;
	/* ".parent" lies in the name itself. */
	for (const char *dot = strchr(domain, '.'); dot; dot = strchr(dot + 1, '.'))
		if (has(set, dot))
			return true;
	return false;
}

bool config_listed_sender(const struct config_set *set, struct str mailbox)
{
	struct str local = mailbox_local(mailbox), domain = mailbox_domain(mailbox);
	uint8_t key[CONFIG_MAILBOX_KEY];
	char name[MAIL_ALABEL + 1];
	size_t n;

	if (!set || !set->n || !domain.n || !mail_alabel(domain, name + 1))
		return false;
	n = config_mailbox_key(local, domain, false, key);
	if (n && local.n && config_set_has(set, key, n))
		return true;
	name[0] = '@';
	if (has(set, name))
		return true;
	for (char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
		char before = dot[-1];
		bool found;

		dot[-1] = '@';
		found = has(set, dot - 1);
		dot[-1] = before;
		if (found)
			return true;
	}
	return false;
}

/* ---- what belongs to them ------------------------------------------------------------------- */

void read_access_skips(struct config_reader *r, const struct config_node *n,
		       const struct config_key *k, void *field)
{
	static const char *const word[] = {CONFIG_SKIP_WORDS, NULL};
	unsigned int bits = 0;

	if (!config_list(r, n, k))
		return;
	for (const struct config_node *e = n->first; e; e = e->next) {
		unsigned int i = 0;

		while (word[i] && strcmp(word[i], e->text))
			i++;
		if (!word[i])
			config_fail(r->c, e, NULL,
				    "expected some of score, dnsbl, checks, greylist, "
				    "rules and dmarc, found \"%.40s\"",
				    e->text);
		else
			bits |= 1u << i;
	}
	*(unsigned int *)field = bits;
}

void read_mailbox(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		  void *field)
{
	struct str text = str_c(n->text), local = mailbox_local(text),
		   domain = mailbox_domain(text);
	char alabel[MAIL_ALABEL], buf[LIMIT_CONFIG_STRING + MAIL_ALABEL];
	const char *why = NULL;
	char *copy;

	(void)k;
	if (!config_string(r, n))
		return;
	if (!local.n || !domain.n || local.n > LIMIT_LOCAL_PART || config_mailbox_problem(text))
		why = "expected an address, user@example.com";
	else if (!utf8_is_ascii(local))
		why = "a local part in ASCII is needed: not every next hop takes another";
	else if (!mail_alabel(domain, alabel) || !domain_is_valid(str_c(alabel)) ||
		 !strchr(alabel, '.'))
		why = "no fully qualified domain behind the @";
	if (why) {
		config_fail(r->c, n, NULL, "\"%.80s\": %s", n->text, why);
		return;
	}
	snprintf(buf, sizeof(buf), "%.*s@%s", STR_FMT(local), alabel);
	copy = config_dup(r->mem, str_c(buf));
	memcpy(field, &copy, sizeof(copy));
}

void read_route_name(struct config_reader *r, const struct config_node *n,
		     const struct config_key *k, void *field)
{
	char *copy;

	(void)k;
	if (!config_string(r, n))
		return;
	copy = config_dup(r->mem, str_c(n->text));
	memcpy(field, &copy, sizeof(copy));
}

void config_check_access(struct config_reader *r, const struct config_node *policy,
			 const struct config_access *a)
{
	const struct ip_net *both = config_net_in_both(&a->deny_origins, &a->allow_origins);
	const struct config_node *at = config_child(policy, "allow-origins");
	char buf[64];

	if (!at)
		at = config_child(policy, "deny-origins");
	if (both && at)
		config_fail(r->c, at, NULL, "%s/%d is in allow-origins and in deny-origins",
			    ip_format(&both->addr, buf, sizeof(buf)),
			    both->prefix - (ip_is_v4(&both->addr) ? 96 : 0));
	if (config_child(policy, "deny-action") && !a->deny_origins.net && !a->deny_senders &&
	    !a->deny_domains)
		config_fail(r->c, config_child(policy, "deny-action"), NULL,
			    "nothing is denied: there "
			    "is no deny-origins, deny-senders or deny-domains");
	if (config_child(policy, "allow-skips") && !a->allow_origins.net && !a->allow_domains)
		config_fail(r->c, config_child(policy, "allow-skips"), NULL,
			    "nothing is allowed: there "
			    "is no allow-origins or allow-domains");
}
