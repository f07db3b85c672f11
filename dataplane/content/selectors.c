/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The header of the message is kept until it has ended, as far as selectors want it: so each text
 * is made in one go, and goes out in one run if it fits. Fields of parts come all through the
 * message. They are kept, too; when there is no room for the next one, what is there goes out, and
 * the selectors' last runs follow at the end.
 */
#include <errno.h>

#include "dataplane/content/content_priv.h"
#include "dataplane/content/words.h"

static const struct str subject_name = STR("subject");
static const struct str to_cc[] = {STR("to"), STR("cc")};
static const struct str message_ids[] = {STR("x-message-id"), STR("resent-message-id"),
					 STR("x-original-message-id"), STR("message-id")};

static uint32_t hash_of(struct str name)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < name.n; i++)
		h = (h ^ ascii_lower(name.p[i])) * 16777619u;
	return h ^ h >> 15;
}

static void want(struct content_names *names, struct str name)
{
	uint32_t h = hash_of(name) % 256;

	names->bit[h / 64] |= 1ull << h % 64;
}

static bool wanted(const struct content_names *names, uint32_t hash)
{
	return names->all || names->bit[hash % 256 / 64] >> hash % 64 & 1;
}

/* The names that a selector of the header has, in the order of its text. */
static size_t names_of(const struct content_selector *s, const struct str **names)
{
	switch (s->source) {
	case CONTENT_FIELD:
		*names = &s->name;
		return 1;
	case CONTENT_TOCC:
		*names = to_cc;
		return 2;
	case CONTENT_MESSAGEID:
		*names = message_ids;
		return sizeof(message_ids) / sizeof(message_ids[0]);
	default:
		return 0;
	}
}

void content_selectors_begin(struct content *c)
{
	const struct content_plan *plan = c->plan;

	memset(&c->top, 0, sizeof(c->top));
	memset(&c->inner, 0, sizeof(c->inner));
	memset(c->bucket, 0, sizeof(c->bucket));
	memset(c->begun, 0, sizeof(c->begun));
	memset(c->there, 0, sizeof(c->there));
	c->n_fields = c->n_kept = c->n_inner = 0;
	c->bad_words = false;
	c->words.bad = &c->bad_words;
	if (c->views & (1u << VIEW_BODY | 1u << VIEW_URI))
		want(&c->top, subject_name);
	for (unsigned int i = 0; i < plan->n_selectors; i++) {
		const struct content_selector *s = &plan->selector[i];
		const struct str *name;
		size_t n = names_of(s, &name);

		if (s->source == CONTENT_ALL)
			c->top.all = true;
		if (s->source == CONTENT_MIMEFIELD)
			want(&c->inner, s->name);
		while (n--)
			want(&c->top, *name++);
	}
}

static void keep(struct content *c, const struct mime_field *f, uint32_t hash)
{
	uint32_t len = (uint32_t)(f->name.n + 1 + f->value.n), b = hash % CONTENT_BUCKETS;
	struct content_field *field = &c->field[c->n_fields];

	/* mime.h gives no more than there is room for. */
	if (c->n_fields == LIMIT_HEADER_FIELDS || len > sizeof(c->u.kept) - c->n_kept) {
		c->marks |= CONTENT_M_HEADER_CUT;
		return;
	}
	*field = (struct content_field){
		.off = c->n_kept, .len = len, .hash = hash, .name_len = (uint16_t)f->name.n};
	memcpy(c->u.kept + c->n_kept, f->name.p, f->name.n);
	c->n_kept += (uint32_t)f->name.n;
	c->u.kept[c->n_kept++] = ':';
	if (f->value.n)
		memcpy(c->u.kept + c->n_kept, f->value.p, f->value.n);
	c->n_kept += (uint32_t)f->value.n;
	c->n_fields++;
	if (c->bucket[b])
		c->field[c->bucket_last[b] - 1].next = (uint16_t)c->n_fields;
	else
		c->bucket[b] = (uint16_t)c->n_fields;
	c->bucket_last[b] = (uint16_t)c->n_fields;
}

/* CRLF is LF. */
static void put_raw(struct content_run *r, struct str s)
{
	const uint8_t *cr;

	r->there = true;
	while (s.n && (cr = memchr(s.p, '\r', s.n)) != NULL) {
		size_t k = (size_t)(cr - s.p);

		run_put(r, s.p, k);
		if (k + 1 == s.n || s.p[k + 1] != '\n')
			run_octet(r, '\r');
		s = str_skip(s, k + 1);
	}
	if (s.n)
		run_put(r, s.p, s.n);
}

