/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/config/list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/hash/siphash.h"
#include "postern/limits.h"

#define BAD_LINES 20 /* told of one file */

_Static_assert(CONFIG_MAILBOX_KEY >= LIMIT_ONWARD_PATH + MAIL_ALABEL + 1, "a mailbox fits");

/* ---- files -------------------------------------------------------------------------------- */

struct str config_list_read(struct config_reader *r, const struct config_node *at, const char *path,
			    size_t max)
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
	else if (st.st_size > (off_t)max)
		config_fail(r->c, at, NULL, "%s is larger than %zu octets", path, max);
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

void config_list_free(struct str text)
{
	free((void *)(uintptr_t)text.p);
}

size_t config_list_count(struct str text)
{
	size_t n = 1;

	for (const uint8_t *p = text.p; p && (p = memchr(p, '\n', text.n - (size_t)(p - text.p)));
	     p++)
		n++;
	return n;
}

bool config_list_lines(struct config_reader *r, const char *path, struct str text,
		       config_list_take *take, void *arg)
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
			if (line.p[i] == '#' &&
			    (!i || line.p[i - 1] == ' ' || line.p[i - 1] == '\t'))
				line = str_cut(line, i);
		line = str_trim(line);
		if (line.n)
			why = take(arg, line);
		if (!why)
			continue;
		config_fail_line(r->c, number, "", "\"%.*s\": %s", STR_FMT(str_cut(line, 80)), why);
		bad++;
	}
	r->c->file = main_file;
	return !bad;
}

/* ---- sets --------------------------------------------------------------------------------- */

static bool is_free(const struct siphash128 *s)
{
	return !s->lo && !s->hi;
}

/* The slot of a key, or the free one where it would be. */
static struct siphash128 *find(const struct config_set *s, struct siphash128 key)
{
	size_t at = key.lo & (s->slots - 1);

	while (!is_free(&s->slot[at]) && (s->slot[at].lo != key.lo || s->slot[at].hi != key.hi))
		at = (at + 1) & (s->slots - 1);
	return &s->slot[at];
}

bool config_set_make(struct config_reader *r, const struct config_node *at, struct config_set *s,
		     size_t room, size_t max)
{
	*s = (struct config_set){.max = max, .slots = 64};
	if (room > max)
		room = max;
	while (s->slots / 4 * 3 < room)
		s->slots *= 2;
	if (getrandom(s->secret, sizeof(s->secret), 0) != (ssize_t)sizeof(s->secret)) {
		config_fail(r->c, at, NULL, "no random numbers: %s", strerror(errno));
		return false;
	}
	s->slot = config_alloc(r->mem, s->slots * sizeof(*s->slot));
	return s->slot != NULL;
}

bool config_set_add(struct config_set *s, const uint8_t *key, size_t n)
{
	struct siphash128 h = siphash128(s->secret, key, n), *slot = find(s, h);

	if (!is_free(slot))
		return true;
	if (s->n == s->max)
		return false;
	*slot = h;
	s->n++;
	return true;
}

bool config_set_has(const struct config_set *s, const uint8_t *key, size_t n)
{
	return !is_free(find(s, siphash128(s->secret, key, n)));
}

/* ---- mailboxes ---------------------------------------------------------------------------- */

const char *config_mailbox_problem(struct str entry)
{
	for (size_t i = 0; i < entry.n; i++)
		if (entry.p[i] < 0x20 || entry.p[i] == 0x7f ||
		    (entry.p[i] == ' ' && entry.p[0] != '"'))
			return "an address has no spaces and no control characters";
	return NULL;
}

size_t config_mailbox_key(struct str local, struct str domain, bool exact,
			  uint8_t out[CONFIG_MAILBOX_KEY])
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
		out[n++] = exact ? local.p[i] : ascii_lower(local.p[i]);
	}
	out[n++] = '@';
	memcpy(out + n, alabel, strlen(alabel));
	return n + strlen(alabel);
}
