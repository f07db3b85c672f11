/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Lists of mailboxes: RFC 5322 3.4 and 4.4, and what is written instead. */

#include "dataplane/content/words_internal.h"

#define NAME_MAX_OCTETS 2048 /* ours: of a display name before it is decoded */
#define ADDRESS_MAX     1024 /* ours: four times RFC 5321 4.5.3.1.3 */

struct piece {
	size_t n;
	bool space; /* white space is due before what comes next */
	uint8_t buf[NAME_MAX_OCTETS];
};

struct mailbox {
	struct piece name;    /* words in front of '<', quotes and comments taken out */
	struct piece comment; /* the first one */
	size_t n_bare, n_angle;
	bool angle, bare_cut, angle_cut, commented, bare_at;
	bool gap,
		bare_words; /* white space has come; and something behind it: that is no address */
	uint8_t bare[ADDRESS_MAX]; /* what stands outside of <>, without white space and comments */
	uint8_t in_angle[ADDRESS_MAX];
};

/* One without its end is an ordinary character, and so are all that follow: each is looked for in
 * vain but once. */
struct list {
	struct str s;
	size_t i;
	bool no_comment, no_quoted, no_angle;
};

static void piece_put(struct piece *p, uint8_t c)
{
	if (p->space && p->n && p->n < sizeof(p->buf))
		p->buf[p->n++] = ' ';
	p->space = false;
	if (p->n < sizeof(p->buf))
		p->buf[p->n++] = c;
}

static void bare_put(struct mailbox *m, uint8_t c)
{
	m->bare_at |= c == '@';
	m->bare_words |= m->gap && m->n_bare;
	m->gap = false;
	if (m->n_bare < sizeof(m->bare))
		m->bare[m->n_bare++] = c;
	else
		m->bare_cut = true;
}

/* The text between i and end, escapes undone. */
static void piece_escaped(struct piece *p, struct str s, size_t i, size_t end)
{
	for (; i < end; i++) {
		if (s.p[i] == '\\' && i + 1 < end)
			i++;
		if (s.p[i] == '\r' || s.p[i] == '\n')
			p->space = true;
		else
			piece_put(p, s.p[i]);
	}
}

static bool take_comment(struct list *l, struct mailbox *m)
{
	size_t end = l->no_comment ? 0 : words_comment(l->s, l->i);

	if (!end) {
		l->no_comment = true;
		return false;
	}
	if (!m->commented)
		piece_escaped(&m->comment, l->s, l->i + 1, end - 1);
	m->commented = true;
	m->name.space = true;
	l->i = end;
	return true;
}

static bool take_quoted(struct list *l, struct mailbox *m)
{
	size_t end = l->no_quoted ? 0 : words_quoted(l->s, l->i);

	if (!end) {
		l->no_quoted = true;
		return false;
	}
	for (size_t k = l->i; k < end; k++)
		bare_put(m, l->s.p[k]);
	piece_escaped(&m->name, l->s, l->i + 1, end - 1);
	l->i = end;
	return true;
}

/* Offset of the '>' of the '<' at l->i, over quoted strings; 0: none. */
static size_t angle_end(struct list *l)
{
	size_t i = l->i + 1;

	while (i < l->s.n && l->s.p[i] != '>') {
		size_t end = 0;

		if (l->s.p[i] == '"' && !l->no_quoted) {
			end = words_quoted(l->s, i);
			l->no_quoted = end == 0;
		}
		CONTENT_STEP(1);
		i = end ? end : i + 1;
	}
	return i < l->s.n ? i : 0;
}

static void take_angle(struct list *l, struct mailbox *m)
{
	struct str s = l->s;
	size_t end = l->no_angle ? 0 : angle_end(l), i = l->i + 1;
	bool quoted = false;

	if (!end) {
		/* `Name <a@example.org` without the bracket: to the end of the word. */
		l->no_angle = true;
		for (end = i; end < s.n && s.p[end] != ',' && !ascii_is_wsp_crlf(s.p[end]);)
			end++;
		l->i = end;
	} else {
		l->i = end + 1;
	}
	m->angle = true;
	m->n_angle = 0;
	m->angle_cut = false;
	/* RFC 5322 4.4: a route. */
	while (i < end && ascii_is_wsp_crlf(s.p[i]))
		i++;
	if (i < end && s.p[i] == '@') {
		const uint8_t *colon = memchr(s.p + i, ':', end - i);

		if (colon)
			i = (size_t)(colon - s.p) + 1;
	}
	for (; i < end; i++) {
		quoted |= s.p[i] == '"';
		if (ascii_is_wsp_crlf(s.p[i]) && !quoted)
			continue;
		if (m->n_angle < sizeof(m->in_angle))
			m->in_angle[m->n_angle++] = s.p[i];
		else
			m->angle_cut = true;
	}
}