static void note(struct content *c, uint32_t marks)
{
	if (marks & WORDS_UNKNOWN_CHARSET)
		c->marks |= CONTENT_M_UNKNOWN_CHARSET;
	if (marks & WORDS_BAD_ENCODING)
		c->marks |= CONTENT_M_BAD_ENCODING;
	if (c->bad_words)
		c->marks |= CONTENT_M_BAD_CHARSET;
	c->bad_words = false;
}

/* RFC 2047 5 (3): there are no encoded-words in fields of a machine's; what looks like one is shown as it
 * stands. The same fields as SpamAssassin's. */
static bool has_words(struct str name)
{
	static const struct str none[] = {STR("received"), STR("message-id"), STR("resent-message-id"),
					  STR("date"), STR("resent-date"), STR("mime-version"),
					  STR("references"), STR("in-reply-to")};

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		if (str_ieq(name, none[i]))
			return false;
	return !str_istarts(name, STR("list-"));
}

static int no_charset(void *ctx, struct str name)
{
	(void)ctx;
	(void)name;
	return -ENOENT;
}

/* Whole values end with the field's line end, as SpamAssassin's do, lists of addresses and names not. */
static bool ends_line(uint8_t form)
{
	return form == CONTENT_DECODED || form == CONTENT_RAW;
}

static void put_value(struct content *c, struct content_run *r, uint8_t form, struct str name,
		      struct str value)
{
	static const struct words_charset none = {.begin = no_charset};
	struct words_charset cs = charset_words(&c->words);
	uint32_t marks = 0;

	r->there = true;
	if (form == CONTENT_RAW)
		put_raw(r, value);
	else if (form == CONTENT_ADDR)
		(void)words_addresses(value, SIZE_MAX, run_words, r);
	else if (form == CONTENT_NAME)
		(void)words_names(value, SIZE_MAX, &cs, run_words, r);
	else if (form == CONTENT_NAME_RAW)
		(void)words_names(value, SIZE_MAX, NULL, run_words, r);
	else if (has_words(name))
		marks = words_decode(value, &cs, run_words, r);
	else
		(void)words_decode(value, &none, run_words, r);
	if (ends_line(form))
		run_octet(r, '\n');
	note(c, marks);
}

static struct str value_of(const struct content *c, const struct content_field *f)
{
	return str_make(c->u.kept + f->off + f->name_len + 1, f->len - f->name_len - 1);
}

/* The next field of that name from index + 1 `at`; NULL: none. */
static const struct content_field *next_of(const struct content *c, unsigned int at, uint32_t hash,
					   struct str name)
{
	for (; at; at = c->field[at - 1].next) {
		const struct content_field *f = &c->field[at - 1];

		if (f->hash == hash && str_ieq(str_make(c->u.kept + f->off, f->name_len), name))
			return f;
	}
	return NULL;
}

static const struct content_field *first_of(const struct content *c, uint32_t hash, struct str name)
{
	return next_of(c, c->bucket[hash % CONTENT_BUCKETS], hash, name);
}

static struct str name_of(const struct content *c, const struct content_field *f)
{
	return str_make(c->u.kept + f->off, f->name_len);
}

static void separate(struct content_run *r, uint8_t form)
{
	if (r->there && !ends_line(form))
		run_octet(r, '\n');
}

static void put_field(struct content *c, struct content_run *r, const struct content_selector *s,
		      const struct content_field *f)
{
	separate(r, s->form);
	if (s->source == CONTENT_ALL) {
		run_put(r, c->u.kept + f->off, f->name_len);
		run_octet(r, ':');
		if (s->form != CONTENT_RAW)
			run_octet(r, ' ');
	}
	put_value(c, r, s->form, name_of(c, f), value_of(c, f));
}

/* All fields of the names, or one of them. */
static void put_named(struct content *c, struct content_run *r, const struct content_selector *s)
{
	const struct content_field *last = NULL, *f;
	const struct str *name;
	size_t n = names_of(s, &name);

	for (; n; n--, name++) {
		uint32_t hash = hash_of(*name);

		for (f = first_of(c, hash, *name); f; f = next_of(c, f->next, hash, *name)) {
			last = f;
			if (s->pick != CONTENT_PICK_LAST)
				put_field(c, r, s, f);
			if (s->pick == CONTENT_PICK_FIRST)
				return;
		}
	}
	if (last && s->pick == CONTENT_PICK_LAST)
		put_field(c, r, s, last);
}

