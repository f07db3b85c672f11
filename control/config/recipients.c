/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/config/recipients.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/hash/siphash.h"
#include "postern/limits.h"

#define KEY_MAX (LIMIT_ONWARD_PATH + MAIL_ALABEL + 1)
#define BAD_LINES 20 /* told of one file */

struct config_recipients {
	uint8_t secret[16];
	bool exact;
	char delimiter;              /* '\0': none */
	size_t n, slots;             /* slots: a power of two, at most 3/4 of them used */
	struct siphash128 *slot;     /* all zero: free */
};

static bool is_free(const struct siphash128 *s)
{
	return !s->lo && !s->hi;
}

/* The slot of a key, or the free one where it would be. */
static struct siphash128 *find(const struct config_recipients *l, struct siphash128 key)
{
	size_t at = key.lo & (l->slots - 1);

	while (!is_free(&l->slot[at]) && (l->slot[at].lo != key.lo || l->slot[at].hi != key.hi))
		at = (at + 1) & (l->slots - 1);
	return &l->slot[at];
}

/* "local@domain" as it is compared. 0: no mailbox. */
static size_t normal(const struct config_recipients *l, struct str local, struct str domain,
		     uint8_t out[KEY_MAX])
{
	bool quoted = local.n > 1 && local.p[0] == '"' && local.p[local.n - 1] == '"';
	char alabel[MAIL_ALABEL];
	size_t n = 0;

	if (quoted)
		local = str_make(local.p + 1, local.n - 2);
	if (local.n > LIMIT_ONWARD_PATH || !domain.n || !mail_alabel(domain, alabel))
		return 0;
	for (size_t i = 0; i < local.n; i++) {
		if (quoted && local.p[i] == '\\' && i + 1 < local.n)
			i++;
		out[n++] = l->exact ? local.p[i] : ascii_lower(local.p[i]);
	}
	out[n++] = '@';
	memcpy(out + n, alabel, strlen(alabel));
	return n + strlen(alabel);
}

static bool has(const struct config_recipients *l, struct str local, struct str domain)
{
	uint8_t key[KEY_MAX];
	size_t n = normal(l, local, domain, key);

	return n && !is_free(find(l, siphash128(l->secret, key, n)));
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
	return l->n;
}

/* What is wrong with a line; NULL: taken. */
static const char *add(struct config_recipients *l, struct str line)
{
	struct str local = mailbox_local(line), domain = mailbox_domain(line);
	char alabel[MAIL_ALABEL];
	uint8_t key[KEY_MAX];
	struct siphash128 h, *slot;
	size_t n;

	if (line.n > LIMIT_ONWARD_PATH || !domain.n)
		return "expected an address, or @domain for all of a domain";
	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] < 0x20 || line.p[i] == 0x7f || (line.p[i] == ' ' && line.p[0] != '"'))
			return "an address has no spaces and no control characters";
	if (!mail_alabel(domain, alabel) || !domain_is_valid(str_c(alabel)))
		return "no valid domain behind the @";
	n = normal(l, local, domain, key);
	h = siphash128(l->secret, key, n);
	slot = find(l, h);
	if (is_free(slot)) {
		if (l->n == LIMIT_RECIPIENT_LIST)
			return "more addresses than are possible";
		*slot = h;
		l->n++;
	}
	return NULL;
}

static size_t count_lines(struct str text)
{
	size_t n = 1;

	for (const uint8_t *p = text.p; (p = memchr(p, '\n', text.n - (size_t)(p - text.p))); p++)
		n++;
	return n;
}

static bool make_slots(struct config_reader *r, struct config_recipients *l, size_t lines)
{
	if (lines > LIMIT_RECIPIENT_LIST)
		lines = LIMIT_RECIPIENT_LIST;
	l->slots = 64;
	while (l->slots / 4 * 3 < lines)
		l->slots *= 2;
	l->slot = config_alloc(r->mem, l->slots * sizeof(*l->slot));
	return l->slot != NULL;
}

/* Errors name the list's own file and line. */
static bool read_lines(struct config_reader *r, struct config_recipients *l, const char *path,
		       struct str text)
{
	const char *main_file = r->c->file;
	unsigned int number = 0, bad = 0;

	r->c->file = path;
	while (text.n && bad < BAD_LINES) {
		struct str line = str_cut(text, str_find(text, '\n'));
		const char *why = NULL;

		number++;
		text = str_skip(text, line.n + 1);
		/* "#" may begin a local part; a comment stands alone or behind white space. */
		for (size_t i = 0; i < line.n; i++)
			if (line.p[i] == '#' && (!i || line.p[i - 1] == ' ' || line.p[i - 1] == '\t'))
				line = str_cut(line, i);
		line = str_trim(line);
		if (line.n)
			why = add(l, line);
		if (!why)
			continue;
		config_fail_line(r->c, number, "", "\"%.*s\": %s", STR_FMT(str_cut(line, 80)), why);
		bad++;
	}
	if (!l->n && !bad)
		config_fail_line(r->c, 0, "", "not one address: nobody would be let in");
	r->c->file = main_file;
	return l->n && !bad;
}

/* The whole file, to be freed. */
static struct str read_list(struct config_reader *r, const struct config_node *at, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct str out = STR_NONE;
	struct stat st;
	uint8_t *p = NULL;
	size_t n = 0;

	if (fd < 0) {
		config_fail(r->c, at, NULL, "%s: %s", path, strerror(errno));
		return out;
	}
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		config_fail(r->c, at, NULL, "%s is no regular file", path);
	else if (st.st_size > (off_t)LIMIT_RECIPIENT_FILE)
		config_fail(r->c, at, NULL, "%s is larger than %u octets", path, LIMIT_RECIPIENT_FILE);
	else if (!(p = malloc((size_t)st.st_size + 1)))
		r->mem->failed = true;
	while (p && n <= (size_t)st.st_size) {
		ssize_t got = read(fd, p + n, (size_t)st.st_size + 1 - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	if (p && n == (size_t)st.st_size)
		return str_make(p, n);
	if (p)
		config_fail(r->c, at, NULL, "%s changed while it was read", path);
	free(p);
	return out;
}

struct config_recipients *config_recipients_parse(struct config_reader *r, const struct config_node *at,
						  const char *path, struct str text, bool exact,
						  char delimiter)
{
	struct config_recipients *l = config_alloc(r->mem, sizeof(*l));

	if (!l)
		return NULL;
	l->exact = exact;
	l->delimiter = delimiter;
	if (getrandom(l->secret, sizeof(l->secret), 0) != (ssize_t)sizeof(l->secret)) {
		config_fail(r->c, at, NULL, "no random numbers: %s", strerror(errno));
		return NULL;
	}
	return make_slots(r, l, count_lines(text)) && read_lines(r, l, path, text) ? l : NULL;
}

struct config_recipients *config_recipients_load(struct config_reader *r, const struct config_node *at,
						 const char *path, bool exact, char delimiter)
{
	struct str text = read_list(r, at, path);
	struct config_recipients *l = NULL;

	if (text.p)
		l = config_recipients_parse(r, at, path, text, exact, delimiter);
	free((void *)(uintptr_t)text.p);
	return l;
}