static void mailbox_clear(struct mailbox *m)
{
	m->name.n = m->comment.n = m->n_bare = m->n_angle = 0;
	m->name.space = m->comment.space = m->gap = m->bare_words = false;
	m->angle = m->bare_cut = m->angle_cut = m->commented = m->bare_at = false;
}

/* The next mailbox of the list: true, or false at the end. */
static bool next_mailbox(struct list *l, struct mailbox *m)
{
	mailbox_clear(m);
	while (l->i < l->s.n) {
		uint8_t c = l->s.p[l->i];

		CONTENT_STEP(1);
		if (c == ',' || c == ';') {
			l->i++;
			if (m->angle || m->name.n)
				return true;
			mailbox_clear(m);
			continue;
		}
		if (c == '<' && m->angle)
			return true; /* another one without a comma: a mailbox of its own */
		if (c == '<') {
			take_angle(l, m);
			continue;
		}
		if ((c == '(' && take_comment(l, m)) ||
		    (c == '"' && !m->angle && take_quoted(l, m)))
			continue;
		l->i++;
		if (c == ':' && !m->angle && !m->bare_at) {
			mailbox_clear(m); /* it was the name of a group */
		} else if (ascii_is_wsp_crlf(c)) {
			m->name.space = m->gap = true;
		} else if (!m->angle && c != '"') {
			bare_put(m, c);
			piece_put(&m->name, c);
		}
	}
	return m->angle || m->name.n;
}

/* Its address; STR_NONE if it has none, or one that is no address. */
static struct str mailbox_address(const struct mailbox *m)
{
	struct str a = m->angle ? str_make(m->in_angle, m->n_angle)
				: str_make(m->bare, m->bare_words ? 0 : m->n_bare);

	/* RFC 5322 3.4.1: something stands on both sides of it. */
	if ((m->angle ? m->angle_cut : m->bare_cut) || str_find(a, '@') == a.n || a.p[0] == '@' ||
	    a.p[a.n - 1] == '@')
		return STR_NONE;
	return a;
}

static bool is_quote(uint8_t c)
{
	return c == '\'' || c == '"';
}

static struct str mailbox_name(const struct mailbox *m)
{
	bool use_name = m->angle ? m->name.n > 0 : !mailbox_address(m).p;
	const struct piece *p = use_name ? &m->name : &m->comment;
	struct str s = str_trim(str_make(p->buf, p->n));

	while (s.n >= 2 && is_quote(s.p[0]) && s.p[s.n - 1] == s.p[0])
		s = str_trim(str_make(s.p + 1, s.n - 2));
	return s;
}

size_t words_addresses(struct str value, size_t most, words_out out, void *ctx)
{
	struct list l = {.s = value};
	struct mailbox m;
	size_t n = 0;

	while (n < most && next_mailbox(&l, &m)) {
		struct str a = mailbox_address(&m);

		if (!a.p)
			continue;
		if (n++)
			out(ctx, (const uint8_t *)", ", 2);
		out(ctx, a.p, a.n);
	}
	return n;
}

size_t words_names(struct str value, size_t most, const struct words_charset *cs, words_out out,
		   void *ctx)
{
	struct words_emit e = {.out = out, .ctx = ctx};
	struct list l = {.s = value};
	struct mailbox m;
	size_t n = 0;

	for (size_t looked = 0; looked < most && next_mailbox(&l, &m); looked++) {
		struct str name = mailbox_name(&m);

		if (!name.n)
			continue;
		if (n++)
			words_put(&e, (const uint8_t *)", ", 2);
		if (cs)
			words_decode_into(&e, name, cs);
		else
			words_put(&e, name.p, name.n);
	}
	words_flush(&e);
	return n;
}