void content_selectors_header(struct content *c)
{
	const struct content_plan *plan = c->plan;
	struct content_run r;

	for (unsigned int i = 0; i < plan->n_selectors; i++) {
		const struct content_selector *s = &plan->selector[i];

		if (s->source == CONTENT_MIMEFIELD)
			continue;
		run_begin(&r, c->sink, CONTENT_SLOT_SELECTOR + i, c->selector_buf);
		if (s->source != CONTENT_ALL)
			put_named(c, &r, s);
		for (unsigned int k = 0; s->source == CONTENT_ALL && k < c->n_fields; k++)
			put_field(c, &r, s, &c->field[k]);
		run_end(&r);
	}
}

/* What fits in one run. */
static void subject_words(void *ctx, const uint8_t *p, size_t n)
{
	struct content_run *r = ctx;

	if (n > CONTENT_RUN - r->n)
		n = CONTENT_RUN - r->n;
	memcpy(r->buf + r->n, p, n);
	r->n += (uint32_t)n;
}

size_t content_selectors_subject(struct content *c)
{
	struct words_charset cs = charset_words(&c->words);
	const struct content_field *f, *last = NULL;
	struct content_run r = {.buf = c->selector_buf};

	for (f = first_of(c, hash_of(subject_name), subject_name); f;
	     f = next_of(c, f->next, f->hash, subject_name))
		last = f;
	if (last)
		note(c, words_decode(value_of(c, last), &cs, subject_words, &r));
	if (r.n == CONTENT_RUN)
		c->marks |= CONTENT_M_HEADER_CUT;
	return r.n;
}

/* Of parts: name in lower case, value; their lengths in front. */
static void put_inner(struct content *c, unsigned int index, bool last)
{
	const struct content_selector *s = &c->plan->selector[index];
	uint64_t bit = 1ull << index % 64, *begun = &c->begun[index / 64],
		 *there = &c->there[index / 64];
	const uint8_t *p = c->inner_kept, *end = p + c->n_inner;
	struct content_run r;

	run_begin(&r, c->sink, CONTENT_SLOT_SELECTOR + index, c->selector_buf);
	r.begun = *begun & bit;
	r.there = *there & bit;
	while (p < end) {
		uint32_t len[2];
		struct str name, value;

		memcpy(len, p, sizeof(len));
		name = str_make(p + sizeof(len), len[0]);
		value = str_make(name.p + name.n, len[1]);
		p = value.p + value.n;
		if (!str_eq(name, s->name))
			continue;
		separate(&r, s->form);
		put_value(c, &r, s->form, name, value);
	}
	if (last) {
		run_end(&r);
		return;
	}
	run_flush(&r);
	if (r.begun)
		*begun |= bit;
	if (r.there)
		*there |= bit;
}

static void flush_inner(struct content *c, bool last)
{
	for (unsigned int i = 0; i < c->plan->n_selectors; i++)
		if (c->plan->selector[i].source == CONTENT_MIMEFIELD)
			put_inner(c, i, last);
	c->n_inner = 0;
}

static void keep_inner(struct content *c, const struct mime_field *f)
{
	uint32_t len[2] = {(uint32_t)f->name.n, (uint32_t)f->value.n};
	size_t need = sizeof(len) + f->name.n + f->value.n;
	uint8_t *p;

	if (need > sizeof(c->inner_kept) - c->n_inner)
		flush_inner(c, false);
	p = c->inner_kept + c->n_inner;
	memcpy(p, len, sizeof(len));
	p += sizeof(len);
	for (size_t i = 0; i < f->name.n; i++)
		*p++ = ascii_lower(f->name.p[i]);
	if (f->value.n)
		memcpy(p, f->value.p, f->value.n);
	c->n_inner += (uint32_t)need;
}

void content_selectors_field(struct content *c, const struct mime_field *f)
{
	uint32_t hash = hash_of(f->name);

	if (f->top && wanted(&c->top, hash))
		keep(c, f, hash);
	if (wanted(&c->inner, hash))
		keep_inner(c, f);
}

void content_selectors_end(struct content *c)
{
	flush_inner(c, true);
}
